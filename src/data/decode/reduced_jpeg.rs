//! A photograph at a half, a quarter or an eighth of its size, straight from its JPEG.
//!
//! Of each block of 8x8 pixels only the low frequencies are turned back into pixels: one to make it 1x1, four for 2x2,
//! sixteen for 4x4. The others have to be read, for they lie between, but not computed, and pixels that the picture would
//! lose anyway when it is scaled down are never made. libjpeg's scaled decoding, and Pillow's `draft`, do the same.
//! Chroma that is stored at half the size gets by with half the reduction, so that it needs no enlarging.
//!
//! This reads what cameras write: baseline, Huffman-coded, gray or YCbCr in one scan. Of anything else, and of whatever
//! looks broken, it makes nothing: the general decoder then says what there is to say.

mod bits;
mod huffman;

use bits::Bits;
use huffman::Table;
use image::{DynamicImage, GrayImage, RgbImage};

/// How many pixels a block's side becomes: 4, 2 or 1 of 8. As few as leave an image of `size` no smaller than `wanted`;
/// `None` where only all of them do.
pub(super) fn pixels_per_block(size: [usize; 2], wanted: [usize; 2]) -> Option<usize> {
    let serves = |pixels: &usize| (0..2).all(|axis| (size[axis] * pixels).div_ceil(8) >= wanted[axis]);
    [1, 2, 4].into_iter().find(serves)
}

/// The picture with `pixels` pixels for each side of a block; `None` where this cannot be made of the file.
pub(super) fn decode(bytes: &[u8], pixels: usize) -> Option<DynamicImage> {
    let header = Header::read(bytes, pixels)?;
    let planes = header.planes(bytes)?;
    let [height, width] = header.size.map(|side| (side * pixels).div_ceil(8));
    let rows = |plane: usize| planes[plane].chunks_exact(header.row_len()).take(height).map(|row| &row[..width]);
    match header.components.len() {
        1 => GrayImage::from_raw(width as u32, height as u32, rows(0).collect::<Vec<_>>().concat()).map(Into::into),
        _ => {
            let mut rgb = Vec::with_capacity(width * height * 3);
            for ((y, cb), cr) in rows(0).zip(rows(1)).zip(rows(2)) {
                rgb.extend(y.iter().zip(cb).zip(cr).flat_map(|((&y, &cb), &cr)| to_rgb([y, cb, cr])));
            }
            RgbImage::from_raw(width as u32, height as u32, rgb).map(Into::into)
        }
    }
}

/// JFIF's YCbCr, in 16 bits of fraction.
fn to_rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let (y, cb, cr) = ((i32::from(y) << 16) + (1 << 15), i32::from(cb) - 128, i32::from(cr) - 128);
    [y + 91_881 * cr, y - 22_554 * cb - 46_802 * cr, y + 116_130 * cb].map(|value| (value >> 16).clamp(0, 255) as u8)
}

