//! One optimiser update over all parameters at once: gradient norm, clipping, the rule, weight averaging.
//!
//! An update whose gradient is not finite is left out as a whole, so that one bad batch cannot poison the weights.

use super::simd::{Level, Task, Vector};
use crate::ops::optimizers::{Optimizer, Rates, Rule, each_rule};
use rayon::prelude::*;

/// What holds for all parameters in this update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Hyper {
    pub rule: Rule,
    /// Number of this update, from 1.
    pub step: u64,
    pub lr: f32,
    /// What the gradients are multiplied with first: the inverse of the loss scale.
    pub gradient_scale: f32,
    /// Largest global norm of the scaled gradients, as in `torch.nn.utils.clip_grad_norm_`.
    pub clip: Option<f32>,
    /// Share of the average that stays.
    pub ema_decay: Option<f64>,
}

/// One parameter and its state; all slices are equally long.
pub(crate) struct Parameter<'a> {
    pub value: &'a mut [f32],
    pub gradient: &'a [f32],
    /// As many as the rule keeps; zeros before the first update.
    pub states: Vec<&'a mut [f32]>,
    /// Average of the weights, if it is kept.
    pub average: Option<&'a mut [f32]>,
    /// Factor of the learning rate for this parameter.
    pub lr_factor: f32,
    /// Weight decay of this parameter.
    pub weight_decay: f32,
}

/// Floats of a piece of work.
const PIECE: usize = 16 << 10;

/// Updates all parameters, unless the norm of all scaled gradients together, before clipping, is not finite. Gives the norm.
///
/// # Panics
/// If the slices of a parameter are not equally long, or a state is missing.
pub(crate) fn optimise(level: Level, parameters: &mut [Parameter], hyper: &Hyper) -> f32 {
    // The norm first, over pieces that depend on the parameters' sizes alone.
    let pieces: Vec<&[f32]> = parameters.iter().flat_map(|p| p.gradient.chunks(PIECE)).collect();
    let squares: Vec<f64> = pieces.par_iter().map(|piece| level.run(Squares(piece))).collect();
    let norm = (squares.iter().sum::<f64>().sqrt() * f64::from(hyper.gradient_scale)) as f32;
    if !norm.is_finite() {
        return norm;
    }
    let clip = hyper.clip.map_or(1.0, |most| (most / (norm + 1e-6)).min(1.0));
    let scale = hyper.gradient_scale * clip;
    let mut work = Vec::new();
    for p in parameters.iter_mut() {
        let (len, states) = (p.value.len(), p.states.iter().map(|state| state.len()));
        let equal = states.chain(p.average.as_ref().map(|average| average.len())).all(|other| other == len);
        assert!(equal && p.gradient.len() == len, "a parameter's slices differ");
        assert_eq!(p.states.len(), hyper.rule.states(), "an optimiser state is missing");
        let mut states: Vec<_> = p.states.iter_mut().map(|state| state.chunks_mut(PIECE)).collect();
        let mut averages = p.average.as_mut().map(|average| average.chunks_mut(PIECE));
        for (value, gradient) in p.value.chunks_mut(PIECE).zip(p.gradient.chunks(PIECE)) {
            work.push(Parameter {
                value,
                gradient,
                states: states.iter_mut().filter_map(Iterator::next).collect(),
                average: averages.as_mut().and_then(Iterator::next),
                lr_factor: p.lr_factor,
                weight_decay: p.weight_decay,
            });
        }
    }
    work.into_par_iter().for_each(|piece| {
        let (lr, weight_decay) = (hyper.lr * piece.lr_factor, piece.weight_decay);
        let rates = Rates { lr, weight_decay, scale, step: hyper.step };
        each_rule!(hyper.rule, rule => level.run(Piece { rule, rates, keep: hyper.ema_decay, p: piece }));
    });
    norm
}

struct Squares<'a>(&'a [f32]);

impl Task for Squares<'_> {
    type Output = f64;
    #[inline(always)]
    unsafe fn run<V: Vector>(self) -> f64 {
        let mut sums = [0.0f64; 16];
        let chunks = self.0.chunks_exact(16);
        let rest: f64 = chunks.remainder().iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
        for chunk in chunks {
            for (sum, v) in sums.iter_mut().zip(chunk) {
                *sum += f64::from(*v) * f64::from(*v);
            }
        }
        sums.iter().sum::<f64>() + rest
    }
}

struct Piece<'a, R> {
    rule: R,
    rates: Rates,
    keep: Option<f64>,
    p: Parameter<'a>,
}

impl<R: Optimizer> Task for Piece<'_, R> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { rule, rates, keep, mut p } = self;
        rule.apply(rates, p.value, p.gradient, &mut p.states);
        if let (Some(average), Some(keep)) = (p.average, keep) {
            let new = (1.0 - keep) as f32;
            for (e, w) in average.iter_mut().zip(p.value.iter()) {
                *e += new * (w - *e);
            }
        }
    }
}
