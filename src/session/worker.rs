//! The session's thread: obeys commands, takes steps, tells what happens, and saves.

use super::{
    Command, Event, Phase, Prediction, Predictions, Request, Setup, View,
    keeper::{Keeper, Restored, Tensors},
    pace::Pace,
};
use crate::{
    data::Preprocessing,
    device,
    model::{Network, network::read},
    train::{
        batches::{Feed, Position, ranges, render_range},
        field::{Takes, Value},
        metrics::{Evaluation, softmax},
        predictor::logits,
        prefetch::Prefetch,
        recipe::{self, Recipe},
        render::{Transform, normalisation},
        run_folder::{RunInfo, State},
        schedule,
        trainer::{self, Metrics, Trainer},
    },
    weights::{ModelCard, adapt},
};
use burn::tensor::{Tensor, TensorData};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, TryRecvError},
    },
    time::{Duration, Instant},
};

/// Batches rendered ahead of use.
const AHEAD: usize = 3;
/// Validation images that the window's predictions show while an epoch goes on.
const WATCHED: usize = 256;
/// Where a checkpoint keeps how many updates the optimiser has seen.
const UPDATES: &str = "updates";

fn position(state: &State) -> Position {
    Position { epoch: state.epoch, batch: state.batch }
}

fn updates(state: &State) -> u64 {
    state.extra.get(UPDATES).copied().unwrap_or_default() as u64
}

/// The thread's ends of the session's channels.
pub(super) struct Channels {
    pub commands: Receiver<Command>,
    pub events: Sender<Event>,
    pub view: Arc<Mutex<Arc<View>>>,
}

/// Why a session ended before its time. One line for people.
type Failure = String;

struct Worker {
    setup: Setup,
    channels: Channels,
    recipe: Recipe,
    trainer: Trainer,
    card: ModelCard,
    feed: Prefetch,
    keeper: Keeper,
    state: State,
    view: View,
    /// Orders that came while only questions could be answered.
    kept: VecDeque<Command>,
    /// Hyperparameters that wait for the next epoch.
    pending: Vec<(&'static str, Value)>,
    paused: bool,
    stopping: bool,
    pace: Pace,
    last_save: Instant,
    save_took: Duration,
    last_look: Instant,
    look_took: Duration,
    /// Whether the last attempt to write the run's folder failed; said once.
    unwritten: bool,
}

/// Runs a session to its end.
pub(super) fn run(setup: Setup, channels: Channels) {
    let (events, view, wake) = (channels.events.clone(), channels.view.clone(), setup.wake.clone());
    let fail = |step: u64, text: String| {
        let mut latest = view.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = View::clone(&latest);
        (changed.phase, changed.status) = (Phase::Stopped, text.clone());
        *latest = Arc::new(changed);
        drop(latest);
        let _ = events.send(Event::Error { step, text });
        if let Some(wake) = &wake {
            wake();
        }
    };
    // A panic here would otherwise be silence in the window; what was saved stays.
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        Worker::start(setup, channels).and_then(|mut worker| worker.train())
    }));
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(text)) => fail(0, text),
        Err(panic) => {
            let what = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            let what = what.unwrap_or("unknown");
            fail(0, format!("training stopped by a fault in the program ({what}); the last checkpoint is intact"));
        }
    }
}

