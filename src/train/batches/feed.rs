//! Batches by number: batch `b` of epoch `e` is a function of the seed, whoever asks and whenever.

use super::{
    augment::{Augmentation, SampleParams},
    order::{self, Turn},
    source::{Pixels, Source},
    transform::Transform,
};
use crate::{
    data::{Dataset, Normalisation, Split},
    device::Compute,
    ops::{self, resident::Gatherer, sample::mix},
    train::recipe::{Recipe, steps_per_epoch},
};
use rayon::prelude::*;
use std::{mem, ops::Range, sync::Arc};

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
pub(crate) struct BatchPlan {
    /// One entry for each image.
    pub params: Vec<SampleParams>,
}

impl BatchPlan {
    pub(crate) fn len(&self) -> usize {
        self.params.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.params.is_empty()
    }

    /// Positions of the images in the split.
    pub(crate) fn indices(&self) -> Vec<u32> {
        self.params.iter().map(|params| params.index).collect()
    }

    /// What is done to the images of this batch alone, in its order: the places are those in the batch.
    fn side_by_side(&self) -> Vec<SampleParams> {
        (0..).zip(&self.params).map(|(index, params)| SampleParams { index, ..*params }).collect()
    }

    /// Images as they are.
    pub(in crate::train) fn plain(images: impl Iterator<Item = (u32, u32)>) -> Self {
        Self { params: images.map(|(index, label)| SampleParams::plain(index, label)).collect() }
    }
}

/// A batch, ready for the network.
#[derive(Clone, Debug)]
pub struct Batch {
    pub(crate) plan: BatchPlan,
    /// Height, width and channels of the images.
    pub(crate) shape: [usize; 3],
    pub pixels: Pixels,
    /// How much each class counts in the loss; all alike without.
    pub(crate) class_weights: Option<Arc<[f32]>>,
}

impl Batch {
    /// Shows `look` the batch as a network takes it. What still is to travel does.
    pub(crate) fn with_input<R>(&self, look: impl FnOnce(&ops::Batch) -> R) -> R {
        let ([height, width, channels], samples) = (self.shape, &self.plan.params);
        let shape = [samples.len(), height, width, channels];
        match &self.pixels {
            Pixels::Rendered(values) => look(&ops::Batch { pixels: ops::Pixels::Values(values, shape), samples }),
            Pixels::Resident(images, rules) => {
                look(&ops::Batch { pixels: ops::Pixels::Bytes { images, rules }, samples })
            }
            Pixels::Sent(gatherer, bytes, size, rules) => {
                let (images, samples) = (&gatherer.send(bytes, *size, channels), &self.plan.side_by_side());
                look(&ops::Batch { pixels: ops::Pixels::Bytes { images, rules }, samples })
            }
        }
    }
}

/// Where batches come from: a data set and all that a recipe says about its images.
#[derive(Clone)]
pub struct Feed {
    dataset: Arc<Dataset>,
    /// Of training images.
    transform: Transform,
    /// Of validation images, which may be kept at another size.
    of_validation: Transform,
    augmentation: Augmentation,
    class_weights: Option<Arc<[f32]>>,
    seed: u64,
    /// Whether every class comes equally often.
    balanced: bool,
    batch_size: usize,
    /// Where batches of training images are made, and where those of validation images: on a GPU only while they keep
    /// their size, or are resized crops.
    sources: [Source; 2],
}

/// Whether the same batches come out of both, made in the same places.
impl PartialEq for Feed {
    fn eq(&self, other: &Self) -> bool {
        // Every field is named, so that a new one is not left out by oversight.
        let Self {
            dataset,
            transform,
            of_validation,
            augmentation,
            class_weights,
            seed,
            balanced,
            batch_size,
            sources,
        } = self;
        Arc::ptr_eq(dataset, &other.dataset)
            && (transform, augmentation, class_weights) == (&other.transform, &other.augmentation, &other.class_weights)
            && of_validation == &other.of_validation
            && (seed, balanced, batch_size) == (&other.seed, &other.balanced, &other.batch_size)
            && sources.each_ref().map(mem::discriminant) == other.sources.each_ref().map(mem::discriminant)
    }
}

