//! Where decoded images go while they are gathered: memory, or, when there are many, a file that is then mapped.
//!
//! The file is written with ordinary writes, so that a full disk is an error here and not a fault at some later page,
//! and has no name: it is gone with the last user of its pixels, however the process ends.

use super::{DataError, Pixels};
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

/// Takes images one after another and becomes [`Pixels`].
pub(super) enum Store {
    /// An allocation of the expected size, of which the system gives pages as they are written.
    Memory(Vec<u8>),
    File {
        file: BufWriter<File>,
        folder: PathBuf,
        written: u64,
    },
}

impl Store {
    /// For at most `size` bytes: in memory, or in a file in `folder`.
    pub(crate) fn new(size: usize, folder: Option<PathBuf>) -> Result<Self, DataError> {
        let Some(folder) = folder else {
            return Ok(Store::Memory(Vec::with_capacity(size)));
        };
        fs::create_dir_all(&folder).map_err(DataError::write(&folder))?;
        let file = tempfile::tempfile_in(&folder).map_err(DataError::write(&folder))?;
        Ok(Store::File { file: BufWriter::with_capacity(1 << 20, file), folder, written: 0 })
    }

    pub(crate) fn push(&mut self, image: &[u8]) -> Result<(), DataError> {
        match self {
            Store::Memory(memory) => memory.extend_from_slice(image),
            Store::File { file, folder, written } => {
                file.write_all(image).map_err(|e| DataError::write(&**folder)(e))?;
                *written += image.len() as u64;
            }
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Pixels, DataError> {
        match self {
            Store::Memory(memory) => Ok(memory.into()),
            Store::File { written: 0, .. } => Ok(Vec::new().into()),
            Store::File { file, folder, .. } => {
                let file = file.into_inner().map_err(|e| DataError::write(&folder)(e.into_error()))?;
                map(&file, &folder)
            }
        }
    }
}

fn map(file: &File, folder: &Path) -> Result<Pixels, DataError> {
    // SAFETY: the mapping is read-only, and the file has no name through which anyone else could change or shorten it.
    let map = unsafe { memmap2::Mmap::map(file) }.map_err(DataError::io(folder))?;
    Ok(Pixels::mapped(map))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_file_hold_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        for place in [None, Some(folder.path().join("new"))] {
            let mut store = Store::new(10, place.clone()).unwrap();
            store.push(&[1, 2, 3]).unwrap();
            store.push(&[4, 5, 6]).unwrap();
            let pixels = store.finish().unwrap();
            assert_eq!(pixels.all().unwrap()[..6], [1, 2, 3, 4, 5, 6]);
            assert_eq!(format!("{pixels:?}").contains("mapped"), place.is_some());
        }
        assert_eq!(fs::read_dir(folder.path().join("new")).unwrap().count(), 0, "the file has no name");
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_one_clear_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let Err(error) = Store::new(10, Some(file.join("sub"))) else { panic!("a folder inside a file") };
        assert!(error.to_string().contains("cannot write"), "{error}");
    }
}
