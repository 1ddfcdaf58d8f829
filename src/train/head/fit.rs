//! Heads from features: one for each fold, which judges what it has not seen, and the one that stays, from all images.

use super::{
    basis::Basis,
    folds::{Images, parts},
    logistic::{Examples, FOUND, Linear, NEAR, Step, softmax},
    matrix::Matrix,
    unknown::{self, Gallery},
};
use crate::{train::recipe::ClassWeights, weights::Unknown};
use rayon::prelude::*;
use std::ops::Range;

/// Strengths of the penalty that are tried, the strongest first: each fit begins where the last one ended.
const STRENGTHS: [f64; 9] = [10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001];
/// Weaker ones are left out once this many in a row did worse than the best.
const WORSE: usize = 2;
/// Folds by which a strength is chosen, within a training part.
const INNER: usize = 3;
/// Images from which on one of those folds says enough.
const MANY: usize = 2000;
/// The round whose division the choice of a strength has, which no cross-validation does.
const INNER_ROUND: u64 = u64::MAX;
/// Times that the cross-validation is repeated where it is cheap.
const MOST_ROUNDS: u64 = 10;
/// Products of a step, for one class, beyond which there are fewer rounds: together they take a second or two.
const CHEAP: u64 = 10_000_000;

/// What a head is made of.
pub(crate) struct Known<'a> {
    /// `[images, width]`.
    pub features: &'a Matrix,
    pub images: Images<'a>,
    pub classes: usize,
    /// Images of a validation split of the data's own, which no head learns from; empty where folds take its place.
    pub held_out: Range<usize>,
}

/// How.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wish {
    pub class_weights: ClassWeights,
    /// `None` chooses one.
    pub strength: Option<f64>,
    /// Share of real photographs that may be taken for none of the classes; 0 is off.
    pub unknown: f64,
}

/// A layer on features as a network puts them out.
pub(crate) struct Head {
    pub layer: Linear,
    /// Means and one over each deviation of the features that it was found on.
    pub moments: (Vec<f64>, Vec<f64>),
}

/// What heads said of images that they had not seen.
pub(crate) struct Round {
    /// `[images, classes]`, logarithms of probabilities; not a number for images that no head was asked about.
    pub logits: Matrix,
    pub folds: usize,
}

