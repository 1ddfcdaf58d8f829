//! One measure of memory for all decoders that are at work together.
//!
//! A file of 35 bytes can ask for a gigabyte, and a folder is decoded on every core at once. So each image takes its
//! share before its pixels are allocated, and gives it back when they go; whoever finds too little left waits.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that decoders and decoded images may take together.
pub(super) static DECODING: Budget = Budget::new(1 << 30);

pub(super) struct Budget {
    limit: u64,
    taken: Mutex<u64>,
    given_back: Condvar,
    /// Held by the one who waits, so that a large image is not overtaken for ever by small ones.
    turn: Mutex<()>,
}

/// A part of a budget, until it is dropped.
///
/// Whoever holds one must not wait for another on the same thread: both may not fit.
pub(super) struct Share<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    const fn new(limit: u64) -> Self {
        Self { limit, taken: Mutex::new(0), given_back: Condvar::new(), turn: Mutex::new(()) }
    }

    /// Waits until there is room for `bytes`. What is beyond the whole budget has to be alone.
    pub(super) fn take(&self, bytes: u64) -> Share<'_> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |taken: &mut u64| *taken > 0 && *taken + bytes > self.limit;
        let waited = self.given_back.wait_while(self.taken(), full);
        *waited.unwrap_or_else(PoisonError::into_inner) += bytes;
        Share { budget: self, bytes }
    }

    fn taken(&self) -> MutexGuard<'_, u64> {
        // A number is never half changed.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share<'_> {
    /// Gives back what is more than `bytes`.
    pub(super) fn shrink(&mut self, bytes: u64) {
        let surplus = self.bytes.saturating_sub(bytes);
        self.bytes -= surplus;
        *self.budget.taken() -= surplus;
        self.budget.given_back.notify_all();
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, thread, time::Duration};

    #[test]
    fn many_at_once_never_take_more_than_there_is() {
        let budget = Budget::new(100);
        let most = Mutex::new(0);
        thread::scope(|scope| {
            for i in 0..8 {
                let (budget, most) = (&budget, &most);
                scope.spawn(move || {
                    for j in 0..50 {
                        let mut share = budget.take(10 + (i * 7 + j * 3) % 60);
                        let now = *budget.taken();
                        let mut most = most.lock().unwrap();
                        *most = now.max(*most);
                        drop(most);
                        share.shrink(5);
                    }
                });
            }
        });
        assert_eq!(*budget.taken(), 0);
        assert!((60..=100).contains(&*most.lock().unwrap()));
    }

    #[test]
    fn one_that_is_larger_than_all_comes_alone_and_is_not_overtaken() {
        let budget = Budget::new(100);
        let small = budget.take(1);
        let (said, heard) = mpsc::channel();
        thread::scope(|scope| {
            let large = said.clone();
            let budget = &budget;
            scope.spawn(move || {
                let _share = budget.take(500);
                large.send("large").unwrap();
            });
            while budget.turn.try_lock().is_ok() {
                thread::yield_now();
            }
            scope.spawn(move || {
                let _share = budget.take(1);
                said.send("small").unwrap();
            });
            assert!(heard.recv_timeout(Duration::from_millis(50)).is_err(), "there is no room yet");
            drop(small);
        });
        assert_eq!(heard.iter().collect::<Vec<_>>(), ["large", "small"]);
    }
}
