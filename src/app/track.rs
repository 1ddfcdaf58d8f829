//! The run at hand as lanes and pins: its branches, where each left another, and the snapshots to go back to.
//!
//! The files of the run say all of it. They are read on a thread when a run is opened or resumed and whenever a branch
//! begins; between that, the events of the session carry the lane on that is being trained, and a new snapshot only makes
//! the list of snapshots be read again.

use super::background::{Task, Wake, finished};
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
pub(crate) struct Lane {
    pub branch: u32,
    /// The branch that it left, and after which step.
    pub parent: Option<(u32, u64)>,
    /// Its first and its last step.
    pub from: u64,
    pub to: u64,
    /// Validation accuracy from 0 to 1, by step.
    pub accuracy: BTreeMap<u64, f32>,
}

impl Lane {
    pub(crate) fn best(&self) -> Option<f32> {
        self.accuracy.values().copied().max_by(f32::total_cmp)
    }
}

/// A snapshot with the recipe that was in force.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pin {
    pub info: SnapshotInfo,
    pub recipe: Recipe,
}

/// What the files of a run say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Track {
    pub path: PathBuf,
    /// By number.
    pub lanes: Vec<Lane>,
    /// The branch that was trained last.
    pub current: u32,
    /// The oldest first.
    pub pins: Vec<Pin>,
    /// Epochs that the last checkpoint has behind it.
    pub epochs_done: u64,
}

impl Track {
    /// Reads a run. Waits for the disk: not for the frame.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let folder = RunFolder::open(path).map_err(|error| error.to_string())?;
        let events = folder.events_path();
        let history =
            History::read(&events).map_err(|error| format!("cannot read {}: {error}", text::path(&events)))?;
        let last = folder.last().map_err(|error| error.to_string())?;
        Ok(Self {
            path: path.to_owned(),
            lanes: lanes(&history),
            current: history.current,
            pins: pins(&folder),
            epochs_done: last.map_or(0, |last| last.state.epoch),
        })
    }

    pub(crate) fn lane(&self, branch: u32) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.branch == branch)
    }

    /// Bytes of all snapshots.
    pub(crate) fn bytes(&self) -> u64 {
        self.pins.iter().map(|pin| pin.info.bytes).sum()
    }

    /// The furthest snapshot of a branch: where it is taken up again.
    pub(crate) fn furthest(&self, branch: u32) -> Option<&Pin> {
        let own = self.pins.iter().filter(|pin| pin.info.branch == branch);
        own.max_by(|a, b| a.info.step.cmp(&b.info.step).then(a.info.time.total_cmp(&b.info.time)))
    }

    /// Carries the branch on that is being trained.
    fn follow(&mut self, event: &Event) {
        let current = self.current;
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.branch == current) else { return };
        match event {
            Event::Step { step, .. } => lane.to = lane.to.max(*step),
            Event::Epoch { step, val_accuracy, epoch, .. } => {
                lane.to = lane.to.max(*step);
                lane.accuracy.extend(val_accuracy.map(|accuracy| (*step, accuracy)));
                self.epochs_done = *epoch;
            }
            _ => {}
        }
    }
}

fn lanes(history: &History) -> Vec<Lane> {
    let lane = |(&branch, own): (&u32, &event_log::Branch)| {
        let from = own.parent.map_or(0, |(_, step)| step);
        let mut lane = Lane { branch, parent: own.parent, from, to: from, accuracy: BTreeMap::new() };
        for line in own.lines() {
            lane.to = lane.to.max(line.event.step());
            if let Event::Epoch { step, val_accuracy, .. } = line.event {
                lane.accuracy.extend(val_accuracy.map(|accuracy| (step, accuracy)));
            }
        }
        lane
    };
    history.branches.iter().map(lane).collect()
}

fn pins(folder: &RunFolder) -> Vec<Pin> {
    let recipe = |info: SnapshotInfo| Some(Pin { recipe: folder.snapshot(&info.name).ok()?.1.state.recipe, info });
    folder.snapshots().into_iter().filter_map(recipe).collect()
}

/// What is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Want {
    Nothing,
    Pins,
    All,
}

enum Found {
    Pins(Vec<Pin>),
    All(Track),
}

