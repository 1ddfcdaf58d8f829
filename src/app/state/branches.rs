//! The branches of the run at hand, where each left another, and the snapshots to go back to.
//!
//! The files of the run say all of it. They are read on a thread when a run is opened or resumed and whenever a branch
//! begins; between that, the events of the session carry the branch on that is being trained, and a new snapshot only makes
//! the list of snapshots be read again.

use crate::app::background::{Task, Wake, finished};
use crate::{
    session::Event,
    text,
    train::{History, Recipe, RunFolder, SnapshotInfo, event_log},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// One branch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Branch {
    pub number: u32,
    /// The branch that it left, and after which step.
    pub parent: Option<(u32, u64)>,
    /// Its first and its last step.
    pub from: u64,
    pub to: u64,
    /// Validation accuracy from 0 to 1, by step.
    pub accuracy: BTreeMap<u64, f32>,
}

impl Branch {
    pub(crate) fn best(&self) -> Option<f32> {
        self.accuracy.values().copied().max_by(f32::total_cmp)
    }
}

/// A snapshot with the recipe that was in force.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Snapshot {
    pub info: SnapshotInfo,
    pub recipe: Recipe,
}

/// What the files of a run say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct BranchTree {
    pub path: PathBuf,
    /// By number.
    pub branches: Vec<Branch>,
    /// The branch that was trained last.
    pub current: u32,
    /// The oldest first.
    pub snapshots: Vec<Snapshot>,
    /// Epochs that the last checkpoint has behind it.
    pub epochs_done: u64,
}

impl BranchTree {
    /// Reads a run. Waits for the disk: not for the frame.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let folder = RunFolder::open(path).map_err(|error| error.to_string())?;
        let events = folder.events_path();
        let history =
            History::read(&events).map_err(|error| format!("cannot read {}: {error}", text::path(&events)))?;
        let last = folder.last().map_err(|error| error.to_string())?;
        Ok(Self {
            path: path.to_owned(),
            branches: branches(&history),
            current: history.current,
            snapshots: snapshots(&folder),
            epochs_done: last.map_or(0, |last| last.state.epoch),
        })
    }

    pub(crate) fn branch(&self, number: u32) -> Option<&Branch> {
        self.branches.iter().find(|branch| branch.number == number)
    }

    /// Whether a snapshot is of a state that led to the present one.
    pub(crate) fn led_here(&self, snapshot: &SnapshotInfo) -> bool {
        let (mut number, mut until) = (self.current, u64::MAX);
        // Parents have smaller numbers, so this ends.
        while number != snapshot.branch {
            let Some((parent, step)) = self.branch(number).and_then(|branch| branch.parent) else { return false };
            (number, until) = (parent, until.min(step));
        }
        snapshot.step <= until
    }

    /// Bytes of all snapshots.
    pub(crate) fn bytes(&self) -> u64 {
        self.snapshots.iter().map(|snapshot| snapshot.info.bytes).sum()
    }

    /// The furthest snapshot of a branch: where it is taken up again.
    pub(crate) fn furthest(&self, branch: u32) -> Option<&Snapshot> {
        let own = self.snapshots.iter().filter(|snapshot| snapshot.info.branch == branch);
        own.max_by(|a, b| a.info.step.cmp(&b.info.step).then(a.info.time.total_cmp(&b.info.time)))
    }

    /// Carries the branch on that is being trained.
    fn follow(&mut self, event: &Event) {
        let current = self.current;
        let Some(branch) = self.branches.iter_mut().find(|branch| branch.number == current) else { return };
        match event {
            Event::Step { step, .. } => branch.to = branch.to.max(*step),
            Event::Epoch { step, val_accuracy, epoch, .. } => {
                branch.to = branch.to.max(*step);
                branch.accuracy.extend(val_accuracy.map(|accuracy| (*step, accuracy)));
                self.epochs_done = *epoch;
            }
            _ => {}
        }
    }
}

fn branches(history: &History) -> Vec<Branch> {
    let branch = |(&number, own): (&u32, &event_log::Branch)| {
        let from = own.parent.map_or(0, |(_, step)| step);
        let mut branch = Branch { number, parent: own.parent, from, to: from, accuracy: BTreeMap::new() };
        for line in own.lines() {
            branch.to = branch.to.max(line.event.step());
            if let Event::Epoch { step, val_accuracy, .. } = line.event {
                branch.accuracy.extend(val_accuracy.map(|accuracy| (step, accuracy)));
            }
        }
        branch
    };
    history.branches.iter().map(branch).collect()
}

fn snapshots(folder: &RunFolder) -> Vec<Snapshot> {
    let recipe = |info: SnapshotInfo| Some(Snapshot { recipe: folder.snapshot(&info.name).ok()?.1.state.recipe, info });
    folder.snapshots().into_iter().filter_map(recipe).collect()
}

/// What is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Want {
    Nothing,
    Snapshots,
    All,
}

enum Found {
    Snapshots(Vec<Snapshot>),
    All(BranchTree),
}

