//! The small files of a run, and what can be wrong with them and with the folder.

use crate::{text, train::recipe_text::RecipeError, weights::atomic};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs, io,
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

pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> RunError {
    let path = path.to_owned();
    move |error| RunError::Io { path, error }
}

pub(super) fn read_text(path: &Path) -> Result<String, RunError> {
    let size = fs::metadata(path).map_err(io_error(path))?.len();
    if size > LARGEST_TEXT {
        return Err(RunError::Damaged { path: path.to_owned(), reason: format!("{size} bytes are too many") });
    }
    fs::read_to_string(path).map_err(io_error(path))
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
