//! Where the window keeps its runs.
//!
//! A window is opened from anywhere, so the current folder says little; but where it has a `runs` folder, as the command
//! line makes one, both should see the same runs. Else they go where a desktop keeps a program's data. The user may
//! choose another place, which is remembered.

use std::path::{Path, PathBuf};

/// The folder for runs; `chosen` is what the user asked for, and counts as long as it is there.
pub(crate) fn folder(chosen: Option<&PathBuf>) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let data = directories::ProjectDirs::from("", "", "kindling").map(|dirs| dirs.data_dir().to_owned());
    choose(chosen.filter(|folder| folder.is_dir()), &here, data.as_deref())
}

fn choose(chosen: Option<&PathBuf>, here: &Path, data: Option<&Path>) -> PathBuf {
    let own = here.join("runs");
    match (chosen, data) {
        (Some(chosen), _) => chosen.clone(),
        (None, Some(data)) if !own.is_dir() => data.join("runs"),
        _ => own,
    }
}

/// A path with `~` for the user's own folder.
pub(crate) fn short(path: &Path) -> String {
    let home = directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned());
    match home.as_deref().and_then(|home| path.strip_prefix(home).ok()) {
        Some(rest) if !rest.as_os_str().is_empty() => crate::text::path(&Path::new("~").join(rest)),
        _ => crate::text::path(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_the_command_line_are_seen_and_others_go_to_the_users_data() {
        let here = tempfile::tempdir().unwrap();
        let data = Path::new("/home/ada/.local/share/kindling");
        assert_eq!(choose(None, here.path(), Some(data)), data.join("runs"));
        assert_eq!(choose(None, here.path(), None), here.path().join("runs"));
        std::fs::create_dir(here.path().join("runs")).unwrap();
        assert_eq!(choose(None, here.path(), Some(data)), here.path().join("runs"));
        let chosen = PathBuf::from("/data/runs");
        assert_eq!(choose(Some(&chosen), here.path(), Some(data)), chosen);
    }
}
