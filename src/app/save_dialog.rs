//! Asking where a file is to go: by the desktop's own dialog, or by whatever a test puts in its place.

use std::{path::PathBuf, sync::Arc};

/// A question for a file to write.
#[derive(Clone, Debug)]
pub struct Ask {
    pub title: &'static str,
    /// The name that is suggested.
    pub name: String,
    /// What kind of file it is, in words and as an ending: `("CSV", "csv")`.
    pub kind: (&'static str, &'static str),
}

/// Waits for the answer, so it is asked on a thread. `None` where the user thought better of it.
pub type SaveDialog = Arc<dyn Fn(Ask) -> Option<PathBuf> + Send + Sync>;

/// The desktop's dialog.
pub fn native() -> SaveDialog {
    Arc::new(|Ask { title, name, kind: (words, ending) }: Ask| {
        rfd::FileDialog::new().set_title(title).set_file_name(name).add_filter(words, &[ending]).save_file()
    })
}
