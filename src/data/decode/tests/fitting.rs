//! Images that are decoded to be brought to a size: reduced, row by row, or a part of them.

use super::*;
use crate::data::{Filter, Fit, LoadOptions};

/// A picture like a photograph: slow changes, edges, and a little noise.
fn photograph(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let wave = |a: u32, b: u32| ((x * a + y * b) as f32 * 0.01).sin() * 80.0;
        let edge = if (x / 37 + y / 53) % 2 == 0 { 30.0 } else { -30.0 };
        let noise = ((x * 97 + y * 57 + x * y * 13) % 9) as f32;
        Rgb([(1, 2), (3, 1), (2, 5)].map(|(a, b)| (128.0 + wave(a, b) + edge + noise).clamp(0.0, 255.0) as u8))
    })
}

fn jpeg_of(image: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 92).encode_image(image).unwrap();
    bytes
}

/// The image with each pixel the mean of what it stands for.
fn shrunk(image: &RgbImage, [height, width]: [usize; 2], by: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        let inside = |start: usize, side: u32| start * by..((start + 1) * by).min(side as usize);
        let (rows, columns) = (inside(y, image.height()), inside(x, image.width()));
        let count = (rows.len() * columns.len()) as u32;
        let sum = |channel: usize| {
            let pixels = rows.clone().flat_map(|y| columns.clone().map(move |x| (x as u32, y as u32)));
            pixels.map(|(x, y)| u32::from(image.get_pixel(x, y)[channel])).sum::<u32>()
        };
        out.extend([0, 1, 2].map(|channel| ((sum(channel) + count / 2) / count) as u8));
    }
    out
}

fn at(bytes: &[u8], pixels: usize) -> Option<DynamicImage> {
    baseline(bytes, |_, _| pixels, decode_baseline).map(Decoded::into_image)
}

#[test]
fn a_reduced_photograph_is_the_mean_of_its_pixels_but_for_the_sharpest_edges() {
    for (width, height) in [(320, 240), (333, 251), (64, 700)] {
        let bytes = jpeg_of(&photograph(width, height));
        let whole = decoded(&bytes).unwrap().into_rgb8();
        for pixels in [1, 2, 4] {
            let reduced = at(&bytes, pixels).unwrap().into_rgb8();
            let size = [height, width].map(|side| (side as usize * pixels).div_ceil(8));
            assert_eq!([reduced.height(), reduced.width()].map(|side| side as usize), size);
            let expected = shrunk(&whole, size, 8 / pixels);
            let apart: Vec<f64> =
                reduced.as_raw().iter().zip(&expected).map(|(a, b)| f64::from(a.abs_diff(*b))).collect();
            let mean = apart.iter().sum::<f64>() / apart.len() as f64;
            assert!(mean < [1.0, 2.0, 0.0, 4.0][pixels - 1], "{width}x{height} by {pixels}: {mean} levels apart");
        }
    }
}

#[test]
fn as_few_pixels_are_made_as_serve() {
    assert_eq!(pixels_per_block([3024, 4032], [320, 320]), 1);
    assert_eq!(pixels_per_block([3024, 4032], [400, 320]), 2);
    assert_eq!(pixels_per_block([3024, 4032], [1512, 2016]), 4);
    assert_eq!(pixels_per_block([3024, 4032], [1513, 320]), WHOLE);
    assert_eq!(pixels_per_block([375, 500], [320, 320]), WHOLE);
    assert_eq!(pixels_per_block([8, 8], [1, 1]), 1);
}

