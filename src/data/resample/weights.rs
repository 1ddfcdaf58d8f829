//! How much each input value counts for each output value, along one axis.

use super::Filter;
use std::ops::Range;

/// Bits of a weight's fraction: as many as leave room in 32 bits for a sum of bytes and a sign.
pub(super) const PRECISION: u32 = 32 - 8 - 2;

/// The weights of some output positions: where the input of each begins, and how much each of it counts.
pub(super) struct Weights {
    first: Vec<usize>,
    /// `taps` for each position, those that it does not need are 0.
    values: Vec<i32>,
    taps: usize,
    /// How many of them each position needs.
    used: Vec<usize>,
}

impl Weights {
    /// For the positions `range` of an axis that is resized.
    pub(super) fn new(from: usize, to: usize, range: Range<usize>, filter: Filter) -> Self {
        let scale = from as f64 / to as f64;
        let widened = scale.max(1.0);
        let support = support(filter) * widened;
        let taps = (support.ceil() as usize * 2 + 1).min(from);
        let count = range.len();
        let (mut first, mut used, mut values) =
            (Vec::with_capacity(count), Vec::with_capacity(count), vec![0; count * taps]);
        let mut weights = Vec::with_capacity(taps);
        for (position, values) in range.zip(values.chunks_exact_mut(taps)) {
            let centre = (position as f64 + 0.5) * scale;
            // Truncated towards zero, as C does.
            let begin = ((centre - support + 0.5) as i64).max(0) as usize;
            let end = ((centre + support + 0.5) as usize).min(from);
            let weigh = |tap: usize| kernel(filter, ((tap + begin) as f64 - centre + 0.5) * (1.0 / widened));
            weights.clear();
            weights.extend((0..end - begin).map(weigh));
            let sum: f64 = weights.iter().sum();
            for (value, weight) in values.iter_mut().zip(&weights) {
                let weight = if sum == 0.0 { *weight } else { weight / sum } * f64::from(1 << PRECISION);
                *value = if weight < 0.0 { (weight - 0.5) as i32 } else { (weight + 0.5) as i32 };
            }
            first.push(begin);
            used.push(values.iter().rposition(|&value| value != 0).map_or(1, |last| last + 1));
        }
        Self { first, values, taps, used }
    }

    /// The input that is used. Positions then count from its beginning.
    pub(super) fn begin_where_needed(&mut self) -> Range<usize> {
        let start = self.first.iter().copied().min().unwrap_or(0);
        self.first.iter_mut().for_each(|first| *first -= start);
        let end = self.first.iter().zip(&self.used).map(|(first, used)| first + used).max().unwrap_or(0);
        start..start + end
    }

    /// The most that a position needs.
    pub(super) fn most_used(&self) -> usize {
        self.used.iter().copied().max().unwrap_or(1)
    }

    /// How many positions there are.
    pub(super) fn len(&self) -> usize {
        self.first.len()
    }

    /// Those of a position, without the zeros at their end.
    pub(super) fn get(&self, position: usize) -> (usize, &[i32]) {
        (self.first[position], &self.values[position * self.taps..][..self.used[position]])
    }

    /// Those of each position.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        (0..self.len()).map(|position| self.get(position))
    }
}

/// Half the width of a filter when nothing shrinks.
fn support(filter: Filter) -> f64 {
    match filter {
        Filter::Nearest => 0.5,
        Filter::Bilinear => 1.0,
        Filter::Bicubic => 2.0,
        Filter::Lanczos3 => 3.0,
    }
}

fn kernel(filter: Filter, x: f64) -> f64 {
    let x = x.abs();
    match filter {
        Filter::Nearest => f64::from(u8::from(x <= 0.5)),
        Filter::Bilinear => (1.0 - x).max(0.0),
        Filter::Bicubic => {
            // Keys' cubic with a = -1/2: Catmull and Rom's.
            const A: f64 = -0.5;
            if x < 1.0 {
                ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
            } else if x < 2.0 {
                (((x - 5.0) * x + 8.0) * x - 4.0) * A
            } else {
                0.0
            }
        }
        Filter::Lanczos3 => {
            let sinc =
                |x: f64| if x == 0.0 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) };
            if x < 3.0 { sinc(x) * sinc(x / 3.0) } else { 0.0 }
        }
    }
}
