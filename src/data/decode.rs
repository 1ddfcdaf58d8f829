//! One image file into pixels: every supported format, within limits, upright, 8 bits a channel.
//!
//! What counts as an image is what Pillow loads: a file that is cut short is refused, one that lacks nothing but its
//! end marker is not.

mod baseline_jpeg;
mod budget;
mod jpeg;
mod png;
mod tiff;

use super::{Fitting, PixelRules, resample::Part};
use crate::{file::beginning, text::foreign};
use baseline_jpeg::{Jpeg, WHOLE, pixels_per_block};
use budget::{DECODING, Share};
use image::{
    ColorType, DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage, metadata::Orientation,
};
use std::{
    cell::Cell,
    fmt::Display,
    io::{self, BufRead, Cursor, Read, Seek, SeekFrom},
    ops::Deref,
    path::Path,
};
use tiff::Tiff;

/// Why an image could not be decoded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    #[error("no image, or of a format that is not supported (PNG, JPEG, BMP, GIF, WebP, TIFF, PNM are)")]
    Unknown,
    #[error("{0} is not supported: save the image anew with 8 bits a channel, as gray or RGB")]
    Unsupported(String),
    #[error("the image is broken: {0}")]
    Broken(String),
    #[error("the image is cut short: the end of the file is missing")]
    CutShort,
    /// Beyond the limits, with its width and height where they were told.
    #[error("{} is too large: at most {MAX_SIDE_PX} pixels a side and {MEBIBYTES} MiB while it is decoded", named(*.0))]
    TooLarge(Option<[u32; 2]>),
    #[error("the image has no pixels")]
    Empty,
}

impl ImageError {
    fn broken(error: &dyn Display) -> Self {
        ImageError::Broken(foreign(&error.to_string()))
    }
}

fn named(size: Option<[u32; 2]>) -> String {
    size.map_or_else(|| "the image".to_owned(), |[width, height]| format!("an image of {width}x{height} pixels"))
}

/// Most pixels along a side.
const MAX_SIDE_PX: u32 = 20_000;
/// Most memory for one image while it is decoded: enough for 178 million RGB pixels.
const MEBIBYTES: u64 = 512;

/// Most bytes of an image file.
const IMAGE_LIMIT: u64 = 256 << 20;

/// Endings of the supported formats, in lower case.
const ENDINGS: [&str; 13] =
    ["png", "jpg", "jpeg", "jpe", "jfif", "bmp", "gif", "webp", "tif", "tiff", "ppm", "pgm", "pbm"];

/// Whether a file's name has the ending of a supported image format. Hidden files do not count.
pub(crate) fn is_image_name(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    !hidden && ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()) || ending == "pnm")
}

/// The bytes of an image file.
///
/// # Errors
/// When the file cannot be read, has more than 256 MiB, or is no regular file: that is said without opening it.
pub(crate) fn read_image_file(path: &Path) -> io::Result<Vec<u8>> {
    let bytes = beginning(path, IMAGE_LIMIT + 1)?;
    match bytes.len() as u64 > IMAGE_LIMIT {
        true => Err(io::Error::other(format!("the file has more than {} MiB", IMAGE_LIMIT >> 20))),
        false => Ok(bytes),
    }
}

/// A decoded image. It counts towards what all decoders may take together until it is dropped: do not keep two at once
/// on one thread, for the second may wait for the first.
pub(crate) struct Decoded {
    image: DynamicImage,
    _share: Share<'static>,
}

impl Deref for Decoded {
    type Target = DynamicImage;

    fn deref(&self) -> &DynamicImage {
        &self.image
    }
}

