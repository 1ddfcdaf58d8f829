//! A network and made-up images, to measure training and inference without a data set.
//!
//! What is timed is a whole training step as a run makes it: the batch goes to the device, forward, loss, backward,
//! update. What the CPU does for a batch happens beside the steps in a run, so it is done beforehand; a GPU makes each
//! batch within its step, from images that it has or that are sent to it.

use super::{
    inference::rows,
    room::{self, RoomError},
    trainer::{self, Trainer},
};
use crate::{
    data::{Dataset, Normalisation, Preprocessing, Split, rng::Rng},
    device::Compute,
    model::{ModelSpec, Network, Prepared},
    ops::{self, Implementation},
    train::{
        batches::{Batch, Feed, Position},
        recipe::{Freeze, Precision, Recipe},
    },
};
use std::sync::Arc;

/// Different batches that take turns, so that no step sees the images of the one before.
const BATCHES: usize = 2;

/// Something to take steps with.
pub(crate) struct SyntheticTrainer {
    trainer: Trainer,
    recipe: Recipe,
    batches: Vec<Batch>,
    preprocessing: Preprocessing,
    images: Vec<Vec<u8>>,
    next: usize,
    /// Kernels that the first step will want.
    _prepared: Prepared,
}

impl SyntheticTrainer {
    /// A fresh network for square images of `side` pixels, and `batch` images at a time of noise. Of these no more than
    /// `on_device` bytes stay on a GPU.
    ///
    /// # Errors
    /// Where there is no memory for them.
    pub(crate) fn new(
        spec: &ModelSpec,
        side: usize,
        batch: usize,
        ops: Implementation,
        precision: Precision,
        compute: Compute,
        on_device: u64,
    ) -> Result<Self, RoomError> {
        // The peer's settings: SGD with momentum and weight decay at a rate that stays finite on noise.
        let recipe =
            Recipe { batch_size: batch, lr: 0.05, crop_padding: 0, flip: false, precision, ..Recipe::default() };
        room::check_batch(spec, &recipe, [side; 2], batch, ops, &compute)?;
        let _prepared = trainer::prepared(spec, &recipe, [side; 2], ops, &compute);
        let normalisation = Normalisation { mean: vec![0.5; spec.channels], std: vec![0.25; spec.channels] };
        let split = noise(side, spec.channels, spec.classes, batch * BATCHES);
        let images = (0..batch).map(|index| split.image(index).to_vec()).collect();
        let classes = (0..spec.classes).map(|class| class.to_string()).collect();
        let dataset = Arc::new(Dataset::new("noise", classes, split.clone(), split));
        let feed = Feed::new(dataset, &recipe, &normalisation).within(on_device, &compute);
        let batches = (0..BATCHES as u64).map(|batch| feed.batch(Position { epoch: 0, batch })).collect();
        let network = Network::new(spec, recipe.seed, false, ops, &compute);
        let preprocessing = Preprocessing::new(side, side, normalisation);
        Ok(Self { trainer: Trainer::new(network), recipe, batches, preprocessing, images, next: 0, _prepared })
    }

    /// Queues one training step.
    pub(crate) fn step(&mut self) {
        let batch = &self.batches[self.next % BATCHES];
        self.next += 1;
        self.trainer.step(batch, &self.recipe, self.recipe.lr, Freeze::None);
    }

    /// Waits for all steps, and gives the mean loss since the last wait.
    pub(crate) fn wait(&mut self) -> f32 {
        let metrics = self.trainer.read_metrics();
        metrics.loss / metrics.images.max(1) as f32
    }

    /// Logits of one batch, by the running statistics; waits for them.
    pub(crate) fn infer(&self) -> Vec<f32> {
        let storage = self.trainer.storage(&self.recipe);
        let infer = |network: &Network, batch: &ops::Batch, _| network.infer(batch, storage);
        rows(&self.trainer.network(), &self.preprocessing, &self.images, infer)
    }
}

fn noise(side: usize, channels: usize, classes: usize, count: usize) -> Split {
    let mut rng = Rng::new(&[7]);
    let pixels: Vec<u8> = (0..count * side * side * channels).map(|_| (rng.unit_f64() * 256.0) as u8).collect();
    let labels = (0..count).map(|index| (index % classes) as u32).collect();
    Split { height: side, width: side, channels, pixels: pixels.into(), labels, sources: None, contents: None }
}
