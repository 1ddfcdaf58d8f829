//! Whether a JPEG is all there.
//!
//! Its decoder makes gray of what is missing and says nothing. A file that ends with its end marker is whole (as
//! Pillow has it, whatever was lost in its middle). Of one that does not, it is told by what comes next: two different
//! continuations change the picture where some of it was still to come, and do not where only the marker is missing.

use super::ImageError;
use std::hash::{DefaultHasher, Hasher};

const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const PROGRESSIVE: u8 = 0xc2;

/// What the markers of a JPEG say.
#[derive(Default)]
struct Markers {
    /// The end marker is there.
    end: bool,
    /// Progressive, or one component after the other.
    in_parts: bool,
    /// Every coefficient of every component has had its last scan begun.
    all_begun: bool,
}

/// Whether the end marker is there.
pub(super) fn has_end(bytes: &[u8]) -> bool {
    bytes.ends_with(&[0xff, EOI]) || Markers::of(bytes).end
}

/// Whether all of the picture's coefficients are kept while it is decoded.
pub(super) fn is_progressive(bytes: &[u8]) -> bool {
    segments(bytes).map(|(marker, _)| marker).find(|&marker| is_frame(marker)) == Some(PROGRESSIVE)
}

/// Decodes a JPEG without its end marker, if that is all that is missing.
pub(super) fn without_end<T>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, ImageError>,
    pixels: impl Fn(&T) -> &[u8],
) -> Result<T, ImageError> {
    let markers = Markers::of(bytes);
    // A file in parts that a download has filled up with zeros has not got its last part; Pillow does not read it. In
    // one that comes in a single part zeros are as good as any bits. A last 0xff is half of something.
    let filling = |byte: &&u8| **byte == 0xff || (markers.in_parts && **byte == 0);
    let there = &bytes[..bytes.len() - bytes.iter().rev().take_while(filling).count()];
    let decode = |contrary| decode(&[there, &continuation(contrary)].concat()).map_err(|_| ImageError::CutShort);
    let hash = |image: &T| {
        let mut hasher = DefaultHasher::new();
        hasher.write(pixels(image));
        hasher.finish()
    };
    // The first is dropped before the second is made, for both may not fit into memory.
    let first = hash(&decode(false)?);
    let second = decode(true)?;
    if markers.all_begun && first == hash(&second) { Ok(second) } else { Err(ImageError::CutShort) }
}

/// Bits that a picture could go on with, or their contrary; a restart marker now and then, and the end.
fn continuation(contrary: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    let mut state = 1u32;
    for restart in 0..8 {
        bytes.extend((0..64).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Neither these nor their contrary may be 0xff, which would begin a marker.
            let bits = ((state >> 24) as u8).clamp(1, 254);
            if contrary { !bits } else { bits }
        }));
        bytes.extend([0xff, 0xd0 + restart]);
    }
    bytes.extend([0xff, EOI]);
    bytes
}

/// The markers up to the end marker, each with its contents. What lies between them is passed over.
fn segments(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let marker = next_marker(bytes, at)?;
        if bytes[marker] == EOI {
            at = bytes.len();
            return Some((EOI, &bytes[..0]));
        }
        let length = bytes.get(marker + 1..marker + 3)?;
        at = marker + 1 + usize::from(u16::from_be_bytes([length[0], length[1]]));
        Some((bytes[marker], bytes.get(marker + 3..at)?))
    })
}

/// The place of the next marker that has contents or is the end, behind its 0xff.
fn next_marker(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)? + 1;
        match *bytes.get(at)? {
            // A byte of 0xff in the picture's bits, a marker that says nothing, restarts, the beginning.
            0x00 | 0x01 | 0xd0..=0xd8 => at += 1,
            0xff => {}
            _ => return Some(at),
        }
    }
}

fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
}

impl Markers {
    fn of(bytes: &[u8]) -> Self {
        let mut found = Self::default();
        // For each component, the coefficients whose last bit has begun to come.
        let mut begun: Vec<(u8, u64)> = Vec::new();
        for (marker, contents) in segments(bytes) {
            match marker {
                EOI => found.end = true,
                SOS => {
                    let Some((&count, rest)) = contents.split_first() else { continue };
                    let Some((scan, &[first, last, bits])) = rest.split_at_checked(usize::from(count) * 2) else {
                        continue;
                    };
                    found.in_parts |= usize::from(count) < begun.len();
                    // The lower half of `bits` is how many bits are still to come after these.
                    if bits & 15 == 0 && first <= last && last < 64 {
                        let coefficients = (u64::MAX >> (63 - last)) & (u64::MAX << first);
                        let in_scan = |id: u8| scan.chunks_exact(2).any(|component| component[0] == id);
                        begun.iter_mut().filter(|(id, _)| in_scan(*id)).for_each(|(_, done)| *done |= coefficients);
                    }
                }
                frame if is_frame(frame) && begun.is_empty() => {
                    found.in_parts = frame == PROGRESSIVE;
                    begun.extend(contents.get(6..).unwrap_or_default().chunks_exact(3).map(|part| (part[0], 0)));
                }
                _ => {}
            }
        }
        found.all_begun = !begun.is_empty() && begun.iter().all(|(_, done)| *done == u64::MAX);
        found
    }
}
