//! The lists of the pane: validation images by what the network takes them for, training images by how they were
//! learned; and both as CSV.

use crate::{
    data::{Dataset, Split},
    session::Prediction,
    text::csv_cell,
    train::{Remembered, Tracker},
};
use std::fmt::Write as _;

/// One image.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// Position in its split.
    pub index: u32,
    /// The class that it is labelled with.
    pub truth: u32,
    /// Cross-entropy of that class: the latest for a validation image, the mean of the last epochs for a training image.
    pub loss: f32,
    /// How often the answer turned from right to wrong.
    pub forgotten: u32,
    pub told: Told,
}

/// What else is known of an image.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    Validation {
        predicted: u32,
        confidence: f32,
    },
    /// The epoch in which it was first right, counted from 1, and its losses in the last epochs.
    Training {
        learned: Option<u64>,
        losses: Vec<f32>,
    },
}

impl Row {
    /// Whether the network is wrong about it at present.
    pub(crate) fn is_wrong(&self) -> bool {
        matches!(self.told, Told::Validation { predicted, .. } if predicted != self.truth)
    }
}

/// What a validation image was taken for at the end of an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Thought {
    /// Counted from 1.
    pub epoch: u64,
    pub predicted: u32,
    /// Probability of the true class.
    pub truth: f32,
}

/// What was thought of an image in the last epochs, the newest last.
pub(crate) fn thoughts(validation: &Tracker, index: u32) -> impl Iterator<Item = Thought> {
    validation.get(index as usize).into_iter().flat_map(|image| {
        let figures = image.epochs.into_iter().zip(image.classes).zip(image.losses);
        figures.map(|((epoch, predicted), loss)| Thought { epoch, predicted, truth: (-loss).exp() })
    })
}

/// All validation images, the hardest first; `memory` is what is remembered of them.
pub(crate) fn validation(items: &[Prediction], labels: &[u32], memory: &Tracker) -> Vec<Row> {
    let row = |item: &Prediction| {
        let truth = *labels.get(item.index as usize)?;
        let own = item.probabilities.get(truth as usize).copied()?;
        let (predicted, confidence) = item.top();
        // The least probability that a float can be told from zero.
        let loss = -own.max(f32::MIN_POSITIVE).ln();
        let forgotten = memory.forgotten(item.index as usize);
        let told = Told::Validation { predicted: predicted as u32, confidence };
        Some(Row { index: item.index, truth, loss, forgotten, told })
    };
    let mut rows: Vec<Row> = items.iter().filter_map(row).collect();
    rows.sort_by(|a, b| b.loss.total_cmp(&a.loss).then(a.index.cmp(&b.index)));
    rows
}

/// Training images in the order in which they come.
pub(crate) fn training(images: &[Remembered], labels: &[u32]) -> Vec<Row> {
    let row = |image: &Remembered| {
        let truth = *labels.get(image.index as usize)?;
        let told = Told::Training { learned: image.learned, losses: image.losses.clone() };
        Some(Row { index: image.index, truth, loss: image.mean_loss, forgotten: image.forgotten, told })
    };
    images.iter().filter_map(row).collect()
}

/// The list as CSV (RFC 4180), a line for each image. `history` holds the predicted classes of the
/// last epochs, each behind the epoch's number; `losses` those of the last epochs, the newest last. `validation` is what is
/// remembered of that split.
pub(crate) fn csv(rows: &[Row], dataset: &Dataset, validation: &Tracker) -> String {
    let class = |class: u32| csv_cell(dataset.class(class));
    let file = |split: &Split, index: u32| {
        csv_cell(split.sources.as_ref().and_then(|all| all.get(index as usize)).map_or("", String::as_str))
    };
    let training = matches!(rows.first(), Some(Row { told: Told::Training { .. }, .. }));
    let mut text = String::from(match training {
        true => "index,file,label,mean_loss,learned_in_epoch,forgotten,losses\r\n",
        false => "index,file,true,predicted,confidence,loss,forgotten,history\r\n",
    });
    for Row { index, truth, loss, forgotten, told } in rows {
        let truth = class(*truth);
        // Writing to a string doesn't fail.
        let _ = match told {
            Told::Validation { predicted, confidence } => {
                let history = thoughts(validation, *index)
                    .map(|thought| format!("{}:{}", thought.epoch, dataset.class(thought.predicted)));
                let history = csv_cell(&history.collect::<Vec<_>>().join(" "));
                let (file, predicted) = (file(&dataset.validation, *index), class(*predicted));
                write!(text, "{index},{file},{truth},{predicted},{confidence:.4},{loss:.4},{forgotten},{history}\r\n")
            }
            Told::Training { learned, losses } => {
                let losses = losses.iter().map(|loss| format!("{loss:.3}")).collect::<Vec<_>>().join(" ");
                let learned = learned.map(|epoch| epoch.to_string()).unwrap_or_default();
                let file = file(&dataset.train, *index);
                write!(text, "{index},{file},{truth},{loss:.4},{learned},{forgotten},{losses}\r\n")
            }
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support::dataset;

    #[test]
    fn odd_names_do_not_break_the_list_or_run_as_formulas() {
        assert_eq!(csv_cell("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(csv_cell("=1+1"), "\"'=1+1\"");
        assert_eq!(csv_cell("plain.png"), "plain.png");
    }

    #[test]
    fn training_images_are_listed_with_how_they_were_learned() {
        let dataset = dataset(2, 2);
        let losses = vec![2.0, 3.0];
        let image = Remembered {
            index: 1,
            epochs: vec![1, 2],
            losses,
            classes: Vec::new(),
            learned: None,
            forgotten: 2,
            mean_loss: 2.5,
        };
        let rows = training(&[image], &dataset.train.labels);
        let text = csv(&rows, &dataset, &Tracker::default());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            ["index,file,label,mean_loss,learned_in_epoch,forgotten,losses", "1,,class 0,2.5000,,2,2.000 3.000"]
        );
    }
}
