//! Images that are the same picture: a burst, a file that is there twice, a copy that was resized, compressed or cropped
//! a little.
//!
//! An image that was learned from is no test of what was learned, and neither is its twin. Two images are alike if two
//! things say so. A *hash*, the signs of the 64 coarsest coefficients of the gray picture's cosine transform, finds
//! candidates fast, but means little for a small thing on a plain background. So their *thumbnails* in colour must
//! correlate, too. Of 189 photographs cut out on white, the bounds here join no two; they know every one again after
//! JPEG at quality 60 and after ±5 % of brightness, and 88 in 100 after 2 % were cut off two sides.

use super::{Filter, luma, resample};
use std::{array, collections::HashMap, f32::consts::PI};

/// Side of a thumbnail.
const SIDE: usize = 16;
const THUMBNAIL: usize = SIDE * SIDE * 3;
/// Side of the picture that is transformed.
const TRANSFORMED: usize = 32;
/// Most bits in which the hashes of two images that are alike differ.
const MOST_BITS: u32 = 11;
/// Least correlation of their thumbnails.
const LEAST_CORRELATION: f32 = 0.94;
/// Most difference of a channel's mean.
const MOST_DIFFERENCE: f32 = 24.0;
/// Standard deviation below which a thumbnail shows nothing, so that a correlation would be one of noise.
const PLAIN: f32 = 2.0;

/// What is compared of an image.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint {
    hash: u64,
    thumbnail: [u8; THUMBNAIL],
}

impl Fingerprint {
    /// Bytes of one that is kept.
    pub(crate) const LENGTH: usize = size_of::<u64>() + THUMBNAIL;

    /// Of an image of `[height, width, channels]`, gray or RGB, as the network sees it or larger.
    ///
    /// # Panics
    /// If there are more or fewer pixels than that.
    pub(crate) fn of(pixels: &[u8], [height, width, channels]: [usize; 3]) -> Self {
        let resized = |side| resample(pixels, [height, width], [side, side], channels, Filter::Bilinear);
        let colour = |pixel: &[u8]| array::from_fn::<u8, 3, _>(|channel| pixel[channel % pixel.len()]);
        let gray = |pixel: &[u8]| luma(&colour(pixel).map(f32::from));
        let small: Vec<u8> = resized(SIDE).chunks_exact(channels).flat_map(colour).collect();
        let grays: Vec<f32> = resized(TRANSFORMED).chunks_exact(channels).map(gray).collect();
        Self { hash: hash(&grays), thumbnail: array::from_fn(|i| small[i]) }
    }

    pub(crate) fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let hash = self.hash.to_le_bytes();
        array::from_fn(|i| hash.get(i).copied().unwrap_or_else(|| self.thumbnail[i - hash.len()]))
    }

    pub(crate) fn from_bytes(bytes: &[u8; Self::LENGTH]) -> Self {
        let hash = u64::from_le_bytes(array::from_fn(|i| bytes[i]));
        Self { hash, thumbnail: array::from_fn(|i| bytes[size_of::<u64>() + i]) }
    }
}

/// The signs of a picture's coarsest waves, but for its mean: those of the cosine transform with the lowest sum of both
/// frequencies. A plain picture has none.
fn hash(gray: &[f32]) -> u64 {
    /// Waves that only rounding put there.
    const NOISE: f32 = 16.0;
    let wave =
        |frequency: usize, at: usize| (PI * (2 * at + 1) as f32 * frequency as f32 / (2 * TRANSFORMED) as f32).cos();
    // Eleven diagonals hold 66 waves; without the mean and the last one, 64.
    let frequencies = (0..11).flat_map(|sum| (0..=sum).map(move |down| [down, sum - down])).skip(1).take(64);
    let cosines: [[f32; TRANSFORMED]; 11] = array::from_fn(|frequency| array::from_fn(|at| wave(frequency, at)));
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let along_rows = cosines.map(|wave| array::from_fn(|row| dot(&gray[row * TRANSFORMED..][..TRANSFORMED], &wave)));
    let coefficient = |[down, right]: [usize; 2]| dot(&cosines[down], &along_rows[right] as &[f32; TRANSFORMED]);
    frequencies.enumerate().map(|(bit, wave)| u64::from(coefficient(wave) > NOISE) << bit).sum()
}

/// For each image the number of its group, counted from 0 in the order in which they first appear. All images that are
/// alike are in one, and so are those between which others lie step by step, as in a burst.
pub(crate) fn groups(fingerprints: &[Fingerprint]) -> Vec<u32> {
    let mut different = Vec::new();
    let mut places = HashMap::new();
    let place = |fingerprint| {
        *places.entry(fingerprint).or_insert_with(|| {
            different.push(fingerprint);
            different.len() - 1
        })
    };
    let place_of: Vec<usize> = fingerprints.iter().map(place).collect();
    let mut sets = join_alike(&different);
    let mut numbers = HashMap::new();
    let number = |place: usize| {
        let next = numbers.len() as u32;
        *numbers.entry(sets.root(place)).or_insert(next)
    };
    place_of.into_iter().map(number).collect()
}

