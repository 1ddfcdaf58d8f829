//! What all parts of the window look at, and how they ask for something to be done.
//!
//! A button does nothing itself: it puts an [`Action`] on a list, and [`super::window`] carries the list out after the
//! frame. So a key, a dropped file, a button and a test all take the same way.

use super::{
    background::{Task, Wake},
    engine::{Engine, Status},
    file_dialog::FileDialog,
    history::History,
    loading::Loading,
    log::Log,
    pane::Kind,
    run_actions::RunAction,
    runs::{Runs, home},
    settings::Settings,
    toasts::{Level, Toasts},
    track::Follower,
};
use crate::{
    data::{Dataset, LoadOptions},
    device::{Adapter, Choice},
    model::Padding,
    session::Command,
    train::{AppliesAt, Recipe, RunFolder, Value, run_folder::is_run},
    weights::ExportFormat,
};
use std::{path::PathBuf, sync::Arc};

/// Something to do after the frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The sample set, the quick recipe, and off.
    TrySample,
    /// Starts a run, or goes on with the one at hand.
    Train,
    /// Leaves the run at hand; the next one is new.
    NewRun,
    /// Holds training between two steps.
    Pause,
    /// Ends a pause.
    Resume,
    /// Saves, and ends the session.
    Stop,
    /// Keeps the present state to go back to.
    Snapshot,
    /// Reads a data set: a known name or a path.
    LoadData(String),
    /// Stops reading it.
    CancelLoading,
    /// Asks for files and takes them as if they were dropped.
    OpenFiles,
    /// Asks for a folder and takes it as if it were dropped.
    OpenFolder,
    /// Looks at each path and does what it is for.
    Take(Vec<PathBuf>),
    /// Classifies image files.
    Classify(Vec<PathBuf>),
    /// Takes the files in the clipboard as if they were dropped, or classifies the image in it.
    Paste,
    /// Classifies some images of the validation split, that many.
    ClassifyHeldOut(usize),
    /// Goes on with the run in that folder.
    OpenRun(PathBuf),
    /// Shows what weights are and asks what they are for: a path, or the name of published ones.
    OfferWeights(String),
    /// Classifies with a run's or a file's weights, padding as told.
    ClassifyWith(PathBuf, Option<Padding>),
    /// Opens a run in one file into the folder for runs.
    OpenRunFile(PathBuf),
    /// The next run starts from these weights; `None` is from scratch.
    StartFrom(Option<PathBuf>),
    /// Asks where a run's or a file's network is to be written for other programs.
    Export(PathBuf),
    /// Writes a network for other programs.
    WriteExport {
        /// The run's folder or the weight file.
        source: PathBuf,
        /// What to write.
        format: ExportFormat,
        /// The file to write to.
        out: PathBuf,
    },
    /// Brings a pane to the front.
    Show(Kind),
    /// Looks for a learning rate on a copy of the weights.
    FindRate,
    /// Puts the panes where they are at first.
    ResetLayout,
    /// Shows the keys.
    Help,
    /// Puts a text into the clipboard.
    CopyText(String),
    /// What is done to whole runs.
    Run(RunAction),
}

/// The training devices of this machine, as far as they are known.
#[derive(Default)]
pub struct Devices {
    pub choice: Choice,
    /// `None` while the drivers are being asked.
    pub(crate) adapters: Option<Vec<Adapter>>,
    pub(crate) search: Option<Task<Vec<Adapter>>>,
}

/// See the module.
pub struct State {
    pub engine: Engine,
    pub history: History,
    /// Branches and snapshots of the run at hand.
    pub(crate) follower: Follower,
    /// The runs on disk.
    pub runs: Runs,
    pub dataset: Option<Arc<Dataset>>,
    pub(crate) loading: Option<Loading<Dataset>>,
    /// Why the last attempt to load data failed, until the next.
    pub(crate) data_problem: Option<String>,
    /// The recipe of the next run; while a run goes on, what its fields that act at once have been set to.
    pub recipe: Recipe,
    /// Weights that the next run starts from.
    pub start_from: Option<PathBuf>,
    pub devices: Devices,
    pub log: Log,
    pub(crate) toasts: Toasts,
    pub settings: Settings,
    pub(crate) actions: Vec<Action>,
    /// Train as soon as the data that is being loaded is there.
    pub(crate) train_when_loaded: bool,
    /// Train as soon as the run that is being opened, and its data, are there.
    pub(crate) train_when_opened: bool,
    /// Show the panes though there is nothing in them yet.
    pub(crate) browsing: bool,
    /// A run that was opened or stopped; `Train` goes on with it.
    pub at_hand: Option<PathBuf>,
    /// A run that does not go on and whose saved weights can classify.
    pub saved_run: Option<PathBuf>,
    /// Whether the last run of the settings is still on disk.
    pub(crate) last_run_is_there: bool,
    /// Where new runs go.
    pub runs_folder: PathBuf,
    /// Where published weights are fetched from, instead of their publishers.
    pub weights_mirror: Option<String>,
    /// Asks for paths; waits, so it is called on a thread.
    pub file_dialog: FileDialog,
    /// Asks for a frame at once.
    pub(crate) wake: Wake,
    /// Asks for a frame soon, for what comes many times a second.
    pub(crate) session_wake: Wake,
}

