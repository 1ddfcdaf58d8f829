//! Why a session ends before its time, or does not begin. Each reads as one line.

use super::run_writer::KeepError;
use crate::{
    device::DeviceError,
    model::LoadError,
    text,
    train::{RecipeError, RunError, predictor::PredictorError, room::RoomError},
    weights::{CardError, Problem},
};
use std::{io, path::PathBuf, sync::Arc};

#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    #[error(transparent)]
    Room(#[from] RoomError),
    #[error(transparent)]
    Pretrained(#[from] PredictorError),
    /// Weights that are no beginning for the recipe's network.
    #[error(transparent)]
    Adapt(#[from] Problem),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Keep(#[from] KeepError),
    #[error(
        "{}: no weight file can hold the class name “{}” (control characters, or over 1000 bytes): rename its folder",
        text::foreign(data),
        text::foreign(class)
    )]
    ClassName { data: String, class: String },
    #[error("{}: no weight file can say how images are prepared: {reason}; set image_size", text::foreign(data))]
    Card { data: String, reason: CardError },
    #[error(
        "a head needs a {0} that has learned to see: name its weights (--weights), or take the model efficientnet_lite0"
    )]
    NothingSeen(String),
    #[error("{}: none of the images could be decoded", text::foreign(.0))]
    NothingRead(String),
    #[error("{} has no checkpoint yet", text::path(.0))]
    NoCheckpoint(PathBuf),
    #[error("{} was trained on other data", text::path(.0))]
    OtherData(PathBuf),
    #[error("the system gives no more threads ({0})")]
    NoThread(io::Error),
    #[error("the training device was lost ({0}); resume the run to go on from its last checkpoint")]
    DeviceLost(String),
    #[error(
        "{culprit} is not finite at step {step} (learning rate {rate}); the weights before it are kept: go on from there \
         with a lower learning rate{}", if *half { ", or in 32 bits" } else { "" }
    )]
    NotFinite { culprit: String, step: u64, rate: String, half: bool },
    #[error("{culprit} is not finite at step {step}; {unsaved}")]
    NotFiniteUnsaved { culprit: String, step: u64, unsaved: Unsaved },
    #[error(transparent)]
    Unsaved(#[from] Unsaved),
}

/// The run is not on disk as it is in memory.
#[derive(Debug, thiserror::Error)]
pub enum Unsaved {
    #[error("not all of the run could be saved: {0}")]
    Part(Arc<KeepError>),
    #[error("not saved: {error}; {} holds the run as it was after step {on_disk} of {step}", text::path(folder))]
    Steps { error: Arc<KeepError>, folder: PathBuf, on_disk: u64, step: u64 },
    #[error("not saved: {error}; nothing of the run is in {}", text::path(folder))]
    All { error: Arc<KeepError>, folder: PathBuf },
}

/// What is said when the run's folder can't be written.
pub(super) fn not_saved(error: &KeepError) -> String {
    format!("not saved: {error}; training goes on in memory and saving is tried again")
}
