//! Images of one's own, dropped, pasted or opened, and what the network takes them for.
//!
//! Beside each original stands the very picture that the network sees, after crop and resize: most surprises are
//! explained by it.

use crate::app::{
    background::{Task, Wake, finished},
    display, drop,
    oracle::{Oracle, Prepared, Source, Weights},
    pane::Pane,
    state::{Action, State},
    theme,
    toasts::Level,
    widgets,
    words::number,
    zoom::Zoom,
};
use crate::{
    model::Padding,
    session::{Command, Request},
    text,
};
use eframe::egui::{self, RichText, ScrollArea, Sense, Ui, vec2};
use std::{
    collections::HashMap,
    ops::Range,
    path::{Path, PathBuf},
    sync::mpsc,
    time::Instant,
};

/// An image as the network takes it with its probabilities, or why it can't be read.
type Answer = Result<(Prepared, Option<Vec<f32>>), String>;

/// What came of the images of one request, with the numbers of their rows.
struct Batch {
    oracle: Oracle,
    images: Vec<(usize, Answer)>,
    /// Time that saved weights took to answer, in milliseconds.
    milliseconds: f64,
}

/// A row of the pane.
struct Row {
    /// Tells it from all others that there ever were: a late answer is still about this one.
    number: usize,
    source: Source,
    /// `None` while it is to be read, as rows of other pages are again.
    content: Option<Result<Item, String>>,
}

/// An image that was read.
struct Item {
    name: String,
    original: Zoom,
    input: Zoom,
    truth: Option<usize>,
    note: Option<String>,
    answer: Option<Result<Vec<f32>, String>>,
    /// From the request to the answer, in milliseconds, shared by the images of one request.
    milliseconds: f64,
}

/// A request to the session that is on its way, about the rows of these numbers.
struct Pending {
    /// Waits for the reply, so that it wakes the window.
    reply: Task<Result<Vec<Vec<f32>>, String>>,
    rows: Vec<usize>,
    asked: Instant,
}

/// Rows on a page. Only those of the page that is seen are read and kept in memory.
const PAGE: usize = 50;
/// Images that are read at once, so that the first ones show before the last are read.
const AT_ONCE: usize = 8;

pub struct Classify {
    wake: Wake,
    /// In the order in which they were added.
    rows: Vec<Row>,
    /// Counted from the newest row.
    page: usize,
    preparing: Option<Task<Result<Batch, String>>>,
    /// Weights that the user has chosen, instead of the run's.
    chosen: Option<(PathBuf, Option<Padding>)>,
    oracle: Option<Oracle>,
    /// Why the last weights could not be used; they are not tried again until something else is chosen.
    refused: Option<Weights>,
    pending: Option<Pending>,
    /// Ask again when the weights have moved on.
    keep_up: bool,
    /// Step of the predictions when the rows were last asked about.
    asked_at_step: u64,
    unanswered: bool,
    /// Images that were ever added.
    added: usize,
}

impl Classify {
    pub fn new(wake: Wake) -> Self {
        Self {
            wake,
            rows: Vec::new(),
            page: 0,
            preparing: None,
            chosen: None,
            oracle: None,
            refused: None,
            pending: None,
            keep_up: true,
            asked_at_step: 0,
            unanswered: false,
            added: 0,
        }
    }

    /// Images that were ever added, to pick others the next time.
    pub fn added(&self) -> usize {
        self.added
    }

    /// Takes images to classify; they show up as soon as they are decoded, the last one on top.
    pub fn add(&mut self, sources: Vec<Source>) {
        for source in sources {
            self.rows.push(Row { number: self.added, source, content: None });
            self.added += 1;
        }
        self.turn_to(0);
    }

    /// The rows of the page that is seen, as a part of all; the newest is the last.
    fn shown(&self) -> Range<usize> {
        let end = self.rows.len() - self.page * PAGE;
        end.saturating_sub(PAGE)..end
    }

    fn pages(&self) -> usize {
        self.rows.len().div_ceil(PAGE).max(1)
    }

    /// Shows another page, and lets go of the pictures of all others.
    fn turn_to(&mut self, page: usize) {
        self.page = page.min(self.pages() - 1);
        let shown = self.shown();
        for (index, row) in self.rows.iter_mut().enumerate() {
            if !shown.contains(&index) {
                row.content = None;
            }
        }
    }

    /// The images of this page that were read, with the numbers of their rows.
    fn items(&mut self) -> impl Iterator<Item = (usize, &mut Item)> {
        let shown = self.shown();
        self.rows[shown].iter_mut().filter_map(|row| Some((row.number, row.content.as_mut()?.as_mut().ok()?)))
    }