impl Feed {
    /// Batches that are made on the CPU.
    pub fn new(dataset: Arc<Dataset>, recipe: &Recipe, normalisation: &Normalisation) -> Self {
        let rules = dataset.options.pixel_rules;
        // What the network sees without a wish of the recipe is what validation images are kept at.
        let of_validation = Transform::new(&dataset.validation, recipe, normalisation, rules);
        Self {
            sources: Default::default(),
            transform: Transform::to(of_validation.output(), &dataset.train, recipe, normalisation, rules),
            of_validation,
            augmentation: Augmentation::from(recipe),
            class_weights: recipe.class_weights.of(&shown(&dataset, recipe)).map(Arc::from),
            seed: recipe.seed,
            balanced: recipe.balanced_sampling,
            batch_size: recipe.batch_size.max(1),
            dataset,
        }
    }

    /// The same data under a changed recipe. The batch size stays: it changes with [`Feed::with_batch_size`], between
    /// epochs.
    pub(crate) fn with_recipe(&self, recipe: &Recipe) -> Self {
        let changed = Self::new(self.dataset.clone(), recipe, &self.transform.preprocessing().normalisation);
        // It may have brought another size, which images get on the CPU.
        let [train, validation] = changed.gathers();
        let kept = |gathers: bool, source: &Source| if gathers { source.clone() } else { Source::Rendered };
        let sources = [kept(train, &self.sources[0]), kept(validation, &self.sources[1])];
        Self { batch_size: self.batch_size, sources, ..changed }
    }

    /// The same batches, made on the device where it can make them. Its memory then holds the images that have room in
    /// it, first of all those to train on.
    pub fn on(self, compute: &Compute) -> Self {
        self.within(u64::MAX, compute)
    }

    /// [`Feed::on`], where no more than `room` bytes of images may stay on the device.
    pub fn within(self, room: u64, compute: &Compute) -> Self {
        let gatherer = Gatherer::of(compute);
        let mut room = gatherer.as_ref().map_or(0, |gpu| gpu.room().min(room));
        let Dataset { train, validation, .. } = &*self.dataset;
        let rendered = size_of::<f32>() * self.transform.output_len();
        let [of_train, of_validation] = self.gathers().map(|gathers| gatherer.as_ref().filter(|_| gathers));
        let sources = [(train, of_train), (validation, of_validation)]
            .map(|(split, gatherer)| Source::choose(split, gatherer, rendered, &mut room));
        Self { sources, ..self }
    }

    /// Whether a GPU can make batches of the training images, and of the validation images, from their bytes.
    fn gathers(&self) -> [bool; 2] {
        let crops = self.augmentation.resized_crop.is_some() || self.split().is_squeezed();
        [crops || !self.transform.resizes(), !self.of_validation.resizes()]
    }

    pub(crate) fn with_batch_size(&self, batch_size: usize) -> Self {
        Self { batch_size: batch_size.max(1), ..self.clone() }
    }

    pub(crate) fn batch_size(&self) -> usize {
        self.batch_size
    }

    pub(crate) fn transform(&self) -> &Transform {
        &self.transform
    }

    pub(crate) fn split(&self) -> &Split {
        &self.dataset.train
    }

    /// Batches in an epoch; the last, shorter one counts unless it would hold a single image.
    pub fn steps_per_epoch(&self) -> u64 {
        steps_per_epoch(self.split().len(), self.batch_size)
    }

    /// The order of an epoch, for [`Feed::plan`].
    pub(crate) fn order(&self, epoch: u64) -> Vec<Turn> {
        match self.balanced {
            true => order::balanced(self.seed, epoch, &self.split().labels),
            false => order::plain(self.seed, epoch, self.split().len()),
        }
    }

    /// What the batch at `position` is made of; `order` is that of its epoch. Empty beyond the epoch's end.
    pub(crate) fn plan(&self, order: &[Turn], position: Position) -> BatchPlan {
        let start = usize::try_from(position.batch).ok().and_then(|batch| batch.checked_mul(self.batch_size));
        let start = start.unwrap_or(order.len()).min(order.len());
        let turns = match position.batch < self.steps_per_epoch() {
            true => &order[start..(start + self.batch_size).min(order.len())],
            false => &[],
        };
        let (split, output) = (self.split(), self.transform.output());
        if self.augmentation.contrast > 0.0 && split.is_decoded_as_needed() {
            // Contrast turns about what is to be looked up in the pixels: decoded on all cores first.
            turns.par_iter().for_each(|turn| drop(split.image(turn.image as usize)));
        }
        let mixed = self.augmentation.batch_mix(self.seed, position.epoch, position.batch, output);
        let label = |index: u32| split.labels[index as usize];
        let n = turns.len();
        let params = turns.iter().enumerate().map(|(i, &Turn { image: index, pass })| {
            let partner = n - 1 - i;
            SampleParams {
                mix: mixed.mix,
                partner: partner as u32,
                lambda: mixed.lambda,
                mix_box: mixed.mix_box,
                partner_label: if mixed.lambda < 1.0 { label(turns[partner].image) } else { label(index) },
                ..self.augmentation.sample(self.seed, u64::from(pass), split, index, output)
            }
        });
        BatchPlan { params: params.collect() }
    }

