//! One hyperparameter: label, control, badge.
//!
//! Everything about it comes from the table of fields, so that a new one shows up here by itself. While a run goes on a
//! slider sends one change when it is let go, not one for every pixel on the way.

use super::words;
use crate::app::{
    state::State,
    widgets::{self, theme},
};
use crate::train::{Field, Kind, Recipe, Value};
use eframe::egui::{
    self, Align, Checkbox, CollapsingHeader, ComboBox, DragValue, Id, Layout, Response, RichText, Slider,
    SliderClamping, TextEdit, Ui,
};
use std::{fmt::Display, str::FromStr};

/// Draws the field, and sets it in `state` when it was changed.
pub(crate) fn ui(ui: &mut Ui, state: &mut State, field: &'static Field) {
    let Some(value) = state.recipe.get(field.key) else { return };
    let (live, waiting) = (state.run.is_live(), waits(state, field, &value));
    // What is being dragged or typed, before it counts.
    let draft_id = Id::unique(("draft", field.key));
    let draft: Option<Value> = ui.data(|data| data.get_temp(draft_id));
    let mut shown = draft.unwrap_or_else(|| value.clone());
    let classes = state.data.dataset.as_ref().map_or(2, |dataset| dataset.classes.len());
    let edit = ui.push_id(field.key, |ui| control(ui, field, &mut shown, [live, waiting], classes)).inner;
    match edit {
        Edit::None => {
            // Nothing is held any more: what the recipe says is what counts.
            ui.data_mut(|data| data.remove::<Value>(draft_id));
        }
        Edit::Draft => {
            ui.data_mut(|data| data.insert_temp(draft_id, shown));
        }
        Edit::Done => {
            ui.data_mut(|data| data.remove::<Value>(draft_id));
            state.set(field.key, shown);
        }
    }
}

/// What became of a control in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edit {
    None,
    /// Under way: shown, not yet in force.
    Draft,
    Done,
}

impl Edit {
    /// From the response of a control that drags and types.
    fn of(response: &Response) -> Self {
        if response.drag_stopped() || (response.changed() && !response.dragged()) {
            Edit::Done
        } else if response.dragged() {
            Edit::Draft
        } else {
            Edit::None
        }
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Edit::Done, _) | (_, Edit::Done) => Edit::Done,
            (Edit::Draft, _) | (_, Edit::Draft) => Edit::Draft,
            _ => Edit::None,
        }
    }
}

/// Whether a run goes on with another value than the one shown.
fn waits(state: &State, field: &Field, value: &Value) -> bool {
    let live = state.run.is_live();
    let in_force = state.run.view().filter(|_| live).and_then(|view| Recipe::get(&view.recipe, field.key));
    in_force.is_some_and(|in_force| in_force != *value)
}

/// Explanation, range, default and key.
fn help(ui: &mut Ui, field: &Field) {
    ui.set_max_width(320.0);
    ui.label(field.help);
    let palette = theme::palette(ui);
    let default = Recipe::default().get(field.key).map(|value| field.show(&value)).unwrap_or_default();
    let text = format!("{} = {default} unless changed; takes {}", field.key, field.kind.range());
    ui.label(RichText::new(text).color(palette.weak).small());
}

/// `classes` is the number of weights in a list that begins.
fn control(ui: &mut Ui, field: &'static Field, value: &mut Value, [live, waiting]: [bool; 2], classes: usize) -> Edit {
    let mut edit = Edit::None;
    ui.horizontal(|ui| {
        if !matches!(field.kind, Kind::Bool) {
            let label = ui.label(field.label);
            label.on_hover_ui(|ui| help(ui, field));
        } else if let Value::Bool(on) = value {
            let response = ui.add(Checkbox::new(on, field.label));
            edit = Edit::of(&response);
            response.on_hover_ui(|ui| help(ui, field));
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            // Without a run a change acts on all of the next one.
            if live {
                widgets::applies_at_badge(ui, field.applies_at, waiting);
            }
            match (&field.kind, &mut *value) {
                (Kind::Float { .. } | Kind::Int { .. }, value) => edit = typed(ui, field, value),
                (Kind::Choice(names), Value::Text(chosen)) => edit = choice(ui, field, names, chosen),
                (Kind::IntList { .. }, Value::List(list)) => edit = list_of(ui, field, list, 110.0),
                (Kind::Weights(names), value) => edit = weights(ui, field, names, value, classes),
                _ => {}
            }
        });
    });
    if matches!(field.kind, Kind::Float { .. } | Kind::Int { .. }) {
        edit = edit.or(slider(ui, field, value));
    }
    if let (Kind::Weights(_), Value::Floats(list)) = (field.kind, value) {
        let width = ui.available_width() - 12.0;
        edit = edit.or(list_of(ui, field, list, width));
    }
    edit
}

/// The number as text that can be typed over or dragged, up to the hard range.
fn typed(ui: &mut Ui, field: &'static Field, value: &mut Value) -> Edit {
    let show = |number: f64, whole: bool| {
        let value = if whole { Value::Int(number as i64) } else { Value::Float(number) };
        field.show(&value)
    };
    // A word such as “off” can be typed for the zero that it stands for.
    let parse = |text: &str| match field.zero {
        Some(word) if text.trim() == word => Some(0.0),
        _ => text.trim().parse().ok(),
    };
    let response = match value {
        Value::Float(number) => {
            let Kind::Float { min, max, soft_min, soft_max, log } = field.kind else { return Edit::None };
            let speed = if log { (*number * 0.02).max(soft_min * 0.1) } else { (soft_max - soft_min) / 300.0 };
            let drag = DragValue::new(number).range(min..=max).speed(speed).max_decimals(9).update_while_editing(false);
            ui.add(drag.custom_formatter(|n, _| show((n * 1e9).round() / 1e9, false)).custom_parser(parse))
        }
        Value::Int(number) => {
            let Kind::Int { min, max, .. } = field.kind else { return Edit::None };
            let drag = DragValue::new(number).range(min..=max).speed(0.2).update_while_editing(false);
            ui.add(drag.custom_formatter(|n, _| show(n, true)).custom_parser(parse))
        }
        _ => return Edit::None,
    };
    let edit = Edit::of(&response);
    response.on_hover_ui(|ui| help(ui, field)).accessible_name(field.label);
    edit
}

