//! The learning rate as a pure function of the step, so that a resumed run, a chart of what is to come and a finder
//! all agree without any state.
//!
//! The formulas are PyTorch's: `MultiStepLR` (stepped each epoch), `CosineAnnealingLR`, `PolynomialLR` and `OneCycleLR`
//! (cosine strategy; all three stepped each update), the linear warm-up in front of all but the last being
//! Goyal et al., <https://arxiv.org/abs/1706.02677>, section 2.2. A polynomial that ends above 0 is the usual one
//! between the two rates.
//!
//! **A recipe changed in the middle of a run** is simply evaluated from the next step on: a new `lr` is the new peak,
//! and the present rate is rescaled by the same factor at once (all but the part that `min_lr` contributes); a new
//! `epochs` stretches or squeezes the curve, so that the present step falls on another place of it. Nothing is
//! remembered of the recipe before.

use super::table::{Recipe, Schedule};
use std::f64::consts::PI;

/// Steps in an epoch over `images` images: the last, shorter batch counts, unless it would hold a single image.
///
/// A batch of one is left out because the batch normalisation of a 1x1 feature map has no variance there.
/// A data set of a single image still makes one step.
pub(crate) fn steps_per_epoch(images: usize, batch_size: usize) -> u64 {
    let batch_size = batch_size.max(1);
    let rest = images % batch_size;
    let whole = images / batch_size;
    (if rest > 1 || whole == 0 { whole + usize::from(rest > 0) } else { whole }) as u64
}

/// Steps in the whole run.
pub(crate) fn total_steps(recipe: &Recipe, steps_per_epoch: u64) -> u64 {
    recipe.epochs.saturating_mul(steps_per_epoch)
}

/// The learning rate of the update number `step`, counted from 0.
///
/// Beyond the end of the run the rate stays where it ended. `min_lr` above `lr` counts as `lr`.
pub(crate) fn learning_rate(recipe: &Recipe, step: u64, steps_per_epoch: u64) -> f64 {
    let per_epoch = steps_per_epoch.max(1);
    let total = total_steps(recipe, per_epoch) as f64;
    let (step, per_epoch, peak) = (step as f64, per_epoch as f64, recipe.lr);
    let last = recipe.min_lr.min(peak);

    if recipe.schedule == Schedule::OneCycle {
        let top = recipe.one_cycle_rise * total - 1.0;
        return if step <= top {
            anneal(peak / recipe.one_cycle_div, peak, step / top)
        } else {
            anneal(peak, last, (step - top.max(0.0)) / (total - 1.0 - top.max(0.0)))
        };
    }
    let warmup = (recipe.warmup_epochs * per_epoch).round();
    if step < warmup {
        return peak * (step + 1.0) / warmup;
    }
    match recipe.schedule {
        Schedule::Step => {
            let epoch = (step / per_epoch).floor();
            let passed = recipe.milestones.iter().filter(|&&milestone| milestone as f64 <= epoch).count();
            (0..passed).fold(peak, |rate, _| rate * recipe.factor)
        }
        Schedule::Cosine => anneal(peak, last, (step - warmup) / (total - warmup)),
        Schedule::Polynomial => {
            let share = share((step - warmup) / (total - warmup));
            last + (peak - last) * (1.0 - share).powf(recipe.power)
        }
        Schedule::Constant | Schedule::OneCycle => peak,
    }
}

/// From `start` to `end` along half a cosine, as the share of the way goes from 0 to 1.
fn anneal(start: f64, end: f64, of_way: f64) -> f64 {
    end + (start - end) / 2.0 * (1.0 + (PI * share(of_way)).cos())
}

