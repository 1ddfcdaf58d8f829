//! The window as a user meets it: the real interface with the real engine on the sample set, driven through the names
//! that a screen reader reads and a test clicks. No picture is drawn here, so no GPU is needed.

#[path = "window/charts.rs"]
mod charts;
#[path = "window/elsewhere.rs"]
mod elsewhere;
#[path = "window/flows.rs"]
mod flows;
#[path = "window/keyboard.rs"]
mod keyboard;
#[path = "window/lived_in.rs"]
mod lived_in;
#[path = "window/looks.rs"]
mod looks;
#[path = "window/numbers.rs"]
mod numbers;
#[path = "window/own_images.rs"]
mod own_images;
#[path = "window/photographs.rs"]
mod photographs;
#[path = "window/runs.rs"]
mod runs;
#[path = "window/trouble.rs"]
mod trouble;

use eframe::egui::{self, Color32, Key, Modifiers, epaint::Shape};
use egui_kittest::{Harness, kittest::Queryable};
use kindling::{
    app::{Action, Options, Settings, Window},
    device::Choice,
    model::Padding,
    train::{Event, History, Value},
    weights::ExportFormat,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// A window and the folder in which it keeps its runs.
struct Driver {
    harness: Harness<'static, Option<Window>>,
    folder: tempfile::TempDir,
}

/// A file as the desktop hands it over.
#[derive(Debug)]
struct Dropped(PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.0).map_err(|error| error.to_string())
    }
}

impl Driver {
    fn open() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), Settings::default())
    }

    fn in_folder(folder: tempfile::TempDir, settings: Settings) -> Self {
        let runs = folder.path().join("runs");
        let mut settings = Some(settings);
        let harness = Harness::builder().with_size([1400.0, 900.0]).with_max_steps(40).build_ui_state(
            move |ui, window: &mut Option<Window>| {
                let window = window.get_or_insert_with(|| {
                    let settings = settings.take().unwrap_or_default();
                    let mut window = Window::create(ui.ctx(), settings, Options::default());
                    window.state.runs.folder = runs.clone();
                    // The flows are about the window; the CPU is always there and the same everywhere.
                    window.state.devices.choice = Choice::Cpu;
                    window
                });
                window.update(&ui.ctx().clone());
                window.draw(ui);
            },
            None,
        );
        Self { harness, folder }
    }

    fn window(&self) -> &Window {
        self.harness.state().as_ref().unwrap()
    }

    fn window_mut(&mut self) -> &mut Window {
        self.harness.state_mut().as_mut().unwrap()
    }

    /// Lets frames pass until `done`; fails with `what` and what the log says.
    #[track_caller]
    fn wait(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !done(self) {
            if begun.elapsed() > Duration::from_secs(90) {
                panic!("waited in vain for {what}; the log:\n{}", self.window().state.notices.log.text());
            }
            self.harness.step();
            std::thread::sleep(Duration::from_millis(15));
        }
        self.harness.step();
    }

    #[track_caller]
    fn click(&mut self, label: &str) {
        self.harness.get_by_label(label).click();
        self.harness.step();
        self.harness.step();
    }

    fn sees(&self, text: &str) -> bool {
        self.harness.query_all_by_label_contains(text).next().is_some()
    }

    fn step(&self) -> u64 {
        self.window().state.run.view().map_or(0, |view| view.step)
    }

    fn drop_file(&mut self, path: &Path) {
        self.harness.input_mut().dropped_files.push(Arc::new(Dropped(path.to_owned())));
        self.harness.step();
    }

    fn events(&self, run: &Path) -> Vec<Event> {
        let history = History::read(&run.join("events.jsonl")).unwrap();
        history.branches.values().flat_map(|branch| branch.lines()).map(|line| line.event.clone()).collect()
    }

    fn run_folder(&self) -> PathBuf {
        self.window().state.run.folder().expect("a run").clone()
    }

    #[track_caller]
    fn start(&mut self) {
        self.click("Try it on the sample set");
        self.wait("the first steps", |driver| driver.step() >= 2);
    }

    #[track_caller]
    fn stop(&mut self) {
        self.click("■ Stop");
        self.wait("the run to be saved", |driver| !driver.window().state.run.is_live() && driver.sees("Resume"));
    }

    /// Every text on screen with its colour, in the order in which it is drawn.
    fn texts(&self) -> Vec<(String, Color32)> {
        fn collect(shape: &Shape, texts: &mut Vec<(String, Color32)>) {
            match shape {
                Shape::Text(text) => {
                    let section = text.galley.job.sections.first().map_or(Color32::PLACEHOLDER, |s| s.format.color);
                    let own = if section == Color32::PLACEHOLDER { text.fallback_color } else { section };
                    texts.push((text.galley.text().to_owned(), text.override_text_color.unwrap_or(own)));
                }
                Shape::Vec(shapes) => shapes.iter().for_each(|shape| collect(shape, texts)),
                _ => {}
            }
        }
        let mut texts = Vec::new();
        self.harness.output().shapes.iter().for_each(|clipped| collect(&clipped.shape, &mut texts));
        texts
    }
}

