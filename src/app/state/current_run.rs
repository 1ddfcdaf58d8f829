//! The run at hand: the one whose curves are shown, whose name is in the bar, and with which Train goes on.
//!
//! There is at most one. Everything that shows or does something with “the run” asks here, so that no two parts of the
//! window speak of different ones. While a session trains it, orders go down, events come up, and the latest [`View`] is
//! kept, so that all parts look at one consistent state during a frame. Nothing here waits for training, except the end of
//! the window, which waits for the save.

mod evaluation;

use self::evaluation::Evaluation;
use crate::{
    app::{
        background::Wake,
        history::{Branch, History, averages::Averages},
    },
    data::{Change, Dataset},
    device::Choice,
    ops::Implementation,
    session::{Command, Event, Phase, Request, Session, Setup, View, Weights},
    train::{Method, Recipe, RunFolder},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// What can be done with the run at hand at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// There is none, or no session trains it.
    Idle,
    Running,
    Paused,
    /// Told to stop; it saves.
    Stopping,
}

/// What to start.
pub(crate) struct Start {
    pub dataset: Arc<Dataset>,
    pub recipe: Recipe,
    pub device: Choice,
    /// The folder of the run; the one at hand goes on.
    pub folder: PathBuf,
    /// A run's folder or a weight file that a new run starts from.
    pub weights: Option<PathBuf>,
}

/// How a run rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// It was opened or has stopped: Train goes on with it.
    Resumable,
    /// Its session did all epochs: Train begins another one.
    Finished,
}

enum Stage {
    Live {
        session: Session,
        paused: bool,
        stopping: bool,
        /// How it will rest when the session has ended.
        end: Rest,
        /// Whether it has done all and stays to hear of changes to its images, as that of a head does.
        waits: bool,
    },
    Resting {
        rest: Rest,
        /// Whether there are weights on the disk.
        saved: bool,
    },
}

struct Run {
    folder: PathBuf,
    evaluation: Evaluation,
    history: History,
    /// Of each branch of the history.
    averages: Vec<Averages>,
    /// The latest state of its session, if it had one.
    view: Option<Arc<View>>,
    stage: Stage,
}

/// The run at hand, if there is one.
pub struct CurrentRun {
    run: Option<Run>,
    /// What was trained before the run at hand.
    ghost: Option<Ghost>,
    /// Counts the runs that were at hand.
    generation: u64,
    wake: Wake,
}

/// The curves of a run that a new one came after.
pub(crate) struct Ghost {
    pub path: PathBuf,
    pub branch: Branch,
    pub averages: Averages,
}

/// The curves of no run.
static NO_HISTORY: History = History::NONE;

impl CurrentRun {
    /// None yet. `wake` asks for a frame; sessions call it whenever there is something new.
    pub(crate) fn new(wake: Wake) -> Self {
        Self { run: None, ghost: None, generation: 0, wake }
    }

    /// What goes on with it.
    pub(crate) fn status(&self) -> Status {
        match self.run.as_ref().map(|run| &run.stage) {
            None | Some(Stage::Resting { .. } | Stage::Live { waits: true, .. }) => Status::Idle,
            Some(Stage::Live { stopping: true, .. }) => Status::Stopping,
            Some(Stage::Live { paused: true, .. }) => Status::Paused,
            Some(Stage::Live { .. }) => Status::Running,
        }
    }

    /// Whether a session is there, even one that only saves any more.
    pub fn is_busy(&self) -> bool {
        self.status() != Status::Idle
    }

    /// Whether a session can be spoken to.
    pub fn is_live(&self) -> bool {
        matches!(self.status(), Status::Running | Status::Paused)
    }

    /// Counts up whenever another run, or none, comes to be at hand.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Its folder.
    pub fn folder(&self) -> Option<&PathBuf> {
        self.run.as_ref().map(|run| &run.folder)
    }

    /// Its folder, where Train goes on with it.
    pub fn resumable(&self) -> Option<&PathBuf> {
        let resumable = |run: &&Run| matches!(run.stage, Stage::Resting { rest: Rest::Resumable, .. });
        self.run.as_ref().filter(resumable).map(|run| &run.folder)
    }

