//! A data set as a folder of its own: what edits made of it, for other programs and for good.

use super::{DataError, Dataset, Progress, Report, Split, ValidationKind, left_out::is_leftover, progress::tell};
use crate::text;
use image::{ColorType, ImageFormat};
use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
};

/// Copies the images of `dataset` into `destination`, which is new or empty: a sub-folder for each class, below `train`
/// and `val` or `test` where the data set has two splits of its own. Files keep their names as far as these differ; images
/// without a file become PNG. Gives how many there are.
///
/// # Errors
/// When something is in `destination` already, it lies within the data set, a file can't be read or written, or `progress`
/// breaks. Nothing of the copy is then left.
pub(crate) fn save_as_folder(
    dataset: &Dataset,
    destination: &Path,
    progress: &dyn Progress,
) -> Result<usize, DataError> {
    refuse_taken(&text::to_path(&dataset.spec), destination)?;
    let mut copy = Copy::new(destination);
    let folders = unique(dataset.classes.iter().map(|class| safe_name(class)));
    let (train, validation) = (&dataset.train, &dataset.validation);
    let splits = match dataset.validation_kind {
        ValidationKind::HeldOut => vec![(train, ""), (validation, "")],
        ValidationKind::Own => vec![(train, "train"), (validation, "val")],
        ValidationKind::Test => vec![(train, "train"), (validation, "test")],
        // Both splits are the same images.
        ValidationKind::Folds => vec![(train, "")],
    };
    let total = splits.iter().map(|(split, _)| split.len() as u64).sum();
    for (split, name) in splits {
        for index in 0..split.len() {
            let folder = destination.join(name).join(&folders[split.labels[index] as usize]);
            match &split.sources {
                Some(sources) => copy.file(&file_of(dataset, &sources[index]), &folder)?,
                None => copy.pixels(split, index, &folder)?,
            }
            tell(progress, Report::Read { done: copy.done as u64, total })?;
        }
    }
    copy.is_whole = true;
    Ok(copy.done)
}

/// Where a file of a data set lies. One that was added has its path in full.
fn file_of(dataset: &Dataset, source: &str) -> PathBuf {
    text::to_path(&text::utf8(Path::new(&dataset.spec).join(source).as_os_str()))
}

fn refuse_taken(origin: &Path, destination: &Path) -> Result<(), DataError> {
    let refused = |what: &str| Err(DataError::broken(text::path(destination), what));
    match fs::read_dir(destination) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return refused("the folder is not empty: choose another one");
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(DataError::io(destination)(error)),
    }
    // What is there of the path, without links.
    let absolute = std::path::absolute(destination).map_err(DataError::io(destination))?;
    let there = absolute.ancestors().find_map(|path| path.canonicalize().ok());
    match (there, origin.canonicalize()) {
        (Some(there), Ok(origin)) if there.starts_with(&origin) => {
            refused("the folder lies within the data set: choose one elsewhere")
        }
        _ => Ok(()),
    }
}

/// A copy on its way, which goes again unless it becomes whole.
struct Copy<'a> {
    destination: &'a Path,
    is_new: bool,
    is_whole: bool,
    done: usize,
    taken: HashSet<OsString>,
}

impl<'a> Copy<'a> {
    fn new(destination: &'a Path) -> Self {
        Self { destination, is_new: !destination.exists(), is_whole: false, done: 0, taken: HashSet::new() }
    }

    fn file(&mut self, from: &Path, folder: &Path) -> Result<(), DataError> {
        let to = self.place(folder, Path::new(from.file_name().unwrap_or_default()))?;
        fs::copy(from, to).map(drop).map_err(copy_error(from))
    }

    fn pixels(&mut self, split: &Split, index: usize, folder: &Path) -> Result<(), DataError> {
        let to = self.place(folder, Path::new(&format!("{:06}.png", self.done)))?;
        let colours = if split.channels == 1 { ColorType::L8 } else { ColorType::Rgb8 };
        let (width, height) = (split.width as u32, split.height as u32);
        let saved = image::save_buffer_with_format(&to, &split.image(index), width, height, colours, ImageFormat::Png);
        saved.map_err(|error| copy_error(&to)(io::Error::other(error)))
    }

