//! A scrolling grid of images with a line of text under each. Only the rows that can be seen are drawn.

use crate::app::widgets::{self, focus, pictures::SheetTexture, theme};
use crate::text;
use eframe::egui::{
    self, Color32, CornerRadius, FontId, Rect, Role, ScrollArea, Sense, Stroke, StrokeKind, Ui, pos2, vec2,
};

/// What stands in one place of the grid.
pub(crate) struct Cell {
    /// Its name on the sheet.
    pub id: u32,
    /// One line under the image.
    pub caption: String,
    pub color: Color32,
    /// A second, weaker line.
    pub detail: String,
    /// What a screen reader says, and a hover shows.
    pub name: String,
    /// Drawn around the image.
    pub border: Option<Color32>,
}

/// Height of the text under an image, in points.
const CAPTION: f32 = 31.0;

/// Draws `count` cells with images of `side` points; `cell` is asked for those that can be seen. Returns the position of
/// the cell that was clicked.
pub(crate) fn show(
    ui: &mut Ui,
    salt: &str,
    sheet: &SheetTexture,
    count: usize,
    side: f32,
    cell: impl Fn(usize) -> Cell,
) -> Option<usize> {
    let palette = theme::palette(ui);
    let gap = vec2(7.0, 6.0);
    let width = ui.available_width() - ui.spacing().scroll.bar_width - 6.0;
    let columns = (((width + gap.x) / (side + gap.x)).round() as usize).max(1);
    // The images share what is left over, or what is missing.
    let side = ((width + gap.x) / columns as f32 - gap.x).floor();
    let rows = count.div_ceil(columns);
    let mut clicked = None;
    let scroll = ScrollArea::vertical().id_salt(salt).auto_shrink([false, false]).content_margin(2.0);
    ui.spacing_mut().item_spacing.y = gap.y;
    scroll.show_rows(ui, side + CAPTION, rows, |ui, range| {
        for row in range {
            let (line, _) = ui.allocate_exact_size(vec2(width, side + CAPTION), Sense::hover());
            for column in 0..columns {
                let position = row * columns + column;
                if position >= count {
                    break;
                }
                let cell = cell(position);
                let left = line.left() + column as f32 * (side + gap.x);
                let place = Rect::from_min_size(pos2(left, line.top()), vec2(side, side + CAPTION));
                let response = ui.interact(place, ui.scope_id().with((salt, position)), Sense::click());
                let image = Rect::from_min_size(place.min, vec2(side, side));
                let painter = ui.painter();
                match sheet.get(cell.id) {
                    Some((texture, part)) => {
                        let fitted = fit(ui, image, texture, part);
                        painter.image(texture, fitted, part, Color32::WHITE);
                    }
                    None => {
                        painter.rect_filled(image, CornerRadius::same(3), palette.raised);
                    }
                }
                let hovered = response.hovered() || response.has_focus();
                let border = if hovered { Some(palette.text) } else { cell.border };
                if let Some(color) = border {
                    let stroke = Stroke::new(if hovered { 2.0 } else { 1.5 }, color);
                    painter.rect_stroke(image, CornerRadius::same(2), stroke, StrokeKind::Outside);
                }
                let caption = widgets::elided(ui, &cell.caption, FontId::proportional(12.0), cell.color, side + 4.0);
                let detail = widgets::elided(ui, &cell.detail, FontId::proportional(10.5), palette.weak, side + 4.0);
                let below = image.left_bottom() + vec2(0.0, 2.0);
                let drop = caption.size().y;
                ui.painter().galley(below, caption, cell.color);
                ui.painter().galley(below + vec2(0.0, drop - 1.0), detail, palette.weak);
                let name = text::foreign(&cell.name);
                response.widget_info(|| egui::WidgetInfo::labeled(Role::Button, true, &name));
                if response.on_hover_text(&name).clicked() {
                    clicked = Some(position);
                }
            }
        }
        focus::follow(ui);
    });
    clicked
}

/// The largest rectangle within `room` that has the shape of `part` of a texture.
pub(crate) fn fit(ui: &Ui, room: Rect, texture: egui::TextureId, part: Rect) -> Rect {
    let manager = ui.ctx().tex_manager();
    let [width, height] = manager.read().meta(texture).map_or([1, 1], |meta| meta.size);
    shaped(room, part.width() * width as f32 / (part.height() * height as f32).max(1e-9))
}

/// The largest rectangle within `room` that is `aspect` times as wide as it is high.
fn shaped(room: Rect, aspect: f32) -> Rect {
    let wide = vec2(room.width(), room.width() / aspect.max(1e-9));
    let size = if wide.y <= room.height() { wide } else { vec2(room.height() * aspect, room.height()) };
    Rect::from_center_size(room.center(), size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_image_and_a_high_one_keep_their_shape() {
        let room = Rect::from_min_size(pos2(0.0, 0.0), vec2(64.0, 64.0));
        let sizes = [2.0, 0.5].map(|aspect| shaped(room, aspect).size());
        assert_eq!(sizes, [vec2(64.0, 32.0), vec2(32.0, 64.0)]);
    }
}
