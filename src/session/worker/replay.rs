//! The step at which a run stopped on NaN, computed once more on the CPU.
//!
//! The same weights and the same batch give nearly the same numbers on every device. Where they are finite on the CPU,
//! the recipe is not to blame, but the GPU or its driver.

use super::position;
use crate::{
    data::Dataset,
    device::Compute,
    ops::Implementation,
    session::{
        SessionError,
        run_writer::{self, Restored},
    },
    train::{
        batches::Feed,
        choices::Precision,
        diagnosis::Diagnosis,
        normalisation,
        recipe::Recipe,
        room,
        run_folder::RunFolder,
        trainer::{self, Trainer},
    },
};
use std::{path::Path, sync::Arc};

/// Outputs of a network that learns stay far below this. Beyond it squares leave the range of a float sooner or later,
/// and whether they do so in this very step is a matter of rounding.
const EXPLODED_OUTPUT: f32 = 1e6;

/// What came of the step on the CPU.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// Updates made before it.
    pub step: u64,
    pub diagnosis: Diagnosis,
    /// Whether the run was to be of 16-bit floats. Here they are of 32.
    pub(crate) half: bool,
}

/// What a replay says about a step that was not finite elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not finite here either: the recipe, or the data.
    Same,
    /// Finite here, but so large that only the order of rounding decides: the recipe as well.
    Absurd,
    /// An ordinary step here, in floats that hold more than those of the run.
    Narrow,
    /// An ordinary step here: the other device computed something wrong.
    Sound,
}

impl Replay {
    pub fn verdict(&self) -> Verdict {
        match self.diagnosis.is_finite() {
            false => Verdict::Same,
            true if self.diagnosis.largest() > EXPLODED_OUTPUT => Verdict::Absurd,
            true if self.half => Verdict::Narrow,
            true => Verdict::Sound,
        }
    }
}

/// Computes the step that comes after the run's last checkpoint, which is where a run that met NaN rests. Changes nothing.
/// Takes as long as one step on the CPU, or as several of `Implementation::Reference`.
///
/// # Errors
/// Where the run can't be read or does not fit the data.
pub fn replay(run: &Path, dataset: &Arc<Dataset>, ops: Implementation) -> Result<Replay, SessionError> {
    let checkpoint = RunFolder::open(run).and_then(|folder| folder.last())?;
    let checkpoint = checkpoint.ok_or_else(|| SessionError::NoCheckpoint(run.to_owned()))?;
    let Restored { state, weights, optimiser } = run_writer::restore(checkpoint)?;
    let recipe = &state.recipe;
    let spec = recipe.spec(dataset.train.channels, dataset.classes.len())?;
    let compute = Compute::cpu();
    let network = trainer::network_of(&spec, &weights, ops, &compute)?;
    let mut trainer = Trainer::new(network);
    // For the layers that are frozen at this step.
    trainer.restore_optimiser(&optimiser, state.extra.updates, recipe.frozen_at(state.epoch));
    let mut feed = Feed::new(dataset.clone(), recipe, &normalisation(recipe, dataset));
    if state.batch > 0 && state.batch_size > 0 {
        feed = feed.with_batch_size(state.batch_size);
    }
    let made = Recipe { batch_size: feed.batch_size(), precision: Precision::Single, ..recipe.clone() };
    room::check_batch(&spec, &made, feed.transform().output(), dataset.train.len(), ops, trainer.compute())?;
    let batch = feed.batch(position(&state));
    if batch.plan.is_empty() {
        return Err(SessionError::OtherData(run.to_owned()));
    }
    let half = recipe.precision == Precision::Half;
    Ok(Replay { step: state.step, diagnosis: trainer.diagnose(&batch, &made), half })
}
