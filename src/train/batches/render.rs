//! From stored bytes to what the network sees: the CPU's side of [`SampleParams`].
//!
//! The plain path (crop, flip, normalise) is a table look-up for each byte, 256 entries a channel, row by row and
//! without an allocation. Resizing and colour take the longer path through floats. A resized crop is scaled by Pillow's
//! arithmetic to bytes of the network's size, byte for byte torchvision's, and then goes on like a stored image.

use super::augment::{Mix, SampleParams};
use crate::{
    data::{Dataset, Filter, Normalisation, PixelRules, Place, Preprocessing, Resize, Split, luma, resample},
    ops::resident::Rules,
    train::recipe::{CropMode, NormaliseBy, Recipe},
};

/// The normalisation that a recipe asks for on a data set.
pub fn normalisation(recipe: &Recipe, dataset: &Dataset) -> Normalisation {
    match recipe.normalisation {
        NormaliseBy::Table => dataset.normalisation_or_measured(),
        NormaliseBy::Computed => dataset.train.measure(),
        NormaliseBy::Imagenet => Normalisation::imagenet(dataset.train.channels),
    }
}

/// How the images of a split become the network's input, apart from what is drawn for each image.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    /// Height and width of the stored images.
    source: [usize; 2],
    channels: usize,
    /// What a photo of any size needs to become what [`render`] makes of a stored image.
    preprocessing: Preprocessing,
    /// What each output row, and each output column, within the margin is made of.
    taps: [Vec<Taps>; 2],
    /// Rows above and columns to the left of what shows the image.
    margin: [usize; 2],
    /// What shows in the margin, by channel.
    backdrop: Vec<u8>,
    /// The taps for an image that has the output's size.
    one_to_one: [Vec<Taps>; 2],
    crop_mode: CropMode,
    /// For each channel, the normalised value of each byte.
    tables: Vec<[f32; 256]>,
}

impl Transform {
    /// For the images of `split`. Resizes only where the recipe asks for another size than the split has.
    pub fn new(split: &Split, recipe: &Recipe, normalisation: &Normalisation, pixel_rules: PixelRules) -> Self {
        let source = [split.height, split.width];
        let output = if recipe.image_size == 0 { source } else { [recipe.image_size; 2] };
        let [height, width] = output;
        let resize = Resize { short_side: height.min(width), fit: recipe.fit, filter: Filter::default() };
        let preprocessing = Preprocessing {
            resize: Some(resize),
            pixel_rules,
            ..Preprocessing::new(height, width, normalisation.clone())
        };
        let fitting = preprocessing.fitting();
        let Place { scaled, offset, margin } = fitting.place(source);
        let taps = [0, 1].map(|axis| {
            let kept = offset[axis]..offset[axis] + output[axis].min(scaled[axis]);
            kept.map(|i| Taps::new(i, scaled[axis], source[axis])).collect()
        });
        Self {
            source,
            channels: split.channels,
            tables: normalisation.tables(split.channels),
            preprocessing,
            taps,
            margin,
            backdrop: fitting.backdrop(split.channels),
            one_to_one: output.map(|n| (0..n).map(|i| Taps::new(i, n, n)).collect()),
            crop_mode: recipe.crop_mode,
        }
    }

    /// Height and width of rendered images.
    pub fn output(&self) -> [usize; 2] {
        [self.preprocessing.height, self.preprocessing.width]
    }

    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Whether images get another size than they are stored in.
    pub fn resizes(&self) -> bool {
        self.output() != self.source
    }

    /// The part of it that a GPU needs to make batches of the stored images: of those that keep their size, and of
    /// resized crops.
    pub fn rules(&self) -> Rules {
        Rules {
            output: self.output(),
            reflect: self.crop_mode == CropMode::Reflect,
            tables: self.tables.clone(),
            mean: self.preprocessing.normalisation.mean.clone(),
            std: self.preprocessing.normalisation.std.clone(),
        }
    }

    /// What a photo of any size needs to become what [`render`] makes of a stored image: for the checkpoint.
    pub fn preprocessing(&self) -> Preprocessing {
        self.preprocessing.clone()
    }

