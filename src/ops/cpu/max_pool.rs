//! Max-pooling; padding counts as minus infinity, and the gradient goes to the first maximum in row-major order.

use super::element::Element;
use super::simd::{Level, Task, Vector};
use crate::ops::Window;
use rayon::prelude::*;

/// For `[n, h, w, c]` inputs: the taps of output pixel `(oy, ox)` that lie inside the image, as pixel indices.
pub(super) fn taps(window: Window, [h, w]: [usize; 2], oy: usize, ox: usize) -> impl Iterator<Item = usize> {
    let span = |o: usize, axis: usize, size: usize| {
        let start = o * window.stride[axis];
        let before = window.pad[axis][0];
        let low = start.saturating_sub(before);
        (low, (start + window.kernel[axis]).saturating_sub(before).min(size).max(low))
    };
    let ((y0, y1), (x0, x1)) = (span(oy, 0, h), span(ox, 1, w));
    (y0..y1).flat_map(move |y| (x0..x1).map(move |x| y * w + x))
}

/// Maximum over each window: `x [n, h, w, c]` to `y [n, oh, ow, c]`. NaN wins, as in PyTorch.
///
/// # Panics
/// If a slice does not have its shape's length.
pub(crate) fn max_pool<E: Element>(level: Level, shape: [usize; 4], window: Window, x: &[E], y: &mut [E]) {
    let [n, h, w, c] = shape;
    let [oh, ow] = window.output([h, w]);
    assert!(x.len() == n * h * w * c && y.len() == n * oh * ow * c, "the slices do not have the pool's shapes");
    y.par_chunks_mut((ow * c).max(1)).enumerate().for_each(|(row, y)| {
        let x = &x[row / oh * h * w * c..][..h * w * c];
        level.run(Row { window, size: [h, w], c, oy: row % oh, x, y });
    });
}

struct Row<'a, E> {
    window: Window,
    size: [usize; 2],
    c: usize,
    oy: usize,
    x: &'a [E],
    y: &'a mut [E],
}

impl<E: Element> Task for Row<'_, E> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let mut most = vec![0.0f32; self.c];
        for (ox, y) in self.y.chunks_exact_mut(self.c).enumerate() {
            most.fill(f32::NEG_INFINITY);
            for tap in taps(self.window, self.size, self.oy, ox) {
                for (most, x) in most.iter_mut().zip(&self.x[tap * self.c..]) {
                    let x = x.widen();
                    *most = if x > *most || x.is_nan() { x } else { *most };
                }
            }
            y.iter_mut().zip(&most).for_each(|(y, most)| *y = E::narrow(*most));
        }
    }
}

/// Gradient of [`max_pool`]: `g [n, oh, ow, c]` to `dx [n, h, w, c]`.
///
/// # Panics
/// If a slice does not have its shape's length.
pub(crate) fn max_pool_backward<E: Element>(
    level: Level,
    shape: [usize; 4],
    window: Window,
    g: &[E],
    x: &[E],
    y: &[E],
    dx: &mut [E],
) {
    let [n, h, w, c] = shape;
    let [oh, ow] = window.output([h, w]);
    assert!(x.len() == n * h * w * c && dx.len() == x.len(), "the slices do not have the pool's shapes");
    assert!(y.len() == n * oh * ow * c && g.len() == y.len(), "the slices do not have the pool's shapes");
    dx.par_chunks_mut((h * w * c).max(1)).enumerate().for_each(|(image, dx)| {
        let (x, part) = (&x[image * h * w * c..][..h * w * c], image * oh * ow * c..(image + 1) * oh * ow * c);
        level.run(Image { window, size: [h, w], out: [oh, ow], c, g: &g[part.clone()], x, y: &y[part], dx });
    });
}

struct Image<'a, E> {
    window: Window,
    size: [usize; 2],
    out: [usize; 2],
    c: usize,
    g: &'a [E],
    x: &'a [E],
    y: &'a [E],
    dx: &'a mut [E],
}

impl<E: Element> Task for Image<'_, E> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let c = self.c;
        self.dx.fill(E::zeroed());
        // What is still to be handed to a maximum; zero once the first has had it.
        let mut left = vec![0.0f32; c];
        for oy in 0..self.out[0] {
            for ox in 0..self.out[1] {
                let at = (oy * self.out[1] + ox) * c;
                left.iter_mut().zip(&self.g[at..at + c]).for_each(|(left, g)| *left = g.widen());
                let y = &self.y[at..at + c];
                for tap in taps(self.window, self.size, oy, ox) {
                    let x = &self.x[tap * c..][..c];
                    let dx = &mut self.dx[tap * c..][..c];
                    for i in 0..c {
                        let hit = x[i].widen() == y[i].widen();
                        dx[i] = E::narrow(dx[i].widen() + if hit { left[i] } else { 0.0 });
                        left[i] = if hit { 0.0 } else { left[i] };
                    }
                }
            }
        }
    }
}
