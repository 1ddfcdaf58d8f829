//! The session's thread: obeys commands, takes steps, tells what happens, and saves.

mod find;
mod occasion;
mod reconnect;
pub(super) mod replay;
mod save;
pub(super) mod search;
mod start;
mod steer;
mod validate;

use self::occasion::Occasion;
pub(super) use self::reconnect::run;
use super::{
    Command, Event, Phase, SessionError, Setup, View, at_exit,
    error::not_saved,
    message::Channels,
    pace::Pace,
    run_writer::{KeepError, RunWriter},
    view::Shown,
};
use crate::{
    format,
    model::Prepared,
    ops::{Storage, cpu::pool},
    train::{
        batches::{Batch, Position},
        diagnosis::Diagnosis,
        events::{LayerNorms, Origin},
        field::Value,
        prefetch::Prefetch,
        recipe::Recipe,
        run_folder::RunState,
        schedule,
        trainer::{Metrics, Trainer},
    },
    weights::ModelCard,
};
use std::{
    collections::VecDeque,
    rc::Rc,
    sync::{Arc, PoisonError, mpsc::TryRecvError},
    time::{Duration, Instant},
};

/// Validation images that the window's predictions show while an epoch goes on.
const PREVIEW_IMAGES: usize = 256;

fn position(state: &RunState) -> Position {
    Position { epoch: state.epoch, batch: state.batch }
}

/// What is done now and then.
#[derive(Default)]
struct Occasions {
    save: Occasion,
    preview: Occasion,
    norms: Occasion,
}

struct Worker {
    setup: Setup,
    channels: Rc<Channels>,
    recipe: Recipe,
    trainer: Trainer,
    card: ModelCard,
    feed: Prefetch,
    writer: RunWriter,
    state: RunState,
    shown: Shown,
    /// Orders that came while only questions could be answered.
    kept: VecDeque<Command>,
    /// Hyperparameters that wait for the next epoch.
    pending: Vec<(&'static str, Value)>,
    paused: bool,
    stopping: bool,
    pace: Pace,
    occasions: Occasions,
    /// Why something could not be written since the last complete save.
    unwritten: Option<Arc<KeepError>>,
    /// Whether an automatic snapshot could not be kept; said once.
    snapshots_fail: bool,
    /// Kernels that the first step will want.
    _prepared: Prepared,
    /// Until it is dropped the run is saved whatever ends the process. Last, because fields are dropped in this order.
    _saved_at_exit: at_exit::Guard,
}

impl Worker {
    fn train(&mut self) -> Result<(), SessionError> {
        while self.state.epoch < self.recipe.epochs && !self.stopping {
            self.handle_commands()?;
            if self.stopping {
                break;
            }
            self.step()?;
        }
        self.phase(Phase::Saving, "Saving");
        self.state.finished = !self.stopping;
        self.save()?;
        self.all_saved()?;
        if self.stopping {
            self.phase(Phase::Stopped, "Stopped");
        } else {
            self.emit(Event::Done {
                step: self.state.step,
                accuracy: self.state.last_accuracy.map(|accuracy| accuracy as f32),
                best_accuracy: self.state.best_of_run().map(|accuracy| accuracy as f32),
                cross_validated: None,
                run: self.setup.run_dir.display().to_string(),
            });
            self.phase(Phase::Finished, "Finished");
        }
        // The last lines too.
        Ok(self.all_saved()?)
    }

    /// Carries out what was ordered; while paused, waits for the next order.
    fn handle_commands(&mut self) -> Result<(), SessionError> {
        loop {
            let command = if let Some(command) = self.kept.pop_front() {
                command
            } else if self.paused {
                match self.channels.commands.recv() {
                    Ok(command) => command,
                    Err(_) => Command::Stop,
                }
            } else {
                match self.channels.commands.try_recv() {
                    Ok(command) => command,
                    Err(TryRecvError::Empty) => return Ok(()),
                    Err(TryRecvError::Disconnected) => Command::Stop,
                }
            };
            match command {
                Command::Pause => {
                    self.report()?;
                    self.paused = true;
                    self.save()?;
                    self.phase(Phase::Paused, "Paused");
                }
                Command::Resume => {
                    self.paused = false;
                    self.pace.restart();
                    self.phase(Phase::Training, "Training");
                }
                Command::Stop => {
                    self.report()?;
                    self.stopping = true;
                    return Ok(());
                }
                Command::Set { key, value } => self.set(&key, value),
                Command::Snapshot { name } => {
                    self.snapshot(name.unwrap_or_else(|| format!("step-{}", self.state.step)), false)?;
                }
                Command::Rewind { snapshot, changes } => {
                    if let Err(error) = self.rewind(&snapshot, changes) {
                        self.warn(error.to_string());
                    }
                }
                Command::FindRate { progress } => self.find_rate(&progress),
                Command::Classify(request) => self.classify(request),
                Command::Edit(_) => self.warn("images are changed between runs, or while a head is found".to_owned()),
            }
        }
    }

