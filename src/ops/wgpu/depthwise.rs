//! Depthwise convolution, its input gradient and its weight gradient, as dispatches.
//!
//! All are bound by memory on a GPU and by loads on a software adapter, so one kernel serves both: an invocation goes
//! along a row with what lies under the kernel in its registers, a few pixels of it on a GPU, whose parallelism is to
//! be filled, and all of it on a software adapter.

use super::{
    conv::Conv,
    launch::{Adapter, Cost, Gpu, Kernel, Launch, kernel},
    weight_gradient::add_splits,
};
use crate::ops::wgsl_type::wgsl_struct;

wgsl_struct! {
    /// One axis of the grid that a dispatch computes: `source row = row * step + tap + off`.
    struct DepthwiseAxis {
        grid: u32, src: u32, dst: u32, step: u32, off: i32, dst_mul: u32, dst_off: u32, w_first: i32,
    }
    /// Of depthwise.wgsl.
    struct DepthwiseParams {
        y: DepthwiseAxis, x: DepthwiseAxis,
        columns: u32, total: u32, first: u32, run: u32, runs: u32, kernel: i32, turn: i32,
    }
    /// Of depthwise_wgrad.wgsl.
    struct DepthwiseWeightGradientParams {
        columns: u32, total: u32, first: u32, parts: u32,
        rows: u32, chunk_rows: u32, h: u32, w: u32, oh: u32, ow: u32,
        stride_y: u32, pad_y: i32, pad_x: i32,
    }
}

/// Pixels that an invocation goes along on a GPU.
const RUN: usize = 4;
/// Bytes that the partial sums of a weight gradient have at most.
const MOST_PARTS: usize = 32 << 20;

/// An axis with the taps that its pixels meet.
#[derive(Clone, Copy)]
struct Taps {
    axis: DepthwiseAxis,
    count: usize,
}

impl Taps {
    fn forward(conv: &Conv, a: usize) -> Self {
        let axis = DepthwiseAxis {
            grid: conv.output()[a] as u32,
            src: conv.input[a] as u32,
            dst: conv.output()[a] as u32,
            step: conv.window.stride[a] as u32,
            off: -(conv.window.pad[a][0] as i32),
            dst_mul: 1,
            dst_off: 0,
            w_first: 0,
        };
        Self { axis, count: conv.window.kernel[a] }
    }

    /// One for each residue of the stride: input pixel `y = residue + stride j` gets `w[k] g[(y + pad - k) / stride]`
    /// for those `k` that divide.
    fn backward(conv: &Conv, a: usize) -> impl Iterator<Item = Self> {
        let (stride, kernel, pad) = (conv.window.stride[a], conv.window.kernel[a], conv.window.pad[a][0]);
        let (input, output) = (conv.input[a], conv.output()[a]);
        (0..stride.min(input)).map(move |residue| {
            let first = (residue + pad) % stride;
            let count = kernel.saturating_sub(first).div_ceil(stride);
            // Taps run backwards; here from the last. Where there is none, one that lies in no source stands for it.
            let last = count.max(1) - 1;
            let axis = DepthwiseAxis {
                grid: (input - residue).div_ceil(stride) as u32,
                src: if count == 0 { 0 } else { output as u32 },
                dst: input as u32,
                step: 1,
                off: ((residue + pad) / stride) as i32 - last as i32,
                dst_mul: stride as u32,
                dst_off: residue as u32,
                w_first: if count == 0 { 0 } else { (first + last * stride) as i32 },
            };
            Self { axis, count: count.max(1) }
        })
    }
}

/// Constants of a kernel through whose registers `taps` columns slide by `step`.
fn sliding(kernel: Kernel, [down, right]: [usize; 2], step: usize) -> Kernel {
    let keep = right.saturating_sub(step);
    let constants = [("TY", down), ("TX", right), ("STEP", step), ("KEEP", keep)];
    constants.into_iter().fold(kernel, |kernel, (name, value)| kernel.with(name, value as u32))
}

/// Columns of an activation: fours of channels, where there are such.
fn columns(conv: &Conv) -> (usize, bool) {
    let vector = conv.co.is_multiple_of(4);
    (if vector { conv.co / 4 } else { conv.co }, vector)
}

/// The dispatches of a grid, `turn` being 1 forward and -1 back.
fn launches(
    conv: &Conv,
    [y, x]: [Taps; 2],
    turn: i32,
    add: bool,
    adapter: &Adapter,
    cost: Cost,
) -> impl Iterator<Item = Launch> {
    let (columns, vector) = columns(conv);
    let grid = x.axis.grid as usize;
    let run = if adapter.software { grid.max(1) } else { RUN };
    let runs = grid.div_ceil(run);
    let total = conv.batch * y.axis.grid as usize * runs * columns;
    let kernel = kernel!("depthwise").threads(adapter.threads()).storing(conv.storage).with("V", u32::from(vector));
    let kernel = sliding(kernel, [y.count, x.count], x.axis.step as usize).with("ADD", u32::from(add));
    let kernel_width = conv.window.kernel[1] as i32;
    Launch::split(kernel, total, cost, adapter.limit, move |first| DepthwiseParams {
        y: y.axis,
        x: x.axis,
        columns: columns as u32,
        total: total as u32,
        first,
        run: run as u32,
        runs: runs as u32,
        kernel: kernel_width,
        turn,
    })
}

