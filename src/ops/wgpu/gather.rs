//! Batches from the bytes of images, which live on the device or are sent to it for one batch. Besides them 100 bytes
//! an image travel for a step.

use super::{
    client::{Wgpu, part},
    launch::{Gpu, Kernel, Launch},
    update::Layout,
};
use crate::ops::Storage;
use cubecl::server::Handle;
use cubecl_common::bytes::Bytes;

/// Words of one image in a batch: its place in the data set and what is done to it.
pub const WORDS: usize = 22;
/// Which of them are the weight of the image's own class, that class, and the class of the image mixed into it.
const LABELS: [usize; 3] = [13, 18, 19];
/// Which of them is the width of a crop that is resized, 0 where it is not.
const RESIZED: usize = 20;

/// Bindings that a data set is split over at most: with the batch's own three, WebGPU's default limit is kept.
const MOST_PARTS: usize = 4;

/// Images `[count, height, width, channels]` on a device.
#[derive(Clone)]
pub struct Images {
    pub count: usize,
    pub size: [usize; 2],
    /// 1 or 3.
    pub channels: usize,
    per_part: usize,
    parts: Vec<Handle>,
}

/// What happens to all images alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Height and width of the batch's images: the stored ones' too, but for resized crops.
    pub output: [usize; 2],
    /// Whether a crop mirrors the image beyond its border, rather than finding black there.
    pub reflect: bool,
    /// For each channel the normalised value of each byte.
    pub tables: Vec<[f32; 256]>,
    /// Of values in 0 … 1, by channel.
    pub mean: Vec<f32>,
    pub std: Vec<f32>,
}

impl Images {
    /// Copies a data set's bytes to the device to stay; `None` if it does not fit: it is then to be sent batch by batch.
    ///
    /// `memory` is how many bytes it may take in all.
    pub fn upload(gpu: &Wgpu, bytes: &[u8], size: [usize; 2], channels: usize, memory: u64) -> Option<Self> {
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
        if per_part == 0 || count.div_ceil(per_part) > MOST_PARTS {
            return None;
        }
        // Outside the pools, which would keep the memory when the images are long gone.
        Some(gpu.client.memory_dedicated_allocation((), |()| Self::copy(gpu, bytes, size, channels, per_part)))
    }

    /// Copies the images of one batch to the device, into memory that the next batches' take over.
    ///
    /// One binding has room for them: the batch that is made of them is twice as large or more.
    pub fn send(gpu: &Wgpu, bytes: &[u8], size: [usize; 2], channels: usize) -> Self {
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

/// A batch, and what it should be classified as.
pub struct Gathered {
    /// `[batch, height, width, channels]`, stored as asked for.
    pub pixels: Handle,
    /// `[batch]` integers: the images' own classes.
    pub first: Handle,
    /// `[batch]` integers: the classes of what is mixed into them.
    pub second: Handle,
    /// `[batch]` floats: the weight of the own class.
    pub share: Handle,
}

/// The batch that `words` `[batch, WORDS]` describe.
///
/// An image that the words name must be among the images; they come from the same data set.
pub fn gather(gpu: &Wgpu, images: &Images, words: &[u32], rules: &Rules, storage: Storage) -> Gathered {
    let batch = words.len() / WORDS;
    let ([h, w], [out_h, out_w]) = (images.size, rules.output);
    let mut table: Vec<f32> = rules.tables.iter().take(images.channels).flatten().copied().collect();
    let of = |list: &[f32], c: usize, otherwise| list.get(c).or(list.first()).copied().unwrap_or(otherwise);
    table.extend((0..images.channels).map(|c| of(&rules.mean, c, 0.0)));
    table.extend((0..images.channels).map(|c| of(&rules.std, c, 1.0)));
    let column = |word: usize| words.iter().skip(word).step_by(WORDS).copied().collect::<Vec<u32>>();
    let [share, first, second] = LABELS.map(column);
    // A variant of its own, so that other batches pay nothing for it.
    let resized = column(RESIZED).iter().any(|&width| width > 0);
    // One copy for all that a step sends: each is a submission of its own.
    let sections = [words, bytemuck::cast_slice(&table), &share, &first, &second];
    let layout = Layout::new(sections.map(<[u32]>::len));
    let mut values = vec![0u32; layout.total];
    for (&(start, count), section) in layout.parts.iter().zip(sections) {
        values[start..start + count].copy_from_slice(section);
    }
    let parcel = gpu.client.create_from_slice(bytemuck::cast_slice(&values));
    let section = |i: usize| part(&parcel, layout.parts[i].0, layout.parts[i].1);
    let [words, table, share, first, second] = [0, 1, 2, 3, 4].map(section);
    let total = batch * out_h * out_w;
    let out = gpu.empty(storage.bytes() * total * images.channels);
    let threads = gpu.adapter().threads();
    let kernel = Kernel::new("gather", include_str!("../../../shaders/gather.wgsl"), threads)
        .storing(storage)
        .with("C", images.channels as u32)
        .with("PARTS", images.parts.len() as u32)
        .with("WORDS", WORDS as u32)
        .with("RESIZE", u32::from(resized));
    let reflect = usize::from(rules.reflect);
    let params = [total, batch, h, w, images.per_part, reflect, out_h, out_w].map(|v| v as u32).to_vec();
    let mut buffers = vec![&words, &table, &out];
    buffers.extend(&images.parts);
    gpu.dispatch(Launch::linear(kernel, params, total.div_ceil(threads as usize)), &buffers);
    Gathered { pixels: out, first, second, share }
}
