//! What differs between runs: a row for each field in which at least two of them differ, a column for each run.

use crate::app::{
    history::{Change, shown},
    widgets::{self, theme},
};
use crate::train::{Recipe, fields};
use eframe::egui::{Align2, Color32, CornerRadius, FontId, Grid, RichText, ScrollArea, Sense, Ui, vec2};

/// One run in the table.
pub(crate) struct Column<'a> {
    pub name: &'a str,
    /// The colour of its curves, and whether they are dashed.
    pub line: (Color32, bool),
    pub data: &'a str,
    /// From 0 to 1.
    pub best: Option<f64>,
    /// The one in force at its end; `None` where it can't be read.
    pub recipe: Option<&'a Recipe>,
    /// What was changed on the way there.
    pub changes: Vec<&'a Change>,
}

impl Column<'_> {
    /// The value of a field, with those that it had before: `0.2 → 0.05`.
    fn value(&self, key: &str) -> String {
        let Some(last) = self.recipe.and_then(|recipe| recipe.get(key)) else { return UNKNOWN.to_owned() };
        let before = self.changes.iter().filter(|change| change.key == key);
        let mut values: Vec<String> = before.map(|change| shown(key, &change.from)).collect();
        values.push(shown(key, &last));
        values.dedup();
        values.join(" → ")
    }
}

/// One row: what it is about, and the value in each column.
#[derive(Debug, PartialEq)]
pub(crate) struct Row {
    pub label: &'static str,
    pub values: Vec<String>,
}

const UNKNOWN: &str = "?";

/// The best accuracy of each, then whatever differs, in the order of the recipe.
pub(crate) fn rows(columns: &[Column]) -> Vec<Row> {
    let best = |column: &Column| column.best.map_or("–".to_owned(), |best| format!("{:.1} %", best * 100.0));
    let data = |column: &Column| column.data.to_owned();
    let mut rows = vec![Row { label: "Best accuracy", values: columns.iter().map(best).collect() }];
    let mut add = |label, values: Vec<String>| {
        let mut known = values.iter().filter(|value| *value != UNKNOWN);
        let first = known.next();
        if known.any(|value| Some(value) != first) {
            rows.push(Row { label, values });
        }
    };
    add("Data", columns.iter().map(data).collect());
    for field in fields() {
        add(field.label, columns.iter().map(|column| column.value(field.key)).collect());
    }
    rows
}

/// Draws the table, at most `most` points high; what is beyond scrolls.
pub(crate) fn ui(ui: &mut Ui, columns: &[Column], most: f32) {
    let palette = theme::palette(ui);
    let rows = rows(columns);
    let scroll = ScrollArea::both().id_salt("differences").auto_shrink([false, true]);
    // As high as its rows, even where the part that it stands in was lower in the last frame.
    let scroll = scroll.max_height(most).min_scrolled_height(most);
    // Beside the names of the fields.
    let room = ((ui.available_width() - 120.0) / columns.len().max(1) as f32 - 38.0).clamp(60.0, 170.0);
    scroll.show(ui, |ui| {
        Grid::new("differences").num_columns(columns.len() + 1).striped(true).spacing([14.0, 4.0]).show(ui, |ui| {
            ui.label(RichText::new("What differs").color(palette.weak));
            for column in columns {
                ui.horizontal(|ui| {
                    swatch(ui, column.line);
                    let name = widgets::elided(ui, column.name, FontId::proportional(12.5), palette.text, room);
                    ui.label(name).on_hover_text(column.name);
                });
            }
            ui.end_row();
            for row in &rows {
                ui.label(RichText::new(row.label).color(palette.weak));
                for value in &row.values {
                    let text = widgets::elided(ui, value, FontId::proportional(12.5), palette.text, room);
                    ui.label(text).on_hover_text(value);
                }
                ui.end_row();
            }
        });
        if rows.len() == 1 && columns.len() > 1 {
            let same = "Their recipes are the same in every field.";
            ui.label(RichText::new(same).color(palette.weak));
        }
    });
}

/// A piece of a run's line, as it is drawn on the charts.
pub(crate) fn swatch(ui: &mut Ui, (color, dashed): (Color32, bool)) {
    let (place, _) = ui.allocate_exact_size(vec2(18.0, 12.0), Sense::hover());
    let bar = |width| Align2::LEFT_CENTER.align_size_within_rect(vec2(width, 3.0), place);
    let round = CornerRadius::same(1);
    if dashed {
        for left in [0.0, 6.5, 13.0] {
            ui.painter().rect_filled(bar(5.0).translate(vec2(left, 0.0)), round, color);
        }
    } else {
        ui.painter().rect_filled(bar(18.0), round, color);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column<'a>(name: &'a str, data: &'a str, recipe: Option<&'a Recipe>) -> Column<'a> {
        Column { name, line: (Color32::RED, false), data, best: Some(0.5), recipe, changes: Vec::new() }
    }

    #[test]
    fn only_what_differs_is_a_row() {
        let a = Recipe { lr: 0.1, flip: false, ..Recipe::default() };
        let b = Recipe { lr: 0.05, flip: false, ..Recipe::default() };
        let rows =
            rows(&[column("a", "sample", Some(&a)), column("b", "sample", Some(&b)), column("c", "sample", None)]);
        let labels: Vec<&str> = rows.iter().map(|row| row.label).collect();
        assert_eq!(labels, ["Best accuracy", "Learning rate"]);
        assert_eq!(rows[1].values, ["0.1", "0.05", "?"]);
    }

    #[test]
    fn a_value_that_was_changed_on_the_way_differs_from_one_that_was_not() {
        let recipe = Recipe { lr: 0.05, image_size: 0, ..Recipe::default() };
        let change = Change { key: "lr".into(), from: 0.2.into(), to: 0.05.into() };
        let steered = Column { changes: vec![&change], ..column("a", "sample", Some(&recipe)) };
        let larger = Recipe { image_size: 64, ..recipe.clone() };
        let rows = rows(&[steered, column("b", "sample", Some(&larger))]);
        let values = |label: &str| rows.iter().find(|row| row.label == label).map(|row| row.values.clone());
        assert_eq!(values("Learning rate").unwrap(), ["0.2 → 0.05", "0.05"]);
        assert_eq!(values("Image size").unwrap(), ["the data's own", "64"]);
    }

    #[test]
    fn other_data_and_a_run_that_can_not_be_read() {
        let recipe = Recipe::default();
        let both = rows(&[column("a", "sample", Some(&recipe)), column("b", "cifar10", Some(&recipe))]);
        assert_eq!(both[1], Row { label: "Data", values: vec!["sample".into(), "cifar10".into()] });
        // What is not known is no difference.
        assert_eq!(rows(&[column("a", "sample", Some(&recipe)), column("b", "sample", None)]).len(), 1);
    }
}
