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
pub(crate) use open::{Opened, open, open_file};

/// What a run is called: its folder.
pub(crate) use crate::text::file_name as name;

use super::background::Wake;
use crate::session::{Event, Phase};
use std::path::{Path, PathBuf};

/// The runs on disk, as the window knows them.
pub struct Runs {
    pub index: Index,
    pub compared: Compared,
    pub jobs: Jobs,
}

impl Runs {
    pub(crate) fn new(wake: &Wake, session_wake: Wake) -> Self {
        Self { index: Index::new(session_wake), compared: Compared::new(wake.clone()), jobs: Jobs::new(wake.clone()) }
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
        self.compared.moved(from, to);
        self.index.refresh();
    }
}
