//! A list of a pane, written as CSV to a file that is asked for. Nothing waits for the dialog or the disk.

use crate::{
    app::{
        background::{Task, Wake, finished},
        desktop::file_dialog::{FileDialog, Question, What},
        state::Actions,
        widgets::toasts::Level,
    },
    atomic, text,
};
use std::path::PathBuf;

/// See the module.
pub(super) struct CsvExport {
    wake: Wake,
    /// The file that was written; `None` where the question was called off.
    saving: Option<Task<Result<Option<PathBuf>, String>>>,
}

impl CsvExport {
    pub(super) fn new(wake: Wake) -> Self {
        Self { wake, saving: None }
    }

    /// Whether a list is on its way to the disk.
    pub(super) fn is_busy(&self) -> bool {
        self.saving.is_some()
    }

    /// Asks for a file, `name` at first, and writes `table` to it.
    pub(super) fn start(&mut self, dialog: &FileDialog, name: &str, table: String) {
        if self.is_busy() {
            return;
        }
        let (dialog, name) = (dialog.clone(), name.to_owned());
        self.saving = Some(Task::spawn("export", self.wake.clone(), move || {
            let what = What::Save { name, kind: ("CSV", "csv") };
            let question = Question { title: "Export as CSV".into(), what };
            let Some(path) = dialog(question).into_iter().next() else { return Ok(None) };
            atomic::write_output(&path, |out| out.write_all(table.as_bytes()))
                .map_err(|error: std::io::Error| format!("{} can't be written: {error}", text::path(&path)))?;
            Ok(Some(path))
        }));
    }

    /// Says what became of it, once.
    pub(super) fn tick(&mut self, actions: &mut Actions) {
        match finished(&mut self.saving).map(Result::flatten) {
            Some(Ok(Some(path))) => {
                actions.notice(Level::Info, format!("The list was written to {}", text::path(&path)))
            }
            Some(Err(error)) => actions.tell(Level::Error, error),
            Some(Ok(None)) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::state::Action;
    use std::sync::Arc;

    #[test]
    fn a_file_that_can_not_be_written_is_said_so() {
        let (mut export, mut actions) = (CsvExport::new(Arc::new(|| ())), Actions::default());
        let dialog: FileDialog = Arc::new(|_| vec!["no/such/folder/list.csv".into()]);
        export.start(&dialog, "list.csv", "a,b\n".to_owned());
        while export.is_busy() {
            export.tick(&mut actions);
        }
        let [Action::Tell(Level::Error, text)] = &actions.take()[..] else { panic!("nothing was said") };
        assert!(text.contains("list.csv can't be written"), "{text}");
    }
}
