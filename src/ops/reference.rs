//! The operations written with plain burn tensors: short, slow, and right. They are the oracle that the fast sides
//! are held against, and what `--ops reference` measures: burn's stock kernels, differentiated by burn's `Autodiff`.

use super::{Norm, Targets, Unit, Window};
use burn::tensor::{
    Tensor,
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
    let options = burn::tensor::ops::MaxPoolOptions::new(window.kernel, window.stride, padding, [1, 1], false);
    to_nhwc(max_pool2d(x, options))
}

/// Mean over the pixels of `[N, H, W, C]`, then a matrix product with `[C, K]`, plus the bias.
pub fn head(x: Tensor<4>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let [n, h, w, c] = x.dims();
    let features = x.reshape([n, h * w, c]).mean_dim(1).reshape([n, c]);
    features.matmul(weight) + bias.unsqueeze()
}

/// Softmax cross-entropy of `[N, K]`, one loss a sample: `[N]`.
pub fn cross_entropy(logits: Tensor<2>, targets: &Targets, smoothing: f32) -> Tensor<1> {
    let [n, classes] = logits.dims();
    let log_p = log_softmax(logits, 1);
    let pick = |label: &Tensor<1, burn::tensor::Int>| log_p.clone().gather(1, label.clone().reshape([n, 1])).reshape([n]);
    let share = targets.share.clone();
    let hard = pick(&targets.first) * share.clone() + pick(&targets.second) * (share.neg() + 1.0);
    let even = log_p.clone().sum_dim(1).reshape([n]) / classes as f32;
    (hard * (1.0 - smoothing) + even * smoothing).neg()
}
