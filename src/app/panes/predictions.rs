//! What the network thinks of validation images, while it learns.
//!
//! The predicted label is blue with ✓ where it is right and red with ✗ where it is wrong. The verdict is worked out
//! from the engine's own probabilities and the labels of the data set, nowhere else.

use super::{held::in_order_of, samples::class_filter};
use crate::app::{
    background::{Wake, latest::Latest},
    panes::pane::Pane,
    state::{Actions, State},
    widgets::{
        self,
        grid::{self, Cell},
        pictures::{Picture, Sheet, SheetTexture},
        theme, verdict,
        zoom::Zoom,
    },
};
use crate::{
    data::{Dataset, shown_class_name},
    format::number,
    session::{Prediction, Predictions},
    text,
};
use eframe::egui::{self, RichText, Ui};
use std::sync::Arc;

/// Which images are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Filter {
    #[default]
    All,
    Wrong,
    /// All, the least confident first.
    LeastSure,
}

/// Images on a page.
const PAGE: usize = 200;

/// One image with its verdict.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    /// Position in the predictions.
    pub at: usize,
    /// Position in the validation split.
    pub index: u32,
    pub truth: u32,
    pub predicted: u32,
    pub confidence: f32,
}

impl Row {
    pub(crate) fn right(&self) -> bool {
        self.truth == self.predicted
    }
}

/// The rows that `filter` and `class` let through, in the order in which they are shown.
pub(crate) fn rows(items: &[Prediction], labels: &[u32], filter: Filter, class: Option<u32>) -> Vec<Row> {
    let row = |(at, item): (usize, &Prediction)| {
        let (predicted, confidence) = item.top();
        let truth = *labels.get(item.index as usize)?;
        Some(Row { at, index: item.index, truth, predicted: predicted as u32, confidence })
    };
    let mut rows: Vec<Row> = items.iter().enumerate().filter_map(row).collect();
    rows.retain(|row| class.is_none_or(|class| row.truth == class) && (filter != Filter::Wrong || !row.right()));
    if filter == Filter::LeastSure {
        rows.sort_by(|a, b| a.confidence.total_cmp(&b.confidence).then(a.index.cmp(&b.index)));
    }
    rows
}

pub(crate) struct PredictionsPane {
    worker: Latest<(Arc<Dataset>, Vec<u32>), Sheet>,
    sheet: SheetTexture,
    asked: Vec<u32>,
    /// What `rows` was worked out from.
    source: Option<(Arc<Predictions>, Filter, Option<u32>)>,
    rows: Vec<Row>,
    /// They keep their order, because the pointer is over them.
    held: bool,
    /// Right and wrong ones of the class, whatever the filter leaves of them.
    counts: [usize; 2],
    filter: Filter,
    class: Option<u32>,
    page: usize,
    /// Validation image that was clicked, with its picture.
    detail: Option<(u32, Zoom)>,
}

impl PredictionsPane {
    pub(crate) fn new(wake: Wake) -> Self {
        let worker = Latest::new("thumbnails", wake, |(dataset, indices): (Arc<Dataset>, Vec<u32>)| {
            let picture = |&index: &u32| Some((index, Picture::small(&dataset.validation, index)?));
            Sheet::new(indices.iter().filter_map(picture))
        });
        Self {
            worker,
            sheet: SheetTexture::default(),
            asked: Vec::new(),
            source: None,
            rows: Vec::new(),
            held: false,
            counts: [0; 2],
            filter: Filter::All,
            class: None,
            page: 0,
            detail: None,
        }
    }
}

impl Pane for PredictionsPane {
    fn title(&self, _: &State) -> String {
        "Predictions".to_owned()
    }

    #[cfg(test)]
    fn is_busy(&self) -> bool {
        self.worker.is_busy()
    }

    fn on_data(&mut self) {
        self.sheet.clear();
        self.asked.clear();
        self.source = None;
        self.rows.clear();
        self.class = None;
        self.page = 0;
        self.detail = None;
    }

