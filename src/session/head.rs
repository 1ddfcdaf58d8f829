//! A session that finds a head for a trained network, at once, and judges it by cross-validation.
//!
//! It says the same events as one that trains step by step, and leaves the same files; the solver's iterations are its steps,
//! and each head that it finds is an epoch. In a window it stays when it is done: images are moved, taken in and left out,
//! and each time there is another head and another figure. What takes long, writing the network, waits until nobody has
//! changed anything for a moment.

mod desk;
mod judged;
mod start;
#[cfg(test)]
mod tests;

use self::{desk::Desk, judged::Judged};
use super::{
    Command, Event, Phase, SessionError, Setup, Unsaved, at_exit,
    message::Channels,
    run_writer::{Best, Tensors},
    savable::check_savable,
    view::HeadView,
};
use crate::{
    data::{self, Change, Dataset, Edits, LoadOptions},
    format::plural,
    text,
    train::{
        CrossValidated,
        answers::{Answers, Stranger},
        head::{
            fit::{Head, Known, Wish},
            logistic::Step,
        },
        run_folder::{Folds, RunState},
        seen_images::SeenImages,
        sight::Sight,
    },
    weights::{HeadCard, HostTensor, ModelCard, StateDict},
};
use std::{
    ops::ControlFlow,
    sync::{Arc, mpsc::RecvTimeoutError},
    time::{Duration, Instant},
};

/// How long nobody changes anything before the head is written.
const REST: Duration = Duration::from_millis(700);

/// See the module.
struct HeadSession {
    setup: Setup,
    desk: Desk,
    sight: Sight,
    /// The whole network, with the head that was found last.
    tensors: StateDict,
    card: ModelCard,
    state: RunState,
    stopping: bool,
    /// The images that the last head was found on, if one was.
    found_on: Option<Arc<Dataset>>,
    /// What was found last, until it is written.
    unsaved: Option<Found>,
    /// What was said last of the images, so that it is said once.
    said: Vec<String>,
    /// Until it is dropped the head is written whatever ends the process.
    _saved_at_exit: at_exit::Guard,
}

/// A head, as far as it is to be written.
struct Found {
    figures: Option<CrossValidated>,
    folds: Option<Folds>,
}

/// Runs a session to its end.
pub(super) fn run(setup: Setup, channels: Channels) -> Result<(), SessionError> {
    HeadSession::start(setup, channels)?.live()
}

impl HeadSession {
    fn live(&mut self) -> Result<(), SessionError> {
        self.find()?;
        self.write()?;
        while !self.setup.headless() && !self.stopping {
            match self.next() {
                Some(command) => self.obey(command)?,
                None => self.write()?,
            }
        }
        self.write()?;
        if self.stopping {
            self.desk.phase(Phase::Stopped, "Stopped");
        }
        Ok(())
    }

    /// The next order; `None` where it is time to write what was found.
    fn next(&mut self) -> Option<Command> {
        if let Some(command) = self.desk.waiting.pop_front() {
            return Some(command);
        }
        let commands = &self.desk.channels.commands;
        let order = match self.unsaved {
            Some(_) => commands.recv_timeout(REST),
            None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match order {
            Ok(command) => Some(command),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Command::Stop),
        }
    }

    fn obey(&mut self, command: Command) -> Result<(), SessionError> {
        match command {
            Command::Stop => self.stopping = true,
            Command::Classify(request) => self.desk.classify(request),
            Command::Edit(change) => return self.edit(change),
            Command::Pause | Command::Resume => {}
            Command::Set { key, .. } => {
                self.desk.warn(format!("{key} takes effect in a new run: a head is found at once"))
            }
            Command::Snapshot { .. } | Command::Rewind { .. } => {
                self.desk.warn("a head is found at once: there is no state to go back to".to_owned());
            }
            // Whoever waits hears that nobody will answer.
            Command::FindRate { .. } => self.desk.warn("a head has no learning rate to be looked for".to_owned()),
        }
        Ok(())
    }

    /// Makes a change, with all that wait behind it, and finds the head that follows.
    fn edit(&mut self, change: Change) -> Result<(), SessionError> {
        let changes: Vec<Change> = std::iter::once(change).chain(self.desk.more_changes()).collect();
        let mut changed = self.change(&changes);
        if changed.is_err() && changes.len() > 1 {
            // One of them is at fault, which costs the others nothing.
            let each = changes.chunks(1).map(|change| self.change(change)).collect::<Vec<_>>();
            changed = each.into_iter().rfind(Result::is_err).unwrap_or(Ok(()));
        }
        if let Err(error) = changed {
            self.desk.warn(format!("not changed: {error}"));
        }
        match &self.found_on {
            Some(known) if Arc::ptr_eq(&self.setup.dataset, known) => Ok(()),
            _ => self.find(),
        }
    }

