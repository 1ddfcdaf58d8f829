//! The names that tensors go by in the ResNet files of the world, and torchvision's name for each.
//!
//! All families spell the same tree: a stem, stages of blocks of convolutions and normalisations, a head. One table of
//! words a place in the tree therefore reads all of them, and the words tell which family wrote a file.

use serde::Serialize;

/// Who names tensors so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Family {
    /// torchvision, timm, chenyaofo's CIFAR networks, and Kindling itself.
    Torchvision,
    Kuangliu,
    Mindvision,
    #[strum(serialize = "MindCV")]
    Mindcv,
    /// The ResNet-50 tutorial of MindSpore.
    #[strum(serialize = "MindSpore tutorial")]
    MindsporeTutorial,
    /// The official model zoo of MindSpore.
    #[strum(serialize = "MindSpore model zoo")]
    MindsporeZoo,
    /// MindSpore's words for normalisation, but nobody's tree in particular.
    #[strum(serialize = "MindSpore")]
    Mindspore,
}

impl Family {
    /// Whether MindSpore made the network, so that the file does not say how it pads.
    pub(crate) fn is_mindspore(self) -> bool {
        !matches!(self, Family::Torchvision | Family::Kuangliu)
    }
}

/// Words for the head, alone or one in another, perhaps with a number: `fc`, `head.dense`, `classifier.6`, `head.fc`.
const HEADS: [&str; 9] =
    ["fc", "linear", "classifier", "head", "dense", "end_point", "last_linear", "logits", "output"];

/// What a name within a network stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// These tensors of torchvision's; several where a network shares one normalisation between two convolutions.
    Tensors(Vec<String>),
    /// A part of the head: a layer of it by its name in the file, and which of the layer's tensors.
    Head { layer: String, leaf: String },
    /// None of the words known here.
    Unknown,
}

/// What the names of a file had in common, counted while they were read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traits {
    gamma: bool,
    features: bool,
    dense_head: bool,
    shortcut: bool,
    linear: bool,
    classifier: bool,
    end_point: bool,
    down_sample: bool,
    down_sample_layer: bool,
    norm: bool,
}

impl Traits {
    /// The family that writes all of this.
    pub(crate) fn family(&self) -> Family {
        if self.down_sample_layer || self.end_point {
            Family::MindsporeZoo
        } else if self.dense_head || self.features {
            Family::Mindvision
        } else if self.norm {
            Family::MindsporeTutorial
        } else if self.gamma || self.down_sample {
            if self.classifier { Family::Mindcv } else { Family::Mindspore }
        } else if self.shortcut || self.linear {
            Family::Kuangliu
        } else {
            Family::Torchvision
        }
    }

    /// Reads one name of a network, without what stands before it in the file.
    pub(crate) fn read(&mut self, name: &str) -> Meaning {
        let parts: Vec<&str> = name.split('.').collect();
        let Some((&leaf, place)) = parts.split_last() else { return Meaning::Unknown };
        if self.is_head(place) {
            return match leaf {
                "weight" | "bias" | "running_mean" | "running_var" => {
                    Meaning::Head { layer: place.join("."), leaf: leaf.to_owned() }
                }
                _ => Meaning::Unknown,
            };
        }
        let Some(places) = self.place(place) else { return Meaning::Unknown };
        let mut names = Vec::with_capacity(places.len());
        for Place { name, is_norm } in places {
            let Some(leaf) = self.leaf(leaf, is_norm) else { return Meaning::Unknown };
            names.push(format!("{name}.{leaf}"));
        }
        Meaning::Tensors(names)
    }

