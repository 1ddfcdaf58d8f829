//! A whole operation against finite differences in `f64`: convolution, normalisation by the batch's statistics, residual, ReLU.

use super::{close, devices, oracle, random};
use crate::ops::{
    Activation, ConvBn, ConvBnInput, LayerTensors, Layout, Needs, Ops, Slots, Storage, Wgsl, Window,
    wgpu::{Array, conv::Conv},
};
use std::sync::Arc;

/// Input, weight, gamma, beta, residual.
type Values = [Vec<f64>; 5];

const EPS: f32 = 1e-2;

fn forward(conv: &Conv, activation: Activation, [x, weight, gamma, beta, residual]: &Values) -> Vec<f64> {
    let z = oracle::forward(conv, x, weight);
    let (mean, var) = oracle::moments(&z, conv.co);
    oracle::normalise(&z, &mean, &var, gamma, beta, Some(residual), activation, EPS.into())
}

#[test]
fn gradients_of_convolutions_with_all_that_follows_match_finite_differences() {
    let window = |kernel, stride, pad| Window { kernel: [kernel; 2], stride: [stride; 2], pad };
    let conv = |batch, input, [ci, co]: [usize; 2], window| Conv {
        batch,
        input,
        ci,
        co,
        window,
        groups: 1,
        storage: Storage::F32,
    };
    let grouped = |groups, conv| Conv { groups, ..conv };
    for (conv, activation) in [
        (conv(2, [5, 4], [3, 5], window(3, 1, [[1; 2]; 2])), Activation::Relu),
        (conv(2, [6, 6], [8, 12], window(3, 2, [[0, 1]; 2])), Activation::Relu),
        (conv(3, [4, 4], [4, 8], window(1, 2, [[0; 2]; 2])), Activation::None),
        (grouped(5, conv(2, [5, 4], [5; 2], window(3, 2, [[1; 2]; 2]))), Activation::Relu6),
        (grouped(8, conv(2, [4, 5], [8; 2], window(5, 1, [[2; 2]; 2]))), Activation::Relu6),
        (grouped(2, conv(2, [4, 5], [4, 6], window(3, 1, [[1; 2]; 2]))), Activation::Relu6),
    ] {
        check(&conv, activation);
    }
}

fn check(conv: &Conv, activation: Activation) {
    let [oh, ow] = conv.output();
    let outputs = conv.batch * oh * ow * conv.co;
    let counts = [
        conv.batch * conv.input[0] * conv.input[1] * conv.ci,
        conv.window.kernel[0] * conv.window.kernel[1] * conv.ci / conv.groups * conv.co,
        conv.co,
        conv.co,
        outputs,
    ];
    let narrow: Vec<Vec<f32>> = counts.iter().zip(1..).map(|(&count, seed)| random(count, seed)).collect();
    // Scaled so that a ReLU6 meets both of its ends.
    let mut narrow = narrow;
    narrow[2].iter_mut().for_each(|gamma| *gamma *= 16.0);
    let values: Values = std::array::from_fn(|i| oracle::wide(&narrow[i]));
    let grad = random(outputs, 9);
    let loss = |values: &Values| -> f64 {
        forward(conv, activation, values).iter().zip(&grad).map(|(y, g)| y * f64::from(*g)).sum()
    };
    // Every value of the short lists, a sample of the long ones.
    let picks: [Vec<usize>; 5] = std::array::from_fn(|i| (0..counts[i]).step_by(counts[i].div_ceil(40)).collect());
    let want: [Vec<f64>; 5] = std::array::from_fn(|list| {
        let slope = |&i: &usize| {
            const STEP: f64 = 1e-6;
            let moved = |by: f64| {
                let mut moved = values.clone();
                moved[list][i] += by;
                loss(&moved)
            };
            (moved(STEP) - moved(-STEP)) / (2.0 * STEP)
        };
        picks[list].iter().map(slope).collect()
    });
    let op = ConvBn { window: conv.window, groups: conv.groups, activation, residual: true, eps: EPS, momentum: 0.1 };
    for gpu in devices() {
        let ops = Wgsl(&gpu);
        let array = |list: usize, shape| Array { memory: gpu.up(&narrow[list]), shape, storage: Storage::F32 };
        let ([h, w], [kh, kw], channels) = (conv.input, conv.window.kernel, [1, 1, 1, conv.co]);
        let weight = [kh, kw, conv.ci / conv.groups, conv.co];
        let parameters = Arc::new(Layout::new([weight, channels, channels]));
        let statistics = Arc::new(Layout::new([channels; 2]));
        let old = ops.zeros(&statistics, 0);
        let layer = LayerTensors {
            weight: array(1, weight),
            gamma: array(2, channels),
            beta: array(3, channels),
            mean: ops.view(&old, 0),
            var: ops.view(&old, 1),
        };
        let (x, residual) = (array(0, [conv.batch, h, w, conv.ci]), array(4, [conv.batch, oh, ow, conv.co]));
        let mut fresh = ops.empty(&statistics, 0);
        let input = ConvBnInput { x: &x, layer, residual: Some(&residual) };
        let (y, saved) = ops.conv_bn_train(&op, input, Slots { arena: &mut fresh, at: 0 });
        close(&format!("output, {conv:?}"), &gpu.down(&y.memory), &forward(conv, activation, &values));
        let mut gradients = ops.empty(&parameters, 0);
        let (needs, into) = (Needs { input: true, residual: true }, Slots { arena: &mut gradients, at: 0 });
        let grad = Array { memory: gpu.up(&grad), ..y };
        let below = ops.conv_bn_backward(&op, grad, saved, None, needs, into);
        let [weight, gamma, beta] = [0, 1, 2].map(|tensor| ops.view(&gradients, tensor));
        let (dx, dres) = (below.x.expect("asked for"), below.residual.expect("asked for"));
        for (list, array) in [&dx, &weight, &gamma, &beta, &dres].into_iter().enumerate() {
            let got = gpu.down(&array.memory);
            let got: Vec<f32> = picks[list].iter().map(|&i| got[i]).collect();
            close(&format!("gradient of list {list}, {conv:?}"), &got, &want[list]);
        }
    }
}
