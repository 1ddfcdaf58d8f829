//! What a session of a head says and hears.

use crate::{
    data::Change,
    session::{
        Command, Event, Phase, Request, View, WrongSize,
        error::not_saved,
        message::Channels,
        run_writer::{KeepError, RunWriter},
    },
    train::answers::Answers,
};
use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError},
};

/// See the module.
pub(super) struct Desk {
    pub channels: Channels,
    pub writer: RunWriter,
    pub view: View,
    /// Orders that came while something was being worked out.
    pub waiting: VecDeque<Command>,
    /// What answers when an image is to be classified.
    pub answers: Option<Answers>,
    /// Why something could not be written since all was.
    pub unwritten: Option<Arc<KeepError>>,
    pub wake: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Desk {
    fn hear(&mut self) {
        while let Ok(command) = self.channels.commands.try_recv() {
            match command {
                Command::Classify(request) if self.answers.is_some() => self.classify(request),
                other => self.waiting.push_back(other),
            }
        }
    }

    /// The changes to the images that wait before anything else.
    pub(super) fn more_changes(&mut self) -> Vec<Change> {
        self.hear();
        let mut changes = Vec::new();
        while matches!(self.waiting.front(), Some(Command::Edit(_))) {
            if let Some(Command::Edit(change)) = self.waiting.pop_front() {
                changes.push(change);
            }
        }
        changes
    }

    /// Whether somebody wants something else. Questions are answered meanwhile.
    pub(super) fn interrupted(&mut self) -> bool {
        self.hear();
        self.waiting.iter().any(|command| matches!(command, Command::Stop | Command::Edit(_)))
    }

    pub(super) fn classify(&self, request: Request) {
        let Some(answers) = &self.answers else { return };
        let wanted = answers.preprocessing.image_len();
        let answer = match request.images.iter().find(|image| image.len() != wanted) {
            Some(image) => Err(WrongSize { got: image.len(), wanted }),
            None => Ok(answers.of(&request.images)),
        };
        // Whoever asked may be gone.
        let _ = request.reply.send(answer);
    }

    pub(super) fn warn(&mut self, text: String) {
        tracing::warn!("{text}");
        self.emit(Event::Warning { step: self.view.step, text });
    }

    pub(super) fn phase(&mut self, phase: Phase, status: &str) {
        self.view.phase = phase;
        self.view.status = status.to_owned();
        self.publish();
        self.emit(Event::Phase { step: self.view.step, phase });
    }

    pub(super) fn emit(&mut self, event: Event) {
        let written = self.writer.append(&event);
        let _ = self.channels.events.send(event);
        self.note_write(written);
        self.awake();
    }

    /// Says what came of writing to the run's folder; a failure once, until all is on disk again.
    pub(super) fn note_write(&mut self, written: Result<(), KeepError>) {
        if let Err(error) = written {
            let error = Arc::new(error);
            if self.unwritten.replace(error.clone()).is_none() {
                let text = not_saved(&error);
                let _ = self.channels.events.send(Event::Warning { step: self.view.step, text });
            }
        }
    }

    pub(super) fn publish(&self) {
        *self.channels.view.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(self.view.clone());
        self.awake();
    }

    fn awake(&self) {
        if let Some(wake) = &self.wake {
            wake();
        }
    }
}
