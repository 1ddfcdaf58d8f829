//! How parameters follow their gradients. A rule is one file: how many states it keeps, its statements for the CPU and in
//! WGSL, and the same in plain tensors, which both are held against. Adding one is its file and its lines in the lists
//! here; whatever is common to all (the norm, clipping, averages, refusing an update that is not finite) is elsewhere.

mod adamw;
mod lion;
mod sgd;
mod status;

pub use adamw::AdamW;
pub(crate) use lion::Lion;
pub use sgd::Sgd;
pub use status::Status;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// How all parameters are updated in one go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Update {
    /// The method.
    pub rule: Rule,
    /// The number of this update, counted from 1.
    pub step: u64,
    /// Learning rate.
    pub lr: f32,
    /// Each parameter may have a factor of its own.
    pub weight_decay: f32,
    /// The global gradient norm is scaled down to this, as by `torch.nn.utils.clip_grad_norm_`; 0 is off.
    pub clip_norm: f32,
    /// Decay of the moving average of the weights; 0 is off.
    pub ema_decay: f64,
    /// Whether the gradients are those of the loss times [`Status::scale`]: those of 16 bits would underflow without.
    pub scaled: bool,
}

/// Factors of one parameter: how much of the learning rate and of the weight decay it gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factors {
    /// Of the learning rate.
    pub lr: f32,
    /// Of the weight decay.
    pub weight_decay: f32,
}

/// What a rule is told of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rates {
    pub lr: f32,
    pub weight_decay: f32,
    /// The gradient is multiplied by this first.
    pub scale: f32,
    /// The number of this update, counted from 1.
    pub step: u64,
}

/// The most states that a rule may keep.
pub(crate) const MOST_STATES: usize = 2;

/// The names of the states in files.
pub(crate) const STATE_NAMES: [&str; MOST_STATES] = ["first", "second"];

/// What a rule is.
pub(crate) trait Optimizer: Copy {
    /// Values that it keeps for each parameter; they begin at zero.
    fn states(&self) -> usize;

    /// Arithmetic operations for each value.
    fn flops(&self) -> u64;

    /// Statements in WGSL that change the variables `w` (the parameter) and `s0`, `s1` (its states, as many as there are) by
    /// `g` (the gradient, scaled), `lr`, `decay` and the names of [`Optimizer::constants`]. The first four are
    /// `vec4<f32>`, the others `f32`.
    fn wgsl(&self) -> &'static str;

    /// Values that are the same for all parameters, by the names that [`Optimizer::wgsl`] has for them: eight at most.
    fn constants(&self, step: u64) -> Vec<(&'static str, f32)>;

    /// On a CPU, for a piece of a parameter. All slices are equally long.
    fn apply(&self, rates: Rates, w: &mut [f32], g: &[f32], states: &mut [&mut [f32]]);

    /// In plain tensors: the parameter after the update of `w` by the gradient `g`, which is scaled already.
    fn tensors(&self, rates: Rates, w: Tensor<1>, g: Tensor<1>, states: &mut [Tensor<1>]) -> Tensor<1>;
}

/// A rule that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Rule {
    /// Stochastic gradient descent with momentum.
    Sgd(Sgd),
    /// Adam with decoupled decay.
    AdamW(AdamW),
    /// The sign of a momentum.
    Lion(Lion),
}

/// Runs a body with the rule that it is.
macro_rules! each_rule {
    ($rule:expr, $name:ident => $body:expr) => {
        match $rule {
            $crate::ops::optimizers::Rule::Sgd($name) => $body,
            $crate::ops::optimizers::Rule::AdamW($name) => $body,
            $crate::ops::optimizers::Rule::Lion($name) => $body,
        }
    };
}
pub(crate) use each_rule;

impl Rule {
    /// See [`Optimizer::states`].
    pub fn states(&self) -> usize {
        each_rule!(self, rule => rule.states())
    }

    /// See [`Optimizer::flops`].
    pub(crate) fn flops(&self) -> u64 {
        each_rule!(self, rule => rule.flops())
    }

    /// See [`Optimizer::wgsl`].
    pub(crate) fn wgsl(&self) -> &'static str {
        each_rule!(self, rule => rule.wgsl())
    }

    /// See [`Optimizer::constants`].
    pub(crate) fn constants(&self, step: u64) -> Vec<(&'static str, f32)> {
        each_rule!(self, rule => rule.constants(step))
    }

    /// See [`Optimizer::tensors`].
    pub(crate) fn tensors(&self, rates: Rates, w: Tensor<1>, g: Tensor<1>, states: &mut [Tensor<1>]) -> Tensor<1> {
        each_rule!(self, rule => rule.tensors(rates, w, g, states))
    }
}
