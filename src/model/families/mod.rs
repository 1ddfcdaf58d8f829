//! The families of networks that can be built: each a file with its architectures, how its layers are wired, and how its
//! weights are told from others'. Adding one is its file and a line in each of the lists here.

pub(crate) mod mobilenet;
pub(crate) mod resnet;
pub(crate) mod vgg;

pub(crate) use mobilenet::MobileNet;
pub(crate) use resnet::ResNet;
pub use resnet::{Block, Nonlinearity, Stem};
pub(crate) use vgg::Vgg;

use super::graph::{Builder, Value};
use crate::{ops::Padding, text};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, ops::RangeInclusive};

/// Shapes of tensors by torchvision's names.
pub(crate) type Shapes = BTreeMap<String, Vec<usize>>;

/// The layers of a network before its head: a member of one of the families.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Family {
    ResNet(ResNet),
    Vgg(Vgg),
    MobileNet(MobileNet),
}

/// Why a specification can't be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    #[error("no model is called “{}”; models: {}, custom", text::foreign(.0), ARCHITECTURES.join(", "))]
    UnknownArchitecture(String),
    #[error("a model needs as many widths as stages: {stages} stages, {widths} widths")]
    Lengths { stages: usize, widths: usize },
    #[error("{what} must be {range}, not {got}")]
    Range { what: &'static str, range: &'static str, got: usize },
    #[error(
        "the CIFAR models have a stem of their own; `imagenet` is for resnet18 … resnet152, wide_resnet50_2 and custom"
    )]
    Stem,
}

pub(super) fn check(
    what: &'static str,
    range: &'static str,
    allowed: RangeInclusive<usize>,
    got: usize,
) -> Result<(), SpecError> {
    if allowed.contains(&got) { Ok(()) } else { Err(SpecError::Range { what, range, got }) }
}

/// What a family says of its members.
pub(crate) trait Member {
    /// Checks every size, so that what was read from a file can be built without a surprise.
    fn validate(&self) -> Result<(), SpecError>;

    /// Declares the layers in the order of torchvision's state dictionary, wires them, and gives what the head reads.
    fn build(&self, graph: &mut Builder) -> Value;

    /// Whether it is made for photographs of about 224 pixels, else for images of about 32.
    fn is_for_photographs(&self) -> bool;

    /// torchvision's name of the head's linear layer.
    fn head_name(&self) -> &'static str {
        "fc"
    }

    /// What its weights do not tell.
    fn conventions(&self) -> Conventions {
        Conventions::default()
    }
}

/// How a network pads and normalises, and what photographs it was trained on.
pub(crate) struct Conventions {
    pub padding: Padding,
    /// Added to the variance in every batch normalisation.
    pub bn_eps: f64,
    /// Pixels a side.
    pub side: usize,
    pub images: Images,
}

/// How a network's photographs are prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Images {
    /// Resized bilinearly, normalised by ImageNet's table.
    Torchvision,
    /// Resized bicubically, values brought to -1 … 1, as for TensorFlow's EfficientNets.
    Tensorflow,
    /// Resized bilinearly, blue first, from 0 to 255 without the mean of each colour.
    Caffe,
}

impl Default for Conventions {
    /// PyTorch's.
    fn default() -> Self {
        Self { padding: Padding::Torch, bn_eps: 1e-5, side: 224, images: Images::Torchvision }
    }
}

/// What is asked of a family before there is a member of it.
struct FamilyEntry {
    names: &'static [&'static str],
    /// A member by one of the names, with the stem that is asked for.
    named: fn(&str, Option<Stem>) -> Result<Family, SpecError>,
    /// The member and the input channels that a few telling shapes suggest; the others may disagree. Says what is missing
    /// where they are of another family.
    outline: fn(&Shapes) -> Result<(Family, usize), String>,
}

const FAMILIES: [FamilyEntry; 3] = [
    FamilyEntry {
        names: &resnet::NAMES,
        named: |name, stem| ResNet::named(name, stem).map(Family::ResNet),
        outline: |shapes| ResNet::outline(shapes).map(|(net, channels)| (Family::ResNet(net), channels)),
    },
    FamilyEntry {
        names: &vgg::NAMES,
        named: |name, stem| Vgg::named(name, stem).map(Family::Vgg),
        outline: |shapes| Vgg::outline(shapes).map(|(net, channels)| (Family::Vgg(net), channels)),
    },
    FamilyEntry {
        names: &mobilenet::NAMES,
        named: |name, stem| MobileNet::named(name, stem).map(Family::MobileNet),
        outline: |shapes| MobileNet::outline(shapes).map(|(net, channels)| (Family::MobileNet(net), channels)),
    },
];

/// Names of all architectures but `custom`.
pub(crate) const ARCHITECTURES: [&str; resnet::NAMES.len() + vgg::NAMES.len() + mobilenet::NAMES.len()] =
    concat([&resnet::NAMES, &vgg::NAMES, &mobilenet::NAMES]);

const fn concat<const LISTS: usize, const N: usize>(lists: [&[&'static str]; LISTS]) -> [&'static str; N] {
    let mut all = [""; N];
    let (mut at, mut list) = (0, 0);
    while list < LISTS {
        let mut i = 0;
        while i < lists[list].len() {
            all[at] = lists[list][i];
            (at, i) = (at + 1, i + 1);
        }
        list += 1;
    }
    all
}

impl Family {
    /// A member by name. `stem` is `None` for the architecture's own.
    pub(crate) fn named(architecture: &str, stem: Option<Stem>) -> Result<Self, SpecError> {
        let family = FAMILIES.iter().find(|family| family.names.contains(&architecture));
        let family = family.ok_or_else(|| SpecError::UnknownArchitecture(architecture.to_owned()))?;
        (family.named)(architecture, stem)
    }

    /// The member, and its input channels, that a few telling shapes suggest; the others may disagree.
    ///
    /// # Errors
    /// What the first family misses in them, where they are of none.
    pub(crate) fn outline(shapes: &Shapes) -> Result<(Self, usize), String> {
        let mut outlines = FAMILIES.iter().map(|family| (family.outline)(shapes));
        let first = outlines.next().unwrap_or_else(|| Err("no family is known".into()));
        first.or_else(|missing| outlines.find_map(Result::ok).ok_or(missing))
    }

    /// What it says of itself.
    pub(super) fn member(&self) -> &dyn Member {
        match self {
            Self::ResNet(net) => net,
            Self::Vgg(net) => net,
            Self::MobileNet(net) => net,
        }
    }

    /// The stem, of a family whose members have a choice of them.
    pub(crate) fn stem(&self) -> Option<Stem> {
        match self {
            Self::ResNet(net) => Some(net.stem),
            Self::MobileNet(net) => Some(net.stem),
            Self::Vgg(_) => None,
        }
    }
}
