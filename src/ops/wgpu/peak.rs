//! The most that an adapter does, measured: what the speed of kernels is held against.

use super::{
    client::Wgpu,
    conv,
    launch::{Cost, Gpu, Launch, kernel},
};
use crate::ops::{Storage, wgsl_type::wgsl_struct};
use cubecl::server::{Handle, ServerError};
use std::time::Instant;

/// Operations of one invocation in one round: 64 multiply-adds of four values, two operations each.
const FLOPS_A_ROUND: usize = 64 * 4 * 2;
/// How long an attempt lasts at least; none occupies a slow GPU for more than a few times as long.
const MIN_SECONDS: f64 = 0.02;
/// The best of these counts: what else the machine does only slows things down.
const ATTEMPTS: usize = 8;
/// Bytes of the tensors that are streamed: more than any cache holds.
const STREAMED_BYTES: u64 = 128 << 20;

/// Arithmetic and memory of an adapter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peak {
    /// Floating-point operations a second in `f32`.
    pub flops: f64,
    /// Bytes a second, read and written.
    pub bytes: f64,
}

impl Peak {
    /// The least time, in seconds, in which so much can be computed and moved.
    pub(crate) fn seconds(&self, flops: u64, bytes: u64) -> f64 {
        (flops as f64 / self.flops).max(bytes as f64 / self.bytes)
    }
}

/// Measures both. Takes half a second; fails where the device does.
pub(crate) fn measure(gpu: &Wgpu) -> Result<Peak, ServerError> {
    Ok(Peak { flops: flops(gpu)?, bytes: bytes(gpu)? })
}

wgsl_struct! {
    struct FmaPeakParams { rounds: u32, factor: f32, summand: f32 }
}

/// Multiply-adds, in so many invocations.
pub(super) fn multiply_adds(threads: u32, invocations: usize, rounds: u32) -> Launch {
    // Both values stay finite for ever.
    let params = FmaPeakParams { rounds, factor: 0.999, summand: 0.001 };
    let cost = Cost::new("multiply-adds", FLOPS_A_ROUND * invocations * rounds as usize, 4 * invocations);
    Launch::linear(kernel!("fma_peak").threads(threads), &params, invocations, cost)
}

/// Fused multiply-adds on registers: `shaders/fma_peak.wgsl`.
pub(crate) fn flops(gpu: &Wgpu) -> Result<f64, ServerError> {
    let adapter = gpu.adapter();
    let threads = adapter.threads();
    // Enough to fill the largest GPU several times over, or a few cores.
    let invocations = threads as usize * if adapter.software { 256 } else { 1 << 14 };
    let out = gpu.empty(4 * invocations);
    let launch = |rounds| multiply_adds(threads, invocations, rounds);
    let mut rounds = 1;
    // Compiles the kernel.
    time(gpu, &launch(rounds), &[&out])?;
    // One that was held up by something else says nothing about how long it takes.
    while best(gpu, &launch(rounds), &[&out], 3)? < MIN_SECONDS && rounds < 1 << 20 {
        rounds *= 2;
    }
    let launch = launch(rounds);
    Ok(launch.cost.flops as f64 / best(gpu, &launch, &[&out], ATTEMPTS)?)
}

/// One tensor added to another: two reads and a write, in order.
fn bytes(gpu: &Wgpu) -> Result<f64, ServerError> {
    let bytes = STREAMED_BYTES.min(gpu.adapter().max_binding);
    let tensor = || gpu.client.create_from_slice(&vec![0; bytes as usize]);
    let (a, b) = (tensor(), tensor());
    let launch = conv::add_to(bytes as usize / 4, Storage::F32);
    time(gpu, &launch, &[&a, &b])?;
    Ok(launch.cost.bytes as f64 / best(gpu, &launch, &[&a, &b], ATTEMPTS)?)
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
