//! What a network got right and wrong: accuracy, top-5, the confusion matrix, per-class figures, the worst mistakes,
//! and the smoothing of a curve.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// How often each class was taken for each class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Confusion {
    pub classes: usize,
    /// `[classes, classes]`: the row is the true class, the column the predicted one.
    pub counts: Vec<u32>,
}

/// The figures of one class. A share of nothing (a class that was never predicted, say) is 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClassScore {
    /// Of the images taken for this class, the share that is of it.
    pub precision: f64,
    /// Of the images of this class, the share that was taken for it.
    pub recall: f64,
    /// Harmonic mean of both.
    pub f1: f64,
    /// Images of this class.
    pub support: u32,
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

impl Confusion {
    pub(crate) fn new(classes: usize) -> Self {
        Self { classes, counts: vec![0; classes * classes] }
    }

    /// Counts one image. A class out of range is left out.
    pub(crate) fn add(&mut self, truth: usize, predicted: usize) {
        if truth < self.classes && predicted < self.classes {
            self.counts[truth * self.classes + predicted] += 1;
        }
    }

    pub(crate) fn get(&self, truth: usize, predicted: usize) -> u32 {
        self.counts.get(truth * self.classes + predicted).copied().unwrap_or_default()
    }

    /// Images counted.
    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().map(|&n| u64::from(n)).sum()
    }

    /// Share of images whose class was found.
    pub(crate) fn accuracy(&self) -> f64 {
        let hits: u64 = (0..self.classes).map(|class| u64::from(self.get(class, class))).sum();
        share(hits as f64, self.total() as f64)
    }

    /// Images of each true class.
    pub(crate) fn support(&self) -> Vec<u32> {
        (0..self.classes).map(|truth| (0..self.classes).map(|predicted| self.get(truth, predicted)).sum()).collect()
    }

    /// Precision, recall and F1 of each class.
    pub(crate) fn per_class(&self) -> Vec<ClassScore> {
        let support = self.support();
        (0..self.classes)
            .map(|class| {
                let hits = f64::from(self.get(class, class));
                let predicted: u32 = (0..self.classes).map(|truth| self.get(truth, class)).sum();
                let precision = share(hits, f64::from(predicted));
                let recall = share(hits, f64::from(support[class]));
                let f1 = share(2.0 * precision * recall, precision + recall);
                ClassScore { precision, recall, f1, support: support[class] }
            })
            .collect()
    }

    /// Hits and images of each class, as an epoch's event carries them.
    pub(crate) fn hits_and_support(&self) -> Vec<[u32; 2]> {
        self.support().into_iter().enumerate().map(|(class, support)| [self.get(class, class), support]).collect()
    }

    /// Mean F1 over the classes that have images.
    pub(crate) fn macro_f1(&self) -> f64 {
        let scores: Vec<f64> = self.per_class().iter().filter(|s| s.support > 0).map(|s| s.f1).collect();
        share(scores.iter().sum(), scores.len() as f64)
    }

    /// Pairs of a true and another, predicted class with their counts, the most frequent first.
    pub(crate) fn worst_pairs(&self, limit: usize) -> Vec<(usize, usize, u32)> {
        let all = (0..self.classes).flat_map(|a| (0..self.classes).map(move |b| (a, b)));
        let mut pairs: Vec<_> =
            all.filter(|(a, b)| a != b).map(|(a, b)| (a, b, self.get(a, b))).filter(|pair| pair.2 > 0).collect();
        pairs.sort_by_key(|pair| std::cmp::Reverse(pair.2));
        pairs.truncate(limit);
        pairs
    }
}

/// An image that the network got wrong.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mistake {
    /// Position in the split.
    pub index: u32,
    pub truth: u32,
    pub predicted: u32,
    /// The probability that the network gave to its prediction.
    pub confidence: f32,
    /// Cross-entropy, without smoothing.
    pub loss: f32,
}

/// The class probabilities of one image: softmax of its logits, in f64 inside. NaN stays NaN.
pub(crate) fn softmax(logits: &[f32]) -> Vec<f32> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|&x| (f64::from(x) - f64::from(highest)).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|x| (x / sum) as f32).collect()
}

/// The class with the highest value, the first of equals; 0 where there is none.
pub(crate) fn argmax(values: &[f32]) -> usize {
    let best = |best: (usize, f32), (i, &x): (usize, &f32)| if x > best.1 { (i, x) } else { best };
    values.iter().enumerate().fold((0, f32::NEG_INFINITY), best).0
}

