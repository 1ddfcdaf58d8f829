//! A growing row of numbers that a plot can draw at any length.
//!
//! A curve of a million steps can't be handed to the plot every frame. [`Series`] keeps, beside the numbers, a pyramid:
//! for every two, four, eight … of them where the least and the greatest stand. A plot asks for the part that it
//! shows at about one pair of points a pixel and gets the same outline that all of the points would give, in a time
//! that depends on the width of the plot only. Values that are not finite are kept out of the outline and told apart.

use std::ops::Range;

/// Numbers in the order they came, with where the extremes of each run of `2^k` stand.
#[derive(Clone, Debug, Default)]
pub struct Series {
    values: Vec<f32>,
    /// `levels[k][i]` is about the values `i << (k + 1) .. (i + 1) << (k + 1)`; only complete runs have a node.
    levels: Vec<Vec<Node>>,
    /// Positions of values that are not finite, ascending.
    broken: Vec<u32>,
}

/// Where the least and the greatest of a run of values stand; equal to [`NOWHERE`] where none is finite.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Node {
    least: u32,
    greatest: u32,
}

const NOWHERE: u32 = u32::MAX;

impl Series {
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(crate) fn last(&self) -> Option<f32> {
        self.values.last().copied()
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    /// Positions of values that are NaN or infinite, ascending.
    pub(crate) fn broken(&self) -> &[u32] {
        &self.broken
    }

    /// Adds a value. Amortised constant time. More than `u32::MAX - 1` values are not taken.
    pub(crate) fn push(&mut self, value: f32) {
        let Some(position) = u32::try_from(self.values.len()).ok().filter(|&p| p < NOWHERE) else { return };
        self.values.push(value);
        if !value.is_finite() {
            self.broken.push(position);
        }
        // Complete every run that ends here, from the smallest up.
        let (mut count, mut level) = (self.values.len(), 0);
        while count.is_multiple_of(2) {
            let node = match level {
                0 => self.join(self.leaf(count - 2), self.leaf(count - 1)),
                _ => self.join(self.levels[level - 1][count - 2], self.levels[level - 1][count - 1]),
            };
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(node);
            count /= 2;
            level += 1;
        }
    }

    fn leaf(&self, position: usize) -> Node {
        let at = if self.values[position].is_finite() { position as u32 } else { NOWHERE };
        Node { least: at, greatest: at }
    }

    fn join(&self, a: Node, b: Node) -> Node {
        if a.least == NOWHERE {
            return b;
        }
        if b.least == NOWHERE {
            return a;
        }
        let value = |at: u32| self.values[at as usize];
        Node {
            least: if value(b.least) < value(a.least) { b.least } else { a.least },
            greatest: if value(b.greatest) > value(a.greatest) { b.greatest } else { a.greatest },
        }
    }

    /// Calls `emit` with the positions of at most about `4 * columns` values of `from..to` that have the same outline
    /// as all of them, in ascending order, and with `None` where the curve must break because values are not finite.
    pub(crate) fn outline(&self, from: usize, to: usize, columns: usize, mut emit: impl FnMut(Option<usize>)) {
        self.runs(from, to, columns, |_, node, breaks| {
            if breaks {
                emit(None);
            }
            if node.least != NOWHERE {
                let (a, b) = (node.least.min(node.greatest), node.least.max(node.greatest));
                emit(Some(a as usize));
                if a != b {
                    emit(Some(b as usize));
                }
            }
        });
    }

    /// Calls `emit` with the middle of each of at most about `2 * columns` runs of values of `from..to`, and with the least
    /// and the greatest of it, where there are runs of several values. Runs without a finite one are left out.
    pub(crate) fn band(&self, from: usize, to: usize, columns: usize, mut emit: impl FnMut(usize, [f32; 2])) {
        if to.min(self.len()).saturating_sub(from) < 2 * columns.max(1) {
            return;
        }
        self.runs(from, to, columns, |run, node, _| {
            if node.least != NOWHERE {
                let value = |at: u32| self.values[at as usize];
                emit(run.start.midpoint(run.end - 1), [value(node.least), value(node.greatest)]);
            }
        });
    }

    /// Divides `from..to` into runs of equal length, a few for each of `columns`, and calls `emit` with each, where its
    /// extremes stand, and whether values in it are not finite.
    ///
    /// Runs are aligned to multiples of their length, so that a curve does not flicker while it grows or is dragged.
    fn runs(&self, from: usize, to: usize, columns: usize, mut emit: impl FnMut(Range<usize>, Node, bool)) {
        let to = to.min(self.len());
        if from >= to {
            return;
        }
        let mut broken = self.broken.partition_point(|&at| (at as usize) < from);
        let level = ((to - from) / columns.max(1)).checked_ilog2().unwrap_or(0) as usize;
        let run = 1usize << level;
        let mut start = from;
        while start < to {
            let end = ((start / run + 1) * run).min(to);
            let node = if level > 0 && start.is_multiple_of(run) && end == start + run {
                self.levels[level - 1][start / run]
            } else {
                (start..end)
                    .map(|at| self.leaf(at))
                    .fold(Node { least: NOWHERE, greatest: NOWHERE }, |a, b| self.join(a, b))
            };
            let breaks_before = broken;
            while self.broken.get(broken).is_some_and(|&at| (at as usize) < end) {
                broken += 1;
            }
            emit(start..end, node, broken > breaks_before);
            start = end;
        }
    }
}

/// Parts of an epoch by which averages forget: a weight `w` counts what is such a part older `w` times as much, so 0.96
/// averages over about an epoch, however many steps that is and however often they were written down.
const PARTS_PER_EPOCH: f64 = 25.0;

/// A debiased exponential average of a series over the epochs, kept up as the series grows.
///
/// As Weights & Biases' time-weighted average, what lies further back counts less by how far it lies back, not by how many
/// values came since: two equal runs have equal averages though one of them was reported more often. The sum of all
/// weights is divided out, so that the start is not pulled towards zero. It is written as a correction of the previous
/// average, so that a constant stays exactly what it is. Values that are not finite are skipped and stay visible as breaks.
#[derive(Clone, Debug)]
pub(crate) struct Smoothed {
    weight: f64,
    /// Where the last value that counts stands, in epochs.
    last: f64,
    /// What is left of the weight of what was there before the first value.
    left: f64,
    average: f64,
    series: Series,
}

impl Default for Smoothed {
    fn default() -> Self {
        Self { weight: 0.0, last: 0.0, left: 1.0, average: 0.0, series: Series::default() }
    }
}

impl Smoothed {
    /// The average as far as it was worked out.
    pub(crate) fn series(&self) -> &Series {
        &self.series
    }

