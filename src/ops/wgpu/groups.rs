//! Convolutions by the number of their groups: one, as many as channels, or some.
//!
//! Of some, a few neighbouring groups, a bundle, are copied out, convolved as one group between whose parts the weights
//! are zero, and copied back: as many as fill a tile of the product, which narrow groups would leave empty. That costs
//! more arithmetic than there is in the groups and three passes over the activations, and needs no kernel of its own.

use super::{
    conv::{self, Conv},
    depthwise,
    launch::{Cost, Gpu, Launch, kernel},
    variant::Variant,
    weight_gradient,
};
use crate::ops::{Storage, wgsl_type::wgsl_struct};
use std::ops::Range;

wgsl_struct! {
    struct ChannelsParams {
        total: u32, first: u32, count: u32, src_channels: u32, dst_channels: u32, src_first: u32, dst_first: u32,
    }
    struct BundleParams { total: u32, a: u32, b: u32, groups: u32, n: u32, first: u32, back: u32 }
}

/// Channels that a bundle has at least, where there are so many.
const LEAST_CHANNELS: usize = 64;

/// Neighbouring groups that are computed at once.
struct Bundle {
    conv: Conv,
    groups: usize,
    /// Channels of the whole input and output.
    all: [usize; 2],
    inputs: Range<usize>,
    outputs: Range<usize>,
}

/// The bundles of a convolution.
fn bundles(conv: &Conv) -> impl Iterator<Item = Bundle> {
    let (all, total) = ([conv.ci, conv.co], conv.groups);
    assert!(all.iter().all(|channels| channels.is_multiple_of(total)), "{total} groups do not divide {all:?} channels");
    let [input, output] = all.map(|channels| channels / total);
    let fits = |groups: &usize| total.is_multiple_of(*groups) && groups * input.min(output) >= LEAST_CHANNELS;
    let groups = (1..=total).find(fits).unwrap_or(total);
    let conv = Conv { ci: groups * input, co: groups * output, groups: 1, ..*conv };
    (0..total).step_by(groups).map(move |first| Bundle {
        conv,
        groups,
        all,
        inputs: first * input..(first + groups) * input,
        outputs: first * output..(first + groups) * output,
    })
}

/// Some channels of an activation, from the first on.
struct Channels {
    all: usize,
    first: usize,
}

/// Copies `count` channels of every pixel.
fn copy_channels<G: Gpu>(
    gpu: &G,
    [pixels, count]: [usize; 2],
    storage: Storage,
    (src, from): (&G::Buffer, Channels),
    (dst, to): (&G::Buffer, Channels),
) {
    let fours = [count, from.all, from.first, to.all, to.first].iter().all(|channels| channels.is_multiple_of(4));
    let by = if fours { 4 } else { 1 };
    let adapter = gpu.adapter();
    let total = pixels * count / by;
    let kernel = kernel!("channels").threads(adapter.threads()).storing(storage).with("V", u32::from(fours));
    let cost = Cost::new("channels of a bundle", 0, 2 * storage.bytes() * pixels * count);
    let params = |first| ChannelsParams {
        total: total as u32,
        first,
        count: (count / by) as u32,
        src_channels: (from.all / by) as u32,
        dst_channels: (to.all / by) as u32,
        src_first: (from.first / by) as u32,
        dst_first: (to.first / by) as u32,
    };
    let launches = Launch::split(kernel, total, cost, adapter.limit, params);
    launches.for_each(|launch| gpu.dispatch(launch, &[src, dst]));
}

impl Bundle {
    /// These of every pixel's channels.
    fn gather<G: Gpu>(
        &self,
        gpu: &G,
        src: &G::Buffer,
        pixels: usize,
        all: usize,
        channels: &Range<usize>,
    ) -> G::Buffer {
        let (count, storage) = (channels.len(), self.conv.storage);
        let dst = gpu.empty(storage.bytes() * pixels * count);
        let from = Channels { all, first: channels.start };
        copy_channels(gpu, [pixels, count], storage, (src, from), (&dst, Channels { all: count, first: 0 }));
        dst
    }

    fn x<G: Gpu>(&self, gpu: &G, x: &G::Buffer) -> G::Buffer {
        self.gather(gpu, x, self.conv.input_pixels(), self.all[0], &self.inputs)
    }

