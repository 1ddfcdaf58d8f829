//! No command: the window, or where there is no display the terminal.

use super::{Outcome, output, train::Train};
use crate::{app, session::interrupt};
use std::path::PathBuf;

/// Opens the window; `try_sample` starts a run on the sample data set at once.
pub fn run(try_sample: bool, open: Vec<PathBuf>) -> anyhow::Result<Outcome> {
    if let Err(reason) = app::can_open() {
        output::note(format!("no window: {reason}; training the sample data set in the terminal instead"));
        return Train::default().run();
    }
    app::run(app::Options { try_sample, open })?;
    Ok(if interrupt::requested() { Outcome::Interrupted } else { Outcome::Done })
}