    /// Rows of this page that are to be read next, the uppermost first.
    fn unread(&self) -> impl Iterator<Item = &Row> {
        self.rows[self.shown()].iter().rev().filter(|row| row.content.is_none()).take(AT_ONCE)
    }

    /// Classifies with a run's or a file's weights from now on, padding as told; `None` goes back to the run's.
    pub fn use_weights(&mut self, chosen: Option<(PathBuf, Option<Padding>)>) {
        self.chosen = chosen;
        self.refused = None;
    }

    /// Whose weights are to answer now.
    fn weights(&self, state: &State) -> Option<Weights> {
        let device = state.devices.choice;
        if let Some((path, padding)) = self.chosen.clone() {
            return Some(Weights::Saved { path, padding, device });
        }
        let live = state.engine.is_live();
        if !live && let Some(path) = state.saved_run.clone() {
            return Some(Weights::Saved { path, padding: None, device });
        }
        let recipe = state.engine.view().filter(|_| live).map_or(&state.recipe, |view| &view.recipe);
        Some(Weights::Live { dataset: state.dataset.clone()?, recipe: Box::new(recipe.clone()) })
    }

    fn start_preparing(&mut self, state: &State) {
        let Some(weights) = self.weights(state) else { return };
        if self.oracle.as_ref().is_some_and(|oracle| !oracle.weights.same(&weights)) {
            // Other weights want the images in another form, or call the classes by other names.
            self.oracle = None;
            self.pending = None;
            self.rows.iter_mut().for_each(|row| row.content = None);
        }
        let refused = self.refused.as_ref().is_some_and(|refused| refused.same(&weights));
        if self.preparing.is_some() || refused {
            return;
        }
        let sources: Vec<(usize, Source)> = self.unread().map(|row| (row.number, row.source.clone())).collect();
        if sources.is_empty() {
            return;
        }
        let (oracle, dataset) = (self.oracle.clone(), state.dataset.clone());
        self.refused = Some(weights.clone());
        self.preparing = Some(Task::spawn("images", self.wake.clone(), move || {
            let oracle = oracle.map_or_else(|| Oracle::new(weights), Ok)?;
            let prepared: Vec<(usize, Result<Prepared, String>)> = sources
                .into_iter()
                .map(|(number, source)| (number, oracle.prepare(source, dataset.as_deref())))
                .collect();
            let begun = Instant::now();
            let inputs: Vec<Vec<u8>> =
                prepared.iter().flat_map(|(_, image)| image).map(|image| image.input.pixels.clone()).collect();
            let mut answers = oracle.answer(&inputs).map(Vec::into_iter);
            let milliseconds = begun.elapsed().as_secs_f64() * 1000.0;
            let images = prepared
                .into_iter()
                .map(|(number, image)| (number, image.map(|image| (image, answers.as_mut().and_then(Iterator::next)))))
                .collect();
            Ok(Batch { oracle, images, milliseconds })
        }));
    }

    fn take_prepared(&mut self, state: &mut State) {
        let batch = match finished(&mut self.preparing).map(Result::flatten) {
            None => return,
            Some(Ok(batch)) => batch,
            Some(Err(error)) => {
                // Without a network there is nothing to show the images to.
                self.chosen = None;
                return state.tell(Level::Error, error);
            }
        };
        self.refused = None;
        self.oracle = Some(batch.oracle);
        let shown = self.shown();
        for (number, answer) in batch.images {
            // The row may have been removed, or be on a page that is no longer seen.
            let Some(row) = self.rows[shown.clone()].iter_mut().find(|row| row.number == number) else { continue };
            if let Err(reason) = &answer {
                state.log.add(Level::Warning, reason.clone());
            }
            row.content = Some(answer.map(|(prepared, answer)| {
                self.unanswered |= answer.is_none();
                Item {
                    name: prepared.name,
                    original: Zoom::new(prepared.original),
                    input: Zoom::new(prepared.input),
                    truth: prepared.truth,
                    note: prepared.note,
                    milliseconds: if answer.is_some() { batch.milliseconds } else { 0.0 },
                    answer: answer.map(Ok),
                }
            }));
        }
    }

