//! Images of one's own, dropped, pasted or opened, and what the network takes them for.
//!
//! Beside each original stands the very picture that the network sees, after crop and resize: most surprises are
//! explained by it.

mod card;
mod rows;

use self::rows::{Item, Rows};
use crate::app::{
    background::{Task, Wake, finished},
    classifier::{Classifier, Prepared, Source, Weights},
    desktop::display,
    drop,
    panes::pane::Pane,
    state::{Action, Actions, State},
    widgets::{self, theme, toasts::Level, zoom::Zoom},
};
use crate::{
    format::{number, plural},
    model::Padding,
    session::Request,
    text,
    train::answers::Answer,
    weights::{BUNDLED, is_bundled},
};
use eframe::egui::{self, RichText, ScrollArea, Ui};
use std::{collections::HashMap, path::PathBuf, sync::mpsc, time::Instant};

/// Images that are read at once, so that the first ones show before the last are read.
const AT_ONCE: usize = 8;

/// An image as the network takes it with its probabilities, or why it can't be read.
type Made = Result<(Prepared, Option<Answer>), String>;

/// What came of the images of one request, with the numbers of their rows.
struct Batch {
    classifier: Classifier,
    images: Vec<(usize, Made)>,
    /// Time that saved weights took to answer, in milliseconds.
    milliseconds: f64,
}

/// A request to the session that is on its way, about the rows of these numbers.
struct Pending {
    /// Waits for the reply, so that it wakes the window.
    reply: Task<Result<Vec<Answer>, String>>,
    rows: Vec<usize>,
    asked: Instant,
}

pub(crate) struct Classify {
    wake: Wake,
    rows: Rows,
    preparing: Option<Task<Result<Batch, String>>>,
    /// Weights that the user has chosen, instead of the run's.
    chosen: Option<(PathBuf, Option<Padding>)>,
    classifier: Option<Classifier>,
    /// Why the last weights could not be used; they are not tried again until something else is chosen.
    refused: Option<Weights>,
    pending: Option<Pending>,
    /// Ask again when the weights have moved on.
    keep_up: bool,
    /// Step of the predictions when the rows were last asked about.
    asked_at_step: u64,
    unanswered: bool,
}

impl Classify {
    pub(crate) fn new(wake: Wake) -> Self {
        Self {
            wake,
            rows: Rows::default(),
            preparing: None,
            chosen: None,
            classifier: None,
            refused: None,
            pending: None,
            keep_up: true,
            asked_at_step: 0,
            unanswered: false,
        }
    }

    /// Images that were ever added, to pick others the next time.
    pub(crate) fn added(&self) -> usize {
        self.rows.added()
    }

    /// Takes images to classify; they show up as soon as they are decoded, the last one on top.
    pub(crate) fn add(&mut self, sources: Vec<Source>) {
        self.rows.add(sources);
    }

    /// Classifies with a run's or a file's weights from now on, padding as told; `None` goes back to the run's.
    pub(crate) fn use_weights(&mut self, chosen: Option<(PathBuf, Option<Padding>)>) {
        self.chosen = chosen;
        self.refused = None;
    }

    /// Whose weights are to answer now.
    fn weights(&self, state: &State) -> Option<Weights> {
        let device = state.devices.choice;
        if let Some((path, padding)) = self.chosen.clone() {
            return Some(Weights::Saved { path, padding, device });
        }
        let live = state.run.is_live();
        if !live && let Some(path) = state.run.saved().cloned() {
            return Some(Weights::Saved { path, padding: None, device });
        }
        let recipe = state.run.view().filter(|_| live).map_or(&state.recipe, |view| &view.recipe);
        Some(Weights::Live { dataset: state.data.dataset.clone()?, recipe: Box::new(recipe.clone()) })
    }

