//! Steps of one size in the sign of a gradient's running mean: Chen et al., "Symbolic Discovery of Optimization Algorithms",
//! <https://arxiv.org/abs/2302.06675>, algorithm 2. Weight decay is decoupled.

use super::{Optimizer, Rates};
use burn::tensor::Tensor;

/// `w -= lr (sign(beta1 m + (1 - beta1) g) + weight_decay w)`, then `m = beta2 m + (1 - beta2) g`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Lion {
    /// Share of the mean in the step.
    pub(crate) beta1: f64,
    /// Share of the mean that stays.
    pub(crate) beta2: f64,
}

impl Lion {
    /// The shares, and the rests that are taken before they are rounded.
    fn shares(&self) -> [f32; 4] {
        [self.beta1, 1.0 - self.beta1, self.beta2, 1.0 - self.beta2].map(|share| share as f32)
    }
}

/// -1, 0 or 1; NaN stays.
fn sign(value: f32) -> f32 {
    if value > 0.0 {
        1.0
    } else if value < 0.0 {
        -1.0
    } else {
        value
    }
}

impl Optimizer for Lion {
    fn states(&self) -> usize {
        1
    }

    fn flops(&self) -> u64 {
        10
    }

    fn wgsl(&self) -> &'static str {
        "
        w -= lr * (sign(beta1 * s0 + rest1 * g) + decay * w);
        s0 = beta2 * s0 + rest2 * g;"
    }

    fn constants(&self, _: u64) -> Vec<(&'static str, f32)> {
        ["beta1", "rest1", "beta2", "rest2"].into_iter().zip(self.shares()).collect()
    }

    #[inline(always)]
    fn apply(&self, rates: Rates, w: &mut [f32], g: &[f32], states: &mut [&mut [f32]]) {
        let Rates { lr, weight_decay: decay, scale, .. } = rates;
        let [beta1, rest1, beta2, rest2] = self.shares();
        let [means] = states else { unreachable!("there is one state") };
        for ((w, g), m) in w.iter_mut().zip(g).zip(means.iter_mut()) {
            let g = scale * g;
            *w -= lr * (sign(beta1 * *m + rest1 * g) + decay * *w);
            *m = beta2 * *m + rest2 * g;
        }
    }

    fn tensors(&self, rates: Rates, w: Tensor<1>, g: Tensor<1>, states: &mut [Tensor<1>]) -> Tensor<1> {
        let [beta1, rest1, beta2, rest2] = self.shares();
        let mean = states[0].clone();
        states[0] = mean.clone() * beta2 + g.clone() * rest2;
        let step = (mean * beta1 + g * rest1).sign();
        w.clone() - (step + w * rates.weight_decay) * rates.lr
    }
}
