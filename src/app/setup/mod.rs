//! The column on the left: data, model and recipe, in the order in which they are chosen.

mod blocks;
mod class_counts;
mod data;
mod field;
mod kept;
mod model;
mod model_list;
mod recipe;
mod schedule;
mod ways;
mod words;

use super::state::State;
use crate::app::widgets::{focus, theme};
use eframe::egui::{self, CollapsingHeader, Id, RichText, ScrollArea, Ui};

/// Draws the column.
pub(crate) fn ui(ui: &mut Ui, state: &mut State) {
    // It begins at the top, wherever it was left the day before.
    let begun = Id::unique("setup has been drawn");
    let first = !ui.data_mut(|data| std::mem::replace(data.get_temp_mut_or_default::<bool>(begun), true));
    let mut scroll = ScrollArea::vertical().auto_shrink([false, false]);
    if first {
        scroll = scroll.vertical_scroll_offset(0.0);
    }
    scroll.show(ui, |ui| {
        // Room for the scroll bar, which floats.
        ui.set_max_width(ui.available_width() - 6.0);
        ui.add_space(2.0);
        section(ui, "Data", true, |ui| data::ui(ui, state));
        section(ui, "Model", true, |ui| model::ui(ui, state));
        section(ui, "Recipe", true, |ui| recipe::ui(ui, state));
        ui.add_space(12.0);
        focus::follow(ui);
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
