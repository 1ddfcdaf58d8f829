//! A run's folder that is moved or deleted while the run is trained.
//!
//! Files that are replaced by name would appear in a folder without a recipe, and lines appended to an open file would go
//! wherever that file has gone. So whoever trains holds a few files open, and looks before each save whether they are
//! still the ones under their names. What is missing is written anew; what came from elsewhere is not touched.

use super::{
    RunError, RunFolder, RunInfo,
    files::io_error,
    start::{LOCK, is_vacant},
};
use crate::{
    atomic, file,
    train::{recipe::Recipe, run::event_log::EventLog},
};
use std::{
    fs::{self, File},
    io::{self, Seek, SeekFrom},
};

impl RunFolder {
    /// Puts back what has gone from the folder since it was opened, or all of it; gives whether anything had.
    ///
    /// # Errors
    /// Where it can't be written, or another run or other files stand in its place.
    pub(crate) fn put_back(&mut self, info: &RunInfo, recipe: &Recipe, log: &mut EventLog) -> Result<bool, RunError> {
        let events = self.events_path();
        let locked = self.is_there();
        // A run that never said what it is has nothing to say again.
        let info_there = self.info_path().is_file() || *info == RunInfo::default();
        let recipe_there = self.recipe_path().is_file();
        let best = self.best_path();
        let best_gone = self.best.is_some() && !best.is_file();
        if locked && log.is_at(&events) && info_there && recipe_there && !best_gone {
            return Ok(false);
        }
        if !locked {
            fs::create_dir_all(&self.path).map_err(io_error(&self.path))?;
            if !log.is_at(&events) && !is_vacant(&self.path)? {
                return Err(RunError::Replaced(self.path.clone()));
            }
            self.lock()?;
        }
        if !info_there {
            self.write_info(info)?;
        }
        if !log.is_at(&events) {
            log.write_anew(&events).map_err(io_error(&events))?;
        }
        if let (Some(open), true) = (&mut self.best, best_gone) {
            let copy = |out: &mut dyn io::Write| {
                open.seek(SeekFrom::Start(0))?;
                io::copy(open, out).map(drop)
            };
            atomic::write(&best, copy).map_err(io_error(&best))?;
            self.hold_best();
        }
        if !recipe_there {
            self.write_recipe(recipe)?;
        }
        Ok(true)
    }

    /// Whether the folder under the run's name is the one that was opened.
    pub(crate) fn is_there(&self) -> bool {
        self.lock.as_ref().is_none_or(|lock| file::is_at(lock, &self.path.join(LOCK)))
    }

    /// Holds the file of the best weights open, so that it can be read even when its name has gone.
    pub(super) fn hold_best(&mut self) {
        // Elsewhere an open file can't be replaced by another.
        let best = Some(self.best_path()).filter(|path| cfg!(unix) && path.is_file());
        self.best = best.and_then(|path| File::open(path).ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{
        events::Event,
        run_folder::tests::{at, both},
    };
    use std::path::Path;

    /// A run with a line of events, a checkpoint, and best weights.
    fn run(path: &Path) -> (RunFolder, EventLog, RunInfo) {
        let mut run = RunFolder::create(path, &Recipe::default(), &RunInfo::default()).unwrap();
        let mut log = EventLog::open(&run.events_path(), 0).unwrap();
        log.append(&warning()).unwrap();
        run.checkpoint(&at(1), both("1")).unwrap();
        run.save_best(|path| fs::write(path, "best").map_err(io_error(path))).unwrap();
        let info = run.read_info();
        (run, log, info)
    }

    fn warning() -> Event {
        Event::Warning { step: 1, text: "line".into() }
    }

    fn whole(path: &Path, lines: usize) {
        let run = RunFolder::resume(path).unwrap();
        run.read_recipe().unwrap();
        assert!(run.read_info().created > 0.0);
        assert_eq!(fs::read_to_string(run.events_path()).unwrap().lines().count(), lines);
        assert_eq!(fs::read_to_string(run.best_path()).unwrap(), "best");
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_was_moved_or_deleted_is_written_anew_with_all_that_was_in_it() {
        for moved in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let [path, elsewhere] = ["run", "elsewhere"].map(|name| folder.path().join(name));
            let (mut run, mut log, info) = run(&path);
            assert!(!run.put_back(&info, &Recipe::default(), &mut log).unwrap());
            if moved {
                fs::rename(&path, &elsewhere).unwrap()
            } else {
                fs::remove_dir_all(&path).unwrap()
            }
            log.append(&warning()).unwrap();
            assert!(run.put_back(&info, &Recipe::default(), &mut log).unwrap());
            log.append(&warning()).unwrap();
            assert!(!run.put_back(&info, &Recipe::default(), &mut log).unwrap());
            drop(run);
            whole(&path, 3);
            if moved {
                whole(&elsewhere, 2);
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn single_files_that_are_gone_are_written_anew() {
        for name in ["recipe.toml", "run.json", "events.jsonl", "best.safetensors", ".lock"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("run");
            let (mut run, mut log, info) = run(&path);
            fs::remove_file(path.join(name)).unwrap();
            assert!(run.put_back(&info, &Recipe::default(), &mut log).unwrap(), "{name}");
            assert!(matches!(RunFolder::resume(&path), Err(RunError::Busy(_))), "{name}");
            drop(run);
            whole(&path, 1);
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_came_from_elsewhere_in_the_meantime_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let (mut run, mut log, info) = run(&path);
        fs::rename(&path, folder.path().join("elsewhere")).unwrap();
        fs::create_dir(&path).unwrap();
        fs::write(path.join("letter.txt"), "dear").unwrap();
        let refused = run.put_back(&info, &Recipe::default(), &mut log);
        assert!(matches!(refused, Err(RunError::Replaced(_))));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
    }
}
