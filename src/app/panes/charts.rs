//! Loss, accuracy, learning rate and speed over the run.
//!
//! Training and validation share a plot in two colours. The raw line stands faintly under its smoothed one. A plot is
//! handed only the outline of what it shows (see [`crate::app::history::series`]), so its cost does not grow with the run. Runs that
//! were ticked in the list of runs lie beneath, each in a colour of its own: training as a thin line, validation with dots.

mod axes;
mod legend;
mod lines;

use crate::app::{
    background::Wake,
    history::{
        Axis, Branch, History, Mark, MarkKind, X,
        averages::Averages,
        series::{Series, Smoothed},
    },
    panes::pane::Pane,
    runs::Overlay,
    state::{Action, Actions, ChartChange, State, settings::Settings},
    widgets::{
        self,
        theme::{self, Palette},
    },
};
use crate::format::{duration, number, rounded};
use eframe::egui::{self, Color32, Id, RichText, ScrollArea, Ui, Vec2b};
use egui_plot::{HoverPosition, LineStyle, Plot, VLine};
use lines::Seen;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chart {
    Loss,
    Accuracy,
    Rate,
    Speed,
}

impl Chart {
    const ALL: [Chart; 4] = [Chart::Loss, Chart::Accuracy, Chart::Rate, Chart::Speed];

    fn title(self) -> &'static str {
        match self {
            Chart::Loss => "Loss",
            Chart::Accuracy => "Accuracy",
            Chart::Rate => "Learning rate",
            Chart::Speed => "Images per second",
        }
    }

    /// Its name in the settings.
    fn key(self) -> &'static str {
        match self {
            Chart::Loss => "loss",
            Chart::Accuracy => "accuracy",
            Chart::Rate => "learning rate",
            Chart::Speed => "images per second",
        }
    }

    /// What the values are multiplied by for showing.
    fn scale(self) -> f64 {
        if self == Chart::Accuracy { 100.0 } else { 1.0 }
    }

    /// What stands behind a value beside the plot.
    fn unit(self) -> &'static str {
        if self == Chart::Accuracy { " %" } else { "" }
    }

    fn value(self, value: f64) -> String {
        match self {
            Chart::Loss => format!("{value:.4}"),
            Chart::Accuracy => format!("{value:.1} %"),
            Chart::Rate => rounded(value),
            Chart::Speed => number(value.max(0.0).round() as u64),
        }
    }
}

/// One curve of a plot.
struct Curve<'a> {
    name: &'static str,
    axis: &'a Axis,
    raw: &'a Series,
    smooth: Option<&'a Series>,
    color: Color32,
    /// Few points, which show as dots too.
    dots: bool,
    dashed: bool,
    /// Whose it is, where it is not the run's at hand.
    run: Option<&'a str>,
}

/// What the plots are drawn from.
struct Sources<'a> {
    history: &'a History,
    averages: &'a [Averages],
    overlays: Vec<&'a Overlay>,
}

pub(crate) struct Charts {
    /// Ask the plots to show everything again.
    reset: bool,
}

impl Pane for Charts {
    fn title(&self, _: &State) -> String {
        "Charts".to_owned()
    }

    fn on_run(&mut self) {
        self.reset = true;
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
        let overlays = others.collect();
        self.controls(ui, &state.settings, actions);
        if compares {
            legend::ui(ui, state, actions, shown);
        }
        let settings = &state.settings;
        let sources = Sources { history: state.run.history(), averages: state.run.averages(), overlays };
        let columns = if ui.available_width() >= 520.0 { 2 } else { 1 };
        let rows = Chart::ALL.len() / columns;
        let gap = ui.spacing().item_spacing;
        let width = (ui.available_width() - gap.x * (columns - 1) as f32) / columns as f32;
        let height = ((ui.available_height() - gap.y * rows as f32) / rows as f32).max(150.0);
        let reset = std::mem::take(&mut self.reset);
        ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
            for row in Chart::ALL.chunks(columns) {
                ui.horizontal_top(|ui| {
                    for &chart in row {
                        let size = egui::vec2(width, height - 2.0);
                        ui.allocate_ui_with_layout(size, egui::Layout::top_down(egui::Align::Min), |ui| {
                            ui.set_min_size(size);
                            let mut log = settings.log_scale.iter().any(|key| key == chart.key());
                            let view = PlotView { chart, x: settings.x, log, marks: settings.marks, reset };
                            if view.ui(ui, &sources, &mut log) {
                                actions.ask(Action::Charts(ChartChange::LogScale(chart.key(), log)));
                            }
                        });
                    }
                });
            }
        });
    }
}

impl Charts {
    pub(crate) fn new(_: Wake) -> Self {
        Self { reset: false }
    }

