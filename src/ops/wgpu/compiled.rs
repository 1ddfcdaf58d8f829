//! Which kernels were compiled ahead for a device: what who compiles them tells, and who launches them asks.

use super::launch::Kernel;
use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Longer than the slowest machine takes for all kernels; a driver that takes longer compiles once more instead.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// The kernels that were compiled ahead for a device, or are about to be.
#[derive(Default)]
pub(crate) struct Compiled {
    /// And whether each is.
    kernels: Mutex<Vec<(Kernel, bool)>>,
    changed: Condvar,
}

impl Compiled {
    fn kernels(&self) -> MutexGuard<'_, Vec<(Kernel, bool)>> {
        self.kernels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody compiled a kernel, or is about to; from now on somebody is.
    pub(super) fn claim(&self, kernel: &Kernel) -> bool {
        let mut kernels = self.kernels();
        let fresh = !kernels.iter().any(|(other, _)| other == kernel);
        if fresh {
            kernels.push((kernel.clone(), false));
        }
        fresh
    }

    /// A kernel that was claimed is compiled, or else it is nobody's again.
    pub(super) fn settle(&self, kernel: &Kernel, compiled: bool) {
        let mut kernels = self.kernels();
        if let Some(at) = kernels.iter().position(|(other, _)| other == kernel) {
            if compiled {
                kernels[at].1 = true;
            } else {
                kernels.swap_remove(at);
            }
        }
        drop(kernels);
        self.changed.notify_all();
    }

    /// Returns when nobody is about to compile the kernel any more.
    pub(crate) fn wait_for(&self, kernel: &Kernel) {
        let kernels = self.kernels();
        if !kernels.is_empty() && !kernels.iter().any(|(other, _)| other == kernel) {
            tracing::debug!("{} was not planned", kernel.name);
        }
        let about = |kernels: &mut Vec<(Kernel, bool)>| kernels.iter().any(|(other, done)| !done && other == kernel);
        drop(self.changed.wait_timeout_while(kernels, LONGEST_WAIT, about));
    }
}
