//! The engine as a library: numbers against PyTorch and MindSpore, and whole sessions.

mod fine_tuning;
mod parity;
mod sessions;
mod support;
