//! A run as one file, to keep or to carry to another machine.
//!
//! A `.kindling` file is a zip archive whose members are the files of a run's folder, by the same names and stored as
//! they are: `unzip` opens it too, and the weights in it are read where they lie.
//!
//! The events of all branches travel, so every curve is drawn as it was. Snapshots stay behind, because they can be many
//! times the rest: elsewhere the run goes on from its last state, and the branches that were left can be looked at but not
//! gone back to.
//!
//! Such a file may come from a stranger. Members are known by name from the list below, never unpacked by a path; all
//! are checked, and the small ones read, before anything is written; and what is written appears as a whole or not at
//! all.

use super::{
    recipe::Recipe,
    recipe_text::RecipeError,
    run_folder::{RunError, RunFolder, RunInfo, State, is_run},
};
use crate::{
    text,
    weights::{
        atomic,
        bundled::{self, MARK},
    },
};
use std::{
    fs::{self, File},
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
};
use zip::{CompressionMethod, ZipArchive, ZipWriter, result::ZipError, write::SimpleFileOptions};

/// Ending of such a file's name.
pub const ENDING: &str = "kindling";
/// What the first member says.
const VERSION: &[u8] = b"1\n";
/// The other members. The first two are in every run.
const MEMBERS: [&str; 7] = [
    "run.json",
    "recipe.toml",
    "events.jsonl",
    "last.json",
    "last.safetensors",
    "last.state.safetensors",
    "best.safetensors",
];
/// Largest small member that is read.
const LARGEST_TEXT: u64 = 16 << 20;

/// Why a run can't be saved as a file or opened from one. Each reads as one line that names the file.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
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
pub fn save(folder: &Path, file: &Path) -> Result<(), BundleError> {
    let run = RunFolder::open(folder)?;
    let members = gather(&run)?;
    let temporary = atomic::temporary_for(file);
    let written = write(&temporary, members).and_then(|()| atomic::replace(&temporary, file));
    written.map_err(|error| {
        // Perhaps the disk is full: leave it no fuller.
        let _ = fs::remove_file(&temporary);
        io_error(file)(error)
    })
}

/// The run's files, open: whoever trains it replaces files by renaming, so that an open one stays as it is. Those of
/// the checkpoint are opened again should a newer one have come meanwhile.
fn gather(run: &RunFolder) -> Result<Vec<(&'static str, File)>, BundleError> {
    /// A checkpoint takes a few milliseconds to open, and comes every few seconds.
    const ATTEMPTS: usize = 20;
    for _ in 0..ATTEMPTS {
        let Some(members) = try_gather(run)? else { continue };
        return Ok(members);
    }
    let reason = "its checkpoint changes faster than it can be read; try again";
    Err(BundleError::Damaged { path: run.path().to_owned(), reason: reason.into() })
}

fn try_gather(run: &RunFolder) -> Result<Option<Vec<(&'static str, File)>>, BundleError> {
    let last = run.last()?;
    let mut members = Vec::new();
    for name in MEMBERS {
        let path = match (name, &last) {
            ("last.safetensors", Some(last)) => last.weights.clone(),
            ("last.state.safetensors", Some(last)) => last.optimiser.clone(),
            ("last.json" | "last.safetensors" | "last.state.safetensors", None) => continue,
            _ => run.path().join(name),
        };
        match File::open(&path) {
            Ok(file) => members.push((name, file)),
            // The names of a checkpoint change when it settles.
            Err(error) if error.kind() == io::ErrorKind::NotFound && name.starts_with("last.") => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !MEMBERS[..2].contains(&name) => {}
            Err(error) => return Err(BundleError::Io { path, error }),
        }
    }
    let generation = |last: &Option<super::Checkpoint>| last.as_ref().map(|last| last.state.generation);
    Ok((generation(&run.last()?) == generation(&last)).then_some(members))
}

