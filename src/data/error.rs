//! What can go wrong with data, in one line each: what, where, and what to do about it.

use super::pickle::PickleError;
use std::{io, path::PathBuf};

/// Why a data set could not be read, downloaded or held.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    #[error(
        "there is no data set {0:?}: it is neither sample, cifar10, cifar100 or fashion-mnist nor a file or folder here"
    )]
    NotFound(String),

    #[error("cannot read {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },

    #[error("cannot write {}: {source}; free space there or choose another cache folder", path.display())]
    Write { path: PathBuf, source: io::Error },

    /// A file that is not what it should be.
    #[error("{file}: {what}")]
    Broken { file: String, what: String },

    #[error("{file}: {source}")]
    Pickle { file: String, source: PickleError },

    #[error(
        "{} is no data set that Kindling knows: expected a CIFAR archive or folder, IDX files, or one sub-folder of images for each class",
        .0.display()
    )]
    Unrecognised(PathBuf),

    /// An image folder with a class that has nothing to learn from.
    #[error("class {class:?} has no readable image for {split} in {}: {hint}", path.display())]
    EmptyClass { class: String, split: &'static str, path: PathBuf, hint: String },

    #[error("{} holds class {class:?}, which the training images do not have: add it there or remove it here", path.display())]
    UnknownClass { class: String, path: PathBuf },

    #[error("{what} would take {needed} MiB, more than the {limit} MiB that Kindling reads at once")]
    TooLarge { what: String, needed: u64, limit: u64 },

    /// The network did not answer.
    #[error("cannot reach {url}: {why}; check the connection, or put {file_name} into {} yourself", folder.display())]
    Offline { url: String, file_name: String, folder: PathBuf, why: String },

    /// The server answered, and not with the file.
    #[error("{url} answers {status}; try again later, or put {file_name} into {} yourself", folder.display())]
    Refused { url: String, status: u16, file_name: String, folder: PathBuf },

    #[error("{url} sent other bytes than expected ({what}); nothing was kept: try again, perhaps on another network")]
    Corrupt { url: String, what: String },

    #[error("{} is being downloaded by another process; wait for it to end", .0.display())]
    Busy(PathBuf),

    #[error("there is no cache folder for this user: give one with an absolute HOME or XDG_CACHE_HOME")]
    NoCache,

    #[error("cancelled")]
    Cancelled,
}

impl DataError {
    pub(super) fn broken(file: impl Into<String>, what: impl Into<String>) -> Self {
        DataError::Broken { file: file.into(), what: what.into() }
    }

    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| DataError::Io { path, source }
    }

    pub(super) fn write(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| DataError::Write { path, source }
    }
}
