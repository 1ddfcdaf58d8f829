//! Asking which files or which folder are to be opened, by the desktop's own dialog.

use std::path::PathBuf;

/// What is to be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// Any number of images, data files or weights.
    Files,
    /// One folder of images, or of a run.
    Folder,
}

/// Waits for the answer, so it is asked on a thread. Empty where the user thought better of it.
pub fn ask(pick: Pick) -> Vec<PathBuf> {
    let dialog = rfd::FileDialog::new();
    match pick {
        Pick::Files => dialog.set_title("Open images, data, a run or weights").pick_files().unwrap_or_default(),
        Pick::Folder => dialog.set_title("Open a folder of images or a run").pick_folder().into_iter().collect(),
    }
}
