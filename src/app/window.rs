//! The window as a whole: it lets the session speak, draws the parts, and carries out what they ask for.

use super::{
    Options,
    background::{Task, Wake, finished},
    drop::{self, Sorted},
    engine::{Start, Status},
    export_dialog::{self, ExportDialog},
    finder::Finder,
    history::History,
    keys,
    layout::Layout,
    loading::Loading,
    oracle::Source,
    pane::{Kind, Pane},
    panes::{
        charts::Charts, classify::Classify, confusion::ConfusionPane, log::LogPane, mistakes::Mistakes,
        predictions::PredictionsPane, report::Report, runs::RunsPane, samples::Samples, timeline::Timeline,
    },
    pictures::Picture,
    run_actions,
    runs::{self, Opened},
    settings::Settings,
    setup,
    state::{Action, State},
    status_bar, theme,
    toasts::Level,
    top_bar,
    weights_dialog::WeightsDialog,
    welcome,
};
use crate::{
    data::{self, Dataset, LoadOptions},
    device,
    session::{Command, Event, Phase},
    train::{Recipe, event_log, run_list},
};
use eframe::{
    egui::{self, CentralPanel, Context, Panel, Ui},
    wgpu,
};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Time between frames that only the session asks for: they are to leave the processor to training.
const SESSION_FRAME: Duration = Duration::from_millis(200);
/// The same where the processor draws the frames too, each of which costs it about 70 ms.
const SESSION_FRAME_IN_SOFTWARE: Duration = Duration::from_millis(800);

/// The panes, each kept whether it can be seen or not.
pub struct Panes {
    charts: Charts,
    samples: Samples,
    predictions: PredictionsPane,
    pub(super) classify: Classify,
    log: LogPane,
    confusion: ConfusionPane,
    timeline: Timeline,
    pub(super) runs: RunsPane,
    mistakes: Mistakes,
    report: Report,
}

impl Panes {
    pub fn new(wake: &Wake) -> Self {
        Self {
            charts: Charts::default(),
            samples: Samples::new(wake.clone()),
            predictions: PredictionsPane::new(wake.clone()),
            classify: Classify::new(wake.clone()),
            log: LogPane::default(),
            confusion: ConfusionPane::new(wake.clone()),
            timeline: Timeline::new(wake.clone()),
            runs: RunsPane::default(),
            mistakes: Mistakes::new(wake.clone()),
            report: Report::new(wake.clone()),
        }
    }

    pub fn get(&mut self, kind: Kind) -> &mut dyn Pane {
        match kind {
            Kind::Charts => &mut self.charts,
            Kind::Samples => &mut self.samples,
            Kind::Predictions => &mut self.predictions,
            Kind::Classify => &mut self.classify,
            Kind::Log => &mut self.log,
            Kind::Confusion => &mut self.confusion,
            Kind::Timeline => &mut self.timeline,
            Kind::Runs => &mut self.runs,
            Kind::Mistakes => &mut self.mistakes,
            Kind::Report => &mut self.report,
        }
    }

    fn each(&mut self, mut tell: impl FnMut(&mut dyn Pane)) {
        Kind::ALL.into_iter().for_each(|kind| tell(self.get(kind)));
    }
}

/// The program's window.
pub struct Window {
    pub state: State,
    panes: Panes,
    help: bool,
    dialog: Option<Task<Vec<PathBuf>>>,
    sorting: Option<Task<Sorted>>,
    pasting: Option<Task<Result<Picture, String>>>,
    opening: Option<Task<Result<Opened, String>>>,
    weights: Option<WeightsDialog>,
    export: Option<ExportDialog>,
    exporting: Option<Task<Result<String, String>>>,
    finder: Finder,
    /// The report of a run that was opened, until its data is there.
    stopped: Option<[Event; 2]>,
    /// A stop on NaN was just told of; the error that ends the session says the same once more.
    stop_told: bool,
    /// Whether the processor draws the window.
    in_software: Arc<AtomicBool>,
}

impl Window {
    /// The window of eframe, with what was remembered from the last time.
    pub fn new(cc: &eframe::CreationContext<'_>, options: Options) -> Self {
        let settings = cc.storage.and_then(|storage| eframe::get_value(storage, eframe::APP_KEY));
        let window = Self::create(&cc.egui_ctx, settings.unwrap_or_default(), options);
        if let Some(state) = &cc.wgpu_render_state {
            window.drawn_by(&cc.egui_ctx, &state.adapter.get_info());
        }
        window
    }

