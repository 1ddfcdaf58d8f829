//! When a run stops on NaN or infinity: where it happened, what led to it, and the ways on.

mod cpu_replay;
mod layers;

use self::cpu_replay::CpuReplay;
use crate::app::{
    background::Wake,
    history::{Mark, MarkKind, soundness::Soundness},
    panes::pane::Pane,
    state::{Action, Actions, PaneId, RunAction, State, branches::Snapshot, rewind::Rewind},
    widgets::{
        self,
        grid::{self, Cell},
        theme,
        thumbnails::Thumbnails,
    },
};
use crate::{
    data::Dataset,
    format::{number, rounded},
    session::Event,
    train::{
        Recipe, Value,
        events::{Activation, LayerNorm, Origin},
    },
};
use eframe::egui::{self, Context, RichText, ScrollArea, Ui, vec2};
use egui_plot::{Line, Plot, PlotPoints};
use std::sync::Arc;

/// Measurements before the stop that are drawn.
const BEFORE: usize = 200;
/// Images of the batch that are shown.
const MAX_IMAGES: usize = 128;

/// What an [`Event::NotFinite`] said.
#[derive(Clone, Debug, PartialEq)]
struct Finding {
    step: u64,
    epoch: u64,
    lr: f64,
    loss: f32,
    batch: Vec<u32>,
    layers: Vec<LayerNorm>,
    activations: Vec<Activation>,
    origin: Option<Origin>,
}

pub(crate) struct Report {
    finding: Option<Arc<Finding>>,
    /// It has just arrived and asks to be seen.
    fresh: bool,
    cpu_replay: CpuReplay,
    thumbnails: Thumbnails,
}

impl Report {
    pub(crate) fn new(wake: Wake) -> Self {
        let thumbnails = Thumbnails::new(wake.clone(), |dataset| &dataset.train);
        Self { finding: None, fresh: false, cpu_replay: CpuReplay::new(wake), thumbnails }
    }

    fn forget(&mut self) {
        self.finding = None;
        self.cpu_replay.forget();
    }
}

impl Pane for Report {
    fn title(&self, _: &State) -> String {
        "✗ NaN report".to_owned()
    }

    fn has_tab(&self) -> bool {
        self.finding.is_some()
    }

    #[cfg(test)]
    fn is_busy(&self) -> bool {
        self.thumbnails.is_busy()
    }

    fn on_data(&mut self) {
        self.forget();
        self.thumbnails.clear();
    }

    fn on_run(&mut self) {
        self.forget();
    }

    fn on_event(&mut self, event: &Event) {
        match event {
            Event::NotFinite { step, epoch, lr, loss, batch, layers, activations, origin } => {
                self.forget();
                self.finding = Some(Arc::new(Finding {
                    step: *step,
                    epoch: *epoch,
                    lr: *lr,
                    loss: *loss,
                    batch: batch.clone(),
                    layers: layers.clone(),
                    activations: activations.clone(),
                    origin: origin.clone(),
                }));
                self.fresh = true;
            }
            Event::Started { device, .. } | Event::Resumed { device, .. } => {
                self.forget();
                self.cpu_replay.ran_on(device);
            }
            _ => {}
        }
    }

    fn tick(&mut self, _: &Context, _: &State, actions: &mut Actions) {
        if std::mem::take(&mut self.fresh) {
            actions.ask(Action::Show(PaneId::REPORT));
        }
        if let Some(finding) = &self.finding {
            self.cpu_replay.tick(finding.step);
        }
    }

