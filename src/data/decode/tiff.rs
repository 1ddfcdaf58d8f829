//! TIFFs of the kinds that the `image` crate turns away: palettes, gray with alpha, gray of 2 and 4 bits. For what
//! remains, a name of the kind.

use super::ImageError;
use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage, metadata::Orientation};
use std::{
    borrow::Cow,
    io::{Cursor, ErrorKind},
};
use tiff::{
    ColorType, TiffError, TiffUnsupportedError,
    decoder::{Decoder, DecodingResult},
    tags::Tag,
};

/// `PhotometricInterpretation`: how samples are to be read.
const PALETTE: u16 = 3;
const BLACK_IS_ZERO: u16 = 1;
/// `ExtraSamples`: what a sample beyond gray or RGB is.
const ASSOCIATED_ALPHA: u16 = 1;
const UNASSOCIATED_ALPHA: u16 = 2;
/// `SampleFormat`.
const UNSIGNED: u16 = 1;
const SIGNED: u16 = 2;
/// The type of a tag's value that has 16 bits.
const SHORT: usize = 3;

/// A TIFF with what its header says of its pixels.
pub(super) struct Tiff<'a> {
    decoder: Decoder<Cursor<Cow<'a, [u8]>>>,
    pub size: [u32; 2],
    pub orientation: Orientation,
    colours: ColorType,
    sample_format: u16,
    extra: Option<u16>,
    palette: Option<Vec<u16>>,
}

impl<'a> Tiff<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let mut decoder = Decoder::new(Cursor::new(Cow::Borrowed(bytes)))?;
        let (width, height) = decoder.dimensions()?;
        let mut first = |tag| decoder.find_tag_unsigned_vec::<u16>(tag).map(|values| Some(*values?.first()?));
        let sample_format = first(Tag::SampleFormat)?.unwrap_or(UNSIGNED);
        let extra = first(Tag::ExtraSamples)?;
        let orientation = first(Tag::Orientation)?.and_then(|n| Orientation::from_exif(u8::try_from(n).ok()?));
        let mut palette = None;
        if first(Tag::PhotometricInterpretation)? == Some(PALETTE) {
            palette = Some(decoder.get_tag_u16_vec(Tag::ColorMap)?);
            // The decoder knows no palettes. Told that it is gray, it returns the indices into one.
            decoder = Decoder::new(Cursor::new(Cow::Owned(called_gray(bytes)?)))?;
        }
        let (colours, orientation) = (decoder.colortype()?, orientation.unwrap_or(Orientation::NoTransforms));
        Ok(Self { decoder, size: [width, height], orientation, colours, sample_format, extra, palette })
    }

    /// Bytes that decoding takes at most: the samples, and the pixels.
    pub(super) fn memory(&self) -> u64 {
        self.size.map(u64::from).iter().product::<u64>() * 4
    }

    /// Whether colours are multiplied with their alpha.
    pub(super) fn is_premultiplied(&self) -> bool {
        self.extra == Some(ASSOCIATED_ALPHA)
    }

    /// The pixels, not yet upright.
    pub(super) fn decode(mut self) -> Result<DynamicImage, ImageError> {
        let (depth, samples) = match (self.colours, self.sample_format) {
            (ColorType::Gray(depth @ (1 | 2 | 4 | 8)), UNSIGNED) => (usize::from(depth), 1),
            (ColorType::Multiband { bit_depth: 8, num_samples: 2 }, UNSIGNED) => (8, 2),
            _ => return Err(self.unsupported()),
        };
        let DecodingResult::U8(packed) = self.decoder.read_image()? else { return Err(self.unsupported()) };
        let [width, height] = self.size;
        let values = unpack(packed, width as usize * samples, depth);
        // Where samples have planes of their own, only the first has been read.
        let is_whole = values.len() as u64 == u64::from(width) * u64::from(height) * samples as u64;
        let brightest = (1 << depth) - 1;
        let image = match &self.palette {
            _ if !is_whole => None,
            Some(palette) if palette.len() == 3 << depth => {
                let part = |index: usize| (palette[index] >> 8) as u8;
                let colours: Vec<[u8; 3]> =
                    (0..=brightest).map(|index| [0, 1, 2].map(|channel| part((channel << depth) + index))).collect();
                let bytes = values.iter().flat_map(|&value| colours[usize::from(value)]).collect();
                RgbImage::from_raw(width, height, bytes).map(Into::into)
            }
            Some(_) => None,
            None if samples == 1 => {
                let bytes = values.iter().map(|&value| (usize::from(value) * 255 / brightest) as u8).collect();
                GrayImage::from_raw(width, height, bytes).map(Into::into)
            }
            None if matches!(self.extra, Some(ASSOCIATED_ALPHA | UNASSOCIATED_ALPHA)) => {
                GrayAlphaImage::from_raw(width, height, values).map(Into::into)
            }
            None => GrayImage::from_raw(width, height, values.into_iter().step_by(2).collect()).map(Into::into),
        };
        image.ok_or_else(|| self.unsupported())
    }

    fn unsupported(&self) -> ImageError {
        let (kind, bits) = match self.colours {
            ColorType::Gray(bits) => ("gray", bits),
            ColorType::GrayA(bits) => ("gray with alpha", bits),
            ColorType::RGB(bits) => ("RGB", bits),
            ColorType::RGBA(bits) => ("RGB with alpha", bits),
            ColorType::CMYK(bits) | ColorType::CMYKA(bits) => ("CMYK", bits),
            ColorType::YCbCr(bits) => ("YCbCr", bits),
            ColorType::Lab(bits) => ("Lab", bits),
            ColorType::Multiband { bit_depth, num_samples: 2 } => ("gray with alpha", bit_depth),
            ColorType::Multiband { bit_depth, .. } => ("many-channel", bit_depth),
            _ => ("other", 0),
        };
        let kind = if self.palette.is_some() { "palette" } else { kind };
        let numbers = match self.sample_format {
            UNSIGNED => "",
            SIGNED => "signed ",
            _ => "floating-point ",
        };
        ImageError::Unsupported(format!("a TIFF of {bits}-bit {numbers}{kind}"))
    }
}