    /// Takes notice of what draws the window. Where that is the processor nothing fades in: each frame of it is taken
    /// from training.
    pub fn drawn_by(&self, ctx: &Context, adapter: &wgpu::AdapterInfo) {
        let in_software = adapter.device_type == wgpu::DeviceType::Cpu;
        self.in_software.store(in_software, Ordering::Relaxed);
        if in_software {
            ctx.all_styles_mut(|style| style.animation_time = 0.0);
        }
    }

    /// The window on any egui context, for tests and measurements too.
    pub fn create(ctx: &Context, mut settings: Settings, options: Options) -> Self {
        theme::apply(ctx);
        settings.layout = settings.layout.complete();
        ctx.set_theme(settings.theme);
        ctx.set_zoom_factor(settings.zoom.clamp(0.5, 3.0));
        let now = ctx.clone();
        let wake: Wake = Arc::new(move || now.request_repaint());
        let soon = ctx.clone();
        let in_software = Arc::new(AtomicBool::new(false));
        let slow = in_software.clone();
        let session_wake: Wake = Arc::new(move || {
            let slow = slow.load(Ordering::Relaxed);
            soon.request_repaint_after(if slow { SESSION_FRAME_IN_SOFTWARE } else { SESSION_FRAME });
        });
        let panes = Panes::new(&wake);
        let mut state = State::new(settings, wake.clone(), session_wake);
        state.devices.search = Some(Task::spawn("devices", wake, device::adapters));
        if options.try_sample {
            state.ask(Action::TrySample);
        }
        if !options.open.is_empty() {
            state.ask(Action::Take(options.open));
        }
        Self {
            state,
            panes,
            help: false,
            dialog: None,
            sorting: None,
            pasting: None,
            opening: None,
            weights: None,
            export: None,
            exporting: None,
            finder: Finder::default(),
            stopped: None,
            stop_told: false,
            in_software,
        }
    }

    /// Everything that is not drawing: what came from other threads, keys, drops.
    pub fn update(&mut self, ctx: &Context) {
        for event in self.state.engine.poll() {
            self.state.history.on_event(&event);
            self.state.follower.on_event(&event);
            let run = self.state.engine.run_dir().cloned();
            self.state.runs.on_event(&event, run.as_ref());
            self.panes.each(|pane| pane.on_event(&event));
            self.note(&event);
        }
        self.finder.tick();
        self.take_results();
        let dropped: Vec<PathBuf> =
            ctx.input(|input| input.raw.dropped_files.iter().map(|file| file.path().to_owned()).collect());
        if !dropped.is_empty() {
            self.state.ask(Action::Take(dropped));
        }
        let Self { panes, state, .. } = self;
        panes.each(|pane| pane.tick(ctx, state));
    }

    fn take_results(&mut self) {
        let loaded = self.state.loading.as_mut().and_then(Loading::poll);
        if let Some(result) = loaded {
            self.state.loading = None;
            self.loaded(result);
        }
        if let Some(Ok(adapters)) = finished(&mut self.state.devices.search) {
            self.state.devices.adapters = Some(adapters);
        }
        match finished(&mut self.dialog) {
            Some(Ok(paths)) if !paths.is_empty() => self.state.ask(Action::Take(paths)),
            Some(Err(error)) => self.state.tell(Level::Warning, format!("The file dialog did not open: {error}")),
            _ => {}
        }
        match finished(&mut self.sorting) {
            Some(Ok(sorted)) => self.take(sorted),
            Some(Err(error)) => self.state.tell(Level::Error, error),
            None => {}
        }
        match finished(&mut self.pasting).map(Result::flatten) {
            Some(Ok(picture)) => self.classify(vec![Source::Pasted(picture)]),
            Some(Err(error)) => self.state.tell(Level::Warning, error),
            None => {}
        }
        match finished(&mut self.exporting).map(Result::flatten) {
            Some(Ok(text)) => {
                self.state.toasts.add(Level::Info, text.clone());
                self.state.tell(Level::Info, text);
            }
            Some(Err(error)) => self.state.tell(Level::Error, error),
            None => {}
        }
        match finished(&mut self.opening).map(Result::flatten) {
            Some(Ok(opened)) => self.opened(opened),
            Some(Err(error)) => {
                self.state.train_when_opened = false;
                self.state.tell(Level::Error, error);
            }
            None => {}
        }
    }

