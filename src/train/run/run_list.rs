//! The runs in a folder, each with its figures, and names for new ones.

use super::{
    events::{Event, Line},
    run_folder::{RunError, RunFolder, claim, is_run},
};
use crate::train::recipe::Recipe;
use std::{
    fs,
    io::{self, BufRead},
    path::{Path, PathBuf},
};

/// A run at a glance, from its small files only.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSummary {
    pub(crate) path: PathBuf,
    /// The folder's name.
    pub(crate) name: String,
    pub(crate) data: String,
    pub(crate) model: String,
    /// What people wrote about it.
    pub notes: String,
    /// Seconds since 1970.
    pub(crate) created: f64,
    /// Seconds of training.
    pub(crate) seconds: f64,
    /// Updates made on its newest branch.
    pub step: u64,
    /// Epochs done, of `epochs`.
    pub(crate) epoch: u64,
    pub(crate) epochs: u64,
    /// Of any branch.
    pub best_accuracy: Option<f64>,
    /// Whether all epochs are done.
    pub finished: bool,
    /// The hyperparameters in force at its end.
    pub recipe: Option<Recipe>,
    /// Why its files can't be read, where they can't.
    pub problem: Option<String>,
}

/// The runs in `folder`, the newest first. A folder that is not there has none.
pub fn list_runs(folder: &Path) -> io::Result<Vec<RunSummary>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths = entries.flatten().map(|entry| entry.path()).filter(|path| is_run(path));
    let mut runs: Vec<RunSummary> = paths.map(|path| summarise(&path)).collect();
    runs.sort_by(|a, b| b.created.total_cmp(&a.created).then_with(|| b.name.cmp(&a.name)));
    Ok(runs)
}

/// One run at a glance. What is wrong with it is part of the answer.
pub fn summarise(path: &Path) -> RunSummary {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut problem = None;
    let mut note = |error: String| problem = Some(error);
    let run = RunFolder::open(path).map_err(|error| note(error.to_string())).ok();
    let info = run.as_ref().map(RunFolder::read_info).unwrap_or_default();
    let recipe = run.as_ref().and_then(|run| run.read_recipe().map_err(|error| note(error.to_string())).ok());
    let last = run.as_ref().and_then(|run| run.last().map_err(|error| note(error.to_string())).ok().flatten());
    let state = last.map(|last| last.state).unwrap_or_default();
    RunSummary {
        path: path.to_owned(),
        name,
        data: info.data,
        model: info.model,
        notes: info.notes,
        created: info.created,
        seconds: state.seconds,
        step: state.step,
        epoch: state.epoch,
        epochs: recipe.as_ref().map_or(0, |recipe| recipe.epochs),
        best_accuracy: state.best_of_run(),
        finished: state.finished,
        recipe,
        problem,
    }
}

/// Step and seconds of training after which a run first had a validation accuracy; of its events only those lines are read
/// that can say so.
pub(crate) fn reached(path: &Path, accuracy: f64) -> Option<(u64, f64)> {
    let events = fs::File::open(RunFolder::open(path).ok()?.events_path()).ok()?;
    let validated =
        io::BufReader::new(events).lines().map_while(Result::ok).filter(|line| line.contains("val_accuracy"));
    validated.filter_map(|line| serde_json::from_str::<Line>(&line).ok()).find_map(|line| match line.event {
        Event::Epoch { step, seconds, val_accuracy: Some(own), .. } if f64::from(own) >= accuracy => {
            Some((step, seconds))
        }
        _ => None,
    })
}

