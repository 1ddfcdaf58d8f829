//! The forward passes of batch normalisation over blocks of `[pixels, channels]` memory: moments and normalising.
//!
//! Ioffe and Szegedy, <https://arxiv.org/abs/1502.03167>. Each pass is a [`Task`] over one block that is still in
//! cache; what blocks yield is combined in double precision in the order of the blocks, so a result depends neither on
//! the number of threads nor on their luck.

use super::element::Element;
use super::simd::{Task, Vector, load_up_to, store_up_to};
use crate::ops::Activation;

/// Sums of one block, per channel, as `[3][channels]`: a shift, `sum(z - shift)` and `sum((z - shift)^2)`.
///
/// The shift is the block's first value, so that the squares do not cancel however far the mean is from zero.
pub(crate) struct Moments<'a, E> {
    /// The first pixel's first channel. A pointer, since other threads may be writing the block's other channels.
    pub z: *const E,
    /// Pixels in the block.
    pub pixels: usize,
    /// Values from a pixel to the next.
    pub pitch: usize,
    /// The sums.
    pub out: &'a mut [f32],
}

impl<E: Element> Task for Moments<'_, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let channels = self.out.len() / 3;
        let out = self.out.as_mut_ptr();
        let mut c = 0;
        // SAFETY: the caller vouches for the block; stores go to `out[..3 * channels]`.
        unsafe {
            while c + 4 * V::LANES <= channels {
                self.columns::<V, 4, 2>(c, channels, out);
                c += 4 * V::LANES;
            }
            while c < channels {
                self.columns::<V, 1, 8>(c, channels, out);
                c += V::LANES;
            }
        }
    }
}

impl<E: Element> Moments<'_, E> {
    /// `N` vectors of channels from `c`, `U` pixels at a time.
    #[inline(always)]
    unsafe fn columns<V: Vector, const N: usize, const U: usize>(&self, c: usize, channels: usize, out: *mut f32) {
        // SAFETY: `c` is below `channels`, each of the block's pixels has `channels` floats, and `out` three times as
        // many.
        unsafe {
            let from = self.z.add(c);
            let lanes = channels - c;
            let mut shift = [V::splat(0.0); N];
            for (n, shift) in shift.iter_mut().enumerate() {
                *shift = E::load(from.add(n * V::LANES), lanes - n * V::LANES);
            }
            let mut sums = [[V::splat(0.0); N]; U];
            let mut squares = [[V::splat(0.0); N]; U];
            let mut pixel = 0;
            while pixel < self.pixels {
                for u in 0..U {
                    if pixel + u < self.pixels {
                        for n in 0..N {
                            let at = from.add((pixel + u) * self.pitch + n * V::LANES);
                            let value = E::load::<V>(at, lanes - n * V::LANES).sub(shift[n]);
                            sums[u][n] = sums[u][n].add(value);
                            squares[u][n] = value.mul_add(value, squares[u][n]);
                        }
                    }
                }
                pixel += U;
            }
            for n in 0..N {
                let (mut sum, mut square) = (sums[0][n], squares[0][n]);
                for u in 1..U {
                    sum = sum.add(sums[u][n]);
                    square = square.add(squares[u][n]);
                }
                let at = c + n * V::LANES;
                store_up_to(shift[n], out.add(at), lanes - n * V::LANES);
                store_up_to(sum, out.add(channels + at), lanes - n * V::LANES);
                store_up_to(square, out.add(2 * channels + at), lanes - n * V::LANES);
            }
        }
    }
}

/// Mean and biased variance of a channel, in double precision.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    /// How many values.
    pub count: f64,
    /// Their mean.
    pub mean: f64,
    /// Sum of their squared distances from the mean.
    pub spread: f64,
}

impl Moment {
    /// Takes in a block of `count` values (Chan, Golub and LeVeque, 1979).
    pub(crate) fn take_in(&mut self, count: usize, shift: f32, sum: f32, square: f32) {
        let n = count as f64;
        let (sum, square) = (f64::from(sum), f64::from(square));
        let mean = f64::from(shift) + sum / n;
        let spread = (square - sum * sum / n).max(0.0);
        let total = self.count + n;
        let apart = mean - self.mean;
        self.mean += apart * n / total;
        self.spread += spread + apart * apart * self.count * n / total;
        // A NaN in the block must survive the maximum above.
        if !(square - sum).is_finite() {
            self.spread = f64::NAN;
        }
        self.count = total;
    }
}

/// What an activation makes of values.
#[inline(always)]
fn activate<V: Vector>(value: V, activation: Activation, six: V) -> V {
    match activation {
        Activation::None => value,
        Activation::Relu => value.relu(),
        Activation::Relu6 => value.relu().at_most(six),
    }
}

