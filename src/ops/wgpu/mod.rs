//! The operations as WGSL kernels on any adapter that wgpu finds.
//!
//! [`launch`] says what a dispatch is and what is known of an adapter, which [`tune`] refines by measuring; [`gather`],
//! [`conv`], [`weight_gradient`], [`norm`], [`pool`], [`head`] and [`update`] plan the dispatches of each operation as
//! plain values, apart from any runtime; [`unit`](mod@unit) strings those of a convolution with its normalisation
//! together; [`client`] runs them on burn's wgpu client, [`ahead`] has them compiled in time, and [`arena`] keeps the
//! parameters of a network side by side, so that one launch updates them all. The kernels themselves are the files in
//! `shaders/`; [`wgsl_type`] is how they and the plans agree on what lies in memory.
//!
//! # What bounds what
//!
//! A discrete GPU computes 20 to 60 operations in the time in which it moves one byte. Convolutions lie above that from
//! 64 channels on and are bound by arithmetic: there the tiles' reuse counts. Everything else lies far below and is
//! bound by memory: there the number of passes counts. A software adapter is bound by neither, but by the instructions
//! that a load takes (see `shaders/conv_lanes.wgsl`).
//!
//! Dispatches are split where one might occupy a slow GPU for too long: see [`launch::DispatchLimit`].
//!
//! For ResNet-18, batch 128, 224 x 224 pixels, each kernel must at least do this ([`cost`]); the first layer's input
//! gradient is here for comparison only, since nothing wants it. `kindling bench kernels` measures all of them ([`measure`]),
//! and how much the adapter computes and moves at best ([`peak`]): its last column is the least time that this table and
//! those two figures allow, as a share of the time taken. In 16 bits ([`Storage`](super::Storage)) activations are half
//! as many bytes, and so are the passes over them; products compute in 32 bits and stay bound by arithmetic where they
//! are. The aim, still to be measured on discrete GPUs, is a half for products bound by arithmetic and four fifths for
//! passes bound by memory; what lies below is where to look.
//!
#![doc = include_str!("costs.md")]

pub mod ahead;
pub mod arena;
pub mod client;
pub mod conv;
pub mod cost;
pub mod gather;
pub mod head;
pub mod launch;
pub mod measure;
pub mod norm;
pub mod peak;
pub mod pool;
pub mod step;
pub mod template;
pub mod tune;
pub mod unit;
pub mod update;
pub mod weight_gradient;
pub mod wgsl_type;

#[cfg(test)]
mod tests;
