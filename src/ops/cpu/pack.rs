//! Weights in the order, and as the words, in which the tile kernel reads them.
//!
//! A panel holds `width` output channels (one or two vectors) of all `depth = kh * kw * words of ci` rows, row by row, so
//! that a tile streams it front to back; channels beyond the last are zeros. A word of 16-bit values is those of two input
//! channels, the second of which may be none. Packing is repeated each step, as the weights
//! change each step, and costs one pass over them.

use super::element::{Element, words_of};
use super::pool::{self, Buffer};
use super::simd::Level;
use rayon::prelude::*;

/// Weights as panels `[panels][depth][width]`.
pub(crate) struct Packed {
    data: Buffer,
    /// Rows of a panel.
    pub depth: usize,
    /// Channels of a panel: a multiple of the vector's lanes.
    pub width: usize,
    /// Channels in all.
    pub channels: usize,
}

/// The widest panel.
const MOST_WIDTH: usize = 32;

/// Channels of a panel for `channels` output channels: one vector where that covers them, else two.
pub(crate) fn panel_width(level: Level, channels: usize) -> usize {
    let lanes = level.vectors().0;
    if channels <= lanes { lanes } else { 2 * lanes }
}

impl Packed {
    /// Packs the rows of `taps` matrices of `inputs` by `channels`, where `fill(tap, input, first, out)` writes channels
    /// `first..` of a row into `out`.
    fn new<E: Element>(
        level: Level,
        taps: usize,
        [inputs, channels]: [usize; 2],
        fill: impl Fn(usize, usize, usize, &mut [f32]) + Sync,
    ) -> Packed {
        let width = panel_width(level, channels);
        let panels = channels.div_ceil(width);
        let words = words_of::<E>(inputs);
        let depth = taps * words;
        let mut data = pool::take(panels * depth * width);
        // Pieces of rows, so that one wide panel is packed by several threads too.
        let piece = depth.div_ceil(8).max(64);
        data.par_chunks_mut((depth * width).max(1)).enumerate().for_each(|(panel, rows)| {
            let first = panel * width;
            let valid = width.min(channels - first);
            rows.par_chunks_mut(piece * width).enumerate().for_each(|(i, rows)| {
                let mut parts = [[0.0; MOST_WIDTH]; 2];
                for (j, to) in rows.chunks_exact_mut(width).enumerate() {
                    let (tap, word) = ((i * piece + j) / words, (i * piece + j) % words);
                    for (part, values) in parts.iter_mut().take(E::PER_WORD).enumerate() {
                        match word * E::PER_WORD + part {
                            input if input < inputs => fill(tap, input, first, &mut values[..valid]),
                            _ => values.fill(0.0),
                        }
                    }
                    let [near, far] = &parts;
                    to.iter_mut().zip(near.iter().zip(far)).for_each(|(to, (near, far))| *to = E::word(*near, *far));
                    to[valid..].fill(0.0);
                }
            });
        });
        Packed { data, depth, width, channels }
    }

    /// Packs `[taps, inputs, channels]` weights as they are, times `scale[channel]` if given.
    pub(crate) fn rows<E: Element>(
        level: Level,
        weights: &[f32],
        [inputs, channels]: [usize; 2],
        scale: Option<&[f32]>,
    ) -> Packed {
        let taps = weights.len() / (inputs * channels).max(1);
        Packed::new::<E>(level, taps, [inputs, channels], |tap, input, first, out| {
            out.copy_from_slice(&weights[(tap * inputs + input) * channels + first..][..out.len()]);
            if let Some(scale) = scale {
                for (w, s) in out.iter_mut().zip(&scale[first..]) {
                    *w *= s;
                }
            }
        })
    }

    /// Packs the transposes of the `[ci, co]` matrices of `taps`, one below the other: rows `(tap, co)`, channels `ci`.
    pub(crate) fn transposed<E: Element>(
        level: Level,
        weights: &[f32],
        (ci, co): (usize, usize),
        taps: &[usize],
    ) -> Packed {
        Packed::new::<E>(level, taps.len(), [co, ci], |tap, output, first, out| {
            let matrix = &weights[taps[tap] * ci * co..][..ci * co];
            for (i, value) in out.iter_mut().enumerate() {
                *value = matrix[(first + i) * co + output];
            }
        })
    }

    /// Number of panels.
    pub(crate) fn panels(&self) -> usize {
        self.channels.div_ceil(self.width)
    }

    /// One panel, `depth * width` words.
    pub(crate) fn panel(&self, index: usize) -> &[f32] {
        &self.data[index * self.depth * self.width..][..self.depth * self.width]
    }
}
