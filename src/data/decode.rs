//! One image file into pixels: every supported format, within limits, upright, 8 bits a channel.

use image::{DynamicImage, ImageDecoder, ImageReader, Limits};
use std::{io::Cursor, path::Path};

/// Why an image could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("no image, or of a format that is not supported (PNG, JPEG, BMP, GIF, WebP, TIFF, PNM are)")]
    Unknown,
    #[error("the image is broken: {0}")]
    Broken(String),
    #[error("an image of {width}x{height} pixels is beyond the limit of {LONGEST} a side and {MEBIBYTES} MiB decoded")]
    TooLarge { width: u32, height: u32 },
    #[error("the image has no pixels")]
    Empty,
}

/// Most pixels along a side.
const LONGEST: u32 = 20_000;
/// Most memory for one decoded image: 178 million RGB pixels.
const MEBIBYTES: u64 = 512;

/// Endings of the supported formats, in lower case.
const ENDINGS: [&str; 13] =
    ["png", "jpg", "jpeg", "jpe", "jfif", "bmp", "gif", "webp", "tif", "tiff", "ppm", "pgm", "pbm"];

/// Whether a file's name has the ending of a supported image format. Hidden files do not count.
pub fn is_image_name(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    !hidden && ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()) || ending == "pnm")
}

/// Decodes an image (of an animation the first frame), turned upright as its EXIF orientation asks, with 8 bits a
/// channel: gray, gray with alpha, RGB, or RGBA. The format is told by content, not by name.
///
/// # Errors
/// When the bytes are no image, the image is broken or cut short, or it is beyond the limits, which are checked before
/// memory for the pixels is taken.
pub fn decode_image(bytes: &[u8]) -> Result<DynamicImage, ImageError> {
    guarded(|| decode(bytes))
}

/// Seven decoders by many hands have had panics on broken files before; one more shall cost its image, not the run.
fn guarded<T>(decode: impl FnOnce() -> Result<T, ImageError>) -> Result<T, ImageError> {
    // Nothing that `decode` changes outlives it.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(ImageError::Broken("its decoder gave up".to_owned())))
}

fn broken(error: &image::ImageError) -> ImageError {
    ImageError::Broken(error.to_string().replace('\n', " "))
}

fn decode(bytes: &[u8]) -> Result<DynamicImage, ImageError> {
    let mut decoder = decoder(bytes)?;
    // A broken EXIF block costs the orientation, not the image.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(|e| broken(&e))?;
    image.apply_orientation(orientation);
    Ok(match image {
        DynamicImage::ImageLuma16(_) => image.into_luma8().into(),
        DynamicImage::ImageLumaA16(_) => image.into_luma_alpha8().into(),
        DynamicImage::ImageRgb16(_) | DynamicImage::ImageRgb32F(_) => image.into_rgb8().into(),
        DynamicImage::ImageRgba16(_) | DynamicImage::ImageRgba32F(_) => image.into_rgba8().into(),
        eight_bit => eight_bit,
    })
}

/// `[height, width]` of an image once it is upright, from its header alone.
pub(super) fn image_size(bytes: &[u8]) -> Result<[usize; 2], ImageError> {
    guarded(|| read_size(bytes))
}

fn read_size(bytes: &[u8]) -> Result<[usize; 2], ImageError> {
    let mut decoder = decoder(bytes)?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    use image::metadata::Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    Ok(match decoder.orientation() {
        Ok(Rotate90 | Rotate90FlipH | Rotate270 | Rotate270FlipH) => [width, height],
        _ => [height, width],
    })
}

