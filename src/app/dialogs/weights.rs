//! Weights that were dropped, opened or named: what network they are, where each tensor went, and what to do with them.

use crate::app::{
    background::{Wake, loading::Loading},
    state::{Action, State},
    widgets::{
        self,
        table::{self, Column},
        theme,
    },
};
use crate::{
    data::Progress,
    format::{number, sentence},
    model::Padding,
    text,
    train::predictor,
    weights::{self, Backbone, ImportReport, Imported, ModelCard, Pretrained},
};
use eframe::egui::{self, Button, CollapsingHeader, ComboBox, Context, ProgressBar, RichText, ScrollArea, Ui};
use std::path::{Path, PathBuf};

/// What was read, without the tensors' values.
struct About {
    /// A file or a run's folder; published weights lie in the cache.
    path: PathBuf,
    /// With the padding that the user chose; without classes for a backbone.
    card: ModelCard,
    report: ImportReport,
    /// Whether they are a network that answers, and not only one to start from.
    answers: bool,
}

/// See the module.
pub(crate) struct WeightsDialog {
    /// A path or the name of published weights.
    spec: String,
    stage: Stage,
    /// Whether a run that starts from them prepares its images as these weights expect.
    prepare: bool,
}

enum Stage {
    Reading(Loading<About>),
    Refused(String),
    Read(Box<About>),
}

const PLACED: [Column; 4] = [
    Column { name: "In the file", help: "The tensor's name there", share: 3.2, greatest_first: false },
    Column { name: "In the network", help: "torchvision's name", share: 3.0, greatest_first: false },
    Column { name: "Shape", help: "Outputs, inputs, height, width", share: 1.8, greatest_first: false },
    Column { name: "Type", help: "As stored; computed with as float32", share: 1.1, greatest_first: false },
];
const LEFT: [Column; 2] = [
    Column { name: "In the file", help: "The tensor's name there", share: 1.0, greatest_first: false },
    Column { name: "Why it was left", help: "What it is for", share: 1.0, greatest_first: false },
];
/// What each padding is, in words.
const PADDINGS: [(Padding, &str, &str); 3] = [
    (Padding::Torch, "PyTorch's", "Zeros evenly on every side"),
    (
        Padding::SamePool,
        "MindSpore's for the pool",
        "mindvision and MindCV: convolutions as in PyTorch, the max-pool “same”",
    ),
    (Padding::Same, "MindSpore's", "“same” everywhere: an odd pixel goes to the end"),
];

impl WeightsDialog {
    /// Begins to read `spec`: a path, or the name of published weights, which are fetched from `mirror` where one is given.
    pub(crate) fn open(spec: &str, mirror: Option<String>, wake: Wake) -> Self {
        let named = spec.to_owned();
        let reading = Loading::start("weights", wake, move |progress| read(&named, mirror.as_deref(), progress));
        Self { spec: spec.to_owned(), stage: Stage::Reading(reading), prepare: true }
    }

    /// Draws the dialog and asks for what was chosen; false when it is done with.
    pub(crate) fn ui(&mut self, ctx: &Context, state: &mut State) -> bool {
        if let Stage::Reading(reading) = &mut self.stage
            && let Some(result) = reading.poll()
        {
            self.stage = result.map_or_else(Stage::Refused, |about| Stage::Read(Box::new(about)));
        }
        let mut done = false;
        let modal = egui::Modal::new(egui::Id::unique("weights")).frame(theme::dialog_frame(ctx)).show(ctx, |ui| {
            ui.set_width(600.0);
            ui.label(RichText::new(name(&self.spec)).strong().size(15.0)).on_hover_text(&self.spec);
            ui.add_space(4.0);
            let palette = theme::palette(ui);
            match &mut self.stage {
                Stage::Reading(reading) => {
                    let (share, text) = reading.progress();
                    ui.add(ProgressBar::new(share.unwrap_or(0.0)).desired_height(8.0).fill(palette.accent));
                    ui.label(RichText::new(text).color(palette.weak));
                    done = ui.button("Cancel").on_hover_text("A download goes on later where it stopped").clicked();
                }
                Stage::Refused(problem) => {
                    let text = RichText::new(format!("⚠ {problem}")).color(palette.wrong);
                    ScrollArea::vertical().max_height(240.0).show(ui, |ui| ui.label(text));
                    done = ui.button("Close").clicked();
                }
                Stage::Read(about) => {
                    describe(ui, about, state);
                    ui.add_space(6.0);
                    done = buttons(ui, about, &mut self.prepare, state);
                }
            }
        });
        let done = done || modal.should_close();
        if let (true, Stage::Reading(reading)) = (done, &self.stage) {
            reading.cancel();
        }
        !done
    }
}

