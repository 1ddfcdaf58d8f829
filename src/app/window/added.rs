//! Photographs that are to be taken in as images of a class, and a folder that they are copied to.

use crate::{
    data::{self, ContentKey, Edit, PixelRules, images_in},
    format::plural,
    text,
};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// The class that dropped paths are for: that on which they were dropped, or where that is still to be, the one that a folder
/// is named after. `None` where there is none.
pub(super) fn class_of(class: Option<String>, dropped: &[PathBuf]) -> Option<String> {
    match (class, dropped) {
        (Some(class), _) => Some(class),
        (None, [folder]) if folder.is_dir() => Some(text::file_name(folder)),
        (None, _) => None,
    }
}

/// The edits that take images in, those in folders too, and what there is to say of those that can't be. Not for the frame.
pub(super) fn edits(class: &str, paths: &[PathBuf]) -> (Vec<Edit>, Vec<String>) {
    let found = images_in(paths);
    let look = |path: &PathBuf| -> Result<Edit, String> {
        let bytes = data::read_image_file(path).map_err(|error| error.to_string())?;
        data::decode_image(&bytes, PixelRules::default()).map_err(|error| error.to_string())?;
        let path = std::path::absolute(path).map_err(|error| error.to_string())?;
        Ok(Edit::Add { image: ContentKey::of(&bytes), path, to: class.to_owned() })
    };
    let looked: Vec<_> = found.images.par_iter().map(|path| (path, look(path))).collect();
    let (mut edits, mut problems) = (Vec::new(), Vec::new());
    for (path, looked) in looked {
        match looked {
            Ok(edit) => edits.push(edit),
            Err(reason) => problems.push(format!("{}: {}", text::path(path), text::message(&reason))),
        }
    }
    let others =
        found.rejected.into_iter().map(|rejected| format!("{}: {}", text::path(&rejected.path), rejected.reason));
    problems.extend(others);
    if problems.len() > 3 {
        let more = problems.split_off(2).len();
        problems.push(format!("and {} could not be read", plural(more, "more file")));
    }
    if !found.left_out.is_empty() {
        problems.push(format!("Left out: {}", found.left_out));
    }
    (edits, problems)
}

/// A folder in `folder` that is not there yet.
pub(super) fn free_folder(folder: &Path, name: &str) -> PathBuf {
    let name: String = name.chars().map(|c| if "/\\:*?\"<>|".contains(c) { '-' } else { c }).collect();
    let named = |end: &str| folder.join(format!("{name}-cleaned{end}"));
    let free = (2..1000).map(|i| named(&format!("-{i}"))).find(|path| !path.exists());
    if named("").exists() { free.unwrap_or_else(|| named("")) } else { named("") }
}
