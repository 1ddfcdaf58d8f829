//! The tensors of a network, as PyTorch has them: what each is called, how large it is, and what it is for.

use serde::{Deserialize, Serialize};

/// What a tensor of a network is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    ConvWeight,
    BnWeight,
    BnBias,
    BnMean,
    BnVar,
    FcWeight,
    FcBias,
}

impl Role {
    /// Whether the optimiser changes it (running statistics follow the data instead).
    pub(crate) fn is_parameter(self) -> bool {
        !matches!(self, Role::BnMean | Role::BnVar)
    }

    /// Whether weight decay leaves it alone where it is for weights only.
    pub(crate) fn is_bias_or_norm(self) -> bool {
        matches!(self, Role::BnWeight | Role::BnBias | Role::FcBias)
    }

    /// Whether it is the head's.
    pub(crate) fn is_of_head(self) -> bool {
        matches!(self, Role::FcWeight | Role::FcBias)
    }
}

/// Name (torchvision's), shape (PyTorch's layout: OIHW for a convolution) and role of one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// torchvision's.
    pub name: String,
    /// In PyTorch's layout.
    pub shape: Vec<usize>,
    pub(crate) role: Role,
}

impl TensorInfo {
    /// Number of values.
    pub(crate) fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Which of a network's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Wanted {
    Logits,
    Features,
    /// In this order.
    Both,
}
