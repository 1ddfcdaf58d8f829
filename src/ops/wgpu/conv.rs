//! Convolution and its input gradient, as dispatches; the weight gradient has a [file](super::weight_gradient) of its own.
//!
//! All three are matrix products over a gathered operand (implicit GEMM), in NHWC:
//!
//! | | rows | columns | summed over |
//! | --- | --- | --- | --- |
//! | forward | output pixels | output channels | taps × input channels |
//! | input gradient | input pixels | input channels | taps × output channels |
//! | weight gradient | taps × input channels | output channels | output pixels |
//!
//! The input gradient of a convolution with stride `s` is `s²` smaller products, one for each residue of the input
//! pixel: such pixels all meet the same taps, so no product with zero is formed. With stride 1 it is one product, a
//! convolution whose taps run backwards.
//!
//! Two variants compute the same thing: [`Variant::Lanes`] for software adapters, where a load costs a hundred times
//! what arithmetic costs, and [`Variant::Tiled`] for GPUs, through workgroup memory.

use super::launch::{Adapter, Gpu, Kernel, Launch, MAX_GROUPS, Tile, fold};
use crate::ops::{Storage, Window};

/// Sizes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    pub batch: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    pub ci: usize,
    pub co: usize,
    pub window: Window,
    /// Of input, output and their gradients.
    pub storage: Storage,
}

/// How a matrix product is laid over the hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// Register blocks of one subgroup of eight lanes, values exchanged by shuffles, no workgroup memory.
    Lanes,
    /// Tiles in workgroup memory.
    Tiled,
}

impl Variant {
    /// The variant for an adapter.
    pub fn choose(adapter: &Adapter) -> Self {
        if adapter.software && adapter.subgroup == 8 { Variant::Lanes } else { Variant::Tiled }
    }
}

/// Groups of eight pixels that a workgroup of the lanes variant takes.
const GROUPS: usize = 8;

/// Vectors of eight output channels that a workgroup of the lanes variant takes.
pub(super) fn lane_vectors(channels: usize) -> usize {
    if channels <= 16 { 2 } else { 4 }
}

/// Pixels that the shaders' division by way of floats is exact for.
pub(super) const MAX_PIXELS: usize = 1 << 23;

impl Conv {
    pub fn output(&self) -> [usize; 2] {
        self.window.output(self.input)
    }

    /// Multiplications and additions of one pass without those that meet padding: the usual count.
    pub fn flops(&self) -> u64 {
        let [oh, ow] = self.output();
        let [kh, kw] = self.window.kernel;
        2 * [self.batch, oh, ow, kh, kw, self.ci, self.co].iter().map(|&n| n as u64).product::<u64>()
    }

    pub(super) fn output_pixels(&self) -> usize {
        let [oh, ow] = self.output();
        self.batch * oh * ow
    }

    pub(super) fn weight_count(&self) -> usize {
        self.window.kernel[0] * self.window.kernel[1] * self.ci * self.co
    }
}

/// One axis of the grid that a dispatch computes: `source row = row * mul + tap * step + off`.
#[derive(Clone, Copy)]
struct Axis {
    grid: usize,
    taps: usize,
    mul: i64,
    step: i64,
    off: i64,
    dst_mul: usize,
    dst_off: usize,
    w_first: usize,
    w_step: usize,
}

/// A product over the taps, forward or backward.
struct Pass {
    batch: usize,
    source: [usize; 2],
    dst: [usize; 2],
    k: usize,
    n: usize,
    kernel_width: usize,
    /// Whether the weights are read as `[taps, n, k]`.
    turned: bool,
    axes: [Axis; 2],
    storage: Storage,
}

impl Pass {
    fn forward(conv: &Conv) -> Self {
        let output = conv.output();
        let axes = [0, 1].map(|a| Axis {
            grid: output[a],
            taps: conv.window.kernel[a],
            mul: conv.window.stride[a] as i64,
            step: 1,
            off: -(conv.window.pad[a][0] as i64),
            dst_mul: 1,
            dst_off: 0,
            w_first: 0,
            w_step: 1,
        });
        Pass {
            batch: conv.batch,
            source: conv.input,
            dst: output,
            k: conv.ci,
            n: conv.co,
            kernel_width: conv.window.kernel[1],
            turned: false,
            axes,
            storage: conv.storage,
        }
    }

