//! Tensors in the host's memory: what weight files are read to and written from.

use std::collections::BTreeMap;

/// A tensor in the host's memory: float32, contiguous, row-major, in PyTorch's layout (OIHW for a convolution,
/// `[classes, features]` for the head).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostTensor {
    /// Empty for a single value.
    pub shape: Vec<usize>,
    /// As many values as the product of `shape`.
    pub data: Vec<f32>,
}

impl HostTensor {
    /// A tensor of one value throughout.
    pub(crate) fn full(shape: Vec<usize>, value: f32) -> Self {
        let count = shape.iter().product();
        Self { shape, data: vec![value; count] }
    }
}

/// Named tensors. For a network the names are torchvision's ([`crate::model::ModelSpec::tensors`] lists them), without
/// `num_batches_tracked`.
pub type StateDict = BTreeMap<String, HostTensor>;

/// The product of a shape, unless it overflows.
pub(crate) fn element_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |count, &side| count.checked_mul(side))
}

/// `64x3x7x7`, as shapes stand in reports; `scalar` without dimensions.
pub(crate) fn shape_text(shape: &[usize]) -> String {
    if shape.is_empty() {
        return "scalar".to_owned();
    }
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}
