//! What the engine's tests share: a small data set, a recipe that learns it in a second, and sessions run to an event.

use kindling::{
    data::{Dataset, Split},
    device::Choice,
    ops::Implementation,
    session::{Event, Session, Setup},
    train::{Recipe, RunFolder},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// Images whose class is the place of a bright square in noise.
pub(crate) fn squares(count: usize, seed: u64) -> Split {
    let side = 12;
    let mut rng = kindling::data::rng::Rng::new(&[seed]);
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for i in 0..count {
        let class = i % 4;
        let (cx, cy) = (class % 2 * 6, class / 2 * 6);
        for y in 0..side {
            for x in 0..side {
                let inside = (cx..cx + 6).contains(&x) && (cy..cy + 6).contains(&y);
                pixels.push((rng.below(100) + if inside { 100 } else { 0 }) as u8);
            }
        }
        labels.push(class as u32);
    }
    Split { height: side, width: side, channels: 1, pixels: pixels.into(), labels, sources: None, contents: None }
}

pub(crate) fn dataset() -> Arc<Dataset> {
    let classes = ["top left", "top right", "bottom left", "bottom right"].map(str::to_owned).to_vec();
    Arc::new(Dataset::new("squares", classes, squares(96, 1), squares(32, 2)))
}

pub(crate) fn recipe(changes: &[&str]) -> Recipe {
    let mut recipe = Recipe::preset("quick").expect("a preset");
    let tiny = [
        "model=custom",
        "stages=1,1",
        "widths=8,16",
        "batch_size=16",
        "epochs=4",
        "crop_padding=1",
        "flip=false",
        "lr=0.05",
    ];
    for change in tiny.iter().chain(changes) {
        recipe.set_text(change).expect("a valid change");
    }
    recipe
}

pub(crate) fn setup(run: &Path, recipe: Recipe, resume: bool) -> Setup {
    Setup {
        dataset: dataset(),
        recipe,
        device: Choice::Cpu,
        ops: Implementation::Fast,
        run_dir: run.to_owned(),
        resume,
        weights: None,
        wake: None,
    }
}

/// Reads events until one satisfies `stop` or the session ends.
pub(crate) fn until(session: &Session, mut stop: impl FnMut(&Event) -> bool) -> Vec<Event> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut seen = Vec::new();
    while Instant::now() < deadline {
        match session.wait(Duration::from_millis(50)) {
            Some(event) => {
                let done = stop(&event);
                seen.push(event);
                if done {
                    return seen;
                }
            }
            None if session.is_finished() => {
                seen.extend(session.events());
                return seen;
            }
            None => {}
        }
    }
    panic!("nothing of the kind within a minute: {seen:#?}");
}

pub(crate) fn finish(setup: Setup) -> Vec<Event> {
    until(&Session::start(setup), |_| false)
}

pub(crate) fn last_weights(run: &Path) -> Vec<u8> {
    std::fs::read(RunFolder::open(run).unwrap().last().unwrap().unwrap().weights).unwrap()
}

pub(crate) fn folder() -> (tempfile::TempDir, impl Fn(&str) -> PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    (folder, move |name: &str| path.join(name))
}
