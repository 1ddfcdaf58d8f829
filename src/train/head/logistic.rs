//! Multinomial logistic regression with an L2 penalty, by L-BFGS.
//!
//! What is minimised is the weighted mean of the cross-entropy plus half the strength times the squared weights; biases
//! are free. It is convex, so there is one answer, and the solver's job is to be there soon: Nocedal's L-BFGS
//! (<https://doi.org/10.1090/S0025-5718-1980-0572855-7>) with a step that is halved until it descends (Armijo). On 150
//! images in their own coordinates it takes twenty to thirty steps, two milliseconds; a crate for it would bring arrays
//! and errors of its own for the sixty lines below.

use super::matrix::{Matrix, dot};
use std::collections::VecDeque;

/// Steps that the solver remembers.
const MEMORY: usize = 8;
/// Steps after which it ends in any case.
const MOST_STEPS: usize = 200;
/// Where no component of the gradient is larger than this, the layer is found: far below what moves a prediction.
pub(crate) const FOUND: f64 = 1e-5;
/// And where it is known how good the layer will be, to the third digit of the loss.
pub(crate) const NEAR: f64 = 1e-3;
/// Of the descent that the gradient promises, the share that a step must bring.
const ARMIJO: f64 = 1e-4;

/// Images to learn from.
pub(crate) struct Examples<'a> {
    /// `[images, features]`.
    pub x: &'a Matrix,
    pub labels: &'a [u32],
    /// How much each class counts.
    pub class_weights: &'a [f64],
}

/// A linear layer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Linear {
    /// `[features, classes]`.
    pub weight: Matrix,
    pub bias: Vec<f64>,
}

/// What the solver says of a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Mean cross-entropy of the examples, without the penalty.
    pub loss: f64,
    /// Share of them that is classified rightly.
    pub accuracy: f64,
    /// Length of the step, of the one that the memory suggests.
    pub length: f64,
}

impl Linear {
    fn zeros(features: usize, classes: usize) -> Self {
        Self { weight: Matrix::zeros(features, classes), bias: vec![0.0; classes] }
    }

    /// Logits `[images, classes]` of `x` `[images, features]`.
    pub(crate) fn logits(&self, x: &Matrix) -> Matrix {
        let mut logits = x.times(&self.weight);
        for row in logits.values.chunks_exact_mut(self.bias.len().max(1)) {
            row.iter_mut().zip(&self.bias).for_each(|(logit, bias)| *logit += bias);
        }
        logits
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        self.weight.values.iter().chain(&self.bias).copied()
    }

    /// `self + length · direction`, the direction's values in the order of [`Linear::values`].
    fn moved(&self, direction: &[f64], length: f64) -> Self {
        let mut moved = self.clone();
        let values = moved.weight.values.iter_mut().chain(&mut moved.bias);
        values.zip(direction).for_each(|(value, direction)| *value += length * direction);
        moved
    }
}

/// Turns logits into probabilities, and gives the logarithm of the sum.
pub(crate) fn softmax(row: &mut [f64]) -> f64 {
    let highest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    row.iter_mut().for_each(|value| *value = (*value - highest).exp());
    let sum: f64 = row.iter().sum();
    row.iter_mut().for_each(|value| *value /= sum);
    sum.ln() + highest
}

/// The objective at a point, its gradient, and what people want to know.
struct Point {
    objective: f64,
    gradient: Vec<f64>,
    loss: f64,
    accuracy: f64,
}

impl Examples<'_> {
    /// Goes to the layer, from `start` or zeros, until no component of the gradient is larger than `within`. `tell` hears of
    /// every step and may end it early by false.
    pub(crate) fn fit(
        &self,
        strength: f64,
        start: Option<&Linear>,
        within: f64,
        mut tell: impl FnMut(Step) -> bool,
    ) -> Linear {
        let zeros = || Linear::zeros(self.x.cols, self.class_weights.len());
        let mut layer = start.cloned().unwrap_or_else(zeros);
        let mut point = self.at(&layer, strength);
        let mut memory = Memory::default();
        for _ in 0..MOST_STEPS {
            if point.gradient.iter().all(|value| value.abs() <= within) {
                break;
            }
            let direction = memory.direction(&point.gradient);
            let slope = dot(&direction, &point.gradient);
            // The first step is as long as the steepest direction allows without a look; later ones know the curvature.
            let mut length = if memory.is_empty() { 1.0 / slope.abs().sqrt().max(1.0) } else { 1.0 };
            let (moved, next) = loop {
                let moved = layer.moved(&direction, length);
                let next = self.at(&moved, strength);
                if next.objective <= point.objective + ARMIJO * length * slope || length < 1e-9 {
                    break (moved, next);
                }
                length *= 0.5;
            };
            let step = layer.values().zip(moved.values()).map(|(from, to)| to - from).collect();
            let turn = next.gradient.iter().zip(&point.gradient).map(|(to, from)| to - from).collect();
            memory.add(step, turn);
            // Rounding has the last word.
            let descended = next.objective < point.objective;
            (layer, point) = (moved, next);
            if !tell(Step { loss: point.loss, accuracy: point.accuracy, length }) || !descended {
                break;
            }
        }
        layer
    }

    fn at(&self, layer: &Linear, strength: f64) -> Point {
        let classes = layer.bias.len();
        let mut residuals = layer.logits(self.x);
        let (mut loss, mut plain_loss, mut hits) = (0.0, 0.0, 0usize);
        let total: f64 = self.labels.iter().map(|&label| self.class_weights[label as usize]).sum();
        let mut bias = vec![0.0; classes];
        for (row, &label) in residuals.values.chunks_exact_mut(classes.max(1)).zip(self.labels) {
            let (own, weight) = (label as usize, self.class_weights[label as usize] / total);
            let logit = row[own];
            hits += usize::from(row.iter().enumerate().all(|(class, &other)| class == own || other < logit));
            let cross_entropy = softmax(row) - logit;
            (loss, plain_loss) = (loss + weight * cross_entropy, plain_loss + cross_entropy);
            row[own] -= 1.0;
            row.iter_mut().for_each(|value| *value *= weight);
            bias.iter_mut().zip(&*row).for_each(|(sum, value)| *sum += value);
        }
        let mut gradient = self.x.turned_times(&residuals).values;
        gradient.iter_mut().zip(&layer.weight.values).for_each(|(gradient, weight)| *gradient += strength * weight);
        gradient.extend(bias);
        let penalty = 0.5 * strength * dot(&layer.weight.values, &layer.weight.values);
        let images = self.labels.len().max(1) as f64;
        Point { objective: loss + penalty, gradient, loss: plain_loss / images, accuracy: hits as f64 / images }
    }
}

