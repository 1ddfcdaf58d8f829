//! Sessions of a head on folders of small pictures, looked at by a network that nobody has taught.

use super::*;
use crate::{
    data::{ContentKey, Edit, LoadOptions, Silent, load},
    device::Choice,
    model::{ModelSpec, Network},
    ops::Implementation,
    session::{Session, Weights},
    train::{Method, Recipe, RunFolder, trainer::state_of},
    weights::{default_preprocessing, write_safetensors},
};
use image::{Rgb, RgbImage};
use std::{fs, path::PathBuf};
use tempfile::TempDir;

/// Red, green and blue pictures, each a little different, and the weights of a network.
struct Place {
    folder: TempDir,
    recipe: Recipe,
}

impl Place {
    fn new(per_class: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (class, name) in ["blue", "green", "red"].into_iter().enumerate() {
            let below = folder.path().join("pictures").join(name);
            fs::create_dir_all(&below).unwrap();
            for i in 0..per_class {
                picture(2 - class as u32, i).save(below.join(format!("{i}.png"))).unwrap();
            }
        }
        let recipe = Recipe {
            method: Method::Head,
            model: "cifar_resnet8".into(),
            image_size: 16,
            ..Recipe::preset("photos").unwrap()
        };
        let recipe = Recipe { padding: crate::model::Padding::Torch, ..recipe };
        let spec = ModelSpec::named("cifar_resnet8", None, 3, 5).unwrap();
        let compute = crate::device::open(Choice::Cpu).unwrap();
        let network = Network::new(&spec, 1, false, Implementation::Fast, &compute);
        let classes = (0..5).map(|i| format!("kind {i}")).collect();
        let preprocessing = default_preprocessing(&spec);
        let card = ModelCard { spec, classes, preprocessing, validation_share: None, head: None };
        write_safetensors(&folder.path().join("seen.safetensors"), &card, &state_of(&network)).unwrap();
        Self { folder, recipe }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn session(&self, resume: bool, in_a_window: bool) -> Session {
        let wake = in_a_window.then(|| Arc::new(|| {}) as Arc<dyn Fn() + Send + Sync>);
        Session::start(Setup { wake, ..self.setup(resume) })
    }

    fn setup(&self, resume: bool) -> Setup {
        let run = resume.then(|| RunFolder::open(&self.path("run")).unwrap());
        let edits = run.map_or_else(Edits::default, |run| run.read_edits().unwrap());
        let cache_dir = Some(self.path("cache"));
        let options = LoadOptions { cache_dir, edits: Arc::new(edits), ..self.recipe.load_options() };
        Setup {
            dataset: Arc::new(load(self.path("pictures").to_str().unwrap(), &options, &Silent).unwrap()),
            recipe: self.recipe.clone(),
            device: Choice::Cpu,
            ops: Implementation::Fast,
            run_dir: self.path("run"),
            resume,
            weights: (!resume).then(|| Weights::From(self.path("seen.safetensors"))),
            wake: None,
        }
    }

    fn key(&self, name: &str) -> ContentKey {
        ContentKey::of(&fs::read(self.path("pictures").join(name)).unwrap())
    }

    fn weights(&self) -> StateDict {
        crate::weights::read_checkpoint(&self.path("run/best.safetensors")).unwrap().tensors
    }
}

fn picture(channel: u32, number: u32) -> RgbImage {
    RgbImage::from_fn(24, 24, |x, y| {
        let wave = (f64::from(x * (number % 5 + 1) + y * (number / 5 + 2)) * 0.4).sin() * 60.0 + 120.0;
        let mut pixel = [30u8; 3];
        pixel[channel as usize] = wave as u8 + 60;
        Rgb(pixel)
    })
}

/// The events until one that `is_last`.
fn until(session: &Session, is_last: impl Fn(&Event) -> bool) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(event) = session.wait(Duration::from_secs(60)) {
        let last = is_last(&event);
        assert!(!matches!(event, Event::Error { .. }), "{event:?}");
        events.push(event);
        if last {
            return events;
        }
    }
    panic!("it ended before: {events:?}");
}

fn done(event: &Event) -> bool {
    matches!(event, Event::Done { .. })
}

fn accuracy(session: &Session) -> f64 {
    session.view().head.as_ref().unwrap().accuracy
}

