//! What lies in a data set's folders and does not count.
//!
//! A photo in a format that is not read, under a name without an ending, or beside the class folders would otherwise
//! vanish without a word, and the numbers that follow would be wrong in silence. So whatever is passed over is counted,
//! by class and kind. Only what systems leave behind ([`is_leftover`]) is nobody's image.

use super::decode::is_image_name;
use crate::{file, format::plural, text};
use serde::{Serialize, Serializer, ser::SerializeSeq};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
};

/// Why something does not count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A file with an ending that is not read, such as `.heic`; `.png.txt` where it covers an image's.
    Ending(String),
    /// An image without an ending.
    Unnamed,
    /// Some other file without an ending.
    NoEnding,
    /// An image whose name begins with a dot.
    Hidden,
    HiddenFolder,
    /// A link to a file or folder that is read already.
    Again,
    /// An image that no class folder holds.
    Loose,
}

/// Groups that are named in one line.
const NAMED: usize = 4;

/// Endings of pictures, photos, films and arrays that are not read: a folder of such is a class that is missing.
const PICTURES: [&str; 59] = [
    "ai", "apng", "arw", "avi", "avif", "cr2", "cr3", "cur", "dcm", "dds", "dib", "dng", "eps", "exr", "fit", "fits",
    "gz", "hdr", "heic", "heics", "heif", "hif", "icns", "ico", "insp", "j2k", "jls", "jp2", "jpf", "jpx", "jxl",
    "jxr", "kra", "m4v", "mkv", "mov", "mp4", "mpo", "nef", "nii", "npy", "orf", "pcx", "pef", "pjp", "pjpeg", "psd",
    "qoi", "raf", "raw", "rw2", "srw", "svg", "tga", "webm", "wdp", "xcf", "zip", "7z",
];

impl Kind {
    /// What kind a file is that has no image's name.
    pub(super) fn of(path: &Path) -> Kind {
        // What follows the last dot of a sentence is no ending.
        let short = |ending: &String| ending.len() <= 12 && !ending.contains(char::is_whitespace);
        let lower = |ending: &OsStr| text::utf8(ending).to_lowercase();
        match path.extension().map(lower).filter(short) {
            Some(ending) => {
                let covered = path.file_stem().map(PathBuf::from).filter(|stem| is_image_name(stem));
                let covered = covered.and_then(|stem| stem.extension().map(lower)).map(|inner| format!(".{inner}"));
                Kind::Ending(format!("{}.{ending}", covered.unwrap_or_default()))
            }
            None if begins_like_an_image(path) => Kind::Unnamed,
            None => Kind::NoEnding,
        }
    }

    /// Whether a folder that holds nothing else was meant as a class.
    pub(super) fn may_be_an_image(&self) -> bool {
        match self {
            Kind::Ending(ending) => {
                let last = ending.rsplit('.').next().unwrap_or_default();
                ending.matches('.').count() > 1 || PICTURES.contains(&last)
            }
            Kind::Unnamed | Kind::Hidden => true,
            Kind::NoEnding | Kind::HiddenFolder | Kind::Again | Kind::Loose => false,
        }
    }

    fn count(&self, count: usize) -> String {
        let of = |one: &str, rest: &str| format!("{}{rest}", plural(count, one));
        match self {
            Kind::Ending(ending) => of(&format!("{} file", text::foreign(ending)), ""),
            Kind::Unnamed => of("image", " without an ending"),
            Kind::NoEnding => of("file", " without an ending"),
            Kind::Hidden => of("hidden image", ""),
            Kind::HiddenFolder => of("hidden folder", ""),
            Kind::Again => of("link", " to what is read already"),
            Kind::Loose => of("image", " beside the class folders"),
        }
    }
}

/// As scripts read it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Kind::Ending(ending) => ending,
            Kind::Unnamed => "image without ending",
            Kind::NoEnding => "file without ending",
            Kind::Hidden => "hidden image",
            Kind::HiddenFolder => "hidden folder",
            Kind::Again => "link",
            Kind::Loose => "image outside of classes",
        })
    }
}

fn begins_like_an_image(path: &Path) -> bool {
    file::beginning(path, 32).is_ok_and(|start| image::guess_format(&start).is_ok())
}

/// How many files of which kind in which class do not count. A class of `None` is the data set's own folder, or that of
/// images which have no classes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftOut(BTreeMap<(Option<String>, Kind), usize>);

impl LeftOut {
    pub(super) fn add(&mut self, class: Option<&str>, kind: Kind, count: usize) {
        if count > 0 {
            *self.0.entry((class.map(str::to_owned), kind)).or_default() += count;
        }
    }

    pub(super) fn add_all(&mut self, class: Option<&str>, kinds: BTreeMap<Kind, usize>) {
        kinds.into_iter().for_each(|(kind, count)| self.add(class, kind, count));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Files in all.
    pub(crate) fn total(&self) -> usize {
        self.0.values().sum()
    }

    /// A line for each class and kind, such as `10 .heic files in cats`; by class.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|((class, kind), &count)| line(class.as_deref(), kind, count))
    }

    /// What a class has of it: `10 .heic files and 2 .avif files`.
    pub(super) fn in_class(&self, class: &str) -> String {
        let own = self.0.iter().filter(|((of, _), _)| of.as_deref() == Some(class));
        own.map(|((_, kind), &count)| kind.count(count)).collect::<Vec<_>>().join(" and ")
    }
}

