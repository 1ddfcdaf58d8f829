//! Pass 2 of the gradient of a depthwise convolution.
//!
//! The gradient of `z` is made a strip of rows at a time, and while the strip is in cache it is taken to the weights'
//! gradient and to those rows of the input's that have all they need. The strip's last rows, which the next rows of the
//! input need too, are kept for them.

use super::bn_grad::Gradient;
use super::conv_grad::{Pass, add_up};
use super::depthwise::{Axis, Sweep};
use super::element::{self, Element};
use super::pool;
use super::shared::Shared;
use super::simd::{Task, Vector, load_up_to, store_up_to};
use rayon::prelude::*;
use std::ops::Range;

/// Floats of a strip: with what it is made of, within a core's cache.
const STRIP_FLOATS: usize = 32 << 10;

impl<E: Element> Pass<'_, E> {
    /// Tasks are groups of images, each with a weight gradient of its own.
    pub(super) fn by_strips(&self, mut dx: Option<&mut [E]>, dw: Option<&mut [f32]>) {
        let [n, h, w, c] = self.geometry.input;
        let own = if dw.is_some() { self.geometry.weight_len() } else { 0 };
        let groups = n.clamp(1, 16);
        let group = n.div_ceil(groups).max(1);
        let mut partial = pool::take(groups * own);
        let partials = Shared::new(&mut partial);
        let target = dx.as_mut().map(|dx| Shared::new(dx));
        let axes = [0, 1].map(|a| Axis::backward(self.geometry, a));
        (0..groups).into_par_iter().for_each(|index| {
            // SAFETY: each group's part is its task's alone.
            let partial = unsafe { partials.part(index * own, own) };
            partial.fill(0.0);
            for image in (index * group).min(n)..n.min((index + 1) * group) {
                // SAFETY: the image is this task's alone.
                let dx = target.as_ref().map(|dx| unsafe { dx.part(image * h * w * c, h * w * c) });
                self.image(image, &axes, dx, partial);
            }
        });
        if let Some(dw) = dw {
            add_up(&partial, dw);
        }
    }

    /// Adds one image's gradient of the weights to `dw`, unless that is empty, and writes the gradient of the image.
    fn image(&self, image: usize, [down, right]: &[Vec<Axis>; 2], mut dx: Option<&mut [E]>, dw: &mut [f32]) {
        let ([_, h, w, c], [_, oh, ow, _]) = (self.geometry.input, self.geometry.output());
        let window = self.geometry.window;
        let row = ow * c;
        let strip = (STRIP_FLOATS / row.max(1)).clamp(1, oh.max(1));
        // Kept are the rows that the next one of the input reads, at first those that none reads yet.
        let most = strip + window.kernel[0] + window.pad[0][0];
        let mut dz = element::take::<E>(most * row);
        let x = &self.saved.x[image * h * w * c..][..h * w * c];
        // The rows of the gradient of `z` that are in `dz`, and those of the input that are written.
        let (mut first, mut end, mut written) = (0, 0, 0);
        if let Some(dx) = dx.as_deref_mut().filter(|_| oh == 0) {
            dx.fill(E::zeroed());
        }
        while end < oh {
            let rows = end..(end + strip).min(oh);
            let part = (image * oh + rows.start) * row..(image * oh + rows.end) * row;
            self.level.run(Gradient {
                g: &self.g[part.clone()],
                mask: self.mask.part(part.clone()),
                z: &self.saved.z[part],
                slopes: &self.slopes,
                row,
                out: &mut dz[(end - first) * row..],
                pitch: row,
            });
            end = rows.end;
            if !dw.is_empty() {
                let task = TapSums { pass: self, x, dz: &dz[(rows.start - first) * row..], rows, out: dw };
                self.level.run(task);
            }
            let Some(dx) = &mut dx else {
                first = end;
                continue;
            };
            // An input row reads gradients up to its own place divided by the stride.
            let ready = if end == oh { h } else { (end * window.stride[0]).saturating_sub(window.pad[0][0]).min(h) };
            for y in down {
                for x in right {
                    self.level.run(Sweep {
                        axes: [y, x],
                        rows: rows_of(y, written)..rows_of(y, ready),
                        source: &dz[..(end - first) * row],
                        first_row: first,
                        weights: self.saved.w,
                        kw: window.kernel[1],
                        c,
                        target: dx.as_mut_ptr(),
                        target_len: dx.len(),
                        target_w: w,
                    });
                }
            }
            written = ready.max(written);
            let needed = (written + window.pad[0][0] + 1).saturating_sub(window.kernel[0]).div_ceil(window.stride[0]);
            let keep = if written == h { end } else { needed.clamp(first, end) };
            dz.copy_within((keep - first) * row..(end - first) * row, 0);
            first = keep;
        }
    }
}

