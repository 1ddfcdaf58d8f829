//! A row of the pane, drawn: the image, what the network sees of it, and the likely classes.

use super::rows::{Item, Row};
use crate::{
    app::widgets::{self, theme},
    data::shown_class_name,
    train::metrics::argmax,
};
use eframe::egui::{self, RichText, Sense, Ui, vec2};

/// Side of the two pictures of a row, and the least width of bars beside them, in points.
const SIDE: f32 = 96.0;
const BARS: f32 = 150.0;

impl Row {
    /// Draws the row; returns whether it is to go.
    pub(crate) fn ui(&mut self, ui: &mut Ui, classes: &[String]) -> bool {
        let palette = theme::palette(ui);
        let item = self.content.as_ref().and_then(|content| content.as_ref().ok());
        let mut gone = false;
        ui.horizontal(|ui| {
            // Beside them: a way off the list, and how long it took where there is room for that.
            let wide = ui.available_width() >= 220.0;
            let room = ui.available_width() - if wide { 70.0 } else { 28.0 };
            let font = egui::TextStyle::Body.resolve(ui.style());
            let judged = item.and_then(|item| Some((item.truth?, item.answer.as_ref()?.as_ref().ok()?)));
            let verdict = judged.map(|(truth, answer)| {
                let right = !answer.unknown && argmax(&answer.probabilities) == truth;
                let (sign, color) = widgets::verdict(palette, right);
                let text = format!("{sign} is {}", shown_class_name(classes, truth));
                widgets::elided(ui, &text, font.clone(), color, room * 0.6)
            });
            let taken = verdict.as_ref().map_or(0.0, |verdict| verdict.size().x + ui.spacing().item_spacing.x);
            let name = item.map_or_else(|| self.source.name(), |item| item.name.clone());
            let shown = widgets::elided(ui, &name, font, ui.visuals().strong_text_color(), room - taken);
            ui.label(shown).on_hover_text(name);
            if let Some(verdict) = verdict {
                ui.label(verdict);
            }
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                let close = egui::Button::new("✖").frame(false).small();
                gone = ui.add(close).on_hover_text("Take off this list").accessible_name("Remove image").clicked();
                if let Some(item) = item.filter(|item| wide && item.milliseconds > 0.0) {
                    let text = RichText::new(format!("{:.0} ms", item.milliseconds)).color(palette.weak).small();
                    ui.label(text).on_hover_text("From the question to the answer, for all images asked about at once");
                }
            });
        });
        match &mut self.content {
            Some(Ok(item)) => item.ui(ui, classes),
            Some(Err(reason)) => {
                ui.label(RichText::new(format!("⚠ {reason}")).color(palette.wrong));
            }
            None => {
                // As tall as a row that was read, so that nothing jumps.
                let (place, _) = ui.allocate_exact_size(vec2(SIDE, SIDE), Sense::hover());
                ui.painter().text(
                    place.left_top(),
                    egui::Align2::LEFT_TOP,
                    "Reading",
                    egui::FontId::proportional(12.5),
                    palette.weak,
                );
            }
        }
        gone
    }
}

impl Item {
    /// Draws the pictures and what the network says of them: beside them, or below where the pane is narrow.
    fn ui(&mut self, ui: &mut Ui, classes: &[String]) {
        let palette = theme::palette(ui);
        let beside = ui.available_width() >= 2.0 * SIDE + BARS;
        let side = SIDE.min((ui.available_width() - ui.spacing().item_spacing.x) / 2.0);
        ui.horizontal_top(|ui| {
            for (zoom, caption) in [(&mut self.original, "Original"), (&mut self.input, "Network sees")] {
                ui.vertical(|ui| {
                    ui.set_width(side);
                    zoom.ui(ui, side, caption);
                    ui.label(RichText::new(caption).color(palette.weak).small());
                });
            }
            if beside {
                ui.vertical(|ui| self.answer(ui, classes));
            }
        });
        if !beside {
            self.answer(ui, classes);
        }
        if let Some(note) = &self.note {
            ui.label(RichText::new(format!("⚠ {note}")).color(palette.warning));
        }
    }

    fn answer(&self, ui: &mut Ui, classes: &[String]) {
        let palette = theme::palette(ui);
        match &self.answer {
            Some(Ok(answer)) => {
                if answer.unknown {
                    let text = RichText::new("None of these").strong().color(palette.warning);
                    ui.label(text).on_hover_text(
                        "It is less like the photographs of the classes than nearly all of them are like one another. \
                         Below is what it would be if it had to be one of them.",
                    );
                }
                widgets::probability_bars(ui, classes, &answer.probabilities, self.truth, 5);
            }
            Some(Err(reason)) => {
                ui.label(RichText::new(reason).color(palette.wrong));
            }
            None => {
                ui.label(RichText::new("Waiting for a network").color(palette.weak));
            }
        }
    }
}