    /// One update, and whatever is due after it.
    fn step(&mut self) -> Result<(), SessionError> {
        if self.state.batch == 0 {
            self.begin_epoch();
        }
        let steps_per_epoch = self.feed.feed().steps_per_epoch();
        let lr = schedule::learning_rate(&self.recipe, self.schedule_step(), steps_per_epoch);
        let frozen = self.recipe.frozen_at(self.state.epoch);
        let batch = self.feed.next();
        // They may take a fiftieth of the time.
        if !self.setup.headless() && self.occasions.norms.is_due(Duration::from_millis(500), 50) {
            self.tell_norms(&batch);
        }
        self.trainer.step(&batch, &self.recipe, lr, frozen);
        self.feed.recycle(batch);
        self.state.step += 1;
        self.state.extra.updates = self.trainer.updates();
        let next = position(&self.state).next(steps_per_epoch);
        (self.state.epoch, self.state.batch) = (next.epoch, next.batch);
        self.pace.step();

        let epoch_over = self.state.batch == 0;
        if epoch_over || self.pace.due(self.trainer.compute()) {
            self.report()?;
            if self.stopping {
                return Ok(());
            }
        }
        if epoch_over {
            self.end_epoch()?;
        } else if self.save_due() {
            self.save()?;
        } else if self.preview_due() {
            self.preview();
        }
        if let Some(reason) = self.trainer.compute().lost() {
            return Err(SessionError::DeviceLost(reason));
        }
        Ok(())
    }

    fn begin_epoch(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        let batch_size = self.recipe.batch_size;
        for (key, value) in pending {
            self.apply(key, value);
        }
        if batch_size != self.recipe.batch_size || self.feed.feed().batch_size() != self.recipe.batch_size {
            let feed = self.feed.feed().with_batch_size(self.recipe.batch_size);
            self.feed.change(feed);
            // No step asks for the old sizes again.
            pool::trim();
        }
        self.state.batch_size = self.recipe.batch_size;
        self.trainer.keep_losses();
        (self.state.loss_sum, self.state.hits, self.state.seen) = (0.0, 0.0, 0);
    }

    /// Updates of a run without changes to its batch size: what the schedule counts in.
    fn schedule_step(&self) -> u64 {
        self.state.epoch * self.feed.feed().steps_per_epoch() + self.state.batch
    }

    /// Reads the device's sums back and says them. Stops training where an update was refused.
    fn report(&mut self) -> Result<(), SessionError> {
        if self.pace.steps() == 0 {
            return Ok(());
        }
        let metrics = self.trainer.read_metrics();
        self.state.seconds += self.pace.take(metrics.images);
        if metrics.refused > 0 {
            return self.not_finite(metrics);
        }
        if metrics.skipped > 0 {
            self.warn(format!(
                "steps skipped because 16-bit gradients overflowed: {}; the loss scale is {} now",
                metrics.skipped, metrics.scale
            ));
        }
        self.state.loss_sum += f64::from(metrics.loss);
        self.state.hits += f64::from(metrics.hits);
        self.state.seen += metrics.images;
        let images = metrics.images.max(1) as f32;
        let steps_per_epoch = self.feed.feed().steps_per_epoch();
        let done = self.schedule_step();
        if self.shown.phase == Phase::Compiling {
            self.phase(Phase::Training, "Training");
        }
        let lr = schedule::learning_rate(&self.recipe, done.saturating_sub(1), steps_per_epoch);
        self.emit(Event::Step {
            step: self.state.step,
            epoch: done as f64 / steps_per_epoch.max(1) as f64,
            loss: metrics.loss / images,
            accuracy: metrics.hits / images,
            lr,
            images_per_s: self.pace.images_per_s(),
            seconds: self.state.seconds,
        });
        self.publish();
        Ok(())
    }

