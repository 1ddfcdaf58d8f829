//! The ResNet family: a specification, and the network built from it.

pub mod spec;

pub use spec::{Block, ModelSpec, Padding, Stem};
