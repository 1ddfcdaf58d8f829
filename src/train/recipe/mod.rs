//! What is wanted of a run: a table of hyperparameters, what each may be, and what follows from them alone.

pub(crate) mod choices;
pub(crate) mod class_weights;
mod error;
pub(crate) mod field;
mod fit;
pub(crate) mod presets;
pub(crate) mod schedule;
pub(crate) mod table;
mod text;
mod typo;

pub(crate) use choices::{CropMode, Precision};
pub use choices::{Freeze, Method, NormaliseBy};
pub(crate) use class_weights::{ClassWeights, Lopsided, lopsided};
pub(crate) use error::RecipeError;
pub use field::Value;
pub(crate) use field::{AppliesAt, Group, Kind};
pub(crate) use schedule::{learning_rate, steps_per_epoch, total_steps};
pub use table::Recipe;
pub(crate) use table::{Difference, Field, diff, field, fields};
