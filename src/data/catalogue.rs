//! What is published about the well-known data sets: class names, normalisation, and where their files are.

use super::{
    Normalisation,
    download::{Checksum, Download},
    luma,
};

/// A data set that goes by a name.
pub(crate) struct Named {
    /// What `--data` calls it.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// What is in it, in a line.
    pub about: &'static str,
}

/// All of them: the one that is built in, then those of [`Known`] in their order.
pub(crate) const NAMED: [Named; 4] = [
    named("sample", "Sample set", "6,000 small gray pictures of clothes in ten classes, built in"),
    named("cifar10", "CIFAR-10", "50,000 colour pictures, 32x32, ten classes; downloads 170 MB once"),
    named("cifar100", "CIFAR-100", "50,000 colour pictures, 32x32, a hundred classes; downloads 169 MB once"),
    named(
        "fashion-mnist",
        "Fashion-MNIST",
        "60,000 gray pictures of clothes, 28x28, ten classes; downloads 31 MB once",
    ),
];

const fn named(name: &'static str, title: &'static str, about: &'static str) -> Named {
    Named { name, title, about }
}

/// What `--data` calls them.
pub(crate) const NAMES: [&str; 4] = [SAMPLE, NAMED[1].name, NAMED[2].name, NAMED[3].name];

/// The data set inside the binary.
pub(crate) const SAMPLE: &str = NAMED[0].name;

/// A data set that can be downloaded by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Cifar10,
    Cifar100,
    FashionMnist,
}

impl Known {
    pub(crate) const ALL: [Known; 3] = [Known::Cifar10, Known::Cifar100, Known::FashionMnist];

    /// What `--data` calls it.
    pub(crate) fn name(self) -> &'static str {
        NAMES[self as usize + 1]
    }

    /// What people call it.
    pub(crate) fn title(self) -> &'static str {
        NAMED[self as usize + 1].title
    }

    pub(crate) fn from_name(name: &str) -> Option<Known> {
        Known::ALL.into_iter().find(|known| known.name() == name)
    }

    /// The folder (or web address without its last slash) that the files lie under.
    pub(crate) fn base_address(self) -> &'static str {
        match self {
            Known::Cifar10 | Known::Cifar100 => "https://www.cs.toronto.edu/~kriz",
            Known::FashionMnist => "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        }
    }

    /// The files to download, from `base` instead of the published address where given.
    pub(crate) fn downloads(self, base: Option<&str>) -> Vec<Download> {
        let base = base.unwrap_or(self.base_address()).trim_end_matches('/');
        // Name, size where it is known, SHA-256 where it is known, else MD5.
        let files: &[(&str, Option<u64>, &str)] = match self {
            Known::Cifar10 => &[(
                "cifar-10-binary.tar.gz",
                Some(170_052_171),
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            )],
            Known::Cifar100 => &[(
                "cifar-100-binary.tar.gz",
                Some(168_513_733),
                "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            )],
            Known::FashionMnist => &[
                ("train-images-idx3-ubyte.gz", Some(26_421_880), "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
                ("train-labels-idx1-ubyte.gz", None, "25c81989df183df01b3e8a0aad5dffbe"),
                ("t10k-images-idx3-ubyte.gz", None, "bef4ecab320f06d8554ea6380940ec79"),
                ("t10k-labels-idx1-ubyte.gz", None, "bb300cfdad3c16e7a12a480ee83cd310"),
            ],
        };
        let download = |&(name, size, digest): &(&str, Option<u64>, &str)| Download {
            url: format!("{base}/{name}"),
            file_name: name.to_owned(),
            size,
            checksum: match digest.len() {
                32 => Checksum::Md5(digest.to_owned()),
                _ => Checksum::Sha256(digest.to_owned()),
            },
        };
        files.iter().map(download).collect()
    }

    /// Mean and deviation that published networks were trained with. CIFAR-10's deviations are the customary ones
    /// (the mean of each image's deviation), not the deviation over all pixels, which is .2470 .2435 .2616.
    pub(crate) fn normalisation(self) -> Normalisation {
        match self {
            Known::Cifar10 => Normalisation::rgb([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
            Known::Cifar100 => Normalisation::rgb([0.5071, 0.4867, 0.4408], [0.2675, 0.2565, 0.2761]),
            Known::FashionMnist => Normalisation { mean: vec![0.2860], std: vec![0.3530] },
        }
    }
}

impl Normalisation {
    /// That of networks that saw ImageNet; for gray images that of its gray.
    pub(crate) fn imagenet(channels: usize) -> Self {
        Self::of_colours([0.485, 0.456, 0.406], [0.229, 0.224, 0.225], channels)
    }

    fn of_colours(mean: [f32; 3], std: [f32; 3], channels: usize) -> Self {
        match channels {
            3 => Self::rgb(mean, std),
            // The deviation of gray lies within those of the channels, which are nearly equal.
            _ => Self { mean: vec![luma(&mean)], std: vec![luma(&std)] },
        }
    }

    /// TensorFlow's of EfficientNets: about -1 … 1.
    pub(crate) fn tensorflow(channels: usize) -> Self {
        Self { mean: vec![127.0 / 255.0; channels], std: vec![128.0 / 255.0; channels] }
    }

    /// Caffe's of ImageNet: values from 0 to 255 without the mean of each colour.
    pub(crate) fn caffe(channels: usize) -> Self {
        Self::of_colours([123.0, 117.0, 104.0].map(|mean| mean / 255.0), [1.0 / 255.0; 3], channels)
    }

    /// chenyaofo's of CIFAR-100, which is not quite the customary one.
    pub(crate) fn cifar100_of_chenyaofo() -> Self {
        Self::rgb([0.5070, 0.4865, 0.4409], [0.2673, 0.2564, 0.2761])
    }
}

pub(crate) const CIFAR10_CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

pub(crate) const FASHION_MNIST_CLASSES: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

/// SHA-256 of Fashion-MNIST's 60,000 training labels, a byte each: MNIST's files have the same names and sizes.
pub(super) const FASHION_MNIST_LABELS: &str = "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7";