/// Keeps a [`Track`] up to date with the run at hand.
pub(crate) struct Follower {
    wake: Wake,
    track: Option<Track>,
    /// Why the run can't be read.
    pub problem: Option<String>,
    want: Want,
    reading: Option<(PathBuf, Task<Result<Found, String>>)>,
}

impl Follower {
    pub(crate) fn new(wake: Wake) -> Self {
        Self { wake, track: None, problem: None, want: Want::All, reading: None }
    }

    /// What is known of the run in `path`.
    pub(crate) fn track(&self) -> Option<&Track> {
        self.track.as_ref()
    }

    /// The run was changed by somebody else.
    pub(crate) fn refresh(&mut self) {
        self.want = Want::All;
    }

    pub(crate) fn on_event(&mut self, event: &Event) {
        if let Some(track) = &mut self.track {
            track.follow(event);
        }
        let want = match event {
            Event::Started { .. } | Event::Resumed { .. } => Want::All,
            Event::Snapshot { .. } | Event::SnapshotRemoved { .. } => Want::Pins,
            _ => Want::Nothing,
        };
        self.want = self.want.max(want);
    }

    /// Takes what was read and reads what is missing; `path` is the run at hand.
    pub(crate) fn tick(&mut self, path: Option<&PathBuf>) {
        let Some(path) = path else {
            self.track = None;
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
                Ok(Found::All(track)) => (self.track, self.problem) = (Some(track), None),
                Ok(Found::Pins(pins)) => {
                    if let Some(track) = &mut self.track {
                        track.pins = pins;
                    }
                }
                // A session that has just been started has not made its folder yet.
                Err(problem) => (self.track, self.problem) = (None, Some(problem)),
            }
        }
        if self.track.as_ref().is_some_and(|track| track.path != *path) {
            (self.track, self.want) = (None, Want::All);
        }
        if self.want != Want::Nothing && self.reading.is_none() {
            let all = self.want == Want::All || self.track.is_none();
            self.want = Want::Nothing;
            let own = path.clone();
            let task = Task::spawn("timeline", self.wake.clone(), move || match all {
                true => Track::read(&own).map(Found::All),
                false => Ok(Found::Pins(pins(&RunFolder::open(&own).map_err(|error| error.to_string())?))),
            });
            self.reading = Some((path.clone(), task));
        }
    }

    /// Whether something is being read.
    pub(crate) fn is_busy(&self) -> bool {
        self.reading.is_some()
    }
}

/// Removes a snapshot from a run on a thread.
pub(crate) fn remove(wake: Wake, run: PathBuf, name: String) -> Task<Result<(), String>> {
    Task::spawn("snapshot", wake, move || {
        let folder = RunFolder::open(&run).map_err(|error| error.to_string())?;
        folder.remove_snapshot(&name).map_err(|error| error.to_string())
    })
}

/// The result of a removal, once it is there.
pub(crate) fn removed(task: &mut Option<Task<Result<(), String>>>) -> Option<Result<(), String>> {
    finished(task).map(Result::flatten)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support::run_with_branches;

    #[test]
    fn lanes_and_pins_are_what_the_files_say() {
        let folder = tempfile::tempdir().unwrap();
        let track = Track::read(&run_with_branches(folder.path())).unwrap();
        let spans: Vec<_> = track.lanes.iter().map(|lane| (lane.branch, lane.parent, lane.from, lane.to)).collect();
        assert_eq!(spans, [(0, None, 0, 30), (1, Some((0, 10)), 10, 20)]);
        assert_eq!((track.current, track.lanes[0].best()), (1, Some(0.5)));
        let names: Vec<&str> = track.pins.iter().map(|pin| pin.info.name.as_str()).collect();
        assert_eq!(names, ["epoch-1", "left-at-30", "epoch-2"]);
        assert_eq!(track.furthest(0).unwrap().info.name, "left-at-30");
        assert!(track.bytes() > 0);
    }

    #[test]
    fn the_lane_that_is_trained_follows_the_events() {
        let folder = tempfile::tempdir().unwrap();
        let mut track = Track::read(&run_with_branches(folder.path())).unwrap();
        let (loss, accuracy, lr, images_per_s, seconds) = (1.0, 0.5, 0.1, 1.0, 1.0);
        track.follow(&Event::Step { step: 25, epoch: 2.5, loss, accuracy, lr, images_per_s, seconds });
        assert_eq!((track.lanes[0].to, track.lanes[1].to), (30, 25));
    }
}
