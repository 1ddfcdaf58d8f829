//! Batch normalisation with residual and ReLU, forward and backward, as dispatches.
//!
//! Training forward is three dispatches (sums over chunks of pixels; mean and variance; normalise, add, rectify),
//! backward three (sums; gradients of gamma and beta; the input's and the residual's gradient), of which the middle ones
//! touch only per-channel values. All are bound by memory: 3 passes over the activation forward, 6 to 8 backward.

use super::launch::{Adapter, Gpu, Kernel, Launch, Portion};
use crate::ops::Storage;

/// An activation of `pixels` (batch × height × width) by `channels`.
#[derive(Clone, Copy, Debug)]
pub struct Plane {
    pub pixels: usize,
    pub channels: usize,
    pub storage: Storage,
}

/// An activation cut into chunks of pixels; an invocation takes one chunk of one column.
struct Grid {
    vector: bool,
    /// Channels, or fours of them.
    columns: usize,
    /// Pixels in a chunk.
    length: usize,
    chunks: usize,
    threads: u32,
    portion: Portion,
}

impl Plane {
    fn bytes(&self) -> usize {
        self.storage.bytes() * self.pixels * self.channels
    }

    /// `wanted` invocations or so, none with fewer than `least` pixels.
    fn grid(&self, adapter: &Adapter, wanted: usize, least: usize) -> Grid {
        let vector = self.channels.is_multiple_of(4);
        let columns = if vector { self.channels / 4 } else { self.channels };
        let chunks = (wanted / columns).clamp(1, self.pixels.div_ceil(least));
        let length = self.pixels.div_ceil(chunks);
        let chunks = self.pixels.div_ceil(length);
        Grid { vector, columns, length, chunks, threads: adapter.threads(), portion: adapter.portion }
    }

    fn sums_grid(&self, adapter: &Adapter) -> Grid {
        // A software adapter is busy with a few hundred invocations; more only add partial sums.
        self.grid(adapter, if adapter.software { 256 } else { 1 << 15 }, 16)
    }

    fn pass_grid(&self, adapter: &Adapter) -> Grid {
        self.grid(adapter, if adapter.software { 1024 } else { 1 << 18 }, 4)
    }

    /// One invocation a channel (or a few) for the small kernels between the passes.
    fn finish(&self, adapter: &Adapter, name: &'static str, template: &'static str, mut params: Vec<u32>) -> Launch {
        let (threads, shared) = if adapter.software { (8, 1) } else { (64, 16) };
        params.resize(params.len().next_multiple_of(4), 0);
        let kernel = Kernel::new(name, template, threads).storing(self.storage).with("T", shared);
        Launch::linear(kernel, params, self.channels.div_ceil((threads / shared) as usize))
    }
}

impl Grid {
    /// The dispatches of a kernel that touches `tensors` such activations.
    fn launches(&self, kernel: Kernel, plane: Plane, tensors: usize, rest: &[u32]) -> impl Iterator<Item = Launch> {
        let kernel = kernel.storing(plane.storage).with("V", u32::from(self.vector));
        let bytes = (tensors * plane.bytes()) as u64;
        let start = [self.columns as u32, plane.pixels as u32, self.length as u32];
        let rest = rest.to_vec();
        Launch::portions(kernel, self.columns * self.chunks, bytes, self.portion, move |first| {
            start.into_iter().chain([first]).chain(rest.iter().copied()).collect()
        })
    }
}

/// Scale and shift of a normalisation, on the device.
pub struct Affine<'a, B> {
    pub gamma: &'a B,
    pub beta: &'a B,
}

/// What the statistics of a batch give.
pub struct Statistics<B> {
    pub mean: B,
    pub inv_std: B,
}

/// Mean and inverse standard deviation of `z`, and the running statistics `old` moved towards them into `fresh`, each a
/// pair of mean and variance.
pub fn statistics<G: Gpu>(
    gpu: &G,
    plane: Plane,
    z: &G::Buffer,
    old: [&G::Buffer; 2],
    fresh: [&G::Buffer; 2],
    momentum: f32,
    eps: f32,
) -> Statistics<G::Buffer> {
    let adapter = gpu.adapter();
    let grid = plane.sums_grid(&adapter);
    let part = gpu.empty(8 * grid.chunks * plane.channels);
    let kernel = Kernel::new("norm_stats", include_str!("../../../shaders/norm_stats.wgsl"), grid.threads);
    for launch in grid.launches(kernel, plane, 1, &[grid.chunks as u32]) {
        gpu.dispatch(launch, &[z, &part]);
    }
    let (mean, inv_std) = (gpu.empty(4 * plane.channels), gpu.empty(4 * plane.channels));
    let params =
        vec![plane.channels as u32, grid.chunks as u32, plane.pixels as u32, eps.to_bits(), momentum.to_bits()];
    let launch = plane.finish(&adapter, "norm_finish", include_str!("../../../shaders/norm_finish.wgsl"), params);
    gpu.dispatch(launch, &[&part, z, old[0], old[1], &mean, &inv_std, fresh[0], fresh[1]]);
    Statistics { mean, inv_std }
}

