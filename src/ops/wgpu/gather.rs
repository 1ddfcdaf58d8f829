//! Batches from the bytes of images, which live on the device or are sent to it for one batch. Besides them a
//! [`SampleParams`] an image travels for a step.

use super::{
    client::Wgpu,
    launch::{Cost, Gpu, Launch, kernel},
};
use crate::ops::{
    Layout, Storage,
    sample::{self, Rules, SampleParams},
    wgsl_type::wgsl_struct,
};
use cubecl::server::Handle;
use cubecl_common::bytes::Bytes;

/// Bindings that a data set is split over at most: with the batch's own three, WebGPU's default limit is kept.
const MAX_PARTS: usize = 4;

/// Images `[count, height, width, channels]` on a device.
#[derive(Clone)]
pub(crate) struct Images<B> {
    pub count: usize,
    pub size: [usize; 2],
    /// 1 or 3.
    pub channels: usize,
    per_part: usize,
    parts: Vec<B>,
}

impl Images<Handle> {
    /// Copies a data set's bytes to the device to stay; `None` if it does not fit: it is then to be sent batch by batch.
    ///
    /// `memory` is how many bytes it may take in all.
    pub(crate) fn upload(gpu: &Wgpu, bytes: &[u8], size: [usize; 2], channels: usize, memory: u64) -> Option<Self> {
        if bytes.len() as u64 > memory {
            return None;
        }
        // Offsets within a part are counted in 32 bits.
        Self::upload_in_parts(gpu, bytes, size, channels, gpu.adapter().max_binding.min(1 << 31) as usize)
    }

    /// [`Images::upload`] with at most so many bytes in a binding.
    pub(super) fn upload_in_parts(
        gpu: &Wgpu,
        bytes: &[u8],
        size: [usize; 2],
        channels: usize,
        most: usize,
    ) -> Option<Self> {
        let image = size[0] * size[1] * channels;
        if image == 0 || !matches!(channels, 1 | 3) || bytes.len() < image {
            return None;
        }
        let count = bytes.len() / image;
        let per_part = (most / image).min(count);
        if per_part == 0 || count.div_ceil(per_part) > MAX_PARTS {
            return None;
        }
        // Outside the pools, which would keep the memory when the images are long gone.
        Some(gpu.client.memory_dedicated_allocation((), |()| Self::copy(gpu, bytes, size, channels, per_part)))
    }

    /// Copies the images of one batch to the device, into memory that the next batches' take over.
    ///
    /// One binding has room for them: the batch that is made of them is twice as large or more.
    pub(crate) fn send(gpu: &Wgpu, bytes: &[u8], size: [usize; 2], channels: usize) -> Self {
        let count = bytes.len() / (size[0] * size[1] * channels).max(1);
        Self::copy(gpu, bytes, size, channels, count.max(1))
    }

    fn copy(gpu: &Wgpu, bytes: &[u8], size: [usize; 2], channels: usize, per_part: usize) -> Self {
        let image = (size[0] * size[1] * channels).max(1);
        let count = bytes.len() / image;
        let part = |bytes: &[u8]| {
            let length = bytes.len().next_multiple_of(16);
            let mut padded = Vec::with_capacity(length);
            padded.extend_from_slice(bytes);
            padded.resize(length, 0);
            gpu.client.create(Bytes::from_bytes_vec(padded))
        };
        let parts = bytes[..count * image].chunks(per_part * image).map(part).collect();
        Images { count, size, channels, per_part, parts }
    }
}

impl<B> Images<B> {
    /// Images in one binding.
    pub(crate) fn in_one_part(count: usize, size: [usize; 2], channels: usize, memory: B) -> Self {
        Images { count, size, channels, per_part: count, parts: vec![memory] }
    }
}

/// A batch, and what it should be classified as.
pub(crate) struct Gathered<B> {
    /// `[batch, height, width, channels]`, stored as asked for.
    pub pixels: B,
    /// `[batch]` integers: the images' own classes.
    pub first: B,
    /// `[batch]` integers: the classes of what is mixed into them.
    pub second: B,
    /// `[batch]` floats: the weight of the own class.
    pub lambda: B,
}

