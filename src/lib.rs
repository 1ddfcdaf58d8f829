//! Kindling trains image classifiers on any GPU through WebGPU, and shows them learning.

pub mod data;
pub mod device;
pub mod model;
pub mod ops;
pub mod session;
pub mod train;
pub mod weights;