/// Decodes an image (of an animation the first frame), turned upright as its EXIF orientation asks, with 8 bits a
/// channel: gray, gray with alpha, RGB, or RGBA. The format is told by content, not by name. Waits while others decode
/// so much that there is no memory for one more.
///
/// # Errors
/// When the bytes are no image, the image is broken or cut short, or it is beyond the limits, which are checked before
/// memory for the pixels is taken.
pub(crate) fn decode_image(bytes: &[u8], rules: PixelRules) -> Result<Decoded, ImageError> {
    guarded(|| match format_of(bytes)? {
        ImageFormat::Jpeg if !jpeg::has_end(bytes) => {
            jpeg::without_end(bytes, |bytes| decode_jpeg(bytes, rules), |decoded| decoded.as_bytes())
        }
        ImageFormat::Jpeg => decode_jpeg(bytes, rules),
        format @ ImageFormat::Png => decode(bytes, format, rules).or_else(|error| match error {
            ImageError::CutShort => decode(&png::ended(bytes), format, rules).map_err(|_| error),
            other => Err(other),
        }),
        format => decode(bytes, format, rules),
    })
}

/// A JPEG that has its end. Networks that were trained with other pixels keep seeing those.
fn decode_jpeg(bytes: &[u8], rules: PixelRules) -> Result<Decoded, ImageError> {
    let usual = (rules == PixelRules::Torchvision).then(|| baseline(bytes, |_, _| WHOLE, decode_baseline));
    usual.flatten().map_or_else(|| decode(bytes, ImageFormat::Jpeg, rules), Ok)
}

/// An image as RGB pixels, brought to its size by `fitting`, or a part of that. With `reduced`, of a JPEG that is much
/// larger only as many pixels are made as leave something to scale down. Where rows can be scaled as they come, the image
/// is never in memory as a whole, and of what is not in the part nothing is made.
pub(super) fn decode_to_fit(
    bytes: &[u8],
    fitting: &Fitting,
    reduced: bool,
    part: Option<&Part>,
) -> Result<Vec<u8>, ImageError> {
    let all = Part::whole(fitting.size);
    let part = part.unwrap_or(&all);
    let pixels = |size, orientation| match reduced {
        true => pixels_per_block(size, upright(fitting.place(upright(size, orientation)).scaled, orientation)),
        false => WHOLE,
    };
    let in_rows = |jpeg: &Jpeg, orientation| match orientation {
        Orientation::NoTransforms => {
            fit_rows(jpeg.size(), jpeg.channels(), jpeg.memory(), fitting, part, |needed, take| {
                jpeg.decode(needed, take)
            })
        }
        _ => None,
    };
    if fitting.rules == PixelRules::Torchvision
        && let Some(pixels) = baseline(bytes, pixels, in_rows).or_else(|| fit_png_rows(bytes, fitting, part))
    {
        return Ok(pixels);
    }
    let few = |jpeg: &Jpeg, orientation| if jpeg.is_reduced() { decode_baseline(jpeg, orientation) } else { None };
    let image = baseline(bytes, pixels, few).map_or_else(|| decode_image(bytes, fitting.rules), Ok)?;
    let pixels = fitting.colour(&image);
    if *part == all {
        return Ok(pixels);
    }
    let rows = pixels.chunks_exact(3 * fitting.size[1]).skip(part.rows.start).take(part.rows.len());
    Ok(rows.flat_map(|row| &row[3 * part.columns.start..3 * part.columns.end]).copied().collect())
}

/// What `make` makes of a whole JPEG of the usual kind, at as many pixels a block as its size asks for, within the limits.
fn baseline<T>(
    bytes: &[u8],
    pixels: impl Fn([usize; 2], Orientation) -> usize,
    make: impl Fn(&Jpeg, Orientation) -> Option<T>,
) -> Option<T> {
    let made = || {
        if !matches!(image::guess_format(bytes), Ok(ImageFormat::Jpeg)) || !jpeg::has_end(bytes) {
            return Ok(None);
        }
        let Some(jpeg) = Jpeg::open(bytes) else { return Ok(None) };
        let [height, width] = jpeg.size();
        check_size([width as u32, height as u32], (height * width * jpeg.channels()) as u64)?;
        let orientation = jpeg.exif().and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
        Ok(jpeg.reduced_to(pixels([height, width], orientation)).and_then(|jpeg| make(&jpeg, orientation)))
    };
    guarded(made).ok().flatten()
}

