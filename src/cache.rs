//! What is kept on this user's disk to be found again at the next start, all in one folder and under one budget:
//! downloads, decoded photographs, how fast a GPU's kernels are.
//!
//! Downloads are what somebody asked for and stay. What Kindling makes for itself may take half of what the disk has free,
//! and makes room for newer things: the longest unused goes first, and nothing that another process holds.

mod records;

pub(crate) use records::Records;

use crate::{format, text};
use std::{
    fmt,
    fs::{self, File, FileTimes},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// What something in the cache is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Data sets that were downloaded.
    Data,
    /// Weights that were downloaded.
    Weights,
    /// Decoded photographs.
    Photographs,
    /// What networks see in photographs.
    Features,
    /// Which kernels are the quickest here.
    Kernels,
    /// Which kernels compute what they should here.
    Trials,
}

impl Kind {
    pub(crate) const ALL: [Kind; 6] =
        [Kind::Data, Kind::Weights, Kind::Photographs, Kind::Features, Kind::Kernels, Kind::Trials];

    /// Its file or folder within the cache.
    fn name(self) -> &'static str {
        match self {
            Kind::Data => "data",
            Kind::Weights => "weights",
            Kind::Photographs => "photographs",
            Kind::Features => "features",
            Kind::Kernels => "kernels.json",
            Kind::Trials => "trials.json",
        }
    }

    pub(crate) fn label(self) -> &'static str {
        match self {
            Kind::Data => "data set",
            Kind::Weights => "weights",
            Kind::Photographs => "decoded photographs",
            Kind::Features => "features of photographs",
            Kind::Kernels => "measured kernels",
            Kind::Trials => "tried kernels",
        }
    }

    /// What all of it is called.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Kind::Data => "Data sets, downloaded",
            Kind::Weights => "Weights, downloaded",
            Kind::Photographs => "Decoded photographs",
            Kind::Features => "Features of photographs",
            Kind::Kernels => "Measured kernels",
            Kind::Trials => "Tried kernels",
        }
    }

    /// Whether its files are [`Records`].
    fn is_records(self) -> bool {
        matches!(self, Kind::Photographs | Kind::Features)
    }

    /// Whether it would have to be downloaded again.
    pub(crate) fn is_download(self) -> bool {
        matches!(self, Kind::Data | Kind::Weights)
    }
}

/// Where things of a kind are: below `~/.cache/kindling`, or what the system has for it.
pub(crate) fn place(kind: Kind) -> Option<PathBuf> {
    Some(root()?.join(kind.name()))
}

/// The cache's folder.
pub(crate) fn root() -> Option<PathBuf> {
    directories::ProjectDirs::from("", "", "kindling").map(|dirs| dirs.cache_dir().to_owned())
}

/// One thing in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub kind: Kind,
    pub path: PathBuf,
    /// What people call it, where the file says it.
    pub title: Option<String>,
    pub bytes: u64,
    pub used: SystemTime,
}

impl Entry {
    /// What people call it.
    pub(crate) fn name(&self) -> String {
        self.title.as_deref().map_or_else(|| text::file_name(&self.path), text::foreign)
    }
}

/// All that is in the cache below `root`, kind by kind; of each kind the longest unused first.
pub(crate) fn list(root: &Path) -> Vec<Entry> {
    Kind::ALL.iter().flat_map(|&kind| entries(kind, &root.join(kind.name()))).collect()
}

fn entries(kind: Kind, place: &Path) -> Vec<Entry> {
    let paths = match fs::read_dir(place) {
        Ok(inside) => inside.filter_map(Result::ok).map(|entry| entry.path()).collect(),
        Err(_) => vec![place.to_owned()],
    };
    let mut found: Vec<Entry> = paths.into_iter().filter_map(|path| entry(kind, path)).collect();
    found.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
    found
}

fn entry(kind: Kind, path: PathBuf) -> Option<Entry> {
    let metadata = fs::symlink_metadata(&path).ok()?;
    let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let title = if kind.is_records() { records::title(&path) } else { None };
    let bytes = if metadata.is_dir() { size_below(&path) } else { metadata.len() };
    Some(Entry { kind, path, title, bytes, used })
}

fn size_below(folder: &Path) -> u64 {
    let inside = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    inside.map(size).sum()
}

/// Deletes it, unless somebody uses it; whether it did.
///
/// # Errors
/// When the system refuses.
pub(crate) fn remove(entry: &Entry) -> io::Result<bool> {
    if entry.kind.is_records() {
        // Without a lock nobody is using it: on a file system without locks, nobody can tell, and an open file lives on.
        let file = File::options().read(true).write(true).open(&entry.path)?;
        if let Err(fs::TryLockError::WouldBlock) = file.try_lock() {
            return Ok(false);
        }
    }
    if entry.path.is_dir() {
        fs::remove_dir_all(&entry.path)?
    } else {
        fs::remove_file(&entry.path)?
    }
    Ok(true)
}

