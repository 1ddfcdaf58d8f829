//! Every pane as a picture, in both themes, from a state that never changes, compared with the picture in
//! `tests/snapshots`. `UPDATE_SNAPSHOTS=1 cargo test pictures_of_panes` draws them anew.

use super::{
    classifier::Source,
    drop,
    history::{Branch, History},
    panes::Panes,
    setup,
    state::{PaneId, State},
    test_support,
};
use crate::app::{
    bars::welcome,
    dialogs::{export::ExportDialog, finder::Finder, weights::WeightsDialog},
    state::settings::Settings,
    widgets::{theme, toasts::Level},
};
use crate::{
    data::{ContentKey, Dataset, Split, ValidationKind},
    device, needs,
    session::{Event, HeadView, Phase, Prediction, Predictions, View},
    train::{
        CrossValidated, Memory, Method, Recipe, RunSummary, Value,
        events::{Activation, LayerNorm, LayerNorms, Origin},
        metrics::Confusion,
    },
};
use eframe::egui::{self, CentralPanel, Theme, Ui};
use egui_kittest::{Harness, SnapshotOptions, SnapshotResults, kittest::Queryable, try_image_snapshot_options};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

/// Text is rasterised alike everywhere, but a software adapter rounds edges its own way: a few pixels may differ. The
/// smallest label has about thirty.
fn options() -> SnapshotOptions {
    SnapshotOptions::new().threshold(1.5).max_failed_pixels(12)
}

/// Discs, bars and checks in twelve shades.
fn split(count: u32) -> Split {
    let side = 16i32;
    let mut pixels = Vec::new();
    for image in 0..count as i32 {
        let shade = 90 + image % 12 * 14;
        for y in 0..side {
            for x in 0..side {
                let (dx, dy) = (x - 8, y - 8);
                let inside = match image % 3 {
                    0 => dx * dx + dy * dy < 20 + image % 7 * 3,
                    1 => dx.abs() < 2 + image % 4,
                    _ => (x / 4 + y / 4) % 2 == 0,
                };
                pixels.push(if inside { shade as u8 } else { 20 });
            }
        }
    }
    let labels = (0..count).map(|image| image % 3).collect();
    Split { height: 16, width: 16, channels: 1, pixels: pixels.into(), labels, sources: None, contents: None }
}

fn state(ctx: &egui::Context) -> State {
    let again = ctx.clone();
    let wake: super::background::Wake = Arc::new(move || again.request_repaint());
    let mut state = State::new(Settings::default(), wake.clone(), wake);
    let classes = ["disc", "bar", "checks"].map(str::to_owned).to_vec();
    state.data.dataset = Some(Arc::new(Dataset::new("shapes", classes, split(96), split(48))));
    state.devices.adapters = Some(Vec::new());
    let mut history = History::default();
    for step in 1..=200u64 {
        let x = step as f32 / 200.0;
        let wave = (step as f32 * 1.7).sin() * 0.06;
        let loss = if step == 90 { f32::NAN } else { 0.3 + 1.2 * (-4.0 * x).exp() + wave };
        history.on_event(&Event::Step {
            step,
            epoch: step as f64 / 50.0,
            loss,
            accuracy: 0.95 - 0.6 * (-4.0 * x).exp() + wave * 0.3,
            lr: 0.1 * f64::from(1.0 + (x * 3.0).cos()) / 2.0,
            images_per_s: 900.0 + wave * 500.0,
            seconds: step as f64 * 0.1,
        });
        if step % 50 == 0 {
            history.on_event(&Event::Epoch {
                step,
                epoch: step / 50,
                train_loss: loss,
                train_accuracy: 0.9,
                val_loss: Some(0.4 + 1.1 * (-4.0 * x).exp()),
                val_accuracy: Some(0.9 - 0.6 * (-4.0 * x).exp()),
                top5: Some(1.0),
                per_class: Vec::new(),
                seconds: step as f64 * 0.1,
                best: true,
            });
        }
    }
    let (from, to) = (Value::Float(0.1), Value::Float(0.05));
    history.on_event(&Event::Changed { step: 120, key: "lr".into(), from, to });
    let prediction = |index: u32| {
        // Every fifth is wrong.
        let said = if index % 5 == 4 { (index + 1) % 3 } else { index % 3 };
        let sure = 0.5 + (index % 10) as f32 * 0.045;
        let share = |class: u32| if class == said { sure } else { (1.0 - sure) / 2.0 };
        Prediction { index, probabilities: (0..3).map(share).collect() }
    };
    let predictions = Arc::new(Predictions { step: 200, items: (0..48).map(prediction).collect() });
    let view = View {
        phase: Phase::Stopped,
        status: "Stopped".to_owned(),
        epoch: 4,
        epochs: 5,
        step: 200,
        total_steps: 250,
        steps_per_epoch: 50,
        images_per_s: 900.0,
        eta_s: None,
        device: "CPU (2 threads)".to_owned(),
        device_bytes: None,
        recipe: Recipe::default(),
        predictions: predictions.clone(),
        validated: predictions,
        confusion: None,
        memory: Arc::default(),
        head: None,
    };
    state.run.open(PathBuf::from("/home/ada/kindling/runs/shapes"), history, Some(Arc::new(view)), false);
    state.runs.folder = PathBuf::from("/home/ada/kindling/runs");
    state.runs.index.take(Ok((past_runs(), Default::default())));
    state.notices.log.add(Level::Info, "Started: cifar_resnet8, 3 classes");
    state.notices.log.add(Level::Warning, "2 images could not be read and were left out");
    state.notices.log.add(Level::Error, "The disk is full: the last checkpoint could not be written");
    state.notices.log.entries.iter_mut().enumerate().for_each(|(i, entry)| entry.seconds = i as f64 * 61.0);
    state
}