/// `y = activation(z * scale + offset + residual?)` over `[pixels, channels]`.
pub(crate) struct Normalise<'a, E> {
    /// The convolution's result.
    pub z: &'a [E],
    /// Per channel.
    pub scale: &'a [f32],
    /// Per channel.
    pub offset: &'a [f32],
    /// As long as `z`.
    pub residual: Option<&'a [E]>,
    /// What follows.
    pub activation: Activation,
    /// As long as `z`.
    pub y: &'a mut [E],
}

impl<E: Element> Task for Normalise<'_, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        // SAFETY: the processor runs `V`, as `run` demands; the pass asserts its lengths.
        unsafe {
            // Constants, so that each is a loop of its own.
            match (self.residual.is_some(), self.activation) {
                (true, Activation::None) => self.pass::<V, true>(Activation::None),
                (true, Activation::Relu) => self.pass::<V, true>(Activation::Relu),
                (true, Activation::Relu6) => self.pass::<V, true>(Activation::Relu6),
                (false, Activation::None) => self.pass::<V, false>(Activation::None),
                (false, Activation::Relu) => self.pass::<V, false>(Activation::Relu),
                (false, Activation::Relu6) => self.pass::<V, false>(Activation::Relu6),
            }
        }
    }
}

impl<E: Element> Normalise<'_, E> {
    #[inline(always)]
    unsafe fn pass<V: Vector, const RESIDUAL: bool>(self, activation: Activation) {
        let channels = self.scale.len();
        let residual = self.residual.unwrap_or(self.z);
        let len = self.z.len();
        assert!(self.offset.len() == channels && residual.len() == len && self.y.len() == len);
        if channels == 0 {
            return;
        }
        // SAFETY: `at + c` runs over whole pixels inside the slices, whose lengths are asserted.
        unsafe {
            let six = V::splat(6.0);
            for at in (0..len - len % channels).step_by(channels) {
                for c in (0..channels).step_by(V::LANES) {
                    let lanes = channels - c;
                    let scale = load_up_to::<V>(self.scale.as_ptr().add(c), lanes);
                    let offset = load_up_to::<V>(self.offset.as_ptr().add(c), lanes);
                    let mut value = E::load::<V>(self.z.as_ptr().add(at + c), lanes).mul_add(scale, offset);
                    if RESIDUAL {
                        value = value.add(E::load(residual.as_ptr().add(at + c), lanes));
                    }
                    E::store(activate(value, activation, six), self.y.as_mut_ptr().add(at + c), lanes);
                }
            }
        }
    }
}

/// What an evaluation makes of a convolution: `activation(sum + offset + residual?)`.
pub(crate) struct Finish<'a, E> {
    /// Per channel.
    pub offset: &'a [f32],
    /// As the whole output.
    pub residual: Option<&'a [E]>,
    /// What follows.
    pub activation: Activation,
}

impl<E: Element> Finish<'_, E> {
    /// Of `lanes` sums, or a vector, the first of which is the output's value `at`, of `channel`.
    ///
    /// # Safety
    /// The processor has the instruction set of `V`; so many values of the output are there, and so many channels.
    #[inline(always)]
    pub(super) unsafe fn of<V: Vector>(&self, sum: V, at: usize, channel: usize, lanes: usize) -> V {
        // SAFETY: as the caller vouches; a residual has the output's values.
        unsafe {
            let mut value = sum.add(load_up_to(self.offset.as_ptr().add(channel), lanes));
            if let Some(residual) = self.residual {
                value = value.add(E::load(residual.as_ptr().add(at), lanes));
            }
            activate(value, self.activation, V::splat(6.0))
        }
    }
}

/// [`Finish`] in place, for some channels of a block that has just been written.
pub(crate) struct FinishBlock<'a, E> {
    /// What is done.
    pub finish: &'a Finish<'a, E>,
    /// The first pixel's first channel.
    pub y: *mut E,
    /// Where that is in the output.
    pub at: usize,
    /// Pixels.
    pub pixels: usize,
}

impl<E: Element> Task for FinishBlock<'_, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let channels = self.finish.offset.len();
        // SAFETY: the caller vouches for the memory.
        unsafe {
            for pixel in 0..self.pixels {
                for c in (0..channels).step_by(V::LANES) {
                    let (lanes, at) = (channels - c, pixel * channels + c);
                    let y = self.y.add(at);
                    E::store(self.finish.of(E::load::<V>(y, lanes), self.at + at, c, lanes), y, lanes);
                }
            }
        }
    }
}
