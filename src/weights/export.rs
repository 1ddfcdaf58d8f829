//! A network for other programs, in the form that they read.

use super::{Imported, WeightsError, write_onnx, write_safetensors};
use std::path::Path;

/// A form that other programs read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// torchvision's names and shapes, which `load_state_dict` takes.
    Safetensors,
    /// A graph for ONNX runtimes: with `preprocessing` it takes an image's bytes `[N, H, W, C]` and normalises them
    /// itself, without it normalised floats `[N, C, H, W]`.
    Onnx {
        /// Whether the graph normalises.
        preprocessing: bool,
    },
}

impl ExportFormat {
    /// The usual ending of such a file's name, without the dot.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            ExportFormat::Safetensors => "safetensors",
            ExportFormat::Onnx { .. } => "onnx",
        }
    }

    /// Writes `network` to `path`. The file appears whole or not at all.
    ///
    /// # Errors
    /// When the file can't be written, or the tensors are not exactly those of the network.
    pub(crate) fn write(self, network: &Imported, path: &Path) -> Result<(), WeightsError> {
        let Imported { card, tensors, .. } = network;
        match self {
            ExportFormat::Safetensors => write_safetensors(path, card, tensors),
            ExportFormat::Onnx { preprocessing } => write_onnx(path, card, tensors, preprocessing),
        }
    }
}
