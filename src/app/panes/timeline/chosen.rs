//! The snapshot that was chosen on the timeline, and what can be done with it.

use super::Pressed;
use crate::app::{
    state::{
        branches::{BranchTree, Snapshot},
        rewind::Rewind,
    },
    widgets::{self, theme},
};
use crate::{
    format::{bytes, number},
    train::{AppliesAt, Field, Recipe, Value, diff, field, fields},
};
use eframe::egui::{ComboBox, RichText, TextEdit, Ui, vec2};

/// The snapshot that was clicked, and what is to be different when going back to it.
pub(super) struct Chosen {
    pub name: String,
    /// Key and typed value.
    changes: Vec<(&'static str, String)>,
}

impl Chosen {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let lr = snapshot.recipe.get("lr").map(|value| value.to_string()).unwrap_or_default();
        Self { name: snapshot.info.name.clone(), changes: vec![("lr", lr)] }
    }

    /// What differs from the recipe of the snapshot; the first that can't be is the error.
    fn values(&self, recipe: &Recipe) -> Result<Vec<(String, Value)>, String> {
        let mut changed = recipe.clone();
        for (key, text) in &self.changes {
            changed.set_typed(key, text).map_err(|error| error.to_string())?;
        }
        changed.validate().map_err(|error| error.to_string())?;
        let differs = diff(recipe, &changed);
        Ok(differs.into_iter().map(|change| (change.field.key.to_owned(), change.b)).collect())
    }

    /// Draws what it is, and what can be done with it.
    pub(super) fn ui(&mut self, ui: &mut Ui, tree: &BranchTree, snapshot: &Snapshot, live: bool) -> Option<Pressed> {
        let palette = theme::palette(ui);
        let mut pressed = None;
        ui.separator();
        widgets::toolbar(ui, |ui| {
            widgets::whole(ui, RichText::new(&snapshot.info.name).strong());
            let accuracy =
                tree.branch(snapshot.info.branch).and_then(|branch| branch.accuracy.get(&snapshot.info.step).copied());
            let accuracy = accuracy.map(f64::from).or(snapshot.info.accuracy);
            let accuracy = accuracy.map(|a| format!(" · validation {:.1} %", a * 100.0)).unwrap_or_default();
            let text = format!(
                "step {} · epoch {:.2}{accuracy} · {} · branch {}",
                number(snapshot.info.step),
                snapshot.info.epoch,
                bytes(snapshot.info.bytes),
                snapshot.info.branch
            );
            widgets::whole(ui, RichText::new(text).color(palette.weak));
        });
        let mut gone = None;
        widgets::toolbar(ui, |ui| {
            widgets::whole(ui, "Go on with");
            for (at, (key, text)) in self.changes.iter_mut().enumerate() {
                let label = field(key).map_or(*key, |field| field.label);
                let was = snapshot.recipe.get(key).map(|value| value.to_string()).unwrap_or_default();
                ui.horizontal(|ui| {
                    ui.spacing_mut().item_spacing.x = 4.0;
                    ui.label(label);
                    let edit = ui.add(TextEdit::singleline(text).desired_width(72.0));
                    edit.on_hover_text(format!("{was} in the snapshot"))
                        .accessible_name(format!("{label} after going back"));
                    if at > 0 && ui.small_button("✗").on_hover_text("As in the snapshot").clicked() {
                        gone = Some(at);
                    }
                });
            }
            if let Some(field) = another(ui, &self.changes) {
                let value = snapshot.recipe.get(field.key).map(|value| value.to_string()).unwrap_or_default();
                self.changes.push((field.key, value));
            }
            if let Some(at) = gone {
                self.changes.remove(at);
            }
            pressed = self.decide(ui, tree, snapshot, live);
        });
        pressed
    }

    /// Buttons for what can be done with the snapshot that was chosen, or why it can't be done.
    fn decide(&self, ui: &mut Ui, tree: &BranchTree, snapshot: &Snapshot, live: bool) -> Option<Pressed> {
        let palette = theme::palette(ui);
        let mut pressed = None;
        match self.values(&snapshot.recipe) {
            Ok(changes) => {
                let furthest =
                    tree.furthest(snapshot.info.branch).is_some_and(|last| last.info.name == snapshot.info.name);
                let other = snapshot.info.branch != tree.current;
                let text = if furthest && other { "Continue this branch" } else { "Rewind to here" };
                let button = widgets::primary_button(ui, text, vec2(0.0, 26.0));
                let resumed = if live { "" } else { " The run is resumed for it." };
                let help = format!(
                    "Training goes on from this state as a branch of its own; the present one stays and gets a snapshot of \
                     its end.{resumed}"
                );
                if button.on_hover_text(help).clicked() {
                    pressed = Some(Pressed::Rewind(Box::new(Rewind {
                        run: tree.path.clone(),
                        snapshot: snapshot.info.name.clone(),
                        recipe: snapshot.recipe.clone(),
                        changes,
                        epochs_done: tree.epochs_done,
                    })));
                }
                let delete = ui.button("Delete").on_hover_text("Removes the files of this snapshot for good");
                if delete.accessible_name("Delete the snapshot").clicked() {
                    pressed = Some(Pressed::Remove(snapshot.info.name.clone()));
                }
            }
            Err(error) => {
                ui.label(RichText::new(error).color(palette.wrong));
            }
        }
        pressed
    }
}

/// A list of the other fields that a run can change; returns the one that was chosen.
fn another(ui: &mut Ui, taken: &[(&'static str, String)]) -> Option<&'static Field> {
    let mut found = None;
    let combo = ComboBox::from_id_salt("another field").selected_text("Another field …").width(120.0);
    let inner = combo.show_ui(ui, |ui| {
        for field in fields().iter().filter(|field| field.applies_at != AppliesAt::Restart) {
            let free = taken.iter().all(|(key, _)| *key != field.key);
            if free && ui.selectable_label(false, field.label).on_hover_text(field.help).clicked() {
                found = Some(field);
            }
        }
    });
    inner.response.accessible_name("Change another field");
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support::run_with_branches;

    #[test]
    fn a_value_that_can_not_be_is_said_and_not_sent() {
        let folder = tempfile::tempdir().unwrap();
        let snapshot = &BranchTree::read(&run_with_branches(folder.path())).unwrap().snapshots[0];
        let mut chosen = Chosen::new(snapshot);
        assert_eq!(chosen.values(&snapshot.recipe), Ok(Vec::new()));
        chosen.changes[0].1 = "fast".to_owned();
        assert!(chosen.values(&snapshot.recipe).unwrap_err().contains("lr can't be fast"));
    }
}
