//! What a convolution's products are, and the ways to compute them.

use super::launch::{Adapter, Kernel};
use std::fmt;

/// How a matrix product is laid over the hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Variant {
    /// Register blocks of one subgroup of so many lanes, values exchanged by shuffles, no workgroup memory.
    Lanes(u32),
    /// Tiles in workgroup memory.
    Tiled,
    /// One invocation a value, loops and nothing else.
    Plain,
}

/// A matrix product of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Product {
    Forward,
    /// With or without something that is added to it.
    InputGradient {
        add: bool,
    },
    WeightGradient,
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "convolution",
            Self::InputGradient { add: false } => "input gradient",
            Self::InputGradient { add: true } => "input gradient with an addend",
            Self::WeightGradient => "weight gradient",
        })
    }
}

impl Variant {
    /// The variant for an adapter.
    pub(crate) fn choose(adapter: &Adapter) -> Self {
        if adapter.has_lanes() { Variant::Lanes(adapter.subgroup) } else { Variant::Tiled }
    }
}

/// Vectors of output channels that a workgroup of the lanes variant takes.
pub(super) fn lane_vectors(lanes: u32, channels: usize) -> usize {
    if channels <= 2 * lanes as usize { 2 } else { 4 }
}

/// A kernel of a workgroup of one subgroup of so many lanes, for so many output channels, which it takes in so many
/// vectors.
pub(super) fn with_lanes(kernel: Kernel, lanes: u32, channels: usize, vectors: usize) -> Kernel {
    let fours = channels.is_multiple_of(4);
    kernel
        .threads(lanes)
        .with("LANES", lanes)
        .with("LOW", lanes / 2)
        .with("SHIFT", (lanes / 2).ilog2())
        .with("NV", vectors as u32)
        .with("V", u32::from(fours))
        .with("PAIRS", u32::from(fours && vectors == 2))
        .with("STEP", 4 / vectors as u32)
}
