//! Depthwise convolution: each channel by a kernel of its own, so that lanes are channels and nothing is exchanged.
//!
//! Little is computed for each value that is moved, so what counts is that values are moved once: rows are gone through
//! in the order of memory, a few pixels at a time, so that a weight is loaded once for all of them. Nothing is padded:
//! pixels near a border have fewer taps. The input gradient is the same sweep over the gradient of the output, for each
//! residue of a stride by itself, as on a GPU (see `ops::wgpu::conv`).

use super::conv::{Written, blocks};
use super::element::Element;
use super::geometry::Geometry;
use super::shared::Shared;
use super::simd::{Level, Task, Vector, load_up_to};
use rayon::prelude::*;
use std::ops::Range;

/// One axis of the grid of pixels that a sweep computes: `source = grid * step + tap + off`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub grid: usize,
    pub taps: usize,
    /// Pixels of the source.
    pub src: usize,
    pub step: usize,
    pub off: isize,
    /// `target = grid * dst_step + dst_off`
    pub dst_step: usize,
    pub dst_off: usize,
    /// `weight = w_first + tap * w_step`
    pub w_first: isize,
    pub w_step: isize,
}

impl Axis {
    /// Of the convolution itself, along axis `a`.
    fn forward(geometry: &Geometry, a: usize) -> Self {
        let window = geometry.window;
        Self {
            grid: geometry.output()[1 + a],
            taps: window.kernel[a],
            src: geometry.input[1 + a],
            step: window.stride[a],
            off: -(window.pad[a][0] as isize),
            dst_step: 1,
            dst_off: 0,
            w_first: 0,
            w_step: 1,
        }
    }

    /// Of the input gradient, one for each residue of the stride: input pixel `y = residue + stride j` gets
    /// `w[k] g[(y + pad - k) / stride]` for those `k` that divide.
    pub(super) fn backward(geometry: &Geometry, a: usize) -> Vec<Self> {
        let (stride, kernel, pad) = (geometry.window.stride[a], geometry.window.kernel[a], geometry.window.pad[a][0]);
        let input = geometry.input[1 + a];
        let of = |residue: usize| {
            let first = (residue + pad) % stride;
            let taps = kernel.saturating_sub(first).div_ceil(stride);
            // Taps run backwards; here from the last.
            let last = taps as isize - 1;
            Self {
                grid: (input - residue).div_ceil(stride),
                taps,
                src: geometry.output()[1 + a],
                step: 1,
                off: ((residue + pad) / stride) as isize - last,
                dst_step: stride,
                dst_off: residue,
                w_first: first as isize + last * stride as isize,
                w_step: -(stride as isize),
            }
        };
        (0..stride.min(input)).map(of).collect()
    }

    /// The taps of a pixel of the grid that lie within the source.
    fn taps_of(&self, at: usize) -> Range<usize> {
        let start = (at * self.step) as isize + self.off;
        let first = (-start).clamp(0, self.taps as isize) as usize;
        let end = (self.src as isize - start).clamp(0, self.taps as isize) as usize;
        first..end.max(first)
    }

    /// The pixels of the grid all of whose taps lie within the source.
    fn interior(&self) -> Range<usize> {
        let whole = |&at: &usize| self.taps_of(at) == (0..self.taps);
        let Some(first) = (0..self.grid).find(whole) else { return 0..0 };
        first..first + (first..self.grid).take_while(whole).count()
    }

    fn source(&self, at: usize, tap: usize) -> usize {
        ((at * self.step + tap) as isize + self.off) as usize
    }

    fn weight(&self, tap: usize) -> usize {
        (self.w_first + tap as isize * self.w_step) as usize
    }
}

/// The products of some rows of a grid.
pub(super) struct Sweep<'a, E> {
    /// Down and right.
    pub axes: [&'a Axis; 2],
    pub rows: Range<usize>,
    /// Rows of the source, of which `first_row` is the first.
    pub source: &'a [E],
    pub first_row: usize,
    /// `[kh, kw, c]`
    pub weights: &'a [f32],
    /// The kernel's width.
    pub kw: usize,
    pub c: usize,
    /// The first pixel of an image of the target.
    pub target: *mut E,
    /// Values that may be written there.
    pub target_len: usize,
    /// Pixels in one of its rows.
    pub target_w: usize,
}

impl<E: Element> Task for Sweep<'_, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let [y, x] = self.axes;
        let inside = x.interior();
        for row in self.rows.clone() {
            let mut at = 0;
            while at < x.grid {
                let rest = if inside.contains(&at) { inside.end - at } else { 1 };
                // SAFETY: the tile's pixels are in the grid and, if there are several, in its interior.
                unsafe {
                    match rest {
                        4.. => self.tile::<V, 4, 2>(row, at),
                        3 => self.tile::<V, 3, 2>(row, at),
                        2 => self.tile::<V, 2, 4>(row, at),
                        _ => self.tile::<V, 1, 4>(row, at),
                    }
                }
                at += rest.min(4);
            }
        }
        debug_assert!(self.rows.end <= y.grid);
    }
}

