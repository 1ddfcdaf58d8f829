//! `events.jsonl`: appending to it, and reading the history of a run with all its branches from it.

mod history;

pub(crate) use history::Branch;
pub use history::History;

use self::history::{LONGEST_LINE, next_line};
use super::events::{Event, Line};
use crate::{atomic, file};
use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    // In microseconds, which come back from JSON as they were: of more digits the last one may not.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_micros() as f64 / 1e6)
}

/// Lines that wait for a disk that can be written again; beyond so many the curves get gaps.
const MOST_WAITING: usize = 10_000;

/// The end of an `events.jsonl`, to append to.
#[derive(Debug)]
pub(crate) struct EventLog {
    file: File,
    /// Lines that could not be written yet.
    waiting: Vec<Line>,
    /// The last write may have ended within a line.
    torn: bool,
    /// Branch of the lines to come.
    pub branch: u32,
}

impl EventLog {
    /// Opens the file, or makes it. A line that a killed process left unfinished stays as it is, on a line of its own.
    pub(crate) fn open(path: &Path, branch: u32) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let torn = file.seek(SeekFrom::End(0))? > 0 && {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            last != *b"\n"
        };
        Ok(Self { file, waiting: Vec::new(), torn, branch })
    }

    /// Appends one line and hands it to the system, so that it survives this process. One that can't be written waits for
    /// [`EventLog::flush`], and so do all after it.
    pub(crate) fn append(&mut self, event: &Event) -> io::Result<()> {
        self.waiting.push(Line { branch: self.branch, time: now(), event: event.clone() });
        match self.waiting.len() {
            1 => self.flush(),
            // That they can't be written was said of the first.
            ..=MOST_WAITING => Ok(()),
            _ => {
                self.waiting.retain(|line| !matches!(line.event, Event::Step { .. }));
                Ok(())
            }
        }
    }

    /// Writes the lines that wait.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let mut text = if self.torn { "\n".to_owned() } else { String::new() };
        for line in &self.waiting {
            text.push_str(&serde_json::to_string(line).map_err(io::Error::other)?);
            text.push('\n');
        }
        let end = self.file.metadata()?.len();
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            // Takes back what there is of it; else there may be half a line.
            self.torn |= self.file.set_len(end).is_err();
            return Err(error);
        }
        (self.torn, self.waiting) = (false, Vec::new());
        Ok(())
    }

    /// Whether the file under that name is the one that is appended to.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        file::is_at(&self.file, path)
    }

    /// Writes everything anew at `path`, from where the file has gone, and appends there from now on.
    pub(crate) fn write_anew(&mut self, path: &Path) -> io::Result<()> {
        let mut old = self.file.try_clone()?;
        old.seek(SeekFrom::Start(0))?;
        atomic::write(path, |out| io::copy(&mut old, out).map(drop))?;
        let waiting = std::mem::take(&mut self.waiting);
        *self = Self { waiting, ..Self::open(path, self.branch)? };
        Ok(())
    }
}

/// An `events.jsonl` that another process may be adding to, read as it grows: what was read before is not read again.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    history: History,
    /// Bytes taken in.
    read: u64,
}

impl Tail {
    /// What was read so far.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Takes in what has come since the last time; gives whether there was anything. A line without its end is still
    /// being written and waits for the next time. A file that is shorter than before is another one and read anew; one
    /// that is not there has no lines.
    pub(crate) fn read(&mut self, path: &Path) -> io::Result<bool> {
        let file = match file::open(path) {
            Ok((file, _)) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(std::mem::take(self).read > 0);
            }
            Err(error) => return Err(error),
        };
        let another = file.metadata()?.len() < self.read;
        if another {
            *self = Self::default();
        }
        let before = self.read;
        let mut reader = BufReader::new(file);
        reader.seek(SeekFrom::Start(before))?;
        let mut bytes = Vec::new();
        while next_line(&mut reader, &mut bytes)? {
            let length = bytes.len() as u64;
            if !bytes.ends_with(b"\n") && length < LONGEST_LINE {
                break;
            }
            self.history.take_in(&bytes);
            self.read += length;
        }
        Ok(another || self.read > before)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        history::tests::{step, steps},
        *,
    };
    use std::fs;

    #[test]
    fn a_torn_last_line_is_ignored_and_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        EventLog::open(&path, 0).unwrap().append(&step(1)).unwrap();
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str(&text.clone()[..20]);
        fs::write(&path, &text).unwrap();
        assert_eq!(steps(&History::read(&path).unwrap(), 0), [1]);
        let mut log = EventLog::open(&path, 0).unwrap();
        log.append(&step(2)).unwrap();
        log.append(&step(3)).unwrap();
        let history = History::read(&path).unwrap();
        assert_eq!((steps(&history, 0), history.unreadable), (vec![1, 2, 3], 1));
    }

    #[test]
    fn a_file_that_grows_is_read_from_where_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut tail = Tail::default();
        assert!(!tail.read(&path).unwrap());
        let mut log = EventLog::open(&path, 0).unwrap();
        log.append(&step(1)).unwrap();
        log.append(&step(2)).unwrap();
        assert!(tail.read(&path).unwrap() && !tail.read(&path).unwrap());
        assert_eq!(steps(tail.history(), 0), [1, 2]);
        // A line is on its way, and then there.
        let whole = fs::read(&path).unwrap();
        log.append(&step(3)).unwrap();
        let (more, cut) = (fs::read(&path).unwrap(), whole.len() + 9);
        fs::write(&path, &more[..cut]).unwrap();
        assert!(!tail.read(&path).unwrap());
        fs::write(&path, &more).unwrap();
        assert!(tail.read(&path).unwrap());
        assert_eq!((steps(tail.history(), 0), tail.history().unreadable), (vec![1, 2, 3], 0));
        assert_eq!(tail.history(), &History::read(&path).unwrap());
        // Another file under the name.
        fs::write(&path, &more[whole.len()..]).unwrap();
        assert!(tail.read(&path).unwrap());
        assert_eq!(steps(tail.history(), 0), [3]);
        fs::remove_file(&path).unwrap();
        assert!(tail.read(&path).unwrap());
        assert_eq!(tail.history(), &History::default());
    }

    #[test]
    fn lines_that_could_not_be_written_follow_when_they_can_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut log = EventLog::open(&path, 0).unwrap();
        log.append(&step(1)).unwrap();
        // A file that can't be written to.
        let good = std::mem::replace(&mut log.file, File::open(&path).unwrap());
        log.append(&step(2)).unwrap_err();
        log.append(&step(3)).unwrap();
        log.flush().unwrap_err();
        log.file = good;
        log.flush().unwrap();
        log.append(&step(4)).unwrap();
        let history = History::read(&path).unwrap();
        assert_eq!((steps(&history, 0), history.unreadable), (vec![1, 2, 3, 4], 0));
    }

    #[test]
    fn a_log_that_is_gone_is_written_anew_with_all_that_was_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut log = EventLog::open(&path, 0).unwrap();
        log.append(&step(1)).unwrap();
        assert!(log.is_at(&path));
        fs::rename(&path, folder.path().join("moved.jsonl")).unwrap();
        log.append(&step(2)).unwrap();
        assert!(!log.is_at(&path));
        log.write_anew(&path).unwrap();
        log.append(&step(3)).unwrap();
        assert!(log.is_at(&path));
        assert_eq!(steps(&History::read(&path).unwrap(), 0), [1, 2, 3]);
        assert_eq!(steps(&History::read(&folder.path().join("moved.jsonl")).unwrap(), 0), [1, 2]);
    }
}
