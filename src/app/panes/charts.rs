//! Loss, accuracy, learning rate and speed over the run.
//!
//! Training and validation share a plot in two colours. What was measured stands faintly under its smoothed
//! line, as a band where it is dense. A plot is handed only the outline of what it shows (see
//! [`crate::app::history::series`]), so its cost does not grow with the run. Runs that were ticked in the list of runs lie
//! beneath, each in a colour of its own: training as a thin line, validation with dots.

pub(super) mod axes;
mod chart;
mod curves;
mod legend;
mod lines;
mod plot;
mod readout;
mod show;

use self::{
    chart::Chart,
    curves::Sources,
    plot::{PlotView, Touched},
    readout::Readout,
};
use crate::app::{
    background::Wake,
    history::X,
    panes::pane::Pane,
    state::{Action, Actions, ChartChange, State, settings::Settings},
    widgets::{self, theme},
};
use eframe::egui::{self, Key, Pos2, RichText, ScrollArea, Ui};

/// Height of a chart with its heading that still shows something, in points.
const LEAST_HEIGHT: f32 = 118.0;

pub(crate) struct Charts {
    /// Ask the plots to show everything again.
    reset: bool,
    /// The only one that is drawn.
    enlarged: Option<Chart>,
    pinned: Option<Pin>,
    /// The limits of the charts in the last frame.
    limits: Vec<(String, [f64; 2])>,
}

/// Where a table of values stays.
#[derive(Clone, Copy)]
struct Pin {
    /// Along the lower edge, in its present measure.
    at: f64,
    /// On the screen.
    place: Pos2,
}

impl Pane for Charts {
    fn title(&self, _: &State) -> String {
        "Charts".to_owned()
    }

    fn on_run(&mut self) {
        (self.reset, self.pinned) = (true, None);
    }

    fn ui(&mut self, ui: &mut Ui, state: &State, actions: &mut Actions) {
        let shown = state.run.drawn();
        let others = state.runs.compared.overlays().iter().filter(|overlay| Some(&overlay.path) != shown);
        let compares = others.clone().next().is_some();
        if state.run.history().is_empty() && !compares {
            widgets::empty_state(
                ui,
                "The curves of a run",
                "Loss, accuracy, learning rate and speed are drawn here as soon as the first step is done. Choose data \
                 on the left, then press Train.",
                None,
            );
            return;
        }
        let ghost =
            state.run.ghost().filter(|ghost| state.settings.ghost && state.runs.compared.get(&ghost.path).is_none());
        let sources =
            Sources { history: state.run.history(), averages: state.run.averages(), overlays: others.collect(), ghost };
        self.controls(ui, &state.settings, actions);
        if sources.several() || sources.ghost.is_some() {
            legend::ui(ui, state, actions, &sources);
        }
        let touched = self.grid(ui, &sources, &state.settings, actions);
        self.readouts(ui, &sources, state.settings.x, &touched, actions);
    }
}

impl Charts {
    pub(crate) fn new(_: Wake) -> Self {
        Self { reset: false, enlarged: None, pinned: None, limits: Vec::new() }
    }