    fn controls(&mut self, ui: &mut Ui, settings: &Settings, actions: &mut Actions) {
        widgets::toolbar(ui, |ui| {
            ui.label("Smoothing");
            let mut smoothing = settings.smoothing;
            let slider = egui::Slider::new(&mut smoothing, 0.0..=0.99).fixed_decimals(2).step_by(0.01);
            let slider = ui
                .add(slider)
                .on_hover_text(
                    "Weight of the past in the bold line, a debiased exponential average. The faint line is what was \
                 measured; 0 shows that alone.",
                )
                .accessible_name("Smoothing");
            if slider.changed() {
                actions.ask(Action::Charts(ChartChange::Smoothing(smoothing)));
            }
            ui.separator();
            let choices = [
                (X::Step, "Step", "Along the lower edge: updates of the weights"),
                (X::Epoch, "Epoch", "Along the lower edge: passes over the training images"),
                (X::Time, "Time", "Along the lower edge: time of training, pauses left out"),
            ];
            let mut x = settings.x;
            if widgets::chips(ui, &mut x, &choices) {
                actions.ask(Action::Charts(ChartChange::X(x)));
                self.reset = true;
            }
            ui.separator();
            let mut marks = settings.marks;
            let toggle = ui.toggle_value(&mut marks, "Marks");
            let help = "Changes of hyperparameters, the best epoch and snapshots as lines on the charts";
            if toggle.on_hover_text(help).clicked() {
                actions.ask(Action::Charts(ChartChange::Marks(marks)));
            }
            if ui.button("Show all").on_hover_text("Back to the whole curves; so does a double click on one").clicked()
            {
                self.reset = true;
            }
            ui.label(RichText::new("?").color(theme::palette(ui).weak)).on_hover_text(
                "Drag moves a chart, Ctrl and the wheel zoom, a drag with the right button zooms into a box, a double \
                 click shows everything.",
            );
        });
    }
}

/// How one chart is drawn.
struct PlotView {
    chart: Chart,
    x: X,
    log: bool,
    marks: bool,
    reset: bool,
}

