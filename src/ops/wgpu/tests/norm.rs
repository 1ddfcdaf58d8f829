use super::{close, close_stored, devices, oracle, random, storages, stored};
use crate::ops::{
    Activation, Storage,
    wgpu::{
        launch::Gpu,
        norm::{self, Apply, Plane, Saved, Spread},
    },
};

#[test]
fn normalisation_matches_plain_loops() {
    for (pixels, channels) in [(1, 1), (3, 5), (7, 16), (2048, 16), (1000, 64), (333, 33), (5, 260)] {
        for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
            for (residual, storage) in
                [false, true].into_iter().flat_map(|r| storages().into_iter().map(move |s| (r, s)))
            {
                check(Plane { pixels, channels, storage }, activation, residual);
            }
        }
    }
}

fn check(plane: Plane, activation: Activation, residual: bool) {
    const EPS: f32 = 1e-5;
    let Plane { pixels, channels, storage } = plane;
    let total = pixels * channels;
    // Means far from zero beside small deviations: what cancels in a sum of squares.
    let z: Vec<f32> = random(total, 1).iter().enumerate().map(|(i, v)| v + (i % channels) as f32 * 0.3 + 3.0).collect();
    let z = stored(z, storage);
    let [mut gamma, beta, old_mean] = [2, 3, 6].map(|seed| random(channels, seed));
    // Both ends of a ReLU6 are met.
    gamma.iter_mut().for_each(|gamma| *gamma *= 10.0);
    let old_var: Vec<f32> = random(channels, 7).iter().map(|v| v.abs() + 0.1).collect();
    let [rest, grad] = [4, 5].map(|seed| stored(random(total, seed), storage));
    let [wz, wgamma, wbeta, wrest, wgrad] = [&z, &gamma, &beta, &rest, &grad].map(|v| oracle::wide(v));
    let (mean, var) = oracle::moments(&wz, channels);
    let inv: Vec<f64> = var.iter().map(|v| 1.0 / (v + f64::from(EPS)).sqrt()).collect();
    let normalise = |mean: &[f64], var: &[f64]| {
        let rest = residual.then_some(wrest.as_slice());
        oracle::normalise(&wz, mean, var, &wgamma, &wbeta, rest, activation, EPS.into())
    };
    let (y, evaluated) = (normalise(&mean, &var), normalise(&oracle::wide(&old_mean), &oracle::wide(&old_var)));
    for gpu in devices() {
        let name = |what: &str| format!("{what}, {plane:?}, {activation:?}, residual {residual}, {:?}", gpu.adapter());
        let [bz, brest, bgrad] = [&z, &rest, &grad].map(|v| gpu.store(v, storage));
        let (bgamma, bbeta) = (gpu.up(&gamma), gpu.up(&beta));
        let (bmean, bvar) = (gpu.up(&old_mean), gpu.up(&old_var));
        let fresh = [gpu.empty(4 * channels), gpu.empty(4 * channels)];
        let stats = norm::statistics(&gpu, plane, &bz, [&bmean, &bvar], [&fresh[0], &fresh[1]], 0.1, EPS);
        close(&name("mean"), &gpu.down(&stats.mean), &mean);
        close(&name("inverse deviation"), &gpu.down(&stats.inv_std), &inv);
        let unbiased = pixels as f64 / (pixels as f64 - 1.0).max(1.0);
        let blend = |old: &[f32], new: &[f64], by: f64| -> Vec<f64> {
            old.iter().zip(new).map(|(o, n)| 0.9 * f64::from(*o) + 0.1 * n * by).collect()
        };
        close(&name("running mean"), &gpu.down(&fresh[0]), &blend(&old_mean, &mean, 1.0));
        close(&name("running variance"), &gpu.down(&fresh[1]), &blend(&old_var, &var, unbiased));

        let residual_of = residual.then_some(&brest);
        let apply = |mean, spread| {
            let apply = Apply { z: &bz, mean, spread, gamma: &bgamma, beta: &bbeta, residual: residual_of, activation };
            norm::apply(&gpu, plane, apply)
        };
        let by = apply(&stats.mean, Spread::InvStd(&stats.inv_std));
        let got = gpu.load(&by, storage);
        close_stored(&name("output"), &got, &y, storage);
        let eval = apply(&bmean, Spread::Variance(&bvar, EPS));
        close_stored(&name("output by the running statistics"), &gpu.load(&eval, storage), &evaluated, storage);

        let (dgamma, dbeta) = (gpu.empty(4 * channels), gpu.empty(4 * channels));
        let saved = Saved { z: &bz, y: &by, activation, gamma: &bgamma, mean: &stats.mean, inv_std: &stats.inv_std };
        let (dz, dres) = norm::backward(&gpu, plane, &bgrad, &saved, [&dgamma, &dbeta], residual);
        let masked = |i: usize| match activation {
            Activation::None => wgrad[i],
            Activation::Relu if got[i] > 0.0 => wgrad[i],
            Activation::Relu6 if got[i] > 0.0 && got[i] < 6.0 => wgrad[i],
            _ => 0.0,
        };
        let mask: Vec<f64> = (0..total).map(masked).collect();
        let hat = |i: usize| (wz[i] - mean[i % channels]) * inv[i % channels];
        let (mut by_gamma, mut by_beta) = (vec![0.0; channels], vec![0.0; channels]);
        for (i, m) in mask.iter().enumerate() {
            by_beta[i % channels] += m;
            by_gamma[i % channels] += m * hat(i);
        }
        close(&name("gradient of gamma"), &gpu.down(&dgamma), &by_gamma);
        close(&name("gradient of beta"), &gpu.down(&dbeta), &by_beta);
        // One pixel has no deviation: its gradient is 0 / sqrt(eps), all rounding.
        if pixels > 1 {
            let one = |i: usize| {
                let c = i % channels;
                let away = (by_beta[c] + hat(i) * by_gamma[c]) / pixels as f64;
                wgamma[c] * inv[c] * (mask[i] - away)
            };
            let want: Vec<f64> = (0..total).map(one).collect();
            close_stored(&name("gradient of the input"), &gpu.load(&dz, storage), &want, storage);
        }
        if let Some(dres) = dres {
            close_stored(&name("gradient of the residual"), &gpu.load(&dres, storage), &mask, storage);
        }
    }
}