    fn leaf(&mut self, leaf: &str, is_norm: bool) -> Option<&'static str> {
        Some(match (leaf, is_norm) {
            ("weight", _) => "weight",
            ("bias", _) => "bias",
            ("running_mean", true) => "running_mean",
            ("running_var", true) => "running_var",
            ("gamma" | "beta" | "moving_mean" | "moving_variance", true) => {
                self.gamma = true;
                match leaf {
                    "gamma" => "weight",
                    "beta" => "bias",
                    "moving_mean" => "running_mean",
                    _ => "running_var",
                }
            }
            _ => return None,
        })
    }

    /// Whether a place is one in the head: one of its words, then more of them or numbers.
    fn is_head(&mut self, place: &[&str]) -> bool {
        match place {
            ["linear"] => self.linear = true,
            ["classifier"] => self.classifier = true,
            ["end_point"] => self.end_point = true,
            ["head", "dense"] => self.dense_head = true,
            [first, inner @ ..] => {
                let number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
                return HEADS.contains(first)
                    && inner.len() <= 2
                    && inner.iter().all(|word| HEADS.contains(word) || number(word));
            }
            [] => return false,
        }
        true
    }

    fn place(&mut self, place: &[&str]) -> Option<Vec<Place>> {
        Some(match place {
            [layer, index, inner @ ..] if layer.starts_with("layer") => {
                let stage: u8 = layer["layer".len()..].parse().ok().filter(|stage| (1..=9).contains(stage))?;
                let index: u16 = index.parse().ok()?;
                self.inner(&format!("layer{stage}.{index}."), inner)?
            }
            ["features", index] if index.parse::<u16>().is_ok() => vec![Place::norm(format!("features.{index}"))],
            ["features", index, part @ ("0" | "1")] if index.parse::<u16>().is_ok() => {
                let name = format!("features.{index}.{part}");
                vec![if *part == "0" { Place::other(name) } else { Place::norm(name) }]
            }
            ["features", index, "conv", part @ ("0" | "1"), kind @ ("0" | "1")] if index.parse::<u16>().is_ok() => {
                let name = format!("features.{index}.conv.{part}.{kind}");
                vec![if *kind == "0" { Place::other(name) } else { Place::norm(name) }]
            }
            ["features", index, "conv", part @ ("1" | "2" | "3")] if index.parse::<u16>().is_ok() => {
                vec![Place::norm(format!("features.{index}.conv.{part}"))]
            }
            // The stem of a ResNet-D.
            ["conv1", part @ ("0" | "3" | "6")] => vec![Place::other(format!("conv1.{part}"))],
            ["conv1", part @ ("1" | "4")] => vec![Place::norm(format!("conv1.{part}"))],
            // The stem is spelled like the first convolution of a block.
            stem => self.inner("", stem)?,
        })
    }

    /// A convolution, normalisation or shortcut, under the name of its block with a full stop (the stem: nothing).
    fn inner(&mut self, block: &str, place: &[&str]) -> Option<Vec<Place>> {
        let numbered = |word: &str, stem: &str| {
            let k: u8 = word.strip_prefix(stem)?.parse().ok()?;
            let most = if block.is_empty() { 1 } else { 3 };
            (1..=most).contains(&k).then_some(k)
        };
        Some(match *place {
            [word] if numbered(word, "conv").is_some() => vec![Place::other(format!("{block}{word}"))],
            [word] if numbered(word, "bn").is_some() => vec![Place::norm(format!("{block}{word}"))],
            [word] if numbered(word, "norm").is_some() => {
                self.norm = true;
                vec![Place::norm(format!("{block}bn{}", &word["norm".len()..]))]
            }
            ["norm"] => {
                self.norm = true;
                let count = if block.is_empty() { 1 } else { 2 };
                (1..=count).map(|k| Place::norm(format!("{block}bn{k}"))).collect()
            }
            [word, "features", part @ ("0" | "1")] if numbered(word, "conv").is_some() => {
                self.features = true;
                let k = &word["conv".len()..];
                vec![if part == "0" {
                    Place::other(format!("{block}conv{k}"))
                } else {
                    Place::norm(format!("{block}bn{k}"))
                }]
            }
            // Where an average comes first, the convolution is the second.
            ["downsample", "2"] if !block.is_empty() => vec![Place::norm(format!("{block}downsample.2"))],
            [word, part @ ("0" | "1")] | [word, "features", part @ ("0" | "1")] if !block.is_empty() => {
                match word {
                    "downsample" => {}
                    "shortcut" => self.shortcut = true,
                    "down_sample" => self.down_sample = true,
                    "down_sample_layer" => self.down_sample_layer = true,
                    _ => return None,
                }
                self.features |= place.len() == 3;
                let name = format!("{block}downsample.{part}");
                vec![if part == "0" { Place::other(name) } else { Place::norm(name) }]
            }
            _ => return None,
        })
    }
}