    /// A free place in a folder, with a number behind the name where that is taken: also by one that differs only in
    /// large and small letters.
    fn place(&mut self, folder: &Path, name: &Path) -> Result<PathBuf, DataError> {
        fs::create_dir_all(folder).map_err(copy_error(folder))?;
        self.done += 1;
        let ending = name.extension().map(|ending| ending.to_string_lossy().into_owned());
        let numbered = |number: usize| {
            let mut name = name.file_stem().unwrap_or_default().to_owned();
            name.push(format!("-{number}"));
            ending.iter().for_each(|ending| name.push(format!(".{ending}")));
            folder.join(name)
        };
        let names = std::iter::once(folder.join(name)).chain((2..).map(numbered));
        let mut free = names.filter(|path| self.taken.insert(path.as_os_str().to_ascii_lowercase()));
        Ok(free.next().unwrap_or_else(|| folder.join(name)))
    }
}

impl Drop for Copy<'_> {
    fn drop(&mut self) {
        if self.is_whole {
            return;
        }
        // The folder was empty, so all that is in it is of the copy.
        for entry in fs::read_dir(self.destination).into_iter().flatten().flatten() {
            let _ = fs::remove_dir_all(entry.path());
        }
        if self.is_new {
            let _ = fs::remove_dir(self.destination);
        }
    }
}

fn copy_error(path: &Path) -> impl FnOnce(io::Error) -> DataError {
    let path = path.to_owned();
    move |source| DataError::Copy { path, source }
}

/// A class's name as one that every system lets a folder have, and under which it is read as a class again.
fn safe_name(class: &str) -> String {
    const LONGEST: usize = 100;
    /// What Windows means devices by, whatever ending follows.
    const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "com", "lpt"];
    let safe = |c: char| if c.is_control() || "/\\:*?\"<>|".contains(c) { '_' } else { c };
    let name: String = class.chars().map(safe).collect();
    let name = name[..name.floor_char_boundary(LONGEST)].trim().trim_end_matches(['.', ' ']);
    let stem = name.split('.').next().unwrap_or_default().to_lowercase();
    let is_device = DEVICES.contains(&stem.trim_end_matches(|c: char| c.is_ascii_digit()));
    match name.is_empty() || name.starts_with('.') || is_device || is_leftover(OsStr::new(name)) {
        true => format!("_{name}"),
        false => name.to_owned(),
    }
}

