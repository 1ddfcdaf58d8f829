//! The backward passes of batch normalisation over blocks of `[pixels, channels]` memory: the activation's mask, the
//! two sums that the gradient needs, and the gradient of the convolution's result.

use super::element::Element;
use super::simd::{Task, Vector, load_up_to, store_up_to};
use crate::ops::Activation;

/// Where the gradient of the output passes the activation.
#[derive(Clone, Copy)]
pub(crate) enum Mask<'a, E> {
    /// Everywhere: there is none.
    All,
    /// Where this output is between the activation's bounds.
    Output(&'a [E], Activation),
    /// Where `z * scale + offset` is, computed as [`super::bn::Normalise`] does: cheaper than reading the output again.
    Affine(&'a [f32], &'a [f32], Activation),
}

impl<'a, E: Element> Mask<'a, E> {
    /// The mask of a part of the memory.
    pub(crate) fn part(self, part: std::ops::Range<usize>) -> Mask<'a, E> {
        match self {
            Mask::Output(y, activation) => Mask::Output(&y[part], activation),
            other => other,
        }
    }

    fn fits(&self, channels: usize, len: usize) -> bool {
        match self {
            Mask::All => true,
            Mask::Output(y, _) => y.len() == len,
            Mask::Affine(scale, offset, _) => scale.len() == channels && offset.len() == channels,
        }
    }

    /// `g` where the mask passes it, else 0; for channels from `c` of the pixel at `at`.
    ///
    /// # Safety
    /// The mask fits the memory, and `at + c` is inside it.
    #[inline(always)]
    unsafe fn apply<V: Vector>(&self, g: V, z: V, at: usize, c: usize, lanes: usize) -> V {
        // SAFETY: the mask fits and `at + c` is inside the memory, so `at + c + lanes` is at most its length.
        unsafe {
            match self {
                Mask::All => g,
                Mask::Output(y, activation) => passed(g, E::load(y.as_ptr().add(at + c), lanes), *activation),
                Mask::Affine(scale, offset, activation) => {
                    let scale = load_up_to::<V>(scale.as_ptr().add(c), lanes);
                    passed(g, z.mul_add(scale, load_up_to(offset.as_ptr().add(c), lanes)), *activation)
                }
            }
        }
    }
}

/// `g` where the activation of `value`, or `value` itself, is between the activation's bounds.
///
/// # Safety
/// The processor has the instruction set of `V`.
#[inline(always)]
unsafe fn passed<V: Vector>(g: V, value: V, activation: Activation) -> V {
    match activation {
        Activation::None => g,
        Activation::Relu => g.where_positive(value),
        // SAFETY: as the caller vouches.
        Activation::Relu6 => g.where_positive(value).where_positive(unsafe { V::splat(6.0) }.sub(value)),
    }
}

/// The reductions of the gradient over one block, per channel, as `[2][channels]`: `sum(m)` and `sum(m (z - mean))`,
/// where `m` is the gradient of `y` behind the activation's mask. Writes `m` out where it is asked for.
pub(crate) struct Reduce<'a, E> {
    /// Gradient of `y`.
    pub g: &'a [E],
    /// Where it passes.
    pub mask: Mask<'a, E>,
    /// The convolution's result.
    pub z: &'a [E],
    /// Mean of `z` per channel.
    pub mean: &'a [f32],
    /// Where `m` goes.
    pub masked: Option<&'a mut [E]>,
    /// The sums.
    pub out: &'a mut [f32],
}

impl<E: Element> Task for Reduce<'_, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let (channels, len) = (self.mean.len(), self.g.len());
        assert!(channels > 0 && len.is_multiple_of(channels) && self.z.len() == len && self.out.len() == 2 * channels);
        assert!(self.mask.fits(channels, len) && self.masked.as_ref().is_none_or(|m| m.len() == len));
        let mut this = self;
        let out = this.out.as_mut_ptr();
        let masked = this.masked.as_mut().map(|masked| masked.as_mut_ptr());
        let mut c = 0;
        // SAFETY: lengths are asserted; columns stay inside whole pixels.
        unsafe {
            while c + 4 * V::LANES <= channels {
                this.columns::<V, 4, 1>(c, out, masked);
                c += 4 * V::LANES;
            }
            while c < channels {
                this.columns::<V, 1, 4>(c, out, masked);
                c += V::LANES;
            }
        }
    }
}

