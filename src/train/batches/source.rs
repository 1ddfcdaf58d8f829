//! Where the pixels of a batch are made.
//!
//! On a GPU one kernel makes batches of the images' bytes. Where these have room on it, a step sends a
//! [`SampleParams`](crate::ops::sample::SampleParams) an image; where they have not, the bytes of the batch's images
//! travel too, laid side by side ahead of use: a quarter of their pixels as floats. The kernel also makes resized
//! crops, of images of any size; those that would travel as more bytes than the batch has are not sent. They, images
//! that are brought whole to another size than they are stored in, and everything on the CPU are rendered on the CPU.
//! Either way the random decisions are made on the CPU, once, by the same function, so the batches are the same up to
//! rounding. Validation images take the same way, with nothing done to them.

use crate::{
    data::{Preprocessing, Split},
    device::Compute,
    ops::{
        resident::{Gatherer, Resident},
        sample::Rules,
    },
};
use std::sync::Arc;

/// Where the batches of a split are made.
#[derive(Clone, Debug, Default)]
pub(crate) enum Source {
    /// On a GPU, from the images that live there.
    Resident(Resident),
    /// On a GPU, from bytes that are sent to it batch by batch.
    Streamed(Gatherer),
    /// On the CPU.
    #[default]
    Rendered,
}

impl Source {
    /// For images of which a GPU can make batches of `rendered` bytes each. `room` is how many bytes of images may stay
    /// on the GPU; those that do are taken off it.
    pub(super) fn choose(split: &Split, gatherer: Option<&Gatherer>, rendered: usize, room: &mut u64) -> Self {
        let Some(gatherer) = gatherer.filter(|_| gathers(split.channels)) else { return Self::Rendered };
        let size = [split.height, split.width];
        let kept = split.all_pixels().and_then(|bytes| gatherer.keep(bytes, size, split.channels, *room));
        match kept {
            Some(images) => {
                *room -= (split.len() * split.image_len()) as u64;
                Self::Resident(images)
            }
            None if split.image_len() <= rendered => Self::Streamed(gatherer.clone()),
            // Less travels when it is rendered.
            None => Self::Rendered,
        }
    }
}

/// Whether a GPU makes batches of images with so many channels.
fn gathers(channels: usize) -> bool {
    matches!(channels, 1 | 3)
}

/// The pixels of a batch.
#[derive(Clone, Debug)]
pub enum Pixels {
    /// `[N, H, W, C]`, normalised.
    Rendered(Vec<f32>),
    /// Still to be made, by the GPU that has the images.
    Resident(Resident, Arc<Rules>),
    /// Still to be made, by a GPU, of the batch's images: their bytes `[N, H, W, C]`, of this height and width.
    Sent(Gatherer, Vec<u8>, [usize; 2], Arc<Rules>),
}

impl Pixels {
    /// The memory of rendered pixels, to be used again.
    pub(super) fn into_values(self) -> Vec<f32> {
        if let Self::Rendered(values) = self { values } else { Vec::new() }
    }

