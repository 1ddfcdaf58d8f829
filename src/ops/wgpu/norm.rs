//! Batch normalisation with residual and activation, forward and backward, as dispatches.
//!
//! Training forward is three dispatches (sums over chunks of pixels; mean and variance; normalise, add, rectify),
//! backward three (sums; gradients of gamma and beta; the input's and the residual's gradient), of which the middle ones
//! touch only per-channel values. All are bound by memory: 3 passes over the activation forward, 6 to 8 backward.

use super::launch::{Adapter, Cost, DispatchLimit, Gpu, Kernel, Launch, kernel};
use crate::ops::{
    Activation, Storage,
    wgsl_type::{WgslType, wgsl_struct},
};

wgsl_struct! {
    /// Chunks of pixels; the dispatch begins with invocation `first`.
    struct NormGrid { columns: u32, pixels: u32, chunk_pixels: u32, first: u32 }
    struct NormStatsParams { grid: NormGrid, chunks: u32 }
    struct NormFinishParams { channels: u32, chunks: u32, pixels: u32, eps: f32, momentum: f32 }
    struct NormApplyParams { grid: NormGrid, eps: f32, least: f32, most: f32, residual: u32, eval: u32 }
    struct NormBackwardSumsParams { grid: NormGrid, chunks: u32, above: f32, below: f32 }
    struct NormBackwardFinishParams { channels: u32, chunks: u32, pixels: u32 }
    struct NormBackwardApplyParams { grid: NormGrid, residual: u32, above: f32, below: f32 }
}

/// An activation of `pixels` (batch × height × width) by `channels`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plane {
    pub pixels: usize,
    pub channels: usize,
    pub storage: Storage,
}

/// An activation cut into chunks of pixels; an invocation takes one chunk of one column.
struct Grid {
    /// Columns are fours of channels.
    vector: bool,
    params: NormGrid,
    chunks: usize,
    threads: u32,
    limit: DispatchLimit,
}

impl Plane {
    fn values(&self) -> usize {
        self.pixels * self.channels
    }

    fn bytes(&self) -> usize {
        self.storage.bytes() * self.values()
    }

    /// What a pass over `tensors` such activations costs, with so many operations a value.
    fn cost(&self, role: &'static str, operations: usize, tensors: usize) -> Cost {
        Cost::new(role, operations * self.values(), tensors * self.bytes())
    }

    /// `wanted` invocations or so, none with fewer than `least` pixels.
    fn grid(&self, adapter: &Adapter, wanted: usize, least: usize) -> Grid {
        let vector = self.channels.is_multiple_of(4);
        let columns = if vector { self.channels / 4 } else { self.channels };
        let chunks = (wanted / columns).clamp(1, self.pixels.div_ceil(least));
        let chunk_pixels = self.pixels.div_ceil(chunks);
        let chunks = self.pixels.div_ceil(chunk_pixels);
        let [columns, pixels, chunk_pixels] = [columns, self.pixels, chunk_pixels].map(|n| n as u32);
        let params = NormGrid { columns, pixels, chunk_pixels, first: 0 };
        Grid { vector, params, chunks, threads: adapter.threads(), limit: adapter.limit }
    }

    fn sums_grid(&self, adapter: &Adapter) -> Grid {
        // A software adapter is busy with a few hundred invocations; more only add partial sums.
        self.grid(adapter, if adapter.software { 256 } else { 1 << 15 }, 16)
    }

    fn pass_grid(&self, adapter: &Adapter) -> Grid {
        self.grid(adapter, if adapter.software { 1024 } else { 1 << 18 }, 4)
    }

    /// One invocation a channel (or a few) for the small kernels between the passes, which add up `chunks` pairs of
    /// sums a channel and read and write `values` more.
    fn finish<P: WgslType>(
        &self,
        adapter: &Adapter,
        kernel: Kernel,
        params: &P,
        chunks: usize,
        values: usize,
    ) -> Launch {
        let (threads, shared) = if adapter.software { (8, 1) } else { (64, 16) };
        let kernel = kernel.threads(threads).storing(self.storage).with("T", shared);
        let cost =
            Cost::new("sum of the chunks", 2 * chunks * self.channels, 4 * (2 * chunks + values) * self.channels);
        Launch::linear(kernel, params, self.channels * shared as usize, cost)
    }
}

impl Grid {
    fn launches<P: WgslType>(
        &self,
        kernel: Kernel,
        plane: Plane,
        cost: Cost,
        params: impl Fn(NormGrid) -> P,
    ) -> impl Iterator<Item = Launch> {
        let kernel = kernel.threads(self.threads).storing(plane.storage).with("V", u32::from(self.vector));
        let invocations = self.params.columns as usize * self.chunks;
        let grid = move |first| NormGrid { first, ..self.params };
        Launch::split(kernel, invocations, cost, self.limit, move |first| params(grid(first)))
    }
}

/// What the statistics of a batch give.
pub(crate) struct Statistics<B> {
    pub mean: B,
    pub inv_std: B,
}

