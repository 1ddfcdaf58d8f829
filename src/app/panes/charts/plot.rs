//! One chart: its heading with where the curves stand, and its plot.

use super::{
    axes,
    chart::Chart,
    curves::{Curve, Kind, Source, Sources, TOP5},
    lines::{Scale, Seen},
};
use crate::app::{
    history::{Mark, MarkKind, X, series::Series},
    widgets::{
        self,
        theme::{self, Palette},
    },
};
use crate::format::{duration, number, rounded};
use eframe::egui::{self, Color32, Id, RichText, Ui, Vec2b};
use egui_plot::{HLine, LineStyle, Plot, PlotPoint, PlotTransform, VLine};

/// Width of the labels on the left, in points.
const LEFT_EDGE: f32 = 48.0;

/// How one chart is drawn.
pub(super) struct PlotView {
    pub chart: Chart,
    pub x: X,
    pub log: bool,
    pub marks: bool,
    pub snapshot_marks: bool,
    /// Whether values beyond measure count for the range.
    pub outliers: bool,
    /// Between which values it is shown, as these are written.
    pub limits: Option<[f64; 2]>,
    /// Where a line is drawn, as the values are.
    pub target: Option<f64>,
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
        let scale = Scale { chart: self.chart, x: self.x, log: self.log };
        let shown = self.plot(ui).show(ui, |plot| {
            let seen = Seen::of(plot, self.most(&all, palette, sources));
            for source in &all {
                for curve in source.curves(self.chart, palette, sources) {
                    let outline = curve.smooth.unwrap_or(curve.raw);
                    match source.kind {
                        Kind::Present => {
                            if curve.smooth.is_some() {
                                scale.draw_measured(plot, &curve, &seen);
                            }
                            scale.draw(plot, &curve, outline, curve.color, 2.0, &seen);
                            scale.draw_broken(plot, &curve, palette, &seen);
                        }
                        Kind::Other(_) if curve.dots => scale.draw(plot, &curve, outline, curve.color, 1.8, &seen),
                        Kind::Other(_) | Kind::Left | Kind::Before(_) => {
                            scale.draw(plot, &curve, outline, curve.color, 1.2, &seen)
                        }
                    }
                }
            }
            if let Some([low, high]) = self.limits {
                let place = |value: f64| if self.log { value.max(1e-9).log10() } else { value };
                plot.set_plot_bounds_y(place(low)..=place(high));
            }
            if let Some(target) = self.target {
                let line = HLine::new("", target).color(palette.now).width(1.0).allow_hover(false);
                plot.hline(line.style(LineStyle::Dashed { length: 8.0 }));
            }
            let kept = |mark: &&Mark| if mark.kind == MarkKind::Snapshot { self.snapshot_marks } else { self.marks };
            for mark in sources.history.marks.iter().filter(kept) {
                let at = mark.at(self.x);
                let line = VLine::new("", at).color(mark_color(mark.kind, palette)).width(1.0).allow_hover(false);
                plot.vline(line.style(LineStyle::Dashed { length: 4.0 }));
            }
            if let Some(at) = self.pinned {
                plot.vline(VLine::new("", at).color(palette.text).width(1.0).allow_hover(false));
            }
        });
        let response = shown.response;
        self.labels(ui, sources, &shown.transform, palette);
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

    /// Writes what was changed beside its mark, where no label before it is in the way, and when the target was reached.
    fn labels(&self, ui: &Ui, sources: &Sources, transform: &PlotTransform, palette: &Palette) {
        let frame = *transform.frame();
        let painter = ui.painter_at(frame);
        if let Some(target) = self.target {
            let text = match sources.history.reached(target / 100.0) {
                Some((step, seconds)) => {
                    format!("{} % at step {}, {}", rounded(target), number(step as u64), duration(seconds))
                }
                None => format!("{} % not yet", rounded(target)),
            };
            let y = transform.position_from_point(&PlotPoint::new(0.0, target)).y;
            let at = egui::pos2(frame.right() - 4.0, y.clamp(frame.top() + 14.0, frame.bottom()));
            painter.text(at, egui::Align2::RIGHT_BOTTOM, text, egui::FontId::proportional(10.5), palette.now);
        }
        let mut free = frame.left();
        let marks = sources.history.marks.iter().filter(|_| self.marks);
        for (mark, label) in marks.filter_map(|mark| Some((mark, mark.label()?))) {
            let x = transform.position_from_point(&PlotPoint::new(mark.at(self.x), 0.0)).x;
            let galley = painter.layout_no_wrap(label, egui::FontId::proportional(10.5), palette.now);
            // Left of the line where there is no room to its right.
            let right = x + 4.0 + galley.size().x <= frame.right();
            let left = if right { x + 3.0 } else { x - 3.0 - galley.size().x };
            if left < free || x > frame.right() {
                continue;
            }
            free = left + galley.size().x + 4.0;
            let place = egui::Rect::from_min_size(egui::pos2(left, frame.top() + 2.0), galley.size());
            painter.rect_filled(place.expand(1.0), 2.0, palette.pane.gamma_multiply(0.8));
            painter.galley(place.min, galley, palette.now);
        }
    }

