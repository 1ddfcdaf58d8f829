//! One chart: its heading with where the curves stand, and its plot.

use super::{
    axes,
    chart::Chart,
    curves::{Curve, Kind, Sources},
    lines::Seen,
};
use crate::app::{
    history::{MarkKind, X},
    widgets::theme::{self, Palette},
};
use eframe::egui::{self, Color32, Id, RichText, Ui, Vec2b};
use egui_plot::{LineStyle, Plot, VLine};

/// How one chart is drawn.
pub(super) struct PlotView {
    pub chart: Chart,
    pub x: X,
    pub log: bool,
    pub marks: bool,
    /// Where a table of values is pinned.
    pub pinned: Option<f64>,
    /// It is the only one.
    pub large: bool,
    pub reset: bool,
}

/// What the pointer did on a chart.
#[derive(Default)]
pub(super) struct Touched {
    /// The scale is to be switched.
    pub log: bool,
    /// It is to be the only one, or no longer.
    pub enlarge: bool,
    /// Where it points, along the lower edge.
    pub at: Option<f64>,
    /// How much of the lower edge is in sight.
    pub width: f64,
    pub clicked: bool,
}

impl PlotView {
    /// Draws heading and plot.
    pub(super) fn ui(&self, ui: &mut Ui, sources: &Sources) -> Touched {
        let palette = theme::palette(ui);
        let all = sources.all();
        let present = all.iter().find(|source| matches!(source.kind, Kind::Present));
        let present = present.map(|source| source.curves(self.chart, palette, sources)).unwrap_or_default();
        let [log, enlarge] = self.heading(ui, &present);
        let shown = self.plot(ui).show(ui, |plot| {
            let seen = Seen::of(plot);
            for source in &all {
                for curve in source.curves(self.chart, palette, sources) {
                    let outline = curve.smooth.unwrap_or(curve.raw);
                    match source.kind {
                        Kind::Present => {
                            if curve.smooth.is_some() {
                                self.draw(plot, &curve, curve.raw, curve.color.gamma_multiply(0.3), 1.0, &seen);
                            }
                            self.draw(plot, &curve, outline, curve.color, 2.0, &seen);
                            self.draw_broken(plot, &curve, palette, &seen);
                        }
                        Kind::Other(_) if curve.dots => self.draw(plot, &curve, outline, curve.color, 1.8, &seen),
                        Kind::Other(_) | Kind::Left => self.draw(plot, &curve, outline, curve.color, 1.2, &seen),
                    }
                }
            }
            for mark in sources.history.marks.iter().filter(|_| self.marks) {
                let at = mark.at(self.x);
                let line = VLine::new("", at).color(mark_color(mark.kind, palette)).width(1.0).allow_hover(false);
                plot.vline(line.style(LineStyle::Dashed { length: 4.0 }));
            }
            if let Some(at) = self.pinned {
                plot.vline(VLine::new("", at).color(palette.text).width(1.0).allow_hover(false));
            }
        });
        let response = shown.response;
        let name = format!("{} chart", self.chart.title());
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &name));
        let at = response.hover_pos().filter(|_| !response.dragged());
        Touched {
            log,
            enlarge: enlarge || response.double_clicked(),
            at: at.map(|at| shown.transform.value_from_position(at).x),
            width: shown.transform.bounds().width(),
            clicked: response.clicked(),
        }
    }

    /// What is drawn and where it stands now; returns whether the scale and the size are to be switched.
    fn heading(&self, ui: &mut Ui, curves: &[Curve]) -> [bool; 2] {
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
                let mut toggle = |on: bool, text: &str, help: &str, name: String| {
                    let response = ui.selectable_label(on, RichText::new(text).size(11.0));
                    response.on_hover_text(help).accessible_name(name).clicked()
                };
                let title = chart.title();
                let large = "This chart alone; so does a double click on it";
                let large = toggle(self.large, "large", large, format!("Enlarge the chart of {title}"));
                let log = "Logarithmic scale; remembered";
                [toggle(self.log, "log", log, format!("Logarithmic scale of {title}")), large]
            })
            .inner
        })
        .inner
    }

    /// An empty plot, linked with the others.
    fn plot<'a>(&self, ui: &Ui) -> Plot<'a> {
        let &Self { chart, x, log: logarithmic, .. } = self;
        let group = Id::unique("charts");
        let mut plot = Plot::new(chart.key())
            .height(ui.available_height())
            .width(ui.available_width())
            .link_axis(group, Vec2b::new(true, false))
            .link_cursor(group, Vec2b::new(true, false))
            .show_y(false)
            .allow_double_click_reset(false)
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
            .y_axis_formatter(move |mark, _| axes::y_text(mark.value, logarithmic) + chart.unit());
        if matches!(chart, Chart::Accuracy | Chart::Speed) && !logarithmic {
            plot = plot.include_y(0.0);
        }
        if self.reset { plot.reset() } else { plot }
    }
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
