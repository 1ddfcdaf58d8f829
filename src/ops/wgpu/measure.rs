//! How long each kernel of a training step takes on a device, beside what it must at least do ([`cost`]).
//!
//! What is measured runs once through a [`Gpu`] that keeps every dispatch; each is then run again by itself, often enough to
//! be measured from the host.

use super::{
    client::Wgpu,
    conv::Conv,
    cost,
    gather::{self, Images, Rules},
    head::{self, Labels, Objective},
    launch::{Adapter, Cost, Gpu, Launch},
    pool,
    step::Step,
    unit::{self, Into, Norm, Saved, Sizes},
    update::{self, Gradients},
};
use crate::ops::{Storage, kernels::Status, sample::SampleParams};
use cubecl::server::{Handle, ServerError};
use std::{cell::RefCell, time::Instant};

/// The time that a kernel takes in one step of a unit, or of a network.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The shader.
    pub kernel: &'static str,
    /// Forward, or else backward.
    pub forward: bool,
    /// Dispatches in a step, which `seconds` is the sum of.
    pub dispatches: usize,
    pub seconds: f64,
    /// What the dispatches must at least do; `None` for helpers on small tensors.
    pub cost: Option<Cost>,
}

impl Measured {
    pub fn gflops(&self) -> Option<f64> {
        self.cost.map(|cost| cost.flops as f64 * 1e-9 / self.seconds)
    }

    pub fn gigabytes_per_second(&self) -> Option<f64> {
        self.cost.map(|cost| cost.bytes as f64 * 1e-9 / self.seconds)
    }
}

/// Keeps what passes through.
struct Recorder<'a> {
    gpu: &'a Wgpu,
    kept: RefCell<Vec<(Launch, Vec<Handle>)>>,
}

impl Gpu for Recorder<'_> {
    type Buffer = Handle;

    fn adapter(&self) -> Adapter {
        self.gpu.adapter()
    }

    fn empty(&self, bytes: usize) -> Handle {
        self.gpu.empty(bytes)
    }

    fn dispatch(&self, launch: Launch, buffers: &[&Handle]) {
        self.kept.borrow_mut().push((launch.clone(), buffers.iter().map(|&buffer| buffer.clone()).collect()));
        self.gpu.dispatch(launch, buffers);
    }
}

/// Seconds of one run of something: the best of three batches of about ten milliseconds.
fn time(gpu: &Wgpu, run: impl Fn()) -> Result<f64, ServerError> {
    let wait = || cubecl::future::block_on(gpu.client.sync());
    let run = |times: u32| -> Result<f64, ServerError> {
        wait()?;
        let start = Instant::now();
        (0..times).for_each(|_| run());
        wait()?;
        Ok(start.elapsed().as_secs_f64() / f64::from(times))
    };
    let once = run(1)?.min(run(1)?);
    let times = (0.01 / once.max(1e-6)).clamp(1.0, 200.0) as u32;
    Ok(run(times)?.min(run(times)?).min(run(times)?))
}

/// Values of ordinary size: denormal numbers are slow on some devices.
fn values(count: usize) -> impl Iterator<Item = f32> {
    (0..count).map(|i| (i * 7919 % 1009) as f32 / 1009.0 - 0.5)
}

fn filled(gpu: &Wgpu, count: usize) -> Handle {
    gpu.client.create_from_slice(bytemuck::cast_slice(&values(count).collect::<Vec<f32>>()))
}

fn activations(gpu: &Wgpu, count: usize, storage: Storage) -> Handle {
    match storage {
        Storage::F32 => filled(gpu, count),
        Storage::F16 => {
            let values: Vec<u16> = values(count).map(|value| half::f16::from_f32(value).to_bits()).collect();
            gpu.client.create_from_slice(bytemuck::cast_slice(&values))
        }
    }
}

impl Recorder<'_> {
    /// Times what was kept since the last time; the dispatches of one kernel together.
    fn measure(&self, forward: bool, cost: impl Fn(&str) -> Option<Cost>) -> Result<Vec<Measured>, ServerError> {
        let mut measured: Vec<Measured> = Vec::new();
        for (launch, buffers) in self.kept.take() {
            let buffers: Vec<&Handle> = buffers.iter().collect();
            let seconds = time(self.gpu, || self.gpu.dispatch(launch.clone(), &buffers))?;
            let kernel = launch.kernel.name;
            match measured.iter_mut().find(|before| before.kernel == kernel) {
                Some(before) => {
                    before.dispatches += 1;
                    before.seconds += seconds;
                }
                None => measured.push(Measured { kernel, forward, dispatches: 1, seconds, cost: cost(kernel) }),
            }
        }
        Ok(measured)
    }
}

