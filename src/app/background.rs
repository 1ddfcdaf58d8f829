//! Work off the frame that is done once: reading a data set, a file dialog, a look at a dropped file.

pub(crate) mod latest;
pub(crate) mod loading;

use crate::device;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread,
};

/// Asks the window for a frame; may be called from any thread.
pub(crate) type Wake = Arc<dyn Fn() + Send + Sync>;

/// A result that a thread is working on.
pub(crate) struct Task<T> {
    result: mpsc::Receiver<Result<T, String>>,
}

impl<T: Send + 'static> Task<T> {
    /// Runs `work` on a thread of its own and calls `wake` when it is done. A panic in `work` becomes an error.
    pub(crate) fn spawn(name: &str, wake: Wake, work: impl FnOnce() -> T + Send + 'static) -> Self {
        let (send, result) = mpsc::channel();
        let failed = send.clone();
        let spawned = thread::Builder::new().name(name.to_owned()).spawn(move || {
            // The state that `work` could leave half-changed is moved into it and gone.
            let outcome = catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panic_text(&*panic));
            // The window may have lost interest.
            let _ = send.send(outcome);
            wake();
        });
        if let Err(error) = spawned {
            let _ = failed.send(Err(format!("the system gives no more threads ({error})")));
        }
        Self { result }
    }

    /// The result, once it is there; an error says why there is none.
    pub(crate) fn poll(&self) -> Option<Result<T, String>> {
        match self.result.try_recv() {
            Ok(result) => Some(result),
            Err(mpsc::TryRecvError::Empty) => None,
            Err(mpsc::TryRecvError::Disconnected) => Some(Err("the work ended without a result".to_owned())),
        }
    }
}

/// Takes the result out of `slot` when it is there, and leaves the slot empty.
pub(crate) fn finished<T: Send + 'static>(slot: &mut Option<Task<T>>) -> Option<Result<T, String>> {
    let result = slot.as_ref()?.poll()?;
    *slot = None;
    Some(result)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    if let Some(error) = device::unwound(panic) {
        return error.to_string();
    }
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("an internal error: {}", text.unwrap_or_else(|| "no description".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_and_not_a_silence() {
        let (woken, wait) = mpsc::channel();
        let woken = std::sync::Mutex::new(woken);
        let wake: Wake = Arc::new(move || {
            let _ = woken.lock().unwrap().send(());
        });
        let mut slot = Some(Task::<u32>::spawn("test", wake, || panic!("broken image")));
        wait.recv().unwrap();
        let error = finished(&mut slot).unwrap().unwrap_err();
        assert!(error.contains("broken image"), "{error}");
        assert!(slot.is_none());
    }
}
