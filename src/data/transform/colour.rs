//! Pixels of every kind to opaque gray or RGB.

use super::PixelRules;
use image::{DynamicImage, GrayImage, Rgb, RgbImage, RgbaImage};
use std::borrow::Cow;

/// RGB, over `background` where the image is transparent.
pub(super) fn flatten(image: &DynamicImage, background: [u8; 3]) -> Cow<'_, RgbImage> {
    match image {
        DynamicImage::ImageRgb8(rgb) => Cow::Borrowed(rgb),
        DynamicImage::ImageRgba8(rgba) => Cow::Owned(over(rgba, background)),
        image if image.color().has_alpha() => Cow::Owned(over(&image.to_rgba8(), background)),
        image => Cow::Owned(image.to_rgb8()),
    }
}

fn over(image: &RgbaImage, background: [u8; 3]) -> RgbImage {
    RgbImage::from_fn(image.width(), image.height(), |x, y| Rgb(blend(image.get_pixel(x, y).0, background)))
}

/// A colour that may be transparent, over another.
pub(crate) fn blend([r, g, b, alpha]: [u8; 4], behind: [u8; 3]) -> [u8; 3] {
    let alpha = u32::from(alpha);
    let mixed = |(front, behind): (u8, u8)| (u32::from(front) * alpha + u32::from(behind) * (255 - alpha) + 127) / 255;
    [(r, behind[0]), (g, behind[1]), (b, behind[2])].map(|pair| mixed(pair) as u8)
}

/// Brightness of a colour as ITU-R BT.601 has it; a gray pixel's own value.
pub(crate) fn luma(pixel: &[f32]) -> f32 {
    match *pixel {
        [r, g, b] => 0.299 * r + 0.587 * g + 0.114 * b,
        [gray] => gray,
        _ => 0.0,
    }
}

/// Gray, over `background` where the image is transparent.
pub(super) fn flatten_gray(image: &DynamicImage, background: [u8; 3], rules: PixelRules) -> Cow<'_, GrayImage> {
    match image {
        DynamicImage::ImageLuma8(gray) => Cow::Borrowed(gray),
        image => Cow::Owned(rules.gray(&flatten(image, background))),
    }
}
