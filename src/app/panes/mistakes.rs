//! The validation images that the network finds hardest, with what it took them for and how that changed.
//!
//! An image that is lost again and again, or that the network is sure of and gets wrong, often has the wrong label.

use super::samples::class_filter;
use crate::app::{
    background::{Task, Wake, finished},
    closer_look::CloserLook,
    grid::{self, Cell},
    memory::Memory,
    pane::Pane,
    state::State,
    theme,
    thumbnails::Thumbnails,
    toasts::Level,
    widgets::{self, verdict},
    words::number,
};
use crate::{
    data::Dataset,
    session::{Event, Prediction, Predictions},
};
use eframe::egui::{self, Context, CornerRadius, RichText, Role, Sense, Ui, pos2, vec2};
use std::{fmt::Write as _, path::PathBuf, sync::Arc};

/// Images on a page.
const PAGE: usize = 200;

/// What stands first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Loss,
    Forgotten,
}

/// One image.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    index: u32,
    truth: u32,
    predicted: u32,
    confidence: f32,
    /// Cross-entropy of the true class.
    loss: f32,
    /// How often the answer turned from right to wrong.
    forgotten: u32,
}

pub struct Mistakes {
    wake: Wake,
    memory: Memory,
    whole: Option<Arc<Predictions>>,
    rows: Vec<Row>,
    order: Order,
    only_wrong: bool,
    class: Option<u32>,
    page: usize,
    thumbnails: Thumbnails,
    look: Option<CloserLook>,
    saving: Option<Task<Result<Option<PathBuf>, String>>>,
}

impl Mistakes {
    pub fn new(wake: Wake) -> Self {
        Self {
            memory: Memory::default(),
            whole: None,
            rows: Vec::new(),
            order: Order::Loss,
            only_wrong: true,
            class: None,
            page: 0,
            thumbnails: Thumbnails::new(wake.clone(), |dataset| &dataset.validation),
            look: None,
            saving: None,
            wake,
        }
    }

    /// Takes in the predictions of a whole validation.
    fn learn(&mut self, predictions: &Arc<Predictions>, dataset: &Dataset) {
        let new = self.whole.as_ref().is_none_or(|whole| !Arc::ptr_eq(whole, predictions));
        if new && predictions.items.len() == dataset.validation.len() {
            self.memory.add(predictions, &dataset.validation.labels);
            self.whole = Some(predictions.clone());
            self.sort(dataset);
        }
    }

    fn sort(&mut self, dataset: &Dataset) {
        let Some(whole) = &self.whole else { return };
        self.rows = rows(&whole.items, &dataset.validation.labels, &self.memory);
        self.rows.retain(|row| {
            let wrong = row.predicted != row.truth || (self.order == Order::Forgotten && row.forgotten > 0);
            (wrong || !self.only_wrong) && self.class.is_none_or(|class| row.truth == class)
        });
        if self.order == Order::Forgotten {
            // Stable: the harder of equals stays in front.
            self.rows.sort_by_key(|row| std::cmp::Reverse(row.forgotten));
        }
    }

    fn controls(&mut self, ui: &mut Ui, dataset: &Dataset) {
        let palette = theme::palette(ui);
        let pages = self.rows.len().div_ceil(PAGE).max(1);
        let mut changed = false;
        widgets::toolbar(ui, |ui| {
            let choices = [
                (Order::Loss, "Hardest", "The greatest loss first: sure of the wrong class"),
                (Order::Forgotten, "Forgotten", "First those whose answer turned most often from right to wrong"),
            ];
            changed |= widgets::chips(ui, &mut self.order, &choices);
            changed |= ui.checkbox(&mut self.only_wrong, "Only mistakes").changed();
            let class = self.class;
            class_filter(ui, "mistakes", &mut self.class, &dataset.classes);
            changed |= class != self.class;
            if pages > 1 {
                if ui.button("◀").on_hover_text("Page before").accessible_name("Page before").clicked() {
                    self.page = self.page.saturating_sub(1);
                }
                widgets::whole(ui, format!("{} / {pages}", self.page + 1));
                if ui.button("▶").on_hover_text("Next page").accessible_name("Next page").clicked() {
                    self.page += 1;
                }
            }
            let export = ui.add_enabled(self.saving.is_none() && !self.rows.is_empty(), egui::Button::new("Export …"));
            if export.on_hover_text("Writes this list as CSV, in this order").clicked() {
                self.export(dataset);
            }
            let text = format!("{} images", number(self.rows.len() as u64));
            widgets::whole(ui, RichText::new(text).color(palette.weak));
        });
        if changed {
            self.page = 0;
            self.sort(dataset);
        }
    }

    /// Asks for a file and writes the list to it, off the frame.
    fn export(&mut self, dataset: &Dataset) {
        let text = csv(&self.rows, dataset, &self.memory);
        self.saving = Some(Task::spawn("export", self.wake.clone(), move || {
            let dialog = rfd::FileDialog::new().set_title("Export mistakes").set_file_name("mistakes.csv");
            let Some(path) = dialog.add_filter("CSV", &["csv"]).save_file() else { return Ok(None) };
            crate::train::atomic::write(&path, text.as_bytes())
                .map_err(|error| format!("{} can't be written: {error}", path.display()))?;
            Ok(Some(path))
        }));
    }

