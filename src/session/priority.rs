//! Training gives way to the window.
//!
//! Both want every core. Where they are scheduled as equals, a frame that a software adapter draws waits for a step of
//! training again and again; training hardly notices the few milliseconds that it lends.

/// Lets the calling thread, and those that it starts, run after others that want the processor. Where the system has no
/// such thing, nothing happens.
pub(crate) fn give_way() {
    #[cfg(target_os = "linux")]
    {
        const THIS_THREAD: nix::libc::id_t = 0;
        /// A third of an ordinary thread's share.
        const NICE: nix::libc::c_int = 5;
        // SAFETY: three numbers, no memory. It may be refused, and then all stays as it is.
        unsafe { nix::libc::setpriority(nix::libc::PRIO_PROCESS, THIS_THREAD, NICE) };
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn nice() -> i32 {
        // The thread's own line; its name, in brackets, may have spaces.
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        stat.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap().parse().unwrap()
    }

    #[test]
    fn only_the_thread_that_asks_gives_way() {
        let before = nice();
        let theirs = std::thread::spawn(|| {
            give_way();
            (nice(), std::thread::spawn(nice).join().unwrap())
        });
        assert_eq!(theirs.join().unwrap(), (before.max(5), before.max(5)));
        assert_eq!(nice(), before);
    }
}