/// Sets of those that are alike. Two hashes that differ in at most 11 bits differ in at most 2 of the 16 bits of one of
/// their quarters: only those few neighbours are looked at.
fn join_alike(fingerprints: &[&Fingerprint]) -> Sets {
    const { assert!(MOST_BITS < 4 * 3) };
    let normalised: Vec<Normalised> = fingerprints.iter().map(|print| Normalised::of(&print.thumbnail)).collect();
    let mut sets = Sets((0..fingerprints.len()).collect());
    let near: Vec<u16> = (0..=u16::MAX).filter(|mask| mask.count_ones() <= 2).collect();
    for quarter in 0..4 {
        let part = |print: &Fingerprint| (print.hash >> (16 * quarter)) as u16;
        let mut of_part: Vec<Vec<usize>> = vec![Vec::new(); 1 << 16];
        for (index, print) in fingerprints.iter().enumerate() {
            for earlier in near.iter().flat_map(|mask| &of_part[usize::from(part(print) ^ mask)]) {
                let differing = (print.hash ^ fingerprints[*earlier].hash).count_ones();
                if differing <= MOST_BITS
                    && sets.root(index) != sets.root(*earlier)
                    && normalised[index].is_like(&normalised[*earlier])
                {
                    sets.join(index, *earlier);
                }
            }
            of_part[usize::from(part(print))].push(index);
        }
    }
    sets
}

/// A thumbnail without its mean, at one contrast.
struct Normalised {
    /// Each channel's.
    mean: [f32; 3],
    /// In 1/256 of the standard deviation; all 0 where there is next to none.
    values: Vec<i16>,
}

impl Normalised {
    fn of(thumbnail: &[u8; THUMBNAIL]) -> Self {
        let sum_of = |channel| thumbnail.iter().skip(channel).step_by(3).map(|&value| u32::from(value)).sum::<u32>();
        let mean: [f32; 3] = array::from_fn(|channel| sum_of(channel) as f32 / (SIDE * SIDE) as f32);
        let middle = mean.iter().sum::<f32>() / 3.0;
        let squares: f32 = thumbnail.iter().map(|&value| (f32::from(value) - middle).powi(2)).sum();
        let deviation = (squares / THUMBNAIL as f32).sqrt();
        let scale = if deviation < PLAIN { 0.0 } else { 256.0 / deviation };
        // At most √768 deviations: it fits.
        let values = thumbnail.iter().map(|&value| ((f32::from(value) - middle) * scale).round() as i16).collect();
        Self { mean, values }
    }

    fn is_like(&self, other: &Self) -> bool {
        let are_near = |(a, b): (&f32, &f32)| (a - b).abs() <= MOST_DIFFERENCE;
        self.mean.iter().zip(&other.mean).all(are_near) && self.correlation(other) >= LEAST_CORRELATION
    }

    fn correlation(&self, other: &Self) -> f32 {
        let sum = |a: &Self, b: &Self| -> i32 {
            a.values.iter().zip(&b.values).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
        };
        match (sum(self, self), sum(other, other)) {
            (0, 0) => 1.0,
            (0, _) | (_, 0) => 0.0,
            _ => sum(self, other) as f32 / (THUMBNAIL * 256 * 256) as f32,
        }
    }
}

/// Sets that are joined: each member points to another of its set, one to itself.
struct Sets(Vec<usize>);

