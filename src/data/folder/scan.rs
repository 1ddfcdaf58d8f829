//! The first look at a folder's images: which sizes they have, what tells their contents apart, and which cannot be read
//! at all. Files are read as a whole, because their content decides on which side they are; what is decoded soon after
//! comes out of the system's cache.

use crate::data::{
    ContentKey, DataError, Progress, Rejected, Report,
    decode::{image_size, read_image_file},
    progress::tell,
};
use rayon::prelude::*;
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

/// An image file with its label.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub path: PathBuf,
    pub label: u32,
}

/// An image file whose header could be read.
#[derive(Clone, Debug)]
pub(super) struct Scanned {
    pub item: Item,
    /// Height and width.
    pub size: [usize; 2],
    pub bytes: u64,
    pub content: ContentKey,
}

fn read(item: &Item) -> Result<([usize; 2], u64, ContentKey), String> {
    let bytes = read_image_file(&item.path).map_err(|e| e.to_string())?;
    let size = image_size(&bytes).map_err(|e| e.to_string())?;
    Ok((size, bytes.len() as u64, ContentKey::of(&bytes)))
}

/// Counts the sizes of images; those whose header cannot be read are moved to `rejected`.
pub(super) fn scan(
    items: Vec<Item>,
    rejected: &mut Vec<Rejected>,
    sizes: &mut HashMap<[usize; 2], usize>,
    progress: &dyn Progress,
) -> Result<Vec<Scanned>, DataError> {
    let (done, total) = (AtomicUsize::new(0), items.len());
    let look = |item: &Item| {
        let found = read(item);
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of(256) || done == total {
            tell(progress, Report::Scan { done, total })?;
        }
        Ok(found)
    };
    let found = items.par_iter().map(look).collect::<Result<Vec<_>, DataError>>()?;
    let mut kept = Vec::with_capacity(items.len());
    for (item, found) in items.into_iter().zip(found) {
        match found {
            Ok((size, bytes, content)) => {
                *sizes.entry(size).or_default() += 1;
                kept.push(Scanned { item, size, bytes, content });
            }
            Err(reason) => rejected.push(Rejected { path: item.path, reason }),
        }
    }
    Ok(kept)
}
