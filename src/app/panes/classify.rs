//! Images of one's own, dropped, pasted or opened, and what the network takes them for.
//!
//! Beside each original stands the very picture that the network sees, after crop and resize: most surprises are
//! explained by it.

use crate::app::{
    background::{Task, Wake, finished},
    pane::Pane,
    pictures::Picture,
    state::{Action, State},
    statistics::Statistics,
    theme,
    toasts::Level,
    widgets,
    words::number,
    zoom::Zoom,
};
use crate::{
    data::{Dataset, Preprocessing, decode_image},
    session::{Command, Request},
    train::{Recipe, Transform},
};
use eframe::egui::{self, RichText, ScrollArea, Ui};
use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

/// Where an image comes from.
#[derive(Clone, Debug)]
pub enum Source {
    File(PathBuf),
    Pasted(Picture),
    /// Position in the validation split.
    HeldOut(u32),
}

/// An image that is ready for the network.
struct Prepared {
    name: String,
    original: Picture,
    /// `[height, width, channels]` bytes in the network's size.
    input: Picture,
    truth: Option<usize>,
    note: Option<String>,
}

/// What came of the images of one request; a file that is no image has a reason instead.
type Batch = Vec<Result<Prepared, String>>;

/// A row of the pane.
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

/// A request to the session that is on its way.
struct Pending {
    reply: mpsc::Receiver<Result<Vec<Vec<f32>>, String>>,
    asked: Instant,
    /// Rows that it is about.
    rows: std::ops::Range<usize>,
}

/// Rows that the pane keeps; the oldest go first.
const MOST: usize = 64;
/// Longer side of an original that is kept, in pixels.
const KEPT: usize = 512;

pub struct Classify {
    wake: Wake,
    waiting: VecDeque<Vec<Source>>,
    preparing: Option<Task<(Batch, Known)>>,
    known: Option<Known>,
    items: Vec<Item>,
    pending: Option<Pending>,
    /// Ask again when the weights have moved on.
    keep_up: bool,
    /// Step of the predictions when the rows were last asked about.
    asked_at_step: u64,
    unanswered: bool,
}

/// What is worked out once for a data set.
#[derive(Clone)]
struct Known {
    dataset: Arc<Dataset>,
    preprocessing: Preprocessing,
    recipe: Recipe,
    statistics: Arc<Statistics>,
}

impl Known {
    fn new(dataset: Arc<Dataset>, recipe: Recipe) -> Self {
        let normalisation = dataset.normalisation_or_measured();
        let [height, width] = Transform::new(&dataset.train, &recipe, &normalisation).output();
        let preprocessing = Preprocessing::new(height, width, normalisation);
        let statistics = Arc::new(Statistics::of(&dataset.train));
        Self { dataset, preprocessing, recipe, statistics }
    }

    fn fits(&self, dataset: &Arc<Dataset>, recipe: &Recipe) -> bool {
        let shape = |recipe: &Recipe| (recipe.image_size, recipe.fit);
        Arc::ptr_eq(&self.dataset, dataset) && shape(&self.recipe) == shape(recipe)
    }

    fn prepare(&self, source: &Source) -> Result<Prepared, String> {
        let (name, image, truth) = match source {
            Source::File(path) => {
                let name = path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into());
                let bytes = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                (name, decode_image(&bytes).map_err(|error| format!("{}: {error}", path.display()))?, None)
            }
            Source::Pasted(picture) => {
                let (width, height) = (picture.width as u32, picture.height as u32);
                let image = image::RgbImage::from_raw(width, height, picture.pixels.clone());
                ("Pasted image".to_owned(), image.ok_or("the clipboard holds a broken image")?.into(), None)
            }
            Source::HeldOut(index) => {
                let split = &self.dataset.validation;
                let picture = Picture::of(split, *index).ok_or("there is no such image")?;
                let truth = split.labels.get(*index as usize).map(|&label| label as usize);
                let (width, height) = (picture.width as u32, picture.height as u32);
                let image: Option<image::DynamicImage> = match picture.channels {
                    1 => image::GrayImage::from_raw(width, height, picture.pixels).map(Into::into),
                    _ => image::RgbImage::from_raw(width, height, picture.pixels).map(Into::into),
                };
                (format!("Held-out image {index}"), image.ok_or("the data set holds a broken image")?, truth)
            }
        };
        let Preprocessing { width, height, channels, .. } = self.preprocessing;
        let input = Picture { width, height, channels, pixels: self.preprocessing.prepare(&image) };
        let note = self.statistics.note(&input);
        Ok(Prepared { name, original: Picture::from_image(&image).shrunk(KEPT), input, truth, note })
    }
}

