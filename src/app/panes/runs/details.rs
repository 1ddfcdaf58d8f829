//! The run that was chosen in the list: what it is, its notes, and everything that can be done with it.

use super::tags;
use crate::app::{
    runs::name,
    state::{Action, Actions, RunAction, State},
    widgets::{self, theme},
};
use crate::format::{duration, number};
use crate::text;
use crate::train::RunSummary;
use eframe::egui::{self, Button, RichText, TextEdit, Ui, vec2};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// Notes are saved when nothing was typed for so long.
const SAVE_AFTER_IDLE: Duration = Duration::from_millis(800);

/// What the user is at with the chosen run.
pub(crate) struct Details {
    pub path: PathBuf,
    notes: String,
    /// A tag that is being typed.
    tag: String,
    /// When something was typed that is not saved yet.
    typed: Option<Instant>,
    /// The new name, while one is typed.
    rename: Option<String>,
}

impl Details {
    pub(crate) fn new(run: &RunSummary) -> Self {
        Self { path: run.path.clone(), notes: run.notes.clone(), tag: String::new(), typed: None, rename: None }
    }

    /// The run has another path.
    pub(crate) fn moved(&mut self, to: PathBuf) {
        (self.path, self.rename) = (to, None);
    }

    /// The notes that are not saved yet, once; the caller saves them.
    pub(crate) fn unsaved(&mut self) -> Option<(PathBuf, String)> {
        self.typed.take().map(|_| (self.path.clone(), self.notes.clone()))
    }

    /// Draws it; returns whether the run is to be moved to the trash, which is asked about first.
    pub(crate) fn ui(&mut self, ui: &mut Ui, run: &RunSummary, state: &State, actions: &mut Actions) -> bool {
        self.heading(ui, run);
        let mut trash = false;
        if self.rename.is_some() {
            self.rename_row(ui, actions);
        } else {
            trash = self.buttons(ui, run, state, actions);
        }
        self.notes(ui, state, actions);
        trash
    }

    fn heading(&self, ui: &mut Ui, run: &RunSummary) {
        let palette = theme::palette(ui);
        widgets::toolbar(ui, |ui| {
            let room = ui.available_width();
            let title = widgets::elided(ui, &run.name, egui::FontId::proportional(13.5), palette.text, room);
            ui.label(title).on_hover_text(text::path(&run.path));
            let text = match &run.problem {
                Some(problem) => RichText::new(problem).color(palette.wrong),
                None => RichText::new(facts(run)).color(palette.weak),
            };
            ui.label(text);
        });
    }

    fn buttons(&mut self, ui: &mut Ui, run: &RunSummary, state: &State, actions: &mut Actions) -> bool {
        let busy = state.run.is_busy();
        let live = busy && state.run.folder() == Some(&run.path);
        let readable = run.problem.is_none();
        let wait = "Stop the run that goes on first";
        let mut trash = false;
        widgets::toolbar(ui, |ui| {
            let button = |ui: &mut Ui, enabled: bool, text: &str, help: &str, disabled: &str| {
                let response = ui.add_enabled(enabled, Button::new(text));
                response.on_hover_text(help).on_disabled_hover_text(disabled).clicked()
            };
            let help = "Its curves, its recipe and its data, to look at or go on with";
            if button(ui, !busy && readable, "Open", help, wait) {
                actions.ask(Action::OpenRun(run.path.clone()));
            }
            let done = "All of its epochs are done: open it, set more epochs, then resume";
            let why = if run.finished { done } else { wait };
            if button(ui, !busy && readable && !run.finished, "Resume", "Goes on from its last checkpoint", why) {
                actions.ask(Action::Run(RunAction::Resume(run.path.clone())));
            }
            let ticked = state.runs.compared.get(&run.path).is_some();
            let compare = ui.add(Button::selectable(ticked, "Compare").frame_when_inactive(true));
            if compare.on_hover_text("Draws its curves on the charts, beside those of the run at hand").clicked() {
                actions.ask(Action::Run(RunAction::Compare(run.path.clone())));
            }
            let help = "The next run is set up with these hyperparameters";
            if button(ui, !busy && run.recipe.is_some(), "Use its recipe", help, wait)
                && let Some(recipe) = run.recipe.clone()
            {
                actions.ask(Action::Run(RunAction::Duplicate(Box::new(recipe), run.name.clone())));
            }
            let help = "Its best weights: to classify with, or for the next run to begin with";
            if button(ui, readable, "Use its weights …", help, "It can't be read") {
                actions.ask(Action::OfferWeights(run.path.to_string_lossy().into_owned()));
            }
            let more = Button::new("More…");
            let (response, _) = egui::containers::menu::MenuButton::from_button(more).ui(ui, |ui| {
                ui.set_min_width(230.0);
                if button(ui, !live, "Rename…", "Another name for its folder", wait) {
                    self.rename = Some(run.name.clone());
                    ui.close();
                }
                let help = "Weights, recipe, classes, events and notes in one file, to keep or to open elsewhere. Its \
                            snapshots stay here: elsewhere it goes on from its last state, and branches that were \
                            left can be looked at but not gone back to.";
                if button(ui, readable, "Save as one file…", help, "It can't be read") {
                    actions.ask(Action::Run(RunAction::SaveAs(run.path.clone())));
                    ui.close();
                }
                if button(ui, true, "Show in the file manager", "Its folder among the others", "") {
                    actions.ask(Action::Run(RunAction::Reveal(run.path.clone())));
                    ui.close();
                }
                ui.separator();
                if button(ui, !live, "Move to the trash…", "Asks first; it can be fetched back from there", wait) {
                    trash = true;
                    ui.close();
                }
            });
            response.on_hover_text("Rename, save as one file, show its folder, trash").accessible_name("More actions");
        });
        trash
    }

