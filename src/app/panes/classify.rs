//! Images of one's own, dropped, pasted or opened, and what the network takes them for.
//!
//! Beside each original stands the very picture that the network sees, after crop and resize: most surprises are
//! explained by it.

use crate::app::{
    background::{Task, Wake, finished},
    oracle::{Oracle, Prepared, Source, Weights},
    pane::Pane,
    state::{Action, State},
    theme,
    toasts::Level,
    widgets,
    words::{self, number},
    zoom::Zoom,
};
use crate::{
    model::Padding,
    session::{Command, Request},
    text,
};
use eframe::egui::{self, RichText, ScrollArea, Ui};
use std::{path::PathBuf, sync::mpsc, time::Instant};

/// An image as the network takes it with its probabilities, or why it can't be read.
type Answer = Result<(Prepared, Option<Vec<f32>>), String>;

/// What came of the images of one request.
struct Batch {
    oracle: Oracle,
    images: Vec<Answer>,
    /// Time that saved weights took to answer, in milliseconds.
    milliseconds: f64,
}

/// A row of the pane.
struct Item {
    source: Source,
    name: String,
    original: Zoom,
    input: Zoom,
    truth: Option<usize>,
    note: Option<String>,
    answer: Option<Result<Vec<f32>, String>>,
    /// From the request to the answer, in milliseconds, shared by the images of one request.
    milliseconds: f64,
}

/// A request to the session that is on its way, about the first rows.
struct Pending {
    /// Waits for the reply, so that it wakes the window.
    reply: Task<Result<Vec<Vec<f32>>, String>>,
    asked: Instant,
}

/// Rows that the pane keeps; the oldest go first.
const MOST: usize = 64;

pub struct Classify {
    wake: Wake,
    waiting: Vec<Source>,
    preparing: Option<Task<Result<Batch, String>>>,
    /// Weights that the user has chosen, instead of the run's.
    chosen: Option<(PathBuf, Option<Padding>)>,
    oracle: Option<Oracle>,
    /// Why the last weights could not be used; they are not tried again until something else is chosen.
    refused: Option<Weights>,
    items: Vec<Item>,
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
            waiting: Vec::new(),
            preparing: None,
            chosen: None,
            oracle: None,
            refused: None,
            items: Vec::new(),
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

