//! Which device is meant, in the words of the command line.

use super::{
    Adapter, Kind,
    adapter::best,
    automatic,
    remote::{self, Address},
};
use std::{fmt, str::FromStr};

/// Which device to train on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// A discrete GPU, else an integrated one, else the CPU; never a software adapter.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The best adapter, a software one when it is the only one.
    BestGpu,
    /// An adapter by its place among [`super::adapters`].
    Gpu(usize),
    /// One of another machine.
    Remote(&'static Address),
}

impl Choice {
    /// Whether it is one of another machine.
    pub(crate) fn is_remote(self) -> bool {
        matches!(self, Self::Remote(_))
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::BestGpu),
            _ if text.starts_with(remote::SCHEME) => Ok(Self::Remote(text.parse::<Address>()?.interned())),
            _ => text
                .strip_prefix("gpu:")
                .and_then(|index| index.parse().ok())
                .map(Self::Gpu)
                .ok_or_else(|| format!("a device is auto, cpu, gpu, gpu:N or remote:ADDRESS, not “{text}”")),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::BestGpu => f.write_str("gpu"),
            Self::Gpu(index) => write!(f, "gpu:{index}"),
            Self::Remote(address) => address.fmt(f),
        }
    }
}

/// Which of `adapters` a choice means; `None` is the processor.
pub(crate) fn chosen(choice: Choice, adapters: &[Adapter]) -> Option<&Adapter> {
    match choice {
        Choice::Cpu => None,
        Choice::Auto => automatic(adapters),
        Choice::BestGpu => best(adapters, Kind::Software),
        Choice::Gpu(index) => adapters.get(index),
        Choice::Remote(_) => None,
    }
}
