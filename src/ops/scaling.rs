//! How stored images come to the size that the network sees: which of their pixels make up each of its own.

use crate::data::{Fitting, Place};

/// What is alike in the scaling of all images of a split.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scaling {
    /// Height and width of the stored images.
    pub source: [usize; 2],
    pub channels: usize,
    /// What each output row, and each output column, within the margin is made of.
    pub(super) taps: [Vec<Taps>; 2],
    /// Rows above and columns to the left of what shows the image.
    pub(super) margin: [usize; 2],
    /// What shows in the margin, by channel.
    pub(super) backdrop: Vec<u8>,
    /// The taps for an image that has the output's size.
    pub(super) one_to_one: [Vec<Taps>; 2],
}

impl Scaling {
    pub(crate) fn new(fitting: &Fitting, source: [usize; 2], channels: usize) -> Self {
        let output = fitting.size;
        let Place { scaled, offset, margin } = fitting.place(source);
        let taps = [0, 1].map(|axis| {
            let kept = offset[axis]..offset[axis] + output[axis].min(scaled[axis]);
            kept.map(|i| Taps::new(i, scaled[axis], source[axis])).collect()
        });
        Self {
            source,
            channels,
            taps,
            margin,
            backdrop: fitting.backdrop(channels),
            one_to_one: output.map(|n| (0..n).map(|i| Taps::new(i, n, n)).collect()),
        }
    }
}

/// The input positions of one axis that make up an output position, with their weights.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Taps {
    pub start: usize,
    pub weights: Vec<f32>,
}

impl Taps {
    /// Output position `i` of `to`, from an axis of `from` pixels: a triangle about `(i + 0.5) * from / to - 0.5` that
    /// widens when an image shrinks, its weights made to sum to 1 at the border.
    ///
    /// This is the bilinear filter of Pillow, torchvision (with antialiasing) and the `image` crate, so that an image
    /// that is resized here comes out as [`Preprocessing::prepare`](crate::data::Preprocessing::prepare) would make it.
    fn new(i: usize, to: usize, from: usize) -> Self {
        let ratio = from as f32 / to as f32;
        let support = ratio.max(1.0);
        let centre = (i as f32 + 0.5) * ratio;
        let last = from.max(1) - 1;
        let mut start = ((centre - support).floor().max(0.0) as usize).min(last);
        let end = ((centre + support).ceil() as usize).clamp(start + 1, last + 1);
        let weight = |j: usize| (1.0 - ((j as f32 + 0.5 - centre) / support).abs()).max(0.0);
        while start + 1 < end && weight(start) == 0.0 {
            start += 1;
        }
        let mut weights: Vec<f32> = (start..end).map(weight).collect();
        while weights.len() > 1 && weights.last() == Some(&0.0) {
            weights.pop();
        }
        let sum: f32 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        Self { start, weights }
    }
}
