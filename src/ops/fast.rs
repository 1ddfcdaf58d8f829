//! [`Kernels`] for typed tensors.

use super::{
    Norm, Targets, Unit, Window,
    kernels::{Factors, GradsOf, Kernels, Needs, NormOf, SavedOf, Update},
};
use burn::{
    backend::Dispatch,
    tensor::{DispatchTensor, Tensor},
};

/// Output, new running statistics and saved state of [`conv_bn_train`].
pub struct Trained {
    pub y: Tensor<4>,
    pub mean: Tensor<1>,
    pub var: Tensor<1>,
    pub saved: Saved,
}

/// What the backward pass of a unit needs from its forward pass.
#[derive(Clone)]
pub struct Saved {
    x: Tensor<4>,
    weight: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    /// The unit's output.
    pub y: Tensor<4>,
    z: Tensor<4>,
    mean: Tensor<1>,
    inv_std: Tensor<1>,
}

/// Gradients of a unit.
pub struct Grads {
    pub weight: Tensor<4>,
    pub gamma: Tensor<1>,
    pub beta: Tensor<1>,
    pub x: Option<Tensor<4>>,
    pub residual: Option<Tensor<4>>,
}

fn raw<const D: usize>(tensor: &Tensor<D>) -> DispatchTensor {
    tensor.clone().into_dispatch()
}

fn raw_norm(norm: &Norm) -> NormOf<Dispatch> {
    NormOf { gamma: raw(&norm.gamma), beta: raw(&norm.beta), mean: raw(&norm.mean), var: raw(&norm.var) }
}

/// See [`Kernels::conv_bn_train`].
pub fn conv_bn_train(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    norm: &Norm,
    residual: Option<&Tensor<4>>,
    unit: &Unit,
) -> Trained {
    let out = Dispatch::conv_bn_train(&raw(x), &raw(weight), raw_norm(norm), residual.map(raw), *unit);
    let y = Tensor::from_dispatch(out.y);
    let saved = Saved {
        x: x.clone(),
        weight: weight.clone(),
        gamma: norm.gamma.clone(),
        beta: norm.beta.clone(),
        y: y.clone(),
        z: Tensor::from_dispatch(out.z),
        mean: Tensor::from_dispatch(out.mean),
        inv_std: Tensor::from_dispatch(out.inv_std),
    };
    Trained { y, mean: Tensor::from_dispatch(out.running_mean), var: Tensor::from_dispatch(out.running_var), saved }
}

/// See [`Kernels::conv_bn_backward`].
pub fn conv_bn_backward(grad: Tensor<4>, saved: Saved, add: Option<Tensor<4>>, unit: &Unit, needs: Needs) -> Grads {
    let saved = SavedOf {
        x: saved.x.into_dispatch(),
        weight: saved.weight.into_dispatch(),
        gamma: saved.gamma.into_dispatch(),
        beta: saved.beta.into_dispatch(),
        y: saved.y.into_dispatch(),
        z: saved.z.into_dispatch(),
        mean: saved.mean.into_dispatch(),
        inv_std: saved.inv_std.into_dispatch(),
    };
    let add = add.map(Tensor::into_dispatch);
    let (GradsOf { weight, gamma, beta }, x, residual) =
        Dispatch::conv_bn_backward(grad.into_dispatch(), saved, add, *unit, needs);
    Grads {
        weight: Tensor::from_dispatch(weight),
        gamma: Tensor::from_dispatch(gamma),
        beta: Tensor::from_dispatch(beta),
        x: x.map(Tensor::from_dispatch),
        residual: residual.map(Tensor::from_dispatch),
    }
}

/// See [`Kernels::conv_bn_eval`].
pub fn conv_bn_eval(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    norm: &Norm,
    residual: Option<&Tensor<4>>,
    unit: &Unit,
) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::conv_bn_eval(
        &raw(x),
        &raw(weight),
        raw_norm(norm),
        residual.map(raw),
        *unit,
    ))
}

/// See [`Kernels::max_pool`].
pub fn max_pool(x: &Tensor<4>, window: Window) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::max_pool(&raw(x), window))
}

/// See [`Kernels::max_pool_backward`].
pub fn max_pool_backward(grad: Tensor<4>, x: &Tensor<4>, y: &Tensor<4>, window: Window) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::max_pool_backward(grad.into_dispatch(), &raw(x), &raw(y), window))
}

/// Features and logits. See [`Kernels::head`].
pub fn head(x: &Tensor<4>, weight: &Tensor<2>, bias: &Tensor<1>) -> (Tensor<2>, Tensor<2>) {
    let (features, logits) = Dispatch::head(&raw(x), &raw(weight), &raw(bias));
    (Tensor::from_dispatch(features), Tensor::from_dispatch(logits))
}

/// Gradients of weight, bias and input. See [`Kernels::head_backward`].
pub fn head_backward(
    grad: Tensor<2>,
    features: &Tensor<2>,
    weight: &Tensor<2>,
    pixels: [usize; 2],
    input: bool,
) -> (Tensor<2>, Tensor<1>, Option<Tensor<4>>) {
    let (weight, bias, x) =
        Dispatch::head_backward(grad.into_dispatch(), &raw(features), &raw(weight), pixels, input);
    (Tensor::from_dispatch(weight), Tensor::from_dispatch(bias), x.map(Tensor::from_dispatch))
}

/// Gradient of the mean loss, losses, and metrics. See [`Kernels::cross_entropy`].
pub fn cross_entropy(
    logits: &Tensor<2>,
    targets: &Targets,
    metrics: Tensor<1>,
    smoothing: f32,
) -> (Tensor<2>, Tensor<1>, Tensor<1>) {
    let (grad, losses, metrics) = Dispatch::cross_entropy(
        &raw(logits),
        targets.first.clone().into_dispatch(),
        targets.second.clone().into_dispatch(),
        raw(&targets.share),
        metrics.into_dispatch(),
        smoothing,
    );
    (Tensor::from_dispatch(grad), Tensor::from_dispatch(losses), Tensor::from_dispatch(metrics))
}

/// Everything that an update reads and writes, each list in the order of the parameters (or of the running
/// statistics). Taken and given back, so that a device may work in place.
#[derive(Default)]
pub struct State {
    pub parameters: Vec<DispatchTensor>,
    pub first: Vec<DispatchTensor>,
    pub second: Vec<DispatchTensor>,
    pub ema: Vec<DispatchTensor>,
    /// Running statistics.
    pub running: Vec<DispatchTensor>,
}

/// See [`Kernels::optimise`]. Takes the running statistics after the step, and returns the state and the status.
pub fn optimise(
    state: State,
    gradients: Vec<DispatchTensor>,
    running: Vec<DispatchTensor>,
    status: Tensor<1>,
    factors: Vec<Factors>,
    update: Update,
) -> (State, Tensor<1>) {
    let (parameters, first, second, ema, running, status) = Dispatch::optimise(
        state.parameters,
        gradients,
        state.first,
        state.second,
        state.ema,
        state.running,
        running,
        status.into_dispatch(),
        factors,
        update,
    );
    (State { parameters, first, second, ema, running }, Tensor::from_dispatch(status))
}
