//! Saving: when it is due, and what a failure costs.

use super::Worker;
use crate::{
    session::{
        Event, SessionError, Unsaved,
        error::not_saved,
        run_writer::{Best, KeepError, Remark, Tensors},
    },
    text,
    train::run_folder::RunState,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

impl Worker {
    pub(super) fn save_due(&self) -> bool {
        let every = Duration::try_from_secs_f64(self.recipe.checkpoint_seconds).unwrap_or(Duration::MAX);
        // Saving takes at most a twentieth of the time, however slow the disk.
        self.occasions.save.is_due(every, 20)
    }

    /// Saves the run. What can't be written is said and tried again; training fails only where the steps since the last
    /// report can't be kept.
    pub(super) fn save(&mut self) -> Result<(), SessionError> {
        let started = Instant::now();
        self.report()?;
        let (weights, optimiser) = (self.trainer.state(false), self.trainer.optimiser_state());
        let state = self.state_now();
        let tensors = Tensors { card: &self.card, weights: &weights, optimiser: &optimiser };
        let written = self.writer.checkpoint(&state, &tensors);
        let all = written.is_ok();
        self.note_write(written);
        if all && self.unwritten.take().is_some() {
            self.warn("the run's folder can be written again; everything is saved".into());
        }
        let took = self.occasions.save.done(started);
        self.pace.skip(took);
        Ok(())
    }

    pub(super) fn state_now(&self) -> RunState {
        RunState { recipe: self.recipe.clone(), ..self.state.clone() }
    }

    pub(super) fn save_best(&mut self) {
        let (card, weights) = (self.card.clone(), self.trainer.state(true));
        let best = Best { card, weights, step: self.state.step, accuracy: self.state.last_accuracy };
        let written = self.writer.set_best(best);
        self.note_write(written);
    }

    /// Says what came of writing to the run's folder. A failure is said once, until all is on disk again.
    pub(super) fn note_write(&mut self, written: Result<(), KeepError>) {
        self.note_remarks();
        if let Err(error) = written
            && let Some(error) = self.unwritten_for(error)
        {
            self.warn(not_saved(&error));
        }
    }

    /// Keeps why something could not be written; gives it where nobody was told yet that it is so.
    pub(super) fn unwritten_for(&mut self, error: KeepError) -> Option<Arc<KeepError>> {
        let error = Arc::new(error);
        self.unwritten.replace(error.clone()).is_none().then_some(error)
    }

    pub(super) fn note_remarks(&mut self) {
        let step = self.state.step;
        for remark in self.writer.remarks() {
            match remark {
                Remark::SnapshotRemoved(name) => self.emit(Event::SnapshotRemoved { step, name }),
                Remark::WrittenAnew(folder) => self.warn(format!(
                    "{} or files in it were moved or deleted; what the run needs was written there anew",
                    text::path(&folder)
                )),
            }
        }
    }

    /// Fails where the run is not on disk as it is in memory.
    pub(super) fn all_saved(&self) -> Result<(), Unsaved> {
        let Some(error) = self.unwritten.clone() else { return Ok(()) };
        let (folder, step) = (self.setup.run_dir.clone(), self.state.step);
        Err(match self.writer.step_on_disk() {
            Some(on_disk) if on_disk == step => Unsaved::Part(error),
            Some(on_disk) => Unsaved::Steps { error, folder, on_disk, step },
            None => Unsaved::All { error, folder },
        })
    }
}
