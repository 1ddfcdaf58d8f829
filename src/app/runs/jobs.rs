//! What is done to the files of runs, each on a thread of its own; the window takes the results.

use crate::app::{
    background::{Task, Wake},
    desktop::file_dialog::{FileDialog, Question, What},
};
use crate::text;
use crate::train::{RunFolder, bundle, run_files};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Moves a run to the trash. Another one in tests, so that no desktop's trash fills.
pub(crate) type Bin = Arc<dyn Fn(&Path) -> Result<(), String> + Send + Sync>;

/// What has been done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Done {
    Renamed {
        from: PathBuf,
        to: PathBuf,
    },
    Trashed(PathBuf),
    /// Notes were written.
    Noted(PathBuf),
    Revealed,
    /// A run was saved as that file.
    Saved(PathBuf),
    /// The user chose a file to save the run as.
    Target {
        run: PathBuf,
        file: PathBuf,
    },
    /// The user chose a folder for runs.
    Folder(PathBuf),
    /// The user closed a dialog.
    Nothing,
}

/// See the module.
pub struct Jobs {
    wake: Wake,
    running: Vec<Task<Result<Done, String>>>,
    pub bin: Bin,
}

impl Jobs {
    pub(crate) fn new(wake: Wake) -> Self {
        let bin: Bin = Arc::new(|path| run_files::to_trash(path).map_err(|error| error.to_string()));
        Self { wake, running: Vec::new(), bin }
    }

    fn start(&mut self, name: &str, work: impl FnOnce() -> Result<Done, String> + Send + 'static) {
        self.running.push(Task::spawn(name, self.wake.clone(), work));
    }

    /// What has been done or went wrong since the last call.
    pub(crate) fn take(&mut self) -> Vec<Result<Done, String>> {
        let mut done = Vec::new();
        self.running.retain(|task| match task.poll() {
            Some(result) => {
                done.push(result.flatten());
                false
            }
            None => true,
        });
        done
    }

    pub(crate) fn rename(&mut self, from: PathBuf, to: String) {
        self.start("rename", move || {
            let to = run_files::rename(&from, &to).map_err(|error| error.to_string())?;
            Ok(Done::Renamed { from, to })
        });
    }

    pub(crate) fn trash(&mut self, path: PathBuf) {
        let bin = self.bin.clone();
        self.start("trash", move || bin(&path).map(|()| Done::Trashed(path)));
    }

    pub(crate) fn write_notes(&mut self, path: PathBuf, notes: String) {
        self.start("notes", move || write_notes(&path, &notes).map(|()| Done::Noted(path)));
    }

    /// Shows the run's folder in the desktop's file manager.
    pub(crate) fn reveal(&mut self, path: PathBuf) {
        self.start("reveal", move || match opener::reveal(&path) {
            Ok(()) => Ok(Done::Revealed),
            Err(error) => Err(format!("The file manager did not open ({error}); the run is in {}", text::path(&path))),
        });
    }

    pub(crate) fn save_file(&mut self, run: PathBuf, file: PathBuf) {
        self.start("save", move || {
            bundle::save(&run, &file).map_err(|error| error.to_string())?;
            Ok(Done::Saved(file))
        });
    }

    /// Asks for a file to save the run as.
    pub(crate) fn ask_for_file(&mut self, run: PathBuf, dialog: FileDialog) {
        self.start("dialog", move || {
            let name = format!("{}.{}", super::name(&run), bundle::ENDING);
            let what = What::Save { name, kind: ("Kindling run", bundle::ENDING) };
            let file = dialog(Question { title: "Save the run as one file".into(), what }).into_iter().next();
            Ok(file.map_or(Done::Nothing, |file| Done::Target { run, file }))
        });
    }

    /// Asks for a folder to keep runs in.
    pub(crate) fn ask_for_folder(&mut self, present: PathBuf, dialog: FileDialog) {
        self.start("dialog", move || {
            let question = Question { title: "A folder for runs".into(), what: What::Folder(Some(present)) };
            Ok(dialog(question).into_iter().next().map_or(Done::Nothing, Done::Folder))
        });
    }
}

/// Keeps the notes in the run's folder. Waits for the disk.
pub(crate) fn write_notes(path: &Path, notes: &str) -> Result<(), String> {
    let written = RunFolder::open(path).and_then(|run| run.write_notes(notes));
    written.map_err(|error| format!("The notes were not saved: {error}"))
}
