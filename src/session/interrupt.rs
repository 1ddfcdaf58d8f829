//! Requests from outside to save and end: Ctrl+C, a terminal that closes, a logout, `kill`.
//!
//! None of them ends the process: they set [`requested`], and whoever trains looks at it, saves, and ends. Only a person
//! who presses Ctrl+C again does not want to wait for that. A closing terminal sends its signal twice within
//! milliseconds, and a wrapper may pass on a Ctrl+C that the terminal has given to both; neither is a second wish.
//!
//! A signal that was ignored when the process began stays ignored: that is what `nohup` and `trap ''` ask for.

use std::{
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// From now on a request only sets [`requested`].
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(system::watch);
}

/// Whether the process is to save and end.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// As [`watch`], and calls `then` from a thread of its own again and again from the first request on: for those who have
/// to be woken to look.
pub(crate) fn watch_and_call(then: impl Fn() + Send + 'static) {
    watch();
    // A signal's handler may do next to nothing, so somebody has to look. Without a thread the process ends as it did
    // before, at the latest with the session that sent the signal.
    let _ = thread::Builder::new().name("signals".into()).spawn(move || {
        loop {
            thread::sleep(Duration::from_millis(100));
            if requested() {
                then();
            }
        }
    });
}

#[cfg(unix)]
mod system {
    use super::{Ordering, REQUESTED};
    use nix::{
        libc::{_exit, c_int},
        sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    };
    use std::{
        sync::{OnceLock, atomic::AtomicU64},
        time::Instant,
    };

    /// Milliseconds within which two Ctrl+C are one.
    const ONE_PRESS: u64 = 100;

    static BEGAN: OnceLock<Instant> = OnceLock::new();

    pub(crate) fn watch() {
        BEGAN.get_or_init(Instant::now);
        let ours = SigAction::new(SigHandler::Handler(on_signal), SaFlags::SA_RESTART, SigSet::empty());
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            // Where no handler can be set the signal ends the process as before; the run's last save remains.
            // SAFETY: the handler reads the clock, touches atomics, and calls only what POSIX allows in one.
            let before = unsafe { sigaction(signal, &ours) };
            if let Ok(before) = before
                && matches!(before.handler(), SigHandler::SigIgn)
            {
                // SAFETY: it runs nothing.
                let _ = unsafe { sigaction(signal, &before) };
            }
        }
    }

    extern "C" fn on_signal(signal: c_int) {
        /// When the first Ctrl+C came; 0 before it.
        static FIRST: AtomicU64 = AtomicU64::new(0);
        REQUESTED.store(true, Ordering::Relaxed);
        if signal != Signal::SIGINT as c_int {
            return;
        }
        let now = BEGAN.get().map_or(1, |began| began.elapsed().as_millis() as u64 + 1);
        match FIRST.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed) {
            // Without the clean-up of libraries: a driver that compiles kernels on other threads crashes in its own.
            // SAFETY: POSIX allows it in a handler; it runs nothing of ours.
            Err(first) if now.saturating_sub(first) > ONE_PRESS => unsafe { _exit(130) },
            _ => {}
        }
    }
}

#[cfg(not(unix))]
mod system {
    use super::{Ordering, REQUESTED};

    pub fn watch() {
        // Where no handler can be set, Ctrl+C ends the process as it did before; the run's last save remains.
        let _ = ctrlc::set_handler(|| {
            if REQUESTED.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        });
    }
}
