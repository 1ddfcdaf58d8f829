//! What the network is shown: which images in which order, how they are augmented, and where their pixels are.

pub(crate) mod augment;
pub(crate) mod feed;
pub(crate) mod mirror;
pub(crate) mod order;
pub(crate) mod prefetch;
mod resized_crop;
pub(crate) mod source;
mod transform;

pub use augment::{SampleParams, epoch_order};
pub(crate) use feed::{Batch, BatchPlan, ranges};
pub use feed::{Feed, Position};
pub(crate) use mirror::mirrored_classes;
pub(crate) use order::Turn;
pub(crate) use prefetch::Prefetch;
pub use source::Pixels;
pub(crate) use transform::{Transform, normalisation};
