//! What `last.json` says: where a checkpoint stands.

use crate::train::recipe::Recipe;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a checkpoint stands: what a run needs, beside its tensors, to go on as if nothing had happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Number of the checkpoint; counts up. Set by [`super::RunFolder::checkpoint`].
    pub generation: u64,
    pub branch: u32,
    /// Updates made.
    pub step: u64,
    /// Epochs completed, and batches of the present one.
    pub epoch: u64,
    pub batch: u64,
    /// The batch size of the present epoch; a changed one waits for the next.
    pub batch_size: usize,
    /// Sums over the present epoch so far.
    pub loss_sum: f64,
    pub hits: f64,
    pub seen: u64,
    /// The best on the way to this state; [`State::best_of_run`] knows other branches too.
    pub best_accuracy: Option<f64>,
    pub last_accuracy: Option<f64>,
    /// Epochs since the best.
    pub epochs_without_better: u64,
    /// Seconds of training, pauses left out.
    pub seconds: f64,
    pub finished: bool,
    /// The hyperparameters in force.
    pub recipe: Recipe,
    /// Other numbers that the loop needs, such as a loss scale.
    pub extra: BTreeMap<String, f64>,
}

impl State {
    /// As it was when the present epoch began, but for what was learned since.
    pub fn begin_epoch_anew(&mut self) {
        (self.batch, self.loss_sum, self.hits, self.seen) = (0, 0.0, 0.0, 0);
    }
}

/// Where `extra` has the best validation accuracy of all branches, if another one has it.
const BEST_OF_RUN: &str = "best of run";

impl State {
    /// The best validation accuracy of the run on any branch: that of `best.safetensors`.
    pub fn best_of_run(&self) -> Option<f64> {
        let others = self.extra.get(BEST_OF_RUN).copied();
        self.best_accuracy.into_iter().chain(others).max_by(f64::total_cmp)
    }

    /// Remembers the best of the run where it is not on the way to this state.
    pub fn keep_best_of_run(&mut self, best: Option<f64>) {
        self.extra.remove(BEST_OF_RUN);
        if let Some(best) = best.filter(|best| self.best_accuracy.is_none_or(|own| *best > own)) {
            self.extra.insert(BEST_OF_RUN.to_owned(), best);
        }
    }
}
