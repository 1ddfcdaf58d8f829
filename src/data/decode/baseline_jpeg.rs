//! What cameras write, decoded here: baseline JPEGs, Huffman-coded, gray or YCbCr in one scan.
//!
//! The pixels are those of libjpeg-turbo, and so of Pillow and torchvision, bit for bit: a network that was trained there
//! sees the same ones here. A row is handed on as soon as it is made, so that a photograph which is scaled down is never
//! in memory as a whole; and of one of which only a part is wanted, no more is made: the blocks before the part are
//! read, for their lengths are not known otherwise, and those behind it are not.
//!
//! A picture that is scaled down much is made at a half, a quarter or an eighth of its size ([`reduced`]), as libjpeg's scaled
//! decoding and Pillow's `draft` do. Chroma that is stored at half the size gets by with half the reduction then, so
//! that it needs no enlarging.
//!
//! Of anything else, and of whatever looks broken, this makes nothing: the general decoder then says what there is to say.

mod bits;
mod header;
mod huffman;
mod reduced;
mod rows;
mod transform;

use crate::data::resample::Part;
use bits::{Bits, unstuff};
use header::{Component, Header};
use huffman::Coding;
use reduced::Reduced;
use rows::{Rows, Samples};
use std::ops::Range;

/// How many pixels a block's side becomes: 4, 2 or 1 of 8. As few as leave an image of `size` no smaller than `wanted`;
/// 8 where only all of them do.
pub(super) fn pixels_per_block(size: [usize; 2], wanted: [usize; 2]) -> usize {
    let serves = |pixels: &usize| (0..2).all(|axis| (size[axis] * pixels).div_ceil(8) >= wanted[axis]);
    [1, 2, 4].into_iter().find(serves).unwrap_or(WHOLE)
}

/// Pixels of a block's side where none are left out.
pub(super) const WHOLE: usize = 8;

/// Where in a block of 8x8, row by row, each of its coefficients belongs.
#[rustfmt::skip]
const ZIGZAG: [u8; 64] = [
     0,  1,  8, 16,  9,  2,  3, 10, 17, 24, 32, 25, 18, 11,  4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,  6,  7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// A JPEG that can be decoded here, as far as its header says.
pub(super) struct Jpeg<'a> {
    bytes: &'a [u8],
    header: Header,
    /// Pixels that a block's side becomes.
    pixels: usize,
}

impl<'a> Jpeg<'a> {
    /// `None` where it is of another kind.
    pub(super) fn open(bytes: &'a [u8]) -> Option<Self> {
        Some(Self { bytes, header: Header::read(bytes)?, pixels: WHOLE })
    }

    /// The same, of which `pixels` pixels are made of a block's side: 1, 2, 4 or 8; `None` where this cannot be.
    pub(super) fn reduced_to(self, pixels: usize) -> Option<Self> {
        let fits = |component: &Component| component.ratio.iter().all(|ratio| ratio * pixels <= 8);
        (pixels == WHOLE || self.header.components.iter().all(fits)).then_some(Self { pixels, ..self })
    }

    pub(super) fn is_reduced(&self) -> bool {
        self.pixels < WHOLE
    }

