//! `kindling train`: a session with a terminal to look at it.

use super::{
    Outcome,
    dataset::{self, DataArgs},
    model::{self, DeviceArgs, Run},
    output,
    progress::{Display, Mode},
    recipe::{RecipeArgs, fields_help},
    table,
};
use crate::{
    data::{DataError, Dataset, LoadOptions, SAMPLE},
    format,
    session::{Command, Session, Setup, Weights, interrupt},
    text,
    train::{
        CrossValidated, Event, Lopsided, Method, Recipe, bundle, lopsided, mirrored_classes, run_folder, run_list,
    },
    weights::{self, ImportOptions, Pretrained},
};
use anyhow::{anyhow, bail, ensure};
use clap::{Args, builder::NonEmptyStringValueParser};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// How often events are read, the line on the screen moves, and Ctrl+C is looked for.
const TICK: Duration = Duration::from_millis(50);

/// Train a network, and save it as a run
///
/// Without any flag this trains a small network on the sample data set. Ctrl+C saves the run and ends; a run that was
/// ended in any way goes on with --run FOLDER --resume.
#[derive(Args, Clone, Debug, Default)]
#[command(after_long_help = fields_help())]
pub(crate) struct Train {
    #[command(flatten)]
    data: DataArgs,

    #[command(flatten)]
    recipe: RecipeArgs,

    #[command(flatten)]
    device: DeviceArgs,

    // Not as documentation, where what stands in angle brackets would be HTML.
    #[arg(
        long,
        value_name = "FOLDER",
        help = "Folder of the run [default: runs/<data>-<model>, with a number]; with --resume also a run in one file"
    )]
    run: Option<PathBuf>,

    /// Go on with the run in --run, with its own recipe; --epochs and --set change it from there on
    #[arg(long, requires = "run")]
    resume: bool,

    /// Weights to start from: a run, a file (safetensors, PyTorch, MindSpore, ONNX), a name such as torchvision:resnet50,
    /// or `bundled`
    #[arg(long, value_name = "SPEC", conflicts_with = "resume", value_parser = NonEmptyStringValueParser::new())]
    weights: Option<String>,

    /// Print the fields of a recipe with their ranges and the values that this command would take, and end
    #[arg(long)]
    list_fields: bool,

    /// Print events as JSON, one a line; the last is {"event":"done",…}
    #[arg(long)]
    json: bool,
}

impl Train {
    pub(crate) fn run(mut self) -> anyhow::Result<Outcome> {
        if self.list_fields {
            output::line(self.recipe.fresh()?.help().trim_end())?;
            return Ok(Outcome::Done);
        }
        interrupt::watch();
        let opened = self.unpack_run()?;
        let stored = self.stored_run()?;
        let mut recipe = match &stored {
            Some(run) => self.recipe.resumed(&run.recipe)?,
            None => self.recipe.fresh()?,
        };
        let weights = match &self.weights {
            Some(spec) => Some(self.starting_weights(spec)?),
            None => None,
        };
        if let Some(weights) = &weights {
            self.fit(&mut recipe, weights);
        }
        let dataset = match self.load(&recipe, stored.as_ref()) {
            Ok(dataset) => Arc::new(dataset),
            Err(error) => {
                return match error.downcast_ref() {
                    Some(DataError::Cancelled) => {
                        output::note("interrupted before training began");
                        Ok(Outcome::Interrupted)
                    }
                    _ => Err(error),
                };
            }
        };
        let mode = match (self.json, output::is_terminal()) {
            (true, _) => Mode::Json,
            (false, true) => Mode::Moving,
            (false, false) => Mode::Plain,
        };
        if mode != Mode::Json {
            // Where nobody reads this, nobody reads the first event either.
            let _ = output::line(format_args!("{}: {}", text::foreign(&dataset.name), dataset.validation_kind));
        }
        let run_dir = match &self.run {
            Some(path) => path.clone(),
            None => run_list::new_folder(Path::new("runs"), &run_list::default_name(&dataset.name, &recipe.model))?,
        };
        // All that it needs is there: from here on the run is one to go on with.
        if let Some((file, opened)) = opened {
            opened.keep();
            output::note(format_args!("{} was opened into {}", text::path(&file), text::path(&run_dir)));
        }
        self.advise(&dataset, &recipe);
        let session = Session::start(Setup {
            dataset,
            recipe,
            device: self.device.device,
            ops: self.device.ops,
            run_dir: run_dir.clone(),
            resume: self.resume,
            weights: weights.map(|weights| Weights::Read(Box::new(weights))),
            // Nobody looks at predictions here.
            wake: None,
        });
        watch(session, mode, &run_dir)
    }

