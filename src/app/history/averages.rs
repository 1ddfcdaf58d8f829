//! The smoothed curves of one branch, kept up as it grows.

use crate::app::history::{Branch, series::Smoothed};

/// The debiased averages that the charts draw over what was measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Averages {
    pub loss: Smoothed,
    pub accuracy: Smoothed,
    pub speed: Smoothed,
}

impl Averages {
    /// Takes in what is new in `branch`; all of it where `weight` is another one than before.
    pub(crate) fn update(&mut self, branch: &Branch, weight: f64) {
        self.loss.update(&branch.loss, weight);
        self.accuracy.update(&branch.accuracy, weight);
        self.speed.update(&branch.images_per_s, weight);
    }
}
