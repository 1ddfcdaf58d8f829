//! The operations as plain loops in `f64`.

use crate::ops::{Activation, wgpu::conv::Conv};

/// Calls `visit(input value, output value, weight)` for every product that a convolution forms.
fn each_product(conv: &Conv, mut visit: impl FnMut(usize, usize, usize)) {
    let [a, b] = [conv.ci, conv.co].map(|channels| channels / conv.groups);
    each_tap(conv, |from, to, tap| {
        for i in 0..a {
            for o in 0..conv.co {
                visit(from * conv.ci + o / b * a + i, to * conv.co + o, (tap * a + i) * conv.co + o);
            }
        }
    });
}

/// Calls `visit(input pixel, output pixel, tap)` for all that meet.
pub(crate) fn each_tap(conv: &Conv, mut visit: impl FnMut(usize, usize, usize)) {
    let ([oh, ow], window, [h, w]) = (conv.output(), conv.window, conv.input);
    for out in 0..conv.batch * oh * ow {
        let (image, oy, ox) = (out / (oh * ow), out / ow % oh, out % ow);
        for tap in 0..window.kernel[0] * window.kernel[1] {
            let (ky, kx) = (tap / window.kernel[1], tap % window.kernel[1]);
            let y = (oy * window.stride[0] + ky).checked_sub(window.pad[0][0]).filter(|&y| y < h);
            let x = (ox * window.stride[1] + kx).checked_sub(window.pad[1][0]).filter(|&x| x < w);
            if let (Some(y), Some(x)) = (y, x) {
                visit((image * h + y) * w + x, out, tap);
            }
        }
    }
}

fn pixels(conv: &Conv) -> (usize, usize) {
    let [oh, ow] = conv.output();
    (conv.batch * conv.input[0] * conv.input[1], conv.batch * oh * ow)
}

pub(crate) fn forward(conv: &Conv, x: &[f64], weight: &[f64]) -> Vec<f64> {
    let mut z = vec![0.0; pixels(conv).1 * conv.co];
    each_product(conv, |from, to, at| z[to] += x[from] * weight[at]);
    z
}

pub(crate) fn input_gradient(conv: &Conv, grad: &[f64], weight: &[f64]) -> Vec<f64> {
    let mut dx = vec![0.0; pixels(conv).0 * conv.ci];
    each_product(conv, |from, to, at| dx[from] += grad[to] * weight[at]);
    dx
}

pub(crate) fn weight_gradient(conv: &Conv, x: &[f64], grad: &[f64]) -> Vec<f64> {
    let mut dw = vec![0.0; conv.window.kernel[0] * conv.window.kernel[1] * conv.ci / conv.groups * conv.co];
    each_product(conv, |from, to, at| dw[at] += grad[to] * x[from]);
    dw
}

/// Mean and biased variance of each of `c` channels.
pub(crate) fn moments(z: &[f64], c: usize) -> (Vec<f64>, Vec<f64>) {
    let count = (z.len() / c) as f64;
    let (mut mean, mut var) = (vec![0.0; c], vec![0.0; c]);
    for (i, v) in z.iter().enumerate() {
        mean[i % c] += v / count;
    }
    for (i, v) in z.iter().enumerate() {
        var[i % c] += (v - mean[i % c]).powi(2) / count;
    }
    (mean, var)
}

/// `activation(gamma (z - mean) / sqrt(var + eps) + beta + residual?)`
#[expect(clippy::too_many_arguments, reason = "the formula has them")]
pub(crate) fn normalise(
    z: &[f64],
    mean: &[f64],
    var: &[f64],
    gamma: &[f64],
    beta: &[f64],
    residual: Option<&[f64]>,
    activation: Activation,
    eps: f64,
) -> Vec<f64> {
    let c = gamma.len();
    let one = |(i, v): (usize, &f64)| {
        let k = i % c;
        let y = gamma[k] * (v - mean[k]) / (var[k] + eps).sqrt() + beta[k] + residual.map_or(0.0, |r| r[i]);
        match activation {
            Activation::None => y,
            Activation::Relu => y.max(0.0),
            Activation::Relu6 => y.clamp(0.0, 6.0),
        }
    };
    z.iter().enumerate().map(one).collect()
}

pub(crate) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}
