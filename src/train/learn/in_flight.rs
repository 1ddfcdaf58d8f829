//! Keeps the host from running far ahead of a GPU.
//!
//! A step is queued in a millisecond and may take a second. Without a bound, a pause, a stop or a look at the network
//! waits for all that was queued. So a step is queued only when the one two before it is done: one is computed while the
//! next one stands ready, the queue never runs empty, and nobody waits for more than two steps.

use crate::device::{Compute, Fence};
use std::collections::VecDeque;

/// Steps in flight.
const STEPS: usize = 2;

/// The steps that a device has not finished yet.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    fences: VecDeque<Fence>,
}

impl InFlight {
    /// Notes that a step was queued, which `submit` hands over to the device; waits until only [`STEPS`] are in flight.
    pub(crate) fn queued(&mut self, compute: &Compute, submit: impl FnOnce()) {
        if compute.adapter.is_none() {
            return;
        }
        submit();
        self.fences.extend(compute.fence());
        if self.fences.len() > STEPS
            && let Some(fence) = self.fences.pop_front()
        {
            compute.wait_for(fence);
        }
    }
}
