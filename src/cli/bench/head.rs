//! `kindling bench head`: how long it takes until a head follows a change of its images, and how well what is none of its
//! classes is told apart.

use super::rounded;
use crate::{
    cli::{dataset, model::DeviceArgs, output},
    data::{Change, ContentKey, Dataset, Edit, SAMPLE, Silent, load, rng::Rng},
    device,
    session::{Command, Event, Session, Setup, Weights},
    train::{
        Recipe,
        head::{
            fit::{Known, Wish},
            folds,
            matrix::Matrix,
        },
        normalisation, predictor,
        seen_images::SeenImages,
        sight::Sight,
        trainer,
    },
    weights::{BUNDLED, adapt},
};
use anyhow::{Context, bail, ensure};
use clap::Args;
use serde_json::{Map, json};
use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// Changes that are timed.
const CHANGES: usize = 50;
/// Pictures of noise.
const NOISE: usize = 200;

/// Measure how quickly a head follows changes to its images, and how well it knows what is none of its classes
///
/// A head is found on the photographs. Then one of them after the other is moved to another class, left out, or put back.
/// The sample set's clothes, noise, and each class left out in turn are what is none of its classes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Head {
    /// A folder with a sub-folder of photographs for each class
    #[arg(long, value_name = "FOLDER")]
    data: String,

    #[command(flatten)]
    device: DeviceArgs,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Head {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let recipe = Recipe::preset("photos")?;
        let dataset = Arc::new(dataset::load(&self.data, &recipe.load_options(), self.json)?);
        ensure!(dataset.has_folds(), "bench head takes a folder of photographs without a split of its own");
        let mut times = self.changes(&dataset, &recipe)?;
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
        let (middle, late) = (at(0.5), at(0.95));
        let strangers = self.strangers(&dataset, &recipe)?;
        if self.json {
            return Ok(output::json(&json!({
                "images": dataset.train.len(),
                "change_ms": rounded(middle * 1000.0, 1),
                "change_p95_ms": rounded(late * 1000.0, 1),
                "none_of_these": strangers,
            }))?);
        }
        output::line(format_args!(
            "head and figure after a change: {:.0} ms, 95 % within {:.0} ms",
            middle * 1000.0,
            late * 1000.0
        ))?;
        strangers.iter().try_for_each(|(what, value)| output::line(format_args!("{what}: {value}")))?;
        Ok(())
    }

    /// Seconds from a change until the head that follows is there with a figure.
    fn changes(&self, dataset: &Arc<Dataset>, recipe: &Recipe) -> anyhow::Result<Vec<f64>> {
        let folder = tempfile::tempdir()?;
        let session = Session::start(Setup {
            dataset: dataset.clone(),
            recipe: recipe.clone(),
            device: self.device.device,
            ops: self.device.ops,
            run_dir: folder.path().join("run"),
            resume: false,
            weights: Some(Weights::From(PathBuf::from(BUNDLED))),
            wake: Some(Arc::new(|| {})),
        });
        loop {
            match session.wait(Duration::from_secs(3600)) {
                Some(Event::Done { .. }) => break,
                Some(Event::Error { text, .. }) => bail!(text),
                Some(_) => {}
                None => bail!("the session ended without a head"),
            }
        }
        let contents = dataset.train.contents.as_deref().context("photographs without contents")?;
        let mut rng = Rng::new(&[1]);
        let mut times = Vec::with_capacity(CHANGES);
        for number in 0..CHANGES {
            let shown = |session: &Session| session.view().head.as_ref().map(|head| Arc::as_ptr(&head.dataset));
            let before = shown(&session);
            let change = change(number, contents[(rng.next_u64() % contents.len() as u64) as usize], &dataset.classes);
            let started = Instant::now();
            session.send(Command::Edit(change));
            while shown(&session) == before {
                ensure!(started.elapsed() < Duration::from_secs(60), "no head has followed a change");
                std::thread::sleep(Duration::from_micros(200));
            }
            times.push(started.elapsed().as_secs_f64());
            // Somebody looks at it before the next one.
            std::thread::sleep(Duration::from_millis(400));
        }
        Ok(times)
    }

    /// How often strangers are told apart, and how well, by what they are.
    fn strangers(&self, dataset: &Arc<Dataset>, recipe: &Recipe) -> anyhow::Result<Map<String, serde_json::Value>> {
        let compute = device::open(self.device.device)?;
        let spec = recipe.spec(3, dataset.classes.len())?;
        let adapted = adapt(predictor::pretrained(Path::new(BUNDLED))?, &spec, &dataset.classes, 1)?;
        let network = trainer::network_of(&spec, &adapted.tensors, self.device.ops, &compute)?;
        let mut sight = Sight::new(network, recipe, normalisation(recipe, dataset), &adapted.tensors);
        let mut look = |dataset: &Arc<Dataset>| {
            SeenImages::look(dataset, |of| sight.look(of, |_| ControlFlow::Continue(()))).context("nothing was seen")
        };
        let seen = look(dataset)?;
        let known = seen.known(dataset.classes.len());
        let wish = Wish { class_weights: recipe.class_weights.clone(), strength: None, unknown: recipe.unknown_rate };
        let head = known.head(&wish, |_| true);
        let unknown = known.unknown(&head, &wish).context("strangers are not told")?;
        let (gallery, _) = known.gallery(&head.moments);
        let told = |features: &Matrix| {
            let found = gallery.similarities(features, |_, _| true);
            found.iter().filter(|&&similarity| similarity < unknown.threshold).count() as f64
                / found.len().max(1) as f64
        };
        let mut figures = Map::new();
        for (what, strangers) in [("clothes told", clothes()?), ("noise told", noise(dataset))] {
            let strangers = look(&strangers)?;
            figures.insert(what.into(), json!(rounded(told(strangers.known(2).features), 4)));
        }
        let areas: Vec<f64> = (0..dataset.classes.len() as u32).map(|class| left_out(&known, class, &wish)).collect();
        for (class, area) in dataset.classes.iter().zip(&areas) {
            figures.insert(format!("AUROC without {class}"), json!(rounded(*area, 4)));
        }
        let mean = areas.iter().sum::<f64>() / areas.len().max(1) as f64;
        figures.insert("AUROC, mean".into(), json!(rounded(mean, 4)));
        Ok(figures)
    }
}

