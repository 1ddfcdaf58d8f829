//! The learning rate over the whole run, as the recipe would have it, with a mark where the run stands.

use crate::app::{state::State, widgets::theme};
use crate::format::{number, rounded};
use crate::train::{learning_rate, total_steps};
use eframe::egui::{self, Align2, CornerRadius, FontId, Role, Sense, Shape, Stroke, Ui, pos2, vec2};

/// Height of the preview, in points.
const HEIGHT: f32 = 66.0;

pub(crate) fn ui(ui: &mut Ui, state: &State) {
    let palette = theme::palette(ui);
    let per_epoch = state.steps_per_epoch().max(1);
    let recipe = &state.recipe;
    let total = total_steps(recipe, per_epoch).max(1);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), HEIGHT), Sense::hover());
    let painter = ui.painter_at(rect);
    painter.rect_filled(rect, CornerRadius::same(6), palette.raised.gamma_multiply(0.6));
    let inner = rect.shrink2(vec2(8.0, 8.0));
    let points = (inner.width() / 2.0).max(2.0) as u64;
    let step_of = |i: u64| (u128::from(i) * u128::from(total - 1) / u128::from(points - 1)) as u64;
    let rates: Vec<f64> = (0..points).map(|i| learning_rate(recipe, step_of(i), per_epoch)).collect();
    let peak = rates.iter().copied().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let place = |i: usize, rate: f64| {
        let x = inner.left() + i as f32 / (points - 1) as f32 * inner.width();
        pos2(x, inner.bottom() - (rate / peak) as f32 * (inner.height() - 12.0))
    };
    let line = rates.iter().enumerate().map(|(i, &rate)| place(i, rate)).collect();
    painter.add(Shape::line(line, Stroke::new(1.8, palette.rate)));
    let font = FontId::proportional(10.0);
    painter.text(
        inner.left_top() - vec2(0.0, 4.0),
        Align2::LEFT_TOP,
        format!("peak {}", rounded(peak)),
        font.clone(),
        palette.weak,
    );
    let words = format!("{} steps", number(total));
    painter.text(inner.right_top() - vec2(0.0, 4.0), Align2::RIGHT_TOP, words, font, palette.weak);
    if let Some(view) = state.run.view().filter(|_| state.run.is_live()) {
        let x = inner.left() + (view.step as f64 / total as f64).min(1.0) as f32 * inner.width();
        painter.vline(x, inner.y_range(), Stroke::new(1.0, palette.accent));
    }
    let start = learning_rate(recipe, 0, per_epoch);
    let end = learning_rate(recipe, total - 1, per_epoch);
    let name = format!(
        "Learning rate over the run: starts at {}, peak {}, ends at {}",
        rounded(start),
        rounded(peak),
        rounded(end)
    );
    response.widget_info(|| egui::WidgetInfo::labeled(Role::Image, true, &name));
    let hover = response.hover_pos();
    let hovered = hover.map(|at| ((at.x - inner.left()) / inner.width()).clamp(0.0, 1.0));
    match hovered {
        Some(part) => {
            let step = (f64::from(part) * (total - 1) as f64) as u64;
            let rate = learning_rate(recipe, step, per_epoch);
            let epoch = step as f64 / per_epoch as f64;
            let words = format!("step {}, epoch {epoch:.1}\nlearning rate {}", number(step), rounded(rate));
            response.on_hover_text_at_pointer(words);
        }
        None => drop(response.on_hover_text(name)),
    }
}
