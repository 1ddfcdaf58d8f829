//! What batches are made of, and what those of photographs show.

use super::*;
use crate::{
    data::{Fit, LoadOptions},
    train::{recipe::class_weights::ClassWeights, test_data::dataset},
};

#[test]
fn weights_come_from_the_training_images_and_count_no_class_twice() {
    let mut data = dataset(6, 2, 4, 4, 1, 1);
    data.train.labels = vec![0, 0, 1, 0, 0, 0];
    let data = Arc::new(data);
    let weights = |class_weights, balanced_sampling| {
        let recipe = Recipe { class_weights, balanced_sampling, ..Recipe::default() };
        let feed = Feed::new(data.clone(), &recipe, &Normalisation { mean: vec![0.5], std: vec![0.5] });
        assert_eq!(feed.validation(0..4).class_weights, None);
        feed.batch(Position::default()).class_weights.map(|weights| weights.to_vec())
    };
    assert_eq!(weights(ClassWeights::Alike, false), None);
    assert_eq!(weights(ClassWeights::Balanced, false), Some(vec![0.6, 3.0]));
    assert_eq!(weights(ClassWeights::Balanced, true), Some(vec![1.0, 1.0]));
    assert_eq!(weights(ClassWeights::ByHand(vec![2.0, 5.0]), true), Some(vec![2.0, 5.0]));
}

/// Photographs of 120x200 pixels that are kept whole at 96x96, for a network that sees 64x64. What they show is a
/// function of the place in the picture.
fn photographs(shows: impl Fn(f64, f64) -> f64) -> Arc<Dataset> {
    let image = |side: usize| {
        let places = (0..side * side).map(|i| [i % side, i / side].map(|at| (at as f64 + 0.5) / side as f64));
        places.flat_map(|[x, y]| [(shows(x, y) * 255.0).round() as u8; 3]).collect::<Vec<_>>()
    };
    let split = |side: usize, images: usize| Split {
        height: side,
        width: side,
        channels: 3,
        pixels: vec![image(side); images].concat().into(),
        labels: (0..images).map(|i| i as u32 % 2).collect(),
        sources: None,
        contents: None,
    };
    let train = split(96, 30);
    let pixels = train.pixels.clone().squeezed_from(vec![[120, 200]; 30]);
    let classes = vec!["a".to_owned(), "b".to_owned()];
    Arc::new(Dataset::new("photographs", classes, Split { pixels, ..train }, split(64, 4)))
}

#[test]
fn crops_of_a_squeezed_photograph_have_its_own_proportions_and_show_their_part_of_it() {
    let shows = |x: f64, y: f64| 0.5 + 0.4 * (5.0 * x).sin() * (4.0 * y).cos();
    let recipe = Recipe { batch_size: 30, flip: false, resized_crop: 0.2, ..Recipe::default() };
    let feed = Feed::new(photographs(shows), &recipe, &Normalisation::identity(3));
    assert_eq!(feed.validation(0..4).shape, [64, 64, 3]);
    let batch = feed.batch(Position::default());
    let Pixels::Rendered(values) = &batch.pixels else { panic!("no device was named") };
    assert_eq!(batch.shape, [64, 64, 3]);
    for (params, image) in batch.plan.params.iter().zip(values.chunks_exact(64 * 64 * 3)) {
        let [width, height] = params.resized.map(f64::from);
        // To the nearest of the 96 pixels.
        let ratio = [width - 1.0, width + 1.0].map(|width| width / height * 200.0 / 120.0);
        assert!(ratio[0] < 1.4 && ratio[1] > 0.7, "{params:?}");
        for (i, pixel) in image.chunks_exact(3).enumerate() {
            let [x, y] = [i % 64, i / 64].map(|at| (at as f64 + 0.5) / 64.0);
            let expected = shows((f64::from(params.dx) + x * width) / 96.0, (f64::from(params.dy) + y * height) / 96.0);
            assert!((f64::from(pixel[0]) - expected).abs() < 4.0 / 255.0, "{params:?}: {pixel:?} for {expected}");
        }
    }
}

#[test]
fn without_crops_a_squeezed_photograph_is_shown_as_it_fits() {
    let feed = |fit| {
        let recipe = Recipe { batch_size: 30, fit, ..Recipe::default() };
        Feed::new(photographs(|x, _| x), &recipe, &Normalisation::identity(3)).batch(Position::default())
    };
    let whole = feed(Fit::Squash);
    assert!(whole.plan.params.iter().all(|params| (params.resized, params.dx) == ([96, 96], 0)));
    // The middle 120 of 200 columns.
    let centre = feed(Fit::CropCentre);
    assert!(
        centre.plan.params.iter().all(|params| (params.resized, params.dx) == ([58, 96], 19)),
        "{:?}",
        centre.plan.params[0]
    );
}

