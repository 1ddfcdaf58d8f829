//! How fast runs train, with the window and without it, told by the times in their own files.

use super::driver::Driver;
use crate::{
    app::state::Action,
    data::Dataset,
    device::Choice,
    ops::Implementation,
    session::{Event, Session, Setup},
    train::{History, Recipe},
};
use anyhow::{Context as _, bail};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

/// A run that takes longer is stuck, or on a machine on which nothing can be measured.
const MAX_RUN_TIME: Duration = Duration::from_secs(600);

/// The recipe of the button “Try it on the sample set”, for `epochs` epochs.
pub(crate) fn recipe(epochs: u64) -> anyhow::Result<Recipe> {
    Ok(Recipe { epochs, ..Recipe::preset("quick")? })
}

/// Trains without a window; returns the images a second of each epoch but the first.
pub(crate) fn headless(dataset: &Arc<Dataset>, device: Choice, epochs: u64, run: PathBuf) -> anyhow::Result<Vec<f64>> {
    let session = Session::start(Setup {
        dataset: dataset.clone(),
        recipe: recipe(epochs)?,
        device,
        ops: Implementation::default(),
        run_dir: run.clone(),
        resume: false,
        weights: None,
        wake: None,
    });
    let deadline = Instant::now() + MAX_RUN_TIME;
    while !session.is_finished() && Instant::now() < deadline {
        if let Some(Event::Error { text, .. }) = session.wait(Duration::from_millis(100)) {
            bail!("{text}");
        }
    }
    drop(session);
    speeds(&run, dataset)
}

/// A run in the window.
pub(crate) struct InWindow {
    /// Images a second of each epoch but the first.
    pub speeds: Vec<f64>,
    /// Frames a second from the end of the first epoch to the end of the last.
    pub frames_per_s: f64,
}

/// Starts a run in the window and returns its folder.
pub(crate) fn start(driver: &Driver, epochs: u64) -> anyhow::Result<PathBuf> {
    let recipe = recipe(epochs)?;
    driver.order(move |window| {
        window.state.recipe = recipe;
        window.state.run.leave();
        window.state.ask(Action::Train);
    })?;
    let path = driver.order(|window| window.state.run.folder().cloned())?;
    path.context("the window did not start a run")
}

/// Trains in the window, which nobody touches meanwhile.
pub(crate) fn watched(driver: &Driver, dataset: &Dataset, epochs: u64) -> anyhow::Result<InWindow> {
    let path = start(driver, epochs)?;
    wait_for_epochs(driver, &path, 1)?;
    let from = Instant::now();
    wait_for_epochs(driver, &path, epochs as usize)?;
    let to = Instant::now();
    let frames_per_s = driver.frames_between(from, to) as f64 / (to - from).as_secs_f64();
    wait(driver, || Ok(history(&path)?.iter().any(|(_, event)| matches!(event, Event::Done { .. }))))?;
    Ok(InWindow { speeds: speeds(&path, dataset)?, frames_per_s })
}

/// Waits for the end of epoch `count` of the run in `path`.
pub(crate) fn wait_for_epochs(driver: &Driver, path: &Path, count: usize) -> anyhow::Result<()> {
    wait(driver, || Ok(epochs(path)?.len() >= count))
}

fn wait(driver: &Driver, done: impl Fn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = Instant::now() + MAX_RUN_TIME;
    while !done()? {
        if driver.is_closed() {
            bail!("the window was closed before everything was measured");
        }
        if Instant::now() > deadline {
            bail!("a run on the sample set did not end within ten minutes");
        }
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// The events of a run with their times in seconds; fails where one of them is an error.
fn history(path: &Path) -> anyhow::Result<Vec<(f64, Event)>> {
    let history = History::read(&path.join("events.jsonl"))?;
    let events: Vec<(f64, Event)> = history
        .branches
        .values()
        .flat_map(|branch| branch.lines())
        .map(|line| (line.time, line.event.clone()))
        .collect();
    match events.iter().find_map(|(_, event)| if let Event::Error { text, .. } = event { Some(text) } else { None }) {
        Some(text) => bail!("{text}"),
        None => Ok(events),
    }
}

/// When each epoch of a run ended.
fn epochs(path: &Path) -> anyhow::Result<Vec<f64>> {
    Ok(history(path)?.iter().filter(|(_, event)| matches!(event, Event::Epoch { .. })).map(|(time, _)| *time).collect())
}

/// Images a second of each epoch but the first, whose beginning prepares the device: the training images over the time
/// from one epoch's end to the next, with validation and saving in it.
pub(crate) fn speeds(path: &Path, dataset: &Dataset) -> anyhow::Result<Vec<f64>> {
    let ends = epochs(path)?;
    Ok(ends.windows(2).map(|pair| dataset.train.len() as f64 / (pair[1] - pair[0]).max(1e-9)).collect())
}
