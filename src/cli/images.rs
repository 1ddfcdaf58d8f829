//! Images that a command is given: files, folders of them, or standard input.

use super::output;
use crate::{
    data::{self, Preprocessing},
    format, text,
};
use anyhow::ensure;
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Bytes of the largest image that is read from a stream.
const MAX_STREAM_BYTES: u64 = 512 << 20;

/// Where an image comes from.
pub(super) enum Input {
    File(PathBuf),
    Standard,
    /// A place in which there should have been images.
    Nothing(PathBuf, String),
}

impl Input {
    pub(super) fn name(&self) -> String {
        match self {
            Input::File(path) | Input::Nothing(path, _) => text::utf8(path.as_os_str()),
            Input::Standard => "-".to_owned(),
        }
    }

    /// The name for people.
    pub(super) fn shown(&self) -> String {
        match self {
            Input::File(path) | Input::Nothing(path, _) => text::path(path),
            Input::Standard => self.name(),
        }
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Whether a shell means a stream by this path, as with `<(…)`: one that is open already, so that opening it waits for
/// nobody.
fn is_handed_over(path: &Path) -> bool {
    ["/dev/fd", "/dev/stdin", "/proc/self/fd"].iter().any(|start| path.starts_with(start))
}

/// Folders become the images in them; what else lies there is said.
///
/// # Errors
/// Where standard input is named twice.
pub(super) fn expand(paths: &[PathBuf]) -> anyhow::Result<Vec<Input>> {
    ensure!(paths.iter().filter(|path| is_stdin(path)).count() < 2, "standard input can be read only once");
    let mut inputs = Vec::new();
    for (i, paths) in paths.split(|path| is_stdin(path)).enumerate() {
        if i > 0 {
            inputs.push(Input::Standard);
        }
        let found = data::images_in(paths);
        inputs.extend(found.images.into_iter().map(Input::File));
        inputs.extend(found.rejected.into_iter().map(|nothing| Input::Nothing(nothing.path, nothing.reason)));
        if !found.left_out.is_empty() {
            output::note(format_args!("left out: {}", found.left_out));
        }
    }
    Ok(inputs)
}

/// The bytes that the network takes, or why there are none.
pub(super) fn prepare(input: &Input, preprocessing: &Preprocessing) -> Result<Vec<u8>, String> {
    let bytes = match input {
        Input::File(path) if is_handed_over(path) => File::open(path).and_then(read),
        Input::File(path) => data::read_image_file(path),
        Input::Standard => read(io::stdin().lock()),
        Input::Nothing(_, reason) => return Err(reason.clone()),
    };
    let bytes = bytes.map_err(|error| error.to_string())?;
    let image = data::decode_image(&bytes, preprocessing.pixel_rules).map_err(|error| error.to_string())?;
    Ok(preprocessing.prepare(&image))
}

fn read(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_STREAM_BYTES + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 {
        0 => Err(io::Error::other("no image: there are no bytes")),
        n if n > MAX_STREAM_BYTES => Err(io::Error::other(format!("more than {}", format::bytes(MAX_STREAM_BYTES)))),
        _ => Ok(bytes),
    }
}