    /// Asks the session about the rows of this page, and takes its answers.
    fn exchange(&mut self, state: &mut State) {
        if let Some(pending) = &self.pending {
            let Some(outcome) = pending.reply.poll().map(Result::flatten) else { return };
            let milliseconds = pending.asked.elapsed().as_secs_f64() * 1000.0;
            let rows = self.pending.take().map_or_else(Vec::new, |pending| pending.rows);
            let mut answers = outcome.map(|answers| rows.into_iter().zip(answers).collect::<HashMap<_, _>>());
            for (number, item) in self.items() {
                item.answer = match &mut answers {
                    Ok(answers) => match answers.remove(&number) {
                        Some(answer) => Some(Ok(answer)),
                        // One that was read since.
                        None => continue,
                    },
                    Err(reason) => Some(Err(reason.clone())),
                };
                item.milliseconds = milliseconds;
            }
        }
        let live = matches!(self.oracle.as_ref().map(|oracle| &oracle.weights), Some(Weights::Live { .. }));
        let step = state.engine.view().map_or(0, |view| view.predictions.step);
        let moved_on = self.keep_up && step != self.asked_at_step;
        if !live || !state.engine.is_live() || !(self.unanswered || moved_on) {
            return;
        }
        let (rows, images): (Vec<usize>, Vec<Vec<u8>>) =
            self.items().map(|(number, item)| (number, item.input.picture.pixels.clone())).unzip();
        if rows.is_empty() {
            return;
        }
        let (send, reply) = mpsc::channel();
        state.engine.send(Command::Classify(Request { images, reply: send }));
        let wait = move || reply.recv().unwrap_or_else(|_| Err("the run ended before it answered".to_owned()));
        let reply = Task::spawn("answer", self.wake.clone(), wait);
        self.pending = Some(Pending { reply, rows, asked: Instant::now() });
        self.asked_at_step = step;
        self.unanswered = false;
    }
}

impl Pane for Classify {
    fn title(&self, _: &State) -> String {
        "Classify".to_owned()
    }

    #[cfg(test)]
    fn is_busy(&self) -> bool {
        self.preparing.is_some() || self.unread().next().is_some()
    }

    fn on_data(&mut self) {
        // Held-out images of the data before are gone; what came from files is asked about again.
        self.rows.retain(|row| !matches!(row.source, Source::HeldOut(_)));
        self.turn_to(self.page);
        self.refused = None;
    }

    fn tick(&mut self, _: &egui::Context, state: &mut State) {
        self.start_preparing(state);
        self.take_prepared(state);
        self.exchange(state);
    }

    fn ui(&mut self, ui: &mut Ui, state: &mut State) {
        if self.oracle.is_none() || self.rows.is_empty() {
            self.empty(ui, state);
            return;
        }
        self.controls(ui, state);
        let classes = self.oracle.as_ref().map(|oracle| oracle.classes.clone());
        let classes = classes.as_deref().unwrap_or_default();
        let (page, shown) = (self.page, self.shown());
        ScrollArea::vertical().id_salt(page).auto_shrink([false, false]).show(ui, |ui| {
            let mut removed = None;
            // The newest first: it is what was just dropped.
            for row in self.rows[shown].iter_mut().rev() {
                ui.push_id(row.number, |ui| {
                    widgets::card(ui, |ui| {
                        ui.set_width(ui.available_width());
                        if row.ui(ui, classes) {
                            removed = Some(row.number);
                        }
                    });
                });
            }
            if let Some(number) = removed {
                self.rows.retain(|row| row.number != number);
                self.turn_to(self.page);
            }
        });
    }
}

impl Classify {
    fn controls(&mut self, ui: &mut Ui, state: &mut State) {
        let palette = theme::palette(ui);
        widgets::toolbar(ui, |ui| {
            if ui.button("Open…").on_hover_text("Choose image files (Ctrl+O)").clicked() {
                state.ask(Action::OpenFiles);
            }
            if ui.button("Paste").on_hover_text("The image or the files in the clipboard (Ctrl+V)").clicked() {
                state.ask(Action::Paste);
            }
            let held_out = ui.add_enabled(state.dataset.is_some(), egui::Button::new("Held-out"));
            if held_out.on_hover_text("Eight more images of the validation split").clicked() {
                state.ask(Action::ClassifyHeldOut(8));
            }
            if ui.button("Clear").on_hover_text("Takes all images off this list").clicked() {
                self.rows.clear();
                self.turn_to(0);
            }
            let pages = self.pages();
            if pages > 1 {
                let mut page = self.page;
                widgets::pager(ui, &mut page, pages);
                if page != self.page {
                    self.turn_to(page);
                }
                let text = format!("{} images", number(self.rows.len() as u64));
                widgets::whole(ui, RichText::new(text).color(palette.weak));
            }
            match self.oracle.as_ref().map(|oracle| &oracle.weights) {
                Some(Weights::Saved { path, .. }) => {
                    let name = text::path(path.file_name().map_or(path, Path::new));
                    let text = RichText::new(format!("weights of {name}")).color(palette.weak);
                    widgets::whole(ui, text).on_hover_text(text::path(path));
                    if self.chosen.is_some()
                        && ui.small_button("Let go").on_hover_text("Back to the weights of the run").clicked()
                    {
                        self.use_weights(None);
                    }
                }
                Some(Weights::Live { .. }) if state.engine.is_live() => {
                    ui.checkbox(&mut self.keep_up, "Keep up")
                        .on_hover_text("Asks again whenever training has moved on");
                    let text = format!("live weights, step {}", number(self.asked_at_step));
                    widgets::whole(ui, RichText::new(text).color(palette.weak));
                }
                _ => {
                    let text = format!("No network yet: train, or {} weights", drop::verb());
                    widgets::whole(ui, RichText::new(text).color(palette.weak));
                }
            }
        });
    }

