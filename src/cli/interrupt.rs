//! Ctrl+C: the first one asks the command to save and end, the second ends the process at once.

use std::sync::{
    Once,
    atomic::{AtomicBool, Ordering},
};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl+C, or a polite signal to end, only sets [`requested`].
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Where no handler can be set, Ctrl+C ends the process as it did before; the run's last save remains.
        let _ = ctrlc::set_handler(|| {
            if REQUESTED.swap(true, Ordering::Relaxed) {
                end();
            }
        });
    });
}

/// Ends the process without the clean-up of libraries: a driver that compiles kernels on other threads crashes in its own.
fn end() -> ! {
    #[cfg(unix)]
    {
        unsafe extern "C" {
            fn _exit(status: i32) -> !;
        }
        // SAFETY: POSIX has it; it runs nothing of ours.
        unsafe { _exit(130) }
    }
    #[cfg(not(unix))]
    std::process::exit(130)
}

/// Whether the user wants to stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
