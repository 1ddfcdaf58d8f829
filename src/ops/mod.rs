//! The operations that a residual network is made of: few and large, each with a reference written in plain burn
//! ([`reference`](mod@reference)), a CPU side ([`cpu`]) and a WGSL side ([`wgpu`]) behind one trait
//! ([`kernels::Kernels`]).
//!
//! Activations are `[batch, height, width, channels]`, contiguous, `f32` or on a GPU `f16` ([`Storage`]). Convolution
//! weights are `[kh, kw, ci, co]` and the head's weight is `[features, classes]`: the layouts in which an implicit
//! matrix product reads both of its sides along the channels, on a GPU and on a CPU.
//!
//! A convolution comes together with the batch normalisation, the residual and the ReLU behind it as *one* operation.
//! Each device then decides which memory passes to merge: that is where the time goes once the arithmetic is fast.
//!
//! Gradients are entry points of their own rather than nodes of an autodiff graph. A residual network is a fixed
//! list of these operations, so its backward pass is the list read backwards (`model::network`), and a hand-written
//! list can do what a graph can't: add a gradient that is already there while writing the next one, stop where the
//! frozen layers begin, and name the layer where a number stopped being finite. The reference keeps burn's autodiff,
//! and so stays an independent judge of every gradient.

pub mod cpu;
mod cube;
pub mod fast;
mod flex;
mod geometry;
pub mod kernels;
pub mod reference;
pub mod resident;
pub mod sample;
pub mod tally;
pub mod wgpu;

pub use geometry::{Padding, Unit, Window};

use burn::tensor::{DType, Int, Tensor};

/// Which side of the operations a network runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Implementation {
    /// Kernels of our own for the device.
    #[default]
    Fast,
    /// Plain burn operations and burn's autodiff.
    Reference,
}

/// What activations and their gradients are in memory. Weights, statistics, sums and everything that is computed are
/// 32-bit floats either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Storage {
    #[default]
    F32,
    /// Half the bytes, where the adapter has `SHADER_F16`.
    F16,
}

impl Storage {
    /// Bytes of a value.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    /// The element type of such tensors.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
        }
    }
}

/// Scale, shift and running statistics of a batch normalisation, each `[channels]`.
#[derive(Clone, Debug)]
pub struct Norm {
    pub gamma: Tensor<1>,
    pub beta: Tensor<1>,
    pub mean: Tensor<1>,
    pub var: Tensor<1>,
}

/// What a batch should be classified as. A mixed sample has two labels; a plain one has the same label twice.
#[derive(Clone, Debug)]
pub struct Targets {
    /// `[N]`
    pub first: Tensor<1, Int>,
    /// `[N]`
    pub second: Tensor<1, Int>,
    /// `[N]`: weight of the first label, in 0..=1.
    pub share: Tensor<1>,
}