    fn ui(&mut self, ui: &mut Ui, state: &State, _: &mut Actions) {
        let predictions = state.run.view().map(|view| view.predictions.clone());
        let predictions = predictions.filter(|predictions| !predictions.items.is_empty());
        let (Some(dataset), Some(predictions)) = (state.data.dataset.clone(), predictions) else {
            let body = if state.run.is_live() {
                "The first predictions come within seconds of the first steps."
            } else {
                "While a run goes on, validation images stand here with what the network takes them for: blue and ✓ \
                 where it is right, red and ✗ where it is wrong."
            };
            widgets::empty_state(ui, "No predictions yet", body, None);
            return;
        };
        // What is under the pointer stays there, whatever the network comes to think of it.
        let held = ui.rect_contains_pointer(ui.max_rect());
        self.refresh(&predictions, &dataset, held);
        self.controls(ui, &predictions, &dataset);
        if let Some(sheet) = self.worker.take() {
            self.sheet.set(ui.ctx(), sheet);
        }
        let pages = self.rows.len().div_ceil(PAGE).max(1);
        self.page = self.page.min(pages - 1);
        let first = self.page * PAGE;
        let page = &self.rows[first..(first + PAGE).min(self.rows.len())];
        let wanted: Vec<u32> = page.iter().map(|row| row.index).collect();
        if wanted != self.asked {
            self.worker.request((dataset.clone(), wanted.clone()));
            self.asked = wanted;
        }
        if page.is_empty() {
            widgets::empty_state(ui, "None here", "No validation image matches the filter.", None);
            return;
        }
        let palette = theme::palette(ui);
        let clicked = grid::show(ui, "predictions", &self.sheet, page.len(), theme::THUMBNAIL, |at| {
            let row = &page[at];
            let (sign, color) = verdict(palette, row.right());
            let detail = match row.right() {
                true => format!("{:.0} %", row.confidence * 100.0),
                false => format!("{:.0} % · is {}", row.confidence * 100.0, dataset.class(row.truth)),
            };
            let name = match row.right() {
                true => format!("{sign} {}, right, {:.0} % sure", dataset.class(row.predicted), row.confidence * 100.0),
                false => format!(
                    "{sign} {}, wrong, is {}, {:.0} % sure",
                    dataset.class(row.predicted),
                    dataset.class(row.truth),
                    row.confidence * 100.0
                ),
            };
            Cell {
                id: row.index,
                caption: format!("{sign} {}", dataset.class(row.predicted)),
                color,
                detail,
                name,
                border: Some(color),
            }
        });
        if let Some(at) = clicked {
            let index = page[at].index;
            self.detail = Picture::of(&dataset.validation, index).map(|picture| (index, Zoom::new(picture)));
        }
        self.detail_window(ui, &predictions, &dataset);
    }
}

impl PredictionsPane {
    fn refresh(&mut self, predictions: &Arc<Predictions>, dataset: &Dataset, held: bool) {
        let known = self.source.as_ref();
        let as_before = known.is_some_and(|(_, filter, class)| (*filter, *class) == (self.filter, self.class));
        let same = as_before && known.is_some_and(|(source, ..)| Arc::ptr_eq(source, predictions));
        if same && (held || !self.held) {
            return;
        }
        let (items, labels) = (&predictions.items, &dataset.validation.labels);
        let all = rows(items, labels, Filter::All, self.class);
        let right = all.iter().filter(|row| row.right()).count();
        self.counts = [right, all.len() - right];
        self.held = held && as_before && !self.rows.is_empty();
        self.rows = match self.held {
            true => in_order_of(&self.rows, all, |row| row.index),
            false => rows(items, labels, self.filter, self.class),
        };
        self.source = Some((predictions.clone(), self.filter, self.class));
    }

    fn controls(&mut self, ui: &mut Ui, predictions: &Predictions, dataset: &Dataset) {
        let palette = theme::palette(ui);
        let pages = self.rows.len().div_ceil(PAGE).max(1);
        let [right, wrong] = self.counts;
        widgets::toolbar(ui, |ui| {
            let choices = [
                (Filter::All, "All", "Every validation image, in the order of the data set"),
                (Filter::Wrong, "Wrong", "Only what the network gets wrong"),
                (Filter::LeastSure, "Least sure", "The least confident first"),
            ];
            if widgets::chips(ui, &mut self.filter, &choices) {
                self.page = 0;
            }
            class_filter(ui, "predictions", &mut self.class, &dataset.classes);
            if pages > 1 {
                widgets::pager(ui, &mut self.page, pages);
            }
            let count = |right: bool, count: usize| {
                let (sign, color) = verdict(palette, right);
                RichText::new(format!("{sign} {}", number(count as u64))).color(color)
            };
            // Both on one line.
            widgets::keep_together(ui, 110.0, |ui| {
                ui.label(count(true, right));
                ui.label(count(false, wrong));
            });
            let text = format!("after step {}", number(predictions.step));
            widgets::whole(ui, RichText::new(text).color(palette.weak));
        });
    }