fn write(path: &Path, members: Vec<(&'static str, File)>) -> io::Result<()> {
    let mut archive = ZipWriter::new(File::create(path)?);
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    archive.start_file(MARK, options)?;
    archive.write_all(VERSION)?;
    for (name, file) in members {
        let size = file.metadata()?.len();
        archive.start_file(name, options.large_file(size >= u64::from(u32::MAX)))?;
        // The list of events may be growing.
        io::copy(&mut file.take(size), &mut archive)?;
    }
    archive.finish()?.sync_all()
}

/// Whether the file at `path` is a run in one file, by how it begins.
pub fn is_bundle(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(bundled::ENOUGH as u64).read_to_end(&mut start));
    read.is_ok() && bundled::is_bundle(&start)
}

/// The folder that a file is opened into where none is named: beside it, by its name without the ending.
pub fn folder_for(file: &Path) -> PathBuf {
    match file.extension() {
        Some(_) => file.with_extension(""),
        None => file.with_extension("run"),
    }
}

/// What the run in `file` says about itself.
pub fn peek(file: &Path) -> Result<(Recipe, RunInfo), BundleError> {
    let mut archive = Archive::open(file)?;
    Ok((archive.recipe()?, archive.info()?))
}

/// Opens the run in `file` into the folder `into`, which is new or empty.
pub fn open(file: &Path, into: &Path) -> Result<(), BundleError> {
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
    if there {
        fs::remove_dir(into).map_err(io_error(into))?;
    }
    atomic::replace(temporary.path(), into).map_err(io_error(into))?;
    // It has another name now, under which it stays.
    let _ = temporary.keep();
    Ok(())
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

/// A file whose directory has been checked.
struct Archive {
    path: PathBuf,
    zip: ZipArchive<BufReader<File>>,
}

impl Archive {
    /// Reads the directory: every member is one of the list, once, not compressed, and all together are no larger than
    /// the file.
    fn open(path: &Path) -> Result<Self, BundleError> {
        let damaged = |reason: &str| BundleError::Damaged { path: path.to_owned(), reason: reason.to_owned() };
        if !is_bundle(path) {
            // One that is not there says so.
            File::open(path).map_err(io_error(path))?;
            return Err(damaged("it does not begin like one"));
        }
        let file = File::open(path).map_err(io_error(path))?;
        let length = file.metadata().map_err(io_error(path))?.len();
        let zip = ZipArchive::new(BufReader::new(file));
        let mut zip = zip.map_err(|_| damaged("its directory is missing; it is probably cut short"))?;
        let (mut seen, mut total) = (Vec::new(), 0u64);
        for index in 0..zip.len() {
            let member = zip.by_index_raw(index).map_err(|_| damaged("its directory is broken"))?;
            let name = member.name().map_err(|_| damaged("its directory is broken"))?.into_owned();
            if name != MARK && !MEMBERS.contains(&name.as_str()) {
                return Err(damaged("it holds a file that is no part of a run"));
            }
            if member.compression() != CompressionMethod::Stored || member.encrypted() {
                return Err(damaged("another program has packed it anew; save it again"));
            }
            if seen.contains(&name) || member.size() != member.compressed_size() {
                return Err(damaged("its directory contradicts itself"));
            }
            total = total.saturating_add(member.size());
            seen.push(name);
        }
        if total > length {
            return Err(damaged("it claims to hold more than it does"));
        }
        if let Some(missing) = MEMBERS[..2].iter().find(|name| !seen.iter().any(|seen| seen == *name)) {
            return Err(damaged(&format!("it has no {missing}")));
        }
        Ok(Self { path: path.to_owned(), zip })
    }

    fn has(&self, name: &str) -> bool {
        self.zip.index_for_name(name).is_some()
    }

    fn damaged(&self, reason: impl Into<String>) -> BundleError {
        BundleError::Damaged { path: self.path.clone(), reason: reason.into() }
    }

    /// Reads what is small, and looks whether the checkpoint is complete.
    fn check(&mut self) -> Result<(), BundleError> {
        if self.text(MARK)?.as_bytes() != VERSION {
            return Err(self.damaged("a newer Kindling has written it"));
        }
        self.recipe()?;
        self.info()?;
        let parts = MEMBERS[3..6].iter().filter(|name| self.has(name)).count();
        if parts != 0 && parts != 3 {
            return Err(self.damaged("its checkpoint is not complete"));
        }
        if parts == 3 {
            let state = serde_json::from_str::<State>(&self.text("last.json")?);
            state.map_err(|error| self.damaged(format!("last.json: {error}")))?;
        }
        Ok(())
    }

    fn recipe(&mut self) -> Result<Recipe, BundleError> {
        let text = self.text("recipe.toml")?;
        Recipe::from_toml(&text).map_err(|error| BundleError::Recipe { path: self.path.clone(), error })
    }

    fn info(&mut self) -> Result<RunInfo, BundleError> {
        let text = self.text("run.json")?;
        serde_json::from_str(&text).map_err(|error| self.damaged(format!("run.json: {error}")))
    }

    fn text(&mut self, name: &str) -> Result<String, BundleError> {
        let path = self.path.clone();
        let failed = |reason: String| BundleError::Damaged { path, reason: format!("{name}: {reason}") };
        let member = match self.zip.by_name(name) {
            Ok(member) if member.size() <= LARGEST_TEXT => member,
            Ok(member) => return Err(failed(format!("{} bytes are too many", member.size()))),
            Err(error) => return Err(failed(error.to_string())),
        };
        let mut text = String::new();
        match member.take(LARGEST_TEXT).read_to_string(&mut text) {
            Ok(_) => Ok(text),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// Writes a member to a new file at `to`; one that is not there is no fault.
    fn extract(&mut self, name: &str, to: &Path) -> Result<(), BundleError> {
        let path = self.path.clone();
        let damaged = |error: String| BundleError::Damaged { path: path.clone(), reason: format!("{name}: {error}") };
        let mut member = match self.zip.by_name(name) {
            Ok(member) => member,
            Err(ZipError::FileNotFound) => return Ok(()),
            Err(error) => return Err(damaged(error.to_string())),
        };
        let mut out = File::create_new(to).map_err(io_error(to))?;
        // A checksum that is wrong comes as an error of reading, too.
        io::copy(&mut member, &mut out).map_err(|error| damaged(error.to_string()))?;
        out.sync_all().map_err(io_error(to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// A run with a checkpoint, its large files being a few bytes.
    fn small_run(path: &Path) -> RunFolder {
        let info = RunInfo { data: "sample".into(), notes: "the first".into(), ..RunInfo::default() };
        let mut run = RunFolder::create(path, &Recipe::default(), &info).unwrap();
        fs::write(run.events_path(), "{}\n").unwrap();
        let state = State { step: 7, ..State::default() };
        run.checkpoint::<RunError>(&state, |weights, optimiser| {
            fs::write(weights, "weights").unwrap();
            fs::write(optimiser, "optimiser").unwrap();
            Ok(())
        })
        .unwrap();
        fs::write(run.best_path(), "best").unwrap();
        run
    }

    fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(folder).unwrap().flatten();
        let read = |e: fs::DirEntry| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap_or_default());
        entries.map(read).filter(|(name, _)| name != ".lock").collect()
    }

    fn zip(members: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
        let mut archive = ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, bytes) in members {
            archive.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
            archive.write_all(bytes).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    #[test]
    fn a_run_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let run = small_run(&at("a"));
        save(&at("a"), &at("a.kindling")).unwrap();
        assert!(is_bundle(&at("a.kindling")) && !is_bundle(&at("a")) && !is_bundle(&run.best_path()));
        assert_eq!(peek(&at("a.kindling")).unwrap().1.notes, "the first");
        open(&at("a.kindling"), &at("far/b")).unwrap();
        assert_eq!(files(&at("a")), files(&at("far/b")));
        assert_eq!(RunFolder::resume(&at("far/b")).unwrap().last().unwrap().unwrap().state.step, 7);
        assert_eq!(folder_for(Path::new("x/a.kindling")), Path::new("x/a"));
        // Nothing is left beside it.
        assert_eq!(files(&at("far")).len(), 1);
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        small_run(&at("a"));
        save(&at("a"), &at("a.kindling")).unwrap();
        assert!(matches!(open(&at("a.kindling"), &at("a")), Err(BundleError::Run(RunError::Exists(_)))));
        fs::create_dir(at("full")).unwrap();
        fs::write(at("full/note"), "mine").unwrap();
        assert!(matches!(open(&at("a.kindling"), &at("full")), Err(BundleError::Run(RunError::NotEmpty(_)))));
        fs::create_dir(at("empty")).unwrap();
        open(&at("a.kindling"), &at("empty")).unwrap();
    }

    #[test]
    fn a_file_with_something_else_in_it_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let recipe = Recipe::default().to_toml();
        let good = [(MARK, VERSION), ("run.json", b"{}".as_slice()), ("recipe.toml", recipe.as_bytes())];
        let attempt = |members: &[(&str, &[u8])], method| {
            fs::write(at("file"), zip(members, method)).unwrap();
            let result = open(&at("file"), &at("out"));
            assert_eq!(at("out").exists(), result.is_ok());
            let _ = fs::remove_dir_all(at("out"));
            assert_eq!(files(folder.path()).len(), 1, "something was left behind");
            result.map_err(|error| error.to_string())
        };
        attempt(&good, CompressionMethod::Stored).unwrap();
        let with = |extra: (&'static str, &'static [u8])| [good.as_slice(), &[extra]].concat();
        for name in ["../outside", "/tmp/outside", "snapshots/a.json", ".lock", "..\\outside"] {
            let error = attempt(&with((name, b"x")), CompressionMethod::Stored).unwrap_err();
            assert!(error.contains("no part of a run"), "{error}");
        }
        assert!(attempt(&good[..2], CompressionMethod::Stored).unwrap_err().contains("recipe.toml"));
        assert!(attempt(&with(("last.json", b"{}")), CompressionMethod::Stored).unwrap_err().contains("not complete"));
        assert!(attempt(&good, CompressionMethod::Deflated).unwrap_err().contains("packed it anew"));
        let newer = [(MARK, b"2\n".as_slice()), good[1], good[2]];
        assert!(attempt(&newer, CompressionMethod::Stored).unwrap_err().contains("newer"));
        let error = attempt(&[good[0], good[1], ("recipe.toml", b"lr = \"fast\"")], CompressionMethod::Stored);
        assert!(error.unwrap_err().contains("lr"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn a_spoiled_file_never_panics_nor_writes_elsewhere(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            cut in proptest::option::of(any::<prop::sample::Index>()),
            doubled in proptest::option::of(any::<prop::sample::Index>()),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| folder.path().join(name);
            let recipe = Recipe::default().to_toml();
            let good = [(MARK, VERSION), ("run.json", b"{}".as_slice()), ("recipe.toml", recipe.as_bytes()),
                ("last.json", b"{}"), ("last.safetensors", b"abc"), ("last.state.safetensors", b"def")];
            let mut bytes = zip(&good, CompressionMethod::Stored);
            if let Some(doubled) = doubled {
                let at = doubled.index(bytes.len());
                let tail = bytes[at..].to_vec();
                bytes.splice(at..at, tail);
            }
            for (place, value) in changes {
                // The directory, at the end, is where it matters.
                let tail = bytes.len().min(700);
                let place = bytes.len() - tail + place.index(tail);
                bytes[place] = value;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            fs::write(at("file"), bytes).unwrap();
            let opened = open(&at("file"), &at("out")).is_ok();
            let _ = peek(&at("file"));
            let _ = crate::weights::read(&at("file"), &Default::default());
            let beside: Vec<String> = files(folder.path()).into_keys().collect();
            prop_assert_eq!(beside.len(), 1 + usize::from(opened), "{:?}", beside);
            if opened {
                prop_assert!(files(&at("out")).keys().all(|name| MEMBERS.contains(&name.as_str())));
            }
        }
    }
}
