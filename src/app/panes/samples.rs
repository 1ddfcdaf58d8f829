//! The training images as the network gets them.
//!
//! Any batch of any epoch can be shown, past or to come, because order and augmentation are functions of the seed. The
//! grid follows the recipe on the left: change an augmentation and see what it does.

mod fit;

use crate::app::{
    background::{Wake, latest::Latest},
    panes::pane::Pane,
    state::{Actions, State},
    widgets::{
        self,
        grid::{self, Cell},
        pictures::{Picture, Sheet, SheetTexture},
        theme,
        zoom::{self, Zoom},
    },
};
use crate::{
    data::{Dataset, Normalisation, shown_class_name},
    format::number,
    text,
    train::{Feed, NormaliseBy, Position, Recipe, SampleParams, augment::Mix, normalisation},
};
use eframe::egui::{self, DragValue, RichText, Ui};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// As what the images are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    Augmented,
    Raw,
    /// Whole, with what the fit does to them.
    Fit,
}

/// What the worker is asked for.
#[derive(Clone)]
struct Job {
    dataset: Arc<Dataset>,
    recipe: Recipe,
    position: Position,
    view: View,
}

/// A batch as pictures.
struct Rendered {
    position: Position,
    steps_per_epoch: u64,
    view: View,
    params: Vec<SampleParams>,
    pictures: Vec<Picture>,
    sheet: Sheet,
}

/// An image that was clicked.
struct Detail {
    params: SampleParams,
    view: View,
    shown: Zoom,
    raw: Zoom,
}

pub(crate) struct Samples {
    worker: Latest<Job, Rendered>,
    sheet: SheetTexture,
    shown: Option<Rendered>,
    asked: Option<(Recipe, Position, View)>,
    asked_at: Instant,
    position: Position,
    follow: bool,
    view: View,
    class: Option<u32>,
    detail: Option<Detail>,
}

impl Samples {
    pub(crate) fn new(wake: Wake) -> Self {
        let mut known: Option<(Arc<Dataset>, NormaliseBy, Normalisation)> = None;
        let worker = Latest::new("samples", wake, move |job: Job| {
            // Measuring a large data set takes a moment; once is enough.
            let by = job.recipe.normalisation;
            let same = known.as_ref().filter(|known| Arc::ptr_eq(&known.0, &job.dataset) && known.1 == by);
            let table = same.map_or_else(|| normalisation(&job.recipe, &job.dataset), |known| known.2.clone());
            known = Some((job.dataset.clone(), by, table.clone()));
            render(&job, &table)
        });
        Self {
            worker,
            sheet: SheetTexture::default(),
            shown: None,
            asked: None,
            asked_at: Instant::now(),
            position: Position { epoch: 0, batch: 0 },
            follow: true,
            view: View::Augmented,
            class: None,
            detail: None,
        }
    }
}

fn render(job: &Job, table: &Normalisation) -> Rendered {
    let feed = Feed::new(job.dataset.clone(), &job.recipe, table);
    let steps_per_epoch = feed.steps_per_epoch().max(1);
    let position = Position { batch: job.position.batch.min(steps_per_epoch - 1), ..job.position };
    let plan = feed.plan(&feed.order(position.epoch), position);
    let (preprocessing, split) = (feed.transform().preprocessing(), &job.dataset.train);
    let pictures: Vec<Picture> = match job.view {
        View::Augmented => {
            let mut values = Vec::new();
            feed.render(&plan, &mut values);
            let [height, width] = feed.transform().output();
            let (channels, length) = (feed.transform().channels(), feed.transform().output_len().max(1));
            let pixels = values.chunks_exact(length).map(|values| preprocessing.denormalise(values));
            pixels.map(|pixels| Picture { width, height, channels, pixels }).collect()
        }
        View::Raw => plan.params.iter().filter_map(|params| Picture::in_proportion(split, params.index)).collect(),
        View::Fit => {
            let fitting = preprocessing.fitting();
            let shown = |params: &SampleParams| fit::shown(&job.dataset, params.index, &fitting);
            let stored = |params: &SampleParams| Picture::in_proportion(split, params.index);
            plan.params.iter().filter_map(|params| shown(params).or_else(|| stored(params))).collect()
        }
    };
    let params = plan.params;
    let sheet = Sheet::new(pictures.iter().cloned().enumerate().map(|(i, picture)| (i as u32, picture)));
    Rendered { position, steps_per_epoch, view: job.view, params, pictures, sheet }
}

impl Pane for Samples {
    fn title(&self, _: &State) -> String {
        "Samples".to_owned()
    }

