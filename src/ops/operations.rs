//! What a device must be able to do: forward and backward entry points, with structs in and out. Three things can: WGSL on
//! any adapter ([`Wgsl`](super::wgpu::Wgsl)), the CPU ([`Cpu`](super::cpu::Cpu)), and plain burn operations on either
//! ([`Reference`](super::Reference)). Whoever walks a network is generic over them, so that nothing asks which one it has.

use super::{
    Timer,
    geometry::{ConvBn, Window},
    layout::{Arena, Layout, Slots},
    optimizers::{Factors, Update},
};
use std::sync::Arc;

/// The tensors of a convolution with its batch normalisation.
#[derive(Clone)]
pub(crate) struct LayerTensors<T> {
    /// `[kh, kw, ci / groups, co]`
    pub weight: T,
    /// Scale after normalising `[co]`.
    pub gamma: T,
    /// Offset after normalising `[co]`.
    pub beta: T,
    /// Running mean `[co]`.
    pub mean: T,
    /// Running (unbiased) variance `[co]`.
    pub var: T,
}

/// What a convolution with its normalisation reads.
pub struct ConvBnInput<'a, T> {
    /// `[N, H, W, Ci]`
    pub(crate) x: &'a T,
    pub(crate) layer: LayerTensors<T>,
    /// `[N, oh, ow, Co]`, added before the activation.
    pub(crate) residual: Option<&'a T>,
}

/// What a convolution's backward pass reads of its forward pass.
pub struct ConvBnSaved<T> {
    pub(crate) x: T,
    pub(crate) weight: T,
    pub(crate) gamma: T,
    pub(crate) beta: T,
    /// The output.
    pub(crate) y: T,
    /// The convolution's output before normalisation.
    pub(crate) z: T,
    /// Mean of `z` over batch and pixels `[Co]`.
    pub(crate) mean: T,
    /// `1 / sqrt(biased variance + eps)` `[Co]`.
    pub(crate) inv_std: T,
}

/// Which gradients of a convolution are wanted besides those of its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The input's: not for the first layer, nor where everything below is frozen.
    pub(crate) input: bool,
    /// The residual's: the gradient behind the activation's.
    pub(crate) residual: bool,
}

/// The gradients that [`Needs`] asked for.
pub struct InputGradients<T> {
    pub(crate) x: Option<T>,
    pub(crate) residual: Option<T>,
}

/// The tensors of the head.
pub struct HeadTensors<T> {
    /// `[features, classes]`
    pub(crate) weight: T,
    /// `[classes]`
    pub(crate) bias: T,
}

/// What the head computes.
pub struct HeadOutput<T> {
    /// The means over the pixels `[N, features]`.
    pub(crate) features: T,
    /// `[N, classes]`
    pub(crate) logits: T,
}

/// What is learned from: the mean of the images' losses.
pub struct Objective<'a, T> {
    /// Share of the target that is spread over all classes.
    pub smoothing: f32,
    /// Of the classes `[K]`; all 1 without. The mean loss is a weighted one, as that of PyTorch's
    /// `CrossEntropyLoss(weight=…, label_smoothing=…)`: every term `-q log p` of a class counts as much as the class
    /// weighs, those of smoothing too, and the sum is divided by the sum of the weights of the batch's labels.
    ///
    /// Of a mixed image both labels count by their share, in the sum and in what it is divided by. The sum is that of
    /// PyTorch's loss for targets that are probabilities, which however divides by the number of images; and as the
    /// partners in a batch are its own images, whose weights add up to the same, the whole is the usual
    /// `share * loss(first) + (1 - share) * loss(second)` of two of PyTorch's losses for labels.
    pub weights: Option<&'a T>,
    /// A [`Status`](super::optimizers::Status), whose scale the gradient is multiplied by.
    pub status: Option<&'a T>,
}

/// What [`Ops::cross_entropy`] gives.
pub struct Loss<T> {
    /// Of the mean loss `[N, K]`.
    pub gradient: T,
    /// Each sample's own loss `[N]`, whatever its class weighs.
    pub losses: T,
}

/// Everything that an update reads and writes. The arenas of gradients, states and averages begin with the first tensor that
/// learns, that of new statistics likewise.
pub struct UpdateState<'a, O: Ops> {
    /// What is updated.
    pub parameters: &'a mut Arena<O::Memory>,
    /// Of the loss, times the scale where the update is scaled.
    pub gradients: Arena<O::Memory>,
    /// As many as the rule keeps.
    pub states: &'a mut [Arena<O::Memory>],
    /// The moving average of the parameters, while it is kept.
    pub average: Option<&'a mut Arena<O::Memory>>,
    /// Running statistics, and those after the step, which become them.
    pub statistics: &'a mut Arena<O::Memory>,
    /// The running statistics after the step.
    pub fresh: Arena<O::Memory>,
    /// A [`Status`](super::optimizers::Status).
    pub status: &'a mut O::Tensor,
    /// Each parameter's learning rate and weight decay.
    pub factors: &'a O::Factors,
}