    /// Says what the data ask for that the recipe does not do.
    fn advise(&self, dataset: &Dataset, recipe: &Recipe) {
        if recipe.flip
            && let Some((one, other)) = mirrored_classes(&dataset.classes)
        {
            let (one, other) = (text::foreign(one), text::foreign(other));
            output::note(format_args!(
                "flip mirrors images: if that makes “{one}” look like “{other}”, --set flip=false"
            ));
        }
        if let Some(Lopsided { largest, smallest }) = lopsided(dataset).filter(|_| !recipe.evens_out()) {
            let of = |(name, count)| format!("{count} images of “{}”", text::foreign(name));
            output::note(format_args!(
                "the classes are lopsided, {} and {} to train on: --set class_weights=balanced or \
                 --set balanced_sampling=true makes them count alike",
                of(largest),
                of(smallest)
            ));
        }
        let plain = self.weights.is_none() && !self.resume && !self.recipe.has_base() && !self.recipe.names_model();
        if plain && dataset.are_photographs() {
            output::note(
                "photographs: --preset photos learns them in seconds, from a network that has seen a million others",
            );
        }
    }

    /// Takes over the network of the weights, unless another one is asked for.
    fn fit(&self, recipe: &mut Recipe, weights: &Pretrained) {
        if self.recipe.names_model() || (self.recipe.has_base() && recipe.method != Method::Head) {
            return;
        }
        recipe.fit_to_network(weights.spec());
        if recipe.method == Method::Head {
            recipe.see_as(&weights.preprocessing());
        }
        output::note(format_args!("the network is that of the weights: {}", weights.report().model));
    }

    /// A run in one file is opened into a folder beside it, of the same name.
    fn unpack_run(&mut self) -> anyhow::Result<Option<(PathBuf, bundle::Opened)>> {
        let Some(file) = self.run.clone().filter(|path| self.resume && bundle::is_bundle(path)) else {
            return Ok(None);
        };
        let folder = bundle::folder_for(&file);
        let opened = bundle::open(&file, &folder)?;
        self.run = Some(folder);
        Ok(Some((file, opened)))
    }

    /// The run that `--resume` goes on with. Refuses what would be lost or never found.
    fn stored_run(&self) -> anyhow::Result<Option<Run>> {
        let Some(path) = &self.run else { return Ok(None) };
        if !self.resume {
            let free = path.is_dir() || path.symlink_metadata().is_err();
            ensure!(free, "{} is there and no folder: choose another one with --run", text::path(path));
            ensure!(!run_folder::is_run(path), run_folder::RunError::Exists(path.clone()));
            return Ok(None);
        }
        ensure!(run_folder::is_run(path), "{} holds no run to go on with; leave out --resume", text::path(path));
        if self.recipe.has_base() {
            output::note("the run goes on with its own recipe; --preset and --recipe are for a new run");
        }
        model::open_run(path).map(Some)
    }

    fn starting_weights(&self, spec: &str) -> anyhow::Result<Pretrained> {
        let path = model::starting_weights(spec, self.json)?;
        let weights = weights::read_pretrained(&path, &ImportOptions::default())?;
        if !self.json {
            let _ = output::line(weights.report());
        }
        Ok(weights)
    }

    fn load(&self, recipe: &Recipe, stored: Option<&Run>) -> anyhow::Result<Dataset> {
        let spec = match (&self.data.data, stored) {
            (Some(spec), _) => spec,
            (None, Some(run)) => run.data()?,
            (None, None) => SAMPLE,
        };
        let options = match stored {
            Some(run) => run.load_options(recipe),
            None => recipe.load_options(),
        };
        let options = LoadOptions { coarse: self.data.coarse || options.coarse, ..options };
        Ok(dataset::load(spec, &options, self.json)?)
    }
}

