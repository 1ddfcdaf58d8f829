//! The sums of a resize, a row at a time, compiled once for every processor and once more for those with AVX2, which most
//! have. The numbers are integers, and the same.

use super::{HALF, Weights, to_byte};

/// Each output pixel of a row from those of an input row. `padded` is the input row and one byte more.
pub(super) fn along_row(padded: &[u8], weights: &Weights, channels: usize, out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { along_row_avx2(padded, weights, channels, out) };
    }
    row_of(padded, weights, channels, out);
}

/// An output row from as many input rows as it has weights; `sums` has room for as many values.
pub(super) fn of_rows<'a>(rows: impl Iterator<Item = (&'a [u8], i32)>, sums: &mut [i32], out: &mut [u8]) {
    sums.fill(HALF);
    for (row, weight) in rows {
        add(row, weight, sums);
    }
    for (out, &sum) in out.iter_mut().zip(&*sums) {
        *out = to_byte(sum);
    }
}

fn add(row: &[u8], weight: i32, sums: &mut [i32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { add_avx2(row, weight, sums) };
    }
    add_row(row, weight, sums);
}

/// # Safety
/// The processor has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn along_row_avx2(padded: &[u8], weights: &Weights, channels: usize, out: &mut [u8]) {
    row_of(padded, weights, channels, out);
}

/// # Safety
/// The processor has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn add_avx2(row: &[u8], weight: i32, sums: &mut [i32]) {
    add_row(row, weight, sums);
}

#[inline(always)]
fn add_row(row: &[u8], weight: i32, sums: &mut [i32]) {
    for (sum, &value) in sums.iter_mut().zip(row) {
        *sum += i32::from(value) * weight;
    }
}

#[inline(always)]
fn row_of(padded: &[u8], weights: &Weights, channels: usize, out: &mut [u8]) {
    match channels {
        3 => colours(padded, weights, out),
        1 => grays(padded, weights, out),
        _ => unreachable!("images have 1 or 3 channels"),
    }
}

#[inline(always)]
fn grays(padded: &[u8], weights: &Weights, out: &mut [u8]) {
    for ((first, weights), out) in weights.iter().zip(out) {
        let taps = padded[first..].iter().zip(weights);
        *out = to_byte(HALF + taps.map(|(&value, &weight)| i32::from(value) * weight).sum::<i32>());
    }
}

/// In four lanes, of which the last is the next pixel's first colour and comes to nothing.
#[inline(always)]
fn colours(padded: &[u8], weights: &Weights, out: &mut [u8]) {
    for ((first, weights), out) in weights.iter().zip(out.as_chunks_mut::<3>().0) {
        let taps = &padded[first * 3..(first + weights.len()) * 3 + 1];
        let mut sums = [HALF; 4];
        for (tap, &weight) in weights.iter().enumerate() {
            let Some(pixel) = taps.get(tap * 3..tap * 3 + 4) else { break };
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum += i32::from(value) * weight;
            }
        }
        let [red, green, blue, _] = sums.map(to_byte);
        *out = [red, green, blue];
    }
}
