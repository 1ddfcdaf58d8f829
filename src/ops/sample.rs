//! What is done to the images of a batch, as plain words, and the CPU's side of it: from stored bytes to what the
//! network sees. `gather.wgsl` is the other side, and reads the words as they are.
//!
//! The plain path (crop, flip, normalise) is a table look-up for each byte, 256 entries a channel, row by row and
//! without an allocation. Resizing and colour take the longer path through floats. A resized crop is scaled by Pillow's
//! arithmetic to bytes of the network's size, byte for byte torchvision's, and then goes on like a stored image.

use super::{
    scaling::{Scaling, Taps},
    wgsl_type::{Kind, WgslType, wgsl_struct},
};
use crate::data::{Filter, Normalisation, Part, Resampler, luma};
use bytemuck::NoUninit;
use serde::{Deserialize, Serialize};
use std::{fmt, ops::Range};

/// What happens to all images of a split alike, but for their scaling.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Height and width of the batch's images: the stored ones' too, but for those that are scaled.
    pub(crate) output: [usize; 2],
    /// Whether a crop mirrors the image beyond its border, rather than finding black there.
    pub(crate) reflect: bool,
    pub(crate) normalisation: Normalisation,
    /// For each channel the normalised value of each byte.
    pub(crate) tables: Vec<[f32; 256]>,
}

impl Rules {
    pub(crate) fn new(output: [usize; 2], reflect: bool, normalisation: Normalisation, channels: usize) -> Self {
        Self { output, reflect, tables: normalisation.tables(channels), normalisation }
    }
}

/// How an image is mixed with its partner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, NoUninit, Serialize, Deserialize)]
#[repr(u32)]
pub enum Mix {
    #[default]
    None = 0,
    /// `lambda` of this image plus the rest of the partner, everywhere.
    Mixup = 1,
    /// The partner inside the box, this image outside.
    Cutmix = 2,
}

wgsl_struct! {
    /// What is done to one image. Sizes are pixels: `dx`, `dy` of the stored image, the boxes of the rendered one.
    ///
    /// In order: crop, flip, resize (where the network's size differs), colour, clamp to 0 … 255, normalise, cutout,
    /// random erasing, mix. A resized crop is resized before it is flipped.
    #[derive(Serialize, Deserialize)]
    pub struct SampleParams {
        /// Position in the split.
        pub index: u32,
        /// The crop's top left corner: pixel `(x, y)` of the crop is pixel `(x + dx, y + dy)` of the image.
        pub dx: i32,
        /// See `dx`.
        pub dy: i32,
        /// 1 mirrors the crop left to right.
        pub flip: u32,
        /// Half-open box `[x0, y0, x1, y1]` that becomes 0 after normalisation (the mean colour); empty for none.
        pub cut: [u32; 4],
        /// Brightness and contrast as one: pixel value `v` in 0 … 255 becomes `gain * v + offset` …
        pub gain: f32,
        /// See `gain`.
        pub offset: f32,
        /// … and then `gray + saturation * (v - gray)`, where gray is its brightness. 1 leaves colours alone.
        pub saturation: f32,
        /// How the image is joined with its partner.
        pub mix: Mix,
        /// Position of the partner in the same batch.
        pub partner: u32,
        /// Weight of this image, and of its label.
        pub lambda: f32,
        /// Half-open box `[x0, y0, x1, y1]` of cutmix.
        pub mix_box: [u32; 4],
        /// Class of this image and of its partner.
        pub label: u32,
        /// See `label`.
        pub partner_label: u32,
        /// Width and height of a crop that is resized to the network's size, within the image; 0 leaves the crop as
        /// large as the image.
        pub resized: [u32; 2],
        /// Half-open box `[x0, y0, x1, y1]` that is filled with noise after normalisation; empty for none.
        pub erased: [u32; 4],
        /// The noise's key.
        pub noise: u32,
    }
}

impl WgslType for Mix {
    const KIND: Kind = u32::KIND;
}

/// What the images of a batch should be classified as: their own classes, and those of what is mixed into them.
pub(crate) fn labels(samples: &[SampleParams]) -> [Vec<i32>; 2] {
    let of = |label: fn(&SampleParams) -> u32| samples.iter().map(|sample| label(sample) as i32).collect();
    [of(|sample| sample.label), of(|sample| sample.partner_label)]
}

/// How much of each image is itself, and not what is mixed into it.
pub(crate) fn lambdas(samples: &[SampleParams]) -> Vec<f32> {
    samples.iter().map(|sample| sample.lambda).collect()
}

