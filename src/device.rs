//! The compute devices of this machine: list, pick, describe, probe.