#[test]
fn colours_are_learned_and_the_figure_is_that_of_the_folds() {
    let place = Place::new(8);
    let session = place.session(false, false);
    let events = until(&session, done);
    let Some(Event::Done { accuracy: Some(accuracy), cross_validated: Some(figures), .. }) = events.last() else {
        panic!("{events:?}");
    };
    assert!(*accuracy > 0.9, "{accuracy}");
    assert_eq!((figures.folds, figures.rounds), (5, 10));
    let [low, high] = figures.interval;
    assert!(low < f64::from(*accuracy) && f64::from(*accuracy) <= high + 1e-6);
    let steps = events.iter().filter(|event| matches!(event, Event::Step { .. })).count();
    let epochs = events.iter().filter(|event| matches!(event, Event::Epoch { .. })).count();
    assert!(steps > 3 && epochs == 1);
    while !session.is_finished() {
        std::thread::sleep(Duration::from_millis(5));
    }
    // What is on disk says the same of images that have not been seen, and the weights are a whole network.
    let run = RunFolder::open(&place.path("run")).unwrap();
    let dataset = session.view().head.as_ref().unwrap().dataset.clone();
    let folds = run.read_folds().unwrap();
    assert!((0..24).all(|index| folds.of(&dataset.validation, index).is_some()));
    assert_eq!(place.weights()["fc.weight"].shape, [3, 64]);
    assert!(run.last().unwrap().unwrap().state.finished);
}

#[test]
fn an_image_that_is_moved_makes_another_head_and_undone_the_very_one_from_before() {
    let place = Place::new(6);
    let session = place.session(false, true);
    until(&session, done);
    let (before, first) = (place.weights(), accuracy(&session));
    let to_red = Edit::Move { image: place.key("blue/0.png"), to: "red".to_owned() };
    session.send(Command::Edit(Change::Do(to_red)));
    until(&session, done);
    assert_ne!(place.weights(), before);
    assert!(accuracy(&session) < first);
    let dataset = session.view().head.as_ref().unwrap().dataset.clone();
    assert_eq!(dataset.train.class_counts(3), [5, 6, 7]);
    session.send(Command::Edit(Change::Undo));
    until(&session, done);
    assert_eq!((place.weights(), accuracy(&session)), (before.clone(), first));
    session.send(Command::Edit(Change::Redo));
    until(&session, done);
    session.stop();
    // What was changed is there again, and nothing has happened to the files.
    let session = place.session(true, false);
    until(&session, done);
    assert!(accuracy(&session) < first && place.path("pictures/blue/0.png").exists());
}

#[test]
fn classes_come_go_and_are_renamed() {
    let place = Place::new(5);
    let session = place.session(false, true);
    until(&session, done);
    let change = |edit| {
        session.send(Command::Edit(Change::Do(edit)));
        until(&session, done);
        session.view().head.as_ref().unwrap().dataset.clone()
    };
    let merged = change(Edit::Merge { class: "blue".into(), into: "green".into() });
    assert_eq!(
        (merged.classes.as_slice(), merged.train.class_counts(2)),
        (&["green".into(), "red".into()][..], vec![10, 5])
    );
    assert_eq!(place.weights()["fc.weight"].shape, [2, 64]);
    let renamed = change(Edit::Rename { class: "red".into(), to: "a warm one".into() });
    assert_eq!(renamed.classes, ["a warm one", "green"]);
    let excluded = change(Edit::Exclude { image: place.key("red/1.png") });
    assert_eq!(excluded.train.class_counts(2), [4, 10]);
    // The last class but one can't go: there would be nothing to tell apart.
    session.send(Command::Edit(Change::Do(Edit::Merge { class: "green".into(), into: "a warm one".into() })));
    let refused =
        until(&session, |event| matches!(event, Event::Warning { text, .. } if text.starts_with("not changed")));
    assert!(!refused.is_empty() && session.view().head.as_ref().unwrap().dataset.classes.len() == 2);
}

#[test]
fn questions_are_answered_and_noise_is_none_of_these() {
    let place = Place::new(8);
    let session = place.session(false, true);
    until(&session, done);
    let (ask, answers) = std::sync::mpsc::channel();
    let red = image::imageops::resize(&picture(0, 3), 16, 16, image::imageops::FilterType::Triangle).into_raw();
    let noise: Vec<u8> = (0..16 * 16 * 3u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    session.send(Command::Classify(crate::session::Request { images: vec![red, noise], reply: ask }));
    let answers = answers.recv_timeout(Duration::from_secs(30)).unwrap().unwrap();
    assert_eq!(crate::train::metrics::argmax(&answers[0].probabilities), 2);
    assert!(!answers[0].unknown && answers[1].unknown);
}

#[test]
fn a_network_that_nobody_has_taught_is_refused_in_one_line() {
    let mut place = Place::new(3);
    place.recipe.model = "resnet18".into();
    let session = Session::start(Setup { weights: None, ..place.setup(false) });
    let mut events = Vec::new();
    while let Some(event) = session.wait(Duration::from_secs(60)) {
        events.push(event);
    }
    let Some(Event::Error { text, .. }) = events.last() else { panic!("{events:?}") };
    assert!(text.contains("a head needs a resnet18") && text.contains("--weights"), "{text}");
    assert!(!place.path("run").exists());
}
