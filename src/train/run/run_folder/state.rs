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

/// Where `extra` has the validation accuracy of `best.safetensors`, where better weights could not be written there.
const BEST_ON_DISK: &str = "best on disk";

impl State {
    /// The best validation accuracy of the run on any branch: that of `best.safetensors`.
    pub fn best_of_run(&self) -> Option<f64> {
        if let Some(&written) = self.extra.get(BEST_ON_DISK) {
            // A negative one stands for no file.
            return Some(written).filter(|written| *written >= 0.0);
        }
        let others = self.extra.get(BEST_OF_RUN).copied();
        self.best_accuracy.into_iter().chain(others).max_by(f64::total_cmp)
    }

    /// The state for a checkpoint to which the best weights are missing: those on disk have the accuracy `written`.
    pub fn without_best(self, written: Option<f64>) -> Self {
        let mut extra = self.extra;
        extra.insert(BEST_ON_DISK.to_owned(), written.unwrap_or(-1.0));
        Self { extra, ..self }
    }

    /// Forgets a best whose weights were not written before the run ended: the next that is better than those on disk
    /// counts.
    pub fn forget_lost_best(&mut self) {
        if self.extra.contains_key(BEST_ON_DISK) {
            let written = self.best_of_run();
            self.extra.remove(BEST_ON_DISK);
            self.best_accuracy = written;
            self.keep_best_of_run(None);
        }
    }

    /// Remembers the best of the run where it is not on the way to this state.
    pub fn keep_best_of_run(&mut self, best: Option<f64>) {
        self.extra.remove(BEST_OF_RUN);
        if let Some(best) = best.filter(|best| self.best_accuracy.is_none_or(|own| *best > own)) {
            self.extra.insert(BEST_OF_RUN.to_owned(), best);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_best_that_was_never_written_does_not_count_after_a_restart() {
        let state = State { best_accuracy: Some(0.8), ..State::default() };
        for written in [Some(0.6), None] {
            let mut read = state.clone().without_best(written);
            assert_eq!(read.best_of_run(), written, "what the list of runs shows is in the file");
            read.forget_lost_best();
            assert_eq!((read.best_accuracy, read.best_of_run(), read.extra.len()), (written, written, 0));
        }
        let mut read = state.clone();
        read.forget_lost_best();
        assert_eq!(read, state);
    }
}
