//! The head: global average pooling and one linear layer, `logits = mean(x) w + b`.

use super::element::Element;
use super::simd::{Level, Task, Vector};
use rayon::prelude::*;

/// `to += factor * from`.
struct Axpy<'a> {
    factor: f32,
    from: &'a [f32],
    to: &'a mut [f32],
}

impl Task for Axpy<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        for (to, from) in self.to.iter_mut().zip(self.from) {
            *to += self.factor * from;
        }
    }
}

/// One image's mean over its pixels, in chunks of rows so that long sums keep their precision.
struct Mean<'a, E> {
    x: &'a [E],
    out: &'a mut [f32],
}

impl<E: Element> Task for Mean<'_, E> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let c = self.out.len();
        let pixels = self.x.len() / c;
        self.out.fill(0.0);
        for pixel in self.x.chunks_exact(c) {
            for (sum, value) in self.out.iter_mut().zip(pixel) {
                *sum += value.widen();
            }
        }
        for sum in self.out.iter_mut() {
            *sum /= pixels as f32;
        }
    }
}

/// `x [n, h, w, c]`, `w [c, k]`, `b [k]` to `features [n, c]` (the means) and `logits [n, k]`.
///
/// # Panics
/// If a slice does not have its shape's length.
pub(crate) fn head<E: Element>(
    level: Level,
    shape: [usize; 4],
    x: &[E],
    w: &[f32],
    b: &[f32],
    features: &mut [f32],
    logits: &mut [f32],
) {
    let [n, height, width, c] = shape;
    let (k, image) = (b.len(), height * width * c);
    assert!(x.len() == n * image && w.len() == c * k, "the slices do not have the head's shapes");
    assert!(features.len() == n * c && logits.len() == n * k, "the slices do not have the head's shapes");
    if n == 0 || c == 0 || k == 0 || image == 0 {
        return;
    }
    let rows = features.par_chunks_mut(c).zip(logits.par_chunks_mut(k)).zip(x.par_chunks(image));
    rows.with_min_len(4).for_each(|((features, logits), x)| {
        level.run(Mean { x, out: features });
        logits.copy_from_slice(b);
        for (factor, from) in features.iter().zip(w.chunks_exact(k)) {
            level.run(Axpy { factor: *factor, from, to: logits });
        }
    });
}

/// Gradients of [`head`] for the logits' gradient `g [n, k]`: `dx [n, h, w, c]` if asked for, `dw [c, k]`, `db [k]`.
///
/// # Panics
/// If a slice does not have its shape's length.
#[expect(clippy::too_many_arguments, reason = "three slices in and three out")]
pub(crate) fn head_backward<E: Element>(
    level: Level,
    shape: [usize; 4],
    g: &[f32],
    features: &[f32],
    w: &[f32],
    dx: Option<&mut [E]>,
    dw: &mut [f32],
    db: &mut [f32],
) {
    let [n, height, width, c] = shape;
    let (k, pixels) = (db.len(), height * width);
    assert!(g.len() == n * k && features.len() == n * c, "the slices do not have the head's shapes");
    assert!(w.len() == c * k && dw.len() == c * k, "the slices do not have the head's shapes");
    db.fill(0.0);
    dw.fill(0.0);
    if n == 0 || c == 0 || k == 0 {
        return;
    }
    for g in g.chunks_exact(k) {
        level.run(Axpy { factor: 1.0, from: g, to: db });
    }
    dw.par_chunks_mut(k).with_min_len(8).enumerate().for_each(|(channel, dw)| {
        for (g, features) in g.chunks_exact(k).zip(features.chunks_exact(c)) {
            level.run(Axpy { factor: features[channel], from: g, to: dw });
        }
    });
    if let Some(dx) = dx.filter(|_| pixels > 0) {
        assert_eq!(dx.len(), n * pixels * c, "the input gradient does not have the head's shape");
        dx.par_chunks_mut(pixels * c).zip(g.par_chunks(k)).with_min_len(4).for_each(|(dx, g)| {
            let (first, rest) = dx.split_at_mut(c);
            for (to, w) in first.iter_mut().zip(w.chunks_exact(k)) {
                *to = E::narrow(w.iter().zip(g).map(|(w, g)| w * g).sum::<f32>() / pixels as f32);
            }
            for pixel in rest.chunks_exact_mut(c) {
                pixel.copy_from_slice(first);
            }
        });
    }
}
