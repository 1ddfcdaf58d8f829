//! Text from files of strangers, made safe to show.
//!
//! A class, file or tensor name may hold an escape sequence that repaints the terminal, a line break that forges a
//! second message, a mark that turns the reading direction, or a megabyte. Whatever a message, a toast or the log takes
//! from a file goes through here; what is *used* (to open a file, to match a class) stays as it is.

use std::{
    borrow::Cow,
    ffi::OsStr,
    path::{Path, PathBuf},
};

/// Characters after which a name is cut in its middle, so that its beginning and its end both show.
const MAX_NAME_CHARS: usize = 200;
/// The same for a message with names in it.
const LONGEST_MESSAGE: usize = 600;

/// A foreign text on one line: control characters, line ends and marks of direction are written out as Rust would escape
/// them, and the middle of a long one is left out.
pub(crate) fn foreign(text: &str) -> String {
    shorten(escape(text), MAX_NAME_CHARS)
}

/// A message of ours, or of a library's, that may have foreign text in it: as [`foreign`], but with room for more.
pub(crate) fn message(text: &str) -> String {
    shorten(escape(text), LONGEST_MESSAGE)
}

/// What is about to be shown on any number of lines: all but their ends is written out. The last resort, for whatever
/// foreign text got this far; a name that breaks lines was to be caught where it was put in.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| is_harmful(c) && c != '\n') {
        return text.into();
    }
    text.split('\n').map(escape).collect::<Vec<_>>().join("\n").into()
}

/// `a, b or c`
pub(crate) fn alternatives(names: &[&str]) -> String {
    match names {
        [some @ .., one, last] if !some.is_empty() => format!("{}, {one} or {last}", some.join(", ")),
        _ => names.join(" or "),
    }
}

/// A path on one line, as [`foreign`]; bytes that are no UTF-8 are written as `\xFF`, so that two such names differ.
pub(crate) fn path(path: &Path) -> String {
    foreign(&utf8(path.as_os_str()))
}

/// The last part of a path on one line, as [`path`]; all of a path that has no such part.
pub(crate) fn file_name(whole: &Path) -> String {
    path(whole.file_name().map_or(whole, Path::new))
}

/// A name of a file as text: itself where it is UTF-8, else with `\xFF` for the bytes that are not, so that names that
/// differ stay different.
pub(crate) fn utf8(name: &OsStr) -> String {
    let bytes = name.as_encoded_bytes();
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02X}")));
    }
    text
}

/// The path that [`utf8`] wrote out, if such a path exists and `text` itself is none.
pub(crate) fn to_path(text: &str) -> PathBuf {
    let path = PathBuf::from(text);
    #[cfg(unix)]
    if !path.exists() && text.contains("\\x") {
        use std::os::unix::ffi::OsStringExt;
        let other = PathBuf::from(std::ffi::OsString::from_vec(unescape(text)));
        if other.exists() {
            return other;
        }
    }
    path
}

#[cfg(unix)]
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split("\\x");
    bytes.extend(parts.next().unwrap_or_default().bytes());
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend(&part.as_bytes()[2..]);
            }
            None => bytes.extend(format!("\\x{part}").bytes()),
        }
    }
    bytes
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe
}

/// Whether a character does something else than show itself. Joiners stay: scripts and emoji need them.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' // direction
            | '\u{2028}' | '\u{2029}' // line and paragraph
            | '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}') // invisible
}

fn shorten(text: String, longest: usize) -> String {
    let count = text.chars().count();
    if count <= longest {
        return text;
    }
    let half = (longest - 1) / 2;
    let beginning: String = text.chars().take(half).collect();
    let end: String = text.chars().skip(count - half).collect();
    format!("{beginning}…{end}")
}

/// A cell of a CSV file that may hold anything. One that a spreadsheet would take for a formula gets an apostrophe in front: names of
/// files and classes come from strangers.
pub(crate) fn csv_cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if guard.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        return text.to_owned();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_of_any_script_stay() {
        for name in ["tabby cat", "Käse", "ลูกแมว", "👩‍🔬", "a/b.png", "C:\\photos"] {
            assert_eq!(foreign(name), name);
            assert_eq!(path(Path::new(name)), name);
        }
    }

    #[test]
    fn what_would_act_on_a_terminal_is_written_out() {
        assert_eq!(foreign("a\x1b[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(foreign("one\ntwo\r\t"), "one\\ntwo\\r\\t");
        assert_eq!(foreign("exe\u{202e}gpj"), "exe\\u{202e}gpj");
    }

    #[test]
    fn the_last_of_some_names_stands_behind_an_or() {
        assert_eq!([&["a"][..], &["a", "b"], &["a", "b", "c"]].map(alternatives), ["a", "a or b", "a, b or c"]);
    }

    #[test]
    fn lines_stay_lines_and_nothing_else_does() {
        assert_eq!(lines("a\n  b\n"), "a\n  b\n");
        assert_eq!(lines("a\x1b[1m\nb\rc"), "a\\u{1b}[1m\nb\\rc");
    }

    #[test]
    fn a_long_text_keeps_its_beginning_and_its_end() {
        let text = foreign(&format!("start{}end", "x".repeat(3000)));
        assert!(text.starts_with("start") && text.ends_with("end") && text.contains('…'));
        assert!(text.chars().count() <= MAX_NAME_CHARS);
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_no_utf_8_can_be_told_apart() {
        use std::os::unix::ffi::OsStrExt;
        let name = |bytes| path(Path::new(OsStr::from_bytes(bytes)));
        assert_eq!(name(b"caf\xe9.png"), "caf\\xE9.png");
        assert_ne!(name(b"\xe9"), name(b"\xe8"));
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_was_written_out_leads_to_its_folder() {
        use std::os::unix::ffi::OsStrExt;
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join(OsStr::from_bytes(b"caf\xe9 \\x")).join("plain");
        std::fs::create_dir_all(&folder).unwrap();
        assert_eq!(to_path(&utf8(folder.as_os_str())), folder);
        assert_eq!(to_path("no\\xE9where"), Path::new("no\\xE9where"));
    }
}
