//! The window's side of a training session.
//!
//! A thin adapter: orders go down, events come up, and the latest [`View`] is kept, so that panes look at one consistent
//! state during a frame. Nothing here waits for training, except the end of the window, which waits for the save.

use super::background::Wake;
use crate::{
    device::Choice,
    ops::Implementation,
    session::{Command, Event, Phase, Session, Setup, View, Weights},
    train::Recipe,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// What can be done with the session at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// None was started, or it has ended.
    Idle,
    Running,
    Paused,
    /// Told to stop; it saves.
    Stopping,
}

/// What to start.
pub(crate) struct Start {
    pub dataset: Arc<crate::data::Dataset>,
    pub recipe: Recipe,
    pub device: Choice,
    pub run_dir: PathBuf,
    pub resume: bool,
    /// A run's folder or a weight file to start from.
    pub weights: Option<PathBuf>,
}

/// At most one session, and what is known of the last.
pub struct Engine {
    session: Option<Session>,
    view: Option<Arc<View>>,
    run_dir: Option<PathBuf>,
    paused: bool,
    stopping: bool,
    wake: Wake,
}

impl Engine {
    /// `wake` asks for a frame; sessions call it whenever there is something new.
    pub(crate) fn new(wake: Wake) -> Self {
        Self { session: None, view: None, run_dir: None, paused: false, stopping: false, wake }
    }

    pub(crate) fn status(&self) -> Status {
        match (&self.session, self.stopping, self.paused) {
            (None, ..) => Status::Idle,
            (Some(_), true, _) => Status::Stopping,
            (Some(_), false, true) => Status::Paused,
            (Some(_), false, false) => Status::Running,
        }
    }

    /// Shows `view` as if a session had come so far.
    #[cfg(test)]
    pub(crate) fn show(&mut self, view: View) {
        self.view = Some(Arc::new(view));
    }

    /// Whether a session is there, even one that only saves any more.
    pub fn is_busy(&self) -> bool {
        self.session.is_some()
    }

    /// The folder of a run that rests has another path, or is gone.
    pub(crate) fn moved(&mut self, from: &Path, to: Option<&Path>) {
        if self.session.is_none() && self.run_dir.as_deref() == Some(from) {
            self.run_dir = to.map(Path::to_owned);
        }
    }

    /// As after a session that has ended.
    #[cfg(test)]
    pub(crate) fn rest_in(&mut self, run_dir: PathBuf) {
        self.run_dir = Some(run_dir);
    }

    /// Whether a session can be spoken to.
    pub fn is_live(&self) -> bool {
        self.session.is_some() && !self.stopping
    }

    /// The latest state of the session, or the last one of a session that has ended.
    pub fn view(&self) -> Option<&Arc<View>> {
        self.view.as_ref()
    }

    /// The folder of the run at hand.
    pub fn run_dir(&self) -> Option<&PathBuf> {
        self.run_dir.as_ref()
    }

    /// Starts a session, unless one is there.
    pub(crate) fn start(&mut self, start: Start) {
        if self.session.is_some() {
            return;
        }
        let Start { dataset, recipe, device, run_dir, resume, weights } = start;
        self.run_dir = Some(run_dir.clone());
        self.paused = false;
        self.stopping = false;
        let session = Session::start(Setup {
            dataset,
            recipe,
            device,
            ops: Implementation::default(),
            run_dir,
            resume,
            weights: weights.map(Weights::From),
            wake: Some(self.wake.clone()),
        });
        self.view = Some(session.view());
        self.session = Some(session);
    }

    /// Gives an order to the session, if there is one.
    pub(crate) fn send(&mut self, command: Command) {
        let Some(session) = &self.session else { return };
        match command {
            Command::Pause => self.paused = true,
            Command::Resume => self.paused = false,
            Command::Stop => self.stopping = true,
            _ => {}
        }
        session.send(command);
    }

    /// Stops, saves, and waits for the end; gives why the run could not be saved, where that is so.
    pub(crate) fn end(&mut self) -> Option<String> {
        let session = self.session.take()?;
        session.stop().into_iter().find_map(|event| match event {
            Event::Error { text, .. } => Some(text),
            _ => None,
        })
    }

    /// The events since the last frame; also takes the latest state, and lets go of a session that has ended.
    pub(crate) fn poll(&mut self) -> Vec<Event> {
        let Some(session) = &self.session else { return Vec::new() };
        // Asked first: what is said between the two is read in this call or the next, never lost.
        let ended = session.is_finished();
        let events: Vec<Event> = session.events().collect();
        self.view = Some(session.view());
        for event in &events {
            if let Event::Phase { phase, .. } = event {
                match phase {
                    Phase::Paused => self.paused = true,
                    Phase::Training => self.paused = false,
                    _ => {}
                }
            }
        }
        if ended {
            self.session = None;
            self.paused = false;
            self.stopping = false;
        }
        events
    }
}
