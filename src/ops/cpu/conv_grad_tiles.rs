//! Pass 2 of the gradient by way of Winograd, for weights of which each group of images can keep a gradient of its own.

use super::conv_grad::{BLOCK_FLOATS, Pass};
use super::geometry::Padded;
use super::pool;
use super::shared::Shared;
use super::winograd::{Correlate, Grid, Images};
use super::winograd_grad::Accumulate;
use super::winograd_weights::{POINTS, Spectrum, weight_gradient};
use rayon::prelude::*;

impl Pass<'_> {
    /// As [`Pass::by_images`], by way of Winograd.
    pub(super) fn by_tiles(&self, mut dx: Option<&mut [f32]>, dw: Option<&mut [f32]>) {
        let [n, h, w, ci] = self.geometry.input;
        let [_, oh, ow, co] = self.geometry.output();
        let [[top, _], [left, _]] = self.geometry.window.pad;
        let groups = n.min(if ci * co <= 2048 { 16 } else { 8 }).max(1);
        let group = n.div_ceil(groups).max(1);
        let block = (BLOCK_FLOATS / (2 * (h * w * ci + oh * ow * co)).max(1)).clamp(1, group);
        let spectrum = dx.as_ref().map(|_| Spectrum::new(self.level, self.saved.w, (ci, co), true));
        let own = if dw.is_some() { POINTS * ci * co } else { 0 };
        let mut partial = pool::take(groups * own);
        let partials = Shared::new(&mut partial);
        let target = dx.as_mut().map(|dx| Shared::new(dx));
        let bare = Padded { h: oh, w: ow, c: co, pad: [[0, 0], [0, 0]] };
        let scratch = spectrum.as_ref().map_or(0, Correlate::scratch).max(Accumulate::scratch(ci, co));
        (0..groups).into_par_iter().for_each(|index| {
            // SAFETY: each group's part is its task's alone.
            let partial = unsafe { partials.part(index * own, own) };
            partial.fill(0.0);
            let mut dz = pool::take(block * bare.len());
            let mut scratch = pool::take(scratch);
            let end = n.min((index + 1) * group);
            for first in (index * group..end).step_by(block) {
                let images = block.min(end - first);
                self.dz(&bare, first, &mut dz[..images * bare.len()]);
                let dz = Images { data: &dz, h: oh, w: ow, c: co };
                if let (Some(spectrum), Some(target)) = (&spectrum, &target) {
                    let (target, _) = target.from(first * h * w * ci);
                    self.level.run(Correlate {
                        spectrum,
                        source: dz,
                        image: 0,
                        row: 0,
                        corner: [top as isize - 2, left as isize - 2],
                        grid: Grid { images, rows: h.div_ceil(2), columns: w.div_ceil(2) },
                        target,
                        size: [h, w],
                        scratch: &mut scratch,
                    });
                }
                if own > 0 {
                    self.level.run(Accumulate {
                        x: Images { data: self.saved.x, h, w, c: ci },
                        image: first,
                        dz,
                        images,
                        corner: [-(top as isize), -(left as isize)],
                        out: partial,
                        scratch: &mut scratch,
                    });
                }
            }
        });
        if let Some(dw) = dw {
            weight_gradient(&partial, (ci, co), dw);
        }
    }
}
