//! One image to the size, channels and scale that a network was trained with.
//!
//! A prediction is only as good as its preprocessing matches that of training, so this is plain data that a checkpoint
//! carries, and training, prediction and preview all go through the same functions.

use super::{Dataset, LoadOptions, Normalisation, Split};
use image::{DynamicImage, GrayImage, ImageBuffer, Pixel, RgbImage, imageops};
use serde::{Deserialize, Serialize};

/// How an image of another shape is brought to the wanted one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// Scales so that the short side fits, then takes the centre: shapes stay, edges are lost.
    #[default]
    CropCentre,
    /// Scales height and width each to what is wanted: nothing is lost, shapes change.
    Squash,
}

impl Fit {
    pub const ALL: [Fit; 2] = [Fit::CropCentre, Fit::Squash];

    /// As recipes, checkpoints and flags spell it.
    pub fn name(self) -> &'static str {
        match self {
            Fit::CropCentre => "crop-centre",
            Fit::Squash => "squash",
        }
    }

    pub fn from_name(name: &str) -> Option<Fit> {
        Fit::ALL.into_iter().find(|fit| fit.name() == name)
    }
}

/// How pixels are weighed when an image is resized. All but `Nearest` widen their support when they shrink, so that
/// fine detail does not alias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    Nearest,
    /// A triangle, as Pillow's and torchvision's `bilinear` with antialiasing.
    #[default]
    Bilinear,
    /// Catmull-Rom, Pillow's `bicubic`.
    Bicubic,
    Lanczos3,
}

impl Filter {
    pub const ALL: [Filter; 4] = [Filter::Nearest, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos3];

    /// As recipes, checkpoints and flags spell it.
    pub fn name(self) -> &'static str {
        match self {
            Filter::Nearest => "nearest",
            Filter::Bilinear => "bilinear",
            Filter::Bicubic => "bicubic",
            Filter::Lanczos3 => "lanczos3",
        }
    }

    pub fn from_name(name: &str) -> Option<Filter> {
        Filter::ALL.into_iter().find(|filter| filter.name() == name)
    }
}

impl From<Filter> for imageops::FilterType {
    fn from(filter: Filter) -> Self {
        match filter {
            Filter::Nearest => imageops::FilterType::Nearest,
            Filter::Bilinear => imageops::FilterType::Triangle,
            Filter::Bicubic => imageops::FilterType::CatmullRom,
            Filter::Lanczos3 => imageops::FilterType::Lanczos3,
        }
    }
}

/// A resize before the final crop, such as ImageNet's "short side to 256, then the centre 224".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resize {
    /// What the short side becomes under [`Fit::CropCentre`]; [`Fit::Squash`] does not look at it.
    pub short_side: usize,
    #[serde(default)]
    pub fit: Fit,
    #[serde(default)]
    pub filter: Filter,
}

/// What happens to an image before a network sees it. A checkpoint's metadata carries it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// 1 (gray) or 3 (red, green, blue).
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    /// Without one, an image of another size is scaled by its short side, bilinearly, to just cover `height` and
    /// `width`, and its centre taken.
    #[serde(default)]
    pub resize: Option<Resize>,
    pub normalisation: Normalisation,
    /// What shows behind transparent pixels.
    #[serde(default = "white")]
    pub background: [u8; 3],
}

fn white() -> [u8; 3] {
    [255; 3]
}

impl Preprocessing {
    /// For images of `[height, width, channels]` and nothing else about them.
    pub fn new(height: usize, width: usize, normalisation: Normalisation) -> Self {
        let channels = normalisation.mean.len();
        Preprocessing { channels, height, width, resize: None, normalisation, background: white() }
    }

    /// What training on `dataset` with `options` shows the network, so that a single image meets the same.
    pub fn for_dataset(dataset: &Dataset, options: &LoadOptions) -> Self {
        let Split { height, width, .. } = dataset.train;
        let [height, width] = options.image_size.map_or([height, width], |size| [size; 2]);
        let resize = Resize { short_side: height.min(width), fit: options.fit, filter: options.filter };
        Preprocessing {
            resize: Some(resize),
            background: options.background,
            ..Preprocessing::new(height, width, dataset.normalisation_or_measured())
        }
    }

    /// An upright image, as [`super::decode_image`] returns it, as `[height, width, channels]` bytes.
    pub fn prepare(&self, image: &DynamicImage) -> Vec<u8> {
        let size = [self.height, self.width];
        let (fit, filter, short_side) = match self.resize {
            Some(resize) => (resize.fit, resize.filter, Some(resize.short_side)),
            None => (Fit::default(), Filter::default(), None),
        };
        match self.channels {
            1 => fit_image(flatten_gray(image, self.background), size, short_side, fit, filter).into_raw(),
            _ => fit_image(flatten(image, self.background), size, short_side, fit, filter).into_raw(),
        }
    }

