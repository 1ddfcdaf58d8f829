//! The convolution itself: for each output pixel, the products of its runs of padded input with the packed weights.
//!
//! A tile of pixels by one or two vectors of output channels stays in registers while the rows of a weight panel stream
//! past; each input value is broadcast from memory. Every pixel has its own pointer, so tiles run over row ends, image
//! ends and strides alike. The input gradient is the same loop over other tables (see `conv_grad`).

use super::bn::Finish;
use super::element::Element;
use super::pack::Packed;
use super::simd::{Task, Vector, fetch, fetch_to_write};
use super::tile::{paired_products, products};
use std::sync::Arc;

/// A convolution ready to run over images of one padded shape.
pub(crate) struct Stencil {
    /// Kernel rows.
    pub rows: usize,
    /// Contiguous words under one kernel row: `kw` pixels.
    pub run: usize,
    /// Words from a padded row to the next.
    pub pitch: usize,
    /// For each output pixel, where its window starts in the padded source, in words.
    pub source: Vec<usize>,
    /// For each output pixel, where its channels start in the target, in values.
    pub target: Vec<usize>,
    /// The weights, of depth `rows * run`.
    pub weights: Arc<Packed>,
}

/// One run of a [`Stencil`] over its first `pixels` pixels and some of its panels.
pub(crate) struct Apply<'a, E> {
    /// What runs.
    pub stencil: &'a Stencil,
    /// The padded source, in words.
    pub source: &'a [f32],
    /// Start of the target.
    pub target: *mut E,
    /// Values that may be written at `target`.
    pub target_len: usize,
    /// How many of the stencil's pixels.
    pub pixels: usize,
    /// Which panels.
    pub panels: std::ops::Range<usize>,
    /// What is done to the sums, and where in the whole output the target is.
    pub finish: Option<(&'a Finish<'a, E>, usize)>,
}

impl<E: Element> Task for Apply<'_, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Apply { stencil: s, source, target_len, pixels, .. } = self;
        if pixels == 0 || s.weights.channels == 0 {
            return;
        }
        assert_eq!(s.weights.depth, s.rows * s.run);
        let reach = if s.rows == 0 { 0 } else { (s.rows - 1) * s.pitch + s.run };
        assert!(s.source[..pixels].iter().all(|at| at + reach <= source.len()), "a window ends beyond its source");
        assert!(s.target[..pixels].iter().all(|at| at + s.weights.channels <= target_len), "a pixel beyond the target");
        if let Some((finish, at)) = self.finish {
            assert_eq!(finish.offset.len(), s.weights.channels);
            assert!(finish.residual.is_none_or(|residual| at + target_len <= residual.len()));
        }
        // SAFETY: the two assertions are what the tiles need; the panels have `depth * width` floats.
        unsafe {
            match (s.weights.width / V::LANES, V::REGISTERS >= 32) {
                (1, true) => self.wide::<V, 8>(),
                (1, false) => self.tiles::<V, 12, 1>(),
                (_, true) => self.tiles::<V, 8, 2>(),
                (_, false) => self.tiles::<V, 6, 2>(),
            }
        }
    }
}

