use super::*;
use crate::{
    data::{Fit, PixelRules, Split},
    train::{Recipe, Transform, choices::CropMode},
};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use strum::IntoEnumIterator;

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
    transform.render(split, &params, &mut out);
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
    transform.render(&data, &SampleParams::plain(0, 0), &mut out);
    assert_eq!(out, [-1.0, (51.0 / 255.0 - 0.2) / 0.1, 0.5]);
}

#[test]
fn a_cutout_is_the_mean_colour() {
    let data = split(1, 4, 1, vec![9, 9, 9, 9]);
    let params = SampleParams { cut: [1, 0, 3, 1], ..SampleParams::plain(0, 0) };
    assert_eq!(rendered(&data, params, &Recipe::default()), [9., 0., 0., 9.]);
}

#[test]
fn an_erased_box_is_noise_of_its_own_over_all_else() {
    let data = split(9, 8, 3, vec![77; 9 * 8 * 3]);
    let plain = SampleParams { cut: [0, 0, 8, 2], noise: 5, ..SampleParams::plain(0, 0) };
    let image = |erased, noise| rendered(&data, SampleParams { erased, noise, ..plain }, &Recipe::default());
    let (before, found) = (image([0; 4], 5), image([1, 1, 4, 8], 5));
    let changed: Vec<usize> = (0..found.len()).filter(|&at| found[at] != before[at]).map(|at| at / 3).collect();
    let inside = |&at: &usize| (1..4).contains(&(at % 8)) && (1..8).contains(&(at / 8));
    assert!(changed.len() == 3 * 3 * 7 && changed.iter().all(inside), "{changed:?}");
    assert_ne!(found, image([1, 1, 4, 8], 6));
}

#[test]
fn noise_is_nearly_normal() {
    for key in [0, 1, 0x9e37_79b9] {
        let mut values: Vec<f32> = (0..100_000).map(|at| noise(key, at)).collect();
        let product: f64 = values.windows(2).map(|pair| f64::from(pair[0] * pair[1])).sum();
        assert!((product / values.len() as f64).abs() < 0.015, "neighbours: {product}");
        values.sort_by(f32::total_cmp);
        for (share, expected) in [(0.025, -1.96), (0.25, -0.674), (0.5, 0.0), (0.75, 0.674), (0.975, 1.96)] {
            let found = values[(share * 100_000.0) as usize];
            assert!((found - expected).abs() < 0.04, "{share}: {found}, not {expected}");
        }
    }
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
        let (data, recipe) = (split(height, width, channels, pixels), Recipe { image_size: size, ..Recipe::default() });
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
    let words = SampleParams { flip: 1, cut: [1, 2, 4, 3], gain: 1.5, saturation: 0.3, ..SampleParams::plain(0, 0) };
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
    let params = |mix, lambda, mix_box| [SampleParams { mix, lambda, mix_box, ..SampleParams::plain(0, 0) }; 3];
    let start = [1.0, 2.0, 5.0, 6.0, 9.0, 10.0];
    let mut batch = start;
    mix(&params(Mix::Mixup, 0.75, [0; 4]), [1, 2, 1], &mut batch);
    assert_eq!(batch, [3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    let mut batch = start;
    mix(&params(Mix::Cutmix, 0.5, [1, 0, 2, 1]), [1, 2, 1], &mut batch);
    assert_eq!(batch, [1.0, 10.0, 5.0, 6.0, 9.0, 2.0]);
}

#[test]
fn what_was_done_is_said_in_words() {
    let plain = SampleParams::plain(0, 0);
    assert_eq!(plain.to_string(), "nothing");
    assert_eq!(SampleParams { dx: 2, flip: 1, ..plain }.to_string(), "moved by -2, 0, mirrored");
    let crop = SampleParams { dx: 3, dy: 1, resized: [40, 30], ..plain };
    assert_eq!(crop.to_string(), "40x30 from 3, 1");
    assert_eq!(SampleParams { erased: [1, 1, 4, 8], ..plain }.to_string(), "3x7 erased");
}

proptest! {
    /// What training and validation see is what prediction makes of the same image, by either rules.
    #[test]
    fn resizing_is_that_of_single_images(
        h in 1usize..12, w in 1usize..12, size in 1usize..20, fit in proptest::sample::select(Fit::iter().collect::<Vec<_>>()), legacy in any::<bool>(),
        channels in proptest::sample::select(vec![1usize, 3]),
        bytes in proptest::collection::vec(any::<u8>(), 432),
    ) {
        let pixels = bytes[..h * w * channels].to_vec();
        let recipe = Recipe { image_size: size, fit, ..Recipe::default() };
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
        transform.render(&data, &params, &mut fast);
        let scaling = Scaling::new(&transform.preprocessing().fitting(), [h, w], channels);
        let image = Image { bytes: &data.image(0), size: [h, w], taps: &scaling.taps, margin: [0; 2] };
        if colour {
            render_floats::<3>(&image, &params, transform.rules(), &scaling, &mut slow);
        } else {
            render_floats::<1>(&image, &params, transform.rules(), &scaling, &mut slow);
        }
        prop_assert_eq!(fast, slow);
    }
}