/// The `k` classes with the highest values, highest first, the first of equals first.
pub(crate) fn top_k(values: &[f32], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].partial_cmp(&values[a]).unwrap_or(Ordering::Equal));
    order.truncate(k);
    order
}

/// A validation pass, fed batch by batch.
#[derive(Clone, Debug)]
pub(crate) struct Evaluation {
    pub confusion: Confusion,
    loss_sum: f64,
    top5: u64,
    images: u64,
    /// Loss of every image, in the order in which they came.
    losses: Vec<f32>,
    mistakes: Vec<Mistake>,
}

impl Evaluation {
    pub(crate) fn new(classes: usize) -> Self {
        let confusion = Confusion::new(classes);
        Self { confusion, loss_sum: 0.0, top5: 0, images: 0, losses: Vec::new(), mistakes: Vec::new() }
    }

    /// Takes in `logits` `[n, classes]` of the images `first..first + n` with their true classes.
    pub(crate) fn add(&mut self, first: u32, logits: &[f32], labels: &[u32]) {
        let classes = self.confusion.classes.max(1);
        for ((row, &label), index) in logits.chunks_exact(classes).zip(labels).zip(first..) {
            let (truth, predicted) = (label as usize, argmax(row));
            let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = row.iter().map(|&x| (f64::from(x) - f64::from(highest)).exp()).sum();
            let log_probability = |class: usize| f64::from(row[class]) - f64::from(highest) - sum.ln();
            let Some(&own) = row.get(truth) else { continue };
            let loss = -log_probability(truth);
            // Rank among all classes; equals before it count, as in `top_k`.
            let ahead = row.iter().enumerate().filter(|&(k, &x)| x > own || (x == own && k < truth)).count();
            self.confusion.add(truth, predicted);
            self.loss_sum += loss;
            self.top5 += u64::from(ahead < 5 && !own.is_nan());
            self.images += 1;
            self.losses.push(loss as f32);
            if predicted != truth {
                let confidence = log_probability(predicted).exp() as f32;
                let (truth, predicted) = (label, predicted as u32);
                self.mistakes.push(Mistake { index, truth, predicted, confidence, loss: loss as f32 });
            }
        }
    }

    /// Images taken in.
    pub(crate) fn images(&self) -> u64 {
        self.images
    }

    /// Mean cross-entropy, without smoothing.
    pub(crate) fn loss(&self) -> f64 {
        share(self.loss_sum, self.images as f64)
    }

    pub(crate) fn accuracy(&self) -> f64 {
        self.confusion.accuracy()
    }

    /// Share of images whose class is among the five with the highest values.
    pub(crate) fn top5(&self) -> f64 {
        share(self.top5 as f64, self.images as f64)
    }

    /// Loss of every image, in the order in which they came.
    pub(crate) fn losses(&self) -> &[f32] {
        &self.losses
    }

    /// The `limit` mistakes with the highest loss, highest first; one that is not a number comes before all.
    pub(crate) fn worst(&self, limit: usize) -> Vec<Mistake> {
        let key = |m: &Mistake| if m.loss.is_nan() { f32::INFINITY } else { m.loss };
        let mut mistakes = self.mistakes.clone();
        mistakes.sort_by(|a, b| key(b).total_cmp(&key(a)).then(a.index.cmp(&b.index)));
        mistakes.truncate(limit);
        mistakes
    }
}

/// An exponential average of a curve that starts unbiased (Kingma and Ba, <https://arxiv.org/abs/1412.6980>, section
/// 3), leaves a constant curve as it is, and skips what is not finite.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Smooth {
    decay: f64,
    average: f64,
    weight: f64,
}

impl Smooth {
    /// `decay` from 0 (no smoothing) to below 1.
    pub(crate) fn new(decay: f64) -> Self {
        Self { decay: decay.clamp(0.0, 0.9999), average: 0.0, weight: 0.0 }
    }

    /// Takes in a value and gives the average with it; a value that is not finite gives the average so far.
    pub(crate) fn add(&mut self, value: f64) -> Option<f64> {
        if value.is_finite() {
            self.weight = self.decay * self.weight + (1.0 - self.decay);
            // The same as dividing a biased sum by the weight, but a constant comes out bit for bit. The first share is
            // 1 but for rounding.
            let share = if self.weight <= 1.0 - self.decay { 1.0 } else { (1.0 - self.decay) / self.weight };
            self.average += share * (value - self.average);
        }
        self.value()
    }