/// Four runs of the past, one of them damaged.
fn past_runs() -> Vec<RunSummary> {
    let run = |name: &str, data: &str, model: &str, best: Option<f64>, epoch: u64, notes: &str| RunSummary {
        path: PathBuf::from("/home/ada/kindling/runs").join(name),
        name: name.to_owned(),
        data: data.to_owned(),
        model: model.to_owned(),
        notes: notes.to_owned(),
        // The last days of 2024: old enough for a date.
        created: 1_735_500_000.0 - 86_400.0 * name.len() as f64,
        seconds: 95.0 * epoch as f64,
        step: epoch * 391,
        epoch,
        epochs: 20,
        best_accuracy: best,
        finished: epoch == 20,
        recipe: Some(Recipe { model: model.to_owned(), epochs: 20, ..Recipe::default() }),
        problem: None,
    };
    let mut runs = vec![
        run("clothes", "sample", "cifar_resnet8", Some(0.884), 20, "as good as the table says"),
        run("clothes, half the rate", "sample", "cifar_resnet8", Some(0.871), 20, ""),
        run(
            "pets from the old camera",
            "/data/pets",
            "resnet18",
            Some(0.742),
            7,
            "blurred, but it works\nmore at home",
        ),
        run("20241222-183005-cifar10-cifar_resnet20", "cifar10", "cifar_resnet20", None, 0, ""),
    ];
    if let Some(recipe) = &mut runs[1].recipe {
        (recipe.lr, recipe.flip, recipe.label_smoothing) = (0.05, false, 0.1);
    }
    let torn = "/home/ada/kindling/runs/20241222-183005-cifar10-cifar_resnet20/last.json is damaged: unexpected end";
    runs[3].problem = Some(torn.to_owned());
    runs
}

/// The curves of another run: those of the state, moved and stretched.
fn curves_of(change: f32) -> Branch {
    let mut history = History::default();
    for step in 1..=160u64 {
        let x = step as f32 / 200.0;
        let (loss, accuracy) = (2.1 * (-3.0 * x * change).exp() + 0.2, 0.9 - 0.7 * (-3.0 * x * change).exp());
        let (epoch, seconds) = (step as f64 / 50.0, step as f64 * 0.12);
        let (lr, images_per_s) = (0.1 * f64::from(change), 700.0 * change);
        history.on_event(&Event::Step { step, epoch, loss, accuracy, lr, images_per_s, seconds });
        if step % 50 == 0 {
            history.on_event(&Event::Epoch {
                step,
                epoch: step / 50,
                train_loss: loss,
                train_accuracy: accuracy,
                val_loss: Some(loss + 0.15),
                val_accuracy: Some(accuracy - 0.05),
                top5: Some(1.0),
                per_class: Vec::new(),
                seconds,
                best: false,
            });
        }
    }
    history.branches.pop().unwrap_or_default()
}

