//! A file for the zip crate to write to, on which nothing fails before the end.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom, Write},
};

/// A file that keeps the first error to itself and seems to take everything from then on. A `ZipWriter` that is told of
/// an error tries to finish its archive when it is dropped, fails once more, and prints that.
pub(super) struct Quiet<'f> {
    file: &'f mut File,
    place: u64,
    end: u64,
    failure: Option<io::Error>,
}

impl<'f> Quiet<'f> {
    pub(crate) fn new(file: &'f mut File) -> Self {
        Self { file, place: 0, end: 0, failure: None }
    }

    /// The error that it kept.
    pub(crate) fn done(self) -> io::Result<()> {
        self.failure.map_or(Ok(()), Err)
    }
}

impl Write for Quiet<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut count = bytes.len();
        if self.failure.is_none() {
            match self.file.write(bytes) {
                Ok(written) => count = written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
                Err(error) => self.failure = Some(error),
            }
        }
        self.place += count as u64;
        self.end = self.end.max(self.place);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Quiet<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (from, distance) = match to {
            SeekFrom::Start(place) => (place, 0),
            SeekFrom::Current(distance) => (self.place, distance),
            SeekFrom::End(distance) => (self.end, distance),
        };
        let place = from.checked_add_signed(distance).ok_or(io::ErrorKind::InvalidInput)?;
        if self.failure.is_none() {
            self.failure = self.file.seek(SeekFrom::Start(place)).err();
        }
        self.place = place;
        Ok(place)
    }
}
