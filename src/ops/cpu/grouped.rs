//! Convolutions in groups that are more than one channel wide (Xie et al., "Aggregated Residual Transformations for
//! Deep Neural Networks", <https://arxiv.org/abs/1611.05431>).
//!
//! Everything about such a convolution, normalisation and activation too, happens in each group by itself. So a few
//! neighbouring groups, a bundle, are copied out, taken through the operation of one group, and copied back: as many as
//! fill a vector's lanes, which narrow groups would leave empty. Between the groups of a bundle the weights are zero.

use super::bn_sums::{BatchNorm, Statistics};
use super::conv_bn::{self, ConvBnInput};
use super::conv_grad::{self, ConvBnGradients, ConvBnSaved};
use super::element::{self, Element, Values};
use super::geometry::Geometry;
use super::pool::{self, Buffer};
use super::simd::Level;
use rayon::prelude::*;
use std::ops::Range;

/// Channels that a bundle has at least, where there are so many.
const LEAST_CHANNELS: usize = 16;
/// Pixels that a task copies.
const PIXELS: usize = 256;

/// Neighbouring groups that are computed at once.
struct Bundle {
    geometry: Geometry,
    groups: usize,
    /// Channels of the whole input and output.
    all: [usize; 2],
    inputs: Range<usize>,
    outputs: Range<usize>,
}

/// The bundles of a convolution.
fn bundles(geometry: &Geometry) -> impl Iterator<Item = Bundle> {
    let [n, h, w, ci] = geometry.input;
    let (all, total) = ([ci, geometry.co], geometry.groups);
    assert!(all.iter().all(|channels| channels.is_multiple_of(total)), "{total} groups do not divide {all:?} channels");
    let [input, output] = all.map(|channels| channels / total);
    let fits = |groups: &usize| total.is_multiple_of(*groups) && groups * input.min(output) >= LEAST_CHANNELS;
    let groups = (1..=total).find(fits).unwrap_or(total);
    let window = geometry.window;
    (0..total).step_by(groups).map(move |first| Bundle {
        geometry: Geometry { input: [n, h, w, groups * input], co: groups * output, window, groups: 1 },
        groups,
        all,
        inputs: first * input..(first + groups) * input,
        outputs: first * output..(first + groups) * output,
    })
}

/// These of every pixel's `all` channels.
fn gather<E: Element>(from: &[E], all: usize, channels: &Range<usize>) -> Values<E> {
    let width = channels.len();
    let mut to = element::take(from.len() / all * width);
    to.par_chunks_mut(PIXELS * width).zip(from.par_chunks(PIXELS * all)).for_each(|(to, from)| {
        for (to, from) in to.chunks_exact_mut(width).zip(from.chunks_exact(all)) {
            to.copy_from_slice(&from[channels.clone()]);
        }
    });
    to
}

/// The way back.
fn scatter<E: Element>(from: &[E], all: usize, channels: &Range<usize>, to: &mut [E]) {
    let width = channels.len();
    to.par_chunks_mut(PIXELS * all).zip(from.par_chunks(PIXELS * width)).for_each(|(to, from)| {
        for (to, from) in to.chunks_exact_mut(all).zip(from.chunks_exact(width)) {
            to[channels.clone()].copy_from_slice(from);
        }
    });
}

impl Bundle {
    fn x<E: Element>(&self, from: &[E]) -> Values<E> {
        gather(from, self.all[0], &self.inputs)
    }

    fn y<E: Element>(&self, from: &[E]) -> Values<E> {
        gather(from, self.all[1], &self.outputs)
    }

    fn put_y<E: Element>(&self, from: &[E], to: &mut [E]) {
        scatter(from, self.all[1], &self.outputs, to);
    }

    /// Calls `each` for every row of weights that the bundle has: where it lies in those of all groups, and in the
    /// bundle's.
    fn rows(&self, mut each: impl FnMut(Range<usize>, Range<usize>)) {
        let (ci, co) = (self.geometry.input[3] / self.groups, self.geometry.co / self.groups);
        let taps = self.geometry.window.kernel.iter().product();
        for tap in 0..taps {
            for group in 0..self.groups {
                for input in 0..ci {
                    let whole = (tap * ci + input) * self.all[1] + self.outputs.start + group * co;
                    let own = (tap * self.groups * ci + group * ci + input) * self.geometry.co + group * co;
                    each(whole..whole + co, own..own + co);
                }
            }
        }
    }

    /// `[kh, kw, ci, co]` of the bundle from `[kh, kw, ci / groups, co]` of the convolution.
    fn weights(&self, all: &[f32]) -> Buffer {
        let mut own = pool::zeros(self.geometry.weight_len());
        self.rows(|from, to| own[to].copy_from_slice(&all[from]));
        own
    }
}

/// What a bundle's operation reads.
struct Copies<E> {
    x: Values<E>,
    w: Buffer,
    residual: Option<Values<E>>,
}

impl Bundle {
    fn copies<E: Element>(&self, of: &ConvBnInput<E>) -> Copies<E> {
        Copies { x: self.x(of.x), w: self.weights(of.w), residual: of.residual.map(|residual| self.y(residual)) }
    }

    /// The bundle's part of an operation.
    fn input<'a, E: Element>(&self, of: &ConvBnInput<'a, E>, copies: &'a Copies<E>) -> ConvBnInput<'a, E> {
        ConvBnInput {
            geometry: self.geometry,
            x: &copies.x,
            w: &copies.w,
            gamma: &of.gamma[self.outputs.clone()],
            beta: &of.beta[self.outputs.clone()],
            residual: copies.residual.as_deref(),
            activation: of.activation,
        }
    }
}

