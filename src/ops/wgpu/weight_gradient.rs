//! The weight gradient of a convolution, as dispatches.
//!
//! A matrix product whose sum runs over all output pixels of a batch: a small result from a long sum. So the pixels are
//! split among workgroups, each of which writes a result of its own, and a second kernel adds those in a fixed order: the
//! same bits on every run, without atomics.

use super::{
    conv::{Conv, LANE_ROWS, MAX_PIXELS, PLAIN_THREADS, STEP, in_fours},
    launch::{Cost, DispatchLimit, Gpu, Kernel, Launch, MAX_WORKGROUPS, kernel},
    variant::{Variant, lane_vectors, with_lanes},
};
use crate::ops::wgsl_type::wgsl_struct;

wgsl_struct! {
    struct WeightGradientAxis { grid: u32, src: u32, mul: i32, off: i32 }
    /// Of conv_wgrad_lanes.wgsl and conv_wgrad_tiled.wgsl.
    struct WeightGradientParams {
        y: WeightGradientAxis, x: WeightGradientAxis,
        images: u32, k: u32, n: u32, src_stride: u32,
        taps: u32, taps_x: u32, quads_per_tap: u32, rows: u32,
        pixels_per_split: u32, first_split: u32,
    }
    struct ReduceParams { count: u32, splits: u32, columns: u32, rows: u32, padded: u32, stride: u32 }
}

/// `[kh, kw, Ci, Co]`, the gradient of the weight, written to `dw`.
pub(crate) fn run<G: Gpu>(gpu: &G, conv: &Conv, x: &G::Buffer, grad: &G::Buffer, dw: &G::Buffer, variant: Variant) {
    let too_many = matches!(variant, Variant::Lanes(_)) && conv.output_pixels() > MAX_PIXELS;
    let variant = if too_many { Variant::Tiled } else { variant };
    let plan = Plan::new(conv, variant, gpu.adapter().limit);
    let padded = match variant {
        Variant::Tiled | Variant::Plain => None,
        Variant::Lanes(_) => in_fours(gpu, x, conv.input_pixels(), conv.ci, conv.storage),
    };
    let x = padded.as_ref().unwrap_or(x);
    if plan.splits == 1 && plan.rows == conv.ci {
        plan.launches.into_iter().for_each(|launch| gpu.dispatch(launch, &[x, grad, dw]));
        return;
    }
    let parts = gpu.empty(plan.part_bytes(conv));
    let reduce = plan.reduce(conv);
    plan.launches.into_iter().for_each(|launch| gpu.dispatch(launch, &[x, grad, &parts]));
    gpu.dispatch(reduce, &[&parts, dw]);
}

/// How a product is cut into workgroups.
struct Tiling {
    kernel: Kernel,
    /// Workgroups over the rows and columns of the result.
    groups: [usize; 2],
    /// Pixels that a workgroup takes at a time.
    pixels: usize,
    /// Workgroups that fill the machine.
    wanted: usize,
    /// Input channels of a part, those that are padded with zeros too.
    rows: usize,
}

impl Tiling {
    fn new(conv: &Conv, variant: Variant) -> Self {
        match variant {
            Variant::Lanes(lanes) => Self::lanes(conv, lanes),
            Variant::Tiled => Self::tiled(conv),
            Variant::Plain => Self::plain(conv),
        }
    }

    fn lanes(conv: &Conv, lanes: u32) -> Self {
        let vectors = lane_vectors(lanes, conv.co);
        // As many rows as a product has pixels: see conv.rs.
        let quads = LANE_ROWS / 4;
        let kernel = with_lanes(kernel!("conv_wgrad_lanes").storing(conv.storage), lanes, conv.co, vectors);
        let kernel = kernel.with("MQ", quads as u32 / lanes);
        let groups = [(taps(conv) * conv.ci.div_ceil(4)).div_ceil(quads), conv.co.div_ceil(lanes as usize * vectors)];
        Tiling { kernel, groups, pixels: 8, wanted: 8, rows: conv.ci.next_multiple_of(4) }
    }

    fn plain(conv: &Conv) -> Self {
        let kernel = kernel!("conv_wgrad_plain").threads(PLAIN_THREADS).storing(conv.storage);
        let groups = [(taps(conv) * conv.ci).div_ceil(PLAIN_THREADS as usize), conv.co];
        Tiling { kernel, groups, pixels: STEP as usize, wanted: 1024, rows: conv.ci }
    }

