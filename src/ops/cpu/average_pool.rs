//! Average-pooling: the mean of what lies inside the image under each window.

use super::{
    element::Element,
    max_pool::taps,
    simd::{Level, Task, Vector},
};
use crate::ops::Window;
use rayon::prelude::*;

/// Mean over each window: `x [n, h, w, c]` to `y [n, oh, ow, c]`.
///
/// # Panics
/// If a slice does not have its shape's length.
pub(crate) fn average_pool<E: Element>(level: Level, shape: [usize; 4], window: Window, x: &[E], y: &mut [E]) {
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
        let mut sums = vec![0.0f32; self.c];
        for (ox, y) in self.y.chunks_exact_mut(self.c).enumerate() {
            sums.fill(0.0);
            let share = share(self.window, self.size, self.oy, ox);
            for tap in taps(self.window, self.size, self.oy, ox) {
                for (sum, x) in sums.iter_mut().zip(&self.x[tap * self.c..]) {
                    *sum += x.widen() * share;
                }
            }
            y.iter_mut().zip(&sums).for_each(|(y, sum)| *y = E::narrow(*sum));
        }
    }
}

/// What each value under a window counts in its mean.
fn share(window: Window, size: [usize; 2], oy: usize, ox: usize) -> f32 {
    1.0 / taps(window, size, oy, ox).count().max(1) as f32
}

/// Gradient of [`average_pool`]: `g [n, oh, ow, c]` to `dx [n, h, w, c]`.
///
/// # Panics
/// If a slice does not have its shape's length.
pub(crate) fn average_pool_backward<E: Element>(
    level: Level,
    shape: [usize; 4],
    window: Window,
    g: &[E],
    dx: &mut [E],
) {
    let [n, h, w, c] = shape;
    let out @ [oh, ow] = window.output([h, w]);
    assert!(dx.len() == n * h * w * c && g.len() == n * oh * ow * c, "the slices do not have the pool's shapes");
    dx.par_chunks_mut((h * w * c).max(1)).enumerate().for_each(|(image, dx)| {
        let g = &g[image * oh * ow * c..][..oh * ow * c];
        level.run(Image { window, size: [h, w], out, c, g, dx });
    });
}

struct Image<'a, E> {
    window: Window,
    size: [usize; 2],
    out: [usize; 2],
    c: usize,
    g: &'a [E],
    dx: &'a mut [E],
}

impl<E: Element> Task for Image<'_, E> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let c = self.c;
        self.dx.fill(E::zeroed());
        for oy in 0..self.out[0] {
            for ox in 0..self.out[1] {
                let g = &self.g[(oy * self.out[1] + ox) * c..][..c];
                let share = share(self.window, self.size, oy, ox);
                for tap in taps(self.window, self.size, oy, ox) {
                    for (dx, g) in self.dx[tap * c..][..c].iter_mut().zip(g) {
                        *dx = E::narrow(dx.widen() + g.widen() * share);
                    }
                }
            }
        }
    }
}