    /// Changes what the images are, and reads them so.
    fn change(&mut self, changes: &[Change]) -> Result<(), String> {
        let before = self.setup.dataset.clone();
        let mut edits = Edits::clone(&before.options.edits);
        changes.iter().for_each(|change| edits.change(self.state.step, change.clone()));
        let options = LoadOptions { edits: Arc::new(edits), ..before.options.clone() };
        let dataset = data::load(&before.spec, &options, &data::Silent).map_err(|error| error.to_string())?;
        let card = self.card_of(&dataset).map_err(|error| error.to_string())?;
        for change in changes {
            let written = self.desk.writer.append_edit(self.state.step, change.clone());
            self.desk.note_write(written);
        }
        (self.card, self.setup.dataset) = (card, Arc::new(dataset));
        Ok(())
    }

    /// What the network is on other images.
    fn card_of(&self, dataset: &Dataset) -> Result<ModelCard, SessionError> {
        let spec = self.setup.recipe.spec(dataset.train.channels, dataset.classes.len())?;
        let card = ModelCard { spec, classes: dataset.classes.clone(), ..self.card.clone() };
        check_savable(&card, dataset)?;
        Ok(card)
    }

    /// Finds a head and says how good it is, as far as nobody interrupts.
    fn find(&mut self) -> Result<(), SessionError> {
        let started = Instant::now();
        self.desk.phase(Phase::Reading, "Looking at the images");
        let Some(images) = self.look() else { return Ok(()) };
        if images.labels.is_empty() {
            return Err(SessionError::NothingRead(self.setup.dataset.spec.clone()));
        }
        self.found_on = Some(self.setup.dataset.clone());
        self.say_of(&images);
        let recipe = &self.setup.recipe;
        let wish = Wish {
            class_weights: recipe.class_weights.clone(),
            strength: Some(recipe.head_strength).filter(|strength| *strength > 0.0),
            unknown: recipe.unknown_rate,
        };
        self.desk.phase(Phase::Training, "Finding the head");
        let known = images.known(self.setup.dataset.classes.len());
        let mut steps = Vec::new();
        let tell = |step| {
            steps.push(step);
            true
        };
        let (head, first) = rayon::join(|| known.head(&wish, tell), || known.round(0, &wish));
        self.install(&known, &head, &wish);
        self.tell_steps(&steps, images.labels.len(), started);
        self.desk.phase(Phase::Validating, "Cross-validating");
        let mut judged = Judged::new(&images, known.classes, &first);
        self.show(&judged, started);
        for round in 1..known.rounds() {
            if self.desk.interrupted() {
                break;
            }
            judged.add(&images, &known.round(round, &wish));
            self.show(&judged, started);
        }
        self.conclude(&judged, steps.last(), started);
        Ok(())
    }

