//! What is said to the user without being asked: lines of the log, and toasts for those that should be seen now.

use super::log::Log;
use crate::app::widgets::toasts::{Level, Toasts};

/// The log and the toasts.
#[derive(Default)]
pub struct Notices {
    /// What happened, in lines.
    pub log: Log,
    pub(crate) toasts: Toasts,
}

impl Notices {
    /// Writes to the log; a warning or an error also shows as a toast.
    pub(crate) fn tell(&mut self, level: Level, text: impl Into<String>) {
        match level {
            Level::Info => self.log.add(level, text),
            Level::Warning | Level::Error => self.notice(level, text),
        }
    }

    /// As [`Self::tell`], with a toast for a note too.
    pub(crate) fn notice(&mut self, level: Level, text: impl Into<String>) {
        let text = text.into();
        self.toasts.add(level, text.clone());
        self.log.add(level, text);
    }
}
