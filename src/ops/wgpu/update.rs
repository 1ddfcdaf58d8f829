//! The update of all parameters together, as dispatches over arenas.
//!
//! An arena holds all parameters of a network (or their gradients, moments, averages, running statistics) in one buffer,
//! each beginning at a multiple of 256 bytes, so that each is a valid binding of its own and one launch covers them
//! all: a step of any optimiser is four or five launches, whatever the number of layers. Only where a large network's
//! arena would exceed the largest binding are there several, with two launches more for each.

use super::{
    launch::{Cost, Gpu, Launch, kernel},
    wgsl_type::wgsl_struct,
};
use crate::ops::kernels::{Factors, Rule, Status, Update};

/// Values that an arena's parts are aligned to: 256 bytes, the strictest alignment of a storage binding in WebGPU.
pub const BLOCK: usize = 64;

/// Where each tensor lies in an arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// First value and number of values of each tensor.
    pub parts: Vec<(usize, usize)>,
    /// Values in all, a multiple of [`BLOCK`].
    pub total: usize,
}

impl Layout {
    /// The layout of tensors with so many values each.
    pub fn new(counts: impl IntoIterator<Item = usize>) -> Self {
        let mut total = 0;
        let parts = counts
            .into_iter()
            .map(|count| {
                let start = total;
                total += count.next_multiple_of(BLOCK);
                (start, count)
            })
            .collect();
        Layout { parts, total }
    }

    /// The rows of the shaders' table: for each block the tensor's factors and how many of its values are real.
    pub fn table(&self, factors: &[Factors]) -> Vec<f32> {
        let mut rows = Vec::with_capacity(self.total / BLOCK * 4);
        for ((_, count), factors) in self.parts.iter().zip(factors) {
            for block in 0..count.div_ceil(BLOCK) {
                let real = (count - block * BLOCK).min(BLOCK);
                rows.extend([factors.lr, factors.weight_decay, real as f32, 0.0]);
            }
        }
        rows
    }
}

wgsl_struct! {
    struct GradientNormParams { quads: u32, scaled: u32, first: u32 }
    struct GradientNormFinishParams { chunks: u32, clip_norm: f32, scaled: u32, patience: f32, most: f32 }
    #[derive(Default)]
    struct UpdateParams {
        quads: u32, lr: f32, decay: f32, momentum: f32, beta1: f32, beta2: f32, eps: f32,
        bias1: f32, bias2: f32, rest1: f32, rest2: f32,
    }
    struct BlendParams { quads: u32, decay: f32, rest: f32 }
    struct CopyParams { count: u32 }
}

/// Whether the update goes ahead, and the status to report: what [`gradient_norm`] gives.
pub struct Verdict<B> {
    /// `[2]`: go ahead, factor of the gradients.
    pub control: B,
    /// A [`Status`].
    pub status: B,
}

/// Gradients in an arena.
pub struct Gradients<'a, B> {
    /// Values of the arena.
    pub total: usize,
    pub values: &'a B,
    pub table: &'a B,
}

/// Bytes of an arena's table: four values for each block.
fn table_bytes(total: usize) -> usize {
    16 * total / BLOCK
}

/// The global norm of the gradients in all arenas together.
pub fn gradient_norm<G: Gpu>(
    gpu: &G,
    arenas: &[Gradients<G::Buffer>],
    status: &G::Buffer,
    update: &Update,
) -> Verdict<G::Buffer> {
    let adapter = gpu.adapter();
    let threads = adapter.threads();
    let most = if adapter.software { 128 } else { 1 << 14 };
    let chunks_of = |arena: &Gradients<G::Buffer>| (arena.total / 4).min(most).next_multiple_of(threads as usize);
    let chunks = arenas.iter().map(chunks_of).sum::<usize>();
    let part = gpu.empty(4 * chunks);
    let kernel = kernel!("gradient_norm").threads(threads);
    let scaled = u32::from(update.scaled);
    let mut first = 0;
    for arena in arenas {
        let own = chunks_of(arena);
        let params = GradientNormParams { quads: (arena.total / 4) as u32, scaled, first: first as u32 };
        let bytes = 4 * arena.total + table_bytes(arena.total);
        let cost = Cost::new("norm of all gradients", 3 * arena.total, bytes);
        let launch = Launch::linear(kernel.clone(), &params, own, cost);
        gpu.dispatch(launch, &[arena.values, arena.table, status, &part]);
        first += own;
    }
    let (after, control) = (gpu.empty(4 * Status::LEN), gpu.empty(8));
    let kernel = kernel!("gradient_norm_finish").with("T", adapter.sharers());
    let params = GradientNormFinishParams {
        chunks: chunks as u32,
        clip_norm: update.clip_norm,
        scaled,
        patience: Status::PATIENCE,
        most: Status::MOST,
    };
    let cost = Cost::new("whether to update", chunks, 4 * (chunks + 2 * Status::LEN + 2));
    gpu.dispatch(Launch::linear(kernel, &params, 1, cost), &[&part, status, &after, &control]);
    Verdict { control, status: after }
}

