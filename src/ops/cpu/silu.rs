//! `x / (1 + exp(-x))`, the sigmoid linear unit (Elfwing et al., <https://arxiv.org/abs/1702.03118>), and its gradient.

use super::element::Element;
use rayon::prelude::*;

/// Values of a task.
const PIECE: usize = 16 << 10;

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// `y = x sigmoid(x)`
///
/// # Panics
/// If the slices are not of one length.
pub(crate) fn silu<E: Element>(x: &[E], y: &mut [E]) {
    assert_eq!(x.len(), y.len(), "the slices are of one length");
    y.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).for_each(|(y, x)| {
        y.iter_mut().zip(x).for_each(|(y, x)| {
            let x = x.widen();
            *y = E::narrow(x * sigmoid(x));
        });
    });
}

/// `g`, the gradient of the output of [`silu`], becomes that of `x`.
///
/// # Panics
/// If the slices are not of one length.
pub(crate) fn silu_backward<E: Element>(g: &[E], x: &[E], dx: &mut [E]) {
    assert!(x.len() == g.len() && dx.len() == g.len(), "the slices are of one length");
    dx.par_chunks_mut(PIECE).zip(g.par_chunks(PIECE).zip(x.par_chunks(PIECE))).for_each(|(dx, (g, x))| {
        for ((dx, g), x) in dx.iter_mut().zip(g).zip(x) {
            let (g, x) = (g.widen(), x.widen());
            let sigmoid = sigmoid(x);
            *dx = E::narrow(g * sigmoid * (1.0 + x * (1.0 - sigmoid)));
        }
    });
}