impl Sets {
    fn root(&mut self, mut member: usize) -> usize {
        while self.0[member] != member {
            self.0[member] = self.0[self.0[member]];
            member = self.0[member];
        }
        member
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.0[one.max(other)] = one.min(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Normalisation, PixelRules, Preprocessing, decode_image, rng::Rng};
    use image::{DynamicImage, Rgb, RgbImage, codecs::jpeg::JpegEncoder, imageops::FilterType};

    /// A scene: soft spots of colour on a slope of light, another for each seed.
    fn scene(seed: u64, width: u32, height: u32) -> RgbImage {
        let mut rng = Rng::new(&[seed]);
        let mut number = || rng.unit();
        let spots: Vec<[f32; 6]> = (0..24).map(|_| array::from_fn(|_| number())).collect();
        let slope: [f32; 3] = array::from_fn(|_| number() * 120.0);
        RgbImage::from_fn(width, height, |x, y| {
            let (x, y) = (x as f32 / width as f32, y as f32 / height as f32);
            Rgb(array::from_fn(|channel| {
                let light = spots.iter().map(|spot| {
                    let near = ((x - spot[0]).powi(2) + (y - spot[1]).powi(2)) / (0.002 + 0.02 * spot[2]);
                    (spot[3 + channel] - 0.5) * 300.0 * (-near).exp()
                });
                (light.sum::<f32>() + 60.0 + slope[channel] * (x + y) / 2.0).clamp(0.0, 255.0) as u8
            }))
        })
    }

    /// A thing on white: a disc or a square of one colour.
    fn sign(is_round: bool, colour: [u8; 3]) -> RgbImage {
        RgbImage::from_fn(200, 200, |x, y| {
            let (x, y) = (x as i32 - 100, y as i32 - 100);
            let is_inside = if is_round { x * x + y * y < 90 * 90 } else { x.abs() < 80 && y.abs() < 80 };
            Rgb(if is_inside { colour } else { [255; 3] })
        })
    }

    fn jpeg(image: &RgbImage, quality: u8) -> RgbImage {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(image).unwrap();
        decode_image(&bytes, PixelRules::default()).unwrap().into_image().into_rgb8()
    }

    fn brighter(image: &RgbImage, factor: f32) -> RgbImage {
        let mut image = image.clone();
        image.iter_mut().for_each(|value| *value = (f32::from(*value) * factor) as u8);
        image
    }

    fn print(image: &RgbImage) -> Fingerprint {
        let preprocessing = Preprocessing::new(96, 96, Normalisation::identity(3));
        Fingerprint::of(&preprocessing.prepare(&DynamicImage::from(image.clone())), [96, 96, 3])
    }

    #[test]
    fn a_picture_is_known_again_in_any_quality_size_light_and_with_a_little_cut_off() {
        for seed in 0..10 {
            let image = scene(seed, 400, 300);
            let cut = |x, y, width, height| image::imageops::crop_imm(&image, x, y, width, height).to_image();
            let alike = [
                image.clone(),
                jpeg(&image, 92),
                jpeg(&image, 50),
                image::imageops::resize(&image, 133, 100, FilterType::Triangle),
                image::imageops::resize(&image, 800, 600, FilterType::CatmullRom),
                brighter(&image, 1.05),
                brighter(&image, 0.95),
                cut(4, 3, 392, 294),
                cut(8, 6, 392, 294),
                jpeg(&brighter(&cut(0, 0, 392, 294), 0.95), 75),
            ];
            let prints: Vec<_> = alike.iter().map(print).collect();
            assert_eq!(groups(&prints), [0; 10], "scene {seed}");
        }
    }

    #[test]
    fn different_pictures_are_told_apart() {
        let scenes: Vec<_> = (0..300).map(|seed| print(&scene(seed, 120, 90))).collect();
        assert_eq!(groups(&scenes), (0..300).collect::<Vec<u32>>());
        let colours = [[200, 30, 30], [30, 30, 200], [40, 160, 40], [0; 3], [240, 220, 30]];
        let signs: Vec<_> = [true, false]
            .into_iter()
            .flat_map(|is_round| colours.map(|colour| print(&sign(is_round, colour))))
            .collect();
        assert_eq!(groups(&signs), (0..10).collect::<Vec<u32>>());
        let plain: Vec<_> = colours.iter().map(|&colour| print(&RgbImage::from_pixel(40, 40, Rgb(colour)))).collect();
        assert_eq!(groups(&plain), [0, 1, 2, 3, 4]);
        assert_eq!(groups(&[]), [0u32; 0]);
    }

    #[test]
    fn equal_ones_share_a_group_that_is_numbered_where_it_first_appears() {
        let [a, b] = [1, 2].map(|seed| print(&scene(seed, 60, 60)));
        assert_eq!(groups(&[b.clone(), a.clone(), b.clone(), a, b]), [0, 1, 0, 1, 0]);
    }

    #[test]
    fn a_burst_is_one_group_though_its_ends_differ() {
        let wide = scene(5, 600, 300);
        let frames: Vec<_> =
            (0..60).map(|frame| print(&image::imageops::crop_imm(&wide, frame * 4, 0, 300, 300).to_image())).collect();
        assert_eq!(groups(&[frames[0].clone(), frames[59].clone()]), [0, 1]);
        assert_eq!(groups(&frames), [0; 60]);
    }

    #[test]
    fn it_is_kept_as_bytes_and_gray_is_as_good_as_colour() {
        let found = print(&scene(3, 80, 80));
        assert_eq!(Fingerprint::from_bytes(&found.to_bytes()), found);
        let gray: Vec<u8> = (0..30 * 20).map(|i| (i * 7 % 256) as u8).collect();
        let colour: Vec<u8> = gray.iter().flat_map(|&value| [value; 3]).collect();
        assert_eq!(Fingerprint::of(&gray, [20, 30, 1]), Fingerprint::of(&colour, [20, 30, 3]));
    }

    #[test]
    fn copies_are_found_among_ten_thousand_others() {
        let mut rng = Rng::new(&[7]);
        let mut prints: Vec<Fingerprint> = (0..9_000)
            .map(|_| Fingerprint { hash: rng.next_u64(), thumbnail: array::from_fn(|_| rng.next_u64() as u8) })
            .collect();
        for copy in 0..1_000 {
            let Fingerprint { hash, thumbnail } = prints[copy * 9].clone();
            prints.push(Fingerprint { hash: hash ^ 0x0101_0101_0101_0101 ^ 0x70, thumbnail });
        }
        let groups = groups(&prints);
        assert!((0..1_000).all(|copy| groups[9_000 + copy] == groups[copy * 9]));
        assert_eq!(groups.iter().max(), Some(&8_999));
    }
}
