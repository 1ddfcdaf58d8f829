//! Convolution + batch normalisation, forward and backward.

use super::reference::{self, Operands, close, noise, wide, within};
use crate::ops::cpu::element::{Bf16, Element, converted};
use crate::ops::cpu::*;
use crate::ops::{Activation, Window};
use proptest::prelude::*;

const EPS: f32 = 1e-5;
const ACTIVATIONS: [Activation; 3] = [Activation::None, Activation::Relu, Activation::Relu6];

fn geometry(input: [usize; 4], co: usize, kernel: usize, stride: usize, pad: [[usize; 2]; 2]) -> Geometry {
    Geometry { input, co, window: Window { kernel: [kernel, kernel], stride: [stride, stride], pad }, groups: 1 }
}

/// In so many groups.
fn grouped(groups: usize, geometry: Geometry) -> Geometry {
    Geometry { groups, ..geometry }
}

/// Odd ends of everything: one pixel, one channel, tails of vectors and tiles, strides, one-sided padding.
fn table() -> Vec<Geometry> {
    vec![
        geometry([2, 1, 1, 1], 1, 1, 1, [[0, 0], [0, 0]]),
        geometry([3, 1, 1, 5], 7, 3, 1, [[1, 1], [1, 1]]),
        geometry([1, 5, 7, 3], 16, 3, 1, [[1, 1], [1, 1]]),
        geometry([2, 9, 9, 3], 33, 7, 2, [[2, 3], [3, 2]]),
        geometry([1, 32, 32, 16], 16, 3, 1, [[1, 1], [1, 1]]),
        geometry([2, 16, 16, 16], 32, 3, 2, [[1, 1], [1, 1]]),
        geometry([2, 8, 8, 24], 40, 3, 2, [[0, 1], [0, 1]]),
        geometry([2, 8, 8, 16], 32, 1, 2, [[0, 0], [0, 0]]),
        geometry([3, 4, 4, 64], 64, 3, 1, [[1, 1], [1, 1]]),
        geometry([1, 6, 5, 2], 3, 2, 3, [[0, 0], [2, 0]]),
        geometry([2, 7, 7, 17], 1, 5, 1, [[2, 2], [4, 0]]),
        geometry([1, 3, 3, 8], 8, 1, 1, [[1, 2], [0, 1]]),
        geometry([20, 4, 3, 9], 12, 3, 1, [[1, 1], [1, 1]]),
        geometry([2, 4, 4, 160], 144, 3, 1, [[1, 1], [1, 1]]),
        geometry([2, 5, 5, 130], 161, 3, 2, [[1, 1], [1, 1]]),
        geometry([1, 40, 90, 33], 17, 3, 1, [[1, 1], [1, 1]]),
        geometry([1, 64, 64, 32], 32, 3, 2, [[1, 1], [1, 1]]),
        grouped(2, geometry([2, 1, 1, 2], 2, 3, 1, [[1, 1], [1, 1]])),
        grouped(5, geometry([3, 9, 8, 5], 5, 3, 1, [[1, 1], [1, 1]])),
        grouped(32, geometry([2, 14, 14, 32], 32, 3, 2, [[1, 1], [1, 1]])),
        grouped(40, geometry([2, 7, 7, 40], 40, 5, 1, [[2, 2], [2, 2]])),
        grouped(72, geometry([1, 13, 12, 72], 72, 5, 2, [[1, 2], [2, 2]])),
        grouped(24, geometry([1, 12, 12, 24], 24, 3, 2, [[0, 1], [0, 1]])),
        grouped(19, geometry([2, 6, 7, 19], 19, 7, 3, [[3, 3], [3, 3]])),
        grouped(96, geometry([1, 64, 60, 96], 96, 3, 1, [[1, 1], [1, 1]])),
        grouped(3, geometry([1, 3, 3, 3], 3, 1, 2, [[0, 0], [0, 0]])),
        grouped(3, geometry([2, 5, 6, 9], 6, 3, 1, [[1, 1], [1, 1]])),
        grouped(8, geometry([2, 8, 8, 32], 32, 3, 2, [[1, 1], [1, 1]])),
        grouped(4, geometry([2, 8, 8, 4], 12, 3, 1, [[1, 1], [1, 1]])),
    ]
}

