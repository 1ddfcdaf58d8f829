//! A training run on a thread of its own: commands in, events out, and the latest state to look at. The window and
//! the command line are two listeners on the same session.

mod at_exit;
mod error;
mod evaluation;
mod head;
pub(crate) mod interrupt;
mod message;
mod pace;
mod priority;
mod run_writer;
mod savable;
mod thread;
mod view;
mod worker;

pub use crate::train::events::{Event, Phase};
pub(crate) use error::{SessionError, Unsaved};
pub(crate) use evaluation::evaluate;
pub use message::{Command, Progress};
pub(crate) use message::{Request, WrongSize};
pub(crate) use priority::give_way;
pub(crate) use view::{HeadView, Prediction, Predictions, View};
pub(crate) use worker::replay::Replay;
pub use worker::{
    replay::{Verdict, replay},
    search::find_rate,
};

use crate::{data::Dataset, device::Choice, ops::Implementation, train::recipe::Recipe, weights::Pretrained};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::JoinHandle,
};

/// Everything that a session needs to begin.
pub struct Setup {
    /// What to learn from.
    pub dataset: Arc<Dataset>,
    /// How.
    pub recipe: Recipe,
    /// The device to train on.
    pub device: Choice,
    /// By hand-written kernels or by the reference.
    pub ops: Implementation,
    /// The run's folder; made if it does not exist.
    pub run_dir: PathBuf,
    /// Go on from the last checkpoint in `run_dir`.
    pub resume: bool,
    /// Weights to start a new run from; a head of another size is replaced.
    pub weights: Option<Weights>,
    /// Called, from the session's thread, whenever there is something new to read.
    pub wake: Option<Arc<dyn Fn() + Send + Sync>>,
}

/// Weights for a new run.
#[derive(Clone, Debug)]
pub enum Weights {
    /// A run's folder or a weight file, read by the session's thread.
    From(PathBuf),
    /// Read already, by somebody who had something to say about it.
    Read(Box<Pretrained>),
}

impl Setup {
    /// What goes on with the run from its last checkpoint.
    fn to_go_on(&self) -> Self {
        let (dataset, recipe, wake) = (self.dataset.clone(), self.recipe.clone(), self.wake.clone());
        let &Self { device, ops, ref run_dir, .. } = self;
        Self { dataset, recipe, device, ops, run_dir: run_dir.clone(), resume: true, weights: None, wake }
    }

    /// Whether nobody looks at the view, so that it needs no predictions between epochs.
    fn headless(&self) -> bool {
        self.wake.is_none()
    }
}

/// A running, or ended, session. Dropping it stops and saves.
pub struct Session {
    commands: mpsc::Sender<Command>,
    events: mpsc::Receiver<Event>,
    view: Arc<Mutex<Arc<View>>>,
    thread: Option<JoinHandle<()>>,
}

impl Session {
    /// Starts the thread. Whatever goes wrong comes as an [`Event::Error`].
    pub fn start(setup: Setup) -> Self {
        let (commands, inbox) = mpsc::channel();
        let (outbox, events) = mpsc::channel();
        let view = Arc::new(Mutex::new(Arc::new(View::before(&setup))));
        let channels =
            message::Channels { own: commands.clone(), commands: inbox, events: outbox.clone(), view: view.clone() };
        let thread = std::thread::Builder::new().name("training".into()).spawn(move || thread::run(setup, channels));
        if let Err(error) = &thread {
            let _ = outbox.send(Event::Error { step: 0, text: format!("no thread for training: {error}") });
        }
        Self { commands, events, view, thread: thread.ok() }
    }

    /// Gives an order. One to an ended session is ignored.
    pub fn send(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// The events since the last call, without waiting.
    pub fn events(&self) -> impl Iterator<Item = Event> {
        self.events.try_iter()
    }

    /// The latest state. Cheap: an `Arc` is cloned.
    pub fn view(&self) -> Arc<View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits up to `timeout` for the next event; `None` after it, or when the session has ended and said everything.
    pub fn wait(&self, timeout: std::time::Duration) -> Option<Event> {
        self.events.recv_timeout(timeout).ok()
    }

    /// Whether the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Stops, saves, and waits for the end; gives the events that came until then.
    pub fn stop(mut self) -> Vec<Event> {
        self.end();
        self.events().collect()
    }

    fn end(&mut self) {
        self.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}
