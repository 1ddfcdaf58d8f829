//! Pooling, the head, the loss and the optimiser.

use super::reference::{close, noise, wide};
use crate::ops::cpu::optim::optimise;
use crate::ops::cpu::*;
use crate::ops::{
    Window,
    optimizers::{AdamW, Lion, Rule, Sgd},
};

#[test]
fn the_pool_and_its_gradient_follow_the_first_maximum() {
    let windows = [
        Window { kernel: [3, 3], stride: [2, 2], pad: [[1, 1], [1, 1]] },
        Window { kernel: [3, 3], stride: [2, 2], pad: [[0, 1], [0, 1]] },
        Window { kernel: [2, 2], stride: [2, 2], pad: [[0, 0], [0, 0]] },
    ];
    for level in Level::available() {
        for window in windows {
            for [n, h, w, c] in [[2, 7, 6, 5], [1, 2, 2, 1], [3, 8, 8, 19]] {
                let [oh, ow] = window.output([h, w]);
                // Few different values, so that there are ties.
                let x: Vec<f32> = noise(n * h * w * c, 1).iter().map(|v| (v * 3.0).round()).collect();
                let g = noise(n * oh * ow * c, 2);
                let (mut y, mut dx) = (vec![f32::NAN; g.len()], vec![f32::NAN; x.len()]);
                max_pool(level, [n, h, w, c], window, &x, &mut y);
                max_pool_backward(level, [n, h, w, c], window, &g, &x, &y, &mut dx);
                let mut want = vec![0.0f64; x.len()];
                for i in 0..g.len() {
                    let (channel, ox, oy, image) = (i % c, i / c % ow, i / c / ow % oh, i / c / ow / oh);
                    let mut best: Option<usize> = None;
                    for ky in 0..window.kernel[0] {
                        for kx in 0..window.kernel[1] {
                            let iy = (oy * window.stride[0] + ky).wrapping_sub(window.pad[0][0]);
                            let ix = (ox * window.stride[1] + kx).wrapping_sub(window.pad[1][0]);
                            if iy < h && ix < w {
                                let at = ((image * h + iy) * w + ix) * c + channel;
                                if best.is_none_or(|best| x[at] > x[best]) {
                                    best = Some(at);
                                }
                            }
                        }
                    }
                    let best = best.expect("every window of these tests meets the image");
                    assert_eq!(y[i], x[best]);
                    want[best] += f64::from(g[i]);
                }
                close("pool gradient", &dx, &want, 1e-6);
            }
        }
    }
}

#[test]
fn an_average_counts_what_is_inside() {
    let windows = [
        Window { kernel: [2, 2], stride: [2, 2], pad: [[0, 1], [0, 0]] },
        Window { kernel: [3, 2], stride: [1, 3], pad: [[1, 1], [0, 1]] },
    ];
    for level in Level::available() {
        for window in windows {
            for shape @ [n, h, w, c] in [[2, 7, 6, 5], [1, 1, 2, 1], [3, 9, 8, 19]] {
                let [oh, ow] = window.output([h, w]);
                let (x, g) = (noise(n * h * w * c, 1), noise(n * oh * ow * c, 2));
                let (mut y, mut dx) = (vec![f32::NAN; g.len()], vec![f32::NAN; x.len()]);
                average_pool(level, shape, window, &x, &mut y);
                average_pool_backward(level, shape, window, &g, &mut dx);
                let (mut want, mut want_x) = (vec![0.0f64; g.len()], vec![0.0f64; x.len()]);
                for i in 0..g.len() {
                    let (channel, ox, oy, image) = (i % c, i / c % ow, i / c / ow % oh, i / c / ow / oh);
                    let mut inside = Vec::new();
                    for ky in 0..window.kernel[0] {
                        for kx in 0..window.kernel[1] {
                            let iy = (oy * window.stride[0] + ky).wrapping_sub(window.pad[0][0]);
                            let ix = (ox * window.stride[1] + kx).wrapping_sub(window.pad[1][0]);
                            if iy < h && ix < w {
                                inside.push(((image * h + iy) * w + ix) * c + channel);
                            }
                        }
                    }
                    want[i] = inside.iter().map(|&at| f64::from(x[at])).sum::<f64>() / inside.len() as f64;
                    inside.iter().for_each(|&at| want_x[at] += f64::from(g[i]) / inside.len() as f64);
                }
                close("averages", &y, &want, 1e-6);
                close("gradient of the averages", &dx, &want_x, 1e-6);
            }
        }
    }
}

