//! How a folder becomes a run, and what is left where that fails.
//!
//! A folder is claimed by the file `.lock` in it, and becomes a run with its `recipe.toml`, which is written after the
//! first checkpoint. In between, whatever goes wrong, it counts as empty, so that the same command can be given again.

use super::{
    EDITS, EVENTS, INFO, RECIPE, RunError, RunFolder, RunInfo, RunState, SIDES,
    files::{io_error, read_json},
    is_run,
};
use crate::{atomic, train::run::event_log::now};
use std::{
    fs::{self, File, TryLockError},
    io,
    path::Path,
    time::Duration,
};

/// Held locked by the one who trains.
pub(super) const LOCK: &str = ".lock";
/// What a start writes before the folder is a run.
const STARTED: [&str; 6] = [SIDES, EDITS, INFO, "last.json", "last.safetensors", "last.state.safetensors"];
/// A file that was not finished for so long never will be.
const UNFINISHED_AGE: Duration = Duration::from_secs(60);

/// Takes the folder `path` for a new run: makes it, which only one process can. False where it is there already.
pub(crate) fn claim(path: &Path) -> Result<bool, RunError> {
    match fs::create_dir(path) {
        Ok(()) => {
            let lock = path.join(LOCK);
            let claimed = File::create(&lock).map_err(io_error(&lock));
            claimed.map(|_| true).inspect_err(|_| drop(fs::remove_dir(path)))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(io_error(path)(error)),
    }
}

/// Gives back a claimed folder that did not become a run. Any other is left alone.
pub(crate) fn give_back(path: &Path) {
    let lock = path.join(LOCK);
    // Held by another process it is in use; a folder of the user's own has none.
    let free = File::open(&lock).is_ok_and(|lock| !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)));
    if free && !is_run(path) && matches!(is_vacant(path), Ok(true)) {
        clear(path);
        let _ = fs::remove_file(lock);
        let _ = fs::remove_dir(path);
    }
}

/// Whether there is nothing in the folder but what a start left that failed.
pub(super) fn is_vacant(path: &Path) -> Result<bool, RunError> {
    let names: Vec<String> = names(path)?.collect();
    let claimed = names.iter().any(|name| name == LOCK);
    let last = path.join("last.json");
    let untrained = || !last.exists() || read_json::<RunState>(&last).is_ok_and(|state| state.step == 0);
    Ok(names.iter().all(|name| name == LOCK || claimed && is_leftover(name)) && untrained())
}

fn refuse_taken(path: &Path) -> Result<(), RunError> {
    if is_run(path) {
        return Err(RunError::Exists(path.to_owned()));
    }
    if is_vacant(path)? { Ok(()) } else { Err(RunError::NotEmpty(path.to_owned())) }
}

/// Removes what a start left that failed, all but the lock.
pub(super) fn clear(path: &Path) {
    let leftovers = names(path).into_iter().flatten().filter(|name| is_leftover(name));
    // One that can't be removed is replaced later, or in nobody's way.
    leftovers.for_each(|name| drop(fs::remove_file(path.join(name))));
}

fn is_leftover(name: &str) -> bool {
    STARTED.contains(&name) || is_waiting(name) || atomic::is_unfinished(name)
}

/// Whether it is a file of a checkpoint that does not have its own name yet.
fn is_waiting(name: &str) -> bool {
    name.starts_with(".last-")
}

fn names(path: &Path) -> Result<impl Iterator<Item = String>, RunError> {
    let entries = fs::read_dir(path).map_err(io_error(path))?;
    Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()))
}

impl RunFolder {
    /// Begins a new run, which the folder becomes with [`RunFolder::write_recipe`]: what is written before then is part of
    /// the run from its first moment. [`RunFolder::withdraw`] undoes it.
    pub(crate) fn begin(path: &Path, info: &RunInfo) -> Result<Self, RunError> {
        let there = path.is_dir();
        fs::create_dir_all(path).map_err(io_error(path))?;
        refuse_taken(path)?;
        let given = there && !path.join(LOCK).exists();
        let mut run = Self { given, ..Self::at(path) };
        run.lock().inspect_err(|_| {
            if !given {
                // Stays where another process has its lock in it.
                let _ = fs::remove_dir(path);
            }
        })?;
        // Another process may have been quicker, and be done.
        refuse_taken(path)?;
        clear(path);
        if let Err(error) = run.write_info(&RunInfo { created: now(), ..info.clone() }) {
            run.withdraw();
            return Err(error);
        }
        Ok(run)
    }

