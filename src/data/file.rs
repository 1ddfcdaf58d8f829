//! Opening files that other people named.
//!
//! What lies under an image's or an archive's name may be a pipe, which waits for a writer for ever, or a device, which
//! never ends. So what a path is gets asked before it is opened, and how much is read has a limit.

use std::{
    fs::{self, File, Metadata},
    io,
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