    /// The average so far.
    pub(crate) fn value(&self) -> Option<f64> {
        (self.weight > 0.0).then_some(self.average)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Truth 0: predicted 0, 0, 1. Truth 1: predicted 1. Truth 2: predicted 1.
    fn small() -> Confusion {
        let mut confusion = Confusion::new(3);
        for (truth, predicted) in [(0, 0), (0, 0), (0, 1), (1, 1), (2, 1)] {
            confusion.add(truth, predicted);
        }
        confusion
    }

    #[test]
    fn scores_are_those_computed_by_hand() {
        let scores = small().per_class();
        assert_eq!(scores[0], ClassScore { precision: 1.0, recall: 2.0 / 3.0, f1: 0.8, support: 3 });
        assert_eq!(scores[1], ClassScore { precision: 1.0 / 3.0, recall: 1.0, f1: 0.5, support: 1 });
        assert_eq!(scores[2], ClassScore { precision: 0.0, recall: 0.0, f1: 0.0, support: 1 });
        assert_eq!(small().accuracy(), 0.6);
        assert_eq!(small().hits_and_support(), [[2, 3], [1, 1], [0, 1]]);
        assert_eq!(small().worst_pairs(5), [(0, 1, 1), (2, 1, 1)]);
        assert!((small().macro_f1() - 1.3 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_seen_is_nothing_known() {
        let evaluation = Evaluation::new(4);
        assert_eq!((evaluation.accuracy(), evaluation.top5(), evaluation.loss()), (0.0, 0.0, 0.0));
    }

    #[test]
    fn losses_and_ranks_are_right() {
        let mut evaluation = Evaluation::new(6);
        // Softmax of (ln 2, 0, 0, 0, 0, 0) is 2/7 and five times 1/7; class 5 is the sixth of equals.
        let row = [2f32.ln(), 0.0, 0.0, 0.0, 0.0, 0.0];
        evaluation.add(10, &[row, row, row].concat(), &[0, 4, 5]);
        let expected = ((3.5f64).ln() + 2.0 * 7f64.ln()) / 3.0;
        assert!((evaluation.loss() - expected).abs() < 1e-7);
        assert!((evaluation.accuracy() - 1.0 / 3.0).abs() < 1e-12);
        assert!((evaluation.top5() - 2.0 / 3.0).abs() < 1e-12);
        let worst = evaluation.worst(1);
        assert_eq!((worst[0].index, worst[0].predicted, worst.len()), (11, 0, 1));
        assert!((worst[0].confidence - 2.0 / 7.0).abs() < 1e-6);
    }

    #[test]
    fn a_network_of_nan_is_wrong_not_a_crash() {
        let mut evaluation = Evaluation::new(2);
        evaluation.add(0, &[f32::NAN, f32::NAN], &[1]);
        assert!(evaluation.loss().is_nan() && evaluation.top5() == 0.0 && evaluation.accuracy() == 0.0);
        assert_eq!(evaluation.worst(9).len(), 1);
    }

    #[test]
    fn labels_out_of_range_are_left_out() {
        let mut evaluation = Evaluation::new(2);
        evaluation.add(0, &[0.0, 1.0], &[7]);
        assert_eq!(evaluation.images(), 0);
    }

    #[test]
    fn smoothing_starts_unbiased_and_skips_gaps() {
        let mut smooth = Smooth::new(0.6);
        assert_eq!(smooth.value(), None);
        assert_eq!(smooth.add(3.0), Some(3.0));
        assert_eq!(smooth.add(f64::NAN), Some(3.0));
        let average = smooth.add(1.0).unwrap();
        assert!((average - (0.6 * 3.0 + 1.0) / 1.6).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn a_constant_stays_as_it_is(x in -1e6f64..1e6, decay in 0.0f64..0.99, n in 1usize..50) {
            let mut smooth = Smooth::new(decay);
            for _ in 0..n {
                prop_assert_eq!(smooth.add(x), Some(x));
            }
        }

        #[test]
        fn probabilities_sum_to_one(logits in proptest::collection::vec(-50f32..50.0, 1..20)) {
            let p = softmax(&logits);
            prop_assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            prop_assert_eq!(argmax(&p), argmax(&logits));
            prop_assert_eq!(top_k(&logits, 1)[0], argmax(&logits));
        }
    }
}
