//! The bar at the bottom: what goes on, in words and as a bar.

use crate::app::{
    state::{Action, State, Status},
    widgets::{self, theme},
};
use crate::format::{bytes, duration, number};
use crate::session::View;
use eframe::egui::{self, Align, CornerRadius, Layout, RichText, Role, Sense, Ui, vec2};

/// Width that the facts to the right need, in points.
const FACTS: f32 = 580.0;

pub(crate) fn ui(ui: &mut Ui, state: &mut State) {
    let palette = theme::palette(ui);
    ui.horizontal_centered(|ui| {
        let view = state.run.view();
        let share = match (view, &state.data.loading) {
            (_, Some(loading)) => loading.progress().0,
            (Some(view), None) if view.total_steps > 0 => Some(view.step as f32 / view.total_steps as f32),
            _ => None,
        };
        progress(ui, share);
        let words = words(state);
        // A failure takes a sentence; the facts behind it keep their place.
        let room = (ui.available_width() - if view.is_some() { FACTS } else { 0.0 }).max(120.0);
        let color = ui.visuals().strong_text_color();
        let galley = widgets::elided(ui, &words, egui::TextStyle::Body.resolve(ui.style()), color, room);
        let help = if galley.elided { words.as_str() } else { "What goes on at the moment" };
        ui.label(galley).on_hover_text(help);
        if state.run.evaluation().is_some() {
            let cancel = ui.small_button("Cancel").on_hover_text("Leaves the run without predictions");
            if cancel.accessible_name("Cancel the evaluation").clicked() {
                state.ask(Action::CancelEvaluation);
            }
        }
        if let Some(view) = state.run.view() {
            let facts = facts(view);
            ui.label(RichText::new(facts).color(palette.weak));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.label(RichText::new(&view.device).color(palette.weak)).on_hover_text("The device that trains");
                if let Some(used) = view.device_bytes.filter(|_| state.run.is_live()) {
                    ui.label(RichText::new(bytes(used)).color(palette.weak)).on_hover_text(
                        "Memory: what training has reserved on a GPU; on the CPU, all of this program's",
                    );
                }
                if view.images_per_s > 0.0 {
                    ui.label(format!("{} images/s", number(view.images_per_s.round() as u64)));
                }
                if let Some(eta) = view.eta_s.filter(|_| state.run.is_live()) {
                    ui.label(format!("{} left", duration(eta)))
                        .on_hover_text("At the present pace; the first step does not count");
                }
            });
        }
    });
}

fn words(state: &State) -> String {
    if let Some(loading) = &state.data.loading {
        return loading.progress().1;
    }
    if let Some(evaluation) = state.run.evaluation() {
        return evaluation.progress().1;
    }
    match (state.run.status(), state.run.view()) {
        (Status::Stopping, _) => "Saving the run".to_owned(),
        (Status::Paused, _) => "Paused".to_owned(),
        (Status::Running, Some(view)) => view.status.clone(),
        (Status::Idle, Some(view)) => view.status.clone(),
        _ => match &state.data.dataset {
            Some(dataset) => format!("Ready: {} training images", number(dataset.train.len() as u64)),
            None => "No data yet".to_owned(),
        },
    }
}

fn facts(view: &View) -> String {
    let epoch = (view.epoch + 1).min(view.epochs.max(1));
    format!(
        "epoch {} / {}   step {} / {}",
        number(epoch),
        number(view.epochs),
        number(view.step),
        number(view.total_steps)
    )
}

/// A thin bar without a text of its own.
fn progress(ui: &mut Ui, share: Option<f32>) {
    let palette = theme::palette(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(150.0, 8.0), Sense::hover());
    let corner = CornerRadius::same(4);
    ui.painter().rect_filled(rect, corner, palette.raised);
    if let Some(share) = share {
        let mut filled = rect;
        filled.set_width(rect.width() * share.clamp(0.0, 1.0));
        ui.painter().rect_filled(filled, corner, palette.accent);
    }
    let percent = share.map_or_else(|| "no progress yet".to_owned(), |share| format!("{:.0} %", share * 100.0));
    let name = format!("Progress {percent}");
    response.widget_info(|| egui::WidgetInfo::labeled(Role::ProgressIndicator, true, &name));
    response.on_hover_text(percent);
}
