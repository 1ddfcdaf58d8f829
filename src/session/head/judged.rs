//! What rounds of cross-validation have said so far.

use crate::{
    session::{Prediction, Predictions},
    train::{
        CrossValidated,
        cross_validation::interval,
        head::fit::Round,
        metrics::{Evaluation, softmax},
        seen_images::SeenImages,
    },
};

/// See the module.
pub(super) struct Judged {
    /// Predictions and figures of each round.
    rounds: Vec<(Vec<Prediction>, Evaluation)>,
    classes: usize,
    folds: usize,
    different: usize,
}

impl Judged {
    pub(super) fn new(images: &SeenImages, classes: usize, first: &Round) -> Self {
        let mut judged = Self { rounds: Vec::new(), classes, folds: first.folds, different: images.different() };
        judged.add(images, first);
        judged
    }

    pub(super) fn add(&mut self, images: &SeenImages, round: &Round) {
        let mut evaluation = Evaluation::new(self.classes);
        let mut predictions = Vec::new();
        for (row, place, label) in images.judged() {
            let logits: Vec<f32> = round.logits.row(row).iter().map(|&value| value as f32).collect();
            evaluation.add(place, &logits, &[label]);
            predictions.push(Prediction { index: place, probabilities: softmax(&logits) });
        }
        self.rounds.push((predictions, evaluation));
    }

    /// Whether each image was judged by a head of a fold, not one that stays.
    pub(super) fn has_folds(&self) -> bool {
        self.folds > 0
    }

    fn mean(&self, of: impl Fn(&Evaluation) -> f64) -> f64 {
        self.rounds.iter().map(|(_, evaluation)| of(evaluation)).sum::<f64>() / self.rounds.len().max(1) as f64
    }

    /// Over all rounds; `None` where nothing was judged.
    pub(super) fn accuracy(&self) -> Option<f64> {
        let any = self.rounds.iter().any(|(_, evaluation)| evaluation.images() > 0);
        any.then(|| self.mean(Evaluation::accuracy))
    }

    pub(super) fn figures(&self, seconds: f64) -> Option<CrossValidated> {
        Some(CrossValidated {
            balanced_accuracy: self.mean(|evaluation| evaluation.confusion.balanced_accuracy()),
            interval: interval(self.accuracy()?, self.different),
            folds: self.folds as u64,
            rounds: self.rounds.len() as u64,
            seconds,
        })
    }

    /// The round whose accuracy is nearest to that of all: what is shown image by image is one head's word on each.
    pub(super) fn typical(&self) -> &(Vec<Prediction>, Evaluation) {
        let (accuracy, balanced) = (self.accuracy().unwrap_or(0.0), self.mean(|e| e.confusion.balanced_accuracy()));
        let distance = |evaluation: &Evaluation| {
            let balanced = (evaluation.confusion.balanced_accuracy() - balanced).abs();
            ((evaluation.accuracy() - accuracy).abs(), balanced)
        };
        let nearest = self
            .rounds
            .iter()
            .min_by(|(_, a), (_, b)| distance(a).partial_cmp(&distance(b)).unwrap_or(std::cmp::Ordering::Equal));
        // The first is there from the beginning.
        nearest.unwrap_or(&self.rounds[0])
    }

    /// Predictions to be shown.
    pub(super) fn predictions(&self, step: u64) -> Predictions {
        Predictions { step, items: self.typical().0.clone() }
    }
}
