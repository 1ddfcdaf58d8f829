//! No command: the window, or where there is no display the terminal.

use super::{Outcome, output, train::Train};
use crate::{
    app::{self, DroppedKind},
    session::interrupt,
};
use anyhow::bail;
use std::path::{Path, PathBuf};

/// Opens the window; `try_sample` starts a run on the sample data set at once.
pub(crate) fn run(try_sample: bool, open: Vec<PathBuf>) -> anyhow::Result<Outcome> {
    let Err(reason) = app::can_open() else {
        app::run(app::Options { try_sample, open })?;
        return Ok(if interrupt::requested() { Outcome::Interrupted } else { Outcome::Done });
    };
    // Who named something wants that, not the sample set.
    if let Some(first) = open.first() {
        bail!("no window: {reason}; {}", command_for(first, app::sort(first)));
    }
    output::note(format!("no window: {reason}; training the sample data set in the terminal instead"));
    Train::default().run()
}

/// The command that does in the terminal what the window does with a path.
fn command_for(path: &Path, sort: DroppedKind) -> String {
    let it = output::argument(path);
    match sort {
        DroppedKind::Data => format!("to train on it: kindling train --data {it}"),
        DroppedKind::Run | DroppedKind::RunFile => {
            format!("to go on with the run: kindling train --run {it} --resume; to measure it: kindling eval {it}")
        }
        DroppedKind::Weights => format!("to classify with it: kindling predict {it} IMAGE…"),
        DroppedKind::Image | DroppedKind::Images => format!("to classify it: kindling predict RUN|WEIGHTS {it}"),
        DroppedKind::Unknown => format!("what {it} is for, its name does not say; the commands: kindling --help"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_named_has_its_command() {
        let command = |sort| command_for("a b".as_ref(), sort);
        assert!(command(DroppedKind::Data).ends_with("kindling train --data 'a b'"));
        assert!(command(DroppedKind::RunFile).contains("kindling train --run 'a b' --resume"));
        assert!(command(DroppedKind::Run).contains("kindling eval 'a b'"));
        assert!(command(DroppedKind::Weights).contains("kindling predict 'a b' IMAGE…"));
        assert!(command(DroppedKind::Image).ends_with("kindling predict RUN|WEIGHTS 'a b'"));
        assert!(command(DroppedKind::Unknown).contains("kindling --help"));
    }
}