    fn ui(&mut self, ui: &mut Ui, state: &State, actions: &mut Actions) {
        // Without one it has no tab.
        let Some(finding) = self.finding.clone() else { return };
        ScrollArea::vertical().id_salt("report").auto_shrink([false, false]).show(ui, |ui| {
            let classes = state.data.dataset.as_ref().map_or(2, |dataset| dataset.classes.len());
            let soundness = Soundness::before(state.run.history().current(), finding.step, classes);
            summary(ui, state, &finding, soundness);
            ui.add_space(6.0);
            ways_on(ui, state, actions, &finding, soundness);
            self.cpu_replay.ui(ui, state);
            ui.add_space(8.0);
            curve(ui, state, finding.step);
            ui.add_space(8.0);
            let again = self.cpu_replay.diagnosis();
            if !finding.activations.is_empty() {
                layers::activations(ui, &finding.activations, again.map(|again| again.activations.as_slice()));
                ui.add_space(8.0);
            }
            layers::gradients(ui, &finding.layers, again.map(|again| again.layers.as_slice()));
            ui.add_space(8.0);
            if let Some(dataset) = state.data.dataset.clone() {
                self.batch(ui, &dataset, &finding.batch);
            }
            widgets::focus::follow(ui);
        });
    }
}

/// What happened, in words.
fn summary(ui: &mut Ui, state: &State, finding: &Finding, soundness: Soundness) {
    let palette = theme::palette(ui);
    let title = format!("Step {}: not a finite number", number(finding.step));
    ui.label(RichText::new(title).size(16.0).strong().color(palette.wrong));
    ui.label(verdict(state, finding, soundness));
    ui.add_space(4.0);
    widgets::card(ui, |ui| {
        widgets::fact(ui, "Where it began", origin_words(finding.origin.as_ref()));
        let loss = if finding.loss.is_finite() { rounded(f64::from(finding.loss)) } else { finding.loss.to_string() };
        widgets::fact(ui, "Loss of the batch", loss);
        widgets::fact(ui, "Learning rate", rounded(finding.lr));
        widgets::fact(ui, "Epoch", number(finding.epoch + 1));
        let change = match last_change(&state.run.history().marks, finding.step) {
            Some(mark) => format!("{} at step {}", mark.text, number(mark.step as u64)),
            None => "none in this run".to_owned(),
        };
        widgets::fact(ui, "Last change of a hyperparameter", change);
    });
}

/// Which weights are good.
fn verdict(state: &State, finding: &Finding, soundness: Soundness) -> String {
    let refused = "The update was refused, so the weights are those before it";
    match soundness {
        Soundness::Sound => format!("{refused}."),
        Soundness::Damaged { loss, .. } => {
            let sound = match sound_snapshot(state, finding, soundness) {
                Some(snapshot) => {
                    format!("The last sound state is {}, step {}.", snapshot.info.name, number(snapshot.info.step))
                }
                None => "No snapshot is from before that: start anew.".to_owned(),
            };
            format!("{refused}, but they were damaged already: the loss was {}. {sound}", rounded(f64::from(loss)))
        }
    }
}

/// The newest snapshot of good weights from before the stop.
fn sound_snapshot<'a>(state: &'a State, finding: &Finding, soundness: Soundness) -> Option<&'a Snapshot> {
    let tree = state.branches.tree().filter(|tree| Some(&tree.path) == state.run.folder())?;
    let until = soundness.until(finding.step)?;
    tree.snapshots.iter().rfind(|snapshot| snapshot.info.step <= until && tree.led_here(&snapshot.info))
}

fn origin_words(origin: Option<&Origin>) -> String {
    match origin {
        Some(origin) => format!("in {origin}"),
        None => "not found: computed again, all numbers were finite".to_owned(),
    }
}

/// The last change at or before `step`.
fn last_change(marks: &[Mark], step: u64) -> Option<&Mark> {
    marks.iter().rev().find(|mark| mark.kind == MarkKind::Changed && mark.step <= step as f64)
}