    /// Input pixel `y = residue + stride j` gets `w[ky] g[(y + pad - ky) / stride]` for those `ky` that divide.
    fn backward(conv: &Conv) -> Vec<Self> {
        let classes = |a: usize| -> Vec<Axis> {
            let (stride, kernel, pad) = (conv.window.stride[a], conv.window.kernel[a], conv.window.pad[a][0]);
            (0..stride.min(conv.input[a]))
                .map(|residue| {
                    let first = (residue + pad) % stride;
                    Axis {
                        grid: (conv.input[a] - residue).div_ceil(stride),
                        taps: kernel.saturating_sub(first).div_ceil(stride),
                        mul: 1,
                        step: -1,
                        off: ((residue + pad) / stride) as i64,
                        dst_mul: stride,
                        dst_off: residue,
                        w_first: first,
                        w_step: stride,
                    }
                })
                .collect()
        };
        let mut passes = Vec::new();
        for y in classes(0) {
            for x in classes(1) {
                passes.push(Pass {
                    batch: conv.batch,
                    source: conv.output(),
                    dst: conv.input,
                    k: conv.co,
                    n: conv.ci,
                    kernel_width: conv.window.kernel[1],
                    turned: true,
                    axes: [y, x],
                    storage: conv.storage,
                });
            }
        }
        passes
    }

    fn params(&self, first_image: usize, images: usize) -> Vec<u32> {
        let [y, x] = self.axes;
        // No tap on one axis is no tap at all.
        let taps_y = if x.taps == 0 { 0 } else { y.taps };
        [
            images as i64,
            first_image as i64,
            y.grid as i64,
            x.grid as i64,
            self.source[0] as i64,
            self.source[1] as i64,
            self.k as i64,
            self.n as i64,
            self.dst[0] as i64,
            self.dst[1] as i64,
            y.dst_mul as i64,
            y.dst_off as i64,
            x.dst_mul as i64,
            x.dst_off as i64,
            taps_y as i64,
            x.taps as i64,
            y.mul,
            y.step,
            y.off,
            x.mul,
            x.step,
            x.off,
            y.w_first as i64,
            y.w_step as i64,
            x.w_first as i64,
            x.w_step as i64,
            self.kernel_width as i64,
            self.k.next_multiple_of(4) as i64,
            8,
            i64::from(self.turned),
            0,
            0,
        ]
        .map(|v| v as i32 as u32)
        .to_vec()
    }

    fn launches(&self, variant: Variant, add: bool, adapter: &Adapter) -> Vec<Launch> {
        let per_image = self.axes[0].grid * self.axes[1].grid;
        if per_image == 0 || self.batch == 0 || self.n == 0 {
            return Vec::new();
        }
        let (kernel, tile) = match variant {
            Variant::Lanes => self.lanes(),
            Variant::Tiled => self.tiled(add, adapter.tiles.of(self.n)),
        };
        let flops = 2 * (per_image * self.n) as u64 * (self.k * self.axes[0].taps * self.axes[1].taps).max(1) as u64;
        let images = ((adapter.portion.flops / flops.max(1)) as usize)
            .min(MAX_PIXELS / per_image)
            .min((MAX_GROUPS * tile[0]) / per_image)
            .clamp(1, self.batch);
        // Equal shares, so that the last dispatch is no remnant.
        let images = self.batch.div_ceil(self.batch.div_ceil(images));
        (0..self.batch)
            .step_by(images)
            .map(|first| {
                let count = images.min(self.batch - first);
                let [x, y, _] = fold((count * per_image).div_ceil(tile[0]));
                debug_assert_eq!(y, 1);
                let groups = [x, self.n.div_ceil(tile[1]) as u32, 1];
                Launch::new(kernel.clone(), self.params(first, count), groups)
            })
            .collect()
    }

    fn lanes(&self) -> (Kernel, [usize; 2]) {
        let vectors = lane_vectors(self.n);
        let v = u32::from(self.n.is_multiple_of(4));
        let kernel = Kernel::new("conv_lanes", include_str!("../../../shaders/conv_lanes.wgsl"), 8)
            .storing(self.storage)
            .with("MG", GROUPS as u32)
            .with("NV", vectors as u32)
            .with("V", v)
            .with("PAIRS", u32::from(v == 1 && vectors == 2))
            .with("STEP", 4 / vectors as u32);
        (kernel, [8 * GROUPS, 8 * vectors])
    }

    fn tiled(&self, add: bool, tile: Tile) -> (Kernel, [usize; 2]) {
        let by4 = |n: usize| u32::from(n.is_multiple_of(4));
        let kernel = Kernel::new(
            "conv_tiled",
            include_str!("../../../shaders/conv_tiled.wgsl"),
            tile.pixels * tile.channels / (32 * tile.vectors),
        )
        .storing(self.storage)
        .with("BM", tile.pixels)
        .with("BN", tile.channels)
        .with("NV", tile.vectors)
        .with("BK", 16)
        .with("KV", by4(self.k))
        .with("WV", if self.turned { by4(self.k) } else { by4(self.n) })
        .with("NQ", by4(self.n))
        .with("TRANSPOSED", u32::from(self.turned))
        .with("ADD", u32::from(add))
        .with("WIDE", u32::from(self.k >= 16));
        (kernel, [tile.pixels as usize, tile.channels as usize])
    }
}

