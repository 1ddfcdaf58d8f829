//! The runs that were ticked: their curves are read on threads and drawn on the charts beside the run at hand.

use super::{name, open::curves};
use crate::app::{
    averages::Averages,
    background::{Task, Wake, finished},
    history::Branch,
};
use std::path::{Path, PathBuf};

/// Runs that can be told apart on a chart: four colours, each plain and dashed.
pub const MOST: usize = 8;

/// The curves of a ticked run.
pub struct Overlay {
    pub path: PathBuf,
    pub name: String,
    /// Which of the colours it has, below [`MOST`]; it keeps it as long as it is ticked.
    pub slot: usize,
    pub branch: Branch,
    pub averages: Averages,
    /// Why it could not be read.
    pub problem: Option<String>,
    reading: Option<Task<Result<Branch, String>>>,
}

/// See the module.
pub struct Compared {
    wake: Wake,
    overlays: Vec<Overlay>,
}

impl Compared {
    pub fn new(wake: Wake) -> Self {
        Self { wake, overlays: Vec::new() }
    }

    /// In the order in which they were ticked.
    pub fn overlays(&self) -> &[Overlay] {
        &self.overlays
    }

    pub fn get(&self, path: &Path) -> Option<&Overlay> {
        self.overlays.iter().find(|overlay| overlay.path == path)
    }

    /// Ticks a run, or takes the tick away. Returns whether there was room for it.
    pub fn toggle(&mut self, path: &Path) -> bool {
        if self.get(path).is_some() {
            self.overlays.retain(|overlay| overlay.path != path);
            return true;
        }
        let free = (0..MOST).find(|slot| self.overlays.iter().all(|overlay| overlay.slot != *slot));
        let Some(slot) = free else { return false };
        let reading = Some(self.read(path));
        self.overlays.push(Overlay {
            path: path.to_owned(),
            name: name(path),
            slot,
            branch: Branch::default(),
            averages: Averages::default(),
            problem: None,
            reading,
        });
        true
    }

    pub fn clear(&mut self) {
        self.overlays.clear();
    }

    fn read(&self, path: &Path) -> Task<Result<Branch, String>> {
        let own = path.to_owned();
        Task::spawn("curves", self.wake.clone(), move || curves(&own))
    }

    /// The run in `path` has more to show than when it was read.
    pub fn read_again(&mut self, path: &Path) {
        if self.get(path).is_none() {
            return;
        }
        let reading = self.read(path);
        if let Some(overlay) = self.overlays.iter_mut().find(|overlay| overlay.path == path) {
            overlay.reading = Some(reading);
        }
    }

    /// A run has another path, or none any more.
    pub fn moved(&mut self, from: &Path, to: Option<&Path>) {
        match to {
            None => self.overlays.retain(|overlay| overlay.path != from),
            Some(to) => {
                for overlay in self.overlays.iter_mut().filter(|overlay| overlay.path == from) {
                    (overlay.path, overlay.name) = (to.to_owned(), name(to));
                }
            }
        }
    }

    /// Takes what was read; gives what went wrong.
    pub fn tick(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        for overlay in &mut self.overlays {
            let Some(result) = finished(&mut overlay.reading) else { continue };
            match result.flatten() {
                Ok(branch) => (overlay.branch, overlay.averages) = (branch, Averages::default()),
                Err(problem) => {
                    problems.push(format!("{} can't be compared: {problem}", overlay.name));
                    overlay.problem = Some(problem);
                }
            }
        }
        problems
    }

    /// Whether curves are on their way.
    pub fn is_busy(&self) -> bool {
        self.overlays.iter().any(|overlay| overlay.reading.is_some())
    }

    /// Works out the averages for a weight; costs nothing where it is the same as before.
    pub fn smooth(&mut self, weight: f64) {
        self.overlays.iter_mut().for_each(|overlay| overlay.averages.update(&overlay.branch, weight));
    }

    /// Shows curves that no disk has.
    #[cfg(test)]
    pub fn show(&mut self, path: &Path, branch: Branch) {
        self.toggle(path);
        if let Some(overlay) = self.overlays.last_mut() {
            (overlay.branch, overlay.reading) = (branch, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support::run_with_branches;
    use std::sync::Arc;

    fn settle(compared: &mut Compared) -> Vec<String> {
        let mut problems = Vec::new();
        while compared.is_busy() {
            problems.extend(compared.tick());
            std::thread::yield_now();
        }
        problems
    }

    #[test]
    fn a_ticked_run_brings_its_curves_and_keeps_its_colour() {
        let folder = tempfile::tempdir().unwrap();
        let path = run_with_branches(folder.path());
        let mut compared = Compared::new(Arc::new(|| ()));
        for i in 0..MOST - 1 {
            assert!(compared.toggle(&folder.path().join(i.to_string())));
        }
        assert!(compared.toggle(&path));
        assert!(!compared.toggle(Path::new("one too many")));
        let problems = settle(&mut compared);
        assert_eq!(problems.len(), MOST - 1);
        assert!(problems.iter().any(|problem| problem.starts_with("0 can't be compared")), "{problems:?}");
        compared.toggle(&folder.path().join("2"));
        let overlay = compared.get(&path).unwrap();
        assert_eq!((overlay.slot, overlay.branch.val_accuracy.len()), (MOST - 1, 2));
        compared.toggle(Path::new("another"));
        assert_eq!(compared.get(Path::new("another")).unwrap().slot, 2);
        compared.moved(&path, Some(Path::new("b")));
        assert_eq!(compared.get(Path::new("b")).unwrap().name, "b");
        compared.moved(Path::new("b"), None);
        assert!(compared.get(Path::new("b")).is_none());
    }
}
