//! The matrix itself: a cell for each true and each predicted class, as dark as it is full.

use super::{NAMED, Pair, describe};
use crate::{
    app::{
        widgets,
        widgets::theme::{self, Palette},
    },
    data::class_name,
    train::metrics::Confusion,
};
use eframe::egui::{
    self, Align2, Color32, CornerRadius, FontId, Rect, Response, Role, Sense, Ui, Vec2, epaint::TextShape, pos2, vec2,
};
use std::f32::consts::FRAC_PI_2;

/// Height of the line that says what the columns are.
pub(super) const TITLE: f32 = 15.0;

/// Width of a cell that has room for a figure, and of one that has room for a turned name, in points.
const FIGURE: f32 = 13.0;
const LINE: f32 = 10.0;

/// The matrix where it stands on the screen.
pub(super) struct Matrix<'a> {
    /// Classes, at least one.
    pub n: usize,
    /// All cells.
    pub body: Rect,
    /// Of a cell.
    pub size: Vec2,
    pub confusion: &'a Confusion,
    /// Images of each true class.
    pub support: Vec<u32>,
    pub classes: &'a [String],
    /// Whether the names over the columns are turned by a quarter.
    pub turned: bool,
}

impl Matrix<'_> {
    /// Whether cells have room for numbers, and rows for names.
    pub(crate) fn is_named(&self) -> bool {
        self.n <= NAMED
    }

    fn font(&self) -> FontId {
        FontId::proportional((self.size.y - 4.0).clamp(7.0, 11.5))
    }

    fn name(&self, class: usize) -> &str {
        class_name(self.classes, class)
    }

    pub(crate) fn place(&self, (truth, predicted): Pair) -> Rect {
        let offset = vec2(predicted as f32 * self.size.x, truth as f32 * self.size.y);
        Rect::from_min_size(self.body.min + offset, self.size)
    }

    /// Of the images of class `truth`.
    pub(crate) fn share(&self, truth: usize, predicted: usize) -> f64 {
        f64::from(self.confusion.get(truth, predicted)) / f64::from(self.support[truth].max(1))
    }

    pub(crate) fn describe(&self, truth: usize, predicted: usize) -> String {
        let count = self.confusion.get(truth, predicted);
        describe(self.name(truth), self.name(predicted), truth == predicted, count)
    }

    /// What stands above and beside the cells, within `whole`.
    pub(crate) fn headings(&self, ui: &Ui, whole: Rect) {
        let color = theme::palette(ui).weak;
        let Self { body, size, .. } = *self;
        let font = FontId::proportional(11.0);
        let at = pos2(body.center().x, whole.top());
        ui.painter().text(at, Align2::CENTER_TOP, "taken for", font.clone(), color);
        if !self.is_named() {
            ui.painter().text(body.left_top(), Align2::RIGHT_TOP, "is ", font, color);
            return;
        }
        ui.painter().text(body.left_top() - vec2(6.0, 2.0), Align2::RIGHT_BOTTOM, "is", font, color);
        for class in 0..self.n {
            let text = widgets::elided(ui, self.name(class), self.font(), color, body.min.x - whole.min.x - 8.0);
            let middle = self.place((class, 0)).center().y;
            let at = pos2(body.min.x - 6.0 - text.size().x, middle - text.size().y / 2.0);
            ui.painter().galley(at, text, color);
            let room = if self.turned { body.min.y - whole.min.y - TITLE - 4.0 } else { size.x - 3.0 };
            if self.turned && size.x < LINE {
                continue;
            }
            let text = widgets::elided(ui, self.name(class), self.font(), color, room);
            let middle = self.place((0, class)).center().x;
            if self.turned {
                // Its left edge is below.
                let at = pos2(middle - text.size().y / 2.0, body.min.y - 3.0);
                ui.painter().add(TextShape::new(at, text, color).with_angle(-FRAC_PI_2));
            } else {
                let at = pos2(middle - text.size().x / 2.0, body.min.y - text.size().y - 2.0);
                ui.painter().galley(at, text, color);
            }
        }
    }

    /// Whether the names of `classes` are too long to stand over columns that are `width` wide.
    pub(crate) fn must_turn(ui: &Ui, classes: &[String], width: f32) -> bool {
        let font = FontId::proportional(11.5);
        let wide = |name: &String| widgets::elided(ui, name, font.clone(), Color32::WHITE, width - 3.0).elided;
        classes.iter().any(wide)
    }

    /// Draws the cells; gives the one under the pointer and, after a click, what was clicked.
    pub(crate) fn cells(&self, ui: &Ui, all: &Response, normalised: bool) -> (Option<Pair>, Option<Option<Pair>>) {
        let (mut hovered, mut clicked) = (None, None);
        let palette = theme::palette(ui);
        for cell in (0..self.support.len()).flat_map(|truth| (0..self.n).map(move |predicted| (truth, predicted))) {
            let (truth, predicted) = cell;
            let (count, share) = (self.confusion.get(truth, predicted), self.share(truth, predicted));
            let place = self.place(cell);
            if count > 0 {
                let color = heat(palette, truth == predicted, share);
                let gap = if self.is_named() { 0.75 } else { 0.0 };
                ui.painter().rect_filled(place.shrink(gap), CornerRadius::ZERO, color);
            }
            if !self.is_named() {
                continue;
            }
            let text = match (count, normalised) {
                (0, _) => String::new(),
                (_, true) => format!("{:.0}", share * 100.0),
                (_, false) => count.to_string(),
            };
            // Numbers that would lie over each other are none; they are in the words at the pointer.
            let text = if self.size.x < FIGURE { String::new() } else { text };
            let ink = if truth == predicted { palette.text } else { palette.text.gamma_multiply(0.92) };
            ui.painter().text(place.center(), Align2::CENTER_CENTER, text, self.font(), ink);
            let id = ui.scope_id().with(("cell", truth, predicted));
            let response = ui.interact(place, id, Sense::click());
            response.widget_info(|| egui::WidgetInfo::labeled(Role::Button, true, self.describe(truth, predicted)));
            if response.hovered() || response.has_focus() {
                hovered = Some(cell);
            }
            if response.clicked() {
                clicked = Some(Some(cell));
            }
        }
        if self.is_named() {
            return (hovered, clicked);
        }
        // Too small to be widgets.
        let at = all.hover_pos().filter(|at| self.body.contains(*at)).map(|at| {
            let class = |offset: f32, side: f32| ((offset / side) as usize).min(self.n - 1);
            (class(at.y - self.body.min.y, self.size.y), class(at.x - self.body.min.x, self.size.x))
        });
        (at, all.clicked().then_some(at))
    }
}

/// Blue on the diagonal, red beside it; the root of the share, so that rare mistakes can be seen.
fn heat(palette: &Palette, right: bool, share: f64) -> Color32 {
    let color = if right { palette.right } else { palette.wrong };
    color.gamma_multiply((share.sqrt() * 0.5 + 0.06).min(0.56) as f32)
}
