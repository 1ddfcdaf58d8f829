//! What a device that is really there can do besides computing: take a batch from the host, and give values back.

use crate::device::lost;

use super::{
    Ops, Storage,
    resident::Resident,
    sample::{self, Rules, SampleParams},
    wgpu::{Array, Targets, Wgpu, Wgsl, launch::Gpu},
};
use cubecl::server::Handle;
use cubecl_common::bytes::Bytes;

/// A batch as the host has it.
pub struct Batch<'a> {
    /// The images.
    pub pixels: Pixels<'a>,
    /// What each image should be classified as, and what is still to be done to it.
    pub samples: &'a [SampleParams],
}

impl Batch<'_> {
    /// Height and width of what the network sees.
    pub(crate) fn size(&self) -> [usize; 2] {
        match &self.pixels {
            Pixels::Values(_, [_, h, w, _]) => [*h, *w],
            Pixels::Bytes { rules, .. } => rules.output,
        }
    }
}

/// The images of a batch.
pub enum Pixels<'a> {
    /// `[N, H, W, C]`, with everything done to them.
    Values(&'a [f32], [usize; 4]),
    /// On a GPU, which makes the batch of them.
    Bytes {
        /// Where the bytes lie.
        images: &'a Resident,
        /// What is done to all of them alike.
        rules: &'a Rules,
    },
}

/// What a device that is really there can do besides.
pub trait Transfer: Ops {
    /// A batch on the device; its images stored as asked for.
    fn batch(&self, batch: &Batch, storage: Storage) -> (Self::Tensor, Self::Targets);

    /// The values of tensors. Waits for the device, once for all of them.
    fn read(&self, tensors: Vec<Self::Tensor>) -> Vec<Vec<f32>>;

    /// Hands all that is queued over to the device, without waiting for results.
    fn submit(&self) {}
}

impl Transfer for Wgsl<Wgpu> {
    fn batch(&self, batch: &Batch, storage: Storage) -> (Array<Handle>, Targets<Handle>) {
        let gpu = &self.0;
        let (values, shape) = match batch.pixels {
            Pixels::Values(values, shape) => (values, shape),
            Pixels::Bytes { images, rules } => return self.gathered(images.images(), batch.samples, rules, storage),
        };
        let memory = match storage {
            // These need no copy.
            Storage::F32 => gpu.upload(bytemuck::cast_slice(values)),
            Storage::F16 | Storage::Bf16 => gpu.upload(&storage.to_bytes(values)),
        };
        let [first, second] = sample::labels(batch.samples).map(|labels| gpu.upload(bytemuck::cast_slice(&labels)));
        let lambda = gpu.upload(bytemuck::cast_slice(&sample::lambdas(batch.samples)));
        let targets = Targets { first, second, lambda };
        (Array { memory, shape, storage }, targets)
    }

    /// Unwinds by [`lost`] where the device is gone or refused the work that the values come of.
    fn read(&self, tensors: Vec<Array<Handle>>) -> Vec<Vec<f32>> {
        if tensors.is_empty() {
            return Vec::new();
        }
        self.0.profile.wait();
        let kinds: Vec<_> = tensors.iter().map(|tensor| (tensor.shape.iter().product(), tensor.storage)).collect();
        let read = self.0.client.read(tensors.into_iter().map(|tensor| tensor.memory).collect());
        let all = read.unwrap_or_else(|error| lost(format!("it gives no results: {error:?}")));
        let values = |(bytes, (count, storage)): (Bytes, (usize, Storage))| -> Vec<f32> {
            let mut values = storage.to_numbers(&bytes);
            values.truncate(count);
            values
        };
        all.into_iter().zip(kinds).map(values).collect()
    }

    fn submit(&self) {
        if let Err(error) = self.0.client.flush() {
            // Whoever reads a result of it is told as well.
            tracing::warn!("the device refused work: {error}");
        }
    }
}
