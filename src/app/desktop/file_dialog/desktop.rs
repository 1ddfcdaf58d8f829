//! The desktop's own dialog.
//!
//! On Linux that is the portal's or zenity, and rfd answers alike whether the user closed the dialog or there was none.
//! So what it takes is looked for, and an answer that came faster than any person's counts as none.

use crate::app::desktop::file_dialog::{Answer, Question, What};
use rfd::FileDialog;
use std::{path::PathBuf, time::Duration};

/// Nobody sees a dialog and closes it in less.
const MIN_ANSWER_TIME: Duration = Duration::from_millis(300);

/// Waits for the user.
pub(crate) fn ask(question: &Question) -> Answer {
    let begun = std::time::Instant::now();
    let dialog = FileDialog::new().set_title(question.title.as_ref());
    let paths: Vec<PathBuf> = match &question.what {
        What::Files => dialog.pick_files().unwrap_or_default(),
        What::Folder(folder) => {
            let dialog = folder.iter().fold(dialog, |dialog, folder| dialog.set_directory(folder));
            dialog.pick_folder().into_iter().collect()
        }
        What::Save { name, kind: (words, ending) } => {
            dialog.set_file_name(name).add_filter(*words, &[ending]).save_file().into_iter().collect()
        }
    };
    let failed = paths.is_empty() && (begun.elapsed() < MIN_ANSWER_TIME || !may_exist());
    if failed { Answer::NoDialog } else { Answer::Paths(paths) }
}

/// Whether anything is installed that could have shown a dialog.
#[cfg(all(unix, not(target_os = "macos")))]
fn may_exist() -> bool {
    let within = |folders: Option<std::ffi::OsString>, name: &str| {
        std::env::split_paths(&folders.unwrap_or_default()).any(|folder| folder.join(name).is_file())
    };
    let data = std::env::var_os("XDG_DATA_DIRS").filter(|folders| !folders.is_empty());
    let data = data.unwrap_or_else(|| "/usr/local/share:/usr/share".into());
    // Within Flatpak the portal is always there, but not its files.
    within(std::env::var_os("PATH"), "zenity")
        || within(Some(data), "dbus-1/services/org.freedesktop.portal.Desktop.service")
        || std::path::Path::new("/.flatpak-info").exists()
}

#[cfg(not(all(unix, not(target_os = "macos"))))]
fn may_exist() -> bool {
    true
}