    fn show(&mut self, ui: &mut Ui, dataset: &Arc<Dataset>) {
        self.controls(ui, dataset);
        let pages = self.rows.len().div_ceil(PAGE).max(1);
        self.page = self.page.min(pages - 1);
        let first = self.page * PAGE;
        let page = &self.rows[first..(first + PAGE).min(self.rows.len())];
        if page.is_empty() {
            widgets::empty_state(ui, "None here", "No validation image matches the filter.", None);
        } else {
            self.thumbnails.want(ui.ctx(), dataset, page.iter().map(|row| row.index).collect());
            let palette = theme::palette(ui);
            let class = |class: u32| dataset.classes.get(class as usize).map_or("?", String::as_str);
            let clicked = grid::show(ui, "mistakes", &self.thumbnails.sheet, page.len(), theme::THUMBNAIL, |at| {
                let row = &page[at];
                let (sign, color) = verdict(palette, row.predicted == row.truth);
                let forgotten = if row.forgotten > 0 { format!(" · lost {}×", row.forgotten) } else { String::new() };
                Cell {
                    id: row.index,
                    caption: format!("{sign} {}", class(row.predicted)),
                    color,
                    detail: format!("{:.2}{forgotten} · is {}", row.loss, class(row.truth)),
                    name: format!(
                        "Image {}: {sign} {}, is {}, loss {:.2}{forgotten}",
                        row.index,
                        class(row.predicted),
                        class(row.truth),
                        row.loss
                    ),
                    border: Some(color),
                }
            });
            if let Some(at) = clicked {
                self.look = CloserLook::new(dataset, page[at].index);
            }
        }
        let Self { look, memory, whole, .. } = self;
        if let (Some(open), Some(whole)) = (look.as_mut(), whole.as_ref()) {
            let index = open.index;
            if !open.ui(ui, "mistakes", dataset, whole, |ui| course(ui, memory, dataset, index)) {
                *look = None;
            }
        }
    }
}

impl Pane for Mistakes {
    fn title(&self, _: &State) -> String {
        "Mistakes".to_owned()
    }

    fn on_data(&mut self) {
        self.memory.clear();
        self.whole = None;
        self.rows.clear();
        self.class = None;
        self.look = None;
        self.thumbnails.clear();
    }

    fn on_event(&mut self, event: &Event) {
        if matches!(event, Event::Started { .. }) {
            self.memory.clear();
            self.whole = None;
            self.rows.clear();
        }
    }

    fn tick(&mut self, _: &Context, state: &mut State) {
        if let (Some(dataset), Some(view)) = (&state.dataset, state.engine.view()) {
            self.learn(&view.predictions, dataset);
        }
        match finished(&mut self.saving).map(Result::flatten) {
            Some(Ok(Some(path))) => {
                let text = format!("Mistakes written to {}", path.display());
                state.toasts.add(Level::Info, text.clone());
                state.tell(Level::Info, text);
            }
            Some(Err(error)) => state.tell(Level::Error, error),
            Some(Ok(None)) | None => {}
        }
    }

    fn ui(&mut self, ui: &mut Ui, state: &mut State) {
        match state.dataset.clone().filter(|_| self.whole.is_some()) {
            Some(dataset) => self.show(ui, &dataset),
            None => {
                let body = "After each epoch the validation images stand here by their loss, the hardest first, with \
                            what the network takes them for and how that changed.";
                widgets::empty_state(ui, "No validation yet", body, None);
            }
        }
    }
}

/// The probability of the true class after each validation, as bars: blue where the answer was right.
fn course(ui: &mut Ui, memory: &Memory, dataset: &Dataset, index: u32) {
    let palette = theme::palette(ui);
    let label = dataset.validation.labels.get(index as usize).copied().unwrap_or(0);
    let thoughts: Vec<_> = memory.of(index).collect();
    ui.add_space(6.0);
    ui.label(RichText::new("Sure of the true class, over the validations").color(palette.weak).small());
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 54.0), Sense::hover());
    ui.painter().rect_filled(rect, CornerRadius::same(3), palette.raised);
    let width = rect.width() / thoughts.len().max(1) as f32;
    let class = |class: u32| dataset.classes.get(class as usize).map_or("?", String::as_str);
    for (at, thought) in thoughts.iter().enumerate() {
        let (_, color) = verdict(palette, thought.predicted == label);
        let left = rect.left() + width * at as f32;
        let top = rect.bottom() - (rect.height() - 4.0) * thought.truth.clamp(0.0, 1.0);
        let bar = egui::Rect::from_min_max(pos2(left, top.min(rect.bottom() - 2.0)), pos2(left + width, rect.bottom()));
        ui.painter().rect_filled(bar.shrink2(vec2((width * 0.1).min(1.0), 0.0)), CornerRadius::ZERO, color);
    }
    let words = |thought: &crate::app::memory::Thought| {
        let (sign, _) = verdict(palette, thought.predicted == label);
        format!("step {}: {sign} {}, {:.0} %", number(thought.step), class(thought.predicted), thought.truth * 100.0)
    };
    let all = thoughts.iter().map(words).collect::<Vec<_>>().join("\n");
    response.widget_info(|| egui::WidgetInfo::labeled(Role::Image, true, format!("Course of the answers\n{all}")));
    if let Some(at) = response.hover_pos() {
        let nearest = (((at.x - rect.left()) / width) as usize).min(thoughts.len().saturating_sub(1));
        if let Some(thought) = thoughts.get(nearest) {
            response.on_hover_text_at_pointer(words(thought));
        }
    }
}

