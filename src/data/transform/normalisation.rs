//! Mean and deviation of each channel, and what they make of a pixel.

use serde::{Deserialize, Serialize};

/// Mean and deviation of each channel, for pixels in `0..=1`. A channel without numbers of its own has the first's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// What is taken away from each channel.
    pub mean: Vec<f32>,
    /// What the rest is divided by.
    pub std: Vec<f32>,
}

impl Normalisation {
    /// Leaves pixels in `0..=1` as they are.
    pub(crate) fn identity(channels: usize) -> Self {
        Normalisation { mean: vec![0.0; channels], std: vec![1.0; channels] }
    }

    /// Of red, green and blue.
    pub(in crate::data) fn rgb(mean: [f32; 3], std: [f32; 3]) -> Self {
        Normalisation { mean: mean.to_vec(), std: std.to_vec() }
    }

    /// A value from 0 to 255 as the network sees it.
    pub(crate) fn apply(&self, value: f32, channel: usize) -> f32 {
        let (mean, std) = self.of(channel);
        (value / 255.0 - mean) / std
    }

    /// The inverse of [`Normalisation::apply`].
    pub(crate) fn revert(&self, value: f32, channel: usize) -> f32 {
        let (mean, std) = self.of(channel);
        (value * std + mean) * 255.0
    }

    /// For each of so many channels, at least one, what every byte becomes.
    pub(crate) fn tables(&self, channels: usize) -> Vec<[f32; 256]> {
        let table = |channel| std::array::from_fn(|byte| self.apply(byte as f32, channel));
        (0..channels.max(1)).map(table).collect()
    }

    /// Mean and deviation of a channel.
    pub(crate) fn of(&self, channel: usize) -> (f32, f32) {
        let of = |table: &[f32], otherwise| table.get(channel).or(table.first()).copied().unwrap_or(otherwise);
        (of(&self.mean, 0.0), of(&self.std, 1.0))
    }
}
