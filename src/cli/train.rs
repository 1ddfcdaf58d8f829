//! `kindling train`: a session with a terminal to look at it.

use super::{
    Outcome,
    dataset::{self, DataArgs},
    format, interrupt,
    model::{self, DeviceArgs, Run},
    output,
    progress::{Display, Mode},
    recipe::{RecipeArgs, fields_help},
};
use crate::{
    data::{DataError, Dataset, LoadOptions},
    session::{Command, Session, Setup, Weights},
    text,
    train::{Event, Recipe, bundle, event_log, run_folder, run_list},
    weights::{self, ImportOptions, Imported},
};
use anyhow::{anyhow, bail, ensure};
use clap::{Args, builder::NonEmptyStringValueParser};
use std::{
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
pub struct Train {
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
        help = "Folder of the run [default: runs/<date>-<time>-<data>-<model>]; with --resume also a run in one file"
    )]
    run: Option<PathBuf>,

    /// Go on with the run in --run, with its own recipe; --epochs and --set change it from there on
    #[arg(long, requires = "run")]
    resume: bool,

    /// Weights to start from: a run, a file (safetensors, PyTorch, MindSpore), or a name such as torchvision:resnet50
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
    pub fn run(mut self) -> anyhow::Result<Outcome> {
        if self.list_fields {
            output::line(self.recipe.fresh()?.help().trim_end())?;
            return Ok(Outcome::Done);
        }
        interrupt::watch();
        self.unpack_run()?;
        let stored = self.stored_run()?;
        let mut recipe = match &stored {
            Some(run) => self.recipe.resumed(&run.recipe)?,
            None => self.recipe.fresh()?,
        };
        let weights = match &self.weights {
            Some(spec) => Some(self.starting_weights(spec)?),
            None => None,
        };
        if let (Some(imported), false) = (&weights, self.recipe.names_model()) {
            recipe.adopt_network(&imported.card.spec);
            output::note(format_args!("the network is that of the weights: {}", imported.card.spec));
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
        let run_dir = self.run.clone().unwrap_or_else(|| {
            run_list::default_path(Path::new("runs"), &dataset.name, &recipe.model, event_log::now())
        });
        let mode = match (self.json, output::is_terminal()) {
            (true, _) => Mode::Json,
            (false, true) => Mode::Moving,
            (false, false) => Mode::Plain,
        };
        if mode != Mode::Json {
            output::line(format_args!("{}: {}", text::foreign(&dataset.name), dataset.validation_kind))?;
        }
        let session = Session::start(Setup {
            dataset,
            recipe,
            device: self.device.device,
            ops: self.device.ops.into(),
            run_dir: run_dir.clone(),
            resume: self.resume,
            weights: weights.map(|imported| Weights::Read(Box::new(imported))),
            // Nobody looks at predictions here.
            wake: None,
        });
        watch(session, mode, &run_dir)
    }

    /// A run in one file is opened into a folder beside it, of the same name.
    fn unpack_run(&mut self) -> anyhow::Result<()> {
        let Some(file) = self.run.clone().filter(|path| self.resume && bundle::is_bundle(path)) else { return Ok(()) };
        let folder = bundle::folder_for(&file);
        bundle::open(&file, &folder)?;
        output::note(format_args!("{} was opened into {}", text::path(&file), text::path(&folder)));
        self.run = Some(folder);
        Ok(())
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

    fn starting_weights(&self, spec: &str) -> anyhow::Result<Imported> {
        let imported = weights::read(&model::starting_weights(spec, self.json)?, &ImportOptions::default())?;
        if !self.json {
            output::line(&imported.report)?;
        }
        Ok(imported)
    }

    fn load(&self, recipe: &Recipe, stored: Option<&Run>) -> anyhow::Result<Dataset> {
        let info = stored.map(|run| &run.info).filter(|info| !info.data.is_empty());
        let stored_data = info.map(|info| info.data.as_str());
        let spec = self.data.data.as_deref().or(stored_data).unwrap_or("sample");
        let options = LoadOptions {
            // A run does not write down whether its labels were the coarse ones, but it has their names.
            coarse: self.data.coarse || info.is_some_and(|info| info.classes.len() == COARSE_CLASSES),
            ..load_options(recipe)
        };
        let dataset = dataset::load(spec, &options, self.json)?;
        if let Some(info) = info
            && info.classes != dataset.classes
        {
            bail!(
                "{} has other classes ({}) than the run was trained on ({})",
                text::foreign(spec),
                listed(&dataset.classes),
                listed(&info.classes)
            );
        }
        Ok(dataset)
    }
}

/// CIFAR-100's superclasses; for every other data set the option means nothing.
pub const COARSE_CLASSES: usize = 20;

/// How a recipe wants its data loaded. The seed decides what is held out for validation.
pub fn load_options(recipe: &Recipe) -> LoadOptions {
    LoadOptions {
        image_size: (recipe.image_size > 0).then_some(recipe.image_size),
        fit: recipe.fit,
        seed: recipe.seed,
        ..LoadOptions::default()
    }
}

fn listed(classes: &[String]) -> String {
    let first: Vec<String> = classes.iter().take(3).map(|class| text::foreign(class)).collect();
    let more = if classes.len() > 3 { format!(" and {} more", classes.len() - 3) } else { String::new() };
    format!("{}{more}", first.join(", "))
}

/// Follows a session to its end.
fn watch(session: Session, mode: Mode, run_dir: &Path) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    let mut display = Display::new(mode);
    let mut end = End::default();
    let mut stopping = false;
    loop {
        // Looked at before the events are read, so that none is left behind.
        let finished = session.is_finished();
        for event in session.events() {
            if !matches!(event, Event::Done { .. }) {
                display.event(&event, &session.view())?;
            }
            end.note(event);
        }
        if finished {
            break;
        }
        if interrupt::requested() && !stopping {
            stopping = true;
            session.send(Command::Stop);
            if mode != Mode::Json {
                display.warning("saving and ending; Ctrl+C again ends at once");
            }
        }
        display.draw(&session.view());
        thread::sleep(TICK);
    }
    display.finish()?;
    let view = session.view();
    if let Some(failure) = end.failure {
        bail!(failure);
    }
    let Some(done) = end.done else {
        if !stopping {
            bail!("training ended without saying why; the run is in {}", text::path(run_dir));
        }
        let again = format!("kindling train --run {} --resume", format::argument(run_dir));
        output::note(format!("interrupted after step {}; saved; go on with: {again}", format::number(view.step)));
        return Ok(Outcome::Interrupted);
    };
    // Whatever came after it, this is what a program finds in the last line.
    display.event(&done, &view)?;
    if let (Event::Done { accuracy, best_accuracy, .. }, true) = (done, mode != Mode::Json) {
        output::line("")?;
        output::line(format!(
            "validation accuracy {accuracy:.4}, best {best_accuracy:.4}, after {} steps in {}",
            format::number(view.step),
            format::time(began.elapsed().as_secs_f64())
        ))?;
        output::line(format!("run: {}", run_dir.display()))?;
    }
    Ok(Outcome::Done)
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
