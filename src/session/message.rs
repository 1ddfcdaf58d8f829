//! What is said to a training session. What it says back are [`crate::train::events::Event`]s, and its latest state is
//! a [`super::View`].

use super::{error::SessionError, view::View};
use crate::data::Change;
use crate::train::{Event, Finding, Value, answers::Answer};
use std::sync::{
    Arc, Mutex,
    mpsc::{Receiver, Sender},
};

/// The thread's ends of the session's channels.
pub(super) struct Channels {
    pub commands: Receiver<Command>,
    /// The other end of `commands`.
    pub own: Sender<Command>,
    pub events: Sender<Event>,
    pub view: Arc<Mutex<Arc<View>>>,
}

/// An order to a running session. Orders take effect in the order they are sent, each within two steps.
#[derive(Debug)]
pub enum Command {
    /// Holds training between two steps.
    Pause,
    /// Ends a pause.
    Resume,
    /// Saves, then ends the session.
    Stop,
    /// Changes a hyperparameter: at the next step, or at the next epoch, as its field says.
    Set {
        /// The field's name in a recipe.
        key: String,
        /// What it is to be.
        value: Value,
    },
    /// Keeps the present state as a snapshot to go back to.
    Snapshot {
        /// What to call it; the step's number where there is none.
        name: Option<String>,
    },
    /// Goes on from a snapshot as a new branch, with some hyperparameters changed.
    Rewind {
        /// Its name.
        snapshot: String,
        /// Fields of the recipe with their new values.
        changes: Vec<(String, Value)>,
    },
    /// Looks for a learning rate on a copy of the weights, between two steps or in a pause. Another order ends it early,
    /// and so does dropping the receiver.
    FindRate {
        /// Gets a message for each step of the search, and the finding.
        progress: Sender<Progress>,
    },
    /// Changes what the images of a head are, or takes a change back, and finds the head that follows.
    Edit(Change),
    /// Runs the live weights on images.
    Classify(Request),
}

/// Images for the network to look at, already in its own size and channels.
#[derive(Debug)]
pub struct Request {
    /// HWC bytes, each as long as `height * width * channels` of the run's preprocessing.
    pub(crate) images: Vec<Vec<u8>>,
    /// Gets an answer for each image.
    pub(crate) reply: Sender<Result<Vec<Answer>, WrongSize>>,
}

/// An image to classify is not of the network's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an image of {got} bytes, the network wants {wanted}")]
pub(crate) struct WrongSize {
    pub got: usize,
    pub wanted: usize,
}

/// What a sweep of the learning rate says while it goes on.
#[derive(Debug)]
pub enum Progress {
    /// Learning rate and smoothed loss of one more step.
    Point(f64, f32),
    /// The last message: what was found, or why there was no sweep.
    Over(Result<Finding, SessionError>),
}
