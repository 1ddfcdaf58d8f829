//! Getting a file from the network: resumed where it was cut, verified, and in place only when it is whole.
//!
//! Bytes go to `NAME.part` beside the target, under a lock, so that two processes do not write into each other. A lost
//! connection is tried again from where it broke, by a range request where the server supports one. The part becomes the
//! file by a rename, after its checksum was found right; a wrong one is thrown away.

use super::{DataError, Progress, Report, progress::tell};
use sha2::Digest;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// What the whole file is checked against, in lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Checksum {
    Md5(String),
    Sha256(String),
    /// The first digits of the SHA-256, as in the names of PyTorch's weight files.
    Sha256Prefix(String),
}

/// A file on the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Download {
    pub url: String,
    /// A plain name, without folders.
    pub file_name: String,
    /// Its bytes, where they are known beforehand.
    pub size: Option<u64>,
    pub checksum: Checksum,
}

/// Most bytes of a file whose size is not known beforehand.
const MAX_UNKNOWN_BYTES: u64 = 4 << 30;

/// How long to try.
#[derive(Clone, Copy)]
struct RetryPolicy {
    /// Attempts that bring nothing new, one after another, before it is given up.
    attempts: u32,
    /// Before the second attempt; doubled before each further one.
    pause: Duration,
    /// Without a byte for so long a connection counts as lost.
    silence: Duration,
}

const RETRIES: RetryPolicy =
    RetryPolicy { attempts: 4, pause: Duration::from_millis(500), silence: Duration::from_secs(30) };

/// How an attempt ended.
enum Trouble {
    /// Worth another attempt.
    Lost(Lost),
    Fatal(DataError),
}

#[derive(Debug)]
enum Lost {
    Connection(String),
    Status(u16),
}

impl From<DataError> for Trouble {
    fn from(error: DataError) -> Self {
        Trouble::Fatal(error)
    }
}

impl Download {
    /// The file in `folder`, downloaded if it is not there. A file that is there with the right size is taken as it
    /// is: it was verified before it got its name.
    ///
    /// # Errors
    /// One clear line when the network or the server is away, the bytes are not the expected ones, or the folder cannot
    /// be written; [`DataError::Cancelled`] when `progress` breaks. What was received stays for the next time, unless
    /// it was wrong.
    pub(crate) fn fetch(&self, folder: &Path, progress: &dyn Progress) -> Result<PathBuf, DataError> {
        self.fetch_with(folder, progress, RETRIES)
    }

    /// Where the file is, if `folder` has it already.
    pub(crate) fn find(&self, folder: &Path) -> Option<PathBuf> {
        let path = folder.join(&self.file_name);
        let found = fs::metadata(&path).ok()?;
        (found.is_file() && self.size.is_none_or(|size| size == found.len())).then_some(path)
    }

    fn fetch_with(&self, folder: &Path, progress: &dyn Progress, policy: RetryPolicy) -> Result<PathBuf, DataError> {
        if Path::new(&self.file_name).file_name() != Some(self.file_name.as_ref()) {
            return Err(DataError::broken(&self.file_name, "is no plain file name"));
        }
        if let Some(path) = self.find(folder) {
            return Ok(path);
        }
        fs::create_dir_all(folder).map_err(DataError::write(folder))?;
        let part_path = folder.join(format!("{}.part", self.file_name));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut part = options.open(&part_path).map_err(DataError::write(&part_path))?;
        // Where a file system has no locks, the checksum still guards the outcome.
        if let Err(fs::TryLockError::WouldBlock) = part.try_lock() {
            return Err(DataError::Busy(folder.join(&self.file_name)));
        }
        if let Some(path) = self.find(folder) {
            // Another process finished between the look and the lock.
            let _ = fs::remove_file(&part_path);
            return Ok(path);
        }
        let resumed = length(&part, &part_path)? > 0;
        self.fill(&mut part, &part_path, progress, policy)?;
        if let Err(error) = self.verify(&mut part, &part_path) {
            // What an earlier session left may have been the wrong half: one fresh start.
            part.set_len(0).map_err(DataError::write(&part_path))?;
            let again = |part: &mut File| {
                self.fill(part, &part_path, progress, policy)?;
                self.verify(part, &part_path)
            };
            if let Err(error) = if resumed { again(&mut part) } else { Err(error) } {
                if matches!(error, DataError::Corrupt { .. }) {
                    let _ = fs::remove_file(&part_path);
                }
                return Err(error);
            }
        }
        part.sync_all().map_err(DataError::write(&part_path))?;
        let path = folder.join(&self.file_name);
        fs::rename(&part_path, &path).map_err(DataError::write(&path))?;
        Ok(path)
    }