/// [`conv_bn::conv_bn_train`] in any number of groups.
pub(crate) fn conv_bn_train<E: Element>(
    level: Level,
    input: &ConvBnInput<E>,
    bn: BatchNorm,
    z: &mut [E],
    y: &mut [E],
    statistics: Statistics,
) {
    if !input.geometry.is_grouped() {
        return conv_bn::conv_bn_train(level, input, bn, z, y, statistics);
    }
    for bundle in bundles(&input.geometry) {
        let (copies, outputs) = (bundle.copies(input), bundle.outputs.clone());
        let len = bundle.geometry.output_len();
        let (mut own_z, mut own_y) = (element::take::<E>(len), element::take::<E>(len));
        let own = bundle.input(input, &copies);
        let own_statistics = Statistics {
            mean: &mut statistics.mean[outputs.clone()],
            inv_std: &mut statistics.inv_std[outputs.clone()],
            running_mean: &mut statistics.running_mean[outputs.clone()],
            running_var: &mut statistics.running_var[outputs],
        };
        conv_bn::conv_bn_train(level, &own, bn, &mut own_z, &mut own_y, own_statistics);
        bundle.put_y(&own_z, z);
        bundle.put_y(&own_y, y);
    }
}

/// [`conv_bn::Folded`] in any number of groups: of each bundle, or of the one convolution.
pub(crate) struct Folded(Vec<conv_bn::Folded>);

impl Folded {
    /// As [`conv_bn::Folded::new`].
    pub(crate) fn new<E: Element>(level: Level, input: &ConvBnInput<E>, running: [&[f32]; 2], eps: f32) -> Folded {
        if !input.geometry.is_grouped() {
            return Folded(vec![conv_bn::Folded::new(level, input, running, eps)]);
        }
        let of = |bundle: Bundle| {
            let (w, outputs) = (bundle.weights(input.w), bundle.outputs);
            let own = ConvBnInput {
                geometry: bundle.geometry,
                w: &w,
                gamma: &input.gamma[outputs.clone()],
                beta: &input.beta[outputs.clone()],
                ..*input
            };
            conv_bn::Folded::new(level, &own, running.map(|values| &values[outputs.clone()]), eps)
        };
        Folded(bundles(&input.geometry).map(of).collect())
    }
}

/// [`conv_bn::conv_bn_eval`] in any number of groups.
pub(crate) fn conv_bn_eval<E: Element>(level: Level, input: &ConvBnInput<E>, folded: &Folded, y: &mut [E]) {
    if let ([folded], false) = (folded.0.as_slice(), input.geometry.is_grouped()) {
        return conv_bn::conv_bn_eval(level, input, folded, y);
    }
    for (bundle, folded) in bundles(&input.geometry).zip(&folded.0) {
        let (x, residual) = (bundle.x(input.x), input.residual.map(|residual| bundle.y(residual)));
        let own = ConvBnInput { geometry: bundle.geometry, x: &x, residual: residual.as_deref(), ..*input };
        let mut own_y = element::take::<E>(bundle.geometry.output_len());
        conv_bn::conv_bn_eval(level, &own, folded, &mut own_y);
        bundle.put_y(&own_y, y);
    }
}

/// [`conv_grad::conv_bn_backward`] in any number of groups.
pub(crate) fn conv_bn_backward<E: Element>(level: Level, g: &[E], saved: &ConvBnSaved<E>, mut out: ConvBnGradients<E>) {
    if !saved.geometry.is_grouped() {
        return conv_grad::conv_bn_backward(level, g, saved, out);
    }
    for bundle in bundles(&saved.geometry) {
        let (x, w, outputs) = (bundle.x(saved.x), bundle.weights(saved.w), bundle.outputs.clone());
        let [y, z, g] = [saved.y, saved.z, g].map(|values| bundle.y(values));
        let own = ConvBnSaved {
            geometry: bundle.geometry,
            x: &x,
            w: &w,
            gamma: &saved.gamma[outputs.clone()],
            beta: &saved.beta[outputs.clone()],
            y: &y,
            z: &z,
            mean: &saved.mean[outputs.clone()],
            inv_std: &saved.inv_std[outputs.clone()],
            activation: saved.activation,
            residual: saved.residual,
        };
        let mut dx = out.x.as_ref().map(|_| element::take::<E>(x.len()));
        let mut dw = out.w.as_ref().map(|_| pool::take(w.len()));
        let mut residual = out.residual.as_ref().map(|_| element::take::<E>(g.len()));
        let gradients = ConvBnGradients {
            x: dx.as_deref_mut(),
            w: dw.as_deref_mut(),
            gamma: &mut out.gamma[outputs.clone()],
            beta: &mut out.beta[outputs],
            residual: residual.as_deref_mut(),
        };
        conv_grad::conv_bn_backward(level, &g, &own, gradients);
        if let (Some(from), Some(to)) = (&dx, &mut out.x) {
            scatter(from, bundle.all[0], &bundle.inputs, to);
        }
        if let (Some(from), Some(to)) = (&dw, &mut out.w) {
            bundle.rows(|whole, own| to[whole].copy_from_slice(&from[own]));
        }
        if let (Some(from), Some(to)) = (&residual, &mut out.residual) {
            bundle.put_y(from, to);
        }
    }
}
