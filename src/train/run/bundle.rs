//! A run as one file, to keep or to carry to another machine.
//!
//! A `.kindling` file is a zip archive whose members are the files of a run's folder, by the same names and stored as
//! they are: `unzip` opens it too, and the weights in it are read where they lie.
//!
//! What it says of its data is what they are, not where: paths of one machine mean nothing on another, and are nobody
//! else's business.
//!
//! The events of all branches travel, so every curve is drawn as it was. Snapshots stay behind, because they can be many
//! times the rest: elsewhere the run goes on from its last state, and the branches that were left can be looked at but not
//! gone back to.
//!
//! Such a file may come from a stranger. Members are known by name from the list below, never unpacked by a path; all
//! are checked, and the small ones read, before anything is written; and what is written appears as a whole or not at
//! all.

mod archive;
mod content;
mod quiet;

use self::{archive::Archive, content::Content, quiet::Quiet};
use super::run_folder::{EDITS, EVENTS, FOLDS, Folds, INFO, RECIPE, RunError, RunFolder, RunInfo, SIDES, is_run};
use crate::{
    atomic,
    data::{Edits, Sides},
    file, text,
    train::recipe::{Recipe, RecipeError},
    weights::bundled::{self, MARK},
};
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// Ending of such a file's name.
pub(crate) const ENDING: &str = "kindling";
/// What the first member says.
const VERSION: &[u8] = b"1\n";
/// The other members. The first two are in every run.
const MEMBERS: [&str; 10] = [
    INFO,
    RECIPE,
    EVENTS,
    "last.json",
    "last.safetensors",
    "last.state.safetensors",
    "best.safetensors",
    SIDES,
    FOLDS,
    EDITS,
];

/// Why a run can't be saved as a file or opened from one. Each reads as one line that names the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BundleError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("{}: {error}", text::path(path))]
    Io { path: PathBuf, error: io::Error },
    #[error("{} is no run in one file, or a damaged one: {}", text::path(path), text::message(reason))]
    Damaged { path: PathBuf, reason: String },
    #[error("{}: {error}", text::path(path))]
    Recipe { path: PathBuf, error: RecipeError },
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> BundleError {
    let path = path.to_owned();
    move |error| BundleError::Io { path: path.clone(), error }
}

/// Saves the run in `folder` as `file`, which is replaced if it is there. The run may be in training.
pub(crate) fn save(folder: &Path, file: &Path) -> Result<(), BundleError> {
    let run = RunFolder::open(folder)?;
    let members = gather(&run)?;
    let written = atomic::Output::create(file).and_then(|mut output| {
        write(output.file(), members)?;
        output.finish()
    });
    written.map_err(io_error(file))
}

/// The run's files, open: whoever trains it replaces files by renaming, so that an open one stays as it is. Those of
/// the checkpoint are opened again should a newer one have come meanwhile.
fn gather(run: &RunFolder) -> Result<Vec<(&'static str, Content)>, BundleError> {
    /// A checkpoint takes a few milliseconds to open, and comes every few seconds.
    const ATTEMPTS: usize = 20;
    for _ in 0..ATTEMPTS {
        let Some(members) = try_gather(run)? else { continue };
        return Ok(members);
    }
    let reason = "its checkpoint changes faster than it can be read; try again";
    Err(BundleError::Damaged { path: run.path().to_owned(), reason: reason.into() })
}

fn try_gather(run: &RunFolder) -> Result<Option<Vec<(&'static str, Content)>>, BundleError> {
    let last = run.last()?;
    let mut members = Vec::new();
    for name in MEMBERS {
        let path = match (name, &last) {
            ("last.safetensors", Some(last)) => last.weights.clone(),
            ("last.state.safetensors", Some(last)) => last.optimiser.clone(),
            ("last.json" | "last.safetensors" | "last.state.safetensors", None) => continue,
            _ => run.path().join(name),
        };
        match file::open(&path) {
            Ok((file, _)) => members.push((name, Content::of(name, file, run))),
            // The names of a checkpoint change when it settles.
            Err(error) if error.kind() == io::ErrorKind::NotFound && name.starts_with("last.") => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !MEMBERS[..2].contains(&name) => {}
            Err(error) => return Err(BundleError::Io { path, error }),
        }
    }
    let generation = |last: &Option<super::run_folder::Checkpoint>| last.as_ref().map(|last| last.state.generation);
    Ok((generation(&run.last()?) == generation(&last)).then_some(members))
}

