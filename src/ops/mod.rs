//! The operations that networks are made of: few and large, each with a reference written in plain burn
//! ([`reference`](mod@reference)), a CPU side ([`cpu`]) and a WGSL side ([`wgpu`]) behind one trait ([`Ops`]).
//!
//! Activations are `[batch, height, width, channels]`, contiguous, `f32` or on a GPU `f16` ([`Storage`]). Convolution
//! weights are `[kh, kw, ci, co]` and the head's weight is `[features, classes]`: the layouts in which an implicit
//! matrix product reads both of its sides along the channels, on a GPU and on a CPU.
//!
//! A convolution comes together with the batch normalisation, the residual and the activation behind it as *one* operation.
//! Each device then decides which memory passes to merge: that is where the time goes once the arithmetic is fast.
//!
//! Gradients are entry points of their own rather than nodes of an autodiff graph. A network is a fixed list of these
//! operations, so its backward pass is the list read backwards (`model`'s), and a hand-written list can do what an autodiff
//! graph can't: add a gradient that is already there while writing the next one, stop where the frozen layers begin, and name
//! the layer where a number stopped being finite. The reference differentiates each operation by burn's autodiff, and so
//! stays an independent judge of every gradient.
//!
//! Parameters lie side by side in arenas ([`Layout`]), as do their gradients and whatever an optimiser keeps, so that all
//! are updated at once ([`optimizers`]).

pub(crate) mod cpu;
mod geometry;
mod layout;
mod operations;
pub mod optimizers;
mod profile;
mod reference;
pub(crate) mod resident;
pub(crate) mod sample;
pub(crate) mod scaling;
mod transfer;
pub mod wgpu;
mod wgsl_type;

pub use cpu::Cpu;
pub use geometry::Padding;
pub(crate) use geometry::{Activation, ConvBn, Window};
pub(crate) use layout::Slots;
pub use layout::{Arena, Layout};
pub(crate) use operations::{
    ConvBnInput, ConvBnSaved, HeadOutput, HeadTensors, InputGradients, LayerTensors, Needs, Ops,
};
pub use operations::{Loss, Objective, UpdateState};
pub(crate) use profile::{Counts, Profile, Timed, Timer};
pub use reference::Reference;
pub use transfer::{Batch, Pixels, Transfer};
pub use wgpu::Wgsl;

use crate::device::Compute;
use burn::tensor::DType;
use half::{bf16, f16};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantNames};

/// Which side of the operations a network runs on.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames, Serialize, Deserialize,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Implementation {
    /// Kernels of our own for the device.
    #[default]
    Fast,
    /// Plain burn operations and burn's autodiff.
    Reference,
}

/// What activations and their gradients are in memory. Weights, statistics, sums and everything that is computed are
/// 32-bit floats either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Storage {
    /// 32-bit floats.
    #[default]
    F32,
    /// Half the bytes, where the adapter has `SHADER_F16`.
    F16,
    /// Half the bytes with the range of 32-bit floats, where the processor multiplies such.
    Bf16,
}

impl Storage {
    /// Bytes of a value.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Whether kernels of our own have it on a device.
    pub fn is_on(self, compute: &Compute) -> bool {
        match self {
            Self::F32 => true,
            Self::F16 => compute.adapter.as_ref().is_some_and(|adapter| adapter.f16),
            Self::Bf16 => match compute.link() {
                Some(link) => link.offered().bf16,
                None => compute.adapter.is_none() && cpu::Level::best().has_bf16(),
            },
        }
    }

    /// Values as they are in memory.
    pub(crate) fn to_bytes(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => bytemuck::cast_slice(values).to_vec(),
            Self::F16 => values.iter().flat_map(|&value| f16::from_f32(value).to_ne_bytes()).collect(),
            Self::Bf16 => values.iter().flat_map(|&value| bf16::from_f32(value).to_ne_bytes()).collect(),
        }
    }

    /// The values that are in memory.
    pub(crate) fn to_numbers(self, bytes: &[u8]) -> Vec<f32> {
        let halves = || bytes.chunks_exact(2).map(|bytes| [bytes[0], bytes[1]]);
        match self {
            Self::F32 => bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect(),
            Self::F16 => halves().map(|bytes| f16::from_ne_bytes(bytes).to_f32()).collect(),
            Self::Bf16 => halves().map(|bytes| bf16::from_ne_bytes(bytes).to_f32()).collect(),
        }
    }

    /// The element type of such tensors.
    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
        }
    }
}
