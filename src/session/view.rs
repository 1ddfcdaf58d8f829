//! The latest state of a session, for looking at: replaced as a whole, never locked while somebody reads it.

use crate::data::Dataset;
use crate::train::{
    CrossValidated,
    events::Phase,
    memory::Memory,
    metrics::{Confusion, argmax},
    recipe::Recipe,
};
use std::sync::Arc;

/// A consistent picture of a session at one moment.
#[derive(Clone, Debug)]
pub struct View {
    pub phase: Phase,
    /// The phase in words, such as “Reading images 1,204 / 6,000”.
    pub(crate) status: String,
    /// Epochs completed.
    pub(crate) epoch: u64,
    pub(crate) epochs: u64,
    /// Optimiser updates made.
    pub step: u64,
    pub(crate) total_steps: u64,
    pub(crate) steps_per_epoch: u64,
    /// Training throughput over the last seconds.
    pub(crate) images_per_s: f32,
    /// Seconds to the end at the present pace; the first step does not count.
    pub(crate) eta_s: Option<f64>,
    /// The device, described as `kindling devices` does.
    pub(crate) device: String,
    /// Bytes in use on the device, where it says; see [`crate::device::Compute::memory`].
    pub(crate) device_bytes: Option<u64>,
    /// The hyperparameters in force.
    pub recipe: Recipe,
    /// The latest.
    pub predictions: Arc<Predictions>,
    /// Those of the last complete validation; empty before there was one.
    pub(crate) validated: Arc<Predictions>,
    /// Of the last complete validation.
    pub(crate) confusion: Option<Arc<Confusion>>,
    /// How each image's loss went over the last epochs, as of the last complete one.
    pub memory: Arc<Memory>,
    /// Of a head that is found at once.
    pub(crate) head: Option<HeadView>,
}

/// What is known of a head that is found at once.
#[derive(Clone, Debug)]
pub(crate) struct HeadView {
    /// The images that it was found on: others than the session began with where they were edited since.
    pub dataset: Arc<Dataset>,
    /// Share of images that were recognised by heads which had not seen them.
    pub accuracy: f64,
    pub figures: CrossValidated,
}

/// What is to be seen of a session that nothing else in it says; the rest of its [`View`] is worked out of what it is.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub phase: Phase,
    pub status: String,
    pub predictions: Arc<Predictions>,
    pub validated: Arc<Predictions>,
    pub confusion: Option<Arc<Confusion>>,
    pub memory: Arc<Memory>,
    /// Whether `memory` is of a branch that was left: it is shown until an epoch of the present one is over.
    pub memory_is_old: bool,
}

impl Default for Shown {
    /// As it is while the kernels of the first step are prepared.
    fn default() -> Self {
        let (predictions, validated) = (Arc::default(), Arc::default());
        let status = "Preparing kernels".into();
        Self {
            phase: Phase::Compiling,
            status,
            predictions,
            validated,
            confusion: None,
            memory: Arc::default(),
            memory_is_old: false,
        }
    }
}

impl View {
    /// What is to be seen before the thread has done anything.
    pub(super) fn before(setup: &super::Setup) -> Self {
        Self {
            phase: Phase::Reading,
            status: "Opening the device".into(),
            epoch: 0,
            epochs: setup.recipe.epochs,
            step: 0,
            total_steps: 0,
            steps_per_epoch: 0,
            images_per_s: 0.0,
            eta_s: None,
            device: setup.device.to_string(),
            device_bytes: None,
            recipe: setup.recipe.clone(),
            predictions: Arc::default(),
            validated: Arc::default(),
            confusion: None,
            memory: Arc::default(),
            head: None,
        }
    }
}

/// What the network thinks of validation images: a few hundred of them while an epoch goes on, all after it.
#[derive(Clone, Debug, Default)]
pub struct Predictions {
    /// The step after which they were made.
    pub step: u64,
    /// By image index, ascending.
    pub items: Vec<Prediction>,
}

/// The class probabilities of one validation image.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// Position in the validation split.
    pub index: u32,
    /// One for each class; sums to 1.
    pub(crate) probabilities: Vec<f32>,
}

impl Prediction {
    /// The class with the highest probability, the first of equals, and that probability.
    pub fn top(&self) -> (usize, f32) {
        let best = argmax(&self.probabilities);
        (best, self.probabilities.get(best).copied().unwrap_or(f32::NEG_INFINITY))
    }
}