    fn empty(&mut self, ui: &mut Ui, state: &mut State) {
        let many = self.rows.len() as u64;
        if many > 0 {
            let images = if many == 1 { "1 image".to_owned() } else { format!("{} images", number(many)) };
            // Weights that could not be used are as good as none.
            let refused = |weights| self.refused.as_ref().is_some_and(|refused| refused.same(&weights));
            let reading = self.preparing.is_some() || self.weights(state).is_some_and(|weights| !refused(weights));
            if reading {
                let body = "Decoding, and fitting to the size of the network.";
                widgets::empty_state(ui, &format!("Reading {images}"), body, None);
                return;
            }
            let title = format!("{images} {} for a network", if many == 1 { "waits" } else { "wait" });
            let body = format!("Choose data on the left and train, or {} weights.", drop::verb());
            if widgets::empty_state(ui, &title, &body, Some("Open weights…")) {
                state.ask(Action::OpenFiles);
            }
            return;
        }
        let held_out = state.dataset.is_some().then_some("Try eight held-out images");
        let body = match display::takes_drops() {
            true => {
                "Drop images anywhere in the window, paste one with Ctrl+V, or open some. Each is shown as the network \
                 sees it, with its most likely classes. Drop weights to ask another network."
            }
            false => {
                "Open images, or copy and paste them with Ctrl+V: Wayland brings no drops to this window. Each is shown \
                 as the network sees it, with its most likely classes. Open weights to ask another network."
            }
        };
        if widgets::empty_state(ui, "Ask the network about an image", body, held_out) {
            state.ask(Action::ClassifyHeldOut(8));
        }
        ui.vertical_centered(|ui| {
            ui.add_space(4.0);
            if ui.button("Open images…").clicked() {
                state.ask(Action::OpenFiles);
            }
        });
    }
}

/// Side of the two pictures of a row, in points.
const SIDE: f32 = 96.0;

impl Row {
    /// Draws the row; returns whether it is to go.
    fn ui(&mut self, ui: &mut Ui, classes: &[String]) -> bool {
        let palette = theme::palette(ui);
        let item = self.content.as_ref().and_then(|content| content.as_ref().ok());
        let mut gone = false;
        ui.horizontal(|ui| {
            let name = item.map_or_else(|| self.source.name(), |item| item.name.clone());
            ui.label(RichText::new(name).strong());
            if let Some((truth, answer)) =
                item.and_then(|item| Some((item.truth?, item.answer.as_ref()?.as_ref().ok()?)))
            {
                let top = answer.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(class, _)| class);
                let (sign, color) = widgets::verdict(palette, top == Some(truth));
                let name = classes.get(truth).map_or("?", String::as_str);
                ui.label(RichText::new(format!("{sign} is {name}")).color(color));
            }
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                let close = egui::Button::new("✖").frame(false).small();
                gone = ui.add(close).on_hover_text("Take off this list").accessible_name("Remove image").clicked();
                if let Some(item) = item.filter(|item| item.milliseconds > 0.0) {
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
    /// Draws the pictures and what the network says of them.
    fn ui(&mut self, ui: &mut Ui, classes: &[String]) {
        let palette = theme::palette(ui);
        ui.horizontal_top(|ui| {
            for (zoom, caption) in [(&mut self.original, "Original"), (&mut self.input, "Network sees")] {
                ui.vertical(|ui| {
                    ui.set_width(SIDE);
                    zoom.ui(ui, SIDE, caption);
                    ui.label(RichText::new(caption).color(palette.weak).small());
                });
            }
            ui.vertical(|ui| match &self.answer {
                Some(Ok(answer)) => widgets::probability_bars(ui, classes, answer, self.truth, 5),
                Some(Err(reason)) => {
                    ui.label(RichText::new(reason).color(palette.wrong));
                }
                None => {
                    ui.label(RichText::new("Waiting for a network").color(palette.weak));
                }
            });
        });
        if let Some(note) = &self.note {
            ui.label(RichText::new(format!("⚠ {note}")).color(palette.warning));
        }
    }
}
