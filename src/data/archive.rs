//! Named files out of a tar archive (gzipped or not) or a folder, without unpacking anything by path.
//!
//! An archive is read from front to back once; members whose base name is wanted are kept in memory, up to a limit
//! each, and the rest is skipped. Links, devices and long-name extensions are skipped too: nothing that Kindling wants
//! uses them.

use super::{DataError, Report, progress::tell};
use crate::{device::host, text};
use flate2::read::GzDecoder;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, Read},
    path::Path,
};

/// Most bytes that one member may have: a full CIFAR-100 training file is 154 MB.
pub(super) const MEMBER_LIMIT: u64 = 512 << 20;
/// Most bytes that an archive may unpack to, so that a gzip bomb ends.
const ARCHIVE_LIMIT: u64 = 2 << 30;

/// Files by base name.
pub(super) type Members = BTreeMap<String, Vec<u8>>;

/// Whether a file begins like a gzip stream or a tar archive.
pub(super) fn looks_like_archive(path: &Path) -> bool {
    let mut start = [0; 512];
    let Ok(mut file) = File::open(path) else { return false };
    let mut read = 0;
    while let Ok(n @ 1..) = file.read(&mut start[read..]) {
        read += n;
    }
    is_gzip(&start) || (read == 512 && &start[257..262] == b"ustar")
}

pub(super) fn is_gzip(start: &[u8]) -> bool {
    start.starts_with(&[0x1f, 0x8b])
}

/// The members of the archive at `path` whose base name `wanted` says yes to. Of equal names the first counts.
pub(super) fn read_archive(
    path: &Path,
    wanted: &dyn Fn(&str) -> bool,
    progress: &dyn super::Progress,
) -> Result<Members, DataError> {
    let file = File::open(path).map_err(DataError::io(path))?;
    let total = file.metadata().map_err(DataError::io(path))?.len();
    let mut reader = BufReader::new(Counted { inner: file, done: 0, total, progress });
    let start = io::BufRead::fill_buf(&mut reader).map_err(|e| broken(path, &e))?;
    let unpacked: Box<dyn Read> = if is_gzip(start) { Box::new(GzDecoder::new(reader)) } else { Box::new(reader) };
    members(unpacked, wanted, ARCHIVE_LIMIT).map_err(|e| broken(path, &e))
}

fn broken(path: &Path, error: &io::Error) -> DataError {
    if error.get_ref().is_some_and(|inner| inner.is::<Cancelled>()) {
        return DataError::Cancelled;
    }
    let what = format!("the archive is broken or cut short ({error}); download it again");
    DataError::broken(path.display().to_string(), what)
}

fn members(unpacked: impl Read, wanted: &dyn Fn(&str) -> bool, limit: u64) -> io::Result<Members> {
    let mut archive = tar::Archive::new(unpacked.take(limit));
    let mut found = Members::new();
    // Raw: long-name and pax extensions are members like any other, instead of memory of a size that the file chooses.
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path_bytes();
        let Ok(name) = std::str::from_utf8(path.rsplit(|&b| b == b'/').next().unwrap_or_default()) else { continue };
        if !wanted(name) || found.contains_key(name) {
            continue;
        }
        let (name, size) = (name.to_owned(), entry.size());
        if size > MEMBER_LIMIT {
            return Err(io::Error::other(format!("{name} claims {size} bytes")));
        }
        // The claimed size is not trusted with an allocation: the buffer grows as bytes arrive.
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        if bytes.len() as u64 != size {
            return Err(io::Error::other(format!("{name} ends early")));
        }
        found.insert(name, bytes);
    }
    Ok(found)
}

/// The wanted files of a folder (not of its sub-folders).
pub(super) fn read_folder(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Members, DataError> {
    let mut found = Members::new();
    for entry in fs::read_dir(folder).map_err(DataError::io(folder))? {
        let entry = entry.map_err(DataError::io(folder))?;
        let path = entry.path();
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        if wanted(&name) && path.is_file() {
            let bytes = read_limited(&path, MEMBER_LIMIT)?;
            found.insert(name, bytes);
        }
    }
    Ok(found)
}

/// A whole file, if it has at most `limit` bytes.
pub(super) fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
    let file = File::open(path).map_err(DataError::io(path))?;
    let size = file.metadata().map_err(DataError::io(path))?.len();
    if size > limit {
        let what = path.display().to_string();
        return Err(DataError::TooLarge { what, needed: size >> 20, limit: limit >> 20 });
    }
    super::check_room(&text::path(path), size, host::free())?;
    let mut bytes = Vec::with_capacity(size as usize);
    file.take(limit).read_to_end(&mut bytes).map_err(DataError::io(path))?;
    Ok(bytes)
}

#[derive(Debug, thiserror::Error)]
#[error("cancelled")]
struct Cancelled;

/// Reports how much of a file has been read.
struct Counted<'p> {
    inner: File,
    done: u64,
    total: u64,
    progress: &'p dyn super::Progress,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        // Every MiB or so: a report costs more than a read.
        if (self.done >> 20) != ((self.done + n as u64) >> 20) {
            tell(self.progress, Report::Read { done: self.done, total: self.total })
                .map_err(|_| io::Error::other(Cancelled))?;
        }
        self.done += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in members {
            let mut header = tar::Header::new_gnu();
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn members_are_found_by_base_name_wherever_they_lie() {
        let bytes = tar(&[("../../etc/a", b"1"), ("/b", b"2"), ("x/c", b"3"), ("y/a", b"4")]);
        let found = members(&bytes[..], &|name| name == "a" || name == "b", 1 << 20).unwrap();
        assert_eq!(found, Members::from([("a".into(), b"1".to_vec()), ("b".into(), b"2".to_vec())]));
    }

    #[test]
    fn an_archive_beyond_the_limit_ends_with_an_error() {
        let bytes = tar(&[("a", &[0; 4000]), ("b", &[0; 4000])]);
        assert!(members(&bytes[..], &|_| true, 6000).is_err());
    }

    #[test]
    fn a_member_that_claims_terabytes_takes_no_memory() {
        let mut header = tar::Header::new_gnu();
        header.set_path("a").unwrap();
        header.set_size(1 << 40);
        header.set_cksum();
        assert!(members(&header.as_bytes()[..], &|_| true, 1 << 20).is_err());
    }
}
