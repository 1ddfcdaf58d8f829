//! Weights in the order in which the tile kernel reads them.
//!
//! A panel holds `width` output channels (one or two vectors) of all `depth = kh * kw * ci` rows, row by row, so that a
//! tile streams it front to back; channels beyond the last are zeros. Packing is repeated each step, as the weights
//! change each step, and costs one pass over them.

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

/// Channels of a panel for `channels` output channels: one vector where that covers them, else two.
pub(crate) fn panel_width(level: Level, channels: usize) -> usize {
    let lanes = level.vectors().0;
    if channels <= lanes { lanes } else { 2 * lanes }
}

impl Packed {
    /// Packs `depth` rows of `channels`, where `fill(row, first, out)` writes channels `first..` of a row into `out`.
    fn new(level: Level, depth: usize, channels: usize, fill: impl Fn(usize, usize, &mut [f32]) + Sync) -> Packed {
        let width = panel_width(level, channels);
        let panels = channels.div_ceil(width);
        let mut data = pool::take(panels * depth * width);
        // Pieces of rows, so that one wide panel is packed by several threads too.
        let piece = depth.div_ceil(8).max(64);
        data.par_chunks_mut((depth * width).max(1)).enumerate().for_each(|(panel, rows)| {
            let first = panel * width;
            let valid = width.min(channels - first);
            rows.par_chunks_mut(piece * width).enumerate().for_each(|(i, rows)| {
                for (j, row) in rows.chunks_exact_mut(width).enumerate() {
                    fill(i * piece + j, first, &mut row[..valid]);
                    row[valid..].fill(0.0);
                }
            });
        });
        Packed { data, depth, width, channels }
    }

    /// Packs `[depth, channels]` weights as they are, times `scale[channel]` if given.
    pub(crate) fn rows(level: Level, weights: &[f32], channels: usize, scale: Option<&[f32]>) -> Packed {
        let depth = weights.len() / channels.max(1);
        Packed::new(level, depth, channels, |row, first, out| {
            out.copy_from_slice(&weights[row * channels + first..][..out.len()]);
            if let Some(scale) = scale {
                for (w, s) in out.iter_mut().zip(&scale[first..]) {
                    *w *= s;
                }
            }
        })
    }

    /// Packs the transposes of the `[ci, co]` matrices of `taps`, one below the other: rows `(tap, co)`, channels `ci`.
    pub(crate) fn transposed(level: Level, weights: &[f32], (ci, co): (usize, usize), taps: &[usize]) -> Packed {
        Packed::new(level, taps.len() * co, ci, |row, first, out| {
            let matrix = &weights[taps[row / co] * ci * co..][..ci * co];
            for (i, value) in out.iter_mut().enumerate() {
                *value = matrix[(first + i) * co + row % co];
            }
        })
    }

    /// Number of panels.
    pub(crate) fn panels(&self) -> usize {
        self.channels.div_ceil(self.width)
    }

    /// One panel, `depth * width` floats.
    pub(crate) fn panel(&self, index: usize) -> &[f32] {
        &self.data[index * self.depth * self.width..][..self.depth * self.width]
    }
}
