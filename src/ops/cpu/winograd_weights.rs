//! The weights' side of Winograd's convolution F(2x2, 3x3): into sixteen matrices, and their gradient back out of them.
//!
//! Lavin and Gray, <https://arxiv.org/abs/1509.09308>: a 3x3 kernel `g` becomes `U = G g Gt`, 4x4.

use super::pack::panel_width;
use super::pool::{self, Buffer};
use super::shared::Shared;
use super::simd::Level;
use rayon::prelude::*;

/// Products that a 2x2 tile of outputs takes: a 4x4 tile of transformed values.
pub(crate) const POINTS: usize = 16;

/// Transformed weights as panels `[POINTS][panels][depth][width]`.
pub(crate) struct Spectrum {
    data: Buffer,
    /// Input channels.
    pub depth: usize,
    /// Channels of a panel.
    pub width: usize,
    /// Output channels.
    pub channels: usize,
}

/// One line of `G g`.
#[inline(always)]
fn widen([a, b, c]: [f32; 3]) -> [f32; 4] {
    let (ends, middle) = (0.5 * (a + c), 0.5 * b);
    [a, ends + middle, ends - middle, c]
}

/// One line of `Gt u`.
#[inline(always)]
fn narrow([a, b, c, d]: [f32; 4]) -> [f32; 3] {
    let (sum, difference) = (0.5 * (b + c), 0.5 * (b - c));
    [a + sum, difference, sum + d]
}

impl Spectrum {
    /// Panels in all.
    pub(crate) fn panels(&self) -> usize {
        self.channels.div_ceil(self.width)
    }

    /// Transforms `[3, 3, ci, co]` weights for the forward pass, or turned round and transposed for the input gradient.
    pub(crate) fn new(level: Level, weights: &[f32], (ci, co): (usize, usize), gradient: bool) -> Spectrum {
        let (depth, channels) = if gradient { (co, ci) } else { (ci, co) };
        let width = panel_width(level, channels);
        let panels = channels.div_ceil(width);
        let mut data = pool::take(POINTS * panels * depth * width);
        let all = Shared::new(&mut data);
        (0..panels * depth).into_par_iter().with_min_len(16).for_each(|task| {
            let (panel, row) = (task / depth, task % depth);
            let first = panel * width;
            let mut taps = [[0.0f32; 32]; 9];
            for (tap, taps) in taps.iter_mut().enumerate() {
                for (lane, value) in taps.iter_mut().enumerate().take(width.min(channels - first)) {
                    *value = if gradient {
                        weights[((8 - tap) * ci + first + lane) * co + row]
                    } else {
                        weights[(tap * ci + row) * co + first + lane]
                    };
                }
            }
            let mut points = [[0.0f32; 32]; POINTS];
            for lane in 0..width {
                let mut lines = [[0.0; 3]; 4];
                for column in 0..3 {
                    let line = widen([taps[column][lane], taps[3 + column][lane], taps[6 + column][lane]]);
                    for (lines, value) in lines.iter_mut().zip(line) {
                        lines[column] = value;
                    }
                }
                for (row, line) in lines.into_iter().enumerate() {
                    for (column, value) in widen(line).into_iter().enumerate() {
                        points[row * 4 + column][lane] = value;
                    }
                }
            }
            for (point, values) in points.iter().enumerate() {
                let at = ((point * panels + panel) * depth + row) * width;
                // SAFETY: this row of this panel is this task's alone.
                unsafe { all.part(at, width) }.copy_from_slice(&values[..width]);
            }
        });
        Spectrum { data, depth, width, channels }
    }

    /// The panel of a point.
    pub(crate) fn panel(&self, point: usize, panel: usize) -> *const f32 {
        self.data[(point * self.panels() + panel) * self.depth * self.width..].as_ptr()
    }
}

/// Adds up `partials` (each `[POINTS][ci][co]`) in order and turns the sum into the gradient of `[3, 3, ci, co]`.
pub(crate) fn weight_gradient(partials: &[f32], (ci, co): (usize, usize), dw: &mut [f32]) {
    let matrix = ci * co;
    let dw = Shared::new(dw);
    let piece = 256.min(matrix.max(1));
    (0..matrix.div_ceil(piece)).into_par_iter().for_each(|task| {
        let (first, count) = (task * piece, piece.min(matrix - task * piece));
        let mut sums = [[0.0f32; 256]; POINTS];
        for partial in partials.chunks_exact(POINTS * matrix) {
            for (point, sums) in sums.iter_mut().enumerate() {
                for (sum, value) in sums[..count].iter_mut().zip(&partial[point * matrix + first..]) {
                    *sum += value;
                }
            }
        }
        let mut taps = [[0.0f32; 256]; 9];
        for i in 0..count {
            let mut lines = [[0.0; 4]; 3];
            for column in 0..4 {
                let line = narrow([sums[column][i], sums[4 + column][i], sums[8 + column][i], sums[12 + column][i]]);
                for (lines, value) in lines.iter_mut().zip(line) {
                    lines[column] = value;
                }
            }
            for (row, line) in lines.into_iter().enumerate() {
                for (column, value) in narrow(line).into_iter().enumerate() {
                    taps[row * 3 + column][i] = value;
                }
            }
        }
        for (tap, values) in taps.iter().enumerate() {
            // SAFETY: these weights are this task's alone.
            unsafe { dw.part(tap * matrix + first, count) }.copy_from_slice(&values[..count]);
        }
    });
}
