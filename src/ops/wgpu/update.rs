//! The update of all parameters together, as dispatches over arenas.
//!
//! An arena holds all parameters of a network (or their gradients, moments, averages, running statistics) in one buffer,
//! each beginning at a multiple of 256 bytes, so that each is a valid binding of its own and one launch covers them
//! all: a step of any optimiser is four or five launches, whatever the number of layers. Only where a large network's
//! arena would exceed the largest binding are there several, with two launches more for each.

use super::launch::{Gpu, Kernel, Launch};
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
    let kernel = Kernel::new("gradient_norm", include_str!("../../../shaders/gradient_norm.wgsl"), threads);
    let scaled = u32::from(update.scaled);
    let mut first = 0;
    for arena in arenas {
        let own = chunks_of(arena);
        let params = vec![(arena.total / 4) as u32, scaled, first as u32, 0];
        let launch = Launch::linear(kernel.clone(), params, own / threads as usize);
        gpu.dispatch(launch, &[arena.values, arena.table, status, &part]);
        first += own;
    }
    let (after, control) = (gpu.empty(4 * Status::LEN), gpu.empty(8));
    let template = include_str!("../../../shaders/gradient_norm_finish.wgsl");
    let kernel = Kernel::new("gradient_norm_finish", template, 1).with("T", adapter.sharers());
    let (patience, most) = (Status::PATIENCE.to_bits(), Status::MOST.to_bits());
    let params = vec![chunks as u32, update.clip_norm.to_bits(), scaled, patience, most, 0, 0, 0];
    gpu.dispatch(Launch::linear(kernel, params, 1), &[&part, status, &after, &control]);
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
    let threads = gpu.adapter().threads();
    let kernel = Kernel::new("update", include_str!("../../../shaders/update.wgsl"), threads);
    let mut values = [0.0f32; 11];
    (values[0], values[1]) = (update.lr, update.weight_decay);
    let (kernel, sections) = match update.rule {
        Rule::Sgd { momentum, nesterov } => {
            values[2] = momentum;
            (kernel.with("ADAM", 0).with("NESTEROV", u32::from(nesterov)), 1)
        }
        Rule::AdamW { beta1, beta2, eps, step } => {
            let correct = |beta: f64| 1.0 - beta.powi(step.min(i32::MAX as u64) as i32);
            let corrections = [correct(beta1), correct(beta2).sqrt(), 1.0 - beta1, 1.0 - beta2].map(|v| v as f32);
            values[3..6].copy_from_slice(&[beta1 as f32, beta2 as f32, eps]);
            values[6..10].copy_from_slice(&corrections);
            (kernel.with("ADAM", 1).with("NESTEROV", 0), 2)
        }
    };
    let quads = total / 4;
    let params = std::iter::once(quads as u32).chain(values.map(f32::to_bits)).collect();
    let (fresh, fresh_moments) = (gpu.empty(4 * total), gpu.empty(4 * total * sections));
    let buffers = [parameters, gradients, moments, table, &verdict.control, &fresh, &fresh_moments];
    gpu.dispatch(Launch::linear(kernel, params, quads.div_ceil(threads as usize)), &buffers);
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
    let threads = gpu.adapter().threads();
    let out = gpu.empty(4 * total);
    let kernel = Kernel::new("blend", include_str!("../../../shaders/blend.wgsl"), threads);
    let quads = total / 4;
    let params = vec![quads as u32, (decay as f32).to_bits(), ((1.0 - decay) as f32).to_bits(), 0];
    let launch = Launch::linear(kernel, params, quads.div_ceil(threads as usize));
    gpu.dispatch(launch, &[old, fresh, &verdict.control, &out]);
    out
}

/// `dst[..count] = src[..count]`
pub fn copy<G: Gpu>(gpu: &G, count: usize, src: &G::Buffer, dst: &G::Buffer) {
    let threads = gpu.adapter().threads();
    let kernel = Kernel::new("copy", include_str!("../../../shaders/copy.wgsl"), threads);
    let params = vec![count as u32, 0, 0, 0];
    gpu.dispatch(Launch::linear(kernel, params, count.div_ceil(threads as usize)), &[src, dst]);
}
