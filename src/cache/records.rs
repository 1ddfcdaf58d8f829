//! A file of records of one length, each found by a key: decoded images by what tells their contents apart.
//!
//! Records are appended as they come and never change. Each carries a checksum, so that one which a crash or a full disk
//! cut short counts as missing, and nothing has to be synced. One process writes at a time, which a lock sees to; others
//! read what was there when they came. It is read by ordinary reads and not mapped: what has been looked at then counts
//! as the system's memory, not the process's, and a file that somebody cuts short is an error and not a fault.

use super::touch;
use std::{
    collections::HashMap,
    fs::{self, File, TryLockError},
    io,
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

const MAGIC: &[u8; 16] = b"kindling records";
/// Bytes of the header: the magic, a record's length, and a title.
const HEADER: u64 = 256;
const TITLE: usize = 24;
/// Bytes before each record: its key and its checksum.
const HEAD: usize = 16;

/// An open file of records.
pub(crate) struct Records {
    file: File,
    /// Bytes of a record.
    len: usize,
    /// Where each record is, counted in records.
    places: Mutex<HashMap<u64, u64>>,
    /// Where the next one goes.
    end: AtomicU64,
    /// How many there may be; 0 where another process writes.
    most: AtomicU64,
    /// Why no more are written, until it is told.
    full: Mutex<Option<String>>,
}

impl Records {
    /// Opens or makes the file `name` in `folder`, of records of `len` bytes, which may grow to `most_bytes`.
    ///
    /// # Errors
    /// When it can't be read or made. One that holds something else is made anew.
    pub(crate) fn open(folder: &Path, name: &str, title: &str, len: usize, most_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let file = File::options().read(true).write(true).create(true).truncate(false).open(folder.join(name))?;
        let writes = !matches!(file.try_lock(), Err(TryLockError::WouldBlock));
        let mut header = vec![0; HEADER as usize];
        let known = read_at(&file, &mut header, 0).is_ok() && header[..TITLE] == start(len);
        if writes && !known {
            header.fill(0);
            header[..TITLE].copy_from_slice(&start(len));
            let title = &title.as_bytes()[..title.floor_char_boundary(HEADER as usize - TITLE)];
            header[TITLE..TITLE + title.len()].copy_from_slice(title);
            file.set_len(0)?;
            write_at(&file, &header, 0)?;
        } else if !known {
            return Err(io::Error::other("another process is making it"));
        }
        touch(&file);
        let stride = (HEAD + len) as u64;
        let count = file.metadata()?.len().saturating_sub(HEADER) / stride;
        let mut places = HashMap::with_capacity(count as usize);
        for place in 0..count {
            let mut key = [0; 8];
            read_at(&file, &mut key, HEADER + place * stride)?;
            places.insert(u64::from_le_bytes(key), place);
        }
        let most = if writes { most_bytes.saturating_sub(HEADER) / stride } else { 0 };
        Ok(Self {
            file,
            len,
            places: Mutex::new(places),
            end: AtomicU64::new(count),
            most: AtomicU64::new(most),
            full: Mutex::default(),
        })
    }

    /// Bytes of a file of so many records of `len` bytes.
    pub(crate) fn size(records: usize, len: usize) -> u64 {
        HEADER + records as u64 * (HEAD + len) as u64
    }

    fn at(&self, place: u64) -> u64 {
        HEADER + place * (HEAD + self.len) as u64
    }

    fn places(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        // A map is never half changed.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is a record with that key.
    pub(crate) fn has(&self, key: u64) -> bool {
        self.places().contains_key(&key)
    }

    /// The record with that key. One that is damaged is missing.
    pub(crate) fn read(&self, key: u64) -> Option<Vec<u8>> {
        let place = *self.places().get(&key)?;
        let (mut start, mut record) = ([0; HEAD], vec![0; self.len]);
        let there = read_at(&self.file, &mut start, self.at(place))
            .and_then(|()| read_at(&self.file, &mut record, self.at(place) + HEAD as u64));
        if there.is_err() || start != head(key, &record) {
            self.places().remove(&key);
            return None;
        }
        Some(record)
    }

    /// Adds a record, where there is room for one more; what stands in the way is told by [`Records::take_failure`].
    pub(crate) fn write(&self, key: u64, bytes: &[u8]) {
        debug_assert_eq!(bytes.len(), self.len, "records are of one length");
        let most = self.most.load(Ordering::Relaxed);
        if most == 0 || self.has(key) {
            return;
        }
        let place = self.end.fetch_add(1, Ordering::Relaxed);
        let written = match place < most {
            // The head last: a record counts when all of it is there.
            true => write_at(&self.file, bytes, self.at(place) + HEAD as u64)
                .and_then(|()| write_at(&self.file, &head(key, bytes), self.at(place))),
            false => Err(io::ErrorKind::StorageFull.into()),
        };
        match written {
            Ok(()) => drop(self.places().insert(key, place)),
            // Once is enough: every further try would fail, and take its time.
            Err(error) => {
                if self.most.swap(0, Ordering::Relaxed) > 0 {
                    *self.full.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
                }
            }
        }
    }

    /// Why no more is written, the first time that it is asked for.
    pub(crate) fn take_failure(&self) -> Option<String> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The title of a file of records.
pub(super) fn title(path: &Path) -> Option<String> {
    let mut header = vec![0; HEADER as usize];
    read_at(&File::open(path).ok()?, &mut header, 0).ok()?;
    let title = header.strip_prefix(MAGIC)?.get(TITLE - MAGIC.len()..)?.split(|&byte| byte == 0).next()?;
    Some(String::from_utf8_lossy(title).into_owned())
}

fn start(len: usize) -> [u8; TITLE] {
    let mut start = [0; TITLE];
    start[..MAGIC.len()].copy_from_slice(MAGIC);
    start[MAGIC.len()..].copy_from_slice(&(len as u64).to_le_bytes());
    start
}

fn head(key: u64, bytes: &[u8]) -> [u8; HEAD] {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&key.to_le_bytes());
    head[8..12].copy_from_slice(&crc.sum().to_le_bytes());
    // So that zeros, as a crash leaves them, are no record.
    head[12] = 1;
    head
}

#[cfg(unix)]
fn read_at(file: &File, into: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, into, at)
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(windows)]
fn read_at(file: &File, mut into: &mut [u8], mut at: u64) -> io::Result<()> {
    while !into.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, into, at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => (into, at) = (&mut into[read..], at + read as u64),
        }
    }
    Ok(())
}

