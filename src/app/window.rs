//! The window as a whole: it lets the session speak, draws the parts, and carries out what they ask for.

mod dispatch;

use super::{
    Options,
    background::{Task, Wake, finished},
    classifier::Source,
    clipboard,
    dialogs::Dialogs,
    drop::{self, Sorted},
    engine::Status,
    file_dialog::Questions,
    fonts, keys,
    loading::Loading,
    notifications::Notifications,
    on_screen,
    pane::{Kind, Pane},
    panes::Panes,
    runs::{self, Opened},
    settings::Settings,
    setup,
    state::{Action, State},
    status_bar, theme,
    toasts::Level,
    top_bar, welcome,
};
use crate::{
    data::{Dataset, LoadOptions},
    device,
    format::number,
    session::{Event, interrupt},
    text,
};
use eframe::{
    egui::{self, CentralPanel, Context, Panel, Ui},
    wgpu,
};
use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Time between frames that only the session asks for: they are to leave the processor to training.
const SESSION_FRAME: Duration = Duration::from_millis(200);
/// The same where the processor draws the frames too, each of which costs it about 70 ms.
const SESSION_FRAME_IN_SOFTWARE: Duration = Duration::from_millis(800);

/// The program's window.
pub struct Window {
    /// What the panes show.
    pub state: State,
    panes: Panes,
    dialogs: Dialogs,
    notifications: Notifications,
    dialog: Option<Task<Vec<PathBuf>>>,
    sorting: Option<Task<Sorted>>,
    pasting: Option<Task<Result<clipboard::Content, String>>>,
    opening: Option<Task<Result<Opened, String>>>,
    exporting: Option<Task<Result<String, String>>>,
    /// The report of a run that was opened, until its data is there.
    stopped: Option<[Event; 2]>,
    /// What the data at hand were last found to be right for, or loaded anew for: a recipe and a run.
    suited: Option<(LoadOptions, Option<PathBuf>)>,
    /// Whether the processor draws the window.
    in_software: Arc<AtomicBool>,
    /// Gets the reason why a run could not be saved when the window was closed.
    unsaved: Unsaved,
    created: Instant,
}

/// Where the reason is left, if there is one, that a run could not be saved at the end.
pub(super) type Unsaved = Arc<Mutex<Option<String>>>;

impl Window {
    /// The window of eframe, with what was remembered from the last time.
    pub(super) fn new(cc: &eframe::CreationContext<'_>, options: Options, unsaved: Unsaved) -> Self {
        let settings = cc.storage.and_then(|storage| eframe::get_value(storage, eframe::APP_KEY));
        let mut window = Self::create(&cc.egui_ctx, settings.unwrap_or_default(), options);
        if let Some(state) = &cc.wgpu_render_state {
            window.drawn_by(&cc.egui_ctx, &state.adapter.get_info());
        }
        window.unsaved = unsaved;
        window
    }

    /// Takes notice of what draws the window. Where that is the processor nothing fades in: each frame of it is taken
    /// from training.
    pub(crate) fn drawn_by(&self, ctx: &Context, adapter: &wgpu::AdapterInfo) {
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
        let questions = Questions::new(wake.clone());
        state.file_dialog = questions.dialog();
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
            dialogs: Dialogs::new(questions),
            notifications: Notifications::default(),
            dialog: None,
            sorting: None,
            pasting: None,
            opening: None,
            exporting: None,
            stopped: None,
            suited: None,
            in_software,
            unsaved: Unsaved::default(),
            created: Instant::now(),
        }
    }

    /// Everything that is not drawing: what came from other threads, keys, drops.
    pub fn update(&mut self, ctx: &Context) {
        if interrupt::requested() {
            ctx.send_viewport_cmd(egui::ViewportCommand::Close);
        }
        for event in self.state.engine.poll() {
            self.state.history.on_event(&event);
            self.state.follower.on_event(&event);
            let run = self.state.engine.run_dir().cloned();
            self.state.runs.on_event(&event, run.as_ref());
            self.panes.each(|pane| pane.on_event(&event));
            self.notifications.on_event(&mut self.state, &event);
        }
        self.dialogs.finder.tick();
        self.take_results();
        self.reload_where_unsuitable();
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
            Some(Ok(clipboard::Content::Files(files))) => self.state.ask(Action::Take(files)),
            Some(Ok(clipboard::Content::Image(picture))) => self.classify(vec![Source::Pasted(picture)]),
            Some(Err(error)) => self.state.tell(Level::Warning, error),
            None => {}
        }
        match finished(&mut self.exporting).map(Result::flatten) {
            Some(Ok(text)) => {
                self.state.notice(Level::Info, text);
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
                self.state.tell(Level::Info, text);
                if !dataset.rejected.is_empty() {
                    let text =
                        format!("{} files could not be read; the setup column lists them", dataset.rejected.len());
                    self.state.tell(Level::Warning, text);
                }
                if dataset.contradictions.images > 0 {
                    self.state.tell(Level::Warning, dataset.contradictions.to_string());
                }
                self.suited = None;
                self.state.dataset = Some(Arc::new(dataset));
                self.state.data_problem = None;
                self.dialogs.finder.clear();
                self.panes.each(|pane| pane.on_data());
                self.show_report();
                if std::mem::take(&mut self.state.train_when_loaded) {
                    // Before what waits for the run.
                    self.state.actions.insert(0, Action::Train);
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
        self.panes.report.forget();
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
        state.notice(Level::Info, text);
        if info.data.is_empty() {
            let what = info.identity.map(|identity| format!(" It was {identity}.")).unwrap_or_default();
            let text = format!("The run {name} does not say where its data are: load them, then resume.{what}");
            state.tell(Level::Warning, text);
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
        for (level, text) in sorted.messages {
            self.state.notice(level, text);
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
            self.state.ask(Action::LoadData(crate::text::utf8(data.as_os_str())));
        }
        if let Some(weights) = sorted.weights {
            self.state.ask(Action::OfferWeights(weights.to_string_lossy().into_owned()));
        }
    }

    fn classify(&mut self, sources: Vec<Source>) {
        self.panes.classify.add(sources);
        self.state.browsing = true;
        self.state.ask(Action::Show(Kind::Classify));
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
        self.dialogs.ui(&ctx, &mut self.state);
        drop::overlay(ui);
        self.state.toasts.ui(&ctx);
        self.do_all(&ctx);
        fonts::find_missing(&ctx);
    }
}

impl eframe::App for Window {
    fn logic(&mut self, ctx: &Context, frame: &mut eframe::Frame) {
        on_screen::bring_back(frame, self.created);
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
        *self.unsaved.lock().unwrap_or_else(PoisonError::into_inner) = self.state.engine.end();
    }
}
