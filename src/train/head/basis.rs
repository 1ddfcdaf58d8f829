//! Features as a fit wants them: standardised, and in as few coordinates as there are images.
//!
//! A penalty on the squared weights leaves nothing in directions that no image has, so of 1,280 features of 150 images 150
//! coordinates are enough: the rows of the triangle `L` with `L · Lᵀ = X · Xᵀ`, which have the same lengths and angles. A fit in
//! them finds the very layer that one in the features does, eight times as fast.

use super::{
    logistic::Linear,
    matrix::{Matrix, gram},
};

/// Standardised features, and the coordinates in which a layer on them is found.
pub(crate) struct Basis {
    mean: Vec<f64>,
    /// One over each feature's deviation; 0 for a feature that never varies, which tells nothing.
    scale: Vec<f64>,
    standardised: Matrix,
    /// The triangle, where that is smaller than the features.
    triangle: Option<Matrix>,
}

impl Basis {
    /// Of features `[images, features]`, by their own means and deviations.
    pub(crate) fn new(features: &Matrix) -> Self {
        let (mean, scale) = moments(features);
        let mut standardised = features.clone();
        for row in standardised.values.chunks_exact_mut(features.cols.max(1)) {
            standardise(row, &mean, &scale);
        }
        let triangle = (features.rows < features.cols).then(|| {
            let square = gram(&standardised);
            let trace: f64 = (0..square.rows).map(|i| square.row(i)[i]).sum();
            square.cholesky(1e-9 * trace / square.rows.max(1) as f64)
        });
        Self { mean, scale, standardised, triangle }
    }

    /// `[images, coordinates]`.
    pub(crate) fn coordinates(&self) -> &Matrix {
        self.triangle.as_ref().unwrap_or(&self.standardised)
    }

    /// A layer on the coordinates as the same one on the features as they come, with the standardisation folded in.
    pub(crate) fn on_features(&self, layer: &Linear) -> Linear {
        let mut weight = match &self.triangle {
            Some(triangle) => self.standardised.turned_times(&triangle.solve_turned(&layer.weight)),
            None => layer.weight.clone(),
        };
        let mut bias = layer.bias.clone();
        for ((row, mean), scale) in weight.values.chunks_exact_mut(bias.len().max(1)).zip(&self.mean).zip(&self.scale) {
            for (value, bias) in row.iter_mut().zip(&mut bias) {
                *value *= scale;
                *bias -= *value * mean;
            }
        }
        Linear { weight, bias }
    }

    /// Means and one over each deviation.
    pub(crate) fn moments(&self) -> (&[f64], &[f64]) {
        (&self.mean, &self.scale)
    }
}

/// Brings features to mean 0 and deviation 1.
pub(crate) fn standardise(row: &mut [f64], mean: &[f64], scale: &[f64]) {
    row.iter_mut().zip(mean.iter().zip(scale)).for_each(|(value, (mean, scale))| *value = (*value - mean) * scale);
}

fn moments(features: &Matrix) -> (Vec<f64>, Vec<f64>) {
    let count = features.rows.max(1) as f64;
    let mut mean = vec![0.0; features.cols];
    let rows = || features.values.chunks_exact(features.cols.max(1));
    rows().for_each(|row| mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value));
    mean.iter_mut().for_each(|sum| *sum /= count);
    let mut squares = vec![0.0; features.cols];
    for row in rows() {
        let deviations = row.iter().zip(&mean).map(|(value, mean)| (value - mean) * (value - mean));
        squares.iter_mut().zip(deviations).for_each(|(sum, square)| *sum += square);
    }
    let scale = squares.into_iter().map(|sum| (sum / count).sqrt());
    (mean, scale.map(|deviation| if deviation > 1e-7 { 1.0 / deviation } else { 0.0 }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::rng::Rng,
        train::head::logistic::{Examples, FOUND},
    };

    #[test]
    fn a_layer_is_the_same_whether_it_was_found_in_few_coordinates_or_in_all_features() {
        let mut rng = Rng::new(&[3]);
        let (images, features) = (12, 40);
        let values = (0..images * features).map(|i| 5.0 * rng.unit_f64() + (i % features) as f64).collect();
        let mut matrix = Matrix { rows: images, cols: features, values };
        // One that never varies.
        (0..images).for_each(|i| matrix.row_mut(i)[4] = 0.25);
        let labels: Vec<u32> = (0..images as u32).map(|i| i % 3).collect();
        let few = Basis::new(&matrix);
        let all = Basis { triangle: None, ..Basis::new(&matrix) };
        assert_eq!((few.coordinates().cols, all.coordinates().cols), (12, 40));
        let layers = [&few, &all].map(|basis| {
            let examples = Examples { x: basis.coordinates(), labels: &labels, class_weights: &[1.0; 3] };
            basis.on_features(&examples.fit(0.5, None, FOUND, |_| true))
        });
        let [one, other] = layers.each_ref().map(|layer| layer.logits(&matrix).values);
        assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-3), "{one:?} {other:?}");
        assert_eq!(layers[0].weight.row(4), [0.0; 3]);
    }
}
