//! The session's thread: obeys commands, takes steps, tells what happens, and saves.

use super::{Command, Event, Phase, Prediction, Predictions, Request, Setup, View};
use crate::{
    data::Preprocessing,
    device,
    model::{Network, network::read},
    ops::Implementation,
    train::{
        batches::{Feed, Position, ranges, render_range},
        choices::Freeze,
        metrics::{Evaluation, softmax},
        predictor::logits,
        prefetch::Prefetch,
        recipe::Recipe,
        render::Transform,
        run_folder::{Progress, RunFolder},
        schedule,
        trainer::{self, Metrics, Trainer},
        field::{Takes, Value},
        recipe,
    },
    weights::ModelCard,
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
    folder: RunFolder,
    progress: Progress,
    view: View,
    /// Hyperparameters that wait for the next epoch.
    pending: Vec<(&'static str, Value)>,
    paused: bool,
    stopping: bool,
    pace: Pace,
    /// Sums over the present epoch.
    epoch: Metrics,
    last_save: Instant,
    save_took: Duration,
    last_look: Instant,
    look_took: Duration,
    /// Whether the last attempt to write the run's folder failed; said once.
    unwritten: bool,
}

/// When things were last reported, and how fast training goes.
struct Pace {
    began: Instant,
    last_report: Instant,
    images: u64,
    /// Recent reports: when, and images a second.
    steps: u64,
    images_per_s: f32,
    step_s: f64,
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
        let opened = match setup.resume {
            true => Some(RunFolder::open(&setup.run_dir).map_err(|e| e.to_string())?),
            false => None,
        };
        let recipe = setup.recipe.clone();
        let spec = recipe.spec(dataset.train.channels, dataset.classes.len()).map_err(|e| e.to_string())?;
        let normalisation = recipe.normalisation_of(&dataset);
        let transform = Transform::new(&dataset.train, &recipe, &normalisation);
        let card = ModelCard {
            spec: spec.clone(),
            classes: dataset.classes.clone(),
            preprocessing: transform.preprocessing(&normalisation),
        };

        let feed = Feed::new(dataset.clone(), &recipe, &normalisation);
        let mut resumed = None;
        let (folder, progress, trainer) = match opened {
            Some(folder) => {
                let (progress, weights, optimiser) = folder.load_last().map_err(|e| e.to_string())?;
                let network = trainer::network_of(&spec, &weights, setup.ops, &compute).map_err(|e| e.to_string())?;
                let mut trainer = Trainer::new(network, compute.clone());
                trainer.restore_optimiser(&optimiser, progress.updates, recipe.frozen_at(progress.position.epoch));
                resumed = Some(progress.clone());
                (folder, progress, trainer)
            }
            None => {
                let folder = RunFolder::create(&setup.run_dir, &recipe).map_err(|e| e.to_string())?;
                let network = match setup.weights.take() {
                    Some(state) => trainer::network_of(&spec, &state, setup.ops, &compute).map_err(|e| e.to_string())?,
                    None => Network::new(&spec, recipe.seed, recipe.zero_init_residual, setup.ops, &compute.device),
                };
                (folder, Progress::default(), Trainer::new(network, compute.clone()))
            }
        };
        let steps_per_epoch = feed.steps_per_epoch();
        let view = View {
            phase: Phase::Compiling,
            status: "Preparing kernels".into(),
            epoch: progress.position.epoch,
            epochs: recipe.epochs,
            step: progress.step,
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
            feed: Prefetch::new(feed, progress.position, AHEAD),
            recipe,
            trainer,
            card,
            folder,
            view,
            pending: Vec::new(),
            paused: false,
            stopping: false,
            pace: Pace { began: now, last_report: now, steps: 0, images_per_s: 0.0, step_s: 0.0, first: true },
            epoch: progress.epoch_metrics,
            last_save: now,
            save_took: Duration::ZERO,
            last_look: now,
            look_took: Duration::ZERO,
            unwritten: false,
            progress,
            setup,
            channels,
        };
        worker.publish();
        match resumed {
            None => {
                let spec = worker.trainer.network().spec();
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
            Some(progress) => worker.say(Event::Resumed {
                step: progress.step,
                epoch: progress.position.epoch,
                from_branch: worker.folder.branch(),
                snapshot: None,
                device: compute.description.clone(),
            }),
        }
        worker.phase(Phase::Compiling, "Preparing kernels");
        Ok(worker)
    }

    fn train(&mut self) -> Result<(), Failure> {
        while self.progress.position.epoch < self.recipe.epochs && !self.stopping {
            self.obey()?;
            if self.stopping {
                break;
            }
            self.step()?;
        }
        self.phase(Phase::Saving, "Saving");
        self.save(true);
        if self.stopping {
            self.phase(Phase::Stopped, "Stopped");
        } else {
            self.say(Event::Done {
                step: self.progress.step,
                accuracy: self.progress.accuracy,
                best_accuracy: self.progress.best_accuracy,
                run: self.setup.run_dir.display().to_string(),
            });
            self.phase(Phase::Finished, "Finished");
        }
        Ok(())
    }

    /// Carries out what was ordered; while paused, waits for the next order.
    fn obey(&mut self) -> Result<(), Failure> {
        loop {
            let command = if self.paused {
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
                    self.save(true);
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
                Command::Snapshot { name } => self.snapshot(name, false),
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
        let position = self.progress.position;
        if position.batch == 0 {
            self.begin_epoch();
        }
        let steps_per_epoch = self.feed.feed().steps_per_epoch();
        let at = position.epoch * steps_per_epoch + position.batch;
        let lr = schedule::learning_rate(&self.recipe, at, steps_per_epoch);
        let frozen = self.recipe.frozen_at(position.epoch);
        let batch = self.feed.next();
        self.trainer.step(&batch, &self.recipe, lr, frozen);
        self.feed.recycle(batch);
        self.progress.step += 1;
        self.progress.updates = self.trainer.updates();
        self.progress.position = position.next(steps_per_epoch);
        self.view.step = self.progress.step;
        self.pace.steps += 1;

        let epoch_over = self.progress.position.batch == 0;
        if self.pace.first || epoch_over || self.pace.due(self.trainer.compute().adapter.is_none()) {
            self.report()?;
            if self.stopping {
                return Ok(());
            }
        }
        if epoch_over {
            self.end_epoch()?;
        } else if self.save_due() {
            self.save(false);
        } else if self.look_due() {
            self.look();
        }
        if let Some(reason) = self.trainer.compute().lost() {
            return Err(format!("the training device was lost ({reason}); resume the run to go on from its last checkpoint"));
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
        self.epoch = Metrics::default();
    }

    /// Reads the device's sums back and says them. Stops training where an update was refused.
    fn report(&mut self) -> Result<(), Failure> {
        if self.pace.steps == 0 {
            return Ok(());
        }
        let metrics = self.trainer.read_metrics();
        let seconds = self.pace.take(metrics.images);
        self.progress.seconds += seconds;
        if metrics.refused > 0 {
            return self.not_finite(metrics);
        }
        self.epoch.loss += metrics.loss;
        self.epoch.hits += metrics.hits;
        self.epoch.images += metrics.images;
        self.progress.epoch_metrics = self.epoch;
        let images = metrics.images.max(1) as f32;
        let steps_per_epoch = self.view.steps_per_epoch;
        let done = self.progress.position.epoch * steps_per_epoch + self.progress.position.batch;
        self.view.epoch = self.progress.position.epoch;
        self.view.epochs = self.recipe.epochs;
        self.view.images_per_s = self.pace.images_per_s;
        let left = (self.recipe.epochs * steps_per_epoch).saturating_sub(done);
        self.view.eta_s = self.pace.known().then(|| left as f64 * self.pace.step_s);
        if self.view.phase == Phase::Compiling {
            self.phase(Phase::Training, "Training");
        }
        let lr = schedule::learning_rate(&self.recipe, done.saturating_sub(1), steps_per_epoch);
        self.say(Event::Step {
            step: self.progress.step,
            epoch: done as f64 / steps_per_epoch.max(1) as f64,
            loss: metrics.loss / images,
            accuracy: metrics.hits / images,
            lr,
            images_per_s: self.pace.images_per_s,
            seconds: self.progress.seconds,
        });
        self.publish();
        Ok(())
    }

    /// The update was refused on the device, so the weights are the last good ones. Says where and why, and stops.
    fn not_finite(&mut self, metrics: Metrics) -> Result<(), Failure> {
        let steps_per_epoch = self.feed.feed().steps_per_epoch();
        let now = self.progress.position.epoch * steps_per_epoch + self.progress.position.batch;
        let at = now.saturating_sub(metrics.refused);
        let position = Position { epoch: at / steps_per_epoch, batch: at % steps_per_epoch };
        self.progress.step = self.progress.step.saturating_sub(metrics.refused);
        self.progress.position = position;
        let batch = self.feed.feed().batch(position);
        let layers = self.trainer.diagnose(&batch, &self.recipe);
        self.trainer.forgive();
        self.feed.seek(position);
        let lr = schedule::learning_rate(&self.recipe, at, steps_per_epoch);
        let worst = layers.first().map(|layer| layer.name.clone()).unwrap_or_default();
        self.say(Event::NotFinite {
            step: self.progress.step,
            epoch: position.epoch,
            lr,
            loss: if metrics.refused == 1 { metrics.loss / metrics.images.max(1) as f32 } else { f32::NAN },
            batch: batch.plan.indices(),
            layers,
        });
        self.save(true);
        Err(format!(
            "the gradient of {worst} is not finite at step {} (learning rate {lr}); the weights before it are kept: \
             go on from there with a lower learning rate",
            self.progress.step
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
        let accuracy = evaluation.accuracy() as f32;
        let best = accuracy > self.progress.best_accuracy || self.progress.best_epoch.is_none();
        let epoch = self.progress.position.epoch;
        self.progress.accuracy = accuracy;
        if best {
            self.progress.best_accuracy = accuracy;
            self.progress.best_epoch = Some(epoch);
        }
        self.view.predictions = Arc::new(Predictions { step: self.progress.step, items: predictions });
        self.view.confusion = Some(Arc::new(evaluation.confusion.clone()));
        self.view.epoch = epoch;
        let images = self.epoch.images.max(1) as f32;
        self.say(Event::Epoch {
            step: self.progress.step,
            epoch,
            train_loss: self.epoch.loss / images,
            train_accuracy: self.epoch.hits / images,
            val_loss: evaluation.loss() as f32,
            val_accuracy: accuracy,
            top5: evaluation.top5() as f32,
            per_class: evaluation.confusion.hits_and_support(),
            seconds: self.progress.seconds,
            best,
        });
        self.epoch = Metrics::default();
        self.progress.epoch_metrics = self.epoch;
        if best {
            self.save_best();
        }
        self.save(false);
        self.snapshot(None, true);
        let waited = self.progress.best_epoch.map_or(0, |best| epoch.saturating_sub(best));
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
        self.view.predictions = Arc::new(Predictions { step: self.progress.step, items });
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
        let mut kept = VecDeque::new();
        while let Ok(command) = self.channels.commands.try_recv() {
            match command {
                Command::Classify(request) => self.classify(request),
                other => kept.push_back(other),
            }
        }
        self.kept.append(&mut kept);
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
        self.say(Event::Changed { step: self.progress.step, key: key.to_owned(), from, to });
        let written = self.folder.write_recipe(&self.recipe);
        self.note_write(written.map_err(|e| e.to_string()));
        self.publish();
    }

    fn save_due(&self) -> bool {
        let every = Duration::try_from_secs_f64(self.recipe.checkpoint_seconds).unwrap_or(Duration::MAX);
        // Saving takes at most a twentieth of the time, however slow the disk.
        self.last_save.elapsed() > every.max(self.save_took * 20)
    }

    fn save(&mut self, now: bool) {
        let started = Instant::now();
        if let Err(failure) = self.report() {
            // The report has saved the last good state already.
            self.stopping = true;
            self.warn(failure);
            return;
        }
        let _ = now;
        let (weights, optimiser) = (self.trainer.state(false), self.trainer.optimiser_state());
        let written = self.folder.save_last(&self.card, &weights, &optimiser, &self.progress);
        self.note_write(written.map_err(|e| e.to_string()));
        self.save_took = started.elapsed();
        self.last_save = Instant::now();
        self.pace.skip(self.save_took);
    }

    fn save_best(&mut self) {
        let weights = self.trainer.state(true);
        let written = self.folder.save_best(&self.card, &weights, &self.progress);
        self.note_write(written.map_err(|e| e.to_string()));
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

    fn snapshot(&mut self, name: Option<String>, automatic: bool) {
        if automatic && self.recipe.snapshot_megabytes == 0 {
            return;
        }
        let _ = (name, automatic);
    }

    fn rewind(&mut self, snapshot: &str, changes: Vec<(String, Value)>) -> Result<(), Failure> {
        let _ = (snapshot, changes);
        Ok(())
    }

    fn warn(&mut self, text: String) {
        tracing::warn!("{text}");
        self.say(Event::Warning { step: self.progress.step, text });
    }

    fn phase(&mut self, phase: Phase, status: &str) {
        self.view.phase = phase;
        self.view.status = status.to_owned();
        self.publish();
        self.say(Event::Phase { step: self.progress.step, phase });
    }

    fn say(&mut self, event: Event) {
        if let Err(error) = self.folder.append(&event) {
            if !std::mem::replace(&mut self.unwritten, true) {
                let text = format!("not saved: {error}; training goes on in memory and saving is tried again");
                let _ = self.channels.events.send(Event::Warning { step: self.progress.step, text });
            }
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
