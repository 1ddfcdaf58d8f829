//! The operations written with plain burn tensors: short, slow, and right. They are the oracle that the fast sides
//! are held against, and what `--ops reference` measures: burn's stock kernels, differentiated by burn's `Autodiff`.

use super::{
    Norm, Targets, Unit, Window,
    fast::State,
    kernels::{Factors, Rule, Status, Update},
};
use burn::backend::TensorMetadata;
use burn::tensor::{
    DispatchTensor, Int, Tensor,
    activation::{log_softmax, relu},
    module::{batch_norm_train, conv2d, max_pool2d},
    ops::{ConvOptions, PadMode},
};

/// Batch normalisation's output and the running statistics after it.
pub struct Trained {
    pub y: Tensor<4>,
    pub mean: Tensor<1>,
    pub var: Tensor<1>,
}

fn to_nchw(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 3, 1, 2])
}

fn to_nhwc(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 2, 3, 1])
}

/// The window's padding as far as burn's operation can do it, the rest filled with `value` beforehand.
fn pad(x: Tensor<4>, window: Window, value: f32) -> (Tensor<4>, [usize; 2]) {
    let [[top, bottom], [left, right]] = window.pad;
    if top == bottom && left == right {
        (x, [top, left])
    } else {
        (x.pad((left, right, top, bottom), PadMode::Constant(value)), [0, 0])
    }
}

/// `[N, Ci, H, W]` by `[kh, kw, Ci, Co]` to `[N, Co, oh, ow]`.
fn convolve_nchw(x: Tensor<4>, weight: Tensor<4>, window: Window) -> Tensor<4> {
    let (x, padding) = pad(x, window, 0.0);
    conv2d(x, weight.permute([3, 2, 0, 1]), None, ConvOptions::new(window.stride, padding, [1, 1], 1))
}

/// Convolution of `[N, H, W, Ci]` by `[kh, kw, Ci, Co]`.
pub fn conv(x: Tensor<4>, weight: Tensor<4>, window: Window) -> Tensor<4> {
    to_nhwc(convolve_nchw(to_nchw(x), weight, window))
}

/// Convolution, batch normalisation by the batch's own statistics, residual, ReLU.
pub fn conv_bn_train(
    x: Tensor<4>,
    weight: Tensor<4>,
    norm: &Norm,
    residual: Option<Tensor<4>>,
    unit: &Unit,
) -> Trained {
    let z = convolve_nchw(to_nchw(x), weight, unit.window);
    let [n, _, h, w] = z.dims();
    let out = batch_norm_train(z, norm.gamma.clone(), norm.beta.clone(), unit.eps.into());
    let count = (n * h * w) as f32;
    // PyTorch keeps the unbiased variance; one value has none.
    let unbiased = out.variance * (count / (count - 1.0).max(1.0));
    let blend = |old: &Tensor<1>, new: Tensor<1>| old.clone() * (1.0 - unit.momentum) + new * unit.momentum;
    Trained {
        y: finish(to_nhwc(out.output), residual, unit.relu),
        mean: blend(&norm.mean, out.mean),
        var: blend(&norm.var, unbiased),
    }
}

/// Convolution, batch normalisation by the running statistics, residual, ReLU.
pub fn conv_bn_eval(
    x: Tensor<4>,
    weight: Tensor<4>,
    norm: &Norm,
    residual: Option<Tensor<4>>,
    unit: &Unit,
) -> Tensor<4> {
    let channels = norm.gamma.dims()[0];
    let scale = norm.gamma.clone() / (norm.var.clone() + unit.eps).sqrt();
    let shift = norm.beta.clone() - norm.mean.clone() * scale.clone();
    let row = |t: Tensor<1>| t.reshape([1, 1, 1, channels]);
    finish(conv(x, weight, unit.window) * row(scale) + row(shift), residual, unit.relu)
}

fn finish(y: Tensor<4>, residual: Option<Tensor<4>>, rectify: bool) -> Tensor<4> {
    let y = match residual {
        Some(residual) => y + residual,
        None => y,
    };
    if rectify { relu(y) } else { y }
}

/// Max-pool; what lies outside the image never wins.
pub fn max_pool(x: Tensor<4>, window: Window) -> Tensor<4> {
    let (x, padding) = pad(to_nchw(x), window, f32::MIN);
    let options =
        burn::tensor::ops::MaxPoolOptions::new(window.kernel).with_stride(window.stride).with_padding(padding);
    to_nhwc(max_pool2d(x, options))
}

/// Mean over the pixels of `[N, H, W, C]`, then a matrix product with `[C, K]`, plus the bias.
pub fn head(x: Tensor<4>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let [n, h, w, c] = x.dims();
    let features = x.reshape([n, h * w, c]).mean_dim(1).reshape([n, c]);
    features.matmul(weight) + bias.unsqueeze()
}

/// Softmax cross-entropy of `[N, K]`, one loss a sample: `[N]`. With class weights `[K]` the losses are those parts of
/// the weighted mean whose plain mean it is.
pub fn cross_entropy(logits: Tensor<2>, targets: &Targets, smoothing: f32, weights: Option<&Tensor<1>>) -> Tensor<1> {
    let [n, classes] = logits.dims();
    let log_p = log_softmax(logits, 1);
    let weighted = match weights {
        Some(weights) => log_p * weights.clone().reshape([1, classes]),
        None => log_p,
    };
    let mixed = |first: Tensor<1>, second: Tensor<1>| {
        let share = targets.share.clone();
        first * share.clone() + second * (share.neg() + 1.0)
    };
    let pick = |label: &Tensor<1, Int>| weighted.clone().gather(1, label.clone().reshape([n, 1])).reshape([n]);
    let hard = mixed(pick(&targets.first), pick(&targets.second));
    let even = weighted.clone().sum_dim(1).reshape([n]) / classes as f32;
    let losses = (hard * (1.0 - smoothing) + even * smoothing).neg();
    match weights {
        Some(weights) => {
            let of = |label: &Tensor<1, Int>| weights.clone().gather(0, label.clone());
            losses * n as f32 / mixed(of(&targets.first), of(&targets.second)).sum()
        }
        None => losses,
    }
}