    fn y<G: Gpu>(&self, gpu: &G, y: &G::Buffer) -> G::Buffer {
        self.gather(gpu, y, self.conv.output_pixels(), self.all[1], &self.outputs)
    }

    /// The way back.
    fn scatter<G: Gpu>(
        &self,
        gpu: &G,
        [src, dst]: [&G::Buffer; 2],
        pixels: usize,
        all: usize,
        channels: &Range<usize>,
    ) {
        let count = channels.len();
        let to = Channels { all, first: channels.start };
        copy_channels(gpu, [pixels, count], self.conv.storage, (src, Channels { all: count, first: 0 }), (dst, to));
    }

    /// Turns the weights `all` into those of the bundle, or back.
    fn convert<G: Gpu>(&self, gpu: &G, all: &G::Buffer, own: &G::Buffer, back: bool) {
        let total = self.conv.weight_count();
        let params = BundleParams {
            total: total as u32,
            a: (self.conv.ci / self.groups) as u32,
            b: (self.conv.co / self.groups) as u32,
            groups: self.groups as u32,
            n: self.all[1] as u32,
            first: self.outputs.start as u32,
            back: u32::from(back),
        };
        let cost = Cost::new("weights of a bundle", 0, 4 * (total + total / self.groups));
        gpu.dispatch(
            Launch::linear(kernel!("bundle").threads(gpu.adapter().threads()), &params, total, cost),
            &[all, own],
        );
    }

    fn weight<G: Gpu>(&self, gpu: &G, all: &G::Buffer) -> G::Buffer {
        let own = gpu.empty(4 * self.conv.weight_count());
        self.convert(gpu, all, &own, false);
        own
    }
}

/// [`conv::forward`] in any number of groups.
pub(crate) fn forward<G: Gpu>(gpu: &G, conv: &Conv, x: &G::Buffer, weight: &G::Buffer, variant: Variant) -> G::Buffer {
    if conv.groups == 1 {
        return conv::forward(gpu, conv, x, weight, variant);
    }
    if conv.is_depthwise() {
        return depthwise::forward(gpu, conv, x, weight);
    }
    let z = gpu.empty(conv.storage.bytes() * conv.output_values());
    for bundle in bundles(conv) {
        let own = conv::forward(gpu, &bundle.conv, &bundle.x(gpu, x), &bundle.weight(gpu, weight), variant);
        bundle.scatter(gpu, [&own, &z], conv.output_pixels(), conv.co, &bundle.outputs);
    }
    z
}

/// [`conv::input_gradient`] in any number of groups.
pub(crate) fn input_gradient<G: Gpu>(
    gpu: &G,
    conv: &Conv,
    grad: &G::Buffer,
    weight: &G::Buffer,
    add: Option<&G::Buffer>,
    variant: Variant,
) -> G::Buffer {
    if conv.groups == 1 {
        return conv::input_gradient(gpu, conv, grad, weight, add, variant);
    }
    if conv.is_depthwise() {
        return depthwise::input_gradient(gpu, conv, grad, weight, add);
    }
    let dx = gpu.empty(conv.storage.bytes() * conv.input_values());
    for bundle in bundles(conv) {
        let (grad, weight) = (bundle.y(gpu, grad), bundle.weight(gpu, weight));
        let add = add.map(|add| bundle.x(gpu, add));
        let own = conv::input_gradient(gpu, &bundle.conv, &grad, &weight, add.as_ref(), variant);
        bundle.scatter(gpu, [&own, &dx], conv.input_pixels(), conv.ci, &bundle.inputs);
    }
    dx
}

/// [`weight_gradient::run`] in any number of groups.
pub(crate) fn weight_gradient<G: Gpu>(
    gpu: &G,
    conv: &Conv,
    x: &G::Buffer,
    grad: &G::Buffer,
    dw: &G::Buffer,
    variant: Variant,
) {
    if conv.groups == 1 {
        return weight_gradient::run(gpu, conv, x, grad, dw, variant);
    }
    if conv.is_depthwise() {
        return depthwise::weight_gradient(gpu, conv, x, grad, dw);
    }
    for bundle in bundles(conv) {
        let own = gpu.empty(4 * bundle.conv.weight_count());
        weight_gradient::run(gpu, &bundle.conv, &bundle.x(gpu, x), &bundle.y(gpu, grad), &own, variant);
        bundle.convert(gpu, dw, &own, true);
    }
}
