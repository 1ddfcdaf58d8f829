//! Zip archives that begin where their file begins, as all do that are read here.
//!
//! Left to itself, the zip crate looks for the beginning: something may stand before an archive, such as the program that
//! unpacks it. It then takes the entry for the directory's start whose distance from the end is the directory's size,
//! which PyTorch's files have in the wrong place where a member's name is of the right length.

use std::io::{Read, Seek};
use zip::{
    ZipArchive,
    read::{ArchiveOffset, Config},
    result::ZipResult,
};

/// Reads the archive's directory.
pub(crate) fn open<R: Read + Seek>(reader: R) -> ZipResult<ZipArchive<R>> {
    ZipArchive::with_config(Config { archive_offset: ArchiveOffset::Known(0) }, reader)
}
