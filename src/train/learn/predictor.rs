//! A trained network that answers: weights from a run or any supported file, and the preprocessing that goes with
//! them.

use super::{
    answers::{Answer, Answers, Stranger},
    inference,
    room::{self, RoomError},
    trainer::network_of,
};
use crate::{
    data::Preprocessing,
    device::{Choice, Compute, DeviceError, open},
    model::LoadError,
    ops::Implementation,
    text,
    train::run::run_folder::{RunError, RunFolder},
    weights::{self, ImportOptions, Imported, ModelCard, Pretrained, WeightsError},
};
use std::path::{Path, PathBuf};

/// Why a network can't be had from a path.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its error is")]
pub enum PredictorError {
    #[error("{}: no such file or run; give a run's folder or a weight file", text::path(.0))]
    Missing(PathBuf),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error("{}: {error}", text::path(path))]
    Load { path: PathBuf, error: LoadError },
    /// There is no memory for a single image.
    #[error("{}: {error}", text::path(path))]
    Room { path: PathBuf, error: RoomError },
}

/// A network with its card, ready to classify.
pub(crate) struct Predictor {
    answers: Answers,
    imported: Imported,
    compute: Compute,
}

/// The weight file behind a path: a run's `best`, else its `last`; a file is itself.
pub(crate) fn weights_path(path: &Path) -> Result<PathBuf, PredictorError> {
    if path.is_dir() {
        return Ok(RunFolder::open(path)?.weights()?);
    }
    (path.exists() || weights::is_bundled(path))
        .then(|| path.to_owned())
        .ok_or_else(|| PredictorError::Missing(path.to_owned()))
}

/// Reads a run's best weights or a weight file.
pub fn import(path: &Path) -> Result<Imported, PredictorError> {
    Ok(weights::read(&weights_path(path)?, &ImportOptions::default())?)
}

/// Reads the same to start a run from, which needs no head.
pub(crate) fn pretrained(path: &Path) -> Result<Pretrained, PredictorError> {
    pretrained_with(path, &ImportOptions::default())
}

/// [`pretrained`] by what the caller knows better than the file.
pub(super) fn pretrained_with(path: &Path, options: &ImportOptions) -> Result<Pretrained, PredictorError> {
    Ok(weights::read_pretrained(&weights_path(path)?, options)?)
}

impl Predictor {
    /// Loads a run's best weights or a weight file onto a device.
    pub(crate) fn open(
        path: &Path,
        options: &ImportOptions,
        device: Choice,
        ops: Implementation,
    ) -> Result<Self, PredictorError> {
        let path = weights_path(path)?;
        let (imported, compute) = (weights::read(&path, options)?, open(device)?);
        let &Preprocessing { height, width, .. } = &imported.card.preprocessing;
        if let Err(error) = room::check_image(&imported.card.spec, [height, width], &compute) {
            return Err(PredictorError::Room { path, error });
        }
        Self::new(imported, compute, ops).map_err(|error| PredictorError::Load { path, error })
    }

    /// A predictor from weights that are read already.
    pub(crate) fn new(imported: Imported, compute: Compute, ops: Implementation) -> Result<Self, LoadError> {
        let network = network_of(&imported.card.spec, &imported.tensors, ops, &compute)?;
        let unknown = imported.card.head.as_ref().and_then(|head| head.unknown.as_ref());
        let stranger = unknown.map(Stranger::new);
        let preprocessing = imported.card.preprocessing.clone();
        Ok(Self { answers: Answers { network, preprocessing, head: None, stranger }, imported, compute })
    }

    pub(crate) fn card(&self) -> &ModelCard {
        &self.imported.card
    }

    pub(crate) fn compute(&self) -> &Compute {
        &self.compute
    }

    /// [`images_at_once`] for this network.
    pub(crate) fn images_at_once(&self, most: usize) -> usize {
        inference::images_at_once(&self.card().preprocessing, most)
    }

    /// What it says of images that [`Preprocessing::prepare`] has made: HWC bytes of the card's size.
    pub(crate) fn predict(&self, images: &[Vec<u8>]) -> Vec<Answer> {
        self.answers.of(images)
    }
}