/// [`super::kernels::Kernels::optimise`], a parameter at a time. Reads the gradient's norm back to decide, so it waits
/// for the device once a step.
pub fn optimise(
    state: State,
    gradients: Vec<DispatchTensor>,
    running: Vec<DispatchTensor>,
    status: Tensor<1>,
    factors: Vec<Factors>,
    update: Update,
) -> (State, Tensor<1>) {
    let device = status.device();
    let before = read_status(status);
    let scale = if update.scaled { before.scale } else { 1.0 };
    // A flat view is all that an element-wise rule needs.
    let flat = |t: DispatchTensor| -> (Vec<usize>, Tensor<1>) {
        let shape: Vec<usize> = t.shape().iter().copied().collect();
        let count: usize = shape.iter().product();
        (shape, from_dispatch_any(t).reshape([count]))
    };
    let gradients: Vec<Tensor<1>> = gradients.into_iter().map(|g| flat(g).1 / scale).collect();
    let sums: Vec<Tensor<1>> = gradients.iter().map(|g| g.clone().powf_scalar(2.0).sum()).collect();
    let norm = Tensor::cat(sums, 0).sum().sqrt().into_scalar::<f32>();
    let (after, go) = before.after(norm, update.scaled);
    let status = after.on(&device);
    if !go {
        return (state, status);
    }
    let clip = if update.clip_norm > 0.0 { (update.clip_norm / (norm + 1e-6)).min(1.0) } else { 1.0 };
    let mut out = State { running, ..State::default() };
    let (mut first, mut second, mut ema) = (state.first.into_iter(), state.second.into_iter(), state.ema.into_iter());
    for ((p, g), factors) in state.parameters.into_iter().zip(gradients).zip(factors) {
        let (shape, p) = flat(p);
        let (lr, decay) = (update.lr * factors.lr, update.weight_decay * factors.weight_decay);
        let g = g * clip;
        let keep = |list: &mut Vec<DispatchTensor>, t: Tensor<1>| list.push(shaped(t, &shape));
        let p = match update.rule {
            Rule::Sgd { momentum, nesterov } => {
                let g = g + p.clone() * decay;
                let step = if momentum == 0.0 {
                    first.next();
                    keep(&mut out.first, p.zeros_like());
                    g
                } else {
                    let buffer = first.next().map_or_else(|| p.zeros_like(), |m| flat(m).1) * momentum + g.clone();
                    keep(&mut out.first, buffer.clone());
                    if nesterov { g + buffer * momentum } else { buffer }
                };
                p - step * lr
            }
            Rule::AdamW { beta1, beta2, eps, step } => {
                let p = p * (1.0 - lr * decay);
                let m = first.next().map_or_else(|| p.zeros_like(), |m| flat(m).1);
                let v = second.next().map_or_else(|| p.zeros_like(), |v| flat(v).1);
                let m = m * beta1 + g.clone() * (1.0 - beta1);
                let v = v * beta2 + g.powf_scalar(2.0) * (1.0 - beta2);
                keep(&mut out.first, m.clone());
                keep(&mut out.second, v.clone());
                let correct = |beta: f64| 1.0 - beta.powi(step.min(i32::MAX as u64) as i32);
                let (bias1, bias2) = (correct(beta1) as f32, correct(beta2).sqrt() as f32);
                p - m / (v.sqrt() / bias2 + eps) * (lr / bias1)
            }
        };
        if update.ema_decay > 0.0 {
            let average = ema.next().map_or_else(|| p.clone(), |e| flat(e).1);
            keep(&mut out.ema, average * update.ema_decay + p.clone() * (1.0 - update.ema_decay));
        }
        keep(&mut out.parameters, p);
    }
    (out, status)
}

fn read_status(status: Tensor<1>) -> Status {
    Status::of(&status.into_data().iter::<f32>().collect::<Vec<_>>())
}

/// The loss whose gradient is wanted: the mean over the batch, times the scale in a status.
pub fn objective(losses: Tensor<1>, status: Option<&Tensor<1>>) -> Tensor<1> {
    let scale = status.map_or(1.0, |status| read_status(status.clone()).scale);
    losses.mean() * scale
}

/// A raw tensor of rank 1, 2 or 4 as one row.
fn from_dispatch_any(t: DispatchTensor) -> Tensor<1> {
    match t.shape().num_dims() {
        1 => Tensor::<1>::from_dispatch(t),
        2 => Tensor::<2>::from_dispatch(t).flatten(0, 1),
        _ => Tensor::<4>::from_dispatch(t).flatten(0, 3),
    }
}

fn shaped(t: Tensor<1>, shape: &[usize]) -> DispatchTensor {
    match *shape {
        [a, b] => t.reshape([a, b]).into_dispatch(),
        [a, b, c, d] => t.reshape([a, b, c, d]).into_dispatch(),
        _ => t.into_dispatch(),
    }
}
