//! What the photographs take at the size that they are kept at, and where that is.

use crate::{
    app::{state::State, widgets::theme},
    data::{Split, Whereabouts},
    format::{bytes, number},
};
use eframe::egui::{RichText, Ui};

/// Draws the line; only where there are photographs.
pub(super) fn ui(ui: &mut Ui, state: &State) {
    let Some(dataset) = state.data.dataset.as_deref().filter(|dataset| dataset.fitted) else { return };
    // Where each is judged by a head that has not seen it, both splits are the same images.
    let splits = if dataset.has_folds() { vec![&dataset.train] } else { vec![&dataset.train, &dataset.validation] };
    let held: u64 = splits.iter().map(|split| (split.len() * split.image_len()) as u64).sum();
    let text = format!("{}: {}, {}", in_words(&splits), bytes(held), place(dataset.train.pixels.whereabouts()));
    ui.label(RichText::new(text).color(theme::palette(ui).weak).small());
}

/// `120 images at 320x320, 30 at 224x224`.
fn in_words(splits: &[&Split]) -> String {
    let mut parts: Vec<(String, usize)> = Vec::new();
    for split in splits {
        let size = format!("{}x{}", split.width, split.height);
        match parts.last_mut() {
            Some((known, count)) if *known == size => *count += split.len(),
            _ => parts.push((size, split.len())),
        }
    }
    let words = |(at, (size, count)): (usize, &(String, usize))| {
        format!("{}{} at {size}", number(*count as u64), if at == 0 { " images" } else { "" })
    };
    parts.iter().enumerate().map(words).collect::<Vec<_>>().join(", ")
}

fn place(whereabouts: Whereabouts) -> &'static str {
    match whereabouts {
        Whereabouts::Memory => "in memory",
        Whereabouts::TemporaryFile => "in a file that goes with the window",
        Whereabouts::CacheFile => "in a file of the cache, decoded as they are first needed",
        Whereabouts::Nowhere => "decoded whenever they are needed, as neither memory nor disk has room",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support::{dataset, harness, state};
    use egui_kittest::kittest::Queryable;
    use std::sync::Arc;

    #[test]
    fn what_photographs_take_is_said_with_where_they_are() {
        let mut state = state();
        let mut known = (*dataset(2, 4)).clone();
        known.fitted = true;
        let side = known.train.width;
        let held = bytes((known.train.len() * known.train.image_len() * 2) as u64);
        let text = format!("16 images at {side}x{side}: {held}, in memory");
        state.data.dataset = Some(Arc::new(known));
        let harness = harness(move |column| ui(column, &state));
        assert!(harness.query_by_label(&text).is_some(), "{text}");
    }
}
