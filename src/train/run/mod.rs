//! What stays of a run on disk: its folder, the log of what happened, snapshots, and a file to share all of it by.

pub mod bundle;
pub(crate) mod event_log;
pub mod events;
mod load_options;
pub(crate) mod run_files;
pub(crate) mod run_folder;
pub mod run_list;
mod shared_events;
pub(crate) mod snapshots;

pub use event_log::History;
pub use events::{Event, Phase};
pub(crate) use run_folder::RunError;
pub use run_folder::{RunFolder, RunInfo};
pub(crate) use run_list::{RunSummary, list_runs};
pub use snapshots::SnapshotInfo;