fn decode_baseline(jpeg: &Jpeg, orientation: Orientation) -> Option<Decoded> {
    let ([height, width], channels) = (jpeg.size(), jpeg.channels());
    let copies = 1 + u64::from(orientation != Orientation::NoTransforms);
    let share = DECODING.take((height * width * channels) as u64 * copies + jpeg.memory());
    let mut pixels = Vec::with_capacity(height * width * channels);
    jpeg.decode(&Part::whole([height, width]), &mut |row| pixels.extend_from_slice(row))?;
    let image = match channels {
        1 => GrayImage::from_raw(width as u32, height as u32, pixels)?.into(),
        _ => RgbImage::from_raw(width as u32, height as u32, pixels)?.into(),
    };
    Some(Decoded::new(image, orientation, share))
}

/// A part of what becomes of an image of so many channels, scaled while it is decoded. `decode` hands on the rows of what
/// it is told, and takes `memory` bytes beside them.
fn fit_rows(
    size: [usize; 2],
    channels: usize,
    memory: u64,
    fitting: &Fitting,
    part: &Part,
    decode: impl FnOnce(&Part, &mut dyn FnMut(&[u8])) -> Option<()>,
) -> Option<Vec<u8>> {
    let mut resampler = fitting.resampler(size, part, channels)?;
    let needed = resampler.needed().clone();
    let bytes = part.rows.len() * part.columns.len() * 3;
    let _share = DECODING.take(bytes as u64 + memory);
    let mut pixels = Vec::with_capacity(bytes);
    let mut take = |row: &[u8]| match channels {
        1 => pixels.extend(row.iter().flat_map(|&gray| [gray; 3])),
        _ => pixels.extend_from_slice(row),
    };
    decode(&needed, &mut |row| resampler.push(row, &mut take))?;
    Some(pixels)
}

/// [`fit_rows`] of a PNG whose rows come one after the other.
fn fit_png_rows(bytes: &[u8], fitting: &Fitting, part: &Part) -> Option<Vec<u8>> {
    let made = || {
        let Some(mut rows) = png::Rows::open(bytes, MEBIBYTES << 20) else { return Ok(None) };
        let (size @ [height, width], channels) = (rows.size(), rows.channels());
        check_size([width, height].map(|side| side as u32), (height * width * channels) as u64)?;
        // What it has unpacked, from which it may copy, and two rows.
        let memory = (1 << 20) + (2 * width * channels) as u64;
        Ok(fit_rows(size, channels, memory, fitting, part, |needed, take| rows.decode(needed, take)))
    };
    guarded(made).ok().flatten()
}

/// `[height, width]` of an image once it is upright, from its header alone.
pub(super) fn image_size(bytes: &[u8]) -> Result<[usize; 2], ImageError> {
    guarded(|| {
        let ([width, height], orientation) = read_header(bytes)?;
        Ok(upright([height, width].map(|side| side as usize), orientation))
    })
}

/// Height and width of an image once it is turned upright; the other way round, it is the same.
fn upright([height, width]: [usize; 2], orientation: Orientation) -> [usize; 2] {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    match orientation {
        Rotate90 | Rotate90FlipH | Rotate270 | Rotate270FlipH => [width, height],
        _ => [height, width],
    }
}

/// Seven decoders by many hands have had panics on broken files before; one more shall cost its image, not the run.
fn guarded<T>(decode: impl FnOnce() -> Result<T, ImageError>) -> Result<T, ImageError> {
    // Nothing that `decode` changes outlives it.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(ImageError::Broken("its decoder gave up".to_owned())))
}

fn format_of(bytes: &[u8]) -> Result<ImageFormat, ImageError> {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP};
    let format = image::guess_format(bytes).ok();
    format.filter(|format| matches!(format, Png | Jpeg | Bmp | Gif | WebP | Tiff | Pnm)).ok_or(ImageError::Unknown)
}

fn read_header(bytes: &[u8]) -> Result<([u32; 2], Orientation), ImageError> {
    let (format, ran_out) = (format_of(bytes)?, Cell::new(false));
    match open(bytes, format, &ran_out) {
        Ok(mut decoder) => Ok((decoder.dimensions().into(), orientation(&mut decoder))),
        Err(ImageError::Unsupported(_)) if format == ImageFormat::Tiff => {
            Tiff::open(bytes).map(|tiff| (tiff.size, tiff.orientation))
        }
        Err(error) => Err(error),
    }
}

