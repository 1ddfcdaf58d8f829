//! What `last.json` says: where a checkpoint stands.

use crate::train::recipe::Recipe;
use serde::{Deserialize, Serialize};

/// Where a checkpoint stands: what a run needs, beside its tensors, to go on as if nothing had happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunState {
    /// Number of the checkpoint; counts up. Set by [`super::RunFolder::checkpoint`].
    pub(crate) generation: u64,
    pub(crate) branch: u32,
    /// Updates made.
    pub step: u64,
    /// Epochs completed, and batches of the present one.
    pub epoch: u64,
    pub(crate) batch: u64,
    /// The batch size of the present epoch; a changed one waits for the next.
    pub(crate) batch_size: usize,
    /// Sums over the present epoch so far.
    pub(crate) loss_sum: f64,
    pub(crate) hits: f64,
    pub(crate) seen: u64,
    /// The best on the way to this state; [`RunState::best_of_run`] knows other branches too.
    pub best_accuracy: Option<f64>,
    pub(crate) last_accuracy: Option<f64>,
    /// Epochs since the best.
    pub(crate) epochs_without_better: u64,
    /// Seconds of training, pauses left out.
    pub(crate) seconds: f64,
    pub(crate) finished: bool,
    /// The hyperparameters in force.
    pub recipe: Recipe,
    pub(crate) extra: Extra,
}

/// What was added to the file later, in the form in which versions of the program that know no more read it too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Extra {
    /// Updates that the optimiser has seen.
    #[serde(with = "whole", skip_serializing_if = "whole::is_none")]
    pub updates: u64,
    /// The best validation accuracy of all branches, if another one has it.
    #[serde(rename = "best of run", skip_serializing_if = "Option::is_none")]
    best_of_run: Option<f64>,
    /// The validation accuracy of `best.safetensors`, where better weights could not be written there. A negative one
    /// stands for no file.
    #[serde(rename = "best on disk", skip_serializing_if = "Option::is_none")]
    best_on_disk: Option<f64>,
}

/// A whole number that the file has as a float.
mod whole {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn is_none(number: &u64) -> bool {
        *number == 0
    }

    pub(super) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(*number as f64)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        f64::deserialize(deserializer).map(|number| number as u64)
    }
}

impl RunState {
    /// As it was when the present epoch began, but for what was learned since.
    pub(crate) fn begin_epoch_anew(&mut self) {
        (self.batch, self.loss_sum, self.hits, self.seen) = (0, 0.0, 0.0, 0);
    }
}

impl RunState {
    /// The best validation accuracy of the run on any branch: that of `best.safetensors`.
    pub fn best_of_run(&self) -> Option<f64> {
        match self.extra.best_on_disk {
            Some(written) => Some(written).filter(|written| *written >= 0.0),
            None => self.best_accuracy.into_iter().chain(self.extra.best_of_run).max_by(f64::total_cmp),
        }
    }

    /// The state for a checkpoint to which the best weights are missing: those on disk have the accuracy `written`.
    pub(crate) fn without_best(mut self, written: Option<f64>) -> Self {
        self.extra.best_on_disk = Some(written.unwrap_or(-1.0));
        self
    }

    /// Forgets a best whose weights were not written before the run ended: the next that is better than those on disk
    /// counts.
    pub(crate) fn forget_lost_best(&mut self) {
        if self.extra.best_on_disk.is_some() {
            self.best_accuracy = self.best_of_run();
            (self.extra.best_on_disk, self.extra.best_of_run) = (None, None);
        }
    }

    /// Remembers the best of the run where it is not on the way to this state.
    pub(crate) fn keep_best_of_run(&mut self, best: Option<f64>) {
        self.extra.best_of_run = best.filter(|best| self.best_accuracy.is_none_or(|own| *best > own));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_best_that_was_never_written_does_not_count_after_a_restart() {
        let state = RunState { best_accuracy: Some(0.8), ..RunState::default() };
        for written in [Some(0.6), None] {
            let mut read = state.clone().without_best(written);
            assert_eq!(read.best_of_run(), written, "what the list of runs shows is in the file");
            read.forget_lost_best();
            assert_eq!((read.best_accuracy, read.best_of_run(), read.extra), (written, written, Extra::default()));
        }
        let mut read = state.clone();
        read.forget_lost_best();
        assert_eq!(read, state);
    }

    #[test]
    fn the_file_is_the_one_that_older_versions_write_and_read() {
        let of =
            |extra: &str| -> RunState { serde_json::from_str(&format!(r#"{{"extra": {extra}}}"#)).expect("a state") };
        let written = |state: &RunState| serde_json::to_value(state).expect("JSON")["extra"].to_string();
        for extra in [r#"{"best of run":0.75,"updates":12.0}"#, r#"{"best on disk":-1.0}"#, "{}"] {
            assert_eq!(written(&of(extra)), extra);
        }
        assert_eq!((of(r#"{"updates": 7.0, "scale": 2.0}"#).extra.updates, RunState::default().extra.updates), (7, 0));
    }
}
