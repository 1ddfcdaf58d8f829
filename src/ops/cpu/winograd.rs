//! Winograd's convolution F(2x2, 3x3) for stride 1: 16 products where the plain sum takes 36.
//!
//! Lavin and Gray, <https://arxiv.org/abs/1509.09308>. Each 2x2 tile of outputs sees a 4x4 patch of inputs. The patch is
//! transformed (additions only), multiplied point by point with transformed weights, summed over channels by the same
//! register tiles as in `tile`, and transformed back. A chunk of tiles stays in cache throughout. Rounding grows about
//! threefold over the plain sum, which training does not notice.

use super::bn::Finish;
use super::simd::{Task, Vector, load_up_to, store_up_to};
use super::tile::{paired_products, products};
use super::winograd_weights::{POINTS, Spectrum};
use crate::ops::Window;

/// The most channels that a border can stand in for.
const MOST_CHANNELS: usize = 4096;
/// What lies beyond a border.
static ZEROS: [f32; MOST_CHANNELS] = [0.0; MOST_CHANNELS];

/// Whether this convolution goes by way of Winograd: 3x3, stride 1, and enough channels that the transforms, whose cost
/// grows with the sum of the channels, are small beside the products.
pub(crate) fn suits(window: &Window, ci: usize, co: usize) -> bool {
    let channels = 12..=MOST_CHANNELS;
    window.kernel == [3, 3] && window.stride == [1, 1] && channels.contains(&ci) && channels.contains(&co)
}

/// Images that patches are cut from, `[images][h][w][c]`.
#[derive(Clone, Copy)]
pub(crate) struct Images<'a> {
    /// The floats.
    pub data: &'a [f32],
    /// Height.
    pub h: usize,
    /// Width.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

impl Images<'_> {
    /// Pointers to the pixels of the `S` by `S` patch whose first corner is `(y, x)`; to zeros beyond the borders.
    ///
    /// # Safety
    /// `image` is an image of the data.
    #[inline(always)]
    pub(crate) unsafe fn patch<const S: usize>(&self, image: usize, y: isize, x: isize) -> [[*const f32; S]; S] {
        let (w, c) = (self.w, self.c);
        let start = self.data.as_ptr();
        let mut patch = [[ZEROS.as_ptr(); S]; S];
        let inside = y >= 0 && x >= 0 && y as usize + S <= self.h && x as usize + S <= w;
        if inside {
            // SAFETY: the whole patch lies inside the image.
            let corner = unsafe { start.add(((image * self.h + y as usize) * w + x as usize) * c) };
            for (i, row) in patch.iter_mut().enumerate() {
                for (j, at) in row.iter_mut().enumerate() {
                    // SAFETY: inside as well.
                    *at = unsafe { corner.add((i * w + j) * c) };
                }
            }
        } else {
            for (i, row) in patch.iter_mut().enumerate() {
                for (j, at) in row.iter_mut().enumerate() {
                    let (y, x) = (y.wrapping_add_unsigned(i) as usize, x.wrapping_add_unsigned(j) as usize);
                    if y < self.h && x < w {
                        // SAFETY: the pixel lies inside the image.
                        *at = unsafe { start.add(((image * self.h + y) * w + x) * c) };
                    }
                }
            }
        }
        patch
    }
}

/// `Bt d B` of a 4x4 patch, written `step` floats apart.
///
/// # Safety
/// `c` floats are readable behind each pointer of the patch and writable at `to` and each of the 15 further points.
#[inline(always)]
pub(crate) unsafe fn spread<V: Vector>(patch: &[[*const f32; 4]; 4], c: usize, to: *mut f32, step: usize) {
    // SAFETY: of each pointer no more than `c` floats are read or written.
    unsafe {
        for i in (0..c).step_by(V::LANES) {
            let lanes = c - i;
            let mut d = [[V::splat(0.0); 4]; 4];
            for column in 0..4 {
                let mut v = [V::splat(0.0); 4];
                for row in 0..4 {
                    v[row] = load_up_to::<V>(patch[row][column].add(i), lanes);
                }
                let line = line_of_patch(v);
                for row in 0..4 {
                    d[row][column] = line[row];
                }
            }
            for (row, line) in d.into_iter().enumerate() {
                for (column, value) in line_of_patch(line).into_iter().enumerate() {
                    store_up_to(value, to.add((row * 4 + column) * step + i), lanes);
                }
            }
        }
    }
}

#[inline(always)]
fn line_of_patch<V: Vector>([a, b, c, d]: [V; 4]) -> [V; 4] {
    [a.sub(c), b.add(c), c.sub(b), b.sub(d)]
}

/// Tiles of 2x2 pixels over `images` images of `rows` by `columns` tiles, in order.
#[derive(Clone, Copy)]
pub(crate) struct Grid {
    /// Images.
    pub images: usize,
    /// Rows of tiles in an image.
    pub rows: usize,
    /// Tiles in a row.
    pub columns: usize,
}

impl Grid {
    /// All tiles.
    pub(crate) fn len(&self) -> usize {
        self.images * self.rows * self.columns
    }

