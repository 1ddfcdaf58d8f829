//! “None of these”: whether a photograph is like any that a head has learned from.
//!
//! A linear layer answers whatever it is shown, most surely far away from all that it knows. So a photograph is compared with
//! those that were learned from: the mean cosine to its three nearest ones, of the features as they are and of the
//! standardised ones, added up (deep nearest neighbours, Sun et al. 2022, <https://arxiv.org/abs/2204.06507>). Of thirty
//! scores that were tried on 189 photographs of seven classes and their features by EfficientNet-Lite0, this one told
//! clothes and noise apart best, and with each class left out in turn it was 0.02 below the best. The threshold is where the
//! stated share of the photographs falls below, each of them compared with the others.

mod gallery;

pub(crate) use gallery::{Gallery, picked};

use crate::{train::head::matrix::Matrix, weights::Unknown};

impl Gallery {
    /// As it is kept with the weights. `similarities` are those of photographs that their heads had not seen, of which
    /// `rate` are to fall below the threshold.
    pub(crate) fn to_card(&self, similarities: &[f32], rate: f64) -> Unknown {
        let floats = |values: &[f64]| values.iter().map(|&value| value as f32).collect();
        let (photographs, steps) = Unknown::rounded(self.features.values.chunks_exact(self.features.cols.max(1)));
        let (mean, scale) = (floats(&self.mean), floats(&self.scale));
        Unknown { threshold: threshold(similarities, rate), rate, mean, scale, photographs, steps }
    }

    /// From what was kept.
    pub(crate) fn from_card(card: &Unknown) -> Self {
        let floats = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
        let cols = card.mean.len();
        let rows = card.photographs.chunks_exact(cols.max(1)).zip(&card.steps);
        let values = rows.flat_map(|(row, &step)| row.iter().map(move |&value| f64::from(value) * f64::from(step)));
        let features = Matrix { rows: card.steps.len(), cols, values: values.collect() };
        Self::new(features, floats(&card.mean), floats(&card.scale))
    }
}

/// The value that a share `rate` of the similarities lies below; between two of them, where it falls there.
fn threshold(similarities: &[f32], rate: f64) -> f32 {
    let mut sorted = similarities.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let place = rate.clamp(0.0, 1.0) * sorted.len().saturating_sub(1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    match (sorted.get(below), sorted.get(above)) {
        (Some(&low), Some(&high)) => low + (high - low) * place.fract() as f32,
        // Nothing was held out: everything is taken for one of the classes.
        _ => f32::MIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stated_share_falls_below_the_threshold() {
        let similarities: Vec<f32> = (0..101).rev().map(|i| i as f32).collect();
        assert_eq!((threshold(&similarities, 0.05), threshold(&similarities, 0.0)), (5.0, 0.0));
        assert_eq!(threshold(&[1.0, 2.0], 0.5), 1.5);
        assert_eq!(threshold(&[], 0.05), f32::MIN);
    }
}