/// A slider over the usual range. It takes no part in typing: a value beyond it stays what it is.
fn slider(ui: &mut Ui, field: &'static Field, value: &mut Value) -> Edit {
    ui.spacing_mut().slider_width = ui.available_width() - 4.0;
    let response = match (field.kind, value) {
        (Kind::Float { min, soft_min, soft_max, log, .. }, Value::Float(number)) => {
            // Where zero means something of its own, the slider reaches it.
            let low = if min == 0.0 && field.zero.is_some() { 0.0 } else { soft_min };
            let slider = Slider::new(number, low..=soft_max).logarithmic(log).smallest_positive(soft_min.max(1e-12));
            ui.add(slider.clamping(SliderClamping::Never).show_value(false).max_decimals(9))
        }
        (Kind::Int { soft_min, soft_max, .. }, Value::Int(number)) => {
            let slider = Slider::new(number, soft_min..=soft_max).clamping(SliderClamping::Never).show_value(false);
            ui.add(slider)
        }
        _ => return Edit::None,
    };
    let edit = Edit::of(&response);
    response.on_hover_ui(|ui| help(ui, field)).accessible_name(format!("{} slider", field.label));
    ui.add_space(2.0);
    edit
}

fn choice(ui: &mut Ui, field: &'static Field, names: &[&'static str], chosen: &mut String) -> Edit {
    let mut edit = Edit::None;
    let shown =
        |name: &str| words::of_choice(field.key, name).map_or_else(|| name.to_owned(), |(word, _)| word.to_owned());
    let combo = ComboBox::from_id_salt("choice").selected_text(shown(chosen)).width(126.0);
    let inner = combo.show_ui(ui, |ui| {
        for name in names {
            let label = ui.selectable_label(chosen == name, shown(name));
            let label = match words::of_choice(field.key, name) {
                Some((_, sentence)) => label.on_hover_text(format!("{sentence}\n{} = {name}", field.key)),
                None => label,
            };
            if label.clicked() {
                *chosen = (*name).to_owned();
                edit = Edit::Done;
            }
        }
    });
    inner.response.on_hover_ui(|ui| help(ui, field)).accessible_name(field.label);
    edit
}

/// One of the names, or numbers, which are written below.
fn weights(ui: &mut Ui, field: &'static Field, names: &[&'static str], value: &mut Value, classes: usize) -> Edit {
    const BY_HAND: &str = "by hand";
    let shown = if let Value::Text(name) = value { name } else { BY_HAND };
    let mut chosen = shown.to_owned();
    let edit = choice(ui, field, &[names, &[BY_HAND]].concat(), &mut chosen);
    if chosen != shown {
        *value = if chosen == BY_HAND { Value::Floats(vec![1.0; classes]) } else { Value::Text(chosen) };
    }
    edit
}

fn list_of<T: FromStr + Display>(ui: &mut Ui, field: &'static Field, list: &mut Vec<T>, width: f32) -> Edit {
    let id = Id::unique(("text", field.key));
    let written = list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut text = ui.data(|data| data.get_temp::<String>(id)).unwrap_or_else(|| written.clone());
    let response = ui.add(TextEdit::singleline(&mut text).id(id.with("edit")).desired_width(width).hint_text("none"));
    let ended = response.lost_focus();
    if response.has_focus() {
        ui.data_mut(|data| data.insert_temp(id, text.clone()));
    } else {
        ui.data_mut(|data| data.remove::<String>(id));
    }
    response.on_hover_ui(|ui| help(ui, field)).accessible_name(field.label);
    if !ended || text == written {
        return Edit::None;
    }
    match parse_list(&text) {
        Some(numbers) => {
            *list = numbers;
            Edit::Done
        }
        // What was typed is no list; the old one comes back.
        None => Edit::None,
    }
}

/// Numbers between commas or spaces.
fn parse_list<T: FromStr>(text: &str) -> Option<Vec<T>> {
    text.split([',', ' ']).filter(|word| !word.is_empty()).map(|word| word.parse().ok()).collect()
}

/// A folding group of fields.
pub(crate) fn group(ui: &mut Ui, title: &str, salt: &str, contents: impl FnOnce(&mut Ui)) {
    CollapsingHeader::new(RichText::new(title).strong()).id_salt(salt).show_unindented(ui, |ui| {
        egui::Frame::new().inner_margin(egui::Margin { left: 6, right: 0, top: 2, bottom: 6 }).show(ui, contents);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_people_write_them() {
        assert_eq!(parse_list("60, 120"), Some(vec![60, 120]));
        assert_eq!(parse_list("3 3 3"), Some(vec![3, 3, 3]));
        assert_eq!(parse_list::<i64>(""), Some(vec![]));
        assert_eq!(parse_list::<i64>("many"), None);
        assert_eq!(parse_list("1, 2.5"), Some(vec![1.0, 2.5]));
    }
}