fn ways_on(ui: &mut Ui, state: &State, actions: &mut Actions, finding: &Finding, soundness: Soundness) {
    let palette = theme::palette(ui);
    let Some(run) = state.run.folder() else { return };
    let reason = state.cannot_train();
    let epochs_done = state.branches.tree().map_or(0, |tree| tree.epochs_done);
    let newest = sound_snapshot(state, finding, soundness).cloned();
    // A run that was opened has put its recipe there; one that has just stopped has it in its view.
    let base = state.run.view().map_or_else(|| state.recipe.clone(), |view| view.recipe.clone());
    let tenth = tenth(&base);
    let rate = rounded(base.lr / 10.0);
    let train_with = |run, actions: &mut Actions| {
        let (recipe, changes) = (Box::new(base.clone()), tenth.clone());
        actions.ask(Action::Run(RunAction::TrainWith { run, recipe, changes }));
    };
    ui.add_enabled_ui(reason.is_none(), |ui| {
        widgets::toolbar(ui, |ui| {
            if let Some(snapshot) = newest {
                let text = format!("Rewind to {} with a tenth of the learning rate", snapshot.info.name);
                let button = widgets::primary_button(ui, &text, vec2(0.0, 28.0));
                let help = format!(
                    "Goes back to step {} as a new branch with a learning rate of {rate}; this one stays as it is",
                    number(snapshot.info.step)
                );
                if button.on_hover_text(help).clicked() {
                    let (snapshot, recipe) = (snapshot.info.name, snapshot.recipe);
                    let rewind = Rewind { run: run.clone(), snapshot, recipe, changes: tenth.clone(), epochs_done };
                    actions.ask(Action::Run(RunAction::Rewind(Box::new(rewind))));
                }
            } else {
                let button =
                    widgets::primary_button(ui, "Start anew with a tenth of the learning rate", vec2(0.0, 28.0));
                let help = format!("Starts a new run with a learning rate of {rate}; this one stays as it is");
                if button.on_hover_text(help).clicked() {
                    train_with(None, actions);
                }
            }
            let button = egui::Button::new("Go on here with a tenth of the learning rate").min_size(vec2(0.0, 28.0));
            let button = ui.add_enabled(soundness == Soundness::Sound, button);
            let help = format!("Resumes from the weights before this step with a learning rate of {rate}");
            if button.on_hover_text(help).on_disabled_hover_text("These weights are damaged already").clicked() {
                train_with(Some(run.clone()), actions);
            }
        });
    });
    // While the session that stopped is being put away there is nothing to say.
    if let Some(reason) = reason.filter(|_| !state.run.is_busy()) {
        ui.label(RichText::new(format!("Can't train: {reason}")).color(palette.weak));
    }
}

/// A tenth of the learning rate; a final rate above it comes down with it.
fn tenth(recipe: &Recipe) -> Vec<(String, Value)> {
    let mut changes = vec![("lr".to_owned(), Value::Float(recipe.lr / 10.0))];
    if recipe.min_lr > recipe.lr / 10.0 {
        changes.push(("min_lr".to_owned(), Value::Float(recipe.min_lr / 10.0)));
    }
    changes
}

/// The training loss up to the step.
fn curve(ui: &mut Ui, state: &State, step: u64) {
    let palette = theme::palette(ui);
    let Some(branch) = state.run.history().current() else { return };
    let end = branch.steps.step.partition_point(|&at| at <= step as f64 + 1.0);
    let from = end.saturating_sub(BEFORE);
    let points = branch.steps.step[from..end].iter().zip(&branch.loss.values()[from..end]);
    let points: Vec<[f64; 2]> =
        points.filter(|(_, loss)| loss.is_finite()).map(|(&at, &loss)| [at, f64::from(loss)]).collect();
    ui.label(RichText::new("Training loss before").strong());
    if points.is_empty() {
        ui.label(RichText::new("No step was measured before this one.").color(palette.weak));
        return;
    }
    let plot = Plot::new("loss before").height(130.0).allow_scroll(false).allow_drag(false).allow_zoom(false);
    let plot = plot.show_background(false).grid_color(palette.border).y_axis_min_width(42.0);
    let plot = plot.y_axis_formatter(|mark, _| rounded(mark.value));
    let response = plot.show(ui, |plot| {
        plot.line(Line::new("training loss", PlotPoints::from(points)).color(palette.train).width(2.0));
        plot.vline(egui_plot::VLine::new("", step as f64).color(palette.wrong).width(1.5));
    });
    let info = || egui::WidgetInfo::labeled(egui::Role::Image, true, "Training loss before the stop");
    response.response.widget_info(info);
}