    /// Its folder, where it rests and its weights are saved there.
    pub fn saved(&self) -> Option<&PathBuf> {
        let saved =
            |run: &&Run| matches!(run.stage, Stage::Resting { saved: true, .. } | Stage::Live { waits: true, .. });
        self.run.as_ref().filter(saved).map(|run| &run.folder)
    }

    /// Its curves.
    pub fn history(&self) -> &History {
        self.run.as_ref().map_or(&NO_HISTORY, |run| &run.history)
    }

    /// The smoothed curves of each branch, as [`Self::smooth`] left them.
    pub(crate) fn averages(&self) -> &[Averages] {
        self.run.as_ref().map_or(&[], |run| &run.averages)
    }

    /// The latest state of its session, or the last one of a session that has ended.
    pub fn view(&self) -> Option<&Arc<View>> {
        self.run.as_ref()?.view.as_ref()
    }

    /// The run that was trained before the one at hand, where that is a new one.
    pub(crate) fn ghost(&self) -> Option<&Ghost> {
        self.ghost.as_ref().filter(|ghost| self.folder().is_some_and(|own| *own != ghost.path))
    }

    /// Whether its session has done all epochs.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(&self.run, Some(Run { stage: Stage::Resting { rest: Rest::Finished, .. }, .. }))
    }

    /// Its folder, where there are curves of it or will be soon.
    pub(crate) fn drawn(&self) -> Option<&PathBuf> {
        self.folder().filter(|_| !self.history().is_empty() || self.is_busy())
    }

    /// Another run that rests is at hand.
    pub(crate) fn open(&mut self, folder: PathBuf, history: History, view: Option<Arc<View>>, saved: bool) {
        let stage = Stage::Resting { rest: Rest::Resumable, saved };
        let evaluation = if saved && view.is_none() { Evaluation::Wanted } else { Evaluation::Over };
        self.replace(Some(Run { folder, evaluation, history, averages: Vec::new(), view, stage }));
        // It was not begun after another one.
        self.ghost = None;
    }

    /// No run is at hand any more: the next one is new.
    pub(crate) fn leave(&mut self) {
        self.replace(None);
    }

    /// Train is to go on with the run that rests, even if it is finished.
    pub(crate) fn go_on(&mut self) {
        if let Some(Run { stage: Stage::Resting { rest, .. }, .. }) = &mut self.run {
            *rest = Rest::Resumable;
        }
    }

    fn replace(&mut self, run: Option<Run>) {
        self.cancel_evaluation();
        if let Some(Run { folder, mut history, mut averages, .. }) = std::mem::replace(&mut self.run, run)
            && let (Some(branch), Some(averages)) = (history.branches.pop(), averages.pop())
        {
            self.ghost = Some(Ghost { path: folder, branch, averages });
        }
        self.generation += 1;
    }

    /// Starts a session, unless one is there: for a new run, or for the one at hand where the folder is its.
    pub(crate) fn start(&mut self, start: Start) {
        if self.is_busy() {
            return;
        }
        let Start { dataset, recipe, device, folder, weights } = start;
        let resume = self.resumable() == Some(&folder);
        let session = Session::start(Setup {
            dataset,
            recipe,
            device,
            ops: Implementation::default(),
            run_dir: folder.clone(),
            resume,
            weights: weights.map(Weights::From),
            wake: Some(self.wake.clone()),
        });
        let view = Some(session.view());
        let stage = Stage::Live { session, paused: false, stopping: false, end: Rest::Resumable, waits: false };
        match &mut self.run {
            Some(run) if resume => {
                run.cancel_evaluation();
                (run.view, run.stage) = (view, stage);
            }
            _ => {
                let (history, averages, evaluation) = (History::default(), Vec::new(), Evaluation::Over);
                self.replace(Some(Run { folder, evaluation, history, averages, view, stage }));
            }
        }
    }

    /// Gives an order to the session, if there is one.
    pub(crate) fn send(&mut self, command: Command) {
        let Some(Run { stage: Stage::Live { session, paused, stopping, .. }, .. }) = &mut self.run else { return };
        match command {
            Command::Pause => *paused = true,
            Command::Resume => *paused = false,
            Command::Stop => *stopping = true,
            _ => {}
        }
        session.send(command);
    }

    /// Whether its session finds a head, or waits for changes to its images.
    pub(crate) fn hears_edits(&self) -> bool {
        let recipe = self.view().map(|view| view.recipe.method);
        let live = matches!(self.run.as_ref().map(|run| &run.stage), Some(Stage::Live { stopping: false, .. }));
        live && recipe == Some(Method::Head)
    }

    /// Tells the session of a head of a change to its images.
    pub(crate) fn edit(&mut self, change: Change) {
        if let Some(Run { stage: Stage::Live { session, waits, .. }, .. }) = &mut self.run {
            *waits = false;
            session.send(Command::Edit(change));
        }
    }

    /// Ends a session that has done all and only waits, so that its folder can be moved.
    pub(crate) fn settle(&mut self) {
        let Some(run) = self.run.as_mut() else { return };
        if matches!(run.stage, Stage::Live { waits: true, .. }) {
            // Dropped, it ends; there is nothing left to write.
            run.stage = Stage::Resting { rest: Rest::Finished, saved: true };
        }
    }

    /// Asks the session, if there is one, what its weights say of images.
    pub(crate) fn request(&self, request: Request) {
        if let Some(Run { stage: Stage::Live { session, .. }, .. }) = &self.run {
            session.send(Command::Classify(request));
        }
    }

    /// Stops, saves, and waits for the end; gives why the run could not be saved, where that is so.
    pub(crate) fn end(&mut self) -> Option<String> {
        let Run { stage, .. } = self.run.take()?;
        let Stage::Live { session, .. } = stage else { return None };
        session.stop().into_iter().find_map(|event| match event {
            Event::Error { text, .. } => Some(text),
            _ => None,
        })
    }

    /// The events since the last frame; also takes the latest state, and lets go of a session that has ended.
    pub(crate) fn poll(&mut self) -> Vec<Event> {
        let Some(run) = &mut self.run else { return Vec::new() };
        let Stage::Live { session, paused, end, waits, .. } = &mut run.stage else { return Vec::new() };
        // Asked first: what is said between the two is read in this call or the next, never lost.
        let ended = session.is_finished();
        let events: Vec<Event> = session.events().collect();
        run.view = Some(session.view());
        for event in &events {
            run.history.on_event(event);
            match event {
                Event::Phase { phase: Phase::Paused, .. } => *paused = true,
                Event::Phase { phase: Phase::Training, .. } => *paused = false,
                Event::Phase { phase, .. } => *waits = *phase == Phase::Finished,
                Event::Done { .. } => *end = Rest::Finished,
                _ => {}
            }
        }
        if ended {
            let rest = *end;
            match RunFolder::open(&run.folder) {
                Ok(folder) => run.stage = Stage::Resting { rest, saved: folder.weights().is_ok() },
                // It ended before it had a folder: there is nothing to go on with.
                Err(_) => self.leave(),
            }
        }
        events
    }

    /// Brings the averages up to the curves; costs nothing where both are as they were.
    pub(crate) fn smooth(&mut self, weight: f64) {
        let Some(run) = &mut self.run else { return };
        run.averages.resize_with(run.history.branches.len(), Averages::default);
        for (averages, branch) in run.averages.iter_mut().zip(&run.history.branches) {
            averages.update(branch, weight);
        }
        if let Some(Ghost { branch, averages, .. }) = &mut self.ghost {
            averages.update(branch, weight);
        }
    }

    /// The folder of a run that rests has another path, or is gone.
    pub(crate) fn moved(&mut self, from: &Path, to: Option<&Path>) {
        let Some(run) = self.run.as_mut().filter(|run| run.folder == from) else { return };
        match (&run.stage, to) {
            (Stage::Live { .. }, _) => {}
            (Stage::Resting { .. }, Some(to)) => run.folder = to.to_owned(),
            (Stage::Resting { .. }, None) => self.leave(),
        }
    }
}
