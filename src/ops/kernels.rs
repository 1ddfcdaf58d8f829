//! What a device must be able to do: forward and backward entry points on raw tensors. [`super::fast`] chooses the
//! device at run time and puts typed tensors around it.

use super::{Unit, Window};
use burn::backend::{
    Backend,
    tensor::{FloatTensor, IntTensor},
};

/// [`super::Norm`] on a backend.
pub struct NormOf<B: Backend> {
    pub gamma: FloatTensor<B>,
    pub beta: FloatTensor<B>,
    pub mean: FloatTensor<B>,
    pub var: FloatTensor<B>,
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
    /// Gradients are divided by this before use.
    pub loss_scale: f32,
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

/// The operations on raw tensors. All activations are contiguous `[N, H, W, C]`, all values `f32`.
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

    /// Softmax cross-entropy. Returns the gradient of the batch's mean loss, each sample's loss `[N]`, and
    /// `metrics` `[2]` plus the batch's sum of losses and count of hits (the largest logit is the first label's).
    fn cross_entropy(
        logits: &FloatTensor<Self>,
        first: IntTensor<Self>,
        second: IntTensor<Self>,
        share: FloatTensor<Self>,
        metrics: FloatTensor<Self>,
        smoothing: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// One update of all parameters together, which does nothing if the gradients' global norm is not finite or
    /// `status[0]` counts one already.
    ///
    /// `first` and `second` are the optimiser's moments (`second` is empty for SGD), `ema` the averaged parameters
    /// (empty when off), `old` and `new` the running statistics before and after the step. Returns parameters, first
    /// and second moments, average, running statistics to keep, and the status `[2]`: how many updates were
    /// refused since the first that was, and the last global gradient norm (before clipping).
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
