//! The most that an adapter does, measured: what the speed of kernels is held against.

use super::{
    client::Wgpu,
    conv,
    launch::{Gpu, Kernel, Launch},
};
use crate::ops::Storage;
use cubecl::server::{Handle, ServerError};
use std::time::Instant;

/// Operations of one invocation in one round: 64 multiply-adds of four values, two operations each.
const OPERATIONS: u64 = 64 * 4 * 2;
/// How long an attempt lasts at least; none occupies a slow GPU for more than a few times as long.
const SECONDS: f64 = 0.02;
/// The best of these counts: what else the machine does only slows things down.
const ATTEMPTS: usize = 8;
/// Bytes of the tensors that are streamed: more than any cache holds.
const STREAMED: u64 = 128 << 20;

/// Arithmetic and memory of an adapter.
#[derive(Clone, Copy, Debug)]
pub struct Peak {
    /// Floating-point operations a second in `f32`.
    pub flops: f64,
    /// Bytes a second, read and written.
    pub bytes: f64,
}

impl Peak {
    /// The least time, in seconds, in which so much can be computed and moved.
    pub fn seconds(&self, flops: u64, bytes: u64) -> f64 {
        (flops as f64 / self.flops).max(bytes as f64 / self.bytes)
    }
}

/// Measures both. Takes half a second; fails where the device does.
pub fn measure(gpu: &Wgpu) -> Result<Peak, ServerError> {
    Ok(Peak { flops: flops(gpu)?, bytes: bytes(gpu)? })
}

/// Fused multiply-adds on registers: `shaders/fma_peak.wgsl`.
pub fn flops(gpu: &Wgpu) -> Result<f64, ServerError> {
    let adapter = gpu.adapter();
    let threads = adapter.threads();
    // Enough to fill the largest GPU several times over, or a few cores.
    let groups: u64 = if adapter.software { 256 } else { 1 << 14 };
    let invocations = groups * u64::from(threads);
    let out = gpu.empty(4 * invocations as usize);
    let kernel = Kernel::new("fma_peak", include_str!("../../../shaders/fma_peak.wgsl"), threads);
    let launch = |rounds: u32| {
        // Both values stay finite for ever.
        let params = vec![rounds, 0.999f32.to_bits(), 0.001f32.to_bits(), 0];
        Launch::linear(kernel.clone(), params, groups as usize)
    };
    let mut rounds = 1;
    // Compiles the kernel.
    time(gpu, &launch(rounds), &[&out])?;
    // One that was held up by something else says nothing about how long it takes.
    while best(gpu, &launch(rounds), &[&out], 3)? < SECONDS && rounds < 1 << 20 {
        rounds *= 2;
    }
    let seconds = best(gpu, &launch(rounds), &[&out], ATTEMPTS)?;
    Ok((OPERATIONS * invocations * u64::from(rounds)) as f64 / seconds)
}

/// One tensor added to another: two reads and a write, in order.
fn bytes(gpu: &Wgpu) -> Result<f64, ServerError> {
    let bytes = STREAMED.min(gpu.adapter().max_binding);
    let tensor = || gpu.client.create_from_slice(&vec![0; bytes as usize]);
    let (a, b) = (tensor(), tensor());
    let launch = conv::add_to(bytes as usize / 4, Storage::F32);
    time(gpu, &launch, &[&a, &b])?;
    Ok(3.0 * bytes as f64 / best(gpu, &launch, &[&a, &b], ATTEMPTS)?)
}

fn best(gpu: &Wgpu, launch: &Launch, buffers: &[&Handle], attempts: usize) -> Result<f64, ServerError> {
    (0..attempts).try_fold(f64::INFINITY, |best, _| Ok(best.min(time(gpu, launch, buffers)?)))
}

/// Seconds from the dispatch to its end.
fn time(gpu: &Wgpu, launch: &Launch, buffers: &[&Handle]) -> Result<f64, ServerError> {
    let wait = || cubecl::future::block_on(gpu.client.sync());
    wait()?;
    let start = Instant::now();
    gpu.dispatch(launch.clone(), buffers);
    wait()?;
    Ok(start.elapsed().as_secs_f64())
}
