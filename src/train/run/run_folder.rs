//! A run on disk: a folder with its recipe, its events, its weights and what it takes to go on.
//!
//! ```text
//! run.json                 what this run is: data, model, when; notes
//! recipe.toml              the hyperparameters in force
//! events.jsonl             everything that happened
//! last.json                where the last checkpoint stands (RunState)
//! last.safetensors         its weights
//! last.state.safetensors   its optimiser
//! best.safetensors         the weights with the best validation accuracy
//! held_out.bin             which images are for training, which for validation
//! edits.jsonl              what people changed about the images: classes, and which count
//! memory.bin               how hard each image was lately
//! folds.safetensors        of a head: what those said of each image that had not seen it
//! snapshots/NAME.*         the same three files of states to go back to
//! ```
//!
//! A checkpoint is two files and a position, which must fit together whenever the process dies. Both files are written
//! under names with a new number and synced; then `last.json`, which carries that number, is replaced: from this moment
//! the new checkpoint counts. Only then do the files take their own names. Whoever opens a run finds, by the number in
//! `last.json`, either files that still wait for their names, or files that have them.

mod edits;
mod files;
mod folds;
mod info;
mod missing;
mod sides;
mod snapshots;
mod start;
mod state;

pub(crate) use edits::{EDITS, edits_from, without_places};
pub(crate) use files::{RunError, is_full_disk};
pub(crate) use folds::Folds;
pub use info::RunInfo;
pub(crate) use info::{DataNote, HeldOutBy};
pub(crate) use sides::from_bytes as sides_from_bytes;
pub(crate) use start::{claim, give_back};
pub(crate) use state::RunState;

use self::{
    files::{io_error, read_json, read_text, write_json},
    start::LOCK,
};
use crate::{atomic, train::recipe::Recipe};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

/// Name of the file that says which images are held out.
pub(crate) const SIDES: &str = "held_out.bin";
/// Name of the file with what the heads of a cross-validation said.
pub(crate) const FOLDS: &str = "folds.safetensors";
pub(super) const INFO: &str = "run.json";
pub(super) const RECIPE: &str = "recipe.toml";
pub(super) const EVENTS: &str = "events.jsonl";

/// The files of one consistent checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    pub state: RunState,
    pub weights: PathBuf,
    pub optimiser: PathBuf,
}

/// An opened run folder.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    generation: u64,
    /// Held, and locked, by the one who trains.
    lock: Option<File>,
    /// The best weights, held open by the one who trains.
    best: Option<File>,
    /// Whether the folder was there, and empty, before the run was.
    given: bool,
}

impl RunFolder {
    /// Makes a new run. A folder that is there already must be empty.
    pub fn create(path: &Path, recipe: &Recipe, info: &RunInfo) -> Result<Self, RunError> {
        let run = Self::begin(path, info)?;
        run.write_recipe(recipe)?;
        Ok(run)
    }

    fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), generation: 0, lock: None, best: None, given: true }
    }

    /// Opens a run to look at.
    pub fn open(path: &Path) -> Result<Self, RunError> {
        if !is_run(path) {
            return Err(RunError::NotARun(path.to_owned()));
        }
        Ok(Self::at(path))
    }

    /// Opens a run to go on with: no other process may be training it, and what a kill left behind is put in order.
    pub fn resume(path: &Path) -> Result<Self, RunError> {
        let mut run = Self::open(path)?;
        run.lock()?;
        if let Some(state) = run.read_state()? {
            run.generation = state.generation;
            run.settle()?;
        }
        run.clear_unfinished();
        run.hold_best();
        Ok(run)
    }

    /// Opens a run and keeps others from training it as long as the answer lives. Nothing in it is read or put in order,
    /// so a damaged one can be held too.
    pub(crate) fn hold(path: &Path) -> Result<Self, RunError> {
        let mut run = Self::open(path)?;
        run.lock()?;
        Ok(run)
    }

    fn lock(&mut self) -> Result<(), RunError> {
        let path = self.path.join(LOCK);
        let file = File::create(&path).map_err(io_error(&path))?;
        // A file system without locks (some network shares) can't tell; training there is still right.
        if let Err(fs::TryLockError::WouldBlock) = file.try_lock() {
            return Err(RunError::Busy(self.path.clone()));
        }
        self.lock = Some(file);
        Ok(())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `events.jsonl` in it.
    pub fn events_path(&self) -> PathBuf {
        self.path.join(EVENTS)
    }

    /// What is remembered of the images.
    pub(crate) fn memory_path(&self) -> PathBuf {
        self.path.join("memory.bin")
    }

    pub(crate) fn best_path(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    fn recipe_path(&self) -> PathBuf {
        self.path.join(RECIPE)
    }

    fn info_path(&self) -> PathBuf {
        self.path.join(INFO)
    }

    pub(crate) fn write_recipe(&self, recipe: &Recipe) -> Result<(), RunError> {
        let path = self.recipe_path();
        atomic::write_bytes(&path, recipe.to_toml().as_bytes()).map_err(io_error(&path))
    }

    /// The hyperparameters as they were last written.
    ///
    /// # Errors
    /// If the file is missing, unreadable, or has fields or values that there are not.
    pub fn read_recipe(&self) -> Result<Recipe, RunError> {
        let path = self.recipe_path();
        let text = read_text(&path)?;
        Recipe::from_toml(&text).map_err(|error| RunError::Recipe { path, error })
    }

    pub(crate) fn write_info(&self, info: &RunInfo) -> Result<(), RunError> {
        write_json(&self.info_path(), info)
    }

    /// Replaces the notes and leaves the rest of what the run says about itself. May be called while it is trained.
    pub fn write_notes(&self, notes: &str) -> Result<(), RunError> {
        let path = self.info_path();
        // One that can't be read is not written over.
        let info = if path.exists() { read_json(&path)? } else { RunInfo::default() };
        self.write_info(&RunInfo { notes: notes.to_owned(), ..info })
    }

    /// What the run is; empty where that was lost.
    pub fn read_info(&self) -> RunInfo {
        read_json(&self.info_path()).unwrap_or_default()
    }

    /// Saves a checkpoint: `write(weights_path, optimiser_path)` writes both files anew, each synced. Afterwards the run
    /// opens with them; if anything fails, with the last ones.
    pub(crate) fn checkpoint<E: From<RunError>>(
        &mut self,
        state: &RunState,
        write: impl FnOnce(&Path, &Path) -> Result<(), E>,
    ) -> Result<(), E> {
        let generation = self.generation + 1;
        let [(weights, _), (optimiser, _)] = self.names(generation);
        let result = write(&weights, &optimiser).and_then(|()| {
            let state = RunState { generation, ..state.clone() };
            Ok(write_json(&self.path.join("last.json"), &state)?)
        });
        if let Err(error) = result {
            // Perhaps the disk is full: leave it no fuller.
            let _ = fs::remove_file(&weights);
            let _ = fs::remove_file(&optimiser);
            return Err(error);
        }
        self.generation = generation;
        self.settle()?;
        self.clear_unfinished();
        Ok(())
    }

    /// Saves the best weights: `write(path)` writes them anew, synced.
    pub(crate) fn save_best<E: From<RunError>>(&mut self, write: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
        let best = self.best_path();
        let temporary = atomic::temporary_for(&best);
        let result = write(&temporary).and_then(|()| Ok(atomic::replace(&temporary, &best).map_err(io_error(&best))?));
        match &result {
            Ok(()) => self.hold_best(),
            Err(_) => drop(fs::remove_file(&temporary)),
        }
        result
    }

    /// The last checkpoint, `None` before the first.
    pub fn last(&self) -> Result<Option<Checkpoint>, RunError> {
        let Some(state) = self.read_state()? else { return Ok(None) };
        let [weights, optimiser] =
            self.names(state.generation).map(|(waiting, named)| if waiting.exists() { waiting } else { named });
        Ok(Some(Checkpoint { state, weights, optimiser }))
    }

    /// The weights that stand for the run: the best, else the last.
    pub fn weights(&self) -> Result<PathBuf, RunError> {
        let best = self.best_path();
        if best.exists() {
            return Ok(best);
        }
        let last = self.last()?;
        last.map(|checkpoint| checkpoint.weights).ok_or_else(|| RunError::NoCheckpoint(self.path.clone()))
    }

    fn read_state(&self) -> Result<Option<RunState>, RunError> {
        let path = self.path.join("last.json");
        if path.exists() { read_json(&path).map(Some) } else { Ok(None) }
    }

    /// For weights and optimiser of a checkpoint: the numbered name, and the name at rest.
    fn names(&self, generation: u64) -> [(PathBuf, PathBuf); 2] {
        ["safetensors", "state.safetensors"]
            .map(|end| (self.path.join(format!(".last-{generation}.{end}")), self.path.join(format!("last.{end}"))))
    }

    /// Gives the files of the checkpoint that counts their names.
    fn settle(&self) -> Result<(), RunError> {
        for (waiting, named) in self.names(self.generation) {
            if waiting.exists() {
                atomic::replace(&waiting, &named).map_err(io_error(&named))?;
            }
        }
        Ok(())
    }
}

/// Whether the folder holds a run.
pub(crate) fn is_run(path: &Path) -> bool {
    path.join(RECIPE).is_file()
}

/// Whether a path is meant as a run, which may be a damaged one: a folder with a file by which people know runs, or that
/// file.
pub(crate) fn is_meant(path: &Path) -> bool {
    let known = [RECIPE, EVENTS];
    match path.is_dir() {
        true => known.iter().any(|name| path.join(name).is_file()),
        false => known.iter().any(|name| path.ends_with(name)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::train) fn new_run(folder: &Path) -> RunFolder {
        RunFolder::create(&folder.join("run"), &Recipe::default(), &RunInfo::default()).unwrap()
    }

    pub(super) fn both(text: &str) -> impl FnOnce(&Path, &Path) -> Result<(), RunError> {
        move |weights, optimiser| {
            fs::write(weights, text).map_err(io_error(weights))?;
            fs::write(optimiser, text).map_err(io_error(optimiser))
        }
    }

    pub(super) fn at(step: u64) -> RunState {
        RunState { step, ..RunState::default() }
    }

    /// The step of the last checkpoint, after a look that both files are its own.
    fn consistent(run: &RunFolder) -> u64 {
        let last = run.last().unwrap().unwrap();
        let expected = last.state.step.to_string();
        assert_eq!(fs::read_to_string(&last.weights).unwrap(), expected);
        assert_eq!(fs::read_to_string(&last.optimiser).unwrap(), expected);
        last.state.step
    }

    #[test]
    fn an_existing_run_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        drop(new_run(folder.path()));
        let path = folder.path().join("run");
        let error = RunFolder::create(&path, &Recipe::default(), &RunInfo::default()).unwrap_err().to_string();
        assert!(error.contains("--resume"), "{error}");
        fs::write(folder.path().join("letter.txt"), "dear").unwrap();
        let error = RunFolder::create(folder.path(), &Recipe::default(), &RunInfo::default()).unwrap_err();
        assert!(matches!(error, RunError::NotEmpty(_)));
        assert!(RunFolder::open(folder.path()).unwrap_err().to_string().contains("no run"));
    }

    #[test]
    fn one_process_trains_a_run() {
        let folder = tempfile::tempdir().unwrap();
        let run = new_run(folder.path());
        assert!(matches!(RunFolder::resume(run.path()), Err(RunError::Busy(_))));
        let path = run.path().to_owned();
        RunFolder::open(&path).unwrap();
        drop(run);
        RunFolder::resume(&path).unwrap();
    }

    #[test]
    fn a_checkpoint_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut run = new_run(folder.path());
        assert_eq!(run.last().unwrap(), None);
        for step in 1..4 {
            run.checkpoint(&at(step), both(&step.to_string())).unwrap();
            assert_eq!(consistent(&run), step);
        }
        assert!(run.path().join("last.safetensors").exists());
        assert_eq!(run.read_recipe().unwrap(), Recipe::default());
        assert_eq!(run.weights().unwrap(), run.path().join("last.safetensors"));
        run.save_best(|path| fs::write(path, b"x").map_err(io_error(path))).unwrap();
        assert_eq!(run.weights().unwrap(), run.best_path());
    }

    /// Every state of the folder that a kill can leave, made by hand.
    #[test]
    fn a_kill_between_any_two_files_leaves_a_checkpoint() {
        for stop in 0..5 {
            let folder = tempfile::tempdir().unwrap();
            let mut run = new_run(folder.path());
            run.checkpoint(&at(1), both("1")).unwrap();
            let [(weights, named), (optimiser, _)] = run.names(2);
            if stop >= 1 {
                fs::write(&weights, "2").unwrap();
            }
            if stop >= 2 {
                fs::write(&optimiser, "2").unwrap();
            }
            if stop >= 3 {
                write_json(&run.path().join("last.json"), &RunState { generation: 2, ..at(2) }).unwrap();
            }
            if stop >= 4 {
                fs::rename(&weights, &named).unwrap();
            }
            let path = run.path().to_owned();
            drop(run);
            let expected = if stop >= 3 { 2 } else { 1 };
            assert_eq!(consistent(&RunFolder::open(&path).unwrap()), expected, "looked at after {stop}");
            let mut run = RunFolder::resume(&path).unwrap();
            assert_eq!(consistent(&run), expected, "resumed after {stop}");
            let left: Vec<_> = fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".last-")), "{left:?}");
            run.checkpoint(&at(3), both("3")).unwrap();
            assert_eq!(consistent(&run), 3);
        }
    }

    #[test]
    fn a_failed_save_keeps_the_last_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut run = new_run(folder.path());
        run.checkpoint(&at(1), both("1")).unwrap();
        let failed = run.checkpoint(&at(2), |weights, _| {
            fs::write(weights, "half").unwrap();
            Err(RunError::NotARun("disk full".into()))
        });
        assert!(failed.is_err());
        assert_eq!(consistent(&run), 1);
        run.checkpoint(&at(3), both("3")).unwrap();
        assert_eq!(consistent(&run), 3);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let run = new_run(folder.path());
        fs::write(run.path().join("last.json"), "{\"step\": -1}").unwrap();
        let error = run.last().unwrap_err().to_string();
        assert!(error.contains("last.json is damaged") && !error.contains('\n'), "{error}");
        fs::write(run.path().join("recipe.toml"), "lrr = 1").unwrap();
        let error = run.read_recipe().unwrap_err().to_string();
        assert!(error.contains("recipe.toml") && error.contains("“lr”"), "{error}");
    }
}