    fn start_preparing(&mut self, state: &State) {
        let Some(weights) = self.weights(state) else { return };
        if self.classifier.as_ref().is_some_and(|classifier| !classifier.weights.same(&weights)) {
            // Other weights want the images in another form, or call the classes by other names.
            self.classifier = None;
            self.pending = None;
            self.rows.forget();
        }
        let refused = self.refused.as_ref().is_some_and(|refused| refused.same(&weights));
        if self.preparing.is_some() || refused {
            return;
        }
        let sources: Vec<(usize, Source)> =
            self.rows.unread(AT_ONCE).map(|row| (row.number, row.source.clone())).collect();
        if sources.is_empty() {
            return;
        }
        let (classifier, dataset) = (self.classifier.clone(), state.data.dataset.clone());
        self.refused = Some(weights.clone());
        self.preparing = Some(Task::spawn("images", self.wake.clone(), move || {
            let classifier = classifier.map_or_else(|| Classifier::new(weights), Ok)?;
            let prepared: Vec<(usize, Result<Prepared, String>)> = sources
                .into_iter()
                .map(|(number, source)| (number, classifier.prepare(source, dataset.as_deref())))
                .collect();
            let begun = Instant::now();
            let inputs: Vec<Vec<u8>> =
                prepared.iter().flat_map(|(_, image)| image).map(|image| image.input.pixels.clone()).collect();
            let mut answers = classifier.answer(&inputs).map(Vec::into_iter);
            let milliseconds = begun.elapsed().as_secs_f64() * 1000.0;
            let images = prepared
                .into_iter()
                .map(|(number, image)| (number, image.map(|image| (image, answers.as_mut().and_then(Iterator::next)))))
                .collect();
            Ok(Batch { classifier, images, milliseconds })
        }));
    }

