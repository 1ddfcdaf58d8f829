//! What a device is asked to do, counted: launches, waits of the host, and, where somebody measures, the time of each
//! operation. Counting costs an atomic addition; timing is off unless asked for.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The counts and times of a device.
#[derive(Debug, Default)]
pub struct Profile {
    launches: AtomicU64,
    waits: AtomicU64,
    timing: AtomicBool,
    times: Mutex<BTreeMap<String, Timed>>,
    kernels: Mutex<BTreeMap<&'static str, u64>>,
}

/// How often something happened since the device was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Kernels that were sent to a GPU.
    pub launches: u64,
    /// Times that the host waited for a device's results.
    pub waits: u64,
}

impl Counts {
    /// How often since then.
    pub(crate) fn since(self, before: Self) -> Self {
        Self { launches: self.launches - before.launches, waits: self.waits - before.waits }
    }
}

/// The calls of one operation on tensors of one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timed {
    pub calls: u64,
    pub time: Duration,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Profile {
    /// A kernel goes to a GPU.
    pub(crate) fn launch(&self, kernel: &'static str) {
        self.launches.fetch_add(1, Ordering::Relaxed);
        if self.timing.load(Ordering::Relaxed) {
            *locked(&self.kernels).entry(kernel).or_default() += 1;
        }
    }

    /// The host waits for a result.
    pub(crate) fn wait(&self) {
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts so far.
    pub(crate) fn counts(&self) -> Counts {
        Counts { launches: self.launches.load(Ordering::Relaxed), waits: self.waits.load(Ordering::Relaxed) }
    }

    /// Begins, or ends, timing operations.
    pub(crate) fn time_operations(&self, on: bool) {
        self.timing.store(on, Ordering::Relaxed);
    }

    /// Times what happens until the value is dropped; nothing where operations are not timed. On a GPU this is the time of
    /// queueing.
    #[must_use]
    pub(crate) fn time(&self, name: impl FnOnce() -> String) -> Option<Timer<'_>> {
        self.timing.load(Ordering::Relaxed).then(|| Timer { profile: self, name: name(), start: Instant::now() })
    }

    /// Takes out how often each kernel went to a GPU while operations were timed, the most frequent first.
    pub(crate) fn take_launches(&self) -> Vec<(&'static str, u64)> {
        let mut kernels: Vec<_> = std::mem::take(&mut *locked(&self.kernels)).into_iter().collect();
        kernels.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        kernels
    }

    /// Takes out what was timed, the longest first.
    pub(crate) fn take_times(&self) -> Vec<(String, Timed)> {
        let mut times: Vec<_> = std::mem::take(&mut *locked(&self.times)).into_iter().collect();
        times.sort_by_key(|(_, timed)| std::cmp::Reverse(timed.time));
        times
    }
}

/// See [`Profile::time`].
pub struct Timer<'a> {
    profile: &'a Profile,
    name: String,
    start: Instant,
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        let time = self.start.elapsed();
        let mut times = locked(&self.profile.times);
        let entry = times.entry(std::mem::take(&mut self.name)).or_default();
        *entry = Timed { calls: entry.calls + 1, time: entry.time + time };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_timed_only_when_asked() {
        let profile = Profile::default();
        drop(profile.time(|| "off".into()));
        profile.time_operations(true);
        let timer = profile.time(|| "on".into());
        std::thread::sleep(Duration::from_millis(2));
        drop(timer);
        let times = profile.take_times();
        assert_eq!(times.len(), 1);
        let (name, on) = &times[0];
        assert!(name == "on" && on.calls == 1 && on.time >= Duration::from_millis(2));
    }
}
