//! Files that appear whole or not at all: written beside their place, synced to the disk, then renamed over it.
//!
//! A training run overwrites its last checkpoint every epoch; without this, a full disk or a power cut would cost the
//! old one together with the new.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

/// Replaces `path` by what `write` writes. On an error the old file, if there was one, is untouched.
///
/// # Errors
/// Those of `write`, and of creating, syncing and renaming the temporary file in the folder of `path`.
pub fn replace<E: From<io::Error>>(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<(), E>) -> Result<(), E> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".kindling-").suffix(".part");
    #[cfg(unix)]
    {
        // Temporary files are private by default; this one becomes an ordinary file, subject to the umask.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut temporary = builder.tempfile_in(folder)?;
    {
        let mut buffered = BufWriter::with_capacity(1 << 20, temporary.as_file_mut());
        write(&mut buffered)?;
        buffered.flush()?;
    }
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|failed| failed.error)?;
    if cfg!(unix) {
        // The rename itself lives in the folder. Some file systems can't sync one; the file is safe all the same.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        replace::<io::Error>(&path, |out| out.write_all(b"old")).unwrap();
        let failed = replace::<io::Error>(&path, |out| {
            out.write_all(b"new")?;
            Err(io::Error::other("disk full"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
