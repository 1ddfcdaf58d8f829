//! Softmax cross-entropy with label smoothing and mixed labels.

use rayon::prelude::*;

/// What the logits should say: for sample `i` the distribution
/// `q = (1 - smoothing) (share[i] 1_a[i] + (1 - share[i]) 1_b[i]) + smoothing / k`.
#[derive(Clone, Copy)]
pub struct Targets<'a> {
    /// The label against which hits are counted.
    pub a: &'a [i32],
    /// The label mixed in.
    pub b: &'a [i32],
    /// Share of `a`.
    pub share: &'a [f32],
    /// Share that is spread over all classes.
    pub smoothing: f32,
}

/// Writes the gradient of the *mean* loss for `logits [n, k]` and each sample's loss `[n]`, and returns `[sum of losses, hits against a]`.
///
/// A label that is no class makes its sample's loss and gradient NaN, so that it cannot pass unnoticed. The prediction
/// is the first largest logit.
///
/// # Panics
/// If a slice does not have its shape's length.
pub fn cross_entropy(logits: &[f32], targets: Targets, gradient: &mut [f32], losses: &mut [f32]) -> [f32; 2] {
    let n = targets.a.len();
    if n == 0 {
        return [0.0, 0.0];
    }
    let k = logits.len() / n;
    assert!(k > 0 && logits.len() == n * k && gradient.len() == n * k, "logits do not have a row for each target");
    assert!(targets.b.len() == n && targets.share.len() == n, "targets are of different lengths");
    let mut samples = vec![(0.0f64, false); n];
    let rows = gradient.par_chunks_mut(k).zip(logits.par_chunks(k)).zip(samples.par_iter_mut()).enumerate();
    rows.with_min_len(64).for_each(|(i, ((gradient, logits), sample))| {
        let (a, b, share) = (targets.a[i], targets.b[i], targets.share[i]);
        let class = |label: i32| usize::try_from(label).ok().filter(|label| *label < k);
        let (Some(a), Some(b)) = (class(a), class(b)) else {
            gradient.fill(f32::NAN);
            *sample = (f64::NAN, false);
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
        let total: f64 = gradient.iter().map(|e| f64::from(*e)).sum();
        let log_total = total.ln();
        let (even, sharp) = (f64::from(targets.smoothing) / k as f64, 1.0 - f64::from(targets.smoothing));
        let mut loss = 0.0;
        for (j, e) in gradient.iter_mut().enumerate() {
            let hit = if j == a { f64::from(share) } else { 0.0 } + if j == b { 1.0 - f64::from(share) } else { 0.0 };
            let q = even + sharp * hit;
            if q != 0.0 {
                loss -= q * (f64::from(logits[j]) - f64::from(top) - log_total);
            }
            *e = ((f64::from(*e) / total - q) / n as f64) as f32;
        }
        *sample = (loss, best == a);
    });
    for (loss, sample) in losses.iter_mut().zip(&samples) {
        *loss = sample.0 as f32;
    }
    let loss: f64 = samples.iter().map(|sample| sample.0).sum();
    [loss as f32, samples.iter().filter(|sample| sample.1).count() as f32]
}
