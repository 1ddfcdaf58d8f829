//! How a network is to learn, and what is said of it: plain values, wherever the network is.

use super::tensors::TensorInfo;
use crate::ops::{
    Storage,
    optimizers::{Factors, Update},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The name of the average among the states.
pub(super) const AVERAGE: &str = "ema";

/// How a network is to learn.
#[derive(Clone, Debug)]
pub struct Learning {
    /// Of activations.
    pub storage: Storage,
    /// Share of the target that is spread over all classes.
    pub smoothing: f32,
    /// How much each class counts in the loss; all alike without.
    pub class_weights: Option<Arc<[f32]>>,
    /// What keeps its weights.
    pub frozen: Frozen,
    /// Which parameters learn at rates of their own.
    pub groups: ParameterGroups,
    /// How the rest is updated.
    pub update: Update,
}

/// Which parameters learn differently from others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParameterGroups {
    /// The share of the learning rate that all but the head get.
    pub backbone_lr: f32,
    /// Whether weight decay holds for biases and normalisations too.
    pub decay_bias_and_norm: bool,
}

impl ParameterGroups {
    pub(super) fn factors(&self, info: &TensorInfo) -> Factors {
        Factors {
            lr: if info.role.is_of_head() { 1.0 } else { self.backbone_lr },
            weight_decay: if info.role.is_bias_or_norm() && !self.decay_bias_and_norm { 0.0 } else { 1.0 },
        }
    }
}

/// The lower part of a network that does not learn: its weights stay, its batch normalisations use and keep their
/// running statistics, and no gradient reaches it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frozen {
    /// All of it learns.
    #[default]
    Nothing,
    /// The stem and this many stages.
    Stages(usize),
    /// All but the head.
    Backbone,
}

impl Frozen {
    /// The depth of the first nodes that learn; the head does in any case.
    pub(super) fn first_depth(self) -> usize {
        match self {
            Frozen::Nothing => 0,
            Frozen::Stages(stages) => stages.saturating_add(1),
            Frozen::Backbone => usize::MAX,
        }
    }
}

/// Gradients that were looked at and not learned from.
pub struct Gradients {
    /// The number of samples times the loss.
    pub(crate) loss: f32,
    /// What the loss was multiplied by before they were taken.
    pub(crate) scale: f32,
    /// In the order of the state dictionary; values lie as on the device.
    pub tensors: Vec<(TensorInfo, Vec<f32>)>,
}
