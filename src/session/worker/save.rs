//! Saving: when it is due, and what a failure costs.

use super::Worker;
use crate::{session::keeper::Tensors, train::run_folder::State};
use std::time::{Duration, Instant};

impl Worker {
    pub(super) fn save_due(&self) -> bool {
        let every = Duration::try_from_secs_f64(self.recipe.checkpoint_seconds).unwrap_or(Duration::MAX);
        // Saving takes at most a twentieth of the time, however slow the disk.
        self.last_save.elapsed() > every.max(self.save_took * 20)
    }

    pub(super) fn save(&mut self) {
        let started = Instant::now();
        if let Err(failure) = self.report() {
            // The report has saved the last good state already.
            self.stopping = true;
            self.warn(failure);
            return;
        }
        let (weights, optimiser) = (self.trainer.state(false), self.trainer.optimiser_state());
        let state = self.state_now();
        let tensors = Tensors { card: &self.card, weights: &weights, optimiser: &optimiser };
        let written = self.keeper.checkpoint(&state, &tensors).map_err(|e| e.to_string());
        self.note_write(written);
        self.save_took = started.elapsed();
        self.last_save = Instant::now();
        self.pace.skip(self.save_took);
    }

    pub(super) fn state_now(&self) -> State {
        State { recipe: self.recipe.clone(), ..self.state.clone() }
    }

    pub(super) fn save_best(&mut self) {
        let weights = self.trainer.state(true);
        let written = self.keeper.best(&self.card, &weights, self.state.step).map_err(|e| e.to_string());
        self.note_write(written);
    }

    /// A full or vanished disk costs a message, not the run.
    pub(super) fn note_write(&mut self, written: Result<(), String>) {
        match written {
            Ok(()) if self.unwritten => {
                self.unwritten = false;
                self.warn("the run's folder can be written again; everything is saved".into());
            }
            Ok(()) => {}
            Err(error) => {
                if !std::mem::replace(&mut self.unwritten, true) {
                    self.warn(format!("not saved: {error}; training goes on in memory and saving is tried again"));
                }
            }
        }
    }
}
