//! A trained network that answers: weights from a run or any supported file, and the preprocessing that goes with
//! them.

use super::{
    metrics::softmax,
    run_folder::{RunError, RunFolder},
    trainer::network_of,
};
use crate::{
    data::Preprocessing,
    device::{Choice, Compute, DeviceError, open},
    model::{
        LoadError, Network,
        network::{largest_batch, read},
    },
    ops::{Implementation, Storage},
    weights::{self, ImportOptions, Imported, ModelCard, WeightsError},
};
use burn::tensor::{Tensor, TensorData};
use std::path::{Path, PathBuf};

/// Why a network can't be had from a path.
#[derive(Debug, thiserror::Error)]
pub enum PredictorError {
    #[error("{}: no such file or run; give a run's folder or a weight file", .0.display())]
    Missing(PathBuf),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error("{}: {error}", path.display())]
    Load { path: PathBuf, error: LoadError },
}

/// A network with its card, ready to classify.
pub struct Predictor {
    network: Network,
    imported: Imported,
    compute: Compute,
}

/// The weight file behind a path: a run's `best`, else its `last`; a file is itself.
pub fn weights_path(path: &Path) -> Result<PathBuf, PredictorError> {
    if path.is_dir() {
        return Ok(RunFolder::open(path)?.weights()?);
    }
    path.exists().then(|| path.to_owned()).ok_or_else(|| PredictorError::Missing(path.to_owned()))
}

/// Reads a run's best weights or a weight file.
pub fn import(path: &Path) -> Result<Imported, PredictorError> {
    Ok(weights::read(&weights_path(path)?, &ImportOptions::default())?)
}

impl Predictor {
    /// Loads a run's best weights or a weight file onto a device.
    pub fn open(
        path: &Path,
        options: &ImportOptions,
        device: Choice,
        ops: Implementation,
    ) -> Result<Self, PredictorError> {
        let path = weights_path(path)?;
        Self::new(weights::read(&path, options)?, open(device)?, ops)
            .map_err(|error| PredictorError::Load { path, error })
    }

    /// A predictor from weights that are read already.
    pub fn new(imported: Imported, compute: Compute, ops: Implementation) -> Result<Self, LoadError> {
        let network = network_of(&imported.card.spec, &imported.tensors, ops, &compute)?;
        Ok(Self { network, imported, compute })
    }

    pub fn card(&self) -> &ModelCard {
        &self.imported.card
    }

    /// What was read from which file, and how it was understood.
    pub fn imported(&self) -> &Imported {
        &self.imported
    }

    pub fn compute(&self) -> &Compute {
        &self.compute
    }

    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Class probabilities of images that [`Preprocessing::prepare`] has made: HWC bytes of the card's size.
    pub fn predict(&self, images: &[Vec<u8>]) -> Vec<Vec<f32>> {
        let logits = logits(&self.network, &self.card().preprocessing, images);
        logits.chunks(self.card().spec.classes).map(softmax).collect()
    }
}

/// Logits of prepared images, one row after the other. Waits for the device.
pub fn logits(network: &Network, preprocessing: &Preprocessing, images: &[Vec<u8>]) -> Vec<f32> {
    let size = [preprocessing.height, preprocessing.width];
    let mut out = Vec::with_capacity(images.len() * network.spec().classes);
    // A folder of photos must not need memory for all of them at once.
    for images in images.chunks(64) {
        let pixels: Vec<f32> = images.iter().flat_map(|image| preprocessing.normalise(image)).collect();
        out.extend(infer(network, &pixels, size));
    }
    out
}

/// Logits of rendered images `[N, height, width, channels]`, in as few passes as the device takes. Waits for it.
pub fn infer(network: &Network, pixels: &[f32], [height, width]: [usize; 2]) -> Vec<f32> {
    let channels = network.spec().channels;
    let image = (height * width * channels).max(1);
    let at_once = largest_batch(network.spec(), [height, width], Storage::F32, network.device()).max(1);
    let logits = |pixels: &[f32]| {
        let shape = [pixels.len() / image, height, width, channels];
        read(network.infer(Tensor::from_data(TensorData::new(pixels.to_vec(), shape), network.device())))
    };
    pixels.chunks(at_once.saturating_mul(image)).flat_map(logits).collect()
}
