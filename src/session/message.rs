//! What is said to a training session. What it says back are [`crate::train::events::Event`]s, and its latest state is
//! a [`super::View`].

use crate::train::{finder::Progress, recipe::Value};
use std::{path::PathBuf, sync::mpsc::Sender};

/// An order to a running session. Orders take effect in the order they are sent, each within two steps.
#[derive(Debug)]
pub enum Command {
    Pause,
    Resume,
    /// Saves, then ends the session.
    Stop,
    /// Changes a hyperparameter: at the next step, or at the next epoch, as its field says.
    Set {
        key: String,
        value: Value,
    },
    /// Keeps the present state as a snapshot to go back to.
    Snapshot {
        name: Option<String>,
    },
    /// Goes on from a snapshot as a new branch, with some hyperparameters changed.
    Rewind {
        snapshot: String,
        changes: Vec<(String, Value)>,
    },
    /// Looks for a learning rate on a copy of the weights, between two steps or in a pause. Another order ends it early,
    /// and so does dropping the receiver.
    FindRate {
        progress: Sender<Progress>,
    },
    /// Runs the live weights on images.
    Classify(Request),
}

/// Images for the network to look at, already in its own size and channels.
#[derive(Debug)]
pub struct Request {
    /// HWC bytes, each as long as `height * width * channels` of the run's preprocessing.
    pub images: Vec<Vec<u8>>,
    /// Gets one vector of class probabilities for each image, or a line that says why not.
    pub reply: Sender<Result<Vec<Vec<f32>>, String>>,
}

/// A snapshot on disk that a run can go back to.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotInfo {
    pub name: String,
    pub path: PathBuf,
    pub step: u64,
    pub branch: u32,
}
