//! Max-pool and its gradient, as dispatches. Both are bound by memory: neighbouring windows share their reads in cache.

use super::launch::{Gpu, Kernel, Launch};
use crate::ops::{Storage, Window};

/// Sizes of a pool.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    pub batch: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    pub channels: usize,
    pub window: Window,
    pub storage: Storage,
}

impl Pool {
    pub fn output(&self) -> [usize; 2] {
        self.window.output(self.input)
    }

    fn bytes(&self, [h, w]: [usize; 2]) -> usize {
        self.storage.bytes() * self.batch * h * w * self.channels
    }

    /// The dispatches of a kernel with an invocation for each of `pixels` (or four channels of it), which touches input
    /// and output `times` times.
    fn launches<G: Gpu>(
        &self,
        gpu: &G,
        name: &'static str,
        template: &'static str,
        pixels: [usize; 2],
        times: usize,
    ) -> impl Iterator<Item = Launch> {
        let adapter = gpu.adapter();
        let vector = self.channels.is_multiple_of(4);
        let columns = if vector { self.channels / 4 } else { self.channels };
        let total = self.batch * pixels[0] * pixels[1] * columns;
        let ([h, w], [oh, ow]) = (self.input, self.output());
        let Window { kernel: [kh, kw], stride: [sy, sx], pad: [[py, _], [px, _]] } = self.window;
        let params = [total, columns, h, w, oh, ow, kh, kw, sy, sx, py, px].map(|v| v as u32);
        let kernel = Kernel::new(name, template, adapter.threads()).storing(self.storage).with("V", u32::from(vector));
        let bytes = (times * (self.bytes(self.input) + self.bytes([oh, ow]))) as u64;
        Launch::portions(kernel, total, bytes, adapter.portion, move |first| {
            params.into_iter().chain([first]).collect()
        })
    }
}

/// `[N, oh, ow, C]`
pub fn max_pool<G: Gpu>(gpu: &G, pool: &Pool, x: &G::Buffer) -> G::Buffer {
    let [oh, ow] = pool.output();
    let y = gpu.empty(pool.bytes([oh, ow]));
    let template = include_str!("../../../shaders/max_pool.wgsl");
    for launch in pool.launches(gpu, "max_pool", template, [oh, ow], 1) {
        gpu.dispatch(launch, &[x, &y]);
    }
    y
}

/// `[N, H, W, C]`
pub fn max_pool_backward<G: Gpu>(gpu: &G, pool: &Pool, grad: &G::Buffer, x: &G::Buffer, y: &G::Buffer) -> G::Buffer {
    let dx = gpu.empty(pool.bytes(pool.input));
    let template = include_str!("../../../shaders/max_pool_backward.wgsl");
    for launch in pool.launches(gpu, "max_pool_backward", template, pool.input, 2) {
        gpu.dispatch(launch, &[grad, x, y, &dx]);
    }
    dx
}