fn read(spec: &str, mirror: Option<&str>, progress: &dyn Progress) -> Result<About, String> {
    let folder = weights::cache_dir().ok_or("there is no cache folder for this user")?;
    let path = weights::locate(spec, &folder, mirror, progress).map_err(|error| error.to_string())?;
    let read = predictor::pretrained(&path).map_err(|error| error.to_string())?;
    Ok(match read {
        Pretrained::Network(Imported { card, report, .. }) => About { path, card, report, answers: true },
        Pretrained::Backbone(Backbone { spec, report, .. }) => {
            let preprocessing = weights::default_preprocessing(&spec);
            About {
                path,
                card: ModelCard { spec, classes: Vec::new(), preprocessing, validation_share: None, head: None },
                report,
                answers: false,
            }
        }
    })
}

/// A file's name, or the name of published weights.
fn name(spec: &str) -> String {
    text::file_name(Path::new(spec))
}

fn describe(ui: &mut Ui, about: &mut About, state: &State) {
    let palette = theme::palette(ui);
    let About { card, report, answers, .. } = about;
    widgets::fact(ui, "Network", RichText::new(&report.model).strong());
    widgets::fact(ui, "Parameters", number(report.parameters as u64));
    let names = report.family.map_or_else(String::new, |family| format!(", {family} names"));
    widgets::fact(ui, "File", format!("{}{names}", report.format));
    let p = &card.preprocessing;
    let kind = if p.channels == 1 { "gray" } else { "colour" };
    widgets::fact(ui, "Images", format!("{}x{} {kind}", p.width, p.height));
    // Kindling's own files say how they pad; another's were written by a program that knows and does not tell.
    if report.family.is_some() {
        let padding = &mut card.spec.padding;
        ui.horizontal(|ui| {
            ui.label(RichText::new("Padding").color(palette.weak));
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                let text = PADDINGS.iter().find(|(value, ..)| value == &*padding).map_or("", |(_, name, _)| name);
                let combo = ComboBox::from_id_salt("padding").selected_text(text).width(190.0);
                let inner = combo.show_ui(ui, |ui| {
                    for (value, name, help) in PADDINGS {
                        ui.selectable_value(padding, value, name).on_hover_text(help);
                    }
                });
                let help =
                    "Where zeros go around an image. The file does not say; this is what such files usually mean.";
                inner.response.on_hover_text(help).accessible_name("Padding of the weights");
            });
        });
    }
    for note in report.notes.iter().chain(&changes(card, state)) {
        ui.label(RichText::new(format!("• {}", sentence(&text::message(note)))).color(palette.weak));
    }
    ui.add_space(4.0);
    if *answers {
        let title = format!("{} classes", number(card.classes.len() as u64));
        CollapsingHeader::new(title).id_salt("classes of weights").show(ui, |ui| {
            ScrollArea::vertical().max_height(150.0).auto_shrink([false, true]).show(ui, |ui| {
                let names: Vec<String> = card.classes.iter().map(|class| text::foreign(class)).collect();
                ui.label(names.join(", "));
            });
        });
    }
    let title = format!("{} tensors placed", number(report.placed.len() as u64));
    CollapsingHeader::new(title).id_salt("placed").show(ui, |ui| {
        let cell = |row: usize, column: usize| {
            let placed = &report.placed[row];
            let text = match column {
                0 => placed.from.clone(),
                1 => placed.to.join(", "),
                2 => placed.shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x"),
                _ => placed.dtype.clone(),
            };
            (text, if column == 1 { palette.text } else { palette.weak })
        };
        let say = |row: usize| format!("{} to {}", report.placed[row].from, report.placed[row].to.join(", "));
        list(ui, "placed rows", &PLACED, report.placed.len(), cell, say);
    });
    if !report.left.is_empty() {
        let counters = report.left.iter().filter(|left| left.is_counter()).count();
        let all_counters = if counters == report.left.len() { ", all counters that no network needs" } else { "" };
        let title = format!("{} left out{all_counters}", number(report.left.len() as u64));
        CollapsingHeader::new(title).id_salt("left").show(ui, |ui| {
            let cell = |row: usize, column: usize| {
                let left = &report.left[row];
                (if column == 0 { left.name.clone() } else { left.reason.clone() }, palette.weak)
            };
            list(ui, "left rows", &LEFT, report.left.len(), cell, |row| report.left[row].name.clone());
        });
    }
}