impl From<TiffError> for ImageError {
    fn from(error: TiffError) -> Self {
        match error {
            TiffError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => ImageError::CutShort,
            TiffError::LimitsExceeded => ImageError::TooLarge(None),
            TiffError::UnsupportedError(TiffUnsupportedError::InterpretationWithBits(kind, bits)) => {
                ImageError::Unsupported(format!("a TIFF of {kind:?} with {bits:?} bits"))
            }
            TiffError::UnsupportedError(what) => ImageError::Unsupported(format!("this kind of TIFF ({what})")),
            other => ImageError::broken(&other),
        }
    }
}

/// One value a byte, of rows of `width` values of `depth` bits each; every row begins with a byte.
fn unpack(packed: Vec<u8>, width: usize, depth: usize) -> Vec<u8> {
    if depth == 8 {
        return packed;
    }
    let mask = ((1u16 << depth) - 1) as u8;
    let value = |row: &[u8], i: usize| row[i * depth / 8] >> (8 - depth - i * depth % 8) & mask;
    let rows = packed.chunks_exact((width * depth).div_ceil(8).max(1));
    rows.flat_map(|row| (0..width).map(move |i| value(row, i))).collect()
}

/// A (classic) TIFF with a palette, as one of gray.
fn called_gray(bytes: &[u8]) -> Result<Vec<u8>, ImageError> {
    let place = place_of_short(bytes, Tag::PhotometricInterpretation.to_u16());
    let place = place.ok_or_else(|| ImageError::Unsupported("this kind of TIFF with a palette".to_owned()))?;
    let mut bytes = bytes.to_vec();
    let gray = if is_little_endian(&bytes) { BLACK_IS_ZERO.to_le_bytes() } else { BLACK_IS_ZERO.to_be_bytes() };
    bytes[place..place + 2].copy_from_slice(&gray);
    Ok(bytes)
}

fn is_little_endian(bytes: &[u8]) -> bool {
    bytes.starts_with(b"II")
}

/// Where the first directory has the value of a tag of 16 bits.
fn place_of_short(bytes: &[u8], tag: u16) -> Option<usize> {
    let number = |at: usize, len: usize| -> Option<usize> {
        let digits = bytes.get(at..at.checked_add(len)?)?.iter().map(|&byte| usize::from(byte));
        let add = |sum: usize, byte: usize| sum << 8 | byte;
        Some(if is_little_endian(bytes) { digits.rev().fold(0, add) } else { digits.fold(0, add) })
    };
    let directory = (number(2, 2)? == 42).then(|| number(4, 4)).flatten()?;
    let mut entries = (0..number(directory, 2)?).map(|i| directory + 2 + 12 * i);
    let entry = entries.find(|&at| number(at, 2) == Some(tag.into()) && number(at + 2, 2) == Some(SHORT))?;
    number(entry + 8, 2).map(|_| entry + 8)
}
