//! What is done to whole runs: going back, going on with other values, taking a recipe over, comparing, and what concerns
//! their files.

use crate::app::{
    runs::{self, Done, home},
    state::{Action, RunAction, State, rewind::Pending},
    widgets::toasts::Level,
};
use crate::text;
use std::path::{Path, PathBuf};

/// Carries an action out.
pub(super) fn act(state: &mut State, action: RunAction) {
    match action {
        RunAction::Rewind(rewind) => state.rewind(*rewind),
        RunAction::RemoveSnapshot { run, name } => state.branches.remove(run, name),
        RunAction::TrainWith { run, recipe, changes } => state.train_with(run.is_some(), *recipe, changes),
        RunAction::Duplicate(recipe, name) => {
            if state.run.is_busy() {
                state.notices.tell(Level::Warning, "Stop the run before a recipe is taken over");
                return;
            }
            state.recipe = *recipe;
            state.run.leave();
            state.notices.notice(Level::Info, format!("The next run has the recipe of {}", text::foreign(&name)));
        }
        RunAction::Resume(path) => state.open_run(path, Pending::Train),
        RunAction::Compare(path) => {
            if !state.runs.compared.toggle(&path) {
                let text = format!("{} runs can be told apart on a chart: untick one first", runs::MOST);
                state.notices.tell(Level::Warning, text);
            }
        }
        RunAction::CompareNone => state.runs.compared.clear(),
        RunAction::Look { anew } => {
            if anew {
                state.runs.index.refresh();
            }
            let target = state.settings.target.map(|percent| percent / 100.0);
            state.runs.index.tick(&state.runs.folder, state.run.folder(), target);
        }
        RunAction::SetNotes(path, notes) => state.runs.jobs.write_notes(path, notes),
        RunAction::Reveal(path) => state.runs.jobs.reveal(path),
        RunAction::SaveAs(path) => state.runs.jobs.ask_for_file(path, state.file_dialog.clone()),
        RunAction::SaveFile { run, file } => state.runs.jobs.save_file(run, file),
        RunAction::ChooseFolder => {
            let (folder, dialog) = (state.runs.folder.clone(), state.file_dialog.clone());
            state.runs.jobs.ask_for_folder(folder, dialog);
        }
        RunAction::UseFolder(folder) => {
            state.settings.runs_folder = Some(folder);
            state.runs.folder = home::folder(state.settings.runs_folder.as_ref());
            state.notices.notice(Level::Info, format!("Runs are kept in {}", text::path(&state.runs.folder)));
        }
        RunAction::Rename(path, _) | RunAction::Trash(path) if goes_on(state, &path) => {
            state.notices.tell(Level::Warning, format!("{} goes on: stop it first", runs::name(&path)));
        }
        RunAction::Rename(path, name) => {
            state.run.settle();
            state.runs.jobs.rename(path, name);
        }
        RunAction::Trash(path) => {
            state.run.settle();
            state.runs.jobs.trash(path);
        }
    }
}

fn goes_on(state: &State, path: &Path) -> bool {
    state.run.is_busy() && state.run.folder().map(PathBuf::as_path) == Some(path)
}

/// Takes what has been done to the files of runs; gives the run that has another path, or none any more.
pub(super) fn done(state: &mut State, result: Result<Done, String>) -> Option<(PathBuf, Option<PathBuf>)> {
    match result {
        Ok(Done::Renamed { from, to }) => {
            let text = format!("{} is called {} now", runs::name(&from), runs::name(&to));
            state.notices.notice(Level::Info, text);
            moved(state, &from, Some(&to));
            return Some((from, Some(to)));
        }
        Ok(Done::Trashed(path)) => {
            state.notices.notice(Level::Info, format!("{} is in the trash", runs::name(&path)));
            moved(state, &path, None);
            return Some((path, None));
        }
        Ok(Done::Noted(_)) => state.runs.index.refresh(),
        Ok(Done::Saved(file)) => {
            let text = format!("Saved as {}, without its snapshots", text::path(&file));
            state.notices.notice(Level::Info, text);
        }
        Ok(Done::Target { run, file }) => state.ask(Action::Run(RunAction::SaveFile { run, file })),
        Ok(Done::Folder(folder)) => state.ask(Action::Run(RunAction::UseFolder(folder))),
        Ok(Done::Revealed | Done::Nothing) => {}
        Err(error) => {
            state.notices.tell(Level::Warning, error);
            // The list may show what is no longer so.
            state.runs.index.refresh();
        }
    }
    None
}

/// Follows a run to another path; `None` is the trash.
fn moved(state: &mut State, from: &Path, to: Option<&Path>) {
    for place in [&mut state.settings.last_run, &mut state.start_from] {
        if place.as_deref() == Some(from) {
            *place = to.map(Path::to_owned);
        }
    }
    state.run.moved(from, to);
    state.runs.moved(from, to);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support;
    use std::sync::Arc;

    /// Waits for what was begun and takes it.
    fn settle(state: &mut State) {
        loop {
            let results = state.runs.jobs.take();
            if !results.is_empty() {
                return results.into_iter().for_each(|result| drop(done(state, result)));
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_renamed_run_is_followed_and_a_trashed_one_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = test_support::state();
        let path = test_support::open_run_with_branches(&mut state, folder.path());
        let trash = folder.path().join("trash");
        let bin = trash.clone();
        state.runs.jobs.bin = Arc::new(move |path| std::fs::rename(path, &bin).map_err(|error| error.to_string()));
        state.settings.last_run = Some(path.clone());
        act(&mut state, RunAction::Compare(path.clone()));
        act(&mut state, RunAction::Rename(path.clone(), "a/b".to_owned()));
        settle(&mut state);
        assert!(state.notices.log.text().contains("can't be a run's name"), "{}", state.notices.log.text());
        act(&mut state, RunAction::Rename(path, "better".to_owned()));
        settle(&mut state);
        let better = folder.path().join("better");
        assert_eq!((state.run.folder(), &state.settings.last_run), (Some(&better), &Some(better.clone())));
        assert!(state.runs.compared.get(&better).is_some());
        act(&mut state, RunAction::Trash(better.clone()));
        settle(&mut state);
        assert_eq!((state.run.folder(), &state.settings.last_run), (None, &None));
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
        let Some(Action::Run(save)) = state.actions.take().pop() else { panic!("nothing was asked for") };
        act(&mut state, save);
        settle(&mut state);
        assert!(crate::train::bundle::is_bundle(&file));
        assert!(state.notices.log.text().contains("without its snapshots"), "{}", state.notices.log.text());
    }
}
