//! The bytes of images that live on a GPU, or are sent to it, for it to make batches of: see [`super::wgpu::gather`].

use super::{
    Storage,
    sample::{Rules, SampleParams},
    wgpu::{Wgpu, Wgsl, gather::Images},
};
use crate::device::{
    Compute,
    remote::{Content, Link},
};
use burn::{
    backend::{BackendTensor, DispatchKindConversion},
    tensor::{DispatchTensor, Shape, Tensor},
};
use burn_cubecl::{CubeBackend, tensor::CubeTensor};
use cubecl::server::Handle;
use std::{fmt, sync::Arc};

/// What images may take of a device that does not say how much memory it has: WebGPU has no way to ask.
const MOST_BYTES: u64 = 1 << 30;

/// What makes batches of bytes.
#[derive(Clone)]
pub struct Gatherer(By);

#[derive(Clone)]
enum By {
    Gpu(Wgpu),
    /// A GPU of another machine.
    Link(Arc<Link>),
}

impl Gatherer {
    /// `None` for the CPU.
    pub(crate) fn of(compute: &Compute) -> Option<Self> {
        match compute.link() {
            Some(link) => compute.adapter.is_some().then(|| Self(By::Link(link.clone()))),
            None => Wgpu::of(compute).map(|gpu| Self(By::Gpu(gpu))),
        }
    }

    /// Bytes of images that may stay on the device: a quarter of its memory.
    pub(crate) fn room(&self) -> u64 {
        match &self.0 {
            By::Gpu(gpu) => gpu.client.properties().memory.max_memory().map_or(MOST_BYTES, |all| all / 4),
            By::Link(link) => link.offered().room,
        }
    }

    /// Copies `bytes` `[count, height, width, channels]` to the device to stay; `None` where they are more than `room` or
    /// more than a kernel can see, and for other images than gray and coloured ones.
    pub(crate) fn keep(&self, bytes: &[u8], size: [usize; 2], channels: usize, room: u64) -> Option<Resident> {
        match &self.0 {
            By::Gpu(gpu) => {
                let images = Images::upload(gpu, bytes, size, channels, room)?;
                Some(Resident(At::Gpu(gpu.clone(), images)))
            }
            By::Link(_) if bytes.len() as u64 > room || bytes.is_empty() => None,
            By::Link(link) => {
                let kept = link.keep(bytes).inspect_err(|error| tracing::info!("{}: {error}", link.host())).ok()?;
                Some(Resident(At::Elsewhere(Elsewhere { bytes: There::Kept(kept), size, channels })))
            }
        }
    }

    /// Copies the images of one batch to the device: `bytes` `[count, height, width, channels]`, gray or coloured.
    pub(crate) fn send(&self, bytes: &[u8], size: [usize; 2], channels: usize) -> Resident {
        match &self.0 {
            By::Gpu(gpu) => Resident(At::Gpu(gpu.clone(), Images::send(gpu, bytes, size, channels))),
            By::Link(_) => Resident(At::Elsewhere(Elsewhere { bytes: There::Sent(bytes.into()), size, channels })),
        }
    }
}

impl fmt::Debug for Gatherer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            By::Gpu(gpu) => write!(f, "{:?}", gpu.device),
            By::Link(link) => write!(f, "{link:?}"),
        }
    }
}

/// Images on a device. A clone is the same memory, which is given back with the last of them.
#[derive(Clone)]
pub struct Resident(At);

#[derive(Clone)]
enum At {
    Gpu(Wgpu, Images<Handle>),
    /// On another machine.
    Elsewhere(Elsewhere),
}

/// Images of another machine's device.
#[derive(Clone)]
pub(crate) struct Elsewhere {
    pub(crate) bytes: There,
    /// Height and width.
    pub(crate) size: [usize; 2],
    pub(crate) channels: usize,
}

/// Bytes of images `[count, height, width, channels]`.
#[derive(Clone)]
pub(crate) enum There {
    /// On the other machine.
    Kept(Content),
    /// On their way to it, with the batch that is made of them.
    Sent(Arc<[u8]>),
}

impl Resident {
    pub(super) fn images(&self) -> &Images<Handle> {
        match &self.0 {
            At::Gpu(_, images) => images,
            At::Elsewhere(_) => unreachable!("batches of these are made where they are"),
        }
    }

    /// # Panics
    /// For images of this machine's.
    pub(crate) fn elsewhere(&self) -> &Elsewhere {
        match &self.0 {
            At::Elsewhere(images) => images,
            At::Gpu(..) => unreachable!("a network elsewhere learns from images that are there"),
        }
    }

    /// The batch that `samples` make of them, as burn has it. Every image that the samples name is among these.
    pub(super) fn tensor(&self, samples: &[SampleParams], rules: &Rules, storage: Storage) -> Tensor<4> {
        let At::Gpu(gpu, images) = &self.0 else { unreachable!("batches of these are made where they are") };
        let (pixels, _) = Wgsl(gpu.clone()).gathered(images, samples, rules, storage);
        let (client, device) = (gpu.client.clone(), gpu.device.clone());
        let shape = Shape::from(pixels.shape);
        let tensor = CubeTensor::new_contiguous(client, device, shape, pixels.memory, pixels.storage.dtype());
        let tensor = BackendTensor::Float(tensor);
        Tensor::from_dispatch(<DispatchTensor as DispatchKindConversion<CubeBackend>>::from_backend(tensor))
    }
}

impl fmt::Debug for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            At::Gpu(_, Images { count, channels, size: [h, w], .. }) => {
                write!(f, "{count} images of {h}x{w}x{channels} on the device")
            }
            At::Elsewhere(Elsewhere { size: [h, w], channels, .. }) => {
                write!(f, "images of {h}x{w}x{channels} on another machine")
            }
        }
    }
}
