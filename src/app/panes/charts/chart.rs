//! The four charts: what each is called, and how its values are written.

use crate::format::{number, rounded};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chart {
    Loss,
    Accuracy,
    Rate,
    Speed,
}

impl Chart {
    pub(super) const ALL: [Chart; 4] = [Chart::Loss, Chart::Accuracy, Chart::Rate, Chart::Speed];

    pub(super) fn title(self) -> &'static str {
        match self {
            Chart::Loss => "Loss",
            Chart::Accuracy => "Accuracy",
            Chart::Rate => "Learning rate",
            Chart::Speed => "Images per second",
        }
    }

    /// Its name in the settings.
    pub(super) fn key(self) -> &'static str {
        match self {
            Chart::Loss => "loss",
            Chart::Accuracy => "accuracy",
            Chart::Rate => "learning rate",
            Chart::Speed => "images per second",
        }
    }

    /// What the values are multiplied by for showing.
    pub(super) fn scale(self) -> f64 {
        if self == Chart::Accuracy { 100.0 } else { 1.0 }
    }

    /// What stands behind a value beside the plot.
    pub(super) fn unit(self) -> &'static str {
        if self == Chart::Accuracy { " %" } else { "" }
    }

    pub(super) fn value(self, value: f64) -> String {
        match self {
            Chart::Loss => format!("{value:.4}"),
            Chart::Accuracy => format!("{value:.1} %"),
            Chart::Rate => rounded(value),
            Chart::Speed => number(value.max(0.0).round() as u64),
        }
    }
}