/// Times every kernel of a unit's training step. Takes a few hundred milliseconds; fails where the device does.
pub fn unit(gpu: &Wgpu, conv: &Conv, residual: bool) -> Result<Vec<Measured>, ServerError> {
    let [oh, ow] = conv.output();
    let inputs = conv.batch * conv.input[0] * conv.input[1] * conv.ci;
    let outputs = conv.batch * oh * ow * conv.co;
    let weights = conv.window.kernel[0] * conv.window.kernel[1] * conv.ci * conv.co;
    let [x, rest, grad] = [inputs, outputs, outputs].map(|count| activations(gpu, count, conv.storage));
    let [weight, gamma, beta, mean, var] =
        [weights, conv.co, conv.co, conv.co, conv.co].map(|count| filled(gpu, count));
    let fresh = [gpu.empty(4 * conv.co), gpu.empty(4 * conv.co)];
    let sizes = Sizes { conv: *conv, relu: true, eps: 1e-5, momentum: 0.1 };
    let recorder = Recorder { gpu, kept: RefCell::default() };
    let norm = Norm { gamma: &gamma, beta: &beta, mean: &mean, var: &var };
    let out = unit::train(&recorder, &sizes, &x, &weight, &norm, residual.then_some(&rest), [&fresh[0], &fresh[1]]);
    let mut measured = recorder.measure(true, |kernel| cost_of(conv, residual, kernel, true))?;
    let saved =
        Saved { x: &x, weight: &weight, gamma: &gamma, y: &out.y, z: &out.z, mean: &out.mean, inv_std: &out.inv_std };
    let [dw, dgamma, dbeta] = [weights, conv.co, conv.co].map(|count| gpu.empty(4 * count));
    let into = Into { weight: &dw, gamma: &dgamma, beta: &dbeta };
    unit::backward(&recorder, &sizes, &grad, &saved, &into, None, true, residual);
    measured.extend(recorder.measure(false, |kernel| cost_of(conv, residual, kernel, false))?);
    Ok(measured)
}

/// Times every kernel of a step apart from its units, on images of `[height, width, channels]`, to which happens what
/// `samples` say. The kernel that makes the batch is timed with the sending of them. Fails where the device does.
pub fn rest(
    gpu: &Wgpu,
    step: &Step,
    image: [usize; 3],
    samples: &[SampleParams],
) -> Result<Vec<Measured>, ServerError> {
    let head = &step.head;
    let costs = cost::rest(step, image);
    let cost = |kernel: &str| costs.iter().find(|(of, _)| *of == kernel).map(|&(_, cost)| cost);
    let recorder = Recorder { gpu, kept: RefCell::default() };
    let [h, w, channels] = image;
    let bytes: Vec<u8> = (0..head.batch * h * w * channels).map(|i| (i * 7919 % 251) as u8).collect();
    let images = Images::send(gpu, &bytes, [h, w], channels);
    let (mean, std) = (vec![0.5; channels], vec![0.25; channels]);
    let rules = Rules { output: [h, w], reflect: false, tables: vec![[0.5; 256]; channels], mean, std };
    let seconds = time(gpu, || drop(gather::gather(gpu, &images, samples, &rules, head.storage)))?;
    let mut measured = vec![Measured { kernel: "gather", forward: true, dispatches: 1, seconds, cost: cost("gather") }];

    let pooled = step.pool.as_ref().map(|pool| {
        let [oh, ow] = pool.output();
        let [x, grad] =
            [pool.input, [oh, ow]].map(|[h, w]| activations(gpu, pool.batch * h * w * pool.channels, pool.storage));
        let y = pool::max_pool(&recorder, pool, &x);
        (pool, grad, x, y)
    });
    let x = activations(gpu, head.batch * head.pixels * head.features, head.storage);
    let [weight, bias] = [head.features * head.classes, head.classes].map(|count| filled(gpu, count));
    let (features, logits) = head::forward(&recorder, head, &x, &weight, &bias);
    let labels: Vec<i32> = (0..head.batch).map(|image| (image % head.classes) as i32).collect();
    let labels = gpu.client.create_from_slice(bytemuck::cast_slice(&labels));
    let (share, metrics) = (filled(gpu, head.batch), filled(gpu, 2));
    let labels = Labels { first: &labels, second: &labels, share: &share };
    let sizes = [head.batch, head.classes];
    let objective = Objective { smoothing: step.smoothing, weights: None, status: None };
    let loss = head::cross_entropy(&recorder, sizes, &logits, &labels, &metrics, &objective);
    measured.extend(recorder.measure(true, cost)?);

    let (dw, db) = (gpu.empty(4 * head.features * head.classes), gpu.empty(4 * head.classes));
    let saved = head::Saved { grad: &loss.grad, features: &features, weight: &weight };
    head::backward(&recorder, head, &saved, [&dw, &db], true);
    if let Some((pool, grad, x, y)) = &pooled {
        pool::max_pool_backward(&recorder, pool, grad, x, y);
    }
    let [parameters, gradients, moments] = [1, 1, 2].map(|times| filled(gpu, times * step.values));
    let table = filled(gpu, step.values / update::BLOCK * 4);
    let status = gpu.client.create_from_slice(bytemuck::cast_slice(&Status::START.values()));
    let arenas = [Gradients { total: step.values, values: &gradients, table: &table }];
    let verdict = update::gradient_norm(&recorder, &arenas, &status, &step.update);
    let buffers = [&parameters, &gradients, &moments, &table];
    let (fresh, _) = update::update(&recorder, step.values, buffers, &verdict, &step.update);
    if step.update.ema_decay > 0.0 {
        update::blend(&recorder, step.values, &parameters, &fresh, &verdict, step.update.ema_decay);
    }
    measured.extend(recorder.measure(false, cost)?);
    Ok(measured)
}

/// The cost of a kernel, whichever variant it is.
fn cost_of(conv: &Conv, residual: bool, kernel: &str, forward: bool) -> Option<Cost> {
    let family = match kernel {
        "conv_lanes" => "conv_tiled",
        "conv_wgrad_lanes" => "conv_wgrad_tiled",
        // The lanes variant has splits of its own.
        "reduce" => return None,
        other => other,
    };
    let costs = cost::unit(conv, residual);
    let mut same = costs.into_iter().filter(|(of, _)| *of == family).map(|(_, cost)| cost);
    if forward { same.next() } else { same.next_back() }
}