    /// Bytes to what the network takes: each channel in `0..=1`, less its mean, over its deviation. `[…, channels]`.
    pub fn normalise(&self, pixels: &[u8]) -> Vec<f32> {
        let tables = self.tables();
        let channels = tables.len();
        pixels.iter().enumerate().map(|(i, &pixel)| tables[i % channels][usize::from(pixel)]).collect()
    }

    /// The inverse of [`Preprocessing::normalise`], rounded to bytes.
    pub fn denormalise(&self, values: &[f32]) -> Vec<u8> {
        let Normalisation { mean, std } = &self.normalisation;
        let channels = mean.len().min(std.len()).max(1);
        let byte = |(i, &value): (usize, &f32)| {
            let (mean, std) = (mean.get(i % channels).unwrap_or(&0.0), std.get(i % channels).unwrap_or(&1.0));
            // A cast from float saturates, and makes 0 of NaN.
            ((value * std + mean) * 255.0).round() as u8
        };
        values.iter().enumerate().map(byte).collect()
    }

    /// For each channel what every byte becomes.
    pub fn tables(&self) -> Vec<[f32; 256]> {
        let Normalisation { mean, std } = &self.normalisation;
        let table = |(mean, std): (&f32, &f32)| std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) / std);
        let mut tables: Vec<_> = mean.iter().zip(std).map(table).collect();
        if tables.is_empty() {
            tables.push(table((&0.0, &1.0)));
        }
        tables
    }
}

/// Brings raw `[height, width, channels]` bytes of size `from` to size `to`, just as [`Preprocessing::prepare`] does with
/// an image: how training resizes what it has cropped and flipped.
///
/// # Panics
/// If `pixels` has another length than `from` and `channels` (1 or 3) say.
pub fn resize(pixels: &[u8], from: [usize; 2], to: [usize; 2], channels: usize, fit: Fit, filter: Filter) -> Vec<u8> {
    assert_eq!(pixels.len(), from[0] * from[1] * channels, "the pixels of an image of {from:?}x{channels}");
    if from == to {
        return pixels.to_vec();
    }
    let ([height, width], raw) = (from.map(|n| n as u32), pixels.to_vec());
    let resized = match channels {
        1 => GrayImage::from_raw(width, height, raw).map(|image| fit_image(image, to, None, fit, filter).into_raw()),
        3 => RgbImage::from_raw(width, height, raw).map(|image| fit_image(image, to, None, fit, filter).into_raw()),
        _ => None,
    };
    // The length was checked above, so this is a wrong number of channels.
    resized.unwrap_or_else(|| panic!("images have 1 or 3 channels, not {channels}"))
}

/// RGB, over `background` where the image is transparent.
pub(super) fn flatten(image: &DynamicImage, background: [u8; 3]) -> RgbImage {
    if !image.color().has_alpha() {
        return image.to_rgb8();
    }
    let image = image.to_rgba8();
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [r, g, b, alpha] = image.get_pixel(x, y).0;
        let mut over = [r, g, b];
        for (channel, behind) in over.iter_mut().zip(background) {
            let (front, alpha) = (u32::from(*channel), u32::from(alpha));
            *channel = ((front * alpha + u32::from(behind) * (255 - alpha) + 127) / 255) as u8;
        }
        over.into()
    })
}

fn flatten_gray(image: &DynamicImage, background: [u8; 3]) -> GrayImage {
    match image {
        DynamicImage::ImageLuma8(gray) => gray.clone(),
        image => DynamicImage::from(flatten(image, background)).into_luma8(),
    }
}