    #[cfg(test)]
    fn is_busy(&self) -> bool {
        self.worker.is_busy()
    }

    fn on_data(&mut self) {
        self.sheet.clear();
        self.shown = None;
        self.asked = None;
        self.class = None;
        self.detail = None;
        self.position = Position { epoch: 0, batch: 0 };
    }

    fn ui(&mut self, ui: &mut Ui, state: &State, _: &mut Actions) {
        let Some(dataset) = state.data.dataset.clone() else {
            widgets::empty_state(
                ui,
                "The images that the network gets",
                "After cropping, flipping and all that the recipe asks for, batch by batch. Choose data on the left.",
                None,
            );
            return;
        };
        self.controls(ui, state, &dataset);
        self.request(state, &dataset);
        if let Some(rendered) = self.worker.take() {
            self.sheet.set(ui.ctx(), rendered.sheet.clone());
            self.position = if self.follow { self.position } else { rendered.position };
            self.shown = Some(rendered);
        }
        let Some(shown) = &self.shown else {
            ui.spinner();
            return;
        };
        let positions: Vec<usize> = (0..shown.pictures.len().min(shown.params.len()))
            .filter(|&i| self.class.is_none_or(|class| shown.params[i].label == class))
            .collect();
        if positions.is_empty() {
            widgets::empty_state(ui, "None of this class", "This batch has no image of the class; page on.", None);
            return;
        }
        let palette = theme::palette(ui);
        let clicked = grid::show(ui, "samples", &self.sheet, positions.len(), theme::THUMBNAIL, |at| {
            let params = &shown.params[positions[at]];
            let label = dataset.class(params.label);
            let mixed = shown.view == View::Augmented && params.mix != Mix::None && params.lambda < 1.0;
            let detail = match mixed {
                true => format!("{:.0} % + {}", params.lambda * 100.0, dataset.class(params.partner_label)),
                false => format!("#{}", params.index),
            };
            Cell {
                id: positions[at] as u32,
                name: format!("Training image {}, {label}", params.index),
                caption: label.to_owned(),
                color: palette.text,
                detail,
                border: None,
            }
        });
        if let Some(at) = clicked {
            let params = shown.params[positions[at]];
            let raw = Picture::in_proportion(&dataset.train, params.index);
            self.detail = raw.map(|raw| Detail {
                params,
                view: shown.view,
                shown: Zoom::new(shown.pictures[positions[at]].clone()),
                raw: Zoom::new(raw),
            });
        }
        self.detail_window(ui, &dataset);
    }
}

impl Samples {
    fn controls(&mut self, ui: &mut Ui, state: &State, dataset: &Dataset) {
        let live = state.run.is_live();
        if live && self.follow {
            // A new batch a second is as much as anybody looks at, and leaves the processor to training.
            if self.asked_at.elapsed() >= Duration::from_secs(1)
                && let Some(view) = state.run.view()
            {
                let per_epoch = view.steps_per_epoch.max(1);
                // After the last step the last batch stays.
                let step = view.step.min(view.total_steps.saturating_sub(1));
                self.position = Position { epoch: step / per_epoch, batch: step % per_epoch };
            }
        }
        let batches = self.shown.as_ref().map_or_else(|| state.steps_per_epoch(), |shown| shown.steps_per_epoch).max(1);
        // A value that is only brought into its range was not moved by anybody.
        let by_hand = |response: &egui::Response| {
            response.changed() && (response.dragged() || response.has_focus() || response.lost_focus())
        };
        widgets::toolbar(ui, |ui| {
            let mut moved = false;
            ui.label("Epoch");
            let mut epoch = self.position.epoch + 1;
            let drag = DragValue::new(&mut epoch).range(1..=state.recipe.epochs.max(1)).speed(0.1);
            let response = ui.add(drag).on_hover_text("The pass over the training images");
            moved |= by_hand(&response.accessible_name("Epoch shown"));
            widgets::keep_together(ui, 180.0, |ui| {
                ui.label("Batch");
                if ui.button("◀").on_hover_text("Batch before").accessible_name("Batch before").clicked() {
                    moved = true;
                    self.position = step(self.position, -1, batches);
                    epoch = self.position.epoch + 1;
                }
                let mut batch = self.position.batch + 1;
                let suffix = format!(" / {}", number(batches));
                let response = ui.add(DragValue::new(&mut batch).range(1..=batches).suffix(suffix).speed(0.2));
                moved |= by_hand(&response.accessible_name("Batch shown"));
                let shown = Position { epoch: epoch - 1, batch: batch - 1 };
                let next = ui.button("▶").on_hover_text("Next batch").accessible_name("Next batch").clicked();
                moved |= next;
                self.position = if next { step(shown, 1, batches) } else { shown };
            });
            if moved {
                self.follow = false;
            }
            ui.checkbox(&mut self.follow, "Follow").on_hover_text("Shows the batch that the run is at, once a second");
            let mut choices = vec![
                (View::Augmented, "Augmented", "As the network gets them"),
                (View::Raw, "Raw", "As they are stored, the same images"),
            ];
            if dataset.are_photographs() {
                let help = "The whole photographs, with what the recipe's fit makes of them for validation and predictions: \
                            what a centre crop cuts off is dimmed, what is padded is filled, what is squashed is squeezed";
                choices.push((View::Fit, "Fit", help));
            } else if self.view == View::Fit {
                self.view = View::Augmented;
            }
            widgets::chips(ui, &mut self.view, &choices);
            class_filter(ui, "samples", &mut self.class, &dataset.classes);
        });
    }

