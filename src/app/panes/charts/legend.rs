//! Which line belongs to which run, where runs are compared.

use crate::app::{
    panes::runs::differences::swatch,
    runs::name,
    state::{Action, Actions, PaneId, RunAction, State},
    widgets::{self, theme},
};
use crate::text;
use eframe::egui::{self, Ui};
use std::path::PathBuf;

/// Draws names and lines of the runs on the charts, each with a way off them.
pub(crate) fn ui(ui: &mut Ui, state: &State, actions: &mut Actions, shown: Option<&PathBuf>) {
    let palette = theme::palette(ui);
    let mut gone = None;
    widgets::toolbar(ui, |ui| {
        let font = egui::FontId::proportional(12.0);
        if let Some(shown) = shown {
            ui.horizontal(|ui| {
                swatch(ui, (palette.train, false));
                ui.label(widgets::elided(ui, &name(shown), font.clone(), palette.text, 170.0))
                    .on_hover_text("The run at hand: training orange, validation blue");
            });
        }
        for overlay in state.runs.compared.overlays().iter().filter(|overlay| Some(&overlay.path) != shown) {
            ui.horizontal(|ui| {
                swatch(ui, theme::run_line(palette, overlay.slot));
                let color = if overlay.problem.is_some() { palette.wrong } else { palette.text };
                ui.label(widgets::elided(ui, &overlay.name, font.clone(), color, 170.0)).on_hover_text(format!(
                    "{}\nTraining is the thin line, validation the one with dots.",
                    text::path(&overlay.path)
                ));
                let close = ui.small_button("✗").on_hover_text("Takes this run off the charts");
                if close.accessible_name(format!("Take {} off the charts", overlay.name)).clicked() {
                    gone = Some(overlay.path.clone());
                }
            });
        }
        if ui.small_button("What differs").on_hover_text("Their recipes side by side, in Runs").clicked() {
            actions.ask(Action::Show(PaneId::RUNS));
        }
    });
    if let Some(path) = gone {
        actions.ask(Action::Run(RunAction::Compare(path)));
    }
}
