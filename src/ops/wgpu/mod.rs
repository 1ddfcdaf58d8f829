//! The operations as WGSL kernels on any adapter that wgpu finds.
//!
//! [`launch`] says what a dispatch is and what is known of an adapter, which [`tune`] refines by measuring; [`gather`],
//! [`conv`], [`weight_gradient`], [`depthwise`], [`groups`], [`norm`], [`pool`], [`head`] and [`update`] plan the
//! dispatches of each operation as
//! plain values, apart from any runtime; [`variant`] has the ways to compute a product; [`operations`] strings those of an operation together, after a [`trial`] of each
//! product's kernel; [`client`] runs them
//! on burn's wgpu client, [`recorder`] only keeps them, [`ahead`] has them compiled in time, and [`measure`] times them. The
//! kernels themselves are the files in `shaders/`; [`wgsl_type`](super::wgsl_type) is how they and the plans agree on what lies in memory.
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
//! For ResNet-18, batch 128, 224 x 224 pixels, the launches of a step must at least do this, by what each says of itself
//! ([`launch::Cost`]); those that do a thousandth of the others are left out. `kindling bench kernels` measures all of them
//! ([`measure`]), and how much the adapter computes and moves at best ([`peak`]): its last column is the least time that
//! this table and those two figures allow, as a share of the time taken. In 16 bits ([`Storage`](super::Storage)) activations are half
//! as many bytes, and so are the passes over them; products compute in 32 bits and stay bound by arithmetic where they
//! are. The aim, still to be measured on discrete GPUs, is a half for products bound by arithmetic and four fifths for
//! passes bound by memory; what lies below is where to look.
//!
#![doc = include_str!("costs.md")]

pub(crate) mod ahead;
pub(crate) mod client;
pub(crate) mod compiled;
pub(crate) mod conv;
pub(crate) mod depthwise;
pub(crate) mod gather;
pub(crate) mod groups;
pub(crate) mod head;
pub(crate) mod launch;
pub(crate) mod measure;
pub(crate) mod norm;
mod operations;
pub(crate) mod peak;
pub(crate) mod pool;
pub(crate) mod recorder;
pub(crate) mod silu;
pub(crate) mod template;
pub(crate) mod trial;
pub(crate) mod tune;
pub(crate) mod update;
pub(crate) mod variant;
pub(crate) mod weight_gradient;

pub use client::Wgpu;
pub(crate) use head::Targets;
pub(crate) use operations::Array;
pub use operations::Wgsl;

#[cfg(test)]
mod tests;
