//! How the network came to think so of one image, as bars: a bar an epoch.

use super::rows::{Row, Thought, Told, thoughts};
use crate::{
    app::widgets::{theme, verdict},
    data::{Dataset, shown_class_name},
    format::number,
    train::Tracker,
};
use eframe::egui::{self, Color32, CornerRadius, RichText, Role, Sense, Ui, pos2, vec2};

/// A bar: its height from 0 to 1, its colour, and what it stands for.
struct Bar {
    height: f32,
    color: Color32,
    words: String,
}

/// Draws what is known of `row`; `validation` is what is remembered of that split.
pub(crate) fn ui(ui: &mut Ui, row: &Row, validation: &Tracker, dataset: &Dataset) {
    let palette = theme::palette(ui);
    let class = |class: u32| shown_class_name(&dataset.classes, class);
    match &row.told {
        Told::Validation { .. } => {
            let thoughts = thoughts(validation, row.index).map(|Thought { epoch, predicted, truth }| {
                let (sign, color) = verdict(palette, predicted == row.truth);
                let (epoch, sure) = (number(epoch), truth * 100.0);
                let words = format!("epoch {epoch}: {sign} {}, {sure:.0} % for the true class", class(predicted));
                Bar { height: truth, color, words }
            });
            bars(ui, "Sure of the true class, in the last epochs", &thoughts.collect::<Vec<_>>());
        }
        Told::Training { losses, .. } => {
            let highest = losses.iter().fold(1.0f32, |highest, &loss| highest.max(loss));
            let epochs = losses.iter().enumerate().map(|(at, loss)| {
                let ago = losses.len() - 1 - at;
                let when = match ago {
                    0 => "last epoch".to_owned(),
                    1 => "the epoch before".to_owned(),
                    _ => format!("{ago} epochs before"),
                };
                Bar { height: loss / highest, color: palette.train, words: format!("{when}: loss {loss:.2}") }
            });
            bars(ui, "Loss in the last epochs", &epochs.collect::<Vec<_>>());
        }
    }
}

fn bars(ui: &mut Ui, title: &str, bars: &[Bar]) {
    let palette = theme::palette(ui);
    ui.add_space(6.0);
    ui.label(RichText::new(title).color(palette.weak).small());
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 54.0), Sense::hover());
    ui.painter().rect_filled(rect, CornerRadius::same(3), palette.raised);
    // A few bars would be slabs if they filled the width.
    let width = (rect.width() / bars.len().max(1) as f32).min(24.0);
    for (at, bar) in bars.iter().enumerate() {
        let left = rect.left() + width * at as f32;
        let top = rect.bottom() - (rect.height() - 4.0) * bar.height.clamp(0.0, 1.0);
        let place =
            egui::Rect::from_min_max(pos2(left, top.min(rect.bottom() - 2.0)), pos2(left + width, rect.bottom()));
        ui.painter().rect_filled(place.shrink2(vec2((width * 0.1).min(1.0), 0.0)), CornerRadius::ZERO, bar.color);
    }
    let all = bars.iter().map(|bar| bar.words.as_str()).collect::<Vec<_>>().join("\n");
    response.widget_info(|| egui::WidgetInfo::labeled(Role::Image, true, format!("{title}\n{all}")));
    if let Some(at) = response.hover_pos() {
        let nearest = ((at.x - rect.left()) / width) as usize;
        if let Some(bar) = bars.get(nearest) {
            response.on_hover_text_at_pointer(&bar.words);
        }
    }
}