struct Case {
    geometry: Geometry,
    activation: Activation,
    x: Vec<f32>,
    w: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    residual: Option<Vec<f32>>,
    g: Vec<f32>,
}

impl Case {
    fn new(geometry: Geometry, activation: Activation, residual: bool) -> Case {
        let (co, out) = (geometry.co, geometry.output_len());
        Case {
            geometry,
            activation,
            // An offset, since images are not centred and cancelling sums must survive it.
            x: noise(geometry.input_len(), 1).iter().map(|v| v + 0.7).collect(),
            w: noise(geometry.weight_len(), 2),
            gamma: noise(co, 3).iter().map(|v| 1.0 + 0.5 * v).collect(),
            // For a ReLU6 so far that many values meet its upper end.
            beta: noise(co, 4).iter().map(|v| if activation == Activation::Relu6 { v + 5.5 } else { *v }).collect(),
            residual: residual.then(|| noise(out, 5)),
            g: noise(out, 6),
        }
    }

    /// With everything that a kernel takes in 16 bits rounded to them, so that they add no error of their own.
    fn rounded(mut self) -> Case {
        let Case { x, w, residual, g, .. } = &mut self;
        for values in [x, w, g].into_iter().chain(residual) {
            values.iter_mut().for_each(|value| *value = Bf16::narrow(*value).widen());
        }
        self
    }

    fn input<'a, E: Element>(&'a self, x: &'a [E], residual: Option<&'a [E]>) -> ConvBnInput<'a, E> {
        ConvBnInput {
            geometry: self.geometry,
            x,
            w: &self.w,
            gamma: &self.gamma,
            beta: &self.beta,
            residual,
            activation: self.activation,
        }
    }

    fn operands(&self) -> Operands {
        Operands {
            x: wide(&self.x),
            w: wide(&self.w),
            gamma: wide(&self.gamma),
            beta: wide(&self.beta),
            residual: self.residual.as_deref().map(wide),
        }
    }
}

struct Results {
    z: Vec<f32>,
    y: Vec<f32>,
    mean: Vec<f32>,
    inv_std: Vec<f32>,
    running_mean: Vec<f32>,
    running_var: Vec<f32>,
    x: Vec<f32>,
    w: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    residual: Vec<f32>,
}

/// Forward and backward; the output memory starts as NaN, so that whatever is left unwritten shows.
fn run<E: Element>(level: Level, case: &Case) -> Results {
    let (x, g) = (converted::<f32, E>(&case.x), converted::<f32, E>(&case.g));
    let residual = case.residual.as_deref().map(converted::<f32, E>);
    let in_memory = |len| vec![E::narrow(f32::NAN); len];
    let (co, out) = (case.geometry.co, case.geometry.output_len());
    let nan = |len| vec![f32::NAN; len];
    let [mut z, mut y, mut masked] = [out; 3].map(in_memory);
    let mut dx = in_memory(x.len());
    let mut r = Results {
        z: Vec::new(),
        y: Vec::new(),
        mean: nan(co),
        inv_std: nan(co),
        running_mean: vec![0.5; co],
        running_var: vec![2.0; co],
        x: Vec::new(),
        w: nan(case.w.len()),
        gamma: nan(co),
        beta: nan(co),
        residual: Vec::new(),
    };
    let statistics = Statistics {
        mean: &mut r.mean,
        inv_std: &mut r.inv_std,
        running_mean: &mut r.running_mean,
        running_var: &mut r.running_var,
    };
    let input = case.input(&x, residual.as_deref());
    conv_bn_train(level, &input, BatchNorm { momentum: 0.1, eps: EPS }, &mut z, &mut y, statistics);
    let saved = ConvBnSaved {
        geometry: case.geometry,
        x: &x,
        w: &case.w,
        gamma: &case.gamma,
        beta: &case.beta,
        y: &y,
        z: &z,
        mean: &r.mean,
        inv_std: &r.inv_std,
        activation: case.activation,
        residual: case.residual.is_some(),
    };
    let gradients = ConvBnGradients {
        x: Some(&mut dx),
        w: Some(&mut r.w),
        gamma: &mut r.gamma,
        beta: &mut r.beta,
        residual: case.residual.is_some().then_some(&mut masked),
    };
    conv_bn_backward(level, &g, &saved, gradients);
    let floats = |values: &[E]| values.iter().map(|value| value.widen()).collect();
    (r.z, r.y, r.x, r.residual) = (floats(&z), floats(&y), floats(&dx), floats(&masked));
    r
}

