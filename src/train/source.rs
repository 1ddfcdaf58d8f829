//! Where the pixels of training batches are made.
//!
//! A data set that fits lives on the GPU as bytes, and one kernel makes each batch of it: a step sends 80 bytes an image.
//! Any other is rendered on the CPU ahead of use, and sent as floats. Either way the random decisions are made on the
//! CPU, once, by the same function, so the batches are the same up to rounding.

use super::{batches::Batch, render::Transform};
use crate::{
    data::Split,
    device::Compute,
    ops::{
        Storage, Targets,
        resident::{Resident, Rules},
    },
};
use burn::tensor::{Device, Int, Tensor, TensorData};
use std::sync::Arc;

/// Where a feed's batches are made.
#[derive(Clone, Debug, Default)]
pub enum Source {
    /// On the device, from the images that live there.
    Resident(Resident),
    /// On the CPU.
    #[default]
    Streamed,
}

impl Source {
    /// The device, if it is a GPU, the images fit there, and they keep the size that they are stored in.
    pub fn choose(split: &Split, transform: &Transform, compute: &Compute) -> Self {
        if transform.resizes() {
            return Self::Streamed;
        }
        let images = Resident::upload(&compute.device, &split.pixels, [split.height, split.width], split.channels);
        images.map_or(Self::Streamed, Self::Resident)
    }
}

/// The pixels of a batch.
#[derive(Clone, Debug)]
pub enum Pixels {
    /// `[N, H, W, C]`, normalised.
    Rendered(Vec<f32>),
    /// Still to be made, by the device that has the images.
    Resident(Resident, Arc<Rules>),
}

impl Batch {
    /// The batch as a network takes it: pixels `[N, H, W, channels]`, and what they are of.
    pub fn on(&self, device: &Device, channels: usize, storage: Storage) -> (Tensor<4>, Targets) {
        let values = match &self.pixels {
            Pixels::Resident(images, rules) => return images.batch(&self.plan.words(), rules, storage),
            Pixels::Rendered(values) => values,
        };
        let (n, [height, width]) = (self.plan.len(), self.size);
        let x = TensorData::new(values.clone(), [n, height, width, channels]);
        let labels = |labels: Vec<i32>| Tensor::<1, Int>::from_data(TensorData::new(labels, [n]), device);
        let targets = Targets {
            first: labels(self.plan.labels()),
            second: labels(self.plan.partner_labels()),
            share: Tensor::from_data(TensorData::new(self.plan.shares(), [n]), device),
        };
        (Tensor::from_data(x, (device, storage.dtype())), targets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::Normalisation,
        device::{Choice, open},
        model::{Network, network::read},
        ops::Implementation,
        train::{Feed, Freeze, Position, Recipe, test_data::dataset, trainer::Trainer},
    };

    /// Everything that can be done to an image.
    fn recipe() -> Recipe {
        Recipe {
            batch_size: 11,
            crop_padding: 3,
            cutout: 3,
            brightness: 0.3,
            contrast: 0.3,
            saturation: 0.3,
            mixup: 0.5,
            cutmix: 0.5,
            ..Recipe::default()
        }
    }

    fn gpu() -> Option<Compute> {
        match open(Choice::BestGpu) {
            Ok(compute) => Some(compute),
            Err(error) => {
                let required = std::env::var("KINDLING_REQUIRE").unwrap_or_default();
                assert!(!required.contains("gpu"), "an adapter is required: {error}");
                println!("skipped: {error}");
                None
            }
        }
    }

    fn feeds(channels: usize, recipe: &Recipe, compute: &Compute) -> [Feed; 2] {
        let normalisation = Normalisation { mean: vec![0.4; channels], std: vec![0.25; channels] };
        let streamed = Feed::new(Arc::new(dataset(60, 5, 9, 8, channels, 1)), recipe, &normalisation);
        let resident = streamed.clone().on(compute);
        [streamed, resident]
    }

    fn close(a: &[f32], b: &[f32], most: f32, what: &str) {
        assert_eq!(a.len(), b.len(), "{what}");
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            // Written so that NaN fails.
            assert!((a - b).abs() <= most, "{what}: value {i} is {a} and {b}");
        }
    }

    #[test]
    fn the_device_makes_the_batches_that_the_cpu_makes_and_trains_alike() {
        let Some(compute) = gpu() else { return };
        for channels in [3, 1] {
            let recipe = recipe();
            let feeds = feeds(channels, &recipe, &compute);
            let mut spec = recipe.spec(channels, 5).expect("a valid model");
            (spec.stages, spec.widths) = (vec![1], vec![8]);
            let spec = spec.validate().expect("a valid model");
            let mut trainers = [0, 1].map(|_| {
                let network = Network::new(&spec, 1, false, Implementation::Fast, &compute.device);
                Trainer::new(network, compute.clone())
            });
            // Beyond one epoch's end, and a smaller last batch.
            let mut position = Position::default();
            for step in 0..8 {
                let batches = feeds.each_ref().map(|feed| feed.batch(position));
                assert_eq!(batches[0].plan, batches[1].plan);
                assert!(matches!(batches[1].pixels, Pixels::Resident(..)), "the images fit on the device");
                let on_device = batches.each_ref().map(|batch| batch.on(&compute.device, channels, Storage::F32));
                let [(x, targets), (y, others)] = on_device;
                close(&read(x), &read(y), 2e-5, &format!("pixels of step {step}"));
                close(&read(targets.share), &read(others.share), 0.0, "shares");
                let labels = |labels: Tensor<1, Int>| labels.into_data().iter::<i32>().collect::<Vec<_>>();
                assert_eq!(labels(targets.first), labels(others.first));
                assert_eq!(labels(targets.second), labels(others.second));
                for (trainer, batch) in trainers.iter_mut().zip(&batches) {
                    trainer.step(batch, &recipe, 1e-3, Freeze::None);
                }
                position = position.next(feeds[0].steps_per_epoch());
            }
            let [a, b] = trainers.each_mut().map(Trainer::read_metrics);
            assert_eq!((a.images, a.hits, a.refused), (b.images, b.hits, 0));
            assert!((a.loss - b.loss).abs() < 1e-3 * a.loss, "{a:?} and {b:?}");
        }
    }

    #[test]
    fn images_that_are_resized_are_made_on_the_cpu() {
        let Some(compute) = gpu() else { return };
        let same = feeds(3, &recipe(), &compute).map(|feed| feed.batch(Position::default()));
        assert!(matches!(same[1].pixels, Pixels::Resident(..)));
        let resized = Recipe { image_size: 16, ..recipe() };
        let batches = feeds(3, &resized, &compute).map(|feed| feed.batch(Position::default()));
        assert!(
            batches.iter().all(|batch| matches!(&batch.pixels, Pixels::Rendered(v) if v.len() == 11 * 16 * 16 * 3))
        );
        assert!(matches!(
            feeds(3, &recipe(), &Compute::cpu())[1].batch(Position::default()).pixels,
            Pixels::Rendered(_)
        ));
    }
}
