//! The thread of a session, from its first moment to its last word.

use super::{Event, Phase, Setup, View, head, message::Channels, worker};
use crate::{
    device::unless_lost,
    ops::cpu::pool,
    train::{Method, run_folder},
};
use std::sync::{Arc, PoisonError};

/// Runs a session to its end.
pub(super) fn run(setup: Setup, channels: Channels) {
    if !setup.headless() {
        super::give_way();
    }
    let (events, view, wake) = (channels.events.clone(), channels.view.clone(), setup.wake.clone());
    let new_folder = (!setup.resume).then(|| setup.run_dir.clone());
    let fail = |step: u64, text: String| {
        let mut latest = view.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = View::clone(&latest);
        (changed.phase, changed.status) = (Phase::Stopped, text.clone());
        *latest = Arc::new(changed);
        drop(latest);
        let _ = events.send(Event::Error { step, text });
        if let Some(wake) = &wake {
            wake();
        }
    };
    // A panic here would otherwise be silence in the window; what was saved stays.
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let ended = match setup.recipe.method {
            Method::Steps => worker::run(setup, channels),
            Method::Head => unless_lost(|| head::run(setup, channels)).unwrap_or_else(|lost| Err(lost.into())),
        };
        if let (Err(_), Some(folder)) = (&ended, &new_folder) {
            run_folder::give_back(folder);
        }
        ended
    }));
    pool::trim();
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) => fail(0, error.to_string()),
        Err(panic) => {
            let what = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            let what = what.unwrap_or("unknown");
            fail(0, format!("training stopped by a fault in the program ({what}); the last checkpoint is intact"));
        }
    }
}