/// How far a value may be from what it should be, beside what sums of floats lose: what two roundings to 8 bits do.
fn slack<E: Element>() -> f64 {
    if E::PER_WORD == 1 { 0.0 } else { 1.0 / 128.0 }
}

fn check<E: Element>(level: Level, case: &Case) {
    let slack = slack::<E>();
    let operands = case.operands();
    let eps = f64::from(EPS);
    let forward = reference::forward(&case.geometry, &operands, case.activation, eps, None);
    let r = run::<E>(level, case);
    let what = |part: &str| format!("{part} of {:?} in {:?} with {}", case.geometry, E::STORAGE, level.name());
    close(&what("z"), &r.z, &forward.z, 1e-5 + slack);
    // What is stored rounded is summed so.
    let stored = if slack > 0.0 { &forward.z } else { &forward.mean };
    let means = stored.iter().fold(1e-3, |scale, value| value.abs().max(scale));
    within(&what("mean"), &r.mean, &forward.mean, means, 1e-5 + slack);
    // Few values make a small variance, which magnifies rounding: compare through the deviation's own scale.
    let inv: Vec<f64> = forward.var.iter().map(|v| 1.0 / (v + eps).sqrt()).collect();
    let count = (r.z.len() / case.geometry.co) as f64;
    if count > 1.0 && forward.var.iter().all(|v| *v > 1e-3) {
        close(&what("inv_std"), &r.inv_std, &inv, 3e-4 + 8.0 * slack);
        close(&what("y"), &r.y, &forward.y, 3e-4 + 8.0 * slack);
        let var: Vec<f64> = forward.var.iter().map(|v| 0.9 * 2.0 + 0.1 * v * count / (count - 1.0)).collect();
        close(&what("running variance"), &r.running_var, &var, 1e-5 + slack);
    }
    let mean: Vec<f64> = forward.mean.iter().map(|m| 0.9 * 0.5 + 0.1 * m).collect();
    within(&what("running mean"), &r.running_mean, &mean, means.max(0.45), 1e-5 + slack);

    // The backward reference starts from what the forward pass left, so that a value on the edge of the ReLU cannot
    // fall on two sides.
    let left = reference::Forward {
        z: wide(&r.z),
        mean: wide(&r.mean),
        var: r.inv_std.iter().map(|i| 1.0 / f64::from(*i).powi(2) - eps).collect(),
        y: match case.residual {
            None if E::PER_WORD > 1 => before_rounding(case, &r),
            _ => wide(&r.y),
        },
    };
    let b = reference::backward(&case.geometry, &operands, &left, case.activation, eps, &wide(&case.g));
    // A single channel's sum may cancel to next to nothing, and keeps the rounding of its terms.
    let scale = |values: &[f64], terms: f64| values.iter().fold(0.15 * terms, |scale, value| scale.max(value.abs()));
    within(&what("beta gradient"), &r.beta, &b.beta, scale(&b.beta, b.terms[2]), 2e-5);
    within(&what("gamma gradient"), &r.gamma, &b.gamma, scale(&b.gamma, b.terms[3]), 2e-5);
    if count > 1.0 {
        within(&what("input gradient"), &r.x, &b.x, b.terms[0], 3e-6 + slack);
        within(&what("weight gradient"), &r.w, &b.w, b.terms[1], 3e-6 + slack);
    }
    if case.residual.is_some() {
        close(&what("residual gradient"), &r.residual, &b.residual, 0.0);
    }

    let (mean, var) = (noise(case.geometry.co, 7), noise(case.geometry.co, 8));
    let var: Vec<f32> = var.iter().map(|v| v.abs() + 0.1).collect();
    let fixed = reference::forward(&case.geometry, &operands, case.activation, eps, Some((&wide(&mean), &wide(&var))));
    let mut y = vec![E::narrow(f32::NAN); r.y.len()];
    let (x, residual) = (converted::<f32, E>(&case.x), case.residual.as_deref().map(converted::<f32, E>));
    let input = case.input(&x, residual.as_deref());
    conv_bn_eval(level, &input, &Folded::new(level, &input, [&mean, &var], EPS), &mut y);
    let y: Vec<f32> = y.iter().map(|value| value.widen()).collect();
    // What is stored first is the convolution's result, scaled.
    let stored = fixed.z.iter().enumerate().map(|(i, z)| {
        let c = i % case.geometry.co;
        (z * f64::from(case.gamma[c]) / (f64::from(var[c]) + eps).sqrt()).abs()
    });
    let scale = fixed.y.iter().fold(stored.fold(1e-3, f64::max), |scale, y| scale.max(y.abs()));
    within(&what("evaluation"), &y, &fixed.y, scale, 2e-5 + slack);
}

