//! The sums of a resize, a row at a time, compiled once for every processor and once more for those with AVX2, which most
//! have. The numbers are integers, and the same.

#[cfg(target_arch = "x86_64")]
mod avx2;

use super::weights::{PRECISION, Weights};

const HALF: i32 = 1 << (PRECISION - 1);

fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Resizes rows.
pub(super) struct Across {
    weights: Weights,
    channels: usize,
    /// As AVX2 takes them, where the processor has it.
    #[cfg(target_arch = "x86_64")]
    packed: Option<avx2::Packed>,
    /// A row with room behind it, so that pixels beside it can be read and count for nothing.
    padded: Vec<u8>,
}

impl Across {
    pub(super) fn new(weights: Weights, channels: usize) -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            packed: (channels == 3 && is_x86_feature_detected!("avx2")).then(|| avx2::Packed::new(&weights)),
            weights,
            channels,
            padded: Vec::new(),
        }
    }

    /// Each output pixel of a row.
    pub(super) fn row(&mut self, row: &[u8], out: &mut [u8]) {
        let Self { weights, channels, padded, .. } = self;
        #[cfg(target_arch = "x86_64")]
        if let Some(packed) = &self.packed {
            packed.pad(row, padded);
            // SAFETY: the processor has AVX2, or nothing would be packed.
            return unsafe { avx2::across(padded, packed, out) };
        }
        match channels {
            3 => colours(row, weights, out),
            1 => grays(row, weights, out),
            _ => unreachable!("images have 1 or 3 channels"),
        }
    }
}

fn grays(row: &[u8], weights: &Weights, out: &mut [u8]) {
    for ((first, weights), out) in weights.iter().zip(out) {
        let taps = row[first..].iter().zip(weights);
        *out = to_byte(HALF + taps.map(|(&value, &weight)| i32::from(value) * weight).sum::<i32>());
    }
}

fn colours(row: &[u8], weights: &Weights, out: &mut [u8]) {
    let pixels = row.as_chunks::<3>().0;
    for ((first, weights), out) in weights.iter().zip(out.as_chunks_mut::<3>().0) {
        let mut sums = [HALF; 3];
        for (pixel, &weight) in pixels[first..].iter().zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum += i32::from(value) * weight;
            }
        }
        *out = sums.map(to_byte);
    }
}

/// An output row from input rows, each with its weight.
pub(super) fn down<'a>(rows: impl Iterator<Item = (&'a [u8], &'a i32)> + Clone, out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { down_avx2(rows, out) };
    }
    down_of(rows, out);
}

/// # Safety
/// The processor has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn down_avx2<'a>(rows: impl Iterator<Item = (&'a [u8], &'a i32)> + Clone, out: &mut [u8]) {
    down_of(rows, out);
}

#[inline(always)]
fn down_of<'a>(rows: impl Iterator<Item = (&'a [u8], &'a i32)> + Clone, out: &mut [u8]) {
    /// Sums that stay in a processor's registers.
    const TOGETHER: usize = 32;

    let (groups, rest) = out.as_chunks_mut::<TOGETHER>();
    let behind = groups.len() * TOGETHER;
    for (group, out) in groups.iter_mut().enumerate() {
        let mut sums = [HALF; TOGETHER];
        for (row, &weight) in rows.clone() {
            let Some(values) = row[group * TOGETHER..].first_chunk::<TOGETHER>() else { return };
            for (sum, &value) in sums.iter_mut().zip(values) {
                *sum += i32::from(value) * weight;
            }
        }
        for (out, &sum) in out.iter_mut().zip(&sums) {
            *out = to_byte(sum);
        }
    }
    for (at, out) in (behind..).zip(rest) {
        *out = to_byte(HALF + rows.clone().map(|(row, &weight)| i32::from(row[at]) * weight).sum::<i32>());
    }
}