impl<E: Element> Apply<'_, E> {
    /// Tiles of `P` pixels by `B` vectors.
    #[inline(always)]
    unsafe fn tiles<V: Vector, const P: usize, const B: usize>(&self) {
        for panel in self.panels.clone() {
            let weights = self.stencil.weights.panel(panel).as_ptr();
            let mut at = 0;
            while at < self.pixels {
                // SAFETY: `run` asserts that the windows of all pixels below `pixels` are inside the source and their
                // channels inside the target.
                unsafe { self.tile::<V, P, B>(weights, panel, at, P.min(self.pixels - at)) };
                at += P;
            }
        }
    }

    /// Tiles of `2 H` pixels by one vector where the second half lies a fixed distance from the first, else of `H`.
    ///
    /// A tile of one vector needs more pixels to keep the multipliers busy than there are registers for pointers.
    #[inline(always)]
    unsafe fn wide<V: Vector, const H: usize>(&self) {
        let s = self.stencil;
        for panel in self.panels.clone() {
            let weights = s.weights.panel(panel).as_ptr();
            let mut at = 0;
            while at < self.pixels {
                let twice = at + 2 * H <= self.pixels && {
                    let from = &s.source[at..at + 2 * H];
                    let gap = from[H].wrapping_sub(from[0]);
                    (1..H).all(|p| from[p + H].wrapping_sub(from[p]) == gap)
                };
                // SAFETY: as in `tiles`; a pair ends at or before `pixels`.
                unsafe {
                    if twice {
                        self.pair::<V, H>(weights, panel, at);
                        at += 2 * H;
                    } else {
                        self.tile::<V, H, 1>(weights, panel, at, H.min(self.pixels - at));
                        at += H;
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn tile<V: Vector, const P: usize, const B: usize>(
        &self,
        weights: *const f32,
        panel: usize,
        at: usize,
        count: usize,
    ) {
        // SAFETY: `at + count` is at most `pixels` and `count` at least 1, so that each index is of a pixel whose
        // window `run` has checked.
        unsafe {
            let s = self.stencil;
            // Pixels beyond the last compute the last once more, and are not stored.
            let mut from = [self.source.as_ptr(); P];
            for (p, from) in from.iter_mut().enumerate() {
                *from = from.add(*s.source.get_unchecked(at + p.min(count - 1)));
            }
            let first = panel * B * V::LANES;
            for p in 0..P {
                if p < count {
                    self.expect::<V, B>(first, at + p);
                }
            }
            let sums = products::<E, V, P, B>(&from, (s.rows, s.run, s.pitch), weights);
            // Constant indices: a loop up to `count` would send the sums through memory.
            for p in 0..P {
                if p < count {
                    self.put::<V, B>(&sums[p], first, at + p);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn pair<V: Vector, const H: usize>(&self, weights: *const f32, panel: usize, at: usize) {
        // SAFETY: `at + 2 H` is at most `pixels`, and the far pixels lie `gap` words from the near ones.
        unsafe {
            let s = self.stencil;
            let mut from = [self.source.as_ptr(); H];
            for (p, from) in from.iter_mut().enumerate() {
                *from = from.add(*s.source.get_unchecked(at + p));
            }
            let gap = s.source.get_unchecked(at + H).wrapping_sub(*s.source.get_unchecked(at));
            let first = panel * V::LANES;
            for p in 0..2 * H {
                self.expect::<V, 1>(first, at + p);
            }
            let (near, far) = paired_products::<E, V, H>(&from, gap, (s.rows, s.run, s.pitch), weights);
            for p in 0..H {
                self.put::<V, 1>(&[near[p]], first, at + p);
                self.put::<V, 1>(&[far[p]], first, at + H + p);
            }
        }
    }

    /// Has the lines on their way that [`Apply::put`] will touch: a tile takes longer than memory to answer, but its products
    /// are more instructions than a processor looks ahead.
    #[inline(always)]
    unsafe fn expect<V: Vector, const B: usize>(&self, first: usize, pixel: usize) {
        // SAFETY: the pixel is one of the stencil's.
        let at = unsafe { *self.stencil.target.get_unchecked(pixel) } + first;
        for b in 0..B {
            fetch_to_write(self.target.wrapping_add(at + b * V::LANES));
            if let Some((Finish { residual: Some(residual), .. }, start)) = self.finish {
                fetch(residual.as_ptr().wrapping_add(start + at + b * V::LANES));
            }
        }
    }

    #[inline(always)]
    unsafe fn put<V: Vector, const B: usize>(&self, sums: &[V; B], first: usize, pixel: usize) {
        // SAFETY: the pixel's `channels` values are inside the target, and no vector goes beyond them.
        unsafe {
            let at = *self.stencil.target.get_unchecked(pixel) + first;
            let valid = self.stencil.weights.channels - first;
            for (b, sum) in sums.iter().enumerate() {
                let done = b * V::LANES;
                if done < valid {
                    let value = match self.finish {
                        Some((finish, start)) => finish.of(*sum, start + at + done, first + done, valid - done),
                        None => *sum,
                    };
                    E::store(value, self.target.add(at + done), valid - done);
                }
            }
        }
    }
}
