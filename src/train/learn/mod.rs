//! The loop and what looks into it: the trainer, what it remembers and measures, and what fits into memory.

pub(crate) mod answers;
pub(crate) mod cross_validation;
pub(crate) mod diagnosis;
pub(crate) mod features;
pub(crate) mod finder;
pub mod inference;
pub(crate) mod memory;
pub(crate) mod memory_estimate;
pub(crate) mod memory_file;
pub(crate) mod metrics;
mod norms;
pub mod predictor;
pub mod room;
pub(crate) mod seen_images;
pub(crate) mod sight;
pub(crate) mod synthetic;
pub mod trainer;

pub(crate) use diagnosis::Diagnosis;
pub use finder::Finding;
pub(crate) use memory::{Memory, Remembered, Tracker};
