//! The images that may be wrong: validation images that the network gets wrong, with what it took them for and how that
//! changed, and training images that it learns late, never, or forgets.
//!
//! An image that is lost again and again, or that the network is sure of and gets wrong, often has the wrong label.

mod cell;
mod loss_history;
mod rows;

use self::{
    cell::{cell, learned_words},
    rows::{Row, Told},
};
use super::{csv::CsvExport, held::in_order_of, samples::class_filter};
use crate::app::{
    background::{Wake, latest::Latest},
    panes::pane::Pane,
    state::{Actions, State},
    widgets::{
        self, grid,
        image_inspector::{ImageInspector, Part},
        theme,
        thumbnails::Thumbnails,
    },
};
use crate::{data::Dataset, format::number, session::Predictions, train};
use eframe::egui::{self, Context, RichText, Ui};
use std::sync::Arc;

/// Images on a page.
const PAGE: usize = 200;
/// Training images that are listed at most: nobody looks through more.
const CANDIDATES: usize = 2_000;

/// What stands first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Loss,
    Forgotten,
}

pub(crate) struct Mistakes {
    part: Part,
    whole: Option<Arc<Predictions>>,
    /// Finds the training images in what the session remembers; that takes a moment where they are many.
    search: Latest<Arc<train::Memory>, Vec<train::Remembered>>,
    memory: Arc<train::Memory>,
    candidates: Vec<train::Remembered>,
    rows: Vec<Row>,
    order: Order,
    only_wrong: bool,
    class: Option<u32>,
    page: usize,
    /// Of the validation and the training images.
    thumbnails: [Thumbnails; 2],
    look: Option<(ImageInspector, Row)>,
    /// The rows keep their order, because the pointer is over them.
    held: bool,
    /// There is something new since they were put in order.
    stale: bool,
    export: CsvExport,
}

impl Mistakes {
    pub(crate) fn new(wake: Wake) -> Self {
        let find = |memory: Arc<train::Memory>| memory.training.candidates(CANDIDATES);
        Self {
            part: Part::Validation,
            whole: None,
            search: Latest::new("candidates", wake.clone(), find),
            memory: Arc::default(),
            candidates: Vec::new(),
            rows: Vec::new(),
            order: Order::Loss,
            only_wrong: true,
            class: None,
            page: 0,
            thumbnails: [
                Thumbnails::new(wake.clone(), |dataset| &dataset.validation),
                Thumbnails::new(wake.clone(), |dataset| &dataset.train),
            ],
            look: None,
            held: false,
            stale: false,
            export: CsvExport::new(wake),
        }
    }

    fn forget(&mut self) {
        self.whole = None;
        self.candidates.clear();
        self.rows.clear();
        self.look = None;
        self.page = 0;
    }

    /// Takes in the predictions of a whole validation.
    fn learn(&mut self, predictions: &Arc<Predictions>, dataset: &Dataset) {
        let new = self.whole.as_ref().is_none_or(|whole| !Arc::ptr_eq(whole, predictions));
        if new && predictions.items.len() == dataset.validation.len() {
            self.whole = Some(predictions.clone());
            self.renew(dataset);
        }
    }

    /// Takes in what the session remembers of the images.
    fn remember(&mut self, memory: &Arc<train::Memory>, dataset: &Dataset) {
        if !Arc::ptr_eq(memory, &self.memory) {
            self.memory = memory.clone();
            self.search.request(memory.clone());
        }
        if let Some(candidates) = self.search.take() {
            self.candidates = candidates;
            self.renew(dataset);
        }
    }

    /// Brings the rows up to what is known now: in their place where the pointer is over them, else put in order.
    fn renew(&mut self, dataset: &Dataset) {
        match self.held {
            true => self.rows = in_order_of(&self.rows, self.all(dataset), |row| row.index),
            false => self.sort(dataset),
        }
        self.stale = self.held;
    }

    /// All that is known of the split at hand.
    fn all(&self, dataset: &Dataset) -> Vec<Row> {
        let items = self.whole.as_ref().map_or(&[][..], |whole| &whole.items);
        match self.part {
            Part::Training => rows::training(&self.candidates, &dataset.train.labels),
            Part::Validation => rows::validation(items, &dataset.validation.labels, &self.memory.validation),
        }
    }

    /// The rows that are asked for, in the order that is.
    fn sort(&mut self, dataset: &Dataset) {
        let mut rows = self.all(dataset);
        let any = self.part == Part::Training || !self.only_wrong;
        let lost = |row: &Row| self.order == Order::Forgotten && row.forgotten > 0;
        rows.retain(|row| any || row.is_wrong() || lost(row));
        rows.retain(|row| self.class.is_none_or(|class| row.truth == class));
        self.rows = rows;
        if self.order == Order::Forgotten {
            // Stable: the harder of equals stays in front.
            self.rows.sort_by_key(|row| std::cmp::Reverse(row.forgotten));
        }
    }

