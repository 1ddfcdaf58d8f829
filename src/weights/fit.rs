//! Whether tensors are those of a network, and if not, both sides of every difference.

use super::{StateDict, tensor::shape_text};
pub(crate) use crate::model::families::Shapes;
use crate::{model::ModelSpec, text};
use serde::Serialize;
use std::fmt;

/// One tensor that the file and the model do not agree on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Difference {
    /// torchvision's name.
    pub name: String,
    /// Shape in the file; `None` when it has no such tensor.
    pub file: Option<Vec<usize>>,
    /// Shape in the model; `None` when it has no such tensor.
    pub model: Option<Vec<usize>>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |shape: &Option<Vec<usize>>| shape.as_deref().map_or_else(|| "none".to_owned(), shape_text);
        write!(f, "{}: file {}, model {}", text::foreign(&self.name), side(&self.file), side(&self.model))
    }
}

/// The differences between a file and a model, of which there is at least one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mismatch {
    pub(crate) differences: Vec<Difference>,
    /// The network that the model side is, as [`ModelSpec`] displays it.
    pub(crate) model: String,
    /// The network that the file looks like, if it looks like one.
    pub(crate) looks_like: Option<String>,
}

impl fmt::Display for Mismatch {
    /// One line with the first differences; the others are counted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        write!(f, "the weights do not fit {}: ", self.model)?;
        for (i, difference) in self.differences.iter().take(SHOWN).enumerate() {
            write!(f, "{}{difference}", if i > 0 { "; " } else { "" })?;
        }
        if let Some(more @ 1..) = self.differences.len().checked_sub(SHOWN) {
            write!(f, "; and {more} more")?;
        }
        if let Some(name) = &self.looks_like {
            write!(f, "; the file looks like {name}")?;
        }
        Ok(())
    }
}

/// The shapes of a state dictionary.
pub(crate) fn shapes(tensors: &StateDict) -> Shapes {
    tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect()
}

/// Every difference between `file` and the tensors of `spec`, in the model's order, what only the file has last.
pub(crate) fn differences(file: &Shapes, spec: &ModelSpec) -> Vec<Difference> {
    let wanted = spec.tensors();
    let mut differences: Vec<_> = wanted
        .iter()
        .filter(|info| file.get(&info.name) != Some(&info.shape))
        .map(|info| Difference {
            name: info.name.clone(),
            file: file.get(&info.name).cloned(),
            model: Some(info.shape.clone()),
        })
        .collect();
    let known: std::collections::HashSet<_> = wanted.iter().map(|info| info.name.as_str()).collect();
    differences.extend(
        file.iter().filter(|(name, _)| !known.contains(name.as_str())).map(|(name, shape)| Difference {
            name: name.clone(),
            file: Some(shape.clone()),
            model: None,
        }),
    );
    differences
}
