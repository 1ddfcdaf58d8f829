//! Opening a run, a folder or one file: its recipe, what it was trained on, and everything that was measured.

use crate::app::history::{Branch, Change, History};
use crate::text;
use crate::train::{
    Recipe, bundle,
    event_log::{self, Tail},
    events::{Event, Line},
    run_folder::{RunFolder, RunInfo},
    run_list,
};
use std::path::{Path, PathBuf};

/// A run as it was found.
pub(crate) struct Opened {
    pub path: PathBuf,
    pub recipe: Recipe,
    pub info: RunInfo,
    pub history: History,
    /// Whether all epochs are done.
    pub finished: bool,
    /// Whether there are weights.
    pub saved: bool,
    /// Whether it came as one file, with which people pass on what classifies.
    pub from_file: bool,
    /// Where it stopped on NaN: the beginning of that session, and the report.
    pub stopped: Option<[Event; 2]>,
}

/// Reads a run. Waits for the disk: not for the frame.
pub(crate) fn open(path: &Path) -> Result<Opened, String> {
    let folder = RunFolder::open(path).map_err(|error| error.to_string())?;
    let recipe = folder.read_recipe().map_err(|error| error.to_string())?;
    let events = event_log::History::read(&folder.events_path())
        .map_err(|error| format!("cannot read {}: {error}", text::path(&folder.events_path())))?;
    let mut history = History::default();
    for branch in events.branches.values() {
        branch.lines().for_each(|line| history.on_event(&line.event));
    }
    let finished = run_list::summarise(path).finished;
    let stopped = events.branches.values().next_back().and_then(|branch| stopped(branch.lines()));
    let (saved, info) = (folder.weights().is_ok(), folder.read_info());
    Ok(Opened { path: path.to_owned(), recipe, info, history, finished, saved, from_file: false, stopped })
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

/// Opens a run in one file: into a new folder of its name within `folder`, and then as [`open`] does.
pub(crate) fn open_file(file: &Path, folder: &Path) -> Result<Opened, String> {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let path = run_list::free_path(folder, if name.is_empty() { "run" } else { &name });
    bundle::open(file, &path).map_err(|error| error.to_string())?.keep();
    Ok(Opened { from_file: true, ..open(&path)? })
}

/// What a run's charts show of it beside others.
#[derive(Debug, Default)]
pub(crate) struct Curves {
    /// What led to the present state of the run, as one branch.
    pub branch: Branch,
    /// What was changed on the way there.
    pub changes: Vec<Change>,
    /// When the run last said something, in seconds since 1970.
    pub heard: f64,
}

/// The curves of the run in `path`, whose log was read up to `tail`; `None` where nothing has come since. Waits for the
/// disk.
pub(crate) fn curves(path: &Path, tail: &mut Tail) -> Result<Option<Curves>, String> {
    let folder = RunFolder::open(path).map_err(|error| error.to_string())?;
    let events = folder.events_path();
    if !tail.read(&events).map_err(|error| format!("cannot read {}: {error}", text::path(&events)))? {
        return Ok(None);
    }
    let (mut history, mut heard) = (History::default(), 0.0);
    for line in tail.history().path(tail.history().current) {
        history.on_event(&line.event);
        heard = line.time;
    }
    let changes = history.changes().into_iter().cloned().collect();
    Ok(Some(Curves { branch: history.branches.pop().unwrap_or_default(), changes, heard }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support::run_with_branches;

    #[test]
    fn the_curves_of_a_run_are_those_of_the_way_to_its_present_state() {
        let folder = tempfile::tempdir().unwrap();
        let path = run_with_branches(folder.path());
        let mut tail = Tail::default();
        let branch = curves(&path, &mut tail).unwrap().unwrap().branch;
        assert_eq!(branch.epochs.step, [10.0, 20.0]);
        assert_eq!(branch.val_accuracy.values(), [0.3, 0.6]);
        assert!(curves(&path, &mut tail).unwrap().is_none(), "nothing has come since");
        assert!(curves(folder.path(), &mut tail).unwrap_err().contains("holds no run"));
    }

    #[test]
    fn a_run_in_one_file_gets_a_folder_of_its_own_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let (file, runs) = (folder.path().join("mine.kindling"), folder.path().join("runs"));
        bundle::save(&run_with_branches(folder.path()), &file).unwrap();
        assert_eq!(open_file(&file, &runs).unwrap().path, runs.join("mine"));
        let again = open_file(&file, &runs).unwrap();
        assert_eq!((again.path, again.recipe.lr), (runs.join("mine-2"), 0.05));
        std::fs::write(&file, "rubbish").unwrap();
        assert!(open_file(&file, &runs).is_err_and(|error| error.contains("mine.kindling")));
        assert_eq!(std::fs::read_dir(&runs).unwrap().count(), 2);
    }
}
