//! The bytes of images that live on a GPU, or are sent to it, for it to make batches of: see [`super::wgpu::gather`].

use super::{
    Storage,
    sample::{Rules, SampleParams},
    wgpu::{Wgpu, Wgsl, gather::Images},
};
use crate::device::Compute;
use burn::{
    backend::{BackendTensor, DispatchKindConversion},
    tensor::{DispatchTensor, Shape, Tensor},
};
use burn_cubecl::{CubeBackend, tensor::CubeTensor};
use cubecl::server::Handle;
use std::fmt;

/// What images may take of a device that does not say how much memory it has: WebGPU has no way to ask.
const MOST_BYTES: u64 = 1 << 30;

/// A GPU, as what makes batches of bytes.
#[derive(Clone)]
pub struct Gatherer {
    gpu: Wgpu,
}

impl Gatherer {
    /// `None` for the CPU.
    pub(crate) fn of(compute: &Compute) -> Option<Self> {
        Wgpu::of(compute).map(|gpu| Self { gpu })
    }

    /// Bytes of images that may stay on the device: a quarter of its memory.
    pub(crate) fn room(&self) -> u64 {
        self.gpu.client.properties().memory.max_memory().map_or(MOST_BYTES, |all| all / 4)
    }

    /// Copies `bytes` `[count, height, width, channels]` to the device to stay; `None` where they are more than `room` or
    /// more than a kernel can see, and for other images than gray and coloured ones.
    pub(crate) fn keep(&self, bytes: &[u8], size: [usize; 2], channels: usize, room: u64) -> Option<Resident> {
        let images = Images::upload(&self.gpu, bytes, size, channels, room)?;
        Some(Resident { gpu: self.gpu.clone(), images })
    }

    /// Copies the images of one batch to the device: `bytes` `[count, height, width, channels]`, gray or coloured.
    pub(crate) fn send(&self, bytes: &[u8], size: [usize; 2], channels: usize) -> Resident {
        Resident { gpu: self.gpu.clone(), images: Images::send(&self.gpu, bytes, size, channels) }
    }
}

impl fmt::Debug for Gatherer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.gpu.device)
    }
}

/// Images on a GPU. A clone is the same memory, which is given back with the last of them.
#[derive(Clone)]
pub struct Resident {
    gpu: Wgpu,
    images: Images<Handle>,
}

impl Resident {
    pub(super) fn images(&self) -> &Images<Handle> {
        &self.images
    }

    /// The batch that `samples` make of them, as burn has it. Every image that the samples name is among these.
    pub(super) fn tensor(&self, samples: &[SampleParams], rules: &Rules, storage: Storage) -> Tensor<4> {
        let (pixels, _) = Wgsl(self.gpu.clone()).gathered(&self.images, samples, rules, storage);
        let (client, device) = (self.gpu.client.clone(), self.gpu.device.clone());
        let shape = Shape::from(pixels.shape);
        let tensor = CubeTensor::new_contiguous(client, device, shape, pixels.memory, pixels.storage.dtype());
        let tensor = BackendTensor::Float(tensor);
        Tensor::from_dispatch(<DispatchTensor as DispatchKindConversion<CubeBackend>>::from_backend(tensor))
    }
}

impl fmt::Debug for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Images { count, channels, .. }, [h, w]) = (&self.images, self.images.size);
        write!(f, "{count} images of {h}x{w}x{channels} on the device")
    }
}
