//! A drawing of the network: stem, blocks by stage, head, with the size of what flows between them.

use crate::app::widgets::theme;
use crate::format::plural;
use crate::model::{ModelSpec, graph::Stage};
use eframe::egui::{self, Color32, CornerRadius, FontId, Pos2, Rect, Role, Sense, Stroke, StrokeKind, Ui, pos2, vec2};

/// Height of the drawing, in points.
const HEIGHT: f32 = 104.0;
/// Blocks of a stage that are drawn one by one; of more, the count is written.
const DRAWN: usize = 9;

/// Draws `spec` for square images of `side` pixels. Taller boxes see more pixels; each box is one residual block.
pub(crate) fn ui(ui: &mut Ui, spec: &ModelSpec, side: usize) {
    let palette = theme::palette(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), HEIGHT), Sense::hover());
    let graph = spec.graph();
    let (sides, channels) = (graph.sides(side), graph.stage_channels());
    let stages = graph.stages.len();
    let words = describe(spec, side);
    response.widget_info(|| egui::WidgetInfo::labeled(Role::Image, true, &words));
    let painter = ui.painter_at(rect);
    painter.rect_filled(rect, CornerRadius::same(6), palette.raised.gamma_multiply(0.6));
    // Stem and head take a fixed width, the stages share the rest by the number of boxes.
    let inner = rect.shrink2(vec2(10.0, 6.0));
    let (end, gap) = (30.0, 8.0);
    let boxes: Vec<usize> = graph.stages.iter().map(|stage| stage.blocks.min(DRAWN)).collect();
    let room = inner.width() - 2.0 * end - gap * (stages + 1) as f32;
    // A stage of one block still needs room for the text under it.
    let shares: Vec<f32> = boxes.iter().map(|&n| (n as f32).max(2.0)).collect();
    let share = room / shares.iter().sum::<f32>();
    let middle = inner.top() + 34.0;
    let font = FontId::proportional(10.0);
    let largest = sides.iter().copied().max().unwrap_or(1).max(1) as f32;
    let tall = |n: usize| 16.0 + 44.0 * (n as f32 / largest).sqrt();
    // Up to where each line is written: what has no room beside the text before it is in the words at the pointer.
    let mut written = [rect.left(); 2];
    let mut text = |at: Pos2, line: usize, text: String, color: Color32| {
        let galley = painter.layout_no_wrap(text, font.clone(), color);
        let left = (at.x - galley.size().x / 2.0).max(rect.left() + 2.0);
        if left >= written[line] + 2.0 {
            written[line] = left + galley.size().x;
            painter.galley(pos2(left, at.y + line as f32 * 12.0), galley, color);
        }
    };
    let caption = middle + 33.0;
    let place = |left: f32, width: f32, height: f32| {
        Rect::from_center_size(pos2(left + width / 2.0, middle), vec2(width, height))
    };
    let flow = |from: f32, to: f32| painter.hline(from..=to, middle, Stroke::new(1.0, palette.weak));
    let draw = |rect: Rect, fill: Color32| {
        painter.rect(rect, CornerRadius::same(3), fill, Stroke::new(1.0, palette.border), StrokeKind::Inside);
    };
    let begin = if graph.stem().is_some() { "stem" } else { "image" };
    let mut left = inner.left();
    draw(place(left, end, tall(sides[0])), palette.validation.gamma_multiply(0.55));
    text(pos2(left + end / 2.0, caption), 0, begin.to_owned(), palette.text);
    text(pos2(left + end / 2.0, caption), 1, format!("{0}×{0}", sides[0]), palette.weak);
    left += end;
    for stage in 0..stages {
        flow(left, left + gap);
        left += gap;
        let width = share * shares[stage];
        let n = sides[stage + 1];
        let shade = palette.accent.gamma_multiply(0.35 + 0.5 * (stage + 1) as f32 / stages as f32);
        let count = boxes[stage];
        let each = (width / count as f32).min(26.0);
        let start = left + (width - each * count as f32) / 2.0;
        flow(left, start);
        for index in 0..count {
            draw(place(start + each * index as f32, each - 2.0, tall(n)), shade);
        }
        flow(start + each * count as f32 - 2.0, left + width);
        let centre = left + width / 2.0;
        let blocks = graph.stages[stage].blocks;
        text(pos2(centre, caption), 0, format!("{blocks}×{}", channels[stage]), palette.text);
        text(pos2(centre, caption), 1, format!("{n}×{n}"), palette.weak);
        left += width;
    }
    flow(left, left + gap);
    left += gap;
    draw(place(left, end, 20.0), palette.rate.gamma_multiply(0.6));
    text(pos2(left + end / 2.0, caption), 0, "head".to_owned(), palette.text);
    text(pos2(left + end / 2.0, caption), 1, spec.classes.to_string(), palette.weak);
    response.on_hover_text(words);
}

/// The drawing in words, for a hover and a screen reader.
fn describe(spec: &ModelSpec, side: usize) -> String {
    let graph = spec.graph();
    let (sides, channels) = (graph.sides(side), graph.stage_channels());
    let mut text = spec.to_string();
    if let Some(stem) = graph.stem() {
        let (k, n) = (stem.kernel, sides[0]);
        text += &format!("\nstem: {k}x{k} convolution to {} channels, {n}x{n} pixels", stem.output);
    }
    for (i, Stage { kind, blocks }) in graph.stages.iter().enumerate() {
        let (n, channels, blocks) = (sides[i + 1], channels[i], plural(*blocks, kind));
        text += &format!("\nstage {}: {blocks} of {channels} channels, {n}x{n} pixels", i + 1);
    }
    text + &format!("\nhead: mean over the pixels, {} classes", spec.classes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drawing_can_be_read_aloud() {
        let spec = ModelSpec::named("cifar_resnet8", None, 1, 10).unwrap();
        let words = describe(&spec, 28);
        assert!(words.contains("stage 3: 1 basic block of 64 channels, 7x7 pixels"), "{words}");
        assert!(words.ends_with("10 classes"));
    }
}
