//! Kindling trains image classifiers on any GPU through WebGPU, and shows them learning.
//!
//! The modules build on one another in this order; none imports from one below it: [`data`], [`model`] …

pub mod model;
