//! [`Kernels`] for typed tensors, on whichever backend the tensors live.
//!
//! burn's extension macro would make this choice too, but it routes neither optional tensors nor lists of them.

use super::{
    Norm, Targets, Unit, Window,
    kernels::{Factors, GradsOf, Kernels, Needs, NormOf, ObjectiveOf, SavedOf, Update},
    tally,
    wgpu::{ahead, client::Wgpu, step::Step, tune},
};
use crate::{data, device::Compute};
use burn::{
    backend::{
        Backend, BackendTensor, DispatchKindConversion, DispatchTensorKind, Flex,
        tensor::{FloatTensor, IntTensor},
    },
    tensor::{Device, DispatchTensor, Int, Tensor},
};
use burn_cubecl::{CubeBackend, tensor::CubeTensor};

/// Runs a body with `$backend` as the backend of the tensor.
macro_rules! on_backend_of {
    ($tensor:expr, $backend:ident => $body:expr) => {
        match &$tensor.clone().into_dispatch().kind {
            DispatchTensorKind::Flex(_) => {
                type $backend = Flex;
                $body
            }
            DispatchTensorKind::Cube(_) => {
                type $backend = CubeBackend;
                $body
            }
            // The reference alone uses autodiff, and no other backend is built in.
            DispatchTensorKind::Autodiff(_) => unreachable!("the fast operations take plain tensors"),
        }
    };
}

fn unwrap<B: Backend>(tensor: DispatchTensor) -> BackendTensor<B>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    match <DispatchTensor as DispatchKindConversion<B>>::try_into_backend(tensor) {
        Ok(tensor) => tensor,
        Err(error) => unreachable!("all tensors of a network live on one device: {error}"),
    }
}

fn raw_any<B: Backend>(tensor: DispatchTensor) -> FloatTensor<B>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    unwrap::<B>(tensor).float()
}

fn raw<B: Backend, const D: usize>(tensor: &Tensor<D>) -> FloatTensor<B>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    raw_any::<B>(tensor.clone().into_dispatch())
}

fn owned<B: Backend, const D: usize>(tensor: Tensor<D>) -> FloatTensor<B>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    raw_any::<B>(tensor.into_dispatch())
}

fn raw_int<B: Backend>(tensor: &Tensor<1, Int>) -> IntTensor<B>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    unwrap::<B>(tensor.clone().into_dispatch()).int()
}

fn raw_norm<B: Backend>(norm: &Norm) -> NormOf<B>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    NormOf {
        gamma: raw::<B, 1>(&norm.gamma),
        beta: raw::<B, 1>(&norm.beta),
        mean: raw::<B, 1>(&norm.mean),
        var: raw::<B, 1>(&norm.var),
    }
}

fn any<B: Backend>(tensor: FloatTensor<B>) -> DispatchTensor
where
    DispatchTensor: DispatchKindConversion<B>,
{
    <DispatchTensor as DispatchKindConversion<B>>::from_backend(BackendTensor::Float(tensor))
}

fn typed<B: Backend, const D: usize>(tensor: FloatTensor<B>) -> Tensor<D>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    Tensor::from_dispatch(any::<B>(tensor))
}

/// A tensor over a GPU's memory.
pub(super) fn from_gpu<const D: usize>(tensor: CubeTensor) -> Tensor<D> {
    typed::<CubeBackend, D>(tensor)
}

/// [`from_gpu`] for integers.
pub(super) fn from_gpu_int(tensor: CubeTensor) -> Tensor<1, Int> {
    Tensor::from_dispatch(<DispatchTensor as DispatchKindConversion<CubeBackend>>::from_backend(BackendTensor::Int(
        tensor,
    )))
}

/// The GPU that a device is; `None` for the CPU.
pub fn gpu(device: &Device) -> Option<Wgpu> {
    gpu_of(&Tensor::<1>::empty([1], device))
}

/// Refines the kernels for a GPU, the first time that it is used: see [`tune`].
pub fn ready(compute: &Compute) {
    let file = data::cache_dir().map(|folder| folder.with_file_name("kernels.json"));
    if let (Some(adapter), Some(file), Some(gpu)) = (&compute.adapter, file, gpu(&compute.device)) {
        let name = format!("{}, {}, {}", adapter.name, adapter.backend, adapter.driver);
        tune::ready(&gpu, &name, &file);
    }
}

