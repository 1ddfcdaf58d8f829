//! Standard output, line by line. A reader that went away is an error here, not a panic as with `println!`. Nothing but
//! lines gets through to a terminal, whatever a file's names have in them; JSON, which programs read, is exact.

use crate::text;
use serde::Serialize;
use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    path::Path,
};

/// Prints a line.
pub(crate) fn line(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", text::lines(&text.to_string()))
}

/// Prints a value as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_string(value)?;
    writeln!(io::stdout().lock(), "{json}")
}

/// Tells people something that is not a result.
pub(crate) fn note(text: impl Display) {
    // Nobody can be told that standard error is closed.
    let _ = writeln!(io::stderr().lock(), "{}", text::lines(&text.to_string()));
}

/// Whether a person watches standard output.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// A path as it is typed in a shell, with quotes around it where it needs them.
pub(crate) fn argument(path: &Path) -> String {
    let text = text::path(path);
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,".contains(c);
    if text.chars().all(plain) && !text.is_empty() { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_can_be_pasted_into_a_shell() {
        assert_eq!(argument("runs/a-1".as_ref()), "runs/a-1");
        assert_eq!(argument("my photos/it's".as_ref()), "'my photos/it'\\''s'");
    }
}
