//! Photographs by their class, to put in order: moved, left out, taken in, classes made, renamed and merged.
//!
//! Each change makes another head and another figure at once, so that what an odd photograph costs is seen when it goes.
//! Nothing happens to the files; what was changed belongs to the run, and can be undone.

mod choice;
mod names;
mod rows;

use self::{choice::Choice, names::Naming};
use crate::app::{
    background::Wake,
    panes::pane::Pane,
    state::{Action, Actions, State},
    widgets::{self, theme, thumbnails::Thumbnails},
};
use crate::{
    data::{Change, ContentKey, Dataset, Edit},
    format::number,
    session::HeadView,
    train::Method,
};
use eframe::egui::{self, Key, KeyboardShortcut, Modifiers, Pos2, Rect, RichText, ScrollArea, Ui};
use std::{collections::HashSet, sync::Arc};

const UNDO: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::Z);
const REDO: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::Z);

/// See the module.
pub(crate) struct Classes {
    thumbnails: Thumbnails,
    choice: Choice,
    naming: Option<Naming>,
    /// Classes of which all photographs are shown.
    open: HashSet<String>,
    /// Where each class was drawn last, for files that are dropped on it; without one, they make a class.
    places: Vec<(Rect, Option<String>)>,
    /// Images by class, of the data set that `of` is.
    members: Vec<Vec<u32>>,
    of: Option<Arc<Dataset>>,
}

impl Classes {
    pub(crate) fn new(wake: Wake) -> Self {
        Self {
            thumbnails: Thumbnails::new(wake, |dataset| &dataset.train),
            choice: Choice::default(),
            naming: None,
            open: HashSet::new(),
            places: Vec::new(),
            members: Vec::new(),
            of: None,
        }
    }

    /// The class that something dropped there is for; `Some(None)` is a new one.
    pub(crate) fn at(&self, place: Pos2) -> Option<Option<String>> {
        self.places.iter().find(|(rect, _)| rect.contains(place)).map(|(_, class)| class.clone())
    }

    fn sort(&mut self, dataset: &Arc<Dataset>) {
        if self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, dataset)) {
            return;
        }
        self.members = vec![Vec::new(); dataset.classes.len()];
        for (image, &label) in (0..).zip(&dataset.train.labels) {
            if let Some(members) = self.members.get_mut(label as usize) {
                members.push(image);
            }
        }
        self.of = Some(dataset.clone());
    }
}

impl Pane for Classes {
    fn title(&self, _: &State) -> String {
        "Classes".to_owned()
    }

    fn on_data(&mut self) {
        self.thumbnails.clear();
        self.of = None;
    }

    fn on_run(&mut self) {
        self.choice.clear();
        self.naming = None;
    }

    #[cfg(test)]
    fn is_busy(&self) -> bool {
        self.thumbnails.is_busy()
    }

    fn tick(&mut self, _: &egui::Context, _: &State, _: &mut Actions) {
        // Those of this frame are drawn after this, if the pane is seen.
        self.places.clear();
    }

    fn ui(&mut self, ui: &mut Ui, state: &State, actions: &mut Actions) {
        let Some(dataset) = state.data.dataset.clone() else {
            let body = "The photographs of a folder stand here by their class, to be put in order.";
            widgets::empty_state(ui, "No photographs yet", body, None);
            return;
        };
        self.sort(&dataset);
        self.toolbar(ui, state, &dataset, actions);
        if can_edit(state) {
            self.keys(ui, &dataset, actions);
        }
        ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
            let mut wanted = Vec::new();
            for class in 0..dataset.classes.len() {
                self.row(ui, state, &dataset, class, &mut wanted, actions);
            }
            self.thumbnails.want(ui.ctx(), &dataset, wanted);
            if can_edit(state) {
                dataset.waiting.iter().for_each(|name| self.waiting_row(ui, state, name, actions));
                self.new_class(ui, actions);
            }
            widgets::focus::follow(ui);
        });
    }
}

