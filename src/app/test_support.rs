//! What the tests of several panes start from: a small data set, predictions, and a window of a fixed size around a
//! pane.

use super::{background::Wake, history::History, panes::pane::Pane, state::State};
use crate::app::{state::settings::Settings, widgets::theme};
use crate::{
    data::{Dataset, Split},
    session::{Event, Prediction, Predictions},
    train::{
        Recipe, RunError, RunFolder, RunInfo, SnapshotInfo,
        event_log::EventLog,
        events::{Activation, LayerNorm, Origin},
        run_folder::RunState,
    },
    weights::{Metadata, StateDict, fixtures::write_small_network, write_tensors},
};
use eframe::egui::{Context, Ui};
use egui_kittest::Harness;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// `classes` classes with `each` grey 8x8 images each, in order, as training and as validation split.
pub(crate) fn dataset(classes: usize, each: usize) -> Arc<Dataset> {
    let images = classes * each;
    let split = || Split {
        height: 8,
        width: 8,
        channels: 1,
        pixels: (0..images * 64).map(|i| (i / 64 * 20) as u8).collect::<Vec<u8>>().into(),
        labels: (0..images).map(|i| (i / each) as u32).collect(),
        sources: None,
        contents: None,
    };
    let names = (0..classes).map(|class| format!("class {class}")).collect();
    Arc::new(Dataset::new("test", names, split(), split()))
}

/// Predictions of the first `images` images, each 80 % sure of the class in `predicted`.
pub(crate) fn predictions(images: usize, classes: usize, predicted: &[usize]) -> Predictions {
    let item = |index: usize| {
        let mut probabilities = vec![0.2 / (classes - 1) as f32; classes];
        probabilities[predicted[index]] = 0.8;
        Prediction { index: index as u32, probabilities }
    };
    Predictions { step: 100, items: (0..images).map(item).collect() }
}

/// What a run says that met infinity in its third stage.
pub(crate) fn not_finite() -> Event {
    let layer = |name: &str, norm, not_finite| LayerNorm { name: name.to_owned(), norm, not_finite };
    let layers = vec![layer("layer3.0.conv2.weight", f32::NAN, 12), layer("fc.weight", 3.5, 0)];
    let activation = |name: &str, largest, not_finite| Activation { name: name.to_owned(), largest, not_finite };
    let activations = vec![activation("conv1", 2.5, 0), activation("layer3.0.conv2", 3e38, 7)];
    let origin = Some(Origin::Forward("layer3.0.conv2".to_owned()));
    Event::NotFinite {
        step: 25,
        epoch: 2,
        lr: 0.05,
        loss: f32::INFINITY,
        batch: vec![3, 1],
        layers,
        activations,
        origin,
    }
}

/// A state without a window around it.
pub(crate) fn state() -> State {
    let wake: Wake = Arc::new(|| ());
    State::new(Settings::default(), wake.clone(), wake)
}

/// A window around what `draw` draws, with the program's own style.
pub(crate) fn harness<'a>(draw: impl FnMut(&mut Ui) + 'a) -> Harness<'a> {
    let builder = Harness::builder().with_size([900.0, 760.0]).with_context_setup(theme::apply);
    let mut harness = builder.build_ui(draw);
    harness.run();
    harness
}

/// A run of 30 steps in `folder` that went back to step 10 and on to step 20, with three snapshots; its path.
pub(crate) fn run_with_branches(folder: &Path) -> PathBuf {
    let path = folder.join("walk");
    let recipe = Recipe { lr: 0.05, ..Recipe::default() };
    let info = RunInfo { data: "test".to_owned(), model: "cifar_resnet8".to_owned(), ..RunInfo::default() };
    let mut run = RunFolder::create(&path, &recipe, &info).unwrap();
    let mut log = EventLog::open(&run.events_path(), 0).unwrap();
    let keep = |run: &RunFolder, name: &str, branch: u32, step: u64, time: f64| {
        let automatic = name.starts_with("epoch");
        let epoch = step as f64 / 10.0;
        let info =
            SnapshotInfo { name: name.to_owned(), branch, step, epoch, time, accuracy: None, automatic, bytes: 0 };
        let state = RunState { branch, step, epoch: step / 10, recipe: recipe.clone(), ..RunState::default() };
        let write = |weights: &Path, optimiser: &Path| -> Result<(), RunError> {
            std::fs::write(weights, vec![0; 1000]).unwrap();
            std::fs::write(optimiser, vec![0; 1000]).unwrap();
            Ok(())
        };
        run.save_snapshot(&info, &state, write).unwrap();
    };
    let epoch = |step: u64, val_accuracy: f32| Event::Epoch {
        step,
        epoch: step / 10,
        train_loss: 1.0,
        train_accuracy: 0.5,
        val_loss: Some(1.0),
        val_accuracy: Some(val_accuracy),
        top5: Some(1.0),
        per_class: Vec::new(),
        seconds: 1.0,
        best: false,
    };
    for (step, accuracy) in [(10, 0.3), (20, 0.4), (30, 0.5)] {
        log.append(&epoch(step, accuracy)).unwrap();
    }
    keep(&run, "epoch-1", 0, 10, 1.0);
    keep(&run, "left-at-30", 0, 30, 3.0);
    log.branch = 1;
    let (snapshot, device) = (Some("epoch-1".to_owned()), "cpu".to_owned());
    log.append(&Event::Resumed { step: 10, epoch: 1, from_branch: 0, snapshot, device }).unwrap();
    log.append(&epoch(20, 0.6)).unwrap();
    keep(&run, "epoch-2", 1, 20, 4.0);
    let state = RunState {
        branch: 1,
        step: 20,
        epoch: 2,
        seconds: 65.0,
        best_accuracy: Some(0.6),
        recipe: recipe.clone(),
        ..RunState::default()
    };
    let write = |weights: &Path, optimiser: &Path| -> Result<(), RunError> {
        write_small_network(weights);
        write_tensors(optimiser, &StateDict::new(), &Metadata::new()).unwrap();
        Ok(())
    };
    run.checkpoint(&state, write).unwrap();
    path
}

/// The run of [`run_with_branches`], at hand in `state`; its path.
pub(crate) fn open_run_with_branches(state: &mut State, folder: &Path) -> PathBuf {
    let path = run_with_branches(folder);
    state.run.open(path.clone(), History::default(), None, true);
    path
}

/// Draws a pane; what it asks for is on the list of `state`.
pub(crate) fn draw(pane: &mut dyn Pane, ui: &mut Ui, state: &mut State) {
    let mut actions = std::mem::take(&mut state.actions);
    pane.ui(ui, state, &mut actions);
    state.actions = actions;
}

/// Lets a pane tick; what it asks for is on the list of `state`.
pub(crate) fn tick(pane: &mut dyn Pane, ctx: &Context, state: &mut State) {
    let mut actions = std::mem::take(&mut state.actions);
    pane.tick(ctx, state, &mut actions);
    state.actions = actions;
}
