//! Reading something large on a thread of its own, a data set or published weights, with progress in words and a way to
//! stop.

use crate::app::background::{Task, Wake, finished};
use crate::data::{Progress, Report};
use crate::format::{bytes, number};
use std::{
    ops::ControlFlow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// Something that is being read.
pub(crate) struct Loading<T> {
    task: Option<Task<Result<T, String>>>,
    latest: Arc<Mutex<Option<Report>>>,
    cancel: Arc<AtomicBool>,
}

impl<T: Send + 'static> Loading<T> {
    /// Begins; `read` reports how far it is and ends when it is told to.
    pub(crate) fn start(
        name: &str,
        wake: Wake,
        read: impl FnOnce(&dyn Progress) -> Result<T, String> + Send + 'static,
    ) -> Self {
        let (latest, cancel) = (Arc::new(Mutex::new(None)), Arc::new(AtomicBool::new(false)));
        let (report, stop, wake_often) = (latest.clone(), cancel.clone(), wake.clone());
        let task = Task::spawn(name, wake, move || {
            read(&move |what: &Report| {
                *report.lock().unwrap_or_else(PoisonError::into_inner) = Some(what.clone());
                wake_often();
                if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
        });
        Self { task: Some(task), latest, cancel }
    }

    /// What was read or why it was not, once.
    pub(crate) fn poll(&mut self) -> Option<Result<T, String>> {
        finished(&mut self.task).map(Result::flatten)
    }

    /// Asks the reading to end; it ends with an error that says so.
    pub(crate) fn cancel(&self) {
        self.cancel.store(true, Ordering::Relaxed);
    }

    /// The share that is done, if it is known, and where it stands in words.
    pub(crate) fn progress(&self) -> (Option<f32>, String) {
        let report = self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        describe(report.as_ref())
    }
}

fn describe(report: Option<&Report>) -> (Option<f32>, String) {
    let share = |done: u64, total: u64| (total > 0).then(|| (done as f64 / total as f64) as f32);
    match report {
        Some(Report::Download { file, done, total, bytes_per_s }) => {
            let of = total.map_or_else(String::new, |total| format!(" of {}", bytes(total)));
            let text = format!("Downloading {file}, {}{of}, {}/s", bytes(*done), bytes(*bytes_per_s as u64));
            (total.and_then(|total| share(*done, total)), text)
        }
        Some(Report::Scan { done, total }) => {
            let text = format!("Looking at images {} / {}", number(*done as u64), number(*total as u64));
            (share(*done as u64, *total as u64), text)
        }
        Some(Report::Read { done, total }) => {
            let text = format!("Reading images {} / {}", number(*done), number(*total));
            (share(*done, *total), text)
        }
        Some(Report::Note { text }) => (None, text.clone()),
        _ => (None, "Reading".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_says_how_far_it_is() {
        let report =
            Report::Download { file: "a.gz".into(), done: 50_000_000, total: Some(100_000_000), bytes_per_s: 2e6 };
        let (share, text) = describe(Some(&report));
        assert_eq!(share, Some(0.5));
        assert_eq!(text, "Downloading a.gz, 50 MB of 100 MB, 2.0 MB/s");
    }
}