/// Ticks three runs, the first being the one at hand.
fn compare(state: &mut State) {
    let runs = past_runs();
    let (history, view) = (state.run.history().clone(), state.run.view().cloned());
    state.run.open(runs[0].path.clone(), history, view, false);
    for (run, change) in runs.iter().zip([1.0, 0.7, 1.6]) {
        state.runs.compared.show(&run.path, curves_of(change));
    }
}

/// Whether pictures can be drawn here.
fn can_draw() -> bool {
    needs::has("gpu", !device::adapters().is_empty(), "no adapter was found")
}

/// What a picture is drawn from.
struct Scene {
    panes: Panes,
    state: State,
}

fn harness<'a>(
    theme: Theme,
    size: [f32; 2],
    mut draw: impl FnMut(&mut Ui, &mut Scene) + 'a,
) -> Harness<'a, Option<Scene>> {
    let builder =
        Harness::builder().with_size(size).with_theme(theme).with_context_setup(theme::apply).with_max_steps(20);
    builder.wgpu().build_ui_state(
        move |ui, scene: &mut Option<Scene>| {
            let scene = scene.get_or_insert_with(|| {
                let state = state(ui.ctx());
                let mut panes = Panes::new(&state.wake);
                panes.classify.add((0..3).map(Source::HeldOut).collect());
                (1..=40).for_each(|at| panes.each(|pane| pane.on_event(&norms(at * 5))));
                Scene { panes, state }
            });
            draw(ui, scene);
        },
        None,
    )
}

/// Steps until no picture of `kind` is on its way any more.
fn settle(harness: &mut Harness<'_, Option<Scene>>, kind: Option<PaneId>) {
    let begun = Instant::now();
    let mut calm = 0;
    while calm < 3 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the pane never settles");
        harness.step();
        let scene = harness.state_mut().as_mut();
        let busy = scene.is_none_or(|scene| {
            kind.as_ref().is_some_and(|kind| scene.panes.get(kind).is_some_and(|pane| pane.is_busy()))
        });
        calm = if busy { 0 } else { calm + 1 };
        if busy {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn pane(theme: Theme, kind: PaneId) -> Harness<'static, Option<Scene>> {
    prepared(theme, kind, [620.0, 480.0], |_| ())
}

/// A pane to which something has happened.
fn prepared(
    theme: Theme,
    kind: PaneId,
    size: [f32; 2],
    prepare: impl Fn(&mut Scene) + 'static,
) -> Harness<'static, Option<Scene>> {
    let mut fresh = true;
    let shown = kind.clone();
    let mut harness = harness(theme, size, move |ui, scene| {
        if std::mem::take(&mut fresh) {
            prepare(scene);
        }
        let Scene { panes, state } = scene;
        state.smooth();
        let Some(pane) = panes.get(&kind) else { return };
        test_support::tick(pane, &ui.ctx().clone(), state);
        let frame = theme::pane_frame(theme::palette(ui));
        CentralPanel::no_frame().frame(frame).show(ui, |ui| test_support::draw(pane, ui, state));
    });
    settle(&mut harness, Some(shown));
    harness
}

const THEMES: [(Theme, &str); 2] = [(Theme::Dark, "dark"), (Theme::Light, "light")];

#[test]
fn every_pane_looks_as_it_should_in_both_themes() {
    if !can_draw() {
        return;
    }
    let mut results = SnapshotResults::new();
    for (theme, name) in THEMES {
        // The report has nothing to show until a run met NaN; its picture is among those of trouble.
        for kind in Panes::ALL.iter().filter(|&kind| *kind != PaneId::REPORT) {
            let mut harness = pane(theme, kind.clone());
            harness
                .snapshot_options(format!("{}_{name}", kind.to_string().to_lowercase().replace(' ', "_")), &options());
            results.extend_harness(&mut harness);
        }
    }
}

