//! The engine as a library: numbers against PyTorch and MindSpore, and whole sessions.

mod adapter;
mod balance;
mod branching;
mod finding;
mod fine_tuning;
#[path = "../../src/weights/formula.rs"]
mod formula;
mod half;
#[path = "../support/needs.rs"]
mod needs;
mod parity;
mod remembering;
mod saving;
mod sessions;
mod support;
