//! What lies in a folder, for choosing among it. Reads on a thread: a folder may be on a disk that sleeps.

use crate::app::background::{Task, Wake, finished};
use crate::text;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Something in a folder.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub path: PathBuf,
    /// For people; a folder's ends with `/`.
    pub name: String,
    pub is_folder: bool,
}

/// The newest folder that was asked for, as far as it is known.
pub(crate) struct Listing {
    folder: PathBuf,
    entries: Result<Vec<Entry>, String>,
    reading: Option<Task<Result<Vec<Entry>, String>>>,
}

impl Listing {
    pub(crate) fn new(folder: PathBuf, wake: Wake) -> Self {
        let mut listing = Self { folder: PathBuf::new(), entries: Ok(Vec::new()), reading: None };
        listing.look_at(&folder, wake);
        listing
    }

    /// Reads another folder; the one at hand is not read again.
    pub(crate) fn look_at(&mut self, folder: &Path, wake: Wake) {
        if self.folder == folder {
            return;
        }
        self.folder = folder.to_owned();
        self.entries = Ok(Vec::new());
        let folder = folder.to_owned();
        self.reading = Some(Task::spawn("folder", wake, move || {
            read(&folder).map_err(|error| format!("{} can't be read: {error}", text::path(&folder)))
        }));
    }

    /// Takes what was read.
    pub(crate) fn poll(&mut self) {
        if let Some(result) = finished(&mut self.reading) {
            self.entries = result.flatten();
        }
    }

    /// Those whose names begin like `name` in any case; hidden ones only where that begins with a dot.
    pub(crate) fn matching(&self, name: &str) -> Result<Vec<&Entry>, &str> {
        let start = name.to_lowercase();
        let fits = |entry: &&Entry| {
            let hidden = entry.name.starts_with('.') && !start.starts_with('.');
            !hidden && entry.name.to_lowercase().starts_with(&start)
        };
        self.entries.as_ref().map(|entries| entries.iter().filter(fits).collect()).map_err(String::as_str)
    }

    pub(crate) fn is_reading(&self) -> bool {
        self.reading.is_some()
    }
}

/// Folders first, each part in the order of names.
fn read(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_folder = path.is_dir();
        let name = text::file_name(&path) + if is_folder { "/" } else { "" };
        entries.push(Entry { path, name, is_folder });
    }
    entries.sort_by_cached_key(|entry| (!entry.is_folder, entry.name.to_lowercase()));
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn folders_come_first_and_hidden_things_only_when_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.png", "A.png", ".secret"] {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        fs::create_dir(folder.path().join("zoo")).unwrap();
        let mut listing = Listing::new(folder.path().to_owned(), Arc::new(|| ()));
        while listing.is_reading() {
            listing.poll();
        }
        let names = |start| {
            listing.matching(start).unwrap().into_iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(""), "zoo/ A.png b.png");
        assert_eq!(names("a"), "A.png");
        assert_eq!(names("."), ".secret");
        listing.look_at(&folder.path().join("none"), Arc::new(|| ()));
        while listing.is_reading() {
            listing.poll();
        }
        assert!(listing.matching("").unwrap_err().contains("none can't be read"));
    }
}
