//! What is wanted of a run: a table of hyperparameters, what each may be, and what follows from them alone.

pub mod choices;
pub mod class_weights;
mod error;
pub mod field;
mod fit;
pub mod presets;
pub mod schedule;
pub mod table;
mod text;
mod typo;

pub use choices::{CropMode, Freeze, NormaliseBy, Optimizer, Precision};
pub use class_weights::{ClassWeights, Lopsided, lopsided};
pub use error::RecipeError;
pub use field::{AppliesAt, Group, Kind, Value};
pub use schedule::{learning_rate, steps_per_epoch, total_steps};
pub use table::{Difference, Field, Recipe, Schedule, diff, field, fields};
