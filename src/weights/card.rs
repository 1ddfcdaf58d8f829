//! What a weight file says about its network beside the tensors: enough to build the network and to prepare an image
//! for it exactly as training did.

use super::{HeadCard, KnownData, error::is_plain_name};
use crate::{
    data::{Filter, Fit, HoldOut, Known, LoadOptions, Normalisation, Preprocessing, Resize},
    model::{ModelSpec, families::Images, spec::SpecError},
};
use serde::{Deserialize, Serialize};

/// Pixels that the short side of an image may have before the crop.
const LARGEST_SHORT_SIDE: usize = 8192;

/// The description that travels with the tensors, as JSON in the file's metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// The network.
    pub spec: ModelSpec,
    /// One name a class, in the order of the head's rows.
    pub classes: Vec<String>,
    /// What happens to an image before it sees it.
    pub preprocessing: Preprocessing,
    /// Share of the images that training held out by their content. Unknown of networks from elsewhere, and of those
    /// that were measured on a split of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_share: Option<f64>,
    /// Of a head that was found at once, from all images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Box<HeadCard>>,
}

/// What does not fit in a card. Each reads as one line.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CardError {
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error("the network is called {0} and is another")]
    Architecture(String),
    #[error("an epsilon of {0} for batch normalisation")]
    Epsilon(f64),
    #[error("a class name is overlong or has control characters")]
    ClassName,
    #[error("{names} class names for {classes} classes")]
    Classes { names: usize, classes: usize },
    #[error("the preprocessing is not for the network's {0} channels")]
    Channels(usize),
    #[error("the normalisation has a value that is not finite or a deviation that is not positive")]
    Normalisation,
    #[error("images of {height}x{width} pixels; 1 to 4096 a side are supported")]
    Size { height: usize, width: usize },
    #[error("what tells images of none of the classes is not for the network's features")]
    Unknown,
    #[error("a resize to {0} pixels; 1 to {LARGEST_SHORT_SIDE} are supported")]
    Resize(usize),
}

impl ModelCard {
    /// Checks what was read from a file: the specification can be built, every class has a name, and the
    /// preprocessing has as many channels as the network.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub(crate) fn validate(self) -> Result<Self, CardError> {
        let Self { spec, classes, preprocessing, validation_share, head } = self;
        let spec = spec.validate()?;
        if spec.architecture != "custom" {
            let named = ModelSpec::named(&spec.architecture, spec.stem(), spec.channels, spec.classes)?;
            if named.family != spec.family {
                return Err(CardError::Architecture(spec.architecture));
            }
        }
        if !(spec.bn_eps > 0.0 && spec.bn_eps < 1.0) {
            return Err(CardError::Epsilon(spec.bn_eps));
        }
        if !classes.iter().all(|class| is_plain_name(class)) {
            return Err(CardError::ClassName);
        }
        if classes.len() != spec.classes {
            return Err(CardError::Classes { names: classes.len(), classes: spec.classes });
        }
        let channels = spec.channels;
        let table = &preprocessing.normalisation;
        if preprocessing.channels != channels || table.mean.len() != channels || table.std.len() != channels {
            return Err(CardError::Channels(channels));
        }
        if table.mean.iter().chain(&table.std).any(|v| !v.is_finite()) || table.std.iter().any(|&s| s <= 0.0) {
            return Err(CardError::Normalisation);
        }
        if !(1..=4096).contains(&preprocessing.height) || !(1..=4096).contains(&preprocessing.width) {
            let Preprocessing { height, width, .. } = preprocessing;
            return Err(CardError::Size { height, width });
        }
        if let Some(side) = preprocessing.resize.map(|resize| resize.short_side)
            && !(1..=LARGEST_SHORT_SIDE).contains(&side)
        {
            return Err(CardError::Resize(side));
        }
        if let Some(unknown) = head.as_ref().and_then(|head| head.unknown.as_ref())
            && !unknown.fits(spec.features())
        {
            return Err(CardError::Unknown);
        }
        let validation_share = validation_share.filter(|share| (0.0..1.0).contains(share));
        Ok(Self { spec, classes, preprocessing, validation_share, head })
    }

    /// How the data that the network was trained on are loaded where nothing but this card is known.
    pub(crate) fn load_options(&self) -> LoadOptions {
        LoadOptions {
            coarse: self.classes.len() == LoadOptions::COARSE_CLASSES,
            hold_out: self.validation_share.map_or_else(HoldOut::default, HoldOut::by_content),
            ..LoadOptions::default()
        }
    }
}

/// Preprocessing that suits a network of which only the specification is known: that of its family for photographs
/// (ResNets: short side to 256, the central 224 pixels, ImageNet's table), else 32 pixels with CIFAR-10's table, or
/// Fashion-MNIST's 28 and table for gray images.
pub(crate) fn default_preprocessing(spec: &ModelSpec) -> Preprocessing {
    let conventions = spec.conventions();
    let normalisation = match (spec.is_for_photographs(), spec.channels) {
        (_, 1) => Known::FashionMnist.normalisation(),
        (true, _) => match conventions.images {
            Images::Torchvision => KnownData::ImageNet.normalisation(),
            Images::Tensorflow => Normalisation::tensorflow(3),
            Images::Caffe => Normalisation::caffe(3),
        },
        (false, _) => Known::Cifar10.normalisation(),
    };
    let side = match (spec.is_for_photographs(), spec.channels) {
        (true, _) => conventions.side,
        (false, 1) => 28,
        (false, _) => 32,
    };
    let filter = if conventions.images == Images::Tensorflow { Filter::Bicubic } else { Filter::Bilinear };
    let resize = Resize { short_side: side * 8 / 7, fit: Fit::CropCentre, filter };
    let resize = spec.is_for_photographs().then_some(resize);
    Preprocessing { resize, ..Preprocessing::new(side, side, normalisation) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::PixelRules, model::Stem};

    fn card() -> ModelCard {
        let spec = ModelSpec::named("resnet18", Some(Stem::Imagenet), 3, 2).expect("a network");
        let preprocessing = default_preprocessing(&spec);
        ModelCard { spec, classes: vec!["a".into(), "b".into()], preprocessing, validation_share: None, head: None }
    }

    #[test]
    fn weights_that_say_nothing_are_prepared_as_torchvision_does_and_old_cards_as_they_were_trained() {
        assert_eq!(card().preprocessing.pixel_rules, PixelRules::Torchvision);
        let mut json = serde_json::to_value(card()).expect("JSON");
        let back: ModelCard = serde_json::from_value(json.clone()).expect("a card");
        assert_eq!(back, card());
        json["preprocessing"].as_object_mut().expect("an object").remove("pixel_rules");
        let old: ModelCard = serde_json::from_value(json).expect("a card");
        assert_eq!(old.validate().expect("a sound card").preprocessing.pixel_rules, PixelRules::Legacy);
    }

    #[test]
    fn a_resize_beyond_measure_is_refused() {
        for (short_side, good) in [(0, false), (1, true), (256, true), (8192, true), (8193, false), (usize::MAX, false)]
        {
            let mut card = card();
            card.preprocessing.resize = Some(Resize { short_side, ..Resize::default() });
            assert_eq!(card.validate().is_ok(), good, "{short_side}");
        }
    }
}