    fn detail_window(&mut self, ui: &mut Ui, predictions: &Predictions, dataset: &Dataset) {
        let Some((index, zoom)) = &mut self.detail else { return };
        let index = *index;
        let palette = theme::palette(ui);
        let mut open = true;
        let title = format!("Validation image {}", number(u64::from(index)));
        let window = widgets::detail_window(ui.ctx(), title, "prediction");
        window.open(&mut open).show(ui.ctx(), |ui| {
            ui.horizontal_top(|ui| {
                zoom.ui(ui, 224.0, "Validation image, enlarged");
                ui.vertical(|ui| {
                    ui.set_width(240.0);
                    let truth = dataset.validation.labels.get(index as usize).copied().unwrap_or(0) as usize;
                    let name = shown_class_name(&dataset.classes, truth);
                    widgets::fact(ui, "True class", RichText::new(name).strong());
                    let found = predictions.items.binary_search_by_key(&index, |item| item.index);
                    match found.ok().map(|at| &predictions.items[at]) {
                        Some(item) => {
                            let (predicted, _) = item.top();
                            let (sign, color) = verdict(palette, predicted == truth);
                            let name = shown_class_name(&dataset.classes, predicted);
                            let text = RichText::new(format!("{sign} {name}")).color(color).strong();
                            widgets::fact(ui, "Network says", text);
                            ui.add_space(4.0);
                            widgets::probability_bars(ui, &dataset.classes, &item.probabilities, Some(truth), 5);
                        }
                        None => {
                            ui.label("Not among the latest predictions; after the epoch all images are.");
                        }
                    }
                    if let Some(source) = dataset.validation.sources.as_ref().and_then(|all| all.get(index as usize)) {
                        ui.add_space(4.0);
                        ui.label(RichText::new(text::foreign(source)).color(palette.weak).small());
                    }
                });
            });
        });
        if !open || ui.input(|input| input.key_pressed(egui::Key::Escape)) {
            self.detail = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support;

    fn item(index: u32, probabilities: &[f32]) -> Prediction {
        Prediction { index, probabilities: probabilities.to_vec() }
    }

    #[test]
    fn filters_show_what_they_say() {
        let items = [item(0, &[0.9, 0.1]), item(1, &[0.6, 0.4]), item(2, &[0.2, 0.8])];
        let labels = [0, 1, 1];
        let indices = |rows: Vec<Row>| rows.iter().map(|row| row.index).collect::<Vec<_>>();
        assert_eq!(indices(rows(&items, &labels, Filter::All, None)), [0, 1, 2]);
        assert_eq!(indices(rows(&items, &labels, Filter::Wrong, None)), [1]);
        assert_eq!(indices(rows(&items, &labels, Filter::LeastSure, None)), [1, 2, 0]);
        assert_eq!(indices(rows(&items, &labels, Filter::All, Some(0))), [0]);
    }

    #[test]
    fn what_is_under_the_pointer_stays_there() {
        let labels = [0, 1, 1];
        let at_first = [item(0, &[0.9, 0.1]), item(1, &[0.6, 0.4]), item(2, &[0.2, 0.8])];
        let shown = rows(&at_first, &labels, Filter::Wrong, None);
        // It is right by now, and keeps its place.
        let later = [item(0, &[0.1, 0.9]), item(1, &[0.3, 0.7]), item(2, &[0.2, 0.8])];
        let held = in_order_of(&shown, rows(&later, &labels, Filter::All, None), |row| row.index);
        assert_eq!(held.iter().map(|row| (row.index, row.right())).collect::<Vec<_>>(), [(1, true)]);
    }

    #[test]
    fn right_and_wrong_are_counted_of_all_whatever_is_shown() {
        let dataset = test_support::dataset(2, 3);
        let predictions = Arc::new(test_support::predictions(6, 2, &[0, 0, 1, 1, 1, 1]));
        let mut pane = PredictionsPane::new(Arc::new(|| ()));
        pane.filter = Filter::Wrong;
        pane.refresh(&predictions, &dataset, false);
        assert_eq!((pane.rows.len(), pane.counts), (1, [5, 1]));
    }

    #[test]
    fn an_image_without_a_label_is_left_out() {
        assert!(rows(&[item(9, &[1.0])], &[0], Filter::All, None).is_empty());
    }
}