fn decode(bytes: &[u8], format: ImageFormat, rules: PixelRules) -> Result<Decoded, ImageError> {
    let ran_out = Cell::new(false);
    let mut decoder = match open(bytes, format, &ran_out) {
        Err(ImageError::Unsupported(_)) if format == ImageFormat::Tiff => return decode_tiff(bytes, rules),
        opened => opened?,
    };
    let (size, colours, pixels) = (decoder.dimensions().into(), decoder.color_type(), decoder.total_bytes());
    if matches!(colours, ColorType::Rgb32F | ColorType::Rgba32F) {
        return Err(ImageError::Unsupported("a TIFF of floating-point RGB".to_owned()));
    }
    let orientation = orientation(&mut decoder);
    // What a decoder holds at its peak, as so many times the pixels.
    let copies = match format {
        ImageFormat::Jpeg if jpeg::is_progressive(bytes) => 3,
        ImageFormat::WebP => 3,
        ImageFormat::Gif | ImageFormat::Tiff => 2,
        _ => 1,
    };
    let is_deep = colours.bytes_per_pixel() > colours.channel_count();
    let changes = is_deep || colours.has_alpha() || orientation != Orientation::NoTransforms;
    let share = DECODING.take(pixels * (copies + u64::from(changes)));
    let image = DynamicImage::from_decoder(decoder).map_err(|e| explain(&e, bytes, format, Some(size), &ran_out))?;
    let premultiplied = || Tiff::open(bytes).is_ok_and(|tiff| tiff.is_premultiplied());
    let mut image = eight_bits(image);
    if rules == PixelRules::Torchvision {
        match format {
            ImageFormat::Bmp => show_if_blank(&mut image),
            ImageFormat::Tiff if image.color().has_alpha() && premultiplied() => divide_by_alpha(&mut image),
            _ => {}
        }
    }
    Ok(Decoded::new(image, orientation, share))
}

/// A TIFF that `image` does not decode.
fn decode_tiff(bytes: &[u8], rules: PixelRules) -> Result<Decoded, ImageError> {
    let tiff = Tiff::open(bytes)?;
    check_size(tiff.size, tiff.memory())?;
    let (orientation, premultiplied) = (tiff.orientation, tiff.is_premultiplied());
    let share = DECODING.take(tiff.memory());
    let mut image = tiff.decode()?;
    if premultiplied && rules == PixelRules::Torchvision {
        divide_by_alpha(&mut image);
    }
    Ok(Decoded::new(image, orientation, share))
}

impl Decoded {
    fn new(mut image: DynamicImage, orientation: Orientation, mut share: Share<'static>) -> Self {
        image.apply_orientation(orientation);
        let bytes = image.as_bytes().len() as u64;
        // Without its alpha it will be a copy.
        share.shrink(if image.color().has_alpha() { 2 * bytes } else { bytes });
        Self { image, _share: share }
    }

    /// The image alone, which no longer counts: for one that is looked at, not one of many.
    pub(crate) fn into_image(self) -> DynamicImage {
        self.image
    }
}

fn eight_bits(image: DynamicImage) -> DynamicImage {
    match image {
        DynamicImage::ImageLuma16(_) => image.into_luma8().into(),
        DynamicImage::ImageLumaA16(_) => image.into_luma_alpha8().into(),
        DynamicImage::ImageRgb16(_) => image.into_rgb8().into(),
        DynamicImage::ImageRgba16(_) => image.into_rgba8().into(),
        eight_bit => eight_bit,
    }
}

/// Many programs leave the alpha of a BMP zero everywhere and mean that all of it is to be seen.
fn show_if_blank(image: &mut DynamicImage) {
    if let DynamicImage::ImageRgba8(rgba) = image
        && rgba.pixels().all(|pixel| pixel[3] == 0)
    {
        rgba.pixels_mut().for_each(|pixel| pixel[3] = 255);
    }
}

