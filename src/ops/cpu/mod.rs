//! The operations on the CPU: plain functions on slices, by hand where it pays.
//!
//! Everything is NHWC `f32`. A kernel is generic over [`simd::Vector`] and picks its instruction set at run time
//! ([`Level`]); batches are cut into blocks that fit a core's cache (`conv.rs`), threads come from the surrounding rayon
//! pool, and sums are combined in a fixed order, so that a result depends neither on the number of threads nor on
//! timing. Memory comes from [`pool`] and returns to it.
//!
//! # What bounds what
//!
//! ResNet-50 at 224 pixels with batch 16 on one core of a Zen 5 (`bench step --eval --profile`, 29 images a second), in shares of
//! the multipliers' rate: 1x1 convolutions to fewer channels 80 %; to more, with a residual, 71 % from 256 channels, 67 %
//! from 128 and 51 % from 64, where there are few products for each value that memory gives and takes; 3x3 with stride 2
//! 72 %; by Winograd's way 68 % of the products that it forms, the rest of the time in transforms. Asking for the lines of
//! residual and result before a tile's products ([`stencil`]) took a fifth to a third of the time of the second kind.
//! Pages of 2 MiB gain training 2 % and inference nothing: not done.

#![expect(
    clippy::needless_range_loop,
    reason = "in the kernels a constant index keeps an array in registers; iterators there would say less"
)]

mod average_pool;
mod bn;
mod bn_grad;
mod bn_sums;
mod conv;
mod conv_bn;
mod conv_grad;
mod conv_grad_tiles;
mod conv_grad_wide;
mod depthwise;
mod depthwise_grad;
pub(crate) mod element;
mod folded;
mod geometry;
mod grad_stencil;
mod grouped;
mod head;
mod loss;
mod max_pool;
mod memory;
mod operations;
mod optim;
mod pack;
pub(crate) mod pool;
mod shared;
mod silu;
pub(crate) mod simd;
mod stencil;
#[cfg(test)]
mod tests;
mod tile;
mod weight_grad;
mod winograd;
mod winograd_grad;
mod winograd_weights;

pub(crate) use average_pool::{average_pool, average_pool_backward};
pub(crate) use bn_sums::{BatchNorm, Statistics};
pub(crate) use conv_bn::ConvBnInput;
pub(crate) use conv_grad::{ConvBnGradients, ConvBnSaved};
pub(crate) use geometry::Geometry;
pub(crate) use grouped::{Folded, conv_bn_backward, conv_bn_eval, conv_bn_train};
pub(crate) use head::{head, head_backward};
pub(crate) use loss::{Targets, cross_entropy};
pub(crate) use max_pool::{max_pool, max_pool_backward};
pub use operations::Cpu;
pub(crate) use optim::{Hyper, Parameter};
pub(crate) use silu::{silu, silu_backward};
pub(crate) use simd::Level;