    /// What a camera says of the picture.
    pub(super) fn exif(&self) -> Option<&'a [u8]> {
        self.header.exif.clone().map(|place| &self.bytes[place])
    }

    /// Height and width of what is made.
    pub(super) fn size(&self) -> [usize; 2] {
        self.header.size.map(|side| (side * self.pixels).div_ceil(8))
    }

    /// 1, gray, or 3: red, green and blue.
    pub(super) fn channels(&self) -> usize {
        self.header.components.len()
    }

    /// Bytes that decoding takes, beside what becomes of the rows.
    pub(super) fn memory(&self) -> u64 {
        let [height, width] = self.size();
        // Two rows of MCUs, which are 32 pixels high at most.
        (self.bytes.len() + width * height.min(64) * self.channels()) as u64
    }

    /// Hands the rows of a part to `take`, from top to bottom, each `[columns, channels]`. `None` where the file turns out
    /// to be broken; what was handed on before counts for nothing then.
    ///
    /// # Panics
    /// Where the part is empty, or not within the picture.
    pub(super) fn decode(&self, part: &Part, take: &mut dyn FnMut(&[u8])) -> Option<()> {
        let [height, width] = self.size();
        assert!(!part.rows.is_empty() && !part.columns.is_empty(), "{part:?} is empty");
        assert!(part.rows.end <= height && part.columns.end <= width, "{part:?} of {width}x{height}");
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2") {
            // SAFETY: the processor has all three.
            return unsafe { self.decode_avx2(part, take) };
        }
        self.decode_part::<false>(part, take)
    }

    /// # Safety
    /// The processor has AVX2, BMI1 and BMI2.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    unsafe fn decode_avx2(&self, part: &Part, take: &mut dyn FnMut(&[u8])) -> Option<()> {
        self.decode_part::<true>(part, take)
    }

    #[inline(always)]
    fn decode_part<const AVX2: bool>(&self, part: &Part, take: &mut dyn FnMut(&[u8])) -> Option<()> {
        let [across, down] = self.header.mcus();
        let unit = self.header.most.map(|blocks| blocks * self.pixels);
        // With the samples beside the part, of which chroma is enlarged.
        let mcus = |range: &Range<usize>, unit: usize, most: usize| {
            range.start.saturating_sub(2) / unit..(range.end + 2).div_ceil(unit).min(most)
        };
        let (columns, rows) = (mcus(&part.columns, unit[0], across), mcus(&part.rows, unit[1], down));
        let blocks = self.header.components.iter().map(|component| Blocks::new(component, &self.header, self.pixels));
        let blocks = blocks.collect::<Option<Vec<_>>>()?;
        let samples = self.header.components.iter().zip(&blocks);
        let mut samples: Vec<_> =
            samples.map(|(component, blocks)| blocks.samples(component, self, &columns)).collect();
        let lag = usize::from(samples.iter().any(Samples::looks_beyond));
        let inner = [part.columns.start, part.columns.end].map(|column| column - columns.start * unit[0]);
        let segments = Segments::of(self.bytes, &self.header)?;
        let (mut scan, mut made, mut next) = (Scan::new(&segments), Rows::default(), part.rows.start);
        for row in 0..rows.end {
            let wanted = if rows.contains(&row) { columns.clone() } else { 0..0 };
            scan.read_row::<AVX2>(&blocks, &mut samples, row, across, wanted)?;
            // The last row of these waits for the chroma below it.
            let there = if row + 1 == down { part.rows.end } else { (row + 1) * unit[1] - lag };
            while next < there.min(part.rows.end) {
                take(made.make::<AVX2>(&samples, next, inner[0]..inner[1]));
                next += 1;
            }
        }
        // What is missing at the end reads as zeros.
        (!scan.bits.has_run_out()).then_some(())
    }
}

/// How a component's blocks become samples.
struct Blocks<'a> {
    /// Of an MCU: across, and down.
    count: [usize; 2],
    coding: Coding<'a>,
    /// What a block becomes: across, and down.
    pixels: [usize; 2],
    /// Where that is less than all.
    reduced: Option<Reduced>,
}

impl<'a> Blocks<'a> {
    fn new(component: &'a Component, header: &'a Header, pixels: usize) -> Option<Self> {
        let reduced = (pixels < WHOLE).then(|| Reduced::new(component.ratio.map(|ratio| ratio * pixels)));
        let [dc, ac] = [header.dc[component.dc].as_ref()?, header.ac[component.ac].as_ref()?];
        let last_used = reduced.as_ref().map_or(63, Reduced::last_used);
        Some(Self {
            count: component.blocks,
            coding: Coding { dc, ac, steps: &component.steps, last_used },
            pixels: reduced.as_ref().map_or([WHOLE; 2], |reduced| reduced.pixels),
            reduced,
        })
    }

