//! The events of a run as they go to other machines: without the paths of this one.

use super::run_folder::RunInfo;
use std::path::{Path, PathBuf};

/// Paths of this machine, and what stands for each elsewhere. The longest is replaced first.
pub(crate) struct Redaction(Vec<(String, String)>);

impl Redaction {
    /// For what the run in `folder` has written: the places of its data, of itself, and of the user's files.
    pub(crate) fn of_run(folder: &Path, info: &RunInfo) -> Self {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let data = PathBuf::from(&info.data);
        let home = directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned());
        let parents = [folder.parent(), data.parent(), home.as_deref()].map(|path| path.map(Path::to_owned));
        let mut pairs = vec![(data.clone(), name(&data)), (folder.clone(), name(&folder))];
        pairs.extend(parents.into_iter().flatten().map(|path| (path, "…".to_owned())));
        // `/` would be found everywhere.
        pairs.retain(|(path, _)| path.is_absolute() && path.parent().is_some());
        pairs.sort_by_key(|(path, _)| std::cmp::Reverse(path.as_os_str().len()));
        Self(pairs.into_iter().map(|(path, by)| (in_json(&path.to_string_lossy()), in_json(&by))).collect())
    }

    /// A line of the log without the paths.
    pub(crate) fn apply(&self, line: &str) -> String {
        self.0.iter().fold(line.to_owned(), |line, (path, by)| line.replace(path, by))
    }
}

/// A text as it stands between the quotes of a line of the log.
fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_this_machine_become_names() {
        let info = RunInfo { data: "/home/ann/photos of \"cats\"".into(), ..RunInfo::default() };
        let redaction = Redaction::of_run(Path::new("/srv/runs/first"), &info);
        let line =
            r#"{"a":"/home/ann/photos of \"cats\"/1.png","b":"/srv/runs/first/last.json","c":"/srv/runs/x","d":"/"}"#;
        let expected = r#"{"a":"photos of \"cats\"/1.png","b":"first/last.json","c":"…/x","d":"/"}"#;
        assert_eq!(redaction.apply(line), expected);
    }
}
