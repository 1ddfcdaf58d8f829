//! Recipes with a name.

use super::{
    choices::{Method, NormaliseBy, Optimizer},
    class_weights::ClassWeights,
    error::RecipeError,
    table::{Recipe, Schedule},
};
use crate::{
    data::Fit,
    model::{Padding, Stem},
};

/// The names of all presets.
pub(crate) const NAMES: [&str; 8] = [
    "quick",
    "cifar-resnet",
    "photos",
    "photos-finetune",
    "photos-scratch",
    "seed-resnet18",
    "seed-resnet50-finetune",
    "seed-resnet50-5-epochs",
];

/// One line about a preset, for a menu.
pub(crate) fn about(name: &str) -> &'static str {
    match name {
        "quick" => "A small network on small images in minutes, such as the sample set.",
        "cifar-resnet" => "CIFAR ResNets to their published accuracy: 200 epochs, cosine.",
        "photos" => "A head on a trained network, for photographs: seconds, and cross-validated.",
        "photos-finetune" => "ResNet-18 on photographs from ImageNet weights, such as torchvision:resnet18: 25 epochs.",
        "photos-scratch" => "ResNet-18 on thousands of photographs without weights to start from: 90 epochs.",
        "seed-resnet18" => "ResNet-18 on CIFAR-10 as the first text has it: 150 + 60 + 60 epochs.",
        "seed-resnet50-finetune" => "ResNet-50 from ImageNet weights, cosine over 40 epochs.",
        "seed-resnet50-5-epochs" => "ResNet-50 from ImageNet weights, 5 epochs at a constant rate.",
        _ => "",
    }
}

impl Recipe {
    /// The preset of that name.
    pub fn preset(name: &str) -> Result<Self, RecipeError> {
        Ok(match name {
            "quick" => Recipe {
                model: "cifar_resnet8".into(),
                schedule: Schedule::OneCycle,
                lr: 0.2,
                one_cycle_rise: 0.25,
                nesterov: true,
                batch_size: 64,
                epochs: 5,
                crop_padding: 2,
                ..plain()
            },
            "cifar-resnet" => Recipe {
                model: "cifar_resnet20".into(),
                schedule: Schedule::Cosine,
                lr: 0.1,
                nesterov: true,
                batch_size: 256,
                epochs: 200,
                ..plain()
            },
            "photos" => head(),
            // The rate of torchvision's transfer learning tutorial, 0.001 for 4 images, by the batch; its 25 epochs; a
            // cosine for its steps. Squeezed, because the whole picture counts: a head on ImageNet's features of 189
            // photographs had a balanced accuracy of 0.83 where they were squeezed, 0.82 padded, 0.79 by their centre.
            // Squeezing most photographs is within the ratios of the crops that the network learns from, and folders of
            // mixed sizes, which are brought to one size as they are read, give no crop of nothing but white.
            "photos-finetune" => Recipe {
                fit: Fit::Squash,
                // What the weights were trained with.
                normalisation: NormaliseBy::Imagenet,
                lr: 0.008,
                batch_size: 32,
                epochs: 25,
                ..photos()
            },
            // torchvision's references/classification for a ResNet: 0.1 for 256 images, here by a batch that more GPUs
            // hold; 90 epochs. Cosine, warm-up and smoothing are from its newer recipe. The centre is cut out, as there:
            // a network that learns shapes from nothing should meet them as they are, and enough images show the rest.
            "photos-scratch" => Recipe {
                fit: Fit::CropCentre,
                lr: 0.025,
                batch_size: 64,
                epochs: 90,
                warmup_epochs: 5.0,
                label_smoothing: 0.1,
                ..photos()
            },
            "seed-resnet18" => Recipe {
                model: "resnet18".into(),
                stem: Some(Stem::Imagenet),
                schedule: Schedule::Step,
                lr: 0.1,
                milestones: vec![150, 210],
                factor: 0.1,
                batch_size: 128,
                epochs: 150 + 60 + 60,
                ..plain()
            },
            // No batch size is given for these two; 32 fits a small GPU.
            "seed-resnet50-finetune" => Recipe {
                schedule: Schedule::Cosine,
                lr: 1e-3,
                min_lr: 1e-5,
                batch_size: 32,
                epochs: 40,
                ..seed_resnet50()
            },
            "seed-resnet50-5-epochs" => {
                Recipe { schedule: Schedule::Constant, lr: 1e-3, batch_size: 32, epochs: 5, ..seed_resnet50() }
            }
            _ => return Err(unknown(name)),
        })
    }
}

/// That there is no preset of that name.
pub(super) fn unknown(name: &str) -> RecipeError {
    RecipeError::Preset { name: name.to_owned(), presets: &NAMES }
}

/// Written out in full where the source of the numbers states them, so that a new default changes no preset.
fn plain() -> Recipe {
    Recipe {
        optimizer: Optimizer::Sgd,
        momentum: 0.9,
        nesterov: false,
        weight_decay: 5e-4,
        decay_bn_bias: true,
        label_smoothing: 0.0,
        crop_padding: 4,
        flip: true,
        ..Recipe::default()
    }
}

/// A head on the network in the binary, which sees squeezed pictures: see `photos-finetune`.
fn head() -> Recipe {
    Recipe {
        model: "efficientnet_lite0".into(),
        padding: Padding::Same,
        method: Method::Head,
        fit: Fit::Squash,
        image_size: 224,
        normalisation: NormaliseBy::Tensorflow,
        class_weights: ClassWeights::Balanced,
        crop_padding: 0,
        flip: false,
        epochs: 1,
        batch_size: 32,
        eval_batch: 32,
        ..Recipe::default()
    }
}

fn photos() -> Recipe {
    Recipe {
        model: "resnet18".into(),
        image_size: 224,
        crop_padding: 0,
        // torchvision's, in both of its recipes.
        resized_crop: 0.08,
        crop_ratio: 0.75,
        weight_decay: 1e-4,
        schedule: Schedule::Cosine,
        ..plain()
    }
}

/// The texts use the 7x7 stem on 32x32 images, as their networks come from ImageNet.
fn seed_resnet50() -> Recipe {
    Recipe { model: "resnet50".into(), stem: Some(Stem::Imagenet), weight_decay: 0.0, ..plain() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_valid_and_described() {
        for name in NAMES {
            Recipe::preset(name).unwrap().validate().unwrap();
            assert!(!about(name).is_empty());
        }
        assert!(Recipe::preset("fastest").unwrap_err().to_string().contains("cifar-resnet"));
    }
}
