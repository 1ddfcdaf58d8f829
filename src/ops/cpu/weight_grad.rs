//! The gradient of the weights: for each kernel tap, the products of input channels with output gradients, summed over
//! pixels.
//!
//! A tile of `R` values under a kernel row by one or two vectors of output channels stays in registers while the pixels
//! pass; since the values under a kernel row are contiguous in the padded input, a tile may span taps.

use super::element::Element;
use super::simd::{Task, Vector, load_up_to, store_up_to};
use std::marker::PhantomData;

/// Adds one block of pixels to a weight gradient.
pub(crate) struct WeightGrad<'a, E> {
    /// What the words are of: those of several images side by side ([`Element::abreast`]).
    pub of: PhantomData<E>,
    /// The padded input.
    pub source: &'a [f32],
    /// For each pixel, where its window starts in `source`.
    pub at: &'a [usize],
    /// The gradient of the convolution's result.
    pub dz: &'a [f32],
    /// For each pixel, where its channels start in `dz`.
    pub dz_at: &'a [usize],
    /// Kernel rows.
    pub rows: usize,
    /// Words under a kernel row.
    pub run: usize,
    /// Words between padded rows.
    pub pitch: usize,
    /// The first output channel, in `dz`.
    pub first: usize,
    /// `[rows * run][channels]`, added to.
    pub out: &'a mut [f32],
    /// Output channels in `out`.
    pub channels: usize,
}

/// Pixels that pass before a tile returns to memory.
const PIXELS: usize = 256;

impl<E: Element> Task for WeightGrad<'_, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let pixels = self.at.len();
        if pixels == 0 || self.channels == 0 {
            return;
        }
        let reach = if self.rows == 0 { 0 } else { (self.rows - 1) * self.pitch + self.run };
        assert!(self.dz_at.len() == pixels && self.out.len() == self.rows * self.run * self.channels);
        assert!(self.at.iter().all(|at| at + reach <= self.source.len()), "a window ends beyond its source");
        let channels = self.first + self.channels;
        assert!(self.dz_at.iter().all(|at| at + channels <= self.dz.len()), "a pixel beyond the gradient");
        let out = self.out.as_mut_ptr();
        // SAFETY: the assertions cover what the tiles read and write.
        unsafe {
            for begin in (0..pixels).step_by(PIXELS) {
                let end = pixels.min(begin + PIXELS);
                let mut c = 0;
                while c < self.channels {
                    let wide = self.channels - c > V::LANES;
                    for row in 0..self.rows {
                        let mut r = 0;
                        while r < self.run {
                            let left = self.run - r;
                            let here = (row, r, c, begin, end);
                            r += match (wide, V::REGISTERS >= 32) {
                                (true, true) if left >= 12 => self.tile::<V, 12, 2>(here, out),
                                (true, true) if left >= 8 => self.tile::<V, 8, 2>(here, out),
                                (true, _) if left >= 5 => self.tile::<V, 5, 2>(here, out),
                                (true, _) if left >= 4 => self.tile::<V, 4, 2>(here, out),
                                (true, _) => self.tile::<V, 1, 2>(here, out),
                                (false, true) if left >= 24 => self.tile::<V, 24, 1>(here, out),
                                (false, _) if left >= 12 => self.tile::<V, 12, 1>(here, out),
                                (false, _) if left >= 9 => self.tile::<V, 9, 1>(here, out),
                                (false, _) if left >= 4 => self.tile::<V, 4, 1>(here, out),
                                (false, _) => self.tile::<V, 1, 1>(here, out),
                            };
                        }
                    }
                    c += if wide { 2 } else { 1 } * V::LANES;
                }
            }
        }
    }
}

impl<E: Element> WeightGrad<'_, E> {
    /// One tile over pixels `begin..end`; returns `R`.
    #[inline(always)]
    unsafe fn tile<V: Vector, const R: usize, const B: usize>(
        &self,
        (row, r, c, begin, end): (usize, usize, usize, usize, usize),
        out: *mut f32,
    ) -> usize {
        // SAFETY: `run` asserts that windows and channels of all pixels are inside; `c` is below `channels`, and rows
        // `r..r + R` inside the run.
        unsafe {
            let lanes = self.channels - c;
            let out = out.add((row * self.run + r) * self.channels + c);
            let x = self.source.as_ptr().add(row * self.pitch + r);
            let dz = self.dz.as_ptr().add(self.first + c);
            let mut sums = [[V::splat(0.0); B]; R];
            for (i, sums) in sums.iter_mut().enumerate() {
                for (b, sum) in sums.iter_mut().enumerate() {
                    *sum = load_up_to(out.add(i * self.channels + b * V::LANES), lanes - b * V::LANES);
                }
            }
            if lanes >= B * V::LANES {
                for pixel in begin..end {
                    let x = x.add(*self.at.get_unchecked(pixel));
                    let dz = dz.add(*self.dz_at.get_unchecked(pixel));
                    let mut d = [V::splat(0.0); B];
                    for (b, d) in d.iter_mut().enumerate() {
                        *d = V::load(dz.add(b * V::LANES));
                    }
                    for (i, sums) in sums.iter_mut().enumerate() {
                        let value = V::splat(*x.add(i));
                        for b in 0..B {
                            sums[b] = E::multiply(value, d[b], sums[b]);
                        }
                    }
                }
            } else {
                for pixel in begin..end {
                    let x = x.add(*self.at.get_unchecked(pixel));
                    let dz = dz.add(*self.dz_at.get_unchecked(pixel));
                    let mut d = [V::splat(0.0); B];
                    for (b, d) in d.iter_mut().enumerate() {
                        *d = load_up_to(dz.add(b * V::LANES), lanes - b * V::LANES);
                    }
                    for (i, sums) in sums.iter_mut().enumerate() {
                        let value = V::splat(*x.add(i));
                        for b in 0..B {
                            sums[b] = E::multiply(value, d[b], sums[b]);
                        }
                    }
                }
            }
            for (i, sums) in sums.iter().enumerate() {
                for (b, sum) in sums.iter().enumerate() {
                    store_up_to(*sum, out.add(i * self.channels + b * V::LANES), lanes - b * V::LANES);
                }
            }
            R
        }
    }
}
