//! Opening the folder of a run: its recipe, what it was trained on, and everything that was measured.

use super::history::History;
use crate::train::{
    Recipe, event_log,
    events::{Event, Line},
    run_folder::{RunFolder, RunInfo},
    run_list,
};
use std::path::{Path, PathBuf};

/// A run as it was found.
pub struct Opened {
    pub path: PathBuf,
    pub recipe: Recipe,
    pub info: RunInfo,
    pub history: History,
    /// Whether all epochs are done.
    pub finished: bool,
    /// Where it stopped on NaN: the beginning of that session, and the report.
    pub stopped: Option<[Event; 2]>,
}

/// Reads a run. Waits for the disk: not for the frame.
pub fn open(path: &Path) -> Result<Opened, String> {
    let folder = RunFolder::open(path).map_err(|error| error.to_string())?;
    let recipe = folder.read_recipe().map_err(|error| error.to_string())?;
    let events = event_log::History::read(&folder.events_path())
        .map_err(|error| format!("cannot read {}: {error}", folder.events_path().display()))?;
    let mut history = History::default();
    for branch in events.branches.values() {
        branch.lines().for_each(|line| history.on_event(&line.event));
    }
    let finished = run_list::summarise(path).finished;
    let stopped = events.branches.values().next_back().and_then(|branch| stopped(branch.lines()));
    Ok(Opened { path: path.to_owned(), recipe, info: folder.read_info(), history, finished, stopped })
}

/// The report of a run whose last session ended with one.
fn stopped<'a>(lines: impl Iterator<Item = &'a Line>) -> Option<[Event; 2]> {
    let (mut begun, mut report) = (None, None);
    for line in lines {
        match &line.event {
            event @ (Event::Started { .. } | Event::Resumed { .. }) => (begun, report) = (Some(event), None),
            event @ Event::NotFinite { .. } => report = Some(event),
            _ => {}
        }
    }
    Some([begun?.clone(), report?.clone()])
}