#[test]
fn a_reduced_photograph_stands_upright_and_looks_like_the_whole_one() {
    let options = LoadOptions::default();
    for orientation in [1, 6] {
        let bytes = with_orientation(&jpeg_of(&photograph(400, 200)), orientation);
        let [a, b] =
            [true, false].map(|reduced| decode_to_fit(&bytes, &options.fitting([90, 40]), reduced, None).unwrap());
        let apart: u32 = a.iter().zip(&b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        assert!(a != b && f64::from(apart) / (a.len() as f64) < 2.0, "{apart} levels apart");
    }
}

#[test]
fn an_image_that_is_scaled_row_by_row_is_the_one_that_is_scaled_as_a_whole() {
    let gray = encode(&DynamicImage::from(photograph(80, 110)).into_luma8().into(), ImageFormat::Jpeg);
    let palette = {
        let (mut bytes, image) = (Vec::new(), photograph(50, 60));
        let mut encoder = ::png::Encoder::new(&mut bytes, image.width(), image.height());
        encoder.set_color(::png::ColorType::Indexed);
        encoder.set_palette((0..=255u8).flat_map(|i| [i, i / 2, 255 - i]).collect::<Vec<_>>());
        let indices: Vec<u8> = image.pixels().map(|pixel| pixel[1]).collect();
        encoder.write_header().unwrap().write_image_data(&indices).unwrap();
        bytes
    };
    let files = [
        jpeg_of(&photograph(131, 97)),
        jpeg_of(&photograph(60, 400)),
        gray,
        RESTARTS.to_vec(),
        PROGRESSIVE.to_vec(),
        encode(&photograph(131, 97).into(), ImageFormat::Png),
        encode(&DynamicImage::from(photograph(80, 110)).into_luma8().into(), ImageFormat::Png),
        encode(&DynamicImage::from(photograph(90, 70)).into_rgba8().into(), ImageFormat::Png),
        palette,
    ];
    for (bytes, fit) in files.iter().flat_map(|bytes| [Fit::CropCentre, Fit::Squash, Fit::Pad].map(|fit| (bytes, fit)))
    {
        for (filter, size) in [(Filter::Bilinear, [40, 33]), (Filter::Bicubic, [48, 48]), (Filter::Nearest, [20, 150])]
        {
            let fitting = Fitting { fit, filter, ..LoadOptions::default().fitting(size) };
            let whole = fitting.colour(&decode_image(bytes, PixelRules::Torchvision).unwrap());
            assert!(decode_to_fit(bytes, &fitting, false, None).unwrap() == whole, "{fit:?} {filter:?} {size:?}");
            let part = Part { rows: 7..19, columns: 3..30 };
            let rows = whole.chunks_exact(3 * size[1]).skip(7).take(12);
            let expected: Vec<u8> = rows.flat_map(|row| &row[3 * 3..3 * 30]).copied().collect();
            assert!(
                decode_to_fit(bytes, &fitting, false, Some(&part)).unwrap() == expected,
                "{fit:?} {filter:?} {size:?}"
            );
        }
    }
}

#[test]
fn a_png_of_which_a_row_is_missing_is_not_scaled_row_by_row() {
    let bytes = encode(&photograph(131, 97).into(), ImageFormat::Png);
    let fitting = LoadOptions::default().fitting([40, 33]);
    for keep in [bytes.len() / 2, bytes.len() - 100, 60] {
        assert!(fit_png_rows(&bytes[..keep], &fitting, &Part::whole([40, 33])).is_none());
        assert!(matches!(decode_to_fit(&bytes[..keep], &fitting, true, None), Err(ImageError::CutShort)), "{keep}");
    }
    assert!(fit_png_rows(&bytes, &fitting, &Part::whole([40, 33])).is_some());
}

#[test]
fn jpegs_with_restarts_are_reduced_and_other_kinds_left_to_the_general_decoder() {
    let gray = encode(&DynamicImage::from(photograph(80, 80)).into_luma8().into(), ImageFormat::Jpeg);
    assert_eq!(at(&gray, 2).unwrap().as_luma8().unwrap().dimensions(), (20, 20));
    let restarts = at(RESTARTS, 4).unwrap().into_rgb8();
    let expected = shrunk(&decoded(RESTARTS).unwrap().into_rgb8(), [24, 24], 2);
    let apart: u32 = restarts.as_raw().iter().zip(&expected).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
    assert!(apart / (24 * 24 * 3) < 6, "{apart} levels apart");
    assert!(at(PROGRESSIVE, 1).is_none());
    let fitting = LoadOptions::default().fitting([6, 6]);
    assert_eq!(decode_to_fit(PROGRESSIVE, &fitting, true, None).unwrap().len(), 6 * 6 * 3);
    assert!(decode_to_fit(b"\xff\xd8\xff rubbish \xff\xd9", &fitting, true, None).is_err());
}

#[test]
fn runs_of_old_see_the_pixels_that_they_were_trained_with() {
    let bytes = jpeg_of(&photograph(90, 70));
    let [old, new] = [PixelRules::Legacy, PixelRules::Torchvision]
        .map(|rules| decode_image(&bytes, rules).unwrap().into_image().into_rgb8());
    let general = decode(&bytes, ImageFormat::Jpeg, PixelRules::Torchvision).unwrap().into_image().into_rgb8();
    assert!(old == general && old.as_raw().iter().zip(new.as_raw()).all(|(a, b)| a.abs_diff(*b) <= 5));
}
