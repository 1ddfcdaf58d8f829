//! Where the tensors of one kind lie in an arena: all parameters of a network (or their gradients, an optimiser's states,
//! averages, running statistics) side by side.
//!
//! Each begins at a multiple of 256 bytes, so that on a GPU each is a valid binding of its own and one launch covers them
//! all.

use super::optimizers::Factors;
use std::{ops::Range, sync::Arc};

/// Values that an arena's parts are aligned to: 256 bytes, the strictest alignment of a storage binding in WebGPU.
pub(crate) const BLOCK: usize = 64;

/// A tensor in an arena. Every tensor has four dimensions; those that it lacks are 1 and come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its first value.
    pub start: usize,
    pub shape: [usize; 4],
}

impl Part {
    /// Number of values.
    pub(crate) fn count(&self) -> usize {
        self.shape.iter().product()
    }

    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.start + self.count()
    }
}

/// Where each tensor lies in an arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub(crate) parts: Vec<Part>,
    /// Values in all, a multiple of [`BLOCK`].
    pub(crate) total: usize,
}

impl Layout {
    /// The layout of tensors of these shapes.
    pub fn new(shapes: impl IntoIterator<Item = [usize; 4]>) -> Self {
        let mut total = 0;
        let parts = shapes
            .into_iter()
            .map(|shape| {
                let part = Part { start: total, shape };
                total += part.count().next_multiple_of(BLOCK);
                part
            })
            .collect();
        Layout { parts, total }
    }

    /// The values from a tensor on.
    pub(crate) fn from(&self, first: usize) -> Range<usize> {
        self.parts.get(first).map_or(self.total, |part| part.start)..self.total
    }

    /// The rows of the shaders' table from tensor `first` on: for each block its tensor's factors and how many of its
    /// values are real.
    pub(crate) fn table(&self, first: usize, factors: &[Factors]) -> Vec<[f32; 4]> {
        let mut rows = Vec::with_capacity(self.from(first).len() / BLOCK);
        for (part, factors) in self.parts[first..].iter().zip(factors) {
            let count = part.count();
            for block in 0..count.div_ceil(BLOCK) {
                let real = (count - block * BLOCK).min(BLOCK);
                rows.push([factors.lr, factors.weight_decay, real as f32, 0.0]);
            }
        }
        rows
    }

    /// The arena in pieces of at most `most` values, each as many whole tensors as fit: one, unless the network is large or
    /// the device's bindings are small.
    pub(crate) fn segments(&self, most: usize) -> Vec<Range<usize>> {
        let mut segments: Vec<Range<usize>> = Vec::new();
        for part in &self.parts {
            let end = part.start + part.count().next_multiple_of(BLOCK);
            match segments.last_mut() {
                Some(segment) if end - segment.start <= most => segment.end = end,
                _ => segments.push(part.start..end),
            }
        }
        segments
    }
}

/// The tensors of a layout from one on, in a device's memory.
#[derive(Clone, Debug)]
pub struct Arena<F> {
    pub(crate) layout: Arc<Layout>,
    /// The first tensor that is there: those before it are frozen, and need no gradients.
    pub(crate) first: usize,
    pub(crate) memory: F,
}

/// Neighbouring tensors of an arena that are to be written, from one on.
pub struct Slots<'a, F> {
    pub(crate) arena: &'a mut Arena<F>,
    pub(crate) at: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(counts: &[usize]) -> Layout {
        Layout::new(counts.iter().map(|&count| [1, 1, 1, count]))
    }

    #[test]
    fn segments_are_whole_tensors_that_fit() {
        let layout = layout(&[7, 64, 100, 1]);
        assert_eq!(layout.total, 320);
        assert!(layout.segments(1 << 20).into_iter().eq(std::iter::once(0..320)));
        // 64, 64, 128 and 64 values with their padding.
        assert_eq!(layout.segments(192), [0..128, 128..320]);
        assert_eq!(layout.segments(100), [0..64, 64..128, 128..256, 256..320]);
        assert!(super::Layout::new([]).segments(100).is_empty());
    }

    #[test]
    fn the_table_says_which_values_are_real() {
        let factors = [1.0, 2.0].map(|lr| Factors { lr, weight_decay: 0.5 });
        let rows = layout(&[100, 3]).table(0, &factors);
        assert_eq!(rows, [[1.0, 0.5, 64.0, 0.0], [1.0, 0.5, 36.0, 0.0], [2.0, 0.5, 3.0, 0.0]]);
        assert_eq!(layout(&[100, 3]).table(1, &factors[1..]), [[2.0, 0.5, 3.0, 0.0]]);
    }
}
