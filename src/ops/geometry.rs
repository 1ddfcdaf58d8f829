//! The shapes of sliding windows: what a convolution and a pool have in common.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantNames};

/// Where the zeros around an image go.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Padding {
    /// PyTorch's: `(kernel - 1) / 2` on every side.
    #[default]
    Torch,
    /// MindSpore's `same`: output `ceil(n / stride)`, and an odd pixel goes to the end.
    Same,
    /// Convolutions as `Torch`, the max-pool as `Same` (mindvision and MindCV).
    SamePool,
}

/// A window that slides over an image: kernel size, stride, and zeros around the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Height and width.
    pub(crate) kernel: [usize; 2],
    /// Down and right.
    pub(crate) stride: [usize; 2],
    /// `[[top, bottom], [left, right]]`.
    pub(crate) pad: [[usize; 2]; 2],
}

impl Window {
    /// A square window over an image of `[height, width]`, padded as `same` or as PyTorch does.
    ///
    /// PyTorch puts `(kernel - 1) / 2` on every side whatever the image. MindSpore's `same` pads as much as
    /// `ceil(n / stride)` outputs need, the odd pixel at the end.
    pub(crate) fn square(kernel: usize, stride: usize, same: bool, image: [usize; 2]) -> Self {
        let pad = image.map(|n| {
            if !same {
                return [(kernel - 1) / 2; 2];
            }
            let total = ((n.div_ceil(stride) - 1) * stride + kernel).saturating_sub(n);
            [total / 2, total - total / 2]
        });
        Self { kernel: [kernel; 2], stride: [stride; 2], pad }
    }

    /// Height and width of what comes out for an image of `[height, width]`; zero where the window does not fit.
    pub(crate) fn output(&self, image: [usize; 2]) -> [usize; 2] {
        [0, 1].map(|axis| {
            let padded = image[axis] + self.pad[axis][0] + self.pad[axis][1];
            padded.checked_sub(self.kernel[axis]).map_or(0, |rest| rest / self.stride[axis] + 1)
        })
    }
}

/// What follows a normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Activation {
    None,
    /// `max(0, ·)`
    Relu,
    /// `min(max(0, ·), 6)`
    Relu6,
}

impl Activation {
    /// The open range of results whose gradient passes; where there is no activation, all.
    pub(crate) fn passes(self) -> [f32; 2] {
        match self {
            Activation::None => [f32::MIN, f32::INFINITY],
            Activation::Relu => [0.0, f32::INFINITY],
            Activation::Relu6 => [0.0, 6.0],
        }
    }
}

/// A convolution, its batch normalisation, and what follows them in one go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvBn {
    pub(crate) window: Window,
    /// Parts that channels are cut into, each convolved by itself.
    pub(crate) groups: usize,
    pub(crate) activation: Activation,
    /// Whether something is added before the activation.
    pub(crate) residual: bool,
    /// Added to the variance.
    pub(crate) eps: f32,
    /// Share of the batch in the running statistics; 0.1 in PyTorch.
    pub(crate) momentum: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_puts_the_odd_pixel_at_the_end() {
        assert_eq!(Window::square(7, 2, true, [224, 224]).pad, [[2, 3], [2, 3]]);
        assert_eq!(Window::square(3, 2, true, [112, 112]).pad, [[0, 1], [0, 1]]);
        assert_eq!(Window::square(3, 2, true, [7, 7]).pad, [[1, 1], [1, 1]]);
        assert_eq!(Window::square(1, 2, true, [8, 8]).pad, [[0, 0], [0, 0]]);
    }

    #[test]
    fn a_window_larger_than_the_image_gives_nothing() {
        assert_eq!(Window { kernel: [5, 5], stride: [1, 1], pad: [[0; 2]; 2] }.output([4, 9]), [0, 5]);
    }
}