impl SampleParams {
    /// An image as it is, as validation sees it.
    pub fn plain(index: u32, label: u32) -> Self {
        Self {
            index,
            dx: 0,
            dy: 0,
            flip: 0,
            cut: [0; 4],
            gain: 1.0,
            offset: 0.0,
            saturation: 1.0,
            mix: Mix::None,
            partner: 0,
            lambda: 1.0,
            mix_box: [0; 4],
            label,
            partner_label: label,
            resized: [0; 2],
            erased: [0; 4],
            noise: 0,
        }
    }

    /// Whether the crop is resized to the network's size.
    pub(crate) fn resizes(&self) -> bool {
        self.resized != [0; 2]
    }

    /// The part of the image that is resized to the network's size, if one is.
    pub(crate) fn resized_part(&self) -> Option<Part> {
        let along = |start: i32, size: u32| start as usize..start as usize + size as usize;
        let [width, height] = self.resized;
        self.resizes().then(|| Part { rows: along(self.dy, height), columns: along(self.dx, width) })
    }

    /// Whether pixel values are touched beyond moving them.
    pub(crate) fn recolours(&self) -> bool {
        self.gain != 1.0 || self.offset != 0.0 || self.saturation != 1.0
    }
}

/// In words.
impl fmt::Display for SampleParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        if self.resizes() {
            let [width, height] = self.resized;
            words.push(format!("{width}x{height} from {}, {}", self.dx, self.dy));
        } else if self.dx != 0 || self.dy != 0 {
            words.push(format!("moved by {}, {}", -self.dx, -self.dy));
        }
        if self.flip == 1 {
            words.push("mirrored".to_owned());
        }
        for ([x0, y0, x1, y1], done) in [(self.cut, "cut out"), (self.erased, "erased")] {
            if x1 > x0 && y1 > y0 {
                words.push(format!("{}x{} {done}", x1 - x0, y1 - y0));
            }
        }
        if self.recolours() {
            words.push("recoloured".to_owned());
        }
        match self.mix {
            Mix::None => {}
            Mix::Mixup => words.push(format!("blended, {:.0} % its own", self.lambda * 100.0)),
            Mix::Cutmix => words.push("a box of another image pasted in".to_owned()),
        }
        f.write_str(&if words.is_empty() { "nothing".to_owned() } else { words.join(", ") })
    }
}

/// Writes an image of `size`, `[H, W, C]`, normalised, into `out`, of the rules' size. Everything but the mix. It is of
/// another size than the stored ones only as a part that is resized.
pub(crate) fn render(
    bytes: &[u8],
    size: [usize; 2],
    params: &SampleParams,
    rules: &Rules,
    scaling: &Scaling,
    out: &mut [f32],
) {
    let stored = Image { bytes, size, taps: &scaling.taps, margin: scaling.margin };
    if let (Some(part), 1 | 3) = (params.resized_part(), scaling.channels) {
        let bytes = resize_part(&stored, &part, rules);
        let resized = Image { bytes: &bytes, size: rules.output, taps: &scaling.one_to_one, margin: [0; 2] };
        render_image(&resized, &SampleParams { dx: 0, dy: 0, ..*params }, rules, scaling, out);
    } else {
        render_image(&stored, params, rules, scaling, out);
    }
    let [_, width] = rules.output;
    rows(params.cut, width, scaling.channels).for_each(|row| out[row].fill(0.0));
    rows(params.erased, width, scaling.channels).flatten().for_each(|at| out[at] = noise(params.noise, at as u32));
}

/// Value `at` of an image's noise: the sum of eight random bytes, brought to mean 0 and deviation 1. That is a normal
/// distribution to within 0.4 % of its probabilities, out to 4.9 deviations, and the same to the bit on every device,
/// as one that takes a logarithm and a cosine would not be.
fn noise(key: u32, at: u32) -> f32 {
    let first = hash(key ^ hash(at));
    let bytes = [first, hash(first)].map(u32::to_le_bytes);
    let sum: u32 = bytes.as_flattened().iter().map(|&byte| u32::from(byte)).sum();
    // 8 * 255 / 2, and 1 / sqrt(8 * (256² - 1) / 12).
    (sum as f32 - 1020.0) * 0.004_784_2
}

/// PCG's hash, which Jarzynski and Olano recommend for GPUs: “Hash Functions for GPU Rendering”, 2020.
fn hash(x: u32) -> u32 {
    let state = x.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
    (word >> 22) ^ word
}

