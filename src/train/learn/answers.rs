//! What a network says of images: a probability for each class, and whether they are of any of them.

use super::{inference::rows, metrics::softmax};
use crate::{
    data::Preprocessing,
    model::Network,
    ops::{self, Storage},
    train::head::{logistic::Linear, matrix::Matrix, unknown::Gallery},
    weights::Unknown,
};

/// What is said of one image.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// One for each class; sums to 1.
    pub probabilities: Vec<f32>,
    /// Whether it is like none of the photographs that the head has learned from.
    pub unknown: bool,
}

/// By what an image is told that is of none of the classes.
#[derive(Clone, Debug)]
pub(crate) struct Stranger {
    gallery: Gallery,
    threshold: f32,
}

impl Stranger {
    pub(crate) fn new(card: &Unknown) -> Self {
        Self { gallery: Gallery::from_card(card), threshold: card.threshold }
    }

    /// Of each image, by its features.
    pub(crate) fn are(&self, features: &Matrix) -> Vec<bool> {
        self.gallery
            .similarities(features, |_, _| true)
            .into_iter()
            .map(|similarity| similarity < self.threshold)
            .collect()
    }
}

/// A network with what it takes to answer.
#[derive(Clone)]
pub(crate) struct Answers {
    pub network: Network,
    pub preprocessing: Preprocessing,
    /// In place of the network's own head.
    pub head: Option<Linear>,
    pub stranger: Option<Stranger>,
}

impl Answers {
    /// Of images that [`Preprocessing::prepare`] has made. Waits for the device.
    pub(crate) fn of(&self, images: &[Vec<u8>]) -> Vec<Answer> {
        let (classes, width) = (self.network.spec().classes, self.network.graph().features());
        if self.head.is_none() && self.stranger.is_none() {
            let logits = rows(&self.network, &self.preprocessing, images, Network::infer);
            let answer = |row: &[f32]| Answer { probabilities: softmax(row), unknown: false };
            return logits.chunks(classes).map(answer).collect();
        }
        // Each image's logits with its features behind them.
        let look = |network: &Network, batch: &ops::Batch, storage: Storage| {
            let [logits, features] = network.look(batch, storage);
            let both = logits.chunks(classes).zip(features.chunks(width));
            both.flat_map(|(logits, features)| [logits, features].concat()).collect()
        };
        let both = rows(&self.network, &self.preprocessing, images, look);
        let features = Matrix::from_rows(width, both.chunks(classes + width).map(|row| &row[classes..]));
        let logits: Vec<Vec<f32>> = match &self.head {
            Some(head) => {
                let logits = head.logits(&features);
                let rows = logits.values.chunks(logits.cols.max(1));
                rows.map(|row| row.iter().map(|&value| value as f32).collect()).collect()
            }
            None => both.chunks(classes + width).map(|row| row[..classes].to_vec()).collect(),
        };
        let unknown = match &self.stranger {
            Some(stranger) => stranger.are(&features),
            None => vec![false; logits.len()],
        };
        let all = logits.iter().zip(unknown);
        all.map(|(row, unknown)| Answer { probabilities: softmax(row), unknown }).collect()
    }
}
