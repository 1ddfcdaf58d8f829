//! Softmax cross-entropy with label smoothing, mixed labels and class weights.

use rayon::prelude::*;

/// What the logits should say: for sample `i` the distribution
/// `q = (1 - smoothing) (lambda[i] 1_a[i] + (1 - lambda[i]) 1_b[i]) + smoothing / k`.
#[derive(Clone, Copy)]
pub(crate) struct Targets<'a> {
    /// The label against which hits are counted.
    pub a: &'a [i32],
    /// The label mixed in.
    pub b: &'a [i32],
    /// Share of `a`.
    pub lambda: &'a [f32],
    /// Share that is spread over all classes.
    pub smoothing: f32,
    /// Of the classes `[k]`: the mean loss is then `-sum q w log softmax(logits)` over samples and classes, divided by
    /// the sum of the weights of the samples' labels. All 1 where not given.
    pub weights: Option<&'a [f32]>,
}

impl Targets<'_> {
    fn weight(&self, class: usize) -> f64 {
        self.weights.map_or(1.0, |weights| f64::from(weights[class]))
    }

    /// What the batch's sum is divided by.
    fn total(&self, k: usize) -> f64 {
        if self.weights.is_none() {
            return self.a.len() as f64;
        }
        let weight =
            |label: i32| usize::try_from(label).ok().filter(|label| *label < k).map_or(0.0, |k| self.weight(k));
        let labels = self.a.iter().zip(self.b).zip(self.lambda);
        labels.map(|((a, b), lambda)| f64::from(*lambda) * weight(*a) + (1.0 - f64::from(*lambda)) * weight(*b)).sum()
    }
}

/// Writes the gradient of the *mean* loss for `logits [n, k]` and each sample's own loss `[n]`, whatever its class
/// weighs, and returns `[n times the mean loss, hits against a]`.
///
/// A label that is no class makes its sample's loss and gradient NaN, so that it cannot pass unnoticed. The prediction
/// is the first largest logit.
///
/// # Panics
/// If a slice does not have its shape's length.
pub(crate) fn cross_entropy(logits: &[f32], targets: Targets, gradient: &mut [f32], losses: &mut [f32]) -> [f32; 2] {
    let n = targets.a.len();
    if n == 0 {
        return [0.0, 0.0];
    }
    let k = logits.len() / n;
    assert!(k > 0 && logits.len() == n * k && gradient.len() == n * k, "logits do not have a row for each target");
    assert!(targets.b.len() == n && targets.lambda.len() == n, "targets are of different lengths");
    assert!(targets.weights.is_none_or(|weights| weights.len() == k), "there is not a weight for each class");
    let total = targets.total(k);
    // A sample's own loss, its part in n times the mean, and whether it is hit.
    let mut samples = vec![(0.0f64, 0.0f64, false); n];
    let rows = gradient.par_chunks_mut(k).zip(logits.par_chunks(k)).zip(samples.par_iter_mut()).enumerate();
    rows.with_min_len(64).for_each(|(i, ((gradient, logits), sample))| {
        let (a, b, lambda) = (targets.a[i], targets.b[i], targets.lambda[i]);
        let class = |label: i32| usize::try_from(label).ok().filter(|label| *label < k);
        let (Some(a), Some(b)) = (class(a), class(b)) else {
            gradient.fill(f32::NAN);
            *sample = (f64::NAN, f64::NAN, false);
            return;
        };
        let mut best = 0;
        for (j, logit) in logits.iter().enumerate() {
            if *logit > logits[best] {
                best = j;
            }
        }
        let top = logits[best];
        for (e, logit) in gradient.iter_mut().zip(logits) {
            *e = (logit - top).exp();
        }
        let exps: f64 = gradient.iter().map(|e| f64::from(*e)).sum();
        let log_exps = exps.ln();
        let (even, sharp) = (f64::from(targets.smoothing) / k as f64, 1.0 - f64::from(targets.smoothing));
        let wanted = |j: usize| {
            let hit = if j == a { f64::from(lambda) } else { 0.0 } + if j == b { 1.0 - f64::from(lambda) } else { 0.0 };
            even + sharp * hit
        };
        // Of a distribution that nothing weighs the sum is 1, which rounding would miss.
        let pull = targets.weights.map_or(1.0, |_| (0..k).map(|j| wanted(j) * targets.weight(j)).sum());
        let (mut loss, mut part) = (0.0, 0.0);
        for (j, e) in gradient.iter_mut().enumerate() {
            let (q, weight) = (wanted(j), targets.weight(j));
            if q != 0.0 {
                let log_p = f64::from(logits[j]) - f64::from(top) - log_exps;
                loss -= q * log_p;
                part -= q * weight * log_p;
            }
            *e = ((f64::from(*e) / exps * pull - q * weight) / total) as f32;
        }
        *sample = (loss, if targets.weights.is_some() { part * n as f64 / total } else { loss }, best == a);
    });
    for (loss, sample) in losses.iter_mut().zip(&samples) {
        *loss = sample.0 as f32;
    }
    let loss: f64 = samples.iter().map(|sample| sample.1).sum();
    [loss as f32, samples.iter().filter(|sample| sample.2).count() as f32]
}