    fn controls(&mut self, ui: &mut Ui, state: &State, dataset: &Dataset) {
        let palette = theme::palette(ui);
        let pages = self.rows.len().div_ceil(PAGE).max(1);
        let mut changed = false;
        widgets::toolbar(ui, |ui| {
            let parts = [
                (Part::Validation, "Validation", "Images that the network gets wrong"),
                (
                    Part::Training,
                    "Training",
                    "Images that were learned late, never, or forgotten again: look whether their label is right",
                ),
            ];
            changed |= widgets::chips(ui, &mut self.part, &parts);
            let choices = [
                (Order::Loss, "Hardest", "The greatest loss first: sure of another class"),
                (Order::Forgotten, "Forgotten", "First those whose answer turned most often from right to wrong"),
            ];
            changed |= widgets::chips(ui, &mut self.order, &choices);
            if self.part == Part::Validation {
                changed |= ui.checkbox(&mut self.only_wrong, "Only mistakes").changed();
            }
            let class = self.class;
            class_filter(ui, "mistakes", &mut self.class, &dataset.classes);
            changed |= class != self.class;
            if pages > 1 {
                widgets::pager(ui, &mut self.page, pages);
            }
            let export = ui.add_enabled(!self.export.is_busy() && !self.rows.is_empty(), egui::Button::new("Export …"));
            if export.on_hover_text("Writes this list as CSV, in this order").clicked() {
                self.export(state, dataset);
            }
            let many = if self.rows.len() == 1 { "image" } else { "images" };
            let text = format!("{} {many}", number(self.rows.len() as u64));
            widgets::whole(ui, RichText::new(text).color(palette.weak));
        });
        if changed {
            self.page = 0;
            self.sort(dataset);
        }
    }

    /// Writes the list to a file that is asked for.
    fn export(&mut self, state: &State, dataset: &Dataset) {
        let table = rows::csv(&self.rows, dataset, &self.memory.validation);
        let name = if self.part == Part::Training { "candidates.csv" } else { "mistakes.csv" };
        self.export.start(&state.file_dialog, name, table);
    }

    fn show(&mut self, ui: &mut Ui, state: &State, dataset: &Arc<Dataset>) {
        self.held = !self.rows.is_empty() && ui.rect_contains_pointer(ui.max_rect());
        if self.stale && !self.held {
            self.renew(dataset);
        }
        self.controls(ui, state, dataset);
        let pages = self.rows.len().div_ceil(PAGE).max(1);
        self.page = self.page.min(pages - 1);
        let first = self.page * PAGE;
        let page = &self.rows[first..(first + PAGE).min(self.rows.len())];
        if page.is_empty() {
            let (title, body) = match (self.part, self.candidates.is_empty()) {
                (Part::Training, true) => (
                    "None yet",
                    "From the second epoch on, training images stand here that were learned late, never, or forgotten \
                     again. Such images are often mislabelled.",
                ),
                _ => ("None here", "No image matches the filter."),
            };
            widgets::empty_state(ui, title, body, None);
        } else {
            let thumbnails = &mut self.thumbnails[usize::from(self.part == Part::Training)];
            thumbnails.want(ui.ctx(), dataset, page.iter().map(|row| row.index).collect());
            let palette = theme::palette(ui);
            let clicked = grid::show(ui, "mistakes", &thumbnails.sheet, page.len(), theme::THUMBNAIL, |at| {
                cell(palette, &page[at], dataset)
            });
            if let Some(at) = clicked {
                self.look = ImageInspector::at(dataset, self.part, page[at].index).map(|look| (look, page[at].clone()));
            }
        }
        let Self { look, memory, whole, .. } = self;
        if let Some((open, row)) = look {
            let none = Predictions::default();
            let predictions = whole.as_deref().unwrap_or(&none);
            if !open.ui(ui, "mistakes", dataset, predictions, |ui| {
                if let Told::Training { learned, .. } = &row.told {
                    widgets::fact(ui, "First right", learned_words(*learned));
                    widgets::fact(ui, "Forgotten", format!("{}×", row.forgotten));
                }
                loss_history::ui(ui, row, &memory.validation, dataset);
            }) {
                *look = None;
            }
        }
    }
}

impl Pane for Mistakes {
    fn title(&self, _: &State) -> String {
        "Mistakes".to_owned()
    }

    #[cfg(test)]
    fn is_busy(&self) -> bool {
        self.search.is_busy() || self.thumbnails.iter().any(Thumbnails::is_busy)
    }

    fn on_data(&mut self) {
        self.forget();
        self.class = None;
        self.thumbnails.iter_mut().for_each(Thumbnails::clear);
    }

    fn on_run(&mut self) {
        self.forget();
    }

    fn tick(&mut self, _: &Context, _: &State, actions: &mut Actions) {
        self.export.tick(actions);
    }

