//! Every pixel is Pillow's, which has libjpeg-turbo 3.1: its files and theirs are written by `tests/pillow_jpegs.py`.

use super::*;
use proptest::prelude::*;

/// Name, height and width, and the CRC-32 of what Pillow 13 makes of it. Of the files of which there is only one sort, 440
/// and 411 are how many samples of chroma there are for four of luma, in the first row of two and in both.
#[rustfmt::skip]
const PILLOW: &[(&str, [usize; 2], u32)] = &[
    ("gray", [17, 33], 0xee9e183f),
    ("444", [33, 17], 0x48602ff7),
    ("422", [17, 33], 0xf57720b3),
    ("420", [33, 17], 0xcb422361),
    ("440", [32, 32], 0x079f60df),
    ("411", [32, 32], 0x437a4e6e),
    ("even", [64, 48], 0x29e0b794),
    ("coarse", [50, 70], 0x03fdfe6e),
    ("restarts", [40, 59], 0xa190105a),
    ("restarts-422", [23, 70], 0x24c951d0),
    ("one", [1, 1], 0xe896b502),
    ("narrow", [40, 4], 0x8800dc31),
    ("flat", [3, 50], 0xea5199a7),
    ("tiny", [6, 6], 0xd83cd62a),
];

fn file(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/images/baseline/{name}.jpg", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn open(bytes: &[u8], pixels: usize) -> Option<Jpeg<'_>> {
    Jpeg::open(bytes)?.reduced_to(pixels)
}

fn decoded(jpeg: &Jpeg, part: &Part) -> Option<Vec<u8>> {
    let mut pixels = Vec::new();
    jpeg.decode(part, &mut |row| pixels.extend_from_slice(row)).map(|()| pixels)
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[test]
fn every_pixel_is_pillows() {
    for &(name, size, expected) in PILLOW {
        let bytes = file(name);
        let jpeg = open(&bytes, WHOLE).unwrap_or_else(|| panic!("{name} is of the usual kind"));
        assert_eq!(jpeg.size(), size, "{name}");
        let found = crc(&decoded(&jpeg, &Part::whole(size)).unwrap());
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn every_processor_makes_the_same_pixels() {
    for &(name, ..) in PILLOW {
        for pixels in [1, 2, 4, WHOLE] {
            let bytes = file(name);
            let Some(jpeg) = open(&bytes, pixels) else { continue };
            let (mut portable, whole) = (Vec::new(), Part::whole(jpeg.size()));
            jpeg.decode_part::<false>(&whole, &mut |row| portable.extend_from_slice(row)).unwrap();
            assert!(decoded(&jpeg, &whole).unwrap() == portable, "{name} at {pixels}");
        }
    }
}

#[test]
fn what_turns_out_to_be_broken_is_left_to_the_general_decoder() {
    let bytes = file("restarts");
    let whole = Part::whole([40, 59]);
    let restart = bytes.windows(2).rposition(|pair| pair[0] == 0xff && (0xd0..=0xd7).contains(&pair[1])).unwrap();
    // The picture ends too early, a restart is another one, or there is none.
    let early = [&bytes[..restart], &[0xff, 0xd9]].concat();
    let other = [&bytes[..restart + 1], &[bytes[restart + 1] ^ 1], &bytes[restart + 2..]].concat();
    let none = [&bytes[..restart], &bytes[restart + 2..]].concat();
    for broken in [early, other, none] {
        assert_eq!(decoded(&open(&broken, WHOLE).unwrap(), &whole), None);
    }
    let cut = &file("gray")[..500];
    assert!(open(cut, WHOLE).is_none_or(|jpeg| decoded(&jpeg, &Part::whole([17, 33])).is_none()));
}

proptest! {
    #[test]
    fn a_part_is_that_part_of_the_whole(
        file_at in any::<prop::sample::Index>(),
        pixels in proptest::sample::select(vec![1, 2, 4, WHOLE]),
        [top, bottom, left, right] in any::<[prop::sample::Index; 4]>(),
    ) {
        let (name, ..) = PILLOW[file_at.index(PILLOW.len())];
        let bytes = file(name);
        let Some(jpeg) = open(&bytes, pixels) else { return Ok(()) };
        let [height, width] = jpeg.size();
        let range = |start: prop::sample::Index, end: prop::sample::Index, side: usize| {
            let start = start.index(side);
            start..start + 1 + end.index(side - start)
        };
        let part = Part { rows: range(top, bottom, height), columns: range(left, right, width) };
        let whole = decoded(&jpeg, &Part::whole([height, width])).unwrap();
        let channels = jpeg.channels();
        let rows = whole.chunks_exact(width * channels).skip(part.rows.start).take(part.rows.len());
        let expected: Vec<u8> =
            rows.flat_map(|row| &row[part.columns.start * channels..part.columns.end * channels]).copied().collect();
        prop_assert!(decoded(&jpeg, &part).unwrap() == expected, "{name} at {pixels}: {part:?}");
    }

    #[test]
    fn a_damaged_file_is_decoded_or_left_and_never_a_crash(
        file_at in any::<prop::sample::Index>(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        keep in any::<prop::sample::Index>(),
        cut in any::<bool>(),
        pixels in proptest::sample::select(vec![1, 2, 4, WHOLE]),
    ) {
        let mut bytes = file(PILLOW[file_at.index(PILLOW.len())].0);
        for (index, value) in edits {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        if cut {
            bytes.truncate(keep.index(bytes.len()));
        }
        // As the caller does, without those that claim to be large.
        if let Some(jpeg) = open(&bytes, pixels).filter(|jpeg| jpeg.size().iter().all(|&side| side < 5000)) {
            let _ = decoded(&jpeg, &Part::whole(jpeg.size()));
        }
    }
}
