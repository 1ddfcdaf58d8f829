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
//! Three [variants](super::variant) compute the same thing: [`Variant::Lanes`] for software adapters, where a load costs a hundred times
//! what arithmetic costs, [`Variant::Tiled`] for GPUs, through workgroup memory, and [`Variant::Plain`], which stands in
//! where an adapter was seen to compute one of the others wrongly ([`trial`](super::trial)).

use super::{
    launch::{Adapter, Cost, Gpu, Kernel, Launch, MAX_WORKGROUPS, Tile, fold, kernel},
    variant::{Variant, lane_vectors, with_lanes},
};
use crate::ops::{Storage, Window, wgsl_type::wgsl_struct};
use std::ops::Range;

/// Sizes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Conv {
    pub batch: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    pub ci: usize,
    pub co: usize,
    pub window: Window,
    /// Parts that channels are cut into, each convolved by itself; more than one only where it says so.
    pub groups: usize,
    /// Of input, output and their gradients.
    pub storage: Storage,
}

/// Rows of a product that a workgroup of the lanes variant takes.
pub(super) const LANE_ROWS: usize = 64;

/// Values of a workgroup of the plain variants.
pub(super) const PLAIN_THREADS: u32 = 64;

/// What the tiled variants sum up at a time.
pub(super) const STEP: u32 = 16;

/// Pixels that the shaders' division by way of floats is exact for.
pub(super) const MAX_PIXELS: usize = 1 << 23;

impl Conv {
    pub(crate) fn output(&self) -> [usize; 2] {
        self.window.output(self.input)
    }

    /// Whether each channel is convolved by itself.
    pub(super) fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.ci && self.groups == self.co
    }

    /// Multiplications and additions of one pass without those that meet padding: the usual count.
    pub(crate) fn flops(&self) -> u64 {
        let [oh, ow] = self.output();
        let [kh, kw] = self.window.kernel;
        2 * [self.batch, oh, ow, kh, kw, self.ci / self.groups, self.co].iter().map(|&n| n as u64).product::<u64>()
    }

    pub(super) fn output_pixels(&self) -> usize {
        let [oh, ow] = self.output();
        self.batch * oh * ow
    }

    pub(super) fn input_pixels(&self) -> usize {
        self.batch * self.input[0] * self.input[1]
    }

    pub(super) fn input_values(&self) -> usize {
        self.input_pixels() * self.ci
    }

    pub(super) fn output_values(&self) -> usize {
        self.output_pixels() * self.co
    }

    /// Bytes of input and output, or of their gradients.
    pub(super) fn activation_bytes(&self) -> usize {
        self.storage.bytes() * (self.input_values() + self.output_values())
    }

    pub(super) fn weight_count(&self) -> usize {
        self.window.kernel[0] * self.window.kernel[1] * self.ci / self.groups * self.co
    }

    /// Of a product that reads one activation and writes the other, or reads both.
    pub(super) fn cost(&self, role: &'static str) -> Cost {
        Cost { role, flops: self.flops(), bytes: (self.activation_bytes() + 4 * self.weight_count()) as u64 }
    }
}

wgsl_struct! {
    /// One axis of the grid that a dispatch computes: `source row = row * mul + tap * step + off`.
    struct ConvAxis {
        grid: u32, taps: u32, src: u32, dst: u32,
        mul: i32, step: i32, off: i32, dst_mul: u32,
        dst_off: u32, w_first: u32, w_step: u32, kernel: u32,
    }
    /// Of conv_lanes.wgsl and conv_tiled.wgsl.
    struct ConvParams {
        y: ConvAxis, x: ConvAxis,
        images: u32, first_image: u32, k: u32, n: u32,
        src_stride: u32, rows: u32, transposed: u32,
    }
    struct TransposeParams { total: u32, rows: u32, columns: u32 }
    struct AddParams { count: u32, run: u32 }
    struct PadChannelsParams { total: u32, channels: u32, quads: u32 }
}

/// A product over the taps, forward or backward.
struct Pass {
    batch: usize,
    k: usize,
    n: usize,
    /// Whether the weights are read as `[taps, n, k]`.
    transposed: bool,
    axes: [ConvAxis; 2],
    storage: Storage,
}

impl Pass {
    fn forward(conv: &Conv) -> Self {
        let output = conv.output();
        let axes = [0, 1].map(|a| ConvAxis {
            grid: output[a] as u32,
            taps: conv.window.kernel[a] as u32,
            src: conv.input[a] as u32,
            dst: output[a] as u32,
            mul: conv.window.stride[a] as i32,
            step: 1,
            off: -(conv.window.pad[a][0] as i32),
            dst_mul: 1,
            dst_off: 0,
            w_first: 0,
            w_step: 1,
            kernel: conv.window.kernel[a] as u32,
        });
        Pass { batch: conv.batch, k: conv.ci, n: conv.co, transposed: false, axes, storage: conv.storage }
    }

