//! An image of any size to one size: how large it is scaled, which part of that is kept, and the scaling.

use super::PixelRules;
use crate::data::resample::{Filter, Part, Resampler, resample};
use image::{ImageBuffer, Pixel, Rgb, RgbImage, imageops};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use strum::{EnumIter, EnumString, IntoStaticStr, VariantNames};

/// How an image of another shape is brought to the wanted one.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    EnumIter,
    EnumString,
    IntoStaticStr,
    VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Fit {
    /// Scales so that the short side fits, then takes the centre: shapes stay, edges are lost.
    #[default]
    CropCentre,
    /// Scales height and width each to what is wanted: nothing is lost, shapes change.
    Squash,
    /// Scales so that the long side fits, and centres the image on the background: nothing is lost, shapes stay.
    Pad,
}

/// A resize before the final crop, such as ImageNet's "short side to 256, then the centre 224".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Resize {
    /// What the short side becomes under [`Fit::CropCentre`]; the others do not look at it.
    pub short_side: usize,
    #[serde(default)]
    pub fit: Fit,
    #[serde(default)]
    pub filter: Filter,
}

/// All that decides how an image of any size is brought to `size`, `[height, width]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fitting {
    pub size: [usize; 2],
    /// What the short side becomes under [`Fit::CropCentre`]; without one, or where it is too small for that, as long as
    /// it takes to cover the size.
    pub short_side: Option<usize>,
    pub fit: Fit,
    pub filter: Filter,
    /// What shows around an image under [`Fit::Pad`].
    pub background: [u8; 3],
    pub rules: PixelRules,
}

/// What becomes of an image of one size: its `[height, width]` when scaled, `[top, left]` of the part that is kept, and
/// where that comes to lie in the size that is wanted: `[top, left]` again. On each axis one of the two is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub scaled: [usize; 2],
    pub offset: [usize; 2],
    pub margin: [usize; 2],
}

/// Pixels that a scaled image may have before it is cropped.
const LARGEST_SCALED: usize = 1 << 26;

impl Fitting {
    /// Where an image of `from`, `[height, width]`, goes. Training and prediction both ask here.
    pub(crate) fn place(&self, from: [usize; 2]) -> Place {
        let scaled = match (self.fit, self.rules) {
            _ if from.contains(&0) => self.size,
            (Fit::Squash, _) => self.size,
            (Fit::Pad, _) => self.scaled_to_fit_inside(from),
            (Fit::CropCentre, PixelRules::Legacy) => self.scaled_to_nearest(from),
            (Fit::CropCentre, PixelRules::Torchvision) => self.scaled_as_torchvision(from),
        };
        let half = |rest: usize| match self.rules {
            PixelRules::Legacy => rest / 2,
            // `int(round(rest / 2.0))`: Python rounds a half to the even neighbour.
            PixelRules::Torchvision => rest / 2 + ((rest % 2) & (rest / 2)),
        };
        Place {
            scaled,
            offset: [0, 1].map(|axis| half(scaled[axis].saturating_sub(self.size[axis]))),
            margin: [0, 1].map(|axis| half(self.size[axis].saturating_sub(scaled[axis]))),
        }
    }

    /// The ratio is that of the side that needs it most; the short side counts as one more.
    fn scaled_as_torchvision(&self, from: [usize; 2]) -> [usize; 2] {
        let wide = |n: usize| n as u128;
        let narrow = |n: u128| usize::try_from(n).unwrap_or(usize::MAX);
        let sides = [(self.size[0], from[0]), (self.size[1], from[1])].into_iter();
        let sides = sides.chain(self.short_side.map(|side| (side, from[0].min(from[1]))));
        let largest = sides.max_by(|a, b| (wide(a.0) * wide(b.1)).cmp(&(wide(b.0) * wide(a.1))));
        // There are two sides at least.
        let (to, of) = largest.unwrap_or((1, 1));
        [0, 1].map(|axis| narrow(wide(from[axis]) * wide(to) / wide(of)).max(self.size[axis]))
    }

    /// The ratio is that of the side that has the least room; the other side is cut to whole pixels, as torchvision's.
    fn scaled_to_fit_inside(&self, from: [usize; 2]) -> [usize; 2] {
        let wide = |n: usize| n as u128;
        let by_height = wide(self.size[0]) * wide(from[1]) <= wide(self.size[1]) * wide(from[0]);
        let axis = usize::from(!by_height);
        let (to, of) = (self.size[axis], from[axis]);
        // No more than the size, as the other side has more room.
        [0, 1].map(|axis| ((wide(from[axis]) * wide(to) / wide(of)) as usize).max(1))
    }

    /// What shows around an image, a byte for each channel.
    pub(crate) fn backdrop(&self, channels: usize) -> Vec<u8> {
        match channels {
            1 => self.rules.gray(&RgbImage::from_pixel(1, 1, Rgb(self.background))).into_raw(),
            _ => self.background.to_vec(),
        }
    }