/// Brings an image to `[height, width]`. Under [`Fit::CropCentre`] the short side becomes `short_side`, or as long as
/// it takes to cover the size; what is still too small is scaled up to cover it.
pub(super) fn fit_image<P>(
    image: ImageBuffer<P, Vec<u8>>,
    [height, width]: [usize; 2],
    short_side: Option<usize>,
    fit: Fit,
    filter: Filter,
) -> ImageBuffer<P, Vec<u8>>
where
    P: Pixel<Subpixel = u8> + 'static,
{
    let (height, width) = (height as u32, width as u32);
    if image.dimensions() == (width, height) && short_side.is_none_or(|side| side == height.min(width) as usize) {
        return image;
    }
    if image.width() == 0 || image.height() == 0 || fit == Fit::Squash {
        return imageops::resize(&image, width, height, filter.into());
    }
    let (from_height, from_width) = (f64::from(image.height()), f64::from(image.width()));
    let cover = (f64::from(height) / from_height).max(f64::from(width) / from_width);
    let scale = short_side.map_or(cover, |side| (side as f64 / from_height.min(from_width)).max(cover));
    let side = |from: f64, at_least: u32| ((from * scale).round() as u32).max(at_least);
    let (to_height, to_width) = (side(from_height, height), side(from_width, width));
    if u64::from(to_height) * u64::from(to_width) > LARGEST_SCALED {
        // A strip of 20000x3 pixels would grow beyond measure. Its middle is all that the crop will keep, so take that
        // first; whole source pixels are exact enough for a picture of this shape.
        let part = |from: u32, to: u32, size: u32| (u64::from(from) * u64::from(size)).div_ceil(u64::from(to)) as u32;
        let kept = [part(image.height(), to_height, height).max(1), part(image.width(), to_width, width).max(1)];
        return imageops::resize(&centre(&image, kept), width, height, filter.into());
    }
    let scaled = imageops::resize(&image, to_width, to_height, filter.into());
    centre(&scaled, [height, width])
}

/// Pixels that a scaled image may have before it is cropped.
const LARGEST_SCALED: u64 = 1 << 26;

