//! The operations as WGSL kernels on any adapter that wgpu finds.
//!
//! [`launch`] says what a dispatch is; [`conv`], [`norm`], [`pool`], [`head`] and [`update`] plan the dispatches of each
//! operation as plain values, apart from any runtime; [`unit`] strings those of a convolution with its normalisation
//! together; [`client`] runs them on burn's wgpu client, and [`arena`] keeps the parameters of a network side by side,
//! so that one launch updates them all. The kernels themselves are the files in `shaders/`.

pub mod arena;
pub mod client;
pub mod conv;
pub mod head;
pub mod launch;
pub mod norm;
pub mod pool;
pub mod unit;
pub mod update;

#[cfg(test)]
mod tests;