/// Takes back that colours were multiplied with their alpha, as Pillow does.
fn divide_by_alpha(image: &mut DynamicImage) {
    let (pixels, channels): (&mut [u8], _) = match image {
        DynamicImage::ImageRgba8(rgba) => (rgba, 4),
        DynamicImage::ImageLumaA8(gray) => (gray, 2),
        _ => return,
    };
    for pixel in pixels.chunks_exact_mut(channels) {
        let (colours, alpha) = pixel.split_at_mut(channels - 1);
        let whole = |colour: u8| (u16::from(colour) * 255).checked_div(alpha[0].into()).unwrap_or(0).min(255) as u8;
        colours.iter_mut().for_each(|colour| *colour = whole(*colour));
    }
}

fn orientation(decoder: &mut impl ImageDecoder) -> Orientation {
    // A broken EXIF block costs the orientation, not the image.
    decoder.orientation().unwrap_or(Orientation::NoTransforms)
}

fn open<'a>(
    bytes: &'a [u8],
    format: ImageFormat,
    ran_out: &'a Cell<bool>,
) -> Result<impl ImageDecoder + 'a, ImageError> {
    if format == ImageFormat::WebP && riff_is_cut_short(bytes) {
        return Err(ImageError::CutShort);
    }
    let mut reader = ImageReader::with_format(Source { bytes: Cursor::new(bytes), ran_out }, format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MEBIBYTES << 20);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(|e| explain(&e, bytes, format, None, ran_out))?;
    let size = decoder.dimensions().into();
    check_size(size, decoder.total_bytes())?;
    // What the decoder itself may take beside the pixels.
    limits.max_alloc = Some((MEBIBYTES << 20) - decoder.total_bytes());
    decoder.set_limits(limits).map_err(|_| ImageError::TooLarge(Some(size)))?;
    Ok(decoder)
}

fn check_size(size: [u32; 2], memory: u64) -> Result<(), ImageError> {
    match size {
        size if size.contains(&0) => Err(ImageError::Empty),
        size if size.iter().any(|&side| side > MAX_SIDE_PX) || memory > MEBIBYTES << 20 => {
            Err(ImageError::TooLarge(Some(size)))
        }
        _ => Ok(()),
    }
}

/// The reason in our words.
fn explain(
    error: &image::ImageError,
    bytes: &[u8],
    format: ImageFormat,
    size: Option<[u32; 2]>,
    ran_out: &Cell<bool>,
) -> ImageError {
    // The decoder of JPEGs takes all bytes at once, so that it always runs out of them.
    let cut = if format == ImageFormat::Jpeg { !jpeg::has_end(bytes) } else { ran_out.get() };
    match error {
        image::ImageError::Limits(_) => ImageError::TooLarge(size),
        image::ImageError::Unsupported(error) => {
            ImageError::Unsupported(foreign(&format!("this kind of {format:?} ({error})")))
        }
        _ if cut => ImageError::CutShort,
        other => ImageError::broken(other),
    }
}

/// Whether a RIFF file has fewer bytes than it says.
fn riff_is_cut_short(bytes: &[u8]) -> bool {
    let said = bytes.get(4..8).map(|size| u32::from_le_bytes([size[0], size[1], size[2], size[3]]));
    said.is_none_or(|said| u64::from(said) + 8 > bytes.len() as u64)
}

/// The bytes of a file, which notes when somebody wants more than there are.
struct Source<'a> {
    bytes: Cursor<&'a [u8]>,
    ran_out: &'a Cell<bool>,
}

impl Read for Source<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(into)?;
        if read == 0 && !into.is_empty() {
            self.ran_out.set(true);
        }
        Ok(read)
    }
}

impl BufRead for Source<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let rest = self.bytes.fill_buf()?;
        if rest.is_empty() {
            self.ran_out.set(true);
        }
        Ok(rest)
    }

    fn consume(&mut self, amount: usize) {
        self.bytes.consume(amount);
    }
}

impl Seek for Source<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

#[cfg(test)]
mod tests;