/// Keeps a [`BranchTree`] up to date with the run at hand.
pub(crate) struct Branches {
    wake: Wake,
    tree: Option<BranchTree>,
    /// Why the run can't be read.
    pub problem: Option<String>,
    want: Want,
    reading: Option<(PathBuf, Task<Result<Found, String>>)>,
    removing: Option<Task<Result<(), String>>>,
}

impl Branches {
    pub(crate) fn new(wake: Wake) -> Self {
        Self { wake, tree: None, problem: None, want: Want::All, reading: None, removing: None }
    }

    /// What is known of the run in `path`.
    pub(crate) fn tree(&self) -> Option<&BranchTree> {
        self.tree.as_ref()
    }

    pub(crate) fn on_event(&mut self, event: &Event) {
        if let Some(tree) = &mut self.tree {
            tree.follow(event);
        }
        let want = match event {
            Event::Started { .. } | Event::Resumed { .. } => Want::All,
            Event::Snapshot { .. } | Event::SnapshotRemoved { .. } => Want::Snapshots,
            _ => Want::Nothing,
        };
        self.want = self.want.max(want);
    }

    /// Removes a snapshot from a run, on a thread.
    pub(crate) fn remove(&mut self, run: PathBuf, name: String) {
        self.removing = Some(Task::spawn("snapshot", self.wake.clone(), move || {
            let folder = RunFolder::open(&run).map_err(|error| error.to_string())?;
            folder.remove_snapshot(&name).map_err(|error| error.to_string())
        }));
    }

    /// How the last removal went, once that is known.
    pub(crate) fn removed(&mut self) -> Option<Result<(), String>> {
        let result = finished(&mut self.removing).map(Result::flatten);
        if result.is_some() {
            self.want = Want::All;
        }
        result
    }

    /// Takes what was read and reads what is missing; `path` is the run at hand.
    pub(crate) fn tick(&mut self, path: Option<&PathBuf>) {
        let Some(path) = path else {
            self.tree = None;
            self.want = Want::All;
            return;
        };
        let result = match &mut self.reading {
            Some((read, task)) => task.poll().map(|result| (read.clone(), result)),
            None => None,
        };
        if let Some((read, result)) = result {
            self.reading = None;
            match result.flatten() {
                _ if read != *path => {}
                Ok(Found::All(tree)) => (self.tree, self.problem) = (Some(tree), None),
                Ok(Found::Snapshots(snapshots)) => {
                    if let Some(tree) = &mut self.tree {
                        tree.snapshots = snapshots;
                    }
                }
                // A session that has just been started has not made its folder yet.
                Err(problem) => (self.tree, self.problem) = (None, Some(problem)),
            }
        }
        if self.tree.as_ref().is_some_and(|tree| tree.path != *path) {
            (self.tree, self.want) = (None, Want::All);
        }
        if self.want != Want::Nothing && self.reading.is_none() {
            let all = self.want == Want::All || self.tree.is_none();
            self.want = Want::Nothing;
            let own = path.clone();
            let task = Task::spawn("timeline", self.wake.clone(), move || match all {
                true => BranchTree::read(&own).map(Found::All),
                false => Ok(Found::Snapshots(snapshots(&RunFolder::open(&own).map_err(|error| error.to_string())?))),
            });
            self.reading = Some((path.clone(), task));
        }
    }

    /// Whether something is being read.
    pub(crate) fn is_busy(&self) -> bool {
        self.reading.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support::run_with_branches;

    #[test]
    fn branches_and_snapshots_are_what_the_files_say() {
        let folder = tempfile::tempdir().unwrap();
        let tree = BranchTree::read(&run_with_branches(folder.path())).unwrap();
        let spans: Vec<_> =
            tree.branches.iter().map(|branch| (branch.number, branch.parent, branch.from, branch.to)).collect();
        assert_eq!(spans, [(0, None, 0, 30), (1, Some((0, 10)), 10, 20)]);
        assert_eq!((tree.current, tree.branches[0].best()), (1, Some(0.5)));
        let names: Vec<&str> = tree.snapshots.iter().map(|snapshot| snapshot.info.name.as_str()).collect();
        assert_eq!(names, ["epoch-1", "left-at-30", "epoch-2"]);
        let led_here: Vec<bool> = tree.snapshots.iter().map(|snapshot| tree.led_here(&snapshot.info)).collect();
        assert_eq!(led_here, [true, false, true]);
        assert_eq!(tree.furthest(0).unwrap().info.name, "left-at-30");
        assert!(tree.bytes() > 0);
    }

    #[test]
    fn the_branch_that_is_trained_follows_the_events() {
        let folder = tempfile::tempdir().unwrap();
        let mut tree = BranchTree::read(&run_with_branches(folder.path())).unwrap();
        let (loss, accuracy, lr, images_per_s, seconds) = (1.0, 0.5, 0.1, 1.0, 1.0);
        tree.follow(&Event::Step { step: 25, epoch: 2.5, loss, accuracy, lr, images_per_s, seconds });
        assert_eq!((tree.branches[0].to, tree.branches[1].to), (30, 25));
    }
}
