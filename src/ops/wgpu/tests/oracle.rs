//! The operations as plain loops in `f64`.

use crate::ops::wgpu::conv::Conv;

/// Calls `visit(input pixel, output pixel, tap)` for every product that a convolution forms.
pub(crate) fn each_product(conv: &Conv, mut visit: impl FnMut(usize, usize, usize)) {
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
    let (ci, co) = (conv.ci, conv.co);
    let mut z = vec![0.0; pixels(conv).1 * co];
    each_product(conv, |from, to, tap| {
        for a in 0..ci {
            for b in 0..co {
                z[to * co + b] += x[from * ci + a] * weight[(tap * ci + a) * co + b];
            }
        }
    });
    z
}

pub(crate) fn input_gradient(conv: &Conv, grad: &[f64], weight: &[f64]) -> Vec<f64> {
    let (ci, co) = (conv.ci, conv.co);
    let mut dx = vec![0.0; pixels(conv).0 * ci];
    each_product(conv, |from, to, tap| {
        for a in 0..ci {
            for b in 0..co {
                dx[from * ci + a] += grad[to * co + b] * weight[(tap * ci + a) * co + b];
            }
        }
    });
    dx
}

pub(crate) fn weight_gradient(conv: &Conv, x: &[f64], grad: &[f64]) -> Vec<f64> {
    let (ci, co) = (conv.ci, conv.co);
    let mut dw = vec![0.0; conv.window.kernel[0] * conv.window.kernel[1] * ci * co];
    each_product(conv, |from, to, tap| {
        for a in 0..ci {
            for b in 0..co {
                dw[(tap * ci + a) * co + b] += grad[to * co + b] * x[from * ci + a];
            }
        }
    });
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

/// `relu?(gamma (z - mean) / sqrt(var + eps) + beta + residual?)`
#[expect(clippy::too_many_arguments, reason = "the formula has them")]
pub(crate) fn normalise(
    z: &[f64],
    mean: &[f64],
    var: &[f64],
    gamma: &[f64],
    beta: &[f64],
    residual: Option<&[f64]>,
    relu: bool,
    eps: f64,
) -> Vec<f64> {
    let c = gamma.len();
    let one = |(i, v): (usize, &f64)| {
        let k = i % c;
        let y = gamma[k] * (v - mean[k]) / (var[k] + eps).sqrt() + beta[k] + residual.map_or(0.0, |r| r[i]);
        if relu { y.max(0.0) } else { y }
    };
    z.iter().enumerate().map(one).collect()
}

pub(crate) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}