/// Where the rows of a box lie in an image `[H, width, channels]`.
fn rows([x0, y0, x1, y1]: [u32; 4], width: usize, channels: usize) -> impl Iterator<Item = Range<usize>> {
    let [x0, y0, x1, y1] = [x0, y0, x1, y1].map(|n| n as usize);
    (y0..y1).map(move |y| (y * width + x0) * channels..(y * width + x1) * channels)
}

/// An image before it is cropped and flipped.
struct Image<'a> {
    /// `[H, W, C]`.
    bytes: &'a [u8],
    /// Height and width.
    size: [usize; 2],
    /// What each output row, and each output column, within the margin is made of.
    taps: &'a [Vec<Taps>; 2],
    /// Rows above and columns to the left of what shows it.
    margin: [usize; 2],
}

fn render_image(image: &Image, params: &SampleParams, rules: &Rules, scaling: &Scaling, out: &mut [f32]) {
    let as_bytes = image.size == rules.output && !params.recolours();
    match (scaling.channels, as_bytes) {
        (1, true) => render_bytes::<1>(image, params, rules, out),
        (3, true) => render_bytes::<3>(image, params, rules, out),
        (1, false) => render_floats::<1>(image, params, rules, scaling, out),
        (3, false) => render_floats::<3>(image, params, rules, scaling, out),
        _ => out.fill(0.0),
    }
}

/// A part of a stored image, as bytes of the output's size.
fn resize_part(image: &Image, part: &Part, rules: &Rules) -> Vec<u8> {
    let channels = rules.tables.len();
    let mut bytes = Vec::with_capacity(rules.output[0] * rules.output[1] * channels);
    let all = Part::whole(rules.output);
    let mut resampler = Resampler::new(part.size(), rules.output, &all, channels, Filter::Bilinear);
    for row in image.bytes.chunks_exact(image.size[1] * channels).skip(part.rows.start).take(part.rows.len()) {
        let row = &row[part.columns.start * channels..part.columns.end * channels];
        resampler.push(row, &mut |row| bytes.extend_from_slice(row));
    }
    bytes
}

/// Crop, flip and normalise, without arithmetic.
fn render_bytes<const C: usize>(image: &Image, params: &SampleParams, rules: &Rules, out: &mut [f32]) {
    let [height, width] = image.size;
    let tables: [&[f32; 256]; C] = std::array::from_fn(|c| &rules.tables[c]);
    let black: [f32; C] = std::array::from_fn(|c| tables[c][0]);
    // Columns of the crop that lie within the image.
    let dx = i64::from(params.dx);
    let first = (-dx).clamp(0, width as i64) as usize;
    let last = (width as i64 - dx).clamp(first as i64, width as i64) as usize;
    for (y, row) in out.chunks_exact_mut(width * C).take(height).enumerate() {
        let Some(sy) = place(y as i64 + i64::from(params.dy), height, rules.reflect) else {
            row.chunks_exact_mut(C).for_each(|pixel| pixel.copy_from_slice(&black));
            continue;
        };
        let source = &image.bytes[sy * width * C..(sy + 1) * width * C];
        let write = |pixel: &mut [f32], bytes: &[u8]| {
            for c in 0..C {
                pixel[c] = tables[c][usize::from(bytes[c])];
            }
        };
        let beyond = |pixel: &mut [f32], x: usize| match place(x as i64 + dx, width, rules.reflect) {
            Some(sx) => write(pixel, &source[sx * C..(sx + 1) * C]),
            None => pixel.copy_from_slice(&black),
        };
        let start = (first as i64 + dx).clamp(0, width as i64) as usize * C;
        let inner = source[start..start + (last - first) * C].chunks_exact(C);
        if params.flip == 1 {
            // Column x of the crop is column width - 1 - x of the output.
            for x in (0..first).chain(last..width) {
                beyond(&mut row[(width - 1 - x) * C..(width - x) * C], x);
            }
            let pixels = row[(width - last) * C..(width - first) * C].chunks_exact_mut(C).rev();
            pixels.zip(inner).for_each(|(pixel, bytes)| write(pixel, bytes));
        } else {
            for x in (0..first).chain(last..width) {
                beyond(&mut row[x * C..(x + 1) * C], x);
            }
            let pixels = row[first * C..last * C].chunks_exact_mut(C);
            pixels.zip(inner).for_each(|(pixel, bytes)| write(pixel, bytes));
        }
    }
}

