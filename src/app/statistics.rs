//! Whether an image looks like those that a network was trained on, as far as brightness and contrast tell.
//!
//! A network answers any picture with confidence. A photo of a shoe on a dark table, given to a network that saw shoes
//! on white, deserves a note beside the answer.

use crate::{app::widgets::pictures::Picture, data::Split};
use rayon::prelude::*;

/// Mean and deviation, over images, of each image's own mean and deviation: one pair for each, per channel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Statistics {
    channels: Vec<[Spread; 2]>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Spread {
    mean: f64,
    deviation: f64,
}

/// Images looked at; more change nothing.
const SAMPLE: usize = 2000;
/// Deviations beyond which an image is called unusual: less than one training image in a thousand is.
const UNUSUAL_DEVIATIONS: f64 = 4.0;

impl Statistics {
    /// Of the images of a split, evenly picked.
    pub(crate) fn of(split: &Split) -> Self {
        let step = split.len().div_ceil(SAMPLE).max(1);
        // Photographs may still have to be decoded.
        let looked_at = (0..split.len().div_ceil(step)).into_par_iter();
        let all: Vec<Vec<[f64; 2]>> = looked_at.map(|i| channels(&split.image(i * step), split.channels)).collect();
        let spread = |channel: usize, which: usize| {
            let values = || all.iter().filter_map(|image| image.get(channel)).map(|pair| pair[which]);
            let count = all.len().max(1) as f64;
            let mean = values().sum::<f64>() / count;
            let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
            // Sets of plain images have hardly any spread; a few grey levels are never unusual.
            Spread { mean, deviation: variance.sqrt().max(4.0) }
        };
        Self { channels: (0..split.channels).map(|c| [spread(c, 0), spread(c, 1)]).collect() }
    }

    /// A sentence where `picture` is far from the training images.
    pub(crate) fn note(&self, picture: &Picture) -> Option<String> {
        let found = channels(&picture.pixels, picture.channels);
        let mut worst = (0.0, "");
        for (image, [mean, deviation]) in found.iter().zip(&self.channels) {
            let words = [
                (image[0], mean, "much brighter", "much darker"),
                (image[1], deviation, "of much more contrast", "of much less contrast"),
            ];
            for (value, spread, above, below) in words {
                let distance = (value - spread.mean) / spread.deviation;
                if distance.abs() > f64::abs(worst.0) {
                    worst = (distance, if distance > 0.0 { above } else { below });
                }
            }
        }
        (worst.0.abs() > UNUSUAL_DEVIATIONS)
            .then(|| format!("This image is {} than the training images: do not trust the answer much.", worst.1))
    }
}

/// Mean and deviation of each channel.
fn channels(pixels: &[u8], channels: usize) -> Vec<[f64; 2]> {
    let channels = channels.max(1);
    let count = (pixels.len() / channels).max(1) as f64;
    (0..channels)
        .map(|channel| {
            let values = || pixels.iter().skip(channel).step_by(channels).map(|&v| f64::from(v));
            let mean = values().sum::<f64>() / count;
            [mean, (values().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt()]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_white_image_is_noted_and_a_training_image_is_not() {
        let images = 50;
        let pixels: Vec<u8> = (0..images * 64).map(|i| ((i * 37) % 120 + (i / 64) % 20) as u8).collect();
        let split = Split {
            height: 8,
            width: 8,
            channels: 1,
            pixels: pixels.into(),
            labels: vec![0; images],
            sources: None,
            contents: None,
        };
        let statistics = Statistics::of(&split);
        let own = Picture::of(&split, 3).unwrap();
        assert_eq!(statistics.note(&own), None);
        let white = Picture { pixels: vec![255; 64], ..own };
        assert!(statistics.note(&white).unwrap().contains("brighter"), "{:?}", statistics.note(&white));
    }
}