/// The last steps and how the gradient turned over each.
#[derive(Default)]
struct Memory(VecDeque<Pair>);

struct Pair {
    step: Vec<f64>,
    turn: Vec<f64>,
    /// One over the product of both.
    scale: f64,
}

impl Memory {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, step: Vec<f64>, turn: Vec<f64>) {
        let product = dot(&step, &turn);
        // A convex function turns with the step; what rounding makes of the last ones would spoil the rest.
        if product > 1e-14 * dot(&turn, &turn).max(f64::MIN_POSITIVE) {
            self.0.truncate(MEMORY - 1);
            self.0.push_front(Pair { step, turn, scale: 1.0 / product });
        }
    }

    /// Where to go from a point with that gradient: the two loops.
    fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        let add = |to: &mut [f64], factor: f64, from: &[f64]| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from);
        };
        let mut direction: Vec<f64> = gradient.iter().map(|value| -value).collect();
        let mut shares = Vec::with_capacity(self.0.len());
        for Pair { step, turn, scale } in &self.0 {
            let share = scale * dot(step, &direction);
            add(&mut direction, -share, turn);
            shares.push(share);
        }
        if let Some(Pair { turn, scale, .. }) = self.0.front() {
            let curvature = 1.0 / (scale * dot(turn, turn));
            direction.iter_mut().for_each(|value| *value *= curvature);
        }
        for (Pair { step, turn, scale }, share) in self.0.iter().zip(shares).rev() {
            let back = scale * dot(turn, &direction);
            add(&mut direction, share - back, step);
        }
        direction
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::rng::Rng;

    fn example(images: usize, features: usize, classes: u32) -> (Matrix, Vec<u32>) {
        let mut rng = Rng::new(&[7]);
        let labels: Vec<u32> = (0..images).map(|i| i as u32 % classes).collect();
        let values = labels.iter().flat_map(|&label| {
            let row: Vec<f64> =
                (0..features).map(|f| rng.unit_f64() + f64::from(u8::from(f as u32 == label))).collect();
            row
        });
        (Matrix { rows: images, cols: features, values: values.collect() }, labels)
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences_and_zero_at_the_end() {
        let (x, labels) = example(30, 5, 3);
        let examples = Examples { x: &x, labels: &labels, class_weights: &[1.0, 2.0, 0.5] };
        let mut layer = Linear::zeros(5, 3);
        layer.weight.values.iter_mut().enumerate().for_each(|(i, value)| *value = (i as f64 * 0.37).sin());
        let point = examples.at(&layer, 0.1);
        for i in 0..point.gradient.len() {
            let mut direction = vec![0.0; point.gradient.len()];
            direction[i] = 1.0;
            let [above, below] = [1e-5, -1e-5].map(|h| examples.at(&layer.moved(&direction, h), 0.1).objective);
            assert!(((above - below) / 2e-5 - point.gradient[i]).abs() < 1e-7, "{i}");
        }
        let found = examples.fit(0.1, None, FOUND, |_| true);
        assert!(examples.at(&found, 0.1).gradient.iter().all(|value| value.abs() <= FOUND));
        let from_elsewhere = examples.fit(0.1, Some(&layer), FOUND, |_| true);
        assert!(found.values().zip(from_elsewhere.values()).all(|(a, b)| (a - b).abs() < 1e-3), "one answer");
    }

    #[test]
    fn steps_go_down_and_are_told() {
        let (x, labels) = example(60, 8, 4);
        let mut losses = Vec::new();
        let examples = Examples { x: &x, labels: &labels, class_weights: &[1.0; 4] };
        examples.fit(0.001, None, FOUND, |step| {
            losses.push(step.loss);
            true
        });
        assert!(losses.len() > 5 && losses.len() < 100 && losses.last() < losses.first(), "{losses:?}");
        let mut told = 0;
        examples.fit(0.001, None, FOUND, |_| {
            told += 1;
            told < 3
        });
        assert_eq!(told, 3);
    }
}
