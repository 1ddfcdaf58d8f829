//! Files that appear whole or not at all: written beside their place, synced to the disk, then renamed over it.
//!
//! A training run overwrites its last checkpoint every few seconds; without this, a full disk or a power cut would cost
//! the old one together with the new.
//!
//! A rename puts a new file under the old name, so what the old one was is looked after here. A symbolic link stays, and
//! the file that it leads to is replaced. Mode and, where the system lets us, owner are the old file's. What is no plain
//! file (a pipe, a device, a folder) is never replaced.
//!
//! Several names of one file (hard links) can't be kept by a rename: the others keep the old contents. For the program's
//! own files that is right, because such names are mostly backups (`cp -al runs backup`), which a write into the shared
//! file would destroy. A file that the user named to be written ([`Output`]) is another matter: two names of one file are
//! asked to stay so. It is then written in place, once the new contents are whole and synced beside it; should that
//! be interrupted, they stay there, and the error says where.

use crate::{file::kind, text};
use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, BufWriter, Seek, Write},
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

/// How the name of a file begins and ends that is not whole yet. A killed process may leave one behind.
const UNFINISHED: [&str; 2] = [".kindling-", ".part"];

/// Replaces `path` by what `write` writes. On an error the old file, if there was one, is untouched.
///
/// # Errors
/// Those of `write`, and of creating, syncing and renaming the temporary file in the folder of `path`.
pub(crate) fn write<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    let mut output = Output::beside(path)?;
    output.fill(write)?;
    Ok(output.rename()?)
}

/// Replaces the file at `path` by `bytes`.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write(path, |out| out.write_all(bytes))
}

/// [`write()`] for a file that the user named.
///
/// # Errors
/// As there, and when the file there is protected from writing.
pub(crate) fn write_output<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    let mut output = Output::create(path)?;
    output.fill(write)?;
    Ok(output.finish()?)
}

/// A file that the user named, while it is written: nothing is seen of it before [`Output::finish`].
pub(crate) struct Output {
    temporary: NamedTempFile,
    /// The file itself where the name is a link's.
    target: PathBuf,
    old: Option<Metadata>,
}

impl Output {
    /// Begins to write the file at `path`.
    ///
    /// # Errors
    /// When something else than a file is there, one that is protected from writing, or no file can be made in its folder.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let output = Self::beside(path)?;
        if output.old.is_some() {
            OpenOptions::new().write(true).open(&output.target)?;
        }
        Ok(output)
    }

    fn beside(path: &Path) -> io::Result<Self> {
        let (target, old) = target_of(path)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(UNFINISHED[0]).suffix(UNFINISHED[1]);
        #[cfg(unix)]
        if old.is_none() {
            // Temporary files are private by default; this one becomes an ordinary file, subject to the umask.
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let temporary = builder.tempfile_in(folder_of(&target))?;
        Ok(Self { temporary, target, old })
    }

    /// The file to write to, which has another name yet.
    pub(crate) fn file(&mut self) -> &mut File {
        self.temporary.as_file_mut()
    }

    fn fill<E: From<io::Error>>(&mut self, write: impl FnOnce(&mut dyn Write) -> Result<(), E>) -> Result<(), E> {
        let mut buffered = BufWriter::with_capacity(1 << 20, self.file());
        write(&mut buffered)?;
        Ok(buffered.flush()?)
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// When it can't be synced or renamed. What was there before is then untouched, but for a file of several names: the
    /// error says where the new contents are.
    pub(crate) fn finish(self) -> io::Result<()> {
        if self.old.as_ref().is_some_and(has_other_names) { self.write_in_place() } else { self.rename() }
    }

    fn rename(self) -> io::Result<()> {
        let Self { temporary, target, old } = self;
        if let Some(old) = &old {
            keep_owner_and_mode(temporary.as_file(), old)?;
        }
        temporary.as_file().sync_all()?;
        temporary.persist(&target).map_err(|failed| failed.error)?;
        sync_folder(&target);
        Ok(())
    }

    fn write_in_place(self) -> io::Result<()> {
        let Self { mut temporary, target, .. } = self;
        temporary.as_file().sync_all()?;
        temporary.as_file_mut().rewind()?;
        let mut file = OpenOptions::new().write(true).open(&target)?;
        let copied = io::copy(temporary.as_file_mut(), &mut file).and_then(|size| file.set_len(size));
        copied.and_then(|()| file.sync_all()).map_err(|error| match temporary.keep() {
            Ok((_, kept)) => {
                io::Error::new(error.kind(), format!("{error}; what was to be written is in {}", text::path(&kept)))
            }
            Err(_) => error,
        })
    }
}

/// The file that a path leads to, over links, and what it is if it is there.
fn target_of(path: &Path) -> io::Result<(PathBuf, Option<Metadata>)> {
    /// As many as Linux follows.
    const MOST_LINKS: usize = 40;
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            let is_link = fs::symlink_metadata(path)?.is_symlink();
            let target = if is_link { fs::canonicalize(path)? } else { path.to_owned() };
            return Ok((target, Some(metadata)));
        }
        Ok(metadata) => return Err(io::Error::other(format!("this is {}, which no file replaces", kind(&metadata)))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // Nothing is there, or a link to nothing: the file that it names is made.
    let mut target = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(next) = fs::read_link(&target) else { break };
        target = folder_of(&target).join(next);
    }
    Ok((target, None))
}