impl State {
    pub(crate) fn new(settings: Settings, wake: Wake, session_wake: Wake) -> Self {
        let last_run_is_there = settings.last_run.as_ref().is_some_and(|run| is_run(run));
        Self {
            engine: Engine::new(session_wake.clone()),
            history: History::default(),
            // Both follow the session, and can wait for the frame that it asks for.
            follower: Follower::new(session_wake.clone()),
            runs: Runs::new(&wake, session_wake.clone()),
            dataset: None,
            loading: None,
            data_problem: None,
            // The first preset is always valid; the default recipe is too.
            recipe: Recipe::preset("quick").unwrap_or_default(),
            start_from: None,
            devices: Devices::default(),
            log: Log::default(),
            toasts: Toasts::default(),
            runs_folder: home::folder(settings.runs_folder.as_ref()),
            settings,
            actions: Vec::new(),
            train_when_loaded: false,
            train_when_opened: false,
            browsing: false,
            at_hand: None,
            saved_run: None,
            last_run_is_there,
            weights_mirror: None,
            // The window brings one that asks.
            file_dialog: Arc::new(|_| Vec::new()),
            wake,
            session_wake,
        }
    }

    /// Asks for something to be done after the frame.
    pub fn ask(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Writes to the log; a warning or an error also shows as a toast.
    pub(crate) fn tell(&mut self, level: Level, text: impl Into<String>) {
        match level {
            Level::Info => self.log.add(level, text),
            Level::Warning | Level::Error => self.notice(level, text),
        }
    }

    /// As [`Self::tell`], with a toast for a note too.
    pub(crate) fn notice(&mut self, level: Level, text: impl Into<String>) {
        let text = text.into();
        self.toasts.add(level, text.clone());
        self.log.add(level, text);
    }

    /// Sets a hyperparameter of the recipe, and of the run where it goes on and the field allows it.
    pub fn set(&mut self, key: &str, value: Value) {
        let before = self.recipe.get(key);
        if let Err(error) = self.recipe.set(key, value.clone()) {
            self.tell(Level::Warning, error.to_string());
            return;
        }
        if self.recipe.get(key) == before {
            return;
        }
        let live = matches!(self.engine.status(), Status::Running | Status::Paused);
        let applies_at = crate::train::field(key).map(|field| field.applies_at);
        if live && applies_at.is_some_and(|at| at != AppliesAt::Restart) {
            self.engine.send(Command::Set { key: key.to_owned(), value });
        }
    }

    /// The run whose curves the charts show as their own.
    pub(crate) fn shown_run(&self) -> Option<&PathBuf> {
        let shown = self.at_hand.as_ref().or(self.engine.run_dir());
        shown.filter(|_| !self.history.is_empty() || self.engine.is_busy())
    }

    /// Why no run can start now, if none can.
    pub(crate) fn cannot_train(&self) -> Option<String> {
        if self.engine.status() != Status::Idle {
            return Some("a run is going on".to_owned());
        }
        if self.loading.is_some() {
            return Some("the data is still being read".to_owned());
        }
        let Some(dataset) = &self.dataset else { return Some("choose data first".to_owned()) };
        self.recipe.spec(dataset.train.channels, dataset.classes.len()).err().map(|error| error.to_string())
    }

    /// How the next run, or the one at hand, wants its data loaded. Of a run, what it has written down is read.
    pub(crate) fn load_options(&self) -> LoadOptions {
        let of_run = self.at_hand.as_ref().and_then(|run| {
            let folder = RunFolder::open(run).ok()?;
            Some(folder.read_info().load_options(&self.recipe, folder.read_sides().ok()?))
        });
        of_run.unwrap_or_else(|| self.recipe.load_options())
    }

    /// How many steps an epoch of the next run has, or has in the present one.
    pub(crate) fn steps_per_epoch(&self) -> u64 {
        let from_run = self.engine.view().filter(|_| self.engine.status() != Status::Idle).map(|v| v.steps_per_epoch);
        from_run.filter(|&steps| steps > 0).unwrap_or_else(|| {
            let images = self.dataset.as_ref().map_or(5_000, |dataset| dataset.train.len());
            crate::train::schedule::steps_per_epoch(images, self.recipe.batch_size)
        })
    }
}