#[test]
fn an_image_that_comes_twice_in_an_epoch_looks_different() {
    let mut data = dataset(40, 2, 8, 8, 1, 1);
    data.train.labels = (0..40).map(|image| u32::from(image == 7)).collect();
    let recipe = Recipe { balanced_sampling: true, batch_size: 40, random_erasing: 0.9, ..Recipe::default() };
    let feed = Feed::new(Arc::new(data), &recipe, &Normalisation { mean: vec![0.5], std: vec![0.5] });
    let plan = feed.batch(Position::default()).plan;
    let own: Vec<_> = plan.params.iter().filter(|params| params.index == 7).collect();
    let looks: std::collections::HashSet<_> = own.iter().map(|params| (params.dx, params.dy, params.flip)).collect();
    assert!(own.len() == 20 && looks.len() > 12, "{} of {}", looks.len(), own.len());
    let erased = own.iter().filter(|params| params.noise != 0);
    let noises: std::collections::HashSet<_> = erased.clone().map(|params| (params.erased, params.noise)).collect();
    assert!(noises.len() == erased.count() && noises.len() > 12, "{noises:?}");
}

/// The CRC-32 of what the first batches were before crops could be resized: other recipes' runs go on bit for bit.
#[test]
fn without_resized_crops_batches_keep_every_bit() {
    let found = [(3, 0), (1, 0), (3, 16)].map(|(channels, image_size)| {
        let recipe = Recipe {
            batch_size: 11,
            image_size,
            crop_padding: 3,
            cutout: 3,
            brightness: 0.3,
            contrast: 0.3,
            saturation: 0.3,
            ..Recipe::default()
        };
        let normalisation = Normalisation { mean: vec![0.4; channels], std: vec![0.25; channels] };
        let feed = Feed::new(Arc::new(dataset(60, 5, 9, 8, channels, 1)), &recipe, &normalisation);
        let mut crc = flate2::Crc::new();
        for position in [Position::default(), Position { epoch: 3, batch: 4 }] {
            let Pixels::Rendered(values) = feed.batch(position).pixels else { panic!("no device was named") };
            values.iter().for_each(|value| crc.update(&value.to_le_bytes()));
        }
        crc.sum()
    });
    assert_eq!(found, [0xd9a6_6334, 0xb064_7244, 0x623d_844a]);
}

/// A folder of JPEGs of all widths in two classes, gray ones among them.
fn jpegs() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..24u32 {
        let class = folder.path().join(["a", "b"][i as usize % 2]);
        std::fs::create_dir_all(&class).unwrap();
        let wave = |at: u32| (at as f32 * 0.1).sin() * 60.0 + 128.0;
        let picture = image::RgbImage::from_fn(130 + 3 * i, 110, |x, y| {
            image::Rgb([wave(x * i + y), wave(x + y * 2), (x * y + i) as f32].map(|value| value as u8))
        });
        let path = class.join(format!("{i}.jpg"));
        if i % 5 == 0 { image::DynamicImage::from(picture).into_luma8().save(path) } else { picture.save(path) }
            .unwrap();
    }
    folder
}

#[test]
fn crops_that_are_cut_out_while_a_photograph_is_decoded_are_those_of_one_that_is_kept() {
    let (folder, cache) = (jpegs(), tempfile::tempdir().unwrap());
    let recipe = Recipe { batch_size: 9, image_size: 48, resized_crop: 0.08, ..Recipe::default() };
    for contrast in [0.0, 0.3] {
        let recipe = Recipe { contrast, ..recipe.clone() };
        let [kept, streamed] = [true, false].map(|keep_decoded| {
            let options = LoadOptions { keep_decoded, pixels_at_once: 0, ..recipe.load_options() };
            let options = LoadOptions { cache_dir: Some(cache.path().to_owned()), ..options };
            let dataset = crate::data::load(folder.path().to_str().unwrap(), &options, &crate::data::Silent).unwrap();
            assert!(dataset.train.is_squeezed() && dataset.train.is_decoded_as_needed());
            Feed::new(Arc::new(dataset), &recipe, &Normalisation::imagenet(3))
        });
        for batch in 0..kept.steps_per_epoch() {
            let [a, b] = [&kept, &streamed].map(|feed| feed.batch(Position { epoch: 3, batch }));
            let (Pixels::Rendered(x), Pixels::Rendered(y)) = (&a.pixels, &b.pixels) else { panic!("on the CPU") };
            assert!(a.plan == b.plan && x == y, "batch {batch}");
        }
    }
}