impl PlotView {
    /// Draws heading and plot; returns whether `log` was switched.
    fn ui(&self, ui: &mut Ui, sources: &Sources, log: &mut bool) -> bool {
        let palette = theme::palette(ui);
        let Sources { history, averages, overlays } = sources;
        let pairs: Vec<(&Branch, &Averages)> = history.branches.iter().zip(*averages).collect();
        let (older, mut curves) = match pairs.split_last() {
            Some(((newest, averages), older)) => (older, self.curves(newest, averages, palette)),
            None => (&[][..], Vec::new()),
        };
        // Beside others, a run has the same two colours on every chart.
        for curve in curves.iter_mut().filter(|_| !overlays.is_empty()) {
            curve.color = if curve.dots { palette.validation } else { palette.train };
        }
        let switched = self.heading(ui, &curves, log);
        let marks: &[Mark] = if self.marks { &history.marks } else { &[] };
        let bounds_id = Id::unique(("chart bounds", self.chart.key()));
        let seen_width: f64 = ui.data(|data| data.get_temp(bounds_id)).unwrap_or(0.0);
        let response = self.plot(ui, marks, seen_width).show(ui, |plot| {
            let seen = Seen::of(plot);
            for (index, (branch, averages)) in older.iter().enumerate() {
                for curve in self.curves(branch, averages, palette) {
                    // The colours belong to the other runs, where there are any; no branch has the present one's.
                    let others: Vec<Color32> =
                        palette.others.into_iter().filter(|color| !alike(*color, curve.color)).collect();
                    let color = match overlays.is_empty() {
                        true => others[index % others.len()].gamma_multiply(0.7),
                        false => palette.weak.gamma_multiply(0.6),
                    };
                    self.draw(plot, &curve, curve.smooth.unwrap_or(curve.raw), color, 1.2, &seen);
                }
            }
            for overlay in overlays {
                let (color, dashed) = theme::run_line(palette, overlay.slot);
                for curve in self.curves(&overlay.branch, &overlay.averages, palette) {
                    let curve = Curve { dashed, run: Some(&overlay.name), ..curve };
                    let thickness = if curve.dots { 1.8 } else { 1.2 };
                    self.draw(plot, &curve, curve.smooth.unwrap_or(curve.raw), color, thickness, &seen);
                }
            }
            for curve in &curves {
                if let Some(smooth) = curve.smooth {
                    self.draw(plot, curve, curve.raw, curve.color.gamma_multiply(0.3), 1.0, &seen);
                    self.draw(plot, curve, smooth, curve.color, 2.0, &seen);
                } else {
                    self.draw(plot, curve, curve.raw, curve.color, 2.0, &seen);
                }
                self.draw_broken(plot, curve, palette, &seen);
            }
            for mark in marks {
                let at = mark.at(self.x);
                let line = VLine::new("", at).color(mark_color(mark.kind, palette)).width(1.0).allow_hover(false);
                plot.vline(line.style(LineStyle::Dashed { length: 4.0 }));
            }
        });
        let bounds = response.transform.bounds();
        ui.data_mut(|data| data.insert_temp(bounds_id, bounds.width()));
        let name = format!("{} chart", self.chart.title());
        response.response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &name));
        switched
    }

    /// What is drawn and where it stands now; returns whether `log` was switched.
    fn heading(&self, ui: &mut Ui, curves: &[Curve], log: &mut bool) -> bool {
        let chart = self.chart;
        ui.horizontal(|ui| {
            ui.label(RichText::new(chart.title()).strong());
            let only = curves.len() == 1;
            for curve in curves {
                let Some(last) = curve.smooth.unwrap_or(curve.raw).last() else { continue };
                let value = chart.value(f64::from(last) * chart.scale());
                let text = if only { value } else { format!("{} {value}", curve.name) };
                ui.label(RichText::new(text).color(curve.color).size(12.0));
            }
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                let response = ui.toggle_value(log, RichText::new("log").size(11.0));
                let response = response.on_hover_text("Logarithmic scale; remembered");
                response.accessible_name(format!("Logarithmic scale of {}", chart.title())).clicked()
            })
            .inner
        })
        .inner
    }

    /// An empty plot, linked with the others. It was `seen_width` wide when it was drawn last, in units of its axis.
    fn plot<'a>(&self, ui: &Ui, marks: &'a [Mark], seen_width: f64) -> Plot<'a> {
        let &Self { chart, x, log: logarithmic, .. } = self;
        let group = Id::unique("charts");
        let mut plot = Plot::new(chart.key())
            .height(ui.available_height())
            .width(ui.available_width())
            .link_axis(group, Vec2b::new(true, false))
            .link_cursor(group, Vec2b::new(true, false))
            .show_background(false)
            .allow_scroll(false)
            .y_axis_min_width(42.0)
            .set_margin_fraction(egui::vec2(0.01, 0.06))
            .grid_color(theme::palette(ui).border)
            .grid_fade(0.7)
            .grid_spacing(egui::Rangef::new(26.0, 140.0))
            .x_grid_spacer(axes::x_grid)
            .y_grid_spacer(move |input| axes::y_grid(input, logarithmic))
            .custom_x_axes(vec![axes::lower_edge(x)])
            .y_axis_formatter(move |mark, _| axes::y_text(mark.value, logarithmic) + chart.unit())
            .label_formatter(move |at| Some(hover_text(chart, x, logarithmic, at, marks, seen_width)));
        if matches!(chart, Chart::Accuracy | Chart::Speed) && !logarithmic {
            plot = plot.include_y(0.0);
        }
        if self.reset { plot.reset() } else { plot }
    }

    fn curves<'a>(&self, branch: &'a Branch, averages: &'a Averages, palette: &Palette) -> Vec<Curve<'a>> {
        let train = |raw, smooth: &'a Smoothed| Curve {
            name: "training",
            axis: &branch.steps,
            raw,
            smooth: Some(smooth.series()),
            color: palette.train,
            dots: false,
            dashed: false,
            run: None,
        };
        let validation = |raw| Curve {
            name: "validation",
            axis: &branch.epochs,
            raw,
            smooth: None,
            color: palette.validation,
            dots: true,
            dashed: false,
            run: None,
        };
        match self.chart {
            Chart::Loss => vec![train(&branch.loss, &averages.loss), validation(&branch.val_loss)],
            Chart::Accuracy => vec![train(&branch.accuracy, &averages.accuracy), validation(&branch.val_accuracy)],
            Chart::Rate => vec![Curve {
                name: "learning rate",
                axis: &branch.steps,
                raw: &branch.lr,
                smooth: None,
                color: palette.rate,
                dots: false,
                dashed: false,
                run: None,
            }],
            Chart::Speed => vec![Curve {
                name: "images per second",
                color: palette.speed,
                ..train(&branch.images_per_s, &averages.speed)
            }],
        }
    }
}

/// Whether two lines could be taken for each other.
fn alike(a: Color32, b: Color32) -> bool {
    a.to_array().into_iter().zip(b.to_array()).map(|(a, b)| u32::from(a.abs_diff(b))).sum::<u32>() < 100
}

fn mark_color(kind: MarkKind, palette: &Palette) -> Color32 {
    match kind {
        MarkKind::Changed => palette.now,
        MarkKind::Best => palette.validation,
        MarkKind::Snapshot => palette.weak.gamma_multiply(0.5),
        MarkKind::Resumed => palette.restart,
        MarkKind::NotFinite => palette.wrong,
    }
}

fn hover_text(chart: Chart, x: X, logarithmic: bool, at: &HoverPosition<'_>, marks: &[Mark], width: f64) -> String {
    let (name, position) = match at {
        HoverPosition::NearDataPoint { plot_name, position, .. } => (*plot_name, *position),
        HoverPosition::Elsewhere { position } => ("", *position),
    };
    let y = if logarithmic { 10f64.powf(position.y) } else { position.y };
    let place = match x {
        X::Step => format!("step {}", number(position.x.max(0.0).round() as u64)),
        X::Epoch => format!("epoch {:.2}", position.x),
        X::Time => duration(position.x),
    };
    let mut text = match name {
        "" => place,
        "not a finite number" => format!("{name}\n{place}"),
        _ => format!("{name} {}\n{place}", chart.value(y)),
    };
    for mark in marks.iter().filter(|mark| (mark.at(x) - position.x).abs() <= width * 0.012) {
        text += "\n";
        text += &mark.text;
    }
    text
}
