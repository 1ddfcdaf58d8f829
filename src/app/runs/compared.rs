//! The runs that were ticked: their curves are read on threads and drawn on the charts beside the run at hand. One that
//! another process trains is followed as it grows.

use super::{
    name,
    open::{Curves, curves},
};
use crate::{
    app::{
        background::{Task, Wake, finished},
        history::{Branch, Change, averages::Averages},
    },
    train::event_log::{Tail, now},
};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Runs that can be told apart on a chart: four colours, each plain and dashed.
pub(crate) const MOST: usize = 8;

/// Time between two looks whether a run has grown.
pub(crate) const PACE: Duration = Duration::from_secs(2);
/// A run that has said nothing for so long, in seconds, is not waited for.
const MAX_QUIET_S: f64 = 60.0;

/// The curves of a ticked run.
pub struct Overlay {
    pub(crate) path: PathBuf,
    pub(crate) name: String,
    /// Which of the colours it has, below [`MOST`]; it keeps it as long as it is ticked.
    pub(crate) slot: usize,
    pub branch: Branch,
    pub(crate) averages: Averages,
    /// What was changed in it on the way.
    pub(crate) changes: Vec<Change>,
    /// Why it could not be read.
    pub(crate) problem: Option<String>,
    /// How far its log was read; while it is being read, that thread has it.
    tail: Tail,
    reading: Option<Task<Read>>,
    looked: Instant,
    /// When the run last said something, in seconds since 1970.
    heard: f64,
}

/// What a reading gives: how far the log was read, and the curves where there is something new.
type Read = Result<(Tail, Option<Curves>), String>;

impl Overlay {
    fn read(&mut self, wake: &Wake) {
        let (path, mut tail) = (self.path.clone(), std::mem::take(&mut self.tail));
        self.looked = Instant::now();
        self.reading = Some(Task::spawn("curves", wake.clone(), move || {
            let curves = curves(&path, &mut tail)?;
            Ok((tail, curves))
        }));
    }
}

/// See the module.
pub struct Compared {
    wake: Wake,
    overlays: Vec<Overlay>,
}

impl Compared {
    pub(crate) fn new(wake: Wake) -> Self {
        Self { wake, overlays: Vec::new() }
    }

    /// In the order in which they were ticked.
    pub(crate) fn overlays(&self) -> &[Overlay] {
        &self.overlays
    }

    pub fn get(&self, path: &Path) -> Option<&Overlay> {
        self.overlays.iter().find(|overlay| overlay.path == path)
    }

    /// Ticks a run, or takes the tick away. Returns whether there was room for it.
    pub(crate) fn toggle(&mut self, path: &Path) -> bool {
        if self.get(path).is_some() {
            self.overlays.retain(|overlay| overlay.path != path);
            return true;
        }
        let free = (0..MOST).find(|slot| self.overlays.iter().all(|overlay| overlay.slot != *slot));
        let Some(slot) = free else { return false };
        let mut overlay = Overlay {
            path: path.to_owned(),
            name: name(path),
            slot,
            branch: Branch::default(),
            averages: Averages::default(),
            changes: Vec::new(),
            problem: None,
            tail: Tail::default(),
            reading: None,
            looked: Instant::now(),
            heard: 0.0,
        };
        overlay.read(&self.wake);
        self.overlays.push(overlay);
        true
    }

    pub(crate) fn clear(&mut self) {
        self.overlays.clear();
    }

    /// The run in `path` has more to show than when it was read.
    pub(crate) fn read_again(&mut self, path: &Path) {
        if let Some(overlay) = self.overlays.iter_mut().find(|overlay| overlay.path == path) {
            overlay.read(&self.wake);
        }
    }

    /// Looks, not too often, whether the runs that are drawn have grown; `own` is not. Gives whether one of them may go
    /// on growing, so that another look in [`PACE`] is worth a frame.
    pub(crate) fn follow(&mut self, own: Option<&PathBuf>) -> bool {
        let now = now();
        let mut growing = false;
        // One that could not be read once is not asked again and again.
        for overlay in
            self.overlays.iter_mut().filter(|overlay| Some(&overlay.path) != own && overlay.problem.is_none())
        {
            if overlay.reading.is_none() && overlay.looked.elapsed() >= PACE {
                overlay.read(&self.wake);
            }
            growing |= now - overlay.heard < MAX_QUIET_S;
        }
        growing
    }

    /// A run has another path, or none any more.
    pub(crate) fn moved(&mut self, from: &Path, to: Option<&Path>) {
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
    pub(crate) fn tick(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        for overlay in &mut self.overlays {
            let Some(result) = finished(&mut overlay.reading) else { continue };
            match result.flatten() {
                Ok((tail, curves)) => {
                    (overlay.tail, overlay.problem) = (tail, None);
                    if let Some(Curves { branch, changes, heard }) = curves {
                        (overlay.branch, overlay.averages, overlay.heard) = (branch, Averages::default(), heard);
                        overlay.changes = changes;
                    }
                }
                Err(problem) => {
                    problems.push(format!("{} can't be compared: {problem}", overlay.name));
                    overlay.problem = Some(problem);
                }
            }
        }
        problems
    }

    /// Whether curves are on their way.
    #[cfg(test)]
    pub(crate) fn is_busy(&self) -> bool {
        self.overlays.iter().any(|overlay| overlay.reading.is_some())
    }

    /// Works out the averages for a weight; costs nothing where it is the same as before.
    pub(crate) fn smooth(&mut self, weight: f64) {
        self.overlays.iter_mut().for_each(|overlay| overlay.averages.update(&overlay.branch, weight));
    }

    /// Shows curves that no disk has.
    #[cfg(test)]
    pub(crate) fn show(&mut self, path: &Path, branch: Branch) {
        self.toggle(path);
        if let Some(overlay) = self.overlays.last_mut() {
            (overlay.branch, overlay.reading) = (branch, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::test_support::run_with_branches,
        train::{Event, event_log::EventLog},
    };
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

    #[test]
    fn a_run_that_another_process_trains_is_followed_while_it_grows() {
        let folder = tempfile::tempdir().unwrap();
        let path = run_with_branches(folder.path());
        let mut compared = Compared::new(Arc::new(|| ()));
        compared.toggle(&path);
        assert!(settle(&mut compared).is_empty());
        let due = |compared: &mut Compared| compared.overlays[0].looked -= PACE;
        assert!(compared.follow(None), "it has just said something");
        assert!(!compared.is_busy(), "it was read a moment ago");
        due(&mut compared);
        assert!(!compared.follow(Some(&path)) && !compared.is_busy(), "the run at hand is drawn from its session");
        let mut log = EventLog::open(&path.join("events.jsonl"), 1).unwrap();
        let event = Event::Epoch {
            step: 30,
            epoch: 3,
            train_loss: 1.0,
            train_accuracy: 0.5,
            val_loss: Some(1.0),
            val_accuracy: Some(0.7),
            top5: Some(1.0),
            per_class: Vec::new(),
            seconds: 1.0,
            best: false,
        };
        log.append(&event).unwrap();
        compared.follow(None);
        assert!(settle(&mut compared).is_empty());
        assert_eq!(compared.get(&path).unwrap().branch.val_accuracy.values(), [0.3, 0.6, 0.7]);
        // Nothing new leaves the curves alone, and silence ends the waiting.
        due(&mut compared);
        compared.overlays[0].heard -= MAX_QUIET_S;
        assert!(!compared.follow(None));
        assert!(compared.is_busy() && settle(&mut compared).is_empty());
        assert_eq!(compared.get(&path).unwrap().branch.val_accuracy.len(), 3);
    }
}