/// A head was found on the shapes, each of which was judged by one that had not seen it.
fn judge(state: &mut State) {
    let Some(known) = &state.data.dataset else { return };
    let mut dataset = Dataset::clone(known);
    dataset.validation.contents = Some((0..48).map(ContentKey).collect());
    dataset.train = dataset.validation.clone();
    dataset.validation_kind = ValidationKind::Folds;
    let dataset = Arc::new(dataset);
    state.data.dataset = Some(dataset.clone());
    state.recipe.method = Method::Head;
    let figures =
        CrossValidated { balanced_accuracy: 0.812, interval: [0.672, 0.889], folds: 5, rounds: 10, seconds: 0.4 };
    let mut confusion = Confusion::new(3);
    let view = state.run.view().cloned().map(|view| {
        for item in &view.validated.items {
            confusion.add(item.index as usize % 3, item.top().0);
        }
        let head = Some(HeadView { dataset, accuracy: 0.8125, figures });
        Arc::new(View { head, confusion: Some(Arc::new(confusion)), ..View::clone(&view) })
    });
    let (path, history) = (PathBuf::from("/home/ada/kindling/runs/shapes"), state.run.history().clone());
    state.run.open(path, history, view, true);
}

#[test]
fn classes_that_were_judged_look_as_they_should() {
    if !can_draw() {
        return;
    }
    let mut results = SnapshotResults::new();
    for (theme, name) in THEMES {
        let mut classes = prepared(theme, PaneId::CLASSES, [620.0, 480.0], |scene| judge(&mut scene.state));
        classes.query_all_by_label("Photograph of bar").nth(2).unwrap().click();
        settle(&mut classes, Some(PaneId::CLASSES));
        classes.snapshot_options(format!("classes_judged_{name}"), &options());
        results.extend_harness(&mut classes);
    }
}

#[test]
fn compared_runs_look_as_they_should() {
    if !can_draw() {
        return;
    }
    let mut results = SnapshotResults::new();
    for (theme, name) in THEMES {
        let mut charts = prepared(theme, PaneId::CHARTS, [620.0, 480.0], |scene| compare(&mut scene.state));
        charts.snapshot_options(format!("charts_compared_{name}"), &options());
        results.extend_harness(&mut charts);
        let mut runs = prepared(theme, PaneId::RUNS, [760.0, 620.0], |scene| compare(&mut scene.state));
        runs.get_by_label("Run clothes, half the rate").click();
        settle(&mut runs, Some(PaneId::RUNS));
        runs.snapshot_options(format!("runs_compared_{name}"), &options());
        results.extend_harness(&mut runs);
    }
}

#[test]
fn the_setup_column_and_the_welcome_look_as_they_should() {
    if !can_draw() {
        return;
    }
    let mut results = SnapshotResults::new();
    for (theme, name) in THEMES {
        let mut column = harness(theme, [330.0, 900.0], |ui, Scene { state, .. }| {
            let frame = theme::pane_frame(theme::palette(ui));
            CentralPanel::no_frame().frame(frame).show(ui, |ui| setup::ui(ui, state));
        });
        settle(&mut column, None);
        column.snapshot_options(format!("setup_{name}"), &options());
        results.extend_harness(&mut column);
        let mut lopsided = harness(theme, [330.0, 460.0], |ui, Scene { state, .. }| {
            let frame = theme::pane_frame(theme::palette(ui));
            CentralPanel::no_frame().frame(frame).show(ui, |ui| setup::ui(ui, state));
        });
        settle(&mut lopsided, None);
        one_large_class(lopsided.state_mut().as_mut().expect("it was drawn"));
        lopsided.get_by_label("3 classes").click();
        settle(&mut lopsided, None);
        lopsided.run();
        lopsided.snapshot_options(format!("setup_lopsided_{name}"), &options());
        results.extend_harness(&mut lopsided);
        let mut first = harness(theme, [900.0, 620.0], |ui, Scene { state, .. }| {
            CentralPanel::no_frame().show(ui, |ui| welcome::ui(ui, state));
        });
        settle(&mut first, None);
        first.snapshot_options(format!("welcome_{name}"), &options());
        results.extend_harness(&mut first);
    }
}

