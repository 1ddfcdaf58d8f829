//! Pass 2 of the gradient for large weights.

use super::conv;
use super::conv_grad::{BLOCK_FLOATS, Pass, words_abreast};
use super::element::{self, Element, PIECE, as_words};
use super::geometry::Padded;
use super::grad_stencil::GradStencils;
use super::pack::panel_width;
use super::pool;
use super::shared::Shared;
use super::stencil::Apply;
use super::weight_grad::WeightGrad;
use super::winograd_weights::Spectrum;
use rayon::prelude::*;

impl<E: Element> Pass<'_, E> {
    /// Large weights: the gradient of `z` is written out, and tasks are divided by channels.
    pub(super) fn by_channels(&self, mut dx: Option<&mut [E]>, dw: Option<&mut [f32]>) {
        let n = self.geometry.input[0];
        let padded = self.geometry.padded();
        let form = GradStencils::padded(self.geometry);
        let mut dz = element::take::<E>(n * form.len());
        dz.par_chunks_mut(form.len().max(1)).enumerate().for_each(|(image, dz)| {
            form.clear_borders(dz);
            self.dz(&form, image, dz);
        });
        if let Some(transposed) = self.geometry.transposed().filter(conv::by_winograd::<E>)
            && let Some(dx) = dx.take()
        {
            let [_, h, w, ci] = transposed.input;
            let spectrum = Spectrum::new(self.level, self.saved.w, (transposed.co, ci), true);
            let [[top, _], [left, _]] = form.pad;
            let mut bare = element::take::<E>(transposed.input_len());
            bare.par_chunks_mut((h * w * ci).max(1)).zip(dz.par_chunks(form.len().max(1))).for_each(|(to, from)| {
                for (y, to) in to.chunks_exact_mut(w * ci).enumerate() {
                    to.copy_from_slice(&from[(y + top) * form.pitch() + left * ci..][..w * ci]);
                }
            });
            conv::correlate(self.level, &transposed, &spectrum, &bare, dx, None, |_| ());
        }
        // Enough pixels for a tile to be worth its return to memory, few enough for their channels to stay in cache.
        let block = (BLOCK_FLOATS / form.len().max(1)).clamp(1, n.max(1));
        if let Some(dx) = dx {
            self.input_grad_by_channels(&form.words::<E>(), as_words(&dz, form.c, &mut None), block, dx);
        }
        let Some(dw) = dw else { return };
        let copy;
        let x: &[E] = if padded.is_bare() {
            self.saved.x
        } else {
            let mut images = element::take::<E>(n * padded.len());
            images
                .par_chunks_mut(padded.len().max(1))
                .enumerate()
                .for_each(|(image, to)| self.padded_x(&padded, image, to));
            copy = images;
            &copy
        };
        let [mut x_words, mut dz_words] = [&padded, &form].map(|form| words_abreast::<E>(form, n));
        let x = E::abreast(x, padded.len(), &mut x_words);
        let dz = E::abreast(&dz, form.len(), &mut dz_words);
        let n = n.div_ceil(E::PER_WORD);
        let co = self.geometry.co;
        let (at, dz_at) = self.tables(&padded, &form, block);
        let pixels = form.h * form.w;
        let width = panel_width(self.level, co);
        let rows = self.geometry.window.kernel[0];
        let run = self.geometry.window.kernel[1] * padded.c;
        let shared = Shared::new(dw);
        (0..co.div_ceil(width) * rows).into_par_iter().for_each(|task| {
            let (first, row) = (task / rows * width, task % rows);
            let channels = width.min(co - first);
            let mut sums = pool::zeros(run * channels);
            for image in (0..n).step_by(block) {
                let images = block.min(n - image);
                let source = &x[image * padded.len() + row * padded.pitch()..(image + images) * padded.len()];
                let task = self.weight_grad(&padded, source, &dz[image * form.len()..]);
                let (at, dz_at) = (&at[..images * pixels], &dz_at[..images * pixels]);
                self.level.run(WeightGrad::<E> { at, dz_at, rows: 1, first, channels, out: &mut sums, ..task });
            }
            for (r, sums) in sums.chunks_exact(channels).enumerate() {
                // SAFETY: these channels of this kernel row are this task's alone.
                unsafe { shared.part((row * run + r) * co + first, channels) }.copy_from_slice(sums);
            }
        });
    }

    /// `dz` in words, of padded images of this form.
    fn input_grad_by_channels(&self, form: &Padded, dz: &[f32], block: usize, dx: &mut [E]) {
        let n = self.geometry.input[0];
        let image = self.geometry.padded().bare_len();
        let all = GradStencils::new::<E>(self.level, self.geometry, self.saved.w, block);
        if all.gaps {
            dx.par_chunks_mut(PIECE).for_each(|dx| dx.fill(E::zeroed()));
        }
        let blocks = n.div_ceil(block);
        let shared = Shared::new(dx);
        for stencil in &all.stencils {
            let panel = stencil.weights.depth * stencil.weights.width;
            let group = ((128 << 10) / panel.max(1)).clamp(1, stencil.weights.panels().max(1));
            (0..stencil.weights.panels().div_ceil(group) * blocks).into_par_iter().for_each(|task| {
                let (g, first) = (task / blocks, task % blocks * block);
                let images = block.min(n - first);
                let (target, _) = shared.from(first * image);
                self.level.run(Apply {
                    stencil,
                    source: &dz[first * form.len()..(first + images) * form.len()],
                    target,
                    target_len: images * image,
                    pixels: stencil.source.len() / block * images,
                    panels: g * group..((g + 1) * group).min(stencil.weights.panels()),
                    finish: None,
                });
            });
        }
    }
}