    /// Asks the worker where what is shown is not what should be.
    fn request(&mut self, state: &State, dataset: &Arc<Dataset>) {
        // The recipe of the setup column, so that an augmentation can be tried before it is used.
        let wanted = (state.recipe.clone(), self.position, self.view);
        if self.asked.as_ref() != Some(&wanted) {
            let (recipe, position, view) = wanted.clone();
            self.worker.request(Job { dataset: dataset.clone(), recipe, position, view });
            self.asked = Some(wanted);
            self.asked_at = Instant::now();
        }
    }

    fn detail_window(&mut self, ui: &mut Ui, dataset: &Dataset) {
        let Some(detail) = &mut self.detail else { return };
        let palette = theme::palette(ui);
        let params = detail.params;
        let mut open = true;
        let title = format!("Training image {}", number(u64::from(params.index)));
        widgets::detail_window(ui.ctx(), title, "sample").open(&mut open).show(ui.ctx(), |ui| {
            ui.horizontal_top(|ui| {
                let shown = match detail.view {
                    View::Augmented => Some("As the network gets it"),
                    View::Raw => None,
                    View::Fit => Some("As the fit has it"),
                };
                let both = [(&mut detail.raw, Some("As stored")), (&mut detail.shown, shown)];
                for (zoom, caption) in both.into_iter().filter_map(|(zoom, caption)| Some((zoom, caption?))) {
                    ui.vertical(|ui| {
                        ui.label(RichText::new(caption).color(palette.weak));
                        zoom.ui(ui, 224.0, caption);
                        zoom::histogram(ui, &zoom.picture, 224.0);
                    });
                }
            });
            ui.separator();
            widgets::fact(ui, "Class", shown_class_name(&dataset.classes, params.label));
            widgets::fact(ui, "What was done", params.to_string());
            let source = dataset.train.sources.as_ref().and_then(|all| all.get(params.index as usize));
            let source = source.map_or_else(|| format!("{}, image {}", dataset.name, params.index), String::clone);
            widgets::fact(ui, "Source", text::foreign(&source));
        });
        if !open || ui.input(|input| input.key_pressed(egui::Key::Escape)) {
            self.detail = None;
        }
    }
}

/// The next batch or the one before, across epochs.
fn step(position: Position, by: i64, batches: u64) -> Position {
    let batches = batches.max(1);
    let at = (position.epoch * batches + position.batch).saturating_add_signed(by);
    Position { epoch: at / batches, batch: at % batches }
}

/// A list to choose one class, or all.
pub(crate) fn class_filter(ui: &mut Ui, salt: &str, class: &mut Option<u32>, classes: &[String]) {
    let name = |chosen: Option<u32>| {
        chosen.map_or_else(|| "All classes".to_owned(), |chosen| shown_class_name(classes, chosen))
    };
    let combo = egui::ComboBox::from_id_salt((salt, "class")).selected_text(name(*class)).width(110.0);
    let response = combo.show_ui(ui, |ui| {
        ui.selectable_value(class, None, "All classes");
        for index in 0..classes.len() as u32 {
            ui.selectable_value(class, Some(index), name(Some(index)));
        }
    });
    response.response.on_hover_text("Shows one class only").accessible_name("Class filter");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paging_goes_across_epochs() {
        let at = |epoch, batch| Position { epoch, batch };
        assert_eq!(step(at(0, 9), 1, 10), at(1, 0));
        assert_eq!(step(at(1, 0), -1, 10), at(0, 9));
        assert_eq!(step(at(0, 0), -1, 10), at(0, 0));
    }
}
