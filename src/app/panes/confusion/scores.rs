//! The figures of each class, in the order that is asked for.

use super::ConfusionPane;
use crate::{
    app::widgets::{
        table::{self, Column, Sorting},
        theme,
    },
    data::class_name,
    format::number,
    train::metrics::ClassScore,
};
use eframe::egui::Ui;

const CLASS: usize = 0;
pub(super) const F1: usize = 3;
const COLUMNS: [Column; 5] = [
    Column { name: "Class", help: "In the order of the data set", share: 2.0, greatest_first: false },
    Column {
        name: "Precision",
        help: "Of the images taken for this class, the share that is of it",
        share: 1.0,
        greatest_first: false,
    },
    Column {
        name: "Recall",
        help: "Of the images of this class, the share that was found",
        share: 1.0,
        greatest_first: false,
    },
    Column { name: "F1", help: "Harmonic mean of precision and recall", share: 1.0, greatest_first: false },
    Column { name: "Images", help: "Validation images of this class", share: 1.0, greatest_first: false },
];

impl ConfusionPane {
    pub(super) fn table(&mut self, ui: &mut Ui, classes: &[String]) {
        let palette = theme::palette(ui);
        // No figure is cut: some columns go where there is no room for all.
        let shown: &[usize] = match ui.available_width() {
            ..230.0 => &[CLASS, F1],
            230.0..340.0 => &[CLASS, 1, 2, F1],
            _ => &[CLASS, 1, 2, F1, 4],
        };
        let columns: Vec<Column> = shown.iter().map(|&column| COLUMNS[column]).collect();
        let by = shown.iter().position(|&column| column == self.sorting.by).unwrap_or(usize::MAX);
        let mut sorting = Sorting { by, ..self.sorting };
        if table::header(ui, &columns, &mut sorting)
            && let Some(&by) = shown.get(sorting.by)
        {
            self.sorting = Sorting { by, ..sorting };
            self.order = sorted(&self.scores, self.sorting);
        }
        let name = |class: usize| class_name(classes, class);
        let (order, scores) = (&self.order, &self.scores);
        let clicked = table::rows(
            ui,
            "class scores",
            &columns,
            order.len(),
            None,
            |row, column| {
                let (class, score) = (order[row], &scores[order[row]]);
                let column = shown[column];
                let text = match column {
                    CLASS => name(class).to_owned(),
                    4 => number(u64::from(score.support)),
                    column => format!("{:.3}", figure(score, column)),
                };
                (text, if column == CLASS { palette.text } else { palette.weak.lerp_to_gamma(palette.text, 0.6) })
            },
            |row| format!("{}: F1 {:.3}", name(order[row]), scores[order[row]].f1),
        );
        if let Some(row) = clicked {
            let class = order[row];
            self.cell = Some((class, class));
        }
    }
}

fn figure(score: &ClassScore, column: usize) -> f64 {
    match column {
        1 => score.precision,
        2 => score.recall,
        3 => score.f1,
        _ => f64::from(score.support),
    }
}

/// The classes in the order that was asked for; equals stay in the order of the data set.
pub(super) fn sorted(scores: &[ClassScore], sorting: Sorting) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    if sorting.by != CLASS {
        order.sort_by(|&a, &b| figure(&scores[a], sorting.by).total_cmp(&figure(&scores[b], sorting.by)));
    }
    if sorting.descending {
        order.reverse();
    }
    order
}
