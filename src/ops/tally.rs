//! What a device is asked to do, counted: launches, waits of the host, and, where somebody measures, the time of each
//! operation. Counting costs an atomic addition; timing is off unless asked for.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

static LAUNCHES: AtomicU64 = AtomicU64::new(0);
static WAITS: AtomicU64 = AtomicU64::new(0);
static TIMING: AtomicBool = AtomicBool::new(false);
static TIMES: Mutex<BTreeMap<String, Timed>> = Mutex::new(BTreeMap::new());
static KERNELS: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

/// How often something happened since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Kernels that were sent to a GPU.
    pub launches: u64,
    /// Times that the host waited for a device's results.
    pub waits: u64,
}

/// The calls of one operation on tensors of one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timed {
    pub calls: u64,
    pub time: Duration,
}

/// A kernel goes to a GPU.
pub fn launch(kernel: &'static str) {
    LAUNCHES.fetch_add(1, Ordering::Relaxed);
    if TIMING.load(Ordering::Relaxed) {
        *KERNELS.lock().unwrap_or_else(PoisonError::into_inner).entry(kernel).or_default() += 1;
    }
}

/// The host waits for a result.
pub fn wait() {
    WAITS.fetch_add(1, Ordering::Relaxed);
}

/// The counts so far.
pub fn counts() -> Counts {
    Counts { launches: LAUNCHES.load(Ordering::Relaxed), waits: WAITS.load(Ordering::Relaxed) }
}

/// Begins, or ends, timing operations.
pub fn time_operations(on: bool) {
    TIMING.store(on, Ordering::Relaxed);
}

/// Times what happens until the value is dropped; nothing where operations are not timed. On a GPU this is the time of
/// queueing.
#[must_use]
pub fn time(name: impl FnOnce() -> String) -> Option<Timer> {
    TIMING.load(Ordering::Relaxed).then(|| Timer { name: name(), start: Instant::now() })
}

/// See [`time`].
pub struct Timer {
    name: String,
    start: Instant,
}

impl Drop for Timer {
    fn drop(&mut self) {
        let time = self.start.elapsed();
        let mut times = TIMES.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = times.entry(std::mem::take(&mut self.name)).or_default();
        *entry = Timed { calls: entry.calls + 1, time: entry.time + time };
    }
}

/// Takes out how often each kernel went to a GPU while operations were timed, the most frequent first.
pub fn take_launches() -> Vec<(&'static str, u64)> {
    let mut kernels = KERNELS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut kernels: Vec<_> = std::mem::take(&mut *kernels).into_iter().collect();
    kernels.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    kernels
}

/// Takes out what was timed, the longest first.
pub fn take_times() -> Vec<(String, Timed)> {
    let mut times = TIMES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut times: Vec<_> = std::mem::take(&mut *times).into_iter().collect();
    times.sort_by_key(|(_, timed)| std::cmp::Reverse(timed.time));
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_timed_only_when_asked() {
        drop(time(|| "tally test, off".into()));
        time_operations(true);
        let timer = time(|| "tally test, on".into());
        std::thread::sleep(Duration::from_millis(2));
        drop(timer);
        time_operations(false);
        let times = take_times();
        assert!(!times.iter().any(|(name, _)| name == "tally test, off"));
        let (_, on) = times.iter().find(|(name, _)| name == "tally test, on").unwrap();
        assert!(on.calls == 1 && on.time >= Duration::from_millis(2));
    }
}
