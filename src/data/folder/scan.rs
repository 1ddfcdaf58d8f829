//! The first look at a folder's images: which sizes they have, by their headers, and which cannot be read at all.

use crate::data::{DataError, Progress, Rejected, Report, decode::image_size, file, progress::tell};
use rayon::prelude::*;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

/// The beginning of a file that usually has its header, EXIF block and all.
const HEADER: u64 = 256 << 10;

/// An image file with its label.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub path: PathBuf,
    pub label: u32,
}

/// The size that a file's header tells.
fn header_size(path: &Path) -> Result<[usize; 2], String> {
    let beginning = file::beginning(path, HEADER).map_err(|e| e.to_string())?;
    // Some formats keep their header at the end, and a long EXIF block may push it back.
    if let Ok(size) = image_size(&beginning) {
        return Ok(size);
    }
    image_size(&file::read_image_file(path).map_err(|e| e.to_string())?).map_err(|e| e.to_string())
}

/// Counts the sizes of images; those whose header cannot be read are moved to `rejected`.
pub(super) fn scan(
    items: Vec<Item>,
    rejected: &mut Vec<Rejected>,
    sizes: &mut HashMap<[usize; 2], usize>,
    progress: &dyn Progress,
) -> Result<Vec<Item>, DataError> {
    let (done, total) = (AtomicUsize::new(0), items.len());
    let look = |item: &Item| {
        let size = header_size(&item.path);
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of(256) || done == total {
            tell(progress, Report::Scan { done, total })?;
        }
        Ok(size)
    };
    let found = items.par_iter().map(look).collect::<Result<Vec<_>, DataError>>()?;
    let mut kept = Vec::with_capacity(items.len());
    for (item, size) in items.into_iter().zip(found) {
        match size {
            Ok(size) => {
                *sizes.entry(size).or_default() += 1;
                kept.push(item);
            }
            Err(reason) => rejected.push(Rejected { path: item.path, reason }),
        }
    }
    Ok(kept)
}