#[test]
fn the_drop_targets_look_as_they_should() {
    if !can_draw() {
        return;
    }
    let mut results = SnapshotResults::new();
    for (theme, name) in THEMES {
        let mut window = harness(theme, [900.0, 620.0], |ui, Scene { state, .. }| {
            CentralPanel::no_frame().show(ui, |ui| welcome::ui(ui, state));
            drop::overlay(ui);
        });
        let photo = egui::HoveredFile { path: Some("cat.png".into()), ..Default::default() };
        window.input_mut().hovered_files.push(photo);
        settle(&mut window, None);
        window.snapshot_options(format!("drop_{name}"), &options());
        results.extend_harness(&mut window);
    }
}

#[test]
fn the_dialogs_about_weights_look_as_they_should() {
    if !can_draw() {
        return;
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/weights/resnet20_mindvision.ckpt");
    let mut results = SnapshotResults::new();
    for (theme, name) in THEMES {
        let mut weights = None;
        let mut dialog = harness(theme, [700.0, 480.0], move |ui, Scene { state, .. }| {
            let weights = weights.get_or_insert_with(|| WeightsDialog::open(file, None, state.wake.clone()));
            weights.ui(&ui.ctx().clone(), state);
        });
        let begun = Instant::now();
        while dialog.query_by_label("107 tensors placed").is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the file is never read");
            dialog.step();
        }
        settle(&mut dialog, None);
        dialog.snapshot_options(format!("weights_{name}"), &options());
        results.extend_harness(&mut dialog);
        let mut export = ExportDialog::new("runs/shapes".into());
        let mut dialog = harness(theme, [560.0, 260.0], move |ui, Scene { state, .. }| {
            export.ui(&ui.ctx().clone(), state);
        });
        settle(&mut dialog, None);
        dialog.snapshot_options(format!("export_{name}"), &options());
        results.extend_harness(&mut dialog);
    }
}

/// Leaves most images of two classes out of training.
fn one_large_class(scene: &mut Scene) {
    let mut dataset = Dataset::clone(scene.state.data.dataset.as_ref().expect("the scene has data"));
    for (image, label) in (0..).zip(&mut dataset.train.labels) {
        *label = if image % 8 > 1 { 0 } else { 1 + u32::from(image % 24 == 0) };
    }
    scene.state.data.dataset = Some(Arc::new(dataset));
}

/// Images of which some were never learned and some forgotten.
fn remember(scene: &mut Scene) {
    let mut memory = Memory::default();
    for epoch in 1..=6u64 {
        memory.training.begin(epoch, 96);
        for index in 0..96usize {
            let right = match index % 8 {
                0 => false,
                1 => epoch != 4,
                2 => epoch > 5,
                _ => true,
            };
            let loss = if right { 0.2 } else { 1.5 + index as f32 * 0.03 };
            memory.training.record(index, loss, right);
        }
        let dataset = scene.state.data.dataset.clone().expect("the scene has data");
        memory.validation.begin(epoch, dataset.validation.len());
        for (index, &label) in dataset.validation.labels.iter().enumerate() {
            let right = if index % 5 == 4 { epoch == 3 } else { epoch > 3 };
            let class = if right { label as usize } else { (label as usize + 1) % dataset.classes.len() };
            memory.validation.record_class(index, if right { 0.4 } else { 2.0 - 0.2 * epoch as f32 }, class, right);
        }
    }
    let run = &scene.state.run;
    let view = View { memory: Arc::new(memory), ..View::clone(run.view().expect("a view is shown")) };
    let history = run.history().clone();
    scene.state.run.open("/home/ada/kindling/runs/shapes".into(), history, Some(Arc::new(view)), false);
}

/// How large the layers were at a step.
fn norms(step: u64) -> Event {
    let names = ["conv1", "layer1.0.conv1", "layer1.0.conv2", "layer2.0.conv1", "layer2.0.conv2", "fc"];
    let x = step as f32 / 200.0;
    let layer = |(at, name): (usize, &&str)| LayerNorms {
        name: format!("{name}.weight"),
        weights: 4.0 + at as f32 + x,
        gradient: (0.02 + 0.3 * (-3.0 * x).exp()) * (1.0 + at as f32) * (1.0 + 0.2 * (step as f32 + at as f32).sin()),
    };
    Event::Norms { step, layers: names.iter().enumerate().map(layer).collect() }
}

