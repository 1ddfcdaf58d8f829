//! Convolution, batch normalisation, residual and activation as one operation: the forward sides.
//!
//! Training writes the convolution's result `z` once, with the sums of each block taken while it is in cache, and then
//! normalises in one pass. Evaluation folds the normalisation into the weights and needs no second pass.

use super::bn::{Finish, FinishBlock, Moment, Moments, Normalise};
use super::bn_sums::{BatchNorm, Statistics, affine};
use super::conv::{self, Weights, Written, blocks};
use super::depthwise;
use super::element::{Element, PIECE};
use super::geometry::Geometry;
use super::pool::{self, Buffer};
use super::shared::Shared;
use super::simd::Level;
use crate::ops::Activation;
use rayon::prelude::*;

/// What the operation reads. Per-channel slices have `geometry.co` floats.
#[derive(Clone, Copy)]
pub(crate) struct ConvBnInput<'a, E> {
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
    /// `[n, oh, ow, co]`, added before the activation.
    pub residual: Option<&'a [E]>,
    /// What follows.
    pub activation: Activation,
}

/// Training forward: `z = conv(x, w)`, batch statistics, `y = activation(gamma (z - mean) inv_std + beta + residual?)`.
///
/// `z` and `y` are `[n, oh, ow, co]`; what they held does not matter.
///
/// # Panics
/// If a slice does not have its shape's length.
pub(crate) fn conv_bn_train<E: Element>(
    level: Level,
    input: &ConvBnInput<E>,
    bn: BatchNorm,
    z: &mut [E],
    y: &mut [E],
    mut statistics: Statistics,
) {
    let g = &input.geometry.cut();
    let co = g.co;
    let parts = blocks::<E>(g);
    let mut sums = pool::take(parts.len() * 3 * co);
    let mut counts = vec![0usize; parts.len()];
    let [_, _, ow, _] = g.output();
    for (count, block) in counts.iter_mut().zip(&parts) {
        *count = block.images * block.rows * ow;
    }
    let shared = Shared::new(&mut sums);
    convolve(level, g, input.x, input.w, z, |written| {
        // The groups of channels lie one after the other, each `[blocks][3][channels]`.
        let at = parts.len() * 3 * written.first + written.block * 3 * written.channels;
        // SAFETY: the part belongs to this block and group.
        let out = unsafe { shared.part(at, 3 * written.channels) };
        level.run(Moments { z: written.at, pixels: written.pixels, pitch: co, out });
    });
    let width = conv::group_channels::<E>(g, super::pack::panel_width(level, co));
    for channel in 0..co {
        let first = channel / width * width;
        let channels = width.min(co - first);
        let mut moment = Moment::default();
        for (block, count) in counts.iter().enumerate() {
            let at = parts.len() * 3 * first + block * 3 * channels + channel - first;
            moment.take_in(*count, sums[at], sums[at + channels], sums[at + 2 * channels]);
        }
        statistics.set(channel, moment, bn);
    }
    let (scale, offset) = affine(input.gamma, input.beta, statistics.mean, statistics.inv_std);
    normalise(level, z, &scale, &offset, input.residual, input.activation, y);
}

fn convolve<E: Element>(
    level: Level,
    geometry: &Geometry,
    x: &[E],
    weights: &[f32],
    out: &mut [E],
    done: impl Fn(Written<E>) + Sync,
) {
    match geometry.is_depthwise() {
        true => depthwise::convolve(level, geometry, x, weights, out, done),
        false => {
            let weights = Weights::new::<E>(level, geometry, weights, None);
            conv::convolve(level, geometry, x, &weights, out, None, done);
        }
    }
}

fn normalise<E: Element>(
    level: Level,
    z: &[E],
    scale: &[f32],
    offset: &[f32],
    r: Option<&[E]>,
    activation: Activation,
    y: &mut [E],
) {
    let piece = (PIECE / scale.len().max(1)).max(1) * scale.len().max(1);
    assert_eq!(z.len(), y.len());
    assert!(r.is_none_or(|r| r.len() == z.len()), "the residual does not have the output's shape");
    y.par_chunks_mut(piece).enumerate().for_each(|(i, y)| {
        let part = i * piece..i * piece + y.len();
        let (z, residual) = (&z[part.clone()], r.map(|r| &r[part]));
        level.run(Normalise { z, scale, offset, residual, activation, y });
    });
}

/// Weights and offsets of an evaluation: the running statistics, scales and offsets folded into them.
pub(crate) struct Folded {
    weights: FoldedWeights,
    offset: Vec<f32>,
}

enum FoldedWeights {
    Dense(Weights),
    Depthwise(Buffer),
}

impl Folded {
    /// For an input of this shape; its values are not read. `running` are mean and variance, `eps` is added to the latter.
    pub(crate) fn new<E: Element>(level: Level, input: &ConvBnInput<E>, running: [&[f32]; 2], eps: f32) -> Folded {
        let (geometry, [mean, var]) = (input.geometry.cut(), running);
        let inv_std: Vec<f32> = var.iter().map(|v| (1.0 / (f64::from(*v) + f64::from(eps)).sqrt()) as f32).collect();
        let (scale, offset) = affine(input.gamma, input.beta, mean, &inv_std);
        let weights = match geometry.is_depthwise() {
            true => FoldedWeights::Depthwise(conv::scaled(input.w, &scale)),
            false => FoldedWeights::Dense(Weights::new::<E>(level, &geometry, input.w, Some(&scale))),
        };
        Folded { weights, offset }
    }
}

/// Evaluation forward with running statistics: `y = activation(gamma (conv(x, w) - mean) / sqrt(var + eps) + beta +
/// residual?)`.
///
/// # Panics
/// If a slice does not have its shape's length.
pub(crate) fn conv_bn_eval<E: Element>(level: Level, input: &ConvBnInput<E>, folded: &Folded, y: &mut [E]) {
    let ConvBnInput { x, residual, activation, .. } = *input;
    assert!(residual.is_none_or(|r| r.len() == y.len()), "the residual does not have the output's shape");
    let (geometry, finish) = (&input.geometry.cut(), Finish { offset: &folded.offset, residual, activation });
    match &folded.weights {
        FoldedWeights::Dense(weights) => conv::convolve(level, geometry, x, weights, y, Some(&finish), |_| ()),
        FoldedWeights::Depthwise(weights) => depthwise::convolve(level, geometry, x, weights, y, |written| {
            let Written { at: y, offset: at, pixels, .. } = written;
            level.run(FinishBlock { finish: &finish, y, at, pixels });
        }),
    }
}
