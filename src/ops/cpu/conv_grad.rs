//! The gradient of convolution + batch normalisation + residual + activation.
//!
//! Pass 1 reads the output's gradient and `z` for the two sums that batch normalisation needs. Pass 2 makes the
//! gradient of `z` for a few images at a time and at once feeds it, from cache, to the input's and the weights'
//! gradient. Groups of images collect their own weight gradient; these are added in order. Where the weights are too
//! large for that, the gradient of `z` is written out, and the weights' gradient is divided by channels instead.

use super::bn_grad::{Gradient, Mask, Reduce, Slopes};
use super::bn_sums::affine;
use super::element::{self, Element, PIECE, as_words};
use super::geometry::{Geometry, Padded};
use super::grad_stencil::GradStencils;
use super::pool::{self, Buffer};
use super::shared::Shared;
use super::simd::Level;
use super::stencil::Apply;
use super::weight_grad::WeightGrad;
use super::winograd;
use crate::ops::Activation;
use rayon::prelude::*;
use std::marker::PhantomData;

/// Floats of images that pass 2 has in hand at once.
pub(super) const BLOCK_FLOATS: usize = 96 << 10;
/// Largest weights of which each group of images keeps a gradient of its own.
const OWN_WEIGHTS: usize = 160 << 10;

/// What the forward pass left, and its shapes; as in [`super::ConvBnInput`].
#[derive(Clone, Copy)]
pub(crate) struct ConvBnSaved<'a, E> {
    /// Shapes, stride, padding.
    pub geometry: Geometry,
    /// `[n, h, w, ci]`.
    pub x: &'a [E],
    /// `[kh, kw, ci / groups, co]`.
    pub w: &'a [f32],
    /// Scale after normalising.
    pub gamma: &'a [f32],
    /// Offset after normalising.
    pub beta: &'a [f32],
    /// The output, which is read only where something was added before an activation.
    pub y: &'a [E],
    /// The convolution's result.
    pub z: &'a [E],
    /// Batch mean of `z`.
    pub mean: &'a [f32],
    /// `1 / sqrt(variance + eps)` of `z`.
    pub inv_std: &'a [f32],
    /// What followed.
    pub activation: Activation,
    /// Whether a residual was added.
    pub residual: bool,
}

/// Where the gradients go; what they held does not matter.
pub(crate) struct ConvBnGradients<'a, E> {
    /// `[n, h, w, ci]`, where needed.
    pub x: Option<&'a mut [E]>,
    /// `[kh, kw, ci / groups, co]`, where needed.
    pub w: Option<&'a mut [f32]>,
    /// `[co]`.
    pub gamma: &'a mut [f32],
    /// `[co]`.
    pub beta: &'a mut [f32],
    /// `[n, oh, ow, co]`, where needed: the gradient behind the activation's mask. Without an activation it would be
    /// `g` itself.
    pub residual: Option<&'a mut [E]>,
}

/// Backward of [`super::conv_bn_train`] for the gradient `g` of `y`.
///
/// # Panics
/// If a slice does not have its shape's length.
pub(crate) fn conv_bn_backward<E: Element>(level: Level, g: &[E], saved: &ConvBnSaved<E>, mut out: ConvBnGradients<E>) {
    let geometry = &saved.geometry.cut();
    assert_eq!(saved.x.len(), geometry.input_len(), "input does not have the convolution's shape");
    assert_eq!(saved.w.len(), geometry.weight_len(), "weights do not have the convolution's shape");
    assert!(g.len() == geometry.output_len() && saved.z.len() == g.len(), "gradient does not have the output's shape");
    assert!(out.x.as_ref().is_none_or(|x| x.len() == saved.x.len()), "input gradient does not have the input's shape");
    assert!(
        out.w.as_ref().is_none_or(|w| w.len() == saved.w.len()),
        "weight gradient does not have the weights' shape"
    );
    let (scale, offset) = affine(saved.gamma, saved.beta, saved.mean, saved.inv_std);
    let mask = match (saved.activation, saved.residual) {
        (Activation::None, _) => Mask::All,
        (activation, true) => Mask::Output(saved.y, activation),
        (activation, false) => Mask::Affine(&scale, &offset, activation),
    };
    reduce(level, g, mask, saved, &mut out);
    let count = (g.len() / geometry.co.max(1)) as f32;
    let flat: Vec<f32> = scale.iter().zip(&*out.beta).map(|(s, b)| -s * b / count).collect();
    let slope: Vec<f32> =
        scale.iter().zip(saved.inv_std).zip(&*out.gamma).map(|((s, i), g)| -s * i * g / count).collect();
    let slopes = Slopes { scale: &scale, mean: saved.mean, slope: &slope, level: &flat };
    if out.x.is_none() && out.w.is_none() {
        return;
    }
    // A masked gradient that has been written spares reading the mask again.
    let (g, mask) = match &out.residual {
        Some(masked) => (&**masked, Mask::All),
        None => (g, mask),
    };
    let pass = Pass { level, geometry, saved, g, mask, slopes };
    if geometry.is_depthwise() {
        pass.by_strips(out.x, out.w);
    } else if E::PER_WORD == 1
        && winograd::suits(&geometry.window, geometry.input[3], geometry.co)
        && geometry.weight_len() <= OWN_WEIGHTS
    {
        pass.by_tiles(out.x, out.w);
    } else if geometry.weight_len() <= OWN_WEIGHTS {
        pass.by_images(out.x, out.w);
    } else {
        pass.by_channels(out.x, out.w);
    }
}