/// A share of the way, from 0 to 1. 0 / 0, in a run of a single step, is its beginning.
fn share(of_way: f64) -> f64 {
    if of_way.is_nan() { 0.0 } else { of_way.clamp(0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use strum::VariantNames;

    fn rates(recipe: &Recipe, per_epoch: u64, steps: &[u64]) -> Vec<f64> {
        steps.iter().map(|&step| learning_rate(recipe, step, per_epoch)).collect()
    }

    fn close(found: &[f64], expected: &[f64]) {
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() <= 1e-9 * (1.0 + b.abs()), "{found:?} instead of {expected:?}");
        }
    }

    #[test]
    fn a_constant_rate_is_constant() {
        let recipe = Recipe { schedule: Schedule::Constant, lr: 1e-3, ..Recipe::default() };
        close(&rates(&recipe, 10, &[0, 5, 1_000_000]), &[1e-3; 3]);
    }

    #[test]
    fn steps_come_at_their_epochs() {
        // MultiStepLR(milestones=[150, 210], gamma=0.1), as the seed text has it.
        let recipe = Recipe::preset("seed-resnet18").unwrap();
        let expected = [0.1, 0.1, 0.01, 0.01, 0.001, 0.001];
        close(&rates(&recipe, 391, &[0, 150 * 391 - 1, 150 * 391, 210 * 391 - 1, 210 * 391, 270 * 391]), &expected);
    }

    #[test]
    fn cosine_is_pytorchs() {
        // CosineAnnealingLR(SGD(lr=0.1), T_max=8, eta_min=0.02): 0.02 + 0.04 (1 + cos(pi t / 8)).
        let recipe = Recipe { schedule: Schedule::Cosine, lr: 0.1, min_lr: 0.02, epochs: 4, ..Recipe::default() };
        let expected = [0.1, 0.096955181, 0.088284271, 0.075307337, 0.06, 0.044692663, 0.031715729, 0.023044819, 0.02];
        for (step, rate) in expected.iter().enumerate() {
            assert!((learning_rate(&recipe, step as u64, 2) - rate).abs() < 1e-8);
        }
        close(&rates(&recipe, 2, &[100]), &[0.02]);
    }

    #[test]
    fn warm_up_rises_in_a_line_and_cosine_takes_the_rest() {
        let recipe = Recipe { lr: 0.4, warmup_epochs: 1.0, epochs: 3, ..Recipe::default() };
        close(&rates(&recipe, 4, &[0, 1, 2, 3, 4, 8, 12]), &[0.1, 0.2, 0.3, 0.4, 0.4, 0.2, 0.0]);
    }

    #[test]
    fn polynomial_is_pytorchs() {
        // PolynomialLR(SGD(lr=0.1), total_iters=8, power=…).
        for (power, expected) in [
            (0.9, [0.1, 0.08867624, 0.07718895, 0.06550765, 0.05358867, 0.04136453, 0.02871746, 0.01538931, 0.0, 0.0]),
            (2.0, [0.1, 0.0765625, 0.05625, 0.0390625, 0.025, 0.0140625, 0.00625, 0.0015625, 0.0, 0.0]),
        ] {
            let recipe = Recipe { schedule: Schedule::Polynomial, lr: 0.1, power, epochs: 4, ..Recipe::default() };
            for (step, rate) in expected.iter().enumerate() {
                assert!((learning_rate(&recipe, step as u64, 2) - rate).abs() < 1e-8, "step {step}");
            }
        }
    }

    #[test]
    fn polynomial_falls_behind_the_warm_up_to_the_final_rate() {
        // lr 0.4, end 0.04: 0.04 + 0.36 (1 - t / 8)^2.
        let schedule = Schedule::Polynomial;
        let ends = Recipe { schedule, lr: 0.4, min_lr: 0.04, power: 2.0, ..Recipe::default() };
        let recipe = Recipe { warmup_epochs: 1.0, epochs: 3, ..ends };
        close(&rates(&recipe, 4, &[0, 1, 2, 3, 4, 8, 12, 99]), &[0.1, 0.2, 0.3, 0.4, 0.4, 0.13, 0.04, 0.04]);
    }

    #[test]
    fn one_cycle_is_pytorchs() {
        // OneCycleLR(max_lr=1.0, total_steps=10, pct_start=0.3, div_factor=25, final_div_factor=400): 0.04 to 1 over
        // steps 0 to 2, then down to 1e-4 at step 9.
        let recipe = Recipe { schedule: Schedule::OneCycle, lr: 1.0, min_lr: 1e-4, epochs: 5, ..Recipe::default() };
        let expected =
            [0.04, 0.52, 1.0, 0.950489386, 0.811763726, 0.611299341, 0.388800659, 0.188336274, 0.0496106145, 0.0001];
        for (step, rate) in expected.iter().enumerate() {
            let found = learning_rate(&recipe, step as u64, 2);
            assert!((found - rate).abs() < 1e-8, "step {step}: {found}, not {rate}");
        }
    }

    #[test]
    fn a_new_rate_rescales_the_present_one_at_once() {
        for schedule in Schedule::VARIANTS.iter().filter_map(|name| name.parse().ok()) {
            let before = Recipe { schedule, lr: 0.1, milestones: vec![2, 5], epochs: 9, ..Recipe::default() };
            let after = Recipe { lr: 0.05, ..before.clone() };
            for step in [0, 7, 31, 60, 89] {
                close(&[learning_rate(&after, step, 10)], &[learning_rate(&before, step, 10) / 2.0]);
            }
        }
    }

    #[test]
    fn the_last_short_batch_counts_unless_it_holds_one_image() {
        assert_eq!(steps_per_epoch(6000, 128), 47);
        assert_eq!(steps_per_epoch(256, 128), 2);
        assert_eq!(steps_per_epoch(257, 128), 2);
        assert_eq!(steps_per_epoch(258, 128), 3);
        assert_eq!((steps_per_epoch(1, 128), steps_per_epoch(2, 1), steps_per_epoch(0, 8)), (1, 2, 0));
    }

    proptest! {
        #[test]
        fn every_rate_is_between_the_final_one_and_the_peak(
            lr in 1e-6f64..10.0, min in 0.0f64..10.0, epochs in 1u64..50, per_epoch in 0u64..100,
            warmup in 0.0f64..60.0, rise in 0.0f64..=1.0, div in 1.0f64..100.0, which in 0..Schedule::VARIANTS.len(),
            power in 0.01f64..9.0, step in 0u64..6000,
        ) {
            let schedule = Schedule::VARIANTS[which].parse().expect("a name of one");
            let recipe = Recipe {
                schedule, lr, min_lr: min, epochs, warmup_epochs: warmup, one_cycle_rise: rise, one_cycle_div: div,
                power, milestones: vec![3, 30], ..Recipe::default()
            };
            let rate = learning_rate(&recipe, step, per_epoch);
            prop_assert!(rate.is_finite() && rate >= 0.0 && rate <= lr * (1.0 + 1e-12), "{}", rate);
        }
    }
}