/// The centre of an image; where the rest is odd, the extra pixel stays at the end.
fn centre<P>(image: &ImageBuffer<P, Vec<u8>>, [height, width]: [u32; 2]) -> ImageBuffer<P, Vec<u8>>
where
    P: Pixel<Subpixel = u8> + 'static,
{
    let (left, top) = ((image.width() - width) / 2, (image.height() - height) / 2);
    imageops::crop_imm(image, left, top, width, height).to_image()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, Rgba, RgbaImage};

    fn preprocessing(height: usize, width: usize, channels: usize) -> Preprocessing {
        Preprocessing::new(height, width, Normalisation::identity(channels))
    }

    #[test]
    fn normalising_and_denormalising_gives_every_colour_back() {
        for known in super::super::Known::ALL {
            let preprocessing = Preprocessing::new(16, 16, known.normalisation());
            let pixels: Vec<u8> = (0..=255u8).flat_map(|v| [v, 255 - v, v.wrapping_mul(7)]).collect();
            let back = preprocessing.denormalise(&preprocessing.normalise(&pixels));
            assert!(back.iter().zip(&pixels).all(|(a, b)| a.abs_diff(*b) <= 1));
            assert_eq!(back.len(), pixels.len());
        }
    }

    #[test]
    fn each_channel_is_normalised_by_its_own_numbers() {
        let normalisation = Normalisation { mean: vec![0.0, 0.5, 1.0], std: vec![1.0, 0.5, 2.0] };
        let values = Preprocessing::new(1, 1, normalisation).normalise(&[255, 255, 0]);
        assert_eq!(values, [1.0, 1.0, -0.5]);
    }

    #[test]
    fn an_image_of_the_right_size_passes_untouched() {
        let image = RgbImage::from_fn(7, 5, |x, y| Rgb([x as u8, y as u8, 9]));
        assert_eq!(preprocessing(5, 7, 3).prepare(&image.clone().into()), image.into_raw());
    }

    #[test]
    fn cropping_keeps_the_centre_and_squashing_keeps_all() {
        // Red, green and blue thirds side by side.
        let image =
            RgbImage::from_fn(30, 10, |x, _| Rgb(std::array::from_fn(|c| if c as u32 == x / 10 { 255 } else { 0 })));
        let image = DynamicImage::from(image);
        let mut preprocessing = preprocessing(10, 10, 3);
        let cropped = preprocessing.prepare(&image);
        assert!(cropped.chunks_exact(3).all(|pixel| pixel == [0, 255, 0]));
        preprocessing.resize = Some(Resize { short_side: 10, fit: Fit::Squash, filter: Filter::Bilinear });
        let squashed = preprocessing.prepare(&image);
        assert_eq!(&squashed[..3], [255, 0, 0]);
        assert_eq!(&squashed[27..30], [0, 0, 255]);
    }

    #[test]
    fn a_short_side_beyond_the_crop_loses_the_border() {
        let image = GrayImage::from_fn(8, 8, |x, y| {
            image::Luma([if (2..6).contains(&x) && (2..6).contains(&y) { 255 } else { 0 }])
        });
        let mut preprocessing = preprocessing(4, 4, 1);
        preprocessing.resize = Some(Resize { short_side: 8, fit: Fit::CropCentre, filter: Filter::Bilinear });
        assert_eq!(preprocessing.prepare(&image.into()), [255; 16]);
    }

    #[test]
    fn transparent_pixels_show_the_background() {
        let image = RgbaImage::from_raw(3, 1, vec![255, 0, 0, 255, 255, 0, 0, 0, 0, 0, 0, 128]).unwrap();
        let mut preprocessing = preprocessing(1, 3, 3);
        preprocessing.background = [10, 20, 200];
        assert_eq!(preprocessing.prepare(&image.into()), [255, 0, 0, 10, 20, 200, 5, 10, 100]);
    }

    #[test]
    fn gray_and_colour_become_each_other() {
        let gray = DynamicImage::from(GrayImage::from_raw(1, 1, vec![99]).unwrap());
        assert_eq!(preprocessing(1, 1, 3).prepare(&gray), [99; 3]);
        let rgba = DynamicImage::from(RgbaImage::from_pixel(1, 1, Rgba([50, 50, 50, 255])));
        assert_eq!(preprocessing(1, 1, 1).prepare(&rgba), [50]);
    }

    #[test]
    fn a_long_strip_is_prepared_without_growing_beyond_measure() {
        let strip = DynamicImage::from(RgbImage::from_pixel(20_000, 1, Rgb([1, 2, 3])));
        let prepared = preprocessing(224, 224, 3).prepare(&strip);
        assert!(prepared.chunks_exact(3).all(|pixel| pixel == [1, 2, 3]));
    }

    #[test]
    fn raw_pixels_are_resized_by_the_filter_that_is_named() {
        let up = resize(&[0, 100], [1, 2], [1, 4], 1, Fit::Squash, Filter::Nearest);
        assert_eq!(up, [0, 0, 100, 100]);
        let up = resize(&[0, 100], [1, 2], [1, 4], 1, Fit::Squash, Filter::Bilinear);
        assert_eq!(up, [0, 25, 75, 100]);
        let down = resize(&[0, 100, 50, 50], [1, 4], [1, 2], 1, Fit::Squash, Filter::Bilinear);
        assert_eq!(down.len(), 2);
        assert!(down[0] > 30 && down[0] < 60 && down[1] > 50 && down[1] < 70, "{down:?}");
    }

    #[test]
    fn training_and_prediction_resize_alike() {
        // A set of 6x9 images that trains at 16x16: the pixels that training resizes, and the same image as a file.
        let pixels: Vec<u8> = (0..6 * 9 * 3).map(|i| (i * 37 % 251) as u8).collect();
        let split = Split {
            height: 6,
            width: 9,
            channels: 3,
            pixels: pixels.clone().into(),
            labels: vec![0],
            sources: None,
            contents: None,
        };
        let dataset = Dataset::new("x", vec!["a".into()], split.clone(), split);
        for (fit, filter) in Fit::ALL.into_iter().flat_map(|fit| Filter::ALL.map(|filter| (fit, filter))) {
            let options = LoadOptions { image_size: Some(16), fit, filter, ..LoadOptions::default() };
            let image = RgbImage::from_raw(9, 6, pixels.clone()).unwrap();
            let predicted = Preprocessing::for_dataset(&dataset, &options).prepare(&image.into());
            assert_eq!(predicted, resize(&pixels, [6, 9], [16, 16], 3, fit, filter), "{fit:?} {filter:?}");
        }
    }

    #[test]
    fn names_are_those_of_the_files() {
        for fit in Fit::ALL {
            assert_eq!(serde_json::to_value(fit).unwrap(), fit.name());
            assert_eq!(Fit::from_name(fit.name()), Some(fit));
        }
        for filter in Filter::ALL {
            assert_eq!(serde_json::to_value(filter).unwrap(), filter.name());
            assert_eq!(Filter::from_name(filter.name()), Some(filter));
        }
    }

    #[test]
    fn it_is_written_as_readable_json_with_defaults() {
        let json = r#"{"channels":3,"height":8,"width":8,"normalisation":{"mean":[0,0,0],"std":[1,1,1]}}"#;
        assert_eq!(serde_json::from_str::<Preprocessing>(json).unwrap(), preprocessing(8, 8, 3));
        let resize = Resize { short_side: 256, fit: Fit::CropCentre, filter: Filter::Bilinear };
        let json = serde_json::to_string(&resize).unwrap();
        assert_eq!(json, r#"{"short_side":256,"fit":"crop-centre","filter":"bilinear"}"#);
    }
}
