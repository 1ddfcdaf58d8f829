//! What stays of a run on disk: its folder, the log of what happened, snapshots, and a file to share all of it by.

pub mod bundle;
pub mod event_log;
pub mod events;
mod load_options;
pub mod run_files;
pub mod run_folder;
pub mod run_list;
mod shared_events;
pub mod snapshots;

pub use event_log::{EventLog, History};
pub use events::{Event, Phase};
pub use run_folder::{Checkpoint, HeldOutBy, RunError, RunFolder, RunInfo, State};
pub use run_list::{RunSummary, list_runs, new_folder};
pub use snapshots::SnapshotInfo;