    /// The place after `(image, row, column)`.
    #[inline(always)]
    pub(crate) fn next(&self, (image, row, column): (usize, usize, usize)) -> (usize, usize, usize) {
        match (column + 1 < self.columns, row + 1 < self.rows) {
            (true, _) => (image, row, column + 1),
            (false, true) => (image, row + 1, 0),
            (false, false) => (image + 1, 0, 0),
        }
    }
}

/// Tiles that go through the three stages together, and the floats from one point's values to the next point's.
///
/// A cache line more than needed, since 16 points at a power of two would fall into the same sets of the cache.
pub(crate) fn chunk(channels: usize, tiles: usize) -> (usize, usize) {
    (tiles, tiles * channels + 16)
}

/// Tiles of a chunk for these weights: few enough to stay in the first cache with small weights, enough to use what is
/// fetched of large ones.
fn tiles(spectrum: &Spectrum) -> usize {
    if spectrum.depth * spectrum.channels <= 1024 { 16 } else { 32 }
}

/// A convolution of some images, or of some rows of one.
pub(crate) struct Correlate<'a> {
    /// Transformed weights.
    pub spectrum: &'a Spectrum,
    /// What is convolved.
    pub source: Images<'a>,
    /// The first image.
    pub image: usize,
    /// The first row of outputs: even.
    pub row: usize,
    /// Row and column of the source that the first weight meets at output (0, 0).
    pub corner: [isize; 2],
    /// Images, and rows and columns of tiles.
    pub grid: Grid,
    /// The outputs `[oh, ow, channels]` of image `image`; the images follow one another.
    pub target: *mut f32,
    /// Height and width of an output image.
    pub size: [usize; 2],
    /// What is done to the sums, and where in the whole output the target is.
    pub finish: Option<(&'a Finish<'a, f32>, usize)>,
    /// Memory for [`Correlate::scratch`] floats.
    pub scratch: &'a mut [f32],
}

impl Correlate<'_> {
    /// Floats of scratch memory that these weights take.
    pub(crate) fn scratch(spectrum: &Spectrum) -> usize {
        let tiles = tiles(spectrum);
        POINTS * (chunk(spectrum.depth, tiles).1 + chunk(spectrum.panels() * spectrum.width, tiles).1)
    }
}

impl Task for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Correlate { spectrum, source, .. } = self;
        let (ci, wide) = (spectrum.depth, spectrum.panels() * spectrum.width);
        let (tiles, step) = chunk(ci, tiles(spectrum));
        let (_, wide_step) = chunk(wide, tiles);
        assert!(source.c == ci && ci <= MOST_CHANNELS && self.scratch.len() >= POINTS * (step + wide_step));
        assert!(source.data.len() >= (self.image + self.grid.images) * source.h * source.w * source.c);
        if let Some((finish, at)) = self.finish {
            let end = at + self.grid.images * self.size[0] * self.size[1] * spectrum.channels;
            assert_eq!(finish.offset.len(), spectrum.channels);
            assert!(finish.residual.is_none_or(|residual| end <= residual.len()));
        }
        let v = self.scratch.as_mut_ptr();
        // SAFETY: the assertions cover source and scratch; the caller vouches for the target's size.
        unsafe {
            let m = v.add(POINTS * step);
            let mut place = (0, 0, 0);
            for first in (0..self.grid.len()).step_by(tiles) {
                let count = tiles.min(self.grid.len() - first);
                let mut here = place;
                for tile in 0..count {
                    let (image, ty, tx) = here;
                    let y = (self.row + 2 * ty) as isize + self.corner[0];
                    let x = (2 * tx) as isize + self.corner[1];
                    let patch = source.patch::<4>(self.image + image, y, x);
                    spread::<V>(&patch, ci, v.add(tile * ci), step);
                    here = self.grid.next(here);
                }
                for point in 0..POINTS {
                    for panel in 0..spectrum.panels() {
                        let weights = spectrum.panel(point, panel);
                        let to = m.add(point * wide_step + panel * spectrum.width);
                        multiply::<V>(v.add(point * step), (count, ci), weights, spectrum.width, (to, wide));
                    }
                }
                let mut here = place;
                for tile in 0..count {
                    self.gather::<V>(here, m.add(tile * wide), wide_step);
                    here = self.grid.next(here);
                }
                place = here;
            }
        }
    }
}

