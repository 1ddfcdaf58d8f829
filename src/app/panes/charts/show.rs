//! The menu of what stands on the charts beside the curves.

use super::chart::Chart;
use crate::app::state::{Action, Actions, ChartChange, settings::Settings};
use eframe::egui::{DragValue, Ui};

/// A validation accuracy that many want.
const TARGET: f64 = 90.0;

/// Draws the choices.
pub(super) fn ui(ui: &mut Ui, settings: &Settings, actions: &mut Actions) {
    ui.set_min_width(230.0);
    let mut choice = |on: bool, text: &str, help: &str, change: fn(bool) -> ChartChange| {
        let mut on = on;
        if ui.checkbox(&mut on, text).on_hover_text(help).changed() {
            actions.ask(Action::Charts(change(on)));
        }
    };
    let help = "Changes of hyperparameters, the best epoch, and where the run went back, as lines";
    choice(settings.marks, "Changes and the best epoch", help, ChartChange::Marks);
    choice(settings.snapshot_marks, "Snapshots", "A line for each state that is kept", ChartChange::SnapshotMarks);
    let help = "The run that was trained before stands in gray behind a new one";
    choice(settings.ghost, "The run before", help, ChartChange::Ghost);
    let help = "The range of the loss follows every value, also spikes far beyond the others";
    choice(settings.outliers, "Outliers in the range", help, ChartChange::Outliers);
    for (chart, usual) in [(Chart::Loss, [0.0, 2.0]), (Chart::Accuracy, [50.0, 100.0])] {
        limits(ui, chart, usual, settings, actions);
    }
    ui.horizontal(|ui| {
        let mut on = settings.target.is_some();
        let help = "A line at a validation accuracy; its heading says when it was reached";
        let mut changed = ui.checkbox(&mut on, "Target accuracy").on_hover_text(help).changed();
        let mut percent = settings.target.unwrap_or(TARGET);
        let drag = DragValue::new(&mut percent).range(1.0..=100.0).speed(0.2).max_decimals(1).suffix(" %");
        changed |= ui.add_enabled(on, drag).accessible_name("Target accuracy in percent").changed();
        if changed {
            actions.ask(Action::Charts(ChartChange::Target(on.then_some(percent))));
        }
    });
}

/// Between which values a chart is shown; `usual` at first.
fn limits(ui: &mut Ui, chart: Chart, usual: [f64; 2], settings: &Settings, actions: &mut Actions) {
    let known = settings.limits_of(chart.key());
    let [mut low, mut high] = known.unwrap_or(usual);
    let mut on = known.is_some();
    let title = chart.title().to_lowercase();
    ui.horizontal(|ui| {
        let help = "Shows only what is between these values; without, all that there is";
        let mut changed = ui.checkbox(&mut on, format!("Limits of {title}")).on_hover_text(help).changed();
        for (value, name) in [(&mut low, "Least"), (&mut high, "Greatest")] {
            let speed = (usual[1] - usual[0]) / 200.0;
            let drag = DragValue::new(value).range(0.0..=1e6).speed(speed).max_decimals(3).suffix(chart.unit());
            changed |= ui.add_enabled(on, drag).accessible_name(format!("{name} {title}")).changed();
        }
        if changed && low < high {
            actions.ask(Action::Charts(ChartChange::Limits(chart.key(), on.then_some([low, high]))));
        }
    });
}
