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

    /// Lanes of the subgroup that a workgroup is; 0 where it is none.
    pub(super) fn lanes(self) -> u32 {
        match self {
            Variant::Lanes(lanes) => lanes,
            Variant::Tiled | Variant::Plain => 0,
        }
    }
}

/// Vectors of output channels that a workgroup of the lanes variant takes.
pub(super) fn lane_vectors(lanes: u32, channels: usize) -> usize {
    match channels.div_ceil(lanes as usize) {
        ..=1 => 1,
        2 => 2,
        _ => 4,
    }
}

/// A kernel of a workgroup of one subgroup of so many lanes, for so many output channels, which it takes in so many
/// vectors.
pub(super) fn with_lanes(kernel: Kernel, lanes: u32, channels: usize, vectors: usize) -> Kernel {
    let rows = 4 / vectors as u32;
    let lanes_a_row = lanes / rows;
    kernel
        .threads(lanes)
        .with("LANES", lanes)
        .with("NV", vectors as u32)
        .with("ROWS", rows)
        .with("PER", lanes_a_row)
        .with("SHIFT", lanes_a_row.ilog2())
        .with("V", u32::from(channels.is_multiple_of(4)))
}
