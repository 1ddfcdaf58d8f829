//! Training: the recipe, its schedule, augmentation, the loop, metrics and the run folder.

pub mod choices;
pub mod field;
pub mod presets;
pub mod recipe;
pub mod recipe_text;

pub use choices::{CropMode, Freeze, NormaliseBy, Optimizer, Precision, Schedule};
pub use field::{Field, Group, Kind, Takes, Value};
pub use recipe::{Difference, Recipe, diff, field, fields};
pub use recipe_text::RecipeError;