/// Where in a block of 8x8, row by row, each of its coefficients belongs.
#[rustfmt::skip]
const ZIGZAG: [u8; 64] = [
     0,  1,  8, 16,  9,  2,  3, 10, 17, 24, 32, 25, 18, 11,  4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,  6,  7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// What the markers before the picture's bits say.
struct Header {
    /// Height and width.
    size: [usize; 2],
    components: Vec<Component>,
    /// Blocks of an MCU that each side of the picture has, of the component with the most: across, and down.
    most: [usize; 2],
    /// Pixels of a block's side.
    pixels: usize,
    restart_interval: usize,
    dc: [Option<Table>; 4],
    ac: [Option<Table>; 4],
    /// Where the picture's bits begin.
    start: usize,
}

struct Component {
    id: u8,
    /// Blocks of an MCU: across, and down.
    blocks: [usize; 2],
    /// Which quantisation and Huffman tables.
    quantisation: usize,
    dc: usize,
    ac: usize,
    transform: Option<Transform>,
}

impl Header {
    fn read(bytes: &[u8], pixels: usize) -> Option<Self> {
        let mut header = Self {
            size: [0; 2],
            components: Vec::new(),
            most: [1; 2],
            pixels,
            restart_interval: 0,
            dc: Default::default(),
            ac: Default::default(),
            start: 0,
        };
        let mut quantisation: [Option<[u16; 64]>; 4] = Default::default();
        let mut at = 2;
        loop {
            while bytes.get(at..at + 2)? == [0xff, 0xff] {
                at += 1;
            }
            let &[0xff, marker, high, low] = bytes.get(at..at + 4)? else { return None };
            let next = at + 2 + usize::from(u16::from_be_bytes([high, low]));
            let contents = bytes.get(at + 4..next)?;
            match marker {
                0xdb => read_quantisation(contents, &mut quantisation)?,
                0xc4 => read_huffman(contents, &mut header.dc, &mut header.ac)?,
                0xc0 | 0xc1 => header.read_frame(contents)?,
                0xdd => header.restart_interval = usize::from(u16::from_be_bytes(contents.try_into().ok()?)),
                // Adobe's marker, of colours that are not YCbCr.
                0xee if contents.starts_with(b"Adobe") && contents.get(11) == Some(&0) => return None,
                0xda => {
                    header.start = next;
                    header.read_scan(contents, &quantisation)?;
                    return Some(header);
                }
                0xe0..=0xef | 0xfe => {}
                _ => return None,
            }
            at = next;
        }
    }

    fn read_frame(&mut self, contents: &[u8]) -> Option<()> {
        let &[8, h1, h0, w1, w0, count, ref components @ ..] = contents else { return None };
        self.size = [[h1, h0], [w1, w0]].map(|side| usize::from(u16::from_be_bytes(side)));
        let components = components.as_chunks::<3>().0;
        if self.size.contains(&0) || components.len() != usize::from(count) || !matches!(count, 1 | 3) {
            return None;
        }
        self.components = components
            .iter()
            .map(|&[id, blocks, quantisation]| Component {
                id,
                // A single component has no MCUs of several blocks.
                blocks: if count == 1 { [1; 2] } else { [blocks >> 4, blocks & 15].map(usize::from) },
                quantisation: usize::from(quantisation),
                dc: 0,
                ac: 0,
                transform: None,
            })
            .collect();
        let ids: Vec<u8> = self.components.iter().map(|component| component.id).collect();
        self.most =
            [0, 1].map(|axis| self.components.iter().map(|component| component.blocks[axis]).max().unwrap_or(1));
        let sound =
            self.components.iter().all(|component| component.blocks.iter().all(|blocks| (1..=4).contains(blocks)));
        (sound && ids != *b"RGB").then_some(())
    }

    fn read_scan(&mut self, contents: &[u8], quantisation: &[Option<[u16; 64]>; 4]) -> Option<()> {
        let (&count, rest) = contents.split_first()?;
        let (tables, rest) = rest.split_at_checked(usize::from(count) * 2)?;
        if self.components.is_empty() || usize::from(count) != self.components.len() || rest != [0, 63, 0] {
            return None;
        }
        for (component, &[id, tables]) in self.components.iter_mut().zip(tables.as_chunks::<2>().0) {
            (component.dc, component.ac) = (usize::from(tables >> 4), usize::from(tables & 15));
            let known = self.dc.get(component.dc)?.is_some() && self.ac.get(component.ac)?.is_some();
            // All components come out alike large.
            let ratio = [0, 1].map(|axis| self.most[axis] / component.blocks[axis]);
            let whole = [0, 1].iter().all(|&axis| ratio[axis] * component.blocks[axis] == self.most[axis]);
            let pixels = ratio.map(|ratio| ratio * self.pixels);
            if component.id != id || !known || !whole || pixels.iter().any(|&pixels| pixels > 8) {
                return None;
            }
            let steps = quantisation.get(component.quantisation)?.as_ref()?;
            component.transform = Some(Transform::new(pixels, steps));
        }
        Some(())
    }

    /// MCUs across, and down.
    fn mcus(&self) -> [usize; 2] {
        [self.size[1].div_ceil(8 * self.most[0]), self.size[0].div_ceil(8 * self.most[1])]
    }

    /// Values of a row of a plane.
    fn row_len(&self) -> usize {
        self.mcus()[0] * self.most[0] * self.pixels
    }

    /// Each component's values, all of the same size.
    fn planes(&self, bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
        let ([across, down], row) = (self.mcus(), self.row_len());
        let mut planes = vec![vec![0; row * down * self.most[1] * self.pixels]; self.components.len()];
        let parts = self.components.iter().map(|component| {
            let [dc, ac] = [self.dc[component.dc].as_ref()?, self.ac[component.ac].as_ref()?];
            Some((component, dc, ac, component.transform.as_ref()?))
        });
        let parts = parts.collect::<Option<Vec<_>>>()?;
        let mut bits = Bits::new(bytes, self.start);
        let mut last = [0; 3];
        for mcu in 0..across * down {
            if self.restart_interval > 0 && mcu > 0 && mcu % self.restart_interval == 0 {
                bits.restart()?;
                last = [0; 3];
            }
            for ((plane, last), &(component, dc, ac, transform)) in planes.iter_mut().zip(&mut last).zip(&parts) {
                let [pixels_x, pixels_y] = transform.pixels;
                for block in 0..component.blocks[0] * component.blocks[1] {
                    let mut coefficients = [0; 64];
                    transform.read(&mut bits, dc, ac, last, &mut coefficients)?;
                    let x = (mcu % across * component.blocks[0] + block % component.blocks[0]) * pixels_x;
                    let y = (mcu / across * component.blocks[1] + block / component.blocks[0]) * pixels_y;
                    transform.write(&coefficients, &mut plane[y * row + x..], row);
                }
            }
        }
        // What is missing at the end reads as zeros.
        (!bits.has_run_out()).then_some(planes)
    }
}

fn read_quantisation(mut contents: &[u8], tables: &mut [Option<[u16; 64]>; 4]) -> Option<()> {
    while let Some((&first, rest)) = contents.split_first() {
        let (deep, table) = (first >> 4 == 1, tables.get_mut(usize::from(first & 15))?);
        let (values, rest) = rest.split_at_checked(if deep { 128 } else { 64 })?;
        let value = |i: usize| match deep {
            true => u16::from_be_bytes([values[2 * i], values[2 * i + 1]]),
            false => u16::from(values[i]),
        };
        *table = Some(std::array::from_fn(value));
        contents = rest;
    }
    Some(())
}

fn read_huffman(mut contents: &[u8], dc: &mut [Option<Table>; 4], ac: &mut [Option<Table>; 4]) -> Option<()> {
    while let Some((&first, rest)) = contents.split_first() {
        let (lengths, rest) = rest.split_first_chunk::<16>()?;
        let count = lengths.iter().map(|&count| usize::from(count)).sum();
        let (symbols, rest) = rest.split_at_checked(count)?;
        let tables = if first >> 4 == 0 { &mut *dc } else { &mut *ac };
        *tables.get_mut(usize::from(first & 15))? = Some(Table::new(lengths, symbols)?);
        contents = rest;
    }
    Some(())
}

/// From the coefficients of a component's blocks to as few pixels as are wanted.
struct Transform {
    /// Of a block: across, and down.
    pixels: [usize; 2],
    /// For each coefficient as they come, where it belongs among those that are used, and what it is multiplied with; the
    /// others have [`UNUSED`].
    places: [u8; 64],
    steps: [i32; 64],
    /// The last coefficient that is used.
    last_used: usize,
    /// What each coefficient, row by row of a block, contributes to each pixel, across and down.
    basis: [[[f32; 8]; 8]; 2],
}

const UNUSED: u8 = 64;

impl Transform {
    fn new(pixels: [usize; 2], steps: &[u16; 64]) -> Self {
        let used = |place: u8| usize::from(place % 8) < pixels[0] && usize::from(place / 8) < pixels[1];
        // The orthonormal inverse cosine transform of so many points, scaled as the mean of fewer pixels wants it.
        let basis = pixels.map(|n| {
            let value = |k: usize, x: usize| {
                let angle = (2 * x + 1) as f64 * k as f64 * std::f64::consts::PI / (2 * n) as f64;
                let norm = if k == 0 { 1.0 } else { 2.0 } / n as f64;
                ((norm.sqrt() * angle.cos()) * (n as f64 / 8.0).sqrt()) as f32
            };
            std::array::from_fn(|k| std::array::from_fn(|x| if k < n && x < n { value(k, x) } else { 0.0 }))
        });
        Self {
            pixels,
            places: ZIGZAG.map(|place| if used(place) { place } else { UNUSED }),
            steps: steps.map(i32::from),
            last_used: ZIGZAG.iter().rposition(|&place| used(place)).unwrap_or(0),
            basis,
        }
    }

    /// Reads a block's coefficients; of those that are not used, only how long they are.
    fn read(&self, bits: &mut Bits, dc: &Table, ac: &Table, last: &mut i32, into: &mut [i32; 64]) -> Option<()> {
        let (size, _) = dc.symbol(bits)?;
        *last = last.wrapping_add(bits.signed(u32::from(size & 15)));
        into[0] = last.wrapping_mul(self.steps[0]);
        let mut k = 1;
        while k <= self.last_used {
            let (symbol, skip) = ac.peek(bits)?;
            let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 {
                bits.skip(skip);
                // Sixteen zeros, or nothing but zeros to the end.
                if run < 15 {
                    return Some(());
                }
                k += 16;
                continue;
            }
            k += run;
            let place = *self.places.get(k)?;
            if place == UNUSED {
                bits.skip(skip + size);
            } else {
                bits.skip(skip);
                into[usize::from(place)] = bits.signed(size).wrapping_mul(self.steps[k]);
            }
            k += 1;
        }
        ac.pass_over(bits, k)
    }

    /// Writes a block's pixels into rows of `row` values.
    fn write(&self, coefficients: &[i32; 64], out: &mut [u8], row: usize) {
        let [across, down] = self.pixels;
        let to_byte = |value: f32| (value + 128.5).clamp(0.0, 255.0) as u8;
        if across * down == 1 {
            out[0] = to_byte(coefficients[0] as f32 * (1.0 / 8.0));
            return;
        }
        // Down first: for each pixel row the coefficients across.
        for (y, out) in out.chunks_mut(row).take(down).enumerate() {
            let mut line = [0.0; 8];
            for (v, coefficients) in coefficients.as_chunks::<8>().0.iter().enumerate().take(down) {
                let weight = self.basis[1][v][y];
                line.iter_mut().zip(coefficients).for_each(|(value, &c)| *value += weight * c as f32);
            }
            let mut pixels = [0.0; 8];
            for (u, &value) in line.iter().enumerate().take(across) {
                pixels.iter_mut().zip(&self.basis[0][u]).for_each(|(pixel, weight)| *pixel += weight * value);
            }
            out.iter_mut().zip(pixels).take(across).for_each(|(out, pixel)| *out = to_byte(pixel));
        }
    }
}
