//! What the recipe's fit does to a photograph: the whole of it, with what is cut off dimmed, what is added around it, or
//! how it is squeezed.

use crate::{
    app::widgets::pictures::Picture,
    data::{Dataset, Filter, Fitting, PixelRules, Place, blend, decode_image, read_image_file, resample},
};
use std::path::Path;

/// Longest side of such a picture, in pixels.
const SIDE: usize = 320;

/// Training image `index` as predictions and validation see it; `None` where the whole of it can't be had any more.
pub(super) fn shown(dataset: &Dataset, index: u32, fitting: &Fitting) -> Option<Picture> {
    Some(fitted(&whole(dataset, index, fitting)?, fitting))
}

/// The whole photograph, as it is kept for random crops, else from its file.
fn whole(dataset: &Dataset, index: u32, fitting: &Fitting) -> Option<Picture> {
    if dataset.train.is_squeezed() {
        return Picture::in_proportion(&dataset.train, index);
    }
    let source = dataset.train.sources.as_ref()?.get(index as usize)?;
    let bytes = read_image_file(&Path::new(&dataset.spec).join(source)).ok()?;
    let image = decode_image(&bytes, PixelRules::default()).ok()?.into_image();
    let image = image.thumbnail(SIDE as u32, SIDE as u32).to_rgba8();
    let (width, height) = (image.width() as usize, image.height() as usize);
    let pixels = image.pixels().flat_map(|pixel| blend(pixel.0, fitting.background)).collect();
    Some(Picture { width, height, channels: 3, pixels })
}

/// The whole of a picture where `fitting` puts it. Of two pictures of one shape the same is lost, whatever their sizes.
fn fitted(picture: &Picture, fitting: &Fitting) -> Picture {
    let Place { scaled, offset, margin } = fitting.place([picture.height, picture.width]);
    let canvas = [0, 1].map(|axis| scaled[axis].max(fitting.size[axis]));
    let longest = canvas[0].max(canvas[1]).max(1);
    // Lengths of the place, in pixels of what is drawn.
    let drawn = |length: usize| length * SIDE / longest;
    let [height, width] = canvas.map(|length| drawn(length).max(1));
    let inner = scaled.map(|length| drawn(length).max(1));
    let from = [picture.height, picture.width];
    let pixels = resample(&picture.pixels, from, inner, picture.channels, Filter::Bilinear);
    let backdrop = fitting.backdrop(picture.channels);
    let kept = [0, 1].map(|axis| {
        let start = drawn(offset[axis]);
        start..start + drawn(scaled[axis].min(fitting.size[axis])).max(1)
    });
    let margin = margin.map(drawn);
    let mut out = Vec::with_capacity(height * width * picture.channels);
    for y in 0..height {
        for x in 0..width {
            let at = |place: usize, margin: usize, inner: usize| place.checked_sub(margin).filter(|at| *at < inner);
            match (at(y, margin[0], inner[0]), at(x, margin[1], inner[1])) {
                (Some(row), Some(column)) => {
                    let start = (row * inner[1] + column) * picture.channels;
                    let pixel = &pixels[start..start + picture.channels];
                    let lost = !kept[0].contains(&row) || !kept[1].contains(&column);
                    out.extend(pixel.iter().map(|&value| if lost { value / 4 } else { value }));
                }
                _ => out.extend_from_slice(&backdrop),
            }
        }
    }
    Picture { width, height, channels: picture.channels, pixels: out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Fit;

    /// What becomes of a bright picture that is twice as wide as high: its size, and its middle line.
    fn line(fit: Fit) -> ([usize; 2], Vec<u8>) {
        let picture = Picture { width: 640, height: 320, channels: 1, pixels: vec![200; 640 * 320] };
        let rules = PixelRules::default();
        let (size, short_side, background, filter) = ([224; 2], None, [10; 3], Filter::Bilinear);
        let shown = fitted(&picture, &Fitting { size, short_side, fit, filter, background, rules });
        let middle = shown.height / 2 * shown.width;
        ([shown.height, shown.width], shown.pixels[middle..middle + shown.width].to_vec())
    }

    #[test]
    fn what_a_crop_cuts_off_is_dimmed_and_the_others_lose_nothing() {
        let (size, cropped) = line(Fit::CropCentre);
        assert_eq!(size, [160, 320]);
        assert_eq!(
            [cropped[0], cropped[79], cropped[80], cropped[160], cropped[239], cropped[240]],
            [50, 50, 200, 200, 200, 50]
        );
        let (size, squashed) = line(Fit::Squash);
        assert!(size == [320, 320] && squashed.iter().all(|&value| value == 200));
        let (size, padded) = line(Fit::Pad);
        assert!(size == [320, 320] && padded.iter().all(|&value| value == 200), "the bars are above and below");
    }
}
