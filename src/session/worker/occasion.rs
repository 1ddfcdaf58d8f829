//! What is done now and then beside training, and may take only so much of the time.

use std::time::{Duration, Instant};

/// When something was done last, and how long it took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Occasion {
    last: Instant,
    took: Duration,
}

impl Default for Occasion {
    fn default() -> Self {
        Self { last: Instant::now(), took: Duration::ZERO }
    }
}

impl Occasion {
    /// Whether it is time again: after `wait`, and after `times` as long as it took, so that it never takes more than that
    /// part of the time.
    pub(super) fn is_due(&self, wait: Duration, times: u32) -> bool {
        self.last.elapsed() > wait.max(self.took * times)
    }

    /// It was done, from `started` until now; gives how long it took.
    pub(super) fn done(&mut self, started: Instant) -> Duration {
        self.took = started.elapsed();
        self.last = Instant::now();
        self.took
    }
}