/// The output as the mask of the activation is made of it where nothing was added: of `z`, not of what was stored.
fn before_rounding(case: &Case, r: &Results) -> Vec<f64> {
    let of = |(i, z): (usize, &f32)| {
        let c = i % case.geometry.co;
        let [z, mean, inv, gamma, beta] = [*z, r.mean[c], r.inv_std[c], case.gamma[c], case.beta[c]].map(f64::from);
        (z - mean) * inv * gamma + beta
    };
    r.z.iter().enumerate().map(of).collect()
}

#[test]
fn every_shape_matches_the_reference_at_every_level() {
    for level in Level::available() {
        for (i, geometry) in table().into_iter().enumerate() {
            check::<f32>(level, &Case::new(geometry, ACTIVATIONS[i % 3], i % 2 == 0));
            check::<Bf16>(level, &Case::new(geometry, ACTIVATIONS[i % 3], i % 2 == 0).rounded());
        }
    }
}

#[test]
fn the_reference_gradient_matches_finite_differences() {
    let of = |groups, channels, activation| {
        let geometry = geometry([2, 4, 5, channels], channels.max(3), 3, 2, [[1, 0], [0, 1]]);
        matches_differences(&Case::new(grouped(groups, geometry), activation, true));
    };
    of(1, 2, Activation::Relu);
    of(3, 3, Activation::Relu6);
    of(2, 4, Activation::None);
}

fn matches_differences(case: &Case) {
    let (geometry, activation) = (case.geometry, case.activation);
    let (eps, g) = (1e-3, wide(&case.g));
    let loss = |o: &Operands| -> f64 {
        reference::forward(&geometry, o, activation, eps, None).y.iter().zip(&g).map(|(y, g)| y * g).sum()
    };
    let operands = case.operands();
    let forward = reference::forward(&geometry, &operands, activation, eps, None);
    let b = reference::backward(&geometry, &operands, &forward, activation, eps, &g);
    type Pick = fn(&mut Operands) -> &mut Vec<f64>;
    let parts: [(&str, Pick, &[f64]); 5] = [
        ("x", |o| &mut o.x, &b.x),
        ("w", |o| &mut o.w, &b.w),
        ("gamma", |o| &mut o.gamma, &b.gamma),
        ("beta", |o| &mut o.beta, &b.beta),
        ("residual", |o| o.residual.get_or_insert_default(), &b.residual),
    ];
    for (name, pick, gradient) in parts {
        for (i, want) in gradient.iter().enumerate() {
            let mut moved = case.operands();
            let step = 1e-6;
            pick(&mut moved)[i] += step;
            let up = loss(&moved);
            pick(&mut moved)[i] -= 2.0 * step;
            let slope = (up - loss(&moved)) / (2.0 * step);
            assert!((slope - want).abs() < 1e-5 * (1.0 + want.abs()), "{name}[{i}]: {want}, differences say {slope}");
        }
    }
}

#[test]
fn one_thread_and_several_give_the_same_bits() {
    threads_do_not_matter::<f32>();
    threads_do_not_matter::<Bf16>();
}

