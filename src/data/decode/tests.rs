//! What counts as an image: that of Pillow, which was asked about each of these.

mod fitting;

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

fn decoded(bytes: &[u8]) -> Result<DynamicImage, ImageError> {
    decode_image(bytes, PixelRules::default()).map(|decoded| decoded.image.clone())
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
        let image = decoded(&encode(&picture().into(), format)).unwrap().into_rgb8();
        // GIF has a palette, JPEG drops detail.
        let tolerance = if matches!(format, ImageFormat::Jpeg | ImageFormat::Gif) { 40 } else { 0 };
        for (a, b) in image.as_raw().iter().zip(picture().as_raw()) {
            assert!(a.abs_diff(*b) <= tolerance, "{format:?}: {a} for {b}");
        }
    }
}

#[test]
fn sixteen_bits_become_eight() {
    let deep = image::ImageBuffer::<image::Luma<u16>, _>::from_raw(2, 1, vec![0u16, 65535]).unwrap();
    let image = decoded(&encode(&deep.into(), ImageFormat::Png)).unwrap();
    assert_eq!(image.as_luma8().unwrap().as_raw(), &[0, 255]);
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
    let upright = decoded(&bytes).unwrap().into_rgb8();
    assert_eq!(upright.dimensions(), (8, 16));
    assert!(upright.get_pixel(4, 2)[0] < 50 && upright.get_pixel(4, 13)[0] > 200);
}

/// JPEGs as the encoder here does not write them: of 48x48 pixels, progressive, and with restart markers.
const PROGRESSIVE: &[u8] = include_bytes!("../../../tests/data/images/progressive.jpg");
const RESTARTS: &[u8] = include_bytes!("../../../tests/data/images/restarts.jpg");

/// A picture that takes a few hundred bytes in every format.
fn noise() -> RgbImage {
    RgbImage::from_fn(24, 24, |x, y| Rgb([0, 1, 2].map(|c| (x * 97 + y * 57 + c * 31 + x * y * 13) as u8)))
}

/// A file of each format, and of JPEG each kind.
fn files() -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> =
        FORMATS.iter().map(|&format| (format!("{format:?}"), encode(&noise().into(), format))).collect();
    files.extend([("progressive".to_owned(), PROGRESSIVE.to_vec()), ("restarts".to_owned(), RESTARTS.to_vec())]);
    files
}

/// The first `part` bytes, and zeros up to the whole length.
fn filled(bytes: &[u8], part: usize) -> Vec<u8> {
    [&bytes[..part], &vec![0; bytes.len() - part]].concat()
}

#[test]
fn a_file_that_is_cut_short_is_refused_as_that_wherever_it_is_cut() {
    for (name, bytes) in files() {
        let n = bytes.len();
        for part in [n * 99 / 100 - 6, n * 9 / 10, n / 2, n / 4, 40] {
            let found = decoded(&bytes[..part]);
            assert!(matches!(found, Err(ImageError::CutShort)), "{name}, {part} bytes of {n}: {found:?}");
        }
        assert!(decoded(&bytes).is_ok(), "{name}");
    }
}

#[test]
fn the_header_of_a_jpeg_is_no_jpeg() {
    for bytes in [PROGRESSIVE, RESTARTS] {
        let scan = bytes.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
        assert!(matches!(image_size(&bytes[..scan]), Ok([48, 48]) | Err(ImageError::CutShort)));
        assert!(matches!(decoded(&bytes[..scan]), Err(ImageError::CutShort)));
    }
}

#[test]
fn a_file_that_lacks_nothing_but_its_end_marker_is_whole() {
    for (name, bytes) in files() {
        // Of a PNG also the checksums; the end of others is not marked.
        let most = match name.as_str() {
            "Jpeg" | "progressive" | "restarts" | "Gif" => 2,
            "Png" => 20,
            _ => 0,
        };
        let whole = decoded(&bytes).unwrap();
        for missing in 1..=most {
            let found = decoded(&bytes[..bytes.len() - missing]).unwrap_or_else(|e| panic!("{name}, {missing}: {e}"));
            assert!(found == whole, "{name} without its last {missing} bytes");
        }
        let more = [&bytes[..], b"\0\0\0junk"].concat();
        assert!(decoded(&more).unwrap() == whole, "{name} with something behind it");
    }
}

