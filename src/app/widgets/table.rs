//! A table of text that scrolls, sorts by a click on a column's name, and draws only the rows that can be seen.
//!
//! It is our own and not `egui_extras`' because its columns share whatever width a pane has, down to a quarter of a screen,
//! and because a row is one thing that a click chooses and a screen reader names; that table's are cells of a fixed width.

use crate::app::widgets::{self, focus, theme};
use crate::text;
use eframe::egui::{self, Color32, CornerRadius, FontId, Role, ScrollArea, Sense, Ui, pos2, vec2};

/// One column: its name, what it means, and its share of the width.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    pub name: &'static str,
    pub help: &'static str,
    pub share: f32,
    /// Whether the first click on its name puts the greatest on top.
    pub greatest_first: bool,
}

/// The column that a table is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sorting {
    pub by: usize,
    pub descending: bool,
}

const ROW: f32 = 22.0;

/// Draws the names of the columns; a click sorts by one, a second click turns the order round. Returns whether the
/// order changed.
pub(crate) fn header(ui: &mut Ui, columns: &[Column], sorting: &mut Sorting) -> bool {
    let palette = theme::palette(ui);
    let (line, _) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::hover());
    let mut changed = false;
    for (at, (left, width)) in places(columns, line.width()).into_iter().enumerate() {
        // One of controls, which have no order.
        if columns[at].name.is_empty() {
            continue;
        }
        let place = egui::Rect::from_min_size(pos2(line.left() + left, line.top()), vec2(width, ROW));
        let response = ui.interact(place, ui.scope_id().with(("column", at)), Sense::click());
        let color = if sorting.by == at || response.hovered() { palette.text } else { palette.weak };
        let text = widgets::elided(
            ui,
            columns[at].name,
            FontId::proportional(12.0),
            color,
            width - if sorting.by == at { 18.0 } else { 8.0 },
        );
        let end = place.left() + 4.0 + text.size().x;
        ui.painter().galley(place.left_center() + vec2(4.0, -text.size().y / 2.0), text, color);
        if sorting.by == at {
            // As file managers have it: down where the greatest is on top.
            let (tip, base) = if sorting.descending { (3.0, -2.0) } else { (-3.0, 2.0) };
            let (x, y) = (end + 8.0, place.center().y + 1.0);
            let corners = vec![pos2(x - 3.5, y + base), pos2(x + 3.5, y + base), pos2(x, y + tip)];
            ui.painter().add(egui::Shape::convex_polygon(corners, color, egui::Stroke::NONE));
        }
        response.widget_info(|| {
            egui::WidgetInfo::labeled(Role::Button, true, format!("Sort by {}", columns[at].name.to_lowercase()))
        });
        if response.on_hover_text(columns[at].help).clicked() {
            sorting.descending = if sorting.by == at { !sorting.descending } else { columns[at].greatest_first };
            sorting.by = at;
            changed = true;
        }
    }
    ui.painter().hline(line.x_range(), line.bottom(), egui::Stroke::new(1.0, palette.border));
    changed
}

/// Draws the names of the columns of a table that stays in its order.
pub(crate) fn names(ui: &mut Ui, columns: &[Column]) {
    let palette = theme::palette(ui);
    let (line, _) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::hover());
    for (at, (left, width)) in places(columns, line.width()).into_iter().enumerate() {
        let place = egui::Rect::from_min_size(pos2(line.left() + left, line.top()), vec2(width, ROW));
        let text = widgets::elided(ui, columns[at].name, FontId::proportional(12.0), palette.weak, width - 8.0);
        ui.painter().galley(place.left_center() + vec2(4.0, -text.size().y / 2.0), text, palette.weak);
        let response = ui.interact(place, ui.scope_id().with(("name", at)), Sense::hover());
        response.on_hover_text(columns[at].help);
    }
    ui.painter().hline(line.x_range(), line.bottom(), egui::Stroke::new(1.0, palette.border));
}

/// Height of a table of `count` rows with the names of its columns, in points.
pub(crate) fn height(count: usize) -> f32 {
    (count + 1) as f32 * ROW + 6.0
}

/// Draws `count` rows; `cell` is asked for row and column of those that can be seen, `name` for what a screen reader
/// says of a row. Returns the row that was clicked.
pub(crate) fn rows(
    ui: &mut Ui,
    salt: &str,
    columns: &[Column],
    count: usize,
    chosen: Option<usize>,
    cell: impl Fn(usize, usize) -> (String, Color32),
    name: impl Fn(usize) -> String,
) -> Option<usize> {
    rows_with(ui, salt, columns, count, chosen, cell, name, |_, _, _| ())
}

/// As [`rows`], with controls in each row that can be seen: `control` draws them into the places of the columns.
#[expect(clippy::too_many_arguments, reason = "what a table is made of")]
pub(crate) fn rows_with(
    ui: &mut Ui,
    salt: &str,
    columns: &[Column],
    count: usize,
    chosen: Option<usize>,
    cell: impl Fn(usize, usize) -> (String, Color32),
    name: impl Fn(usize) -> String,
    mut control: impl FnMut(&mut Ui, usize, &[egui::Rect]),
) -> Option<usize> {
    let palette = theme::palette(ui);
    let mut clicked = None;
    ui.spacing_mut().item_spacing.y = 0.0;
    let scroll = ScrollArea::vertical().id_salt(salt).auto_shrink([false, false]);
    scroll.show_rows(ui, ROW, count, |ui, range| {
        for row in range {
            let (line, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::click());
            let fill = match (chosen == Some(row), response.hovered() || response.has_focus()) {
                (true, _) => ui.visuals().selection.bg_fill,
                (false, true) => palette.raised,
                (false, false) => Color32::TRANSPARENT,
            };
            ui.painter().rect_filled(line, CornerRadius::same(3), fill);
            let place =
                |(left, width)| egui::Rect::from_min_size(pos2(line.left() + left, line.top()), vec2(width, ROW));
            let places: Vec<egui::Rect> = places(columns, line.width()).into_iter().map(place).collect();
            for (column, place) in places.iter().enumerate() {
                let (text, color) = cell(row, column);
                let text = widgets::elided(ui, &text, FontId::proportional(12.5), color, place.width() - 8.0);
                ui.painter().galley(place.left_center() + vec2(4.0, -text.size().y / 2.0), text, color);
            }
            response.widget_info(|| egui::WidgetInfo::labeled(Role::Button, true, text::foreign(&name(row))));
            if response.clicked() {
                clicked = Some(row);
            }
            // Over the row, so that a click on one is not one on the row.
            control(ui, row, &places);
        }
        focus::follow(ui);
    });
    clicked
}

/// Left edge and width of each column.
fn places(columns: &[Column], width: f32) -> Vec<(f32, f32)> {
    let whole: f32 = columns.iter().map(|column| column.share).sum();
    let mut left = 0.0;
    let place = |column: &Column| {
        let own = width * column.share / whole.max(1e-6);
        left += own;
        (left - own, own)
    };
    columns.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_share_the_width() {
        let columns = [2.0, 1.0, 1.0].map(|share| Column { name: "", help: "", share, greatest_first: false });
        assert_eq!(places(&columns, 100.0), [(0.0, 50.0), (50.0, 25.0), (75.0, 25.0)]);
    }
}
