//! What the network is shown: which images in which order, how they are augmented, and where their pixels are.

pub mod augment;
pub mod feed;
pub mod mirror;
pub mod order;
pub mod prefetch;
mod resized_crop;
pub mod source;
mod transform;

pub use augment::{Augmentation, SampleParams, epoch_order};
pub use feed::{Batch, BatchPlan, Feed, Position, ranges};
pub use mirror::mirrored_classes;
pub use order::Turn;
pub use prefetch::Prefetch;
pub use source::{Pixels, Source};
pub use transform::{Transform, normalisation};
