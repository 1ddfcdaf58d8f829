//! The recipe: a preset to start from, and every field of the table in folding groups.

use super::{field, schedule};
use crate::app::{
    state::{Action, State},
    widgets::theme,
};
use crate::{
    text::foreign,
    train::{Difference, Group, Method, Recipe, Value, diff, fields, mirrored_classes, presets},
};
use eframe::egui::{Button, ComboBox, RichText, Ui};
use strum::IntoEnumIterator;

pub(crate) fn ui(ui: &mut Ui, state: &mut State) {
    preset(ui, state);
    if state.recipe.method == Method::Head {
        let of_head = fields().iter().filter(|field| HEAD.contains(&field.key));
        return of_head.for_each(|field| field::ui(ui, state, field));
    }
    for group in Group::iter().filter(|group| *group != Group::Model) {
        let label: &str = group.into();
        let own = || fields().iter().filter(move |field| field.group == group);
        // The few that everybody turns are open; the rest is one click away.
        if group == Group::Optimiser {
            for field in own().filter(|field| COMMON.contains(&field.key)) {
                field::ui(ui, state, field);
                if field.key == "lr" {
                    find(ui, state);
                }
            }
            for field in fields().iter().filter(|field| field.group == Group::Schedule && COMMON.contains(&field.key)) {
                field::ui(ui, state, field);
            }
            schedule::ui(ui, state);
        }
        let rest: Vec<_> = own().filter(|field| !COMMON.contains(&field.key)).collect();
        let title = if group == Group::Optimiser || group == Group::Schedule {
            format!("More of {}", label.to_lowercase())
        } else {
            label.to_owned()
        };
        if group == Group::Augmentation {
            flip(ui, state);
        }
        field::group(ui, &title, label, |ui| rest.into_iter().for_each(|field| field::ui(ui, state, field)));
    }
}

/// Fields that a head is found by; it knows no others.
const HEAD: [&str; 3] = ["class_weights", "head_strength", "unknown_rate"];

/// Fields in front of all groups.
const COMMON: [&str; 4] = ["lr", "batch_size", "epochs", "schedule"];

/// The way to the learning-rate finder.
fn find(ui: &mut Ui, state: &mut State) {
    let possible = state.run.is_live() || state.cannot_train().is_none();
    let button = ui.add_enabled(possible, Button::new("Find a rate …").small());
    let help =
        "Tries growing rates for a moment on a copy of the weights, and suggests one (Ctrl+L). A run never notices.";
    if button.on_hover_text(help).on_disabled_hover_text("Choose data first").clicked() {
        state.ask(Action::FindRate);
    }
    ui.add_space(6.0);
}

/// Asks about classes that flipping may mix up. It stands over the group, which is folded at first.
fn flip(ui: &mut Ui, state: &mut State) {
    if !state.recipe.flip {
        return;
    }
    let dataset = state.data.dataset.clone();
    let Some((one, other)) = dataset.as_ref().and_then(|dataset| mirrored_classes(&dataset.classes)) else { return };
    let text =
        format!("⚠ Flip mirrors images. If that makes “{}” look like “{}”, turn it off.", foreign(one), foreign(other));
    ui.label(RichText::new(text).color(theme::palette(ui).warning));
    if ui.small_button("Turn Flip off").clicked() {
        state.set("flip", Value::Bool(false));
    }
}

/// What a preset is for.
fn purpose(name: &str) -> &'static str {
    match name.split_once('-').map_or(name, |(first, _)| first) {
        "photos" => "Photographs",
        "seed" => "As three published texts have it",
        _ => "Small pictures",
    }
}

/// The preset that a recipe comes nearest to, with the fields in which it is another; none where these are many.
fn nearest(recipe: &Recipe) -> Option<(&'static str, Vec<Difference>)> {
    /// More than these make a recipe of its own.
    const MOST: usize = 8;
    let differing = |name: &&'static str| Some((*name, diff(&Recipe::preset(name).ok()?, recipe)));
    let (name, fields) = presets::NAMES.iter().filter_map(differing).min_by_key(|(_, fields)| fields.len())?;
    (fields.len() <= MOST).then_some((name, fields))
}

/// `Learning rate 0.05 (was 0.1)`, and so on.
fn in_words(changes: &[Difference]) -> String {
    let words =
        |Difference { field, a, b }: &Difference| format!("{} {} (was {})", field.label, field.show(b), field.show(a));
    changes.iter().map(words).collect::<Vec<_>>().join(", ")
}

fn preset(ui: &mut Ui, state: &mut State) {
    let palette = theme::palette(ui);
    let nearest = nearest(&state.recipe);
    let shown = match &nearest {
        Some((name, changes)) if changes.is_empty() => (*name).to_owned(),
        Some((name, _)) => format!("{name}, changed"),
        None => "own recipe".to_owned(),
    };
    let current = nearest.as_ref().filter(|(_, changes)| changes.is_empty()).map(|(name, _)| *name);
    let live = state.run.is_live();
    let mut chosen = None;
    ui.add_enabled_ui(!live, |ui| {
        ui.horizontal(|ui| {
            ui.label("Preset").on_hover_text("Sets every field of model and recipe at once");
            let combo = ComboBox::from_id_salt("preset").selected_text(shown).width(190.0);
            let inner = combo.show_ui(ui, |ui| {
                ui.set_min_width(320.0);
                let mut heading = "";
                for name in presets::NAMES {
                    let purpose = purpose(name);
                    if purpose != heading {
                        ui.label(RichText::new(purpose).color(palette.weak).small());
                        heading = purpose;
                    }
                    if ui.selectable_label(current == Some(name), name).clicked() {
                        chosen = Some(name);
                    }
                    ui.label(RichText::new(presets::about(name)).color(palette.weak).small());
                }
            });
            inner.response.accessible_name("Preset");
        });
    });
    let about = match nearest {
        _ if live => "Presets can be chosen again when the run has stopped.".to_owned(),
        Some((name, changes)) if changes.is_empty() => presets::about(name).to_owned(),
        Some((_, changes)) => in_words(&changes),
        None => "Changed by hand.".to_owned(),
    };
    ui.label(RichText::new(about).color(palette.weak).small());
    if let Some(recipe) = chosen.and_then(|name| Recipe::preset(name).ok()) {
        state.recipe = recipe;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support::{harness, state};
    use egui_kittest::kittest::Queryable;

    #[test]
    fn a_recipe_that_was_changed_says_which_preset_it_comes_from() {
        let mut state = state();
        state.recipe = Recipe { lr: 0.0123, ..Recipe::preset("cifar-resnet").unwrap() };
        let (name, changes) = nearest(&state.recipe).unwrap();
        assert_eq!((name, changes.len()), ("cifar-resnet", 1));
        let harness = harness(move |ui| preset(ui, &mut state));
        assert!(harness.query_by_label_contains("Learning rate 0.0123 (was ").is_some());
    }

    #[test]
    fn presets_are_listed_by_what_they_are_for() {
        let purposes: Vec<&str> = presets::NAMES.iter().map(|name| purpose(name)).collect();
        let mut headings = purposes.clone();
        headings.dedup();
        assert_eq!(headings, ["Small pictures", "Photographs", "As three published texts have it"]);
        assert_eq!(purpose("photos-finetune"), "Photographs");
    }
}
