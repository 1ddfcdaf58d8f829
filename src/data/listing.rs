//! The images below folders, each real file once, whatever links lead to it; all else is counted.
//!
//! One walk serves data sets, `predict FOLDER` and photos that are dropped on the window. Links are followed, since
//! people gather a data set out of links; a folder is read under one path only, which also ends circles. What really
//! lies below a folder comes before what is linked into it: which of two paths a file is listed under is no accident.

use super::{
    DataError, Rejected,
    decode::is_image_name,
    left_out::{Kind, LeftOut, is_leftover},
};
use crate::text;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

/// Most entries below a folder: beyond it, something other than a folder of images was given.
const MOST_FILES: usize = 20_000_000;

/// The images that some paths stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    /// In the order of the paths, and below a folder by code point of their names.
    pub images: Vec<PathBuf>,
    /// Folders that cannot be read or hold no image, and why.
    pub rejected: Vec<Rejected>,
    pub left_out: LeftOut,
}

/// All images that `paths` name or hold: a folder stands for the images below it at any depth, each real file once. A
/// path that is no folder is listed as it is, whatever it may be and as often as it is given, and not once more for a
/// folder that holds it.
pub(crate) fn images_in(paths: &[PathBuf]) -> Listing {
    let named = |path: &PathBuf| if path.is_dir() { None } else { path.canonicalize().ok() };
    let mut walk = Walk { listed: paths.iter().filter_map(named).collect(), ..Walk::default() };
    let mut listing = Listing::default();
    for path in paths {
        if !path.is_dir() {
            listing.images.push(path.clone());
            continue;
        }
        let reject = |reason: String| Rejected { path: path.clone(), reason };
        match walk.folder(path) {
            Ok(Below { images, rejected, left_out }) => {
                if images.is_empty() && rejected.is_empty() && !walk.has_seen_again {
                    let mut others = LeftOut::default();
                    others.add_all(None, left_out);
                    let instead = if others.is_empty() { String::new() } else { format!(", but {others}") };
                    listing.rejected.push(reject(format!("no image is in this folder{instead}")));
                } else {
                    listing.left_out.add_all(None, left_out);
                }
                listing.images.extend(images);
                listing.rejected.extend(rejected);
            }
            Err(error) => listing.rejected.push(reject(error.to_string())),
        }
    }
    listing
}

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Below {
    pub images: Vec<PathBuf>,
    /// Folders that cannot be read, and links that lead nowhere.
    pub rejected: Vec<Rejected>,
    pub left_out: BTreeMap<Kind, usize>,
}

impl Below {
    fn leave(&mut self, kind: Kind) {
        *self.left_out.entry(kind).or_default() += 1;
    }

    fn reject(&mut self, path: &Path, what: &str, error: &io::Error) {
        self.rejected.push(Rejected { path: path.to_owned(), reason: format!("{what}: {error}") });
    }
}

/// Remembers, over one or more folders, what has been listed.
#[derive(Default)]
pub(super) struct Walk {
    /// Real paths of the folders that have been read.
    read: HashSet<PathBuf>,
    /// Real paths of files that are listed under another path: that of a link, or one that was named.
    listed: HashSet<PathBuf>,
    /// Whether the last folder held something that had been listed before.
    has_seen_again: bool,
}

impl Walk {
    /// # Errors
    /// When there are absurdly many files. A folder that cannot be read is set aside in [`Below::rejected`].
    pub(crate) fn folder(&mut self, root: &Path) -> Result<Below, DataError> {
        let mut below = Below::default();
        self.has_seen_again = false;
        let real = match root.canonicalize() {
            Ok(real) => real,
            Err(error) => {
                below.reject(root, UNREADABLE, &error);
                return Ok(below);
            }
        };
        let around: HashSet<PathBuf> = real.ancestors().skip(1).map(Path::to_owned).collect();
        let (mut folders, mut links, mut file_links) =
            (vec![(root.to_owned(), real)], BTreeSet::new(), BTreeSet::new());
        let mut entries = 0;
        loop {
            while let Some((path, real)) = folders.pop() {
                if self.read.contains(&real) {
                    self.has_seen_again = true;
                    continue;
                }
                if let Err(error) = self.entries(&path, &real, &mut below, &mut folders, &mut links, &mut entries) {
                    below.reject(&path, UNREADABLE, &error);
                }
                self.read.insert(real);
                if entries > MOST_FILES {
                    return Err(DataError::broken(text::path(root), format!("more than {MOST_FILES} files")));
                }
            }
            let Some(link) = links.pop_first() else { break };
            match fs::metadata(&link).and_then(|metadata| Ok((metadata.is_dir(), link.canonicalize()?))) {
                // A broken link with an image's name is a broken image, and said to be one when it is read.
                Err(_) if is_image_name(&link) => below.images.push(link),
                Err(error) => below.reject(&link, "the link leads nowhere", &error),
                Ok((true, real)) if around.contains(&real) || self.read.contains(&real) => below.leave(Kind::Again),
                Ok((true, real)) => folders.push((link, real)),
                Ok((false, _)) if !is_image_name(&link) => below.leave(Kind::of(&link)),
                Ok((false, real)) => drop(file_links.insert((link, real))),
            }
        }
        for (link, real) in file_links {
            let is_listed = real.parent().is_some_and(|folder| self.read.contains(folder)) && is_image_name(&real);
            match is_listed || !self.listed.insert(real) {
                true => below.leave(Kind::Again),
                false => below.images.push(link),
            }
        }
        // As the folders' trees have them; UTF-8 sorts by code point as bytes do, and a locale's order would differ
        // between machines.
        below.images.sort();
        Ok(below)
    }

