//! What a training step is to those who plan it without a network: which units, how large a head.

use super::{head::Head, pool::Pool, unit::Sizes};
use crate::ops::kernels::Update;

/// A training step, as far as its kernels go.
#[derive(Clone, Debug)]
pub struct Step {
    /// In the order of a forward pass, each with whether something is added to it.
    pub units: Vec<(Sizes, bool)>,
    /// The max-pool behind the first unit.
    pub pool: Option<Pool>,
    pub head: Head,
    /// Of the labels.
    pub smoothing: f32,
    /// Whether units learn, or the head only.
    pub backward: bool,
    /// Values of the parameters, as they lie side by side.
    pub values: usize,
    pub update: Update,
}
