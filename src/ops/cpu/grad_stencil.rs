//! The input gradient of a convolution as stencils over the padded gradient of its result.
//!
//! With stride 1 it is a convolution with the kernel turned round and its channels exchanged. With stride `s` the input
//! pixels fall into `s * s` phases, each of which meets only every `s`-th tap: for each phase a small dense stencil
//! that gathers, so that no two tasks ever add to the same pixel and no zeros are multiplied.

use super::element::Element;
use super::geometry::{Geometry, Padded};
use super::pack::Packed;
use super::simd::Level;
use super::stencil::Stencil;

/// All stencils of one input gradient, over padded `dz` images of the form [`GradStencils::padded`].
pub(crate) struct GradStencils {
    /// One for each phase that meets a tap.
    pub stencils: Vec<Stencil>,
    /// Whether some input pixels meet no tap and must be zeroed.
    pub gaps: bool,
}

/// One axis of a phase: input positions `phase + stride * i` for `i < count`, `taps` taps, the first of which reads
/// output position `i + shift - before`.
struct Axis {
    phase: usize,
    count: usize,
    /// The smallest tap of the phase; the others follow at the stride.
    tap: usize,
    taps: usize,
    shift: usize,
}

fn axes(size: usize, kernel: usize, stride: usize, before: usize) -> Vec<Axis> {
    let phases = 0..stride.min(size);
    phases
        .map(|phase| {
            let tap = (phase + before) % stride;
            Axis {
                phase,
                count: (size - phase).div_ceil(stride),
                tap,
                taps: kernel.saturating_sub(tap).div_ceil(stride),
                shift: (phase + before - tap) / stride,
            }
        })
        .collect()
}

/// Zeros that `axes` need around `outputs` positions.
fn padding(axes: &[Axis], outputs: usize) -> [usize; 2] {
    let used = || axes.iter().filter(|axis| axis.taps > 0);
    let before = used().map(|axis| (axis.taps - 1).saturating_sub(axis.shift)).max();
    let after = used().map(|axis| (axis.count + axis.shift).saturating_sub(outputs)).max();
    [before.unwrap_or(0), after.unwrap_or(0)]
}

impl GradStencils {
    /// Form of the padded `dz` alone.
    pub(crate) fn padded(geometry: &Geometry) -> Padded {
        let [_, h, w, _] = geometry.input;
        let [_, oh, ow, co] = geometry.output();
        let window = geometry.window;
        let rows = axes(h, window.kernel[0], window.stride[0], window.pad[0][0]);
        let columns = axes(w, window.kernel[1], window.stride[1], window.pad[1][0]);
        Padded { h: oh, w: ow, c: co, pad: [padding(&rows, oh), padding(&columns, ow)] }
    }

    /// Stencils for `images` consecutive images of words.
    pub(crate) fn new<E: Element>(level: Level, geometry: &Geometry, weights: &[f32], images: usize) -> GradStencils {
        let [_, h, w, ci] = geometry.input;
        let co = geometry.co;
        let window = geometry.window;
        let padded = GradStencils::padded(geometry).words::<E>();
        let rows = axes(h, window.kernel[0], window.stride[0], window.pad[0][0]);
        let columns = axes(w, window.kernel[1], window.stride[1], window.pad[1][0]);
        let (mut stencils, mut gaps) = (Vec::new(), false);
        for row in &rows {
            for column in &columns {
                if row.taps == 0 || column.taps == 0 {
                    gaps = true;
                    continue;
                }
                let mut taps = Vec::new();
                for ky in (0..row.taps).rev() {
                    for kx in (0..column.taps).rev() {
                        let y = row.tap + ky * window.stride[0];
                        taps.push(y * window.kernel[1] + column.tap + kx * window.stride[1]);
                    }
                }
                let (mut source, mut target) = (Vec::new(), Vec::new());
                for image in 0..images {
                    for i in 0..row.count {
                        let from = padded.pad[0][0] + row.shift + i + 1 - row.taps;
                        let to = (image * h + row.phase + i * window.stride[0]) * w + column.phase;
                        for j in 0..column.count {
                            let across = padded.pad[1][0] + column.shift + j + 1 - column.taps;
                            source.push(image * padded.len() + from * padded.pitch() + across * padded.c);
                            target.push((to + j * window.stride[1]) * ci);
                        }
                    }
                }
                stencils.push(Stencil {
                    rows: row.taps,
                    run: column.taps * padded.c,
                    pitch: padded.pitch(),
                    source,
                    target,
                    weights: Packed::transposed::<E>(level, weights, (ci, co), &taps).into(),
                });
            }
        }
        GradStencils { stencils, gaps }
    }
}
