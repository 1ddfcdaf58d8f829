//! The end of an epoch, and answers to those who look at the network while it learns.

use super::{PREVIEW_IMAGES, Worker};
use crate::{
    data::Preprocessing,
    session::{Command, Event, Phase, Prediction, Predictions, Request, SessionError, WrongSize},
    train::{
        Value,
        answers::Answer,
        batches::ranges,
        inference::{self, logits},
        memory,
        metrics::{Evaluation, softmax},
    },
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

impl Worker {
    pub(super) fn end_epoch(&mut self) -> Result<(), SessionError> {
        for trouble in self.setup.dataset.take_troubles() {
            self.warn(trouble);
        }
        self.phase(Phase::Validating, "Validating");
        let network = self.trainer.averaged();
        let split = &self.setup.dataset.validation;
        let mut evaluation = Evaluation::new(self.setup.dataset.classes.len());
        let mut predictions = Vec::with_capacity(split.len());
        let started = Instant::now();
        for range in ranges(split.len(), self.recipe.eval_batch) {
            let dataset = self.setup.dataset.clone();
            let logits = inference::validate(&network, self.feed.feed(), range.clone());
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
        // Without an image there is no accuracy, no best, and nothing to be patient for.
        let measured = |value: f64| (evaluation.images() > 0).then_some(value);
        let accuracy = measured(evaluation.accuracy());
        let beats = |best: Option<f64>| accuracy.is_some_and(|accuracy| best.is_none_or(|best| accuracy > best));
        let best = beats(self.state.best_accuracy);
        // A branch has a best of its own; the best weights of the run may be another branch's.
        let best_of_run = beats(self.state.best_of_run());
        let epoch = self.state.epoch;
        self.state.last_accuracy = accuracy;
        self.state.epochs_without_better =
            if best || accuracy.is_none() { 0 } else { self.state.epochs_without_better + 1 };
        if best {
            self.state.best_accuracy = accuracy;
        }
        self.remember(&evaluation, &predictions);
        self.shown.validated = Arc::new(Predictions { step: self.state.step, items: predictions });
        self.shown.predictions = self.shown.validated.clone();
        self.shown.confusion = Some(Arc::new(evaluation.confusion.clone()));
        let images = self.state.seen.max(1) as f64;
        self.emit(Event::Epoch {
            step: self.state.step,
            epoch,
            train_loss: (self.state.loss_sum / images) as f32,
            train_accuracy: (self.state.hits / images) as f32,
            val_loss: measured(evaluation.loss()).map(|loss| loss as f32),
            val_accuracy: accuracy.map(|accuracy| accuracy as f32),
            top5: measured(evaluation.top5()).map(|share| share as f32),
            per_class: evaluation.confusion.hits_and_support(),
            seconds: self.state.seconds,
            best,
        });
        if best_of_run {
            self.state.keep_best_of_run(accuracy);
            self.save_best();
        }
        self.save()?;
        if self.recipe.snapshot_megabytes > 0 {
            self.snapshot(format!("epoch-{epoch}"), true)?;
        }
        let waited = self.state.epochs_without_better;
        if self.recipe.patience > 0 && waited >= self.recipe.patience && epoch < self.recipe.epochs {
            self.warn(format!("stopped early: no better validation accuracy in {waited} epochs"));
            // The run counts as finished: its own rule ended it.
            self.put("epochs", Value::Int(i64::try_from(epoch).unwrap_or(i64::MAX)));
        }
        if epoch < self.recipe.epochs {
            self.phase(Phase::Training, "Training");
        }
        Ok(())
    }

    /// Notes each image's loss in the epoch that is over. The training images' are read back here, all at once.
    fn remember(&mut self, evaluation: &Evaluation, predictions: &[Prediction]) {
        let (epoch, dataset) = (self.state.epoch, self.setup.dataset.clone());
        if std::mem::take(&mut self.shown.memory_is_old) {
            self.shown.memory = Arc::default();
        }
        let memory = Arc::make_mut(&mut self.shown.memory);
        memory.training.begin(epoch, dataset.train.len());
        let smoothing = self.recipe.label_smoothing;
        for (index, loss) in self.trainer.take_losses() {
            let right = memory::is_learned(loss, smoothing, dataset.classes.len());
            memory.training.record(index as usize, loss, right);
        }
        memory.validation.begin(epoch, dataset.validation.len());
        for (prediction, &loss) in predictions.iter().zip(evaluation.losses()) {
            let (index, (class, _)) = (prediction.index as usize, prediction.top());
            memory.validation.record_class(index, loss, class, dataset.validation.labels[index] as usize == class);
        }
        let written = self.writer.set_memory(epoch, self.shown.memory.clone());
        self.note_write(written);
    }

    /// Whether it is time for the window's predictions. They may take a twentieth of the time.
    pub(super) fn preview_due(&self) -> bool {
        !self.setup.headless() && self.occasions.preview.is_due(Duration::from_secs(2), 20)
    }

    pub(super) fn preview(&mut self) {
        let started = Instant::now();
        let network = self.trainer.averaged();
        let n = self.setup.dataset.validation.len().min(PREVIEW_IMAGES);
        let logits = inference::validate(&network, self.feed.feed(), 0..n);
        let rows = logits.chunks(self.setup.dataset.classes.len());
        let items = rows.zip(0..).map(|(row, index)| Prediction { index, probabilities: softmax(row) }).collect();
        self.shown.predictions = Arc::new(Predictions { step: self.state.step, items });
        self.publish();
        let took = self.occasions.preview.done(started);
        self.pace.skip(took);
    }

    pub(super) fn classify(&mut self, request: Request) {
        let preprocessing: &Preprocessing = &self.card.preprocessing;
        let wanted = preprocessing.image_len();
        let answer = match request.images.iter().find(|image| image.len() != wanted) {
            Some(image) => Err(WrongSize { got: image.len(), wanted }),
            None => {
                let network = self.trainer.averaged();
                let logits = logits(&network, preprocessing, &request.images);
                let answer = |row: &[f32]| Answer { probabilities: softmax(row), unknown: false };
                Ok(logits.chunks(self.card.spec.classes).map(answer).collect())
            }
        };
        // Whoever asked may be gone; that is no concern of training.
        let _ = request.reply.send(answer);
    }

    /// Answers classification requests, and keeps the other orders for later.
    pub(super) fn classify_waiting(&mut self) {
        while let Ok(command) = self.channels.commands.try_recv() {
            match command {
                Command::Classify(request) => self.classify(request),
                other => self.kept.push_back(other),
            }
        }
    }
}
