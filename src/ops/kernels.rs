//! What a device must be able to do: forward and backward entry points on raw tensors. [`super::fast`] chooses the
//! device at run time and puts typed tensors around it.

use super::{Unit, Window};
use burn::{
    backend::{
        Backend,
        tensor::{FloatTensor, IntTensor},
    },
    tensor::{Device, Tensor},
};

/// [`super::Norm`] on a backend.
pub struct NormOf<B: Backend> {
    pub gamma: FloatTensor<B>,
    pub beta: FloatTensor<B>,
    pub mean: FloatTensor<B>,
    pub var: FloatTensor<B>,
}

/// What is learned from, on a backend.
pub struct ObjectiveOf<B: Backend> {
    /// Of the labels.
    pub smoothing: f32,
    /// Of the classes `[K]`; all 1 without. The mean loss is a weighted one, as that of PyTorch's
    /// `CrossEntropyLoss(weight=…, label_smoothing=…)`: every term `-q log p` of a class counts as much as the class
    /// weighs, those of smoothing too, and the sum is divided by the sum of the weights of the batch's labels.
    ///
    /// Of a mixed image both labels count by their share, in the sum and in what it is divided by. The sum is that of
    /// PyTorch's loss for targets that are probabilities, which however divides by the number of images; and as the
    /// partners in a batch are its own images, whose weights add up to the same, the whole is the usual
    /// `share * loss(first) + (1 - share) * loss(second)` of two of PyTorch's losses for labels.
    pub weights: Option<FloatTensor<B>>,
    /// A [`Status`], whose scale the gradient is multiplied by.
    pub status: Option<FloatTensor<B>>,
}

/// What [`Kernels::conv_bn_train`] gives: the output, the new running statistics, and what its backward pass needs.
pub struct TrainedOf<B: Backend> {
    /// `[N, oh, ow, Co]`
    pub y: FloatTensor<B>,
    /// New running mean `[Co]`.
    pub running_mean: FloatTensor<B>,
    /// New running (unbiased) variance `[Co]`.
    pub running_var: FloatTensor<B>,
    /// The convolution's output before normalisation `[N, oh, ow, Co]`.
    pub z: FloatTensor<B>,
    /// Mean of `z` over batch and pixels `[Co]`.
    pub mean: FloatTensor<B>,
    /// `1 / sqrt(biased variance + eps)` `[Co]`.
    pub inv_std: FloatTensor<B>,
}

/// What [`Kernels::conv_bn_backward`] reads besides the gradient.
pub struct SavedOf<B: Backend> {
    pub x: FloatTensor<B>,
    pub weight: FloatTensor<B>,
    pub gamma: FloatTensor<B>,
    pub beta: FloatTensor<B>,
    pub y: FloatTensor<B>,
    pub z: FloatTensor<B>,
    pub mean: FloatTensor<B>,
    pub inv_std: FloatTensor<B>,
}

/// Gradients of a convolution with its batch normalisation.
pub struct GradsOf<B: Backend> {
    pub weight: FloatTensor<B>,
    pub gamma: FloatTensor<B>,
    pub beta: FloatTensor<B>,
}

/// Which gradients of a unit are wanted besides those of its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The input's: not for the first layer, nor where everything below is frozen.
    pub input: bool,
    /// The residual's: the gradient behind the ReLU's mask.
    pub residual: bool,
}

/// How all parameters are updated in one go.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    pub rule: Rule,
    pub lr: f32,
    /// Coupled with SGD (added to the gradient), decoupled with AdamW; each parameter may have a factor of its own.
    pub weight_decay: f32,
    /// The global gradient norm is scaled down to this; 0 is off.
    pub clip_norm: f32,
    /// Decay of the moving average of the weights; 0 is off.
    pub ema_decay: f64,
    /// Whether the gradients are those of the loss times [`Status::scale`]: those of 16 bits would underflow without.
    pub scaled: bool,
}

/// What updates leave behind for the next one and for whoever reads it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status {
    /// Updates refused since the first that was: their gradients' norm was not finite, or one before them was refused.
    pub refused: f32,
    /// The last global gradient norm, before clipping.
    pub norm: f32,
    /// What the loss is multiplied by where updates are [`Update::scaled`]. This and what follows only moves there.
    pub scale: f32,
    /// Updates since the scale last changed.
    pub since: f32,
    /// Updates that were skipped because their gradients overflowed.
    pub skipped: f32,
}

impl Status {
    /// Numbers that it is, in the order of its fields.
    pub const LEN: usize = 5;
    /// Updates without an overflow after which the scale is doubled.
    pub const PATIENCE: f32 = 2000.0;
    /// The scale is not doubled beyond this.
    pub const MOST: f32 = 16_777_216.0;
    /// Before the first update.
    pub const START: Self = Self { refused: 0.0, norm: 0.0, scale: 65536.0, since: 0.0, skipped: 0.0 };

    /// From its numbers as they are in memory.
    ///
    /// # Panics
    /// If there are fewer than [`Status::LEN`].
    pub fn of(values: &[f32]) -> Self {
        Self { refused: values[0], norm: values[1], scale: values[2], since: values[3], skipped: values[4] }
    }

    pub fn values(self) -> [f32; Self::LEN] {
        [self.refused, self.norm, self.scale, self.since, self.skipped]
    }

    /// Its numbers on a device.
    pub fn on(self, device: &Device) -> Tensor<1> {
        Tensor::from_floats(self.values(), device)
    }

