//! The register tiles that do all the arithmetic of convolutions.
//!
//! Values are broadcast from memory, weights come as vectors, and the sums of a tile stay in registers until the loop
//! over the products is through. The sizes are the caller's: with 32 registers 8 pixels by 2 vectors reach 97 % of the
//! multipliers' rate, since a load then feeds two products.

use super::{element::Element, simd::Vector};

/// `P` dot products by `B` vectors: for each of `rows` runs of `run` words, `pitch` apart, behind every pointer of
/// `from`, times the rows of `weights` (`rows * run` rows of `B` vectors).
///
/// # Safety
/// All that is readable, and the processor has the instruction set of `V`.
#[inline(always)]
pub(crate) unsafe fn products<E: Element, V: Vector, const P: usize, const B: usize>(
    from: &[*const f32; P],
    (rows, run, pitch): (usize, usize, usize),
    weights: *const f32,
) -> [[V; B]; P] {
    // SAFETY: the loads are those that the caller vouches for.
    unsafe {
        let mut sums = [[V::splat(0.0); B]; P];
        let mut w = weights;
        for row in 0..rows {
            for i in row * pitch..row * pitch + run {
                let mut wide = [V::splat(0.0); B];
                for (b, wide) in wide.iter_mut().enumerate() {
                    *wide = V::load(w.add(b * V::LANES));
                }
                for p in 0..P {
                    let value = V::splat(*from[p].add(i));
                    for b in 0..B {
                        sums[p][b] = E::multiply(value, wide[b], sums[p][b]);
                    }
                }
                w = w.add(B * V::LANES);
            }
        }
        sums
    }
}

/// As [`products`] with one vector, for the pointers `from` and for those `gap` words further: there are not enough
/// address registers for 16 pointers.
///
/// # Safety
/// As [`products`].
#[inline(always)]
pub(crate) unsafe fn paired_products<E: Element, V: Vector, const H: usize>(
    from: &[*const f32; H],
    gap: usize,
    (rows, run, pitch): (usize, usize, usize),
    weights: *const f32,
) -> ([V; H], [V; H]) {
    // SAFETY: as in `products`.
    unsafe {
        let mut near = [V::splat(0.0); H];
        let mut far = [V::splat(0.0); H];
        let mut w = weights;
        for row in 0..rows {
            for i in row * pitch..row * pitch + run {
                let wide = V::load(w);
                for p in 0..H {
                    near[p] = E::multiply(V::splat(*from[p].add(i)), wide, near[p]);
                }
                let j = i.wrapping_add(gap);
                for p in 0..H {
                    far[p] = E::multiply(V::splat(*from[p].wrapping_add(j)), wide, far[p]);
                }
                w = w.add(V::LANES);
            }
        }
        (near, far)
    }
}

/// `R` by `B` sums of outer products over `count` steps: step `s` multiplies the `R` floats at `x(s)` with the `B`
/// vectors at `d(s)`.
///
/// # Safety
/// As [`products`].
#[inline(always)]
pub(crate) unsafe fn outer_products<V: Vector, const R: usize, const B: usize>(
    sums: &mut [[V; B]; R],
    count: usize,
    x: (*const f32, usize),
    d: (*const f32, usize),
) {
    // SAFETY: as in `products`.
    unsafe {
        let (mut x, step_x) = x;
        let (mut d, step_d) = d;
        for _ in 0..count {
            let mut wide = [V::splat(0.0); B];
            for (b, wide) in wide.iter_mut().enumerate() {
                *wide = V::load(d.add(b * V::LANES));
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let value = V::splat(*x.add(i));
                for b in 0..B {
                    sums[b] = value.mul_add(wide[b], sums[b]);
                }
            }
            x = x.add(step_x);
            d = d.add(step_d);
        }
    }
}
