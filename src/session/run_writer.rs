//! What a session leaves on disk: events, checkpoints, the best weights, snapshots. A disk that fails costs a message,
//! not the run: training goes on in memory, and what could not be written is kept and tried again with every save. A
//! folder that is moved or deleted is written anew. Where the disk is full, automatic snapshots make room for the rest.

use crate::{
    data::{Change, Dataset, Edits, Sides},
    text,
    train::{
        event_log::{EventLog, History, now},
        events::Event,
        memory::Memory,
        memory_file,
        recipe::Recipe,
        run_folder::{Checkpoint, DataNote, Folds, RunError, RunFolder, RunInfo, RunState, is_full_disk},
        snapshots::SnapshotInfo,
    },
    weights::{
        Metadata, ModelCard, StateDict, WeightsError, read_checkpoint, read_tensors, write_checkpoint, write_tensors,
    },
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Why something could not be kept or read back.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error("{path}: {error}", path = text::path(path))]
    Io { path: PathBuf, error: std::io::Error },
}

impl KeepError {
    fn is_full_disk(&self) -> bool {
        match self {
            KeepError::Run(error) => error.is_full_disk(),
            KeepError::Weights(WeightsError::Io { source: error, .. }) | KeepError::Io { error, .. } => {
                is_full_disk(error)
            }
            KeepError::Weights(_) => false,
        }
    }
}

/// What happened beside a save, to be said.
#[derive(Debug, PartialEq)]
pub(super) enum Remark {
    /// The folder had been moved or deleted, or files of it.
    WrittenAnew(PathBuf),
    /// The automatic snapshot of that name made room.
    SnapshotRemoved(String),
}

/// A state read back: where it stands, the weights, the optimiser's memory.
pub(super) struct Restored {
    pub state: RunState,
    pub weights: StateDict,
    pub optimiser: StateDict,
}

/// A run's folder, open for writing.
pub(super) struct RunWriter {
    folder: RunFolder,
    log: EventLog,
    info: RunInfo,
    /// Which images are held out, where some are.
    sides: Option<Sides>,
    /// What people had changed about the images when it began to learn from them.
    edits: Arc<Edits>,
    /// As it is to be on disk.
    recipe: Recipe,
    /// Whether that is still to be written.
    recipe_due: bool,
    best_due: Option<Best>,
    /// On which branch, after how many epochs, and what.
    memory_due: Option<(u32, u64, Arc<Memory>)>,
    /// The validation accuracy of the weights in `best.safetensors`.
    best_on_disk: Option<f64>,
    remarks: Vec<Remark>,
}

/// The best weights, and how good they are.
pub(super) struct Best {
    pub card: ModelCard,
    pub weights: StateDict,
    pub step: u64,
    pub accuracy: Option<f64>,
}

/// What is written of a network: its card, its weights, its optimiser.
pub(super) struct Tensors<'a> {
    pub card: &'a ModelCard,
    pub weights: &'a StateDict,
    pub optimiser: &'a StateDict,
}

impl Tensors<'_> {
    fn write(&self, step: u64, weights: &Path, optimiser: &Path) -> Result<(), KeepError> {
        write_checkpoint(weights, self.card, self.weights, step, &Metadata::new())?;
        Ok(write_tensors(optimiser, self.optimiser, &Metadata::new())?)
    }
}

impl RunWriter {
    /// A new run, with the state that it begins from as its first checkpoint: what can't be saved is known before the
    /// first step, and a run that is killed early goes on from the same weights. Where that fails nothing is left of it.
    pub(crate) fn create(
        path: &Path,
        recipe: &Recipe,
        info: RunInfo,
        dataset: &Dataset,
        tensors: &Tensors,
    ) -> Result<Self, KeepError> {
        let mut folder = RunFolder::begin(path, &info.learning_from(dataset))?;
        let state = RunState { recipe: recipe.clone(), ..RunState::default() };
        let sides = dataset.sides();
        let first = sides.as_ref().map_or(Ok(()), |sides| Ok(folder.write_sides(sides)?));
        let first = first.and_then(|()| {
            folder.write_edits(&dataset.options.edits)?;
            folder.checkpoint(&state, |weights, optimiser| tensors.write(0, weights, optimiser))?;
            folder.write_recipe(recipe)?;
            open_log(&folder, 0)
        });
        match first {
            Ok(log) => {
                let edits = dataset.options.edits.clone();
                Ok(Self { sides, edits, ..Self::new(folder, log, recipe, None) })
            }
            Err(error) => {
                folder.withdraw();
                Err(error)
            }
        }
    }

