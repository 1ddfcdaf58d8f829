//! What stands under an image of the list.

use super::rows::{Row, Told};
use crate::{
    app::widgets::{grid::Cell, theme, verdict},
    data::Dataset,
    format::number,
};

pub(super) fn learned_words(learned: Option<u64>) -> String {
    learned.map_or("never yet".to_owned(), |epoch| format!("in epoch {}", number(epoch)))
}

/// What stands under an image.
pub(super) fn cell(palette: &theme::Palette, row: &Row, dataset: &Dataset) -> Cell {
    let Row { index, truth, loss, forgotten, told } = row;
    let lost = if *forgotten > 0 { format!(" · forgotten {forgotten}×") } else { String::new() };
    match told {
        Told::Validation { predicted, .. } => {
            let (sign, color) = verdict(palette, predicted == truth);
            let (predicted, truth) = (dataset.class(*predicted), dataset.class(*truth));
            Cell {
                id: *index,
                caption: format!("{sign} {predicted}"),
                color,
                detail: format!("is {truth} · {loss:.2}{lost}"),
                name: format!("Image {index}: {sign} {predicted}, is {truth}, loss {loss:.2}{lost}"),
                border: Some(color),
            }
        }
        Told::Training { learned, .. } => {
            let when = match learned {
                Some(epoch) => format!("epoch {}", number(*epoch)),
                None => "never".to_owned(),
            };
            let (label, learned) = (dataset.class(*truth), learned_words(*learned));
            Cell {
                id: *index,
                caption: label.to_owned(),
                color: palette.text,
                detail: format!("{loss:.2}{lost} · {when}"),
                name: format!("Training image {index}: labelled {label}, first right {learned}, loss {loss:.2}{lost}"),
                border: None,
            }
        }
    }
}