impl Known<'_> {
    /// What the head that stays learns from.
    fn learned(&self) -> Vec<usize> {
        (0..self.features.rows).filter(|image| !self.held_out.contains(image)).collect()
    }

    /// Rounds of cross-validation that are cheap enough.
    pub(crate) fn rounds(&self) -> u64 {
        if !self.held_out.is_empty() {
            return 1;
        }
        let (n, width) = (self.features.rows as u64, self.features.cols as u64);
        (CHEAP / (n * n.min(width) * self.classes as u64).max(1)).clamp(1, MOST_ROUNDS)
    }

    /// Training part and judged part of each fold.
    fn parts(&self, round: u64) -> Vec<(Vec<usize>, Vec<usize>)> {
        if !self.held_out.is_empty() {
            return vec![(self.learned(), self.held_out.clone().collect())];
        }
        let (folds, _) = self.images.folds();
        let division = self.images.divide(folds, round);
        (0..folds).map(|fold| parts(&division, fold)).filter(|(_, judged)| !judged.is_empty()).collect()
    }

    /// One round of judging what was not seen, on all cores.
    pub(crate) fn round(&self, round: u64, wish: &Wish) -> Round {
        let parts = self.parts(round);
        let judged = parts.par_iter().map(|(learned, judged)| {
            let head = self.fit(learned, wish, |_| true);
            let mut logits = head.layer.logits(&self.features.pick(judged));
            for row in logits.values.chunks_exact_mut(self.classes.max(1)) {
                let mut powers = row.to_vec();
                let sum = softmax(&mut powers);
                row.iter_mut().for_each(|logit| *logit -= sum);
            }
            logits
        });
        let judged: Vec<Matrix> = judged.collect();
        let mut all = Matrix::zeros(self.features.rows, self.classes);
        all.values.fill(f64::NAN);
        for ((_, images), logits) in parts.iter().zip(judged) {
            for (row, &image) in images.iter().enumerate() {
                all.row_mut(image).copy_from_slice(logits.row(row));
            }
        }
        let folds = if self.held_out.is_empty() { parts.len() } else { 0 };
        Round { logits: all, folds }
    }

    /// The head that stays.
    pub(crate) fn head(&self, wish: &Wish, tell: impl FnMut(Step) -> bool) -> Head {
        self.fit(&self.learned(), wish, tell)
    }

    /// By what it is known that a photograph is like none of those that the head was found on, of which a share of
    /// `wish.unknown` would be taken for such; nothing where that is off. Each of them is compared with the others alone, and
    /// not with its copies.
    pub(crate) fn unknown(&self, head: &Head, wish: &Wish) -> Option<Unknown> {
        if wish.unknown <= 0.0 {
            return None;
        }
        let (gallery, kept) = self.gallery(&head.moments);
        let similarities = self.similarities(&gallery, &kept);
        Some(gallery.to_card(&similarities, wish.unknown))
    }

    /// The photographs that others are compared with, and which they are.
    pub(crate) fn gallery(&self, moments: &(Vec<f64>, Vec<f64>)) -> (Gallery, Vec<usize>) {
        let of = |image: usize| (self.images.labels[image], self.images.keys[image], image);
        let kept = unknown::picked(self.learned().into_iter().map(of).collect());
        (Gallery::new(self.features.pick(&kept), moments.0.clone(), moments.1.clone()), kept)
    }

    /// How much each image that was learned from is like those in the gallery, itself and its copies left out.
    pub(crate) fn similarities(&self, gallery: &Gallery, kept: &[usize]) -> Vec<f32> {
        let groups = self.images.groups;
        let learned = self.learned();
        gallery
            .similarities(&self.features.pick(&learned), |image, other| groups[learned[image]] != groups[kept[other]])
    }

    /// A head on images `learned`, which nobody else is looked at for.
    fn fit(&self, learned: &[usize], wish: &Wish, tell: impl FnMut(Step) -> bool) -> Head {
        let basis = Basis::new(&self.features.pick(learned));
        let pick = |values: &[u32]| learned.iter().map(|&image| values[image]).collect::<Vec<_>>();
        let (labels, groups) = (pick(self.images.labels), pick(self.images.groups));
        let keys: Vec<u64> = learned.iter().map(|&image| self.images.keys[image]).collect();
        let part = Part {
            x: basis.coordinates(),
            images: Images { labels: &labels, groups: &groups, keys: &keys },
            classes: self.classes,
            wish,
        };
        let strength = wish.strength.unwrap_or_else(|| part.choose());
        let all: Vec<usize> = (0..learned.len()).collect();
        let layer = part.layer(&all, strength, None, FOUND, tell);
        let (mean, scale) = basis.moments();
        Head { layer: basis.on_features(&layer), moments: (mean.to_vec(), scale.to_vec()) }
    }
}

/// A training part in its own coordinates.
struct Part<'a> {
    x: &'a Matrix,
    images: Images<'a>,
    classes: usize,
    wish: &'a Wish,
}

