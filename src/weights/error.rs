//! Why weights could not be read, written or fitted to a network. Every message is one line (a mismatch: one line a
//! tensor) that names the file, the fault, and where it helps what to do.

use super::fit::Mismatch;
use crate::text;
use std::{io, path::PathBuf};

/// A fault together with the file that it is in.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    #[error("{}: {source}", text::path(path))]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: {problem}", text::path(path))]
    File { path: PathBuf, problem: Problem },
    /// Published weights could not be fetched.
    #[error(transparent)]
    Download(#[from] crate::data::DataError),
    #[error(transparent)]
    UnknownName(#[from] UnknownName),
}

/// No weights are published under a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no weights are called “{}”; known: {known}", text::foreign(name))]
pub struct UnknownName {
    pub(crate) name: String,
    pub(crate) known: String,
}

/// What is wrong with the contents of a weight file.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Problem {
    #[error(
        "not a weight file that Kindling knows; it reads safetensors, PyTorch's .pt and .pth, MindSpore's .ckpt, and ONNX"
    )]
    UnknownFormat,
    #[error("the file is empty")]
    Empty,
    /// The container is damaged or not what its format allows.
    #[error("broken {format} file: {}", text::message(what))]
    Broken { format: &'static str, what: String },
    /// A pickle that names what only an attack has a use for.
    #[error(
        "refused: the file asks for the Python object `{}`, and Kindling executes nothing in a weight file; save only \
         the tensors, with `torch.save(model.state_dict(), …)`", text::foreign(.0)
    )]
    ForeignObject(String),
    /// A valid file of a kind that is not read.
    #[error("{}", text::message(.0))]
    Unsupported(String),
    /// The tensors are not those of a network that is read.
    #[error("{}", text::message(.0))]
    NotANetwork(String),
    #[error("{0}")]
    Mismatch(Box<Mismatch>),
    /// Something to be written does not fit together.
    #[error("can't be written: {}", text::message(.0))]
    Inconsistent(String),
}

impl Problem {
    pub(crate) fn broken(format: &'static str, what: impl AsRef<str>) -> Self {
        Problem::Broken { format, what: text::foreign(what.as_ref()) }
    }
}

/// Whether a name may go into reports and other files as it is.
pub(crate) fn is_plain_name(name: &str) -> bool {
    name.len() <= 1000 && !name.chars().any(char::is_control)
}