    fn rename_row(&mut self, ui: &mut Ui, actions: &mut Actions) {
        let Some(text) = &mut self.rename else { return };
        let (mut give, mut close) = (false, false);
        widgets::toolbar(ui, |ui| {
            widgets::whole(ui, "New name");
            let edit = ui.add(TextEdit::singleline(text).desired_width(280.0)).accessible_name("New name of the run");
            give = edit.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
            // What is typed is the name, from the first key on.
            if !give && ui.memory(|memory| memory.focused().is_none()) {
                edit.request_focus();
            }
            give |= ui.button("Rename").clicked();
            close = ui.button("Cancel").clicked() || ui.input(|input| input.key_pressed(egui::Key::Escape));
        });
        if give {
            actions.ask(Action::Run(RunAction::Rename(self.path.clone(), text.clone())));
        }
        if give || close {
            self.rename = None;
        }
    }

    fn notes(&mut self, ui: &mut Ui, state: &State, actions: &mut Actions) {
        let known = tags::known(state.runs.index.runs());
        if tags::editor(ui, &mut self.notes, &known, &mut self.tag) {
            self.typed = None;
            actions.ask(Action::Run(RunAction::SetNotes(self.path.clone(), self.notes.clone())));
        }
        let edit = TextEdit::multiline(&mut self.notes).desired_rows(2).desired_width(f32::INFINITY);
        let edit = ui.add(edit.hint_text("Notes, kept in the run's folder; a #word is a tag"));
        let edit = edit.accessible_name("Notes of the run");
        if edit.changed() {
            self.typed = Some(Instant::now());
        }
        if let Some(typed) = self.typed {
            if edit.has_focus() && typed.elapsed() < SAVE_AFTER_IDLE {
                ui.ctx().request_repaint_after(SAVE_AFTER_IDLE - typed.elapsed());
            } else if let Some((path, notes)) = self.unsaved() {
                actions.ask(Action::Run(RunAction::SetNotes(path, notes)));
            }
        }
    }
}

/// `sample · epoch 3 of 5 · 1,204 steps · best 84.2 % · 2 min 05 s of training`.
fn facts(run: &RunSummary) -> String {
    let mut facts = vec![
        if run.data.is_empty() { "data unknown".to_owned() } else { run.data.clone() },
        run.model.clone(),
        format!("epoch {} of {}", run.epoch, run.epochs),
        format!("{} steps", number(run.step)),
    ];
    facts.extend(run.best_accuracy.map(|best| format!("best {:.1} %", best * 100.0)));
    facts.push(format!("{} of training", duration(run.seconds)));
    facts.join(" · ")
}

/// Asks whether a run is to go to the trash; `Some` is the answer.
pub(crate) fn ask_to_trash(ctx: &egui::Context, run: &std::path::Path) -> Option<bool> {
    let mut answer = None;
    let modal = egui::Modal::new(egui::Id::unique("trash")).show(ctx, |ui| {
        ui.set_max_width(380.0);
        ui.label(RichText::new(name(run)).strong());
        ui.label("Move this run to the trash, with all its weights, snapshots and notes?");
        ui.add_space(6.0);
        ui.horizontal(|ui| {
            if widgets::primary_button(ui, "Move to the trash", vec2(0.0, 26.0)).clicked() {
                answer = Some(true);
            }
            if ui.button("Keep it").clicked() {
                answer = Some(false);
            }
        });
    });
    if modal.should_close() { answer.or(Some(false)) } else { answer }
}

/// The columns of the table of differences: the run that the charts show, then those that were ticked.
pub(crate) fn columns<'a>(state: &'a State, palette: &theme::Palette) -> Vec<super::differences::Column<'a>> {
    let (runs, own) = (&state.runs, state.run.drawn());
    let column = |path: &'a PathBuf, line, fallback: &'a str, changes| {
        let summary = runs.index.get(path);
        super::differences::Column {
            name: summary.map_or(fallback, |summary| &summary.name),
            line,
            data: summary.map_or("?", |summary| &summary.data),
            best: summary.and_then(|summary| summary.best_accuracy),
            recipe: summary.and_then(|summary| summary.recipe.as_ref()),
            changes,
        }
    };
    let own_column = own.map(|own| column(own, (palette.train, false), "this run", state.run.history().changes()));
    let others = runs.compared.overlays().iter().filter(|overlay| Some(&overlay.path) != own);
    let others = others.map(|overlay| {
        let changes = overlay.changes.iter().collect();
        column(&overlay.path, theme::run_line(palette, overlay.slot), &overlay.name, changes)
    });
    own_column.into_iter().chain(others).collect()
}