/// How [`apply`] normalises.
pub enum Spread<'a, B> {
    InvStd(&'a B),
    /// The variance, with what is added to it.
    Variance(&'a B, f32),
}

/// `relu?(gamma (z - mean) / spread + beta + residual?)`
#[allow(clippy::too_many_arguments)]
pub fn apply<G: Gpu>(
    gpu: &G,
    plane: Plane,
    z: &G::Buffer,
    mean: &G::Buffer,
    spread: Spread<G::Buffer>,
    affine: Affine<G::Buffer>,
    residual: Option<&G::Buffer>,
    relu: bool,
) -> G::Buffer {
    let grid = plane.pass_grid(&gpu.adapter());
    let (spread, eps, eval) = match spread {
        Spread::InvStd(inv_std) => (inv_std, 0.0f32, 0),
        Spread::Variance(var, eps) => (var, eps, 1),
    };
    let y = gpu.empty(plane.bytes());
    let kernel = Kernel::new("norm_apply", include_str!("../../../shaders/norm_apply.wgsl"), grid.threads);
    let params = [eps.to_bits(), least(relu), u32::from(residual.is_some()), eval];
    let buffers = [z, mean, spread, affine.gamma, affine.beta, &y, residual.unwrap_or(z)];
    for launch in grid.launches(kernel, plane, 2 + usize::from(residual.is_some()), &params) {
        gpu.dispatch(launch, &buffers);
    }
    y
}

/// The bits of what a unit's output is cut off at.
fn least(relu: bool) -> u32 {
    if relu { 0.0 } else { f32::MIN }.to_bits()
}

/// What [`backward`] reads.
pub struct Saved<'a, B> {
    pub z: &'a B,
    /// The unit's output, for the ReLU's mask.
    pub y: &'a B,
    pub relu: bool,
    pub gamma: &'a B,
    pub mean: &'a B,
    pub inv_std: &'a B,
}

/// The gradient of `z`, and of the residual where asked for; those of gamma and beta are written to `dgamma` and
/// `dbeta`.
pub fn backward<G: Gpu>(
    gpu: &G,
    plane: Plane,
    grad: &G::Buffer,
    saved: &Saved<G::Buffer>,
    dgamma: &G::Buffer,
    dbeta: &G::Buffer,
    residual: bool,
) -> (G::Buffer, Option<G::Buffer>) {
    let adapter = gpu.adapter();
    let above = least(saved.relu);
    let grid = plane.sums_grid(&adapter);
    let part = gpu.empty(8 * grid.chunks * plane.channels);
    let template = include_str!("../../../shaders/norm_backward_sums.wgsl");
    let kernel = Kernel::new("norm_backward_sums", template, grid.threads);
    let buffers = [grad, saved.z, saved.mean, &part, saved.y];
    for launch in grid.launches(kernel, plane, 3, &[grid.chunks as u32, above]) {
        gpu.dispatch(launch, &buffers);
    }

    let coefficients = gpu.empty(16 * plane.channels);
    let params = vec![plane.channels as u32, grid.chunks as u32, plane.pixels as u32];
    let template = include_str!("../../../shaders/norm_backward_finish.wgsl");
    let launch = plane.finish(&adapter, "norm_backward_finish", template, params);
    gpu.dispatch(launch, &[&part, saved.gamma, saved.mean, saved.inv_std, dgamma, dbeta, &coefficients]);

    let grid = plane.pass_grid(&adapter);
    let dz = gpu.empty(plane.bytes());
    let dres = residual.then(|| gpu.empty(plane.bytes()));
    let template = include_str!("../../../shaders/norm_backward_apply.wgsl");
    let kernel = Kernel::new("norm_backward_apply", template, grid.threads);
    let buffers = [grad, saved.z, &coefficients, &dz, saved.y, dres.as_ref().unwrap_or(&dz)];
    for launch in grid.launches(kernel, plane, 4 + usize::from(residual), &[u32::from(residual), above]) {
        gpu.dispatch(launch, &buffers);
    }
    (dz, dres)
}
