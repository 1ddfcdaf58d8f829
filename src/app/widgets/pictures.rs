//! Many small images in one texture.
//!
//! A grid of two hundred images as two hundred textures would be two hundred uploads and draw calls. A [`Sheet`] puts
//! them side by side into one image on a worker thread, and [`SheetTexture`] uploads it once.

use crate::data::{Filter, Split, resample};
use eframe::egui::{Color32, ColorImage, Context, Rect, TextureFilter, TextureHandle, TextureId, TextureOptions, pos2};
use std::collections::HashMap;

/// One image, `[height, width, channels]` bytes with 1 or 3 channels.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Picture {
    pub width: usize,
    pub height: usize,
    pub channels: usize,
    pub pixels: Vec<u8>,
}

impl Picture {
    /// Image `index` of a split, if it has one.
    pub(crate) fn of(split: &Split, index: u32) -> Option<Self> {
        let index = index as usize;
        (index < split.len()).then(|| Self {
            width: split.width,
            height: split.height,
            channels: split.channels,
            pixels: split.image(index).to_vec(),
        })
    }

    /// Image `index` of a split, if it has one, in its own proportions also where it is kept squeezed.
    pub(crate) fn in_proportion(split: &Split, index: u32) -> Option<Self> {
        let image = Self::of(split, index)?;
        let [high, wide] = split.proportions(index as usize);
        if !split.is_squeezed() || high == 0 || wide == 0 {
            return Some(image);
        }
        let (longest, kept) = (high.max(wide), image.height.max(image.width));
        let [height, width] = [high, wide].map(|length| (length * kept / longest).max(1));
        let from = [image.height, image.width];
        let pixels = resample(&image.pixels, from, [height, width], image.channels, Filter::Bilinear);
        Some(Self { width, height, channels: image.channels, pixels })
    }

    /// Image `index` of a split, if it has one, no larger than a cell where it is a photograph.
    pub(crate) fn small(split: &Split, index: u32) -> Option<Self> {
        let thumbnail = if (index as usize) < split.len() { split.thumbnail(index as usize, CELL) } else { None };
        let Some(([height, width], pixels)) = thumbnail else { return Self::of(split, index) };
        Some(Self { width, height, channels: split.channels, pixels })
    }

    pub(crate) fn from_image(image: &image::DynamicImage) -> Self {
        let image = image.to_rgb8();
        let (width, height) = (image.width() as usize, image.height() as usize);
        Self { width, height, channels: 3, pixels: image.into_raw() }
    }

    fn color(&self, x: usize, y: usize) -> [u8; 3] {
        let at = (y * self.width + x) * self.channels;
        match self.pixels.get(at..at + self.channels) {
            Some([gray]) => [*gray; 3],
            Some([r, g, b, ..]) => [*r, *g, *b],
            _ => [0; 3],
        }
    }

    /// The image at most `side` pixels high and wide, each pixel the mean of what it stands for.
    pub(crate) fn shrunk(&self, side: usize) -> Picture {
        let longest = self.width.max(self.height);
        if longest <= side || longest == 0 {
            return self.clone();
        }
        let scaled = |n: usize| (n * side / longest).max(1);
        let (width, height) = (scaled(self.width), scaled(self.height));
        let mut pixels = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            let rows = y * self.height / height..((y + 1) * self.height).div_ceil(height);
            for x in 0..width {
                let columns = x * self.width / width..((x + 1) * self.width).div_ceil(width);
                let (mut sum, mut count) = ([0u32; 3], 0);
                for row in rows.clone() {
                    for column in columns.clone() {
                        let color = self.color(column, row);
                        (0..3).for_each(|c| sum[c] += u32::from(color[c]));
                        count += 1;
                    }
                }
                pixels.extend(sum.map(|sum| (sum / count.max(1)) as u8));
            }
        }
        Picture { width, height, channels: 3, pixels }
    }

    pub(crate) fn to_color_image(&self) -> ColorImage {
        let colors = (0..self.height * self.width).map(|i| {
            let [r, g, b] = self.color(i % self.width, i / self.width);
            Color32::from_rgb(r, g, b)
        });
        ColorImage::new([self.width, self.height], colors.collect())
    }

    /// How often each value from 0 to 255 occurs, for each channel.
    pub(crate) fn histogram(&self) -> Vec<[u32; 256]> {
        let mut counts = vec![[0; 256]; self.channels];
        for pixel in self.pixels.chunks_exact(self.channels.max(1)) {
            for (counts, &value) in counts.iter_mut().zip(pixel) {
                counts[value as usize] += 1;
            }
        }
        counts
    }
}

