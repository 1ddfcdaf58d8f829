//! Carrying out what the parts of the window ask for.

use super::Window;
use crate::{
    app::{
        background::{Task, loading::Loading},
        classifier::Source,
        desktop::{
            clipboard,
            file_dialog::{Question, What},
        },
        dialogs::export,
        drop,
        history::History,
        panes::pane::Kind,
        runs,
        state::{
            Action,
            current_run::{Start, Status},
            layout::Layout,
        },
        widgets::toasts::Level,
        window::run_actions,
    },
    data,
    session::Command,
    train::{Recipe, event_log, run_list},
};
use eframe::egui::Context;

impl Window {
    pub(super) fn do_all(&mut self, ctx: &Context) {
        // What is asked for while something is being done waits for the next frame.
        let actions = std::mem::take(&mut self.state.actions);
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
                if state.engine.status() == Status::Idle {
                    state.recipe = Recipe::preset("quick").unwrap_or_default();
                    state.at_hand = None;
                    state.train_when_loaded = true;
                    state.settings.layout.show(Kind::Predictions);
                    self.load(data::SAMPLE);
                }
            }
            Action::Train => self.train(),
            Action::NewRun => {
                state.at_hand = None;
                state.history = History::default();
            }
            Action::Pause => state.engine.send(Command::Pause),
            Action::Resume => state.engine.send(Command::Resume),
            Action::Stop => state.engine.send(Command::Stop),
            Action::Snapshot if state.engine.is_live() => state.engine.send(Command::Snapshot { name: None }),
            Action::Snapshot => state.tell(Level::Warning, "A snapshot needs a run that goes on"),
            Action::LoadData(spec) => self.load(&spec),
            Action::CancelLoading => {
                if let Some(loading) = &state.loading {
                    loading.cancel();
                }
            }
            Action::OpenFiles => self.ask_for("Open images, data, a run or weights", What::Files),
            Action::OpenFolder => self.ask_for("Open a folder of images or a run", What::Folder(None)),
            Action::Take(paths) => {
                self.sorting = Some(Task::spawn("drop", state.wake.clone(), move || drop::sort_all(&paths)));
            }
            Action::Classify(paths) => self.classify(paths.into_iter().map(Source::File).collect()),
            Action::Paste => self.pasting = Some(Task::spawn("clipboard", state.wake.clone(), clipboard::read)),
            Action::ClassifyHeldOut(count) => self.held_out(count),
            Action::OpenRun(_) | Action::OpenRunFile(_) if state.engine.is_busy() => {
                state.tell(Level::Warning, "Stop the run that goes on before another one is opened");
            }
            Action::OpenRunFile(file) => {
                let folder = state.runs_folder.clone();
                self.opening = Some(Task::spawn("run", state.wake.clone(), move || runs::open_file(&file, &folder)));
            }
            Action::OpenRun(path) => {
                self.opening = Some(Task::spawn("run", state.wake.clone(), move || runs::open(&path)));
            }
            Action::OfferWeights(spec) => self.dialogs.offer_weights(&spec, state),
            Action::ClassifyWith(path, padding) => {
                self.panes.classify.use_weights(Some((path, padding)));
                state.browsing = true;
                state.settings.layout.show(Kind::Classify);
            }
            Action::StartFrom(path) => state.start_from = path,
            Action::Export(source) => self.dialogs.export(source),
            Action::WriteExport { source, format, out } => {
                self.exporting = Some(export::write(source, format, out, state.wake.clone()));
            }
            Action::Show(kind) => {
                state.browsing |= kind == Kind::Runs;
                state.settings.layout.show(kind);
            }
            Action::FindRate => self.dialogs.finder.start(state),
            Action::ResetLayout => state.settings.layout = Layout::default(),
            Action::Help => self.dialogs.toggle_help(),
            Action::CopyText(text) => ctx.copy_text(text),
            Action::Run(action) => run_actions::act(state, action),
        }
    }

    fn load(&mut self, spec: &str) {
        let state = &mut self.state;
        if state.engine.status() != Status::Idle {
            state.tell(Level::Warning, "Stop the run before other data are loaded");
            return;
        }
        // The one being read is no longer wanted.
        if let Some(loading) = &state.loading {
            loading.cancel();
        }
        state.data_problem = None;
        let options = state.load_options();
        let name = spec.to_owned();
        state.loading = Some(Loading::start("data", state.session_wake.clone(), move |progress| {
            data::load(&name, &options, progress).map_err(|error| error.to_string())
        }));
    }

    /// Loads the data anew where the recipe, or the run at hand, has come to want them otherwise: so what the window shows
    /// of them is what a run would learn from.
    pub(super) fn reload_where_unsuitable(&mut self) {
        let state = &self.state;
        if state.engine.is_busy() || state.loading.is_some() {
            return;
        }
        let Some(dataset) = state.dataset.clone() else { return };
        let wish = (state.recipe.load_options(), state.at_hand.clone());
        if self.suited.as_ref() != Some(&wish) {
            self.suited = Some(wish);
            if !dataset.suits(&self.state.load_options()) {
                self.load(&dataset.spec);
            }
        }
    }

    fn train(&mut self) {
        let state = &mut self.state;
        if state.loading.is_some() && state.dataset.is_some() && !state.engine.is_busy() {
            state.train_when_loaded = true;
            return;
        }
        if let Some(reason) = state.cannot_train() {
            state.tell(Level::Warning, format!("Can't train: {reason}"));
            return;
        }
        let Some(dataset) = state.dataset.clone() else { return };
        if !dataset.suits(&state.load_options()) {
            state.train_when_loaded = true;
            self.load(&dataset.spec);
            return;
        }
        let resume = state.at_hand.take();
        let new_folder =
            || run_list::new_folder(&state.runs_folder, &dataset.spec, &state.recipe.model, event_log::now());
        let run_dir = match resume.clone().map_or_else(new_folder, Ok) {
            Ok(run_dir) => run_dir,
            Err(error) => return state.tell(Level::Warning, format!("Can't train: {error}")),
        };
        if resume.is_none() {
            state.history = History::default();
        }
        state.settings.last_run = Some(run_dir.clone());
        let weights = state.start_from.clone().filter(|_| resume.is_none());
        let (recipe, device) = (state.recipe.clone(), state.devices.choice);
        state.engine.start(Start { dataset, recipe, device, run_dir, resume: resume.is_some(), weights });
        state.settings.layout.show(Kind::Charts);
    }

    fn held_out(&mut self, count: usize) {
        let Some(dataset) = &self.state.dataset else { return };
        let images = dataset.validation.len();
        if images == 0 {
            self.state.tell(Level::Warning, "This data set has no held-out images");
            return;
        }
        // Others each time, evenly over the split; a fraction of the golden ratio never repeats itself soon.
        let turn = self.panes.classify.added();
        let pick = |i: usize| ((turn + i) as f64 * 0.618_033_988_75).fract() * images as f64;
        let sources = (0..count).map(|i| Source::HeldOut((pick(i) as usize).min(images - 1) as u32)).collect();
        self.classify(sources);
    }

    fn ask_for(&mut self, title: &'static str, what: What) {
        if self.dialog.is_some() {
            return;
        }
        let dialog = self.state.file_dialog.clone();
        let ask = move || dialog(Question { title, what });
        self.dialog = Some(Task::spawn("dialog", self.state.wake.clone(), ask));
    }
}