    /// Puts what a session says into the log.
    fn note(&mut self, event: &Event) {
        let state = &mut self.state;
        match event {
            Event::Started { model, parameters, device, train_images, .. } => {
                let parameters = super::words::number(*parameters);
                let images = super::words::number(*train_images);
                state.tell(
                    Level::Info,
                    format!("Started: {model}, {parameters} parameters, {images} images, on {device}"),
                );
            }
            Event::Resumed { step, snapshot, .. } => {
                let from = snapshot.as_deref().unwrap_or("the last checkpoint");
                state.tell(Level::Info, format!("Went on from {from}, step {step}"));
            }
            Event::Changed { step, key, from, to } => {
                state.tell(Level::Info, format!("Step {step}: {key} {from} → {to}"));
            }
            Event::Snapshot { step, name, .. } => state.tell(Level::Info, format!("Step {step}: snapshot {name}")),
            Event::Epoch { epoch, val_accuracy, val_loss, best, .. } => {
                let best = if *best { ", the best so far" } else { "" };
                let accuracy = val_accuracy * 100.0;
                state.tell(Level::Info, format!("Epoch {epoch}: validation {accuracy:.1} %, loss {val_loss:.3}{best}"));
            }
            Event::Warning { text, .. } => state.tell(Level::Warning, text.clone()),
            Event::Error { text, .. } => {
                match std::mem::take(&mut self.stop_told) {
                    true => state.log.add(Level::Error, text.clone()),
                    false => state.tell(Level::Error, text.clone()),
                }
                // What was saved can be gone on with.
                state.at_hand = state.engine.run_dir().cloned();
            }
            Event::NotFinite { step, lr, .. } => {
                let lr = super::words::tidy(*lr);
                self.stop_told = true;
                state.tell(
                    Level::Error,
                    format!(
                        "Step {step}: the loss is no longer a finite number, so training stopped before it harmed the \
                         weights. The learning rate was {lr}: lower it, then resume."
                    ),
                );
                state.at_hand = state.engine.run_dir().cloned();
            }
            Event::Phase { phase: Phase::Stopped, .. } => {
                state.at_hand = state.engine.run_dir().cloned();
                state.saved_run = state.at_hand.clone();
            }
            Event::Done { accuracy, best_accuracy, run, .. } => {
                let (last, best) = (accuracy * 100.0, best_accuracy * 100.0);
                let text = format!("Done: validation {last:.1} %, best {best:.1} %, kept in {run}");
                state.toasts.add(Level::Info, text.clone());
                state.tell(Level::Info, text);
                state.at_hand = None;
                state.saved_run = state.engine.run_dir().cloned();
            }
            Event::Phase { .. } | Event::Step { .. } | Event::SnapshotRemoved { .. } => {}
        }
    }

    fn loaded(&mut self, result: Result<Dataset, String>) {
        match result {
            Ok(dataset) => {
                self.state.settings.remember_data(&dataset.spec);
                let text = format!(
                    "Loaded {}: {} training and {} validation images in {} classes",
                    dataset.name,
                    super::words::number(dataset.train.len() as u64),
                    super::words::number(dataset.validation.len() as u64),
                    dataset.classes.len()
                );
                self.state.tell(Level::Info, text);
                if !dataset.rejected.is_empty() {
                    let text =
                        format!("{} files could not be read; the setup column lists them", dataset.rejected.len());
                    self.state.tell(Level::Warning, text);
                }
                self.state.dataset = Some(Arc::new(dataset));
                self.state.data_problem = None;
                self.finder.clear();
                self.panes.each(|pane| pane.on_data());
                self.show_report();
                if std::mem::take(&mut self.state.train_when_loaded) {
                    self.state.ask(Action::Train);
                }
            }
            Err(error) => {
                self.stopped = None;
                self.state.train_when_loaded = false;
                self.state.tell(Level::Error, error.clone());
                self.state.data_problem = Some(error);
            }
        }
    }

    fn opened(&mut self, opened: Opened) {
        let Opened { path, recipe, info, history, finished, stopped } = opened;
        self.stopped = stopped;
        let name = runs::name(&path);
        let state = &mut self.state;
        let train = std::mem::take(&mut state.train_when_opened) && !finished;
        state.recipe = recipe;
        state.history = history;
        state.settings.last_run = Some(path.clone());
        state.saved_run = Some(path.clone());
        state.at_hand = Some(path);
        state.settings.layout.show(Kind::Charts);
        let what = if finished { "It is finished; more epochs make it go on." } else { "Resume goes on with it." };
        let text = format!("Opened the run {name}. {what}");
        state.toasts.add(Level::Info, text.clone());
        state.tell(Level::Info, text);
        if info.data.is_empty() {
            state.tell(
                Level::Warning,
                format!("The run {name} does not say what it was trained on: load that data, then resume"),
            );
        } else if state.dataset.as_ref().is_none_or(|dataset| dataset.spec != info.data) {
            state.train_when_loaded = train;
            state.ask(Action::LoadData(info.data));
        } else {
            if train {
                state.ask(Action::Train);
            }
            self.show_report();
        }
    }

