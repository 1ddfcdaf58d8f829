//! What happened since the window was opened, for reading and copying.

use crate::app::widgets::toasts::Level;
use crate::text;
use std::time::Instant;

/// One line of the log.
pub(crate) struct Entry {
    pub level: Level,
    /// Since the window was opened, in seconds.
    pub seconds: f64,
    pub text: String,
    /// How often in a row it was said.
    pub count: usize,
}

/// All lines, oldest first.
pub struct Log {
    opened: Instant,
    pub(crate) entries: Vec<Entry>,
    /// Warnings and errors since the log was last looked at.
    pub(crate) unread: usize,
}

/// A run of a day that warns every second stays below this.
const MAX_LINES: usize = 20_000;

impl Default for Log {
    fn default() -> Self {
        Self { opened: Instant::now(), entries: Vec::new(), unread: 0 }
    }
}

impl Log {
    pub(crate) fn add(&mut self, level: Level, text: impl Into<String>) {
        let (text, seconds) = (text::lines(&text.into()).into_owned(), self.opened.elapsed().as_secs_f64());
        if level != Level::Info {
            self.unread += 1;
        }
        if let Some(last) = self.entries.last_mut().filter(|last| last.text == text && last.level == level) {
            last.count += 1;
            last.seconds = seconds;
            return;
        }
        if self.entries.len() == MAX_LINES {
            self.entries.drain(..MAX_LINES / 10);
        }
        self.entries.push(Entry { level, seconds, text, count: 1 });
    }

    /// Everything as plain text, a line each.
    pub fn text(&self) -> String {
        self.entries.iter().map(|entry| entry.line() + "\n").collect()
    }
}

impl Entry {
    /// `12:34  Warning  the text (3 times)`.
    pub(crate) fn line(&self) -> String {
        let again = if self.count > 1 { format!(" ({} times)", self.count) } else { String::new() };
        format!("{}  {}  {}{again}", self.time(), self.level.word(), self.text)
    }

    /// Hours, minutes and seconds since the window was opened.
    pub(crate) fn time(&self) -> String {
        let s = self.seconds as u64;
        if s >= 3600 {
            format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
        } else {
            format!("{:02}:{:02}", s / 60, s % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_line_again_is_counted() {
        let mut log = Log::default();
        log.add(Level::Warning, "disk is nearly full");
        log.add(Level::Warning, "disk is nearly full");
        log.add(Level::Info, "stopped");
        assert_eq!((log.entries.len(), log.unread), (2, 2));
        assert!(log.text().contains("Warning  disk is nearly full (2 times)\n"), "{}", log.text());
    }

    #[test]
    fn what_files_say_can_be_copied_into_a_terminal() {
        let mut log = Log::default();
        log.add(Level::Error, "class \u{1b}[2J is \u{202e}odd");
        assert!(log.text().ends_with("class \\u{1b}[2J is \\u{202e}odd\n"), "{}", log.text());
    }
}