/// `to[t] = from[t] * weights` for `count` rows of `depth` floats and one panel.
#[inline(always)]
unsafe fn multiply<V: Vector>(
    from: *const f32,
    (count, depth): (usize, usize),
    weights: *const f32,
    width: usize,
    (to, pitch): (*mut f32, usize),
) {
    // SAFETY: `run` gives `count` rows of `depth` floats, a panel of as many rows, and room for `count` rows at `to`.
    unsafe {
        match (width / V::LANES, V::REGISTERS >= 32) {
            (1, true) if depth == 16 => sixteen::<V>(from, count, weights, (to, pitch)),
            (1, true) => {
                let mut at = 0;
                while at < count {
                    if at + 16 <= count {
                        let rows: [*const f32; 8] = std::array::from_fn(|p| from.add((at + p) * depth));
                        let (near, far) = paired_products::<f32, V, 8>(&rows, 8 * depth, (1, depth, 0), weights);
                        for p in 0..8 {
                            near[p].store(to.add((at + p) * pitch));
                            far[p].store(to.add((at + 8 + p) * pitch));
                        }
                        at += 16;
                    } else {
                        rows::<V, 8, 1>(from, (at, count, depth), weights, (to, pitch));
                        at += 8;
                    }
                }
            }
            (1, false) => {
                for at in (0..count).step_by(12) {
                    rows::<V, 12, 1>(from, (at, count, depth), weights, (to, pitch));
                }
            }
            (_, true) => {
                for at in (0..count).step_by(8) {
                    rows::<V, 8, 2>(from, (at, count, depth), weights, (to, pitch));
                }
            }
            (_, false) => {
                for at in (0..count).step_by(6) {
                    rows::<V, 6, 2>(from, (at, count, depth), weights, (to, pitch));
                }
            }
        }
    }
}

/// As [`multiply`] for 16 rows of weights, which all stay in registers: a tile then loads nothing but its own values.
#[inline(always)]
unsafe fn sixteen<V: Vector>(from: *const f32, count: usize, weights: *const f32, (to, pitch): (*mut f32, usize)) {
    const P: usize = 8;
    // SAFETY: as in `multiply`, which calls it where `depth` and the rows of the panel are 16.
    unsafe {
        let mut w = [V::splat(0.0); 16];
        for (i, w) in w.iter_mut().enumerate() {
            *w = V::load(weights.add(i * V::LANES));
        }
        let mut at = 0;
        while at + P <= count {
            let from = from.add(at * 16);
            let mut sums = [V::splat(0.0); P];
            // Written out, as the compiler would otherwise keep the weights in memory.
            macro_rules! steps {
                ($($i:literal)*) => {$(
                    for p in 0..P {
                        sums[p] = V::splat(*from.add(p * 16 + $i)).mul_add(w[$i], sums[p]);
                    }
                )*};
            }
            steps!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
            for (p, sum) in sums.into_iter().enumerate() {
                sum.store(to.add((at + p) * pitch));
            }
            at += P;
        }
        for at in at..count {
            let mut sum = V::splat(0.0);
            for i in 0..16 {
                sum = V::splat(*from.add(at * 16 + i)).mul_add(w[i], sum);
            }
            sum.store(to.add(at * pitch));
        }
    }
}

#[inline(always)]
unsafe fn rows<V: Vector, const P: usize, const B: usize>(
    from: *const f32,
    (at, count, depth): (usize, usize, usize),
    weights: *const f32,
    (to, pitch): (*mut f32, usize),
) {
    // SAFETY: a row beyond the last is the last once more and is not stored; the rest as in `multiply`.
    unsafe {
        let mut pointers = [from; P];
        for (p, pointer) in pointers.iter_mut().enumerate() {
            *pointer = from.add((at + p).min(count - 1) * depth);
        }
        let sums = products::<f32, V, P, B>(&pointers, (1, depth, 0), weights);
        for p in 0..P {
            if at + p < count {
                for b in 0..B {
                    sums[p][b].store(to.add((at + p) * pitch + b * V::LANES));
                }
            }
        }
    }
}

impl Correlate<'_> {
    /// `At m A` of one tile, written where its outputs are.
    #[inline(always)]
    unsafe fn gather<V: Vector>(&self, (image, ty, tx): (usize, usize, usize), m: *const f32, step: usize) {
        // SAFETY: the tile is one of the grid's, whose outputs the caller of `run` vouches for; `right` and `below`
        // leave out those beyond the image.
        unsafe {
            let [oh, ow] = self.size;
            let co = self.spectrum.channels;
            let (y, x) = (self.row + 2 * ty, 2 * tx);
            let to = ((image * oh + y) * ow + x) * co;
            let (right, below) = (x + 1 < ow, y + 1 < oh);
            for i in (0..co).step_by(V::LANES) {
                let lanes = co - i;
                let mut half = [[V::splat(0.0); 4]; 2];
                for column in 0..4 {
                    let at = |row: usize| V::load(m.add((row * 4 + column) * step + i));
                    let (b, c) = (at(1), at(2));
                    half[0][column] = at(0).add(b.add(c));
                    half[1][column] = b.sub(c).sub(at(3));
                }
                for (row, [a, b, c, d]) in half.into_iter().enumerate() {
                    if row == 0 || below {
                        let to = to + row * ow * co + i;
                        self.put(a.add(b.add(c)), to, i, lanes);
                        if right {
                            self.put(b.sub(c).sub(d), to + co, i, lanes);
                        }
                    }
                }
            }
        }
    }

    /// Writes the output's values from `at` on, the first of `channel`.
    #[inline(always)]
    unsafe fn put<V: Vector>(&self, sum: V, at: usize, channel: usize, lanes: usize) {
        // SAFETY: as in `gather`.
        unsafe {
            let value = match self.finish {
                Some((finish, start)) => finish.of(sum, start + at, channel, lanes),
                None => sum,
            };
            store_up_to(value, self.target.add(at), lanes);
        }
    }
}