/// Whether the run at hand takes changes.
fn can_edit(state: &State) -> bool {
    let rests = state.run.saved().is_some() && state.recipe.method == Method::Head;
    state.run.hears_edits() || rests
}

/// Puts a change on the list.
fn edit(actions: &mut Actions, edit: Edit) {
    actions.ask(Action::Edit(Change::Do(edit)));
}

impl Classes {
    fn toolbar(&mut self, ui: &mut Ui, state: &State, dataset: &Arc<Dataset>, actions: &mut Actions) {
        let palette = theme::palette(ui);
        widgets::toolbar(ui, |ui| {
            let head = state.run.view().and_then(|view| view.head.as_ref());
            match head {
                Some(head) => figure(ui, head),
                None if can_edit(state) => {
                    drop(widgets::whole(ui, RichText::new("Not judged yet").color(palette.weak)))
                }
                None => {
                    let text = match state.recipe.method {
                        Method::Head => "Train learns from these; afterwards they can be moved and left out here",
                        Method::Steps => "What the network learns from, by class",
                    };
                    ui.label(RichText::new(text).color(palette.weak));
                    return;
                }
            }
            let edits = &dataset.options.edits;
            for (able, change, text, help) in [
                (edits.can_undo(), Change::Undo, "Undo", "Takes the last change back (Ctrl+Z)"),
                (edits.can_redo(), Change::Redo, "Redo", "Makes it again (Ctrl+Shift+Z)"),
            ] {
                if ui.add_enabled(able, egui::Button::new(text)).on_hover_text(help).clicked() {
                    actions.ask(Action::Edit(change));
                }
            }
            let help = "Writes a copy of the photographs, a folder a class, as they are filed now";
            if ui.button("Save as folder…").on_hover_text(help).clicked() {
                actions.ask(Action::SaveImages);
            }
        });
        self.choice.bar(ui, dataset, actions);
    }

    /// What the keys do to the chosen photographs.
    fn keys(&mut self, ui: &Ui, dataset: &Dataset, actions: &mut Actions) {
        if ui.ctx().text_edit_focused() || self.naming.is_some() {
            return;
        }
        let pressed = |shortcut: &KeyboardShortcut| ui.input_mut(|input| input.consume_shortcut(shortcut));
        // The one with more keys first: the other would take it.
        if pressed(&REDO) {
            actions.ask(Action::Edit(Change::Redo));
        } else if pressed(&UNDO) {
            actions.ask(Action::Edit(Change::Undo));
        }
        self.choice.keys(ui, dataset, actions);
    }
}

/// How good the head is, as a figure with its reach.
fn figure(ui: &mut Ui, head: &HeadView) {
    let figures = &head.figures;
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let text = RichText::new(format!("{} recognised", percent(head.accuracy))).strong().size(15.0);
    let [low, high] = figures.interval;
    let judged = match figures.folds {
        0 => "of the validation images, which it has not seen".to_owned(),
        folds => format!(
            "of photographs that the head had not seen: {folds} folds, {}",
            match figures.rounds {
                1 => "once".to_owned(),
                rounds => format!("{} times", number(rounds)),
            }
        ),
    };
    let help = format!(
        "{} {judged}.\nOn other photographs of this kind it is between {} and {}, as far as their number can say (95 %).\n\
         Each class counted alike: {}.",
        percent(head.accuracy),
        percent(low),
        percent(high),
        percent(figures.balanced_accuracy)
    );
    widgets::whole(ui, text).on_hover_text(&help);
    let palette = theme::palette(ui);
    let text = format!("{}–{}, balanced {}", percent(low), percent(high), percent(figures.balanced_accuracy));
    widgets::whole(ui, RichText::new(text).color(palette.weak)).on_hover_text(help);
}

/// What tells an image's content from others.
fn content(dataset: &Dataset, image: u32) -> Option<ContentKey> {
    dataset.train.contents.as_ref()?.get(image as usize).copied()
}
