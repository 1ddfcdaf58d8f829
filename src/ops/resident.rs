//! Batches that a GPU makes of the bytes of images, which live on it or are sent to it: see [`super::wgpu::gather`].

use super::{
    Storage, Targets, fast,
    sample::SampleParams,
    wgpu::{
        client::Wgpu,
        gather::{self, Images},
    },
};
use burn::tensor::{Device, Tensor};
use std::fmt;

pub use super::wgpu::gather::Rules;

/// What images may take of a device that does not say how much memory it has: WebGPU has no way to ask.
const MOST_BYTES: u64 = 1 << 30;

/// A GPU, as what makes batches of bytes.
#[derive(Clone)]
pub struct Gatherer {
    gpu: Wgpu,
}

impl Gatherer {
    /// `None` for the CPU.
    pub fn of(device: &Device) -> Option<Self> {
        fast::gpu(device).map(|gpu| Self { gpu })
    }

    /// Bytes of images that may stay on the device: a quarter of its memory.
    pub fn room(&self) -> u64 {
        self.gpu.client.properties().memory.max_memory().map_or(MOST_BYTES, |all| all / 4)
    }

    /// Copies `bytes` `[count, height, width, channels]` to the device to stay; `None` where they are more than `room` or
    /// more than a kernel can see, and for other images than gray and coloured ones.
    pub fn keep(&self, bytes: &[u8], size: [usize; 2], channels: usize, room: u64) -> Option<Resident> {
        let images = Images::upload(&self.gpu, bytes, size, channels, room)?;
        Some(Resident { gpu: self.gpu.clone(), images })
    }

    /// Copies the images of one batch to the device: `bytes` `[count, height, width, channels]`, gray or coloured.
    pub fn send(&self, bytes: &[u8], size: [usize; 2], channels: usize) -> Resident {
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
    images: Images,
}

impl Resident {
    /// The batch that `samples` describe: pixels `[N, H, W, C]` and what they are of. Every image that they name is
    /// among these.
    pub fn batch(&self, samples: &[SampleParams], rules: &Rules, storage: Storage) -> (Tensor<4>, Targets) {
        let n = samples.len();
        let ([h, w], channels) = (rules.output, self.images.channels);
        let batch = gather::gather(&self.gpu, &self.images, samples, rules, storage);
        let targets = Targets {
            first: fast::from_gpu_int(self.gpu.tensor_int(batch.first, [n])),
            second: fast::from_gpu_int(self.gpu.tensor_int(batch.second, [n])),
            share: fast::from_gpu(self.gpu.tensor(batch.share, [n])),
        };
        (fast::from_gpu(self.gpu.activation(batch.pixels, [n, h, w, channels], storage)), targets)
    }
}

impl fmt::Debug for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Images { count, channels, .. }, [h, w]) = (&self.images, self.images.size);
        write!(f, "{count} images of {h}x{w}x{channels} on the device")
    }
}
