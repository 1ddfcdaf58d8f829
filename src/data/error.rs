//! What can go wrong with data, in one line each: what, where, and what to do about it.

use super::pickle::PickleError;
use crate::{format, text};
use std::{io, path::PathBuf};

/// Why a data set could not be read, downloaded or held.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    #[error(
        "there is no data set \"{}\": it is neither {} nor a file or folder here",
        text::foreign(spec),
        text::alternatives(names)
    )]
    NotFound { spec: String, names: &'static [&'static str] },

    #[error("cannot read {}: {source}", text::path(path))]
    Io { path: PathBuf, source: io::Error },

    #[error("cannot write {}: {source}; free space there or choose another cache folder", text::path(path))]
    Write { path: PathBuf, source: io::Error },

    #[error("cannot copy {}: {source}", text::path(path))]
    Copy { path: PathBuf, source: io::Error },

    /// A file that is not what it should be.
    #[error("{}: {}", text::foreign(file), text::message(what))]
    Broken { file: String, what: String },

    #[error("{}: {source}", text::foreign(file))]
    Pickle { file: String, source: PickleError },

    #[error(
        "{} is no data set that Kindling knows: expected a CIFAR archive or folder, IDX files, or one sub-folder of images for each class",
        text::path(.0)
    )]
    Unrecognised(PathBuf),

    /// An image folder with a class that has nothing to learn from.
    #[error(
        "class \"{}\" has no readable image for {split} in {}: {}",
        text::foreign(class),
        text::path(path),
        text::message(hint)
    )]
    EmptyClass { class: String, split: &'static str, path: PathBuf, hint: String },

    #[error(
        "{} holds class \"{}\", which the training images do not have: add it there or remove it here",
        text::path(path),
        text::foreign(class)
    )]
    UnknownClass { class: String, path: PathBuf },

    #[error("{} would take {needed} MiB, more than the {limit} MiB that Kindling reads at once", text::foreign(what))]
    TooLarge { what: String, needed: u64, limit: u64 },

    /// The machine has not enough memory, or does not let this process have it.
    #[error(
        "{} would take {} of memory, of which {} are free: close other programs, raise the limit of this one, or use \
         fewer or smaller images",
        text::foreign(what), format::bytes(*needed), format::bytes(*free)
    )]
    NoRoom { what: String, needed: u64, free: u64 },

    /// The network did not answer.
    #[error(
        "cannot reach {url}: {}; check the connection, or put {file_name} into {} yourself",
        text::message(why),
        text::path(folder)
    )]
    Offline { url: String, file_name: String, folder: PathBuf, why: String },

    /// The server answered, and not with the file.
    #[error("{url} answers {status}; try again later, or put {file_name} into {} yourself", text::path(folder))]
    Refused { url: String, status: u16, file_name: String, folder: PathBuf },

    #[error(
        "{url} sent other bytes than expected ({}); nothing was kept: try again, perhaps on another network",
        text::message(what)
    )]
    Corrupt { url: String, what: String },

    #[error("{} is being downloaded by another process; wait for it to end", text::path(.0))]
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
