//! How the parts of the window ask for something to be done.
//!
//! A button does nothing itself: it puts an [`Action`] on a list, and [`crate::app::window`] carries the list out after
//! the frame. So a key, a dropped file, a button and a test all take the same way.

use super::{pane_id::PaneId, rewind::Rewind, ways::Way};
use crate::{
    app::{history::X, widgets::toasts::Level},
    data::Change,
    model::Padding,
    train::{Recipe, Value},
    weights::ExportFormat,
};
use std::path::PathBuf;

/// Something to do after the frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The sample set, the quick recipe, and off.
    TrySample,
    /// Starts a run, or goes on with the one at hand.
    Train,
    /// Leaves the run at hand; the next one is new.
    NewRun,
    /// Holds after the present step.
    Pause,
    /// Ends a pause.
    Resume,
    /// Saves the run and ends its session.
    Stop,
    /// Keeps the run as it is now, to go back to.
    Snapshot,
    /// Loads a data set: the name of a known one, or a path.
    LoadData(String),
    /// Stops loading data.
    CancelLoading,
    /// Stops evaluating the run that was opened.
    CancelEvaluation,
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
        /// A run's folder or a weight file.
        source: PathBuf,
        /// As what.
        format: ExportFormat,
        /// The file to write.
        out: PathBuf,
    },
    /// Brings a pane to the front.
    Show(PaneId),
    /// Draws the charts otherwise.
    Charts(ChartChange),
    /// Looks for a learning rate on a copy of the weights.
    FindRate,
    /// Draws everything so many times as large as the desktop's own scale has it.
    Zoom(f32),
    /// Hides the setup column, or shows it again.
    ToggleSetup,
    /// Puts all panes back where they were at first.
    ResetLayout,
    /// Shows the keys, or hides them.
    Help,
    /// Shows what is kept on this disk to be found again.
    ShowCache,
    /// Asks where a device of another machine is.
    AddRemoteDevice,
    /// Puts text into the clipboard.
    CopyText(String),
    /// Writes to the log; a warning or an error also shows as a toast.
    Tell(Level, String),
    /// Writes to the log and shows a toast.
    Notice(Level, String),
    /// Writes to the log alone.
    Log(Level, String),
    /// All of the log has been seen.
    LogIsRead,
    /// Changes what the images of the run at hand are, or takes a change back.
    Edit(Change),
    /// Takes these files in as images of a class.
    AddImages(String, Vec<PathBuf>),
    /// Asks for files, and takes them in as images of a class.
    ChooseImages(String),
    /// Asks for a folder, and writes the images there as they are filed now.
    SaveImages,
    /// The next run learns so from photographs.
    Learn(Way),
    /// What is done to whole runs.
    Run(RunAction),
}

/// How the charts are drawn otherwise from now on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ChartChange {
    /// With this weight of the past in the average, from 0 to below 1.
    Smoothing(f32),
    /// With this along the lower edge.
    X(X),
    /// With or without what happened at a step.
    Marks(bool),
    /// With or without the snapshots.
    SnapshotMarks(bool),
    /// With or without the run before behind a new one.
    Ghost(bool),
    /// With or without values beyond measure in the range.
    Outliers(bool),
    /// The chart of that name, between these values or as its curves have it.
    Limits(&'static str, Option<[f64; 2]>),
    /// With a line at this validation accuracy in percent.
    Target(Option<f64>),
    /// The chart of that name, with a logarithmic scale or without.
    LogScale(&'static str, bool),
}

/// What is done to whole runs.
#[derive(Clone, Debug, PartialEq)]
pub enum RunAction {
    /// Goes back to a snapshot, whether the run goes on or not.
    Rewind(Box<Rewind>),
    /// Removes a snapshot of the run.
    RemoveSnapshot {
        /// Its folder.
        run: PathBuf,
        /// The snapshot's name.
        name: String,
    },
    /// Trains with a recipe and changes to it: a run that rests, or where there is none, a new one.
    TrainWith {
        /// The folder of a run to go on with.
        run: Option<PathBuf>,
        /// What to train with.
        recipe: Box<Recipe>,
        /// Key and value of what is to be different from it.
        changes: Vec<(String, Value)>,
    },
    /// The next run has this recipe; the name says whose it was.
    Duplicate(Box<Recipe>, String),
    /// Opens the run and goes on with it as soon as its data are there.
    Resume(PathBuf),
    /// Draws the run on the charts beside the one at hand, or no longer.
    Compare(PathBuf),
    /// Draws no other runs on the charts.
    CompareNone,
    /// The list of runs is looked at, and is to be kept up; `anew` where it was not a moment ago.
    Look {
        /// Reads it again whatever is known.
        anew: bool,
    },
    /// Gives the run's folder another name.
    Rename(PathBuf, String),
    /// Keeps the notes in the run's folder.
    SetNotes(PathBuf, String),
    /// Moves the run to the trash; the user has been asked.
    Trash(PathBuf),
    /// Shows the run's folder in the file manager.
    Reveal(PathBuf),
    /// Asks for a file, and saves the run as that.
    SaveAs(PathBuf),
    /// Saves the run as one file.
    SaveFile {
        /// Its folder.
        run: PathBuf,
        /// The file to write.
        file: PathBuf,
    },
    /// Asks for a folder to keep runs in.
    ChooseFolder,
    /// Keeps runs in that folder from now on.
    UseFolder(PathBuf),
}

/// What was asked for and not done yet, in order.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Actions(Vec<Action>);

impl Actions {
    /// Asks for something to be done after the frame.
    pub(crate) fn ask(&mut self, action: Action) {
        self.0.push(action);
    }

    /// Writes to the log; a warning or an error also shows as a toast.
    pub(crate) fn tell(&mut self, level: Level, text: impl Into<String>) {
        self.ask(Action::Tell(level, text.into()));
    }

    /// Writes to the log and shows a toast.
    pub(crate) fn notice(&mut self, level: Level, text: impl Into<String>) {
        self.ask(Action::Notice(level, text.into()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, which are the caller's to do.
    pub(crate) fn take(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.0)
    }
}
