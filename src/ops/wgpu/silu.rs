//! The sigmoid linear unit and its gradient, as dispatches, bound by memory.

use super::launch::{Cost, Gpu, Kernel, Launch, kernel};
use crate::ops::{Storage, wgsl_type::wgsl_struct};

wgsl_struct! {
    /// Of silu.wgsl.
    struct SiluParams { count: u32, first: u32 }
}

fn launches<G: Gpu>(
    gpu: &G,
    kernel: Kernel,
    count: usize,
    storage: Storage,
    cost: Cost,
) -> impl Iterator<Item = Launch> {
    let adapter = gpu.adapter();
    let vector = count.is_multiple_of(4);
    let count = if vector { count / 4 } else { count };
    let kernel = kernel.threads(adapter.threads()).storing(storage).with("V", u32::from(vector));
    Launch::split(kernel, count, cost, adapter.limit, move |first| SiluParams { count: count as u32, first })
}

/// Of `count` values.
pub(crate) fn forward<G: Gpu>(gpu: &G, count: usize, storage: Storage, x: &G::Buffer) -> G::Buffer {
    let bytes = storage.bytes() * count;
    let y = gpu.empty(bytes);
    let kernel = kernel!("silu").with("BACKWARD", 0);
    for launch in launches(gpu, kernel, count, storage, Cost::new("SiLU", 4 * count, 2 * bytes)) {
        gpu.dispatch(launch, &[x, &y]);
    }
    y
}

/// The gradient of the input for the gradient `grad` of the output.
pub(crate) fn backward<G: Gpu>(gpu: &G, count: usize, storage: Storage, grad: &G::Buffer, x: &G::Buffer) -> G::Buffer {
    let bytes = storage.bytes() * count;
    let dx = gpu.empty(bytes);
    let kernel = kernel!("silu").with("BACKWARD", 1);
    for launch in launches(gpu, kernel, count, storage, Cost::new("gradient of SiLU", 8 * count, 3 * bytes)) {
        gpu.dispatch(launch, &[x, &dx, grad]);
    }
    dx
}
