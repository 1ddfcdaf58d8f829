//! A small window with one validation image: large, with its true class and what the network takes it for.

use super::{
    pictures::Picture,
    theme,
    widgets::{self, verdict},
    words::number,
    zoom::Zoom,
};
use crate::{data::Dataset, session::Predictions};
use eframe::egui::{self, RichText, Ui};

/// The image that was clicked.
pub struct CloserLook {
    /// Position in the validation split.
    pub index: u32,
    zoom: Zoom,
}

impl CloserLook {
    /// `None` where the split has no such image.
    pub fn new(dataset: &Dataset, index: u32) -> Option<Self> {
        Picture::of(&dataset.validation, index).map(|picture| Self { index, zoom: Zoom::new(picture) })
    }

    /// Draws the window with `more` below the facts; false when it was closed.
    pub fn ui(
        &mut self,
        ui: &Ui,
        salt: &str,
        dataset: &Dataset,
        predictions: &Predictions,
        more: impl FnOnce(&mut Ui),
    ) -> bool {
        let index = self.index;
        let palette = theme::palette(ui);
        let mut open = true;
        let title = format!("Validation image {}", number(u64::from(index)));
        let window = widgets::detail_window(ui.ctx(), title, salt);
        window.open(&mut open).show(ui.ctx(), |ui| {
            ui.horizontal_top(|ui| {
                self.zoom.ui(ui, 224.0, "Validation image, enlarged");
                ui.vertical(|ui| {
                    ui.set_width(260.0);
                    let truth = dataset.validation.labels.get(index as usize).copied().unwrap_or(0) as usize;
                    let class = |class: usize| dataset.classes.get(class).map_or("?", String::as_str);
                    widgets::fact(ui, "True class", RichText::new(class(truth)).strong());
                    if let Ok(at) = predictions.items.binary_search_by_key(&index, |item| item.index) {
                        let item = &predictions.items[at];
                        let predicted = item.top().0;
                        let (sign, color) = verdict(palette, predicted == truth);
                        let text = RichText::new(format!("{sign} {}", class(predicted))).color(color).strong();
                        widgets::fact(ui, "Network says", text);
                        ui.add_space(4.0);
                        widgets::probability_bars(ui, &dataset.classes, &item.probabilities, Some(truth), 5);
                    }
                    more(ui);
                    if let Some(source) = dataset.validation.sources.as_ref().and_then(|all| all.get(index as usize)) {
                        ui.add_space(4.0);
                        ui.label(RichText::new(source).color(palette.weak).small());
                    }
                });
            });
        });
        open && !ui.input(|input| input.key_pressed(egui::Key::Escape))
    }
}
