//! Small widgets with one job, used by several panes.

pub(crate) mod focus;
pub(crate) mod fonts;
pub(crate) mod grid;
pub(crate) mod image_inspector;
pub(crate) mod pictures;
pub(crate) mod table;
pub(crate) mod theme;
pub(crate) mod thumbnails;
pub(crate) mod toasts;
pub(crate) mod zoom;

use crate::text;
use crate::train::{AppliesAt, metrics::top_k};
use eframe::egui::{
    self, Align, Align2, Button, Color32, CornerRadius, FontId, Frame, Layout, Margin, Rect, Response, RichText, Sense,
    Stroke, Ui, UiBuilder, Vec2, WidgetText, vec2,
};
use theme::Palette;

/// The one thing to press.
pub(crate) fn primary_button(ui: &mut Ui, text: &str, size: Vec2) -> Response {
    let palette = theme::palette(ui);
    let fill = if ui.is_enabled() { palette.accent } else { palette.raised };
    let ink = if ui.is_enabled() { palette.on_accent } else { palette.weak };
    ui.scope(|ui| {
        // A filled button has to say itself that the pointer is over it.
        let border = &mut ui.visuals_mut().widgets;
        border.inactive.bg_stroke = Stroke::NONE;
        border.hovered.bg_stroke = Stroke::new(1.5, palette.text);
        border.active.bg_stroke = Stroke::new(1.5, palette.text);
        let button = Button::new(RichText::new(text).color(ink).strong());
        ui.add(button.fill(fill).min_size(size).corner_radius(CornerRadius::same(theme::CORNER + 1)))
    })
    .inner
}

/// Says what to do where there is nothing to show yet. Returns whether the button was pressed.
pub(crate) fn empty_state(ui: &mut Ui, title: &str, body: &str, button: Option<&str>) -> bool {
    let palette = theme::palette(ui);
    let mut pressed = false;
    let height = ui.available_height();
    ui.vertical_centered(|ui| {
        ui.add_space((height * 0.5 - 70.0).max(12.0));
        ui.label(RichText::new(title).size(16.0).strong());
        ui.add_space(2.0);
        ui.scope(|ui| {
            ui.set_max_width(380.0_f32.min(ui.available_width()));
            ui.label(RichText::new(body).color(palette.weak));
        });
        if let Some(text) = button {
            ui.add_space(8.0);
            pressed = primary_button(ui, text, vec2(0.0, 30.0)).clicked();
        }
    });
    pressed
}

/// A small framed word.
pub(crate) fn badge(ui: &mut Ui, text: &str, color: Color32) -> Response {
    let galley = ui.painter().layout_no_wrap(text.to_owned(), FontId::proportional(10.5), color);
    let (rect, response) = ui.allocate_exact_size(galley.size() + vec2(10.0, 3.0), Sense::hover());
    ui.painter().rect(
        rect,
        CornerRadius::same(7),
        color.gamma_multiply(0.12),
        Stroke::new(1.0, color.gamma_multiply(0.45)),
        egui::StrokeKind::Inside,
    );
    let at = Align2::CENTER_CENTER.align_size_within_rect(galley.size(), rect).min;
    ui.painter().galley(at, galley, color);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, text));
    response
}

/// When a change of a field takes effect, as a badge with its explanation.
pub(crate) fn applies_at_badge(ui: &mut Ui, applies_at: AppliesAt, waiting: bool) {
    let palette = theme::palette(ui);
    let (color, help) = match applies_at {
        AppliesAt::Now => (palette.now, "A change acts at the next step of a run that goes on."),
        AppliesAt::NextEpoch => (palette.next_epoch, "A change acts from the next epoch of a run that goes on."),
        AppliesAt::Restart => {
            (palette.restart, "A change acts when the next run is started; the present one keeps its value.")
        }
    };
    let text = if waiting { format!("{applies_at} *") } else { applies_at.to_string() };
    let response = badge(ui, &text, color);
    let waits = if waiting { "\n\n* The run that goes on still has another value." } else { "" };
    response.on_hover_text(format!("{help}{waits}"));
}