#[test]
fn one_press_trains_and_pause_resume_and_stop_do_what_they_say() {
    let mut driver = Driver::open();
    assert!(driver.sees("Watch a network learn to see"));
    driver.start();
    driver.wait("curves", |driver| driver.sees("Loss chart"));

    // Pause holds, Resume goes on.
    driver.click("❚❚ Pause");
    driver.wait("the pause", |driver| driver.sees("▶ Resume") && driver.sees("Paused"));
    // It holds after the step that it is at.
    let run = driver.run_folder();
    let paused = |event: &Event| matches!(event, Event::Phase { phase: kindling::train::Phase::Paused, .. });
    driver.wait("the session to hold", |driver| driver.events(&run).iter().any(paused));
    let held = driver.step();
    for _ in 0..10 {
        driver.harness.step();
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(driver.step() <= held + 2, "paused at {held}, now {}", driver.step());
    driver.harness.key_press(Key::Space);
    driver.wait("more steps", |driver| driver.step() > held + 2);

    driver.stop();
    let run = driver.run_folder();
    assert!(run.join("last.safetensors").exists());
}

#[test]
fn a_stopped_run_is_offered_again_and_goes_on() {
    let mut driver = Driver::open();
    driver.start();
    driver.stop();
    let (run, stopped_at) = (driver.run_folder(), driver.step());
    let settings = driver.window().state.settings.clone();
    let Driver { harness, folder } = driver;
    drop(harness);

    // The next day.
    let mut driver = Driver::in_folder(folder, settings);
    let name = run.file_name().unwrap().to_string_lossy().into_owned();
    driver.click(&format!("Go on with {name}"));
    driver.wait("the run and its data", |driver| {
        driver.window().state.data.dataset.is_some() && driver.window().state.run.resumable().is_some()
    });
    assert!(driver.sees("Loss chart"), "the curves of the day before are there");
    driver.click("▶ Resume");
    driver.wait("steps beyond the day before", |driver| driver.step() > stopped_at);
    driver.stop();
    let resumed = driver.events(&run).iter().any(|event| matches!(event, Event::Resumed { .. }));
    assert!(resumed && driver.run_folder() == run, "the same folder goes on");
}

#[test]
fn a_folder_of_loose_photos_is_shown_in_pages_by_the_weights_that_are_chosen() {
    let mut driver = Driver::open();
    let photos = driver.folder.path().join("holiday");
    std::fs::create_dir(&photos).unwrap();
    for i in 0..120u8 {
        let image = image::RgbImage::from_fn(9, 7, |x, y| image::Rgb([i, (x * 20) as u8, (y * 20) as u8]));
        image.save(photos.join(format!("{i:03}.png"))).unwrap();
    }
    std::fs::write(photos.join("110.png"), b"\x89PNG\r\n\x1a\n and nothing more").unwrap();
    driver.drop_file(&photos);
    driver.wait("the photos", |driver| driver.sees("120 images wait for a network"));
    assert!(driver.sees("holiday has no folders of classes"), "how to train on them is said");

    driver.drop_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/weights/resnet20_fp16.pth"));
    driver.wait("what the file is", |driver| driver.sees("cifar_resnet20, 10 classes"));
    driver.click("Classify with them");
    let rows = |driver: &Driver, name: &str| driver.harness.query_all_by_label(name).count();
    driver.wait("the first page", |driver| {
        rows(driver, "119.png") == 1 && driver.sees("1 / 3") && driver.sees("120 images")
    });
    driver
        .wait("answers", |driver| driver.harness.query_all_by_label("Network sees").count() >= 2 && driver.sees(" %"));
    driver.wait("the broken one, in its place", |driver| driver.sees("110.png:"));
    driver.click("Next page");
    driver.wait("the second page", |driver| rows(driver, "069.png") == 1 && rows(driver, "119.png") == 0);
    driver.click("Next page");
    driver.wait("the last page", |driver| rows(driver, "000.png") == 1 && driver.sees("3 / 3"));
    driver.wait("its answers", |driver| driver.sees(" %"));
    driver.click("Clear");
    driver.wait("nothing", |driver| driver.sees("Ask the network about an image"));
}

#[test]
fn keys_reach_every_pane_and_the_help() {
    let mut driver = Driver::open();
    driver.window_mut().state.ask(Action::LoadData("sample".into()));
    driver.wait("the sample set", |driver| driver.window().state.data.dataset.is_some());
    for (key, sign) in [
        (Key::Num2, "Training image"),
        (Key::Num3, "No predictions yet"),
        (Key::Num4, "Ask the network about an image"),
        (Key::Num1, "The curves of a run"),
    ] {
        driver.harness.key_press(key);
        driver.wait(sign, |driver| driver.sees(sign));
    }
    driver.harness.key_press(Key::F1);
    driver.wait("the help", |driver| driver.sees("keep a snapshot of the run"));
    driver.harness.key_press(Key::Escape);
    driver.wait("the help to close", |driver| !driver.sees("keep a snapshot of the run"));
    // Every control has a name that a screen reader can say.
    driver.harness.run_ok();
    driver.harness.check_accessibility();
}

#[test]
fn weights_say_what_they_are_and_begin_a_run_and_go_elsewhere() {
    let mut driver = Driver::open();
    driver.window_mut().state.ask(Action::LoadData("sample".into()));
    driver.wait("the sample set", |driver| driver.window().state.data.dataset.is_some());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/weights/resnet20_fp16.pth");
    driver.drop_file(&file);
    driver.wait("what the file is", |driver| driver.sees("cifar_resnet20, 10 classes"));
    assert!(driver.sees("PyTorch (zip), torchvision names") && driver.sees("272,474"));
    assert!(driver.sees("Trained on sample: a new head of 10 classes takes the place of its 10"));
    assert!(driver.sees("the first layer's colour kernels are added up"));
    driver.click("107 tensors placed");
    driver.wait("where they went", |driver| driver.sees("conv1.weight to conv1.weight"));

    // Another padding is read anew, and becomes the run's.
    driver.click("Padding of the weights");
    driver.click("MindSpore's");
    driver.wait("the other padding", |driver| driver.harness.query_by_label("Start the next run from them").is_some());
    driver.click("Start the next run from them");
    let recipe = driver.window().state.recipe.clone();
    assert_eq!((recipe.model.as_str(), recipe.padding), ("cifar_resnet20", Padding::Same));
    driver.window_mut().state.set("epochs", Value::Int(1));
    driver.click("▶ Train");
    driver.wait("the first steps", |driver| driver.step() >= 2);
    assert!(driver.window().state.notices.log.text().contains("conv1: the kernels of 3 channels were added up"));
    driver.stop();
    let run = driver.run_folder();

    // The network of the run, for others.
    driver.click("Menu");
    driver.click("Export the network…");
    driver.wait("the question", |driver| driver.sees("Save as…"));
    driver.click("ONNX");
    driver.wait("its option", |driver| driver.sees("Normalises images itself"));
    driver.click("Cancel");
    for (format, name) in
        [(ExportFormat::Safetensors, "a.safetensors"), (ExportFormat::Onnx { preprocessing: true }, "a.onnx")]
    {
        let out = driver.folder.path().join(name);
        driver.window_mut().state.ask(Action::WriteExport { source: run.clone(), format, out: out.clone() });
        driver.wait("the file", |driver| {
            driver.window().state.notices.log.text().contains(&format!("Wrote {}", out.display()))
        });
        assert!(out.metadata().unwrap().len() > 1_000_000, "{name}");
    }
}

#[test]
fn weights_that_can_not_be_had_say_why() {
    let mut driver = Driver::open();
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/weights");
    driver.drop_file(&weights.join("evil.pth"));
    driver.wait("the refusal", |driver| driver.sees("posix.system"));
    driver.click("Close");
    driver.wait("the dialog to close", |driver| !driver.sees("posix.system"));
    // Nobody listens there.
    driver.window_mut().state.weights_mirror = Some("http://127.0.0.1:9".into());
    driver.window_mut().state.ask(Action::OfferWeights("chenyaofo:cifar10_resnet20".into()));
    driver.wait("the failure", |driver| driver.sees("cifar10_resnet20-4118986f.pt") && driver.sees("127.0.0.1"));
}
