//! From a block's coefficients to its 8x8 pixels: the accurate integer transform of the Independent JPEG Group's library
//! (`jidctint.c`: Loeffler, Ligtenberg and Moschytz, 1989), bit for bit, and with it what Pillow shows.
//!
//! Columns come first, then rows; the roundings between are part of the result.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;

/// Bits of the constants' fractions, and of what the first pass leaves.
const FRACTION: i32 = 13;
const BETWEEN: i32 = 2;
/// Bits that each pass drops. The second one also divides by 8.
const DROPPED: [i32; 2] = [FRACTION - BETWEEN, FRACTION + BETWEEN + 3];

/// Writes a block's pixels into rows of `stride` values.
#[inline(always)]
pub(super) fn write(block: &[i16; 64], out: &mut [u8], stride: usize) {
    let mut values = [[0; 8]; 8];
    for column in 0..8 {
        let mut coefficients = [0; 8];
        for (value, row) in coefficients.iter_mut().zip(block.as_chunks::<8>().0) {
            *value = row[column].into();
        }
        for (row, value) in values.iter_mut().zip(pass(coefficients, DROPPED[0])) {
            row[column] = value;
        }
    }
    for (out, row) in out.chunks_mut(stride).zip(values) {
        for (out, value) in out[..8].iter_mut().zip(pass(row, DROPPED[1])) {
            *out = to_byte(value);
        }
    }
}

/// [`write`], for a block whose first coefficient is the only one.
#[inline(always)]
pub(super) fn write_plain(mean: i16, out: &mut [u8], stride: usize) {
    let mean = to_byte((i32::from(mean) + 4) >> 3);
    out.chunks_mut(stride).take(8).for_each(|row| row[..8].fill(mean));
}

#[inline(always)]
fn to_byte(value: i32) -> u8 {
    (value + 128).clamp(0, 255) as u8
}

/// Of the coefficients of a column, or of a row, its values. The sums between are as the library names them.
#[inline(always)]
fn pass(c: [i32; 8], drop: i32) -> [i32; 8] {
    let times = |value: i32, by: i32| value.wrapping_mul(by);
    let z1 = times(c[2].wrapping_add(c[6]), 4433);
    let (even2, even3) = (z1.wrapping_add(times(c[6], -15137)), z1.wrapping_add(times(c[2], 6270)));
    let half = 1 << (drop - 1);
    let even0 = times(c[0].wrapping_add(c[4]), 1 << FRACTION).wrapping_add(half);
    let even1 = times(c[0].wrapping_sub(c[4]), 1 << FRACTION).wrapping_add(half);
    let even =
        [even0.wrapping_add(even3), even1.wrapping_add(even2), even1.wrapping_sub(even2), even0.wrapping_sub(even3)];
    let (z3, z4) = (c[7].wrapping_add(c[3]), c[5].wrapping_add(c[1]));
    let z5 = times(z3.wrapping_add(z4), 9633);
    let (z3, z4) = (times(z3, -16069).wrapping_add(z5), times(z4, -3196).wrapping_add(z5));
    let (z1, z2) = (times(c[7].wrapping_add(c[1]), -7373), times(c[5].wrapping_add(c[3]), -20995));
    let odd = [
        times(c[1], 12299).wrapping_add(z1).wrapping_add(z4),
        times(c[3], 25172).wrapping_add(z2).wrapping_add(z3),
        times(c[5], 16819).wrapping_add(z2).wrapping_add(z4),
        times(c[7], 2446).wrapping_add(z1).wrapping_add(z3),
    ];
    let sum = |i: usize| even[i].wrapping_add(odd[i]) >> drop;
    let difference = |i: usize| even[i].wrapping_sub(odd[i]) >> drop;
    [sum(0), sum(1), sum(2), sum(3), difference(3), difference(2), difference(1), difference(0)]
}
