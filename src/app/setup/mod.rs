//! The column on the left: data, model and recipe, in the order in which they are chosen.

mod blocks;
mod class_counts;
mod data;
mod field;
mod model;
mod recipe;
mod schedule;
mod ways;

use super::state::State;
use crate::app::widgets::theme;
use eframe::egui::{self, CollapsingHeader, RichText, ScrollArea, Ui};

/// Draws the column.
pub(crate) fn ui(ui: &mut Ui, state: &mut State) {
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        // Room for the scroll bar, which floats.
        ui.set_max_width(ui.available_width() - 6.0);
        ui.add_space(2.0);
        section(ui, "Data", true, |ui| data::ui(ui, state));
        section(ui, "Model", true, |ui| model::ui(ui, state));
        section(ui, "Recipe", true, |ui| recipe::ui(ui, state));
        ui.add_space(12.0);
    });
}

/// A folding part of the column.
fn section(ui: &mut Ui, title: &str, open: bool, contents: impl FnOnce(&mut Ui)) {
    let heading = RichText::new(title).strong().size(15.0);
    CollapsingHeader::new(heading).default_open(open).show_unindented(ui, |ui| {
        ui.add_space(2.0);
        contents(ui);
        ui.add_space(8.0);
    });
    let palette = theme::palette(ui);
    let line = ui.available_rect_before_wrap();
    ui.painter().hline(line.x_range(), line.top(), egui::Stroke::new(1.0, palette.border));
    ui.add_space(6.0);
}