    /// Values in one rendered image.
    pub fn output_len(&self) -> usize {
        self.preprocessing.height * self.preprocessing.width * self.channels
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
fn place(i: i64, n: usize, mode: CropMode) -> Option<usize> {
    match mode {
        _ if (0..n as i64).contains(&i) => Some(i as usize),
        CropMode::Zero => None,
        CropMode::Reflect => Some(mirror(i, n)),
    }
}

/// Writes one image, normalised, into `out` `[H, W, C]` of [`Transform::output_len`] values. Everything but the mix.
pub fn render(split: &Split, params: &SampleParams, transform: &Transform, out: &mut [f32]) {
    let stored = Image {
        bytes: split.image(params.index as usize),
        size: transform.source,
        taps: &transform.taps,
        margin: transform.margin,
    };
    if params.resizes() && matches!(transform.channels, 1 | 3) {
        let bytes = resize_crop(&stored, params, transform);
        let resized = Image { bytes: &bytes, size: transform.output(), taps: &transform.one_to_one, margin: [0; 2] };
        render_image(&resized, &SampleParams { dx: 0, dy: 0, ..*params }, transform, out);
    } else {
        render_image(&stored, params, transform, out);
    }
    cut_out(params, transform, out);
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

fn render_image(image: &Image, params: &SampleParams, transform: &Transform, out: &mut [f32]) {
    let as_bytes = image.size == transform.output() && !params.recolours();
    match (transform.channels, as_bytes) {
        (1, true) => render_bytes::<1>(image, params, transform, out),
        (3, true) => render_bytes::<3>(image, params, transform, out),
        (1, false) => render_floats::<1>(image, params, transform, out),
        (3, false) => render_floats::<3>(image, params, transform, out),
        _ => out.fill(0.0),
    }
}

/// The crop that `params` takes out of a stored image, as bytes of the output's size.
fn resize_crop(image: &Image, params: &SampleParams, transform: &Transform) -> Vec<u8> {
    let (channels, [left, top]) = (transform.channels, [params.dx, params.dy].map(|n| n as usize));
    let [width, height] = params.resized.map(|n| n as usize);
    let mut crop = Vec::with_capacity(height * width * channels);
    for row in image.bytes.chunks_exact(image.size[1] * channels).skip(top).take(height) {
        crop.extend_from_slice(&row[left * channels..(left + width) * channels]);
    }
    resample(&crop, [height, width], transform.output(), channels, Filter::Bilinear)
}

/// Crop, flip and normalise, without arithmetic.
fn render_bytes<const C: usize>(image: &Image, params: &SampleParams, transform: &Transform, out: &mut [f32]) {
    let [height, width] = image.size;
    let tables: [&[f32; 256]; C] = std::array::from_fn(|c| &transform.tables[c]);
    let black: [f32; C] = std::array::from_fn(|c| tables[c][0]);
    let mode = transform.crop_mode;
    // Columns of the crop that lie within the image.
    let dx = i64::from(params.dx);
    let first = (-dx).clamp(0, width as i64) as usize;
    let last = (width as i64 - dx).clamp(first as i64, width as i64) as usize;
    for (y, row) in out.chunks_exact_mut(width * C).take(height).enumerate() {
        let Some(sy) = place(y as i64 + i64::from(params.dy), height, mode) else {
            row.chunks_exact_mut(C).for_each(|pixel| pixel.copy_from_slice(&black));
            continue;
        };
        let source = &image.bytes[sy * width * C..(sy + 1) * width * C];
        let write = |pixel: &mut [f32], bytes: &[u8]| {
            for c in 0..C {
                pixel[c] = tables[c][usize::from(bytes[c])];
            }
        };
        let beyond = |pixel: &mut [f32], x: usize| match place(x as i64 + dx, width, mode) {
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

/// The input positions of one axis that make up an output position, with their weights.
#[derive(Clone, Debug, PartialEq)]
struct Taps {
    start: usize,
    weights: Vec<f32>,
}

impl Taps {
    /// Output position `i` of `to`, from an axis of `from` pixels: a triangle about `(i + 0.5) * from / to - 0.5` that
    /// widens when an image shrinks, its weights made to sum to 1 at the border.
    ///
    /// This is the bilinear filter of Pillow, torchvision (with antialiasing) and the `image` crate, so that an image
    /// that is resized here comes out as [`Preprocessing::prepare`] would make it.
    fn new(i: usize, to: usize, from: usize) -> Self {
        let ratio = from as f32 / to as f32;
        let support = ratio.max(1.0);
        let centre = (i as f32 + 0.5) * ratio;
        let last = from.max(1) - 1;
        let mut start = ((centre - support).floor().max(0.0) as usize).min(last);
        let end = ((centre + support).ceil() as usize).clamp(start + 1, last + 1);
        let weight = |j: usize| (1.0 - ((j as f32 + 0.5 - centre) / support).abs()).max(0.0);
        while start + 1 < end && weight(start) == 0.0 {
            start += 1;
        }
        let mut weights: Vec<f32> = (start..end).map(weight).collect();
        while weights.len() > 1 && weights.last() == Some(&0.0) {
            weights.pop();
        }
        let sum: f32 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        Self { start, weights }
    }
}

/// Crop, flip, resize (columns first, then rows), colour, clamp and normalise.
fn render_floats<const C: usize>(image: &Image, params: &SampleParams, transform: &Transform, out: &mut [f32]) {
    let [height, width] = image.size;
    let [rows, columns] = image.taps;
    let resized = image.size != transform.output();
    let row_len = columns.len() * C;
    if height == 0 || width == 0 || row_len == 0 {
        return;
    }
    // One row of the crop, and all its rows at their new width.
    let mut line = vec![0.0f32; width * C];
    let mut narrowed = vec![0.0f32; height * row_len];
    for (y, to) in narrowed.chunks_exact_mut(row_len).enumerate() {
        let Some(sy) = place(y as i64 + i64::from(params.dy), height, transform.crop_mode) else { continue };
        let source = &image.bytes[sy * width * C..(sy + 1) * width * C];
        for (x, pixel) in line.chunks_exact_mut(C).enumerate() {
            let x = if params.flip == 1 { width - 1 - x } else { x };
            match place(x as i64 + i64::from(params.dx), width, transform.crop_mode) {
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
    let backdrop: [f32; C] = std::array::from_fn(|k| f32::from(transform.backdrop[k]));
    let [top, left] = image.margin;
    for (y, out) in out.chunks_exact_mut(transform.output()[1] * C).enumerate() {
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
        let normalisation = &transform.preprocessing.normalisation;
        for pixel in out.chunks_exact_mut(C) {
            if params.recolours() {
                pixel.iter_mut().for_each(|v| *v = params.gain * *v + params.offset);
                let gray = luma(pixel);
                pixel.iter_mut().for_each(|v| *v = (gray + params.saturation * (*v - gray)).clamp(0.0, 255.0));
            }
            pixel.iter_mut().enumerate().for_each(|(k, v)| *v = normalisation.apply(*v, k));
        }
    }
}

/// Blanks the cutout's box.
fn cut_out(params: &SampleParams, transform: &Transform, out: &mut [f32]) {
    let ([x0, y0, x1, y1], [_, width], channels) = (params.cut, transform.output(), transform.channels);
    for y in y0 as usize..y1 as usize {
        out[(y * width + x0 as usize) * channels..(y * width + x1 as usize) * channels].fill(0.0);
    }
}

/// Mixes a rendered batch `[N, H, W, C]` in place. Partners are mutual (`i` and `n - 1 - i`), so that a pair is mixed at
/// once.
pub fn mix(params: &[SampleParams], transform: &Transform, batch: &mut [f32]) {
    let len = transform.output_len();
    let n = params.len();
    for (i, own) in params.iter().enumerate().take(n / 2) {
        let (front, back) = batch.split_at_mut((n - 1 - i) * len);
        let (a, b) = (&mut front[i * len..(i + 1) * len], &mut back[..len]);
        match own.mix {
            Mix::None => {}
            Mix::Mixup => {
                for (x, y) in a.iter_mut().zip(b) {
                    let (p, q) = (*x, *y);
                    *x = own.share * p + (1.0 - own.share) * q;
                    *y = own.share * q + (1.0 - own.share) * p;
                }
            }
            Mix::Cutmix => {
                let ([x0, y0, x1, y1], [_, width], channels) = (own.mix_box, transform.output(), transform.channels);
                for y in y0 as usize..y1 as usize {
                    let row = (y * width + x0 as usize) * channels..(y * width + x1 as usize) * channels;
                    a[row.clone()].swap_with_slice(&mut b[row]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Fit;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    fn split(height: usize, width: usize, channels: usize, pixels: Vec<u8>) -> Split {
        let labels = vec![0; pixels.len() / (height * width * channels)];
        Split { height, width, channels, pixels: pixels.into(), labels, sources: None, contents: None }
    }

    /// Leaves pixel values as they are: 0 … 255.
    fn plain(channels: usize) -> Normalisation {
        Normalisation { mean: vec![0.0; channels], std: vec![1.0 / 255.0; channels] }
    }

    fn rendered(split: &Split, params: SampleParams, recipe: &Recipe) -> Vec<f32> {
        rendered_by(&transform(split, recipe, &plain(split.channels)), split, params)
    }

    fn transform(split: &Split, recipe: &Recipe, normalisation: &Normalisation) -> Transform {
        Transform::new(split, recipe, normalisation, PixelRules::default())
    }

    fn rendered_by(transform: &Transform, split: &Split, params: SampleParams) -> Vec<f32> {
        let mut out = vec![f32::NAN; transform.output_len()];
        render(split, &params, transform, &mut out);
        out.iter().map(|v| (v * 1000.0).round() / 1000.0).collect()
    }

    /// 1 2 3 / 4 5 6
    fn digits() -> Split {
        split(2, 3, 1, (1..=6).collect())
    }

    fn moved(dx: i32, dy: i32, flip: u32) -> SampleParams {
        SampleParams { dx, dy, flip, ..SampleParams::plain(0, 0) }
    }

    #[test]
    fn a_crop_moves_the_image_and_a_flip_mirrors_the_crop() {
        let recipe = Recipe::default();
        assert_eq!(rendered(&digits(), moved(0, 0, 0), &recipe), [1., 2., 3., 4., 5., 6.]);
        assert_eq!(rendered(&digits(), moved(1, 0, 0), &recipe), [2., 3., 0., 5., 6., 0.]);
        assert_eq!(rendered(&digits(), moved(-2, 1, 0), &recipe), [0., 0., 4., 0., 0., 0.]);
        assert_eq!(rendered(&digits(), moved(0, 0, 1), &recipe), [3., 2., 1., 6., 5., 4.]);
        assert_eq!(rendered(&digits(), moved(1, 0, 1), &recipe), [0., 3., 2., 0., 6., 5.]);
        assert_eq!(rendered(&digits(), moved(9, 0, 0), &recipe), [0.; 6]);
    }

    #[test]
    fn a_reflected_border_does_not_repeat_the_edge() {
        let recipe = Recipe { crop_mode: CropMode::Reflect, ..Recipe::default() };
        assert_eq!(rendered(&digits(), moved(-2, 0, 0), &recipe), [3., 2., 1., 6., 5., 4.]);
        assert_eq!(rendered(&digits(), moved(1, 0, 1), &recipe), [2., 3., 2., 5., 6., 5.]);
        assert_eq!(rendered(&digits(), moved(0, 1, 0), &recipe), [4., 5., 6., 1., 2., 3.]);
        assert_eq!([-7, -3, -1, 0, 4, 5, 11].map(|i| mirror(i, 4)), [1, 3, 1, 0, 2, 1, 1]);
    }

    #[test]
    fn normalisation_is_per_channel() {
        let data = split(1, 1, 3, vec![0, 51, 255]);
        let table = Normalisation { mean: vec![0.5, 0.2, 0.0], std: vec![0.5, 0.1, 2.0] };
        let transform = transform(&data, &Recipe::default(), &table);
        let mut out = [0.0; 3];
        render(&data, &SampleParams::plain(0, 0), &transform, &mut out);
        assert_eq!(out, [-1.0, (51.0 / 255.0 - 0.2) / 0.1, 0.5]);
    }

    #[test]
    fn a_cutout_is_the_mean_colour() {
        let data = split(1, 4, 1, vec![9, 9, 9, 9]);
        let params = SampleParams { cut: [1, 0, 3, 1], ..SampleParams::plain(0, 0) };
        assert_eq!(rendered(&data, params, &Recipe::default()), [9., 0., 0., 9.]);
    }

    #[test]
    fn resizing_is_pytorchs_bilinear() {
        // interpolate([[10, 20], [30, 40]], size=4, mode="bilinear", align_corners=False), rounded: halves go up.
        let data = split(2, 2, 1, vec![10, 20, 30, 40]);
        let recipe = Recipe { image_size: 4, ..Recipe::default() };
        let expected =
            [[10.0, 13.0, 18.0, 20.0], [15.0, 18.0, 23.0, 25.0], [25.0, 28.0, 33.0, 35.0], [30.0, 33.0, 38.0, 40.0]];
        assert_eq!(rendered(&data, SampleParams::plain(0, 0), &recipe), expected.as_flattened());
        let mirrored = rendered(&data, moved(0, 0, 1), &recipe);
        assert_eq!(mirrored[..4], [20., 18., 13., 10.]);
    }

    /// `functional.resized_crop` of torchvision 0.29 on a Pillow image, and `hflip` of that: their CRC-32.
    #[test]
    fn a_resized_crop_is_torchvisions_byte_for_byte() {
        for ([height, width], channels, size, [top, left], [h, w], expected) in [
            ([75, 100], 3, 32, [10, 7], [50, 61], [0xea52_ac8c, 0x3207_7a3a]),
            ([75, 100], 3, 64, [0, 0], [75, 100], [0x91af_e0b0, 0xee7b_bcb7]),
            ([75, 100], 1, 24, [30, 41], [9, 13], [0xc99c_ce82, 0x54fd_a35e]),
            ([9, 8], 3, 9, [2, 1], [5, 4], [0xbf07_1746, 0x5da9_a2b9]),
        ] {
            let pixels = (0..height * width * channels).map(|i| (i * 37 % 251) as u8).collect();
            let (data, recipe) =
                (split(height, width, channels, pixels), Recipe { image_size: size, ..Recipe::default() });
            let found = [0, 1].map(|flip| {
                let params = SampleParams { resized: [w, h], ..moved(left, top, flip) };
                let mut crc = flate2::Crc::new();
                crc.update(&rendered(&data, params, &recipe).iter().map(|&v| v as u8).collect::<Vec<_>>());
                crc.sum()
            });
            assert_eq!(found, expected, "{height}x{width}x{channels} to {size}");
        }
    }

    #[test]
    fn a_resized_crop_is_recoloured_and_cut_out_like_a_stored_image_of_its_pixels() {
        let pixels = (0..9 * 8 * 3).map(|i| (i * 37 % 251) as u8).collect();
        let (data, recipe) = (split(9, 8, 3, pixels), Recipe { image_size: 6, ..Recipe::default() });
        let crop = SampleParams { resized: [5, 7], ..moved(2, 1, 0) };
        let plain = rendered(&data, crop, &recipe).iter().map(|&v| v as u8).collect();
        let words =
            SampleParams { flip: 1, cut: [1, 2, 4, 3], gain: 1.5, saturation: 0.3, ..SampleParams::plain(0, 0) };
        let (dx, dy, resized) = (crop.dx, crop.dy, crop.resized);
        let found = rendered(&data, SampleParams { dx, dy, resized, ..words }, &recipe);
        assert_eq!(found, rendered(&split(6, 6, 3, plain), words, &recipe));
    }

    #[test]
    fn a_wide_image_is_cut_or_squeezed_or_shown_on_white() {
        let data = split(2, 6, 1, vec![0, 0, 7, 8, 0, 0, 0, 0, 7, 8, 0, 0]);
        let two = |fit| Recipe { image_size: 2, fit, ..Recipe::default() };
        assert_eq!(rendered(&data, SampleParams::plain(0, 0), &Recipe::default()).len(), 12);
        let data_4 = split(4, 8, 1, [[0, 0, 4, 4, 8, 8, 0, 0]; 4].concat());
        assert_eq!(rendered(&data, SampleParams::plain(0, 0), &two(Fit::CropCentre)), [7., 8., 7., 8.]);
        let wide = split(2, 4, 1, vec![8; 8]);
        assert_eq!(rendered(&wide, moved(0, 0, 0), &two(Fit::Pad)), [8., 8., 255., 255.]);
        assert_eq!(rendered(&split(4, 1, 1, vec![8; 4]), moved(0, 0, 0), &two(Fit::Pad)), [8., 255., 8., 255.]);
        assert_eq!(rendered(&data_4, SampleParams::plain(0, 0), &two(Fit::Squash))[0], 3.0);
    }

    #[test]
    fn colours_are_moved_as_the_words_say() {
        let data = split(1, 2, 3, vec![100, 50, 0, 250, 250, 250]);
        let params = SampleParams { gain: 2.0, offset: -10.0, saturation: 0.0, ..SampleParams::plain(0, 0) };
        let gray = 0.299 * 190.0 + 0.587 * 90.0 + 0.114 * -10.0;
        let found = rendered(&data, params, &Recipe::default());
        assert!(found[..3].iter().all(|v| (v - gray).abs() < 1e-2), "{found:?}");
        assert_eq!(found[3..], [255.0; 3]);
    }

    #[test]
    fn pairs_are_mixed_both_ways() {
        let data = split(1, 2, 1, vec![0; 6]);
        let transform = transform(&data, &Recipe::default(), &plain(1));
        let params = |mix, share, mix_box| [SampleParams { mix, share, mix_box, ..SampleParams::plain(0, 0) }; 3];
        let start = [1.0, 2.0, 5.0, 6.0, 9.0, 10.0];
        let mut batch = start;
        mix(&params(Mix::Mixup, 0.75, [0; 4]), &transform, &mut batch);
        assert_eq!(batch, [3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let mut batch = start;
        mix(&params(Mix::Cutmix, 0.5, [1, 0, 2, 1]), &transform, &mut batch);
        assert_eq!(batch, [1.0, 10.0, 5.0, 6.0, 9.0, 2.0]);
    }

    proptest! {
        /// What training and validation see is what prediction makes of the same image, by either rules.
        #[test]
        fn resizing_is_that_of_single_images(
            h in 1usize..12, w in 1usize..12, size in 1usize..20, fit in 0..Fit::ALL.len(), legacy in any::<bool>(),
            channels in proptest::sample::select(vec![1usize, 3]),
            bytes in proptest::collection::vec(any::<u8>(), 432),
        ) {
            let pixels = bytes[..h * w * channels].to_vec();
            let recipe = Recipe { image_size: size, fit: Fit::ALL[fit], ..Recipe::default() };
            let data = split(h, w, channels, pixels.clone());
            let rules = if legacy { PixelRules::Legacy } else { PixelRules::Torchvision };
            let transform = Transform::new(&data, &recipe, &plain(channels), rules);
            let (width, height) = (w as u32, h as u32);
            let image: image::DynamicImage = match channels {
                1 => image::GrayImage::from_raw(width, height, pixels).unwrap().into(),
                _ => image::RgbImage::from_raw(width, height, pixels).unwrap().into(),
            };
            let expected = transform.preprocessing().prepare(&image);
            let found = rendered_by(&transform, &data, SampleParams::plain(0, 0));
            for (a, b) in found.iter().zip(&expected) {
                prop_assert!((a - f32::from(*b)).abs() <= 1.0, "{:?} instead of {:?}", found, expected);
            }
        }

        /// The path by bytes and the path by floats are two ways to the same image.
        #[test]
        fn both_paths_agree(
            h in 1usize..9, w in 1usize..9, colour in any::<bool>(), dx in -12i32..12, dy in -12i32..12, flip in 0u32..2,
            reflect in any::<bool>(), bytes in proptest::collection::vec(any::<u8>(), 192),
        ) {
            let channels = if colour { 3 } else { 1 };
            let data = split(h, w, channels, bytes[..h * w * channels].to_vec());
            let crop_mode = if reflect { CropMode::Reflect } else { CropMode::Zero };
            let transform = transform(&data, &Recipe { crop_mode, ..Recipe::default() }, &plain(channels));
            let mut fast = vec![f32::NAN; transform.output_len()];
            let mut slow = fast.clone();
            let params = moved(dx, dy, flip);
            render(&data, &params, &transform, &mut fast);
            let image = Image { bytes: data.image(0), size: [h, w], taps: &transform.taps, margin: [0; 2] };
            if colour {
                render_floats::<3>(&image, &params, &transform, &mut slow);
            } else {
                render_floats::<1>(&image, &params, &transform, &mut slow);
            }
            prop_assert_eq!(fast, slow);
        }
    }
}
