//! How fast training goes, and when to say so. Time that is not training (saving, validating, pauses) is left out, and
//! so is the first step, which prepares the device.

use crate::device::Compute;
use std::time::{Duration, Instant};

/// Reports on a device that answers at once.
const PROMPT: Duration = Duration::from_millis(100);
/// Reports on a device that has to be waited for: at most two waits a second.
const PATIENT: Duration = Duration::from_millis(500);
/// A device elsewhere has nothing to do while a report travels: that is to be a small part of the time …
const LATENCIES: u32 = 20;
/// … but people want to see something.
const MOST_PATIENT: Duration = Duration::from_secs(1);

pub(super) struct Pace {
    since: Instant,
    /// Time since `since` that does not count.
    skipped: Duration,
    /// Steps since the last report.
    steps: u64,
    reports: u64,
    images_per_s: f32,
    step_s: f64,
}

impl Pace {
    pub(crate) fn new() -> Self {
        let since = Instant::now();
        Self { since, skipped: Duration::ZERO, steps: 0, reports: 0, images_per_s: 0.0, step_s: 0.0 }
    }

    /// Counts a step.
    pub(crate) fn step(&mut self) {
        self.steps += 1;
    }

    /// Steps since the last report.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// Whether it is time to report: after the first two steps at once, then a few times a second.
    pub(crate) fn due(&self, compute: &Compute) -> bool {
        let patience = match compute.link() {
            Some(link) => (LATENCIES * link.latency()).clamp(PATIENT, MOST_PATIENT),
            None if compute.is_here_and_now() => PROMPT,
            None => PATIENT,
        };
        self.reports < 2 || self.since.elapsed() >= patience
    }

    /// Takes in a report over `images` images; returns the seconds of training since the last one.
    pub(crate) fn take(&mut self, images: u64) -> f64 {
        let seconds = self.since.elapsed().saturating_sub(self.skipped).as_secs_f64();
        self.reports += 1;
        if self.reports > 1 && seconds > 0.0 && self.steps > 0 {
            // An average that forgets over some ten reports, and starts with what there is.
            let weight = (1.0 / (self.reports - 1) as f64).max(0.1);
            let blend = |old: f64, new: f64| old + weight * (new - old);
            self.images_per_s = blend(f64::from(self.images_per_s), images as f64 / seconds) as f32;
            self.step_s = blend(self.step_s, seconds / self.steps as f64);
        }
        self.restart();
        seconds
    }

    /// Forgets the time since the last report.
    pub(crate) fn restart(&mut self) {
        (self.since, self.skipped, self.steps) = (Instant::now(), Duration::ZERO, 0);
    }

    /// Leaves a time out of the present report.
    pub(crate) fn skip(&mut self, time: Duration) {
        self.skipped += time;
    }

    pub(crate) fn images_per_s(&self) -> f32 {
        self.images_per_s
    }

    /// Seconds a step takes, once known.
    pub(crate) fn step_s(&self) -> Option<f64> {
        (self.reports > 1).then_some(self.step_s)
    }
}