/// Images of one cell size, side by side, with what each is called.
#[derive(Clone)]
pub(crate) struct Sheet {
    image: ColorImage,
    /// Name and place in pixels: x, y, width, height.
    places: Vec<(u32, [usize; 4])>,
}

/// Cells in a row of a sheet: 32 cells of 64 pixels fit every device's largest texture.
const COLUMNS: usize = 32;
/// Side of a cell that larger images are shrunk to, in pixels.
const CELL: usize = 64;

impl Sheet {
    pub(crate) fn new(pictures: impl IntoIterator<Item = (u32, Picture)>) -> Self {
        let pictures: Vec<(u32, Picture)> =
            pictures.into_iter().map(|(id, picture)| (id, picture.shrunk(CELL))).collect();
        let cell = pictures.iter().map(|(_, p)| p.width.max(p.height)).max().unwrap_or(1);
        let columns = pictures.len().clamp(1, COLUMNS);
        let rows = pictures.len().div_ceil(columns).max(1);
        let mut image = ColorImage::filled([columns * cell, rows * cell], Color32::TRANSPARENT);
        let mut places = Vec::with_capacity(pictures.len());
        for (slot, (id, picture)) in pictures.iter().enumerate() {
            let (left, top) = (slot % columns * cell, slot / columns * cell);
            let stride = image.size[0];
            for y in 0..picture.height {
                for x in 0..picture.width {
                    let [r, g, b] = picture.color(x, y);
                    image.pixels[(top + y) * stride + left + x] = Color32::from_rgb(r, g, b);
                }
            }
            places.push((*id, [left, top, picture.width, picture.height]));
        }
        Self { image, places }
    }
}

/// A sheet on the window's GPU.
#[derive(Default)]
pub(crate) struct SheetTexture {
    texture: Option<TextureHandle>,
    places: HashMap<u32, Rect>,
}

/// Sharp pixels where an image is enlarged, no noise where it is reduced.
pub(crate) const SHARP: TextureOptions = TextureOptions {
    magnification: TextureFilter::Nearest,
    minification: TextureFilter::Linear,
    wrap_mode: eframe::egui::TextureWrapMode::ClampToEdge,
    mipmap_mode: None,
};

impl SheetTexture {
    pub(crate) fn set(&mut self, ctx: &Context, sheet: Sheet) {
        let [width, height] = sheet.image.size.map(|n| n as f32);
        let part = |[x, y, w, h]: [usize; 4]| {
            let (x, y, w, h) = (x as f32, y as f32, w as f32, h as f32);
            Rect::from_min_max(pos2(x / width, y / height), pos2((x + w) / width, (y + h) / height))
        };
        self.places = sheet.places.into_iter().map(|(id, place)| (id, part(place))).collect();
        match &mut self.texture {
            Some(texture) => texture.set(sheet.image, SHARP),
            None => self.texture = Some(ctx.load_texture("sheet", sheet.image, SHARP)),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.places.clear();
    }

    /// Texture and the part of it that has the image called `id`.
    pub(crate) fn get(&self, id: u32) -> Option<(TextureId, Rect)> {
        Some((self.texture.as_ref()?.id(), *self.places.get(&id)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gray(width: usize, height: usize, value: u8) -> Picture {
        Picture { width, height, channels: 1, pixels: vec![value; width * height] }
    }

    #[test]
    fn a_sheet_keeps_every_image_apart() {
        let pictures = (0..40).map(|i| (i, gray(8, 8, i as u8 * 5)));
        let sheet = Sheet::new(pictures);
        for (id, [x, y, w, h]) in &sheet.places {
            assert_eq!((*w, *h), (8, 8));
            let stride = sheet.image.size[0];
            let value = *id as u8 * 5;
            for (dx, dy) in [(0, 0), (7, 7)] {
                assert_eq!(sheet.image.pixels[(y + dy) * stride + x + dx], Color32::from_rgb(value, value, value));
            }
        }
    }

    #[test]
    fn large_images_shrink_to_their_mean() {
        let mut picture = gray(256, 128, 0);
        picture.pixels.iter_mut().enumerate().for_each(|(i, p)| *p = if i % 2 == 0 { 100 } else { 200 });
        let small = picture.shrunk(64);
        assert_eq!((small.width, small.height), (64, 32));
        assert!(small.pixels.iter().all(|&p| p == 150));
    }

    #[test]
    fn no_images_make_an_empty_sheet() {
        assert!(Sheet::new([]).places.is_empty());
    }

    #[test]
    fn a_histogram_counts_each_channel() {
        let picture = Picture { width: 2, height: 1, channels: 3, pixels: vec![1, 2, 3, 1, 9, 3] };
        let counts = picture.histogram();
        assert_eq!((counts[0][1], counts[1][2], counts[1][9], counts[2][3]), (2, 1, 1, 2));
    }
}
