//! Networks: a specification, the graph that its family makes of it, and walks over the graph.
//!
//! A network of these families is a list of few, large operations, so its gradients need no autodiff: the forward pass
//! leaves a [`Tape`](forward), and the backward pass reads it from the end.

mod backward;
pub(crate) mod families;
pub(crate) mod footprint;
mod forward;
pub(crate) mod graph;
pub(crate) mod host;
mod init;
mod learner;
mod learning;
pub mod network;
mod on_device;
mod record;
mod remote;
pub mod spec;
mod tensors;

pub(crate) use families::Family;
pub use families::{Block, Nonlinearity, Stem};
pub(crate) use graph::Graph;
pub use learner::Learner;
pub(crate) use learning::Gradients;
pub use learning::{Frozen, Learning, ParameterGroups};
pub(crate) use network::LoadError;
pub use network::Network;
pub(crate) use record::{Prepared, StepPlan, prepare, record};
pub use spec::{ModelSpec, Padding};
