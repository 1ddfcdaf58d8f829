//! Which classes are taken for which: the confusion matrix of the last validation, the images behind each of its cells,
//! and the figures of each class.

mod matrix;
mod scores;

use crate::app::{
    background::Wake,
    panes::pane::Pane,
    state::{Actions, State},
    widgets::{
        self,
        grid::{self, Cell},
        image_inspector::ImageInspector,
        table::{self, Column, Sorting},
        theme,
        thumbnails::Thumbnails,
        verdict,
    },
};
use crate::{
    data::{Dataset, class_name, shown_class_name},
    format::number,
    session::Predictions,
    text,
    train::metrics::{ClassScore, Confusion},
};
use eframe::egui::{self, CornerRadius, Rect, RichText, Sense, Stroke, Ui, vec2};
use matrix::{Matrix, TITLE};
use scores::{F1, sorted};
use std::sync::Arc;

/// With more classes than this a cell has no room for a number, nor a row for a name.
const NAMED: usize = 20;
/// Room for the names beside the rows, in points.
const NAMES: f32 = 92.0;
/// With more classes than this a cell is smaller than a pixel; the most frequent mistakes are listed instead.
const DRAWN: usize = 200;
/// Images of a cell that are shown.
const MAX_CELL_IMAGES: usize = 200;
/// Height of a row that has room for a name, and of names over the columns that are turned, in points.
const ROW: f32 = 11.0;
const HEADINGS: f32 = 68.0;

/// A true and a predicted class.
type Pair = (usize, usize);

pub(crate) struct ConfusionPane {
    normalised: bool,
    sorting: Sorting,
    /// Which cell was clicked.
    cell: Option<Pair>,
    /// The latest predictions of all images.
    whole: Option<Arc<Predictions>>,
    /// What `scores` and `order` were worked out from.
    source: Option<Arc<Confusion>>,
    scores: Vec<ClassScore>,
    order: Vec<usize>,
    thumbnails: Thumbnails,
    look: Option<ImageInspector>,
}

impl ConfusionPane {
    pub(crate) fn new(wake: Wake) -> Self {
        Self {
            normalised: false,
            // The worst first.
            sorting: Sorting { by: F1, descending: false },
            cell: None,
            whole: None,
            source: None,
            scores: Vec::new(),
            order: Vec::new(),
            thumbnails: Thumbnails::new(wake, |dataset| &dataset.validation),
            look: None,
        }
    }

    /// Draws the matrix of one validation.
    pub(crate) fn show(&mut self, ui: &mut Ui, dataset: &Arc<Dataset>, confusion: &Arc<Confusion>) {
        if self.source.as_ref().is_none_or(|source| !Arc::ptr_eq(source, confusion)) {
            self.scores = confusion.per_class();
            self.order = sorted(&self.scores, self.sorting);
            self.source = Some(confusion.clone());
        }
        self.controls(ui, confusion);
        if confusion.classes <= DRAWN {
            // Names have room in their rows, and something of the table below is seen.
            let (height, wanted) = (ui.available_height(), ROW * confusion.classes.min(NAMED) as f32 + HEADINGS);
            let side = (height * 0.56).max(140.0).max(wanted.min(height - 70.0));
            self.matrix(ui, confusion, &dataset.classes, side);
        } else {
            self.worst(ui, confusion, &dataset.classes);
        }
        ui.add_space(6.0);
        match self.cell {
            Some(cell) => self.images(ui, dataset, confusion, cell),
            None => self.table(ui, &dataset.classes),
        }
        let nothing = Arc::default();
        let predictions = self.whole.as_ref().unwrap_or(&nothing).clone();
        if let Some(look) = &mut self.look
            && !look.ui(ui, "confusion", dataset, &predictions, |_| ())
        {
            self.look = None;
        }
    }

