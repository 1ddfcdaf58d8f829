//! What a weight file says about its network beside the tensors: enough to build the network and to prepare an image
//! for it exactly as training did.

use crate::{
    data::{Fit, Normalisation, Preprocessing, Resize},
    model::{ModelSpec, Stem},
};
use serde::{Deserialize, Serialize};

/// The description that travels with the tensors, as JSON in the file's metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    pub spec: ModelSpec,
    /// One name a class, in the order of the head's rows.
    pub classes: Vec<String>,
    pub preprocessing: Preprocessing,
}

impl ModelCard {
    /// Checks what was read from a file: the specification can be built, every class has a name, and the
    /// preprocessing has as many channels as the network.
    ///
    /// # Errors
    /// One line that says what does not fit.
    pub fn validate(self) -> Result<Self, String> {
        let Self { spec, classes, preprocessing } = self;
        let spec = spec.validate().map_err(|error| error.to_string())?;
        if classes.len() != spec.classes {
            return Err(format!("{} class names for {} classes", classes.len(), spec.classes));
        }
        let channels = spec.channels;
        let table = &preprocessing.normalisation;
        if preprocessing.channels != channels || table.mean.len() != channels || table.std.len() != channels {
            return Err(format!("the preprocessing is not for the network's {channels} channels"));
        }
        if table.mean.iter().chain(&table.std).any(|v| !v.is_finite()) || table.std.iter().any(|&s| s <= 0.0) {
            return Err("the normalisation has a value that is not finite or a deviation that is not positive".into());
        }
        if !(1..=4096).contains(&preprocessing.height) || !(1..=4096).contains(&preprocessing.width) {
            let (height, width) = (preprocessing.height, preprocessing.width);
            return Err(format!("images of {height}x{width} pixels; 1 to 4096 a side are supported"));
        }
        Ok(Self { spec, classes, preprocessing })
    }
}

/// Preprocessing that suits a network of which only the specification is known: ImageNet's for the ImageNet stem
/// (short side to 256, the central 224 pixels), else 32 pixels with CIFAR-10's table, or Fashion-MNIST's 28 and table
/// for gray images.
pub fn default_preprocessing(spec: &ModelSpec) -> Preprocessing {
    let (side, short_side) = match (spec.stem, spec.channels) {
        (Stem::Imagenet, _) => (224, 256),
        (Stem::Cifar, 1) => (28, 28),
        (Stem::Cifar, _) => (32, 32),
    };
    let table = match (spec.stem, spec.channels) {
        (_, 1) => &FASHION_MNIST,
        (Stem::Imagenet, _) => &IMAGENET,
        (Stem::Cifar, _) => &CIFAR10,
    };
    Preprocessing {
        channels: spec.channels,
        height: side,
        width: side,
        resize: Some(Resize { short_side, fit: Fit::CropCentre }),
        normalisation: table.normalisation(),
        background: [0; 3],
    }
}

/// A published table: mean and deviation of each channel, of pixels in 0 to 1.
pub(crate) struct Table {
    mean: &'static [f32],
    std: &'static [f32],
}

impl Table {
    pub fn normalisation(&self) -> Normalisation {
        Normalisation { mean: self.mean.to_vec(), std: self.std.to_vec() }
    }
}

pub(crate) const IMAGENET: Table = Table { mean: &[0.485, 0.456, 0.406], std: &[0.229, 0.224, 0.225] };
/// The table that kuangliu's and chenyaofo's networks were trained with.
pub(crate) const CIFAR10: Table = Table { mean: &[0.4914, 0.4822, 0.4465], std: &[0.2023, 0.1994, 0.2010] };
/// chenyaofo's.
pub(crate) const CIFAR100: Table = Table { mean: &[0.5070, 0.4865, 0.4409], std: &[0.2673, 0.2564, 0.2761] };
const FASHION_MNIST: Table = Table { mean: &[0.2860], std: &[0.3530] };