/// Begins to prepare the kernels of a training step: see [`ahead`].
pub fn prepare(compute: &Compute, step: &Step) -> ahead::Ahead {
    gpu(&compute.device).map_or_else(Default::default, |gpu| ahead::Ahead::new(&gpu, compute, step))
}

fn gpu_of<const D: usize>(tensor: &Tensor<D>) -> Option<Wgpu> {
    let on_gpu = matches!(tensor.clone().into_dispatch().kind, DispatchTensorKind::Cube(_));
    on_gpu.then(|| Wgpu::of(&raw::<CubeBackend, D>(tensor)))
}

/// Hands all that is queued for a tensor's device over to it, without waiting for results.
pub fn submit<const D: usize>(tensor: &Tensor<D>) {
    if let Some(gpu) = gpu_of(tensor)
        && let Err(error) = gpu.client.flush()
    {
        // Whoever reads a result of it is told as well.
        tracing::warn!("the device refused work: {error}");
    }
}

/// Bytes that the largest tensor on a device may have; `None` where only memory limits it.
pub fn largest_tensor(device: &Device) -> Option<u64> {
    gpu(device).map(|gpu| gpu.client.properties().memory.max_page_size)
}

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

/// A unit as a profile calls it: `conv 3x3/2 16→32 on 32x32, backward`.
fn unit_name(pass: &str, weight: [usize; 4], [_, h, w, _]: [usize; 4], unit: &Unit) -> String {
    let [kh, kw, from, to] = weight;
    format!("conv {kh}x{kw}/{} {from}→{to} on {h}x{w}, {pass}", unit.window.stride[0])
}

/// See [`Kernels::conv_bn_train`].
pub fn conv_bn_train(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    norm: &Norm,
    residual: Option<&Tensor<4>>,
    unit: &Unit,
) -> Trained {
    let _time = tally::time(|| unit_name("forward", weight.dims(), x.dims(), unit));
    on_backend_of!(x, B => {
        let out = B::conv_bn_train(&raw::<B, 4>(x), &raw::<B, 4>(weight), raw_norm::<B>(norm), residual.map(raw::<B, 4>), *unit);
        let y: Tensor<4> = typed::<B, 4>(out.y);
        let saved = Saved {
            x: x.clone(),
            weight: weight.clone(),
            gamma: norm.gamma.clone(),
            beta: norm.beta.clone(),
            y: y.clone(),
            z: typed::<B, 4>(out.z),
            mean: typed::<B, 1>(out.mean),
            inv_std: typed::<B, 1>(out.inv_std),
        };
        Trained { y, mean: typed::<B, 1>(out.running_mean), var: typed::<B, 1>(out.running_var), saved }
    })
}

/// See [`Kernels::conv_bn_backward`].
pub fn conv_bn_backward(grad: Tensor<4>, saved: Saved, add: Option<Tensor<4>>, unit: &Unit, needs: Needs) -> Grads {
    let _time = tally::time(|| unit_name("backward", saved.weight.dims(), saved.x.dims(), unit));
    on_backend_of!(grad, B => {
        let saved = SavedOf::<B> {
            x: owned::<B, 4>(saved.x),
            weight: owned::<B, 4>(saved.weight),
            gamma: owned::<B, 1>(saved.gamma),
            beta: owned::<B, 1>(saved.beta),
            y: owned::<B, 4>(saved.y),
            z: owned::<B, 4>(saved.z),
            mean: owned::<B, 1>(saved.mean),
            inv_std: owned::<B, 1>(saved.inv_std),
        };
        let add = add.map(owned::<B, 4>);
        let (GradsOf { weight, gamma, beta }, x, residual) =
            B::conv_bn_backward(owned::<B, 4>(grad), saved, add, *unit, needs);
        Grads {
            weight: typed::<B, 4>(weight),
            gamma: typed::<B, 1>(gamma),
            beta: typed::<B, 1>(beta),
            x: x.map(typed::<B, 4>),
            residual: residual.map(typed::<B, 4>),
        }
    })
}