impl Report {
    /// The images that the step was made of.
    fn batch(&mut self, ui: &mut Ui, dataset: &Arc<Dataset>, batch: &[u32]) {
        let palette = theme::palette(ui);
        let shown = &batch[..batch.len().min(MAX_IMAGES)];
        let more = if batch.len() > MAX_IMAGES { format!(", the first {MAX_IMAGES}") } else { String::new() };
        ui.label(RichText::new(format!("The {} images of the batch{more}", number(batch.len() as u64))).strong());
        self.thumbnails.want(ui.ctx(), dataset, shown.to_vec());
        let class = |index: u32| dataset.train.labels.get(index as usize).map_or("?", |&label| dataset.class(label));
        ui.allocate_ui(vec2(ui.available_width(), 330.0), |ui| {
            grid::show(ui, "batch", &self.thumbnails.sheet, shown.len(), theme::THUMBNAIL, |at| Cell {
                id: shown[at],
                caption: class(shown[at]).to_owned(),
                color: palette.text,
                detail: format!("image {}", number(u64::from(shown[at]))),
                name: format!("Training image {}, {}", shown[at], class(shown[at])),
                border: None,
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{
        history::History,
        test_support::{self, dataset, harness, not_finite, run_with_branches, state},
    };
    use egui_kittest::kittest::Queryable;
    use std::{cell::RefCell, rc::Rc};

    fn rate(changes: &[(String, Value)]) -> Option<&Value> {
        changes.iter().find(|(key, _)| key == "lr").map(|(_, value)| value)
    }

    #[test]
    fn the_report_says_where_and_offers_the_ways_on() {
        let folder = tempfile::tempdir().unwrap();
        let run = run_with_branches(folder.path());
        let mut first = state();
        first.data.dataset = Some(dataset(2, 2));
        first.recipe.lr = 0.05;
        let mut history = History::default();
        let (from, to) = (Value::Float(0.01), Value::Float(0.05));
        history.on_event(&Event::Changed { step: 20, key: "lr".into(), from, to });
        first.run.open(run.clone(), history, None, true);
        while first.branches.tree().is_none() {
            first.branches.tick(Some(&run));
        }
        let mut pane = Report::new(Arc::new(|| ()));
        pane.on_event(&not_finite());
        test_support::tick(&mut pane, &Context::default(), &mut first);
        assert_eq!(first.actions.take(), [Action::Show(PaneId::REPORT)]);
        let state = Rc::new(RefCell::new(first));
        let shared = state.clone();
        let mut harness = harness(move |ui| test_support::draw(&mut pane, ui, &mut shared.borrow_mut()));
        harness.get_by_label("Step 25: not a finite number");
        harness.get_by_label("Learning rate 0.01 → 0.05 at step 20");
        harness.get_by_label("in the output of layer3.0.conv2");
        harness.get_by_label("layer3.0.conv2: largest 3e38, 7 not finite");
        harness.get_by_label("layer3.0.conv2.weight: norm NaN, 12 not finite");
        harness.get_by_label_contains("The 2 images of the batch");
        harness.get_by_label("Rewind to epoch-2 with a tenth of the learning rate").click();
        harness.run();
        let asked = state.borrow_mut().actions.take();
        let [Action::Run(RunAction::Rewind(rewind))] = &asked[..] else { panic!("{asked:?}") };
        assert_eq!(rewind.snapshot, "epoch-2");
        assert_eq!(rate(&rewind.changes), Some(&Value::Float(0.005)));
        harness.get_by_label("Go on here with a tenth of the learning rate").click();
        harness.run();
        let asked = state.borrow_mut().actions.take();
        let [Action::Run(RunAction::TrainWith { run: Some(with), changes, .. })] = &asked[..] else {
            panic!("{asked:?}")
        };
        assert_eq!((with, rate(changes)), (&run, Some(&Value::Float(0.005))));
    }

    #[test]
    fn a_new_run_has_no_report() {
        let mut pane = Report::new(Arc::new(|| ()));
        pane.on_event(&not_finite());
        let device = String::new();
        pane.on_event(&Event::Resumed { step: 1, epoch: 0, from_branch: 0, snapshot: None, device });
        assert!(pane.finding.is_none());
    }
}
