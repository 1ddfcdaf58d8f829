//! Batches by number: batch `b` of epoch `e` is a function of the seed, whoever asks and whenever.

use super::{
    augment::{Augmentation, SampleParams, epoch_order},
    recipe::Recipe,
    render::{Transform, mix, render},
    schedule::steps_per_epoch,
    source::{Pixels, Source},
};
use crate::{
    data::{Dataset, Normalisation, Split},
    device::Compute,
    ops::resident::Rules,
};
use rayon::prelude::*;
use std::{ops::Range, sync::Arc};

/// A place in the training data: two integers are all that a run needs to go on from there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Counted from 0.
    pub epoch: u64,
    /// Batch within the epoch, counted from 0.
    pub batch: u64,
}

impl Position {
    /// The place behind this batch.
    pub fn next(self, steps_per_epoch: u64) -> Self {
        if self.batch + 1 < steps_per_epoch {
            Position { batch: self.batch + 1, ..self }
        } else {
            Position { epoch: self.epoch + 1, batch: 0 }
        }
    }
}

/// What a batch is made of, before any pixel.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchPlan {
    pub position: Position,
    /// One entry for each image.
    pub params: Vec<SampleParams>,
}

impl BatchPlan {
    pub fn len(&self) -> usize {
        self.params.len()
    }

    pub fn is_empty(&self) -> bool {
        self.params.is_empty()
    }

    /// Positions of the images in the split.
    pub fn indices(&self) -> Vec<u32> {
        self.params.iter().map(|params| params.index).collect()
    }

    /// Classes of the images.
    pub fn labels(&self) -> Vec<i32> {
        self.params.iter().map(|params| params.label as i32).collect()
    }

    /// Classes of the images mixed into them; those of the images themselves where there is no mix.
    pub fn partner_labels(&self) -> Vec<i32> {
        self.params.iter().map(|params| params.partner_label as i32).collect()
    }

    /// Weight of each image's own class; 1 where there is no mix.
    pub fn shares(&self) -> Vec<f32> {
        self.params.iter().map(|params| params.share).collect()
    }

    /// Every image's [`SampleParams::to_words`], one after the other.
    pub fn words(&self) -> Vec<u32> {
        self.params.iter().flat_map(SampleParams::to_words).collect()
    }
}

/// A batch, ready for the network.
#[derive(Clone, Debug)]
pub struct Batch {
    pub plan: BatchPlan,
    /// Height and width of the images.
    pub size: [usize; 2],
    pub pixels: Pixels,
}

/// Where training batches come from: a data set and all that a recipe says about its images.
#[derive(Clone)]
pub struct Feed {
    dataset: Arc<Dataset>,
    transform: Transform,
    augmentation: Augmentation,
    normalisation: Normalisation,
    seed: u64,
    batch_size: usize,
    source: Source,
    /// What the transform is to a device that has the images.
    rules: Arc<Rules>,
}

impl Feed {
    /// Batches that are made on the CPU.
    pub fn new(dataset: Arc<Dataset>, recipe: &Recipe, normalisation: &Normalisation) -> Self {
        let transform = Transform::new(&dataset.train, recipe, normalisation);
        Self {
            source: Source::Streamed,
            rules: Arc::new(transform.rules()),
            transform,
            augmentation: Augmentation::from(recipe),
            normalisation: normalisation.clone(),
            seed: recipe.seed,
            batch_size: recipe.batch_size.max(1),
            dataset,
        }
    }

    /// The same data under a changed recipe. The batch size stays: it changes with [`Feed::with_batch_size`], between
    /// epochs.
    pub fn with_recipe(&self, recipe: &Recipe) -> Self {
        let changed = Self::new(self.dataset.clone(), recipe, &self.normalisation);
        Self { batch_size: self.batch_size, source: self.source.clone(), ..changed }
    }

    /// The same batches, made on the device where it can make them: its memory then holds the data set.
    pub fn on(self, compute: &Compute) -> Self {
        let source = Source::choose(self.split(), &self.transform, compute);
        Self { source, ..self }
    }

    pub fn with_batch_size(&self, batch_size: usize) -> Self {
        Self { batch_size: batch_size.max(1), ..self.clone() }
    }

    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    pub fn transform(&self) -> &Transform {
        &self.transform
    }