#[test]
fn the_largest_half_is_an_overflow_in_the_gradients_of_gamma_and_beta() {
    for storage in storages().into_iter().filter(|storage| *storage == Storage::F16) {
        for channels in [3, 8] {
            let plane = Plane { pixels: 40, channels, storage };
            let z = stored(random(40 * channels, 1), storage);
            for (value, overflows) in [(65_504.0, true), (-65_504.0, true), (65_472.0, false)] {
                let mut grad = vec![0.0; 40 * channels];
                grad[7 * channels + 1] = value;
                for gpu in devices() {
                    let (z, grad) = (gpu.store(&z, storage), gpu.store(&grad, storage));
                    let [gamma, mean, inv_std] = [1.0, 0.0, 1.0].map(|value| gpu.up(&vec![value; channels]));
                    let saved = Saved {
                        z: &z,
                        y: &z,
                        activation: Activation::None,
                        gamma: &gamma,
                        mean: &mean,
                        inv_std: &inv_std,
                    };
                    let (dgamma, dbeta) = (gpu.empty(4 * channels), gpu.empty(4 * channels));
                    norm::backward(&gpu, plane, &grad, &saved, [&dgamma, &dbeta], false);
                    let finite = [dgamma, dbeta].map(|sums| gpu.down(&sums)[1].is_finite());
                    assert_eq!(finite, [!overflows; 2], "{value}, {plane:?}");
                }
            }
        }
    }
}
