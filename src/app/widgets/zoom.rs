//! One image, large, with the pixel under the pointer in numbers.

use crate::app::widgets::{
    pictures::{Picture, SHARP},
    theme,
};
use eframe::egui::{self, Color32, CornerRadius, Image, Rect, RichText, Role, Sense, TextureHandle, Ui, pos2, vec2};

/// A picture that has been, or will be, uploaded.
pub(crate) struct Zoom {
    pub picture: Picture,
    texture: Option<TextureHandle>,
}

impl Zoom {
    pub(crate) fn new(picture: Picture) -> Self {
        Self { picture, texture: None }
    }

    /// Draws it with its longer side `side` points long; `name` is what a screen reader says.
    pub(crate) fn ui(&mut self, ui: &mut Ui, side: f32, name: &str) {
        let picture = &self.picture;
        let texture =
            self.texture.get_or_insert_with(|| ui.ctx().load_texture("picture", picture.to_color_image(), SHARP));
        let longest = picture.width.max(picture.height).max(1) as f32;
        let size = vec2(picture.width as f32, picture.height as f32) * (side / longest);
        let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
        Image::new((texture.id(), size)).corner_radius(CornerRadius::same(2)).paint_at(ui, rect);
        response.widget_info(|| egui::WidgetInfo::labeled(Role::Image, true, name));
        if let Some(at) = response.hover_pos() {
            let (x, y) = self.pixel(rect, at);
            let position = (y * picture.width + x) * picture.channels;
            let values = picture.pixels.get(position..position + picture.channels).unwrap_or(&[]);
            let words: Vec<String> = values.iter().map(u8::to_string).collect();
            response.on_hover_text_at_pointer(format!("column {x}, row {y}\n{}", words.join(", ")));
        }
    }

    fn pixel(&self, rect: Rect, at: egui::Pos2) -> (usize, usize) {
        let part = |value: f32, low: f32, length: f32, pixels: usize| {
            (((value - low) / length * pixels as f32) as usize).min(pixels.saturating_sub(1))
        };
        (
            part(at.x, rect.left(), rect.width(), self.picture.width),
            part(at.y, rect.top(), rect.height(), self.picture.height),
        )
    }
}

/// How often each brightness occurs, a curve for each channel.
pub(crate) fn histogram(ui: &mut Ui, picture: &Picture, width: f32) {
    let palette = theme::palette(ui);
    ui.label(RichText::new("Histogram of pixel values").color(palette.weak).small());
    let (rect, response) = ui.allocate_exact_size(vec2(width, 64.0), Sense::hover());
    ui.painter().rect_filled(rect, CornerRadius::same(3), palette.raised);
    let counts = picture.histogram();
    let most = counts.iter().flatten().copied().max().unwrap_or(1).max(1) as f32;
    let colors = [palette.wrong, palette.rate, palette.right];
    for (channel, counts) in counts.iter().enumerate() {
        let color = if picture.channels == 1 { palette.text } else { colors[channel % 3] };
        for (value, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            // A square root lets rare values be seen beside a dominant background.
            let height = (count as f32 / most).sqrt() * (rect.height() - 4.0);
            let x = rect.left() + (value as f32 + 0.5) / 256.0 * rect.width();
            let line = [pos2(x, rect.bottom() - 2.0), pos2(x, rect.bottom() - 2.0 - height.max(1.0))];
            let ink: Color32 = color.gamma_multiply(if picture.channels == 1 { 0.8 } else { 0.5 });
            ui.painter().line_segment(line, egui::Stroke::new((rect.width() / 256.0).max(1.0), ink));
        }
    }
    response.on_hover_text("Heights are square roots of the counts; 0 is on the left, 255 on the right.");
}
