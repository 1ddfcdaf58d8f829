//! The weight gradient by way of Winograd: `dg = Gt [(Bt d B) (A dy At)] G`, summed over tiles before the last step.

use super::simd::{Task, Vector, load_up_to, store_up_to};
use super::tile::outer_products;
use super::winograd::{Grid, Images, chunk, spread};
use super::winograd_weights::POINTS;

/// Tiles that are transformed before their products are taken.
const TILES: usize = 64;

/// Adds some images to the gradient of transformed weights.
pub(crate) struct Accumulate<'a> {
    /// The convolution's input.
    pub x: Images<'a>,
    /// The first image of it.
    pub image: usize,
    /// The gradient of the convolution's result, from that image on.
    pub dz: Images<'a>,
    /// How many images.
    pub images: usize,
    /// Row and column of the input that the first weight meets at output (0, 0).
    pub corner: [isize; 2],
    /// `[POINTS][ci][co]`, added to.
    pub out: &'a mut [f32],
    /// Memory for [`Accumulate::scratch`] floats.
    pub scratch: &'a mut [f32],
}

impl Accumulate<'_> {
    /// Floats of scratch memory for these channels.
    pub(crate) fn scratch(ci: usize, co: usize) -> usize {
        POINTS * (chunk(ci, TILES).1 + chunk(co, TILES).1)
    }
}

impl Task for Accumulate<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let (ci, co) = (self.x.c, self.dz.c);
        let ((_, step), (_, out_step)) = (chunk(ci, TILES), chunk(co, TILES));
        assert!(self.out.len() == POINTS * ci * co && self.scratch.len() >= POINTS * (step + out_step));
        assert!(self.x.data.len() >= (self.image + self.images) * self.x.h * self.x.w * ci);
        assert!(self.dz.data.len() >= self.images * self.dz.h * self.dz.w * co);
        let grid = Grid { images: self.images, rows: self.dz.h.div_ceil(2), columns: self.dz.w.div_ceil(2) };
        let (v, out) = (self.scratch.as_mut_ptr(), self.out.as_mut_ptr());
        // SAFETY: the assertions cover all that is read and written.
        unsafe {
            let d = v.add(POINTS * step);
            let mut place = (0, 0, 0);
            for first in (0..grid.len()).step_by(TILES) {
                let count = TILES.min(grid.len() - first);
                for tile in 0..count {
                    let (image, ty, tx) = place;
                    let (y, x) = ((2 * ty) as isize, (2 * tx) as isize);
                    let patch = self.x.patch::<4>(self.image + image, y + self.corner[0], x + self.corner[1]);
                    spread::<V>(&patch, ci, v.add(tile * ci), step);
                    spread_gradient::<V>(&self.dz.patch::<2>(image, y, x), co, d.add(tile * co), out_step);
                    place = grid.next(place);
                }
                for point in 0..POINTS {
                    let (v, d) = (v.add(point * step), d.add(point * out_step));
                    accumulate::<V>((v, ci), (d, co), count, out.add(point * ci * co));
                }
            }
        }
    }
}

/// `A d At` of a 2x2 tile, written `step` floats apart.
#[inline(always)]
unsafe fn spread_gradient<V: Vector>(tile: &[[*const f32; 2]; 2], c: usize, to: *mut f32, step: usize) {
    // SAFETY: `run` gives pixels of `c` channels and room for 16 points, `step` floats apart.
    unsafe {
        for i in (0..c).step_by(V::LANES) {
            let lanes = c - i;
            let at = |row: usize, column: usize| load_up_to::<V>(tile[row][column].add(i), lanes);
            let lines = [line_of_gradient(at(0, 0), at(1, 0)), line_of_gradient(at(0, 1), at(1, 1))];
            for row in 0..4 {
                for (column, value) in line_of_gradient(lines[0][row], lines[1][row]).into_iter().enumerate() {
                    store_up_to(value, to.add((row * 4 + column) * step + i), lanes);
                }
            }
        }
    }
}

#[inline(always)]
fn line_of_gradient<V: Vector>(a: V, b: V) -> [V; 4] {
    [a, a.add(b), a.sub(b), b.sub(b).sub(b)]
}

/// `out[i][o] += sum over tiles of v[tile][i] d[tile][o]`.
#[inline(always)]
unsafe fn accumulate<V: Vector>(
    (v, ci): (*const f32, usize),
    (d, co): (*const f32, usize),
    count: usize,
    out: *mut f32,
) {
    // SAFETY: `run` gives `count` rows of `ci` and of `co` floats, and `out` has `ci * co`.
    unsafe {
        for o in (0..co).step_by(2 * V::LANES) {
            let wide = co - o > V::LANES;
            let mut i = 0;
            while i < ci {
                let left = ci - i;
                let here = ((v.add(i), ci), (d.add(o), co), count, out.add(i * co + o), co - o);
                i += match (wide, V::REGISTERS >= 32) {
                    (true, true) if left >= 12 && left != 16 => outer::<V, 12, 2>(here),
                    (true, true) if left >= 8 => outer::<V, 8, 2>(here),
                    (true, _) if left >= 5 && left != 8 => outer::<V, 5, 2>(here),
                    (true, _) if left >= 4 => outer::<V, 4, 2>(here),
                    (true, _) => outer::<V, 1, 2>(here),
                    (false, true) if left >= 16 => outer::<V, 16, 1>(here),
                    (false, _) if left >= 8 => outer::<V, 8, 1>(here),
                    (false, _) if left >= 4 => outer::<V, 4, 1>(here),
                    (false, _) => outer::<V, 1, 1>(here),
                };
            }
        }
    }
}

type Outer = ((*const f32, usize), (*const f32, usize), usize, *mut f32, usize);

#[inline(always)]
unsafe fn outer<V: Vector, const R: usize, const B: usize>((v, d, count, out, lanes): Outer) -> usize {
    // SAFETY: `accumulate` gives `R` rows from `v` and `out` that exist; columns beyond `lanes` are neither read nor
    // written.
    unsafe {
        let co = d.1;
        let mut sums = [[V::splat(0.0); B]; R];
        for (i, sums) in sums.iter_mut().enumerate() {
            for (b, sum) in sums.iter_mut().enumerate() {
                *sum = load_up_to(out.add(i * co + b * V::LANES), lanes - b * V::LANES);
            }
        }
        if lanes >= B * V::LANES {
            outer_products::<V, R, B>(&mut sums, count, v, d);
        } else {
            // The last channels: whole vectors would read the next tile's, whose products belong to nobody.
            for tile in 0..count {
                let mut wide = [V::splat(0.0); B];
                for (b, wide) in wide.iter_mut().enumerate() {
                    *wide = load_up_to(d.0.add(tile * d.1 + b * V::LANES), lanes - b * V::LANES);
                }
                for (i, sums) in sums.iter_mut().enumerate() {
                    let value = V::splat(*v.0.add(tile * v.1 + i));
                    for b in 0..B {
                        sums[b] = value.mul_add(wide[b], sums[b]);
                    }
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            for (b, sum) in sums.iter().enumerate() {
                store_up_to(*sum, out.add(i * co + b * V::LANES), lanes - b * V::LANES);
            }
        }
        R
    }
}
