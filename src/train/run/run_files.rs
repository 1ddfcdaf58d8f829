//! What is done to a run's folder as a whole: another name, and the way to the trash. Neither while somebody trains it.

use super::run_folder::{RunError, RunFolder};
use crate::{atomic, text};
use std::{
    error::Error,
    path::{Path, PathBuf},
};

/// Why a run keeps its name or its place. Each reads as one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunFileError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("“{}” can't be a run's name: no / \\ : * ? \" < > |, no dot at the start, at most 100 letters", text::foreign(.0))]
    Name(String),
    #[error("{} is there already: choose another name", text::path(.0))]
    Taken(PathBuf),
    #[error("{}: {error}", text::path(path))]
    Io { path: PathBuf, error: std::io::Error },
    #[error("{} can't be moved to the trash: {}", text::path(path), text::message(reason))]
    Trash { path: PathBuf, reason: String },
}

/// Gives the run in `path` another name in the same folder, and gives its new path.
pub(crate) fn rename(path: &Path, name: &str) -> Result<PathBuf, RunFileError> {
    let name = name.trim();
    check_name(name)?;
    let to = path.with_file_name(name);
    if to == path {
        return Ok(to);
    }
    free(path)?;
    // On a file system that does not tell large letters from small ones, a run is no obstacle to itself.
    let same = to.canonicalize().ok().is_some_and(|to| path.canonicalize().is_ok_and(|path| path == to));
    if to.exists() && !same {
        return Err(RunFileError::Taken(to));
    }
    atomic::replace(path, &to).map_err(|error| RunFileError::Io { path: path.to_owned(), error })?;
    Ok(to)
}

/// Moves the run to the desktop's trash, from where it can be fetched back.
pub(crate) fn to_trash(path: &Path) -> Result<(), RunFileError> {
    free(path)?;
    // Its own description is many lines long and full of types.
    trash::delete(path).map_err(|error| {
        let reason = match (error.source(), &error) {
            (Some(source), _) => source.to_string(),
            (None, trash::Error::Os { description, .. } | trash::Error::Unknown { description }) => description.clone(),
            (None, other) => other.to_string(),
        };
        RunFileError::Trash { path: path.to_owned(), reason: reason.replace('\n', " ") }
    })
}

/// Fails where a process trains the run. The lock is let go of again: an open file can't be moved on every system.
fn free(path: &Path) -> Result<(), RunError> {
    RunFolder::hold(path).map(drop)
}

/// A name that every system can have, and that is one folder's, not a path.
pub(crate) fn check_name(name: &str) -> Result<(), RunFileError> {
    let fine = |c: char| !c.is_control() && !"/\\:*?\"<>|".contains(c);
    let good = !name.is_empty() && name.chars().count() <= 100 && name.chars().all(fine);
    let good = good && !name.starts_with('.') && !name.ends_with('.');
    if good { Ok(()) } else { Err(RunFileError::Name(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{
        Recipe,
        run_folder::{RunInfo, is_run},
    };

    #[test]
    fn a_run_gets_another_name_and_keeps_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let info = RunInfo { data: "sample".into(), ..RunInfo::default() };
        for name in ["a", "b"] {
            drop(RunFolder::create(&at(name), &Recipe::default(), &info).unwrap());
        }
        assert!(matches!(rename(&at("a"), "b"), Err(RunFileError::Taken(_))));
        for name in ["", "..", "../c", "a/b", "c:", ".c", "x\ny", "a."] {
            assert!(matches!(rename(&at("a"), name), Err(RunFileError::Name(_))), "{name:?}");
        }
        assert_eq!(rename(&at("a"), " the best one ").unwrap(), at("the best one"));
        assert!(!at("a").exists());
        assert_eq!(RunFolder::open(&at("the best one")).unwrap().read_info().data, "sample");
    }

    #[test]
    fn a_run_that_is_trained_stays_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let trained = RunFolder::create(&path, &Recipe::default(), &RunInfo::default()).unwrap();
        assert!(matches!(rename(&path, "b"), Err(RunFileError::Run(RunError::Busy(_)))));
        assert!(matches!(to_trash(&path), Err(RunFileError::Run(RunError::Busy(_)))));
        assert!(is_run(&path));
        drop(trained);
        rename(&path, "b").unwrap();
    }

    #[test]
    fn notes_change_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let info = RunInfo { data: "sample".into(), notes: "old".into(), ..RunInfo::default() };
        let run = RunFolder::create(&path, &Recipe::default(), &info).unwrap();
        let before = run.read_info();
        run.write_notes("new\nlines").unwrap();
        assert_eq!(run.read_info(), RunInfo { notes: "new\nlines".into(), ..before });
        std::fs::write(path.join("run.json"), "{ torn").unwrap();
        assert!(run.write_notes("newer").is_err());
        assert_eq!(std::fs::read_to_string(path.join("run.json")).unwrap(), "{ torn");
    }
}
