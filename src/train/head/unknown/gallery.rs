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

/// Of the images `seen`, each with its class, its content key, and its row, at most [`MOST`] rows in ascending order: of
/// each class those of the lowest keys, which are any.
pub(crate) fn picked(seen: Vec<(u32, u64, usize)>) -> Vec<usize> {
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

    /// How much each of `features` `[images, width]` is like the nearest photographs, of those that `counts` says of image
    /// and photograph: from -2 to 2.
    pub(crate) fn similarities(&self, features: &Matrix, counts: impl Fn(usize, usize) -> bool + Sync) -> Vec<f32> {
        /// Images that are compared at a time.
        const BAND: usize = 64;
        let starts: Vec<usize> = (0..features.rows).step_by(BAND).collect();
        let band = |&start: &usize| -> Vec<f32> {
            let rows: Vec<usize> = (start..(start + BAND).min(features.rows)).collect();
            let mut plain = features.pick(&rows);
            let mut standardised = plain.clone();
            let width = features.cols.max(1);
            standardised.values.chunks_exact_mut(width).for_each(|row| standardise(row, &self.mean, &self.scale));
            [&mut plain, &mut standardised]
                .into_iter()
                .for_each(|side| side.values.chunks_exact_mut(width).for_each(shorten));
            let cosines = [plain.times_turned(&self.plain), standardised.times_turned(&self.standardised)];
            let like = |(at, &image): (usize, &usize)| {
                cosines.iter().map(|cosines| nearest(cosines.row(at), |other| counts(image, other))).sum::<f64>() as f32
            };
            rows.iter().enumerate().map(like).collect()
        };
        starts.par_iter().map(band).collect::<Vec<_>>().concat()
    }
}

/// Brings a vector to length 1.
fn shorten(row: &mut [f64]) {
    let length = dot(row, row).sqrt().max(f64::MIN_POSITIVE);
    row.iter_mut().for_each(|value| *value /= length);
}

/// The mean of the highest cosines that count.
fn nearest(cosines: &[f64], counts: impl Fn(usize) -> bool) -> f64 {
    let mut counted: Vec<f64> = (0..).zip(cosines).filter(|&(at, _)| counts(at)).map(|(_, &cosine)| cosine).collect();
    counted.sort_unstable_by(|a, b| b.total_cmp(a));
    counted.truncate(NEAREST);
    counted.iter().sum::<f64>() / counted.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_most_like_itself_and_what_points_elsewhere_is_not() {
        let seen = Matrix { rows: 3, cols: 4, values: vec![4., 1., 0., 0., 5., 1., 0., 0., 4., 2., 0., 0.] };
        let gallery = Gallery::new(seen.clone(), vec![1.0; 4], vec![1.0; 4]);
        let like =
            |row: [f64; 4]| gallery.similarities(&Matrix { rows: 1, cols: 4, values: row.to_vec() }, |_, _| true)[0];
        assert!(like([9.0, 2.0, 0.0, 0.0]) > 1.8);
        assert!(like([0.0, 0.0, 3.0, 1.0]) < 0.5);
        assert!(like([0.0; 4]).is_finite());
        // Without itself the second is nearest.
        let others = gallery.similarities(&seen, |image, other| image != other);
        assert!(others.iter().all(|&similarity| similarity < 1.999), "{others:?}");
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
