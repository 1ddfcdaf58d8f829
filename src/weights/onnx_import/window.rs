//! The windows that nodes slide over images, and what is put around these.

use super::file::Node;

/// `[[top, bottom], [left, right]]`
pub(super) type Pads = [[usize; 2]; 2];

/// A side of an image or of a window; more would be none.
pub(super) const LARGEST_SIDE: usize = 1 << 14;

/// Where a window is put.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Square {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub pads: Pads,
}

impl Square {
    /// The window of a node over an image of this size.
    pub(super) fn of(node: &Node<'_>, kernel: [usize; 2], size: [usize; 2]) -> Option<Self> {
        let stride: [usize; 2] = node.ints("strides").map_or(Some([1, 1]), whole)?;
        let even = |sides: Option<&[i64]>| sides.is_none_or(|sides| sides.iter().all(|&side| side == 1));
        let sound = |side: usize| (1..=LARGEST_SIDE).contains(&side);
        if !even(node.ints("dilations")) || !kernel.iter().chain(&stride).all(|&side| sound(side)) {
            return None;
        }
        let mut pads = match node.text("auto_pad") {
            None | Some(b"NOTSET") => {
                let [top, left, bottom, right] = node.ints("pads").map_or(Some([0; 4]), whole)?;
                [[top, bottom], [left, right]]
            }
            Some(b"VALID") => [[0; 2]; 2],
            Some(b"SAME_UPPER") => [0, 1].map(|axis| {
                let total = ((size[axis].div_ceil(stride[axis]).max(1) - 1) * stride[axis] + kernel[axis])
                    .saturating_sub(size[axis]);
                [total / 2, total - total / 2]
            }),
            Some(_) => return None,
        };
        if pads.as_flattened().iter().any(|&pad| pad > LARGEST_SIDE) {
            return None;
        }
        if node.int("ceil_mode").unwrap_or(0) != 0 {
            for axis in [0, 1] {
                let room = (size[axis] + pads[axis][0] + pads[axis][1]).checked_sub(kernel[axis])?;
                pads[axis][1] += room.next_multiple_of(stride[axis]) - room;
            }
        }
        Some(Self { kernel, stride, pads })
    }

    /// What comes out of an image of this size.
    pub(super) fn output(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let along = |axis: usize| {
            let [before, after] = self.pads[axis];
            Some((size[axis] + before + after).checked_sub(self.kernel[axis])? / self.stride[axis] + 1)
        };
        Some([along(0)?, along(1)?])
    }
}

/// Sizes that are not negative.
pub(super) fn whole<const N: usize>(values: &[i64]) -> Option<[usize; N]> {
    let values: Vec<usize> = values.iter().map(|&value| usize::try_from(value).ok()).collect::<Option<_>>()?;
    values.try_into().ok()
}
