//! Which image comes when, and what is done to it: pure functions of `(seed, epoch, image)`.
//!
//! Nothing here touches a pixel. [`SampleParams`] are the decisions for one image, as plain words, so that the CPU
//! ([`super::Transform`]) and a GPU kernel can act on the same values, a past batch can be shown again, and a run that
//! resumes in the middle of an epoch meets exactly the images that it would have met.
//!
//! Every image draws the same random numbers in the same order, whatever is switched on, so that switching one thing
//! on or off leaves the others as they were.
//!
//! Cutout: DeVries and Taylor, <https://arxiv.org/abs/1708.04552>. Random erasing: Zhong et al.,
//! <https://arxiv.org/abs/1708.04896>, as torchvision's `RandomErasing` draws it. Mixup: Zhang et al.,
//! <https://arxiv.org/abs/1710.09412>. CutMix: Yun et al., <https://arxiv.org/abs/1905.04899>. As in the last two, one
//! lambda is drawn for a batch; the partner of image `i` of `n` is image `n - 1 - i` of the same (shuffled) batch.

use super::resized_crop::{ResizedCrop, Window, sides};
use crate::{
    data::{Fit, Split, luma, rng::Rng},
    train::recipe::Recipe,
};

pub(crate) use crate::ops::sample::Mix;
pub use crate::ops::sample::SampleParams;

/// What keeps the random streams of one seed apart.
#[derive(Clone, Copy)]
pub(super) enum Stream {
    Order = 1,
    Sample = 2,
    Batch = 3,
    Class = 4,
    /// Apart from the others of an image, as it takes a number of draws that varies.
    ResizedCrop = 5,
    /// Likewise.
    Erasing = 6,
}

/// The order in which an epoch goes through `n` images: a permutation of `0..n`.
pub fn epoch_order(seed: u64, epoch: u64, n: usize) -> Vec<u32> {
    // Positions are 32 bits wide everywhere; a split of more images is refused when it is read.
    let mut order: Vec<u32> = (0..u32::try_from(n).unwrap_or(u32::MAX)).collect();
    Rng::new(&[seed, Stream::Order as u64, epoch]).shuffle(&mut order);
    order
}

/// Mean [`luma`] of an image `[H, W, channels]`, from 0 to 255.
pub(crate) fn mean_luma(image: &[u8], channels: usize) -> f32 {
    let pixels = image.chunks_exact(channels.max(1));
    let count = pixels.len().max(1);
    let mut sums = [0u64; 3];
    for pixel in pixels {
        for (sum, &value) in sums.iter_mut().zip(pixel) {
            *sum += u64::from(value);
        }
    }
    let means = sums.map(|sum| (sum as f64 / count as f64) as f32);
    luma(&means[..channels.min(3)])
}

/// The part of a recipe that decides about images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Augmentation {
    pub crop_padding: u32,
    /// Takes the place of the crop.
    pub resized_crop: Option<ResizedCrop>,
    /// What is shown without resized crops of images that are kept for them.
    pub fit: Fit,
    pub flip: bool,
    pub cutout: u32,
    /// How likely a box of an image is erased.
    pub random_erasing: f64,
    pub brightness: f32,
    pub contrast: f32,
    pub saturation: f32,
    pub mixup: f64,
    pub cutmix: f64,
}

impl From<&Recipe> for Augmentation {
    fn from(recipe: &Recipe) -> Self {
        Self {
            // The table's ranges keep both far below 2³².
            crop_padding: recipe.crop_padding as u32,
            resized_crop: ResizedCrop::of(recipe),
            fit: recipe.fit,
            flip: recipe.flip,
            cutout: recipe.cutout as u32,
            random_erasing: recipe.random_erasing,
            brightness: recipe.brightness as f32,
            contrast: recipe.contrast as f32,
            saturation: recipe.saturation as f32,
            mixup: recipe.mixup,
            cutmix: recipe.cutmix,
        }
    }
}

/// What a whole batch shares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BatchMix {
    pub mix: Mix,
    pub lambda: f32,
    pub mix_box: [u32; 4],
}

impl Augmentation {
    /// The decisions for image `index` of a split, when it was shown `epoch` times before: see [`super::Turn`].
    /// `output` is the height and width that the network sees.
    pub(crate) fn sample(&self, seed: u64, epoch: u64, split: &Split, index: u32, output: [usize; 2]) -> SampleParams {
        let (channels, label) = (split.channels, split.labels[index as usize]);
        let mut rng = Rng::new(&[seed, Stream::Sample as u64, epoch, u64::from(index)]);
        let padding = self.crop_padding as i32;
        let mut shift = || rng.below(2 * padding as usize + 1) as i32 - padding;
        let (dx, dy) = (shift(), shift());
        let mirrored = rng.next_u64() >> 63;
        let [height, width] = output;
        let (cx, cy) = (rng.below(width.max(1)) as i64, rng.below(height.max(1)) as i64);
        let mut factor = |jitter: f32| 1.0 + jitter * (2.0 * rng.unit() - 1.0);
        let (brightness, contrast) = (factor(self.brightness), factor(self.contrast));
        let saturation = if channels == 3 { factor(self.saturation) } else { 1.0 };

        let side = i64::from(self.cutout);
        let clip = |x: i64, n: usize| x.clamp(0, n as i64) as u32;
        let (x0, y0) = (cx - side / 2, cy - side / 2);
        let cut = if side == 0 {
            [0; 4]
        } else {
            [clip(x0, width), clip(y0, height), clip(x0 + side, width), clip(y0 + side, height)]
        };
        // Contrast turns about the mean gray of the (brightened) image; looked up only where it matters.
        let middle = if contrast == 1.0 { 0.0 } else { brightness * mean_luma(&split.image(index as usize), channels) };
        let proportions = split.proportions(index as usize);
        let window = match self.resized_crop {
            Some(crop) => {
                let mut rng = Rng::new(&[seed, Stream::ResizedCrop as u64, epoch, u64::from(index)]);
                Some(crop.draw(&mut rng, proportions))
            }
            None => split.is_squeezed().then(|| Window::fitting(self.fit, proportions)),
        };
        let window = window.map(|window| window.within(proportions, [split.height, split.width]));
        let Window { corner: [dx, dy], size: resized } = window.unwrap_or(Window { corner: [dx, dy], size: [0; 2] });
        let mut of_erasing = Rng::new(&[seed, Stream::Erasing as u64, epoch, u64::from(index)]);
        let (erased, noise) = self.erase(&mut of_erasing, output).unwrap_or_default();
        SampleParams {
            dx,
            dy,
            resized,
            flip: u32::from(self.flip && mirrored == 1),
            cut,
            erased,
            noise,
            gain: brightness * contrast,
            offset: (1.0 - contrast) * middle,
            saturation,
            ..SampleParams::plain(index, label)
        }
    }