#[test]
fn silu_and_its_slope_match_their_definition() {
    let x: Vec<f32> = noise(40_003, 1).iter().map(|v| v * 12.0).chain([-1e4, 1e4, 0.0]).collect();
    let g = noise(x.len(), 2);
    let of = |x: f64| x / (1.0 + (-x).exp());
    let (mut y, mut dx) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]);
    silu(&x, &mut y);
    silu_backward(&g, &x, &mut dx);
    close("SiLU", &y, &wide(&x).into_iter().map(of).collect::<Vec<_>>(), 1e-6);
    let slope = |x: f64| (of(x + 1e-4) - of(x - 1e-4)) / 2e-4;
    let want: Vec<f64> = wide(&x).into_iter().zip(wide(&g)).map(|(x, g)| g * slope(x)).collect();
    close("gradient of SiLU", &dx, &want, 1e-5);
}

#[test]
fn the_head_and_its_gradient_match_their_definition() {
    for level in Level::available() {
        for ([n, h, w, c], k) in [([3, 4, 5, 7], 10), ([1, 1, 1, 1], 1), ([9, 2, 2, 64], 33)] {
            let (x, weights, b) = (noise(n * h * w * c, 1), noise(c * k, 2), noise(k, 3));
            let (mut features, mut logits) = (vec![f32::NAN; n * c], vec![f32::NAN; n * k]);
            head(level, [n, h, w, c], &x, &weights, &b, &mut features, &mut logits);
            let mut means = vec![0.0f64; n * c];
            for (i, x) in x.iter().enumerate() {
                means[i / (h * w * c) * c + i % c] += f64::from(*x) / (h * w) as f64;
            }
            let at =
                |i: usize, j: usize| -> f64 { (0..c).map(|m| means[i * c + m] * f64::from(weights[m * k + j])).sum() };
            let want: Vec<f64> = (0..n * k).map(|i| at(i / k, i % k) + f64::from(b[i % k])).collect();
            close("features", &features, &means, 1e-6);
            close("logits", &logits, &want, 1e-6);

            let g = noise(n * k, 4);
            let (mut dx, mut dw, mut db) = (vec![f32::NAN; x.len()], vec![f32::NAN; c * k], vec![f32::NAN; k]);
            head_backward(level, [n, h, w, c], &g, &features, &weights, Some(&mut dx), &mut dw, &mut db);
            let of = |i: usize, j: usize| f64::from(g[i * k + j]);
            let want_w: Vec<f64> =
                (0..c * k).map(|m| (0..n).map(|i| means[i * c + m / k] * of(i, m % k)).sum()).collect();
            let want_b: Vec<f64> = (0..k).map(|j| (0..n).map(|i| of(i, j)).sum()).collect();
            let want_x = (0..x.len()).map(|p| {
                let (i, m) = (p / (h * w * c), p % c);
                (0..k).map(|j| of(i, j) * f64::from(weights[m * k + j])).sum::<f64>() / (h * w) as f64
            });
            close("weight gradient", &dw, &want_w, 1e-5);
            close("bias gradient", &db, &want_b, 1e-5);
            close("input gradient", &dx, &want_x.collect::<Vec<_>>(), 1e-5);
        }
    }
}

#[test]
fn the_loss_matches_its_definition_and_its_slope() {
    let (n, k) = (6, 5);
    let logits: Vec<f32> = noise(n * k, 1).iter().map(|v| v * 8.0).collect();
    let (a, b) = ([0, 1, 2, 3, 4, 0], [1, 1, 0, 3, 2, 4]);
    let lambda = [1.0, 0.5, 0.3, 0.9, 0.0, 0.7];
    for weights in [None, Some(&[0.2, 3.0, 1.0, 0.01, 1.7][..])] {
        let targets = Targets { a: &a, b: &b, lambda: &lambda, smoothing: 0.1, weights };
        let weight = |j: usize| weights.map_or(1.0, |weights| f64::from(weights[j]));
        let of_labels = (0..n).map(|i| {
            let lambda = f64::from(lambda[i]);
            lambda * weight(a[i] as usize) + (1.0 - lambda) * weight(b[i] as usize)
        });
        let of_labels: f64 = of_labels.sum();
        let loss = |logits: &[f64], weight: &dyn Fn(usize) -> f64| -> f64 {
            let mut total = 0.0;
            for (i, row) in logits.chunks(k).enumerate() {
                let sum: f64 = row.iter().map(|v| v.exp()).sum();
                for (j, v) in row.iter().enumerate() {
                    let hit = f64::from(lambda[i]) * f64::from(u8::from(a[i] as usize == j))
                        + (1.0 - f64::from(lambda[i])) * f64::from(u8::from(b[i] as usize == j));
                    total -= (0.9 * hit + 0.1 / k as f64) * weight(j) * (v - sum.ln());
                }
            }
            total
        };
        let mean = |logits: &[f64]| loss(logits, &weight) / of_labels;
        let (mut gradient, mut losses) = (vec![f32::NAN; n * k], vec![f32::NAN; n]);
        let [sum, hits] = cross_entropy(&logits, targets, &mut gradient, &mut losses);
        assert!((f64::from(sum) / n as f64 - mean(&wide(&logits))).abs() < 1e-5);
        // What an image is said to have lost does not depend on how much it counts.
        let own: f64 = losses.iter().map(|loss| f64::from(*loss)).sum();
        assert!((own - loss(&wide(&logits), &|_| 1.0)).abs() < 1e-4);
        let best = |row: &[f32]| (0..k).fold(0, |best, j| if row[j] > row[best] { j } else { best });
        let want = logits.chunks(k).zip(a).filter(|(row, a)| best(row) == *a as usize).count();
        assert_eq!(hits, want as f32);
        for i in 0..n * k {
            let mut moved = wide(&logits);
            moved[i] += 1e-5;
            let up = mean(&moved);
            moved[i] -= 2e-5;
            let slope = (up - mean(&moved)) / 2e-5;
            assert!((f64::from(gradient[i]) - slope).abs() < 1e-6, "{i}: {} instead of {slope}", gradient[i]);
        }
    }
}