fn write(out: &mut File, members: Vec<(&'static str, Content)>) -> io::Result<()> {
    let mut archive = ZipWriter::new(Quiet::new(out));
    add(&mut archive, members)?;
    archive.finish()?.done()
}

fn add(archive: &mut ZipWriter<Quiet<'_>>, members: Vec<(&'static str, Content)>) -> io::Result<()> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    archive.start_file(MARK, options)?;
    archive.write_all(VERSION)?;
    for (name, content) in members {
        // More than four gigabytes have a place in the directory only where it was asked for.
        archive.start_file(name, options.large_file(true))?;
        content.write(archive)?;
    }
    Ok(())
}

/// Whether the file at `path` is a run in one file, by how it begins.
pub fn is_bundle(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = file::open(path).and_then(|(file, _)| file.take(bundled::MAGIC_BYTES as u64).read_to_end(&mut start));
    read.is_ok() && bundled::is_bundle(&start)
}

/// The folder that a file is opened into where none is named: beside it, by its name without the ending.
pub(crate) fn folder_for(file: &Path) -> PathBuf {
    match file.extension() {
        Some(_) => file.with_extension(""),
        None => file.with_extension("run"),
    }
}

/// What the run in `file` says about itself, on which sides its images were, and what was changed about them.
pub(crate) fn peek(file: &Path) -> Result<(Recipe, RunInfo, Sides, Edits), BundleError> {
    let mut archive = Archive::open(file)?;
    Ok((archive.recipe()?, archive.info()?, archive.sides()?, archive.edits()?))
}

/// What heads of folds said of the images of the run in `file`.
pub(crate) fn folds(file: &Path) -> Result<Folds, BundleError> {
    Archive::open(file)?.folds()
}

/// A run that was just opened from a file. Unless it is kept, it goes again.
#[derive(Debug)]
#[must_use]
pub(crate) struct Opened {
    folder: PathBuf,
    kept: bool,
}

impl Opened {
    /// The run stays.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if !self.kept {
            // Everything in it is in the file as well.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Opens the run in `file` into the folder `into`, which is new or empty.
///
/// # Errors
/// When the file is damaged, holds what no run has or nothing that one can go on from, or the folder can't be made.
/// Nothing is then left of it.
pub(crate) fn open(file: &Path, into: &Path) -> Result<Opened, BundleError> {
    let mut archive = Archive::open(file)?;
    archive.check()?;
    if is_run(into) {
        return Err(RunError::Exists(into.to_owned()).into());
    }
    let there = into.exists();
    if there && fs::read_dir(into).map_err(io_error(into))?.next().is_some() {
        return Err(RunError::NotEmpty(into.to_owned()).into());
    }
    let parent = into.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(io_error(parent))?;
    let temporary = temporary_folder(parent).map_err(io_error(parent))?;
    for name in MEMBERS {
        archive.extract(name, &temporary.path().join(name))?;
    }
    archive.check_weights(temporary.path())?;
    if there {
        fs::remove_dir(into).map_err(io_error(into))?;
    }
    atomic::replace(temporary.path(), into).map_err(io_error(into))?;
    // It has another name now, under which it stays.
    let _ = temporary.keep();
    Ok(Opened { folder: into.to_owned(), kept: false })
}

fn temporary_folder(parent: &Path) -> io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".kindling-");
    #[cfg(unix)]
    {
        // Temporary folders are private by default; this one becomes an ordinary folder, subject to the umask.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o777));
    }
    builder.tempdir_in(parent)
}

#[cfg(test)]
mod tests;
