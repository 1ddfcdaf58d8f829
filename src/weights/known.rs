//! The data sets that published weights were trained on: names of their classes and how images are normalised.

use crate::{
    data::{CIFAR10_CLASSES, Known, Normalisation},
    model::{ModelSpec, families::Images},
};
use serde::Serialize;
use std::fmt;

/// A data set whose classes and normalisation are known without having it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KnownData {
    ImageNet,
    /// As chenyaofo and kuangliu normalise it.
    Cifar10,
    /// As chenyaofo normalises it.
    Cifar100,
}

impl fmt::Display for KnownData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KnownData::ImageNet => "ImageNet-1k",
            KnownData::Cifar10 => Known::Cifar10.title(),
            KnownData::Cifar100 => Known::Cifar100.title(),
        })
    }
}

impl KnownData {
    /// The names in the order of the head's rows.
    pub(crate) fn classes(self) -> Vec<String> {
        let names: Vec<&str> = match self {
            KnownData::ImageNet => include_str!("../../assets/imagenet_classes.txt").lines().collect(),
            KnownData::Cifar10 => CIFAR10_CLASSES.to_vec(),
            KnownData::Cifar100 => CIFAR100_CLASSES.split(' ').collect(),
        };
        names.into_iter().map(str::to_owned).collect()
    }

    pub(crate) fn normalisation(self) -> Normalisation {
        match self {
            KnownData::ImageNet => Normalisation::imagenet(3),
            KnownData::Cifar10 => Known::Cifar10.normalisation(),
            KnownData::Cifar100 => Normalisation::cifar100_of_chenyaofo(),
        }
    }
}

/// Whose table [`super::default_preprocessing`] takes for a network.
pub(crate) fn table_name(spec: &ModelSpec) -> &'static str {
    match (spec.is_for_photographs(), spec.channels) {
        (_, 1) => "Fashion-MNIST's table",
        (true, _) => match spec.conventions().images {
            Images::Torchvision => "ImageNet's table",
            Images::Tensorflow => "TensorFlow's table",
            Images::Caffe => "Caffe's table",
        },
        (false, _) => "CIFAR-10's table",
    }
}

const CIFAR100_CLASSES: &str = "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge \
    bus butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup \
    dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion \
    lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear \
    pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew \
    skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger \
    tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_name_and_cifars_are_in_their_order() {
        for (data, count) in [(KnownData::ImageNet, 1000), (KnownData::Cifar10, 10), (KnownData::Cifar100, 100)] {
            let classes = data.classes();
            assert_eq!(classes.len(), count);
            assert!(classes.iter().all(|name| !name.is_empty() && name.trim() == name));
            if data != KnownData::ImageNet {
                assert!(classes.is_sorted());
            }
        }
        assert_eq!(KnownData::ImageNet.classes()[207], "golden retriever");
    }
}