impl<E: Element> Reduce<'_, E> {
    #[inline(always)]
    unsafe fn columns<V: Vector, const N: usize, const U: usize>(
        &self,
        c: usize,
        out: *mut f32,
        masked: Option<*mut E>,
    ) {
        // SAFETY: `run` asserts the lengths; `c` is below `channels`, of which `out` has twice as many and `masked` as
        // many as `g`.
        unsafe {
            let channels = self.mean.len();
            let pixels = self.g.len() / channels;
            let lanes = channels - c;
            let mut mean = [V::splat(0.0); N];
            for (n, mean) in mean.iter_mut().enumerate() {
                *mean = load_up_to(self.mean.as_ptr().add(c + n * V::LANES), lanes - n * V::LANES);
            }
            let mut beta = [[V::splat(0.0); N]; U];
            let mut gamma = [[V::splat(0.0); N]; U];
            let mut pixel = 0;
            while pixel < pixels {
                for u in 0..U {
                    if pixel + u < pixels {
                        for n in 0..N {
                            let at = (pixel + u) * channels + c + n * V::LANES;
                            let lanes = lanes - n * V::LANES;
                            let z = E::load::<V>(self.z.as_ptr().add(at), lanes);
                            let g = E::load::<V>(self.g.as_ptr().add(at), lanes);
                            let c = c + n * V::LANES;
                            let g = self.mask.apply(g, z, at - c, c, lanes);
                            if let Some(masked) = masked {
                                E::store(g, masked.add(at), lanes);
                            }
                            let z = z.sub(mean[n]);
                            beta[u][n] = beta[u][n].add(g);
                            gamma[u][n] = g.mul_add(z, gamma[u][n]);
                        }
                    }
                }
                pixel += U;
            }
            for n in 0..N {
                let (mut b, mut g) = (beta[0][n], gamma[0][n]);
                for u in 1..U {
                    b = b.add(beta[u][n]);
                    g = g.add(gamma[u][n]);
                }
                let at = c + n * V::LANES;
                store_up_to(b, out.add(at), lanes - n * V::LANES);
                store_up_to(g, out.add(channels + at), lanes - n * V::LANES);
            }
        }
    }
}

/// Per channel, what turns `m` (see [`Reduce`]) and `z` into the gradient of `z`:
/// `dz = scale m + (z - mean) slope + level`.
pub(crate) struct Slopes<'a> {
    /// `gamma / deviation`.
    pub scale: &'a [f32],
    /// Mean of `z`.
    pub mean: &'a [f32],
    /// `-scale dgamma / (deviation count)`.
    pub slope: &'a [f32],
    /// `-scale dbeta / count`.
    pub level: &'a [f32],
}

/// The gradient of `z` for `rows` rows of `row` values, into memory of another row pitch (a padded image).
pub(crate) struct Gradient<'a, E> {
    /// Gradient of `y`, or of it masked.
    pub g: &'a [E],
    /// Where it passes, if it is not masked yet.
    pub mask: Mask<'a, E>,
    /// The convolution's result.
    pub z: &'a [E],
    /// Per channel.
    pub slopes: &'a Slopes<'a>,
    /// Values in a row: whole pixels.
    pub row: usize,
    /// Where the first row goes.
    pub out: &'a mut [E],
    /// Values between the rows' starts there.
    pub pitch: usize,
}

impl<E: Element> Task for Gradient<'_, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Slopes { scale, mean, slope, level } = *self.slopes;
        let (channels, len) = (scale.len(), self.g.len());
        assert!(channels > 0 && mean.len() == channels && slope.len() == channels && level.len() == channels);
        assert!(self.row > 0 && self.row.is_multiple_of(channels) && len.is_multiple_of(self.row));
        assert!(self.z.len() == len && self.mask.fits(channels, len));
        let rows = len / self.row;
        assert!(rows == 0 || (rows - 1) * self.pitch + self.row <= self.out.len());
        // SAFETY: all lengths are asserted.
        unsafe {
            for r in 0..rows {
                for pixel in (0..self.row).step_by(channels) {
                    let (at, to) = (r * self.row + pixel, r * self.pitch + pixel);
                    for c in (0..channels).step_by(V::LANES) {
                        let lanes = channels - c;
                        let z = E::load::<V>(self.z.as_ptr().add(at + c), lanes);
                        let g = E::load::<V>(self.g.as_ptr().add(at + c), lanes);
                        let g = self.mask.apply(g, z, at, c, lanes);
                        let z = z.sub(load_up_to(mean.as_ptr().add(c), lanes));
                        let flat = z.mul_add(
                            load_up_to(slope.as_ptr().add(c), lanes),
                            load_up_to(level.as_ptr().add(c), lanes),
                        );
                        let dz = g.mul_add(load_up_to(scale.as_ptr().add(c), lanes), flat);
                        E::store(dz, self.out.as_mut_ptr().add(to + c), lanes);
                    }
                }
            }
        }
    }
}