    /// Takes one folder's images, and what else of it is to be looked at.
    fn entries(
        &mut self,
        path: &Path,
        real: &Path,
        below: &mut Below,
        folders: &mut Vec<(PathBuf, PathBuf)>,
        links: &mut BTreeSet<PathBuf>,
        entries: &mut usize,
    ) -> io::Result<()> {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let (name, child, kind) = (entry.file_name(), entry.path(), entry.file_type()?);
            *entries += 1;
            if is_leftover(&name) {
                continue;
            }
            if let Some(shown) = unhidden(&name) {
                if child.is_dir() {
                    below.leave(Kind::HiddenFolder);
                } else if is_image_name(Path::new(&shown)) {
                    below.leave(Kind::Hidden);
                }
            } else if kind.is_symlink() {
                links.insert(child);
            } else if kind.is_dir() {
                folders.push((child, real.join(name)));
            } else if !is_image_name(&child) {
                below.leave(Kind::of(&child));
            } else if !self.listed.is_empty() && self.listed.contains(&real.join(name)) {
                self.has_seen_again = true;
            } else {
                below.images.push(child);
            }
        }
        Ok(())
    }
}

const UNREADABLE: &str = "the folder cannot be read";

/// The name of something hidden, without the dot that hides it.
pub(super) fn unhidden(name: &OsStr) -> Option<String> {
    text::utf8(name).strip_prefix('.').map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "bytes").unwrap();
    }

    /// The images that are found, as paths from `folder`.
    fn names(folder: &Path, listing: &Listing) -> Vec<String> {
        let name = |path: &PathBuf| path.strip_prefix(folder).unwrap().to_string_lossy().replace('\\', "/");
        listing.images.iter().map(name).collect()
    }

    #[test]
    fn folders_are_read_to_any_depth_in_the_order_of_names() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for name in ["b/2.png", "b/10.png", "b/1/x.png", "b/c/d/e/f/g/h/i/j/k.jpg", "b/notes.txt", "a.gif"] {
            write(&at(name));
        }
        let found = images_in(&[at("b"), at("a.gif")]);
        assert_eq!(
            names(place.path(), &found),
            ["b/1/x.png", "b/10.png", "b/2.png", "b/c/d/e/f/g/h/i/j/k.jpg", "a.gif"]
        );
        assert_eq!(found.left_out.to_string(), "1 .txt file");
        assert!(found.rejected.is_empty());
    }

    #[test]
    fn a_folder_without_an_image_and_a_missing_file_are_told_apart() {
        let place = tempfile::tempdir().unwrap();
        write(&place.path().join("sub/photo.heic"));
        let found = images_in(&[place.path().join("sub"), place.path().join("gone.png")]);
        assert_eq!(names(place.path(), &found), ["gone.png"], "whoever opens it says that it is not there");
        assert_eq!(found.rejected[0].reason, "no image is in this folder, but 1 .heic file");
    }

    #[test]
    fn a_file_that_is_named_is_not_listed_again_for_its_folder() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        write(&at("a/1.png"));
        write(&at("a/b/2.png"));
        assert_eq!(names(place.path(), &images_in(&[at("a"), at("a/1.png")])), ["a/b/2.png", "a/1.png"]);
        assert_eq!(names(place.path(), &images_in(&[at("a/b"), at("a")])), ["a/b/2.png", "a/1.png"]);
        let again = images_in(&[at("a"), at("a/b"), at("a")]);
        assert_eq!(names(place.path(), &again), ["a/1.png", "a/b/2.png"]);
        assert!(again.rejected.is_empty());
    }

    #[test]
    fn what_systems_leave_behind_is_no_image_and_hidden_images_are_counted() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for name in ["1.png", "._1.png", "@eaDir/1.png/thumb.jpg", ".ipynb_checkpoints/1.png", "Thumbs.db", ".2.png"] {
            write(&at(name));
        }
        let found = images_in(&[place.path().to_owned()]);
        assert_eq!(names(place.path(), &found), ["1.png"]);
        assert_eq!(found.left_out.to_string(), "1 hidden image");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_once_and_circles_end() {
        use std::os::unix::fs::symlink;
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for name in ["photos/a.png", "photos/sub/b.png", "elsewhere/c.png", "blobs/0123"] {
            write(&at(name));
        }
        for (target, link) in [
            (".", "photos/self"),
            ("..", "photos/sub/up"),
            ("../..", "photos/sub/above"),
            ("sub", "photos/0"),
            ("../elsewhere", "photos/more"),
            ("../elsewhere", "photos/more2"),
            ("a.png", "photos/again.png"),
            ("../blobs/0123", "photos/blob.png"),
            ("../blobs/0123", "photos/blob2.png"),
            ("nowhere", "photos/lost"),
            ("nowhere", "photos/lost.png"),
        ] {
            symlink(target, at(link)).unwrap();
        }
        let found = images_in(&[at("photos")]);
        let expected =
            ["a.png", "blob.png", "lost.png", "more/c.png", "sub/b.png"].map(|name| format!("photos/{name}"));
        assert_eq!(names(place.path(), &found), expected);
        assert_eq!(found.left_out.to_string(), "7 links to what is read already");
        assert_eq!(found.rejected.iter().map(|r| r.path.clone()).collect::<Vec<_>>(), [at("photos/lost")]);
    }
}