/// The event of a run that met NaN in its second stage.
fn not_finite() -> Event {
    let names = ["conv1", "layer1.0.conv1", "layer1.0.conv2", "layer2.0.downsample.0", "layer2.0.conv1", "fc"];
    let activations = names.iter().enumerate().map(|(at, name)| Activation {
        name: (*name).to_owned(),
        largest: if at > 3 { 0.0 } else { 10f32.powi(at as i32 * 9 + 1) * 1.5 },
        not_finite: if at > 2 { 8192 >> at } else { 0 },
    });
    let layers = names.iter().enumerate().map(|(at, name)| LayerNorm {
        name: format!("{name}.weight"),
        norm: if at > 1 { f32::NAN } else { 3.5e7 },
        not_finite: if at > 1 { 72 * at as u64 } else { 0 },
    });
    let mut layers: Vec<LayerNorm> = layers.collect();
    layers.sort_by_key(|layer| layer.not_finite == 0);
    Event::NotFinite {
        step: 200,
        epoch: 4,
        lr: 1e6,
        loss: f32::NAN,
        batch: (0..32).map(|i| i * 3).collect(),
        layers,
        activations: activations.collect(),
        origin: Some(Origin::Forward("layer2.0.downsample.0".to_owned())),
    }
}

#[test]
fn what_helps_where_something_is_wrong_looks_as_it_should() {
    if !can_draw() {
        return;
    }
    let mut results = SnapshotResults::new();
    for (theme, name) in THEMES {
        let mut training = prepared(theme, PaneId::MISTAKES, [620.0, 480.0], remember);
        training.get_by_label("Training").click();
        settle(&mut training, Some(PaneId::MISTAKES));
        training.snapshot_options(format!("mistakes_training_{name}"), &options());
        results.extend_harness(&mut training);

        let mut closer = prepared(theme, PaneId::MISTAKES, [620.0, 480.0], remember);
        closer.get_by_label_contains("Image 4:").click();
        settle(&mut closer, Some(PaneId::MISTAKES));
        closer.snapshot_options(format!("mistakes_closer_{name}"), &options());
        results.extend_harness(&mut closer);

        let mut report = prepared(theme, PaneId::REPORT, [620.0, 1080.0], |Scene { panes, .. }| {
            panes.get(&PaneId::REPORT).expect("there is one").on_event(&not_finite());
        });
        settle(&mut report, Some(PaneId::REPORT));
        report.snapshot_options(format!("nan_report_full_{name}"), &options());
        results.extend_harness(&mut report);

        let curve = |lr: f64| (1.1 + ((lr / 0.5).log10().powi(2) * 0.25).min(1.2)) as f32;
        let points = (0..70).map(|at| 10f64.powf(-6.0 + f64::from(at) * 0.095)).map(|lr| (lr, curve(lr))).collect();
        let mut finder = Finder::fixed(points, Some(0.25));
        let mut sweep = harness(theme, [490.0, 420.0], move |ui, Scene { state, .. }| {
            let frame = theme::pane_frame(theme::palette(ui));
            CentralPanel::no_frame().frame(frame).show(ui, |ui| finder.ui(ui, state));
        });
        settle(&mut sweep, None);
        sweep.snapshot_options(format!("finder_{name}"), &options());
        results.extend_harness(&mut sweep);
    }
}

/// The tolerance is worth nothing if a missing word slips through it.
#[test]
fn a_missing_label_is_noticed() {
    if !can_draw() || std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        return;
    }
    let mut samples = pane(Theme::Dark, PaneId::SAMPLES);
    let label = samples.get_by_label("Epoch").rect();
    let mut image = samples.render().expect("an adapter was found");
    let background = *image.get_pixel(label.right() as u32 + 3, label.top() as u32);
    for y in label.top() as u32..label.bottom() as u32 {
        for x in label.left() as u32..label.right() as u32 {
            image.put_pixel(x, y, background);
        }
    }
    // Kept out of the folder of the true pictures, where a difference leaves files.
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::copy("tests/snapshots/samples_dark.png", folder.path().join("samples_dark.png"))
        .expect("the picture is there");
    let options = options().output_path(folder.path());
    assert!(try_image_snapshot_options(&image, "samples_dark", &options).is_err());
}