#[test]
fn zeros_in_place_of_an_end_are_as_good_as_pillow_takes_them() {
    // Where Pillow loads a file whose last half, or last hundredth, is zeros.
    let accepted = |name: &str| match name {
        "Gif" | "restarts" => [false, true],
        "Png" | "progressive" => [false, false],
        _ => [true, true],
    };
    for (name, bytes) in files().into_iter().filter(|(name, _)| name != "Tiff") {
        let n = bytes.len();
        let found = [n / 2, n * 99 / 100].map(|part| decoded(&filled(&bytes, part)).is_ok());
        assert_eq!(found, accepted(&name), "{name}");
    }
    // A marker ends a JPEG, whatever it lacks.
    for bytes in [PROGRESSIVE, RESTARTS] {
        assert!(decoded(&[&bytes[..bytes.len() / 2], &[0xff, 0xd9]].concat()).is_ok());
    }
}

/// A BMP of 32 bits a pixel, blue first, whose header is of so many bytes and names where alpha is.
fn bmp(header: u32, pixels: &[[u8; 4]]) -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    bytes.extend([14 + header + 4 * pixels.len() as u32, 0, 14 + header, header].iter().flat_map(|n| n.to_le_bytes()));
    bytes.extend([pixels.len() as u32, 1].iter().flat_map(|n| n.to_le_bytes()));
    bytes.extend([1u16, 32].iter().flat_map(|n| n.to_le_bytes()));
    let masks = [3, 4 * pixels.len() as u32, 0, 0, 0, 0, 0xff_0000, 0xff00, 0xff, 0xff00_0000];
    bytes.extend(masks.iter().flat_map(|n: &u32| n.to_le_bytes()));
    bytes.resize(14 + header as usize, 0);
    bytes.extend(pixels.as_flattened());
    bytes
}

#[test]
fn a_bmp_whose_alpha_is_zero_everywhere_is_opaque() {
    for header in [56, 108, 124] {
        let blank = bmp(header, &[[40, 30, 200, 0], [1, 2, 3, 0]]);
        assert_eq!(decoded(&blank).unwrap().into_rgba8().into_raw(), [200, 30, 40, 255, 3, 2, 1, 255], "{header}");
        let legacy = decode_image(&blank, PixelRules::Legacy).unwrap();
        assert_eq!(legacy.to_rgba8().into_raw(), [200, 30, 40, 0, 3, 2, 1, 0], "{header}");
        let partly = bmp(header, &[[40, 30, 200, 0], [1, 2, 3, 9]]);
        assert_eq!(decoded(&partly).unwrap().into_rgba8().into_raw(), [200, 30, 40, 0, 3, 2, 1, 9], "{header}");
    }
}

/// A TIFF of one strip. The tags are `(number, values)` beside those of size and place, in any order.
fn tiff_file([width, height]: [u16; 2], tags: &[(u16, &[u16])], data: &[u8]) -> Vec<u8> {
    let length = [data.len() as u16];
    let mut all =
        vec![(256, vec![width]), (257, vec![height]), (259, vec![1]), (278, vec![height]), (279, length.to_vec())];
    all.extend(tags.iter().map(|&(tag, values)| (tag, values.to_vec())));
    all.push((273, vec![0]));
    all.sort();
    let behind = 8 + 2 + 12 * all.len() as u32 + 4;
    let (mut directory, mut values) = ((all.len() as u16).to_le_bytes().to_vec(), Vec::new());
    let longest: usize = all.iter().map(|(_, values)| values.len() * 2).filter(|&n| n > 4).sum();
    for (tag, numbers) in &all {
        let numbers = if *tag == 273 { vec![(behind as usize + longest) as u16] } else { numbers.clone() };
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        directory.extend(tag.to_le_bytes());
        directory.extend(3u16.to_le_bytes());
        directory.extend((numbers.len() as u32).to_le_bytes());
        if bytes.len() > 4 {
            directory.extend((behind + values.len() as u32).to_le_bytes());
            values.extend(bytes);
        } else {
            directory.extend(bytes.iter().chain(&[0; 4]).take(4));
        }
    }
    [b"II*\0\x08\0\0\0", &directory[..], &[0; 4], &values, data].concat()
}

