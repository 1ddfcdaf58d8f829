//! One optimiser update over all parameters at once: gradient norm, clipping, SGD or AdamW, weight averaging.
//!
//! The rules are those of `torch.optim.SGD` (dampening 0, coupled weight decay) and `torch.optim.AdamW` (decoupled decay,
//! Loshchilov and Hutter, <https://arxiv.org/abs/1711.05101>). An update whose gradient is not finite is left out as a
//! whole, so that one bad batch cannot poison the weights.

use super::simd::{Level, Task, Vector};
use rayon::prelude::*;

/// How parameters follow their gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// `v = momentum v + g; w -= lr (nesterov ? g + momentum v : v)` with `g` including `weight_decay w`.
    Sgd {
        /// Share of the velocity that stays.
        momentum: f32,
        /// Whether to look ahead.
        nesterov: bool,
    },
    /// AdamW with bias correction for the `step`-th update, counted from 1.
    AdamW {
        /// Share of the mean that stays.
        beta1: f64,
        /// Share of the mean square that stays.
        beta2: f64,
        /// Added to the deviation.
        eps: f32,
        /// Number of this update, from 1.
        step: u64,
    },
}

/// What holds for all parameters in this update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hyper {
    /// The rule.
    pub rule: Rule,
    /// Learning rate.
    pub lr: f32,
    /// What the gradients are multiplied with first: the inverse of the loss scale.
    pub gradient_scale: f32,
    /// Largest global norm of the scaled gradients, as in `torch.nn.utils.clip_grad_norm_`.
    pub clip: Option<f32>,
    /// Share of the average that stays.
    pub ema_decay: Option<f64>,
}

/// One parameter and its state; all slices are equally long.
pub struct Parameter<'a> {
    /// The weights.
    pub value: &'a mut [f32],
    /// Their gradient.
    pub gradient: &'a [f32],
    /// Velocity (SGD) or mean (AdamW); zeros before the first update. May be empty for SGD with momentum 0.
    pub first: &'a mut [f32],
    /// Mean square (AdamW); may be empty for SGD.
    pub second: &'a mut [f32],
    /// Average of the weights, if it is kept.
    pub ema: Option<&'a mut [f32]>,
    /// Factor of the learning rate for this parameter.
    pub lr_factor: f32,
    /// Weight decay of this parameter.
    pub weight_decay: f32,
}

/// What came of an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Norm of all scaled gradients together, before clipping.
    pub norm: f32,
    /// Whether the norm was not finite and nothing was changed.
    pub skipped: bool,
}

/// Floats of a piece of work.
const PIECE: usize = 16 << 10;

/// Updates all parameters.
///
/// # Panics
/// If the slices of a parameter are not equally long.
pub fn optimise(level: Level, parameters: &mut [Parameter], hyper: &Hyper) -> Outcome {
    // The norm first, over pieces that depend on the parameters' sizes alone.
    let pieces: Vec<&[f32]> = parameters.iter().flat_map(|p| p.gradient.chunks(PIECE)).collect();
    let squares: Vec<f64> = pieces.par_iter().map(|piece| level.run(Squares(piece))).collect();
    let norm = (squares.iter().sum::<f64>().sqrt() * f64::from(hyper.gradient_scale)) as f32;
    if !norm.is_finite() {
        return Outcome { norm, skipped: true };
    }
    let clip = hyper.clip.map_or(1.0, |most| (most / (norm + 1e-6)).min(1.0));
    let update = Update { hyper: *hyper, scale: hyper.gradient_scale * clip };
    let mut work = Vec::new();
    for p in parameters.iter_mut() {
        let len = p.value.len();
        assert!(
            p.gradient.len() == len && p.ema.as_ref().is_none_or(|e| e.len() == len),
            "a parameter's slices differ"
        );
        let (first, second) = match hyper.rule {
            Rule::Sgd { momentum, .. } => (momentum != 0.0, false),
            Rule::AdamW { .. } => (true, true),
        };
        assert!(
            (!first || p.first.len() == len) && (!second || p.second.len() == len),
            "an optimiser state is missing"
        );
        let mut firsts = p.first.chunks_mut(PIECE);
        let mut seconds = p.second.chunks_mut(PIECE);
        let mut emas = p.ema.as_mut().map(|ema| ema.chunks_mut(PIECE));
        for (value, gradient) in p.value.chunks_mut(PIECE).zip(p.gradient.chunks(PIECE)) {
            work.push(Parameter {
                value,
                gradient,
                first: firsts.next().unwrap_or_default(),
                second: seconds.next().unwrap_or_default(),
                ema: emas.as_mut().and_then(Iterator::next),
                lr_factor: p.lr_factor,
                weight_decay: p.weight_decay,
            });
        }
    }
    work.into_par_iter().for_each(|piece| level.run(Piece(update, piece)));
    Outcome { norm, skipped: false }
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

#[derive(Clone, Copy)]
struct Update {
    hyper: Hyper,
    scale: f32,
}

struct Piece<'a>(Update, Parameter<'a>);

impl Task for Piece<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Piece(Update { hyper, scale }, p) = self;
        let (lr, decay) = (hyper.lr * p.lr_factor, p.weight_decay);
        match hyper.rule {
            Rule::Sgd { momentum: 0.0, .. } => {
                for (w, g) in p.value.iter_mut().zip(p.gradient) {
                    *w -= lr * (scale * g + decay * *w);
                }
            }
            Rule::Sgd { momentum, nesterov } => {
                let (ahead, plain) = if nesterov { (momentum, 1.0) } else { (1.0, 0.0) };
                for ((w, g), v) in p.value.iter_mut().zip(p.gradient).zip(p.first.iter_mut()) {
                    let g = scale * g + decay * *w;
                    *v = momentum * *v + g;
                    *w -= lr * (ahead * *v + plain * g);
                }
            }
            Rule::AdamW { beta1, beta2, eps, step } => {
                let steps = step.min(i32::MAX as u64) as i32;
                let rate = (f64::from(lr) / (1.0 - beta1.powi(steps))) as f32;
                let correction = (1.0 - beta2.powi(steps)).sqrt() as f32;
                let (new1, keep2, new2) = ((1.0 - beta1) as f32, beta2 as f32, (1.0 - beta2) as f32);
                let state = p.first.iter_mut().zip(p.second.iter_mut());
                for ((w, g), (m, v)) in p.value.iter_mut().zip(p.gradient).zip(state) {
                    let g = scale * g;
                    *m += new1 * (g - *m);
                    *v = keep2 * *v + new2 * g * g;
                    *w -= lr * decay * *w;
                    *w -= rate * *m / (v.sqrt() / correction + eps);
                }
            }
        }
        if let (Some(ema), Some(keep)) = (p.ema, hyper.ema_decay) {
            let new = (1.0 - keep) as f32;
            for (e, w) in ema.iter_mut().zip(p.value.iter()) {
                *e += new * (w - *e);
            }
        }
    }
}
