//! What folds say of how good a head is.

use super::metrics::Confusion;

impl Confusion {
    /// The mean over the classes that have images of the share that was recognised.
    pub(crate) fn balanced_accuracy(&self) -> f64 {
        let shares: Vec<f64> =
            self.per_class().iter().filter(|score| score.support > 0).map(|score| score.recall).collect();
        shares.iter().sum::<f64>() / shares.len().max(1) as f64
    }
}

/// Wilson's score interval at 95 %, <https://doi.org/10.1080/01621459.1927.10502953>, for a share among `n` that are
/// independent of one another.
pub(crate) fn interval(share: f64, n: usize) -> [f64; 2] {
    const Z: f64 = 1.959_963_984_540_054;
    let n = n.max(1) as f64;
    let centre = share + Z * Z / (2.0 * n);
    let reach = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    [centre - reach, centre + reach].map(|end| (end / (1.0 + Z * Z / n)).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        // statsmodels.stats.proportion.proportion_confint(167, 189, method="wilson")
        let [low, high] = interval(167.0 / 189.0, 189);
        assert!((low - 0.830_051_75).abs() < 1e-7 && (high - 0.921_861_25).abs() < 1e-7, "{low} {high}");
        let [low, high] = interval(1.0, 10);
        assert!(low > 0.72 && low < 0.73 && high > 1.0 - 1e-9);
    }

    #[test]
    fn small_classes_count_as_much_as_large_ones() {
        let mut confusion = Confusion::new(3);
        (0..90).for_each(|_| confusion.add(0, 0));
        (0..10).for_each(|_| confusion.add(1, 0));
        assert_eq!((confusion.accuracy(), confusion.balanced_accuracy()), (0.9, 0.5));
    }
}