/// What Pillow makes of these in RGB, or with alpha.
#[test]
fn tiffs_with_palettes_with_alpha_and_of_few_bits_have_their_colours() {
    let palette = |depth: u32| {
        let mut map = vec![0u16; 3 << depth];
        for (channel, value) in [200u16, 30, 40].into_iter().enumerate() {
            map[(channel << depth) + 1] = value * 257;
        }
        map
    };
    for (depth, data) in [(8u16, vec![1, 0, 1, 1]), (4, vec![0x10, 0x11]), (1, vec![0b1000_0000, 0b1100_0000])] {
        let file =
            tiff_file([2, 2], &[(258, &[depth]), (262, &[3]), (277, &[1]), (320, &palette(depth.into()))], &data);
        let expected = [200, 30, 40, 0, 0, 0, 200, 30, 40, 200, 30, 40];
        assert_eq!(decoded(&file).unwrap().into_rgb8().into_raw(), expected, "a palette of {depth} bits");
        assert_eq!(image_size(&file).unwrap(), [2, 2]);
        assert!(matches!(decoded(&file[..file.len() - 1]), Err(ImageError::CutShort)));
    }
    let gray = |extra: u16, data: &[u8]| {
        decoded(&tiff_file([1, 1], &[(258, &[8, 8]), (262, &[1]), (277, &[2]), (338, &[extra])], data)).unwrap()
    };
    assert_eq!(gray(2, &[100, 9]).as_luma_alpha8().unwrap().as_raw(), &[100, 9]);
    assert_eq!(gray(1, &[50, 128]).as_luma_alpha8().unwrap().as_raw(), &[99, 128], "alpha that is multiplied in");
    assert_eq!(gray(0, &[100, 0]).as_luma8().unwrap().as_raw(), &[100], "a sample that is no alpha");
    let rgba = tiff_file([1, 1], &[(258, &[8; 4]), (262, &[2]), (277, &[4]), (338, &[1])], &[100, 15, 20, 128]);
    assert_eq!(decoded(&rgba).unwrap().into_rgba8().into_raw(), [199, 29, 39, 128]);
    assert_eq!(decode_image(&rgba, PixelRules::Legacy).unwrap().to_rgba8().into_raw(), [100, 15, 20, 128]);
    for (depth, data, expected) in [(4u16, [0x8f], [136, 255]), (2, [0b1011_0000], [170, 255])] {
        let file = tiff_file([2, 1], &[(258, &[depth]), (262, &[1]), (277, &[1])], &data);
        assert_eq!(decoded(&file).unwrap().into_luma8().into_raw(), expected, "gray of {depth} bits");
    }
}

#[test]
fn tiffs_of_other_kinds_are_refused_by_the_name_of_the_kind() {
    let file = |photometric: u16, bits: &[u16], format: u16| {
        let samples = [bits.len() as u16];
        let formats = vec![format; bits.len()];
        let data = vec![0; bits.iter().map(|&bits| usize::from(bits) / 8).sum()];
        tiff_file([1, 1], &[(258, bits), (262, &[photometric]), (277, &samples), (339, &formats)], &data)
    };
    let cases = [
        (file(1, &[32], 3), "32-bit floating-point gray"),
        (file(1, &[64], 3), "64-bit floating-point gray"),
        (file(1, &[16], 2), "16-bit signed gray"),
        (file(2, &[32; 3], 3), "floating-point RGB"),
        (file(6, &[8; 3], 1), "8-bit YCbCr"),
        (file(8, &[8; 3], 1), "CIELab"),
    ];
    for (bytes, kind) in cases {
        let error = decoded(&bytes).unwrap_err().to_string();
        assert!(error.contains(kind) && error.contains("8 bits a channel") && !error.contains('\n'), "{kind}: {error}");
    }
}

#[test]
fn a_tiff_that_takes_too_much_memory_is_too_large_and_not_broken() {
    // 10,000 x 10,000 x 3 bytes fit, and are needed twice.
    let file = tiff_file([10_000; 2], &[(258, &[8; 3]), (262, &[2]), (277, &[3])], &[]);
    let error = decoded(&file).unwrap_err();
    assert!(matches!(error, ImageError::TooLarge(Some([10_000, 10_000]))), "{error:?}");
    assert!(error.to_string().starts_with("an image of 10000x10000 pixels is too large: at most 20000 pixels a side"));
}

#[test]
fn an_image_that_claims_to_be_huge_takes_no_memory() {
    let mut png = encode(&picture().into(), ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 0, 0x80, 0, 0, 0, 0x80, 0]);
    assert!(decoded(&png).is_err());
    assert!(matches!(decoded(b"P6 19999 19999 255\n"), Err(ImageError::TooLarge(_))));
    assert!(matches!(decoded(b"P6 900000 1 255\n"), Err(ImageError::TooLarge(_))));
}

#[test]
fn what_is_no_image_says_so() {
    assert!(matches!(decoded(b""), Err(ImageError::Unknown)));
    assert!(matches!(decoded(b"hello, this is text"), Err(ImageError::Unknown)));
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
        let _ = decoded(&bytes);
    }
}