    /// Input pixel `y = residue + stride j` gets `w[ky] g[(y + pad - ky) / stride]` for those `ky` that divide.
    fn backward(conv: &Conv) -> Vec<Self> {
        let classes = |a: usize| {
            let (stride, kernel, pad) = (conv.window.stride[a], conv.window.kernel[a], conv.window.pad[a][0]);
            (0..stride.min(conv.input[a])).map(move |residue| {
                let first = (residue + pad) % stride;
                ConvAxis {
                    grid: (conv.input[a] - residue).div_ceil(stride) as u32,
                    taps: kernel.saturating_sub(first).div_ceil(stride) as u32,
                    src: conv.output()[a] as u32,
                    dst: conv.input[a] as u32,
                    mul: 1,
                    step: -1,
                    off: ((residue + pad) / stride) as i32,
                    dst_mul: stride as u32,
                    dst_off: residue as u32,
                    w_first: first as u32,
                    w_step: stride as u32,
                    kernel: kernel as u32,
                }
            })
        };
        let pass =
            |axes| Pass { batch: conv.batch, k: conv.co, n: conv.ci, transposed: true, axes, storage: conv.storage };
        classes(0).flat_map(|y| classes(1).map(move |x| [y, x])).map(pass).collect()
    }

    fn params(&self, variant: Variant, first_image: usize, images: usize) -> ConvParams {
        let [mut y, x] = self.axes;
        // No tap on one axis is no tap at all.
        y.taps = if x.taps == 0 { 0 } else { y.taps };
        ConvParams {
            y,
            x,
            images: images as u32,
            first_image: first_image as u32,
            k: self.k as u32,
            n: self.n as u32,
            src_stride: self.k.next_multiple_of(4) as u32,
            rows: variant.lanes(),
            transposed: u32::from(self.transposed),
        }
    }

    /// Pixels of the grid in an image.
    fn pixels(&self) -> usize {
        self.axes.iter().map(|axis| axis.grid as usize).product()
    }

    fn taps(&self) -> usize {
        self.axes.iter().map(|axis| axis.taps as usize).product()
    }

    /// `cost` is that of a range of images.
    fn launches(
        &self,
        variant: Variant,
        add: bool,
        adapter: &Adapter,
        cost: impl Fn(Range<usize>) -> Cost,
    ) -> Vec<Launch> {
        let per_image = self.pixels();
        if per_image == 0 || self.batch == 0 || self.n == 0 {
            return Vec::new();
        }
        let (kernel, tile) = match variant {
            Variant::Lanes(lanes) => self.lanes(lanes),
            Variant::Tiled => self.tiled(add, adapter.tiles.of(self.n)),
            Variant::Plain => self.plain(add),
        };
        let flops = 2 * (per_image * self.n) as u64 * (self.k * self.taps()).max(1) as u64;
        let images = ((adapter.limit.flops / flops.max(1)) as usize)
            .min(MAX_PIXELS / per_image)
            .min((MAX_WORKGROUPS * tile[0]) / per_image)
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
                Launch::new(kernel.clone(), &self.params(variant, first, count), groups, cost(first..first + count))
            })
            .collect()
    }

    fn lanes(&self, lanes: u32) -> (Kernel, [usize; 2]) {
        let vectors = lane_vectors(lanes, self.n);
        let kernel = with_lanes(kernel!("conv_lanes").storing(self.storage), lanes, self.n, vectors);
        (kernel.with("MG", LANE_ROWS as u32 / lanes), [LANE_ROWS, lanes as usize * vectors])
    }

    fn plain(&self, add: bool) -> (Kernel, [usize; 2]) {
        let kernel = kernel!("conv_plain").threads(PLAIN_THREADS).storing(self.storage).with("ADD", u32::from(add));
        (kernel, [PLAIN_THREADS as usize, 1])
    }

    fn tiled(&self, add: bool, tile: Tile) -> (Kernel, [usize; 2]) {
        let by4 = |n: usize| u32::from(n.is_multiple_of(4));
        let threads = tile.pixels * tile.channels / (32 * tile.vectors);
        let kernel = kernel!("conv_tiled")
            .threads(threads)
            .storing(self.storage)
            .with("BM", tile.pixels)
            .with("BN", tile.channels)
            .with("NV", tile.vectors)
            .with("FETCH", STEP / 4 * tile.pixels / threads)
            .with("WFETCH", STEP / 4 * tile.channels / threads)
            .with("ENTRIES", if by4(self.k) == 1 { 1 } else { 4 })
            .with("KV", by4(self.k))
            .with("WV", if self.transposed { by4(self.k) } else { by4(self.n) })
            .with("NQ", by4(self.n))
            .with("TRANSPOSED", u32::from(self.transposed))
            .with("ADD", u32::from(add));
        (kernel, [tile.pixels as usize, tile.channels as usize])
    }
}

