//! What is wanted of a run: a table of hyperparameters, what each may be, and what follows from them alone.

mod adopt;
pub mod choices;
pub mod class_weights;
pub mod field;
pub mod presets;
pub mod schedule;
pub mod table;
pub mod text;

pub use choices::{CropMode, Freeze, NormaliseBy, Optimizer, Precision, Schedule};
pub use class_weights::{ClassWeights, Lopsided, lopsided};
pub use field::{Field, Group, Kind, Takes, Value};
pub use schedule::{learning_rate, steps_per_epoch, total_steps};
pub use table::{Difference, Recipe, diff, field, fields};
pub use text::RecipeError;