impl Part<'_> {
    fn weights(&self, labels: &[u32]) -> Vec<f64> {
        let mut counts = vec![0; self.classes];
        labels.iter().for_each(|&label| counts[label as usize] += 1);
        let weights = self.wish.class_weights.of(&counts);
        weights.map_or_else(|| vec![1.0; self.classes], |weights| weights.into_iter().map(f64::from).collect())
    }

    fn layer(
        &self,
        learned: &[usize],
        strength: f64,
        start: Option<&Linear>,
        within: f64,
        tell: impl FnMut(Step) -> bool,
    ) -> Linear {
        let labels: Vec<u32> = learned.iter().map(|&image| self.images.labels[image]).collect();
        let (picked, all) = (self.x.pick(learned), learned.len() == self.x.rows);
        let x = if all { self.x } else { &picked };
        Examples { x, labels: &labels, class_weights: &self.weights(&labels) }.fit(strength, start, within, tell)
    }

    /// The strongest penalty under which heads of some of the images say what the others are about as well as under the
    /// best one: within a standard error of it, the rule of Breiman et al. (Classification and Regression Trees, 1984).
    /// What can't be told apart is decided for the simpler head, which small classes thank for.
    fn choose(&self) -> f64 {
        let (allowed, _) = self.images.folds();
        let folds = self.images.divide(allowed.min(INNER), INNER_ROUND);
        let looked_at = if self.x.rows > MANY { 1 } else { allowed.min(INNER) };
        let parts: Vec<_> = (0..looked_at).map(|fold| parts(&folds, fold)).collect();
        let mut starts: Vec<Option<Linear>> = vec![None; parts.len()];
        let mut tried: Vec<Loss> = Vec::new();
        for strength in STRENGTHS {
            let mut losses = Vec::new();
            for ((learned, judged), start) in parts.iter().zip(&mut starts) {
                let layer = self.layer(learned, strength, start.as_ref(), NEAR, |_| true);
                losses.extend(self.losses(&layer, judged));
                *start = Some(layer);
            }
            tried.push(Loss::of(&losses, strength));
            let best = best(&tried);
            if tried.iter().rev().take(WORSE).filter(|loss| loss.mean > best.mean).count() == WORSE {
                break;
            }
        }
        let best = best(&tried);
        tried.iter().find(|loss| loss.mean <= best.mean + best.error).map_or(STRENGTHS[0], |loss| loss.strength)
    }

    /// What a layer loses on each of `judged`, each class by its weight.
    fn losses(&self, layer: &Linear, judged: &[usize]) -> Vec<f64> {
        let weights = self.weights(self.images.labels);
        let mut logits = layer.logits(&self.x.pick(judged));
        let rows = logits.values.chunks_exact_mut(self.classes.max(1)).zip(judged);
        rows.map(|(row, &image)| {
            let label = self.images.labels[image] as usize;
            let own = row[label];
            weights[label] * (softmax(row) - own)
        })
        .collect()
    }
}

/// How much is lost under a strength: the mean over the images, and its standard error.
#[derive(Clone, Copy)]
struct Loss {
    strength: f64,
    mean: f64,
    error: f64,
}

impl Loss {
    fn of(losses: &[f64], strength: f64) -> Self {
        let n = losses.len().max(1) as f64;
        let mean = losses.iter().sum::<f64>() / n;
        let variance = losses.iter().map(|loss| (loss - mean) * (loss - mean)).sum::<f64>() / (n - 1.0).max(1.0);
        Self { strength, mean, error: (variance / n).sqrt() }
    }
}