    /// Opens a run to go on with; `None` where it was killed before its first checkpoint.
    pub(crate) fn resume(path: &Path, recipe: &Recipe) -> Result<(Self, Option<Restored>), KeepError> {
        let folder = RunFolder::resume(path)?;
        let mut restored = folder.last()?.map(restore).transpose()?;
        let state = restored.as_mut().map(|restored| &mut restored.state);
        let (branch, best) = state.map_or((0, None), |state| {
            state.forget_lost_best();
            (state.branch, state.best_of_run())
        });
        let log = open_log(&folder, branch)?;
        Ok((Self { recipe_due: true, ..Self::new(folder, log, recipe, best) }, restored))
    }

    fn new(folder: RunFolder, log: EventLog, recipe: &Recipe, best_on_disk: Option<f64>) -> Self {
        let (info, recipe) = (folder.read_info(), recipe.clone());
        let (sides, recipe_due, best_due, memory_due, remarks) = (None, false, None, None, Vec::new());
        Self {
            folder,
            log,
            info,
            sides,
            edits: Arc::default(),
            recipe,
            recipe_due,
            best_due,
            memory_due,
            best_on_disk,
            remarks,
        }
    }

    /// What happened since the last call.
    pub(crate) fn remarks(&mut self) -> Vec<Remark> {
        std::mem::take(&mut self.remarks)
    }

    /// The step of the checkpoint that is really on disk.
    pub(crate) fn step_on_disk(&self) -> Option<u64> {
        let last = if self.folder.is_there() { self.folder.last().ok().flatten() } else { None };
        last.map(|last| last.state.step)
    }

    /// Tries to write all that is due; gives the first failure.
    pub(crate) fn write_due(&mut self) -> Result<(), KeepError> {
        if self.folder.put_back(&self.info, &self.recipe, &mut self.log)? {
            if let Some(sides) = &self.sides {
                self.folder.write_sides(sides)?;
            }
            self.folder.write_edits(&self.edits)?;
            self.remarks.push(Remark::WrittenAnew(self.folder.path().to_owned()));
        }
        let best = self.write_best();
        let recipe = if self.recipe_due { self.folder.write_recipe(&self.recipe) } else { Ok(()) };
        self.recipe_due = recipe.is_err();
        let memory = self.write_memory();
        let events = self.log.flush().map_err(|error| KeepError::Io { path: self.folder.events_path(), error });
        best.and(recipe.map_err(KeepError::from)).and(memory).and(events)
    }

    fn write_best(&mut self) -> Result<(), KeepError> {
        let Some(best) = self.best_due.take() else { return Ok(()) };
        let Best { card, weights, step, accuracy } = &best;
        let written = self.make_room_for(|folder| {
            folder.save_best(|path| Ok(write_checkpoint(path, card, weights, *step, &Metadata::new())?))
        });
        match written {
            Ok(()) => self.best_on_disk = *accuracy,
            Err(_) => self.best_due = Some(best),
        }
        written
    }

    fn write_memory(&mut self) -> Result<(), KeepError> {
        let Some((branch, epoch, memory)) = &self.memory_due else { return Ok(()) };
        let path = self.folder.memory_path();
        memory_file::write(&path, *branch, *epoch, memory).map_err(|error| KeepError::Io { path, error })?;
        self.memory_due = None;
        Ok(())
    }

    /// Writes something that counts more than automatic snapshots: where the disk is full these go, one after the other.
    fn make_room_for(
        &mut self,
        mut write: impl FnMut(&mut RunFolder) -> Result<(), KeepError>,
    ) -> Result<(), KeepError> {
        loop {
            let written = write(&mut self.folder);
            if !written.as_ref().is_err_and(KeepError::is_full_disk) {
                return written;
            }
            let removed = self.folder.remove_one_snapshot()?;
            if removed.is_empty() {
                return written;
            }
            self.remarks.extend(removed.into_iter().map(Remark::SnapshotRemoved));
        }
    }