/// Follows a session to its end.
fn watch(session: Session, mode: Mode, run_dir: &Path) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    let mut display = Display::new(mode);
    let mut end = End::default();
    let mut stopping = false;
    let mut unheard = None;
    loop {
        // Looked at before the events are read, so that none is left behind.
        let finished = session.is_finished();
        for event in session.events() {
            if !matches!(event, Event::Done { .. }) && unheard.is_none() {
                unheard = display.event(&event, &session.view()).err().map(Unheard);
            }
            end.note(event);
        }
        if finished {
            break;
        }
        let left = unheard.as_ref().is_some_and(Unheard::reader_left);
        if (interrupt::requested() || left) && !stopping {
            stopping = true;
            session.send(Command::Stop);
            if mode != Mode::Json && !left {
                display.warning("saving and ending; Ctrl+C again ends at once");
            }
        }
        display.draw(&session.view());
        thread::sleep(TICK);
    }
    let finished = display.finish();
    let view = session.view();
    if let Some(failure) = end.failure {
        bail!(failure);
    }
    let Some(done) = end.done else {
        if !stopping {
            bail!("training ended without saying why; the run is in {}", text::path(run_dir));
        }
        let again = format!("kindling train --run {} --resume", output::argument(run_dir));
        let left = unheard.as_ref().is_some_and(Unheard::reader_left);
        let why = if left { "nobody reads the output any more: " } else { "" };
        output::note(format!("{why}interrupted after step {}; saved; go on with: {again}", format::number(view.step)));
        return Ok(Outcome::Interrupted);
    };
    if let Some(Unheard(error)) = unheard.filter(|unheard| !unheard.reader_left()) {
        bail!("standard output could not be written ({error}); the run is done, and in {}", text::path(run_dir));
    }
    finished?;
    // Whatever came after it, this is what a program finds in the last line.
    display.event(&done, &view)?;
    if let (Event::Done { accuracy, best_accuracy, cross_validated, .. }, true) = (done, mode != Mode::Json) {
        output::line("")?;
        let took = format::duration(began.elapsed().as_secs_f64());
        output::line(match cross_validated {
            Some(figures) => cross_validation(accuracy, &figures, &took),
            None => format!(
                "validation accuracy {}, best {}, after {} steps in {took}",
                table::measured(accuracy),
                table::measured(best_accuracy),
                format::number(view.step),
            ),
        })?;
        output::line(format!("run: {}", text::path(run_dir)))?;
    }
    Ok(Outcome::Done)
}

/// How good a head is, in words.
fn cross_validation(accuracy: Option<f32>, figures: &CrossValidated, took: &str) -> String {
    let CrossValidated { balanced_accuracy, interval: [low, high], folds, rounds, .. } = figures;
    let judged = match folds {
        0 => "on the validation images".to_owned(),
        _ => format!(
            "on photographs that it had not seen ({folds} folds{})",
            if *rounds > 1 { format!(", {rounds} times") } else { String::new() }
        ),
    };
    format!(
        "accuracy {}, between {low:.3} and {high:.3} with 95 % certainty, balanced {balanced_accuracy:.4}, {judged}, in {took}",
        table::measured(accuracy)
    )
}

/// Why what a run says can't be printed any more.
struct Unheard(io::Error);

impl Unheard {
    /// Whether who read it has gone, as in `kindling train --json | head -3`. That ends the run as Ctrl+C does: nobody
    /// would learn how it goes. Any other reason, such as a log on a full disk, does not cost the training.
    fn reader_left(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// How a session ended.
#[derive(Default)]
struct End {
    /// The event that says so, where all epochs are done.
    done: Option<Event>,
    failure: Option<anyhow::Error>,
}

impl End {
    fn note(&mut self, event: Event) {
        match event {
            Event::Done { .. } => self.done = Some(event),
            Event::Error { text, .. } => self.failure = Some(anyhow!(text)),
            _ => {}
        }
    }
}