    /// Takes back a run that was begun and can't go on: the folder is as it was before.
    pub(crate) fn withdraw(mut self) {
        for name in [RECIPE, EVENTS] {
            let _ = fs::remove_file(self.path.join(name));
        }
        clear(&self.path);
        // On some systems an open file is in the way of its folder.
        self.lock = None;
        let _ = fs::remove_file(self.path.join(LOCK));
        if !self.given {
            let _ = fs::remove_dir(&self.path);
        }
    }

    /// Removes half-written files: those of a checkpoint that never counted, and what a killed process left.
    pub(super) fn clear_unfinished(&self) {
        let folders = [self.path.clone(), self.path.join("snapshots")];
        let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // One that is not old may be notes on their way.
            if is_waiting(&name) || atomic::is_unfinished(&name) && is_old(&entry.path()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn is_old(path: &Path) -> bool {
    let changed = fs::metadata(path).and_then(|data| data.modified());
    changed.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > UNFINISHED_AGE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{
        Recipe,
        run_folder::tests::{at, both, new_run},
    };

    fn begin(path: &Path) -> Result<RunFolder, RunError> {
        RunFolder::begin(path, &RunInfo::default())
    }

    #[test]
    fn a_start_that_failed_leaves_the_folder_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let [new, given] = ["new", "given"].map(|name| folder.path().join(name));
        fs::create_dir(&given).unwrap();
        for path in [&new, &given] {
            let mut run = begin(path).unwrap();
            run.checkpoint(&at(0), both("0")).unwrap();
            run.write_recipe(&Recipe::default()).unwrap();
            run.withdraw();
        }
        assert!(!new.exists());
        assert_eq!(fs::read_dir(&given).unwrap().count(), 0);
    }

    /// Every state that a kill can leave before the folder is a run.
    #[test]
    fn a_start_that_was_killed_can_be_made_again() {
        for left in [&[".lock"][..], &[".lock", "run.json", ".kindling-a.part"], &[".lock", "run.json", ".last-1.x"]] {
            let folder = tempfile::tempdir().unwrap();
            left.iter().for_each(|name| fs::write(folder.path().join(name), "{}").unwrap());
            begin(folder.path()).unwrap();
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "the lock and run.json");
        }
        let folder = tempfile::tempdir().unwrap();
        let mut run = begin(folder.path()).unwrap();
        run.checkpoint(&at(0), both("0")).unwrap();
        drop(run);
        begin(folder.path()).unwrap();
    }

    #[test]
    fn nothing_of_the_users_counts_as_left_by_a_start() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| assert!(matches!(begin(path), Err(RunError::NotEmpty(_))));
        // Without the mark of a start a file of that name is somebody's.
        fs::write(folder.path().join("run.json"), "{}").unwrap();
        refused(folder.path());
        fs::write(folder.path().join(LOCK), "").unwrap();
        fs::write(folder.path().join("letter.txt"), "dear").unwrap();
        refused(folder.path());
        // A run that has lost its recipe.
        let folder = tempfile::tempdir().unwrap();
        let mut run = new_run(folder.path());
        run.checkpoint(&at(7), both("7")).unwrap();
        let path = run.path().to_owned();
        drop(run);
        fs::remove_file(path.join("recipe.toml")).unwrap();
        refused(&path);
        give_back(&path);
        assert!(path.join("last.safetensors").exists());
    }

    #[test]
    fn a_claimed_folder_is_given_back_only_where_it_became_no_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert!(claim(&path).unwrap() && !claim(&path).unwrap());
        let run = begin(&path).unwrap();
        give_back(&path);
        assert!(path.exists(), "it is in use");
        run.write_recipe(&Recipe::default()).unwrap();
        drop(run);
        give_back(&path);
        assert!(is_run(&path));
        let [own, claimed] = ["own", "claimed"].map(|name| folder.path().join(name));
        fs::create_dir(&own).unwrap();
        assert!(claim(&claimed).unwrap());
        give_back(&own);
        give_back(&claimed);
        assert!(own.exists() && !claimed.exists());
    }

    #[test]
    fn what_a_kill_left_unfinished_is_cleared_once_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let run = new_run(folder.path());
        let snapshots = run.path().join("snapshots");
        fs::create_dir(&snapshots).unwrap();
        let old = std::time::SystemTime::now() - 2 * UNFINISHED_AGE;
        let part = |folder: &Path, name: &str, age| {
            let file = File::create(folder.join(name)).unwrap();
            if age {
                file.set_modified(old).unwrap()
            }
            folder.join(name)
        };
        let gone = [part(run.path(), ".kindling-a.part", true), part(&snapshots, ".kindling-b.part", true)];
        let kept = [part(run.path(), ".kindling-notes.part", false), part(run.path(), "mine.part", true)];
        run.clear_unfinished();
        assert!(gone.iter().all(|path| !path.exists()) && kept.iter().all(|path| path.exists()));
    }
}
