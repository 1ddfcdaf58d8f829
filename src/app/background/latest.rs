//! A worker thread that always works on the newest request.
//!
//! Rendering a preview takes longer than a frame, and while a slider moves a new one is wanted every frame. Only the
//! newest request matters: one that has not begun is replaced, and of the results only the last is kept.

use crate::app::background::Wake;
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// A worker that turns jobs `J` into results `R`. Dropping it ends the thread after the job at hand.
pub(crate) struct Latest<J, R> {
    shared: Arc<Shared<J, R>>,
}

struct Shared<J, R> {
    slots: Mutex<Slots<J, R>>,
    changed: Condvar,
}

struct Slots<J, R> {
    job: Option<J>,
    working: bool,
    result: Option<R>,
    closed: bool,
}

impl<J, R> Shared<J, R> {
    /// A panic of the work leaves the slots whole, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Slots<J, R>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J: Send + 'static, R: Send + 'static> Latest<J, R> {
    /// Starts the thread. `wake` is called after each result.
    pub(crate) fn new(name: &str, wake: Wake, mut work: impl FnMut(J) -> R + Send + 'static) -> Self {
        let slots = Slots { job: None, working: false, result: None, closed: false };
        let shared = Arc::new(Shared { slots: Mutex::new(slots), changed: Condvar::new() });
        let theirs = shared.clone();
        let spawned = thread::Builder::new().name(name.to_owned()).spawn(move || {
            loop {
                let mut slots = theirs.lock();
                let job = loop {
                    if slots.closed {
                        return;
                    }
                    if let Some(job) = slots.job.take() {
                        slots.working = true;
                        break job;
                    }
                    slots = theirs.changed.wait(slots).unwrap_or_else(PoisonError::into_inner);
                };
                drop(slots);
                let result = work(job);
                let mut slots = theirs.lock();
                slots.result = Some(result);
                slots.working = false;
                drop(slots);
                wake();
            }
        });
        if let Err(error) = spawned {
            // Without threads nothing here can work; the previews stay empty and the log says why.
            tracing::error!("can't start a thread for previews: {error}");
        }
        Self { shared }
    }

    /// Asks for `job`; a request that has not begun is forgotten.
    pub(crate) fn request(&self, job: J) {
        self.shared.lock().job = Some(job);
        self.shared.changed.notify_one();
    }

    /// The newest result, once.
    pub(crate) fn take(&self) -> Option<R> {
        self.shared.lock().result.take()
    }

    /// Whether a request is waiting or being worked on.
    #[cfg(test)]
    pub(crate) fn is_busy(&self) -> bool {
        let slots = self.shared.lock();
        slots.working || slots.job.is_some()
    }
}

impl<J, R> Drop for Latest<J, R> {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn only_the_newest_waiting_request_is_worked_on() {
        let (begun, wait_begun) = mpsc::channel();
        let (go, wait_go) = mpsc::channel::<()>();
        let (woken, wait_woken) = mpsc::channel();
        let woken = Mutex::new(woken);
        let wake: Wake = Arc::new(move || {
            let _ = woken.lock().unwrap().send(());
        });
        let worker = Latest::new("test", wake, move |job: u32| {
            begun.send(job).unwrap();
            wait_go.recv().unwrap();
            job * 10
        });
        worker.request(1);
        assert_eq!(wait_begun.recv().unwrap(), 1);
        worker.request(2);
        worker.request(3);
        go.send(()).unwrap();
        wait_woken.recv().unwrap();
        assert_eq!(worker.take(), Some(10));
        assert_eq!(wait_begun.recv().unwrap(), 3);
        assert!(worker.is_busy());
        go.send(()).unwrap();
        wait_woken.recv().unwrap();
        assert_eq!(worker.take(), Some(30));
        assert_eq!(worker.take(), None);
        assert!(!worker.is_busy());
    }
}