impl Classify {
    pub fn new(wake: Wake) -> Self {
        Self {
            wake,
            waiting: VecDeque::new(),
            preparing: None,
            known: None,
            items: Vec::new(),
            pending: None,
            keep_up: true,
            asked_at_step: 0,
            unanswered: false,
        }
    }

    /// A number that moves on with the images that were added, to pick others the next time.
    pub fn turn(&self) -> usize {
        self.items.len()
    }

    /// Classifies with the weights of that file or run from now on.
    pub fn use_weights(&mut self, _path: PathBuf) {}

    /// Takes images to classify; they show up as soon as they are decoded.
    pub fn add(&mut self, sources: Vec<Source>) {
        self.waiting.push_back(sources);
    }

    fn start_preparing(&mut self, state: &State) {
        let Some(dataset) = state.dataset.clone() else { return };
        if self.preparing.is_some() {
            return;
        }
        let Some(sources) = self.waiting.pop_front() else { return };
        let recipe = state.engine.view().map_or_else(|| state.recipe.clone(), |view| view.recipe.clone());
        let known = self.known.clone().filter(|known| known.fits(&dataset, &recipe));
        self.preparing = Some(Task::spawn("images", self.wake.clone(), move || {
            let known = known.unwrap_or_else(|| Known::new(dataset, recipe));
            let batch = sources.iter().map(|source| known.prepare(source)).collect();
            (batch, known)
        }));
    }

    fn take_prepared(&mut self, state: &mut State) {
        let (batch, known) = match finished(&mut self.preparing) {
            None => return,
            Some(Ok(result)) => result,
            Some(Err(error)) => return state.tell(Level::Error, error),
        };
        self.known = Some(known);
        for outcome in batch {
            match outcome {
                Ok(prepared) => self.items.push(Item {
                    name: prepared.name,
                    original: Zoom::new(prepared.original),
                    input: Zoom::new(prepared.input),
                    truth: prepared.truth,
                    note: prepared.note,
                    answer: None,
                    milliseconds: 0.0,
                }),
                Err(reason) => state.tell(Level::Warning, reason),
            }
        }
        // The rows of a request under way must keep their places.
        if self.pending.is_none() {
            let surplus = self.items.len().saturating_sub(MOST);
            self.items.drain(..surplus);
        }
        self.unanswered = true;
    }

    fn exchange(&mut self, ctx: &egui::Context, state: &mut State) {
        if let Some(pending) = &self.pending {
            let outcome = match pending.reply.try_recv() {
                Ok(outcome) => outcome,
                Err(mpsc::TryRecvError::Empty) => {
                    // A reply does not wake the window.
                    ctx.request_repaint_after(Duration::from_millis(50));
                    return;
                }
                Err(mpsc::TryRecvError::Disconnected) => Err("the run ended before it answered".to_owned()),
            };
            let (rows, milliseconds) = (pending.rows.clone(), pending.asked.elapsed().as_secs_f64() * 1000.0);
            self.pending = None;
            for (at, row) in rows.enumerate() {
                let Some(item) = self.items.get_mut(row) else { continue };
                item.milliseconds = milliseconds;
                item.answer = Some(match &outcome {
                    Ok(answers) => answers.get(at).cloned().ok_or_else(|| "the network gave no answer".to_owned()),
                    Err(reason) => Err(reason.clone()),
                });
            }
        }
        let step = state.engine.view().map_or(0, |view| view.predictions.step);
        let moved_on = self.keep_up && step != self.asked_at_step;
        if self.items.is_empty() || !state.engine.is_live() || !(self.unanswered || moved_on) {
            return;
        }
        let (send, reply) = mpsc::channel();
        let images = self.items.iter().map(|item| item.input.picture.pixels.clone()).collect();
        state.engine.send(Command::Classify(Request { images, reply: send }));
        self.pending = Some(Pending { reply, asked: Instant::now(), rows: 0..self.items.len() });
        self.asked_at_step = step;
        self.unanswered = false;
    }
}