/// The names, with a number behind those that are there already, in large or small letters.
fn unique(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut taken = HashSet::new();
    let free = |name: String| {
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let mut all = std::iter::once(name.clone()).chain(numbered);
        all.find(|name| taken.insert(name.to_lowercase())).unwrap_or(name.clone())
    };
    names.map(free).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{
        ContentKey, Edit, Edits, LoadOptions, SAMPLE, Silent,
        tests::{load_with, png, write},
    };
    use proptest::prelude::*;
    use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

    /// All files below a folder, by their paths in it.
    fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut left = vec![folder.to_owned()];
        while let Some(path) = left.pop() {
            match fs::read_dir(&path) {
                Ok(entries) => left.extend(entries.map(|entry| entry.unwrap().path())),
                Err(_) => {
                    let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                    found.insert(name, fs::read(&path).unwrap());
                }
            }
        }
        found
    }

    #[test]
    fn the_copy_has_what_the_edits_made_of_it_and_the_files_stay() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for (class, i) in ["cat", "dog"].into_iter().flat_map(|class| (0..12).map(move |i| (class, i))) {
            write(&at(&format!("set/{class}/{i}.png")), &png(4, 4, [i, 9, class.as_bytes()[0]]));
        }
        write(&at("new/0.PNG"), &png(4, 4, [200; 3]));
        let key = |name: &str| ContentKey::of(&fs::read(at(name)).unwrap());
        let mut edits = Edits::default();
        for edit in [
            Edit::Exclude { image: key("set/cat/1.png") },
            Edit::Rename { class: "dog".into(), to: "a/b: c".into() },
            Edit::Move { image: key("set/cat/0.png"), to: "a/b: c".into() },
            Edit::Add { image: key("new/0.PNG"), path: at("new/0.PNG"), to: "a/b: c".into() },
        ] {
            edits.push(0, edit);
        }
        let before = files(&at("set"));
        let set = load_with(&at("set"), &LoadOptions { edits: Arc::new(edits), ..LoadOptions::default() });
        assert_eq!(save_as_folder(&set, &at("deep/copy"), &Silent).unwrap(), 24);
        assert_eq!(files(&at("set")), before);
        let copied = files(&at("deep/copy"));
        assert_eq!((copied.len(), copied.keys().filter(|name| name.starts_with("a_b_ c/")).count()), (24, 14));
        let zeros: Vec<_> = copied.keys().filter(|name| name.starts_with("a_b_ c/0")).collect();
        assert_eq!(zeros.len(), 3, "{zeros:?}");
        assert!(!copied.contains_key("cat/1.png") && copied["cat/2.png"] == before["cat/2.png"]);
        assert_eq!(load_with(&at("deep/copy"), &LoadOptions::default()).classes, ["a_b_ c", "cat"]);
    }

    #[test]
    fn a_place_that_is_taken_or_within_the_data_and_a_copy_that_is_stopped_leave_everything_as_it_was() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for i in 0..12 {
            write(&at(&format!("set/cat/{i}.png")), &png(4, 4, [i, 9, 9]));
        }
        write(&at("taken/letter.txt"), b"dear");
        fs::create_dir(at("empty")).unwrap();
        let set = load_with(&at("set"), &LoadOptions::default());
        let before = files(place.path());
        let error = |to: &str| save_as_folder(&set, &at(to), &Silent).unwrap_err().to_string();
        assert!(error("taken").contains("not empty"));
        assert!(error("set/copy/of it").contains("within the data set") && error("set").contains("not empty"));
        let stop = |report: &Report| match report {
            Report::Read { done: 5, .. } => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        for to in ["empty", "new"] {
            assert!(matches!(save_as_folder(&set, &at(to), &stop), Err(DataError::Cancelled)));
        }
        assert!(at("empty").is_dir() && !at("new").exists());
        assert_eq!(files(place.path()), before);
        fs::remove_file(at("set/cat/7.png")).unwrap();
        let gone = error("new");
        assert!(gone.contains("7.png") && !gone.contains('\n') && !at("new").exists(), "{gone}");
    }

    #[test]
    fn images_without_files_become_pictures_in_their_splits() {
        let place = tempfile::tempdir().unwrap();
        let mut sample = crate::data::load(SAMPLE, &LoadOptions::default(), &Silent).unwrap();
        let first: Vec<usize> = (0..30).collect();
        (sample.train, sample.validation) = (sample.train.pick(&first), sample.validation.pick(&first));
        let copy = place.path().join("copy");
        assert_eq!(save_as_folder(&sample, &copy, &Silent).unwrap(), 60);
        let back = load_with(&copy, &LoadOptions::default());
        assert_eq!((back.train.len(), back.validation.len(), back.classes.len()), (30, 30, 10));
        assert_eq!(back.validation_kind, ValidationKind::Test);
        assert!(copy.join("train/T-shirt_top/000000.png").is_file(), "{:?}", files(&copy).keys());
    }

    #[test]
    fn names_that_differ_in_letters_only_are_numbered() {
        let names = ["a/b", "a:b", "A_B", "NUL", "nul.x", ".hidden", "Thumbs.db", " x. ", ""].map(safe_name);
        assert_eq!(names, ["a_b", "a_b", "A_B", "_NUL", "_nul.x", "_.hidden", "_Thumbs.db", "x", "_"]);
        assert_eq!(unique(names[..3].iter().cloned()), ["a_b", "a_b-2", "A_B-3"]);
    }

    proptest! {
        #[test]
        fn any_class_has_a_folder_inside_the_copy(class in "\\PC*") {
            let name = safe_name(&class);
            prop_assert!((1..=101).contains(&name.len()));
            prop_assert_eq!(Path::new(&name).components().count(), 1);
            prop_assert!(!name.starts_with('.') && !name.ends_with(['.', ' ']));
        }
    }
}