    /// Says how large the layers are, and their gradients on the batch that comes next.
    fn tell_norms(&mut self, batch: &Batch) {
        let started = Instant::now();
        let norms = self.trainer.norms(batch, &self.recipe).into_iter();
        let layers = norms.map(|(name, [weights, gradient])| LayerNorms { name, weights, gradient }).collect();
        self.emit(Event::Norms { step: self.state.step, layers });
        let took = self.occasions.norms.done(started);
        self.pace.skip(took);
    }

    /// The update was refused on the device, so the weights are the last good ones. Says where and why, and stops.
    fn not_finite(&mut self, metrics: Metrics) -> Result<(), SessionError> {
        let steps_per_epoch = self.feed.feed().steps_per_epoch();
        let at = self.schedule_step().saturating_sub(metrics.refused);
        let place = Position { epoch: at / steps_per_epoch, batch: at % steps_per_epoch };
        self.state.step = self.state.step.saturating_sub(metrics.refused);
        (self.state.epoch, self.state.batch) = (place.epoch, place.batch);
        let batch = self.feed.feed().batch(place);
        let Diagnosis { loss, layers, activations, origin } = self.trainer.diagnose(&batch, &self.recipe);
        self.trainer.allow_updates();
        self.feed.seek(place);
        let lr = schedule::learning_rate(&self.recipe, at, steps_per_epoch);
        let rate = format::rounded(lr);
        let culprit = origin.as_ref().map_or("the gradient".to_owned(), Origin::to_string);
        self.emit(Event::NotFinite {
            step: self.state.step,
            epoch: place.epoch,
            lr,
            loss,
            batch: batch.plan.indices(),
            layers,
            activations,
            origin,
        });
        self.save()?;
        let step = self.state.step;
        match self.all_saved() {
            Ok(()) => {
                let half = self.trainer.storage(&self.recipe) == Storage::F16;
                Err(SessionError::NotFinite { culprit, step, rate, half })
            }
            Err(unsaved) => Err(SessionError::NotFiniteUnsaved { culprit, step, unsaved }),
        }
    }

    fn warn(&mut self, text: String) {
        tracing::warn!("{text}");
        self.emit(Event::Warning { step: self.state.step, text });
    }

    fn phase(&mut self, phase: Phase, status: &str) {
        self.shown.phase = phase;
        self.shown.status = status.to_owned();
        self.publish();
        self.emit(Event::Phase { step: self.state.step, phase });
    }

    fn emit(&mut self, event: Event) {
        if let Err(error) = self.writer.append(&event)
            && let Some(error) = self.unwritten_for(error)
        {
            let text = not_saved(&error);
            let _ = self.channels.events.send(Event::Warning { step: self.state.step, text });
        }
        let _ = self.channels.events.send(event);
        if let Some(wake) = &self.setup.wake {
            wake();
        }
    }

    /// All that is to be seen of the session at this moment.
    fn view(&self) -> View {
        let Shown { phase, status, predictions, validated, confusion, memory, .. } = self.shown.clone();
        let steps_per_epoch = self.feed.feed().steps_per_epoch();
        let left = (self.recipe.epochs * steps_per_epoch).saturating_sub(self.schedule_step());
        let compute = self.trainer.compute();
        View {
            phase,
            status,
            epoch: self.state.epoch,
            epochs: self.recipe.epochs,
            step: self.state.step,
            total_steps: schedule::total_steps(&self.recipe, steps_per_epoch),
            steps_per_epoch,
            images_per_s: self.pace.images_per_s(),
            eta_s: self.pace.step_s().map(|seconds| left as f64 * seconds),
            device: compute.description.clone(),
            device_bytes: if self.setup.headless() { None } else { compute.memory() },
            recipe: self.recipe.clone(),
            predictions,
            validated,
            confusion,
            memory,
            head: None,
        }
    }

    fn publish(&self) {
        *self.channels.view.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(self.view());
    }
}