    fn ui(&mut self, ui: &mut Ui, state: &State, _: &mut Actions) {
        // Only here: a search for a pane that is not seen would wake the window after each epoch.
        if let (Some(dataset), Some(view)) = (&state.data.dataset, state.run.view()) {
            self.remember(&view.memory, dataset);
            self.learn(&view.validated, dataset);
        }
        match state.data.dataset.clone().filter(|_| self.whole.is_some()) {
            Some(dataset) => self.show(ui, state, &dataset),
            None => {
                let body = "After each epoch of a run the validation images stand here by their loss, the hardest first, \
                            with what the network takes them for and how that changed; and the training images that it \
                            finds hard to learn.";
                widgets::empty_state(ui, "No validation yet", body, None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{
        desktop::file_dialog::What,
        state::Action,
        test_support::{self, dataset, harness, predictions},
        widgets::toasts::Level,
    };
    use egui_kittest::kittest::{NodeT, Queryable};

    /// After three validations of two images each of two classes: image 1 was right once and is lost, image 3 was never
    /// right. Of the training images the first is easy, and the second is never learned.
    fn fixed() -> (Mistakes, State, Arc<Dataset>) {
        let dataset = dataset(2, 2);
        let mut pane = Mistakes::new(Arc::new(|| ()));
        let mut memory = train::Memory::default();
        let labels = &dataset.validation.labels;
        for (epoch, predicted) in [(1, [0, 1, 1, 0]), (2, [0, 0, 1, 0]), (3, [0, 1, 1, 0])] {
            memory.validation.begin(epoch, 4);
            for (index, class) in predicted.into_iter().enumerate() {
                let right = labels[index] as usize == class;
                let sure: f32 = if right { 0.8 } else { 0.2 };
                memory.validation.record_class(index, -sure.ln(), class, right);
            }
            memory.training.begin(epoch, 4);
            memory.training.record(0, 0.1, true);
            memory.training.record(1, epoch as f32, false);
        }
        let memory = Arc::new(memory);
        while pane.candidates.is_empty() {
            pane.remember(&memory, &dataset);
        }
        pane.learn(&Arc::new(predictions(4, 2, &[0, 1, 1, 0])), &dataset);
        (pane, test_support::state(), dataset)
    }

    #[test]
    fn a_mistake_is_shown_with_how_it_came_about() {
        let (mut pane, state, dataset) = fixed();
        let mut harness = harness(move |ui| pane.show(ui, &state, &dataset));
        harness.get_by_label("2 images");
        assert!(harness.query_by_label_contains("Image 0:").is_none());
        harness.get_by_label("Image 1: ✗ class 1, is class 0, loss 1.61 · forgotten 1×").click();
        harness.run();
        let course = harness.get_by_label_contains("Sure of the true class, in the last epochs\n");
        let text = course.accesskit_node().label().unwrap_or_default();
        let told = ["epoch 2: ✓ class 0, 80 % for the true class", "epoch 3: ✗ class 1, 20 % for the true class"];
        assert!(told.iter().all(|line| text.contains(line)), "{text}");
    }

    #[test]
    fn a_training_image_that_is_never_learned_is_a_candidate() {
        let (mut pane, state, dataset) = fixed();
        let mut harness = harness(move |ui| pane.show(ui, &state, &dataset));
        harness.get_by_label("Training").click();
        harness.run();
        harness.get_by_label("1 image");
        harness.get_by_label_contains("Training image 1: labelled class 0, first right never yet, loss 2.0").click();
        harness.run();
        harness.get_by_label("Training image, enlarged");
        harness.get_by_label_contains("last epoch: loss 3.0");
    }

    #[test]
    fn all_images_are_there_when_mistakes_alone_are_not_asked_for() {
        let (mut pane, state, dataset) = fixed();
        let mut harness = harness(move |ui| pane.show(ui, &state, &dataset));
        harness.get_by_label("Only mistakes").click();
        harness.run();
        harness.get_by_label("4 images");
        harness.get_by_label_contains("Image 0:");
    }

    #[test]
    fn what_is_under_the_pointer_stays_there_while_the_network_learns() {
        let (mut pane, _, dataset) = fixed();
        let order = |pane: &Mistakes| pane.rows.iter().map(|row| (row.index, row.is_wrong())).collect::<Vec<_>>();
        assert_eq!(order(&pane), [(1, true), (3, true)]);
        // Image 1 is right now, and image 0 wrong.
        let later = Arc::new(predictions(4, 2, &[1, 0, 1, 0]));
        pane.held = true;
        pane.learn(&later, &dataset);
        assert_eq!(order(&pane), [(1, false), (3, true)]);
        pane.held = false;
        pane.renew(&dataset);
        assert_eq!(order(&pane), [(0, true), (3, true)]);
    }

    #[test]
    fn the_list_is_exported_as_it_is_shown() {
        let (mut pane, mut state, dataset) = fixed();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.csv");
        let answer = path.clone();
        state.file_dialog = Arc::new(move |question| {
            assert!(matches!(question.what, What::Save { name, .. } if name == "mistakes.csv"));
            vec![answer.clone()]
        });
        pane.export(&state, &dataset);
        while pane.export.is_busy() {
            test_support::tick(&mut pane, &Context::default(), &mut state);
        }
        let [Action::Notice(Level::Info, text)] = &state.actions.take()[..] else { panic!("nothing was said") };
        assert!(text.contains("list.csv"));
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "index,file,true,predicted,confidence,loss,forgotten,history");
        assert_eq!(lines[1], "1,,class 0,class 1,0.8000,1.6094,1,1:class 1 2:class 0 3:class 1");
        assert_eq!(lines.len(), 3);
    }
}