/// `[N, oh, ow, Co]`, the convolution of `x` `[N, H, W, Ci]` by `weight` `[kh, kw, Ci, Co]`.
pub fn forward<G: Gpu>(gpu: &G, conv: &Conv, x: &G::Buffer, weight: &G::Buffer, variant: Variant) -> G::Buffer {
    let [oh, ow] = conv.output();
    let z = gpu.empty(conv.storage.bytes() * conv.batch * oh * ow * conv.co);
    run(gpu, &[Pass::forward(conv)], x, weight, &z, None, variant);
    z
}

/// `[N, H, W, Ci]`, the gradient of the input for the gradient `grad` `[N, oh, ow, Co]` of the output, plus `add`.
pub fn input_gradient<G: Gpu>(
    gpu: &G,
    conv: &Conv,
    grad: &G::Buffer,
    weight: &G::Buffer,
    add: Option<&G::Buffer>,
    variant: Variant,
) -> G::Buffer {
    let dx = gpu.empty(conv.storage.bytes() * conv.batch * conv.input[0] * conv.input[1] * conv.ci);
    let mut passes = Pass::backward(conv);
    // The lanes variant reads four of the weights' channels at once, either way; odd counts are turned beforehand.
    let odd = !(conv.ci.is_multiple_of(4) && conv.co.is_multiple_of(4));
    if variant == Variant::Lanes && odd {
        let total = conv.weight_count();
        let turned = gpu.empty(4 * total);
        let threads = gpu.adapter().threads();
        let kernel = Kernel::new("transpose", include_str!("../../../shaders/transpose.wgsl"), threads);
        let params = vec![total as u32, conv.ci as u32, conv.co as u32, 0];
        gpu.dispatch(Launch::linear(kernel, params, total.div_ceil(threads as usize)), &[weight, &turned]);
        passes.iter_mut().for_each(|pass| pass.turned = false);
        run(gpu, &passes, grad, &turned, &dx, add, variant);
    } else {
        run(gpu, &passes, grad, weight, &dx, add, variant);
    }
    dx
}

fn run<G: Gpu>(
    gpu: &G,
    passes: &[Pass],
    source: &G::Buffer,
    weight: &G::Buffer,
    dst: &G::Buffer,
    add: Option<&G::Buffer>,
    variant: Variant,
) {
    let Some(first) = passes.first() else { return };
    let padded = match variant {
        Variant::Tiled => None,
        Variant::Lanes => {
            in_fours(gpu, source, first.batch * first.source[0] * first.source[1], first.k, first.storage)
        }
    };
    let source = padded.as_ref().unwrap_or(source);
    // On GPUs the addend comes with the product; in the lanes variant its loads would double the time to compile.
    let fused = add.filter(|_| variant == Variant::Tiled);
    let adapter = gpu.adapter();
    for launch in passes.iter().flat_map(|pass| pass.launches(variant, fused.is_some(), &adapter)) {
        let mut buffers = vec![source, weight, dst];
        buffers.extend(fused);
        gpu.dispatch(launch, &buffers);
    }
    if let (Some(add), None) = (add, fused) {
        gpu.dispatch(add_to(first.batch * first.dst[0] * first.dst[1] * first.n, first.storage), &[add, dst]);
    }
}

/// `dst += src`
pub(super) fn add_to(count: usize, storage: Storage) -> Launch {
    const RUN: usize = 16;
    let vector = count.is_multiple_of(4);
    let count = if vector { count / 4 } else { count };
    let kernel = Kernel::new("add", include_str!("../../../shaders/add.wgsl"), 8);
    let kernel = kernel.storing(storage).with("V", u32::from(vector));
    Launch::linear(kernel, vec![count as u32, RUN as u32, 0, 0], count.div_ceil(8 * RUN))
}

/// `[pixels, channels]` with its channels filled up to fours by zeros, unless they are fours already.
pub(super) fn in_fours<G: Gpu>(
    gpu: &G,
    source: &G::Buffer,
    pixels: usize,
    channels: usize,
    storage: Storage,
) -> Option<G::Buffer> {
    if channels.is_multiple_of(4) {
        return None;
    }
    let quads = channels.div_ceil(4);
    let total = pixels * quads;
    let dst = gpu.empty(4 * storage.bytes() * total);
    let threads = gpu.adapter().threads();
    let kernel =
        Kernel::new("pad_channels", include_str!("../../../shaders/pad_channels.wgsl"), threads).storing(storage);
    let params = vec![total as u32, channels as u32, quads as u32, 0];
    gpu.dispatch(Launch::linear(kernel, params, total.div_ceil(threads as usize)), &[source, &dst]);
    Some(dst)
}