/// Runs from before there were class weights go on to the bit.
#[test]
fn a_loss_without_weights_has_the_bits_that_it_always_had() {
    let (n, k, smoothing) = (40, 7, 0.1f32);
    let logits: Vec<f32> = noise(n * k, 3).iter().map(|v| v * 12.0).collect();
    let a: Vec<i32> = (0..n).map(|i| (i * 5 % k) as i32).collect();
    let b: Vec<i32> = (0..n).map(|i| (i * 3 % k) as i32).collect();
    let lambda: Vec<f32> = (0..n).map(|i| if i % 2 == 0 { 1.0 } else { 0.3 }).collect();
    let (mut gradient, mut sum) = (Vec::new(), 0.0);
    for (i, row) in logits.chunks(k).enumerate() {
        let top = row.iter().copied().fold(f32::MIN, f32::max);
        let exps: Vec<f64> = row.iter().map(|v| f64::from((v - top).exp())).collect();
        let total: f64 = exps.iter().sum();
        let (even, sharp) = (f64::from(smoothing) / k as f64, 1.0 - f64::from(smoothing));
        let (lambda, mut loss) = (f64::from(lambda[i]), 0.0);
        for (j, e) in exps.iter().enumerate() {
            let hit = if j as i32 == a[i] { lambda } else { 0.0 } + if j as i32 == b[i] { 1.0 - lambda } else { 0.0 };
            let q = even + sharp * hit;
            loss -= q * (f64::from(row[j]) - f64::from(top) - total.ln());
            gradient.push(((e / total - q) / n as f64) as f32);
        }
        sum += loss;
    }
    let targets = Targets { a: &a, b: &b, lambda: &lambda, smoothing, weights: None };
    let mut got = vec![f32::NAN; n * k];
    let [got_sum, _] = cross_entropy(&logits, targets, &mut got, &mut vec![0.0; n]);
    assert_eq!((got_sum.to_bits(), got), ((sum as f32).to_bits(), gradient));
}

#[test]
fn a_label_that_is_no_class_does_not_pass_unnoticed() {
    for weights in [None, Some(&[1.0, 2.0, 3.0][..])] {
        let targets = Targets { a: &[0, 7], b: &[0, 0], lambda: &[1.0, 1.0], smoothing: 0.0, weights };
        let mut gradient = [0.0; 6];
        let [sum, _] = cross_entropy(&[0.0; 6], targets, &mut gradient, &mut [0.0; 3]);
        assert!(sum.is_nan());
        assert!(gradient[..3].iter().all(|g| g.is_finite()) && gradient[3..].iter().all(|g| g.is_nan()));
    }
}

struct State {
    value: Vec<f32>,
    states: [Vec<f32>; 2],
    average: Vec<f32>,
}

impl State {
    /// With states from before, as after a rule of another kind or another momentum.
    fn new(value: Vec<f32>) -> Self {
        let states = [5, 6].map(|seed| noise(value.len(), seed).iter().map(|v| v.abs()).collect());
        Self { states, average: value.clone(), value }
    }
}

