//! What all parts of the window look at, part by part.
//!
//! Nothing here draws. What is drawn gets the state to read and a list of [`actions`]; [`crate::app::window`] carries the
//! list out after the frame.

pub(crate) mod actions;
pub(crate) mod branches;
pub(crate) mod costs;
pub(crate) mod current_run;
pub(crate) mod data;
pub(crate) mod layout;
pub(crate) mod log;
pub(crate) mod notices;
pub(crate) mod pane_id;
pub(crate) mod rewind;
pub(crate) mod settings;
mod training;
pub(crate) mod ways;

pub use actions::{Action, RunAction};
pub(crate) use actions::{Actions, ChartChange};
pub(crate) use current_run::Status;
pub use pane_id::PaneId;

use self::{
    branches::Branches, costs::Costs, current_run::CurrentRun, data::Data, notices::Notices, rewind::Pending,
    settings::Settings,
};
use super::{
    background::{Task, Wake},
    desktop::file_dialog::FileDialog,
    runs::Runs,
    widgets::toasts::Level,
};
use crate::{
    data::LoadOptions,
    device::{Adapter, Choice},
    session::Command,
    train::{AppliesAt, Recipe, RunFolder, Value},
};
use std::{path::PathBuf, sync::Arc};

/// The training devices of this machine, as far as they are known.
#[derive(Default)]
pub struct Devices {
    /// What trains.
    pub choice: Choice,
    /// `None` while the drivers are being asked.
    pub adapters: Option<Vec<Adapter>>,
    pub(crate) search: Option<Task<Vec<Adapter>>>,
}

/// See the module.
pub struct State {
    /// The run at hand.
    pub run: CurrentRun,
    /// Its branches and snapshots.
    pub(crate) branches: Branches,
    /// The runs on disk.
    pub runs: Runs,
    /// What the next run learns from.
    pub data: Data,
    /// The recipe of the next run; while a run goes on, what its fields that act at once have been set to.
    pub recipe: Recipe,
    /// What the next run is to be called; of its data and model where that is empty.
    pub(crate) run_name: String,
    /// Weights that the next run starts from.
    pub start_from: Option<PathBuf>,
    pub(crate) pending: Pending,
    /// What trains, and what could.
    pub devices: Devices,
    pub(crate) costs: Costs,
    /// The log and the toasts.
    pub notices: Notices,
    /// What is remembered from one day to the next.
    pub settings: Settings,
    pub(crate) actions: Actions,
    /// The run whose offer of what to do next was closed, by its number.
    pub(crate) closed_offer: Option<u64>,
    /// Show the panes though there is nothing in them yet.
    pub(crate) browsing: bool,
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
        Self {
            // These follow the session, and can wait for the frame that it asks for.
            run: CurrentRun::new(session_wake.clone()),
            branches: Branches::new(session_wake.clone()),
            runs: Runs::new(settings.runs_folder.as_ref(), settings.last_run.as_ref(), &wake, session_wake.clone()),
            data: Data::default(),
            // The first preset is always valid; the default recipe is too.
            recipe: Recipe::preset("quick").unwrap_or_default(),
            run_name: String::new(),
            start_from: None,
            pending: Pending::Nothing,
            devices: Devices::default(),
            costs: Costs::default(),
            notices: Notices::default(),
            settings,
            actions: Actions::default(),
            closed_offer: None,
            browsing: false,
            weights_mirror: None,
            // The window brings one that asks.
            file_dialog: Arc::new(|_| Vec::new()),
            wake,
            session_wake,
        }
    }

    /// Asks for something to be done after the frame.
    pub fn ask(&mut self, action: Action) {
        self.actions.ask(action);
    }

    /// Sets a hyperparameter of the recipe, and of the run where it goes on and the field allows it.
    pub fn set(&mut self, key: &str, value: Value) {
        let before = self.recipe.get(key);
        if let Err(error) = self.recipe.set(key, value.clone()) {
            self.notices.tell(Level::Warning, error.to_string());
            return;
        }
        if self.recipe.get(key) == before {
            return;
        }
        let applies_at = crate::train::field(key).map(|field| field.applies_at);
        if self.run.is_live() && applies_at.is_some_and(|at| at != AppliesAt::Restart) {
            self.run.send(Command::Set { key: key.to_owned(), value });
        }
    }

    /// Brings the averages that the charts draw up to the curves.
    pub(crate) fn smooth(&mut self) {
        let weight = f64::from(self.settings.smoothing);
        self.run.smooth(weight);
        self.runs.compared.smooth(weight);
    }

    /// Why no run can start now, if none can.
    pub(crate) fn cannot_train(&self) -> Option<String> {
        if self.run.is_busy() {
            return Some("a run is going on".to_owned());
        }
        if self.data.loading.is_some() {
            return Some("the data is still being read".to_owned());
        }
        let Some(dataset) = &self.data.dataset else { return Some("choose data first".to_owned()) };
        self.recipe.spec(dataset.train.channels, dataset.classes.len()).err().map(|error| error.to_string())
    }

    /// Whether there is nothing yet that a pane could show, nor does anybody look for it.
    pub(crate) fn is_welcoming(&self) -> bool {
        self.data.dataset.is_none() && self.run.history().is_empty() && !self.browsing
    }

    /// How the next run, or the one at hand, wants its data loaded. Of a run, what it has written down is read.
    pub(crate) fn load_options(&self) -> LoadOptions {
        let of_run = self.run.resumable().and_then(|run| {
            let folder = RunFolder::open(run).ok()?;
            let (sides, edits) = (folder.read_sides().ok()?, folder.read_edits().ok()?);
            Some(folder.read_info().load_options(&self.recipe, sides, edits))
        });
        // What was changed about the images holds for the next run on them.
        let edits = || self.data.dataset.as_ref().map(|dataset| dataset.options.edits.clone()).unwrap_or_default();
        of_run.unwrap_or_else(|| LoadOptions { edits: edits(), ..self.recipe.load_options() })
    }

    /// How many steps an epoch of the next run has, or has in the present one.
    pub(crate) fn steps_per_epoch(&self) -> u64 {
        let from_run = self.run.view().filter(|_| self.run.is_busy()).map(|view| view.steps_per_epoch);
        from_run.filter(|&steps| steps > 0).unwrap_or_else(|| {
            let images = self.data.dataset.as_ref().map_or(5_000, |dataset| dataset.train.len());
            crate::train::schedule::steps_per_epoch(images, self.recipe.batch_size)
        })
    }
}