/// New parameters and moments (AdamW's second moments behind the first ones) from old ones.
pub fn update<G: Gpu>(
    gpu: &G,
    total: usize,
    [parameters, gradients, moments, table]: [&G::Buffer; 4],
    verdict: &Verdict<G::Buffer>,
    update: &Update,
) -> (G::Buffer, G::Buffer) {
    let kernel = kernel!("update").threads(gpu.adapter().threads());
    let quads = total / 4;
    let mut params =
        UpdateParams { quads: quads as u32, lr: update.lr, decay: update.weight_decay, ..Default::default() };
    let (kernel, sections, operations) = match update.rule {
        Rule::Sgd { momentum, nesterov } => {
            params.momentum = momentum;
            (kernel.with("ADAM", 0).with("NESTEROV", u32::from(nesterov)), 1, 7)
        }
        Rule::AdamW { beta1, beta2, eps, step } => {
            let correct = |beta: f64| 1.0 - beta.powi(step.min(i32::MAX as u64) as i32);
            params = UpdateParams {
                beta1: beta1 as f32,
                beta2: beta2 as f32,
                eps,
                bias1: correct(beta1) as f32,
                bias2: correct(beta2).sqrt() as f32,
                rest1: (1.0 - beta1) as f32,
                rest2: (1.0 - beta2) as f32,
                ..params
            };
            (kernel.with("ADAM", 1).with("NESTEROV", 0), 2, 16)
        }
    };
    let (fresh, fresh_moments) = (gpu.empty(4 * total), gpu.empty(4 * total * sections));
    let buffers = [parameters, gradients, moments, table, &verdict.control, &fresh, &fresh_moments];
    // Parameters, gradients and moments are read, parameters and moments written.
    let bytes = 4 * (3 + 2 * sections) * total + table_bytes(total);
    let cost = Cost::new("all parameters", operations * total, bytes);
    gpu.dispatch(Launch::linear(kernel, &params, quads, cost), &buffers);
    (fresh, fresh_moments)
}

/// `decay * old + (1 - decay) * new` if the update went ahead, else `old`.
pub fn blend<G: Gpu>(
    gpu: &G,
    total: usize,
    old: &G::Buffer,
    fresh: &G::Buffer,
    verdict: &Verdict<G::Buffer>,
    decay: f64,
) -> G::Buffer {
    let out = gpu.empty(4 * total);
    let kernel = kernel!("blend").threads(gpu.adapter().threads());
    let quads = total / 4;
    let params = BlendParams { quads: quads as u32, decay: decay as f32, rest: (1.0 - decay) as f32 };
    let cost = Cost::new("their average", 3 * total, 4 * 3 * total);
    gpu.dispatch(Launch::linear(kernel, &params, quads, cost), &[old, fresh, &verdict.control, &out]);
    out
}

/// `dst[..count] = src[..count]`
pub fn copy<G: Gpu>(gpu: &G, count: usize, src: &G::Buffer, dst: &G::Buffer) {
    let kernel = kernel!("copy").threads(gpu.adapter().threads());
    let cost = Cost::new("copy", 0, 8 * count);
    gpu.dispatch(Launch::linear(kernel, &CopyParams { count: count as u32 }, count, cost), &[src, dst]);
}
