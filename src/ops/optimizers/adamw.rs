//! Adam with decoupled weight decay, `torch.optim.AdamW`: Loshchilov and Hutter, <https://arxiv.org/abs/1711.05101>.

use super::{Optimizer, Rates};
use burn::tensor::Tensor;

/// Steps by the gradient's mean over its deviation, both corrected for having begun at zero.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct AdamW {
    /// Share of the mean that stays.
    pub beta1: f64,
    /// Share of the mean square that stays.
    pub beta2: f64,
    /// Added to the deviation.
    pub eps: f32,
}

/// How much of an average that began at zero is there after so many steps.
fn correction(beta: f64, step: u64) -> f64 {
    1.0 - beta.powi(step.min(i32::MAX as u64) as i32)
}

impl Optimizer for AdamW {
    fn states(&self) -> usize {
        2
    }

    fn flops(&self) -> u64 {
        16
    }

    fn wgsl(&self) -> &'static str {
        "
        s0 = beta1 * s0 + rest1 * g;
        s1 = beta2 * s1 + rest2 * g * g;
        w = w * (1.0 - lr * decay) - s0 / (sqrt(s1) / bias2 + eps) * (lr / bias1);"
    }

    fn constants(&self, step: u64) -> Vec<(&'static str, f32)> {
        let Self { beta1, beta2, eps } = *self;
        // The rests are taken before they are rounded.
        let (rest1, rest2) = ((1.0 - beta1) as f32, (1.0 - beta2) as f32);
        let (bias1, bias2) = (correction(beta1, step) as f32, correction(beta2, step).sqrt() as f32);
        let (beta1, beta2) = (beta1 as f32, beta2 as f32);
        vec![
            ("beta1", beta1),
            ("beta2", beta2),
            ("rest1", rest1),
            ("rest2", rest2),
            ("bias1", bias1),
            ("bias2", bias2),
            ("eps", eps),
        ]
    }

    #[inline(always)]
    fn apply(&self, rates: Rates, w: &mut [f32], g: &[f32], states: &mut [&mut [f32]]) {
        let Self { beta1, beta2, eps } = *self;
        let Rates { lr, weight_decay: decay, scale, step } = rates;
        let rate = (f64::from(lr) / correction(beta1, step)) as f32;
        let correction = correction(beta2, step).sqrt() as f32;
        let (new1, keep2, new2) = ((1.0 - beta1) as f32, beta2 as f32, (1.0 - beta2) as f32);
        let [means, squares] = states else { unreachable!("there are two states") };
        let state = means.iter_mut().zip(squares.iter_mut());
        for ((w, g), (m, v)) in w.iter_mut().zip(g).zip(state) {
            let g = scale * g;
            *m += new1 * (g - *m);
            *v = keep2 * *v + new2 * g * g;
            *w -= lr * decay * *w;
            *w -= rate * *m / (v.sqrt() / correction + eps);
        }
    }

    fn tensors(&self, rates: Rates, w: Tensor<1>, g: Tensor<1>, states: &mut [Tensor<1>]) -> Tensor<1> {
        let Self { beta1, beta2, eps } = *self;
        let w = w * (1.0 - rates.lr * rates.weight_decay);
        let mean = states[0].clone() * beta1 + g.clone() * (1.0 - beta1);
        let square = states[1].clone() * beta2 + g.powf_scalar(2.0) * (1.0 - beta2);
        (states[0], states[1]) = (mean.clone(), square.clone());
        let (bias1, bias2) = (correction(beta1, rates.step) as f32, correction(beta2, rates.step).sqrt() as f32);
        w - mean / (square.sqrt() / bias2 + eps) * (rates.lr / bias1)
    }
}
