//! Files that appear whole or not at all: written beside their place, synced to the disk, then renamed over it.
//!
//! A training run overwrites its last checkpoint every few seconds; without this, a full disk or a power cut would cost
//! the old one together with the new.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

/// How the name of a file begins and ends that is not whole yet. A killed process may leave one behind.
const UNFINISHED: [&str; 2] = [".kindling-", ".part"];

/// Replaces `path` by what `write` writes. On an error the old file, if there was one, is untouched.
///
/// # Errors
/// Those of `write`, and of creating, syncing and renaming the temporary file in the folder of `path`.
pub fn write<E: From<io::Error>>(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<(), E>) -> Result<(), E> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED[0]).suffix(UNFINISHED[1]);
    #[cfg(unix)]
    {
        // Temporary files are private by default; this one becomes an ordinary file, subject to the umask.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut temporary = builder.tempfile_in(folder_of(path))?;
    {
        let mut buffered = BufWriter::with_capacity(1 << 20, temporary.as_file_mut());
        write(&mut buffered)?;
        buffered.flush()?;
    }
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|failed| failed.error)?;
    sync_folder(path);
    Ok(())
}

/// Replaces the file at `path` by `bytes`.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write(path, |out| out.write_all(bytes))
}

/// Renames a synced file or a folder, over another if there is one, and waits until the folder knows.
pub fn replace(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder(to);
    Ok(())
}

/// A name beside `path` that nothing reads, for a writer that needs a path; [`replace`] gives it its own.
pub fn temporary_for(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let [start, end] = UNFINISHED;
    path.with_file_name(format!("{start}{name}-{}{end}", std::process::id()))
}

/// Whether a file of that name was never finished.
pub fn is_unfinished(name: &str) -> bool {
    name.starts_with(UNFINISHED[0]) && name.ends_with(UNFINISHED[1])
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a rename in the folder of `path` durable where the system can; elsewhere (Windows) folders can't be opened,
/// and a rename is as durable as the file system makes it.
fn sync_folder(path: &Path) {
    if let Ok(folder) = File::open(folder_of(path)) {
        // Some file systems can't sync one; the file is safe all the same.
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_bytes(&path, b"one").unwrap();
        write_bytes(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_bytes(&path, b"old").unwrap();
        let failed = write::<io::Error>(&path, |out| {
            out.write_all(b"new")?;
            Err(io::Error::other("disk full"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        // A folder of that name can't be replaced by a file.
        fs::create_dir(folder.path().join("folder")).unwrap();
        assert!(write_bytes(&folder.path().join("folder"), b"one").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_a_killed_process_left_is_known_by_its_name() {
        let name = temporary_for(Path::new("run/best.safetensors"));
        assert!(is_unfinished(name.file_name().unwrap().to_str().unwrap()));
        assert!(!is_unfinished("best.safetensors") && !is_unfinished(".kindling-notes"));
    }
}