/// All images, the hardest first.
fn rows(items: &[Prediction], labels: &[u32], memory: &Memory) -> Vec<Row> {
    let row = |item: &Prediction| {
        let truth = *labels.get(item.index as usize)?;
        let own = item.probabilities.get(truth as usize).copied()?;
        let (predicted, confidence) = item.top();
        // The least probability that a float can be told from zero.
        let loss = -own.max(f32::MIN_POSITIVE).ln();
        let forgotten = memory.forgotten(item.index, truth);
        Some(Row { index: item.index, truth, predicted: predicted as u32, confidence, loss, forgotten })
    };
    let mut rows: Vec<Row> = items.iter().filter_map(row).collect();
    rows.sort_by(|a, b| b.loss.total_cmp(&a.loss).then(a.index.cmp(&b.index)));
    rows
}

/// The list as CSV: RFC 4180, a line for each image, `history` being the predicted classes validation by validation.
fn csv(rows: &[Row], dataset: &Dataset, memory: &Memory) -> String {
    let class = |class: u32| dataset.classes.get(class as usize).map_or("", String::as_str);
    let mut text = String::from("index,file,true,predicted,confidence,loss,forgotten,history\r\n");
    for row in rows {
        let sources = dataset.validation.sources.as_ref();
        let file = sources.and_then(|all| all.get(row.index as usize)).map_or("", String::as_str);
        let history: Vec<String> =
            memory.of(row.index).map(|thought| format!("{}:{}", thought.step, class(thought.predicted))).collect();
        // Writing to a string doesn't fail.
        let _ = write!(
            text,
            "{},{},{},{},{:.4},{:.4},{},{}\r\n",
            row.index,
            quoted(file),
            quoted(class(row.truth)),
            quoted(class(row.predicted)),
            row.confidence,
            row.loss,
            row.forgotten,
            quoted(&history.join(" "))
        );
    }
    text
}

/// A field that may hold anything. One that a spreadsheet would take for a formula gets an apostrophe in front: names of
/// files and classes come from strangers.
fn quoted(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if guard.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        return text.to_owned();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support::{dataset, harness, predictions};
    use egui_kittest::kittest::{NodeT, Queryable};

    /// After three validations of two images each of two classes: image 1 was right once and is lost, image 3 was never
    /// right.
    fn fixed() -> (Mistakes, Arc<Dataset>) {
        let dataset = dataset(2, 2);
        let mut pane = Mistakes::new(Arc::new(|| ()));
        for (step, predicted) in [(10, [0, 1, 1, 0]), (20, [0, 0, 1, 0]), (30, [0, 1, 1, 0])] {
            let whole = Predictions { step, ..predictions(4, 2, &predicted) };
            pane.learn(&Arc::new(whole), &dataset);
        }
        (pane, dataset)
    }

    #[test]
    fn a_mistake_is_shown_with_how_it_came_about() {
        let (mut pane, dataset) = fixed();
        let mut harness = harness(move |ui| pane.show(ui, &dataset));
        harness.get_by_label("2 images");
        assert!(harness.query_by_label_contains("Image 0:").is_none());
        harness.get_by_label("Image 1: ✗ class 1, is class 0, loss 1.61 · lost 1×").click();
        harness.run();
        let course = harness.get_by_label_contains("Course of the answers");
        let text = course.accesskit_node().label().unwrap_or_default();
        assert!(text.contains("step 20: ✓ class 0, 80 %") && text.contains("step 30: ✗ class 1, 20 %"), "{text}");
    }

    #[test]
    fn all_images_are_there_when_mistakes_alone_are_not_asked_for() {
        let (mut pane, dataset) = fixed();
        let mut harness = harness(move |ui| pane.show(ui, &dataset));
        harness.get_by_label("Only mistakes").click();
        harness.run();
        harness.get_by_label("4 images");
        harness.get_by_label_contains("Image 0:");
    }

    #[test]
    fn the_list_is_exported_as_it_is_shown() {
        let (pane, dataset) = fixed();
        let text = csv(&pane.rows, &dataset, &pane.memory);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "index,file,true,predicted,confidence,loss,forgotten,history");
        assert_eq!(lines[1], "1,,class 0,class 1,0.8000,1.6094,1,10:class 1 20:class 0 30:class 1");
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn odd_names_do_not_break_the_list_or_run_as_formulas() {
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(quoted("=1+1"), "\"'=1+1\"");
        assert_eq!(quoted("plain.png"), "plain.png");
    }
}