fn line(class: Option<&str>, kind: &Kind, count: usize) -> String {
    match class {
        Some(class) => format!("{} in {}", kind.count(count), text::foreign(class)),
        None => kind.count(count),
    }
}

/// All of it in one line, the most first.
impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut groups: Vec<_> = self.0.iter().collect();
        groups.sort_by_key(|&(_, &count)| std::cmp::Reverse(count));
        let named = groups.iter().take(NAMED).map(|((class, kind), count)| line(class.as_deref(), kind, **count));
        f.write_str(&named.collect::<Vec<_>>().join(", "))?;
        match groups.get(NAMED..) {
            Some(rest @ [_, ..]) => {
                let count: usize = rest.iter().map(|&(_, &count)| count).sum();
                write!(f, " and {} of other kinds or classes", plural(count, "file"))
            }
            _ => Ok(()),
        }
    }
}

/// As a list of `{"class": "cats", "kind": ".heic", "files": 10}`.
impl Serialize for LeftOut {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Group<'a> {
            class: Option<&'a str>,
            kind: String,
            files: usize,
        }
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for ((class, kind), &files) in &self.0 {
            list.serialize_element(&Group { class: class.as_deref(), kind: kind.to_string(), files })?;
        }
        list.end()
    }
}

/// Names of what file managers, network drives, notebooks and repairs of disks leave in people's folders, in lower case.
const LEFTOVERS: [&str; 35] = [
    "$recycle.bin",
    "#recycle",
    "#snapshot",
    "@eadir",
    "@recently-snapshot",
    "@recycle",
    "@tmp",
    "__macosx",
    "__pycache__",
    "desktop.ini",
    "ehthumbs.db",
    "icon\r",
    "lost+found",
    "network trash folder",
    "recycler",
    "system volume information",
    "temporary items",
    "thumbs.db",
    ".@__thumb",
    ".cache",
    ".directory",
    ".documentrevisions-v100",
    ".ds_store",
    ".fseventsd",
    ".git",
    ".gitkeep",
    ".idea",
    ".ipynb_checkpoints",
    ".nomedia",
    ".picasaoriginals",
    ".spotlight-v100",
    ".svn",
    ".thumbnails",
    ".venv",
    ".vscode",
];

/// Whether a system or a tool has left this behind: it is no class and no image.
pub(crate) fn is_leftover(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_lowercase();
    // `._photo.jpg` is what macOS writes beside `photo.jpg` on a disk of another system, `found.000` what chkdsk does.
    let numbered = name.strip_prefix("found.").is_some_and(|n| n.len() == 3 && n.bytes().all(|b| b.is_ascii_digit()));
    let known = ["._", ".trash", ".nfs", ".fuse_hidden", "~$"].iter().any(|start| name.starts_with(start));
    known || numbered || LEFTOVERS.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> LeftOut {
        let mut left_out = LeftOut::default();
        left_out.add(Some("a"), Kind::Ending(".avif".to_owned()), 5);
        left_out.add(Some("c"), Kind::Ending(".heic".to_owned()), 6);
        left_out.add(Some("c"), Kind::Ending(".heic".to_owned()), 4);
        left_out.add(None, Kind::Loose, 1);
        left_out
    }

    #[test]
    fn the_line_names_counts_kinds_and_classes_the_most_first() {
        let mut left_out = some();
        assert_eq!(left_out.to_string(), "10 .heic files in c, 5 .avif files in a, 1 image beside the class folders");
        assert_eq!(left_out.in_class("c"), "10 .heic files");
        left_out.add(Some("b"), Kind::Unnamed, 4);
        left_out.add(Some("b"), Kind::NoEnding, 1);
        assert!(left_out.to_string().ends_with(" and 1 file of other kinds or classes"), "{left_out}");
        assert_eq!(left_out.total(), 21);
    }

    #[test]
    fn scripts_get_a_list() {
        let json = serde_json::to_value(some()).unwrap();
        assert_eq!(json[0], serde_json::json!({ "class": null, "kind": "image outside of classes", "files": 1 }));
        assert_eq!(json[2], serde_json::json!({ "class": "c", "kind": ".heic", "files": 10 }));
    }

    #[test]
    fn kinds_are_told_by_endings_whatever_their_case() {
        for (name, kind) in [("a.HEIC", ".heic"), ("a.png.txt", ".png.txt"), ("a.b.txt", ".txt")] {
            assert_eq!(Kind::of(Path::new(name)), Kind::Ending(kind.to_owned()), "{name}");
        }
        for name in ["README", "Seen on 3.5. by the lake"] {
            assert_eq!(Kind::of(Path::new(name)), Kind::NoEnding, "{name}");
        }
        let missing = |ending: &str| Kind::Ending(ending.to_owned()).may_be_an_image();
        assert!(missing(".heic") && missing(".png.txt") && !missing(".txt") && !missing(".xml"));
    }

    #[test]
    fn leftovers_are_known_in_any_case() {
        for name in ["@eaDir", "$Recycle.Bin", ".Trash-1000", "._a.png", "FOUND.001", "Thumbs.db", "LOST+FOUND"] {
            assert!(is_leftover(OsStr::new(name)), "{name}");
        }
        for name in ["cats", "found.dog", "trash", "@home", ".hidden.png"] {
            assert!(!is_leftover(OsStr::new(name)), "{name}");
        }
    }
}