    fn controls(&mut self, ui: &mut Ui, confusion: &Confusion) {
        widgets::toolbar(ui, |ui| {
            let choices = [
                (false, "Counts", "How many images"),
                (true, "Shares", "How much of the true class: a row adds up to 100 %"),
            ];
            widgets::chips(ui, &mut self.normalised, &choices);
            widgets::whole(ui, format!("Accuracy {:.1} %", confusion.accuracy() * 100.0));
            widgets::whole(ui, format!("Mean F1 {:.3}", confusion.macro_f1()))
                .on_hover_text("Mean F1 of the classes that have images, each with the same weight");
            let text = RichText::new(format!("{} images", number(confusion.total()))).color(theme::palette(ui).weak);
            widgets::whole(ui, text);
        });
    }

    /// True classes from top to bottom, predicted ones from left to right.
    fn matrix(&mut self, ui: &mut Ui, confusion: &Confusion, classes: &[String], height: f32) {
        let palette = theme::palette(ui);
        let n = confusion.classes.max(1);
        let names = NAMES.min(ui.available_width() * 0.35);
        let turned = n <= NAMED && Matrix::must_turn(ui, classes, (ui.available_width() - names) / n as f32);
        let margin = match (n <= NAMED, turned) {
            (false, _) => vec2(18.0, 18.0),
            (true, false) => vec2(names, TITLE + 18.0),
            (true, true) => vec2(names, (TITLE + HEADINGS).min(height * 0.4)),
        };
        let room = vec2(ui.available_width(), height) - margin;
        // Cells may be wider than high, so that a number has room.
        let size = vec2((room.x / n as f32).min(room.y / n as f32 * 2.2), room.y / n as f32).max(vec2(1.0, 1.0));
        let (whole, all) = ui.allocate_exact_size(margin + size * n as f32, Sense::click());
        let body = Rect::from_min_max(whole.min + margin, whole.max);
        let matrix = Matrix { n, body, size, confusion, support: confusion.support(), classes, turned };
        ui.painter().rect_filled(matrix.body, CornerRadius::ZERO, palette.raised.gamma_multiply(0.6));
        matrix.headings(ui, whole);
        let (hovered, clicked) = matrix.cells(ui, &all, self.normalised);
        if let Some(clicked) = clicked {
            self.cell = clicked.filter(|cell| !matrix.is_named() || self.cell != Some(*cell));
        }
        for (cell, color) in [(self.cell, palette.text), (hovered, palette.weak)] {
            if let Some(cell) = cell {
                let stroke = Stroke::new(1.5, color);
                ui.painter().rect_stroke(matrix.place(cell), CornerRadius::ZERO, stroke, egui::StrokeKind::Inside);
            }
        }
        if let Some((truth, predicted)) = hovered {
            let share = matrix.share(truth, predicted) * 100.0;
            let text = matrix.describe(truth, predicted);
            let text = format!("{text}\n{share:.1} % of {}", shown_class_name(classes, truth));
            // The cells lie over the matrix, so that it is never hovered itself.
            let tip = egui::Tooltip::always_open(ui.ctx().clone(), ui.layer_id(), all.id, egui::PopupAnchor::Pointer);
            tip.show(|ui| ui.label(text));
        }
    }

    /// The most frequent mistakes, where there are too many classes for a matrix.
    fn worst(&mut self, ui: &mut Ui, confusion: &Confusion, classes: &[String]) {
        let palette = theme::palette(ui);
        let name = |class: usize| class_name(classes, class);
        ui.label(RichText::new("The most frequent mistakes").strong());
        ui.scope(|ui| {
            ui.set_max_height((ui.available_height() * 0.45).max(120.0));
            let pairs = confusion.worst_pairs(MAX_CELL_IMAGES);
            let columns = [Column { name: "", help: "", share: 1.0, greatest_first: false }];
            let text = |row: usize| describe(name(pairs[row].0), name(pairs[row].1), false, pairs[row].2);
            let clicked =
                table::rows(ui, "worst pairs", &columns, pairs.len(), None, |row, _| (text(row), palette.text), text);
            if let Some(row) = clicked {
                self.cell = Some((pairs[row].0, pairs[row].1));
            }
        });
    }