/// One of those that people make, in turn.
fn change(number: usize, image: ContentKey, classes: &[String]) -> Change {
    match number % 3 {
        0 => Change::Do(Edit::Move { image, to: classes[number % classes.len()].clone() }),
        1 => Change::Do(Edit::Exclude { image }),
        _ => Change::Undo,
    }
}

/// How well photographs of a class that the head does not know are told from those of the others: the area under the
/// curve of right against false alarms.
fn left_out(known: &Known, class: u32, wish: &Wish) -> f64 {
    let labels = known.images.labels;
    let [others, own]: [Vec<usize>; 2] =
        [false, true].map(|own| (0..labels.len()).filter(|&image| (labels[image] == class) == own).collect());
    let pick = |values: &[u32]| others.iter().map(|&image| values[image]).collect::<Vec<_>>();
    // Classes without an image are none.
    let renumbered: Vec<u32> = pick(labels).into_iter().map(|label| label - u32::from(label > class)).collect();
    let (groups, features) = (pick(known.images.groups), known.features.pick(&others));
    let keys: Vec<u64> = others.iter().map(|&image| known.images.keys[image]).collect();
    let images = folds::Images { labels: &renumbered, groups: &groups, keys: &keys };
    let without = Known { features: &features, images, classes: known.classes - 1, held_out: 0..0 };
    let (gallery, kept) = without.gallery(&without.head(wish, |_| true).moments);
    let familiar = without.similarities(&gallery, &kept);
    let strangers = gallery.similarities(&known.features.pick(&own), |_, _| true);
    let below = |stranger: &f32| familiar.iter().filter(|&similarity| similarity > stranger).count();
    let pairs = (strangers.len() * familiar.len()).max(1);
    strangers.iter().map(below).sum::<usize>() as f64 / pairs as f64
}

/// The sample set's test images in colour.
fn clothes() -> anyhow::Result<Arc<Dataset>> {
    let gray = load(SAMPLE, &Recipe::default().load_options(), &Silent)?;
    let mut split = gray.validation.clone();
    let pixels: Vec<u8> = split.all_pixels().unwrap_or_default().iter().flat_map(|&pixel| [pixel; 3]).collect();
    (split.channels, split.pixels) = (3, pixels.into());
    Ok(strangers(split))
}

/// Noise of several grains.
fn noise(like: &Dataset) -> Arc<Dataset> {
    let (height, width) = (like.train.height, like.train.width);
    let mut rng = Rng::new(&[3]);
    let picture = |number: usize| -> Vec<u8> {
        let grain = [1, 4, 14, 28][number % 4];
        let across = width.div_ceil(grain);
        let grains: Vec<[u8; 3]> = (0..across * height.div_ceil(grain))
            .map(|_| std::array::from_fn(|_| (rng.next_u64() >> 56) as u8))
            .collect();
        (0..height * width).flat_map(|at| grains[at / width / grain * across + at % width / grain]).collect()
    };
    let pixels: Vec<u8> = (0..NOISE).flat_map(picture).collect();
    let mut split = like.validation.clone();
    (split.pixels, split.labels) = (pixels.into(), vec![0; NOISE]);
    strangers(split)
}

fn strangers(mut split: crate::data::Split) -> Arc<Dataset> {
    (split.sources, split.contents) = (None, None);
    split.labels.iter_mut().for_each(|label| *label = 0);
    Arc::new(Dataset::new("strangers", vec!["none".into(), "of these".into()], split.clone(), split))
}
