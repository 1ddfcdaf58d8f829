//! The small files of a run, and what can be wrong with them and with the folder.

use crate::{atomic, file, text, train::recipe::RecipeError};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Largest small file (JSON, TOML) that is read.
const LARGEST_TEXT: u64 = 64 << 20;

/// What can be wrong with a run folder. Each reads as one line that names the file.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("{} already holds a run: add --resume to go on with it, or choose another folder with --run", text::path(.0))]
    Exists(PathBuf),
    #[error("{} is not empty and holds no run: choose another folder with --run", text::path(.0))]
    NotEmpty(PathBuf),
    #[error("{} holds no run (there is no recipe.toml)", text::path(.0))]
    NotARun(PathBuf),
    #[error("{} has no checkpoint yet", text::path(.0))]
    NoCheckpoint(PathBuf),
    #[error("{} is being trained by another process", text::path(.0))]
    Busy(PathBuf),
    #[error("{data} has other classes ({now}) than the run was trained on ({before})")]
    OtherClasses { data: String, now: String, before: String },
    #[error("{} was replaced by something else while the run was trained", text::path(.0))]
    Replaced(PathBuf),
    #[error("the run has no snapshot “{}”", text::foreign(.0))]
    NoSnapshot(String),
    #[error("“{}” can't be a snapshot's name: letters, digits, spaces and . _ - only, at most 80", text::foreign(.0))]
    SnapshotName(String),
    #[error("{}: {error}", text::path(path))]
    Io { path: PathBuf, error: io::Error },
    #[error("{} is damaged: {}", text::path(path), text::message(reason))]
    Damaged { path: PathBuf, reason: String },
    #[error("{}: {error}", text::path(path))]
    Recipe { path: PathBuf, error: RecipeError },
}

impl RunError {
    /// Whether the disk has no room for what was to be written.
    pub(crate) fn is_full_disk(&self) -> bool {
        matches!(self, RunError::Io { error, .. } if is_full_disk(error))
    }
}

/// Whether the disk, or what the user may take of it, has no room left.
pub(crate) fn is_full_disk(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> RunError {
    let path = path.to_owned();
    move |error| RunError::Io { path, error }
}

pub(super) fn read_text(path: &Path) -> Result<String, RunError> {
    let (mut file, size) = file::open(path).map_err(io_error(path))?;
    if size > LARGEST_TEXT {
        return Err(RunError::Damaged { path: path.to_owned(), reason: format!("{size} bytes are too many") });
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(io_error(path))?;
    Ok(text)
}

pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, RunError> {
    let text = read_text(path)?;
    serde_json::from_str(&text).map_err(|error| RunError::Damaged { path: path.to_owned(), reason: error.to_string() })
}

pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), RunError> {
    let text = serde_json::to_vec_pretty(value)
        .map_err(|error| RunError::Damaged { path: path.to_owned(), reason: error.to_string() })?;
    atomic::write_bytes(path, &text).map_err(io_error(path))
}
