//! Keeps the host from running far ahead of a device.
//!
//! A step is queued in a millisecond and may take a second. Without a bound, a pause, a stop or a look at the network
//! waits for all that was queued. So a step is queued only when the one two before it is done: one is computed while the
//! next one stands ready, the queue never runs empty, and nobody waits for more than two steps.
//!
//! Of a device elsewhere it is known late that a step is done, and short steps would leave it idle meanwhile. There more
//! may be queued: as much as was not yet known to be done when the last answer was sent, and a moment's work beside.

use super::{Compute, Fence, remote::Link};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Steps in flight.
const STEPS: usize = 2;
/// Steps in flight to a device elsewhere.
const STEPS_ELSEWHERE: usize = 512;
/// What a device elsewhere has to do while nothing is heard of it, beyond what travels.
const MOMENT: Duration = Duration::from_millis(40);

/// The steps that a device has not finished yet, and when each was queued.
#[derive(Default)]
pub(crate) struct InFlight {
    fences: VecDeque<(Instant, Fence)>,
}

impl InFlight {
    /// Notes that a step was queued, which `submit` hands over to the device; waits until no more than may be are in flight.
    pub(crate) fn queued(&mut self, compute: &Compute, submit: impl FnOnce()) {
        if compute.is_here_and_now() {
            return;
        }
        submit();
        self.fences.extend(compute.fence().map(|fence| (Instant::now(), fence)));
        self.forget_done();
        while self.are_too_many(compute.link().map(|link| &**link))
            && let Some((_, fence)) = self.fences.pop_front()
        {
            compute.wait_for(fence);
        }
    }

    fn forget_done(&mut self) {
        while let Some((_, Fence::Mark(mark))) = self.fences.front()
            && mark.poll().is_some()
        {
            self.fences.pop_front();
        }
    }

    fn are_too_many(&self, link: Option<&Link>) -> bool {
        let queued = self.fences.len();
        match (link, self.fences.front()) {
            (Some(link), Some((since, _))) if queued > STEPS => {
                queued > STEPS_ELSEWHERE || since.elapsed() > link.latency() + MOMENT
            }
            _ => queued > STEPS,
        }
    }
}
