//! How long each kernel of a unit takes on a device, beside what it must at least do ([`cost`](super::cost)).
//!
//! The unit runs once through a [`Gpu`] that keeps every dispatch; each is then run again by itself, often enough to be
//! measured from the host.

use super::{
    client::Wgpu,
    conv::Conv,
    cost::{self, Cost},
    launch::{Adapter, Gpu, Launch},
    unit::{self, Into, Norm, Saved, Sizes},
};
use crate::ops::Storage;
use cubecl::server::{Handle, ServerError};
use std::{cell::RefCell, time::Instant};

/// The time that a kernel takes in one step of a unit.
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

/// Seconds of one run of a dispatch: the best of three batches of about ten milliseconds.
fn time(gpu: &Wgpu, launch: &Launch, buffers: &[Handle]) -> Result<f64, ServerError> {
    let buffers: Vec<&Handle> = buffers.iter().collect();
    let wait = || cubecl::future::block_on(gpu.client.sync());
    let run = |times: u32| -> Result<f64, ServerError> {
        wait()?;
        let start = Instant::now();
        (0..times).for_each(|_| gpu.dispatch(launch.clone(), &buffers));
        wait()?;
        Ok(start.elapsed().as_secs_f64() / f64::from(times))
    };
    let once = run(1)?.min(run(1)?);
    let times = (0.01 / once.max(1e-6)).clamp(1.0, 200.0) as u32;
    Ok(run(times)?.min(run(times)?).min(run(times)?))
}

/// Times every kernel of a unit's training step. Takes a few hundred milliseconds; fails where the device does.
pub fn unit(gpu: &Wgpu, conv: &Conv, residual: bool) -> Result<Vec<Measured>, ServerError> {
    let [oh, ow] = conv.output();
    let inputs = conv.batch * conv.input[0] * conv.input[1] * conv.ci;
    let outputs = conv.batch * oh * ow * conv.co;
    let weights = conv.window.kernel[0] * conv.window.kernel[1] * conv.ci * conv.co;
    // Values of ordinary size: denormal numbers are slow on some devices.
    let values = |count: usize| (0..count).map(|i| (i * 7919 % 1009) as f32 / 1009.0 - 0.5);
    let filled = |count: usize| {
        let values: Vec<f32> = values(count).collect();
        gpu.client.create_from_slice(bytemuck::cast_slice(&values))
    };
    let activations = |count: usize| match conv.storage {
        Storage::F32 => filled(count),
        Storage::F16 => {
            let values: Vec<u16> = values(count).map(|value| half::f16::from_f32(value).to_bits()).collect();
            gpu.client.create_from_slice(bytemuck::cast_slice(&values))
        }
    };
    let [x, rest, grad] = [inputs, outputs, outputs].map(activations);
    let [weight, gamma, beta, mean, var] = [weights, conv.co, conv.co, conv.co, conv.co].map(filled);
    let fresh = [gpu.empty(4 * conv.co), gpu.empty(4 * conv.co)];
    let sizes = Sizes { conv: *conv, relu: true, eps: 1e-5, momentum: 0.1 };
    let recorder = Recorder { gpu, kept: RefCell::default() };
    let norm = Norm { gamma: &gamma, beta: &beta, mean: &mean, var: &var };
    let out = unit::train(&recorder, &sizes, &x, &weight, &norm, residual.then_some(&rest), [&fresh[0], &fresh[1]]);
    let forward = recorder.kept.take();
    let saved =
        Saved { x: &x, weight: &weight, gamma: &gamma, y: &out.y, z: &out.z, mean: &out.mean, inv_std: &out.inv_std };
    let [dw, dgamma, dbeta] = [weights, conv.co, conv.co].map(|count| gpu.empty(4 * count));
    let into = Into { weight: &dw, gamma: &dgamma, beta: &dbeta };
    unit::backward(&recorder, &sizes, &grad, &saved, &into, None, true, residual);
    let backward = recorder.kept.take();

    let mut measured: Vec<Measured> = Vec::new();
    for (is_forward, kept) in [(true, forward), (false, backward)] {
        for (launch, buffers) in kept {
            let seconds = time(gpu, &launch, &buffers)?;
            let kernel = launch.kernel.name;
            match measured.iter_mut().find(|m| m.kernel == kernel && m.forward == is_forward) {
                Some(before) => {
                    before.dispatches += 1;
                    before.seconds += seconds;
                }
                None => {
                    let cost = cost_of(conv, residual, kernel, is_forward);
                    measured.push(Measured { kernel, forward: is_forward, dispatches: 1, seconds, cost });
                }
            }
        }
    }
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
    let mut same = costs.into_iter().filter(|cost| cost.kernel == family);
    if forward { same.next() } else { same.next_back() }
}