    pub fn split(&self) -> &Split {
        &self.dataset.train
    }

    /// Batches in an epoch; the last, shorter one counts unless it would hold a single image.
    pub fn steps_per_epoch(&self) -> u64 {
        steps_per_epoch(self.split().len(), self.batch_size)
    }

    /// The order of an epoch, for [`Feed::plan`].
    pub fn order(&self, epoch: u64) -> Vec<u32> {
        epoch_order(self.seed, epoch, self.split().len())
    }

    /// What the batch at `position` is made of; `order` is that of its epoch. Empty beyond the epoch's end.
    pub fn plan(&self, order: &[u32], position: Position) -> BatchPlan {
        let start = usize::try_from(position.batch).ok().and_then(|batch| batch.checked_mul(self.batch_size));
        let start = start.unwrap_or(order.len()).min(order.len());
        let images = match position.batch < self.steps_per_epoch() {
            true => &order[start..(start + self.batch_size).min(order.len())],
            false => &[],
        };
        let (split, output) = (self.split(), self.transform.output());
        let mixed = self.augmentation.batch_mix(self.seed, position.epoch, position.batch, output);
        let label = |index: u32| split.labels[index as usize];
        let n = images.len();
        let params = images.iter().enumerate().map(|(i, &index)| {
            let partner = n - 1 - i;
            SampleParams {
                mix: mixed.mix,
                partner: partner as u32,
                share: mixed.share,
                mix_box: mixed.mix_box,
                partner_label: if mixed.share < 1.0 { label(images[partner]) } else { label(index) },
                ..self.augmentation.sample(self.seed, position.epoch, split, index, output)
            }
        });
        BatchPlan { position, params: params.collect() }
    }

    /// Renders a plan into `pixels`, whose memory is used again.
    pub fn render(&self, plan: &BatchPlan, pixels: &mut Vec<f32>) {
        render_all(self.split(), &plan.params, &self.transform, pixels);
        mix(&plan.params, &self.transform, pixels);
    }

    /// The batch of a plan. Where the CPU renders it, the memory of `pixels` is used again.
    pub fn make(&self, plan: BatchPlan, mut pixels: Vec<f32>) -> Batch {
        let pixels = match &self.source {
            // A changed recipe may have brought another size, which images get on the CPU.
            Source::Resident(images) if !self.transform.resizes() => {
                Pixels::Resident(images.clone(), self.rules.clone())
            }
            Source::Resident(_) | Source::Streamed => {
                self.render(&plan, &mut pixels);
                Pixels::Rendered(pixels)
            }
        };
        Batch { plan, size: self.transform.output(), pixels }
    }

    /// The batch at `position`, from nothing: what a report looks at again.
    pub fn batch(&self, position: Position) -> Batch {
        self.make(self.plan(&self.order(position.epoch), position), Vec::new())
    }
}

/// Images `range` of a split as they are, for validation, into `pixels` `[N, H, W, C]`.
pub fn render_range(split: &Split, transform: &Transform, range: Range<usize>, pixels: &mut Vec<f32>) {
    let range = range.start.min(split.len())..range.end.min(split.len());
    let params: Vec<_> = range.map(|index| SampleParams::plain(index as u32, split.labels[index])).collect();
    render_all(split, &params, transform, pixels);
}

/// The ranges of `n` images in pieces of at most `batch`.
pub fn ranges(n: usize, batch: usize) -> impl Iterator<Item = Range<usize>> {
    let batch = batch.max(1);
    (0..n.div_ceil(batch)).map(move |i| i * batch..((i + 1) * batch).min(n))
}

fn render_all(split: &Split, params: &[SampleParams], transform: &Transform, pixels: &mut Vec<f32>) {
    /// Below this many values, waking other threads costs more than it brings.
    const WORTH_SHARING: usize = 1 << 19;

    let len = transform.output_len();
    pixels.resize(len * params.len(), 0.0);
    if len == 0 {
        return;
    }
    if pixels.len() < WORTH_SHARING {
        pixels.chunks_exact_mut(len).zip(params).for_each(|(out, params)| render(split, params, transform, out));
    } else {
        let images = pixels.par_chunks_exact_mut(len).zip(params);
        images.for_each(|(out, params)| render(split, params, transform, out));
    }
}