    /// Shows where the run that was opened stopped on NaN, if it did.
    fn show_report(&mut self) {
        if let Some(events) = self.stopped.take() {
            events.iter().for_each(|event| self.panes.report.on_event(event));
        }
    }

    /// Does what dropped or opened paths are for.
    fn take(&mut self, sorted: Sorted) {
        if let Some((level, text)) = sorted.message {
            self.state.tell(level, text);
        }
        if !sorted.images.is_empty() {
            self.classify(sorted.images.into_iter().map(Source::File).collect());
        }
        let live = self.state.engine.status() != Status::Idle;
        if live && (sorted.data.is_some() || sorted.run.is_some() || sorted.run_file.is_some()) {
            self.state.tell(Level::Warning, "Stop the run before other data or another run are opened");
            return;
        }
        if let Some(run) = sorted.run {
            self.state.ask(Action::OpenRun(run));
        } else if let Some(file) = sorted.run_file {
            self.state.ask(Action::OpenRunFile(file));
        } else if let Some(data) = sorted.data {
            self.state.ask(Action::LoadData(data.to_string_lossy().into_owned()));
        }
        if let Some(weights) = sorted.weights {
            self.state.ask(Action::OfferWeights(weights.to_string_lossy().into_owned()));
        }
    }

    fn classify(&mut self, sources: Vec<Source>) {
        self.panes.classify.add(sources);
        self.state.ask(Action::Show(Kind::Classify));
    }

    fn do_all(&mut self, ctx: &Context) {
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
                    self.load("sample");
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
            Action::OpenFiles => self.ask_for("Open images, data, a run or weights", false),
            Action::OpenFolder => self.ask_for("Open a folder of images or a run", true),
            Action::Take(paths) => {
                self.sorting = Some(Task::spawn("drop", state.wake.clone(), move || drop::sort_all(&paths)));
            }
            Action::Classify(paths) => self.classify(paths.into_iter().map(Source::File).collect()),
            Action::Paste => self.pasting = Some(Task::spawn("clipboard", state.wake.clone(), clipboard_image)),
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
            Action::OfferWeights(spec) => {
                let wake = state.wake.clone();
                self.weights = Some(WeightsDialog::open(&spec, state.weights_mirror.clone(), wake));
            }
            Action::ClassifyWith(path, padding) => {
                self.panes.classify.use_weights(Some((path, padding)));
                state.settings.layout.show(Kind::Classify);
            }
            Action::StartFrom(path) => state.start_from = path,
            Action::Export(source) => self.export = Some(ExportDialog::new(source)),
            Action::WriteExport { source, format, out } => {
                self.exporting = Some(export_dialog::write(source, format, out, state.wake.clone()));
            }
            Action::Show(kind) => {
                state.browsing |= kind == Kind::Runs;
                state.settings.layout.show(kind);
            }
            Action::FindRate => self.finder.start(state),
            Action::ResetLayout => state.settings.layout = Layout::default(),
            Action::Help => self.help = !self.help,
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
        let recipe = &state.recipe;
        let options = LoadOptions {
            image_size: (recipe.image_size > 0).then_some(recipe.image_size),
            fit: recipe.fit,
            ..LoadOptions::default()
        };
        let name = spec.to_owned();
        state.loading = Some(Loading::start("data", state.session_wake.clone(), move |progress| {
            data::load(&name, &options, progress).map_err(|error| error.to_string())
        }));
    }

