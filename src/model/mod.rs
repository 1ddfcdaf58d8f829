//! The ResNet family: a specification, and the network built from it.

pub mod footprint;
mod init;
pub mod network;
pub mod prepare;
pub mod spec;
mod tape;
mod trace;

pub use network::{Frozen, LoadError, Network};
pub use prepare::{Learning, prepare};
pub use spec::{Block, ModelSpec, Padding, Stem};
pub use tape::{Loss, Moments, Pass};