/// The name of a run that was given none: `<data>-<model>`. `data` may be a path; its last part counts.
pub(crate) fn default_name(data: &str, model: &str) -> String {
    let data = Path::new(data).file_stem().unwrap_or_default().to_string_lossy();
    let plain = |text: &str| -> String {
        let safe = text.chars().take(40).map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '-' });
        safe.collect::<String>().trim_matches(['.', '-']).to_lowercase()
    };
    let model = plain(model);
    let parts = [plain(&data), model.strip_prefix("cifar_").unwrap_or(&model).to_owned()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

/// Makes the folder of a run within `folder`, called `name`, with a number behind it where that is taken. Runs that begin at
/// once get one each; [`give_back`](super::run_folder::give_back) removes one that was made in vain.
pub(crate) fn new_folder(folder: &Path, name: &str) -> Result<PathBuf, RunError> {
    fs::create_dir_all(folder).map_err(|error| RunError::Io { path: folder.to_owned(), error })?;
    let mut paths = numbered(folder, name);
    let claimed = paths.find_map(|path| claim(&path).map(|made| made.then_some(path)).transpose());
    claimed.unwrap_or_else(|| Err(RunError::NotEmpty(folder.to_owned())))
}

/// `<folder>/<name>`, with a number behind it where that is taken.
pub(crate) fn free_path(folder: &Path, name: &str) -> PathBuf {
    numbered(folder, name).find(|path| !path.exists()).unwrap_or_else(|| folder.join(name))
}

/// `<folder>/<name>`, then `<folder>/<name>-2` and so on.
fn numbered(folder: &Path, name: &str) -> impl Iterator<Item = PathBuf> {
    let others = (2u64..).map(move |i| format!("-{i}"));
    std::iter::once(String::new()).chain(others).map(move |end| folder.join(format!("{name}{end}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::run_folder::{RunInfo, RunState, give_back};

    #[test]
    fn a_name_tells_what_was_trained_and_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let name = |data: &str| {
            let path = new_folder(folder.path(), &default_name(data, "cifar_resnet8")).unwrap();
            assert!(path.is_dir());
            give_back(&path);
            assert!(!path.exists());
            path.file_name().unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(name("sample"), "sample-resnet8");
        assert_eq!(name("/data/My Photos"), "my-photos-resnet8");
        assert_eq!(name(".."), "resnet8");
        fs::create_dir(folder.path().join("sample-resnet8")).unwrap();
        assert_eq!(name("sample"), "sample-resnet8-2");
    }

    #[test]
    fn runs_that_begin_at_once_get_a_folder_each() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("runs");
        let launch = || RunFolder::create(&new_folder(&runs, "a-b")?, &Recipe::default(), &RunInfo::default());
        let began: Vec<_> = std::thread::scope(|scope| {
            let launched: Vec<_> = (0..8).map(|_| scope.spawn(launch)).collect();
            launched.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut paths: Vec<_> = began.into_iter().map(|run| run.unwrap().path().to_owned()).collect();
        paths.sort();
        paths.dedup();
        assert_eq!((paths.len(), list_runs(&runs).unwrap().len()), (8, 8));
    }

    #[test]
    fn runs_are_listed_with_their_figures_even_where_one_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        assert!(list_runs(&folder.path().join("none")).unwrap().is_empty());
        fs::create_dir(folder.path().join("not a run")).unwrap();
        let info = RunInfo { data: "sample".into(), ..RunInfo::default() };
        for name in ["a", "b"] {
            let mut run = RunFolder::create(&folder.path().join(name), &Recipe::default(), &info).unwrap();
            let state = RunState { best_accuracy: Some(0.5), step: 7, ..RunState::default() };
            run.checkpoint::<RunError>(&state, |_, _| Ok(())).unwrap();
        }
        fs::write(folder.path().join("b/last.json"), "{").unwrap();
        let runs = list_runs(folder.path()).unwrap();
        assert_eq!(runs.len(), 2);
        let a = runs.iter().find(|run| run.name == "a").unwrap();
        assert_eq!((a.best_accuracy, a.step, a.data.as_str(), &a.problem), (Some(0.5), 7, "sample", &None));
        let b = runs.iter().find(|run| run.name == "b").unwrap();
        assert!(b.problem.as_ref().unwrap().contains("damaged"));
    }
}
