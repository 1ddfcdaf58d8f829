//! The list of runs in a folder, read on a thread whenever something may have changed.

use crate::app::background::{Task, Wake, finished};
use crate::text;
use crate::train::{
    RunSummary, list_runs,
    run_folder::is_run,
    run_list::{self, summarise},
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// See the module.
pub struct Index {
    wake: Wake,
    /// What was asked for last.
    wanted: Wanted,
    runs: Vec<RunSummary>,
    /// When each run reached the accuracy that is wanted: step and seconds.
    reached: Reached,
    /// Why the folder can't be listed.
    pub problem: Option<String>,
    stale: bool,
    reading: Option<Task<Result<Found, String>>>,
    /// Counts the readings, so that whoever sorted the list knows that it is another one.
    version: u64,
}

/// What the list is of.
#[derive(Clone, Debug, Default, PartialEq)]
struct Wanted {
    folder: PathBuf,
    /// A run elsewhere that belongs to the list.
    other: Option<PathBuf>,
    /// A validation accuracy from 0 to 1, to say when it was reached.
    target: Option<f64>,
}

type Reached = HashMap<PathBuf, (u64, f64)>;

/// What a reading gives.
type Found = (Vec<RunSummary>, Reached);

impl Index {
    pub(crate) fn new(wake: Wake) -> Self {
        Self {
            wake,
            wanted: Wanted::default(),
            runs: Vec::new(),
            reached: Reached::new(),
            problem: None,
            stale: true,
            reading: None,
            version: 0,
        }
    }

    /// The newest first.
    pub(crate) fn runs(&self) -> &[RunSummary] {
        &self.runs
    }

    pub fn get(&self, path: &Path) -> Option<&RunSummary> {
        self.runs.iter().find(|run| run.path == path)
    }

    /// Step and seconds after which a run had the accuracy that is wanted.
    pub(crate) fn reached(&self, path: &Path) -> Option<(u64, f64)> {
        self.reached.get(path).copied()
    }

    /// Counts up with each reading; 0 before the first.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Whether nothing is known to have changed since the list was read.
    pub(crate) fn is_settled(&self) -> bool {
        !self.stale && self.reading.is_none()
    }

    /// Asks for the list to be read again.
    pub(crate) fn refresh(&mut self) {
        self.stale = true;
    }

    /// Takes what was read, and reads what is asked for: the runs in `folder`, and `other` where it is a run elsewhere, with
    /// when they reached the accuracy `target`.
    pub(crate) fn tick(&mut self, folder: &Path, other: Option<&PathBuf>, target: Option<f64>) {
        let other = other.filter(|other| other.parent() != Some(folder)).cloned();
        let wanted = Wanted { folder: folder.to_owned(), other, target };
        if self.wanted != wanted {
            self.wanted = wanted;
            self.stale = true;
        }
        match finished(&mut self.reading).map(Result::flatten) {
            // Another folder was asked for meanwhile: this answer is to no question.
            Some(_) if self.stale => {}
            Some(result) => self.take(result),
            None => {}
        }
        if self.stale && self.reading.is_none() {
            self.stale = false;
            let Wanted { folder, other, target } = self.wanted.clone();
            self.reading = Some(Task::spawn("runs", self.wake.clone(), move || {
                let runs = list_runs(&folder).map_err(|error| format!("{}: {error}", text::path(&folder)));
                let other = other.filter(|other| is_run(other));
                let runs: Vec<RunSummary> = other.iter().map(|other| summarise(other)).chain(runs?).collect();
                let reached = |run: &RunSummary| Some((run.path.clone(), run_list::reached(&run.path, target?)?));
                let reached = runs.iter().filter_map(reached).collect();
                Ok((runs, reached))
            }));
        }
    }

    /// Takes a list, or why there is none.
    pub(crate) fn take(&mut self, result: Result<Found, String>) {
        ((self.runs, self.reached), self.problem) = match result {
            Ok(found) => (found, None),
            Err(problem) => (Found::default(), Some(problem)),
        };
        self.version += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support::run_with_branches;
    use std::sync::Arc;

    fn read(index: &mut Index, folder: &Path, other: Option<&PathBuf>) -> Vec<String> {
        let before = index.version();
        while index.version() == before {
            index.tick(folder, other, Some(0.55));
            std::thread::yield_now();
        }
        index.runs().iter().map(|run| run.name.clone()).collect()
    }

    #[test]
    fn runs_of_the_folder_are_listed_and_the_one_at_hand_wherever_it_is() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut index = Index::new(Arc::new(|| ()));
        assert!(read(&mut index, here.path(), None).is_empty());
        let own = run_with_branches(here.path());
        // It is found when it is looked for again, not twice.
        index.refresh();
        assert_eq!(read(&mut index, here.path(), Some(&own)), ["walk"]);
        let other = run_with_branches(there.path());
        assert_eq!(read(&mut index, here.path(), Some(&other)), ["walk", "walk"]);
        assert_eq!(index.get(&other).unwrap().best_accuracy, Some(0.6));
        // On its second branch; the first had no more than half.
        assert_eq!(index.reached(&other), Some((20, 1.0)));
        let file = there.path().join("a file");
        std::fs::write(&file, "").unwrap();
        assert!(read(&mut index, &file, None).is_empty());
        assert!(index.problem.is_some());
    }
}