    fn take_prepared(&mut self, actions: &mut Actions) {
        let batch = match finished(&mut self.preparing).map(Result::flatten) {
            None => return,
            Some(Ok(batch)) => batch,
            Some(Err(error)) => {
                // Without a network there is nothing to show the images to.
                self.chosen = None;
                return actions.tell(Level::Error, error);
            }
        };
        self.refused = None;
        self.classifier = Some(batch.classifier);
        for (number, answer) in batch.images {
            // The row may have been removed, or be on a page that is no longer seen.
            let Some(row) = self.rows.shown_mut().find(|row| row.number == number) else { continue };
            if let Err(reason) = &answer {
                actions.ask(Action::Log(Level::Warning, reason.clone()));
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
    fn exchange(&mut self, state: &State) {
        if let Some(pending) = &self.pending {
            let Some(outcome) = pending.reply.poll().map(Result::flatten) else { return };
            let milliseconds = pending.asked.elapsed().as_secs_f64() * 1000.0;
            let rows = self.pending.take().map_or_else(Vec::new, |pending| pending.rows);
            let mut answers = outcome.map(|answers| rows.into_iter().zip(answers).collect::<HashMap<_, _>>());
            for (number, item) in self.rows.items() {
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
        let live = matches!(self.classifier.as_ref().map(|classifier| &classifier.weights), Some(Weights::Live { .. }));
        let step = state.run.view().map_or(0, |view| view.predictions.step);
        let moved_on = self.keep_up && step != self.asked_at_step;
        if !live || !state.run.is_live() || !(self.unanswered || moved_on) {
            return;
        }
        let (rows, images): (Vec<usize>, Vec<Vec<u8>>) =
            self.rows.items().map(|(number, item)| (number, item.input.picture.pixels.clone())).unzip();
        if rows.is_empty() {
            return;
        }
        let (send, reply) = mpsc::channel();
        state.run.request(Request { images, reply: send });
        let wait = move || match reply.recv() {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err("the run ended before it answered".to_owned()),
        };
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
        self.preparing.is_some() || self.rows.unread(1).next().is_some()
    }

    fn on_data(&mut self) {
        // Held-out images of the data before are gone; what came from files is asked about again.
        self.rows.retain(|row| !matches!(row.source, Source::HeldOut(_)));
        self.refused = None;
    }

    fn tick(&mut self, _: &egui::Context, state: &State, actions: &mut Actions) {
        self.start_preparing(state);
        self.take_prepared(actions);
        self.exchange(state);
    }

    fn ui(&mut self, ui: &mut Ui, state: &State, actions: &mut Actions) {
        if self.classifier.is_none() || self.rows.is_empty() {
            self.empty(ui, state, actions);
            return;
        }
        self.controls(ui, state, actions);
        let classes = self.classifier.as_ref().map(|classifier| classifier.classes.clone());
        let classes = classes.as_deref().unwrap_or_default();
        ScrollArea::vertical().id_salt(self.rows.page()).auto_shrink([false, false]).show(ui, |ui| {
            let mut removed = None;
            // The newest first: it is what was just dropped.
            for row in self.rows.shown_mut() {
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
            }
            widgets::focus::follow(ui);
        });
    }
}

impl Classify {
    fn controls(&mut self, ui: &mut Ui, state: &State, actions: &mut Actions) {
        let palette = theme::palette(ui);
        widgets::toolbar(ui, |ui| {
            if ui.button("Open…").on_hover_text("Choose image files (Ctrl+O)").clicked() {
                actions.ask(Action::OpenFiles);
            }
            if ui.button("Paste").on_hover_text("The image or the files in the clipboard (Ctrl+V)").clicked() {
                actions.ask(Action::Paste);
            }
            let held_out = ui.add_enabled(state.data.dataset.is_some(), egui::Button::new("Held-out"));
            if held_out.on_hover_text("Eight more images of the validation split").clicked() {
                actions.ask(Action::ClassifyHeldOut(8));
            }
            if ui.button("Clear").on_hover_text("Takes all images off this list").clicked() {
                self.rows.retain(|_| false);
            }
            if self.rows.pages() > 1 {
                let mut page = self.rows.page();
                widgets::pager(ui, &mut page, self.rows.pages());
                self.rows.turn_to(page);
                let text = format!("{} images", number(self.rows.len() as u64));
                widgets::whole(ui, RichText::new(text).color(palette.weak));
            }
            match self.classifier.as_ref().map(|classifier| &classifier.weights) {
                Some(Weights::Saved { path, .. }) => {
                    let (name, whole) = match is_bundled(path) {
                        true => {
                            ("the built-in network".to_owned(), "EfficientNet-Lite0, trained on ImageNet".to_owned())
                        }
                        false => (format!("weights of {}", text::file_name(path)), text::path(path)),
                    };
                    widgets::whole(ui, RichText::new(name).color(palette.weak)).on_hover_text(whole);
                    if self.chosen.is_some()
                        && ui.small_button("Let go").on_hover_text("Back to the weights of the run").clicked()
                    {
                        self.use_weights(None);
                    }
                }
                Some(Weights::Live { .. }) if state.run.is_live() => {
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

    fn empty(&mut self, ui: &mut Ui, state: &State, actions: &mut Actions) {
        let many = self.rows.len();
        if many > 0 {
            let images = plural(many, "image");
            // Weights that could not be used are as good as none.
            let refused = |weights| self.refused.as_ref().is_some_and(|refused| refused.same(&weights));
            let reading = self.preparing.is_some() || self.weights(state).is_some_and(|weights| !refused(weights));
            if reading {
                let body = "Decoding, and fitting to the size of the network.";
                widgets::empty_state(ui, &format!("Reading {images}"), body, None);
                return;
            }
            let title = format!("{images} {} for a network", if many == 1 { "waits" } else { "wait" });
            let body = format!(
                "Kindling brings a network that tells ImageNet's thousand kinds of things apart. Or choose data on the \
                 left and train, or {} weights.",
                drop::verb()
            );
            if widgets::empty_state(ui, &title, &body, Some("Ask the built-in network")) {
                actions.ask(Action::ClassifyWith(BUNDLED.into(), None));
            }
            open_files(ui, "Open weights…", actions);
            return;
        }
        let held_out = state.data.dataset.is_some().then_some("Try eight held-out images");
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
            actions.ask(Action::ClassifyHeldOut(8));
        }
        open_files(ui, "Open images…", actions);
    }
}

/// A lesser button under an empty state's own.
fn open_files(ui: &mut Ui, label: &str, actions: &mut Actions) {
    ui.vertical_centered(|ui| {
        ui.add_space(4.0);
        if ui.button(label).clicked() {
            actions.ask(Action::OpenFiles);
        }
    });
}