/// See [`Kernels::conv_bn_eval`].
pub fn conv_bn_eval(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    norm: &Norm,
    residual: Option<&Tensor<4>>,
    unit: &Unit,
) -> Tensor<4> {
    let _time = tally::time(|| unit_name("inference", weight.dims(), x.dims(), unit));
    on_backend_of!(x, B => {
        let residual = residual.map(raw::<B, 4>);
        typed::<B, 4>(B::conv_bn_eval(&raw::<B, 4>(x), &raw::<B, 4>(weight), raw_norm::<B>(norm), residual, *unit))
    })
}

/// See [`Kernels::max_pool`].
pub fn max_pool(x: &Tensor<4>, window: Window) -> Tensor<4> {
    let _time = tally::time(|| "max-pool".into());
    on_backend_of!(x, B => typed::<B, 4>(B::max_pool(&raw::<B, 4>(x), window)))
}

/// See [`Kernels::max_pool_backward`].
pub fn max_pool_backward(grad: Tensor<4>, x: &Tensor<4>, y: &Tensor<4>, window: Window) -> Tensor<4> {
    let _time = tally::time(|| "max-pool backward".into());
    on_backend_of!(x, B => {
        typed::<B, 4>(B::max_pool_backward(owned::<B, 4>(grad), &raw::<B, 4>(x), &raw::<B, 4>(y), window))
    })
}

/// Features and logits. See [`Kernels::head`].
pub fn head(x: &Tensor<4>, weight: &Tensor<2>, bias: &Tensor<1>) -> (Tensor<2>, Tensor<2>) {
    let _time = tally::time(|| "head".into());
    on_backend_of!(x, B => {
        let (features, logits) = B::head(&raw::<B, 4>(x), &raw::<B, 2>(weight), &raw::<B, 1>(bias));
        (typed::<B, 2>(features), typed::<B, 2>(logits))
    })
}

/// Gradients of weight, bias and input. See [`Kernels::head_backward`].
pub fn head_backward(
    grad: Tensor<2>,
    features: &Tensor<2>,
    weight: &Tensor<2>,
    pixels: [usize; 2],
    input: bool,
) -> (Tensor<2>, Tensor<1>, Option<Tensor<4>>) {
    let _time = tally::time(|| "head backward".into());
    on_backend_of!(features, B => {
        let (features, weight) = (raw::<B, 2>(features), raw::<B, 2>(weight));
        let (weight, bias, x) = B::head_backward(owned::<B, 2>(grad), &features, &weight, pixels, input);
        (typed::<B, 2>(weight), typed::<B, 1>(bias), x.map(typed::<B, 4>))
    })
}

/// Gradient of the mean loss, losses, and metrics. See [`Kernels::cross_entropy`].
pub fn cross_entropy(
    logits: &Tensor<2>,
    targets: &Targets,
    metrics: Tensor<1>,
    smoothing: f32,
    weights: Option<&Tensor<1>>,
    status: Option<&Tensor<1>>,
) -> (Tensor<2>, Tensor<1>, Tensor<1>) {
    let _time = tally::time(|| "loss".into());
    on_backend_of!(logits, B => {
        let (first, second) = (raw_int::<B>(&targets.first), raw_int::<B>(&targets.second));
        let (logits, share, metrics) = (raw::<B, 2>(logits), raw::<B, 1>(&targets.share), owned::<B, 1>(metrics));
        let objective = ObjectiveOf { smoothing, weights: weights.map(raw::<B, 1>), status: status.map(raw::<B, 1>) };
        let (grad, losses, metrics) = B::cross_entropy(&logits, first, second, share, metrics, objective);
        (typed::<B, 2>(grad), typed::<B, 1>(losses), typed::<B, 1>(metrics))
    })
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
    let _time = tally::time(|| "update".into());
    on_backend_of!(status, B => {
        let take = |list: Vec<DispatchTensor>| list.into_iter().map(raw_any::<B>).collect::<Vec<_>>();
        let give = |list: Vec<FloatTensor<B>>| list.into_iter().map(any::<B>).collect::<Vec<_>>();
        let (parameters, first, second, ema, running, status) = B::optimise(
            take(state.parameters),
            take(gradients),
            take(state.first),
            take(state.second),
            take(state.ema),
            take(state.running),
            take(running),
            owned::<B, 1>(status),
            factors,
            update,
        );
        let state = State {
            parameters: give(parameters),
            first: give(first),
            second: give(second),
            ema: give(ema),
            running: give(running),
        };
        (state, typed::<B, 1>(status))
    })
}