fn update(level: Level, state: &mut State, gradient: &[f32], hyper: &Hyper) -> f32 {
    let cut = state.value.len() / 3;
    let (v0, v1) = state.value.split_at_mut(cut);
    let (a0, a1) = state.average.split_at_mut(cut);
    let (g0, g1) = gradient.split_at(cut);
    let halves = state.states.iter_mut().take(hyper.rule.states()).map(|state| state.split_at_mut(cut));
    let (s0, s1) = halves.unzip();
    let part = |value, gradient, states, average, weight_decay| Parameter {
        lr_factor: 1.0,
        value,
        gradient,
        states,
        average: Some(average),
        weight_decay,
    };
    optimise(level, &mut [part(v0, g0, s0, a0, 0.0), part(v1, g1, s1, a1, 0.05)], hyper)
}

#[test]
fn updates_follow_their_rules() {
    let len = 40_000;
    let rules = [
        Rule::Sgd(Sgd { momentum: 0.0, nesterov: false }),
        Rule::Sgd(Sgd { momentum: 0.9, nesterov: false }),
        Rule::Sgd(Sgd { momentum: 0.9, nesterov: true }),
        Rule::AdamW(AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8 }),
        Rule::Lion(Lion { beta1: 0.9, beta2: 0.99 }),
    ];
    for level in Level::available() {
        for rule in rules {
            let start = noise(len, 1);
            let mut state = State::new(start.clone());
            let [first, second] = state.states.each_ref().map(|state| wide(state));
            let all = start.iter().zip(first).zip(second);
            let mut want: Vec<[f64; 4]> = all.map(|((v, m), s)| [f64::from(*v), m, s, f64::from(*v)]).collect();
            for step in 1..=3u64 {
                let gradient = noise(len, 10 + step);
                let hyper = Hyper { rule, step, lr: 0.1, gradient_scale: 0.5, clip: Some(20.0), ema_decay: Some(0.9) };
                let got = update(level, &mut state, &gradient, &hyper);
                let norm = gradient.iter().map(|g| (0.5 * f64::from(*g)).powi(2)).sum::<f64>().sqrt();
                assert!((f64::from(got) / norm - 1.0).abs() < 1e-5 && norm > 20.0);
                for (i, ([w, m, v, e], g)) in want.iter_mut().zip(&gradient).enumerate() {
                    let decay = if i < len / 3 { 0.0 } else { 0.05 };
                    let g = f64::from(*g) * 0.5 * 20.0 / norm;
                    match rule {
                        Rule::Sgd(Sgd { momentum, nesterov }) => {
                            let g = g + decay * *w;
                            let velocity = f64::from(momentum) * *m + g;
                            *w -= 0.1 * if nesterov { g + f64::from(momentum) * velocity } else { velocity };
                            // Without momentum nothing is remembered.
                            *m = if momentum == 0.0 { 0.0 } else { velocity };
                        }
                        Rule::AdamW(_) => {
                            *w -= 0.1 * decay * *w;
                            *m = 0.9 * *m + 0.1 * g;
                            *v = 0.999 * *v + 0.001 * g * g;
                            let (m, v) =
                                (*m / (1.0 - 0.9f64.powi(step as i32)), *v / (1.0 - 0.999f64.powi(step as i32)));
                            *w -= 0.1 * m / (v.sqrt() + 1e-8);
                        }
                        Rule::Lion(_) => {
                            *w -= 0.1 * ((0.9 * *m + 0.1 * g).signum() + decay * *w);
                            *m = 0.99 * *m + 0.01 * g;
                        }
                    }
                    *e = 0.9 * *e + 0.1 * *w;
                }
            }
            let [first, second] = &state.states;
            let kinds = [("weights", &state.value), ("first", first), ("second", second), ("averages", &state.average)];
            for (i, (what, got)) in kinds.into_iter().enumerate() {
                // A state that the rule does not have stays as it was.
                close(&format!("{what}, {rule:?}"), got, &want.iter().map(|w| w[i]).collect::<Vec<_>>(), 1e-5);
            }
        }
    }
}

#[test]
fn a_gradient_that_is_not_finite_changes_nothing() {
    for bad in [f32::NAN, f32::INFINITY] {
        let start = noise(100, 1);
        let mut state = State::new(start.clone());
        let states = state.states.clone();
        let mut gradient = noise(100, 2);
        gradient[70] = bad;
        let rule = Rule::Sgd(Sgd { momentum: 0.9, nesterov: true });
        let hyper = Hyper { rule, step: 1, lr: 0.1, gradient_scale: 1.0, clip: None, ema_decay: Some(0.9) };
        assert!(!update(Level::best(), &mut state, &gradient, &hyper).is_finite());
        assert!(state.value == start && state.average == start && state.states == states);
    }
}
