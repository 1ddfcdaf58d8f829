//! The numbers behind the charts at one place: of every curve what was measured at the step nearest to it, and its average.

use super::{
    chart::Chart,
    curves::{Kind, Source, Sources},
};
use crate::app::{
    history::X,
    panes::runs::differences::swatch,
    widgets::{
        self,
        theme::{self, Palette},
    },
};
use crate::format::{duration, number};
use eframe::egui::{Color32, FontId, Grid, RichText, Ui};

/// See the module.
pub(super) struct Readout {
    /// Of the training step nearest to the place.
    step: f64,
    epoch: f64,
    seconds: f64,
    columns: Vec<Column>,
    /// What happened close by, with the step at which it did.
    marks: Vec<String>,
}

/// A branch or a run.
struct Column {
    name: String,
    line: (Color32, bool),
    values: Vec<Value>,
}

/// A point of a curve.
struct Value {
    curve: String,
    chart: Chart,
    color: Color32,
    step: f64,
    measured: f32,
    smoothed: Option<f32>,
}

impl Readout {
    /// What stands at `at` along the lower edge; of what happened, what is no further away than `near`.
    pub(super) fn at(sources: &Sources, x: X, at: f64, near: f64, palette: &Palette) -> Option<Self> {
        let all = sources.all();
        // What goes on comes first, and the place is its: of others only those that come as far.
        let reaches = |source: &&Source| {
            let last = |xs: &[f64]| xs.last().is_some_and(|&last| at <= last + near);
            matches!(source.kind, Kind::Present) || last(source.branch.steps.of(x)) || last(source.branch.epochs.of(x))
        };
        let shown: Vec<&Source> = all.iter().rev().filter(reaches).collect();
        let columns: Vec<Column> = shown.iter().map(|source| column(source, sources, x, at, palette)).collect();
        let axis = shown.iter().map(|source| &source.branch.steps).find(|axis| !axis.step.is_empty())?;
        let place = nearest(axis.of(x), at)?;
        let close = sources.history.marks.iter().filter(|mark| (mark.at(x) - at).abs() <= near);
        let marks = close.map(|mark| format!("step {}: {}", number(mark.step as u64), mark.text)).collect();
        let (step, epoch, seconds) = (axis.step[place], axis.epoch[place], axis.seconds[place]);
        Some(Self { step, epoch, seconds, columns, marks })
    }

    /// `step 1,204 · epoch 3.01 · 2 min 05 s`.
    pub(super) fn place(&self) -> String {
        format!("step {} · epoch {:.2} · {}", number(self.step as u64), self.epoch, duration(self.seconds))
    }

    /// Draws the table.
    pub(super) fn ui(&self, ui: &mut Ui) {
        let palette = theme::palette(ui);
        // As close as the lines of a text.
        ui.spacing_mut().interact_size.y = 0.0;
        let small = |text: &str, color| RichText::new(text).size(12.0).color(color);
        Grid::new("readout").num_columns(1 + 2 * self.columns.len()).spacing([12.0, 2.0]).show(ui, |ui| {
            if self.columns.len() > 1 {
                ui.label("");
                for column in &self.columns {
                    ui.horizontal(|ui| {
                        // As high as the name, of which the row does not know.
                        ui.set_min_height(18.0);
                        ui.spacing_mut().item_spacing.x = 4.0;
                        swatch(ui, column.line);
                        let font = FontId::proportional(12.0);
                        ui.label(widgets::elided(ui, &column.name, font, palette.text, 90.0));
                    });
                    ui.label("");
                }
                ui.end_row();
            }
            ui.label("");
            for _ in &self.columns {
                ui.label(small("measured", palette.weak));
                ui.label(small("smoothed", palette.weak));
            }
            ui.end_row();
            for row in self.curves() {
                let color = if self.columns.len() > 1 { palette.text } else { row.color };
                ui.label(small(&row.curve, color));
                for column in &self.columns {
                    let value = column.values.iter().find(|value| value.curve == row.curve);
                    let text = |value: f32| row.chart.value(f64::from(value) * row.chart.scale());
                    ui.label(small(&value.map_or("–".to_owned(), |value| text(value.measured)), palette.text));
                    let smoothed = value.and_then(|value| value.smoothed);
                    ui.label(small(&smoothed.map_or_else(String::new, text), palette.text));
                }
                ui.end_row();
            }
        });
        if let Some(step) = self.validated() {
            ui.label(small(&format!("validation is of step {}", number(step as u64)), palette.weak));
        }
        for mark in &self.marks {
            ui.label(small(mark, palette.weak));
        }
    }

    /// A value of each curve that any column has, in the order of the charts.
    fn curves(&self) -> impl Iterator<Item = &Value> {
        let longest = self.columns.iter().max_by_key(|column| column.values.len());
        longest.into_iter().flat_map(|column| &column.values)
    }

    /// At which step the first column was validated, where that is another one than the table's.
    fn validated(&self) -> Option<f64> {
        let value =
            self.columns.first()?.values.iter().find(|value| value.smoothed.is_none() && value.is_validation())?;
        (value.step != self.step).then_some(value.step)
    }

    /// The table for a spreadsheet: a line for each curve of each run, with the numbers as they stand in the run's log.
    pub(super) fn tab_separated(&self) -> String {
        let mut text = "run\tcurve\tstep\tmeasured\tsmoothed\n".to_owned();
        for column in &self.columns {
            for Value { curve, step, measured, smoothed, .. } in &column.values {
                let smoothed = smoothed.map(|value| value.to_string()).unwrap_or_default();
                text += &format!("{}\t{curve}\t{step}\t{measured}\t{smoothed}\n", column.name);
            }
        }
        text
    }
}

impl Value {
    fn is_validation(&self) -> bool {
        self.curve.ends_with("validation")
    }
}

fn column(source: &Source, sources: &Sources, x: X, at: f64, palette: &Palette) -> Column {
    let values = Chart::ALL.into_iter().flat_map(|chart| {
        let curves = source.curves(chart, palette, sources);
        let alone = curves.len() == 1;
        curves.into_iter().filter_map(move |curve| {
            let place = nearest(curve.axis.of(x), at)?;
            let name = if alone { chart.title().to_owned() } else { format!("{}, {}", chart.title(), curve.name) };
            Some(Value {
                curve: name,
                chart,
                color: curve.color,
                step: *curve.axis.step.get(place)?,
                measured: *curve.raw.values().get(place)?,
                smoothed: curve.smooth.and_then(|smooth| smooth.values().get(place).copied()),
            })
        })
    });
    Column { name: source.name(), line: source.line(palette, sources), values: values.collect() }
}

/// The position of the value of `xs`, which ascend, that is nearest to `at`.
fn nearest(xs: &[f64], at: f64) -> Option<usize> {
    let after = xs.partition_point(|&x| x < at);
    let before = after.saturating_sub(1);
    let distance = |place: usize| xs.get(place).map_or(f64::INFINITY, |x| (x - at).abs());
    let place = if distance(after) < distance(before) { after } else { before };
    (place < xs.len()).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_value_is_found() {
        let xs = [1.0, 2.0, 4.0];
        let found = [-1.0, 1.4, 1.6, 3.1, 9.0].map(|at| nearest(&xs, at));
        assert_eq!(found, [Some(0), Some(0), Some(1), Some(2), Some(2)]);
        assert_eq!(nearest(&[], 1.0), None);
    }
}
