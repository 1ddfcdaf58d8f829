//! The loop and what looks into it: the trainer, what it remembers and measures, and what fits into memory.

pub mod diagnosis;
pub mod finder;
pub mod in_flight;
pub mod memory;
pub mod memory_file;
pub mod metrics;
pub mod predictor;
pub mod room;
pub mod synthetic;
pub mod trainer;

pub use diagnosis::Diagnosis;
pub use finder::Finding;
pub use memory::{Memory, Remembered, Tracker};