    /// After gradients of this norm, and whether their update is made. `gradient_norm_finish.wgsl` does the same on a GPU.
    ///
    /// The scale goes as that of `torch.amp.GradScaler` with its defaults: an overflow halves it and skips the update,
    /// 2,000 updates without one double it. An overflow that no scale above 1 explains is refused. (Micikevicius et al.,
    /// Mixed Precision Training, 2018.)
    pub fn after(self, norm: f32, scaled: bool) -> (Self, bool) {
        let sound = self.refused == 0.0;
        let go = sound && norm.is_finite();
        let skip = scaled && sound && !go && self.scale > 1.0;
        let mut next = Self { norm, ..self };
        next.refused = if go || skip { 0.0 } else { self.refused + 1.0 };
        if skip {
            (next.scale, next.since, next.skipped) = (self.scale * 0.5, 0.0, self.skipped + 1.0);
        } else if scaled && go {
            next.since = self.since + 1.0;
            if next.since >= Self::PATIENCE {
                (next.scale, next.since) = ((self.scale * 2.0).min(Self::MOST), 0.0);
            }
        }
        (next, go)
    }
}

/// The rule of an update, as in PyTorch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// `torch.optim.SGD` with dampening 0, where a momentum that starts from zero gives PyTorch's first step too.
    Sgd { momentum: f32, nesterov: bool },
    /// `torch.optim.AdamW`; `step` counts from 1.
    AdamW { beta1: f64, beta2: f64, eps: f32, step: u64 },
}

/// Factors of one parameter: how much of the learning rate and of the weight decay it gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factors {
    pub lr: f32,
    pub weight_decay: f32,
}

/// The operations on raw tensors. All activations are contiguous `[N, H, W, C]`, all values `f32`; on a GPU, activations
/// and their gradients may be `f16`, and what comes of them then is `f16` too.
pub trait Kernels: Backend {
    /// `z = conv(x, weight)`; `y = relu?(gamma (z - mean) inv_std + beta + residual)` by the batch's own statistics.
    fn conv_bn_train(
        x: &FloatTensor<Self>,
        weight: &FloatTensor<Self>,
        norm: NormOf<Self>,
        residual: Option<FloatTensor<Self>>,
        unit: Unit,
    ) -> TrainedOf<Self>;

    /// Gradients of [`Kernels::conv_bn_train`] for the gradient `grad` of `y`.
    ///
    /// Returns the parameters' gradients, the input's if needed (to which `add` is added, where the input has a
    /// gradient from elsewhere already), and the residual's if needed.
    #[allow(clippy::type_complexity)]
    fn conv_bn_backward(
        grad: FloatTensor<Self>,
        saved: SavedOf<Self>,
        add: Option<FloatTensor<Self>>,
        unit: Unit,
        needs: Needs,
    ) -> (GradsOf<Self>, Option<FloatTensor<Self>>, Option<FloatTensor<Self>>);

    /// [`Kernels::conv_bn_train`] by the running statistics.
    fn conv_bn_eval(
        x: &FloatTensor<Self>,
        weight: &FloatTensor<Self>,
        norm: NormOf<Self>,
        residual: Option<FloatTensor<Self>>,
        unit: Unit,
    ) -> FloatTensor<Self>;

    /// The maximum of each window; outside the image counts as nothing.
    fn max_pool(x: &FloatTensor<Self>, window: Window) -> FloatTensor<Self>;

    /// The gradient goes to the first maximum of a window in row-major order, as in PyTorch.
    fn max_pool_backward(
        grad: FloatTensor<Self>,
        x: &FloatTensor<Self>,
        y: &FloatTensor<Self>,
        window: Window,
    ) -> FloatTensor<Self>;

    /// Features `[N, C]` (the mean over pixels) and logits `[N, K]`.
    fn head(
        x: &FloatTensor<Self>,
        weight: &FloatTensor<Self>,
        bias: &FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients of the weight, the bias and, if needed, the input of `pixels = [H, W]`.
    fn head_backward(
        grad: FloatTensor<Self>,
        features: &FloatTensor<Self>,
        weight: &FloatTensor<Self>,
        pixels: [usize; 2],
        input: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, Option<FloatTensor<Self>>);

    /// Softmax cross-entropy. Returns the gradient of the batch's mean loss (times the scale in the [`Status`],
    /// if one is given), each sample's own loss `[N]`, whatever its class weighs, and `metrics` `[2]` plus N times the
    /// mean loss and the count of hits (the largest logit is the first label's).
    fn cross_entropy(
        logits: &FloatTensor<Self>,
        first: IntTensor<Self>,
        second: IntTensor<Self>,
        share: FloatTensor<Self>,
        metrics: FloatTensor<Self>,
        objective: ObjectiveOf<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// One update of all parameters together, which does nothing if the gradients' global norm is not finite or
    /// `status` counts one that was refused.
    ///
    /// `first` and `second` are the optimiser's moments (`second` is empty for SGD), `ema` the averaged parameters
    /// (empty when off), `old` and `new` the running statistics before and after the step. Returns parameters, first
    /// and second moments, average, running statistics to keep, and the [`Status`].
    #[allow(clippy::type_complexity, clippy::too_many_arguments)]
    fn optimise(
        parameters: Vec<FloatTensor<Self>>,
        gradients: Vec<FloatTensor<Self>>,
        first: Vec<FloatTensor<Self>>,
        second: Vec<FloatTensor<Self>>,
        ema: Vec<FloatTensor<Self>>,
        old: Vec<FloatTensor<Self>>,
        new: Vec<FloatTensor<Self>>,
        status: FloatTensor<Self>,
        factors: Vec<Factors>,
        update: Update,
    ) -> (
        Vec<FloatTensor<Self>>,
        Vec<FloatTensor<Self>>,
        Vec<FloatTensor<Self>>,
        Vec<FloatTensor<Self>>,
        Vec<FloatTensor<Self>>,
        FloatTensor<Self>,
    );
}