fn best(tried: &[Loss]) -> Loss {
    let none = Loss { strength: STRENGTHS[0], mean: f64::INFINITY, error: 0.0 };
    tried.iter().copied().fold(none, |best, loss| if loss.mean < best.mean { loss } else { best })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::data::rng::Rng;

    /// Features of images in classes that overlap, and their labels.
    pub(in crate::train::head) fn example(images: usize, width: usize, classes: u32) -> (Matrix, Vec<u32>) {
        let mut rng = Rng::new(&[11]);
        let labels: Vec<u32> = (0..images).map(|i| i as u32 % classes).collect();
        let row = |label: u32, rng: &mut Rng| -> Vec<f64> {
            let own = |f: usize| if f as u32 % classes == label { 0.8 } else { 0.0 };
            (0..width).map(|f| 3.0 * rng.unit_f64() + own(f)).collect()
        };
        let values = labels.iter().flat_map(|&label| row(label, &mut rng)).collect();
        (Matrix { rows: images, cols: width, values }, labels)
    }

    pub(in crate::train::head) fn wish() -> Wish {
        Wish { class_weights: ClassWeights::Balanced, strength: None, unknown: 0.05 }
    }

    fn accuracy(logits: &Matrix, labels: &[u32]) -> f64 {
        let right = |(i, &label): (usize, &u32)| {
            let row = logits.row(i);
            row.iter().enumerate().all(|(class, &value)| class == label as usize || value < row[label as usize])
        };
        labels.iter().enumerate().filter(|&image| right(image)).count() as f64 / labels.len() as f64
    }

    #[test]
    fn figures_of_folds_are_those_of_chance_where_there_is_nothing_to_learn() {
        let (features, _) = example(120, 200, 3);
        // Labels that have nothing to do with the features: a head knows those that it has seen by heart.
        let mut rng = Rng::new(&[5]);
        let labels: Vec<u32> = (0..120).map(|_| (rng.unit_f64() * 3.0) as u32).collect();
        let groups: Vec<u32> = (0..120).collect();
        let keys: Vec<u64> = (0..120).collect();
        let images = Images { labels: &labels, groups: &groups, keys: &keys };
        let known = Known { features: &features, images, classes: 3, held_out: 0..0 };
        let seen = known.head(&Wish { strength: Some(0.01), ..wish() }, |_| true).layer.logits(&features);
        assert_eq!(accuracy(&seen, &labels), 1.0);
        let unseen = accuracy(&known.round(0, &wish()).logits, &labels);
        assert!((0.2..0.47).contains(&unseen), "{unseen}");
    }

    #[test]
    fn classes_that_differ_are_learned_and_copies_do_not_flatter() {
        let (features, labels) = example(90, 60, 3);
        let keys: Vec<u64> = (0..90).collect();
        let groups: Vec<u32> = (0..90).collect();
        let images = Images { labels: &labels, groups: &groups, keys: &keys };
        let known = Known { features: &features, images, classes: 3, held_out: 0..0 };
        let honest = accuracy(&known.round(0, &wish()).logits, &labels);
        assert!(honest > 0.8, "{honest}");
        // Every image twice, under random labels: only a head that has seen the copy knows them.
        let twice: Vec<usize> = (0..90).chain(0..90).collect();
        let mut rng = Rng::new(&[6]);
        let random: Vec<u32> = (0..90).map(|_| (rng.unit_f64() * 3.0) as u32).collect();
        let (features, labels) = (features.pick(&twice), [&random[..], &random].concat());
        let keys: Vec<u64> = (0..180).collect();
        let of = |groups: &[u32]| {
            let images = Images { labels: &labels, groups, keys: &keys };
            let known = Known { features: &features, images, classes: 3, held_out: 0..0 };
            accuracy(&known.round(0, &Wish { strength: Some(0.01), ..wish() }).logits, &labels)
        };
        let groups: Vec<u32> = (0..90).chain(0..90).collect();
        assert!(of(&groups) < 0.5 && of(&(0..180).collect::<Vec<_>>()) > 0.7);
    }

    #[test]
    fn a_split_of_the_datas_own_is_judged_and_never_learned_from() {
        let (features, labels) = example(60, 40, 3);
        let (keys, groups): (Vec<u64>, Vec<u32>) = ((0..60).collect(), (0..60).collect());
        let images = Images { labels: &labels, groups: &groups, keys: &keys };
        let known = Known { features: &features, images, classes: 3, held_out: 45..60 };
        let round = known.round(0, &wish());
        assert!(round.logits.row(44)[0].is_nan() && round.logits.row(45)[0].is_finite());
        assert_eq!((round.folds, known.rounds()), (0, 1));
        let layer = known.head(&wish(), |_| true).layer;
        let mut other = labels.clone();
        other[45..].fill(0);
        let images = Images { labels: &other, ..images };
        let same = Known { features: &features, images, classes: 3, held_out: 45..60 }.head(&wish(), |_| true).layer;
        assert_eq!(layer, same);
    }

    #[test]
    fn the_same_images_give_the_same_weights_whatever_was_tried_between() {
        let (features, labels) = example(60, 100, 3);
        let (keys, groups): (Vec<u64>, Vec<u32>) = ((0..60).collect(), (0..60).collect());
        let fit = |labels: &[u32]| {
            let images = Images { labels, groups: &groups, keys: &keys };
            Known { features: &features, images, classes: 3, held_out: 0..0 }.head(&wish(), |_| true).layer
        };
        let before = fit(&labels);
        let mut moved = labels.clone();
        moved[7] = (moved[7] + 1) % 3;
        assert_ne!(fit(&moved), before);
        assert_eq!(fit(&labels), before);
    }
}
