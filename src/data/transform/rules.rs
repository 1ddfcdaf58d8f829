//! Which arithmetic makes a network's pixels of an image: where sides are rounded, what gray is, what counts as
//! transparent.
//!
//! A pixel more or less at the border moves a probability by a quarter, so weights from elsewhere need the arithmetic
//! of the program that trained them, which for nearly all is torchvision's on Pillow images. Networks that were trained
//! here before that was followed to the pixel keep what they know.

use image::{DynamicImage, GrayImage, Luma, RgbImage};
use serde::{Deserialize, Serialize};

/// The arithmetic of pixels. A checkpoint's preprocessing names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PixelRules {
    /// Of checkpoints that name none. The long side is rounded to the nearest pixel, pixels are weighed in floats, an odd
    /// rest of a crop lies at the end, gray is BT.709's, and a BMP whose alpha is zero everywhere is transparent.
    Legacy,
    /// The long side is `int(short * long / side)`, pixels are Pillow's to the byte, half of an odd rest is rounded to even, gray is Pillow's `L`
    /// (BT.601), a BMP whose alpha is zero everywhere is opaque, and colours that a TIFF has multiplied with their alpha
    /// are divided by it again.
    #[default]
    Torchvision,
}

impl PixelRules {
    /// What a checkpoint or a run means that names no rules.
    pub(crate) fn unnamed() -> Self {
        PixelRules::Legacy
    }

    /// RGB as gray.
    pub(super) fn gray(self, image: &RgbImage) -> GrayImage {
        match self {
            PixelRules::Legacy => DynamicImage::from(image.clone()).into_luma8(),
            PixelRules::Torchvision => GrayImage::from_fn(image.width(), image.height(), |x, y| {
                let [r, g, b] = image.get_pixel(x, y).0.map(u32::from);
                Luma([((19_595 * r + 38_470 * g + 7_471 * b + 0x8000) >> 16) as u8])
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gray(rules: PixelRules, colours: &[[u8; 3]]) -> Vec<u8> {
        let image = RgbImage::from_raw(colours.len() as u32, 1, colours.as_flattened().to_vec()).unwrap();
        rules.gray(&image).into_raw()
    }

    /// `Image.new("RGB", (1, 1), colour).convert("L").getpixel((0, 0))`, and what it was before.
    #[test]
    fn gray_is_pillows() {
        let colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 30, 40], [1, 2, 3], [254, 255, 253], [90, 90, 90]];
        assert_eq!(gray(PixelRules::Torchvision, &colours), [76, 150, 29, 82, 2, 254, 90]);
        assert_eq!(gray(PixelRules::Legacy, &colours[..3]), [54, 182, 18]);
    }

    #[test]
    fn gray_pixels_keep_their_value() {
        let grays: Vec<u8> = (0..=255).collect();
        let colours: Vec<[u8; 3]> = grays.iter().map(|&v| [v; 3]).collect();
        for rules in [PixelRules::Legacy, PixelRules::Torchvision] {
            assert_eq!(gray(rules, &colours), grays, "{rules:?}");
        }
    }
}
