//! The update of all parameters together, as dispatches over arenas: a step of any optimiser is four or five launches,
//! whatever the number of layers. Only where a large network's arena would exceed the largest binding are there more.

use super::launch::{Cost, Gpu, Launch, kernel};
use crate::ops::{
    layout::BLOCK,
    optimizers::{Status, Update},
    wgsl_type::wgsl_struct,
};

wgsl_struct! {
    struct GradientNormParams { quads: u32, scaled: u32, first: u32 }
    struct GradientNormFinishParams { chunks: u32, clip_norm: f32, scaled: u32, patience: f32, most: f32 }
    struct UpdateParams {
        quads: u32, lr: f32, weight_decay: f32,
        c0: f32, c1: f32, c2: f32, c3: f32, c4: f32, c5: f32, c6: f32, c7: f32,
    }
    struct BlendParams { quads: u32, decay: f32, rest: f32 }
    struct CopyParams { count: u32 }
}

/// Whether the update goes ahead, and the status to report: what [`gradient_norm`] gives.
pub(crate) struct Decision<B> {
    /// `[2]`: go ahead, factor of the gradients.
    pub control: B,
    /// A [`Status`].
    pub status: B,
}

/// Gradients in an arena.
pub(crate) struct Gradients<'a, B> {
    /// Values of the arena.
    pub total: usize,
    pub values: &'a B,
    /// See [`Layout::table`](crate::ops::Layout::table).
    pub table: &'a B,
}

/// Bytes of an arena's table: four values for each block.
fn table_bytes(total: usize) -> usize {
    16 * total / BLOCK
}

/// The global norm of the gradients in all arenas together.
pub(crate) fn gradient_norm<G: Gpu>(
    gpu: &G,
    arenas: &[Gradients<G::Buffer>],
    status: &G::Buffer,
    update: &Update,
) -> Decision<G::Buffer> {
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
        patience: Status::UPDATES_TO_DOUBLE,
        most: Status::MAX_SCALE,
    };
    let cost = Cost::new("whether to update", chunks, 4 * (chunks + 2 * Status::LEN + 2));
    gpu.dispatch(Launch::linear(kernel, &params, 1, cost), &[&part, status, &after, &control]);
    Decision { control, status: after }
}

/// Changes parameters and the rule's states in place.
pub(crate) fn update<G: Gpu>(
    gpu: &G,
    gradients: &Gradients<G::Buffer>,
    parameters: &G::Buffer,
    states: &[&G::Buffer],
    decision: &Decision<G::Buffer>,
    update: &Update,
) {
    let &Gradients { total, values, table } = gradients;
    let constants = update.rule.constants(update.step);
    let value = |i: usize| constants.get(i).map_or(0.0, |&(_, value)| value);
    let names = constants.iter().enumerate().map(|(i, (name, _))| format!("        let {name} = p.c{i};\n"));
    let kernel = kernel!("update")
        .threads(gpu.adapter().threads())
        .with("STATES", states.len() as u32)
        .inserting(names.collect::<String>() + update.rule.wgsl().trim_start_matches('\n'));
    let quads = total / 4;
    let params = UpdateParams {
        quads: quads as u32,
        lr: update.lr,
        weight_decay: update.weight_decay,
        c0: value(0),
        c1: value(1),
        c2: value(2),
        c3: value(3),
        c4: value(4),
        c5: value(5),
        c6: value(6),
        c7: value(7),
    };
    let mut buffers = vec![parameters, values, table, &decision.control];
    buffers.extend(states);
    // Gradients are read, parameters and states read and written.
    let bytes = 4 * (3 + 2 * states.len()) * total + table_bytes(total);
    let cost = Cost::new("all parameters", update.rule.flops() as usize * total, bytes);
    gpu.dispatch(Launch::linear(kernel, &params, quads, cost), &buffers);
}

/// Makes `old` to `decay * old + (1 - decay) * new` if the update went ahead.
pub(crate) fn blend<G: Gpu>(
    gpu: &G,
    total: usize,
    old: &G::Buffer,
    new: &G::Buffer,
    decision: &Decision<G::Buffer>,
    decay: f64,
) {
    let kernel = kernel!("blend").threads(gpu.adapter().threads());
    let quads = total / 4;
    let params = BlendParams { quads: quads as u32, decay: decay as f32, rest: (1.0 - decay) as f32 };
    let role = if decay == 0.0 { "running statistics" } else { "average of the parameters" };
    let cost = Cost::new(role, 3 * total, 4 * 3 * total);
    gpu.dispatch(Launch::linear(kernel, &params, quads, cost), &[old, new, &decision.control]);
}

/// `dst[..count] = src[..count]`
pub(crate) fn copy<G: Gpu>(gpu: &G, count: usize, src: &G::Buffer, dst: &G::Buffer) {
    let kernel = kernel!("copy").threads(gpu.adapter().threads());
    let cost = Cost::new("copy", 0, 8 * count);
    gpu.dispatch(Launch::linear(kernel, &CopyParams { count: count as u32 }, count, cost), &[src, dst]);
}