    fn scaled_to_nearest(&self, from: [usize; 2]) -> [usize; 2] {
        let ([height, width], [from_height, from_width]) = (self.size.map(|n| n as f64), from.map(|n| n as f64));
        let cover = (height / from_height).max(width / from_width);
        let scale = self.short_side.map_or(cover, |side| (side as f64 / from_height.min(from_width)).max(cover));
        [0, 1].map(|axis| ((from[axis] as f64 * scale).round() as usize).max(self.size[axis]))
    }

    /// Scales an image and takes its centre, or centres it on the background.
    pub(in crate::data) fn apply<P>(&self, image: &ImageBuffer<P, Vec<u8>>) -> ImageBuffer<P, Vec<u8>>
    where
        P: Pixel<Subpixel = u8> + 'static,
    {
        let from = [image.height() as usize, image.width() as usize];
        let Place { scaled, offset, margin } = self.place(from);
        if self.fit == Fit::Pad && scaled != self.size {
            let backdrop = *P::from_slice(&self.backdrop(P::CHANNEL_COUNT.into()));
            let mut padded = ImageBuffer::from_pixel(self.size[1] as u32, self.size[0] as u32, backdrop);
            imageops::replace(&mut padded, &self.scale(image, scaled), margin[1] as i64, margin[0] as i64);
            return padded;
        }
        if scaled == from {
            return crop(image, offset, self.size);
        }
        if scaled[0].saturating_mul(scaled[1]) > LARGEST_SCALED {
            // A strip of 20000x3 pixels would grow beyond measure. Its middle is all that the crop will keep, so take that
            // first; whole source pixels are exact enough for a picture of this shape.
            let kept = [0, 1].map(|axis| (from[axis] * self.size[axis]).div_ceil(scaled[axis]).max(1));
            let middle = crop(image, [0, 1].map(|axis| (from[axis] - kept[axis]) / 2), kept);
            return self.scale(&middle, self.size);
        }
        let large = self.scale(image, scaled);
        if scaled == self.size { large } else { crop(&large, offset, self.size) }
    }

    /// Makes a part of what [`Fitting::apply`] makes of an image of `from`, row by row; `None` where it needs the whole image.
    pub(in crate::data) fn resampler(&self, from: [usize; 2], part: &Part, channels: usize) -> Option<Resampler> {
        let Place { scaled, offset, .. } = self.place(from);
        let in_rows = self.rules == PixelRules::Torchvision && self.filter != Filter::Nearest;
        let covers = !from.contains(&0) && (0..2).all(|axis| scaled[axis] >= self.size[axis]);
        let is_moderate = scaled[0].saturating_mul(scaled[1]) <= LARGEST_SCALED;
        let moved = |range: &Range<usize>, by: usize| range.start + by..range.end + by;
        let part = Part { rows: moved(&part.rows, offset[0]), columns: moved(&part.columns, offset[1]) };
        (in_rows && covers && is_moderate).then(|| Resampler::new(from, scaled, &part, channels, self.filter))
    }

    fn scale<P>(&self, image: &ImageBuffer<P, Vec<u8>>, [height, width]: [usize; 2]) -> ImageBuffer<P, Vec<u8>>
    where
        P: Pixel<Subpixel = u8> + 'static,
    {
        let from = [image.height() as usize, image.width() as usize];
        if self.rules == PixelRules::Torchvision && !from.contains(&0) {
            let pixels = resample(image, from, [height, width], P::CHANNEL_COUNT.into(), self.filter);
            // As long as the size says.
            if let Some(scaled) = ImageBuffer::from_raw(width as u32, height as u32, pixels) {
                return scaled;
            }
        }
        imageops::resize(image, width as u32, height as u32, self.filter.into())
    }
}