#[cfg(windows)]
fn write_at(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, bytes, at)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => (bytes, at) = (&bytes[written..], at + written as u64),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path, most: u64) -> Records {
        Records::open(folder, "file", "four bytes each", 4, most).unwrap()
    }

    #[test]
    fn records_are_found_again_by_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let records = open(folder.path(), u64::MAX);
        (0..10).for_each(|key| records.write(key * 7, &[key as u8; 4]));
        records.write(7, &[99; 4]);
        drop(records);
        let records = open(folder.path(), u64::MAX);
        assert!((0..10).all(|key| records.read(key * 7) == Some(vec![key as u8; 4])));
        assert_eq!(records.read(1), None);
        assert_eq!(title(&folder.path().join("file")).as_deref(), Some("four bytes each"));
    }

    #[test]
    fn what_was_cut_short_or_damaged_is_missing_and_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let records = open(folder.path(), u64::MAX);
        (1..=3).for_each(|key| records.write(key, &[key as u8; 4]));
        drop(records);
        let mut bytes = fs::read(&path).unwrap();
        let second = HEADER as usize + 20 + HEAD;
        bytes[second] ^= 1;
        bytes.truncate(bytes.len() - 2);
        fs::write(&path, bytes).unwrap();
        let records = open(folder.path(), u64::MAX);
        assert_eq!([1, 2, 3].map(|key| records.read(key)), [Some(vec![1; 4]), None, None]);
        (2..=3).for_each(|key| records.write(key, &[key as u8; 4]));
        drop(records);
        let records = open(folder.path(), u64::MAX);
        assert!((1..=3).all(|key| records.read(key) == Some(vec![key as u8; 4])));
    }

    #[test]
    fn a_file_of_something_else_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), [5; 1000]).unwrap();
        let records = open(folder.path(), u64::MAX);
        assert_eq!(records.read(0x0505_0505_0505_0505), None);
        records.write(1, &[1; 4]);
        drop(records);
        let other = Records::open(folder.path(), "file", "", 5, u64::MAX).unwrap();
        assert_eq!(other.read(1), None);
    }

    #[test]
    fn where_there_is_no_more_room_it_is_said_once_and_what_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let records = open(folder.path(), HEADER + 50);
        (1..=9).for_each(|key| records.write(key, &[key as u8; 4]));
        assert_eq!((1..=9).filter(|&key| records.has(key)).count(), 2);
        assert_eq!(records.read(2), Some(vec![2; 4]));
        assert!(records.take_failure().is_some());
        records.write(10, &[0; 4]);
        assert_eq!(records.take_failure(), None);
    }

    #[test]
    fn two_at_once_read_alike_and_one_of_them_writes() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path(), u64::MAX);
        first.write(1, &[1; 4]);
        let second = open(folder.path(), u64::MAX);
        assert_eq!(second.read(1), Some(vec![1; 4]));
        second.write(2, &[2; 4]);
        assert_eq!((second.read(2), second.take_failure()), (None, None));
        first.write(3, &[3; 4]);
        assert_eq!(first.read(3), Some(vec![3; 4]));
    }
}
