//! Training: the recipe, its schedule, augmentation, the loop, metrics and the run folder.

pub mod augment;
pub mod batches;
pub mod choices;
pub mod events;
pub mod field;
pub mod metrics;
pub mod prefetch;
pub mod presets;
pub mod recipe;
pub mod recipe_text;
pub mod render;
pub mod schedule;
#[cfg(test)]
mod test_data;

pub use augment::{Augmentation, SampleParams, epoch_order};
pub use batches::{Batch, BatchPlan, Feed, Position, ranges, render_range};
pub use choices::{CropMode, Freeze, NormaliseBy, Optimizer, Precision, Schedule};
pub use events::{Event, Phase};
pub use field::{Field, Group, Kind, Takes, Value};
pub use prefetch::Prefetch;
pub use recipe::{Difference, Recipe, diff, field, fields};
pub use recipe_text::RecipeError;
pub use render::{Transform, render};
pub use schedule::{learning_rate, steps_per_epoch, total_steps};
