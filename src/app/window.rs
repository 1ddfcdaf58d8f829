//! The window as a whole: it lets the session speak, draws the parts, and carries out what they ask for.

mod added;
mod dispatch;
mod notifications;
mod results;
pub(crate) mod run_actions;

use self::dispatch::For;
use super::{
    Options,
    background::{Task, Wake},
    classifier::Source,
    dialogs::Dialogs,
    drop::{self, Sorted},
    keys,
    panes::{Panes, tiles},
    setup,
    state::{Action, PaneId, State},
};
use crate::app::{
    bars::{done, status, top, welcome},
    desktop::{clipboard, file_dialog::Questions, on_screen},
    runs::PACE,
    state::settings::Settings,
    widgets::{focus, fonts, theme, toasts::Level},
    window::notifications::Notifications,
};
use crate::{
    data::Edit,
    device,
    session::{Event, interrupt},
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
    dialog: Option<Task<(For, Vec<PathBuf>)>>,
    /// Photographs that are looked at to be taken in.
    adding: Option<Task<(Vec<Edit>, Vec<String>)>>,
    sorting: Option<Task<Sorted>>,
    pasting: Option<Task<Result<clipboard::Content, String>>>,
    exporting: Option<Task<Result<String, String>>>,
    /// The report of a run that was opened, until its data is there.
    stopped: Option<[Event; 2]>,
    /// That of the run that the panes know of.
    generation: u64,
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
        settings.layout = settings.layout.complete(Panes::ALL);
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
            adding: None,
            sorting: None,
            pasting: None,
            exporting: None,
            stopped: None,
            generation: 0,
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
        self.tell_of_run();
        for event in self.state.run.poll() {
            self.state.branches.on_event(&event);
            let run = self.state.run.folder().cloned();
            self.state.runs.on_event(&event, run.as_ref());
            self.panes.each(|pane| pane.on_event(&event));
            self.notifications.on_event(&mut self.state.notices, &event);
        }
        self.take_edited();
        self.dialogs.finder.tick();
        self.take_results();
        self.state.reload_where_unsuitable();
        self.follow_runs(ctx);
        let dropped: Vec<PathBuf> =
            ctx.input(|input| input.raw.dropped_files.iter().map(|file| file.path().to_owned()).collect());
        if !dropped.is_empty() {
            // What lies on a class is of that class.
            let class = ctx.pointer_latest_pos().and_then(|at| self.panes.classes.at(at));
            self.state.ask(match class.and_then(|class| added::class_of(class, &dropped)) {
                Some(class) => Action::AddImages(class, dropped),
                None => Action::Take(dropped),
            });
        }
        let mut actions = std::mem::take(&mut self.state.actions);
        self.panes.each(|pane| pane.tick(ctx, &self.state, &mut actions));
        self.state.actions = actions;
    }

    /// The images that the session of a head has come to: what is shown of them is of the same moment as its predictions.
    fn take_edited(&mut self) {
        let head = self.state.run.view().and_then(|view| view.head.as_ref());
        let Some(dataset) = head.map(|head| head.dataset.clone()).filter(|_| self.state.run.hears_edits()) else {
            return;
        };
        if self.state.data.dataset.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &dataset)) {
            self.state.data.take_edited(dataset);
            self.panes.each(|pane| pane.on_data());
        }
    }

    /// Tells the panes where another run is at hand.
    fn tell_of_run(&mut self) {
        let generation = self.state.run.generation();
        if std::mem::replace(&mut self.generation, generation) != generation {
            self.panes.each(|pane| pane.on_run());
        }
    }

    /// Keeps what is known of runs up with them.
    fn follow_runs(&mut self, ctx: &Context) {
        let Self { state, panes, .. } = self;
        state.branches.tick(state.run.folder());
        if let Some(Err(error)) = state.branches.removed() {
            state.notices.tell(Level::Warning, error);
        }
        for result in state.runs.jobs.take() {
            if let Some((from, to)) = run_actions::done(state, result) {
                panes.each(|pane| pane.on_moved(&from, to.as_deref()));
            }
        }
        for problem in state.runs.compared.tick() {
            state.notices.tell(Level::Warning, problem);
        }
        if state.runs.compared.follow(state.run.drawn()) {
            ctx.request_repaint_after(PACE);
        }
        state.smooth();
    }

    /// Does what dropped or opened paths are for.
    fn take(&mut self, sorted: Sorted) {
        for (level, text) in sorted.messages {
            self.state.notices.notice(level, text);
        }
        if !sorted.images.is_empty() {
            self.classify(sorted.images.into_iter().map(Source::File).collect());
        }
        let live = self.state.run.is_busy();
        if live && (sorted.data.is_some() || sorted.run.is_some() || sorted.run_file.is_some()) {
            self.state.notices.tell(Level::Warning, "Stop the run before other data or another run are opened");
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
        self.state.ask(Action::Show(PaneId::CLASSIFY));
    }

    /// Draws everything and does what was asked for.
    pub fn draw(&mut self, ui: &mut Ui) {
        let ctx = ui.ctx().clone();
        ctx.set_theme(self.state.settings.theme);
        // Ctrl and plus are egui's own.
        self.state.settings.zoom = ctx.zoom_factor();
        keys::handle(&ctx, &mut self.state);
        let bar = theme::bar_frame();
        Panel::top("top").exact_size(44.0).frame(bar).show(ui, |ui| top::ui(ui, &mut self.state));
        Panel::bottom("status").exact_size(32.0).frame(bar).show(ui, |ui| status::ui(ui, &mut self.state));
        let column = egui::Frame::new().inner_margin(egui::Margin { left: 10, right: 4, top: 4, bottom: 0 });
        if !self.state.settings.setup_hidden {
            // However small the window is, the panes have a part of it.
            let most = (ctx.content_rect().width() - 420.0).clamp(270.0, 520.0);
            // A width that only a small window asks for, also one that was made larger to be read, is not kept for others.
            let id = if most < theme::SETUP_WIDTH { "setup, narrow" } else { "setup" };
            let panel = Panel::left(id).default_size(theme::SETUP_WIDTH).size_range(270.0..=most);
            panel.frame(column).show(ui, |ui| setup::ui(ui, &mut self.state));
        }
        // At the lower end: at the upper one it would push the panes' names from under the pointer when a run is done.
        if done::is_shown(&self.state) {
            Panel::bottom("done").frame(bar).show(ui, |ui| done::ui(ui, &mut self.state));
        }
        let margin = egui::Frame::new().inner_margin(egui::Margin { left: 5, right: 0, top: 0, bottom: 0 });
        CentralPanel::no_frame().frame(margin).show(ui, |ui| {
            let Self { state, panes, .. } = self;
            if state.is_welcoming() {
                welcome::ui(ui, state);
                return;
            }
            // The panes read all of the state while they are drawn, and none of them needs these two.
            let mut layout = std::mem::take(&mut state.settings.layout);
            let mut actions = std::mem::take(&mut state.actions);
            tiles::ui(ui, &mut layout, panes, state, &mut actions);
            (state.settings.layout, state.actions) = (layout, actions);
        });
        self.dialogs.ui(&ctx, &mut self.state);
        drop::overlay(ui);
        self.state.notices.toasts.ui(&ctx);
        focus::ring(&ctx);
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
        *self.unsaved.lock().unwrap_or_else(PoisonError::into_inner) = self.state.run.end();
    }
}
