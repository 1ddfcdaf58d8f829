//! Max-pool and its gradient, as dispatches. Both are bound by memory: neighbouring windows share their reads in cache.

use super::launch::{Gpu, Kernel, Launch};
use crate::ops::Window;

/// Sizes of a pool.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    pub batch: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    pub channels: usize,
    pub window: Window,
}

impl Pool {
    pub fn output(&self) -> [usize; 2] {
        self.window.output(self.input)
    }

    fn launch(&self, name: &'static str, template: &'static str, threads: u32, pixels: [usize; 2]) -> Launch {
        let vector = self.channels.is_multiple_of(4);
        let columns = if vector { self.channels / 4 } else { self.channels };
        let total = self.batch * pixels[0] * pixels[1] * columns;
        let [oh, ow] = self.output();
        let Window { kernel, stride, pad } = self.window;
        let params = [
            total,
            columns,
            self.input[0],
            self.input[1],
            oh,
            ow,
            kernel[0],
            kernel[1],
            stride[0],
            stride[1],
            pad[0][0],
            pad[1][0],
        ];
        let kernel = Kernel::new(name, template, threads).with("V", u32::from(vector));
        Launch::linear(kernel, params.map(|v| v as u32).to_vec(), total.div_ceil(threads as usize))
    }
}

/// `[N, oh, ow, C]`
pub fn max_pool<G: Gpu>(gpu: &G, pool: &Pool, x: &G::Buffer) -> G::Buffer {
    let [oh, ow] = pool.output();
    let y = gpu.empty(4 * pool.batch * oh * ow * pool.channels);
    let template = include_str!("../../../shaders/max_pool.wgsl");
    gpu.dispatch(pool.launch("max_pool", template, gpu.adapter().threads(), [oh, ow]), &[x, &y]);
    y
}

/// `[N, H, W, C]`
pub fn max_pool_backward<G: Gpu>(gpu: &G, pool: &Pool, grad: &G::Buffer, x: &G::Buffer, y: &G::Buffer) -> G::Buffer {
    let dx = gpu.empty(4 * pool.batch * pool.input[0] * pool.input[1] * pool.channels);
    let template = include_str!("../../../shaders/max_pool_backward.wgsl");
    let launch = pool.launch("max_pool_backward", template, gpu.adapter().threads(), pool.input);
    gpu.dispatch(launch, &[grad, x, y, &dx]);
    dx
}
