//! What a session leaves on disk: events, checkpoints, the best weights, snapshots. A disk that fails costs a message,
//! not the run: training goes on in memory, and every later save is another try.

use crate::{
    text,
    train::{
        event_log::{EventLog, History, now},
        events::Event,
        memory::Memory,
        memory_file,
        recipe::Recipe,
        run_folder::{Checkpoint, RunError, RunFolder, RunInfo, State},
        snapshots::SnapshotInfo,
    },
    weights::{
        Metadata, ModelCard, StateDict, WeightsError, read_checkpoint, read_tensors, write_checkpoint, write_tensors,
    },
};
use std::path::Path;

/// Why something could not be kept or read back.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeepError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error("{}: {error}", text::foreign(path))]
    Io { path: String, error: std::io::Error },
}

/// A state read back: where it stands, the weights, the optimiser's memory.
pub(super) struct Restored {
    pub state: State,
    pub weights: StateDict,
    pub optimiser: StateDict,
}

/// A run's folder, open for writing.
pub(super) struct Keeper {
    folder: RunFolder,
    log: EventLog,
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

impl Keeper {
    pub fn create(path: &Path, recipe: &Recipe, info: &RunInfo) -> Result<Self, KeepError> {
        Self::with_log(RunFolder::create(path, recipe, info)?, 0)
    }

    /// Opens a run to go on with; `None` where it was killed before its first checkpoint.
    pub fn resume(path: &Path) -> Result<(Self, Option<Restored>), KeepError> {
        let folder = RunFolder::resume(path)?;
        let restored = folder.last()?.map(restore).transpose()?;
        let branch = restored.as_ref().map_or(0, |restored| restored.state.branch);
        Ok((Self::with_log(folder, branch)?, restored))
    }

    fn with_log(folder: RunFolder, branch: u32) -> Result<Self, KeepError> {
        let path = folder.events_path();
        let log = EventLog::open(&path, branch);
        let log = log.map_err(|error| KeepError::Io { path: path.display().to_string(), error })?;
        Ok(Self { folder, log })
    }

    /// The branch that lines are written for.
    pub fn branch(&self) -> u32 {
        self.log.branch
    }

    /// Goes over to a branch that no line has yet.
    pub fn open_branch(&mut self) -> Result<u32, KeepError> {
        let path = self.folder.events_path();
        let history = History::read(&path);
        let history = history.map_err(|error| KeepError::Io { path: path.display().to_string(), error })?;
        self.log.branch = history.next_branch();
        Ok(self.log.branch)
    }

    pub fn append(&mut self, event: &Event) -> Result<(), KeepError> {
        let path = self.folder.events_path();
        self.log.append(event).map_err(|error| KeepError::Io { path: path.display().to_string(), error })
    }

    pub fn write_recipe(&self, recipe: &Recipe) -> Result<(), KeepError> {
        Ok(self.folder.write_recipe(recipe)?)
    }

    pub fn checkpoint(&mut self, state: &State, tensors: &Tensors) -> Result<(), KeepError> {
        let state = State { branch: self.branch(), ..state.clone() };
        self.folder.checkpoint(&state, |weights, optimiser| tensors.write(state.step, weights, optimiser))
    }

    pub fn best(&self, card: &ModelCard, weights: &StateDict, step: u64) -> Result<(), KeepError> {
        self.folder.save_best(|path| Ok(write_checkpoint(path, card, weights, step, &Metadata::new())?))
    }

    /// Keeps what is remembered of the images after `epoch` epochs.
    pub fn write_memory(&self, epoch: u64, memory: &Memory) -> Result<(), KeepError> {
        let path = self.folder.memory_path();
        let written = memory_file::write(&path, self.branch(), epoch, memory);
        written.map_err(|error| KeepError::Io { path: path.display().to_string(), error })
    }

    /// What is remembered of so many images of each split after `epoch` epochs of this branch; empty where that was lost.
    pub fn read_memory(&self, epoch: u64, images: [usize; 2]) -> Memory {
        memory_file::read(&self.folder.memory_path(), self.branch(), epoch, images).unwrap_or_default()
    }

    /// Keeps the state as a snapshot, and gives the names of those that had to go for it.
    pub fn snapshot(
        &self,
        name: &str,
        automatic: bool,
        epoch: f64,
        state: &State,
        tensors: &Tensors,
        budget: u64,
    ) -> Result<Vec<String>, KeepError> {
        let state = State { branch: self.branch(), ..state.clone() };
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
        self.folder.save_snapshot(&info, &state, |weights, optimiser| tensors.write(state.step, weights, optimiser))?;
        Ok(self.folder.thin_snapshots(budget)?)
    }

    pub fn restore_snapshot(&self, name: &str) -> Result<Restored, KeepError> {
        restore(self.folder.snapshot(name)?.1)
    }
}

/// Reads what a checkpoint's files hold.
pub(super) fn restore(checkpoint: Checkpoint) -> Result<Restored, KeepError> {
    let weights = read_checkpoint(&checkpoint.weights)?.tensors;
    let (optimiser, _) = read_tensors(&checkpoint.optimiser)?;
    Ok(Restored { state: checkpoint.state, weights, optimiser })
}