    /// The memory of bytes, to be used again.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        if let Self::Sent(_, bytes, ..) = self { bytes } else { Vec::new() }
    }

    /// Of images that [`Preprocessing::prepare`] has made.
    ///
    /// # Panics
    /// Where an image is not of the size that `preprocessing` says.
    pub(in crate::train) fn prepared(images: &[Vec<u8>], preprocessing: &Preprocessing, compute: &Compute) -> Self {
        let &Preprocessing { height, width, channels, ref normalisation, .. } = preprocessing;
        let wanted = height * width * channels;
        assert!(images.iter().all(|image| image.len() == wanted), "images of {height}x{width}x{channels}");
        match Gatherer::of(compute).filter(|_| gathers(channels)) {
            Some(gatherer) => {
                let rules = Rules::new([height, width], false, normalisation.clone(), channels);
                Self::Sent(gatherer, images.concat(), [height, width], Arc::new(rules))
            }
            None => Self::Rendered(images.iter().flat_map(|image| preprocessing.normalise(image)).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::Normalisation,
        device::{Choice, Compute, open},
        model::{Block, ModelSpec, Network, Stem},
        needs,
        ops::{Implementation, Storage, Transfer, Wgsl, wgpu::Wgpu},
        train::{
            Feed, Freeze, Position, Prefetch, Recipe,
            batches::feed::{Batch, BatchPlan},
            inference::validate,
            test_data::dataset,
            trainer::Trainer,
        },
    };

    /// Everything that can be done to an image.
    fn recipe() -> Recipe {
        Recipe {
            batch_size: 11,
            crop_padding: 3,
            cutout: 3,
            random_erasing: 0.5,
            brightness: 0.3,
            contrast: 0.3,
            saturation: 0.3,
            mixup: 0.5,
            cutmix: 0.5,
            ..Recipe::default()
        }
    }

    fn small(recipe: &Recipe, channels: usize) -> ModelSpec {
        let spec = ModelSpec::custom(Block::Basic, Stem::Cifar, vec![1], vec![8], channels, 5);
        spec.expect("a valid model").with_padding(recipe.padding)
    }

    fn gpu() -> Option<Compute> {
        needs::found("gpu", open(Choice::BestGpu))
    }

    const TRAIN: usize = 60;
    const SIZE: [usize; 2] = [9, 8];

    fn feed(channels: usize, recipe: &Recipe) -> Feed {
        let normalisation = Normalisation { mean: vec![0.4; channels], std: vec![0.25; channels] };
        Feed::new(Arc::new(dataset(TRAIN, 5, SIZE[0], SIZE[1], channels, 1)), recipe, &normalisation)
    }

    /// Rendered on the CPU, made of images on the device, and of bytes that are sent to it.
    fn feeds(channels: usize, recipe: &Recipe, compute: &Compute) -> [Feed; 3] {
        let rendered = feed(channels, recipe);
        let (resident, streamed) = (rendered.clone().on(compute), rendered.clone().within(0, compute));
        [rendered, resident, streamed]
    }

    fn close(a: &[f32], b: &[f32], most: f32, what: &str) {
        assert_eq!(a.len(), b.len(), "{what}");
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            // Written so that NaN fails.
            assert!((a - b).abs() <= most, "{what}: value {i} is {a} and {b}");
        }
    }

    /// Pixels, as they are on a device.
    fn read(batch: &Batch, storage: Storage, compute: &Compute) -> Vec<f32> {
        let ops = Wgsl(Wgpu::of(compute).expect("a GPU"));
        batch.with_input(|input| ops.read(vec![ops.batch(input, storage).0]).concat())
    }

    /// The pixels of the first batch are those of the others, on the device, also in 16 bits where it has them.
    fn agree(batches: &[Batch; 3], compute: &Compute, what: &str) {
        agree_within(2e-5, batches, compute, what);
    }

    fn agree_within(most: f32, batches: &[Batch; 3], compute: &Compute, what: &str) {
        let half = compute.adapter.as_ref().filter(|adapter| adapter.f16).map(|_| (Storage::F16, most + 4e-3));
        for (storage, most) in [(Storage::F32, most)].into_iter().chain(half) {
            let [x, others @ ..] = batches.each_ref().map(|batch| read(batch, storage, compute));
            for y in others {
                close(&x, &y, most, &format!("pixels of {what} in {storage:?}"));
            }
        }
        assert!(batches.iter().all(|batch| batch.plan == batches[0].plan));
    }

    #[test]
    fn the_device_makes_the_batches_that_the_cpu_makes_and_trains_alike() {
        let Some(compute) = gpu() else { return };
        for channels in [3, 1] {
            let recipe = recipe();
            let feeds = feeds(channels, &recipe, &compute);
            let spec = small(&recipe, channels);
            let mut trainers = [0, 1, 2].map(|_| {
                let network = Network::new(&spec, 1, false, Implementation::Fast, &compute);
                Trainer::new(network)
            });
            // Beyond one epoch's end, and a smaller last batch.
            let mut position = Position::default();
            for step in 0..8 {
                let batches = feeds.each_ref().map(|feed| feed.batch(position));
                assert!(matches!(batches[1].pixels, Pixels::Resident(..)), "the images fit on the device");
                assert!(matches!(batches[2].pixels, Pixels::Sent(..)), "there is no room on the device");
                agree(&batches, &compute, &format!("step {step}"));
                for (trainer, batch) in trainers.iter_mut().zip(&batches) {
                    trainer.step(batch, &recipe, 1e-3, Freeze::None);
                }
                position = position.next(feeds[0].steps_per_epoch());
            }
            let [a, others @ ..] = trainers.each_mut().map(Trainer::read_metrics);
            for b in others {
                assert_eq!((a.images, a.hits, a.refused), (b.images, b.hits, 0));
                assert!((a.loss - b.loss).abs() < 1e-3 * a.loss, "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn validation_images_are_those_that_the_cpu_renders_wherever_they_are_made() {
        let Some(compute) = gpu() else { return };
        for channels in [3, 1] {
            let recipe = recipe();
            let feeds = feeds(channels, &recipe, &compute);
            let spec = small(&recipe, channels);
            let network = Network::new(&spec, 1, false, Implementation::Fast, &compute);
            // From the middle, and beyond the end.
            for range in [0..7, 7..20, 13..99] {
                let batches = feeds.each_ref().map(|feed| feed.validation(range.clone()));
                assert_eq!(batches[0].plan.len(), range.len().min(20 - range.start));
                agree(&batches, &compute, &format!("validation images {range:?}"));
            }
            let [rendered, others @ ..] = feeds.each_ref().map(|feed| validate(&network, feed, 3..20));
            assert_eq!(rendered.len(), 17 * 5);
            for other in others {
                close(&rendered, &other, 1e-4, "logits");
            }
        }
    }

    #[test]
    fn bytes_that_were_laid_ahead_are_those_of_the_batch_in_memory_that_is_used_again() {
        let Some(compute) = gpu() else { return };
        let feed = feed(3, &recipe()).within(0, &compute);
        let mut ahead = Prefetch::new(feed.clone(), Position::default(), 2);
        for _ in 0..14 {
            let want = feed.batch(ahead.position());
            let batch = ahead.next();
            let (Pixels::Sent(_, a, ..), Pixels::Sent(_, b, ..)) = (&want.pixels, &batch.pixels) else {
                panic!("{:?} and {:?}", want.pixels, batch.pixels)
            };
            let image = |&index: &u32| feed.split().image(index as usize);
            assert_eq!(*a, batch.plan.indices().iter().map(image).collect::<Vec<_>>().concat());
            assert_eq!((a, want.plan), (b, batch.plan.clone()));
            ahead.recycle(batch);
        }
    }

    #[test]
    fn the_images_to_train_on_have_room_first_and_both_splits_share_it() {
        let Some(compute) = gpu() else { return };
        let image = SIZE[0] * SIZE[1] * 3;
        let (train, validation) = ((TRAIN * image) as u64, (20 * image) as u64);
        let stay = |room: u64| {
            let feed = feed(3, &recipe()).within(room, &compute);
            [feed.batch(Position::default()), feed.validation(0..4)].map(|batch| match batch.pixels {
                Pixels::Resident(..) => true,
                Pixels::Sent(..) => false,
                Pixels::Rendered(_) => panic!("on the CPU"),
            })
        };
        assert_eq!(stay(train + validation), [true, true]);
        assert_eq!(stay(train + validation - 1), [true, false]);
        assert_eq!(stay(train), [true, false]);
        assert_eq!(stay(train - 1), [false, true]);
        assert_eq!(stay(validation - 1), [false, false]);
    }

    #[test]
    fn resized_crops_are_made_on_the_device_within_two_levels_whatever_the_images_size_is() {
        let Some(compute) = gpu() else { return };
        // Of 0 to 255, as the network sees them.
        let two_levels = 2.0 / 255.0 / 0.25;
        for (channels, image_size) in [(3, 16), (1, 16), (3, 5), (3, 0)] {
            // Colours are moved a little, so that a level stays about that.
            let (brightness, contrast, saturation) = (0.1, 0.1, 0.1);
            let recipe = Recipe { image_size, resized_crop: 0.1, brightness, contrast, saturation, ..recipe() };
            let feeds = feeds(channels, &recipe, &compute);
            for batch in 0..3 {
                let batches = feeds.each_ref().map(|feed| feed.batch(Position { epoch: 2, batch }));
                assert!(batches[0].plan.params.iter().all(|params| params.resizes()));
                assert!(matches!(batches[1].pixels, Pixels::Resident(..)), "the images fit on the device");
                assert!(matches!(batches[2].pixels, Pixels::Sent(..)), "there is no room on the device");
                agree_within(two_levels, &batches, &compute, &format!("crops at {image_size}"));
            }
            let on_cpu = |feed: &Feed| matches!(feed.validation(0..5).pixels, Pixels::Rendered(_));
            assert_eq!(feeds.each_ref().map(on_cpu), [true, image_size > 0, image_size > 0]);
            // Without the crops, images that are resized are made on the CPU.
            let whole = feeds[1].with_recipe(&Recipe { resized_crop: 0.0, ..recipe });
            let rendered = matches!(whole.batch(Position::default()).pixels, Pixels::Rendered(_));
            assert_eq!(rendered, image_size > 0);
        }
        // Nothing is sent that is larger than the batch that is made of it.
        let tiny = Recipe { image_size: 4, resized_crop: 0.1, ..recipe() };
        let batches = feeds(3, &tiny, &compute).map(|feed| feed.batch(Position::default()));
        assert!(matches!(
            batches.map(|batch| batch.pixels),
            [Pixels::Rendered(_), Pixels::Resident(..), Pixels::Rendered(_)]
        ));
    }

    #[test]
    fn images_that_are_resized_are_made_on_the_cpu() {
        let Some(compute) = gpu() else { return };
        let rendered = |batch: Batch, len: usize| matches!(&batch.pixels, Pixels::Rendered(v) if v.len() == len);
        let resized = Recipe { image_size: 16, ..recipe() };
        for feed in feeds(3, &recipe(), &compute) {
            // From the beginning, or since a change of the recipe.
            assert!(rendered(feed.with_recipe(&resized).batch(Position::default()), 11 * 16 * 16 * 3));
        }
        for feed in feeds(3, &resized, &compute) {
            assert!(rendered(feed.batch(Position::default()), 11 * 16 * 16 * 3));
            assert!(rendered(feed.validation(0..5), 5 * 16 * 16 * 3));
        }
        for feed in feeds(3, &recipe(), &Compute::cpu()) {
            assert!(rendered(feed.batch(Position::default()), 11 * SIZE[0] * SIZE[1] * 3));
            assert!(rendered(feed.validation(0..5), 5 * SIZE[0] * SIZE[1] * 3));
        }
    }

    #[test]
    fn prepared_images_are_what_the_cpu_makes_of_them() {
        let Some(compute) = gpu() else { return };
        for (channels, tables) in [(3, 3), (1, 1), (3, 1)] {
            let std = (0..tables).map(|c| 0.25 + 0.1 * c as f32).collect();
            let normalisation = Normalisation { mean: vec![0.4; tables], std };
            let preprocessing = Preprocessing { channels, ..Preprocessing::new(SIZE[0], SIZE[1], normalisation) };
            let split = dataset(7, 5, SIZE[0], SIZE[1], channels, 3).train;
            let images: Vec<Vec<u8>> = (0..7).map(|index| split.image(index).to_vec()).collect();
            let plan = BatchPlan::plain((0..7).map(|index| (index, 0)));
            let [cpu, gpu] = [&Compute::cpu(), &compute].map(|on| {
                let pixels = Pixels::prepared(&images, &preprocessing, on);
                Batch { plan: plan.clone(), shape: [SIZE[0], SIZE[1], channels], pixels, class_weights: None }
            });
            assert!(matches!((&cpu.pixels, &gpu.pixels), (Pixels::Rendered(_), Pixels::Sent(..))));
            let pixels = |batch: Batch| read(&batch, Storage::F32, &compute);
            close(&pixels(cpu), &pixels(gpu), 2e-5, &format!("{channels} channels by {tables} tables"));
        }
    }
}