    /// The box of an image of `[height, width]` that is filled with noise, and the noise's key. `None` where none is
    /// asked for, or none was found that is smaller than the image in both directions.
    fn erase(&self, rng: &mut Rng, [height, width]: [usize; 2]) -> Option<([u32; 4], u32)> {
        // torchvision's defaults, which are the paper's but for its limits of 40 % and 10:3.
        const SHARES: [f64; 2] = [0.02, 0.33];
        const RATIOS: [f64; 2] = [0.3, 3.3];
        const TRIES: usize = 10;

        if rng.unit_f64() >= self.random_erasing {
            return None;
        }
        let noise = (rng.next_u64() >> 32) as u32;
        for _ in 0..TRIES {
            let share = SHARES[0] + (SHARES[1] - SHARES[0]) * rng.unit_f64();
            let ratio = RATIOS[0] * (RATIOS[1] / RATIOS[0]).powf(rng.unit_f64());
            let [h, w] = sides((height * width) as f64 * share, ratio);
            if h < height && w < width {
                let (top, left) = (rng.below(height - h + 1), rng.below(width - w + 1));
                return Some(([left, top, left + w, top + h].map(|n| n as u32), noise));
            }
        }
        None
    }

    /// How a batch is mixed, for images of `output` height and width.
    pub(crate) fn batch_mix(&self, seed: u64, epoch: u64, batch: u64, output: [usize; 2]) -> BatchMix {
        let none = BatchMix { mix: Mix::None, lambda: 1.0, mix_box: [0; 4] };
        let mut rng = Rng::new(&[seed, Stream::Batch as u64, epoch, batch]);
        let coin = rng.next_u64() >> 63 == 1;
        let mix = match (self.mixup > 0.0, self.cutmix > 0.0) {
            (false, false) => return none,
            (true, true) if coin => Mix::Cutmix,
            (false, true) => Mix::Cutmix,
            (true, _) => Mix::Mixup,
        };
        let [height, width] = output;
        let (cx, cy) = (rng.below(width.max(1)) as f64, rng.below(height.max(1)) as f64);
        if mix == Mix::Mixup {
            return BatchMix { mix, lambda: beta(&mut rng, self.mixup) as f32, ..none };
        }
        // A box of 1 - lambda of the area, with the image's proportions, about any pixel, clipped at the border.
        let side = (1.0 - beta(&mut rng, self.cutmix)).max(0.0).sqrt();
        let span = |centre: f64, n: usize| {
            let half = side * n as f64 / 2.0;
            let edge = |x: f64| x.round().clamp(0.0, n as f64) as u32;
            (edge(centre - half), edge(centre + half))
        };
        let ((x0, x1), (y0, y1)) = (span(cx, width), span(cy, height));
        let covered = f64::from(x1 - x0) * f64::from(y1 - y0) / (width * height).max(1) as f64;
        BatchMix { mix, lambda: (1.0 - covered) as f32, mix_box: [x0, y0, x1, y1] }
    }
}

/// From Beta(a, a), as a ratio of two gamma variates.
fn beta(rng: &mut Rng, a: f64) -> f64 {
    let (x, y) = (gamma(rng, a), gamma(rng, a));
    // Both underflow to 0 for a tiny `a`; the distribution is then at its two ends.
    if x + y > 0.0 { x / (x + y) } else { (rng.next_u64() >> 63) as f64 }
}

/// From Gamma(a, 1): Marsaglia and Tsang, “A simple method for generating gamma variables”, 2000.
fn gamma(rng: &mut Rng, a: f64) -> f64 {
    if a < 1.0 {
        let u = 1.0 - rng.unit_f64();
        return gamma(rng, a + 1.0) * u.powf(1.0 / a);
    }
    let d = a - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        // Box and Muller.
        let (u, v) = (1.0 - rng.unit_f64(), rng.unit_f64());
        let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
        let cube = (1.0 + c * normal).powi(3);
        let accepted = 1.0 - rng.unit_f64();
        if cube > 0.0 && accepted.ln() < 0.5 * normal * normal + d - d * cube + d * cube.ln() {
            return d * cube;
        }
    }
}

#[cfg(test)]
mod tests;
