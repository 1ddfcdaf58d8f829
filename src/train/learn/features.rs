//! What a trained network sees in images before its head judges: features, on which other classifiers are made.

use super::{
    inference::rows,
    predictor::{PredictorError, pretrained_with},
    room,
    trainer::network_of,
};
use crate::{
    data::Preprocessing,
    device::{Choice, open},
    model::Network,
    ops::Implementation,
    weights::ImportOptions,
};
use std::path::Path;

/// A network without its head, ready for images.
pub(crate) struct FeatureExtractor {
    network: Network,
    preprocessing: Preprocessing,
}

impl FeatureExtractor {
    /// Loads a run's best weights or a weight file, with or without a head, onto a device.
    pub(crate) fn open(
        path: &Path,
        options: &ImportOptions,
        device: Choice,
        ops: Implementation,
    ) -> Result<Self, PredictorError> {
        let (card, tensors) = pretrained_with(path, options)?.headless();
        let compute = open(device)?;
        let preprocessing = card.preprocessing;
        let fault = |error| PredictorError::Room { path: path.to_owned(), error };
        room::check_image(&card.spec, [preprocessing.height, preprocessing.width], &compute).map_err(fault)?;
        let network = network_of(&card.spec, &tensors, ops, &compute);
        let network = network.map_err(|error| PredictorError::Load { path: path.to_owned(), error })?;
        Ok(Self { network, preprocessing })
    }

    /// How images are prepared for it.
    pub(crate) fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// Features of an image.
    pub(crate) fn width(&self) -> usize {
        self.network.graph().features()
    }

    /// Features of prepared images `[N, width]`. Waits for the device.
    pub(crate) fn features(&self, images: &[Vec<u8>]) -> Vec<f32> {
        rows(&self.network, &self.preprocessing, images, Network::features)
    }
}