/// One of several choices in a row of small buttons.
pub(crate) fn chips<T: PartialEq + Clone>(ui: &mut Ui, value: &mut T, choices: &[(T, &str, &str)]) -> bool {
    const GAP: f32 = 3.0;
    const PADDING: f32 = 7.0;
    let mut changed = false;
    // One piece, so that a wrapping row takes all of them to the next line or none. How wide it will be the row can't
    // know beforehand.
    let font = egui::TextStyle::Button.resolve(ui.style());
    let text = |label: &str| ui.painter().layout_no_wrap(label.to_owned(), font.clone(), Color32::WHITE).size().x;
    let width: f32 = choices.iter().map(|(_, label, _)| text(label) + 2.0 * PADDING + GAP).sum();
    let mut draw = |ui: &mut Ui| {
        ui.spacing_mut().item_spacing.x = GAP;
        ui.spacing_mut().button_padding = vec2(PADDING, 2.0);
        for (choice, label, help) in choices {
            let response = ui.add(Button::selectable(*value == *choice, *label).frame_when_inactive(true));
            if response.on_hover_text(*help).clicked() && *value != *choice {
                *value = choice.clone();
                changed = true;
            }
        }
    };
    if width < ui.max_rect().width() {
        keep_together(ui, width, draw);
    } else {
        let style = ui.style().clone();
        draw(ui);
        ui.set_style(style);
    }
    changed
}

/// A piece of a row that wraps, which goes to the next line as a whole where its `width` has no room in this one.
pub(crate) fn keep_together(ui: &mut Ui, width: f32, contents: impl FnOnce(&mut Ui)) {
    let room = ui.available_size_before_wrap().x;
    if ui.layout().main_wrap() && room < width && room < ui.max_rect().width() - 1.0 {
        ui.end_row();
    }
    ui.horizontal(contents);
}

/// Turns pages: back, where it stands, on; in one piece.
pub(crate) fn pager(ui: &mut Ui, page: &mut usize, pages: usize) {
    const BUTTONS: f32 = 70.0;
    let place = format!("{} / {pages}", *page + 1);
    let font = egui::TextStyle::Body.resolve(ui.style());
    let width = ui.painter().layout_no_wrap(place.clone(), font, Color32::WHITE).size().x + BUTTONS;
    keep_together(ui, width, |ui| {
        let before = ui.add_enabled(*page > 0, Button::new("◀")).on_hover_text("Page before");
        if before.accessible_name("Page before").clicked() {
            *page -= 1;
        }
        ui.label(place);
        let next = ui.add_enabled(*page + 1 < pages, Button::new("▶")).on_hover_text("Next page");
        if next.accessible_name("Next page").clicked() {
            *page += 1;
        }
    });
}

/// Text that stays in one piece where a row wraps.
pub(crate) fn whole(ui: &mut Ui, text: impl Into<WidgetText>) -> Response {
    ui.add(egui::Label::new(text).extend())
}

/// A row of controls over a pane's contents, which wraps where the pane is narrow.
pub(crate) fn toolbar<R>(ui: &mut Ui, contents: impl FnOnce(&mut Ui) -> R) -> R {
    let room = Rect::from_min_size(ui.cursor().min, vec2(ui.available_width(), ui.spacing().interact_size.y));
    let layout = Layout::left_to_right(Align::Center).with_main_wrap(true);
    let mut row = ui.new_child(UiBuilder::new().max_rect(room).layout(layout));
    row.spacing_mut().item_spacing = vec2(8.0, 5.0);
    let inner = contents(&mut row);
    // A control that is wider than the pane must not make the pane's other contents as wide as itself.
    let mut used = row.min_rect();
    used.max.x = used.max.x.min(room.max.x);
    ui.advance_cursor_after_rect(used);
    ui.add_space(3.0);
    inner
}

/// A small window about something in a pane: in the middle at first, so that it hides neither controls nor the pane.
pub(crate) fn detail_window<'a>(ctx: &egui::Context, title: String, salt: &str) -> egui::Window<'a> {
    let window = egui::Window::new(title).id(egui::Id::unique(("detail", salt))).resizable(false).collapsible(false);
    window.pivot(Align2::CENTER_CENTER).default_pos(ctx.content_rect().center())
}

