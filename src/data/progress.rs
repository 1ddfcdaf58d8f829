//! How long work on data tells its caller where it stands, and is told to stop.

use super::DataError;
use std::ops::ControlFlow;

/// Where a long operation stands.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Report {
    /// Bytes of a file that is being downloaded; `total` is unknown where the server does not say.
    Download { file: String, done: u64, total: Option<u64>, bytes_per_s: f64 },
    /// Image files whose size has been looked at.
    Scan { done: usize, total: usize },
    /// Images decoded, or bytes of an archive read.
    Read { done: u64, total: u64 },
    /// Something that the user should know and that stops nothing.
    Note { text: String },
}

/// Takes reports, from any thread; `Break` asks the operation to end with [`DataError::Cancelled`].
pub trait Progress: Sync {
    fn report(&self, what: &Report) -> ControlFlow<()>;
}

/// Reports to nobody.
pub struct Silent;

impl Progress for Silent {
    fn report(&self, _: &Report) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Any closure that takes a report is a [`Progress`].
impl<F: Fn(&Report) -> ControlFlow<()> + Sync> Progress for F {
    fn report(&self, what: &Report) -> ControlFlow<()> {
        self(what)
    }
}

/// Reports, and turns a wish to stop into an error.
pub(super) fn tell(progress: &dyn Progress, what: Report) -> Result<(), DataError> {
    match progress.report(&what) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(DataError::Cancelled),
    }
}
