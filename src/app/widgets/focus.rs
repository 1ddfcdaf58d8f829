//! Where the keyboard is: a ring around what has the focus, and lists that scroll to it.

use crate::app::widgets::theme;
use eframe::egui::{Context, CornerRadius, Event, Id, Key, Stroke, StrokeKind, Ui};

/// To be called where everything has been drawn: shows what has the focus, as long as it is the keyboard that moves it.
pub(crate) fn ring(ctx: &Context) {
    let by_keyboard = Id::unique("the keyboard moves the focus");
    let moved = ctx.input(|input| {
        input.events.iter().rev().find_map(|event| match event {
            Event::Key { key: Key::Tab | Key::ArrowUp | Key::ArrowDown | Key::ArrowLeft | Key::ArrowRight, .. } => {
                Some(true)
            }
            Event::PointerButton { pressed: true, .. } => Some(false),
            _ => None,
        })
    });
    let shown = ctx.data_mut(|data| {
        let shown = moved.or(data.get_temp(by_keyboard)).unwrap_or(false);
        data.insert_temp(by_keyboard, shown);
        shown
    });
    let focused = ctx.memory(|memory| memory.focused()).and_then(|id| ctx.read_response(id));
    // What has been scrolled away has nothing that could be seen.
    let Some(response) = focused.filter(|response| shown && response.interact_rect.is_positive()) else { return };
    let palette = theme::palette_of(ctx.theme());
    let place = response.interact_rect.expand(2.0).intersect(ctx.content_rect());
    let painter = ctx.layer_painter(response.layer_id);
    painter.rect_stroke(
        place,
        CornerRadius::same(theme::CORNER + 1),
        Stroke::new(2.0, palette.focus),
        StrokeKind::Inside,
    );
}

/// To be called at the end of what scrolls: brings what has just got the focus in sight.
pub(crate) fn follow(ui: &Ui) {
    let focused = ui.memory(|memory| memory.focused());
    let known = ui.scope_id().with("focus that was followed");
    let before: Option<Id> = ui.data(|data| data.get_temp(known));
    if focused == before {
        return;
    }
    ui.data_mut(|data| {
        data.remove::<Id>(known);
        focused.map(|id| data.insert_temp(known, id));
    });
    let Some(response) = focused.and_then(|id| ui.ctx().read_response(id)) else { return };
    if response.layer_id == ui.layer_id() && ui.min_rect().contains(response.rect.center()) {
        ui.scroll_to_rect(response.rect.expand(10.0), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support::harness;
    use eframe::egui::{ScrollArea, vec2};
    use egui_kittest::kittest::Queryable;

    #[test]
    fn a_list_scrolls_to_what_the_keyboard_reaches() {
        let mut harness = harness(|ui| {
            ScrollArea::vertical().max_height(100.0).show(ui, |ui| {
                for row in 0..30 {
                    let _ = ui.button(format!("Row {row}"));
                }
                follow(ui);
            });
            ring(ui.ctx());
        });
        for _ in 0..20 {
            harness.key_press(Key::Tab);
            harness.run();
        }
        let row = harness.get_by_label("Row 19");
        assert!(row.is_focused());
        assert!(row.rect().bottom() <= 110.0, "{} of {}", row.rect(), vec2(0.0, 100.0));
    }
}
