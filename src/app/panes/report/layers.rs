//! The tables of the report: what each layer put out, and its gradients, here and in the replay.

use crate::app::widgets::{
    table::{self, Column},
    theme,
};
use crate::format::{number, rounded};
use crate::train::events::{Activation, LayerNorm};
use eframe::egui::{Color32, RichText, Ui, vec2};

const ACTIVATIONS: [Column; 4] = [
    Column { name: "Layer", help: "The layer's name; fc puts out the logits", share: 2.6, greatest_first: false },
    Column {
        name: "Largest",
        help: "The largest magnitude among its finite outputs on this batch",
        share: 1.2,
        greatest_first: false,
    },
    Column { name: "Not finite", help: "Outputs that are NaN or infinite", share: 1.1, greatest_first: false },
    Column { name: "In the replay", help: "The same on the CPU", share: 1.4, greatest_first: false },
];
const GRADIENTS: [Column; 4] = [
    Column { name: "Tensor", help: "The tensor's name", share: 2.6, greatest_first: false },
    Column { name: "Norm", help: "Euclidean norm of its gradient", share: 1.2, greatest_first: false },
    Column {
        name: "Not finite",
        help: "Values of the gradient that are NaN or infinite",
        share: 1.1,
        greatest_first: false,
    },
    Column { name: "In the replay", help: "The same on the CPU", share: 1.4, greatest_first: false },
];

/// Lines that are seen at once.
const VISIBLE_ROWS: usize = 9;

/// One line of a table.
struct Entry {
    name: String,
    /// `None` where nothing is finite that could be measured.
    size: Option<f32>,
    not_finite: u64,
}

impl Entry {
    fn is_bad(&self) -> bool {
        self.not_finite > 0 || self.size.is_some_and(|size| !size.is_finite())
    }

    fn size(&self) -> String {
        match self.size {
            None => "none finite".to_owned(),
            Some(size) if size.is_finite() => rounded(f64::from(size)),
            Some(size) => size.to_string(),
        }
    }
}

impl From<&Activation> for Entry {
    fn from(layer: &Activation) -> Self {
        // Without a finite output the largest of those is none, which was written down as zero.
        let none = layer.not_finite > 0 && layer.largest == 0.0;
        Self { name: layer.name.clone(), size: (!none).then_some(layer.largest), not_finite: layer.not_finite }
    }
}

impl From<&LayerNorm> for Entry {
    fn from(layer: &LayerNorm) -> Self {
        Self { name: layer.name.clone(), size: Some(layer.norm), not_finite: layer.not_finite }
    }
}

/// The outputs in the order of the computation.
pub(crate) fn activations(ui: &mut Ui, layers: &[Activation], replay: Option<&[Activation]>) {
    let text = "In the order of the computation. The first layer with values that are not finite is where it began.";
    table(ui, "Outputs by layer", text, &ACTIVATIONS, layers, replay);
}

/// The gradients, those that are not finite first.
pub(crate) fn gradients(ui: &mut Ui, layers: &[LayerNorm], replay: Option<&[LayerNorm]>) {
    let text = "Those with values that are not finite first, then by size.";
    table(ui, "Gradients by tensor", text, &GRADIENTS, layers, replay);
}

fn table<'a, T>(ui: &mut Ui, title: &str, text: &str, columns: &[Column; 4], here: &'a [T], replay: Option<&'a [T]>)
where
    Entry: From<&'a T>,
{
    let palette = theme::palette(ui);
    let entries: Vec<Entry> = here.iter().map(Entry::from).collect();
    let there: Vec<Entry> = replay.into_iter().flatten().map(Entry::from).collect();
    // Without a replay its column would be empty.
    let columns = if replay.is_some() { &columns[..] } else { &columns[..3] };
    let color = |entry: &Entry| if entry.is_bad() { palette.wrong } else { palette.text };
    ui.label(RichText::new(title).strong());
    ui.label(RichText::new(text).color(palette.weak).small());
    ui.push_id(title, |ui| {
        ui.allocate_ui(vec2(ui.available_width(), table::height(entries.len().min(VISIBLE_ROWS))), |ui| {
            table::names(ui, columns);
            let cell = |row: usize, column: usize| -> (String, Color32) {
                let entry = &entries[row];
                match column {
                    0 => (entry.name.clone(), color(entry)),
                    1 => (entry.size(), color(entry)),
                    2 => (number(entry.not_finite), if entry.is_bad() { palette.wrong } else { palette.weak }),
                    _ => match there.iter().find(|other| other.name == entry.name) {
                        Some(other) if other.not_finite > 0 => {
                            (format!("{} not finite", number(other.not_finite)), palette.wrong)
                        }
                        Some(other) => (other.size(), color(other)),
                        None => (String::new(), palette.weak),
                    },
                }
            };
            let name = |row: usize| {
                let Entry { name, not_finite, .. } = &entries[row];
                let (kind, size) = (columns[1].name.to_lowercase(), entries[row].size());
                format!("{name}: {kind} {size}, {} not finite", number(*not_finite))
            };
            table::rows(ui, title, columns, entries.len(), None, cell, name);
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_without_a_finite_value_has_no_largest_one() {
        let of = |largest, not_finite| Entry::from(&Activation { name: "fc".to_owned(), largest, not_finite }).size();
        assert_eq!([of(0.0, 640), of(0.0, 0), of(2.5, 3)], ["none finite", "0", "2.5"]);
    }
}