    /// Draws the charts; gives what the pointer did on one of them.
    fn grid(&mut self, ui: &mut Ui, sources: &Sources, settings: &Settings, actions: &mut Actions) -> Touched {
        let charts = self.enlarged.as_ref().map_or(&Chart::ALL[..], std::slice::from_ref);
        let columns = if ui.available_width() >= 520.0 { charts.len().min(2) } else { 1 };
        let rows = charts.len() / columns;
        let gap = ui.spacing().item_spacing;
        let width = (ui.available_width() - gap.x * (columns - 1) as f32) / columns as f32;
        // So high that those in sight are whole.
        let high = |rows: usize| (ui.available_height() - gap.y * rows as f32) / rows as f32;
        let height = (1..=rows).map(high).rfind(|&height| height >= LEAST_HEIGHT).unwrap_or(LEAST_HEIGHT);
        if self.limits != settings.limits {
            self.limits.clone_from(&settings.limits);
            self.reset = true;
        }
        let reset = std::mem::take(&mut self.reset);
        let pinned = self.pinned.map(|pin| pin.at);
        let (mut touched, mut enlarged) = (Touched::default(), self.enlarged);
        ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
            for row in charts.chunks(columns) {
                ui.horizontal_top(|ui| {
                    for &chart in row {
                        let size = egui::vec2(width, height - 2.0);
                        ui.allocate_ui_with_layout(size, egui::Layout::top_down(egui::Align::Min), |ui| {
                            ui.set_min_size(size);
                            let log = settings.log_scale.iter().any(|key| key == chart.key());
                            let large = self.enlarged == Some(chart);
                            let target = settings.target.filter(|_| chart == Chart::Accuracy && !log);
                            let view = PlotView {
                                chart,
                                x: settings.x,
                                log,
                                marks: settings.marks,
                                snapshot_marks: settings.snapshot_marks,
                                outliers: settings.outliers,
                                limits: settings.limits_of(chart.key()),
                                target,
                                pinned,
                                large,
                                reset,
                            };
                            let on_this = view.ui(ui, sources);
                            if on_this.log {
                                actions.ask(Action::Charts(ChartChange::LogScale(chart.key(), !log)));
                            }
                            if on_this.enlarge {
                                enlarged = (!large).then_some(chart);
                            }
                            if on_this.at.is_some() {
                                touched = on_this;
                            }
                        });
                    }
                });
            }
            widgets::focus::follow(ui);
        });
        self.enlarged = enlarged;
        touched
    }

    /// Draws the table at the pointer and the one that was pinned, and copies one where that is asked for.
    fn readouts(&mut self, ui: &Ui, sources: &Sources, x: X, touched: &Touched, actions: &mut Actions) {
        /// Of what is in sight along the lower edge, what is close by.
        const NEAR: f64 = 0.012;
        let palette = theme::palette(ui);
        let read = |at: f64| Readout::at(sources, x, at, touched.width * NEAR, palette);
        let pointed = touched.at.and_then(read);
        let place = ui.input(|input| input.pointer.latest_pos());
        if let (true, Some(at), Some(place)) = (touched.clicked, touched.at, place) {
            let again = self.pinned.is_some_and(|pin| pin.place.distance(place) < 4.0);
            self.pinned = (!again).then_some(Pin { at, place });
        }
        if touched.enlarge || ui.input(|input| input.key_pressed(Key::Escape)) {
            self.pinned = None;
        }
        let mut copied = None;
        let pinned = self.pinned.and_then(|pin| Some((pin, read(pin.at)?)));
        if let Some((pin, readout)) = &pinned {
            let mut open = true;
            let window = egui::Window::new(readout.place()).id(egui::Id::unique(("pinned values", pin.at.to_bits())));
            let window = window.collapsible(false).resizable(false).default_pos(pin.place + egui::vec2(14.0, 14.0));
            window.open(&mut open).show(ui.ctx(), |ui| {
                readout.ui(ui);
                if ui.button("Copy").on_hover_text("The table, for a spreadsheet (Ctrl+C)").clicked() {
                    copied = Some(readout.tab_separated());
                }
            });
            if !open {
                self.pinned = None;
            }
        } else if let Some(readout) = &pointed {
            let (layer, id) = (ui.layer_id(), ui.scope_id().with("values"));
            let anchor = egui::PopupAnchor::Pointer;
            let tooltip = egui::Tooltip::always_open(ui.ctx().clone(), layer, id, anchor).gap(14.0).width(900.0);
            tooltip.show(|ui| {
                ui.label(RichText::new(readout.place()).strong());
                readout.ui(ui);
            });
        }
        if ui.input(|input| input.events.contains(&egui::Event::Copy)) && !ui.ctx().text_edit_focused() {
            let readout = pinned.as_ref().map(|(_, readout)| readout).or(pointed.as_ref());
            copied = readout.map(Readout::tab_separated).or(copied);
        }
        if let Some(table) = copied {
            actions.ask(Action::CopyText(table));
            actions.notice(widgets::toasts::Level::Info, "The values are in the clipboard");
        }
    }

    fn controls(&mut self, ui: &mut Ui, settings: &Settings, actions: &mut Actions) {
        widgets::toolbar(ui, |ui| {
            if ui.available_width() >= 300.0 {
                ui.label("Smoothing");
            }
            ui.spacing_mut().slider_width = (ui.available_width() - 150.0).clamp(40.0, 100.0);
            let mut smoothing = settings.smoothing;
            let slider = egui::Slider::new(&mut smoothing, 0.0..=0.99).fixed_decimals(2).step_by(0.01);
            let slider = ui
                .add(slider)
                .on_hover_text(
                    "Weight of the past in the bold line, a debiased exponential average. What was measured stands faintly \
                 behind it, as a band from the least to the greatest where it is dense; 0 shows that alone.",
                )
                .accessible_name("Smoothing");
            if slider.changed() {
                actions.ask(Action::Charts(ChartChange::Smoothing(smoothing)));
            }
            let choices = [
                (X::Step, "Step", "Along the lower edge: updates of the weights"),
                (X::Epoch, "Epoch", "Along the lower edge: passes over the training images"),
                (X::Time, "Time", "Along the lower edge: time of training, pauses left out"),
            ];
            let mut x = settings.x;
            if widgets::chips(ui, &mut x, &choices) {
                actions.ask(Action::Charts(ChartChange::X(x)));
                (self.reset, self.pinned) = (true, None);
            }
            let (menu, _) = egui::containers::menu::MenuButton::new("Show…")
                .config(
                    egui::containers::menu::MenuConfig::new()
                        .close_behavior(egui::PopupCloseBehavior::CloseOnClickOutside),
                )
                .ui(ui, |ui| show::ui(ui, settings, actions));
            menu.on_hover_text("What stands on the charts beside the curves");
            let help = "Back to the whole curves.\n\nA click on a chart pins the table of values, Ctrl+C copies it. A double \
                        click enlarges a chart, and again shows all. Drag moves, Ctrl and the wheel zoom, a drag with the \
                        right button zooms into a box.";
            if ui.button("Show all").on_hover_text(help).clicked() {
                self.reset = true;
            }
        });
    }
}