    fn tiled(conv: &Conv) -> Self {
        let by4 = |n: usize| u32::from(n.is_multiple_of(4));
        // No more channels in a tile than there are.
        let [bm, bn] = match conv.co {
            ..=16 => [128, 16],
            17..=32 => [128, 32],
            _ => [64, 64],
        };
        let threads = (bm * bn / 32) as u32;
        let kernel = kernel!("conv_wgrad_tiled")
            .threads(threads)
            .storing(conv.storage)
            .with("BM", bm as u32)
            .with("BN", bn as u32)
            .with("FETCH", STEP / 4 * bm as u32 / threads)
            .with("GFETCH", STEP / 4 * bn as u32 / threads)
            .with("ROWS", if by4(conv.ci) == 1 { 1 } else { 4 })
            .with("KV", by4(conv.ci))
            .with("NQ", by4(conv.co));
        let groups = [(taps(conv) * conv.ci).div_ceil(bm), conv.co.div_ceil(bn)];
        Tiling { kernel, groups, pixels: STEP as usize, wanted: 1024, rows: conv.ci }
    }

    /// Into how many parts the sum over the pixels is split, and how many of them each has.
    fn split(&self, conv: &Conv) -> (usize, usize) {
        let pixels = conv.output_pixels();
        // Enough workgroups to fill the machine, none so short that its epilogue dominates, partial sums below 32 MiB.
        let splits = (self.wanted / (self.groups[0] * self.groups[1]))
            .min(pixels.div_ceil(self.pixels * 32))
            .min((32 << 20) / (4 * conv.weight_count()).max(1))
            .clamp(1, MAX_WORKGROUPS);
        let per_split = pixels.div_ceil(splits).next_multiple_of(self.pixels);
        (pixels.div_ceil(per_split).max(1), per_split)
    }
}

fn taps(conv: &Conv) -> usize {
    conv.window.kernel[0] * conv.window.kernel[1]
}

pub(super) struct Plan {
    launches: Vec<Launch>,
    pub splits: usize,
    /// Input channels of a part.
    rows: usize,
}

impl Plan {
    pub(crate) fn new(conv: &Conv, variant: Variant, limit: DispatchLimit) -> Self {
        let tiling = Tiling::new(conv, variant);
        let Tiling { ref kernel, groups, rows, .. } = tiling;
        let (splits, per_split) = tiling.split(conv);
        let mut plan = Plan { launches: Vec::new(), splits, rows };
        let bytes = conv.activation_bytes() + plan.part_bytes(conv);
        let cost = Cost { role: "weight gradient", flops: conv.flops(), bytes: bytes as u64 };
        let dispatches = (conv.flops().div_ceil(limit.flops) as usize).clamp(1, splits);
        let at_once = splits.div_ceil(dispatches);
        let launch = |first: usize| {
            let end = (first + at_once).min(splits);
            let groups = [groups[0] as u32, groups[1] as u32, (end - first) as u32];
            Launch::new(kernel.clone(), &params(conv, variant, per_split, first), groups, cost.part(first, end, splits))
        };
        plan.launches.extend((0..splits).step_by(at_once).map(launch));
        plan
    }

    /// Of the partial results `[splits, taps, rows, Co]`.
    fn part_bytes(&self, conv: &Conv) -> usize {
        4 * self.splits * taps(conv) * self.rows * conv.co
    }

    /// The sum over the first dimension of the partial results, of whose third the input channels are kept.
    fn reduce(&self, conv: &Conv) -> Launch {
        add_splits(self.splits, taps(conv), [conv.ci, self.rows], conv.co)
    }
}

/// The sum over the first dimension of `[splits, taps, padded, channels]`, of whose third the `rows` are kept.
pub(super) fn add_splits(splits: usize, taps: usize, [rows, padded]: [usize; 2], channels: usize) -> Launch {
    let vector = channels.is_multiple_of(4);
    let columns = if vector { channels / 4 } else { channels };
    let count = taps * rows * columns;
    let params = ReduceParams {
        count: count as u32,
        splits: splits as u32,
        columns: columns as u32,
        rows: rows as u32,
        padded: padded as u32,
        stride: (taps * padded * columns) as u32,
    };
    let weight = taps * rows * channels;
    let cost = Cost::new("sum of the splits", (splits - 1) * weight, 4 * (splits * taps * padded * channels + weight));
    Launch::linear(kernel!("reduce").threads(64).with("V", u32::from(vector)), &params, count, cost)
}

fn params(conv: &Conv, variant: Variant, pixels_per_split: usize, first_split: usize) -> WeightGradientParams {
    let output = conv.output();
    let [y, x] = [0, 1].map(|a| WeightGradientAxis {
        grid: output[a] as u32,
        src: conv.input[a] as u32,
        mul: conv.window.stride[a] as i32,
        off: -(conv.window.pad[a][0] as i32),
    });
    WeightGradientParams {
        y,
        x,
        images: conv.batch as u32,
        k: conv.ci as u32,
        n: conv.co as u32,
        src_stride: conv.ci.next_multiple_of(4) as u32,
        taps: taps(conv) as u32,
        taps_x: conv.window.kernel[1] as u32,
        quads_per_tap: conv.ci.div_ceil(4) as u32,
        rows: variant.lanes(),
        pixels_per_split: pixels_per_split as u32,
        first_split: first_split as u32,
    }
}
