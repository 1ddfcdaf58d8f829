//! What begins training, and what comes before it: data as the run wants them.

use super::{
    State,
    current_run::Start,
    pane_id::PaneId,
    rewind::{Pending, Rewind},
    ways::Way,
};
use crate::{
    app::{background::loading::Loading, widgets::toasts::Level},
    data::{self, Change},
    session::Command,
    train::{
        Method, Recipe, RunFolder, Value,
        run_files::{self, RunFileError},
        run_list,
    },
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

impl State {
    /// Loads data, in place of those being read.
    pub(crate) fn load(&mut self, spec: &str) {
        if self.run.is_busy() {
            self.notices.tell(Level::Warning, "Stop the run before other data are loaded");
            return;
        }
        if let Some(loading) = &self.data.loading {
            loading.cancel();
        }
        self.data.problem = None;
        let mut options = self.load_options();
        if self.run.resumable().is_none() && self.data.dataset.as_ref().is_none_or(|dataset| dataset.spec != spec) {
            options.edits = Arc::default();
        }
        // Photographs are for a head, where nobody has said otherwise yet.
        let of_head = self.learns_as_ever().then(|| Way::Head.recipe().load_options());
        let name = spec.to_owned();
        self.data.loading = Some(Loading::start("data", self.session_wake.clone(), move |progress| {
            let load = |options| data::load(&name, options, progress).map_err(|error| error.to_string());
            match of_head {
                Some(of_head) if Path::new(&name).is_dir() => {
                    let dataset = load(&of_head)?;
                    if dataset.are_photographs() { Ok(dataset) } else { load(&options) }
                }
                _ => load(&options),
            }
        }));
    }

    /// Reads a run, a folder or one file; `then` begins when it and its data are there.
    pub(crate) fn open_run(&mut self, path: PathBuf, then: Pending) {
        if self.run.is_busy() {
            let text = "Stop the run that goes on before another one is opened";
            return self.notices.tell(Level::Warning, text);
        }
        self.pending = then;
        self.runs.open(path);
    }

    /// Loads the data anew where the recipe, or the run at hand, has come to want them otherwise: so what the window shows
    /// of them is what a run would learn from.
    pub(crate) fn reload_where_unsuitable(&mut self) {
        if self.run.is_busy() || self.data.loading.is_some() {
            return;
        }
        let Some(dataset) = self.data.dataset.clone() else { return };
        let wish = (self.recipe.load_options(), self.run.resumable().cloned());
        if self.data.suited.as_ref() != Some(&wish) {
            self.data.suited = Some(wish);
            if !dataset.suits(&self.load_options()) {
                self.load(&dataset.spec);
                return;
            }
        }
        self.run.evaluate(&dataset, self.devices.choice);
    }

    /// Changes the images of the run at hand: its session is told, or where it rests the run goes on with them.
    pub(crate) fn edit(&mut self, change: Change) {
        if self.run.hears_edits() {
            return self.run.edit(change);
        }
        let Some(folder) = self.run.saved().cloned().filter(|_| self.recipe.method == Method::Head) else {
            let text = "Images are moved and left out in a run that learns from a trained network: press Learn first";
            return self.notices.tell(Level::Warning, text);
        };
        let written = RunFolder::hold(&folder).and_then(|run| {
            let step = run.last()?.map_or(0, |last| last.state.step);
            run.append_edit(step, change)
        });
        match written {
            Ok(()) => {
                self.run.go_on();
                self.train();
            }
            Err(error) => self.notices.tell(Level::Error, error.to_string()),
        }
    }

    /// Begins a run, or goes on with the one at hand: now, or as soon as its data are there.
    pub(crate) fn train(&mut self) {
        if self.data.loading.is_some() && self.data.dataset.is_some() && !self.run.is_busy() {
            self.pending.wait();
            return;
        }
        if let Some(reason) = self.cannot_train() {
            return self.cannot_begin(&reason);
        }
        let Some(dataset) = self.data.dataset.clone() else { return };
        if !dataset.suits(&self.load_options()) {
            self.pending.wait();
            self.load(&dataset.spec);
            return;
        }
        let resume = self.run.resumable().cloned();
        let weights = self.start_from.clone().filter(|_| resume.is_none());
        let name = match self.run_name.trim() {
            "" => run_list::default_name(&dataset.spec, &self.recipe.model),
            name => name.to_owned(),
        };
        let new_folder = || {
            run_files::check_name(&name)?;
            Ok::<_, RunFileError>(run_list::new_folder(&self.runs.folder, &name)?)
        };
        let folder = match resume.map_or_else(new_folder, Ok) {
            Ok(folder) => folder,
            Err(error) => return self.cannot_begin(&error.to_string()),
        };
        self.settings.last_run = Some(folder.clone());
        self.run_name.clear();
        let (recipe, device) = (self.recipe.clone(), self.devices.choice);
        self.run.start(Start { dataset, recipe, device, folder, weights });
        self.settings.layout.show(&PaneId::CHARTS);
        if let Pending::Rewind(rewind) = std::mem::take(&mut self.pending) {
            self.rewind(*rewind);
        }
    }

    fn cannot_begin(&mut self, reason: &str) {
        let text = self.pending.give_up(reason);
        self.notices.tell(Level::Warning, text);
    }

    /// Goes back to a snapshot of the run at hand; one that rests is resumed for it.
    pub(crate) fn rewind(&mut self, rewind: Rewind) {
        let recipe = match rewind.changed() {
            Ok(recipe) => recipe,
            Err(error) => return self.notices.tell(Level::Warning, error),
        };
        if self.run.folder() != Some(&rewind.run) {
            let text = format!("Can't go back to {}: its run is not the one at hand", rewind.snapshot);
            return self.notices.tell(Level::Warning, text);
        }
        if self.run.is_live() {
            self.recipe = recipe;
            self.run.send(Command::Rewind { snapshot: rewind.snapshot, changes: rewind.changes });
        } else if !self.run.is_busy() {
            // A finished run would end before it hears the order; the snapshot's own number counts afterwards.
            let epochs = recipe.epochs.max(rewind.epochs_done + 1);
            self.recipe = Recipe { epochs, ..recipe };
            self.run.go_on();
            self.pending = Pending::Rewind(Box::new(rewind));
            self.train();
        }
    }

    /// Trains with a recipe and changes to it: goes on with the run at hand, or begins a new one.
    pub(crate) fn train_with(&mut self, go_on: bool, recipe: Recipe, changes: Vec<(String, Value)>) {
        match go_on {
            true => self.run.go_on(),
            false => self.run.leave(),
        }
        self.recipe = recipe;
        for (key, value) in changes {
            self.set(&key, value);
        }
        self.train();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support;

    fn example(run: PathBuf, changes: Vec<(String, Value)>) -> Rewind {
        let recipe = Recipe { epochs: 5, ..Recipe::default() };
        Rewind { run, snapshot: "epoch-1".to_owned(), recipe, changes, epochs_done: 5 }
    }

    #[test]
    fn going_back_in_a_run_that_rests_resumes_it_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = test_support::state();
        let path = test_support::open_run_with_branches(&mut state, folder.path());
        // The data are on their way: it waits for them.
        state.data.dataset = Some(test_support::dataset(2, 2));
        state.data.loading = Some(Loading::start("data", state.wake.clone(), |_| Err("cancelled".to_owned())));
        let rewind = example(path.clone(), vec![("lr".to_owned(), Value::Float(0.01))]);
        state.rewind(rewind.clone());
        // One more than are done, so that the session lives until it hears the order.
        assert_eq!((state.recipe.lr, state.recipe.epochs), (0.01, 6));
        assert_eq!(state.pending, Pending::Rewind(Box::new(rewind)));
        assert_eq!(state.run.resumable(), Some(&path));
        // They never came, so training did not begin, and that is said.
        (state.data.loading, state.data.dataset) = (None, None);
        state.train();
        assert_eq!(state.pending, Pending::Nothing);
        assert!(state.notices.log.text().contains("Can't go back to epoch-1: choose data first"));
    }

    #[test]
    fn a_change_out_of_range_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = test_support::state();
        let path = test_support::open_run_with_branches(&mut state, folder.path());
        let before = state.recipe.clone();
        state.rewind(example(path, vec![("momentum".to_owned(), Value::Float(2.0))]));
        assert_eq!((&state.recipe, &state.pending), (&before, &Pending::Nothing));
        assert!(state.notices.log.text().contains("momentum can't be 2.0"));
    }

    #[test]
    fn another_run_is_not_gone_back_in() {
        let mut state = test_support::state();
        state.rewind(example("elsewhere".into(), Vec::new()));
        assert!(state.notices.log.text().contains("Can't go back to epoch-1: its run is not the one at hand"));
    }
}
