//! What comes out of a weight file, and what is asked of it.

use super::{
    HostTensor, ModelCard, StateDict, card::default_preprocessing, error::Problem, known::KnownData,
    report::ImportReport,
};
use crate::{
    data::Preprocessing,
    model::{ModelSpec, Padding, spec::Role},
};

/// What the caller knows better than the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportOptions {
    /// The architecture that the file must have, such as `resnet18`; recognised where it is `None`.
    pub(crate) architecture: Option<String>,
    /// How the network pads; by the family of the names where it is `None`.
    pub(crate) padding: Option<Padding>,
    /// What the network was trained on, which gives the classes their names and images their normalisation; inferred
    /// from the number of classes and from the names of published files where it is `None`.
    pub(crate) trained_on: Option<KnownData>,
}

/// A network that came out of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// What it is.
    pub card: ModelCard,
    /// Its weights, under torchvision's names.
    pub tensors: StateDict,
    pub(crate) report: ImportReport,
}

/// The part of a network before its head, out of a file that has no head or one that is not read.
#[derive(Clone, Debug, PartialEq)]
pub struct Backbone {
    /// Its number of classes says nothing.
    pub(crate) spec: ModelSpec,
    pub(crate) tensors: StateDict,
    pub(crate) report: ImportReport,
    /// What is wrong with the head, in words that follow “the head”.
    pub(super) fault: String,
}

impl Backbone {
    /// Why it is no network that answers.
    fn refusal(&self) -> Problem {
        Problem::NotANetwork(format!(
            "{}, whose head {}; `kindling train --weights` starts from such a file, with a head of its own",
            self.spec.backbone(),
            self.fault
        ))
    }
}

/// Weights that a run can start from.
#[derive(Clone, Debug, PartialEq)]
pub enum Pretrained {
    Network(Imported),
    Backbone(Backbone),
}

impl Pretrained {
    /// The network that they are of; the number of classes says nothing for a backbone.
    pub(crate) fn spec(&self) -> &ModelSpec {
        match self {
            Pretrained::Network(network) => &network.card.spec,
            Pretrained::Backbone(backbone) => &backbone.spec,
        }
    }

    /// How images are prepared for it.
    pub(crate) fn preprocessing(&self) -> Preprocessing {
        match self {
            Pretrained::Network(network) => network.card.preprocessing.clone(),
            Pretrained::Backbone(backbone) => default_preprocessing(&backbone.spec),
        }
    }

    pub(crate) fn report(&self) -> &ImportReport {
        match self {
            Pretrained::Network(network) => &network.report,
            Pretrained::Backbone(backbone) => &backbone.report,
        }
    }

    /// The network for who asks for features only: where there is no head, zeros stand for it.
    pub(crate) fn headless(self) -> (ModelCard, StateDict) {
        let Backbone { spec, mut tensors, .. } = match self {
            Pretrained::Network(Imported { card, tensors, .. }) => return (card, tensors),
            Pretrained::Backbone(backbone) => backbone,
        };
        for info in spec.tensors().into_iter().filter(|info| matches!(info.role, Role::FcWeight | Role::FcBias)) {
            tensors.insert(info.name, HostTensor::full(info.shape, 0.0));
        }
        let classes = (0..spec.classes).map(|class| format!("class {class}")).collect();
        (
            ModelCard {
                preprocessing: default_preprocessing(&spec),
                spec,
                classes,
                validation_share: None,
                head: None,
            },
            tensors,
        )
    }

    /// The network that answers.
    ///
    /// # Errors
    /// For a backbone, with what its head lacks.
    pub(super) fn whole(self) -> Result<Imported, Problem> {
        match self {
            Pretrained::Network(network) => Ok(network),
            Pretrained::Backbone(backbone) => Err(backbone.refusal()),
        }
    }
}

impl From<Imported> for Pretrained {
    fn from(network: Imported) -> Self {
        Pretrained::Network(network)
    }
}
