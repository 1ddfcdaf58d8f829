//! What is done to whole runs: going back, going on with other values, taking a recipe over, comparing, and what concerns
//! their files.
//!
//! A run that does not go on has to be resumed before it can go back. So a rewind is asked for in three steps, which the
//! window carries out in one frame: make the run the one at hand, train, send the order.

use super::{
    engine::Status,
    history::History,
    runs::{self, Done, home},
    state::{Action, State},
    toasts::Level,
};
use crate::{
    session::Command,
    text,
    train::{Recipe, Value},
};
use std::path::{Path, PathBuf};

/// Going back to a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Rewind {
    pub(crate) run: PathBuf,
    pub(crate) snapshot: String,
    /// The recipe of the snapshot.
    pub(crate) recipe: Recipe,
    pub(crate) changes: Vec<(String, Value)>,
    /// Epochs that the run has behind it at its last checkpoint.
    pub(crate) epochs_done: u64,
}

impl Rewind {
    /// The recipe that training goes on with.
    fn changed(&self) -> Result<Recipe, String> {
        let mut recipe = self.recipe.clone();
        for (key, value) in &self.changes {
            recipe.set(key, value.clone()).map_err(|error| error.to_string())?;
        }
        recipe.validate().map_err(|error| error.to_string())?;
        Ok(recipe)
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub enum RunAction {
    /// Makes the run of a rewind the one at hand.
    Prepare(Box<Rewind>),
    /// Gives the order to the session.
    Send(Box<Rewind>),
    /// Sets hyperparameters for a run that is about to be resumed.
    Change(Vec<(String, Value)>),
    /// The next run has this recipe; the name says whose it was.
    Duplicate(Box<Recipe>, String),
    /// Opens the run and goes on with it as soon as its data are there.
    Resume(PathBuf),
    /// Draws the run on the charts beside the one at hand, or no longer.
    Compare(PathBuf),
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
        /// The folder.
        run: PathBuf,
        /// The file to write.
        file: PathBuf,
    },
    /// Asks for a folder to keep runs in.
    ChooseFolder,
    /// Keeps runs in that folder from now on.
    UseFolder(PathBuf),
}

/// Goes back, whether the run goes on or not.
pub(crate) fn rewind(state: &mut State, rewind: Rewind) {
    let live = state.engine.is_live() && state.engine.run_dir() == Some(&rewind.run);
    let rewind = Box::new(rewind);
    if !live {
        state.ask(Action::Run(RunAction::Prepare(rewind.clone())));
        state.ask(Action::Train);
    }
    state.ask(Action::Run(RunAction::Send(rewind)));
}

/// Carries an action out.
pub(crate) fn act(state: &mut State, action: RunAction) {
    match action {
        RunAction::Prepare(rewind) => prepare(state, &rewind),
        RunAction::Send(rewind) => send(state, *rewind),
        RunAction::Change(changes) => {
            for (key, value) in changes {
                state.set(&key, value);
            }
        }
        RunAction::Duplicate(recipe, name) => {
            if state.engine.status() != Status::Idle {
                state.tell(Level::Warning, "Stop the run before a recipe is taken over");
                return;
            }
            state.recipe = *recipe;
            state.at_hand = None;
            state.history = History::default();
            state.notice(Level::Info, format!("The next run has the recipe of {}", text::foreign(&name)));
        }
        RunAction::Resume(path) => {
            state.train_when_opened = true;
            state.ask(Action::OpenRun(path));
        }
        RunAction::Compare(path) => {
            if !state.runs.compared.toggle(&path) {
                let text = format!("{} runs can be told apart on a chart: untick one first", runs::MOST);
                state.tell(Level::Warning, text);
            }
        }
        RunAction::SetNotes(path, notes) => state.runs.jobs.write_notes(path, notes),
        RunAction::Reveal(path) => state.runs.jobs.reveal(path),
        RunAction::SaveAs(path) => state.runs.jobs.ask_for_file(path, state.file_dialog.clone()),
        RunAction::SaveFile { run, file } => state.runs.jobs.save_file(run, file),
        RunAction::ChooseFolder => {
            let (folder, dialog) = (state.runs_folder.clone(), state.file_dialog.clone());
            state.runs.jobs.ask_for_folder(folder, dialog);
        }
        RunAction::UseFolder(folder) => {
            state.settings.runs_folder = Some(folder);
            state.runs_folder = home::folder(state.settings.runs_folder.as_ref());
            state.notice(Level::Info, format!("Runs are kept in {}", text::path(&state.runs_folder)));
        }
        RunAction::Rename(path, _) | RunAction::Trash(path) if goes_on(state, &path) => {
            state.tell(Level::Warning, format!("{} goes on: stop it first", runs::name(&path)));
        }
        RunAction::Rename(path, name) => state.runs.jobs.rename(path, name),
        RunAction::Trash(path) => state.runs.jobs.trash(path),
    }
}

fn goes_on(state: &State, path: &Path) -> bool {
    state.engine.is_busy() && state.engine.run_dir().map(PathBuf::as_path) == Some(path)
}

/// Takes what has been done to the files of runs.
pub(crate) fn done(state: &mut State, result: Result<Done, String>) {
    match result {
        Ok(Done::Renamed { from, to }) => {
            state.notice(Level::Info, format!("{} is called {} now", runs::name(&from), runs::name(&to)));
            moved(state, &from, Some(&to));
        }
        Ok(Done::Trashed(path)) => {
            state.notice(Level::Info, format!("{} is in the trash", runs::name(&path)));
            moved(state, &path, None);
        }
        Ok(Done::Noted(_)) => state.runs.index.refresh(),
        Ok(Done::Saved(file)) => {
            state.notice(Level::Info, format!("Saved as {}, without its snapshots", text::path(&file)));
        }
        Ok(Done::Target { run, file }) => state.ask(Action::Run(RunAction::SaveFile { run, file })),
        Ok(Done::Folder(folder)) => state.ask(Action::Run(RunAction::UseFolder(folder))),
        Ok(Done::Revealed | Done::Nothing) => {}
        Err(error) => {
            state.tell(Level::Warning, error);
            // The list may show what is no longer so.
            state.runs.index.refresh();
        }
    }
}

/// Follows a run to another path; `None` is the trash.
fn moved(state: &mut State, from: &Path, to: Option<&Path>) {
    let shown = state.shown_run().is_some_and(|path| path == from);
    if to.is_none() && shown && !state.engine.is_busy() {
        state.history = History::default();
    }
    for place in [&mut state.at_hand, &mut state.saved_run, &mut state.settings.last_run, &mut state.start_from] {
        if place.as_deref() == Some(from) {
            *place = to.map(Path::to_owned);
        }
    }
    state.engine.moved(from, to);
    state.runs.moved(from, to);
}

fn prepare(state: &mut State, rewind: &Rewind) {
    if state.engine.status() != Status::Idle {
        return;
    }
    match rewind.changed() {
        Ok(recipe) => {
            // A finished run would end before it hears the order; the snapshot's own number counts afterwards.
            let epochs = recipe.epochs.max(rewind.epochs_done + 1);
            state.recipe = Recipe { epochs, ..recipe };
            state.at_hand = Some(rewind.run.clone());
        }
        Err(error) => state.tell(Level::Warning, error),
    }
}

fn send(state: &mut State, rewind: Rewind) {
    let live = state.engine.is_live() && state.engine.run_dir() == Some(&rewind.run);
    if !live && state.train_when_loaded {
        // Its data are being loaded as the run wants them.
        return state.ask(Action::Run(RunAction::Send(Box::new(rewind))));
    }
    if !live {
        let reason = state.cannot_train().unwrap_or_else(|| "its run does not go on".to_owned());
        state.tell(Level::Warning, format!("Can't go back to {}: {reason}", rewind.snapshot));
        return;
    }
    match rewind.changed() {
        Ok(recipe) => {
            state.recipe = recipe;
            state.engine.send(Command::Rewind { snapshot: rewind.snapshot, changes: rewind.changes });
        }
        Err(error) => state.tell(Level::Warning, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support;
    use std::sync::Arc;

    fn example(changes: Vec<(String, Value)>) -> Rewind {
        Rewind {
            run: PathBuf::from("no such run"),
            snapshot: "epoch-1".to_owned(),
            recipe: Recipe { epochs: 5, ..Recipe::default() },
            changes,
            epochs_done: 5,
        }
    }

    #[test]
    fn going_back_in_a_run_that_rests_resumes_it_first() {
        let mut state = test_support::state();
        rewind(&mut state, example(vec![("lr".to_owned(), Value::Float(0.01))]));
        let order = std::mem::take(&mut state.actions);
        assert!(matches!(
            order[..],
            [Action::Run(RunAction::Prepare(_)), Action::Train, Action::Run(RunAction::Send(_))]
        ));
        let Action::Run(prepare) = order[0].clone() else { panic!() };
        act(&mut state, prepare);
        // One more than are done, so that the session lives until it hears the order.
        assert_eq!((state.recipe.lr, state.recipe.epochs), (0.01, 6));
        assert_eq!(state.at_hand, Some(PathBuf::from("no such run")));
        // There is no data, so training did not begin, and that is said.
        let Action::Run(send) = order[2].clone() else { panic!() };
        act(&mut state, send);
        assert!(state.log.text().contains("Can't go back to epoch-1: choose data first"));
    }

    /// Waits for what was begun and takes it.
    fn settle(state: &mut State) {
        loop {
            let results = state.runs.jobs.take();
            if !results.is_empty() {
                return results.into_iter().for_each(|result| done(state, result));
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_renamed_run_is_followed_and_a_trashed_one_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = test_support::run_with_branches(folder.path());
        let mut state = test_support::state();
        let trash = folder.path().join("trash");
        let bin = trash.clone();
        state.runs.jobs.bin = Arc::new(move |path| std::fs::rename(path, &bin).map_err(|error| error.to_string()));
        state.at_hand = Some(path.clone());
        state.settings.last_run = Some(path.clone());
        act(&mut state, RunAction::Compare(path.clone()));
        act(&mut state, RunAction::Rename(path.clone(), "a/b".to_owned()));
        settle(&mut state);
        assert!(state.log.text().contains("can't be a run's name"), "{}", state.log.text());
        act(&mut state, RunAction::Rename(path, "better".to_owned()));
        settle(&mut state);
        let better = folder.path().join("better");
        assert_eq!((&state.at_hand, &state.settings.last_run), (&Some(better.clone()), &Some(better.clone())));
        assert!(state.runs.compared.get(&better).is_some());
        act(&mut state, RunAction::Trash(better.clone()));
        settle(&mut state);
        assert_eq!((&state.at_hand, &state.settings.last_run), (&None, &None));
        assert!(state.runs.compared.overlays().is_empty());
        assert!(!better.exists() && trash.join("recipe.toml").exists());
    }

    #[test]
    fn notes_and_the_file_of_a_run_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let run = test_support::run_with_branches(folder.path());
        let mut state = test_support::state();
        act(&mut state, RunAction::SetNotes(run.clone(), "the first that works".to_owned()));
        settle(&mut state);
        assert_eq!(crate::train::run_list::summarise(&run).notes, "the first that works");
        let file = folder.path().join("it.kindling");
        done(&mut state, Ok(Done::Target { run, file: file.clone() }));
        let Some(Action::Run(save)) = state.actions.pop() else { panic!("{:?}", state.actions) };
        act(&mut state, save);
        settle(&mut state);
        assert!(crate::train::bundle::is_bundle(&file));
        assert!(state.log.text().contains("without its snapshots"), "{}", state.log.text());
    }

    #[test]
    fn a_change_out_of_range_changes_nothing() {
        let mut state = test_support::state();
        let before = state.recipe.clone();
        act(&mut state, RunAction::Prepare(Box::new(example(vec![("momentum".to_owned(), Value::Float(2.0))]))));
        assert_eq!((&state.recipe, &state.at_hand), (&before, &None));
        assert!(state.log.text().contains("momentum can't be 2.0"));
    }
}