/// Adds gradients of the weights, one after the other, in their order.
pub(super) fn add_up(partial: &[f32], dw: &mut [f32]) {
    let weights = dw.len();
    let piece = weights.div_ceil(16).max(64);
    dw.par_chunks_mut(piece).enumerate().for_each(|(i, dw)| {
        dw.copy_from_slice(&partial[i * piece..][..dw.len()]);
        for other in partial.chunks_exact(weights.max(1)).skip(1) {
            for (sum, value) in dw.iter_mut().zip(&other[i * piece..]) {
                *sum += value;
            }
        }
    });
}

/// Pass 1: `dbeta`, `dgamma` and the residual's gradient.
fn reduce<E: Element>(level: Level, g: &[E], mask: Mask<E>, saved: &ConvBnSaved<E>, out: &mut ConvBnGradients<E>) {
    let co = saved.geometry.co;
    let piece = (PIECE / co.max(1)).max(1) * co.max(1);
    let pieces = g.len().div_ceil(piece);
    let mut sums = pool::take(pieces * 2 * co);
    let masked = out.residual.as_mut().map(|masked| Shared::new(masked));
    sums.par_chunks_mut((2 * co).max(1)).enumerate().for_each(|(i, out)| {
        let part = i * piece..g.len().min((i + 1) * piece);
        // SAFETY: each piece is one task's.
        let masked = masked.as_ref().map(|masked| unsafe { masked.part(part.start, part.len()) });
        let mask = mask.part(part.clone());
        level.run(Reduce { g: &g[part.clone()], mask, z: &saved.z[part], mean: saved.mean, masked, out });
    });
    for channel in 0..co {
        let total = |at: usize| -> f64 { sums.chunks_exact(2 * co).map(|sums| f64::from(sums[at])).sum() };
        out.beta[channel] = total(channel) as f32;
        out.gamma[channel] = (total(co + channel) * f64::from(saved.inv_std[channel])) as f32;
    }
}

/// Pass 2 and what it needs.
pub(super) struct Pass<'a, E> {
    pub(super) level: Level,
    pub(super) geometry: &'a Geometry,
    pub(super) saved: &'a ConvBnSaved<'a, E>,
    pub(super) g: &'a [E],
    pub(super) mask: Mask<'a, E>,
    pub(super) slopes: Slopes<'a>,
}