impl Pane for Classify {
    fn title(&self, _: &State) -> String {
        "Classify".to_owned()
    }

    fn on_data(&mut self) {
        self.known = None;
        self.items.clear();
        self.pending = None;
    }

    fn tick(&mut self, ctx: &egui::Context, state: &mut State) {
        self.start_preparing(state);
        self.take_prepared(state);
        self.exchange(ctx, state);
    }

    fn ui(&mut self, ui: &mut Ui, state: &mut State) {
        if self.items.is_empty() {
            self.empty(ui, state);
            return;
        }
        let palette = theme::palette(ui);
        widgets::toolbar(ui, |ui| {
            if ui.button("Open…").on_hover_text("Choose image files (Ctrl+O)").clicked() {
                state.ask(Action::OpenFiles);
            }
            if ui.button("Paste").on_hover_text("The image in the clipboard (Ctrl+V)").clicked() {
                state.ask(Action::Paste);
            }
            if ui.button("Held-out").on_hover_text("Eight images of the validation split").clicked() {
                state.ask(Action::ClassifyHeldOut(8));
            }
            ui.checkbox(&mut self.keep_up, "Keep up").on_hover_text("Asks again whenever training has moved on");
            if ui.button("Clear").on_hover_text("Takes all images off this list").clicked() {
                self.items.clear();
                self.pending = None;
            }
            let text = match state.engine.is_live() {
                true => format!("live weights, step {}", number(self.asked_at_step)),
                false => "no run goes on: answers come when one does".to_owned(),
            };
            ui.label(RichText::new(text).color(palette.weak));
        });
        let classes = self.known.as_ref().map(|known| known.dataset.classes.clone()).unwrap_or_default();
        ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
            let mut removed = None;
            // The newest first: it is what was just dropped.
            for (index, item) in self.items.iter_mut().enumerate().rev() {
                ui.push_id(index, |ui| {
                    widgets::card(ui, |ui| {
                        ui.set_width(ui.available_width());
                        if item.ui(ui, &classes) {
                            removed = Some(index);
                        }
                    });
                });
            }
            if let Some(index) = removed.filter(|_| self.pending.is_none()) {
                self.items.remove(index);
            }
        });
    }
}

impl Classify {
    fn empty(&mut self, ui: &mut Ui, state: &mut State) {
        if self.preparing.is_some() || !self.waiting.is_empty() {
            let body = match state.dataset {
                Some(_) => "Decoding and fitting to the size of the network.",
                None => "They wait for a network: choose data on the left and train, and the answers come here.",
            };
            widgets::empty_state(ui, "Reading images", body, None);
            return;
        }
        let held_out = state.dataset.is_some().then_some("Try eight held-out images");
        let body = "Drop images anywhere in the window, paste one with Ctrl+V, or open some. Each is shown as the \
                    network sees it, with its most likely classes.";
        let pressed = widgets::empty_state(ui, "Ask the network about an image", body, held_out);
        if pressed {
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
                let name = classes.get(truth).map_or("?", String::as_str);
                ui.label(RichText::new(format!("{sign} is {name}")).color(color));
            }
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                let close = egui::Button::new("✖").frame(false).small();
                gone = ui.add(close).on_hover_text("Take off this list").accessible_name("Remove image").clicked();
                if self.milliseconds > 0.0 {
                    let text = RichText::new(format!("{:.0} ms", self.milliseconds)).color(palette.weak).small();
                    ui.label(text).on_hover_text("From the question to the answer, beside the training that goes on");
                }
            });
        });
        ui.horizontal_top(|ui| {
            for (zoom, caption) in [(&mut self.original, "Original"), (&mut self.input, "What the network sees")] {
                ui.vertical(|ui| {
                    ui.set_width(104.0);
                    zoom.ui(ui, 104.0, caption);
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
