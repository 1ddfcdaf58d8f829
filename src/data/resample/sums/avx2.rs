//! Rows of colours on AVX2: four pixels are read at once and multiplied two by two.
//!
//! A product there is of 16 bits, and a weight has 23. So each is two numbers, of which the higher one counts 2048 times; no
//! sum changes by that.

use super::{HALF, Weights};
use crate::data::resample::weights::PRECISION;
use std::arch::x86_64::*;

/// Bits of a weight's lower number.
const LOW: i32 = 11;
/// Pixels that are read at once.
const PIXELS: usize = 4;

/// Weights, for as many groups of four pixels for each position as the widest one needs.
pub(super) struct Packed {
    /// Where each position's first pixel begins, in bytes.
    first: Vec<usize>,
    /// The four higher numbers, and the four lower ones, of each group.
    values: Vec<[i16; 2 * PIXELS]>,
    groups: usize,
}

impl Packed {
    pub(super) fn new(weights: &Weights) -> Self {
        let groups = weights.most_used().div_ceil(PIXELS);
        let mut values = vec![[0; 2 * PIXELS]; weights.len() * groups];
        for ((_, weights), values) in weights.iter().zip(values.chunks_exact_mut(groups)) {
            for (tap, weight) in weights.iter().enumerate() {
                let group = &mut values[tap / PIXELS];
                group[tap % PIXELS] = (weight >> LOW) as i16;
                group[PIXELS + tap % PIXELS] = (weight & ((1 << LOW) - 1)) as i16;
            }
        }
        Self { first: weights.iter().map(|(first, _)| 3 * first).collect(), values, groups }
    }

    /// Copies a row, and as many bytes behind it as may be read.
    pub(super) fn pad(&self, row: &[u8], padded: &mut Vec<u8>) {
        padded.clear();
        padded.extend_from_slice(row);
        padded.resize(row.len() + 3 * PIXELS * self.groups + 16, 0);
    }
}

/// Each output pixel of a padded row.
#[target_feature(enable = "avx2")]
pub(super) fn across(padded: &[u8], weights: &Packed, out: &mut [u8]) {
    match weights.groups {
        // As many as most photographs need.
        1 => across_by(1, padded, weights, out),
        groups => across_by(groups, padded, weights, out),
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn across_by(groups: usize, padded: &[u8], weights: &Packed, out: &mut [u8]) {
    let Packed { first, values, .. } = weights;
    let (fours, rest) = out.as_chunks_mut::<12>();
    let (first, last) = first.split_at(4 * fours.len());
    let (values, last_values) = values.split_at(4 * fours.len() * groups);
    for ((first, values), out) in first.as_chunks::<4>().0.iter().zip(values.chunks_exact(4 * groups)).zip(fours) {
        let pixel = |i: usize| pixel(&padded[first[i]..], &values[i * groups..(i + 1) * groups]);
        let words = (_mm_packs_epi32(pixel(0), pixel(1)), _mm_packs_epi32(pixel(2), pixel(3)));
        let bytes = _mm_shuffle_epi8(_mm_packus_epi16(words.0, words.1), bytemuck::cast(WITHOUT_FOURTH));
        let bytes: [u8; 16] = bytemuck::cast(bytes);
        out.copy_from_slice(&bytes[..12]);
    }
    for ((first, values), out) in last.iter().zip(last_values.chunks_exact(groups)).zip(rest.as_chunks_mut::<3>().0) {
        let words = _mm_packs_epi32(pixel(&padded[*first..], values), _mm_setzero_si128());
        let bytes: [u8; 16] = bytemuck::cast(_mm_packus_epi16(words, words));
        out.copy_from_slice(&bytes[..3]);
    }
}

/// One output pixel: three sums, and one that means nothing.
#[target_feature(enable = "avx2")]
#[inline]
fn pixel(bytes: &[u8], weights: &[[i16; 2 * PIXELS]]) -> __m128i {
    let (mut high, mut low) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    for (group, weights) in weights.iter().enumerate() {
        let Some(&sixteen) = bytes[3 * PIXELS * group..].first_chunk::<16>() else { break };
        let pairs = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytemuck::cast(sixteen)), bytemuck::cast(PAIRS));
        let weights = _mm256_castsi128_si256(bytemuck::cast(*weights));
        let of = |pairs: [u32; 8]| _mm256_permutevar8x32_epi32(weights, bytemuck::cast(pairs));
        high = _mm256_add_epi32(high, _mm256_madd_epi16(pairs, of([0, 0, 0, 0, 1, 1, 1, 1])));
        low = _mm256_add_epi32(low, _mm256_madd_epi16(pairs, of([2, 2, 2, 2, 3, 3, 3, 3])));
    }
    let sums = _mm256_add_epi32(_mm256_slli_epi32::<LOW>(high), low);
    let sums = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
    _mm_srai_epi32::<{ PRECISION as i32 }>(_mm_add_epi32(sums, _mm_set1_epi32(HALF)))
}

/// Where the bytes of four pixels go, as numbers of 16 bits: first red of the first and of the second pixel, then their
/// greens, then their blues; in the upper half the same of the others. Nothing where the highest bit is set.
#[rustfmt::skip]
const PAIRS: [u8; 32] = [
    0, 0x80, 3, 0x80, 1, 0x80, 4, 0x80, 2, 0x80, 5, 0x80, 0x80, 0x80, 0x80, 0x80,
    6, 0x80, 9, 0x80, 7, 0x80, 10, 0x80, 8, 0x80, 11, 0x80, 0x80, 0x80, 0x80, 0x80,
];

/// Leaves out each fourth byte.
const WITHOUT_FOURTH: [u8; 16] = [0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 0x80, 0x80, 0x80, 0x80];
