//! Keeps the host from running far ahead of a GPU.
//!
//! A step is queued in a millisecond and may take a second. Without a bound, a pause, a stop or a look at the network
//! waits for all that was queued. So a step is queued only when the one two before it is done: one is computed while the
//! next one stands ready, the queue never runs empty, and nobody waits for more than two steps.

use crate::{
    device::{Compute, Mark},
    ops::fast,
};
use burn::tensor::Tensor;
use std::collections::VecDeque;

/// Steps in flight.
const STEPS: usize = 2;

/// The steps that a device has not finished yet.
#[derive(Debug, Default)]
pub struct Flight {
    marks: VecDeque<Mark>,
}

impl Flight {
    /// Notes that a step was queued, which `result` comes from; waits until only [`STEPS`] are in flight.
    pub fn queued(&mut self, compute: &Compute, result: &Tensor<1>) {
        if compute.adapter.is_none() {
            return;
        }
        fast::submit(result);
        self.marks.extend(compute.mark());
        if self.marks.len() > STEPS
            && let Some(mark) = self.marks.pop_front()
        {
            compute.wait_for(mark);
        }
    }
}
