//! What other threads have come to: data that was loaded, a run that was opened, answers of dialogs.

use super::Window;
use crate::{
    app::{
        background::{finished, loading::Loading},
        classifier::Source,
        desktop::clipboard,
        runs::{self, Opened},
        state::{Action, PaneId, rewind::Pending, ways::Way},
        widgets::toasts::Level,
    },
    data::{Change, Dataset},
    format::number,
    text,
};

impl Window {
    pub(super) fn take_results(&mut self) {
        let loaded = self.state.data.loading.as_mut().and_then(Loading::poll);
        if let Some(result) = loaded {
            self.state.data.loading = None;
            self.loaded(result);
        }
        if let Some(error) = self.state.run.evaluated() {
            self.state.notices.tell(Level::Warning, format!("The run could not be evaluated: {error}"));
        }
        if let Some(Ok(adapters)) = finished(&mut self.state.devices.search) {
            self.state.devices.adapters = Some(adapters);
        }
        match finished(&mut self.dialog) {
            Some(Ok((purpose, paths))) => self.chosen(purpose, paths),
            Some(Err(error)) => {
                self.state.notices.tell(Level::Warning, format!("The file dialog did not open: {error}"))
            }
            _ => {}
        }
        match finished(&mut self.adding) {
            Some(Ok((edits, problems))) => {
                problems.into_iter().for_each(|problem| self.state.notices.tell(Level::Warning, problem));
                edits.into_iter().for_each(|edit| self.state.edit(Change::Do(edit)));
            }
            Some(Err(error)) => self.state.notices.tell(Level::Error, error),
            None => {}
        }
        match finished(&mut self.sorting) {
            Some(Ok(sorted)) => self.take(sorted),
            Some(Err(error)) => self.state.notices.tell(Level::Error, error),
            None => {}
        }
        match finished(&mut self.pasting).map(Result::flatten) {
            Some(Ok(clipboard::Content::Files(files))) => self.state.ask(Action::Take(files)),
            Some(Ok(clipboard::Content::Image(picture))) => self.classify(vec![Source::Pasted(picture)]),
            Some(Err(error)) => self.state.notices.tell(Level::Warning, error),
            None => {}
        }
        match finished(&mut self.exporting).map(Result::flatten) {
            Some(Ok(text)) => {
                self.state.notices.notice(Level::Info, text);
            }
            Some(Err(error)) => self.state.notices.tell(Level::Error, error),
            None => {}
        }
        match self.state.runs.opened() {
            Some(Ok(opened)) => self.opened(opened),
            Some(Err(error)) => {
                self.state.pending = Pending::Nothing;
                self.state.notices.tell(Level::Error, error);
            }
            None => {}
        }
    }

    fn loaded(&mut self, result: Result<Dataset, String>) {
        match result {
            Ok(dataset) => {
                self.state.settings.remember_data(&dataset.spec);
                let text = format!(
                    "Loaded {}: {} training and {} validation images in {} classes",
                    text::foreign(&dataset.name),
                    number(dataset.train.len() as u64),
                    number(dataset.validation.len() as u64),
                    dataset.classes.len()
                );
                self.state.notices.tell(Level::Info, text);
                if !dataset.rejected.is_empty() {
                    let text =
                        format!("{} files could not be read; the setup column lists them", dataset.rejected.len());
                    self.state.notices.tell(Level::Warning, text);
                }
                if dataset.contradictions.images > 0 {
                    self.state.notices.tell(Level::Warning, dataset.contradictions.to_string());
                }
                if dataset.has_folds() && self.state.learns_as_ever() {
                    self.state.recipe = Way::Head.recipe();
                    self.state.settings.layout.show(&PaneId::CLASSES);
                }
                self.state.data.take(dataset);
                self.dialogs.finder.clear();
                self.panes.each(|pane| pane.on_data());
                self.show_report();
                if self.state.pending != Pending::Nothing {
                    self.state.ask(Action::Train);
                }
            }
            Err(error) => {
                self.stopped = None;
                self.state.pending = Pending::Nothing;
                self.state.notices.tell(Level::Error, error.clone());
                self.state.data.problem = Some(error);
            }
        }
    }

    fn opened(&mut self, opened: Opened) {
        let Opened { path, recipe, info, history, finished, saved, from_file, stopped } = opened;
        self.stopped = stopped;
        let name = runs::name(&path);
        let state = &mut self.state;
        if finished {
            state.pending = Pending::Nothing;
        }
        state.recipe = recipe;
        state.settings.last_run = Some(path.clone());
        state.run.open(path, history, None, saved);
        // What can't go on here was passed on to classify with.
        let classifies = from_file && saved && (finished || info.data.is_empty());
        state.settings.layout.show(&if classifies { PaneId::CLASSIFY } else { PaneId::CHARTS });
        let what = if finished { "It is finished; more epochs make it go on." } else { "Resume goes on with it." };
        let text = format!("Opened the run {name}. {what}");
        state.notices.notice(Level::Info, text);
        if info.data.is_empty() {
            let what = info.identity.map(|identity| format!(" It was {identity}.")).unwrap_or_default();
            let text = format!("The run {name} does not say where its data are: load them, then resume.{what}");
            state.notices.tell(Level::Warning, text);
            state.pending = Pending::Nothing;
        } else if state.data.dataset.as_ref().is_none_or(|dataset| dataset.spec != info.data) {
            state.load(&info.data);
        } else {
            if state.pending != Pending::Nothing {
                state.ask(Action::Train);
            }
            self.tell_of_run();
            self.show_report();
        }
    }

    /// Shows where the run that was opened stopped on NaN, if it did.
    fn show_report(&mut self) {
        if let Some(events) = self.stopped.take() {
            events.iter().for_each(|event| self.panes.each(|pane| pane.on_event(event)));
        }
    }
}
