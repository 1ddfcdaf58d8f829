//! Images that live on a GPU as bytes, and the batches that it makes of them: see [`super::wgpu::gather`].

use super::{
    Storage, Targets, fast,
    wgpu::{
        client::Wgpu,
        gather::{self, Images, WORDS},
    },
};
use burn::tensor::{Device, Tensor};
use std::fmt;

pub use super::wgpu::gather::Rules;

/// What images may take of a device that does not say how much memory it has: WebGPU has no way to ask.
const MOST_BYTES: u64 = 1 << 30;

/// The images of a data set on a GPU. A clone is the same memory, which is given back with the last of them.
#[derive(Clone)]
pub struct Resident {
    gpu: Wgpu,
    images: Images,
}

impl Resident {
    /// Copies `bytes` `[count, height, width, channels]` to a device; `None` for the CPU, and where they would take more
    /// than a quarter of the device's memory, or more than a kernel can see.
    pub fn upload(device: &Device, bytes: &[u8], size: [usize; 2], channels: usize) -> Option<Self> {
        let gpu = fast::gpu(device)?;
        let most = gpu.client.properties().memory.max_memory().map_or(MOST_BYTES, |all| all / 4);
        let images = Images::upload(&gpu, bytes, size, channels, most)?;
        Some(Self { gpu, images })
    }

    /// The batch that `words` describe, [`WORDS`] an image: pixels `[N, H, W, C]` and what they are of.
    pub fn batch(&self, words: &[u32], rules: &Rules, storage: Storage) -> (Tensor<4>, Targets) {
        let n = words.len() / WORDS;
        let ([h, w], channels) = (self.images.size, self.images.channels);
        let batch = gather::gather(&self.gpu, &self.images, words, rules, storage);
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