/// Mean and inverse standard deviation of `z`, and the running statistics `old` moved towards them into `fresh`, each a
/// pair of mean and variance.
pub(crate) fn statistics<G: Gpu>(
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
    let (pixels, chunks) = (plane.pixels as u32, grid.chunks as u32);
    let cost = plane.cost("mean and variance", 4, 1);
    let launches = grid.launches(kernel!("norm_stats"), plane, cost, |grid| NormStatsParams { grid, chunks });
    launches.for_each(|launch| gpu.dispatch(launch, &[z, &part]));
    let (mean, inv_std) = (gpu.empty(4 * plane.channels), gpu.empty(4 * plane.channels));
    let params = NormFinishParams { channels: plane.channels as u32, chunks, pixels, eps, momentum };
    let launch = plane.finish(&adapter, kernel!("norm_finish"), &params, grid.chunks, 7);
    gpu.dispatch(launch, &[&part, z, old[0], old[1], &mean, &inv_std, fresh[0], fresh[1]]);
    Statistics { mean, inv_std }
}

/// How [`apply`] normalises.
pub(crate) enum Spread<'a, B> {
    InvStd(&'a B),
    /// The variance, with what is added to it.
    Variance(&'a B, f32),
}

/// What [`apply`] reads.
pub(crate) struct Apply<'a, B> {
    pub z: &'a B,
    pub mean: &'a B,
    pub spread: Spread<'a, B>,
    pub gamma: &'a B,
    pub beta: &'a B,
    pub residual: Option<&'a B>,
    pub activation: Activation,
}

/// `activation(gamma (z - mean) / spread + beta + residual?)`
pub(crate) fn apply<G: Gpu>(gpu: &G, plane: Plane, apply: Apply<G::Buffer>) -> G::Buffer {
    let Apply { z, mean, spread, gamma, beta, residual, activation } = apply;
    let grid = plane.pass_grid(&gpu.adapter());
    let (spread, eps, eval) = match spread {
        Spread::InvStd(inv_std) => (inv_std, 0.0, 0),
        Spread::Variance(var, eps) => (var, eps, 1),
    };
    let y = gpu.empty(plane.bytes());
    let added = usize::from(residual.is_some());
    let cost = plane.cost("normalise, add, rectify", 4 + added, 2 + added);
    let [least, most] = activation.passes();
    let launches = grid.launches(kernel!("norm_apply"), plane, cost, |grid| NormApplyParams {
        grid,
        eps,
        least,
        most,
        residual: added as u32,
        eval,
    });
    let buffers = [z, mean, spread, gamma, beta, &y, residual.unwrap_or(z)];
    launches.for_each(|launch| gpu.dispatch(launch, &buffers));
    y
}

/// What [`backward`] reads besides the gradient.
pub(crate) struct Saved<'a, B> {
    pub z: &'a B,
    /// The output, for the activation's mask.
    pub y: &'a B,
    pub activation: Activation,
    pub gamma: &'a B,
    pub mean: &'a B,
    pub inv_std: &'a B,
}

/// The gradient of `z`, and of the residual where asked for; those of gamma and beta are written to `dgamma` and
/// `dbeta`.
pub(crate) fn backward<G: Gpu>(
    gpu: &G,
    plane: Plane,
    grad: &G::Buffer,
    saved: &Saved<G::Buffer>,
    [dgamma, dbeta]: [&G::Buffer; 2],
    residual: bool,
) -> (G::Buffer, Option<G::Buffer>) {
    let adapter = gpu.adapter();
    let [above, below] = saved.activation.passes();
    let pixels = plane.pixels as u32;
    let grid = plane.sums_grid(&adapter);
    let chunks = grid.chunks as u32;
    let part = gpu.empty(8 * grid.chunks * plane.channels);
    let cost = plane.cost("gradients of gamma and beta", 5, 3);
    let launches = grid.launches(kernel!("norm_backward_sums"), plane, cost, |grid| NormBackwardSumsParams {
        grid,
        chunks,
        above,
        below,
    });
    let buffers = [grad, saved.z, saved.mean, &part, saved.y];
    launches.for_each(|launch| gpu.dispatch(launch, &buffers));

    let coefficients = gpu.empty(16 * plane.channels);
    let params = NormBackwardFinishParams { channels: plane.channels as u32, chunks, pixels };
    let launch = plane.finish(&adapter, kernel!("norm_backward_finish"), &params, grid.chunks, 9);
    gpu.dispatch(launch, &[&part, saved.gamma, saved.mean, saved.inv_std, dgamma, dbeta, &coefficients]);

    let grid = plane.pass_grid(&adapter);
    let dz = gpu.empty(plane.bytes());
    let dres = residual.then(|| gpu.empty(plane.bytes()));
    let cost = plane.cost("gradient of the product", 6, 4 + usize::from(residual));
    let launches = grid.launches(kernel!("norm_backward_apply"), plane, cost, |grid| NormBackwardApplyParams {
        grid,
        residual: u32::from(residual),
        above,
        below,
    });
    let buffers = [grad, saved.z, &coefficients, &dz, saved.y, dres.as_ref().unwrap_or(&dz)];
    launches.for_each(|launch| gpu.dispatch(launch, &buffers));
    (dz, dres)
}