impl<E: Element> Pass<'_, E> {
    /// Writes the padded gradient of `z` of some images; the borders are already clear.
    pub(super) fn dz(&self, padded: &Padded, first: usize, images: &mut [E]) {
        for (i, image) in images.chunks_exact_mut(padded.len()).enumerate() {
            let part = (first + i) * padded.bare_len()..(first + i + 1) * padded.bare_len();
            self.level.run(Gradient {
                g: &self.g[part.clone()],
                mask: self.mask.part(part.clone()),
                z: &self.saved.z[part],
                slopes: &self.slopes,
                row: padded.w * padded.c,
                out: &mut image[padded.row(0)..],
                pitch: padded.pitch(),
            });
        }
    }

    /// Padded copies of some input images.
    pub(super) fn padded_x(&self, padded: &Padded, first: usize, images: &mut [E]) {
        for (i, image) in images.chunks_exact_mut(padded.len()).enumerate() {
            let from = &self.saved.x[(first + i) * padded.bare_len()..][..padded.bare_len()];
            padded.copy_rows(from, 0, padded.rows(), image);
        }
    }

    /// For each output pixel of `images` images: where its window starts in padded inputs, and its place in padded
    /// gradients.
    pub(super) fn tables(&self, padded: &Padded, dz: &Padded, images: usize) -> (Vec<usize>, Vec<usize>) {
        let [sh, sw] = self.geometry.window.stride;
        let (mut from, mut to) = (Vec::new(), Vec::new());
        for image in 0..images {
            for y in 0..dz.h {
                for x in 0..dz.w {
                    from.push(image * padded.len() + y * sh * padded.pitch() + x * sw * padded.c);
                    to.push(image * dz.len() + dz.row(y) + x * dz.c);
                }
            }
        }
        (from, to)
    }

    pub(super) fn weight_grad<'b>(&self, padded: &Padded, source: &'b [f32], dz: &'b [f32]) -> WeightGrad<'b, E> {
        WeightGrad {
            of: PhantomData,
            source,
            at: &[],
            dz,
            dz_at: &[],
            rows: self.geometry.window.kernel[0],
            run: self.geometry.window.kernel[1] * padded.c,
            pitch: padded.pitch(),
            first: 0,
            out: &mut [],
            channels: self.geometry.co,
        }
    }

    /// Small weights: tasks are groups of images, each with a weight gradient of its own.
    pub(super) fn by_images(&self, mut dx: Option<&mut [E]>, dw: Option<&mut [f32]>) {
        let n = self.geometry.input[0];
        let weights = self.geometry.weight_len();
        let groups = n.min(if weights <= OWN_WEIGHTS / 4 { 16 } else { 8 }).max(1);
        let group = n.div_ceil(groups).max(1).next_multiple_of(E::PER_WORD);
        let padded = self.geometry.padded();
        let dz_form = GradStencils::padded(self.geometry);
        let image = padded.len() + dz_form.len() + padded.bare_len();
        // Words of as many images.
        let block = (BLOCK_FLOATS / image.max(1)).clamp(1, group / E::PER_WORD);
        let stencils =
            dx.as_ref().map(|_| GradStencils::new::<E>(self.level, self.geometry, self.saved.w, block * E::PER_WORD));
        let (at, dz_at) = self.tables(&padded, &dz_form, block);
        let block = block * E::PER_WORD;
        let pixels = dz_form.h * dz_form.w;
        let own = if dw.is_some() { weights } else { 0 };
        let mut partial = pool::take(groups * own);
        let partials = Shared::new(&mut partial);
        let target = dx.as_mut().map(|dx| Shared::new(dx));
        (0..groups).into_par_iter().for_each(|index| {
            // SAFETY: each group's part is its task's alone.
            let partial = unsafe { partials.part(index * own, own) };
            partial.fill(0.0);
            let mut dz = element::take::<E>(block * dz_form.len());
            dz_form.clear_borders(&mut dz);
            let mut x = element::take::<E>(if own > 0 && !padded.is_bare() { block * padded.len() } else { 0 });
            let end = n.min((index + 1) * group);
            for first in (index * group..end).step_by(block) {
                let images = block.min(end - first);
                let dz = &mut dz[..images * dz_form.len()];
                self.dz(&dz_form, first, dz);
                if let (Some(all), Some(target)) = (&stencils, &target) {
                    // SAFETY: the images are this task's alone.
                    let dx = unsafe { target.part(first * padded.bare_len(), images * padded.bare_len()) };
                    self.input_grad(all, as_words(dz, dz_form.c, &mut None), block, images, dx);
                }
                if own > 0 {
                    let source = if padded.is_bare() {
                        &self.saved.x[first * padded.len()..(first + images) * padded.len()]
                    } else {
                        self.padded_x(&padded, first, &mut x[..images * padded.len()]);
                        &x[..images * padded.len()]
                    };
                    let [mut x_words, mut dz_words] = [&padded, &dz_form].map(|form| words_abreast::<E>(form, images));
                    let source = E::abreast(source, padded.len(), &mut x_words);
                    let dz = E::abreast(dz, dz_form.len(), &mut dz_words);
                    let words = images.div_ceil(E::PER_WORD) * pixels;
                    self.level.run(WeightGrad::<E> {
                        at: &at[..words],
                        dz_at: &dz_at[..words],
                        out: partial,
                        ..self.weight_grad(&padded, source, dz)
                    });
                }
            }
        });
        if let Some(dw) = dw {
            add_up(&partial, dw);
        }
    }

    fn input_grad(&self, all: &GradStencils, dz: &[f32], block: usize, images: usize, dx: &mut [E]) {
        if all.gaps {
            dx.fill(E::zeroed());
        }
        for stencil in &all.stencils {
            self.level.run(Apply {
                stencil,
                source: dz,
                target: dx.as_mut_ptr(),
                target_len: dx.len(),
                pixels: stencil.source.len() / block * images,
                panels: 0..stencil.weights.panels(),
                finish: None,
            });
        }
    }
}

/// Room for what [`Element::abreast`] copies of so many images.
pub(super) fn words_abreast<E: Element>(form: &Padded, images: usize) -> Buffer {
    pool::take(if E::PER_WORD == 1 { 0 } else { images.div_ceil(E::PER_WORD) * form.len() })
}
