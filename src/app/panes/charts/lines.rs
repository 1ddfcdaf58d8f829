//! One curve on a plot: a line with gaps where there is nothing to show, and crosses where the measurement was no number.

use super::{chart::Chart, curves::Curve};
use crate::app::{
    history::{X, series::Series},
    widgets::theme::Palette,
};
use eframe::egui::Color32;
use egui_plot::{FilledArea, Line, LineStyle, MarkerShape, PlotPoint, PlotUi, Points};

/// What of a plot is in sight, along its lower edge.
pub(super) struct Seen {
    left: f64,
    right: f64,
    /// In points of the screen.
    width: f32,
    /// Values beyond are drawn along the upper edge.
    most: f64,
}

impl Seen {
    pub(super) fn of(plot: &PlotUi, most: f64) -> Self {
        let width = plot.transform().frame().width();
        let bounds = plot.plot_bounds();
        match plot.auto_bounds().x {
            true => Self { left: f64::NEG_INFINITY, right: f64::INFINITY, width, most },
            false => Self { left: bounds.min()[0], right: bounds.max()[0], width, most },
        }
    }

    /// Which of the points at `xs` are in sight, with one more on either side, so that a line runs out of the picture.
    fn part(&self, xs: &[f64]) -> (usize, usize) {
        let from = xs.partition_point(|&x| x < self.left).saturating_sub(1);
        (from, (xs.partition_point(|&x| x <= self.right) + 1).min(xs.len()))
    }
}

/// In which measures the curves of a chart are drawn.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    pub chart: Chart,
    pub x: X,
    pub log: bool,
}

impl Scale {
    /// Where a value stands on the plot; `None` for what a logarithmic scale can't show.
    fn y(&self, value: f32) -> Option<f64> {
        let value = f64::from(value) * self.chart.scale();
        match self.log {
            true => (value > 0.0).then(|| value.log10()),
            false => Some(value),
        }
    }

    /// What was measured, as a faint line; where there is more of it than the chart has room for, as a band from the least
    /// to the greatest.
    pub(super) fn draw_measured<'a>(&self, plot: &mut PlotUi<'a>, curve: &Curve<'a>, seen: &Seen) {
        /// Points of the screen that a place of the band is wide.
        const PLACE: f32 = 4.0;
        let xs = curve.axis.of(self.x);
        let (from, to) = seen.part(xs);
        let (mut places, mut low, mut high) = (Vec::new(), Vec::new(), Vec::new());
        let columns = (seen.width / PLACE).max(10.0) as usize;
        curve.raw.band(from, to, columns, |at, extremes| {
            let [least, greatest] = extremes.map(|value| self.y(value.min(seen.most as f32)));
            // On a logarithmic scale zero is at the lower edge, wherever that is.
            if let (Some(&x), Some(least), Some(greatest)) = (xs.get(at), least.or(greatest), greatest) {
                places.push(x);
                low.push(least);
                high.push(greatest);
            }
        });
        if places.is_empty() {
            return self.draw(plot, curve, curve.raw, curve.color.gamma_multiply(0.3), 1.0, seen);
        }
        let band = FilledArea::new(curve.name, &places, &low, &high).allow_hover(false);
        plot.add(band.fill_color(curve.color.gamma_multiply(0.22)));
    }

    pub(super) fn draw<'a>(
        &self,
        plot: &mut PlotUi<'a>,
        curve: &Curve<'a>,
        series: &Series,
        color: Color32,
        thickness: f32,
        seen: &Seen,
    ) {
        let xs = curve.axis.of(self.x);
        let (from, to) = seen.part(xs);
        let mut pieces: Vec<Vec<PlotPoint>> = vec![Vec::new()];
        series.outline(from, to, (seen.width as usize).max(50), |position| {
            let point = position
                .and_then(|i| Some(PlotPoint::new(*xs.get(i)?, self.y(series.values()[i].min(seen.most as f32))?)));
            match (point, pieces.last_mut()) {
                (Some(point), Some(piece)) => piece.push(point),
                (None, Some(piece)) if !piece.is_empty() => pieces.push(Vec::new()),
                _ => {}
            }
        });
        let style = if curve.dashed { LineStyle::Dashed { length: 6.0 } } else { LineStyle::Solid };
        for points in pieces.into_iter().filter(|points| !points.is_empty()) {
            if curve.dots || points.len() == 1 {
                let dots = Points::new(curve.name, egui_plot::PlotPoints::Owned(points.clone()));
                plot.points(dots.color(color).radius(thickness + 0.5).allow_hover(false));
            }
            let line = Line::new(curve.name, egui_plot::PlotPoints::Owned(points));
            plot.line(line.color(color).width(thickness).style(style).allow_hover(false));
        }
    }

    /// Crosses where the measurement was not a finite number, at the height of the last one that was.
    pub(super) fn draw_broken<'a>(
        &self,
        plot: &mut PlotUi<'a>,
        curve: &Curve<'a>,
        palette: &Palette,
        &Seen { left, right, .. }: &Seen,
    ) {
        /// More crosses than this are a bar anyway.
        const MAX_CROSSES: usize = 500;
        let xs = curve.axis.of(self.x);
        let values = curve.raw.values();
        let crosses: Vec<PlotPoint> = curve
            .raw
            .broken()
            .iter()
            .map(|&i| i as usize)
            .filter(|&i| xs.get(i).is_some_and(|x| (left..=right).contains(x)))
            .take(MAX_CROSSES)
            .map(|i| {
                let before = values[..i].iter().rev().find(|v| v.is_finite()).copied().unwrap_or(0.0);
                PlotPoint::new(xs[i], self.y(before).unwrap_or(0.0))
            })
            .collect();
        if !crosses.is_empty() {
            let points = Points::new("not a finite number", egui_plot::PlotPoints::Owned(crosses));
            plot.points(points.shape(MarkerShape::Cross).color(palette.wrong).radius(5.0).allow_hover(false));
        }
    }
}
