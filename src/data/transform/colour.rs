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
    let blend = |front: u8, behind: u8, alpha: u8| {
        let (front, behind, alpha) = (u32::from(front), u32::from(behind), u32::from(alpha));
        ((front * alpha + behind * (255 - alpha) + 127) / 255) as u8
    };
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [r, g, b, alpha] = image.get_pixel(x, y).0;
        let [red, green, blue] = background;
        Rgb([blend(r, red, alpha), blend(g, green, alpha), blend(b, blue, alpha)])
    })
}

/// Gray, over `background` where the image is transparent.
pub(super) fn flatten_gray(image: &DynamicImage, background: [u8; 3], rules: PixelRules) -> Cow<'_, GrayImage> {
    match image {
        DynamicImage::ImageLuma8(gray) => Cow::Borrowed(gray),
        image => Cow::Owned(rules.gray(&flatten(image, background))),
    }
}
