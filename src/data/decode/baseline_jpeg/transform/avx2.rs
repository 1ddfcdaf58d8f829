//! The transform on AVX2: eight columns at once, two products of 16 bits in each instruction. So the sums of the module
//! above are multiplied out, which changes no number: all are integers. As in libjpeg-turbo's assembler, coefficients
//! beyond 16 bits, which no picture has, wrap or saturate.

use super::DROPPED;
use std::arch::x86_64::*;

/// The numbers of a row, 16 bits each.
type Row = __m128i;

/// [`super::write`].
#[target_feature(enable = "avx2")]
#[inline]
pub(in super::super) fn write(block: &[i16; 64], out: &mut [u8], stride: usize) {
    let rows: &[[i16; 8]; 8] = block.as_chunks().0.try_into().expect("64 are eight times eight");
    let [a, b, c, d, e, f, g, h] = rows;
    let rows = [load(a), load(b), load(c), load(d), load(e), load(f), load(g), load(h)];
    let columns = transposed(pass::<{ DROPPED[0] }>(rows));
    let rows = transposed(pass::<{ DROPPED[1] }>(columns));
    let middle = _mm_set1_epi8(-128);
    for (pair, rows) in rows.as_chunks::<2>().0.iter().enumerate() {
        // Within -128..=127, then within 0..=255.
        let bytes = _mm_xor_si128(_mm_packs_epi16(rows[0], rows[1]), middle);
        let [first, second] = bytemuck::cast::<_, [[u8; 8]; 2]>(bytes);
        out[2 * pair * stride..][..8].copy_from_slice(&first);
        out[(2 * pair + 1) * stride..][..8].copy_from_slice(&second);
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(row: &[i16; 8]) -> Row {
    bytemuck::cast(*row)
}

/// Of two rows, `by[0]` times the first plus `by[1]` times the second.
#[target_feature(enable = "avx2")]
#[inline]
fn combine(pairs: __m256i, by: [i16; 2]) -> __m256i {
    _mm256_madd_epi16(pairs, _mm256_set1_epi32(i32::from(by[0] as u16) | i32::from(by[1]) << 16))
}

/// The numbers of two rows side by side.
#[target_feature(enable = "avx2")]
#[inline]
fn pairs(a: Row, b: Row) -> __m256i {
    _mm256_set_m128i(_mm_unpackhi_epi16(a, b), _mm_unpacklo_epi16(a, b))
}

#[target_feature(enable = "avx2")]
#[inline]
fn pass<const DROP: i32>(c: [Row; 8]) -> [Row; 8] {
    let half = _mm256_set1_epi32(1 << (DROP - 1));
    let (low, high) = (pairs(c[0], c[4]), pairs(c[2], c[6]));
    let even0 = _mm256_add_epi32(combine(low, [8192, 8192]), half);
    let even1 = _mm256_add_epi32(combine(low, [8192, -8192]), half);
    let (even2, even3) = (combine(high, [4433, 4433 - 15137]), combine(high, [4433 + 6270, 4433]));
    let z = pairs(_mm_add_epi16(c[7], c[3]), _mm_add_epi16(c[5], c[1]));
    let (z3, z4) = (combine(z, [9633 - 16069, 9633]), combine(z, [9633, 9633 - 3196]));
    let (outer, inner) = (pairs(c[7], c[1]), pairs(c[5], c[3]));
    let odd0 = _mm256_add_epi32(combine(outer, [-7373, 12299 - 7373]), z4);
    let odd1 = _mm256_add_epi32(combine(inner, [-20995, 25172 - 20995]), z3);
    let odd2 = _mm256_add_epi32(combine(inner, [16819 - 20995, -20995]), z4);
    let odd3 = _mm256_add_epi32(combine(outer, [2446 - 7373, -7373]), z3);
    let (a, h) = ends::<DROP>(_mm256_add_epi32(even0, even3), odd0);
    let (b, g) = ends::<DROP>(_mm256_add_epi32(even1, even2), odd1);
    let (c, f) = ends::<DROP>(_mm256_sub_epi32(even1, even2), odd2);
    let (d, e) = ends::<DROP>(_mm256_sub_epi32(even0, even3), odd3);
    [a, b, c, d, e, f, g, h]
}

/// Their sum, and their difference, in 16 bits.
#[target_feature(enable = "avx2")]
#[inline]
fn ends<const DROP: i32>(even: __m256i, odd: __m256i) -> (Row, Row) {
    let sum = _mm256_srai_epi32::<DROP>(_mm256_add_epi32(even, odd));
    let difference = _mm256_srai_epi32::<DROP>(_mm256_sub_epi32(even, odd));
    // The halves of each lie apart.
    let both = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(sum, difference));
    (_mm256_castsi256_si128(both), _mm256_extracti128_si256::<1>(both))
}

#[target_feature(enable = "avx2")]
#[inline]
fn transposed([a, b, c, d, e, f, g, h]: [Row; 8]) -> [Row; 8] {
    // Rows that are 4 apart, then 2, then neighbours come side by side.
    let (ae0, ae1) = (_mm_unpacklo_epi16(a, e), _mm_unpackhi_epi16(a, e));
    let (bf0, bf1) = (_mm_unpacklo_epi16(b, f), _mm_unpackhi_epi16(b, f));
    let (cg0, cg1) = (_mm_unpacklo_epi16(c, g), _mm_unpackhi_epi16(c, g));
    let (dh0, dh1) = (_mm_unpacklo_epi16(d, h), _mm_unpackhi_epi16(d, h));
    let (aceg0, aceg1) = (_mm_unpacklo_epi16(ae0, cg0), _mm_unpackhi_epi16(ae0, cg0));
    let (aceg2, aceg3) = (_mm_unpacklo_epi16(ae1, cg1), _mm_unpackhi_epi16(ae1, cg1));
    let (bdfh0, bdfh1) = (_mm_unpacklo_epi16(bf0, dh0), _mm_unpackhi_epi16(bf0, dh0));
    let (bdfh2, bdfh3) = (_mm_unpacklo_epi16(bf1, dh1), _mm_unpackhi_epi16(bf1, dh1));
    [
        _mm_unpacklo_epi16(aceg0, bdfh0),
        _mm_unpackhi_epi16(aceg0, bdfh0),
        _mm_unpacklo_epi16(aceg1, bdfh1),
        _mm_unpackhi_epi16(aceg1, bdfh1),
        _mm_unpacklo_epi16(aceg2, bdfh2),
        _mm_unpackhi_epi16(aceg2, bdfh2),
        _mm_unpacklo_epi16(aceg3, bdfh3),
        _mm_unpackhi_epi16(aceg3, bdfh3),
    ]
}