/// A layer by torchvision's name.
struct Place {
    name: String,
    is_norm: bool,
}

impl Place {
    fn norm(name: impl Into<String>) -> Self {
        Self { name: name.into(), is_norm: true }
    }

    fn other(name: impl Into<String>) -> Self {
        Self { name: name.into(), is_norm: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::locate::{Located, locate};

    #[test]
    fn the_words_of_every_family_become_torchvisions() {
        use Family::*;
        let table: &[(Family, &[(&str, &str)])] = &[
            (
                Torchvision,
                &[
                    ("conv1.weight", "conv1.weight"),
                    ("layer3.0.downsample.1.running_var", "layer3.0.downsample.1.running_var"),
                    ("conv1.4.running_var", "conv1.4.running_var"),
                    ("layer3.0.downsample.2.bias", "layer3.0.downsample.2.bias"),
                ],
            ),
            (
                Kuangliu,
                &[
                    ("module.bn1.weight", "bn1.weight"),
                    ("module.layer2.0.shortcut.0.weight", "layer2.0.downsample.0.weight"),
                    ("linear.weight", ""),
                ],
            ),
            (
                Mindvision,
                &[
                    ("backbone.conv1.features.0.weight", "conv1.weight"),
                    ("backbone.conv1.features.1.gamma", "bn1.weight"),
                    ("backbone.layer1.0.conv2.features.1.moving_variance", "layer1.0.bn2.running_var"),
                    ("backbone.layer4.0.down_sample.features.0.weight", "layer4.0.downsample.0.weight"),
                    ("head.dense.bias", ""),
                ],
            ),
            (
                Mindcv,
                &[
                    ("bn1.beta", "bn1.bias"),
                    ("layer2.0.down_sample.1.moving_mean", "layer2.0.downsample.1.running_mean"),
                    ("classifier.weight", ""),
                ],
            ),
            (
                MindsporeTutorial,
                &[
                    ("norm.gamma", "bn1.weight"),
                    ("layer1.2.norm3.beta", "layer1.2.bn3.bias"),
                    ("layer1.0.down_sample.0.weight", "layer1.0.downsample.0.weight"),
                    ("fc.weight", ""),
                ],
            ),
            (
                MindsporeZoo,
                &[
                    ("bn1.gamma", "bn1.weight"),
                    ("layer1.0.down_sample_layer.1.gamma", "layer1.0.downsample.1.weight"),
                    ("end_point.weight", ""),
                ],
            ),
        ];
        for (family, names) in table {
            let mut traits = Traits::default();
            for (name, expected) in *names {
                let Located::In { rest, .. } = locate(name) else { panic!("{name}") };
                match traits.read(&rest) {
                    Meaning::Head { .. } => assert_eq!(*expected, "", "{name}"),
                    meaning => assert_eq!(meaning, Meaning::Tensors(vec![(*expected).to_owned()]), "{name}"),
                }
            }
            assert_eq!(traits.family(), *family);
        }
    }

    #[test]
    fn a_normalisation_shared_by_two_convolutions_goes_to_both() {
        let both = vec!["layer1.0.bn1.weight".to_owned(), "layer1.0.bn2.weight".to_owned()];
        assert_eq!(Traits::default().read("layer1.0.norm.gamma"), Meaning::Tensors(both));
    }

    #[test]
    fn other_names_are_none_of_a_networks() {
        for name in [
            "",
            ".",
            "global_step",
            "learning_rate",
            "conv9.weight",
            "layer1.conv1.weight",
            "layer99999.0.conv1.weight",
            "layer1.0.conv1",
            "fc",
            "fc.gamma",
            "layer.0.conv1.weight",
        ] {
            assert_eq!(Traits::default().read(name), Meaning::Unknown, "{name}");
        }
    }
}
