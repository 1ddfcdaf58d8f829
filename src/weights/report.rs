//! What was done with a weight file: where each tensor went, and what was decided on the way.

use super::{Family, entry::Entry};
use crate::{model::Padding, text};
use serde::Serialize;
use std::fmt;

/// Where a tensor of the file went.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Placed {
    /// Its name in the file.
    pub from: String,
    /// torchvision's name; several where the file's network uses one tensor in several places.
    pub to: Vec<String>,
    pub shape: Vec<usize>,
    /// Its type in the file, such as `float16`.
    pub dtype: String,
}

/// A tensor of the file that the network does not need.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Left {
    pub name: String,
    pub reason: String,
}

/// Why PyTorch's counters of batches are left out, which every network has and nobody misses.
pub(super) const COUNTER: &str = "a counter";

impl Left {
    /// Whether it is one of PyTorch's `num_batches_tracked`, which no network needs to answer.
    pub(crate) fn is_counter(&self) -> bool {
        self.reason == COUNTER
    }
}

/// What was done with a file, for people and for `--json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ImportReport {
    /// Such as `PyTorch (zip)`.
    pub format: &'static str,
    /// Who names tensors so; `None` for Kindling's own checkpoints.
    pub family: Option<Family>,
    /// The network, such as `resnet50 (imagenet stem), 1000 classes`.
    pub model: String,
    /// Number of trained values.
    pub parameters: usize,
    pub padding: Padding,
    pub placed: Vec<Placed>,
    pub left: Vec<Left>,
    /// What was decided or assumed on the way, one sentence each.
    pub notes: Vec<String>,
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, {} parameters", self.format, self.model, self.parameters)?;
        if let Some(family) = self.family {
            write!(f, "; {family} names")?;
        }
        write!(f, "; {} tensors placed, {} left", self.placed.len(), self.left.len())?;
        self.notes.iter().try_for_each(|note| write!(f, "\n  {}", text::message(note)))
    }
}

impl Placed {
    pub(super) fn new(entry: &Entry<'_>, to: Vec<String>) -> Self {
        let Entry { name, shape, dtype, .. } = entry;
        Placed { from: name.clone(), to, shape: shape.clone(), dtype: dtype.to_string() }
    }
}
