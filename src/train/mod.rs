//! Training: the recipe, its schedule, augmentation, the loop, metrics and the run folder.

mod adopt;
pub mod augment;
pub mod batches;
pub mod bundle;
pub mod choices;
pub mod event_log;
pub mod events;
pub mod field;
pub mod finder;
pub mod flight;
pub mod memory;
pub mod memory_file;
pub mod metrics;
pub mod predictor;
pub mod prefetch;
pub mod presets;
pub mod recipe;
pub mod recipe_text;
pub mod render;
pub mod rig;
pub mod run_files;
pub mod run_folder;
pub mod run_list;
pub mod schedule;
pub mod snapshots;
pub mod source;
#[cfg(test)]
mod test_data;
pub mod trainer;

pub use augment::{Augmentation, SampleParams, epoch_order};
pub use batches::{Batch, BatchPlan, Feed, Position, ranges, render_range};
pub use choices::{CropMode, Freeze, NormaliseBy, Optimizer, Schedule};
pub use event_log::{EventLog, History};
pub use events::{Event, Phase};
pub use field::{Field, Group, Kind, Takes, Value};
pub use finder::Finding;
pub use memory::{Memory, Remembered, Tracker};
pub use prefetch::Prefetch;
pub use recipe::{Difference, Recipe, diff, field, fields};
pub use recipe_text::RecipeError;
pub use render::{Transform, normalisation, render};
pub use run_folder::{Checkpoint, RunError, RunFolder, RunInfo, State};
pub use run_list::{RunSummary, default_path, list_runs};
pub use schedule::{learning_rate, steps_per_epoch, total_steps};
pub use snapshots::SnapshotInfo;
pub use source::{Pixels, Source};
