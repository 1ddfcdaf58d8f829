//! Where the lines of a chart's grid stand, and what is written beside them.

use crate::app::history::X;
use crate::format::{duration, number, rounded};
use eframe::egui::{Rangef, RichText};
use egui_plot::{AxisHints, GridInput, GridMark, uniform_grid_spacer};
use std::ops::RangeInclusive;

/// The lower edge, `width` points wide, with its labels, which stand closer than egui's own: most are short.
pub(crate) fn lower_edge(x: X, width: f32) -> AxisHints<'static> {
    let text =
        move |mark: GridMark, range: &RangeInclusive<f64>| whole(x_text(x, mark.value), mark.value, range, width);
    let title = match x {
        X::Step => "step",
        X::Epoch => "epoch",
        X::Time => "time of training",
    };
    let title = RichText::new(title).size(11.0);
    AxisHints::new_x().label(title).formatter(text).label_spacing(Rangef::new(26.0, 34.0))
}

/// A label at `value` of a lower edge that is `width` points wide; none where the edge would cut it.
fn whole(text: String, value: f64, range: &RangeInclusive<f64>, width: f32) -> String {
    let left = (range.end() - value) / (range.end() - range.start()).max(f64::MIN_POSITIVE) * f64::from(width);
    if left < text.chars().count() as f64 * CHARACTER / 2.0 { String::new() } else { text }
}

/// What stands under a line of the lower edge.
fn x_text(x: X, value: f64) -> String {
    match x {
        X::Step if value >= 0.0 => number(value.round() as u64),
        X::Epoch => rounded(value),
        X::Time if value >= 0.0 => duration(value),
        _ => String::new(),
    }
}

/// What stands beside a line of the value grid.
pub(crate) fn y_text(value: f64, logarithmic: bool) -> String {
    let value = if logarithmic { 10f64.powf(value) } else { value };
    match value.abs() {
        0.0 => "0".to_owned(),
        v if v >= 10_000.0 => format!("{:.0}k", value / 1000.0),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 0.001 => {
            let text = format!("{value:.3}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => format!("{value:.0e}"),
    }
}

/// Where the lines over the lower edge stand: as close as its labels, of which the last are the widest, leave room for.
pub(crate) fn x_grid(x: X) -> impl Fn(GridInput) -> Vec<GridMark> {
    move |input| {
        let widest = match x {
            X::Time => TIME,
            X::Step | X::Epoch => x_text(x, input.bounds.1.max(0.0)).chars().count().clamp(3, TIME),
        };
        round_grid(input, (widest as f64 * CHARACTER + 14.0) / CLOSEST)
    }
}

/// Points between the closest lines of a grid.
pub(crate) const CLOSEST: f64 = 26.0;
/// Points that a character of a label takes.
const CHARACTER: f64 = 7.5;
/// Characters of a time.
const TIME: usize = 8;

/// Lines at the multiples of 1, 2 or 5 of a power of ten, at least `apart` times as far apart as they can be.
fn round_grid(input: GridInput, apart: f64) -> Vec<GridMark> {
    let least = input.base_step_size * apart;
    let power = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= least).unwrap_or(least);
    uniform_grid_spacer(move |_| [step, step * 10.0, step * 100.0])(input)
}

/// Where the lines of the value grid stand: round numbers, and on a logarithmic scale 1, 2 and 5 of each power of ten.
pub(crate) fn y_grid(input: GridInput, logarithmic: bool) -> Vec<GridMark> {
    if !logarithmic {
        return round_grid(input, 1.0);
    }
    let (low, high) = input.bounds;
    // Over more than these powers only the powers themselves are marked.
    let factors: &[f64] = if high - low > 4.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let powers = low.floor() as i32..=high.ceil() as i32;
    powers
        .flat_map(|power| {
            let mark = move |factor: &f64| GridMark {
                value: f64::from(power) + factor.log10(),
                step_size: if *factor == 1.0 { 1.0 } else { 0.3 },
            };
            factors.iter().map(mark).collect::<Vec<_>>()
        })
        .filter(|mark| (low..=high).contains(&mark.value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_at_the_right_end_is_whole_or_none() {
        let at = |value: f64| whole(number(value as u64), value, &(0.0..=940.0), 240.0);
        assert_eq!([at(500.0), at(900.0), at(935.0)], ["500", "", ""]);
        assert_eq!(whole("900".into(), 900.0, &(0.0..=1000.0), 240.0), "900");
    }

    #[test]
    fn no_two_lines_have_one_label() {
        for (x, most) in [(X::Epoch, 1.0), (X::Epoch, 3.2), (X::Epoch, 7.0), (X::Step, 90.0), (X::Time, 40.0)] {
            let marks = x_grid(x)(GridInput { bounds: (0.0, most), base_step_size: most * CLOSEST / 240.0 });
            let mut labels: Vec<String> = marks.iter().map(|mark| x_text(x, mark.value)).collect();
            labels.sort();
            labels.dedup();
            assert_eq!(labels.len(), marks.len(), "{x:?} to {most}: {labels:?}");
        }
    }

    #[test]
    fn lines_stand_as_close_as_their_labels_allow() {
        // A plot of 240 points.
        let apart = |most: f64| {
            let base_step_size = most * CLOSEST / 240.0;
            let marks = x_grid(X::Step)(GridInput { bounds: (0.0, most), base_step_size });
            marks.iter().map(|mark| mark.step_size).fold(f64::INFINITY, f64::min) / most * 240.0
        };
        for most in [90.0, 940.0, 9_400.0, 94_000.0, 940_000.0, 2_000_000.0] {
            let label = number(most as u64).len() as f64 * CHARACTER;
            let points = apart(most);
            assert!(points > label && points < 2.6 * (label + 14.0).max(36.5), "{most}: {points} {label}");
        }
    }
}