    /// Attempts until the part is as long as the server says.
    fn fill(
        &self,
        part: &mut File,
        path: &Path,
        progress: &dyn Progress,
        policy: RetryPolicy,
    ) -> Result<(), DataError> {
        let mut furthest = length(part, path)?;
        let (mut barren, mut pause) = (0, policy.pause);
        loop {
            let lost = match self.attempt(part, path, progress, policy) {
                Ok(()) => return Ok(()),
                Err(Trouble::Fatal(error)) => return Err(error),
                Err(Trouble::Lost(lost)) => lost,
            };
            let reached = length(part, path)?;
            if reached > furthest {
                (furthest, barren, pause) = (reached, 0, policy.pause);
            } else {
                barren += 1;
            }
            if barren >= policy.attempts {
                return Err(self.give_up(lost, path));
            }
            let why = match &lost {
                Lost::Connection(why) => why.clone(),
                Lost::Status(status) => format!("the server answers {status}"),
            };
            tell(progress, Report::Note { text: format!("{}: {why}; trying again", self.file_name) })?;
            std::thread::sleep(pause);
            pause *= 2;
        }
    }

    fn give_up(&self, lost: Lost, part: &Path) -> DataError {
        let (url, file_name) = (self.url.clone(), self.file_name.clone());
        let folder = part.parent().unwrap_or(Path::new(".")).to_owned();
        match lost {
            Lost::Connection(why) => DataError::Offline { url, file_name, folder, why },
            Lost::Status(status) => DataError::Refused { url, status, file_name, folder },
        }
    }

    /// One request, for what the part does not have yet.
    fn attempt(
        &self,
        part: &mut File,
        path: &Path,
        progress: &dyn Progress,
        policy: RetryPolicy,
    ) -> Result<(), Trouble> {
        let mut have = length(part, path)?;
        if self.size == Some(have) {
            return Ok(());
        }
        if self.size.is_some_and(|size| have > size) {
            part.set_len(0).map_err(DataError::write(path))?;
            have = 0;
        }
        let connection = |e: ureq::Error| Trouble::Lost(Lost::Connection(explain(&e)));
        let mut request = agent(&self.url, policy.silence).get(&self.url);
        if have > 0 {
            request = request.header("range", format!("bytes={have}-"));
        }
        let response = request.call().map_err(|error| match error {
            // No attempt will mend these.
            ureq::Error::BadUri(_) | ureq::Error::HostNotFound => {
                Trouble::Fatal(self.give_up(Lost::Connection(explain(&error)), path))
            }
            error => connection(error),
        })?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let total = match response.status().as_u16() {
            200 => {
                have = 0;
                header("content-length").and_then(|length| length.parse().ok())
            }
            206 => match header("content-range").and_then(content_range) {
                Some((start, total)) if start == have => total,
                _ => {
                    part.set_len(0).map_err(DataError::write(path))?;
                    return Err(Trouble::Lost(Lost::Connection("the server sent another part".to_owned())));
                }
            },
            416 if have > 0 => {
                // What is here is longer than the file: a leftover of something else.
                part.set_len(0).map_err(DataError::write(path))?;
                return Err(Trouble::Lost(Lost::Status(416)));
            }
            status @ (408 | 429 | 500..=599) => return Err(Trouble::Lost(Lost::Status(status))),
            status => return Err(Trouble::Fatal(self.give_up(Lost::Status(status), path))),
        };
        if let (Some(size), Some(total)) = (self.size, total)
            && size != total
        {
            return Err(self.corrupt(format!("{total} bytes instead of {size}")).into());
        }
        part.set_len(have).map_err(DataError::write(path))?;
        part.seek(SeekFrom::Start(have)).map_err(DataError::write(path))?;
        let mut body = response.into_body().into_reader();
        self.copy(&mut body, part, path, [have, self.size.or(total).unwrap_or(MAX_UNKNOWN_BYTES)], total, progress)
    }

