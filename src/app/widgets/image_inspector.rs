//! A small window with one image of the data set: large, with its class and what the network takes it for.

use crate::app::widgets::{self, pictures::Picture, theme, verdict, zoom::Zoom};
use crate::{
    data::{Dataset, Split, shown_class_name},
    format::number,
    session::Predictions,
    text,
};
use eframe::egui::{self, Align2, RichText, Ui, pos2};

/// About as wide as the window is, in points.
const WIDTH: f32 = 530.0;

/// Where an image stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Training,
    Validation,
}

impl Part {
    pub(crate) fn of(self, dataset: &Dataset) -> &Split {
        match self {
            Part::Training => &dataset.train,
            Part::Validation => &dataset.validation,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Part::Training => "Training image",
            Part::Validation => "Validation image",
        }
    }
}

/// The image that was clicked.
pub(crate) struct ImageInspector {
    part: Part,
    /// Position in its split.
    pub index: u32,
    zoom: Zoom,
}

impl ImageInspector {
    /// A validation image; `None` where there is no such image.
    pub(crate) fn new(dataset: &Dataset, index: u32) -> Option<Self> {
        Self::at(dataset, Part::Validation, index)
    }

    /// Any image; `None` where there is no such image.
    pub(crate) fn at(dataset: &Dataset, part: Part, index: u32) -> Option<Self> {
        Picture::in_proportion(part.of(dataset), index).map(|picture| Self { part, index, zoom: Zoom::new(picture) })
    }

    /// Draws the window with `more` below the facts; false when it was closed. `predictions` are of validation images.
    pub(crate) fn ui(
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
        let split = self.part.of(dataset);
        let title = format!("{} {}", self.part.name(), number(u64::from(index)));
        // Beside the pane, so that its images can still be clicked; within it where there is no room.
        let pane = ui.max_rect();
        let left = if pane.left() > WIDTH { pane.left() - WIDTH } else { pane.left() + 20.0 };
        let window = widgets::detail_window(ui.ctx(), title, salt).pivot(Align2::LEFT_TOP);
        let window = window.default_pos(pos2(left, pane.top() + 40.0));
        window.open(&mut open).show(ui.ctx(), |ui| {
            ui.horizontal_top(|ui| {
                self.zoom.ui(ui, 224.0, &format!("{}, enlarged", self.part.name()));
                ui.vertical(|ui| {
                    ui.set_width(260.0);
                    let truth = split.labels.get(index as usize).copied().unwrap_or(0) as usize;
                    let class = |class: usize| shown_class_name(&dataset.classes, class);
                    let given = if self.part == Part::Training { "Label" } else { "True class" };
                    widgets::fact(ui, given, RichText::new(class(truth)).strong());
                    let at = predictions.items.binary_search_by_key(&index, |item| item.index);
                    if let (Part::Validation, Ok(at)) = (self.part, at) {
                        let item = &predictions.items[at];
                        let predicted = item.top().0;
                        let (sign, color) = verdict(palette, predicted == truth);
                        let text = RichText::new(format!("{sign} {}", class(predicted))).color(color).strong();
                        widgets::fact(ui, "Network says", text);
                        ui.add_space(4.0);
                        widgets::probability_bars(ui, &dataset.classes, &item.probabilities, Some(truth), 5);
                    }
                    more(ui);
                    if let Some(source) = split.sources.as_ref().and_then(|all| all.get(index as usize)) {
                        ui.add_space(4.0);
                        ui.label(RichText::new(text::foreign(source)).color(palette.weak).small());
                    }
                });
            });
        });
        open && !ui.input(|input| input.key_pressed(egui::Key::Escape))
    }
}
