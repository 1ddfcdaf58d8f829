//! What a folder of images holds: which sub-folders are classes, which images each has, and what belongs to none.

use super::{
    scan::Item,
    splits::{self, Splits, class_name, sub_folders},
};
use crate::{
    data::{
        DataError, LeftOut, Rejected, ValidationKind,
        left_out::Kind,
        listing::{Below, Walk},
    },
    text,
};
use rayon::prelude::*;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// What a folder has been found to hold.
pub(super) struct Layout {
    pub classes: Vec<String>,
    pub train: Vec<Item>,
    pub validation: Option<(Vec<Item>, ValidationKind)>,
    /// Folders that cannot be read.
    pub rejected: Vec<Rejected>,
    pub left_out: LeftOut,
}

impl Layout {
    pub(crate) fn find(folder: &Path) -> Result<Layout, DataError> {
        let Splits { train, second, beside } = splits::find(folder)?;
        let (mut rejected, mut left_out) = (Vec::new(), LeftOut::default());
        for path in beside {
            let name = class_name(path.file_name().unwrap_or_default());
            left_out.add(Some(&name), Kind::Loose, Walk::default().folder(&path)?.images.len());
        }
        let found = class_folders(&train, &mut rejected, &mut left_out)?;
        let nothing_said = rejected.is_empty() && left_out.is_empty();
        match found.iter().find(|(_, images)| images.is_empty()) {
            None if !found.is_empty() => {}
            Some((class, _)) if !nothing_said || found.values().any(|images| !images.is_empty()) => {
                return Err(DataError::EmptyClass {
                    class: class.clone(),
                    split: "training",
                    path: folder.to_owned(),
                    hint: super::why_empty(folder, &rejected, &left_out, class),
                });
            }
            _ => return Err(unrecognised(folder, &rejected)),
        }
        let classes: Vec<String> = found.keys().cloned().collect();
        let train = found.into_values().enumerate().flat_map(|(label, images)| items(images, label)).collect();
        let validation = match second {
            None => None,
            Some((path, kind)) => {
                let mut found = class_folders(&path, &mut rejected, &mut left_out)?;
                found.retain(|_, images| !images.is_empty());
                let mut validation = Vec::new();
                for (class, images) in found {
                    let Ok(label) = classes.binary_search(&class) else {
                        return Err(DataError::UnknownClass { class, path });
                    };
                    validation.extend(items(images, label));
                }
                // An empty `val/` is as good as none.
                (!validation.is_empty()).then_some((validation, kind))
            }
        };
        Ok(Layout { classes, train, validation, rejected, left_out })
    }
}

/// That no class is here, or why none could be seen.
fn unrecognised(folder: &Path, rejected: &[Rejected]) -> DataError {
    match rejected.first() {
        Some(first) => DataError::broken(text::path(&first.path), first.reason.clone()),
        None => DataError::Unrecognised(folder.to_owned()),
    }
}

fn items(images: Vec<PathBuf>, label: usize) -> impl Iterator<Item = Item> {
    images.into_iter().map(move |path| Item { path, label: label as u32 })
}

/// The classes of a split with their images. A class without one is among them where something says that it was meant
/// as one: it is empty, or holds pictures of a kind that is not read.
fn class_folders(
    root: &Path,
    rejected: &mut Vec<Rejected>,
    left_out: &mut LeftOut,
) -> Result<BTreeMap<String, Vec<PathBuf>>, DataError> {
    let (folders, loose) = sub_folders(root)?;
    left_out.add(None, Kind::Loose, loose.len());
    let read = |path: PathBuf| Ok((Walk::default().folder(&path)?, path));
    let found = folders.into_par_iter().map(read).collect::<Result<Vec<_>, DataError>>()?;
    // UTF-8 sorts by code point as bytes do; a locale's order would differ between machines.
    let mut classes: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for (below, path) in found {
        let class = class_name(path.file_name().unwrap_or_default());
        let is_class = is_class(&below, &path);
        let Below { images, rejected: unread, left_out: others } = below;
        rejected.extend(unread);
        // A folder of texts beside the classes is no concern of theirs.
        if is_class {
            left_out.add_all(Some(&class), others);
            classes.entry(class).or_default().extend(images);
        }
    }
    Ok(classes)
}

fn is_class(below: &Below, folder: &Path) -> bool {
    let unreadable = below.rejected.iter().any(|rejected| rejected.path == folder);
    let empty = below.left_out.is_empty() && !unreadable;
    !below.images.is_empty() || empty || below.left_out.keys().any(Kind::may_be_an_image)
}
