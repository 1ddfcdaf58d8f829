//! Saves when a library ends the process: Xlib calls `exit` as soon as its display has gone, as at a logout, and nothing of
//! ours is dropped then.

use super::Command;
use std::sync::{Mutex, PoisonError, mpsc::Sender};

/// The sessions that go on, each with a number of its own.
static LIVE: Mutex<Vec<(u64, Sender<Command>)>> = Mutex::new(Vec::new());

fn live() -> std::sync::MutexGuard<'static, Vec<(u64, Sender<Command>)>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A session that is stopped, and waited for, if the process ends before this is dropped.
pub(super) struct Guard(u64);

impl Guard {
    /// To be called when the training device is open: what its driver cleans up when the process ends comes after what is
    /// registered later.
    pub(crate) fn new(commands: Sender<Command>) -> Self {
        #[cfg(unix)]
        {
            static ONCE: std::sync::Once = std::sync::Once::new();
            ONCE.call_once(|| {
                // SAFETY: the function lives as long as the process. Where there is no room for it, the last save
                // remains.
                let _ = unsafe { nix::libc::atexit(save) };
            });
        }
        let mut live = live();
        let number = live.last().map_or(0, |(last, _)| last + 1);
        live.push((number, commands));
        Self(number)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        live().retain(|(number, _)| *number != self.0);
    }
}

#[cfg(unix)]
extern "C" fn save() {
    use std::time::{Duration, Instant};
    /// A desktop that logs out waits no longer for its programs.
    const MAX_EXIT_WAIT: Duration = Duration::from_secs(20);
    live().iter().for_each(|(_, commands)| drop(commands.send(Command::Stop)));
    let begun = Instant::now();
    while !live().is_empty() && begun.elapsed() < MAX_EXIT_WAIT {
        std::thread::sleep(Duration::from_millis(20));
    }
}
