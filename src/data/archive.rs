//! The files in a tar archive (gzipped or not), without unpacking anything by path.
//!
//! An archive is read from front to back once, and its files are handed over one at a time, so that no more than one of
//! them has to be in memory. Links, devices and long-name extensions are skipped: nothing that Kindling wants uses them.

use super::{DataError, Report, progress::tell};
use crate::{file, text};
use flate2::read::GzDecoder;
use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

/// Most bytes that an archive may unpack to, so that a gzip bomb ends: CIFAR's hold 187 MB.
const LIMIT: u64 = 256 << 20;

/// A file, in an archive or on its own, while it is read.
pub(super) struct Member<'a> {
    /// Its base name.
    pub name: &'a str,
    /// Bytes that it claims to have.
    pub size: u64,
    pub bytes: &'a mut dyn Read,
    /// What it means when `bytes` cannot be read.
    pub broken: &'a dyn Fn(io::Error) -> DataError,
}

/// Whether a file has the name of an archive.
pub(super) fn is_name(path: &Path) -> bool {
    let name = path.as_os_str().to_string_lossy().to_lowercase();
    [".tar.gz", ".tgz", ".tar"].iter().any(|ending| name.ends_with(ending))
}

/// Whether a file begins like a gzip stream or a tar archive.
pub(super) fn looks_like_archive(path: &Path) -> bool {
    file::beginning(path, 512)
        .is_ok_and(|start| is_gzip(&start) || (start.len() == 512 && &start[257..262] == b"ustar"))
}

pub(super) fn is_gzip(start: &[u8]) -> bool {
    start.starts_with(&[0x1f, 0x8b])
}

/// Hands the files of the archive at `path` to `take`, wherever in it they lie.
pub(super) fn each_file(
    path: &Path,
    progress: &dyn super::Progress,
    take: &mut dyn FnMut(Member) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let (file, total) = file::open(path).map_err(DataError::io(path))?;
    let mut reader = BufReader::new(Counted { inner: file, done: 0, total, progress });
    let broken = |e: io::Error| broken(path, &e);
    let start = io::BufRead::fill_buf(&mut reader).map_err(broken)?;
    let unpacked: Box<dyn Read> = if is_gzip(start) { Box::new(GzDecoder::new(reader)) } else { Box::new(reader) };
    members(unpacked, LIMIT, &broken, take)
}

fn broken(path: &Path, error: &io::Error) -> DataError {
    let inner = error.get_ref();
    if inner.is_some_and(|inner| inner.is::<Cancelled>()) {
        return DataError::Cancelled;
    }
    let what = match inner.and_then(|inner| inner.downcast_ref::<Beyond>()) {
        Some(beyond) => beyond.to_string(),
        None => format!("the archive is broken or cut short ({error}); download it again"),
    };
    DataError::broken(text::path(path), what)
}

fn members(
    unpacked: impl Read,
    limit: u64,
    broken: &dyn Fn(io::Error) -> DataError,
    take: &mut dyn FnMut(Member) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let mut archive = tar::Archive::new(Limited { inner: unpacked, left: limit, limit });
    // Raw: long-name and pax extensions are members like any other, instead of memory of a size that the file chooses.
    for entry in archive.entries().map_err(broken)?.raw(true) {
        let mut entry = entry.map_err(broken)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path_bytes().into_owned();
        let Ok(name) = std::str::from_utf8(path.rsplit(|&b| b == b'/').next().unwrap_or_default()) else { continue };
        let size = entry.size();
        take(Member { name, size, bytes: &mut entry, broken })?;
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
#[error("the archive unpacks to more than {} MiB, the most that Kindling reads of one", .0 >> 20)]
struct Beyond(u64);

/// Fails beyond a number of bytes.
struct Limited<R> {
    inner: R,
    left: u64,
    limit: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        if most == 0 && !buffer.is_empty() {
            // What ends exactly at the limit is whole.
            return match self.inner.read(&mut [0])? {
                0 => Ok(0),
                _ => Err(io::Error::other(Beyond(self.limit))),
            };
        }
        let length = buffer.len().min(most);
        let n = self.inner.read(&mut buffer[..length])?;
        self.left -= n as u64;
        Ok(n)
    }
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

    /// Names and bytes of an archive's files.
    fn read(bytes: &[u8], limit: u64) -> Result<Vec<(String, Vec<u8>)>, DataError> {
        let mut found = Vec::new();
        members(bytes, limit, &|e| broken(Path::new("a.tar"), &e), &mut |member| {
            let mut bytes = Vec::new();
            member.bytes.read_to_end(&mut bytes).map_err(member.broken)?;
            found.push((member.name.to_owned(), bytes));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn members_are_found_by_base_name_wherever_they_lie() {
        let found = read(&tar(&[("../../etc/a", b"1"), ("/b", b"2"), ("x/c", b"3")]), 1 << 20).unwrap();
        let found: Vec<_> = found.iter().map(|(name, bytes)| (name.as_str(), bytes[0])).collect();
        assert_eq!(found, [("a", b'1'), ("b", b'2'), ("c", b'3')]);
    }

    #[test]
    fn an_archive_beyond_the_limit_ends_with_an_error_that_names_it() {
        let bytes = tar(&[("a", &vec![0; 2 << 20]), ("b", &[0; 4000])]);
        let error = read(&bytes, 1 << 20).unwrap_err().to_string();
        assert!(error.contains("more than 1 MiB"), "{error}");
        assert!(read(&bytes, bytes.len() as u64).is_ok(), "the limit itself is within it");
    }
}