    /// The average of `raw`, which stands at `epochs`, with `weight` (0 is none, below 1), worked out for the values that are
    /// new.
    pub(crate) fn update(&mut self, raw: &Series, epochs: &[f64], weight: f64) -> &Series {
        let weight = weight.clamp(0.0, 0.9999);
        if weight != self.weight || raw.len() < self.series.len() {
            *self = Self { weight, ..Self::default() };
        }
        let known = self.series.len();
        for (&value, &epoch) in raw.values()[known..].iter().zip(&epochs[known.min(epochs.len())..]) {
            if value.is_finite() {
                let decay = weight.powf((epoch - self.last).max(0.0) * PARTS_PER_EPOCH);
                self.left *= decay;
                let share = if self.left < 1.0 { (1.0 - decay) / (1.0 - self.left) } else { 1.0 };
                self.average += share * (f64::from(value) - self.average);
                self.last = epoch;
                self.series.push(self.average as f32);
            } else {
                self.series.push(f32::NAN);
            }
        }
        &self.series
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn series(values: &[f32]) -> Series {
        let mut series = Series::default();
        values.iter().for_each(|&value| series.push(value));
        series
    }

    fn outline(series: &Series, from: usize, to: usize, columns: usize) -> Vec<Option<usize>> {
        let mut points = Vec::new();
        series.outline(from, to, columns, |point| points.push(point));
        points
    }

    #[test]
    fn few_points_are_drawn_as_they_are() {
        let series = series(&[3.0, 1.0, 2.0]);
        assert_eq!(outline(&series, 0, 3, 100), [Some(0), Some(1), Some(2)]);
        assert_eq!(outline(&series, 1, 2, 100), [Some(1)]);
        assert_eq!(outline(&series, 2, 9, 100), [Some(2)]);
        assert!(outline(&series, 3, 9, 100).is_empty());
    }

    #[test]
    fn a_million_points_keep_their_spikes() {
        let mut values: Vec<f32> = (0..1_000_000).map(|i| (i as f32 * 0.001).sin()).collect();
        values[123_457] = 50.0;
        values[777_777] = -50.0;
        let series = series(&values);
        let points = outline(&series, 0, values.len(), 800);
        assert!(points.len() <= 4 * 800, "{}", points.len());
        assert!(points.contains(&Some(123_457)) && points.contains(&Some(777_777)));
    }

    #[test]
    fn a_band_has_the_least_and_the_greatest_of_what_stands_too_close_to_be_seen() {
        let mut values: Vec<f32> = (0..1000).map(|at| (at % 2) as f32).collect();
        values[500] = f32::NAN;
        let band = |columns| {
            let mut found = Vec::new();
            series(&values).band(0, values.len(), columns, |at, extremes| found.push((at, extremes)));
            found
        };
        let wide = band(50);
        assert!((50..=101).contains(&wide.len()), "{}", wide.len());
        assert!(wide.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(wide.iter().all(|(_, extremes)| *extremes == [0.0, 1.0]));
        assert!(band(501).is_empty(), "each value has a place of its own");
    }

    #[test]
    fn a_value_that_is_not_finite_breaks_the_curve() {
        let series = series(&[1.0, f32::NAN, 2.0, f32::INFINITY]);
        assert_eq!(outline(&series, 0, 4, 100), [Some(0), None, Some(2), None]);
        assert_eq!(series.broken(), [1, 3]);
    }

    /// Parts of an epoch, from the first on.
    fn parts(count: usize) -> Vec<f64> {
        (1..=count).map(|at| at as f64 / PARTS_PER_EPOCH).collect()
    }

    #[test]
    fn smoothing_leaves_a_constant_alone_and_does_not_start_at_zero() {
        let mut smoothed = Smoothed::default();
        let constant = series(&[0.1; 1000]);
        assert!(smoothed.update(&constant, &parts(1000), 0.9).values().iter().all(|&v| v == 0.1));
        let mut smoothed = Smoothed::default();
        let curve = smoothed.update(&series(&[4.0, 2.0]), &parts(2), 0.5).values().to_vec();
        // (0.5 * 4 * 0.5 + 0.5 * 2) / (1 - 0.25)
        assert_eq!(curve[0], 4.0);
        assert!((curve[1] - 2.666_667).abs() < 1e-5, "{curve:?}");
    }

    #[test]
    fn smoothing_skips_nan_and_follows_a_growing_series() {
        let mut raw = series(&[1.0, f32::NAN]);
        let mut smoothed = Smoothed::default();
        assert!(smoothed.update(&raw, &parts(2), 0.6).values()[1].is_nan());
        raw.push(1.0);
        assert_eq!(smoothed.update(&raw, &parts(3), 0.6).last(), Some(1.0));
        assert_eq!(smoothed.update(&raw, &parts(3), 0.0).values()[2], 1.0);
    }

    #[test]
    fn a_run_that_was_reported_more_often_has_the_same_average() {
        let loss = |step: usize| 0.5 + (-(step as f32) / 300.0).exp() + 0.1 * (step as f32 * 0.7).sin();
        // 200 steps an epoch; a report says the mean of the steps since the last one.
        let average = |every: usize| {
            let means =
                (0..1000 / every).map(|at| (1..=every).map(|i| loss(at * every + i)).sum::<f32>() / every as f32);
            let epochs: Vec<f64> = (1..=1000 / every).map(|at| (at * every) as f64 / 200.0).collect();
            Smoothed::default().update(&series(&means.collect::<Vec<_>>()), &epochs, 0.9).last().unwrap()
        };
        let [often, seldom] = [1, 10].map(average);
        assert!((often - seldom).abs() < 0.01 * often, "{often} {seldom}");
    }

    proptest! {
        #[test]
        fn the_outline_has_the_extremes_of_its_part(
            values in prop::collection::vec(prop_oneof![9 => -100f32..100.0, 1 => Just(f32::NAN)], 1..400),
            (a, b) in (0usize..400, 0usize..400),
            columns in 1usize..50,
        ) {
            let series = series(&values);
            let (from, to) = (a.min(b), a.max(b).min(values.len()));
            let points = outline(&series, from, to, columns);
            let at: Vec<usize> = points.iter().flatten().copied().collect();
            prop_assert!(at.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(at.iter().all(|&i| i >= from && i < to && values[i].is_finite()));
            let part: Vec<f32> = values.get(from..to).unwrap_or(&[]).iter().copied().filter(|v| v.is_finite()).collect();
            let greatest = |v: &[f32]| v.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let least = |v: &[f32]| v.iter().copied().fold(f32::INFINITY, f32::min);
            let drawn: Vec<f32> = at.iter().map(|&i| values[i]).collect();
            prop_assert_eq!(greatest(&part), greatest(&drawn));
            prop_assert_eq!(least(&part), least(&drawn));
        }
    }
}