    /// Takes images to classify; they show up as soon as they are decoded.
    pub fn add(&mut self, sources: Vec<Source>) {
        self.added += sources.len();
        self.waiting.extend(sources);
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
            self.waiting.splice(0..0, self.items.drain(..).map(|item| item.source));
        }
        let refused = self.refused.as_ref().is_some_and(|refused| refused.same(&weights));
        if self.preparing.is_some() || self.waiting.is_empty() || refused {
            return;
        }
        let sources = std::mem::take(&mut self.waiting);
        let (oracle, dataset) = (self.oracle.clone(), state.dataset.clone());
        self.refused = Some(weights.clone());
        self.preparing = Some(Task::spawn("images", self.wake.clone(), move || {
            let oracle = oracle.map_or_else(|| Oracle::new(weights), Ok)?;
            let prepared: Vec<Result<Prepared, String>> =
                sources.into_iter().map(|source| oracle.prepare(source, dataset.as_deref())).collect();
            let begun = Instant::now();
            let inputs: Vec<Vec<u8>> = prepared.iter().flatten().map(|image| image.input.pixels.clone()).collect();
            let mut answers = oracle.answer(&inputs).map(Vec::into_iter);
            let milliseconds = begun.elapsed().as_secs_f64() * 1000.0;
            let images = prepared
                .into_iter()
                .map(|image| image.map(|image| (image, answers.as_mut().and_then(Iterator::next))))
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
        for outcome in batch.images {
            match outcome {
                Ok((prepared, answer)) => {
                    self.unanswered |= answer.is_none();
                    self.items.push(Item {
                        source: prepared.source,
                        name: prepared.name,
                        original: Zoom::new(prepared.original),
                        input: Zoom::new(prepared.input),
                        truth: prepared.truth,
                        note: prepared.note,
                        milliseconds: if answer.is_some() { batch.milliseconds } else { 0.0 },
                        answer: answer.map(Ok),
                    });
                }
                Err(reason) => state.tell(Level::Warning, reason),
            }
        }
        let surplus = self.items.len().saturating_sub(MOST);
        if surplus > 0 {
            // An answer under way is about rows that move.
            self.items.drain(..surplus);
            self.pending = None;
            self.unanswered = true;
        }
    }

    /// Asks the session about all rows, and takes its answers.
    fn exchange(&mut self, state: &mut State) {
        if let Some(pending) = &self.pending {
            let Some(outcome) = pending.reply.poll().map(Result::flatten) else { return };
            let milliseconds = pending.asked.elapsed().as_secs_f64() * 1000.0;
            self.pending = None;
            match outcome {
                Ok(answers) => {
                    for (item, answer) in self.items.iter_mut().zip(answers) {
                        item.answer = Some(Ok(answer));
                        item.milliseconds = milliseconds;
                    }
                }
                Err(reason) => {
                    self.items.iter_mut().for_each(|item| item.answer = Some(Err(reason.clone())));
                }
            }
        }
        let live = matches!(self.oracle.as_ref().map(|oracle| &oracle.weights), Some(Weights::Live { .. }));
        let step = state.engine.view().map_or(0, |view| view.predictions.step);
        let moved_on = self.keep_up && step != self.asked_at_step;
        if !live || self.items.is_empty() || !state.engine.is_live() || !(self.unanswered || moved_on) {
            return;
        }
        let (send, reply) = mpsc::channel();
        let images = self.items.iter().map(|item| item.input.picture.pixels.clone()).collect();
        state.engine.send(Command::Classify(Request { images, reply: send }));
        let wait = move || reply.recv().unwrap_or_else(|_| Err("the run ended before it answered".to_owned()));
        self.pending = Some(Pending { reply: Task::spawn("answer", self.wake.clone(), wait), asked: Instant::now() });
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
        self.preparing.is_some() || !self.waiting.is_empty()
    }

    fn on_data(&mut self) {
        // Held-out images of the data before are gone; what came from files is asked about again.
        self.items.retain(|item| !matches!(item.source, Source::HeldOut(_)));
        self.waiting.retain(|source| !matches!(source, Source::HeldOut(_)));
        self.pending = None;
        self.refused = None;
    }

    fn tick(&mut self, _: &egui::Context, state: &mut State) {
        self.start_preparing(state);
        self.take_prepared(state);
        self.exchange(state);
    }

    fn ui(&mut self, ui: &mut Ui, state: &mut State) {
        if self.items.is_empty() {
            self.empty(ui, state);
            return;
        }
        self.controls(ui, state);
        let classes = self.oracle.as_ref().map(|oracle| oracle.classes.clone());
        let classes = classes.as_deref().unwrap_or_default();
        ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
            let mut removed = None;
            // The newest first: it is what was just dropped.
            for (index, item) in self.items.iter_mut().enumerate().rev() {
                ui.push_id(index, |ui| {
                    widgets::card(ui, |ui| {
                        ui.set_width(ui.available_width());
                        if item.ui(ui, classes) {
                            removed = Some(index);
                        }
                    });
                });
            }
            if let Some(index) = removed {
                self.items.remove(index);
                self.unanswered |= self.pending.take().is_some();
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
            if ui.button("Paste").on_hover_text("The image in the clipboard (Ctrl+V)").clicked() {
                state.ask(Action::Paste);
            }
            let held_out = ui.add_enabled(state.dataset.is_some(), egui::Button::new("Held-out"));
            if held_out.on_hover_text("Eight more images of the validation split").clicked() {
                state.ask(Action::ClassifyHeldOut(8));
            }
            if ui.button("Clear").on_hover_text("Takes all images off this list").clicked() {
                self.items.clear();
                self.pending = None;
            }
            match self.oracle.as_ref().map(|oracle| &oracle.weights) {
                Some(Weights::Saved { path, .. }) => {
                    let text = RichText::new(format!("weights of {}", words::file_name(path))).color(palette.weak);
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
                    widgets::whole(ui, RichText::new("No network yet: train, or drop weights").color(palette.weak));
                }
            }
        });
    }

    fn empty(&mut self, ui: &mut Ui, state: &mut State) {
        if self.preparing.is_some() || !self.waiting.is_empty() {
            let body = match self.weights(state) {
                Some(_) => "Decoding, and fitting to the size of the network.",
                None => "They wait for a network: choose data on the left and train, or drop weights.",
            };
            widgets::empty_state(ui, "Reading images", body, None);
            return;
        }
        let held_out = state.dataset.is_some().then_some("Try eight held-out images");
        let body = "Drop images anywhere in the window, paste one with Ctrl+V, or open some. Each is shown as the \
                    network sees it, with its most likely classes. Drop weights to ask another network.";
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

impl Item {
    /// Draws the row; returns whether it is to go.
    fn ui(&mut self, ui: &mut Ui, classes: &[String]) -> bool {
        let palette = theme::palette(ui);
        let mut gone = false;
        ui.horizontal(|ui| {
            ui.label(RichText::new(&self.name).strong());
            if let (Some(truth), Some(Ok(answer))) = (self.truth, &self.answer) {
                let top = answer.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(class, _)| class);
                let (sign, color) = widgets::verdict(palette, top == Some(truth));
                ui.label(RichText::new(format!("{sign} is {}", words::class(classes, truth))).color(color));
            }
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                let close = egui::Button::new("✖").frame(false).small();
                gone = ui.add(close).on_hover_text("Take off this list").accessible_name("Remove image").clicked();
                if self.milliseconds > 0.0 {
                    let text = RichText::new(format!("{:.0} ms", self.milliseconds)).color(palette.weak).small();
                    ui.label(text).on_hover_text("From the question to the answer, for all images asked about at once");
                }
            });
        });
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
        gone
    }
}