/// What a clearing came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cleared {
    pub freed: u64,
    /// Entries that stayed because somebody uses them.
    pub in_use: usize,
}

impl fmt::Display for Cleared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} freed", format::bytes(self.freed))?;
        match self.in_use {
            0 => Ok(()),
            1 => write!(f, "; one is in use"),
            n => write!(f, "; {n} are in use"),
        }
    }
}

/// Deletes what nobody uses; downloads only if told.
///
/// # Errors
/// At the first that the system refuses to delete, with its name.
pub(crate) fn clear(entries: &[Entry], downloads: bool) -> io::Result<Cleared> {
    let mut cleared = Cleared::default();
    for entry in entries.iter().filter(|entry| downloads || !entry.kind.is_download()) {
        let refused = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot delete {}: {error}", text::path(&entry.path)))
        };
        match remove(entry).map_err(refused)? {
            true => cleared.freed += entry.bytes,
            false => cleared.in_use += 1,
        }
    }
    Ok(cleared)
}

/// Marks a file as used just now.
fn touch(file: &File) {
    // What can't be marked goes the sooner.
    let _ = file.set_times(FileTimes::new().set_modified(SystemTime::now()));
}

/// Whether a file in `folder`, of things that Kindling makes for itself, may grow by so many bytes. Where it must, it
/// makes room: others in the folder go, the longest unused first, but not `keep`.
pub(crate) fn make_room(folder: &Path, bytes: u64, keep: &Path) -> bool {
    let has_room = || free(folder).is_none_or(|free| bytes <= free / 2);
    let others =
        entries(Kind::Photographs, folder).into_iter().filter(|entry| entry.path.is_file() && entry.path != keep);
    let others: Vec<Entry> = others.collect();
    // Nothing is given up in vain.
    let most = free(folder).map(|free| free + others.iter().map(|entry| entry.bytes).sum::<u64>());
    if most.is_some_and(|most| bytes > most / 2) {
        return false;
    }
    for entry in &others {
        if has_room() {
            return true;
        }
        if let Err(error) = remove(entry) {
            tracing::warn!("{} stays in the cache: {error}", entry.path.display());
        }
    }
    has_room()
}

/// Bytes that this user may still write where `folder` is, or is going to be; `None` where the system does not say.
#[cfg(unix)]
fn free(folder: &Path) -> Option<u64> {
    let there = folder.ancestors().find(|folder| folder.is_dir())?;
    let found = nix::sys::statvfs::statvfs(there).ok()?;
    // The types differ between systems.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "32 bits on some systems")]
    Some(found.blocks_available() as u64 * found.fragment_size() as u64)
}

/// Without one more dependency the other systems do not say; a full disk says so itself.
#[cfg(not(unix))]
fn free(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_in_the_cache_is_listed_and_goes_when_nobody_uses_it() {
        let root = tempfile::tempdir().unwrap();
        let photographs = root.path().join(Kind::Photographs.name());
        let open = |name: &str| Records::open(&photographs, name, "cats, 4x4", 16, u64::MAX).unwrap();
        let (used, unused) = (open("a"), open("b"));
        used.write(1, &[7; 16]);
        drop(unused);
        fs::create_dir_all(root.path().join("data/cifar10")).unwrap();
        fs::write(root.path().join("data/cifar10/file"), [0; 100]).unwrap();
        let entries = list(root.path());
        let found: Vec<_> = entries.iter().map(|entry| (entry.kind, entry.title.as_deref())).collect();
        let photographs = (Kind::Photographs, Some("cats, 4x4"));
        assert_eq!(found, [(Kind::Data, None), photographs, photographs]);
        assert_eq!(entries[0].bytes, 100);
        let removed: Vec<_> = entries.iter().map(|entry| remove(entry).unwrap()).collect();
        assert_eq!(removed.iter().filter(|removed| **removed).count(), 2, "one is in use");
        assert_eq!(list(root.path()).len(), 1);
    }

    #[test]
    fn the_longest_unused_makes_room_and_nothing_goes_in_vain() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["old", "new", "mine"].map(|name| folder.path().join(name));
        for (age, path) in [30, 20, 10].into_iter().zip(&names) {
            let file = File::create(path).unwrap();
            file.set_len(1000).unwrap();
            file.set_times(FileTimes::new().set_modified(SystemTime::now() - Duration::from_secs(age))).unwrap();
        }
        assert!(make_room(folder.path(), 1000, &names[2]));
        assert!(names.iter().all(|path| path.exists()), "there is room enough");
        if free(folder.path()).is_some() {
            assert!(!make_room(folder.path(), u64::MAX, &names[2]));
            assert!(names.iter().all(|path| path.exists()), "it would not do");
        }
    }
}