fn decoder(bytes: &[u8]) -> Result<impl ImageDecoder + '_, ImageError> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|_| ImageError::Unknown)?;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MEBIBYTES << 20);
    reader.limits(limits.clone());
    if reader.format().is_none() {
        return Err(ImageError::Unknown);
    }
    let mut decoder = reader.into_decoder().map_err(|e| match e {
        image::ImageError::Unsupported(_) => ImageError::Unknown,
        other => broken(&other),
    })?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(ImageError::Empty);
    }
    if width > LONGEST || height > LONGEST || decoder.total_bytes() > MEBIBYTES << 20 {
        return Err(ImageError::TooLarge { width, height });
    }
    // What the decoder itself may take beside the pixels.
    limits.max_alloc = Some((MEBIBYTES << 20) - decoder.total_bytes());
    decoder.set_limits(limits).map_err(|_| ImageError::TooLarge { width, height })?;
    Ok(decoder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageFormat, Rgb, RgbImage};
    use proptest::prelude::*;

    fn picture() -> RgbImage {
        RgbImage::from_fn(9, 6, |x, y| Rgb([x as u8 * 28, y as u8 * 40, 77]))
    }

    fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    const FORMATS: [ImageFormat; 7] = [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::Bmp,
        ImageFormat::Gif,
        ImageFormat::WebP,
        ImageFormat::Tiff,
        ImageFormat::Pnm,
    ];

    #[test]
    fn every_format_of_the_list_decodes_to_the_same_picture() {
        for format in FORMATS {
            let decoded = decode_image(&encode(&picture().into(), format)).unwrap().into_rgb8();
            // GIF has a palette, JPEG drops detail.
            let tolerance = if matches!(format, ImageFormat::Jpeg | ImageFormat::Gif) { 40 } else { 0 };
            for (a, b) in decoded.as_raw().iter().zip(picture().as_raw()) {
                assert!(a.abs_diff(*b) <= tolerance, "{format:?}: {a} for {b}");
            }
        }
    }

    #[test]
    fn sixteen_bits_become_eight() {
        let deep = image::ImageBuffer::<image::Luma<u16>, _>::from_raw(2, 1, vec![0u16, 65535]).unwrap();
        let decoded = decode_image(&encode(&deep.into(), ImageFormat::Png)).unwrap();
        assert_eq!(decoded.as_luma8().unwrap().as_raw(), &[0, 255]);
    }

    /// A JPEG with an EXIF block that says nothing but the orientation.
    fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
        let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        let mut bytes = jpeg[..2].to_vec();
        bytes.extend([0xff, 0xe1]);
        bytes.extend((exif.len() as u16 + 2).to_be_bytes());
        bytes.extend(exif);
        bytes.extend(&jpeg[2..]);
        bytes
    }

    #[test]
    fn a_photo_taken_sideways_stands_upright() {
        // Left half black, right half white; orientation 6 asks for a quarter turn clockwise.
        let image = RgbImage::from_fn(16, 8, |x, _| Rgb([if x < 8 { 0 } else { 255 }; 3]));
        let bytes = with_orientation(&encode(&image.into(), ImageFormat::Jpeg), 6);
        assert_eq!(image_size(&bytes).unwrap(), [16, 8]);
        let upright = decode_image(&bytes).unwrap().into_rgb8();
        assert_eq!(upright.dimensions(), (8, 16));
        assert!(upright.get_pixel(4, 2)[0] < 50 && upright.get_pixel(4, 13)[0] > 200);
    }

    #[test]
    fn an_image_that_claims_to_be_huge_takes_no_memory() {
        let mut png = encode(&picture().into(), ImageFormat::Png);
        png[16..24].copy_from_slice(&[0, 0, 0x80, 0, 0, 0, 0x80, 0]);
        assert!(decode_image(&png).is_err());
        assert!(matches!(decode_image(b"P6 19999 19999 255\n"), Err(ImageError::TooLarge { .. })));
        assert!(matches!(decode_image(b"P6 900000 1 255\n"), Err(ImageError::TooLarge { .. })));
    }

    #[test]
    fn what_is_no_image_says_so() {
        assert!(matches!(decode_image(b""), Err(ImageError::Unknown)));
        assert!(matches!(decode_image(b"hello, this is text"), Err(ImageError::Unknown)));
    }

    #[test]
    fn names_tell_images_from_the_rest() {
        for name in ["a.png", "b.JPG", "x/c.jpeg", "d.tiff", "e.pnm"] {
            assert!(is_image_name(Path::new(name)), "{name}");
        }
        for name in [".hidden.png", "._a.png", "Thumbs.db", "notes.txt", "png"] {
            assert!(!is_image_name(Path::new(name)), "{name}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn mutated_and_cut_images_never_panic(
            format in proptest::sample::select(FORMATS.to_vec()),
            edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            keep in any::<prop::sample::Index>(),
            cut in any::<bool>(),
        ) {
            let mut bytes = encode(&picture().into(), format);
            for (index, value) in edits {
                let index = index.index(bytes.len());
                bytes[index] = value;
            }
            if cut {
                bytes.truncate(keep.index(bytes.len()));
            }
            let _ = image_size(&bytes);
            let _ = decode_image(&bytes);
        }
    }
}
