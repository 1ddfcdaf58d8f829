//! The engine as a library: numbers against PyTorch and MindSpore, and whole sessions.

mod parity;
mod sessions;
