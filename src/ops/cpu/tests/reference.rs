//! The operations written as their definitions read, in double precision.

use crate::{
    data::rng::Rng,
    ops::{Activation, cpu::Geometry},
};

/// Floats that look random and are the same everywhere (a splitmix64 sequence), in -1..1.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut rng = Rng::at(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed);
    std::iter::repeat_with(|| 2.0 * rng.unit() - 1.0).take(len).collect()
}

pub(crate) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

/// Calls `f(output index, input index, weight index)` for every product of a convolution.
fn products(geometry: &Geometry, mut f: impl FnMut(usize, usize, usize)) {
    let [n, h, w, ci] = geometry.input;
    let [_, oh, ow, co] = geometry.output();
    let window = geometry.window;
    for image in 0..n {
        for oy in 0..oh {
            for ox in 0..ow {
                for ky in 0..window.kernel[0] {
                    for kx in 0..window.kernel[1] {
                        let y = (oy * window.stride[0] + ky).wrapping_sub(window.pad[0][0]);
                        let x = (ox * window.stride[1] + kx).wrapping_sub(window.pad[1][0]);
                        if y >= h || x >= w {
                            continue;
                        }
                        // Inputs and outputs of a group.
                        let (gi, go) = (ci / geometry.groups, co / geometry.groups);
                        for i in 0..gi {
                            for o in 0..co {
                                f(
                                    ((image * oh + oy) * ow + ox) * co + o,
                                    ((image * h + y) * w + x) * ci + o / go * gi + i,
                                    ((ky * window.kernel[1] + kx) * gi + i) * co + o,
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

pub(crate) struct Forward {
    pub z: Vec<f64>,
    pub mean: Vec<f64>,
    pub var: Vec<f64>,
    pub y: Vec<f64>,
}

pub(crate) struct Operands {
    pub x: Vec<f64>,
    pub w: Vec<f64>,
    pub gamma: Vec<f64>,
    pub beta: Vec<f64>,
    pub residual: Option<Vec<f64>>,
}

/// Convolution and batch normalisation; `fixed` are running statistics in place of the batch's.
pub(crate) fn forward(
    geometry: &Geometry,
    o: &Operands,
    activation: Activation,
    eps: f64,
    fixed: Option<(&[f64], &[f64])>,
) -> Forward {
    let co = geometry.co;
    let mut z = vec![0.0; geometry.output_len()];
    products(geometry, |out, input, weight| z[out] += o.x[input] * o.w[weight]);
    let count = (z.len() / co) as f64;
    let (mut mean, mut var) = (vec![0.0; co], vec![0.0; co]);
    match fixed {
        Some((m, v)) => (mean, var) = (m.to_vec(), v.to_vec()),
        None => {
            z.iter().enumerate().for_each(|(i, z)| mean[i % co] += z / count);
            z.iter().enumerate().for_each(|(i, z)| var[i % co] += (z - mean[i % co]).powi(2) / count);
        }
    }
    let y = z.iter().enumerate().map(|(i, z)| {
        let c = i % co;
        let value = o.gamma[c] * (z - mean[c]) / (var[c] + eps).sqrt()
            + o.beta[c]
            + o.residual.as_ref().map_or(0.0, |residual| residual[i]);
        activate(value, activation)
    });
    let y = y.collect();
    Forward { z, mean, var, y }
}

fn activate(value: f64, activation: Activation) -> f64 {
    match activation {
        Activation::None => value,
        Activation::Relu => value.max(0.0),
        Activation::Relu6 => value.clamp(0.0, 6.0),
    }
}

/// Whether the gradient of a result passes.
fn passes(y: f64, activation: Activation) -> bool {
    match activation {
        Activation::None => true,
        Activation::Relu => y > 0.0,
        Activation::Relu6 => y > 0.0 && y < 6.0,
    }
}

pub(crate) struct Gradients {
    pub x: Vec<f64>,
    pub w: Vec<f64>,
    pub gamma: Vec<f64>,
    pub beta: Vec<f64>,
    pub residual: Vec<f64>,
    /// Largest sum of the sizes of the terms of a gradient of the input, of a weight, of beta and of gamma: they may cancel.
    pub terms: [f64; 4],
}

pub(crate) fn backward(
    geometry: &Geometry,
    o: &Operands,
    f: &Forward,
    activation: Activation,
    eps: f64,
    g: &[f64],
) -> Gradients {
    let co = geometry.co;
    let residual: Vec<f64> = g.iter().zip(&f.y).map(|(g, y)| if passes(*y, activation) { *g } else { 0.0 }).collect();
    let inv: Vec<f64> = f.var.iter().map(|v| 1.0 / (v + eps).sqrt()).collect();
    let (mut gamma, mut beta) = (vec![0.0; co], vec![0.0; co]);
    let (mut size_gamma, mut size_beta) = (vec![0.0; co], vec![0.0; co]);
    for (i, m) in residual.iter().enumerate() {
        let term = m * (f.z[i] - f.mean[i % co]) * inv[i % co];
        beta[i % co] += m;
        gamma[i % co] += term;
        size_beta[i % co] += m.abs();
        size_gamma[i % co] += term.abs();
    }
    let count = (g.len() / co) as f64;
    let dz: Vec<f64> = (0..g.len())
        .map(|i| {
            let c = i % co;
            let normal = (f.z[i] - f.mean[c]) * inv[c];
            o.gamma[c] * inv[c] * (residual[i] - beta[c] / count - normal * gamma[c] / count)
        })
        .collect();
    let size = |i: usize| {
        let c = i % co;
        let normal = (f.z[i] - f.mean[c]) * inv[c];
        (o.gamma[c] * inv[c]).abs() * (residual[i].abs() + (beta[c] / count).abs() + (normal * gamma[c] / count).abs())
    };
    let sizes: Vec<f64> = (0..g.len()).map(size).collect();
    let (mut x, mut w) = (vec![0.0; o.x.len()], vec![0.0; o.w.len()]);
    let (mut size_x, mut size_w) = (x.clone(), w.clone());
    products(geometry, |out, input, weight| {
        x[input] += dz[out] * o.w[weight];
        w[weight] += dz[out] * o.x[input];
        size_x[input] += (sizes[out] * o.w[weight]).abs();
        size_w[weight] += (sizes[out] * o.x[input]).abs();
    });
    let largest = |of: Vec<f64>| of.into_iter().fold(0.0, f64::max);
    let terms = [size_x, size_w, size_beta, size_gamma].map(largest);
    Gradients { x, w, gamma, beta, residual, terms }
}

/// Fails where `got` is further from `want` than `tolerance` times the largest value of `want` (or of 1e-3).
pub(crate) fn close(what: &str, got: &[f32], want: &[f64], tolerance: f64) {
    within(what, got, want, want.iter().fold(1e-3f64, |m, v| m.max(v.abs())), tolerance);
}

/// Fails where `got` is further from `want` than `tolerance * scale`.
pub(crate) fn within(what: &str, got: &[f32], want: &[f64], scale: f64, tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let apart = (f64::from(*got) - want).abs();
        assert!(apart <= tolerance * scale, "{what}[{i}]: {got} instead of {want}, scale {scale}");
    }
}
