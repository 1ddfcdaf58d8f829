//! Pools and their gradients, as dispatches. All are bound by memory: neighbouring windows share their reads in cache.

use super::launch::{Cost, Gpu, Kernel, Launch, kernel};
use crate::ops::{Storage, Window, wgsl_type::wgsl_struct};

/// Sizes of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pool {
    pub batch: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    pub channels: usize,
    pub window: Window,
    pub storage: Storage,
}

wgsl_struct! {
    /// Of max_pool.wgsl, average_pool.wgsl and their gradients.
    struct PoolParams {
        total: u32, columns: u32, h: u32, w: u32, oh: u32, ow: u32, kh: u32, kw: u32, stride_y: u32,
        stride_x: u32, pad_y: u32, pad_x: u32, first: u32,
    }
}

impl Pool {
    pub(crate) fn output(&self) -> [usize; 2] {
        self.window.output(self.input)
    }

    fn values(&self, [h, w]: [usize; 2]) -> usize {
        self.batch * h * w * self.channels
    }

    fn bytes(&self, size: [usize; 2]) -> usize {
        self.storage.bytes() * self.values(size)
    }

    /// What it costs to look at all windows, and at input and output `times` times.
    fn cost(&self, role: &'static str, times: usize) -> Cost {
        let ([kh, kw], output) = (self.window.kernel, self.output());
        Cost::new(role, kh * kw * self.values(output), times * (self.bytes(self.input) + self.bytes(output)))
    }

    /// The dispatches of a kernel with an invocation for each of `pixels` (or four channels of it).
    fn launches<G: Gpu>(
        &self,
        gpu: &G,
        kernel: Kernel,
        pixels: [usize; 2],
        cost: Cost,
    ) -> impl Iterator<Item = Launch> {
        let adapter = gpu.adapter();
        let vector = self.channels.is_multiple_of(4);
        let columns = if vector { self.channels / 4 } else { self.channels };
        let total = self.batch * pixels[0] * pixels[1] * columns;
        let ([h, w], [oh, ow]) = (self.input.map(|n| n as u32), self.output().map(|n| n as u32));
        let [kh, kw] = self.window.kernel.map(|n| n as u32);
        let [stride_y, stride_x] = self.window.stride.map(|n| n as u32);
        let [pad_y, pad_x] = self.window.pad.map(|[before, _]| before as u32);
        let kernel = kernel.threads(adapter.threads()).storing(self.storage).with("V", u32::from(vector));
        Launch::split(kernel, total, cost, adapter.limit, move |first| PoolParams {
            total: total as u32,
            columns: columns as u32,
            h,
            w,
            oh,
            ow,
            kh,
            kw,
            stride_y,
            stride_x,
            pad_y,
            pad_x,
            first,
        })
    }
}

/// `[N, oh, ow, C]`
pub(crate) fn max_pool<G: Gpu>(gpu: &G, pool: &Pool, x: &G::Buffer) -> G::Buffer {
    let output = pool.output();
    let y = gpu.empty(pool.bytes(output));
    for launch in pool.launches(gpu, kernel!("max_pool"), output, pool.cost("maxima", 1)) {
        gpu.dispatch(launch, &[x, &y]);
    }
    y
}

/// `[N, H, W, C]`
pub(crate) fn max_pool_backward<G: Gpu>(
    gpu: &G,
    pool: &Pool,
    grad: &G::Buffer,
    x: &G::Buffer,
    y: &G::Buffer,
) -> G::Buffer {
    let dx = gpu.empty(pool.bytes(pool.input));
    // Each value looks for an earlier one as large in the windows that it is the maximum of.
    let cost = pool.cost("gradient of the maxima", 2);
    for launch in pool.launches(gpu, kernel!("max_pool_backward"), pool.input, cost) {
        gpu.dispatch(launch, &[grad, x, y, &dx]);
    }
    dx
}

/// `[N, oh, ow, C]`
pub(crate) fn average_pool<G: Gpu>(gpu: &G, pool: &Pool, x: &G::Buffer) -> G::Buffer {
    let output = pool.output();
    let y = gpu.empty(pool.bytes(output));
    for launch in pool.launches(gpu, kernel!("average_pool"), output, pool.cost("means", 1)) {
        gpu.dispatch(launch, &[x, &y]);
    }
    y
}

/// `[N, H, W, C]`
pub(crate) fn average_pool_backward<G: Gpu>(gpu: &G, pool: &Pool, grad: &G::Buffer) -> G::Buffer {
    let dx = gpu.empty(pool.bytes(pool.input));
    let cost = pool.cost("gradient of the means", 1);
    for launch in pool.launches(gpu, kernel!("average_pool_backward"), pool.input, cost) {
        gpu.dispatch(launch, &[grad, &dx]);
    }
    dx
}