/// `[N, oh, ow, Co]`, the convolution of `x` `[N, H, W, Ci]` by `weight` `[kh, kw, Ci, Co]`.
pub(crate) fn forward<G: Gpu>(gpu: &G, conv: &Conv, x: &G::Buffer, weight: &G::Buffer, variant: Variant) -> G::Buffer {
    let z = gpu.empty(conv.storage.bytes() * conv.output_values());
    run(gpu, &[Pass::forward(conv)], [x, weight, &z], None, variant, conv.cost("forward"));
    z
}

/// `[N, H, W, Ci]`, the gradient of the input for the gradient `grad` `[N, oh, ow, Co]` of the output, plus `add`.
pub(crate) fn input_gradient<G: Gpu>(
    gpu: &G,
    conv: &Conv,
    grad: &G::Buffer,
    weight: &G::Buffer,
    add: Option<&G::Buffer>,
    variant: Variant,
) -> G::Buffer {
    let dx = gpu.empty(conv.storage.bytes() * conv.input_values());
    let mut passes = Pass::backward(conv);
    let cost = conv.cost("input gradient");
    // The lanes variant reads four of the weights' channels at once, either way; odd counts are transposed beforehand.
    let odd = !(conv.ci.is_multiple_of(4) && conv.co.is_multiple_of(4));
    if matches!(variant, Variant::Lanes(_)) && odd {
        let total = conv.weight_count();
        let transposed = gpu.empty(4 * total);
        gpu.dispatch(transpose(conv, gpu.adapter().threads()), &[weight, &transposed]);
        passes.iter_mut().for_each(|pass| pass.transposed = false);
        run(gpu, &passes, [grad, &transposed, &dx], add, variant, cost);
    } else {
        run(gpu, &passes, [grad, weight, &dx], add, variant, cost);
    }
    dx
}

fn run<G: Gpu>(
    gpu: &G,
    passes: &[Pass],
    [source, weight, dst]: [&G::Buffer; 3],
    add: Option<&G::Buffer>,
    variant: Variant,
    mut cost: Cost,
) {
    let Some(first) = passes.first() else { return };
    let padded = match variant {
        Variant::Tiled | Variant::Plain => None,
        Variant::Lanes(_) => {
            let pixels = first.batch * first.axes.iter().map(|axis| axis.src as usize).product::<usize>();
            in_fours(gpu, source, pixels, first.k, first.storage)
        }
    };
    let source = padded.as_ref().unwrap_or(source);
    // On GPUs the addend comes with the product; in the lanes variant its loads would double the time to compile.
    let fused = add.filter(|_| !matches!(variant, Variant::Lanes(_)));
    let values = first.batch * first.n * first.axes.iter().map(|axis| axis.dst as usize).product::<usize>();
    if fused.is_some() {
        cost.flops += values as u64;
        cost.bytes += (first.storage.bytes() * values) as u64;
    }
    let adapter = gpu.adapter();
    // Each dispatch has its share of the cost by the products that it forms.
    let whole = passes.iter().map(|pass| pass.batch * pass.pixels() * pass.taps()).sum();
    let mut before = 0;
    for pass in passes {
        let one = pass.pixels() * pass.taps();
        let part = |images: Range<usize>| cost.part(before + images.start * one, before + images.end * one, whole);
        for launch in pass.launches(variant, fused.is_some(), &adapter, part) {
            let mut buffers = vec![source, weight, dst];
            buffers.extend(fused);
            gpu.dispatch(launch, &buffers);
        }
        before += pass.batch * one;
    }
    if let (Some(add), None) = (add, fused) {
        gpu.dispatch(add_to(values, first.storage), &[add, dst]);
    }
}

/// The weights with their last two dimensions exchanged.
fn transpose(conv: &Conv, threads: u32) -> Launch {
    let total = conv.weight_count();
    let params = TransposeParams { total: total as u32, rows: conv.ci as u32, columns: conv.co as u32 };
    Launch::linear(kernel!("transpose").threads(threads), &params, total, Cost::new("transposed weights", 0, 8 * total))
}

/// `dst += src`
pub(super) fn add_to(count: usize, storage: Storage) -> Launch {
    const VALUES_EACH: usize = 16;
    let cost = Cost::new("sum of two gradients", count, 3 * storage.bytes() * count);
    let vector = count.is_multiple_of(4);
    let count = if vector { count / 4 } else { count };
    let kernel = kernel!("add").threads(8).storing(storage).with("V", u32::from(vector));
    let params = AddParams { count: count as u32, run: VALUES_EACH as u32 };
    Launch::linear(kernel, &params, count.div_ceil(VALUES_EACH), cost)
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
    let kernel = kernel!("pad_channels").threads(gpu.adapter().threads()).storing(storage);
    let params = PadChannelsParams { total: total as u32, channels: channels as u32, quads: quads as u32 };
    let cost = Cost::new("channels in fours", 0, storage.bytes() * (pixels * channels + 4 * total));
    gpu.dispatch(Launch::linear(kernel, &params, total, cost), &[source, &dst]);
    Some(dst)
}