wgsl_struct! {
    struct GatherParams { total: u32, batch: u32, h: u32, w: u32, per_part: u32, reflect: u32, out_h: u32, out_w: u32 }
}

/// Images as the kernel finds them.
pub(super) struct Bindings {
    pub size: [usize; 2],
    pub channels: usize,
    /// Images in a binding.
    pub per_part: usize,
    pub parts: usize,
}

/// Makes the batch that `samples` describe.
pub(super) fn launch(
    threads: u32,
    images: &Bindings,
    samples: &[SampleParams],
    rules: &Rules,
    storage: Storage,
) -> Launch {
    let ([h, w], [out_h, out_w], channels) = (images.size, rules.output, images.channels);
    let total = samples.len() * out_h * out_w;
    // A variant of its own, so that other batches pay nothing for it.
    let resized = samples.iter().any(SampleParams::resizes);
    let kernel = kernel!("gather")
        .threads(threads)
        .storing(storage)
        .with("C", channels as u32)
        .with("PARTS", images.parts as u32)
        .with("RESIZE", u32::from(resized));
    let params = GatherParams {
        total: total as u32,
        batch: samples.len() as u32,
        h: h as u32,
        w: w as u32,
        per_part: images.per_part as u32,
        reflect: u32::from(rules.reflect),
        out_h: out_h as u32,
        out_w: out_w as u32,
    };
    let read = |sample: &SampleParams| {
        if sample.resizes() { sample.resized.map(|n| n as usize).iter().product() } else { out_h * out_w }
    };
    let read: usize = samples.iter().map(read).sum();
    let cost = Cost::new("the batch from bytes", 0, channels * (read + storage.bytes() * total));
    Launch::linear(kernel, &params, total, cost)
}

/// The batch that `samples` describe.
///
/// An image that they name must be among the images; they come from the same data set.
pub(crate) fn gather<G: Gpu>(
    gpu: &G,
    images: &Images<G::Buffer>,
    samples: &[SampleParams],
    rules: &Rules,
    storage: Storage,
) -> Gathered<G::Buffer> {
    let &Images { size, channels, per_part, ref parts, .. } = images;
    let mut table: Vec<f32> = rules.tables.iter().take(channels).flatten().copied().collect();
    let (means, deviations): (Vec<f32>, Vec<f32>) = (0..channels).map(|c| rules.normalisation.of(c)).unzip();
    table.extend(means);
    table.extend(deviations);
    let ([first, second], lambda) = (sample::labels(samples), sample::lambdas(samples));
    // One copy for all that a step sends: each is a submission of its own.
    let sections: [&[u32]; 5] = [
        bytemuck::cast_slice(samples),
        bytemuck::cast_slice(&table),
        bytemuck::cast_slice(&lambda),
        bytemuck::cast_slice(&first),
        bytemuck::cast_slice(&second),
    ];
    let layout = Layout::new(sections.map(|section| [1, 1, 1, section.len()]));
    let mut values = vec![0u32; layout.total];
    for (part, section) in layout.parts.iter().zip(sections) {
        values[part.range()].copy_from_slice(section);
    }
    let parcel = gpu.upload(bytemuck::cast_slice(&values));
    let section = |i: usize| gpu.part(&parcel, layout.parts[i].start, layout.parts[i].count());
    let [samples_on_device, table, lambda, first, second] = [0, 1, 2, 3, 4].map(section);
    let bindings = Bindings { size, channels, per_part, parts: parts.len() };
    let launch = launch(gpu.adapter().threads(), &bindings, samples, rules, storage);
    let out = gpu.empty(storage.bytes() * samples.len() * rules.output[0] * rules.output[1] * channels);
    let mut buffers = vec![&samples_on_device, &table, &out];
    buffers.extend(parts);
    gpu.dispatch(launch, &buffers);
    Gathered { pixels: out, first, second, lambda }
}
