//! The learning-rate finder: a short run on a copy of the weights, at a rate that grows from step to step.
//!
//! Leslie Smith, <https://arxiv.org/abs/1506.01186>, section 3.3: where the loss falls the rate works, where it rises
//! the rate is too high. The rules are those of Howard and Gugger's fastai: the rate grows exponentially, the loss is
//! smoothed, and the sweep ends where it is four times its minimum. They suggest a tenth of the rate at the minimum for a
//! constant rate; a recipe's `lr` is the *highest* rate of its schedule, Smith's upper bound, which lies just below where
//! the loss stops falling: half the rate at the minimum.
//! The sweep has a network and an optimiser of its own; the run does not notice it.

use super::{metrics::Smooth, trainer::Trainer};
use crate::train::{
    batches::{Feed, Position, Turn},
    recipe::{Freeze, Recipe},
};
use serde::Serialize;

/// The rates of a sweep.
const RATES: [f64; 2] = [1e-6, 10.0];
/// Steps that a sweep takes at most.
pub(crate) const STEPS: u64 = 80;
/// Decay of the smoothed loss.
const SMOOTHING: f64 = 0.8;
/// The sweep ends where the loss is so many times its minimum.
const DIVERGED: f64 = 4.0;
/// A minimum below this share of the first loss counts as learning.
const LEARNED: f64 = 0.98;
/// Up to this rate next to nothing is learned, so that the loss shows how much it goes up and down by itself.
const IDLE_RATE: f64 = 1e-4;
/// So many standard deviations below its mean the loss has come down.
const CLEARLY: f64 = 4.0;

/// What a sweep found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Finding {
    /// Learning rate and smoothed loss, step by step.
    pub points: Vec<(f64, f32)>,
    /// A rate to train at, if the loss fell at any and the sweep was not cut short.
    pub suggestion: Option<f64>,
    /// Something else was to be done before the sweep was over.
    pub cut_short: bool,
}

/// A sweep under way.
pub(crate) struct Sweep {
    trainer: Trainer,
    feed: Feed,
    position: Position,
    order: Vec<Turn>,
    recipe: Recipe,
    frozen: Freeze,
    smooth: Smooth,
    points: Vec<(f64, f32)>,
    over: bool,
}

impl Sweep {
    /// A sweep that uses up `trainer`, on the batches from `position` on. The recipe's schedule plays no part.
    pub(crate) fn new(trainer: Trainer, feed: Feed, position: Position, recipe: &Recipe) -> Self {
        Self {
            trainer,
            order: feed.order(position.epoch),
            feed,
            position,
            frozen: recipe.frozen_at(position.epoch),
            recipe: Recipe { ema_decay: 0.0, ..recipe.clone() },
            smooth: Smooth::new(SMOOTHING),
            points: Vec::new(),
            over: false,
        }
    }

    /// Takes a step and waits for it. False where there is none to take any more.
    fn step(&mut self) -> bool {
        let taken = self.points.len() as u64;
        if self.over || taken >= STEPS {
            return false;
        }
        let lr = rate(taken);
        let plan = self.feed.plan(&self.order, self.position);
        let batch = self.feed.make(plan, None);
        self.trainer.step(&batch, &self.recipe, lr, self.frozen);
        let metrics = self.trainer.read_metrics();
        let loss = f64::from(metrics.loss) / metrics.images.max(1) as f64;
        // An update that was refused is the end as well: the gradient is no longer finite.
        self.over = !loss.is_finite() || metrics.refused > 0;
        if let (false, Some(smoothed)) = (self.over, self.smooth.add(loss)) {
            self.points.push((lr, smoothed as f32));
            let lowest = self.points.iter().fold(f32::INFINITY, |lowest, point| lowest.min(point.1));
            self.over = smoothed > DIVERGED * f64::from(lowest);
        }
        let next = self.position.next(self.feed.steps_per_epoch());
        if next.epoch != self.position.epoch {
            self.order = self.feed.order(next.epoch);
        }
        self.position = next;
        !self.over
    }

    /// Takes all steps and tells `listener` of each, its rate and the smoothed loss, until that says that nobody listens any
    /// more, or `go_on`, asked before each, says no.
    pub(crate) fn run(
        mut self,
        mut listener: impl FnMut(f64, f32) -> bool,
        mut go_on: impl FnMut() -> bool,
    ) -> Finding {
        let mut heard = true;
        let mut more = true;
        while more && heard {
            if !go_on() {
                return Finding { suggestion: None, points: self.points, cut_short: true };
            }
            let told = self.points.len();
            more = self.step();
            if let Some(&(lr, loss)) = self.points.get(told) {
                heard = listener(lr, loss);
            }
        }
        Finding { suggestion: suggest(&self.points), points: self.points, cut_short: !heard }
    }
}

/// The rate of step `step`, counted from 0.
fn rate(step: u64) -> f64 {
    let [from, to] = RATES;
    from * (to / from).powf(step as f64 / (STEPS - 1) as f64)
}

/// Half the rate at the lowest loss. Nothing where no rate brought the loss down by more than it goes up and down by
/// itself, from batch to batch, at rates that are too low to change anything.
fn suggest(points: &[(f64, f32)]) -> Option<f64> {
    let first = f64::from(points.first()?.1);
    let lowest = points.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let idle: Vec<f64> =
        points.iter().take_while(|point| point.0 <= IDLE_RATE).map(|point| f64::from(point.1)).collect();
    let mean = idle.iter().sum::<f64>() / idle.len().max(1) as f64;
    let noise = (idle.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / idle.len().max(1) as f64).sqrt();
    let loss = f64::from(lowest.1);
    (loss < LEARNED * first && loss < mean - CLEARLY * noise).then(|| round(lowest.0 / 2.0))
}

/// To two digits: more would claim a precision that the curve has not.
fn round(lr: f64) -> f64 {
    let unit = 10f64.powi(lr.log10().floor() as i32 - 1);
    format!("{:.1e}", (lr / unit).round() * unit).parse().unwrap_or(lr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_grow_evenly_from_the_lowest_to_the_highest() {
        assert_eq!(rate(0), 1e-6);
        assert!((rate(STEPS - 1) - 10.0).abs() < 1e-9);
        assert!((rate(1) / rate(0) - rate(60) / rate(59)).abs() < 1e-9);
    }

    #[test]
    fn half_the_rate_at_the_minimum_is_suggested() {
        let valley: Vec<(f64, f32)> =
            (0..STEPS).map(|i| (rate(i), 1.0 + ((rate(i) / 0.5).log10().powi(2) as f32).min(2.0))).collect();
        let found = suggest(&valley).unwrap();
        assert!((0.2..0.3).contains(&found), "{found}");
    }

    #[test]
    fn where_the_loss_never_falls_nothing_is_suggested() {
        let rising: Vec<(f64, f32)> = (0..STEPS).map(|i| (rate(i), 2.3 + i as f32 * 0.01)).collect();
        assert_eq!(suggest(&rising), None);
        // A network that has learned all: ups and downs, until the rate is too high.
        let flat = |i: u64| 0.45 + (i as f32 * 1.7).sin() * 0.04 + (rate(i) as f32 - 0.3).max(0.0);
        let flat: Vec<(f64, f32)> = (0..STEPS).map(|i| (rate(i), flat(i))).collect();
        assert_eq!(suggest(&flat), None);
        assert_eq!(suggest(&[]), None);
    }

    #[test]
    fn a_suggestion_has_two_digits() {
        assert_eq!(round(0.123_456), 0.12);
        assert_eq!(round(9.96e-5), 1e-4);
    }
}
