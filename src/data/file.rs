//! Opening files that other people named.
//!
//! What lies under an image's or an archive's name may be a pipe, which waits for a writer for ever, or a device, which
//! never ends. So what a path is gets asked before it is opened, and how much is read has a limit.

use super::DataError;
use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    path::Path,
};

/// Most bytes of an image file.
const IMAGE_LIMIT: u64 = 256 << 20;

/// Endings of the supported formats, in lower case.
const ENDINGS: [&str; 13] =
    ["png", "jpg", "jpeg", "jpe", "jfif", "bmp", "gif", "webp", "tif", "tiff", "ppm", "pgm", "pbm"];

/// Whether a file's name has the ending of a supported image format. Hidden files do not count.
pub fn is_image_name(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    !hidden && ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()) || ending == "pnm")
}

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
pub(super) fn beginning(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, size) = open(path)?;
    let mut bytes = Vec::with_capacity(size.min(limit) as usize);
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The bytes of an image file.
///
/// # Errors
/// When the file cannot be read, has more than 256 MiB, or is no regular file: that is said without opening it.
pub fn read_image_file(path: &Path) -> io::Result<Vec<u8>> {
    let bytes = beginning(path, IMAGE_LIMIT + 1)?;
    match bytes.len() as u64 > IMAGE_LIMIT {
        true => Err(io::Error::other(format!("the file has more than {} MiB", IMAGE_LIMIT >> 20))),
        false => Ok(bytes),
    }
}

/// Refuses what claims to hold more than such files ever do, before memory is taken.
pub(super) fn check_size(what: &str, needed: u64, limit: u64) -> Result<(), DataError> {
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    match needed > limit {
        true => Err(DataError::TooLarge { what: what.to_owned(), needed: mebibytes(needed), limit: mebibytes(limit) }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_images_from_the_rest() {
        for name in ["a.png", "b.JPG", "x/c.jpeg", "d.tiff", "e.pnm"] {
            assert!(is_image_name(Path::new(name)), "{name}");
        }
        for name in [".hidden.png", "._a.png", "Thumbs.db", "notes.txt", "png"] {
            assert!(!is_image_name(Path::new(name)), "{name}");
        }
    }

    #[cfg(unix)]
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
            let error = read_image_file(path).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
