use super::{close, close_stored, devices, oracle, random, storages, stored};
use crate::ops::{
    Objective, Window,
    optimizers::Status,
    wgpu::{
        conv::Conv,
        head::{self, Head, Saved, Targets},
        launch::Gpu,
        pool::{self, Pool},
        silu,
    },
};

#[test]
fn pools_match_plain_loops() {
    let square = |kernel, stride, pad| Window { kernel: [kernel; 2], stride: [stride; 2], pad };
    for (batch, input, channels, window) in [
        (1, [1, 1], 1, square(1, 1, [[0; 2]; 2])),
        (2, [8, 8], 16, square(3, 2, [[1; 2]; 2])),
        (1, [7, 9], 6, square(3, 2, [[0, 1]; 2])),
        (2, [5, 6], 4, square(2, 2, [[0; 2]; 2])),
        (1, [6, 7], 3, Window { kernel: [3, 2], stride: [1, 3], pad: [[1, 0], [0, 1]] }),
    ] {
        for storage in storages() {
            check_pool(&Pool { batch, input, channels, window, storage });
        }
    }
}

fn check_pool(pool: &Pool) {
    let Pool { batch, input, channels, window, storage } = *pool;
    let [oh, ow] = pool.output();
    // Few different values, so that windows have several maxima.
    let x: Vec<f32> = random(batch * input[0] * input[1] * channels, 1).iter().map(|v| (v * 6.0).round()).collect();
    let grad = stored(random(batch * oh * ow * channels, 2), storage);
    let (mut y, mut winner) = (vec![f64::MIN; grad.len()], vec![0; grad.len()]);
    let taps = Conv { batch, input, ci: channels, co: channels, window, groups: 1, storage };
    oracle::each_tap(&taps, |from, to, _| {
        for c in 0..channels {
            let value = f64::from(x[from * channels + c]);
            if value > y[to * channels + c] {
                (y[to * channels + c], winner[to * channels + c]) = (value, from * channels + c);
            }
        }
    });
    let mut dx = vec![0.0; x.len()];
    for (winner, grad) in winner.iter().zip(&grad) {
        dx[*winner] += f64::from(*grad);
    }
    for gpu in devices() {
        let bx = gpu.store(&x, storage);
        let by = pool::max_pool(&gpu, pool, &bx);
        close_stored(&format!("{pool:?}"), &gpu.load(&by, storage), &y, storage);
        let got = pool::max_pool_backward(&gpu, pool, &gpu.store(&grad, storage), &bx, &by);
        close_stored(&format!("gradient, {pool:?}"), &gpu.load(&got, storage), &dx, storage);
    }
}

#[test]
fn averages_match_plain_loops() {
    let square = |kernel, stride, pad| Window { kernel: [kernel; 2], stride: [stride; 2], pad };
    for (batch, input, channels, window) in [
        (1, [1, 1], 1, square(2, 2, [[0, 1]; 2])),
        (2, [8, 8], 16, square(2, 2, [[0; 2]; 2])),
        (1, [7, 9], 6, square(2, 2, [[0, 1]; 2])),
        (2, [5, 6], 4, square(3, 2, [[1; 2]; 2])),
        (1, [6, 7], 3, Window { kernel: [3, 2], stride: [1, 3], pad: [[1, 0], [0, 1]] }),
    ] {
        for storage in storages() {
            check_average(&Pool { batch, input, channels, window, storage });
        }
    }
}

fn check_average(pool: &Pool) {
    let Pool { batch, input, channels, window, storage } = *pool;
    let [oh, ow] = pool.output();
    let x = stored(random(batch * input[0] * input[1] * channels, 1), storage);
    let grad = stored(random(batch * oh * ow * channels, 2), storage);
    let (mut y, mut dx, mut counts) = (vec![0.0; grad.len()], vec![0.0; x.len()], vec![0.0; batch * oh * ow]);
    let taps = Conv { batch, input, ci: channels, co: channels, window, groups: 1, storage };
    oracle::each_tap(&taps, |_, to, _| counts[to] += 1.0);
    oracle::each_tap(&taps, |from, to, _| {
        for c in 0..channels {
            y[to * channels + c] += f64::from(x[from * channels + c]) / counts[to];
            dx[from * channels + c] += f64::from(grad[to * channels + c]) / counts[to];
        }
    });
    for gpu in devices() {
        let got = pool::average_pool(&gpu, pool, &gpu.store(&x, storage));
        close_stored(&format!("{pool:?}"), &gpu.load(&got, storage), &y, storage);
        let got = pool::average_pool_backward(&gpu, pool, &gpu.store(&grad, storage));
        close_stored(&format!("gradient, {pool:?}"), &gpu.load(&got, storage), &dx, storage);
    }
}