fn threads_do_not_matter<E: Element>() {
    for geometry in
        [table()[5], table()[13], table()[19], table()[27], geometry([37, 8, 8, 16], 16, 3, 1, [[1, 1], [1, 1]])]
    {
        let case = Case::new(geometry, Activation::Relu, true);
        let with = |threads: usize| {
            // A pool that cannot start would fail every other test too.
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| run::<E>(Level::best(), &case))
        };
        let (one, three) = (with(1), with(3));
        assert!(one.y == three.y && one.x == three.x && one.w == three.w && one.gamma == three.gamma);
    }
}

#[test]
fn a_mean_far_from_zero_does_not_spoil_the_variance() {
    let geometry = geometry([8, 16, 16, 1], 4, 1, 1, [[0, 0], [0, 0]]);
    let mut case = Case::new(geometry, Activation::None, false);
    case.x.iter_mut().for_each(|x| *x += 1000.0);
    case.w.fill(1.0);
    for level in Level::available() {
        let r = run::<f32>(level, &case);
        let want = reference::forward(&geometry, &case.operands(), Activation::None, f64::from(EPS), None);
        for (got, want) in r.inv_std.iter().zip(&want.var) {
            let want = 1.0 / (want + f64::from(EPS)).sqrt();
            // Rounding of the inputs themselves, at 1000, is 6e-5.
            assert!((f64::from(*got) / want - 1.0).abs() < 1e-4, "{got} instead of {want}");
        }
    }
}

#[test]
fn gradients_that_are_not_needed_change_no_other() {
    for geometry in [table()[5], table()[19]] {
        unneeded(&Case::new(geometry, Activation::Relu, true));
    }
}

fn unneeded(case: &Case) {
    let all = run::<f32>(Level::best(), case);
    let saved = ConvBnSaved {
        geometry: case.geometry,
        x: &case.x,
        w: &case.w,
        gamma: &case.gamma,
        beta: &case.beta,
        y: &all.y,
        z: &all.z,
        mean: &all.mean,
        inv_std: &all.inv_std,
        activation: Activation::Relu,
        residual: true,
    };
    let (mut gamma, mut beta) = (vec![0.0; case.geometry.co], vec![0.0; case.geometry.co]);
    let (mut w, mut x) = (vec![f32::NAN; case.w.len()], vec![f32::NAN; case.x.len()]);
    let out = ConvBnGradients { x: None, w: Some(&mut w), gamma: &mut gamma, beta: &mut beta, residual: None };
    conv_bn_backward(Level::best(), &case.g, &saved, out);
    assert!(w == all.w && gamma == all.gamma && beta == all.beta);
    let out = ConvBnGradients { x: Some(&mut x), w: None, gamma: &mut gamma, beta: &mut beta, residual: None };
    conv_bn_backward(Level::best(), &case.g, &saved, out);
    assert!(x == all.x);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn random_shapes_match_the_reference(
        (n, h, w, ci, co) in (1usize..6, 1usize..12, 1usize..12, 1usize..40, 1usize..50),
        kernel in (1usize..5, 1usize..5), stride in (1usize..4, 1usize..4),
        pad in ((0usize..3, 0usize..3), (0usize..3, 0usize..3)),
        activation in prop::sample::select(&ACTIVATIONS), residual: bool,
        groups in prop::sample::select(&[1, 2, 3, 0]),
    ) {
        let pad = [[pad.0.0, pad.0.1], [pad.1.0, pad.1.1]];
        prop_assume!(h + pad[0][0] + pad[0][1] >= kernel.0 && w + pad[1][0] + pad[1][1] >= kernel.1);
        let window = Window { kernel: [kernel.0, kernel.1], stride: [stride.0, stride.1], pad };
        // Each channel by itself, or a few groups of several.
        let (groups, ci, co) = match groups {
            0 => (ci, ci, ci),
            groups => (groups, ci.next_multiple_of(groups), co.next_multiple_of(groups)),
        };
        let new = || Case::new(Geometry { input: [n, h, w, ci], co, window, groups }, activation, residual);
        let (case, rounded) = (new(), new().rounded());
        for level in Level::available() {
            check::<f32>(level, &case);
            check::<Bf16>(level, &rounded);
        }
    }
}
