//! The weights in a run that was saved as one file: a zip whose first member is [`MARK`], with the checkpoints stored
//! in it as they are. They are read where they lie.

use super::{error::Problem, zip_file};
use std::io::Cursor;
use zip::CompressionMethod;

/// Name of the first member, by which such a file is known from other zip archives.
pub(crate) const MARK: &str = "kindling-run";
/// Bytes of a zip archive before the first member's name.
const HEADER: usize = 30;
/// How many bytes [`is_bundle`] looks at.
pub(crate) const MAGIC_BYTES: usize = HEADER + MARK.len();

/// The checkpoints that stand for a run, the first one there counting.
const CHECKPOINTS: [&str; 2] = ["best.safetensors", "last.safetensors"];

/// Whether a file that begins so is a run.
pub(crate) fn is_bundle(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04") && bytes.get(HEADER..).is_some_and(|rest| rest.starts_with(MARK.as_bytes()))
}

/// The bytes of the best checkpoint, else the last.
pub(crate) fn checkpoint(bytes: &[u8]) -> Result<&[u8], Problem> {
    let broken = |what: &str| Problem::broken("run", what);
    let archive = zip_file::open(Cursor::new(bytes));
    let mut archive = archive.map_err(|_| broken("its directory is missing; the file is probably cut short"))?;
    let index = CHECKPOINTS.iter().find_map(|name| archive.index_for_name(name));
    let index = index.ok_or_else(|| Problem::Unsupported("a run that has no checkpoint yet".into()))?;
    let member = archive.by_index_raw(index).map_err(|_| broken("its directory is damaged"))?;
    if member.compression() != CompressionMethod::Stored || member.encrypted() {
        return Err(Problem::Unsupported("a run that another program has packed anew; save it again".into()));
    }
    let range = || {
        let start = usize::try_from(member.data_start()?).ok()?;
        bytes.get(start..start.checked_add(usize::try_from(member.compressed_size()).ok()?)?)
    };
    range().ok_or_else(|| broken("its weights lie outside the file"))
}