#[test]
fn silu_matches_its_definition() {
    for count in [1, 6, 4_000] {
        for storage in storages() {
            let scaled: Vec<f32> = random(count, 1).iter().map(|v| v * 40.0).collect();
            let (x, grad) = (stored(scaled, storage), stored(random(count, 2), storage));
            let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
            let y: Vec<f64> = oracle::wide(&x).into_iter().map(|x| x * sigmoid(x)).collect();
            let slope = |x: f64| sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x)));
            let pairs = oracle::wide(&x).into_iter().zip(oracle::wide(&grad));
            let dx: Vec<f64> = pairs.map(|(x, g)| g * slope(x)).collect();
            for gpu in devices() {
                let (bx, bg) = (gpu.store(&x, storage), gpu.store(&grad, storage));
                let got = silu::forward(&gpu, count, storage, &bx);
                close_stored(&format!("SiLU of {count}"), &gpu.load(&got, storage), &y, storage);
                let got = silu::backward(&gpu, count, storage, &bg, &bx);
                close_stored(&format!("its gradient of {count}"), &gpu.load(&got, storage), &dx, storage);
            }
        }
    }
}

#[test]
fn heads_match_plain_loops() {
    for (batch, pixels, features, classes) in [(1, 1, 1, 1), (3, 4, 5, 7), (8, 64, 64, 10), (33, 49, 36, 100)] {
        for storage in storages() {
            check_head(&Head { batch, pixels, features, classes, storage });
        }
    }
}

fn check_head(sizes: &Head) {
    let Head { batch, pixels, features, classes, storage } = *sizes;
    let [x, weight, bias, grad] = [batch * pixels * features, features * classes, classes, batch * classes]
        .map(|count| random(count, count as u64 + 1));
    let x = stored(x, storage);
    let mut mean = vec![0.0; batch * features];
    for (i, v) in x.iter().enumerate() {
        mean[i / (pixels * features) * features + i % features] += f64::from(*v) / pixels as f64;
    }
    let product = |count: usize, inner: usize, one: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
        (0..count).map(|i| (0..inner).map(|k| one(i, k)).sum()).collect()
    };
    let w = |c: usize, k: usize| f64::from(weight[c * classes + k]);
    let g = |n: usize, k: usize| f64::from(grad[n * classes + k]);
    let mut logits = product(batch * classes, features, &|i, c| mean[i / classes * features + c] * w(c, i % classes));
    logits.iter_mut().enumerate().for_each(|(i, v)| *v += f64::from(bias[i % classes]));
    let dw = product(features * classes, batch, &|i, n| mean[n * features + i / classes] * g(n, i % classes));
    let db = product(classes, batch, &|k, n| g(n, k));
    let dx = product(x.len(), classes, &|i, k| g(i / (pixels * features), k) * w(i % features, k) / pixels as f64);
    for gpu in devices() {
        let [bw, bb, bg] = [&weight, &bias, &grad].map(|v| gpu.up(v));
        let (got, got_logits) = head::forward(&gpu, sizes, &gpu.store(&x, storage), &bw, &bb);
        close_stored(&format!("features, {sizes:?}"), &gpu.load(&got, storage), &mean, storage);
        close_stored(&format!("logits, {sizes:?}"), &gpu.down(&got_logits), &logits, storage);
        let (got_w, got_b) = (gpu.empty(4 * weight.len()), gpu.empty(4 * classes));
        let saved = Saved { grad: &bg, features: &got, weight: &bw };
        let got_x = head::backward(&gpu, sizes, &saved, [&got_w, &got_b], true).expect("asked for");
        close_stored(&format!("weight gradient, {sizes:?}"), &gpu.down(&got_w), &dw, storage);
        close(&format!("bias gradient, {sizes:?}"), &gpu.down(&got_b), &db);
        close_stored(&format!("input gradient, {sizes:?}"), &gpu.load(&got_x, storage), &dx, storage);
    }
}