impl Worker {
    fn start(mut setup: Setup, channels: Channels) -> Result<Self, Failure> {
        let compute = device::open(setup.device).map_err(|e| e.to_string())?;
        let dataset = setup.dataset.clone();
        let recipe = setup.recipe.clone();
        let spec = recipe.spec(dataset.train.channels, dataset.classes.len()).map_err(|e| e.to_string())?;
        let normalisation = normalisation(&recipe, &dataset);
        let mut feed = Feed::new(dataset.clone(), &recipe, &normalisation);
        let card = ModelCard {
            spec: spec.clone(),
            classes: dataset.classes.clone(),
            preprocessing: feed.transform().preprocessing(),
        };
        let (keeper, restored) = if setup.resume {
            Keeper::resume(&setup.run_dir).map_err(|e| e.to_string())?
        } else {
            let info = RunInfo {
                data: dataset.spec.clone(),
                model: spec.to_string(),
                classes: dataset.classes.clone(),
                ..RunInfo::default()
            };
            (Keeper::create(&setup.run_dir, &recipe, &info).map_err(|e| e.to_string())?, None)
        };
        let mut notes = Vec::new();
        let (state, trainer) = match restored {
            Some(Restored { state, weights, optimiser }) => {
                let network = trainer::network_of(&spec, &weights, setup.ops, &compute).map_err(|e| e.to_string())?;
                let mut trainer = Trainer::new(network, compute.clone());
                trainer.restore_optimiser(&optimiser, updates(&state), recipe.frozen_at(state.epoch));
                if state.batch > 0 && state.batch_size > 0 {
                    feed = feed.with_batch_size(state.batch_size);
                }
                (state, trainer)
            }
            None => {
                let network = match setup.weights.take() {
                    Some(imported) => {
                        let adapted =
                            adapt(imported, &spec, &dataset.classes, recipe.seed).map_err(|e| e.to_string())?;
                        notes = adapted.notes;
                        trainer::network_of(&spec, &adapted.tensors, setup.ops, &compute).map_err(|e| e.to_string())?
                    }
                    None => Network::new(&spec, recipe.seed, recipe.zero_init_residual, setup.ops, &compute.device),
                };
                (State::default(), Trainer::new(network, compute.clone()))
            }
        };
        let steps_per_epoch = feed.steps_per_epoch();
        let view = View {
            phase: Phase::Compiling,
            status: "Preparing kernels".into(),
            epoch: state.epoch,
            epochs: recipe.epochs,
            step: state.step,
            total_steps: schedule::total_steps(&recipe, steps_per_epoch),
            steps_per_epoch,
            images_per_s: 0.0,
            eta_s: None,
            device: compute.description.clone(),
            recipe: recipe.clone(),
            predictions: Arc::default(),
            confusion: None,
        };
        let now = Instant::now();
        let mut worker = Self {
            feed: Prefetch::new(feed, position(&state), AHEAD),
            recipe,
            trainer,
            card,
            keeper,
            view,
            kept: VecDeque::new(),
            pending: Vec::new(),
            paused: false,
            stopping: false,
            pace: Pace::new(),
            last_save: now,
            save_took: Duration::ZERO,
            last_look: now,
            look_took: Duration::ZERO,
            unwritten: false,
            state,
            setup,
            channels,
        };
        worker.publish();
        if worker.setup.resume {
            worker.say(Event::Resumed {
                step: worker.state.step,
                epoch: worker.state.epoch,
                from_branch: worker.keeper.branch(),
                snapshot: None,
                device: compute.description.clone(),
            });
            // A restart may come with changes, such as more epochs; before the first checkpoint there is no state to differ.
            let before = if worker.state.step > 0 { worker.state.recipe.clone() } else { worker.recipe.clone() };
            for change in recipe::diff(&before, &worker.recipe) {
                let (key, step) = (change.field.key.to_owned(), worker.state.step);
                worker.say(Event::Changed { step, key, from: change.a, to: change.b });
            }
            let written = worker.keeper.write_recipe(&worker.recipe).map_err(|e| e.to_string());
            worker.note_write(written);
        } else {
            worker.say(Event::Started {
                step: 0,
                data: dataset.spec.clone(),
                classes: dataset.classes.clone(),
                train_images: dataset.train.len() as u64,
                validation_images: dataset.validation.len() as u64,
                model: spec.to_string(),
                parameters: spec.parameters() as u64,
                device: compute.description.clone(),
                steps_per_epoch,
                recipe: Box::new(worker.recipe.clone()),
            });
        }
        for note in notes {
            worker.warn(note);
        }
        worker.phase(Phase::Compiling, "Preparing kernels");
        Ok(worker)
    }

    fn train(&mut self) -> Result<(), Failure> {
        while self.state.epoch < self.recipe.epochs && !self.stopping {
            self.obey()?;
            if self.stopping {
                break;
            }
            self.step()?;
        }
        self.phase(Phase::Saving, "Saving");
        self.state.finished = !self.stopping;
        self.save();
        if self.stopping {
            self.phase(Phase::Stopped, "Stopped");
        } else {
            self.say(Event::Done {
                step: self.state.step,
                accuracy: self.state.last_accuracy.unwrap_or(f64::NAN) as f32,
                best_accuracy: self.state.best_accuracy.unwrap_or(f64::NAN) as f32,
                run: self.setup.run_dir.display().to_string(),
            });
            self.phase(Phase::Finished, "Finished");
        }
        Ok(())
    }

