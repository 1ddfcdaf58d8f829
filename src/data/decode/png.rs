//! PNGs row by row, and those that lack their end: as Pillow has it, one is whole when all its pixels are there.

use crate::data::resample::Part;
use ::png::{BitDepth, ColorType, Decoder, Limits, Reader, Transformations};
use std::io::Cursor;

const SIGNATURE: usize = 8;
const END: [u8; 12] = [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82];

/// The chunks that are there, the last as far as it goes, and an end behind them. A decoder can tell from that whether
/// all pixels are.
pub(super) fn ended(bytes: &[u8]) -> Vec<u8> {
    let mut at = SIGNATURE;
    while let Some(head) = bytes.get(at..at + 8) {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let next = at.saturating_add(length).saturating_add(12);
        if head[4..] == *b"IEND" {
            break;
        }
        if next > bytes.len() {
            // Of its checksum, too, there may be a part.
            let there = &bytes[at + 4..bytes.len().min(next - 4)];
            let mut checksum = flate2::Crc::new();
            checksum.update(there);
            let length = (there.len() - 4) as u32;
            let parts: [&[u8]; 5] = [&bytes[..at], &length.to_be_bytes(), there, &checksum.sum().to_be_bytes(), &END];
            return parts.concat();
        }
        at = next;
    }
    [&bytes[..at.min(bytes.len())], &END[..]].concat()
}

/// A PNG, gray or RGB, whose rows come from top to bottom, so that it need not be in memory as a whole.
pub(super) struct Rows<'a> {
    reader: Reader<Cursor<&'a [u8]>>,
    channels: usize,
}

impl<'a> Rows<'a> {
    /// `None` for those of other kinds, or turned by what a camera says, or broken. No block of it may take more than so
    /// many bytes.
    pub(super) fn open(bytes: &'a [u8], most: u64) -> Option<Self> {
        let limits = Limits { bytes: usize::try_from(most).unwrap_or(usize::MAX) };
        let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
        decoder.set_transformations(Transformations::EXPAND);
        let reader = decoder.read_info().ok()?;
        let info = reader.info();
        let in_order = !info.interlaced && info.animation_control.is_none() && info.exif_metadata.is_none();
        let channels = match reader.output_color_type() {
            (ColorType::Grayscale, BitDepth::Eight) => 1,
            (ColorType::Rgb, BitDepth::Eight) => 3,
            _ => return None,
        };
        in_order.then_some(Self { reader, channels })
    }

    /// Height and width.
    pub(super) fn size(&self) -> [usize; 2] {
        let info = self.reader.info();
        [info.height as usize, info.width as usize]
    }

    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// Hands the rows of a part to `take`; `None` where any row is broken.
    pub(super) fn decode(&mut self, part: &Part, take: &mut dyn FnMut(&[u8])) -> Option<()> {
        let ([height, _], channels) = (self.size(), self.channels);
        for y in 0..height {
            let row = self.reader.next_row().ok()??;
            if part.rows.contains(&y) {
                take(&row.data()[part.columns.start * channels..part.columns.end * channels]);
            }
        }
        self.reader.next_row().ok()?.is_none().then_some(())
    }
}