    /// The images of one cell.
    fn images(&mut self, ui: &mut Ui, dataset: &Arc<Dataset>, confusion: &Confusion, cell: (usize, usize)) {
        let palette = theme::palette(ui);
        let (truth, predicted) = cell;
        let name = |class: usize| dataset.class(class);
        let predictions = self.whole.clone().unwrap_or_default();
        let found: Vec<(u32, f32)> = of_cell(&predictions, &dataset.validation.labels, cell);
        widgets::toolbar(ui, |ui| {
            if ui.button("◀ Classes").on_hover_text("Back to the figures of each class").clicked() {
                self.cell = None;
            }
            let count = confusion.get(truth, predicted);
            let text = describe(name(truth), name(predicted), truth == predicted, count);
            widgets::whole(ui, RichText::new(text).strong());
            if found.len() > MAX_CELL_IMAGES {
                widgets::whole(ui, RichText::new(format!("the first {MAX_CELL_IMAGES}")).color(palette.weak));
            }
        });
        if found.is_empty() {
            let body = if confusion.get(truth, predicted) == 0 {
                "No image of the validation split is in this cell."
            } else {
                "The images come with the next validation."
            };
            widgets::empty_state(ui, "Nothing to show", body, None);
            return;
        }
        let shown = &found[..found.len().min(MAX_CELL_IMAGES)];
        self.thumbnails.want(ui.ctx(), dataset, shown.iter().map(|(index, _)| *index).collect());
        let (sign, color) = verdict(palette, truth == predicted);
        let clicked = grid::show(ui, "confusion images", &self.thumbnails.sheet, shown.len(), theme::THUMBNAIL, |at| {
            let (index, confidence) = shown[at];
            Cell {
                id: index,
                caption: format!("{sign} {}", name(predicted)),
                color,
                detail: format!("{:.0} %", confidence * 100.0),
                name: format!("Image {index}: {sign} {}, {:.0} % sure", name(predicted), confidence * 100.0),
                border: Some(color),
            }
        });
        if let Some(at) = clicked {
            self.look = ImageInspector::new(dataset, shown[at].0);
        }
    }
}

impl Pane for ConfusionPane {
    fn title(&self, _: &State) -> String {
        "Confusion".to_owned()
    }

    fn on_data(&mut self) {
        self.cell = None;
        self.whole = None;
        self.look = None;
        self.thumbnails.clear();
    }

    fn tick(&mut self, _: &egui::Context, state: &State, _: &mut Actions) {
        let (Some(dataset), Some(view)) = (&state.data.dataset, state.run.view()) else { return };
        if view.validated.items.len() == dataset.validation.len() {
            self.whole = Some(view.validated.clone());
        }
    }

    fn ui(&mut self, ui: &mut Ui, state: &State, _: &mut Actions) {
        let confusion = state.run.view().and_then(|view| view.confusion.clone());
        match (state.data.dataset.clone(), confusion) {
            // A run on other data may be the last that was seen.
            (Some(dataset), Some(confusion)) if confusion.classes == dataset.classes.len() => {
                self.show(ui, &dataset, &confusion);
            }
            _ => {
                let body = "After each epoch this shows which classes are taken for which: the true class on the left, \
                            the network's answer on top. A click on a cell shows its images.";
                widgets::empty_state(ui, "No validation yet", body, None);
            }
        }
    }
}

/// `shirt taken for coat: 3 images`.
fn describe(truth: &str, predicted: &str, right: bool, count: u32) -> String {
    let images = if count == 1 { "image" } else { "images" };
    let [truth, predicted] = [truth, predicted].map(text::foreign);
    match right {
        true => format!("{truth} found: {count} {images}"),
        false => format!("{truth} taken for {predicted}: {count} {images}"),
    }
}

