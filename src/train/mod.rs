//! Training: the recipe, its schedule, augmentation, the loop, metrics and the run folder.

pub mod choices;
pub mod events;
pub mod field;
pub mod metrics;
pub mod presets;
pub mod recipe;
pub mod recipe_text;
pub mod schedule;

pub use choices::{CropMode, Freeze, NormaliseBy, Optimizer, Precision, Schedule};
pub use events::{Event, Phase};
pub use field::{Field, Group, Kind, Takes, Value};
pub use recipe::{Difference, Recipe, diff, field, fields};
pub use recipe_text::RecipeError;
pub use schedule::{learning_rate, steps_per_epoch, total_steps};
