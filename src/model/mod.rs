//! Networks: a specification, the graph that its family makes of it, and walks over the graph.
//!
//! A network of these families is a list of few, large operations, so its gradients need no autodiff: the forward pass
//! leaves a [`Tape`](forward), and the backward pass reads it from the end.

mod backward;
pub mod families;
pub mod footprint;
mod forward;
pub mod graph;
mod init;
mod learner;
pub mod network;
mod on_device;
mod record;
pub mod spec;
mod tensors;

pub use families::{Block, Family, ResNet, Stem};
pub use graph::{Builder, Graph};
pub use learner::{Gradients, Learner, Learning, ParameterGroups};
pub use network::{Frozen, LoadError, Network};
pub use record::{Prepared, StepPlan, prepare, record};
pub use spec::{ModelSpec, Padding};