    /// Appends what `body` yields to the part, of `start` bytes so far, up to `limit` in all.
    fn copy(
        &self,
        body: &mut impl Read,
        part: &mut File,
        path: &Path,
        [start, limit]: [u64; 2],
        total: Option<u64>,
        progress: &dyn Progress,
    ) -> Result<(), Trouble> {
        let mut buffer = vec![0; 64 << 10];
        let (begun, mut told, mut done) = (Instant::now(), None, start);
        let report = |done: u64| {
            let bytes_per_s = (done - start) as f64 / begun.elapsed().as_secs_f64().max(1e-3);
            tell(progress, Report::Download { file: self.file_name.clone(), done, total, bytes_per_s })
        };
        loop {
            if told.is_none_or(|told: Instant| told.elapsed() > Duration::from_millis(100)) {
                report(done)?;
                told = Some(Instant::now());
            }
            let lost = match body.read(&mut buffer) {
                Ok(0) if total.is_none_or(|total| done >= total) => {
                    report(done)?;
                    return Ok(());
                }
                Ok(0) => "the connection ended early".to_owned(),
                Ok(n) if done + n as u64 > limit => {
                    part.set_len(0).map_err(DataError::write(path))?;
                    return Err(self.corrupt(format!("more than {limit} bytes")).into());
                }
                Ok(n) => {
                    part.write_all(&buffer[..n]).map_err(DataError::write(path))?;
                    done += n as u64;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => format!("the connection was lost ({error})"),
            };
            return Err(Trouble::Lost(Lost::Connection(lost)));
        }
    }

    fn corrupt(&self, what: String) -> DataError {
        DataError::Corrupt { url: self.url.clone(), what }
    }

    fn verify(&self, part: &mut File, path: &Path) -> Result<(), DataError> {
        let length = length(part, path)?;
        if let Some(size) = self.size.filter(|&size| size != length) {
            return Err(self.corrupt(format!("{length} bytes instead of {size}")));
        }
        part.seek(SeekFrom::Start(0)).map_err(DataError::io(path))?;
        let (kind, wanted, found) = match &self.checksum {
            Checksum::Md5(wanted) => ("MD5", wanted, hash(md5::Md5::new(), part)),
            Checksum::Sha256(wanted) | Checksum::Sha256Prefix(wanted) => {
                ("SHA-256", wanted, hash(sha2::Sha256::new(), part))
            }
        };
        let found = found.map_err(DataError::io(path))?;
        let right = match &self.checksum {
            Checksum::Sha256Prefix(prefix) => found.starts_with(prefix.as_str()),
            _ => found == *wanted,
        };
        match right {
            true => Ok(()),
            false => Err(self.corrupt(format!("{kind} {found} instead of {wanted}"))),
        }
    }
}

fn length(part: &File, path: &Path) -> Result<u64, DataError> {
    Ok(part.metadata().map_err(DataError::io(path))?.len())
}

fn hash(mut hasher: impl Digest, file: &mut File) -> io::Result<String> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(super::hex(&hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

/// `bytes FIRST-LAST/TOTAL` as first byte and total, which may be `*`.
fn content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

fn agent(url: &str, silence: Duration) -> ureq::Agent {
    let connect = silence.min(Duration::from_secs(15));
    let mut config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("kindling/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity")
        .timeout_resolve(Some(connect))
        .timeout_connect(Some(connect))
        .timeout_recv_response(Some(silence))
        .timeout_per_read(Some(silence));
    // A proxy of the environment knows nothing of this machine's own servers.
    if ["http://127.0.0.1", "http://localhost", "http://[::1]"].iter().any(|local| url.starts_with(local)) {
        config = config.proxy(None);
    }
    config.build().into()
}

fn explain(error: &ureq::Error) -> String {
    match error {
        ureq::Error::HostNotFound => "the server's name cannot be resolved".to_owned(),
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
