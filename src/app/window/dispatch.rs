//! Carrying out what the parts of the window ask for.

use super::{Window, added, run_actions};
use crate::app::{
    background::Task,
    classifier::Source,
    desktop::{
        clipboard,
        file_dialog::{Question, What},
    },
    dialogs::export,
    drop,
    state::{Action, PaneId, layout::Layout, rewind::Pending},
    widgets::toasts::Level,
};
use crate::{data, format::plural, session::Command, text, train::Recipe};
use eframe::egui::Context;
use std::path::PathBuf;

/// What somebody is asked for files or a folder for.
pub(super) enum For {
    /// To be taken as if they were dropped.
    Taking(What),
    /// More photographs of a class.
    Class(String),
    /// A copy of the photographs.
    Images,
}

impl For {
    fn question(&self) -> Question {
        let (title, what) = match self {
            For::Taking(What::Folder(_)) => ("Open a folder of images or a run".into(), What::Folder(None)),
            For::Taking(what) => ("Open images, data, a run or weights".into(), what.clone()),
            For::Class(class) => (format!("Add photographs of {}", text::foreign(class)).into(), What::Files),
            For::Images => ("Save the photographs in a folder".into(), What::Folder(None)),
        };
        Question { title, what }
    }
}

impl Window {
    pub(super) fn do_all(&mut self, ctx: &Context) {
        // What is asked for while something is being done waits for the next frame.
        let actions = self.state.actions.take();
        for action in actions {
            self.act(ctx, action);
        }
        if !self.state.actions.is_empty() {
            ctx.request_repaint();
        }
    }

    fn act(&mut self, ctx: &Context, action: Action) {
        let state = &mut self.state;
        match action {
            Action::TrySample => {
                if !state.run.is_busy() {
                    // Long enough to steer it.
                    let recipe = Recipe::preset("quick").unwrap_or_default();
                    state.recipe = Recipe { epochs: 2 * recipe.epochs, ..recipe };
                    state.run.leave();
                    state.settings.layout.show(&PaneId::PREDICTIONS);
                    state.load(data::SAMPLE);
                    state.pending = Pending::Train;
                }
            }
            Action::Train => state.train(),
            Action::NewRun => state.run.leave(),
            Action::Pause => state.run.send(Command::Pause),
            Action::Resume => state.run.send(Command::Resume),
            Action::Stop => state.run.send(Command::Stop),
            Action::Snapshot if state.run.is_live() => state.run.send(Command::Snapshot { name: None }),
            Action::Snapshot => state.notices.tell(Level::Warning, "A snapshot needs a run that goes on"),
            Action::LoadData(spec) => {
                // What was to begin was to begin with other data.
                state.pending = Pending::Nothing;
                state.load(&spec);
            }
            Action::CancelLoading => {
                if let Some(loading) = &state.data.loading {
                    loading.cancel();
                }
            }
            Action::CancelEvaluation => state.run.cancel_evaluation(),
            Action::OpenFiles => self.ask_for(For::Taking(What::Files)),
            Action::OpenFolder => self.ask_for(For::Taking(What::Folder(None))),
            Action::Take(paths) => {
                self.sorting = Some(Task::spawn("drop", state.wake.clone(), move || drop::sort_all(&paths)));
            }
            Action::Classify(paths) => self.classify(paths.into_iter().map(Source::File).collect()),
            Action::Paste => self.pasting = Some(Task::spawn("clipboard", state.wake.clone(), clipboard::read)),
            Action::ClassifyHeldOut(count) => self.held_out(count),
            Action::OpenRun(path) | Action::OpenRunFile(path) => state.open_run(path, Pending::Nothing),
            Action::OfferWeights(spec) => self.dialogs.offer_weights(&spec, state),
            Action::ClassifyWith(path, padding) => {
                self.panes.classify.use_weights(Some((path, padding)));
                state.browsing = true;
                state.settings.layout.show(&PaneId::CLASSIFY);
            }
            Action::StartFrom(path) => state.start_from = path,
            Action::Export(source) => self.dialogs.export(source),
            Action::WriteExport { source, format, out } => {
                self.exporting = Some(export::write(source, format, out, state.wake.clone()));
            }
            Action::Show(pane) => {
                state.browsing |= pane == PaneId::RUNS;
                state.settings.layout.show(&pane);
            }
            Action::Charts(change) => state.settings.change_charts(change),
            Action::Tell(level, text) => state.notices.tell(level, text),
            Action::Notice(level, text) => state.notices.notice(level, text),
            Action::Log(level, text) => state.notices.log.add(level, text),
            Action::LogIsRead => state.notices.log.unread = 0,
            Action::FindRate => self.dialogs.finder.start(state),
            Action::ToggleSetup => state.settings.setup_hidden = !state.settings.setup_hidden,
            Action::ResetLayout => state.settings.layout = Layout::default(),
            Action::Zoom(zoom) => ctx.set_zoom_factor(zoom),
            Action::Help => self.dialogs.toggle_help(),
            Action::ShowCache => self.dialogs.show_cache(&self.state),
            Action::AddRemoteDevice => self.dialogs.add_remote_device(&self.state),
            Action::CopyText(text) => ctx.copy_text(text),
            Action::Edit(change) => state.edit(change),
            Action::AddImages(class, files) => self.add_images(class, files),
            Action::ChooseImages(class) => self.ask_for(For::Class(class)),
            Action::SaveImages => self.ask_for(For::Images),
            Action::Learn(way) => state.learn(way),
            Action::Run(action) => run_actions::act(state, action),
        }
    }

    fn held_out(&mut self, count: usize) {
        let Some(dataset) = &self.state.data.dataset else { return };
        let images = dataset.validation.len();
        if images == 0 {
            self.state.notices.tell(Level::Warning, "This data set has no held-out images");
            return;
        }
        // Others each time, evenly over the split; a fraction of the golden ratio never repeats itself soon.
        let turn = self.panes.classify.added();
        let pick = |i: usize| ((turn + i) as f64 * 0.618_033_988_75).fract() * images as f64;
        let sources = (0..count).map(|i| Source::HeldOut((pick(i) as usize).min(images - 1) as u32)).collect();
        self.classify(sources);
    }

    fn add_images(&mut self, class: String, files: Vec<PathBuf>) {
        let wake = self.state.wake.clone();
        self.adding = Some(Task::spawn("add", wake, move || added::edits(&class, &files)));
    }

    fn ask_for(&mut self, purpose: For) {
        if self.dialog.is_some() {
            return;
        }
        let dialog = self.state.file_dialog.clone();
        let ask = move || {
            let answer = dialog(purpose.question());
            (purpose, answer)
        };
        self.dialog = Some(Task::spawn("dialog", self.state.wake.clone(), ask));
    }

    /// Does what somebody has chosen files or a folder for.
    pub(super) fn chosen(&mut self, purpose: For, paths: Vec<PathBuf>) {
        let Some(first) = paths.first().cloned() else { return };
        match purpose {
            For::Taking(_) => self.state.ask(Action::Take(paths)),
            For::Class(class) => self.state.ask(Action::AddImages(class, paths)),
            For::Images => {
                let Some(dataset) = self.state.data.dataset.clone() else { return };
                self.exporting = Some(Task::spawn("copy", self.state.wake.clone(), move || {
                    let to = added::free_folder(&first, &dataset.name);
                    let count =
                        data::save_as_folder(&dataset, &to, &data::Silent).map_err(|error| error.to_string())?;
                    Ok(format!("{} copied into {}", plural(count, "photograph"), text::path(&to)))
                }));
            }
        }
    }
}
