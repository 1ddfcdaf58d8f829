//! A whole unit against finite differences in `f64`: convolution, normalisation by the batch's statistics, residual, ReLU.

use super::{close, devices, oracle, random};
use crate::ops::{
    Storage, Window,
    wgpu::{
        conv::Conv,
        launch::Gpu,
        unit::{self, Into, Norm, Saved, Sizes},
    },
};

/// Input, weight, gamma, beta, residual.
type Values = [Vec<f64>; 5];

const EPS: f32 = 1e-2;

fn forward(conv: &Conv, relu: bool, [x, weight, gamma, beta, residual]: &Values) -> Vec<f64> {
    let z = oracle::forward(conv, x, weight);
    let (mean, var) = oracle::moments(&z, conv.co);
    oracle::normalise(&z, &mean, &var, gamma, beta, Some(residual), relu, EPS.into())
}

#[test]
fn gradients_of_units_match_finite_differences() {
    let window = |kernel, stride, pad| Window { kernel: [kernel; 2], stride: [stride; 2], pad };
    let conv =
        |batch, input, [ci, co]: [usize; 2], window| Conv { batch, input, ci, co, window, storage: Storage::F32 };
    for (conv, relu) in [
        (conv(2, [5, 4], [3, 5], window(3, 1, [[1; 2]; 2])), true),
        (conv(2, [6, 6], [8, 12], window(3, 2, [[0, 1]; 2])), true),
        (conv(3, [4, 4], [4, 8], window(1, 2, [[0; 2]; 2])), false),
    ] {
        check(&conv, relu);
    }
}

fn check(conv: &Conv, relu: bool) {
    let [oh, ow] = conv.output();
    let outputs = conv.batch * oh * ow * conv.co;
    let counts = [
        conv.batch * conv.input[0] * conv.input[1] * conv.ci,
        conv.window.kernel[0] * conv.window.kernel[1] * conv.ci * conv.co,
        conv.co,
        conv.co,
        outputs,
    ];
    let narrow: Vec<Vec<f32>> = counts.iter().zip(1..).map(|(&count, seed)| random(count, seed)).collect();
    let values: Values = std::array::from_fn(|i| oracle::wide(&narrow[i]));
    let grad = random(outputs, 9);
    let loss = |values: &Values| -> f64 {
        forward(conv, relu, values).iter().zip(&grad).map(|(y, g)| y * f64::from(*g)).sum()
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
    for gpu in devices() {
        let sizes = Sizes { conv: *conv, relu, eps: EPS, momentum: 0.1 };
        let up: Vec<_> = narrow.iter().map(|values| gpu.up(values)).collect();
        let zeros = gpu.up(&vec![0.0; conv.co]);
        let fresh = [gpu.empty(4 * conv.co), gpu.empty(4 * conv.co)];
        let norm = Norm { gamma: &up[2], beta: &up[3], mean: &zeros, var: &zeros };
        let out = unit::train(&gpu, &sizes, &up[0], &up[1], &norm, Some(&up[4]), [&fresh[0], &fresh[1]]);
        close(&format!("output, {conv:?}"), &gpu.down(&out.y), &forward(conv, relu, &values));
        let saved = Saved {
            x: &up[0],
            weight: &up[1],
            gamma: &up[2],
            y: &out.y,
            z: &out.z,
            mean: &out.mean,
            inv_std: &out.inv_std,
        };
        let parameters = [1, 2, 3].map(|list: usize| gpu.empty(4 * counts[list]));
        let into = Into { weight: &parameters[0], gamma: &parameters[1], beta: &parameters[2] };
        let (dx, dres) = unit::backward(&gpu, &sizes, &gpu.up(&grad), &saved, &into, None, true, true);
        let [weight, gamma, beta] = &parameters;
        let (dx, dres) = (dx.expect("asked for"), dres.expect("asked for"));
        for (list, handle) in [&dx, weight, gamma, beta, &dres].into_iter().enumerate() {
            let got = gpu.down(handle);
            let got: Vec<f32> = picks[list].iter().map(|&i| got[i]).collect();
            close(&format!("gradient of list {list}, {conv:?}"), &got, &want[list]);
        }
    }
}
