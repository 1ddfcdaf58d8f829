//! From the sums of blocks to a batch's statistics, and from the gradient's sums to its slopes; a channel at a time.

use super::bn::Moment;

/// Batch statistics of a convolution's result, and the affine map that normalises with them.
pub(crate) struct Statistics<'a> {
    /// Mean per channel.
    pub mean: &'a mut [f32],
    /// `1 / sqrt(biased variance + eps)` per channel.
    pub inv_std: &'a mut [f32],
    /// In: the running mean. Out: moved towards the batch's.
    pub running_mean: &'a mut [f32],
    /// In: the running variance. Out: moved towards the batch's unbiased one.
    pub running_var: &'a mut [f32],
}

/// How running statistics move and what keeps the deviation from zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchNorm {
    /// Share of the new batch in the running statistics.
    pub momentum: f32,
    /// Added to the variance.
    pub eps: f32,
}

impl Statistics<'_> {
    /// Takes the moment of one channel.
    pub(crate) fn set(&mut self, channel: usize, moment: Moment, bn: BatchNorm) {
        let variance = moment.spread / moment.count;
        let unbiased = moment.spread / (moment.count - 1.0).max(1.0);
        self.mean[channel] = moment.mean as f32;
        self.inv_std[channel] = (1.0 / (variance + f64::from(bn.eps)).sqrt()) as f32;
        let momentum = f64::from(bn.momentum);
        let towards = |old: f32, new: f64| ((1.0 - momentum) * f64::from(old) + momentum * new) as f32;
        self.running_mean[channel] = towards(self.running_mean[channel], moment.mean);
        self.running_var[channel] = towards(self.running_var[channel], unbiased);
    }
}

/// `(scale, offset)` so that `z * scale + offset` is the normalised value.
pub(crate) fn affine(gamma: &[f32], beta: &[f32], mean: &[f32], inv_std: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let scale: Vec<f32> = gamma.iter().zip(inv_std).map(|(g, s)| g * s).collect();
    let offset =
        scale.iter().zip(mean).zip(beta).map(|((s, m), b)| (f64::from(*b) - f64::from(*s) * f64::from(*m)) as f32);
    let offset = offset.collect();
    (scale, offset)
}
