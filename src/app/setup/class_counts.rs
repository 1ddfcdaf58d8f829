//! How many images each class has, as bars, and what to do where they are lopsided.

use crate::app::widgets::{self, theme};
use crate::data::Dataset;
use crate::format::number;
use crate::text::foreign;
use crate::train::{Lopsided, Recipe, lopsided};
use eframe::egui::{
    CollapsingHeader, Color32, CornerRadius, FontId, Rect, RichText, Role, ScrollArea, Sense, Ui, WidgetInfo, pos2,
    vec2,
};

const ROW: f32 = 17.0;
/// Between the three columns.
const GAP: f32 = 6.0;

pub(crate) fn ui(ui: &mut Ui, dataset: &Dataset, recipe: &Recipe) {
    let palette = theme::palette(ui);
    let classes = dataset.classes.len();
    let found = lopsided(dataset);
    let header = CollapsingHeader::new(format!("{} classes", number(classes as u64))).id_salt("classes");
    header.show(ui, |ui| {
        let counts = [&dataset.train, &dataset.validation].map(|split| split.class_counts(classes));
        let most = counts.each_ref().map(|counts| counts.iter().copied().max().unwrap_or(0).max(1));
        let head = ["Class", "Training", "Validation"].map(|text| (text.to_owned(), None));
        row(ui, head, palette.weak);
        ui.spacing_mut().item_spacing.y = 2.0;
        ScrollArea::vertical().max_height(220.0).show_rows(ui, ROW, classes, |ui, range| {
            for class in range {
                let cell = |split: usize, color| {
                    let count = counts[split][class];
                    (number(count as u64), Some((count as f32 / most[split] as f32, color)))
                };
                let name = (foreign(&dataset.classes[class]), None);
                row(ui, [name, cell(0, palette.train), cell(1, palette.validation)], palette.text);
            }
        });
    });
    if let Some(Lopsided { largest, smallest }) = found {
        let of = |(name, count): (&str, usize)| format!("{} of “{}”", number(count as u64), shortened(name));
        let sizes = format!("Lopsided: {} and {} to train on.", of(largest), of(smallest));
        let text = match recipe.evens_out() {
            true => RichText::new(sizes).color(palette.weak),
            false => RichText::new(format!(
                "⚠ {sizes} Class weights or Balanced sampling, under Regularisation, make classes count alike."
            ))
            .color(palette.warning),
        };
        ui.label(text.small());
    }
}

/// A name that a line of the column has room for.
fn shortened(name: &str) -> String {
    /// Characters that are left of a name.
    const ROOM: usize = 24;
    let name = foreign(name);
    match name.char_indices().nth(ROOM) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name,
    }
}

/// A text and two more in columns of their own, each over a bar that is filled by its share.
fn row(ui: &mut Ui, cells: [(String, Option<(f32, Color32)>); 3], color: Color32) {
    let palette = theme::palette(ui);
    let (whole, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::hover());
    let column = (whole.width() - 2.0 * GAP) / 3.0;
    let label = cells.each_ref().map(|(text, _)| text.as_str()).join(", ");
    for (place, (text, bar)) in cells.into_iter().enumerate() {
        let left = whole.left() + place as f32 * (column + GAP);
        let rect = Rect::from_min_max(pos2(left, whole.top()), pos2(left + column, whole.bottom()));
        let galley = widgets::elided(ui, &text, FontId::proportional(12.0), color, column);
        let painter = ui.painter();
        let mut inset = 0.0;
        if let Some((share, color)) = bar {
            let corner = CornerRadius::same(3);
            painter.rect_filled(rect, corner, palette.raised);
            let filled = rect.with_max_x(left + column * share);
            painter.rect_filled(filled, corner, color.gamma_multiply(0.35));
            inset = 5.0;
        }
        painter.galley(rect.left_center() + vec2(inset, -galley.size().y / 2.0), galley, color);
    }
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &label));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support::{dataset, harness};
    use crate::train::recipe::class_weights::ClassWeights;
    use egui_kittest::kittest::Queryable;

    #[test]
    fn lopsided_classes_are_said_with_the_fields_that_help() {
        let mut data = (*dataset(2, 4)).clone();
        let mut shown = |labels: &[u32], recipe: Recipe| {
            data.train.labels = labels.to_vec();
            let data = data.clone();
            let harness = harness(move |ui| super::ui(ui, &data, &recipe));
            let says = |text: &str| harness.query_by_label_contains(text).is_some();
            [says("Lopsided: 6 of “class 0” and 2 of “class 1”"), says("Class weights or Balanced sampling")]
        };
        let uneven = [0, 0, 0, 0, 0, 0, 1, 1];
        let weighted = Recipe { class_weights: ClassWeights::Balanced, ..Recipe::default() };
        assert_eq!(shown(&[0, 0, 0, 0, 1, 1, 1, 1], Recipe::default()), [false, false]);
        assert_eq!(shown(&uneven, Recipe::default()), [true, true]);
        assert_eq!(shown(&uneven, weighted), [true, false]);
    }

    #[test]
    fn a_long_name_takes_no_more_room_than_there_is() {
        let mut data = (*dataset(2, 4)).clone();
        data.classes[0] = "x".repeat(300);
        data.train.labels = vec![0, 0, 0, 0, 0, 0, 1, 1];
        let widest = std::rc::Rc::new(std::cell::Cell::new(0.0f32));
        let seen = widest.clone();
        let harness = harness(move |ui| {
            ui.set_max_width(290.0);
            super::ui(ui, &data, &Recipe::default());
            seen.set(seen.get().max(ui.min_rect().width()));
        });
        assert!(harness.query_by_label_contains("xxx…").is_some());
        assert!(widest.get() <= 291.0, "{}", widest.get());
    }
}
