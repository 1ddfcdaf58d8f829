//! Whole runs: where they are kept, the list of them, opening one, comparing some, and what is done to their files.
//!
//! Everything that reads or writes a disk runs on a thread; [`Runs`] holds what came of it.

mod compared;
pub(crate) mod home;
mod index;
mod jobs;
mod open;

pub(crate) use compared::{Compared, MOST, Overlay, PACE};
pub(crate) use index::Index;
pub(crate) use jobs::{Done, Jobs, write_notes};
pub(crate) use open::Opened;

/// What a run is called: its folder.
pub(crate) use crate::text::file_name as name;

use super::background::{Task, Wake, finished};
use crate::{
    session::{Event, Phase},
    train::run_folder::is_run,
};
use std::path::{Path, PathBuf};

/// The runs on disk, as the window knows them.
pub struct Runs {
    /// Where new runs go.
    pub folder: PathBuf,
    /// The run of the last time, where it is still on the disk.
    pub(crate) last: Option<PathBuf>,
    opening: Option<Task<Result<Opened, String>>>,
    wake: Wake,
    pub index: Index,
    pub compared: Compared,
    pub jobs: Jobs,
}

impl Runs {
    /// `chosen` is the folder that the user keeps runs in, `last` the run of the last time.
    pub(crate) fn new(chosen: Option<&PathBuf>, last: Option<&PathBuf>, wake: &Wake, session_wake: Wake) -> Self {
        Self {
            folder: home::folder(chosen),
            last: last.filter(|last| is_run(last)).cloned(),
            opening: None,
            wake: wake.clone(),
            index: Index::new(session_wake),
            compared: Compared::new(wake.clone()),
            jobs: Jobs::new(wake.clone()),
        }
    }

    /// Reads the run in `path`, a folder or one file, which goes into the folder for runs.
    pub(crate) fn open(&mut self, path: PathBuf) {
        let folder = self.folder.clone();
        self.opening = Some(Task::spawn("run", self.wake.clone(), move || match path.is_file() {
            true => open::open_file(&path, &folder),
            false => open::open(&path),
        }));
    }

    /// The run that was to be opened, once it has been read.
    pub(crate) fn opened(&mut self) -> Option<Result<Opened, String>> {
        finished(&mut self.opening).map(Result::flatten)
    }

    /// Hears what the session says of the run in `path`.
    pub(crate) fn on_event(&mut self, event: &Event, path: Option<&PathBuf>) {
        let ended = matches!(event, Event::Done { .. } | Event::Phase { phase: Phase::Stopped, .. });
        if ended && let Some(path) = path {
            self.compared.read_again(path);
        }
        if ended || matches!(event, Event::Started { .. } | Event::Resumed { .. } | Event::Epoch { .. }) {
            self.index.refresh();
        }
    }

    /// A run has another path, or none any more.
    pub(crate) fn moved(&mut self, from: &Path, to: Option<&Path>) {
        if self.last.as_deref() == Some(from) {
            self.last = to.map(Path::to_owned);
        }
        self.compared.moved(from, to);
        self.index.refresh();
    }
}