/// Index and confidence of the images of one cell.
fn of_cell(predictions: &Predictions, labels: &[u32], (truth, predicted): (usize, usize)) -> Vec<(u32, f32)> {
    let own = predictions.items.iter().filter(|item| labels.get(item.index as usize) == Some(&(truth as u32)));
    own.map(|item| (item.index, item.top())).filter(|(_, top)| top.0 == predicted).map(|(i, top)| (i, top.1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support::{dataset, harness, predictions};
    use egui_kittest::kittest::Queryable;

    /// Three images of each of three classes; the last image of class 1 is taken for class 2.
    fn fixed() -> (Arc<Dataset>, Arc<Confusion>, Arc<Predictions>) {
        let dataset = dataset(3, 3);
        let predicted = [0, 0, 0, 1, 1, 2, 2, 2, 2];
        let mut confusion = Confusion::new(3);
        predicted.iter().enumerate().for_each(|(i, &p)| confusion.add(i / 3, p));
        (dataset, Arc::new(confusion), Arc::new(predictions(9, 3, &predicted)))
    }

    #[test]
    fn a_click_on_a_cell_shows_its_images_and_back() {
        let (dataset, confusion, whole) = fixed();
        let mut pane = ConfusionPane::new(Arc::new(|| ()));
        pane.whole = Some(whole);
        let mut harness = harness(move |ui| pane.show(ui, &dataset, &confusion));
        harness.get_by_label("Accuracy 88.9 %");
        assert!(harness.query_by_label_contains("Image 5").is_none());
        harness.get_by_label("class 1 taken for class 2: 1 image").click();
        harness.run();
        harness.get_by_label("Image 5: ✗ class 2, 80 % sure").click();
        harness.run();
        harness.get_by_label("Validation image, enlarged");
        harness.get_by_label("◀ Classes").click();
        harness.run();
        assert!(harness.query_by_label_contains("Image 5").is_none());
    }

    #[test]
    fn a_cell_says_at_the_pointer_what_it_is_and_the_sides_which_one_is_true() {
        let (dataset, confusion, _) = fixed();
        let mut pane = ConfusionPane::new(Arc::new(|| ()));
        let mut harness = harness(move |ui| pane.show(ui, &dataset, &confusion));
        let drawn = |harness: &egui_kittest::Harness<'_>, text: &str| {
            let shapes = &harness.output().shapes;
            shapes.iter().any(|shape| matches!(&shape.shape, egui::Shape::Text(drawn) if drawn.galley.text() == text))
        };
        assert!(drawn(&harness, "is") && drawn(&harness, "taken for"));
        harness.get_by_label("class 1 taken for class 2: 1 image").hover();
        harness.run();
        harness.get_by_label("class 1 taken for class 2: 1 image\n33.3 % of class 1");
    }

    #[test]
    fn the_worst_class_comes_first_until_another_order_is_asked_for() {
        let (dataset, confusion, _) = fixed();
        let mut pane = ConfusionPane::new(Arc::new(|| ()));
        pane.show_order_for_test(&dataset, &confusion);
        // F1: class 0 has 1, class 1 has 0.8 and class 2 has 6/7.
        assert_eq!(pane.order, [1, 2, 0]);
        let mut harness = harness(move |ui| pane.show(ui, &dataset, &confusion));
        let top = |harness: &egui_kittest::Harness<'_>, text: &str| harness.get_by_label(text).rect().top();
        assert!(top(&harness, "class 1: F1 0.800") < top(&harness, "class 0: F1 1.000"));
        harness.get_by_label("Sort by class").click();
        harness.run();
        assert!(top(&harness, "class 1: F1 0.800") > top(&harness, "class 0: F1 1.000"));
    }

    impl ConfusionPane {
        fn show_order_for_test(&mut self, dataset: &Arc<Dataset>, confusion: &Arc<Confusion>) {
            assert_eq!(dataset.classes.len(), confusion.classes);
            self.scores = confusion.per_class();
            self.order = sorted(&self.scores, self.sorting);
        }
    }
}