    /// Renders a plan of training images on the CPU into `pixels` `[N, H, W, C]`, whose memory is used again.
    pub(crate) fn render(&self, plan: &BatchPlan, pixels: &mut Vec<f32>) {
        render(self.split(), &self.transform, plan, pixels);
    }

    /// The batch of a plan, into the memory of one that was used.
    pub(crate) fn make(&self, plan: BatchPlan, used: Option<Pixels>) -> Batch {
        let [train, _] = &self.sources;
        let class_weights = self.class_weights.clone();
        Batch { class_weights, ..self.make_of(self.split(), &self.transform, train, plan, used) }
    }

    /// The batch at `position`, from nothing: what a report looks at again.
    pub fn batch(&self, position: Position) -> Batch {
        self.make(self.plan(&self.order(position.epoch), position), None)
    }

    /// Validation images `range` as they are.
    pub(crate) fn validation(&self, range: Range<usize>) -> Batch {
        let end = self.dataset.validation.len();
        self.picked(range.start.min(end)..range.end.min(end))
    }

    /// The validation images at these places as they are.
    ///
    /// # Panics
    /// If one is not there, as a slice would.
    pub(crate) fn picked(&self, indices: impl IntoIterator<Item = usize>) -> Batch {
        let (split, [_, source]) = (&self.dataset.validation, &self.sources);
        let plan = BatchPlan::plain(indices.into_iter().map(|index| (index as u32, split.labels[index])));
        self.make_of(split, &self.of_validation, source, plan, None)
    }

    fn make_of(
        &self,
        split: &Split,
        transform: &Transform,
        source: &Source,
        plan: BatchPlan,
        used: Option<Pixels>,
    ) -> Batch {
        let pixels = match source {
            Source::Resident(images) => Pixels::Resident(images.clone(), transform.rules().clone()),
            Source::Streamed(gatherer) => {
                let mut bytes = used.map_or_else(Vec::new, Pixels::into_bytes);
                let copy = |out: &mut [u8], params: &SampleParams| {
                    out.copy_from_slice(&split.image(params.index as usize));
                };
                for_each_image(&mut bytes, split.image_len(), &plan.params, copy);
                Pixels::Sent(gatherer.clone(), bytes, [split.height, split.width], transform.rules().clone())
            }
            Source::Rendered => {
                let mut values = used.map_or_else(Vec::new, Pixels::into_values);
                render(split, transform, &plan, &mut values);
                Pixels::Rendered(values)
            }
        };
        Batch { plan, shape: transform.shape(), pixels, class_weights: None }
    }
}

fn render(split: &Split, transform: &Transform, plan: &BatchPlan, pixels: &mut Vec<f32>) {
    for_each_image(pixels, transform.output_len(), &plan.params, |out, params| transform.render(split, params, out));
    mix(&plan.params, transform.shape(), pixels);
}

/// How often an epoch shows each class, in proportion.
fn shown(dataset: &Dataset, recipe: &Recipe) -> Vec<usize> {
    let classes = dataset.classes.len();
    if recipe.balanced_sampling { vec![1; classes] } else { dataset.train.class_counts(classes) }
}

/// The ranges of `n` images in pieces of at most `batch`.
pub(crate) fn ranges(n: usize, batch: usize) -> impl Iterator<Item = Range<usize>> {
    let batch = batch.max(1);
    (0..n.div_ceil(batch)).map(move |i| i * batch..((i + 1) * batch).min(n))
}

/// Makes `values` as long as the images of `params` are, `len` each, and has every image written, on several threads where
/// there are many.
fn for_each_image<T: Copy + Default + Send>(
    values: &mut Vec<T>,
    len: usize,
    params: &[SampleParams],
    write: impl Fn(&mut [T], &SampleParams) + Sync,
) {
    /// Below this many values, waking other threads costs more than it brings.
    const WORTH_SHARING: usize = 1 << 19;

    values.resize(len * params.len(), T::default());
    if len == 0 {
        return;
    }
    if values.len() < WORTH_SHARING {
        values.chunks_exact_mut(len).zip(params).for_each(|(out, params)| write(out, params));
    } else {
        values.par_chunks_exact_mut(len).zip(params).for_each(|(out, params)| write(out, params));
    }
}

#[cfg(test)]
mod tests;