#[test]
fn losses_match_plain_loops() {
    for (batch, classes) in [(1, 1), (3, 7), (33, 100), (130, 10)] {
        for smoothing in [0.0f32, 0.1] {
            check_loss(batch, classes, smoothing, None);
            let weights: Vec<f32> = (0..classes).map(|k| 0.01 + (k * k % 11) as f32).collect();
            check_loss(batch, classes, smoothing, Some(&weights));
        }
    }
}

fn check_loss(batch: usize, classes: usize, smoothing: f32, weights: Option<&[f32]>) {
    let logits: Vec<f32> = random(batch * classes, 6).iter().map(|v| v * 20.0).collect();
    let first: Vec<i32> = (0..batch).map(|i| (i * 7 % classes) as i32).collect();
    let second: Vec<i32> = (0..batch).map(|i| (i * 3 % classes) as i32).collect();
    let lambda: Vec<f32> = (0..batch).map(|i| if i % 2 == 0 { 1.0 } else { 0.3 }).collect();
    let weight = |k: usize| weights.map_or(1.0, |weights| f64::from(weights[k]));
    let of_labels = (0..batch).map(|n| {
        f64::from(lambda[n]) * weight(first[n] as usize) + (1.0 - f64::from(lambda[n])) * weight(second[n] as usize)
    });
    let of_labels: f64 = of_labels.sum();
    let (mut losses, mut parts, mut grad, mut hits) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (n, row) in logits.chunks(classes).enumerate() {
        let row = oracle::wide(row);
        let log_sum = row.iter().map(|v| v.exp()).sum::<f64>().ln();
        let (s, lambda) = (f64::from(smoothing), f64::from(lambda[n]));
        let q = |k: usize| {
            let at = |label: i32| f64::from(u8::from(k as i32 == label));
            s / classes as f64 + (1.0 - s) * (lambda * at(first[n]) + (1.0 - lambda) * at(second[n]))
        };
        let pull: f64 = (0..classes).map(|k| q(k) * weight(k)).sum();
        let (mut loss, mut part) = (0.0, 0.0);
        for (k, v) in row.iter().enumerate() {
            loss -= q(k) * (v - log_sum);
            part -= q(k) * weight(k) * (v - log_sum) / of_labels * batch as f64;
            grad.push(((v - log_sum).exp() * pull - q(k) * weight(k)) / of_labels);
        }
        losses.push(loss);
        parts.push(part);
        hits.push(f64::from(u8::from(row.iter().all(|v| *v <= row[first[n] as usize]))));
    }
    for gpu in devices() {
        let [first, second] = [&first, &second].map(|v| gpu.up_int(v));
        let lambda = gpu.up(&lambda);
        let targets = Targets { first, second, lambda };
        let metrics = gpu.up(&[5.0, 2.0]);
        let logits = gpu.up(&logits);
        let weights = weights.map(|weights| gpu.up(weights));
        let loss = |status| {
            let objective = Objective { smoothing, weights: weights.as_ref(), status };
            head::cross_entropy(&gpu, [batch, classes], &logits, &targets, &metrics, &objective)
        };
        let out = loss(None);
        let name = format!("{batch} x {classes}, smoothing {smoothing}, weighted {}", weights.is_some());
        let outcome = gpu.down(&out.outcome);
        close(&format!("losses, {name}"), &outcome[..batch], &losses);
        close(&format!("parts, {name}"), &outcome[batch..2 * batch], &parts);
        close(&format!("hits, {name}"), &outcome[2 * batch..], &hits);
        close(&format!("gradient, {name}"), &gpu.down(&out.grad), &grad);
        let status = gpu.up(&Status { scale: 64.0, ..Status::START }.values());
        let scaled: Vec<f64> = grad.iter().map(|v| v * 64.0).collect();
        close(&format!("scaled gradient, {name}"), &gpu.down(&loss(Some(&status)).grad), &scaled);
        close(
            &format!("metrics, {name}"),
            &gpu.down(&out.metrics),
            &[5.0 + parts.iter().sum::<f64>(), 2.0 + hits.iter().sum::<f64>()],
        );
    }
}