/// A raised box.
pub(crate) fn card<R>(ui: &mut Ui, contents: impl FnOnce(&mut Ui) -> R) -> R {
    let palette = theme::palette(ui);
    let frame = Frame::new().fill(palette.raised).inner_margin(Margin::same(8)).corner_radius(CornerRadius::same(6));
    frame.show(ui, contents).inner
}

/// A name and its value in two columns, the value to the right.
pub(crate) fn fact(ui: &mut Ui, name: &str, value: impl Into<WidgetText>) -> Response {
    let palette = theme::palette(ui);
    ui.horizontal(|ui| {
        ui.label(RichText::new(name).color(palette.weak));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| ui.label(value)).inner
    })
    .inner
}

/// ✓ or ✗ with a label, in the colour of right or wrong.
pub(crate) fn verdict(palette: &Palette, right: bool) -> (&'static str, Color32) {
    if right { ("✓", palette.right) } else { ("✗", palette.wrong) }
}

/// The most likely classes as bars with their names and shares; the true class, if it is known, is marked.
pub(crate) fn probability_bars(
    ui: &mut Ui,
    classes: &[String],
    probabilities: &[f32],
    truth: Option<usize>,
    most: usize,
) {
    let palette = theme::palette(ui);
    let mut order = top_k(probabilities, probabilities.len());
    let top = order.first().copied();
    order.truncate(most);
    if let Some(truth) = truth.filter(|truth| !order.contains(truth) && *truth < probabilities.len()) {
        order.push(truth);
    }
    for class in order {
        let share = probabilities[class];
        let name = classes.get(class).map_or_else(|| format!("class {class}"), |name| text::foreign(name));
        let color = match truth {
            Some(truth) if class == truth => palette.right,
            Some(_) if Some(class) == top => palette.wrong,
            _ => palette.weak,
        };
        let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width().max(120.0), 19.0), Sense::hover());
        let painter = ui.painter();
        let corner = CornerRadius::same(3);
        painter.rect_filled(rect, corner, palette.raised);
        let mut filled = rect;
        filled.set_width(rect.width() * share.clamp(0.0, 1.0));
        painter.rect_filled(filled, corner, color.gamma_multiply(0.35));
        let tick = if truth == Some(class) { " ✓" } else { "" };
        let font = FontId::proportional(12.5);
        let text = format!("{:.1} %", share * 100.0);
        let value = painter.layout_no_wrap(text.clone(), font.clone(), palette.text);
        let room = rect.width() - value.size().x - 18.0;
        let label = elided(ui, &format!("{name}{tick}"), font, palette.text, room);
        let painter = ui.painter();
        painter.galley(rect.left_center() + vec2(6.0, -label.size().y / 2.0), label, palette.text);
        painter.galley(rect.right_center() - vec2(value.size().x + 6.0, value.size().y / 2.0), value, palette.text);
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, format!("{name}{tick} {text}")));
    }
}

/// Text in one line, made safe to show, that ends with … where it is wider than `room`.
pub(crate) fn elided(ui: &Ui, text: &str, font: FontId, color: Color32, room: f32) -> std::sync::Arc<egui::Galley> {
    let mut job = egui::text::LayoutJob::simple_singleline(text::foreign(text), font, color);
    job.wrap = egui::text::TextWrapping::truncate_at_width(room.max(0.0));
    ui.painter().layout_job(job)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support::harness;
    use egui_kittest::kittest::Queryable;

    #[test]
    fn choices_that_do_not_fit_go_to_the_next_line_together() {
        let mut chosen = 0;
        let harness = harness(move |ui| {
            ui.set_max_width(200.0);
            toolbar(ui, |ui| {
                ui.add_sized(vec2(120.0, 20.0), Button::new("Wide"));
                chips(ui, &mut chosen, &[(0, "Augmented", ""), (1, "Raw", "")]);
            });
        });
        let place = |label: &str| harness.get_by_label(label).rect();
        let (wide, first, second) = (place("Wide"), place("Augmented"), place("Raw"));
        assert!(first.top() > wide.bottom() && first.top() == second.top(), "{wide} {first} {second}");
        assert!(first.left() == wide.left() && second.right() < wide.left() + 200.0, "{wide} {first} {second}");
    }
}
