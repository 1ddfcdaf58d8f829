//! Training, in four parts, each of which imports only from those before it: what is wanted ([`recipe`]), what the
//! network is shown ([`batches`]), what stays on disk ([`run`]), and the loop with all that looks into it ([`learn`]).

pub mod batches;
pub mod learn;
pub mod recipe;
pub mod run;
#[cfg(test)]
mod test_data;

pub use batches::{
    Augmentation, Batch, BatchPlan, Feed, Pixels, Position, Prefetch, SampleParams, Source, Transform, Turn, augment,
    epoch_order, mirrored_classes, normalisation, prefetch, ranges, source,
};
pub use learn::{
    Diagnosis, Finding, Memory, Remembered, Tracker, diagnosis, finder, in_flight, memory, memory_file, metrics,
    predictor, room, synthetic, trainer,
};
pub use recipe::{
    AppliesAt, ClassWeights, CropMode, Difference, Field, Freeze, Group, Kind, Lopsided, NormaliseBy, Optimizer,
    Precision, Recipe, RecipeError, Schedule, Value, choices, class_weights, diff, field, fields, learning_rate,
    lopsided, presets, schedule, steps_per_epoch, total_steps,
};
pub use run::{
    Checkpoint, Event, EventLog, HeldOutBy, History, Phase, RunError, RunFolder, RunInfo, RunSummary, SnapshotInfo,
    State, bundle, event_log, events, list_runs, new_folder, run_files, run_folder, run_list, snapshots,
};