/// `[N, oh, ow, C]`, the convolution of `x` `[N, H, W, C]` by `weight` `[kh, kw, 1, C]`.
pub(crate) fn forward<G: Gpu>(gpu: &G, conv: &Conv, x: &G::Buffer, weight: &G::Buffer) -> G::Buffer {
    let z = gpu.empty(conv.storage.bytes() * conv.output_values());
    let axes = [0, 1].map(|a| Taps::forward(conv, a));
    for launch in launches(conv, axes, 1, false, &gpu.adapter(), conv.cost("forward")) {
        gpu.dispatch(launch, &[x, weight, &z]);
    }
    z
}

/// `[N, H, W, C]`, the gradient of the input for the gradient `grad` `[N, oh, ow, C]` of the output, plus `add`.
pub(crate) fn input_gradient<G: Gpu>(
    gpu: &G,
    conv: &Conv,
    grad: &G::Buffer,
    weight: &G::Buffer,
    add: Option<&G::Buffer>,
) -> G::Buffer {
    let dx = gpu.empty(conv.storage.bytes() * conv.input_values());
    let mut cost = conv.cost("input gradient");
    if add.is_some() {
        cost.flops += conv.input_values() as u64;
        cost.bytes += (conv.storage.bytes() * conv.input_values()) as u64;
    }
    let classes: Vec<[Taps; 2]> =
        Taps::backward(conv, 0).flat_map(|y| Taps::backward(conv, 1).map(move |x| [y, x])).collect();
    // Each class has its share by the products that it forms.
    let products = |axes: &[Taps; 2]| axes.iter().map(|taps| taps.axis.grid as usize * taps.count).product::<usize>();
    let whole = classes.iter().map(products).sum();
    let mut before = 0;
    for axes in classes {
        let own = products(&axes);
        for launch in launches(conv, axes, -1, add.is_some(), &gpu.adapter(), cost.part(before, before + own, whole)) {
            let mut buffers = vec![grad, weight, &dx];
            buffers.extend(add);
            gpu.dispatch(launch, &buffers);
        }
        before += own;
    }
    dx
}

/// `[kh, kw, 1, C]`, the gradient of the weight, written to `dw`.
pub(crate) fn weight_gradient<G: Gpu>(gpu: &G, conv: &Conv, x: &G::Buffer, grad: &G::Buffer, dw: &G::Buffer) {
    let adapter = gpu.adapter();
    let ((columns, vector), [kh, kw]) = (columns(conv), conv.window.kernel);
    // More sums than a GPU has registers for are divided by rows of taps.
    let down = if adapter.software || kh * kw <= 9 { kh } else { 1 };
    let parts = kh / down;
    let ([h, w], [oh, ow]) = (conv.input, conv.output());
    let rows = conv.batch * oh;
    let wanted = if adapter.software { 512 } else { 1 << 16 };
    let chunks = (wanted / (columns * parts)).min(MOST_PARTS / (4 * conv.weight_count()).max(1)).clamp(1, rows.max(1));
    let chunk_rows = rows.div_ceil(chunks).max(1);
    let chunks = rows.div_ceil(chunk_rows).max(1);
    let total = columns * parts * chunks;
    let kernel = kernel!("depthwise_wgrad").threads(adapter.threads()).storing(conv.storage);
    let kernel = sliding(kernel.with("V", u32::from(vector)), [down, kw], conv.window.stride[1]);
    let mut cost = conv.cost("weight gradient");
    cost.bytes += (4 * (chunks - 1) * conv.weight_count()) as u64;
    let [[pad_y, _], [pad_x, _]] = conv.window.pad.map(|pad| pad.map(|pad| pad as i32));
    let launches = Launch::split(kernel, total, cost, adapter.limit, |first| DepthwiseWeightGradientParams {
        columns: columns as u32,
        total: total as u32,
        first,
        parts: parts as u32,
        rows: rows as u32,
        chunk_rows: chunk_rows as u32,
        h: h as u32,
        w: w as u32,
        oh: oh as u32,
        ow: ow as u32,
        stride_y: conv.window.stride[0] as u32,
        pad_y,
        pad_x,
    });
    if chunks == 1 {
        launches.for_each(|launch| gpu.dispatch(launch, &[x, grad, dw]));
        return;
    }
    let part = gpu.empty(4 * chunks * conv.weight_count());
    launches.for_each(|launch| gpu.dispatch(launch, &[x, grad, &part]));
    gpu.dispatch(add_splits(chunks, kh * kw, [1; 2], conv.co), &[&part, dw]);
}
