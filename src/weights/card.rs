//! What a weight file says about its network beside the tensors: enough to build the network and to prepare an image
//! for it exactly as training did.

use super::{KnownData, error::is_plain_name};
use crate::{
    data::{Filter, Fit, Known, Preprocessing, Resize},
    model::{ModelSpec, Stem},
};
use serde::{Deserialize, Serialize};

/// Longest short side of an image before the crop: twice the largest that a network sees.
const LARGEST_SHORT_SIDE: usize = 8192;

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
        if spec.architecture != "custom" {
            let named = ModelSpec::named(&spec.architecture, Some(spec.stem), spec.channels, spec.classes);
            let named = named.map_err(|error| error.to_string())?;
            if (named.block, &named.stages, &named.widths) != (spec.block, &spec.stages, &spec.widths) {
                return Err(format!("the network is called {} and is another", spec.architecture));
            }
        }
        if !(spec.bn_eps > 0.0 && spec.bn_eps < 1.0) {
            return Err(format!("an epsilon of {} for batch normalisation", spec.bn_eps));
        }
        if !classes.iter().all(|class| is_plain_name(class)) {
            return Err("a class name is overlong or has control characters".into());
        }
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
        if let Some(resize) = &preprocessing.resize
            && !(1..=LARGEST_SHORT_SIDE).contains(&resize.short_side)
        {
            let side = resize.short_side;
            return Err(format!("images of {side} pixels before the crop; 1 to {LARGEST_SHORT_SIDE} are supported"));
        }
        Ok(Self { spec, classes, preprocessing })
    }
}

/// Preprocessing that suits a network of which only the specification is known: ImageNet's for the ImageNet stem
/// (short side to 256, the central 224 pixels), else 32 pixels with CIFAR-10's table, or Fashion-MNIST's 28 and table
/// for gray images.
pub fn default_preprocessing(spec: &ModelSpec) -> Preprocessing {
    let normalisation = match (spec.stem, spec.channels) {
        (_, 1) => Known::FashionMnist.normalisation(),
        (Stem::Imagenet, _) => KnownData::ImageNet.normalisation(),
        (Stem::Cifar, _) => Known::Cifar10.normalisation(),
    };
    let side = match (spec.stem, spec.channels) {
        (Stem::Imagenet, _) => 224,
        (Stem::Cifar, 1) => 28,
        (Stem::Cifar, _) => 32,
    };
    let resize = Resize { short_side: 256, fit: Fit::CropCentre, filter: Filter::Bilinear };
    let resize = (spec.stem == Stem::Imagenet).then_some(resize);
    Preprocessing { resize, ..Preprocessing::new(side, side, normalisation) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_that_asks_for_images_of_any_size_is_refused() {
        let spec = ModelSpec::named("resnet18", None, 3, 2).unwrap();
        let card =
            ModelCard { classes: vec!["a".into(), "b".into()], preprocessing: default_preprocessing(&spec), spec };
        assert!(card.clone().validate().is_ok());
        for (side, short_side) in [(0, 256), (4097, 256), (usize::MAX, 256), (224, 0), (224, 8193), (224, usize::MAX)] {
            let mut card = card.clone();
            card.preprocessing.height = side;
            card.preprocessing.resize.as_mut().unwrap().short_side = short_side;
            let error = card.validate().unwrap_err();
            assert!(error.contains("supported"), "{error}");
        }
    }
}
