//! One image to the size, channels and scale that a network was trained with.
//!
//! A prediction is only as good as its preprocessing matches that of training, so this is plain data that a checkpoint
//! carries, and training, prediction and preview all go through the same functions.

mod colour;
mod fit;
mod normalisation;
mod rules;

use super::LoadOptions;
pub(crate) use colour::{blend, luma};
use colour::{flatten, flatten_gray};
pub(crate) use fit::{Fit, Fitting, Place, Resize};
use image::DynamicImage;
pub use normalisation::Normalisation;
pub(crate) use rules::PixelRules;
use serde::{Deserialize, Serialize};

/// What happens to an image before a network sees it. A checkpoint's metadata carries it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// 1 (gray) or 3 (red, green, blue).
    pub(crate) channels: usize,
    /// Of what the network sees, in pixels.
    pub height: usize,
    pub(crate) width: usize,
    /// Without one, an image of another size is scaled by its short side, bilinearly, to just cover `height` and
    /// `width`, and its centre taken.
    #[serde(default)]
    pub(crate) resize: Option<Resize>,
    /// The last step.
    pub normalisation: Normalisation,
    /// What shows behind transparent pixels, and around an image under [`Fit::Pad`].
    #[serde(default = "white")]
    pub(crate) background: [u8; 3],
    /// By which arithmetic.
    #[serde(default = "PixelRules::unnamed")]
    pub(crate) pixel_rules: PixelRules,
}

/// What shows behind transparent pixels where nobody says otherwise.
pub(crate) const WHITE: [u8; 3] = [255; 3];

fn white() -> [u8; 3] {
    WHITE
}

impl Preprocessing {
    /// For images of `[height, width, channels]` and nothing else about them.
    pub fn new(height: usize, width: usize, normalisation: Normalisation) -> Self {
        let channels = normalisation.mean.len();
        let pixel_rules = PixelRules::default();
        Preprocessing { channels, height, width, resize: None, normalisation, background: WHITE, pixel_rules }
    }

    /// Bytes of an image that is prepared.
    pub(crate) fn image_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// How an image of any size is brought to this one.
    pub(crate) fn fitting(&self) -> Fitting {
        let Resize { fit, filter, .. } = self.resize.unwrap_or_default();
        let short_side = self.resize.map(|resize| resize.short_side);
        let (size, background, rules) = ([self.height, self.width], self.background, self.pixel_rules);
        Fitting { size, short_side, fit, filter, background, rules }
    }

    /// An upright image, as [`super::decode_image`] returns it, as `[height, width, channels]` bytes.
    pub(crate) fn prepare(&self, image: &DynamicImage) -> Vec<u8> {
        match self.channels {
            1 => self.fitting().apply(&flatten_gray(image, self.background, self.pixel_rules)).into_raw(),
            _ => self.fitting().colour(image),
        }
    }

    /// Bytes to what the network takes: each channel in `0..=1`, less its mean, over its deviation. `[…, channels]`.
    pub(crate) fn normalise(&self, pixels: &[u8]) -> Vec<f32> {
        let tables = self.tables();
        let value = |(i, &pixel): (usize, &u8)| tables[i % tables.len()][usize::from(pixel)];
        pixels.iter().enumerate().map(value).collect()
    }

    /// The inverse of [`Preprocessing::normalise`], rounded to bytes.
    pub(crate) fn denormalise(&self, values: &[f32]) -> Vec<u8> {
        let channels = self.channels.max(1);
        let byte = |(i, &value): (usize, &f32)| {
            // A cast from float saturates, and makes 0 of NaN.
            self.normalisation.revert(value, i % channels).round() as u8
        };
        values.iter().enumerate().map(byte).collect()
    }

    /// For each channel what every byte becomes.
    pub(crate) fn tables(&self) -> Vec<[f32; 256]> {
        self.normalisation.tables(self.channels)
    }
}

impl LoadOptions {
    /// How images are brought to `size`, `[height, width]`.
    pub(super) fn fitting(&self, size: [usize; 2]) -> Fitting {
        let &LoadOptions { short_side, fit, filter, background, pixel_rules: rules, .. } = self;
        Fitting { size, short_side, fit, filter, background, rules }
    }
}

impl Fitting {
    /// An upright image as RGB pixels of the size.
    pub(super) fn colour(&self, image: &DynamicImage) -> Vec<u8> {
        self.apply(&flatten(image, self.background)).into_raw()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Filter;
    use image::{GrayImage, Rgb, RgbImage, Rgba, RgbaImage};

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
        let red = DynamicImage::from(RgbImage::from_pixel(1, 1, Rgb([255, 0, 0])));
        let legacy = Preprocessing { pixel_rules: PixelRules::Legacy, ..preprocessing(1, 1, 1) };
        assert_eq!((preprocessing(1, 1, 1).prepare(&red), legacy.prepare(&red)), (vec![76], vec![54]));
    }

    #[test]
    fn a_long_strip_is_prepared_without_growing_beyond_measure() {
        let strip = DynamicImage::from(RgbImage::from_pixel(20_000, 1, Rgb([1, 2, 3])));
        let prepared = preprocessing(224, 224, 3).prepare(&strip);
        assert!(prepared.chunks_exact(3).all(|pixel| pixel == [1, 2, 3]));
    }

    #[test]
    fn it_is_written_as_readable_json_and_one_that_names_no_rules_keeps_those_of_its_time() {
        let json = r#"{"channels":3,"height":8,"width":8,"normalisation":{"mean":[0,0,0],"std":[1,1,1]}}"#;
        let legacy = Preprocessing { pixel_rules: PixelRules::Legacy, ..preprocessing(8, 8, 3) };
        assert_eq!(serde_json::from_str::<Preprocessing>(json).unwrap(), legacy);
        let json = serde_json::to_string(&preprocessing(8, 8, 3)).unwrap();
        assert!(json.contains(r#""pixel_rules":"torchvision""#), "{json}");
        let resize = Resize { short_side: 256, fit: Fit::CropCentre, filter: Filter::Bilinear };
        let json = serde_json::to_string(&resize).unwrap();
        assert_eq!(json, r#"{"short_side":256,"fit":"crop-centre","filter":"bilinear"}"#);
    }
}