    /// Carries out what was ordered; while paused, waits for the next order.
    fn obey(&mut self) -> Result<(), Failure> {
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
                    self.save();
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
                    self.snapshot(name.unwrap_or_else(|| format!("step-{}", self.state.step)), false);
                }
                Command::Rewind { snapshot, changes } => {
                    if let Err(text) = self.rewind(&snapshot, changes) {
                        self.warn(text);
                    }
                }
                Command::Classify(request) => self.classify(request),
            }
        }
    }

    /// One update, and whatever is due after it.
    fn step(&mut self) -> Result<(), Failure> {
        if self.state.batch == 0 {
            self.begin_epoch();
        }
        let steps_per_epoch = self.feed.feed().steps_per_epoch();
        let lr = schedule::learning_rate(&self.recipe, self.schedule_step(), steps_per_epoch);
        let frozen = self.recipe.frozen_at(self.state.epoch);
        let batch = self.feed.next();
        self.trainer.step(&batch, &self.recipe, lr, frozen);
        self.feed.recycle(batch);
        self.state.step += 1;
        self.state.extra.insert(UPDATES.into(), self.trainer.updates() as f64);
        let next = position(&self.state).next(steps_per_epoch);
        (self.state.epoch, self.state.batch) = (next.epoch, next.batch);
        self.view.step = self.state.step;
        self.pace.step();

        let epoch_over = self.state.batch == 0;
        if epoch_over || self.pace.due(self.trainer.compute().adapter.is_none()) {
            self.report()?;
            if self.stopping {
                return Ok(());
            }
        }
        if epoch_over {
            self.end_epoch()?;
        } else if self.save_due() {
            self.save();
        } else if self.look_due() {
            self.look();
        }
        if let Some(reason) = self.trainer.compute().lost() {
            return Err(format!(
                "the training device was lost ({reason}); resume the run to go on from its last checkpoint"
            ));
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
            self.view.steps_per_epoch = self.feed.feed().steps_per_epoch();
        }
        self.view.total_steps = schedule::total_steps(&self.recipe, self.view.steps_per_epoch);
        self.state.batch_size = self.recipe.batch_size;
        (self.state.loss_sum, self.state.hits, self.state.seen) = (0.0, 0.0, 0);
    }

    /// Updates of a run without changes to its batch size: what the schedule counts in.
    fn schedule_step(&self) -> u64 {
        self.state.epoch * self.feed.feed().steps_per_epoch() + self.state.batch
    }

    /// Reads the device's sums back and says them. Stops training where an update was refused.
    fn report(&mut self) -> Result<(), Failure> {
        if self.pace.steps() == 0 {
            return Ok(());
        }
        let metrics = self.trainer.read_metrics();
        self.state.seconds += self.pace.take(metrics.images);
        if metrics.refused > 0 {
            return self.not_finite(metrics);
        }
        self.state.loss_sum += f64::from(metrics.loss);
        self.state.hits += f64::from(metrics.hits);
        self.state.seen += metrics.images;
        let images = metrics.images.max(1) as f32;
        let steps_per_epoch = self.view.steps_per_epoch;
        let done = self.schedule_step();
        self.view.epoch = self.state.epoch;
        self.view.epochs = self.recipe.epochs;
        self.view.images_per_s = self.pace.images_per_s();
        let left = (self.recipe.epochs * steps_per_epoch).saturating_sub(done);
        self.view.eta_s = self.pace.step_s().map(|seconds| left as f64 * seconds);
        if self.view.phase == Phase::Compiling {
            self.phase(Phase::Training, "Training");
        }
        let lr = schedule::learning_rate(&self.recipe, done.saturating_sub(1), steps_per_epoch);
        self.say(Event::Step {
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

    /// The update was refused on the device, so the weights are the last good ones. Says where and why, and stops.
    fn not_finite(&mut self, metrics: Metrics) -> Result<(), Failure> {
        let steps_per_epoch = self.feed.feed().steps_per_epoch();
        let at = self.schedule_step().saturating_sub(metrics.refused);
        let place = Position { epoch: at / steps_per_epoch, batch: at % steps_per_epoch };
        self.state.step = self.state.step.saturating_sub(metrics.refused);
        (self.state.epoch, self.state.batch) = (place.epoch, place.batch);
        self.view.step = self.state.step;
        let batch = self.feed.feed().batch(place);
        let layers = self.trainer.diagnose(&batch, &self.recipe);
        self.trainer.forgive();
        self.feed.seek(place);
        let lr = schedule::learning_rate(&self.recipe, at, steps_per_epoch);
        let worst = layers.first().map(|layer| layer.name.clone()).unwrap_or_default();
        self.say(Event::NotFinite {
            step: self.state.step,
            epoch: place.epoch,
            lr,
            loss: if metrics.refused == 1 { metrics.loss / metrics.images.max(1) as f32 } else { f32::NAN },
            batch: batch.plan.indices(),
            layers,
        });
        self.save();
        Err(format!(
            "the gradient of {worst} is not finite at step {} (learning rate {lr}); the weights before it are kept: \
             go on from there with a lower learning rate",
            self.state.step
        ))
    }

    fn end_epoch(&mut self) -> Result<(), Failure> {
        self.phase(Phase::Validating, "Validating");
        let network = self.trainer.averaged();
        let split = &self.setup.dataset.validation;
        let mut evaluation = Evaluation::new(self.setup.dataset.classes.len());
        let mut predictions = Vec::with_capacity(split.len());
        let transform = self.feed.feed().transform().clone();
        let mut pixels = Vec::new();
        let started = Instant::now();
        for range in ranges(split.len(), self.recipe.eval_batch) {
            let dataset = self.setup.dataset.clone();
            render_range(&dataset.validation, &transform, range.clone(), &mut pixels);
            let logits = self.infer(&network, &pixels, range.len(), &transform);
            evaluation.add(range.start as u32, &logits, &dataset.validation.labels[range.clone()]);
            let classes = dataset.classes.len();
            predictions.extend(
                logits
                    .chunks(classes)
                    .zip(range)
                    .map(|(row, index)| Prediction { index: index as u32, probabilities: softmax(row) }),
            );
            // A long validation must not make a pause or a stop wait; orders that change weights wait for its end.
            if !self.setup.headless() {
                self.classify_waiting();
            }
        }
        self.pace.skip(started.elapsed());
        let accuracy = evaluation.accuracy();
        let best = self.state.best_accuracy.is_none_or(|best| accuracy > best);
        let epoch = self.state.epoch;
        self.state.last_accuracy = Some(accuracy);
        self.state.epochs_without_better = if best { 0 } else { self.state.epochs_without_better + 1 };
        if best {
            self.state.best_accuracy = Some(accuracy);
        }
        self.view.predictions = Arc::new(Predictions { step: self.state.step, items: predictions });
        self.view.confusion = Some(Arc::new(evaluation.confusion.clone()));
        self.view.epoch = epoch;
        let images = self.state.seen.max(1) as f64;
        self.say(Event::Epoch {
            step: self.state.step,
            epoch,
            train_loss: (self.state.loss_sum / images) as f32,
            train_accuracy: (self.state.hits / images) as f32,
            val_loss: evaluation.loss() as f32,
            val_accuracy: accuracy as f32,
            top5: evaluation.top5() as f32,
            per_class: evaluation.confusion.hits_and_support(),
            seconds: self.state.seconds,
            best,
        });
        if best {
            self.save_best();
        }
        self.save();
        if self.recipe.snapshot_megabytes > 0 {
            self.snapshot(format!("epoch-{epoch}"), true);
        }
        let waited = self.state.epochs_without_better;
        if self.recipe.patience > 0 && waited >= self.recipe.patience && epoch < self.recipe.epochs {
            self.warn(format!("stopped early: no better validation accuracy in {waited} epochs"));
            // The run counts as finished: its own rule ended it.
            self.recipe.epochs = epoch;
        }
        if epoch < self.recipe.epochs {
            self.phase(Phase::Training, "Training");
        }
        Ok(())
    }

    fn infer(&self, network: &Network, pixels: &[f32], n: usize, transform: &Transform) -> Vec<f32> {
        let [h, w] = transform.output();
        let data = TensorData::new(pixels.to_vec(), [n, h, w, transform.channels()]);
        read(network.infer(Tensor::from_data(data, &self.trainer.compute().device)))
    }

    /// Whether it is time for the window's predictions. They may take a twentieth of the time.
    fn look_due(&self) -> bool {
        let wait = Duration::from_secs(2).max(self.look_took * 20);
        !self.setup.headless() && self.last_look.elapsed() > wait
    }

    fn look(&mut self) {
        let started = Instant::now();
        let network = self.trainer.averaged();
        let transform = self.feed.feed().transform().clone();
        let n = self.setup.dataset.validation.len().min(WATCHED);
        let mut pixels = Vec::new();
        render_range(&self.setup.dataset.validation, &transform, 0..n, &mut pixels);
        let logits = self.infer(&network, &pixels, n, &transform);
        let rows = logits.chunks(self.setup.dataset.classes.len());
        let items = rows.zip(0..).map(|(row, index)| Prediction { index, probabilities: softmax(row) }).collect();
        self.view.predictions = Arc::new(Predictions { step: self.state.step, items });
        self.publish();
        self.look_took = started.elapsed();
        self.last_look = Instant::now();
        self.pace.skip(self.look_took);
    }

    fn classify(&mut self, request: Request) {
        let preprocessing: &Preprocessing = &self.card.preprocessing;
        let wanted = preprocessing.height * preprocessing.width * preprocessing.channels;
        let answer = match request.images.iter().find(|image| image.len() != wanted) {
            Some(image) => Err(format!("an image of {} bytes, the network wants {wanted}", image.len())),
            None => {
                let network = self.trainer.averaged();
                let device = &self.trainer.compute().device;
                let logits = logits(&network, preprocessing, &request.images, device);
                Ok(logits.chunks(self.card.spec.classes).map(softmax).collect())
            }
        };
        // Whoever asked may be gone; that is no concern of training.
        let _ = request.reply.send(answer);
    }

    /// Answers classification requests, and keeps the other orders for later.
    fn classify_waiting(&mut self) {
        while let Ok(command) = self.channels.commands.try_recv() {
            match command {
                Command::Classify(request) => self.classify(request),
                other => self.kept.push_back(other),
            }
        }
    }

    fn set(&mut self, key: &str, value: Value) {
        let mut trial = self.recipe.clone();
        if let Err(error) = trial.set(key, value.clone()).and_then(|()| trial.validate()) {
            return self.warn(format!("not changed: {error}"));
        }
        let Some(field) = recipe::field(key) else { return };
        match field.takes {
            Takes::Now => self.apply(field.key, value),
            Takes::NextEpoch => {
                self.pending.retain(|(pending, _)| *pending != field.key);
                self.pending.push((field.key, value));
            }
            Takes::Restart => self.warn(format!("{} takes effect in a new run", field.label)),
        }
    }

    /// Puts a checked value in force and says so.
    fn apply(&mut self, key: &'static str, value: Value) {
        let Some(from) = self.recipe.get(key) else { return };
        if from == value || self.recipe.set(key, value).is_err() {
            return;
        }
        let to = self.recipe.get(key).unwrap_or(from.clone());
        let feed = self.feed.feed().with_recipe(&self.recipe);
        self.feed.change(feed);
        self.view.recipe = self.recipe.clone();
        self.view.epochs = self.recipe.epochs;
        self.view.total_steps = schedule::total_steps(&self.recipe, self.view.steps_per_epoch);
        self.say(Event::Changed { step: self.state.step, key: key.to_owned(), from, to });
        let written = self.keeper.write_recipe(&self.recipe).map_err(|e| e.to_string());
        self.note_write(written);
        self.publish();
    }

    fn save_due(&self) -> bool {
        let every = Duration::try_from_secs_f64(self.recipe.checkpoint_seconds).unwrap_or(Duration::MAX);
        // Saving takes at most a twentieth of the time, however slow the disk.
        self.last_save.elapsed() > every.max(self.save_took * 20)
    }

    fn save(&mut self) {
        let started = Instant::now();
        if let Err(failure) = self.report() {
            // The report has saved the last good state already.
            self.stopping = true;
            self.warn(failure);
            return;
        }
        let (weights, optimiser) = (self.trainer.state(false), self.trainer.optimiser_state());
        let state = self.state_now();
        let tensors = Tensors { card: &self.card, weights: &weights, optimiser: &optimiser };
        let written = self.keeper.checkpoint(&state, &tensors).map_err(|e| e.to_string());
        self.note_write(written);
        self.save_took = started.elapsed();
        self.last_save = Instant::now();
        self.pace.skip(self.save_took);
    }

    fn state_now(&self) -> State {
        State { recipe: self.recipe.clone(), ..self.state.clone() }
    }

    fn save_best(&mut self) {
        let weights = self.trainer.state(true);
        let written = self.keeper.best(&self.card, &weights, self.state.step).map_err(|e| e.to_string());
        self.note_write(written);
    }

    /// A full or vanished disk costs a message, not the run.
    fn note_write(&mut self, written: Result<(), String>) {
        match written {
            Ok(()) if self.unwritten => {
                self.unwritten = false;
                self.warn("the run's folder can be written again; everything is saved".into());
            }
            Ok(()) => {}
            Err(error) => {
                if !std::mem::replace(&mut self.unwritten, true) {
                    self.warn(format!("not saved: {error}; training goes on in memory and saving is tried again"));
                }
            }
        }
    }

    fn snapshot(&mut self, name: String, automatic: bool) {
        if self.report().is_err() {
            self.stopping = true;
            return;
        }
        let name = if self.keeper.branch() > 0 { format!("{name}-b{}", self.keeper.branch()) } else { name };
        let (weights, optimiser) = (self.trainer.state(false), self.trainer.optimiser_state());
        let tensors = Tensors { card: &self.card, weights: &weights, optimiser: &optimiser };
        let epoch = self.schedule_step() as f64 / self.view.steps_per_epoch.max(1) as f64;
        let budget = self.recipe.snapshot_megabytes.saturating_mul(1 << 20);
        match self.keeper.snapshot(&name, automatic, epoch, &self.state_now(), &tensors, budget) {
            Ok(removed) => {
                let step = self.state.step;
                let kept = !removed.contains(&name);
                for name in removed {
                    self.say(Event::SnapshotRemoved { step, name });
                }
                if kept {
                    self.say(Event::Snapshot { step, path: format!("snapshots/{name}.safetensors"), name });
                }
                self.note_write(Ok(()));
            }
            Err(error) => self.note_write(Err(error.to_string())),
        }
    }

    /// Goes on from a snapshot as a new branch. What came after it stays on disk as the old branch.
    fn rewind(&mut self, snapshot: &str, changes: Vec<(String, Value)>) -> Result<(), Failure> {
        self.report()?;
        // So that the branch that is left can be gone on with as well.
        self.snapshot(format!("left-at-{}", self.state.step), false);
        let Restored { state, weights, optimiser } =
            self.keeper.restore_snapshot(snapshot).map_err(|e| e.to_string())?;
        let mut recipe = state.recipe.clone();
        for (key, value) in changes {
            recipe.set(&key, value).map_err(|e| e.to_string())?;
        }
        let compute = self.trainer.compute().clone();
        let network =
            trainer::network_of(&self.card.spec, &weights, self.setup.ops, &compute).map_err(|e| e.to_string())?;
        self.trainer = Trainer::new(network, compute.clone());
        self.trainer.restore_optimiser(&optimiser, updates(&state), recipe.frozen_at(state.epoch));
        let from_branch = state.branch;
        let before = std::mem::replace(&mut self.recipe, recipe);
        self.state = State { finished: false, ..state };
        self.pending.clear();
        let feed = self.feed.feed().with_recipe(&self.recipe);
        let batch_size = if self.state.batch > 0 { self.state.batch_size } else { self.recipe.batch_size };
        self.feed.change(feed.with_batch_size(batch_size));
        self.feed.seek(position(&self.state));
        self.keeper.open_branch().map_err(|e| e.to_string())?;
        self.say(Event::Resumed {
            step: self.state.step,
            epoch: self.state.epoch,
            from_branch,
            snapshot: Some(snapshot.to_owned()),
            device: compute.description,
        });
        for change in recipe::diff(&before, &self.recipe) {
            let (key, step) = (change.field.key.to_owned(), self.state.step);
            self.say(Event::Changed { step, key, from: change.a, to: change.b });
        }
        self.view.recipe = self.recipe.clone();
        self.view.step = self.state.step;
        self.view.steps_per_epoch = self.feed.feed().steps_per_epoch();
        self.view.total_steps = schedule::total_steps(&self.recipe, self.view.steps_per_epoch);
        let written = self.keeper.write_recipe(&self.recipe).map_err(|e| e.to_string());
        self.note_write(written);
        self.pace.restart();
        self.save();
        Ok(())
    }

    fn warn(&mut self, text: String) {
        tracing::warn!("{text}");
        self.say(Event::Warning { step: self.state.step, text });
    }

    fn phase(&mut self, phase: Phase, status: &str) {
        self.view.phase = phase;
        self.view.status = status.to_owned();
        self.publish();
        self.say(Event::Phase { step: self.state.step, phase });
    }

    fn say(&mut self, event: Event) {
        if let Err(error) = self.keeper.append(&event)
            && !std::mem::replace(&mut self.unwritten, true)
        {
            let text = format!("not saved: {error}; training goes on in memory and saving is tried again");
            let _ = self.channels.events.send(Event::Warning { step: self.state.step, text });
        }
        let _ = self.channels.events.send(event);
        if let Some(wake) = &self.setup.wake {
            wake();
        }
    }

    fn publish(&self) {
        *self.channels.view.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(self.view.clone());
    }
}
