//! How to learn from photographs: three ways, with what each costs here, and the button that begins.

use crate::app::{
    state::{Action, State, ways::Way},
    widgets::{self, theme},
};
use crate::data::Dataset;
use eframe::egui::{
    CornerRadius, FontId, Frame, Margin, RichText, Role, Sense, Stroke, Ui, UiBuilder, WidgetInfo, vec2,
};

/// Draws the choice; only where there are photographs.
pub(super) fn ui(ui: &mut Ui, state: &mut State, dataset: &Dataset) {
    if !dataset.are_photographs() || state.run.is_busy() {
        return;
    }
    state.costs.want(state.devices.choice, &state.wake);
    let palette = theme::palette(ui);
    ui.add_space(6.0);
    ui.label(RichText::new("How to learn from them").strong());
    let chosen = Way::of(&state.recipe, state.start_from.is_some());
    let images = if dataset.has_folds() { dataset.train.len() } else { dataset.train.len() + dataset.validation.len() };
    for way in Way::all() {
        let recipe = if way == chosen { state.recipe.clone() } else { way.recipe() };
        let cost = state.costs.seconds(way, &recipe, images).map_or_else(|| "…".to_owned(), about);
        if card(ui, way, &cost, way == chosen) && way != chosen {
            state.ask(Action::Learn(way));
        }
    }
    ui.add_space(2.0);
    let reason = state.cannot_train();
    let text = if chosen == Way::Head { "▶ Learn" } else { "▶ Train" };
    let size = vec2(ui.available_width(), 30.0);
    let button = ui.add_enabled_ui(reason.is_none(), |ui| widgets::primary_button(ui, text, size)).inner;
    let button = button.accessible_name("Learn from the photographs");
    if button.on_disabled_hover_text(format!("Can't begin: {}", reason.unwrap_or_default())).clicked() {
        state.ask(Action::Train);
    }
    let weak = RichText::new("Times are estimates for this device, made-up images measured.").color(palette.weak);
    ui.label(weak.small());
}

/// A way that can be chosen; whether it was.
fn card(ui: &mut Ui, way: Way, cost: &str, chosen: bool) -> bool {
    let palette = theme::palette(ui);
    let stroke = if chosen { Stroke::new(2.0, palette.accent) } else { Stroke::new(1.0, palette.border) };
    let frame = Frame::new().stroke(stroke).corner_radius(CornerRadius::same(6)).inner_margin(Margin::symmetric(8, 5));
    let inner = ui.scope_builder(UiBuilder::new().id_salt(way.title()).sense(Sense::click()), |ui| {
        frame.show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.spacing_mut().item_spacing.y = 1.0;
            ui.horizontal(|ui| {
                let ink = if chosen { ui.visuals().strong_text_color() } else { palette.text };
                // Beside the time, which has to have room.
                let room = ui.available_width() - 84.0;
                ui.label(widgets::elided(ui, way.title(), FontId::proportional(13.5), ink, room));
                ui.with_layout(eframe::egui::Layout::right_to_left(eframe::egui::Align::Center), |ui| {
                    ui.label(RichText::new(cost).color(palette.weak));
                });
            });
            if chosen {
                ui.label(RichText::new(way.about()).color(palette.weak).small());
            }
        });
    });
    let response = inner.response;
    let said = format!("{}, {cost}", way.title());
    response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, chosen, &said));
    if response.has_focus() || response.hovered() {
        let stroke = Stroke::new(1.5, palette.text);
        ui.painter().rect_stroke(response.rect, CornerRadius::same(6), stroke, eframe::egui::StrokeKind::Outside);
    }
    response.on_hover_text(way.about()).clicked()
}

/// Seconds in words that promise no more than an estimate can.
fn about(seconds: f64) -> String {
    match seconds {
        ..10.0 => format!("about {} s", seconds.ceil()),
        10.0..90.0 => format!("about {} s", (seconds / 10.0).ceil() * 10.0),
        90.0..3600.0 => format!("about {} min", (seconds / 60.0).ceil()),
        _ => format!("about {} h", (seconds / 3600.0).ceil()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_promises_no_more_than_it_knows() {
        for (seconds, text) in [
            (0.4, "about 1 s"),
            (4.2, "about 5 s"),
            (33.0, "about 40 s"),
            (130.0, "about 3 min"),
            (9000.0, "about 3 h"),
        ] {
            assert_eq!(about(seconds), text);
        }
    }
}