fn crop<P>(
    image: &ImageBuffer<P, Vec<u8>>,
    [top, left]: [usize; 2],
    [height, width]: [usize; 2],
) -> ImageBuffer<P, Vec<u8>>
where
    P: Pixel<Subpixel = u8> + 'static,
{
    imageops::crop_imm(image, left as u32, top as u32, width as u32, height as u32).to_image()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::GrayImage;
    use strum::IntoEnumIterator;

    fn fitting(size: [usize; 2], short_side: Option<usize>, rules: PixelRules) -> Fitting {
        let (fit, filter, background) = (Fit::CropCentre, Filter::Bilinear, [255; 3]);
        Fitting { size, short_side, fit, filter, background, rules }
    }

    fn place(from: [usize; 2], short_side: usize, size: usize) -> [usize; 4] {
        let Place { scaled, offset, margin } =
            fitting([size; 2], Some(short_side), PixelRules::Torchvision).place(from);
        assert_eq!(margin, [0; 2]);
        [scaled[0], scaled[1], offset[0], offset[1]]
    }

    /// Of `_compute_resized_output_size` and `center_crop` in torchvision 0.29's `transforms/functional.py`.
    #[test]
    fn sizes_and_offsets_are_torchvisions() {
        let cases = [
            ([683, 1024], [256, 383, 16, 80]),
            ([1024, 683], [383, 256, 80, 16]),
            ([768, 1024], [256, 341, 16, 58]),
            ([333, 500], [256, 384, 16, 80]),
            ([1080, 1920], [256, 455, 16, 116]),
            ([100, 37], [691, 256, 234, 16]),
            ([256, 256], [256, 256, 16, 16]),
        ];
        for (from, expected) in cases {
            assert_eq!(place(from, 256, 224), expected, "{from:?}");
        }
        assert_eq!(place([31, 33], 32, 32), [32, 34, 0, 1]);
        // The same functions on 100,000 sizes up to 2,000 a side: the FNV-1a hash of what they return.
        let common = [(256, 224), (232, 224), (224, 224), (32, 32), (64, 64), (342, 299), (7, 5)];
        let (mut state, mut hash) = (1u64, 0xcbf2_9ce4_8422_2325u64);
        let mut side = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            1 + (state >> 33) as usize % 2000
        };
        for (short_side, size) in common.into_iter().cycle().take(100_000) {
            for value in place([side(), side()], short_side, size) {
                for byte in (value as u32).to_le_bytes() {
                    hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
                }
            }
        }
        assert_eq!(hash, 0xa4cd_821d_3fd3_6471);
    }

    #[test]
    fn a_short_side_that_is_too_small_grows_to_cover_the_size() {
        for rules in [PixelRules::Legacy, PixelRules::Torchvision] {
            let covered = fitting([10, 30], Some(5), rules).place([20, 20]);
            assert_eq!(covered, Place { scaled: [30, 30], offset: [10, 0], margin: [0; 2] }, "{rules:?}");
            assert_eq!(fitting([10, 30], None, rules).place([20, 20]), covered, "{rules:?}");
        }
    }

    #[test]
    fn the_rules_of_before_round_to_the_nearest_and_leave_an_odd_rest_at_the_end() {
        let place = |rules| fitting([224; 2], Some(256), rules).place([683, 1024]);
        let expected = |width| Place { scaled: [256, width], offset: [16, 80], margin: [0; 2] };
        assert_eq!([PixelRules::Legacy, PixelRules::Torchvision].map(place), [384, 383].map(expected));
    }

    #[test]
    fn a_padded_image_is_whole_and_in_the_middle() {
        let pad = |size, from| {
            let Place { scaled, offset, margin } =
                Fitting { fit: Fit::Pad, ..fitting(size, Some(256), PixelRules::Torchvision) }.place(from);
            assert_eq!(offset, [0; 2]);
            [scaled, margin]
        };
        // 224 * 683 / 1024 = 149.4; of the 75 rows left, half to even.
        assert_eq!(pad([224; 2], [683, 1024]), [[149, 224], [38, 0]]);
        assert_eq!(pad([224; 2], [1024, 683]), [[224, 149], [0, 38]]);
        assert_eq!(pad([224; 2], [3, 2]), [[224, 149], [0, 38]]);
        assert_eq!(pad([224; 2], [500, 500]), [[224, 224], [0, 0]]);
        assert_eq!(pad([224; 2], [1, 20_000]), [[1, 224], [112, 0]]);
        assert_eq!(pad([10, 30], [20, 20]), [[10, 10], [0, 10]]);
    }

    #[test]
    fn what_surrounds_a_padded_image_is_the_background_also_in_gray() {
        let pad = Fitting { fit: Fit::Pad, background: [255, 0, 0], ..fitting([2, 4], None, PixelRules::Torchvision) };
        let (gray, colour) =
            (GrayImage::from_pixel(2, 2, image::Luma([7])), RgbImage::from_pixel(2, 2, Rgb([1, 2, 3])));
        assert_eq!(pad.apply(&gray).into_raw(), [76, 7, 7, 76].repeat(2));
        let row = [[255, 0, 0], [1, 2, 3], [1, 2, 3], [255, 0, 0]];
        assert_eq!(pad.apply(&colour).into_raw(), row.as_flattened().repeat(2));
    }

    #[test]
    fn files_keep_their_words() {
        let words: (Vec<_>, Vec<_>) = (Fit::iter().collect(), Filter::iter().collect());
        let words = serde_json::to_value(words).unwrap().to_string();
        let expected = r#"[["crop-centre","squash","pad"],["nearest","bilinear","bicubic","lanczos3"]]"#;
        assert_eq!(words, expected);
    }

    #[test]
    fn an_image_of_the_right_size_and_an_empty_one_are_no_trouble() {
        let image = GrayImage::from_fn(7, 5, |x, y| image::Luma([(x * 10 + y) as u8]));
        assert_eq!(fitting([5, 7], Some(5), PixelRules::Torchvision).apply(&image), image);
        assert_eq!(fitting([4, 4], None, PixelRules::Torchvision).apply(&GrayImage::new(0, 3)).dimensions(), (4, 4));
    }
}