/// A table of limited height.
fn list(
    ui: &mut Ui,
    salt: &str,
    columns: &[Column],
    count: usize,
    cell: impl Fn(usize, usize) -> (String, egui::Color32),
    name: impl Fn(usize) -> String,
) {
    ui.allocate_ui(egui::vec2(ui.available_width(), 190.0), |ui| {
        let mut as_in_the_file = table::Sorting { by: usize::MAX, descending: false };
        table::header(ui, columns, &mut as_in_the_file);
        table::rows(ui, salt, columns, count, None, cell, name);
    });
}

/// What would change where a run on the loaded data starts from these weights.
fn changes(card: &ModelCard, state: &State) -> Vec<String> {
    let Some(dataset) = &state.data.dataset else { return Vec::new() };
    let mut changes = Vec::new();
    if card.classes != dataset.classes {
        let (own, others) = (dataset.classes.len(), card.classes.len());
        let place = if others == 0 { String::new() } else { format!(" takes the place of its {others}") };
        changes.push(format!("Trained on {}: a new head of {own} classes{place}", dataset.name));
    }
    if card.spec.channels != dataset.train.channels {
        changes.push(match dataset.train.channels {
            1 => "Trained on gray images: the first layer's colour kernels are added up".to_owned(),
            _ => "Trained on colour images: the first layer's gray kernels are repeated".to_owned(),
        });
    }
    changes
}

/// Whether one was pressed that ends the dialog.
fn buttons(ui: &mut Ui, about: &About, prepare: &mut bool, state: &mut State) -> bool {
    let side = state.data.dataset.as_ref().map_or(0, |dataset| dataset.validation.height.max(dataset.validation.width));
    let mut like_them = state.recipe.clone();
    like_them.fit_to_preprocessing(&about.card, side);
    let form = |recipe: &crate::train::Recipe| (recipe.image_size, recipe.fit, recipe.normalisation);
    if form(&like_them) != form(&state.recipe) {
        let p = &about.card.preprocessing;
        ui.checkbox(prepare, format!("A run from them prepares images as they expect: {}x{}", p.width, p.height))
            .on_hover_text("Sets image size, fit and normalisation of the recipe; larger images take longer");
    }
    let mut done = false;
    ui.horizontal_wrapped(|ui| {
        if about.answers && ui.button("Classify with them").clicked() {
            state.ask(Action::ClassifyWith(about.path.clone(), Some(about.card.spec.padding)));
            done = true;
        }
        // Its recipe must not change while a run goes on.
        let start = ui.add_enabled(!state.run.is_live(), Button::new("Start the next run from them"));
        let start = start.on_hover_text("Takes over their network; the head is replaced where the classes are others");
        if start.on_disabled_hover_text("Stop the run first").clicked() {
            state.recipe.fit_to_network(&about.card.spec);
            if *prepare {
                state.recipe.fit_to_preprocessing(&about.card, side);
            }
            state.ask(Action::StartFrom(Some(about.path.clone())));
            done = true;
        }
        if about.answers && ui.button("Export…").on_hover_text("Writes them for PyTorch or ONNX").clicked() {
            state.ask(Action::Export(about.path.clone()));
            done = true;
        }
        done |= ui.button("Close").clicked();
    });
    done
}
