//! Changed hyperparameters, snapshots, and going back to one.

use super::{Worker, position};
use crate::{
    session::{
        Event, SessionError,
        run_writer::{Restored, Tensors},
    },
    train::{
        field::{AppliesAt, Value},
        recipe::{self, Recipe},
        room::{self, RoomError},
        run_folder::RunState,
        trainer::{self, Trainer},
    },
};

impl Worker {
    pub(super) fn set(&mut self, key: &str, value: Value) {
        let mut trial = self.recipe.clone();
        // What waits for the next epoch was looked at already.
        for (pending, value) in self.pending.clone() {
            let _ = trial.set(pending, value);
        }
        let fits = |trial: &Recipe| trial.validate().and_then(|()| trial.check_classes(self.card.spec.classes));
        if let Err(error) = trial.set(key, value.clone()).and_then(|()| fits(&trial)) {
            return self.warn(format!("not changed: {error}"));
        }
        if let Err(error) = self.check_room(&trial) {
            return self.warn(format!("not changed: {error}"));
        }
        let Some(field) = recipe::field(key) else { return };
        match field.applies_at {
            AppliesAt::Now => self.apply(field.key, value),
            AppliesAt::NextEpoch => {
                self.pending.retain(|(pending, _)| *pending != field.key);
                self.pending.push((field.key, value));
            }
            AppliesAt::Restart => self.warn(format!("{} takes effect in a new run", field.label)),
        }
    }

    /// Whether there is memory to go on under another recipe.
    fn check_room(&self, recipe: &Recipe) -> Result<(), RoomError> {
        let (feed, spec, ops, compute) = (self.feed.feed(), &self.card.spec, self.setup.ops, self.trainer.compute());
        let (size, images) = (feed.transform().output(), feed.split().len());
        match room::takes_more(spec, [&self.recipe, recipe], size, images, ops, compute) {
            true => room::check_batch(spec, recipe, size, images, ops, compute),
            false => Ok(()),
        }
    }

    /// Puts a checked value in force, says so, and writes it down for whoever goes on with the run.
    pub(super) fn apply(&mut self, key: &'static str, value: Value) {
        if self.put(key, value) {
            let written = self.writer.set_recipe(&self.recipe);
            self.note_write(written);
        }
    }

    /// Puts a checked value in force and says so; gives whether it is another than before. `recipe.toml` stays as it is:
    /// what the run does of itself is no wish of whoever goes on with it.
    pub(super) fn put(&mut self, key: &'static str, value: Value) -> bool {
        let (Some(from), precision) = (self.recipe.get(key), self.recipe.precision) else { return false };
        if from == value || self.recipe.set(key, value).is_err() {
            return false;
        }
        let to = self.recipe.get(key).unwrap_or(from.clone());
        let feed = self.feed.feed().with_recipe(&self.recipe);
        self.feed.change(feed);
        self.emit(Event::Changed { step: self.state.step, key: key.to_owned(), from, to });
        if precision != self.recipe.precision {
            self.note_precision();
        }
        self.publish();
        true
    }

    /// Says so where the device can't do what the recipe asks for.
    pub(super) fn note_precision(&mut self) {
        let wanted = self.recipe.precision;
        if self.trainer.storage(&self.recipe) != wanted.storage() {
            let (name, device): (&str, _) = (wanted.into(), self.trainer.compute().description.clone());
            self.warn(format!("no 16-bit floats of the kind {name} on {device}: this run is in 32 bits"));
        }
    }

    pub(super) fn snapshot(&mut self, name: String, automatic: bool) -> Result<(), SessionError> {
        self.report()?;
        let name = if self.writer.branch() > 0 { format!("{name}-b{}", self.writer.branch()) } else { name };
        let (weights, optimiser) = (self.trainer.state(false), self.trainer.optimiser_state());
        let tensors = Tensors { card: &self.card, weights: &weights, optimiser: &optimiser };
        let epoch = self.schedule_step() as f64 / self.feed.feed().steps_per_epoch().max(1) as f64;
        let budget = self.recipe.snapshot_megabytes.saturating_mul(1 << 20);
        let kept = self.writer.snapshot(&name, automatic, epoch, &self.state_now(), &tensors, budget);
        self.note_remarks();
        match kept {
            Ok(true) => {
                let path = format!("snapshots/{name}.safetensors");
                self.emit(Event::Snapshot { step: self.state.step, name, path });
            }
            Ok(false) => {}
            // The run itself is saved, or it was said that it is not.
            Err(_) if automatic && (self.unwritten.is_some() || self.snapshots_fail) => {}
            Err(error) => {
                self.snapshots_fail |= automatic;
                let more = if automatic { "; training goes on, and later ones are tried" } else { "" };
                self.warn(format!("the snapshot {name} was not kept: {error}{more}"));
            }
        }
        Ok(())
    }

    /// Goes on from a snapshot as a new branch. What came after it stays on disk as the old branch.
    pub(super) fn rewind(&mut self, snapshot: &str, changes: Vec<(String, Value)>) -> Result<(), SessionError> {
        self.report()?;
        // Read before anything is written: the snapshot below may cost this one its place on the disk.
        let Restored { state, weights, optimiser } = self.writer.restore_snapshot(snapshot)?;
        let then = state.recipe.clone();
        let mut recipe = then.clone();
        for (key, value) in changes {
            recipe.set(&key, value)?;
        }
        recipe.validate()?;
        recipe.check_classes(self.card.spec.classes)?;
        self.check_room(&recipe)?;
        // So that the branch that is left can be gone on with as well.
        self.snapshot(format!("left-at-{}", self.state.step), false)?;
        let best_of_run = self.state.best_of_run();
        let compute = self.trainer.compute().clone();
        let network = trainer::network_of(&self.card.spec, &weights, self.setup.ops, &compute)?;
        self.trainer = Trainer::new(network);
        self.trainer.restore_optimiser(&optimiser, state.extra.updates, recipe.frozen_at(state.epoch));
        let from_branch = state.branch;
        self.recipe = recipe;
        self.state = RunState { finished: false, ..state };
        self.state.keep_best_of_run(best_of_run);
        self.pending.clear();
        let feed = self.feed.feed().with_recipe(&self.recipe);
        let batch_size = if self.state.batch > 0 { self.state.batch_size } else { self.recipe.batch_size };
        self.feed.change(feed.with_batch_size(batch_size));
        self.feed.seek(position(&self.state));
        self.writer.open_branch()?;
        self.emit(Event::Resumed {
            step: self.state.step,
            epoch: self.state.epoch,
            from_branch,
            snapshot: Some(snapshot.to_owned()),
            device: compute.description,
        });
        // What differs from the snapshot, not from the branch that was left: a branch's own past explains its values.
        for change in recipe::diff(&then, &self.recipe) {
            let (key, step) = (change.field.key.to_owned(), self.state.step);
            self.emit(Event::Changed { step, key, from: change.a, to: change.b });
        }
        // What comes will be seen again.
        self.shown.memory_is_old = true;
        let written = self.writer.set_recipe(&self.recipe);
        self.note_write(written);
        self.pace.restart();
        self.save()?;
        // Where training stands now is to be seen at once, also in a pause.
        match self.setup.headless() {
            true => self.publish(),
            false => self.preview(),
        }
        Ok(())
    }
}