/// The operations. All activations are contiguous `[N, H, W, C]`, all values `f32`; on a GPU, activations and their
/// gradients may be `f16`, and what comes of them then is `f16` too.
pub trait Ops: Clone {
    /// Values in the device's memory, and their shape. A clone is the same values.
    type Tensor: Clone;
    /// What a batch should be classified as.
    type Targets;
    /// The memory of an [`Arena`].
    type Memory: Clone;
    /// What a convolution's backward pass needs of its forward pass.
    type Saved;
    /// The parameters' [`Factors`].
    type Factors;

    /// Times, or records, what happens until the guard is dropped under this name.
    fn span(&self, name: &dyn Fn() -> String) -> Option<Timer<'_>>;

    /// A vector on the device.
    fn upload(&self, values: &[f32]) -> Self::Tensor;

    /// An arena from tensor `first` on, with whatever was in its memory.
    fn empty(&self, layout: &Arc<Layout>, first: usize) -> Arena<Self::Memory>;

    /// An arena of zeros from tensor `first` on.
    fn zeros(&self, layout: &Arc<Layout>, first: usize) -> Arena<Self::Memory>;

    /// An arena from tensor `first` on, whose tensors `write` writes: each by its place in the layout, in order.
    fn fill(&self, layout: &Arc<Layout>, first: usize, write: impl FnMut(usize, &mut [f32])) -> Arena<Self::Memory>;

    /// Copies the tensors that both arenas have, which are of one layout.
    fn overlay(&self, onto: &mut Arena<Self::Memory>, from: &Arena<Self::Memory>);

    /// A tensor of an arena. Never written while the view is there: whoever changes the arena then changes a copy.
    fn view(&self, arena: &Arena<Self::Memory>, tensor: usize) -> Self::Tensor;

    /// The factors of the tensors from `first` on.
    fn factors(&self, layout: &Layout, first: usize, factors: &[Factors]) -> Self::Factors;

    /// `z = conv(x, weight)`; `y = activation(gamma (z - mean) inv_std + beta + residual)` by the batch's own statistics.
    /// The new running mean and variance are written to `fresh`.
    fn conv_bn_train(
        &self,
        op: &ConvBn,
        input: ConvBnInput<Self::Tensor>,
        fresh: Slots<Self::Memory>,
    ) -> (Self::Tensor, Self::Saved);

    /// Gradients of [`Ops::conv_bn_train`] for the gradient `grad` of `y`. Those of weight, gamma and beta are written to
    /// `into`; to the input's `add` is added, where the input has a gradient from elsewhere already.
    fn conv_bn_backward(
        &self,
        op: &ConvBn,
        grad: Self::Tensor,
        saved: Self::Saved,
        add: Option<Self::Tensor>,
        needs: Needs,
        into: Slots<Self::Memory>,
    ) -> InputGradients<Self::Tensor>;

    /// [`Ops::conv_bn_train`] by the running statistics.
    fn conv_bn_eval(&self, op: &ConvBn, input: ConvBnInput<Self::Tensor>) -> Self::Tensor;

    /// The maximum of each window; outside the image counts as nothing.
    fn max_pool(&self, window: Window, x: &Self::Tensor) -> Self::Tensor;

    /// The gradient goes to the first maximum of a window in row-major order, as in PyTorch.
    fn max_pool_backward(&self, window: Window, grad: Self::Tensor, x: &Self::Tensor, y: &Self::Tensor)
    -> Self::Tensor;

    /// The mean of what each window has of the image; what is outside does not count.
    fn average_pool(&self, window: Window, x: &Self::Tensor) -> Self::Tensor;

    /// The gradient of [`Ops::average_pool`] of images of `pixels = [H, W]`.
    fn average_pool_backward(&self, window: Window, grad: Self::Tensor, pixels: [usize; 2]) -> Self::Tensor;

    /// `x / (1 + exp(-x))`
    fn silu(&self, x: &Self::Tensor) -> Self::Tensor;

    /// The gradient of `x` for the gradient `grad` of [`Ops::silu`].
    fn silu_backward(&self, grad: Self::Tensor, x: &Self::Tensor) -> Self::Tensor;

    /// The mean over pixels, and a linear layer.
    fn head(&self, x: &Self::Tensor, head: &HeadTensors<Self::Tensor>) -> HeadOutput<Self::Tensor>;

    /// Gradients of [`Ops::head`] for the gradient of the logits; those of weight and bias are written to `into`. Gives the
    /// input's, of `pixels = [H, W]`, where it is wanted.
    fn head_backward(
        &self,
        grad: Self::Tensor,
        features: &Self::Tensor,
        weight: &Self::Tensor,
        pixels: Option<[usize; 2]>,
        into: Slots<Self::Memory>,
    ) -> Option<Self::Tensor>;

    /// Softmax cross-entropy: the gradient of the batch's mean loss (times the scale in the status, if one is given) and
    /// each sample's own loss. To `metrics` `[2]` are added N times the mean loss and the count of hits (the largest logit
    /// is the first label's).
    fn cross_entropy(
        &self,
        logits: &Self::Tensor,
        targets: &Self::Targets,
        objective: Objective<Self::Tensor>,
        metrics: &mut Self::Tensor,
    ) -> Loss<Self::Tensor>;

    /// One update of all parameters together, which does nothing if the gradients' global norm is not finite or the
    /// status counts one that was refused.
    fn update(&self, state: UpdateState<Self>, update: &Update);
}
