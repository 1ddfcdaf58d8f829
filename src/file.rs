//! Opening files that other people named.
//!
//! What lies under a name may be a pipe, which waits for a writer for ever, or a device, which never ends. So what a path
//! is gets asked before it is opened, and how much is read has a limit.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    path::Path,
};

/// Opens a regular file, and tells its size.
pub(crate) fn open(path: &Path) -> io::Result<(File, u64)> {
    let metadata = fs::metadata(path)?;
    match metadata.is_file() {
        true => Ok((File::open(path)?, metadata.len())),
        false => Err(io::Error::other(format!("this is {}, no file", kind(&metadata)))),
    }
}

/// What something that is no file is.
pub(crate) fn kind(metadata: &Metadata) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = metadata.file_type();
        if kind.is_fifo() {
            return "a pipe";
        } else if kind.is_socket() {
            return "a socket";
        }
    }
    if metadata.is_dir() { "a folder" } else { "a device" }
}

/// At most the first `limit` bytes of a file.
pub(crate) fn beginning(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, size) = open(path)?;
    let mut bytes = Vec::with_capacity(size.min(limit) as usize);
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether `file` is the one that has the name `path` now. Where the system does not tell files apart: whether any has it.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let id = |data: fs::Metadata| (data.dev(), data.ino());
        fs::metadata(path).is_ok_and(|there| file.metadata().is_ok_and(|open| id(open) == id(there)))
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.is_file()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_a_socket_a_device_and_a_folder_are_named_and_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe.png");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let socket = folder.path().join("socket.png");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, what) in [
            (pipe.as_path(), "a pipe"),
            (socket.as_path(), "a socket"),
            (Path::new("/dev/zero"), "a device"),
            (folder.path(), "a folder"),
        ] {
            let error = beginning(path, 1).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
