//! The weight gradient of a convolution, as dispatches.
//!
//! A matrix product whose sum runs over all output pixels of a batch: a small result from a long sum. So the pixels are
//! split among workgroups, each of which writes a result of its own, and a second kernel adds those in a fixed order: the
//! same bits on every run, without atomics.

use super::{
    conv::{Conv, MAX_PIXELS, Variant, in_fours, lane_vectors},
    launch::{Gpu, Kernel, Launch, MAX_GROUPS, Portion},
};

/// `[kh, kw, Ci, Co]`, the gradient of the weight, written to `dw`.
pub fn run<G: Gpu>(gpu: &G, conv: &Conv, x: &G::Buffer, grad: &G::Buffer, dw: &G::Buffer, variant: Variant) {
    let variant = if conv.output_pixels() > MAX_PIXELS { Variant::Tiled } else { variant };
    let plan = Plan::new(conv, variant, gpu.adapter().portion);
    let padded = match variant {
        Variant::Tiled => None,
        Variant::Lanes => in_fours(gpu, x, conv.batch * conv.input[0] * conv.input[1], conv.ci, conv.storage),
    };
    let x = padded.as_ref().unwrap_or(x);
    let rows = if variant == Variant::Lanes { conv.ci.next_multiple_of(4) } else { conv.ci };
    if plan.splits == 1 && rows == conv.ci {
        plan.launches.into_iter().for_each(|launch| gpu.dispatch(launch, &[x, grad, dw]));
        return;
    }
    let parts = gpu.empty(4 * plan.splits * conv.weight_count() / conv.ci * rows);
    plan.launches.into_iter().for_each(|launch| gpu.dispatch(launch, &[x, grad, &parts]));
    gpu.dispatch(reduce(plan.splits, conv, rows), &[&parts, dw]);
}

/// The sum over the first dimension of `[splits, taps, padded, Co]`, of whose third the input channels are kept.
fn reduce(splits: usize, conv: &Conv, padded: usize) -> Launch {
    let vector = conv.co.is_multiple_of(4);
    let columns = if vector { conv.co / 4 } else { conv.co };
    let taps = conv.window.kernel[0] * conv.window.kernel[1];
    let count = taps * conv.ci * columns;
    let kernel = Kernel::new("reduce", include_str!("../../../shaders/reduce.wgsl"), 64).with("V", u32::from(vector));
    let params = [count, splits, columns, conv.ci, padded, taps * padded * columns, 0, 0];
    Launch::linear(kernel, params.map(|v| v as u32).to_vec(), count.div_ceil(64))
}

pub(super) struct Plan {
    launches: Vec<Launch>,
    pub splits: usize,
}

impl Plan {
    pub fn new(conv: &Conv, variant: Variant, portion: Portion) -> Self {
        let [oh, ow] = conv.output();
        let pixels = conv.output_pixels();
        let taps = conv.window.kernel[0] * conv.window.kernel[1];
        let quads_per_tap = conv.ci.div_ceil(4);
        let quads = taps * quads_per_tap;
        let by4 = |n: usize| u32::from(n.is_multiple_of(4));
        let (kernel, groups, per_group, wanted) = match variant {
            Variant::Lanes => {
                let vectors = lane_vectors(conv.co);
                // The same for all layers, although a small one fills it in part: each value is a pipeline.
                let rows = 12;
                let kernel = Kernel::new("conv_wgrad_lanes", include_str!("../../../shaders/conv_wgrad_lanes.wgsl"), 8)
                    .storing(conv.storage)
                    .with("MQ", rows as u32)
                    .with("NV", vectors as u32)
                    .with("V", by4(conv.co))
                    .with("PAIRS", u32::from(by4(conv.co) == 1 && vectors == 2))
                    .with("STEP", 4 / vectors as u32);
                let groups = [quads.div_ceil(rows), conv.co.div_ceil(8 * vectors)];
                (kernel, groups, 8, 8)
            }
            Variant::Tiled => {
                let rows = taps * conv.ci;
                // No more channels in a tile than there are.
                let [bm, bn] = match conv.co {
                    ..=16 => [128, 16],
                    17..=32 => [128, 32],
                    _ => [64, 64],
                };
                let template = include_str!("../../../shaders/conv_wgrad_tiled.wgsl");
                let kernel = Kernel::new("conv_wgrad_tiled", template, (bm * bn / 32) as u32)
                    .storing(conv.storage)
                    .with("BM", bm as u32)
                    .with("BN", bn as u32)
                    .with("BK", 16)
                    .with("KV", by4(conv.ci))
                    .with("NQ", by4(conv.co))
                    .with("BIG", u32::from(pixels > MAX_PIXELS));
                (kernel, [rows.div_ceil(bm), conv.co.div_ceil(bn)], 16, 1024)
            }
        };
        // Enough workgroups to fill the machine, none so short that its epilogue dominates, partial sums below 32 MiB.
        let tiles = groups[0] * groups[1];
        let splits = (wanted / tiles)
            .min(pixels.div_ceil(per_group * 32))
            .min((32 << 20) / (4 * conv.weight_count()).max(1))
            .clamp(1, MAX_GROUPS);
        let per_split = pixels.div_ceil(splits).next_multiple_of(per_group);
        let splits = pixels.div_ceil(per_split).max(1);
        let params = |first_split: usize| {
            [
                conv.batch as i64,
                oh as i64,
                ow as i64,
                conv.input[0] as i64,
                conv.input[1] as i64,
                conv.ci as i64,
                conv.co as i64,
                conv.window.kernel[1] as i64,
                taps as i64,
                conv.window.stride[0] as i64,
                -(conv.window.pad[0][0] as i64),
                conv.window.stride[1] as i64,
                -(conv.window.pad[1][0] as i64),
                per_split as i64,
                quads_per_tap as i64,
                first_split as i64,
                conv.ci.next_multiple_of(4) as i64,
                4,
                0,
                0,
            ]
            .map(|v| v as i32 as u32)
            .to_vec()
        };
        let dispatches = (conv.flops().div_ceil(portion.flops) as usize).clamp(1, splits);
        let at_once = splits.div_ceil(dispatches);
        let launches = (0..splits)
            .step_by(at_once)
            .map(|first| {
                let count = at_once.min(splits - first) as u32;
                Launch::new(kernel.clone(), params(first), [groups[0] as u32, groups[1] as u32, count])
            })
            .collect();
        Plan { launches, splits }
    }
}
