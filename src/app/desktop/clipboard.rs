//! What is in the clipboard: files that were copied in a file manager, or an image.

use crate::app::widgets::pictures::Picture;
use crate::data::{WHITE, blend};
use std::path::PathBuf;

/// What can be taken out of a clipboard here.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    Files(Vec<PathBuf>),
    Image(Picture),
}

/// The files, or else the image, in the clipboard. Waits for whoever owns it: not for the frame.
pub(crate) fn read() -> Result<Content, String> {
    let unreadable = |error| format!("The clipboard can't be read: {error}");
    let mut clipboard = arboard::Clipboard::new().map_err(unreadable)?;
    // File managers add an image of the file's icon, so the files come first.
    let files = clipboard.get().file_list().unwrap_or_default();
    if !files.is_empty() {
        return Ok(Content::Files(files));
    }
    let image = match clipboard.get_image() {
        Ok(image) => image,
        Err(arboard::Error::ContentNotAvailable) => {
            // Some copy files as text alone.
            let files = files_in_text(&clipboard.get_text().unwrap_or_default());
            return match files.is_empty() {
                true => Err("There are no files and no image in the clipboard".to_owned()),
                false => Ok(Content::Files(files)),
            };
        }
        Err(error) => return Err(unreadable(error)),
    };
    let pixels = image.bytes.as_chunks().0.iter().flat_map(|&rgba| blend(rgba, WHITE)).collect();
    Ok(Content::Image(Picture { width: image.width, height: image.height, channels: 3, pixels }))
}

/// The files that a text names, one a line, as paths or as `file://` addresses, if they are there.
fn files_in_text(text: &str) -> Vec<PathBuf> {
    // What nobody can have copied as a list of files is not looked for on a disk.
    const MAX_TEXT_BYTES: usize = 1 << 20;
    if text.len() > MAX_TEXT_BYTES {
        return Vec::new();
    }
    text.lines().filter_map(path_in_text).filter(|path| path.is_absolute() && path.exists()).collect()
}

/// The path that somebody has typed or copied: with `file://` before it, quoted, or beginning with `~`.
pub(crate) fn path_in_text(text: &str) -> Option<PathBuf> {
    let text = text.trim();
    if let Some(address) = text.strip_prefix("file://") {
        return Some(decoded(address));
    }
    let quoted = ['"', '\''].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
    let text = quoted.unwrap_or(text);
    match text.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with(['/', std::path::MAIN_SEPARATOR]) => {
            let home = directories::BaseDirs::new()?.home_dir().to_owned();
            Some(home.join(rest.trim_start_matches(['/', std::path::MAIN_SEPARATOR])))
        }
        _ => Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty()),
    }
}

/// The path of a `file://` address: `%20` is a space, and before the first slash stands the machine.
fn decoded(address: &str) -> PathBuf {
    let path = address.find('/').map_or(address, |at| &address[at..]);
    path_of(percent_encoding::percent_decode_str(path).collect())
}

#[cfg(unix)]
fn path_of(bytes: Vec<u8>) -> PathBuf {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt};
    OsString::from_vec(bytes).into()
}

#[cfg(not(unix))]
fn path_of(bytes: Vec<u8>) -> PathBuf {
    // `/C:/photos` is what such an address has.
    String::from_utf8_lossy(&bytes).trim_start_matches('/').into()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_as_people_and_file_managers_write_it() {
        let path = |text| path_in_text(text).unwrap();
        assert_eq!(path("/a/b c.png"), PathBuf::from("/a/b c.png"));
        assert_eq!(path(" \"/a/b c.png\"\n"), PathBuf::from("/a/b c.png"));
        assert_eq!(path("file:///a/b%20c%C3%A9.png"), PathBuf::from("/a/b cé.png"));
        assert_eq!(path("file://machine/a/100%"), PathBuf::from("/a/100%"));
        assert!(path("~/photos").is_absolute() && path("~").is_dir());
        assert_eq!(path("~ada/photos"), PathBuf::from("~ada/photos"));
        assert_eq!(path_in_text("  "), None);
    }

    #[test]
    fn a_text_that_names_files_stands_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let photo = folder.path().join("a photo.png");
        std::fs::write(&photo, b"x").unwrap();
        let there = photo.display().to_string();
        // As old versions of GNOME's file manager have it.
        let text = format!("x-special/nautilus-clipboard\ncopy\nfile://{}\n", there.replace(' ', "%20"));
        assert_eq!(files_in_text(&text), [photo.as_path()]);
        assert_eq!(files_in_text(&there), [photo.as_path()]);
        assert!(files_in_text("Lorem ipsum\nCargo.toml\n/no/such/file").is_empty());
    }
}