/// Crop, flip, resize (columns first, then rows), colour, clamp and normalise.
fn render_floats<const C: usize>(
    image: &Image,
    params: &SampleParams,
    rules: &Rules,
    scaling: &Scaling,
    out: &mut [f32],
) {
    let [height, width] = image.size;
    let [rows, columns] = image.taps;
    let resized = image.size != rules.output;
    let row_len = columns.len() * C;
    if height == 0 || width == 0 || row_len == 0 {
        return;
    }
    // One row of the crop, and all its rows at their new width.
    let mut line = vec![0.0f32; width * C];
    let mut narrowed = vec![0.0f32; height * row_len];
    for (y, to) in narrowed.chunks_exact_mut(row_len).enumerate() {
        let Some(sy) = place(y as i64 + i64::from(params.dy), height, rules.reflect) else { continue };
        let source = &image.bytes[sy * width * C..(sy + 1) * width * C];
        for (x, pixel) in line.chunks_exact_mut(C).enumerate() {
            let x = if params.flip == 1 { width - 1 - x } else { x };
            match place(x as i64 + i64::from(params.dx), width, rules.reflect) {
                Some(sx) => (0..C).for_each(|k| pixel[k] = f32::from(source[sx * C + k])),
                None => pixel.fill(0.0),
            }
        }
        for (pixel, taps) in to.chunks_exact_mut(C).zip(columns) {
            let mut value = [0.0f32; C];
            for (source, weight) in line[taps.start * C..].chunks_exact(C).zip(&taps.weights) {
                (0..C).for_each(|k| value[k] += weight * source[k]);
            }
            pixel.copy_from_slice(&value);
        }
    }
    let backdrop: [f32; C] = std::array::from_fn(|k| f32::from(scaling.backdrop[k]));
    let [top, left] = image.margin;
    for (y, out) in out.chunks_exact_mut(rules.output[1] * C).enumerate() {
        out.chunks_exact_mut(C).for_each(|pixel| pixel.copy_from_slice(&backdrop));
        if let Some(taps) = y.checked_sub(top).and_then(|y| rows.get(y)) {
            let row = &mut out[left * C..left * C + row_len];
            row.fill(0.0);
            for (source, weight) in narrowed[taps.start * row_len..].chunks_exact(row_len).zip(&taps.weights) {
                row.iter_mut().zip(source).for_each(|(value, source)| *value += weight * source);
            }
            if resized {
                // A resized image is made of bytes again, wherever it is resized. The values are 0 to 255.
                row.iter_mut().for_each(|value| *value = (*value + 0.5) as i32 as f32);
            }
        }
        for pixel in out.chunks_exact_mut(C) {
            if params.recolours() {
                pixel.iter_mut().for_each(|v| *v = params.gain * *v + params.offset);
                let gray = luma(pixel);
                pixel.iter_mut().for_each(|v| *v = (gray + params.saturation * (*v - gray)).clamp(0.0, 255.0));
            }
            pixel.iter_mut().enumerate().for_each(|(k, v)| *v = rules.normalisation.apply(*v, k));
        }
    }
}

/// Position `i` of an axis of `n` pixels mirrored back into it: … 2 1 | 0 1 2 … n-1 | n-2 ….
fn mirror(i: i64, n: usize) -> usize {
    if n < 2 {
        return 0;
    }
    let period = 2 * (n as i64 - 1);
    let i = i.rem_euclid(period);
    i.min(period - i) as usize
}

/// Where position `i` of an axis of `n` pixels is read, `None` for the black beyond the border.
fn place(i: i64, n: usize, reflect: bool) -> Option<usize> {
    if (0..n as i64).contains(&i) { Some(i as usize) } else { reflect.then(|| mirror(i, n)) }
}

/// Mixes a batch of images of this shape `[H, W, C]` in place. Partners are mutual (`i` and `n - 1 - i`), so that a
/// pair is mixed at once.
pub(crate) fn mix(params: &[SampleParams], [height, width, channels]: [usize; 3], batch: &mut [f32]) {
    let len = height * width * channels;
    let n = params.len();
    for (i, own) in params.iter().enumerate().take(n / 2) {
        let (front, back) = batch.split_at_mut((n - 1 - i) * len);
        let (a, b) = (&mut front[i * len..(i + 1) * len], &mut back[..len]);
        match own.mix {
            Mix::None => {}
            Mix::Mixup => {
                for (x, y) in a.iter_mut().zip(b) {
                    let (p, q) = (*x, *y);
                    *x = own.lambda * p + (1.0 - own.lambda) * q;
                    *y = own.lambda * q + (1.0 - own.lambda) * p;
                }
            }
            Mix::Cutmix => {
                rows(own.mix_box, width, channels).for_each(|row| a[row.clone()].swap_with_slice(&mut b[row]))
            }
        }
    }
}

#[cfg(test)]
mod tests;
