//! The photographs that a new one is compared with.

use crate::train::head::{
    basis::standardise,
    matrix::{Matrix, dot},
};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Nearest photographs that count.
const NEAREST: usize = 3;
/// Photographs that are kept, at most; of more, as many of each class as there is room for.
pub(crate) const MOST: usize = 1000;

/// What a head has seen.
#[derive(Clone, Debug)]
pub(crate) struct Gallery {
    /// Features as a network put them out.
    pub features: Matrix,
    /// Their directions, as they are and standardised: of length 1.
    plain: Matrix,
    standardised: Matrix,
    pub mean: Vec<f64>,
    pub scale: Vec<f64>,
}

/// Of the images `seen`, each with its class, its content key, and its row in `features`.
pub(crate) fn gallery(features: &Matrix, seen: Vec<(u32, u64, usize)>, moments: &(Vec<f64>, Vec<f64>)) -> Gallery {
    Gallery::new(features.pick(&picked(seen)), moments.0.clone(), moments.1.clone())
}

/// At most [`MOST`] rows, in ascending order: of each class those of the lowest keys, which are any.
fn picked(seen: Vec<(u32, u64, usize)>) -> Vec<usize> {
    let mut classes: BTreeMap<u32, Vec<(u64, usize)>> = BTreeMap::new();
    let total = seen.len();
    seen.into_iter().for_each(|(label, key, row)| classes.entry(label).or_default().push((key, row)));
    let kept = |quota: usize| classes.values().map(|images| images.len().min(quota)).sum::<usize>();
    let quota = if total <= MOST { total } else { (1..=MOST).rev().find(|&quota| kept(quota) <= MOST).unwrap_or(1) };
    let mut rows = Vec::new();
    for images in classes.values_mut() {
        images.sort_unstable();
        rows.extend(images.iter().take(quota).map(|&(_, row)| row));
    }
    rows.truncate(MOST);
    rows.sort_unstable();
    rows
}

impl Gallery {
    /// Of features `[photographs, width]`, with their means and one over their deviations.
    pub(crate) fn new(features: Matrix, mean: Vec<f64>, scale: Vec<f64>) -> Self {
        let (mut plain, mut standardised) = (features.clone(), features.clone());
        for row in standardised.values.chunks_exact_mut(features.cols.max(1)) {
            standardise(row, &mean, &scale);
            shorten(row);
        }
        plain.values.chunks_exact_mut(features.cols.max(1)).for_each(shorten);
        Self { features, plain, standardised, mean, scale }
    }

    /// How much each of `features` `[images, width]` is like the nearest photographs: from -2 to 2.
    pub(crate) fn similarities(&self, features: &Matrix) -> Vec<f32> {
        let rows = features.values.par_chunks_exact(features.cols.max(1));
        rows.map(|row| {
            let mut standardised = row.to_vec();
            standardise(&mut standardised, &self.mean, &self.scale);
            (nearest(&self.plain, row) + nearest(&self.standardised, &standardised)) as f32
        })
        .collect()
    }
}

/// Brings a vector to length 1.
fn shorten(row: &mut [f64]) {
    let length = dot(row, row).sqrt().max(f64::MIN_POSITIVE);
    row.iter_mut().for_each(|value| *value /= length);
}

/// The mean cosine to the nearest rows, which are of length 1.
fn nearest(rows: &Matrix, row: &[f64]) -> f64 {
    let length = dot(row, row).sqrt().max(f64::MIN_POSITIVE);
    let mut cosines: Vec<f64> =
        rows.values.chunks_exact(rows.cols.max(1)).map(|other| dot(other, row) / length).collect();
    let count = NEAREST.min(cosines.len());
    cosines.sort_unstable_by(|a, b| b.total_cmp(a));
    cosines[..count].iter().sum::<f64>() / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_most_like_itself_and_what_points_elsewhere_is_not() {
        let seen = Matrix { rows: 3, cols: 4, values: vec![4., 1., 0., 0., 5., 1., 0., 0., 4., 2., 0., 0.] };
        let gallery = Gallery::new(seen.clone(), vec![1.0; 4], vec![1.0; 4]);
        let like = |row: [f64; 4]| gallery.similarities(&Matrix { rows: 1, cols: 4, values: row.to_vec() })[0];
        assert!(like([9.0, 2.0, 0.0, 0.0]) > 1.8);
        assert!(like([0.0, 0.0, 3.0, 1.0]) < 0.5);
        assert!(like([0.0; 4]).is_finite());
    }

    #[test]
    fn of_many_photographs_every_class_keeps_its_part() {
        let seen = (0..5000).map(|i| (u32::from(i % 100 == 0), i as u64, i)).collect();
        let rows = picked(seen);
        assert_eq!(rows.len(), MOST);
        assert_eq!(rows.iter().filter(|&&row| row % 100 == 0).count(), 50);
        let few: Vec<_> = (0..7).map(|i| (0, 9 - i as u64, i)).collect();
        assert_eq!(picked(few), [0, 1, 2, 3, 4, 5, 6]);
    }
}