    /// Writes down what the run learns from, and on which side each image is. Gives what there is to say where the data
    /// are no longer what they were.
    ///
    /// # Errors
    /// Where they have other classes, in which case nothing is written, or the folder can't be written.
    pub(crate) fn record_data(&mut self, dataset: &Dataset) -> Result<Option<DataNote>, KeepError> {
        let note = self.info.compare(dataset)?;
        if let Some(now) = dataset.sides() {
            // What is gone today may be back tomorrow.
            let known = self.folder.read_sides()?;
            let all = known.clone().with(now);
            if all != known {
                self.folder.write_sides(&all)?;
            }
            self.sides = Some(all);
        }
        self.edits = dataset.options.edits.clone();
        let info = self.info.clone().learning_from(dataset);
        if info != self.info {
            self.folder.write_info(&info)?;
            self.info = info;
        }
        Ok(note)
    }

    /// Writes down what a head learns from, whose classes may be others each time.
    pub(crate) fn record_images(&mut self, dataset: &Dataset) -> Result<(), KeepError> {
        let info = self.info.clone().learning_from(dataset);
        if info != self.info {
            self.folder.write_info(&info)?;
            self.info = info;
        }
        Ok(())
    }

    /// Adds to what was changed about the images.
    pub(crate) fn append_edit(&mut self, step: u64, change: Change) -> Result<(), KeepError> {
        Ok(self.folder.append_edit(step, change)?)
    }

    /// Keeps what the heads of a cross-validation said; nothing where there was none.
    pub(crate) fn set_folds(&mut self, folds: Option<&Folds>) -> Result<(), KeepError> {
        self.write_due()?;
        Ok(folds.map_or(Ok(()), |folds| self.folder.write_folds(folds))?)
    }

    /// The branch that lines are written for.
    pub(crate) fn branch(&self) -> u32 {
        self.log.branch
    }

    /// Goes over to a branch that no line has yet.
    pub(crate) fn open_branch(&mut self) -> Result<u32, KeepError> {
        let path = self.folder.events_path();
        let history = History::read(&path).map_err(|error| KeepError::Io { path, error })?;
        self.log.branch = history.next_branch();
        Ok(self.log.branch)
    }

    /// Adds a line to the events, or keeps it until it can be added.
    pub(crate) fn append(&mut self, event: &Event) -> Result<(), KeepError> {
        self.log.append(event).map_err(|error| KeepError::Io { path: self.folder.events_path(), error })
    }

    pub(crate) fn set_recipe(&mut self, recipe: &Recipe) -> Result<(), KeepError> {
        self.recipe = recipe.clone();
        self.recipe_due = true;
        self.write_due()
    }

    pub(crate) fn set_best(&mut self, best: Best) -> Result<(), KeepError> {
        self.best_due = Some(best);
        self.write_due()
    }

    /// Keeps what is remembered of the images after `epoch` epochs.
    pub(crate) fn set_memory(&mut self, epoch: u64, memory: Arc<Memory>) -> Result<(), KeepError> {
        self.memory_due = Some((self.branch(), epoch, memory));
        self.write_due()
    }

    /// Saves the state, and all that is due. Both are tried.
    pub(crate) fn checkpoint(&mut self, state: &RunState, tensors: &Tensors) -> Result<(), KeepError> {
        let due = self.write_due();
        let mut state = RunState { branch: self.branch(), ..state.clone() };
        if self.best_due.is_some() {
            state = state.without_best(self.best_on_disk);
        }
        let write = |weights: &Path, optimiser: &Path| tensors.write(state.step, weights, optimiser);
        self.make_room_for(|folder| folder.checkpoint(&state, write)).and(due)
    }

    /// What is remembered of so many images of each split after `epoch` epochs of this branch; empty where that was lost.
    pub(crate) fn read_memory(&self, epoch: u64, images: [usize; 2]) -> Memory {
        memory_file::read(&self.folder.memory_path(), self.branch(), epoch, images).unwrap_or_default()
    }

