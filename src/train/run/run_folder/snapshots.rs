//! The states to go back to that a run keeps in its folder `snapshots`.

use super::{
    Checkpoint, RunError, RunFolder, RunState,
    files::{io_error, read_json, write_json},
};
use crate::train::run::snapshots::{SnapshotInfo, thin};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

impl RunFolder {
    fn snapshot_path(&self, name: &str, end: &str) -> PathBuf {
        self.path.join("snapshots").join(format!("{name}.{end}"))
    }

    /// Keeps a state to go back to. `write` as in [`RunFolder::checkpoint`]. A snapshot of that name is replaced.
    pub(crate) fn save_snapshot<E: From<RunError>>(
        &self,
        info: &SnapshotInfo,
        state: &RunState,
        write: impl FnOnce(&Path, &Path) -> Result<(), E>,
    ) -> Result<(), E> {
        check_snapshot_name(&info.name)?;
        let folder = self.path.join("snapshots");
        fs::create_dir_all(&folder).map_err(io_error(&folder))?;
        self.remove_snapshot(&info.name)?;
        let weights = self.snapshot_path(&info.name, "safetensors");
        let optimiser = self.snapshot_path(&info.name, "state.safetensors");
        // The small file comes last: without it there is no snapshot.
        let result = write(&weights, &optimiser).and_then(|()| {
            let both = SnapshotFile { info: info.clone(), state: state.clone() };
            Ok(write_json(&self.snapshot_path(&info.name, "json"), &both)?)
        });
        if result.is_err() {
            let _ = fs::remove_file(&weights);
            let _ = fs::remove_file(&optimiser);
        }
        result
    }

    /// The snapshot of that name.
    pub fn snapshot(&self, name: &str) -> Result<(SnapshotInfo, Checkpoint), RunError> {
        check_snapshot_name(name)?;
        let path = self.snapshot_path(name, "json");
        if !path.exists() {
            return Err(RunError::NoSnapshot(name.to_owned()));
        }
        let SnapshotFile { mut info, state } = read_json(&path)?;
        // The file's name is the one that finds it again.
        info.name = name.to_owned();
        let weights = self.snapshot_path(name, "safetensors");
        let optimiser = self.snapshot_path(name, "state.safetensors");
        let size = |path: &Path| fs::metadata(path).map_or(0, |data| data.len());
        info.bytes = size(&path) + size(&weights) + size(&optimiser);
        Ok((info, Checkpoint { state, weights, optimiser }))
    }

    /// All snapshots that can be read, oldest first.
    pub fn snapshots(&self) -> Vec<SnapshotInfo> {
        let Ok(entries) = fs::read_dir(self.path.join("snapshots")) else { return Vec::new() };
        let names = entries.flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_suffix(".json").filter(|name| !name.starts_with('.')).map(str::to_owned)
        });
        let mut snapshots: Vec<_> = names.filter_map(|name| self.snapshot(&name).ok()).map(|(info, _)| info).collect();
        snapshots.sort_by(|a, b| a.time.total_cmp(&b.time).then(a.step.cmp(&b.step)));
        snapshots
    }

    /// Removes a snapshot; one that is not there is removed already.
    pub(crate) fn remove_snapshot(&self, name: &str) -> Result<(), RunError> {
        check_snapshot_name(name)?;
        // The small file goes first: without it there is no snapshot.
        for end in ["json", "safetensors", "state.safetensors"] {
            let path = self.snapshot_path(name, end);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(RunError::Io { path, error }),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes automatic snapshots until the rest fits into `budget` bytes; gives the names of those that went.
    pub(crate) fn thin_snapshots(&self, budget: u64) -> Result<Vec<String>, RunError> {
        self.thin(&self.snapshots(), budget)
    }

    /// Removes one automatic snapshot that takes room, if there is one, with any that take none.
    pub(crate) fn remove_one_snapshot(&self) -> Result<Vec<String>, RunError> {
        let snapshots = self.snapshots();
        let bytes = snapshots.iter().fold(0u64, |sum, snapshot| sum.saturating_add(snapshot.bytes));
        self.thin(&snapshots, bytes.saturating_sub(1))
    }

    fn thin(&self, snapshots: &[SnapshotInfo], budget: u64) -> Result<Vec<String>, RunError> {
        let gone: Vec<String> = thin(snapshots, budget).into_iter().map(|i| snapshots[i].name.clone()).collect();
        gone.iter().try_for_each(|name| self.remove_snapshot(name))?;
        Ok(gone)
    }
}

#[derive(Serialize, Deserialize)]
struct SnapshotFile {
    info: SnapshotInfo,
    state: RunState,
}

/// A name becomes part of a path, so it can hold no separator and no way up.
fn check_snapshot_name(name: &str) -> Result<(), RunError> {
    let fine = |c: char| c.is_alphanumeric() || " ._-".contains(c);
    let good = !name.is_empty() && name.len() <= 80 && name.chars().all(fine) && !name.starts_with(['.', ' ']);
    if good { Ok(()) } else { Err(RunError::SnapshotName(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::run_folder::tests::{at, both, new_run};

    fn snapshot(name: &str, step: u64, automatic: bool) -> SnapshotInfo {
        let (name, time) = (name.to_owned(), step as f64);
        SnapshotInfo { name, branch: 0, step, epoch: 0.0, time, accuracy: None, automatic, bytes: 0 }
    }

    #[test]
    fn snapshots_come_go_and_are_thinned() {
        let folder = tempfile::tempdir().unwrap();
        let run = new_run(folder.path());
        for step in 1..=3 {
            let info = snapshot(&format!("epoch {step}"), step, step != 1);
            run.save_snapshot(&info, &at(step), both(&step.to_string())).unwrap();
        }
        let (info, files) = run.snapshot("epoch 2").unwrap();
        assert_eq!((info.step, files.state.step, fs::read_to_string(files.weights).unwrap().as_str()), (2, 2, "2"));
        assert!(info.bytes > 2);
        assert_eq!(run.snapshots().iter().map(|s| s.step).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(run.thin_snapshots(0).unwrap().len(), 2);
        assert_eq!(run.snapshots().iter().map(|s| s.step).collect::<Vec<_>>(), [1]);
        assert!(matches!(run.snapshot("epoch 3"), Err(RunError::NoSnapshot(_))));
        assert!(matches!(run.snapshot("../run"), Err(RunError::SnapshotName(_))));
        assert!(matches!(run.snapshot(""), Err(RunError::SnapshotName(_))));
    }
}
