//! Training, in five parts, each of which imports only from those before it: what is wanted ([`recipe`]), what the
//! network is shown ([`batches`]), what stays on disk ([`run`]), heads that are found at once ([`head`]), and the loop with
//! all that looks into it ([`learn`]).

pub(crate) mod batches;
pub(crate) mod head;
pub(crate) mod learn;
pub(crate) mod recipe;
pub(crate) mod run;
#[cfg(test)]
mod test_data;

pub use batches::{Feed, Pixels, Position, SampleParams, epoch_order};
pub(crate) use batches::{Prefetch, Transform, augment, mirrored_classes, normalisation, prefetch};
pub(crate) use learn::{
    Diagnosis, Memory, Remembered, Tracker, answers, cross_validation, diagnosis, features, finder, memory,
    memory_estimate, memory_file, metrics, seen_images, sight, synthetic,
};
pub use learn::{Finding, inference, predictor, room, trainer};
pub(crate) use recipe::{
    AppliesAt, Difference, Field, Group, Kind, Lopsided, Precision, RecipeError, choices, diff, field, fields,
    learning_rate, lopsided, presets, schedule, total_steps,
};
pub use recipe::{Freeze, Method, NormaliseBy, Recipe, Value};
pub use run::events::CrossValidated;
pub use run::{Event, History, Phase, RunFolder, RunInfo, SnapshotInfo, bundle, events, run_list};
pub(crate) use run::{RunError, RunSummary, event_log, list_runs, run_files, run_folder, snapshots};