    /// Keeps the state as a snapshot; false where the budget has no room for it.
    pub(crate) fn snapshot(
        &mut self,
        name: &str,
        automatic: bool,
        epoch: f64,
        state: &RunState,
        tensors: &Tensors,
        budget: u64,
    ) -> Result<bool, KeepError> {
        self.write_due()?;
        let state = RunState { branch: self.branch(), ..state.clone() };
        let info = SnapshotInfo {
            name: name.to_owned(),
            branch: state.branch,
            step: state.step,
            epoch,
            time: now(),
            accuracy: state.last_accuracy,
            automatic,
            bytes: 0,
        };
        let write = |weights: &Path, optimiser: &Path| tensors.write(state.step, weights, optimiser);
        // No automatic one takes the place of another because the disk is full: the next save would take its.
        if automatic {
            self.folder.save_snapshot(&info, &state, write)?;
        } else {
            self.make_room_for(|folder| folder.save_snapshot(&info, &state, write))?;
        }
        let removed = self.folder.thin_snapshots(budget)?;
        let kept = removed.iter().all(|removed| removed != name);
        self.remarks.extend(removed.into_iter().map(Remark::SnapshotRemoved));
        Ok(kept)
    }

    pub(crate) fn restore_snapshot(&self, name: &str) -> Result<Restored, KeepError> {
        restore(self.folder.snapshot(name)?.1)
    }
}

fn open_log(folder: &RunFolder, branch: u32) -> Result<EventLog, KeepError> {
    let path = folder.events_path();
    EventLog::open(&path, branch).map_err(|error| KeepError::Io { path, error })
}

/// Reads what a checkpoint's files hold.
pub(super) fn restore(checkpoint: Checkpoint) -> Result<Restored, KeepError> {
    let weights = read_checkpoint(&checkpoint.weights)?.tensors;
    let (optimiser, _) = read_tensors(&checkpoint.optimiser)?;
    Ok(Restored { state: checkpoint.state, weights, optimiser })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, io};

    /// A writer of a run with so many automatic snapshots and one by hand.
    fn writer(path: &Path, automatic: u64) -> RunWriter {
        let recipe = Recipe::default();
        let folder = RunFolder::create(path, &recipe, &RunInfo::default()).unwrap();
        for step in 0..=automatic {
            let (name, time) = (format!("s{step}"), step as f64);
            let automatic = step > 0;
            let info = SnapshotInfo { name, branch: 0, step, epoch: 0.0, time, accuracy: None, automatic, bytes: 0 };
            let write = |weights: &Path, optimiser: &Path| {
                fs::write(weights, "w").and_then(|()| fs::write(optimiser, "o")).unwrap();
                Ok::<_, RunError>(())
            };
            folder.save_snapshot(&info, &RunState { step, ..RunState::default() }, write).unwrap();
        }
        let log = open_log(&folder, 0).unwrap();
        RunWriter::new(folder, log, &recipe, None)
    }

    fn full() -> KeepError {
        KeepError::Io { path: "last.safetensors".into(), error: io::ErrorKind::StorageFull.into() }
    }

    #[test]
    fn automatic_snapshots_make_room_one_by_one_and_the_newest_last() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(&folder.path().join("run"), 3);
        // There is room once two are gone.
        let written = writer.make_room_for(|run| if run.snapshots().len() > 2 { Err(full()) } else { Ok(()) });
        written.unwrap();
        let left: Vec<_> = writer.folder.snapshots().into_iter().map(|snapshot| snapshot.name).collect();
        assert_eq!(left, ["s0", "s3"]);
        assert_eq!(writer.remarks().len(), 2);
        assert!(writer.make_room_for(|_| Err(full())).is_err());
        assert_eq!(writer.folder.snapshots().len(), 1, "the one that was taken by hand stays");
    }

    #[test]
    fn another_failure_costs_no_snapshot() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(&folder.path().join("run"), 3);
        let error = || KeepError::Io { path: "x".into(), error: io::ErrorKind::PermissionDenied.into() };
        assert!(writer.make_room_for(|_| Err(error())).is_err());
        assert_eq!(writer.folder.snapshots().len(), 4);
    }
}