/// Whether a file is known by more than one name.
fn has_other_names(file: &Metadata) -> bool {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::nlink(file) > 1;
    #[cfg(not(unix))]
    {
        let _ = file;
        false
    }
}

/// Makes a new file belong to whom the old one does, if the system lets us, and gives it the old one's mode.
fn keep_owner_and_mode(file: &File, old: &Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        let new = file.metadata()?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            // Only root may give a file away; one's own groups are free to choose from.
            let _ = fchown(file, Some(old.uid()), Some(old.gid())).or_else(|_| fchown(file, None, Some(old.gid())));
        }
        // After the owner, who takes some bits of the mode along.
        file.set_permissions(old.permissions())?;
    }
    #[cfg(not(unix))]
    let _ = (file, old);
    Ok(())
}

/// Renames a synced file or a folder, over another if there is one, and waits until the folder knows.
pub(crate) fn replace(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder(to);
    Ok(())
}

/// A name beside `path` that nothing reads, for a writer that needs a path; [`replace`] gives it its own.
pub(crate) fn temporary_for(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let [start, end] = UNFINISHED;
    path.with_file_name(format!("{start}{name}-{}{end}", std::process::id()))
}

/// Whether a file of that name was never finished.
pub(crate) fn is_unfinished(name: &str) -> bool {
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

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_the_file_that_it_leads_to_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("inner")).unwrap();
        fs::write(at("inner/file"), b"old").unwrap();
        for (link, target) in [("link", "inner/file"), ("second", "link"), ("dangling", "inner/new")] {
            std::os::unix::fs::symlink(target, at(link)).unwrap();
        }
        for (link, target) in [("link", "inner/file"), ("second", "inner/file"), ("dangling", "inner/new")] {
            for output in [false, true] {
                let text = |out: &mut dyn Write| out.write_all(link.as_bytes());
                if output { write_output(&at(link), text) } else { write(&at(link), text) }.unwrap();
                assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink());
                assert_eq!(fs::read(at(target)).unwrap(), link.as_bytes());
                fs::remove_file(at(target)).unwrap();
            }
            fs::write(at("inner/file"), b"old").unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "links and folder");
        assert_eq!(fs::read_dir(at("inner")).unwrap().count(), 1);
        std::os::unix::fs::symlink("circle", at("circle")).unwrap();
        assert!(write_bytes(&at("circle"), b"x").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_named_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        for (path, what) in [
            (pipe.as_path(), "a pipe"),
            (Path::new("/dev/null"), "a device"),
            (&link, "a device"),
            (folder.path(), "a folder"),
        ] {
            let error = write_bytes(path, b"x").unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
            assert!(Output::create(path).is_err() && !path.is_file());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn the_mode_stays_and_a_new_file_has_the_umasks() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let (path, new) = (folder.path().join("file"), folder.path().join("new"));
        for wanted in [0o600, 0o664] {
            fs::write(&path, b"old").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(wanted)).unwrap();
            write_bytes(&path, b"one").unwrap();
            assert_eq!(mode(&path), wanted);
            write_output::<io::Error>(&path, |out| out.write_all(b"two")).unwrap();
            assert_eq!((mode(&path), fs::read(&path).unwrap()), (wanted, b"two".to_vec()));
        }
        write_bytes(&new, b"x").unwrap();
        let ordinary = folder.path().join("ordinary");
        File::create(&ordinary).unwrap();
        assert_eq!(mode(&new), mode(&ordinary));
    }

    #[cfg(unix)]
    #[test]
    fn names_of_one_file_stay_together_where_the_user_named_it_and_a_backup_of_a_run_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("file"), folder.path().join("other"));
        fs::write(&path, b"a long old text").unwrap();
        fs::hard_link(&path, &other).unwrap();
        write_output::<io::Error>(&path, |out| out.write_all(b"new")).unwrap();
        assert_eq!((fs::read(&path).unwrap(), fs::read(&other).unwrap()), (b"new".to_vec(), b"new".to_vec()));
        let failed = write_output::<io::Error>(&path, |_| Err(io::Error::other("disk full")));
        assert!(failed.is_err() && fs::read(&other).unwrap() == b"new");
        write_bytes(&path, b"newer").unwrap();
        assert_eq!((fs::read(&path).unwrap(), fs::read(&other).unwrap()), (b"newer".to_vec(), b"new".to_vec()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_a_killed_process_left_is_known_by_its_name() {
        let name = temporary_for(Path::new("run/best.safetensors"));
        assert!(is_unfinished(name.file_name().unwrap().to_str().unwrap()));
        assert!(!is_unfinished("best.safetensors") && !is_unfinished(".kindling-notes"));
    }
}