    /// What the network sees in the images; `None` where somebody wants something else.
    fn look(&mut self) -> Option<SeenImages> {
        let (dataset, desk, sight) = (self.setup.dataset.clone(), &mut self.desk, &mut self.sight);
        let images = SeenImages::look(&dataset, |split| {
            sight.look(split, |progress| {
                desk.view.status = format!("Looking at the images {} / {}", progress.done, progress.total);
                desk.publish();
                if desk.interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
        });
        dataset.take_troubles().into_iter().for_each(|trouble| self.desk.warn(trouble));
        images
    }

    /// Says what the number of images does to the figures.
    fn say_of(&mut self, images: &SeenImages) {
        let mut notes = Vec::new();
        if let Some((folds, Some(class))) = images.folds() {
            let (name, count) = (text::foreign(self.setup.dataset.class(class)), images.different_of(class));
            notes.push(match count {
                1 => format!(
                    "“{name}” has one photograph: whether it is recognised can't be known, and it counts as a mistake; add \
                     another one"
                ),
                _ => format!("{folds} folds: “{name}” has only {}", plural(count, "different photograph")),
            });
        }
        match images.copies() {
            0 => {}
            copies => notes.push(format!(
                "{} nearly the same as another one, so that both are on one side wherever a head is judged",
                if copies == 1 { "one image is".to_owned() } else { format!("{copies} images are") }
            )),
        }
        for note in notes.iter().filter(|note| !self.said.contains(note)) {
            self.desk.warn(note.clone());
        }
        self.said = notes;
    }

    /// Puts a head onto the network.
    fn install(&mut self, known: &Known, head: &Head, wish: &Wish) {
        let (width, classes) = (head.layer.weight.rows, head.layer.bias.len());
        let [weight, bias] = self.card.spec.head_tensors();
        let turned = |class: usize| (0..width).map(move |feature| head.layer.weight.row(feature)[class] as f32);
        let data = (0..classes).flat_map(turned).collect();
        self.tensors.insert(weight, HostTensor { shape: vec![classes, width], data });
        let data = head.layer.bias.iter().map(|&value| value as f32).collect();
        self.tensors.insert(bias, HostTensor { shape: vec![classes], data });
        let unknown = known.unknown(head, wish);
        self.desk.answers = Some(Answers {
            network: self.sight.network().clone(),
            preprocessing: self.card.preprocessing.clone(),
            head: Some(head.layer.clone()),
            stranger: unknown.as_ref().map(Stranger::new),
        });
        self.card.head = Some(Box::new(HeadCard { unknown }));
    }

    fn tell_steps(&mut self, steps: &[Step], images: usize, started: Instant) {
        let seconds = started.elapsed().as_secs_f64();
        for (i, step) in steps.iter().enumerate() {
            self.state.step += 1;
            self.desk.view.step = self.state.step;
            self.desk.emit(Event::Step {
                step: self.state.step,
                epoch: self.state.epoch as f64 + (i + 1) as f64 / steps.len() as f64,
                loss: step.loss as f32,
                accuracy: step.accuracy as f32,
                lr: step.length,
                images_per_s: (images as f64 / seconds.max(1e-9)) as f32,
                seconds: self.state.seconds + seconds,
            });
        }
    }

    /// Shows what is known so far of how good the head is.
    fn show(&mut self, judged: &Judged, started: Instant) {
        let view = &mut self.desk.view;
        view.predictions = Arc::new(judged.predictions(self.state.step));
        view.validated = view.predictions.clone();
        view.confusion = Some(Arc::new(judged.typical().1.confusion.clone()));
        let figures = judged.figures(started.elapsed().as_secs_f64());
        view.head = figures.zip(judged.accuracy()).map(|(figures, accuracy)| HeadView {
            dataset: self.setup.dataset.clone(),
            accuracy,
            figures,
        });
        self.desk.publish();
    }

    /// The head counts: its epoch is over.
    fn conclude(&mut self, judged: &Judged, last: Option<&Step>, started: Instant) {
        self.show(judged, started);
        let seconds = started.elapsed().as_secs_f64();
        let (accuracy, (predictions, evaluation)) = (judged.accuracy(), judged.typical());
        self.state.epoch += 1;
        self.state.seconds += seconds;
        (self.state.last_accuracy, self.state.best_accuracy) = (accuracy, accuracy);
        let measured = |value: f64| accuracy.is_some().then_some(value as f32);
        self.desk.view.epoch = self.state.epoch;
        self.desk.view.epochs = self.state.epoch;
        self.desk.view.total_steps = self.state.step;
        let log = |row: &[f32]| row.iter().map(|p| p.max(f32::MIN_POSITIVE).ln()).collect::<Vec<f32>>();
        let split = &self.setup.dataset.validation;
        let folds = (judged.has_folds()).then(|| {
            let contents = split.contents.as_deref().unwrap_or_default();
            let rows = predictions.iter().filter_map(|prediction| {
                Some((*contents.get(prediction.index as usize)?, log(&prediction.probabilities)))
            });
            Folds::new(self.card.spec.classes, rows)
        });
        self.unsaved = Some(Found { figures: judged.figures(seconds), folds });
        self.desk.emit(Event::Epoch {
            step: self.state.step,
            epoch: self.state.epoch,
            train_loss: last.map_or(0.0, |step| step.loss as f32),
            train_accuracy: last.map_or(0.0, |step| step.accuracy as f32),
            val_loss: measured(evaluation.loss()),
            val_accuracy: measured(accuracy.unwrap_or(0.0)),
            top5: measured(evaluation.top5()),
            per_class: evaluation.confusion.hits_and_support(),
            seconds: self.state.seconds,
            best: true,
        });
    }

    /// Writes what was found last, and says that it is done.
    fn write(&mut self) -> Result<(), SessionError> {
        let Some(Found { figures, folds }) = self.unsaved.take() else { return Ok(()) };
        self.desk.phase(Phase::Saving, "Saving");
        self.state.finished = true;
        let state = RunState { recipe: self.setup.recipe.clone(), ..self.state.clone() };
        let (card, accuracy, step) = (&self.card, self.state.last_accuracy, self.state.step);
        let writer = &mut self.desk.writer;
        let tensors = Tensors { card, weights: &self.tensors, optimiser: &StateDict::new() };
        let best = Best { card: card.clone(), weights: self.tensors.clone(), step, accuracy };
        let written = writer
            .set_folds(folds.as_ref())
            .and_then(|()| writer.set_best(best))
            .and_then(|()| writer.checkpoint(&state, &tensors));
        match written {
            Ok(()) => self.desk.unwritten = None,
            Err(error) => self.desk.note_write(Err(error)),
        }
        if let Some(error) = self.desk.unwritten.clone() {
            return Err(Unsaved::Part(error).into());
        }
        let accuracy = accuracy.map(|accuracy| accuracy as f32);
        self.desk.emit(Event::Done {
            step,
            accuracy,
            best_accuracy: accuracy,
            cross_validated: figures,
            run: self.setup.run_dir.display().to_string(),
        });
        self.desk.phase(Phase::Finished, "Finished");
        Ok(())
    }
}
