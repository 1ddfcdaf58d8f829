//! The fields of a recipe that are a choice between names. That of a schedule stands in the table, beside the numbers
//! that schedules take.

use super::field::{Entry, Value};
use crate::data::Fit;
use crate::model::{Block, Padding, Stem};
use crate::ops::Storage;

/// Declares an enum with the name of each variant, for files, windows and commands.
macro_rules! choice {
    ($(#[$doc:meta])* $vis:vis enum $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $vis enum $type { $($(#[$variant_doc])* $variant),+ }

        impl $type {
            /// The names of all choices, in the order in which they are shown.
            $vis const NAMES: &'static [&'static str] = &[$($name),+];

            $vis fn name(self) -> &'static str {
                match self { $($type::$variant => $name),+ }
            }

            $vis fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some($type::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl Entry for $type {
            fn to_value(&self) -> Value {
                Value::Text(self.name().to_owned())
            }
            fn from_value(value: Value) -> Option<Self> {
                if let Value::Text(name) = value { Self::from_name(&name) } else { None }
            }
        }
    };
}
pub(super) use choice;

choice! {
    /// What turns gradients into updates.
    pub enum Optimizer {
        /// PyTorch's `SGD`: dampening 0, decay coupled (added to the gradient).
        Sgd = "sgd",
        /// Loshchilov and Hutter, <https://arxiv.org/abs/1711.05101>: decay decoupled.
        AdamW = "adamw",
        /// Chen et al., <https://arxiv.org/abs/2302.06675>: steps of one size, so it wants a tenth of AdamW's learning rate.
        Lion = "lion",
    }
}

choice! {
    /// What activations and their gradients are kept as. Weights and sums are 32-bit floats either way.
    pub enum Precision {
        Single = "f32",
        /// Where the device has 16-bit floats; with loss scaling.
        Half = "f16",
    }
}

impl Precision {
    /// What that is in memory, on a device that has it.
    pub(crate) fn storage(self) -> Storage {
        match self {
            Precision::Single => Storage::F32,
            Precision::Half => Storage::F16,
        }
    }
}

choice! {
    /// What a random crop sees beyond the border.
    pub enum CropMode {
        /// Black, before normalisation.
        Zero = "zero",
        /// The image mirrored at its border pixel, which is not repeated.
        Reflect = "reflect",
    }
}

choice! {
    /// Where mean and deviation of the pixels come from.
    pub enum NormaliseBy {
        /// The published table of a known data set, else as `Computed`.
        Table = "table",
        /// Mean and deviation of the training split's pixels.
        Computed = "computed",
        /// ImageNet's table, for weights that were trained with it.
        Imagenet = "imagenet",
        /// To about -1 … 1, for EfficientNets that come from TensorFlow.
        Tensorflow = "tensorflow",
    }
}

choice! {
    /// Which layers keep their weights. A frozen batch normalisation keeps its statistics too.
    pub enum Freeze {
        None = "none",
        Stem = "stem",
        Stage1 = "stage1",
        Stage2 = "stage2",
        Stage3 = "stage3",
        Stage4 = "stage4",
        Stage5 = "stage5",
        Stage6 = "stage6",
        AllButHead = "all-but-head",
    }
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

/// Gives an enum from elsewhere its names in a recipe.
macro_rules! entry {
    ($type:ty, $names:ident, $($name:literal => $value:expr),+) => {
        pub(super) const $names: &[&str] = &[$($name),+];

        impl Entry for $type {
            fn to_value(&self) -> Value {
                let pairs = [$(($value, $name)),+];
                // Every value is in the list, or the test below fails.
                Value::Text(pairs.iter().find(|(value, _)| value == self).map_or("", |(_, name)| name).to_owned())
            }
            fn from_value(value: Value) -> Option<Self> {
                let Value::Text(name) = value else { return None };
                match name.as_str() { $($name => Some($value),)+ _ => None }
            }
        }
    };
}

entry!(Option<Stem>, STEMS, "own" => None, "imagenet" => Some(Stem::Imagenet), "cifar" => Some(Stem::Cifar));
entry!(Block, BLOCKS, "basic" => Block::Basic, "bottleneck" => Block::Bottleneck);
entry!(Padding, PADDINGS, "torch" => Padding::Torch, "same" => Padding::Same, "same-pool" => Padding::SamePool);
entry!(Fit, FITS, "crop-centre" => Fit::CropCentre, "squash" => Fit::Squash, "pad" => Fit::Pad);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_reads_back_as_itself() {
        fn check<T: Entry + PartialEq + std::fmt::Debug>(names: &[&str]) {
            for name in names {
                let value = Value::Text((*name).to_owned());
                assert_eq!(T::from_value(value.clone()).map(|x| x.to_value()), Some(value));
            }
        }
        check::<Option<Stem>>(STEMS);
        check::<Block>(BLOCKS);
        check::<Padding>(PADDINGS);
        check::<Fit>(FITS);
        check::<Freeze>(Freeze::NAMES);
    }
}
