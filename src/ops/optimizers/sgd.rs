//! Stochastic gradient descent with momentum: `torch.optim.SGD` with dampening 0, where a momentum that starts from zero
//! gives PyTorch's first step too. Weight decay is added to the gradient.

use super::{Optimizer, Rates};
use burn::tensor::Tensor;

/// `v = momentum v + g; w -= lr (nesterov ? g + momentum v : v)` with `g` including `weight_decay w`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Sgd {
    /// Share of the velocity that stays.
    pub momentum: f32,
    /// Whether to look ahead.
    pub nesterov: bool,
}

impl Sgd {
    /// The shares of velocity and gradient in a step.
    fn mix(&self) -> [f32; 2] {
        if self.nesterov { [self.momentum, 1.0] } else { [1.0, 0.0] }
    }
}

impl Optimizer for Sgd {
    fn states(&self) -> usize {
        1
    }

    fn flops(&self) -> u64 {
        7
    }

    // Without momentum there is nothing to remember, should it be switched on later.
    fn wgsl(&self) -> &'static str {
        "
        let d = fma(w, vec4<f32>(decay), g);
        let v = fma(s0, vec4<f32>(momentum), d);
        w -= lr * fma(v, vec4<f32>(ahead), plain * d);
        s0 = select(v, vec4<f32>(), momentum == 0.0);"
    }

    fn constants(&self, _: u64) -> Vec<(&'static str, f32)> {
        let [ahead, plain] = self.mix();
        vec![("momentum", self.momentum), ("ahead", ahead), ("plain", plain)]
    }

    #[inline(always)]
    fn apply(&self, rates: Rates, w: &mut [f32], g: &[f32], states: &mut [&mut [f32]]) {
        let Rates { lr, weight_decay: decay, scale, .. } = rates;
        let Self { momentum, .. } = *self;
        let [velocity] = states else { unreachable!("there is one state") };
        if momentum == 0.0 {
            velocity.fill(0.0);
            for (w, g) in w.iter_mut().zip(g) {
                *w -= lr * (scale * g + decay * *w);
            }
            return;
        }
        let [ahead, plain] = self.mix();
        for ((w, g), v) in w.iter_mut().zip(g).zip(velocity.iter_mut()) {
            let g = scale * g + decay * *w;
            *v = momentum * *v + g;
            *w -= lr * (ahead * *v + plain * g);
        }
    }

    fn tensors(&self, rates: Rates, w: Tensor<1>, g: Tensor<1>, states: &mut [Tensor<1>]) -> Tensor<1> {
        let g = g + w.clone() * rates.weight_decay;
        if self.momentum == 0.0 {
            states[0] = states[0].zeros_like();
            return w - g * rates.lr;
        }
        let velocity = states[0].clone() * self.momentum + g.clone();
        states[0] = velocity.clone();
        let step = if self.nesterov { g + velocity * self.momentum } else { velocity };
        w - step * rates.lr
    }
}
