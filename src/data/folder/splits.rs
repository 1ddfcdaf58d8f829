//! Which sub-folders of a folder are splits, `train/` and `val/` say, and which are classes.
//!
//! Names are compared without regard to case on every system: `Training/` beside `Testing/` loaded as two classes would
//! train a network that tells a data set's halves apart. Where a folder can be read both ways, that is an error.

use crate::{
    data::{
        DataError, ValidationKind,
        decode::is_image_name,
        left_out::is_leftover,
        listing::{Walk, unhidden},
    },
    text,
};
use icu_normalizer::ComposingNormalizerBorrowed;
use std::{
    collections::HashSet,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

/// Where the class folders are.
#[derive(Debug)]
pub(super) struct Splits {
    /// Holds the classes: a split, or the folder itself.
    pub train: PathBuf,
    pub second: Option<(PathBuf, ValidationKind)>,
    /// Folders of images beside the splits, which belong to none.
    pub beside: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Train,
    Validation,
    Test,
}

impl Role {
    /// What a folder is by its name: `train`, `Training`, `TRAIN_SET` and the like.
    fn of(path: &Path) -> Option<Role> {
        let name = path.file_name()?.to_str()?.to_lowercase();
        let name = name.strip_suffix("set").unwrap_or(&name).trim_end_matches(['_', '-', ' ']);
        match name {
            "train" | "training" => Some(Role::Train),
            "val" | "valid" | "validation" => Some(Role::Validation),
            "test" | "testing" => Some(Role::Test),
            _ => None,
        }
    }
}

pub(super) fn find(folder: &Path) -> Result<Splits, DataError> {
    let (folders, _) = sub_folders(folder)?;
    let of = |role| folders.iter().filter(|path| Role::of(path) == role).collect::<Vec<_>>();
    let (trains, validations, tests) = (of(Some(Role::Train)), of(Some(Role::Validation)), of(Some(Role::Test)));
    let classes = || Ok(Splits { train: folder.to_owned(), second: None, beside: Vec::new() });
    if [&trains, &validations, &tests].iter().all(|folders| folders.is_empty()) {
        return classes();
    }
    let beside = with_images(&of(None))?;
    let is_split = |path: &Path| Ok(!sub_folders(path)?.0.is_empty());
    if trains.is_empty() {
        return match validations.iter().chain(&tests).next() {
            Some(second) if beside.is_empty() && is_split(second)? => {
                Err(unclear(folder, format!("{} has no training split beside it, such as train", name(second))))
            }
            _ => classes(),
        };
    }
    let train = one(folder, &trains)?;
    let second = match (&validations[..], &tests[..]) {
        ([], []) => None,
        ([], tests) => Some((one(folder, tests)?, ValidationKind::Test)),
        (validations, _) => Some((one(folder, validations)?, ValidationKind::Own)),
    };
    let (in_train, loose) = sub_folders(&train)?;
    let shares_a_class = match &second {
        Some((second, _)) => share_a_class(&in_train, &sub_folders(second)?.0),
        None => false,
    };
    match &beside[..] {
        [] if in_train.is_empty() && second.is_some() => {
            Err(unclear(folder, format!("{} needs a sub-folder of images for each class", name(&train))))
        }
        _ if in_train.is_empty() => classes(),
        [] => Ok(Splits { train, second, beside }),
        _ if shares_a_class => Ok(Splits { train, second, beside }),
        _ if second.is_none() && !loose.is_empty() => classes(),
        [first, ..] => {
            let (train, first) = (name(&train), name(first));
            let what = format!(
                "{train} may be the training split or a class like {first}: if a split, move {first} elsewhere; if a \
                 class, put its images into it without sub-folders"
            );
            Err(unclear(folder, what))
        }
    }
}

/// The class that a folder's name stands for. `é` may be one character or two, depending on the system that wrote it:
/// the composed form is the name. Bytes that are no UTF-8 are written out.
pub(super) fn class_name(folder: &OsStr) -> String {
    const NFC: ComposingNormalizerBorrowed = ComposingNormalizerBorrowed::new_nfc();
    NFC.normalize(&text::utf8(folder)).into_owned()
}

/// The sub-folders that may be classes, by code point of their names, and the images that lie beside them.
pub(super) fn sub_folders(root: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), DataError> {
    let (mut folders, mut loose) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(root).map_err(DataError::io(root))? {
        let path = entry.map_err(DataError::io(root))?.path();
        let name = path.file_name().unwrap_or_default();
        if is_leftover(name) || unhidden(name).is_some() {
            continue;
        }
        if path.is_dir() {
            folders.push(path);
        } else if is_image_name(&path) {
            loose.push(path);
        }
    }
    folders.sort();
    Ok((folders, loose))
}

/// The only folder with a role.
fn one(folder: &Path, candidates: &[&PathBuf]) -> Result<PathBuf, DataError> {
    match candidates {
        [one] => Ok((*one).clone()),
        several => {
            let names: Vec<String> = several.iter().map(|path| name(path)).collect();
            Err(unclear(folder, format!("{} may be the same split: keep one of them", names.join(" and "))))
        }
    }
}

fn unclear(folder: &Path, what: String) -> DataError {
    DataError::broken(text::path(folder), what)
}

fn name(path: &Path) -> String {
    text::file_name(path)
}

/// Those of the folders that hold images.
fn with_images(folders: &[&PathBuf]) -> Result<Vec<PathBuf>, DataError> {
    let mut found = Vec::new();
    for folder in folders {
        if !Walk::default().folder(folder)?.images.is_empty() {
            found.push((*folder).clone());
        }
    }
    Ok(found)
}

fn share_a_class(train: &[PathBuf], second: &[PathBuf]) -> bool {
    let names = |folders: &[PathBuf]| -> HashSet<String> {
        folders.iter().filter_map(|path| path.file_name()).map(class_name).collect()
    };
    !names(train).is_disjoint(&names(second))
}
