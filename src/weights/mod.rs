//! Reading and writing weights: Kindling's own checkpoints, and those of PyTorch, MindSpore and ONNX.
//!
//! Everything here works on the host and knows neither devices nor burn. A file is mapped into memory and parsed into
//! views of its bytes; the names of whichever family wrote it become torchvision's; the network is recognised from
//! names and shapes; and only then are values converted, each tensor once. A weight file comes from a stranger: nothing
//! in it is executed, and every size is checked against the file before memory is taken.

mod adapt;
mod backbone;
pub(crate) mod bundled;
mod card;
mod choose;
mod entry;
mod error;
mod export;
mod fit;
#[cfg(test)]
pub(crate) mod fixtures;
mod float8;
mod foreign;
#[cfg(test)]
pub(crate) mod formula;
mod head_card;
#[cfg(test)]
mod hostile_tests;
mod import;
mod imported;
mod inverted;
#[cfg(test)]
mod inverted_tests;
mod kinds;
mod known;
#[cfg(test)]
mod layout_tests;
mod locate;
mod mindspore;
mod names;
mod onnx;
mod onnx_import;
mod onnx_proto;
#[cfg(test)]
mod onnx_tests;
mod protobuf;
mod pytorch;
mod recognise;
mod registry;
mod report;
mod safetensors;
mod tensor;
#[cfg(test)]
mod tests;
mod torch_storage;
mod torch_tree;
pub(crate) mod zip_file;

pub(crate) use adapt::adapt;
pub(crate) use backbone::{BUNDLED, is_bundled};
pub use card::ModelCard;
pub(crate) use card::{CardError, default_preprocessing};
pub(crate) use error::is_plain_name;
pub(crate) use error::{Problem, WeightsError};
pub use export::ExportFormat;
pub use head_card::HeadCard;
pub(crate) use head_card::Unknown;
pub use import::read;
pub(crate) use import::read_pretrained;
pub(crate) use imported::{Backbone, Pretrained};
pub use imported::{ImportOptions, Imported};
pub(crate) use known::KnownData;
pub(crate) use names::Family;
pub(crate) use onnx::write_onnx;
pub(crate) use registry::{PUBLISHED, locate, published};
pub(crate) use report::ImportReport;
pub(crate) use safetensors::{Metadata, tensors_of, write_checkpoint, write_tensors};
pub use safetensors::{read_checkpoint, read_tensors, write_safetensors};
pub use tensor::{HostTensor, StateDict};

use crate::{cache, file};
use std::path::{Path, PathBuf};

/// The user's cache folder for published weights: `~/.cache/kindling/weights`, or what the system has for it.
pub(crate) fn cache_dir() -> Option<PathBuf> {
    cache::place(cache::Kind::Weights)
}

/// Maps a file and hands its bytes to `read`, naming the file in whatever goes wrong.
fn with_file<T>(path: &Path, read: impl FnOnce(&[u8]) -> Result<T, Problem>) -> Result<T, WeightsError> {
    let at = |problem| WeightsError::File { path: path.to_owned(), problem };
    if let Some(bytes) = backbone::bytes(path) {
        return read(bytes).map_err(at);
    }
    let io = |source| WeightsError::Io { path: path.to_owned(), source };
    let (file, size) = file::open(path).map_err(io)?;
    if size == 0 {
        return Err(at(Problem::Empty));
    }
    // SAFETY: the map is only read. Were another program to cut the file short meanwhile, reading would end the
    // process, as with every mapped file; Kindling itself replaces files by renaming, which leaves the mapped one whole.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
    read(&map).map_err(at)
}