    /// Room for the samples of these columns of MCUs.
    fn samples(&self, component: &Component, jpeg: &Jpeg, columns: &Range<usize>) -> Samples {
        let [across, down] = [0, 1].map(|axis| self.count[axis] * self.pixels[axis]);
        let ratio = [0, 1].map(|axis| component.ratio[axis] * jpeg.pixels / self.pixels[axis]);
        let size = [0, 1].map(|axis| jpeg.size()[axis].div_ceil(ratio[1 - axis]));
        Samples::new(columns.len() * across, 2 * down, size, columns.start * across, ratio)
    }
}

/// A picture's bits from one restart to the next.
struct Segments {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    /// MCUs of each.
    mcus: usize,
}

impl Segments {
    fn of(bytes: &[u8], header: &Header) -> Option<Self> {
        let count = header.mcus().iter().product::<usize>();
        let mcus = if header.restart_interval > 0 { header.restart_interval } else { count };
        let mut segments = Self { bytes: Vec::with_capacity(bytes.len()), ends: Vec::new(), mcus };
        let mut at = header.start;
        for number in 0..count.div_ceil(mcus) {
            if number > 0 {
                let marker = [0xff, 0xd0 + ((number - 1) % 8) as u8];
                at = (bytes.get(at..at + 2)? == marker).then_some(at + 2)?;
            }
            at = unstuff(bytes, at, &mut segments.bytes);
            segments.ends.push(segments.bytes.len());
        }
        Some(segments)
    }

    fn bits(&self, segment: usize) -> Bits<'_> {
        let start = if segment == 0 { 0 } else { self.ends[segment - 1] };
        Bits::new(&self.bytes[start..self.ends[segment]])
    }
}

/// How far a picture is read.
struct Scan<'a> {
    segments: &'a Segments,
    segment: usize,
    bits: Bits<'a>,
    /// MCUs that are left of the segment.
    left: usize,
    /// The first coefficient of each component's last block.
    means: [i32; 3],
}

impl<'a> Scan<'a> {
    fn new(segments: &'a Segments) -> Self {
        Self { segments, segment: 0, bits: segments.bits(0), left: segments.mcus, means: [0; 3] }
    }

    /// Reads a row of MCUs, and makes samples of those in `wanted` columns.
    #[inline(always)]
    fn read_row<const AVX2: bool>(
        &mut self,
        blocks: &[Blocks],
        samples: &mut [Samples],
        row: usize,
        across: usize,
        wanted: Range<usize>,
    ) -> Option<()> {
        let mut bits = self.bits;
        for mcu in 0..across {
            if self.left == 0 {
                if bits.has_run_out() {
                    return None;
                }
                self.segment += 1;
                bits = self.segments.bits(self.segment);
                (self.left, self.means) = (self.segments.mcus, [0; 3]);
            }
            self.left -= 1;
            for ((blocks, samples), mean) in blocks.iter().zip(&mut *samples).zip(&mut self.means) {
                let ([across, down], [width, height]) = (blocks.count, blocks.pixels);
                for (y, x) in (0..down).flat_map(|y| (0..across).map(move |x| (y, x))) {
                    if !wanted.contains(&mcu) {
                        blocks.coding.pass(&mut bits, mean)?;
                        continue;
                    }
                    let mut coefficients = [0; 64];
                    let last = blocks.coding.read(&mut bits, mean, &mut coefficients)?;
                    let stride = samples.stride;
                    let out =
                        samples.starting_at((row * down + y) * height, ((mcu - wanted.start) * across + x) * width);
                    match &blocks.reduced {
                        Some(reduced) => reduced.write(&coefficients, out, stride),
                        None if last == 0 => transform::write_plain(coefficients[0], out, stride),
                        // SAFETY: the processor has AVX2.
                        #[cfg(target_arch = "x86_64")]
                        None if AVX2 => unsafe { transform::avx2::write(&coefficients, out, stride) },
                        None => transform::write(&coefficients, out, stride),
                    }
                }
            }
        }
        self.bits = bits;
        Some(())
    }
}

#[cfg(test)]
mod tests;