    /// The greatest value that counts for the range; none where all do.
    fn most(&self, all: &[Source], palette: &Palette, sources: &Sources) -> f64 {
        if self.outliers || self.chart != Chart::Loss {
            return f64::INFINITY;
        }
        let curves = || all.iter().flat_map(|source| source.curves(self.chart, palette, sources));
        // Where a curve stands now is seen in any case.
        let now = curves().filter_map(|curve| curve.raw.last()).filter(|value| value.is_finite());
        let now = now.fold(0.0, |most: f64, value| most.max(f64::from(value)));
        usual(curves().flat_map(|curve| sampled(curve.raw)).collect()).max(now)
    }

    /// What is drawn and where it stands now; returns whether the scale and the size are to be switched.
    fn heading(&self, ui: &mut Ui, curves: &[Curve]) -> [bool; 2] {
        let chart = self.chart;
        ui.horizontal(|ui| {
            // Room for the switches at the right end.
            let mut room = ui.available_width() - 66.0;
            ui.spacing_mut().button_padding.x = 4.0;
            let gap = ui.spacing().item_spacing.x;
            let mut text = |ui: &mut Ui, text: &str, size: f32, color: Color32| {
                let text = widgets::elided(ui, text, egui::FontId::proportional(size), color, room);
                // What has no room is in the table at the pointer.
                if !text.elided {
                    room -= text.size().x + gap;
                    ui.label(text);
                }
            };
            text(ui, chart.title(), 13.5, ui.visuals().strong_text_color());
            for (words, color) in now(chart, curves) {
                text(ui, &words, 12.0, color);
            }
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                let mut toggle = |on: bool, text: &str, help: &str, name: String| {
                    let response = ui.selectable_label(on, RichText::new(text).size(11.0));
                    response.on_hover_text(help).accessible_name(name).clicked()
                };
                let title = chart.title();
                let large = "This chart alone; so does a double click on it";
                let sign = if self.large { "−" } else { "+" };
                let large = toggle(self.large, sign, large, format!("Enlarge the chart of {title}"));
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
            .y_axis_min_width(LEFT_EDGE)
            .set_margin_fraction(egui::vec2(0.01, 0.06))
            .grid_color(theme::palette(ui).border)
            .grid_fade(0.7)
            .grid_spacing(egui::Rangef::new(axes::CLOSEST as f32, 140.0))
            .x_grid_spacer(axes::x_grid(x))
            .y_grid_spacer(move |input| axes::y_grid(input, logarithmic))
            .custom_x_axes(vec![axes::lower_edge(x, ui.available_width() - LEFT_EDGE)])
            .y_axis_formatter(move |mark, _| axes::y_text(mark.value, logarithmic) + chart.unit());
        if matches!(chart, Chart::Accuracy | Chart::Speed) && !logarithmic {
            plot = plot.include_y(0.0);
        }
        if self.reset { plot.reset() } else { plot }
    }
}

/// Where each curve of a chart stands now, in words of its colour.
fn now(chart: Chart, curves: &[Curve]) -> Vec<(String, Color32)> {
    let words = |curve: &Curve| {
        let last = curve.smooth.unwrap_or(curve.raw).last()?;
        let value = chart.value(f64::from(last) * chart.scale());
        let name = match (curve.name, curves.len()) {
            (_, 1) => "",
            ("training", _) => "train ",
            (TOP5, _) => "top-5 ",
            // Short where a third has to have room.
            (_, 2) => "validation ",
            _ => "val. ",
        };
        Some((name.to_owned() + &value, curve.color))
    };
    curves.iter().filter_map(words).collect()
}

/// Some of the values of a series, as many as are worth to be sorted in a frame.
fn sampled(series: &Series) -> impl Iterator<Item = f32> {
    let apart = series.len().div_ceil(500).max(1);
    series.values().iter().step_by(apart).copied()
}

/// The greatest of values that lies within ten times their middle half above it: what is beyond is a spike that would leave
/// nothing of the rest to see.
fn usual(mut values: Vec<f32>) -> f64 {
    values.retain(|value| value.is_finite());
    values.sort_by(f32::total_cmp);
    let Some(last) = values.last() else { return f64::INFINITY };
    let quarter = |n: usize| f64::from(values[n * (values.len() - 1) / 4]);
    let bound = quarter(3) + 10.0 * (quarter(3) - quarter(1)).max(0.02 * quarter(3).abs());
    match f64::from(*last) > bound {
        true => values.iter().rev().map(|&value| f64::from(value)).find(|value| *value <= bound).unwrap_or(bound),
        false => f64::INFINITY,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_is_out_of_range_and_a_steep_beginning_is_not() {
        let falling: Vec<f32> = (0..400).map(|at| 0.4 + 2.0 * (-(at as f32) / 60.0).exp()).collect();
        assert_eq!(usual(falling.clone()), f64::INFINITY);
        let greatest = f64::from(falling[0]);
        assert_eq!(usual([falling, vec![5e7, 4e3, f32::NAN]].concat()), greatest);
        assert_eq!(usual(Vec::new()), f64::INFINITY);
    }
}
