//! Pass 2 of the gradient by way of Winograd, for weights of which each group of images can keep a gradient of its own.

use super::conv_grad::{BLOCK_FLOATS, Pass};
use super::element::{self, Element};
use super::geometry::Padded;
use super::pool;
use super::shared::Shared;
use super::winograd::{Correlate, Grid, Images};
use super::winograd_grad::Accumulate;
use super::winograd_weights::{POINTS, Spectrum, weight_gradient};
use rayon::prelude::*;

impl<E: Element> Pass<'_, E> {
    /// As [`Pass::by_images`], by way of Winograd.
    ///
    /// # Panics
    /// If the values are not floats.
    pub(super) fn by_tiles(&self, mut dx: Option<&mut [E]>, dw: Option<&mut [f32]>) {
        let Some(x) = E::floats(self.saved.x) else { unreachable!("transforms are of 32-bit floats") };
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
            let mut dz = element::take::<E>(block * bare.len());
            let mut scratch = pool::take(scratch);
            let end = n.min((index + 1) * group);
            for first in (index * group..end).step_by(block) {
                let images = block.min(end - first);
                self.dz(&bare, first, &mut dz[..images * bare.len()]);
                let dz = Images { data: E::floats(&dz).unwrap_or_default(), h: oh, w: ow, c: co };
                if let (Some(spectrum), Some(target)) = (&spectrum, &target) {
                    let (target, _) = target.from(first * h * w * ci);
                    self.level.run(Correlate {
                        spectrum,
                        source: dz,
                        image: 0,
                        row: 0,
                        corner: [top as isize - 2, left as isize - 2],
                        grid: Grid { images, rows: h.div_ceil(2), columns: w.div_ceil(2) },
                        target: target.cast(),
                        size: [h, w],
                        finish: None,
                        scratch: &mut scratch,
                    });
                }
                if own > 0 {
                    self.level.run(Accumulate {
                        x: Images { data: x, h, w, c: ci },
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
