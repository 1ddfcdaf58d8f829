//! The engine as a library: numbers against PyTorch and MindSpore, and whole sessions.

mod adapter;
mod balance;
mod branching;
mod finding;
mod fine_tuning;
mod half;
mod parity;
mod remembering;
mod saving;
mod sessions;
mod support;
