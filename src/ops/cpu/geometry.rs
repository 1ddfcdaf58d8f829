//! The sizes of one convolution, the zero-padded copy of its input, and where each output pixel reads.
//!
//! In a padded NHWC image the values under one kernel row are `kw * ci` *contiguous* floats, whatever the stride. So a
//! pixel of any convolution is an offset into the padded image plus, for each kernel row, one run of floats; kernels
//! need no case for borders, strides or channel counts.

use super::element::{Element, words_of};
use crate::ops::Window;

/// The shape of a convolution: input `[n, h, w, ci]`, weights `[kh, kw, ci / groups, co]`, output `[n, oh, ow, co]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Geometry {
    /// `[n, h, w, ci]`.
    pub input: [usize; 4],
    /// Output channels.
    pub co: usize,
    /// Kernel, stride and padding.
    pub window: Window,
    /// Parts that channels are cut into, each convolved by itself.
    pub groups: usize,
}

impl Geometry {
    /// `[n, oh, ow, co]`.
    pub(crate) fn output(&self) -> [usize; 4] {
        let [n, h, w, _] = self.input;
        let [oh, ow] = self.window.output([h, w]);
        [n, oh, ow, self.co]
    }

    /// Floats in the input.
    pub(crate) fn input_len(&self) -> usize {
        self.input.iter().product()
    }

    /// Floats in the output.
    pub(crate) fn output_len(&self) -> usize {
        self.output().iter().product()
    }

    /// Floats in the weights.
    pub(crate) fn weight_len(&self) -> usize {
        self.window.kernel[0] * self.window.kernel[1] * self.input[3] / self.groups * self.co
    }

    /// Whether each channel is convolved by itself.
    pub(crate) fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.input[3] && self.groups == self.co
    }

    /// Whether channels are cut into groups of several.
    pub(crate) fn is_grouped(&self) -> bool {
        self.groups > 1 && !self.is_depthwise()
    }

    /// Panics where slices are not as long as the convolution's tensors: a fault of the caller.
    pub(crate) fn assert_fits<E>(&self, x: &[E], out: &[E]) {
        assert_eq!(x.len(), self.input_len(), "input does not have the convolution's shape");
        assert_eq!(out.len(), self.output_len(), "output does not have the convolution's shape");
    }

    /// The convolution over the gradient of the output that yields the input's, with the kernel turned round; none where
    /// the stride is not 1 or the padding exceeds the kernel's reach.
    pub(crate) fn transposed(&self) -> Option<Geometry> {
        let window = self.window;
        let reach = |axis: usize, side: usize| (window.kernel[axis] - 1).checked_sub(window.pad[axis][side]);
        let pad = [[reach(0, 0)?, reach(0, 1)?], [reach(1, 0)?, reach(1, 1)?]];
        let transposed =
            Geometry { input: self.output(), co: self.input[3], window: Window { pad, ..window }, ..*self };
        (window.stride == [1, 1]).then_some(transposed)
    }

    /// The same convolution with smaller images where there is no difference: rows as images for a plain 1x1 kernel, so
    /// that work on large images can be cut finely.
    pub(crate) fn cut(mut self) -> Geometry {
        let plain = Window { kernel: [1, 1], stride: [1, 1], pad: [[0, 0], [0, 0]] };
        if self.window == plain {
            self.input[0] *= self.input[1];
            self.input[1] = 1;
        }
        self
    }

    /// The input with its zeros around.
    pub(super) fn padded(&self) -> Padded {
        let [_, h, w, c] = self.input;
        Padded { h, w, c, pad: self.window.pad }
    }

    /// [`Geometry::padded`] in words.
    pub(super) fn padded_words<E: Element>(&self) -> Padded {
        self.padded().words::<E>()
    }
}

/// One zero-padded image `[top + h + bottom, left + w + right, c]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Padded {
    /// Height without padding.
    pub h: usize,
    /// Width without padding.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// `[[top, bottom], [left, right]]`.
    pub pad: [[usize; 2]; 2],
}

impl Padded {
    /// The same of words.
    pub(crate) fn words<E: Element>(self) -> Padded {
        Padded { c: words_of::<E>(self.c), ..self }
    }
    /// Rows with padding.
    pub(crate) fn rows(&self) -> usize {
        self.h + self.pad[0][0] + self.pad[0][1]
    }
    /// Floats in a row with padding.
    pub(crate) fn pitch(&self) -> usize {
        (self.w + self.pad[1][0] + self.pad[1][1]) * self.c
    }
    /// Floats in an image with padding.
    pub(crate) fn len(&self) -> usize {
        self.rows() * self.pitch()
    }
    /// Whether the padded image is the image itself.
    pub(crate) fn is_bare(&self) -> bool {
        self.pad == [[0, 0], [0, 0]]
    }
    /// Floats in an image without padding.
    pub(crate) fn bare_len(&self) -> usize {
        self.h * self.w * self.c
    }

    /// Zeroes everything that [`Padded::row`] does not cover, in `images` padded images.
    pub(crate) fn clear_borders<E: Element>(&self, images: &mut [E]) {
        let [[top, bottom], [left, right]] = self.pad;
        let pitch = self.pitch();
        for image in images.chunks_exact_mut(self.len().max(1)) {
            image[..top * pitch].fill(E::zeroed());
            for row in image[top * pitch..(top + self.h) * pitch].chunks_exact_mut(pitch.max(1)) {
                row[..left * self.c].fill(E::zeroed());
                row[(left + self.w) * self.c..].fill(E::zeroed());
            }
            let end = self.rows() - bottom;
            image[end * pitch..].fill(E::zeroed());
            debug_assert!(right * self.c <= pitch);
        }
    }

    /// Where row `y` of the bare image starts in the padded one; it is `w * c` floats long.
    pub(crate) fn row(&self, y: usize) -> usize {
        (y + self.pad[0][0]) * self.pitch() + self.pad[1][0] * self.c
    }

    /// Copies padded rows `first..first + rows` of one image into `to`, zeros included.
    ///
    /// Used on strips and whole images alike: `rows` may be all of them.
    pub(crate) fn copy_rows<E: Element>(&self, image: &[E], first: usize, rows: usize, to: &mut [E]) {
        let (top, pitch, len) = (self.pad[0][0], self.pitch(), self.w * self.c);
        let left = self.pad[1][0] * self.c;
        for (i, row) in to[..rows * pitch].chunks_exact_mut(pitch.max(1)).enumerate() {
            match (first + i).checked_sub(top).filter(|y| *y < self.h) {
                Some(y) => {
                    row[..left].fill(E::zeroed());
                    row[left..left + len].copy_from_slice(&image[y * len..(y + 1) * len]);
                    row[left + len..].fill(E::zeroed());
                }
                None => row.fill(E::zeroed()),
            }
        }
    }
}
