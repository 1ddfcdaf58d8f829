//! From a block's coefficients to fewer pixels than 8x8: 4x4, 2x2 or 1, or as many as chroma needs to have as many as
//! luma. Only the low frequencies count: one for one pixel, four for 2x2. What libjpeg's scaled decoding does.

use super::ZIGZAG;

/// What a component's blocks become.
pub(super) struct Reduced {
    /// Across, and down.
    pub pixels: [usize; 2],
    /// What each coefficient, row by row of a block, contributes to each pixel, across and down.
    basis: [[[f32; 8]; 8]; 2],
}

impl Reduced {
    pub(super) fn new(pixels: [usize; 2]) -> Self {
        // The orthonormal inverse cosine transform of so many points, scaled as the mean of fewer pixels wants it.
        let basis = pixels.map(|n| {
            let value = |k: usize, x: usize| {
                let angle = (2 * x + 1) as f64 * k as f64 * std::f64::consts::PI / (2 * n) as f64;
                let norm = if k == 0 { 1.0 } else { 2.0 } / n as f64;
                ((norm.sqrt() * angle.cos()) * (n as f64 / 8.0).sqrt()) as f32
            };
            std::array::from_fn(|k| std::array::from_fn(|x| if k < n && x < n { value(k, x) } else { 0.0 }))
        });
        Self { pixels, basis }
    }

    /// The last coefficient, as they come, that is used, of the places of all.
    pub(super) fn last_used(&self) -> usize {
        let used = |place: u8| usize::from(place % 8) < self.pixels[0] && usize::from(place / 8) < self.pixels[1];
        ZIGZAG.iter().rposition(|&place| used(place)).unwrap_or(0)
    }

    /// Writes a block's pixels into rows of `stride` values.
    #[inline(always)]
    pub(super) fn write(&self, block: &[i16; 64], out: &mut [u8], stride: usize) {
        let [across, down] = self.pixels;
        let to_byte = |value: f32| (value + 128.5).clamp(0.0, 255.0) as u8;
        if across * down == 1 {
            out[0] = to_byte(f32::from(block[0]) * (1.0 / 8.0));
            return;
        }
        // Down first: for each pixel row the coefficients across.
        for (y, out) in out.chunks_mut(stride).take(down).enumerate() {
            let mut line = [0.0; 8];
            for (v, coefficients) in block.as_chunks::<8>().0.iter().enumerate().take(down) {
                let weight = self.basis[1][v][y];
                line.iter_mut().zip(coefficients).for_each(|(value, &c)| *value += weight * f32::from(c));
            }
            let mut pixels = [0.0; 8];
            for (u, &value) in line.iter().enumerate().take(across) {
                pixels.iter_mut().zip(&self.basis[0][u]).for_each(|(pixel, weight)| *pixel += weight * value);
            }
            out.iter_mut().zip(pixels).take(across).for_each(|(out, pixel)| *out = to_byte(pixel));
        }
    }
}