impl<E: Element> Sweep<'_, E> {
    /// `P` neighbours in a row, which have the same taps, `N` vectors of channels at a time.
    #[inline(always)]
    unsafe fn tile<V: Vector, const P: usize, const N: usize>(&self, row: usize, at: usize) {
        let ([y, x], c) = (self.axes, self.c);
        let (down, right) = (y.taps_of(row), x.taps_of(at));
        let to = ((row * y.dst_step + y.dst_off) * self.target_w + at * x.dst_step + x.dst_off) * c;
        assert!(to + ((P - 1) * x.dst_step + 1) * c <= self.target_len, "a pixel beyond the target");
        let pitch = x.src * c;
        // Where the first tap of the first pixel is.
        let from = if down.is_empty() || right.is_empty() {
            0
        } else {
            let first = (y.source(row, down.start) - self.first_row) * pitch + x.source(at, right.start) * c;
            let reach = (down.len() - 1) * pitch + (right.len() - 1 + (P - 1) * x.step + 1) * c;
            assert!(first + reach <= self.source.len(), "a window ends beyond its source");
            first
        };
        let taps = Taps { down, right, from, to };
        let mut channel = 0;
        // SAFETY: the first and the last value that is read or written are asserted above to be inside; weights have a
        // value for each tap and channel, which indexing asserts.
        unsafe {
            while channel + N * V::LANES <= c {
                self.columns::<V, P, N>(&taps, channel, usize::MAX);
                channel += N * V::LANES;
            }
            while channel < c {
                self.columns::<V, P, 1>(&taps, channel, c - channel);
                channel += V::LANES;
            }
        }
    }

    #[inline(always)]
    unsafe fn columns<V: Vector, const P: usize, const N: usize>(&self, taps: &Taps, channel: usize, lanes: usize) {
        let ([y, x], c) = (self.axes, self.c);
        // SAFETY: as in `tile`.
        unsafe {
            let mut sums = [[V::splat(0.0); N]; P];
            for (i, ky) in taps.down.clone().enumerate() {
                let source = self.source.as_ptr().add(taps.from + i * x.src * c + channel);
                for (j, kx) in taps.right.clone().enumerate() {
                    let weights =
                        self.weights[(y.weight(ky) * self.kw + x.weight(kx)) * c..][..c].as_ptr().add(channel);
                    let mut w = [V::splat(0.0); N];
                    for n in 0..N {
                        w[n] = load_up_to(weights.add(n * V::LANES), lanes);
                    }
                    for p in 0..P {
                        let source = source.add((j + p * x.step) * c);
                        for n in 0..N {
                            sums[p][n] = E::load::<V>(source.add(n * V::LANES), lanes).mul_add(w[n], sums[p][n]);
                        }
                    }
                }
            }
            for p in 0..P {
                for n in 0..N {
                    let to = self.target.add(taps.to + p * x.dst_step * c + channel + n * V::LANES);
                    E::store(sums[p][n], to, lanes);
                }
            }
        }
    }
}

/// What the pixels of a tile read, and where the first of them is written.
struct Taps {
    down: Range<usize>,
    right: Range<usize>,
    from: usize,
    to: usize,
}

/// [`super::conv::convolve`] of a convolution that is one.
pub(super) fn convolve<E: Element>(
    level: Level,
    geometry: &Geometry,
    x: &[E],
    weights: &[f32],
    out: &mut [E],
    done: impl Fn(Written<E>) + Sync,
) {
    geometry.assert_fits(x, out);
    assert_eq!(weights.len(), geometry.weight_len(), "weights do not have the convolution's shape");
    let [_, h, w, c] = geometry.input;
    let [_, oh, ow, _] = geometry.output();
    let axes = [0, 1].map(|a| Axis::forward(geometry, a));
    let shared = Shared::new(out);
    blocks::<E>(geometry).par_iter().enumerate().for_each(|(index, block)| {
        for image in block.image..block.image + block.images {
            let (target, _) = shared.from(image * oh * ow * c);
            level.run(Sweep {
                axes: axes.each_ref(),
                rows: block.row..block.row + block.rows,
                source: &x[image * h * w * c..][..h * w * c],
                first_row: 0,
                weights,
                kw: geometry.window.kernel[1],
                c,
                target,
                target_len: oh * ow * c,
                target_w: ow,
            });
        }
        let offset = (block.image * oh + block.row) * ow * c;
        let (at, _) = shared.from(offset);
        done(Written { block: index, at, offset, pixels: block.images * block.rows * ow, first: 0, channels: c });
    });
}
