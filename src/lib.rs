//! Kindling trains image classifiers on any GPU through WebGPU, and shows them learning.
//!
//! Data flows one way: bytes on disk ([`data`]) become batches on a [`device`], go through the [`ops`] of a [`model`],
//! and end as [`weights`] on disk; [`train`] repeats that, and a [`session`] does so on a thread of its own and tells
//! what happens. A module imports only from those named before it here. `format`, `text` and `median` are for what people
//! read of any of them, [`mod@file`] and [`atomic`] for what they read and write, [`cache`] for what is found again.

#![allow(rustdoc::private_intra_doc_links, reason = "whoever reads these pages works on the program")]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod app;
mod atomic;
mod cache;
pub mod cli;
pub mod data;
pub mod device;
mod file;
mod format;
mod median;
pub mod model;
#[cfg(test)]
#[path = "../tests/support/needs.rs"]
mod needs;
pub mod ops;
pub mod session;
mod text;
pub mod train;
pub mod weights;