/// How many rows of an axis' grid lie before a row of the target.
fn rows_of(axis: &Axis, target: usize) -> usize {
    target.saturating_sub(axis.dst_off).div_ceil(axis.dst_step).min(axis.grid)
}

/// `out[tap, channel] += sum of x dz` over some rows of the output of one image.
struct TapSums<'a, E> {
    pass: &'a Pass<'a, E>,
    /// The image.
    x: &'a [E],
    /// The rows' gradient.
    dz: &'a [E],
    rows: Range<usize>,
    out: &'a mut [f32],
}

impl<E: Element> Task for TapSums<'_, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let geometry = self.pass.geometry;
        let ([_, h, w, c], [_, _, ow, _]) = (geometry.input, geometry.output());
        let [kh, kw] = geometry.window.kernel;
        assert!(self.x.len() == h * w * c && self.out.len() == kh * kw * c);
        assert!(self.dz.len() >= self.rows.len() * ow * c);
        let mut this = self;
        for ky in 0..kh {
            for kx in (0..kw).step_by(5) {
                // SAFETY: lengths are asserted; `taps` keeps to the image.
                unsafe {
                    match kw - kx {
                        1 => this.taps::<V, 1, 4>(ky, kx),
                        2 => this.taps::<V, 2, 4>(ky, kx),
                        3 => this.taps::<V, 3, 4>(ky, kx),
                        4 => this.taps::<V, 4, 2>(ky, kx),
                        _ => this.taps::<V, 5, 2>(ky, kx),
                    }
                }
            }
        }
    }
}

impl<E: Element> TapSums<'_, E> {
    /// `T` taps of kernel row `ky` from `kx` on, `N` vectors of channels at a time.
    #[inline(always)]
    unsafe fn taps<V: Vector, const T: usize, const N: usize>(&mut self, ky: usize, kx: usize) {
        let c = self.pass.geometry.co;
        let mut channel = 0;
        // SAFETY: as in `run`.
        unsafe {
            while channel + N * V::LANES <= c {
                self.columns::<V, T, N>([ky, kx], channel, usize::MAX);
                channel += N * V::LANES;
            }
            while channel < c {
                self.columns::<V, T, 1>([ky, kx], channel, c - channel);
                channel += V::LANES;
            }
        }
    }

    #[inline(always)]
    unsafe fn columns<V: Vector, const T: usize, const N: usize>(
        &mut self,
        [ky, kx]: [usize; 2],
        channel: usize,
        lanes: usize,
    ) {
        let Self { pass, x, dz, ref rows, .. } = *self;
        let (window, [_, h, w, c]) = (pass.geometry.window, pass.geometry.input);
        let ow = pass.geometry.output()[2];
        let ([sh, sw], [[top, _], [left, _]]) = (window.stride, window.pad);
        // SAFETY: `y` and each `x + t` that is read are inside the image, and `dz` has the rows.
        unsafe {
            let mut sums = [[V::splat(0.0); N]; T];
            for (i, oy) in rows.clone().enumerate() {
                let Some(y) = (oy * sh + ky).checked_sub(top).filter(|&y| y < h) else { continue };
                for ox in 0..ow {
                    // Beyond the border on the left it wraps to something large.
                    let start = (ox * sw + kx).wrapping_sub(left);
                    let mut g = [V::splat(0.0); N];
                    for n in 0..N {
                        g[n] = E::load(dz.as_ptr().add((i * ow + ox) * c + channel + n * V::LANES), lanes);
                    }
                    let whole = start < w && start + T <= w;
                    for t in 0..T {
                        let at = start.wrapping_add(t);
                        if whole || at < w {
                            let from = x.as_ptr().add((y * w + at) * c + channel);
                            for n in 0..N {
                                let x = E::load::<V>(from.add(n * V::LANES), lanes);
                                sums[t][n] = x.mul_add(g[n], sums[t][n]);
                            }
                        }
                    }
                }
            }
            for t in 0..T {
                for n in 0..N {
                    let at = (ky * window.kernel[1] + kx + t) * c + channel + n * V::LANES;
                    let to = self.out.as_mut_ptr().add(at);
                    store_up_to(load_up_to::<V>(to, lanes).add(sums[t][n]), to, lanes);
                }
            }
        }
    }
}