    fn train(&mut self) {
        let state = &mut self.state;
        if let Some(reason) = state.cannot_train() {
            state.tell(Level::Warning, format!("Can't train: {reason}"));
            return;
        }
        let Some(dataset) = state.dataset.clone() else { return };
        let resume = state.at_hand.take();
        let run_dir = resume.clone().unwrap_or_else(|| {
            run_list::default_path(&state.runs_folder, &dataset.spec, &state.recipe.model, event_log::now())
        });
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

    fn ask_for(&mut self, title: &'static str, folder: bool) {
        if self.dialog.is_some() {
            return;
        }
        self.dialog = Some(Task::spawn("dialog", self.state.wake.clone(), move || {
            let dialog = rfd::FileDialog::new().set_title(title);
            if folder { dialog.pick_folder().into_iter().collect() } else { dialog.pick_files().unwrap_or_default() }
        }));
    }

    fn windows(&mut self, ui: &mut Ui) {
        let ctx = ui.ctx().clone();
        let escape = ctx.input(|input| input.key_pressed(egui::Key::Escape));
        if self.help {
            let mut open = true;
            let window = egui::Window::new("Keys and mouse").collapsible(false).resizable(false).open(&mut open);
            window.anchor(egui::Align2::CENTER_CENTER, [0.0, 0.0]).show(&ctx, |ui| {
                keys::help(ui);
                ui.separator();
                ui.set_max_width(420.0);
                ui.label(format!("Drop anywhere in the window: {}.", drop::ACCEPTED));
                ui.label("Tabs of panes can be dragged to rearrange them.");
            });
            self.help = open && !escape;
        }
        self.finder.window(&ctx, &mut self.state, escape);
        let state = &mut self.state;
        self.weights.take_if(|dialog| !dialog.ui(&ctx, state));
        self.export.take_if(|dialog| !dialog.ui(&ctx, state));
    }

    /// Draws everything and does what was asked for.
    pub fn draw(&mut self, ui: &mut Ui) {
        let ctx = ui.ctx().clone();
        ctx.set_theme(self.state.settings.theme);
        // Ctrl and plus are egui's own; the menu is ours.
        let chosen = self.state.settings.zoom;
        if ctx.input(|input| input.pointer.any_released()) && (ctx.zoom_factor() - chosen).abs() > 1e-3 {
            ctx.set_zoom_factor(chosen);
        } else {
            self.state.settings.zoom = ctx.zoom_factor();
        }
        keys::handle(&ctx, &mut self.state);
        let bar = theme::bar_frame();
        Panel::top("top").exact_size(44.0).frame(bar).show(ui, |ui| top_bar::ui(ui, &mut self.state));
        Panel::bottom("status").exact_size(32.0).frame(bar).show(ui, |ui| status_bar::ui(ui, &self.state));
        let column = egui::Frame::new().inner_margin(egui::Margin { left: 10, right: 4, top: 4, bottom: 0 });
        Panel::left("setup").default_size(theme::SETUP_WIDTH).size_range(270.0..=520.0).frame(column).show(ui, |ui| {
            setup::ui(ui, &mut self.state);
        });
        let margin = egui::Frame::new().inner_margin(egui::Margin { left: 5, right: 0, top: 0, bottom: 0 });
        CentralPanel::no_frame().frame(margin).show(ui, |ui| {
            let state = &mut self.state;
            if state.dataset.is_none() && state.history.is_empty() && !state.browsing {
                welcome::ui(ui, state);
                return;
            }
            // The panes need all of the state while they are drawn, and none of them needs the layout.
            let mut layout = std::mem::take(&mut state.settings.layout);
            layout.ui(ui, &mut self.panes, state);
            state.settings.layout = layout;
        });
        self.windows(ui);
        drop::overlay(ui);
        self.state.toasts.ui(&ctx);
        self.do_all(&ctx);
    }
}

impl eframe::App for Window {
    fn logic(&mut self, ctx: &Context, _: &mut eframe::Frame) {
        self.update(ctx);
    }

    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        self.draw(ui);
    }

    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        theme::background(visuals).to_normalized_gamma_f32()
    }

    fn save(&mut self, storage: &mut dyn eframe::Storage) {
        eframe::set_value(storage, eframe::APP_KEY, &self.state.settings);
    }

    fn on_exit(&mut self) {
        self.panes.runs.save_notes();
    }
}

/// The image in the clipboard. Waits for whoever owns it: not for the frame.
fn clipboard_image() -> Result<Picture, String> {
    let mut clipboard = arboard::Clipboard::new().map_err(|error| format!("The clipboard can't be read: {error}"))?;
    let image = clipboard.get_image().map_err(|error| match error {
        arboard::Error::ContentNotAvailable => "There is no image in the clipboard".to_owned(),
        error => format!("The clipboard can't be read: {error}"),
    })?;
    let pixels =
        image.bytes.chunks_exact(4).flat_map(|rgba| over_white([rgba[0], rgba[1], rgba[2], rgba[3]])).collect();
    Ok(Picture { width: image.width, height: image.height, channels: 3, pixels })
}

/// A colour that is not opaque, over white.
fn over_white([r, g, b, a]: [u8; 4]) -> [u8; 3] {
    let blend = |v: u8| ((u32::from(v) * u32::from(a) + 255 * (255 - u32::from(a)) + 127) / 255) as u8;
    [blend(r), blend(g), blend(b)]
}
