//! The fields of a recipe that are a choice between names. That of a schedule stands in the table, beside the numbers
//! that schedules take.

use super::field::{FieldType, Value};
use crate::data::Fit;
use crate::model::{Block, Nonlinearity, Padding, Stem};
use crate::ops::Storage;
use std::str::FromStr;
use strum::{EnumString, IntoStaticStr, VariantNames};

/// An enum that a field of a recipe can have: what strum derives of it is all that a recipe, a window and a command need.
pub(super) trait Choice: Copy + Into<&'static str> + FromStr + VariantNames {}

impl Choice for Method {}
impl Choice for Optimizer {}
impl Choice for Precision {}
impl Choice for CropMode {}
impl Choice for NormaliseBy {}
impl Choice for Freeze {}
impl Choice for Block {}
impl Choice for Nonlinearity {}
impl Choice for Padding {}
impl Choice for Fit {}

impl<T: Choice> FieldType for T {
    fn to_value(&self) -> Value {
        Value::Text(Into::<&str>::into(*self).to_owned())
    }
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Text(name) = value { name.parse().ok() } else { None }
    }
}

/// What learns, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum Method {
    /// The network, step by step, by gradient descent.
    Steps,
    /// A new head only, on what a trained network sees in each image: in seconds, judged by cross-validation.
    Head,
}

/// What turns gradients into updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum Optimizer {
    /// PyTorch's `SGD`: dampening 0, decay coupled (added to the gradient).
    Sgd,
    /// Loshchilov and Hutter, <https://arxiv.org/abs/1711.05101>: decay decoupled.
    AdamW,
    /// Chen et al., <https://arxiv.org/abs/2302.06675>: steps of one size, so it wants a tenth of AdamW's learning rate.
    Lion,
}

/// What activations and their gradients are kept as. Weights and sums are 32-bit floats in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum Precision {
    /// 32 bits.
    #[strum(serialize = "f32")]
    Single,
    /// Where the device has 16-bit floats; with loss scaling.
    #[strum(serialize = "f16")]
    Half,
    /// 16 bits with the range of 32, where a processor multiplies such; products take weights so too.
    #[strum(serialize = "bf16")]
    Brain,
}

impl Precision {
    /// What that is in memory, on a device that has it.
    pub(crate) fn storage(self) -> Storage {
        match self {
            Precision::Single => Storage::F32,
            Precision::Half => Storage::F16,
            Precision::Brain => Storage::Bf16,
        }
    }
}

/// What a random crop sees beyond the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum CropMode {
    /// Black, before normalisation.
    Zero,
    /// The image mirrored at its border pixel, which is not repeated.
    Reflect,
}

/// Where mean and deviation of the pixels come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum NormaliseBy {
    /// The published table of a known data set, else as `Computed`.
    Table,
    /// Mean and deviation of the training split's pixels.
    Computed,
    /// ImageNet's table, for weights that were trained with it.
    Imagenet,
    /// To about -1 … 1, for EfficientNets that come from TensorFlow.
    Tensorflow,
    /// From 0 to 255 without the mean of each colour, for networks that come from Caffe.
    Caffe,
}

/// Which layers keep their weights. A frozen batch normalisation keeps its statistics too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum Freeze {
    /// All layers learn.
    None,
    /// The layers before the first stage.
    Stem,
    /// Those and the first stage.
    Stage1,
    /// And the second.
    Stage2,
    /// And the third.
    Stage3,
    /// And the fourth.
    Stage4,
    /// And the fifth.
    Stage5,
    /// And the sixth.
    Stage6,
    /// All but the head.
    AllButHead,
}

impl Freeze {
    /// How many of `stages` stages are frozen, counted from the input.
    pub fn stages(self, stages: usize) -> usize {
        match self {
            Freeze::None | Freeze::Stem => 0,
            Freeze::Stage1 => stages.min(1),
            Freeze::Stage2 => stages.min(2),
            Freeze::Stage3 => stages.min(3),
            Freeze::Stage4 => stages.min(4),
            Freeze::Stage5 => stages.min(5),
            Freeze::Stage6 => stages.min(6),
            Freeze::AllButHead => stages,
        }
    }
}

/// The stems there are, and the one of the network's own.
pub(super) const STEMS: [&str; Stem::VARIANTS.len() + 1] = {
    let [imagenet, cifar] = *Stem::VARIANTS else { unreachable!() };
    [OWN, imagenet, cifar]
};
const OWN: &str = "own";

impl FieldType for Option<Stem> {
    fn to_value(&self) -> Value {
        Value::Text(self.map_or(OWN, Stem::into).to_owned())
    }
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Text(name) if name == OWN => Some(None),
            Value::Text(name) => name.parse().ok().map(Some),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_reads_back_as_itself() {
        fn check<T: FieldType + PartialEq + std::fmt::Debug>(names: &[&str]) {
            for name in names {
                let value = Value::Text((*name).to_owned());
                assert_eq!(T::from_value(value.clone()).map(|x| x.to_value()), Some(value));
            }
        }
        check::<Option<Stem>>(&STEMS);
        check::<Block>(Block::VARIANTS);
        check::<Nonlinearity>(Nonlinearity::VARIANTS);
        check::<Padding>(Padding::VARIANTS);
        check::<Fit>(Fit::VARIANTS);
        check::<Freeze>(Freeze::VARIANTS);
    }
}
