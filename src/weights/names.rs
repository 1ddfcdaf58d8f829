//! The names that tensors go by in the ResNet files of the world, and torchvision's name for each.
//!
//! All families spell the same tree: a stem, stages of blocks of convolutions and normalisations, a head. One table of
//! words a place in the tree therefore reads all of them, and the words tell which family wrote a file.

use serde::Serialize;
use std::fmt;

/// Who names tensors so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// torchvision, timm, chenyaofo's CIFAR networks, and Kindling itself.
    Torchvision,
    Kuangliu,
    Mindvision,
    Mindcv,
    /// The ResNet-50 tutorial of MindSpore.
    MindsporeTutorial,
    /// The official model zoo of MindSpore.
    MindsporeZoo,
    /// MindSpore's words for normalisation, but nobody's tree in particular.
    Mindspore,
}

impl Family {
    /// Whether MindSpore made the network, so that the file does not say how it pads.
    pub fn is_mindspore(self) -> bool {
        !matches!(self, Family::Torchvision | Family::Kuangliu)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Torchvision => "torchvision",
            Family::Kuangliu => "kuangliu",
            Family::Mindvision => "mindvision",
            Family::Mindcv => "MindCV",
            Family::MindsporeTutorial => "MindSpore tutorial",
            Family::MindsporeZoo => "MindSpore model zoo",
            Family::Mindspore => "MindSpore",
        })
    }
}

/// Wrappers that put a word before every name, and places where a network may hang in a larger one.
const PREFIXES: [&str; 8] = ["module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "encoder.", "resnet."];

/// Words that begin the optimiser's copies of the tensors in a MindSpore checkpoint.
const OPTIMISER: [&str; 8] =
    ["moments.", "moment1.", "moment2.", "accum.", "accumulation.", "stat.", "velocity.", "momentum."];

/// What a name in a file stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// These tensors of torchvision's; several where a network shares one normalisation between two convolutions.
    Tensors(Vec<String>),
    /// Nothing that a network needs, for this reason.
    Ignored(&'static str),
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
    pub fn family(&self) -> Family {
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

    /// Reads one name of a file.
    pub fn read(&mut self, name: &str) -> Meaning {
        if OPTIMISER.iter().any(|word| name.starts_with(word)) {
            return Meaning::Ignored("belongs to the optimiser");
        }
        let mut rest = name;
        while let Some(shorter) = PREFIXES.iter().find_map(|prefix| rest.strip_prefix(prefix)) {
            rest = shorter;
        }
        let parts: Vec<&str> = rest.split('.').collect();
        let Some((&leaf, place)) = parts.split_last() else { return Meaning::Unknown };
        if leaf == "num_batches_tracked" {
            return Meaning::Ignored(super::import::COUNTER);
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

    fn place(&mut self, place: &[&str]) -> Option<Vec<Place>> {
        Some(match place {
            ["fc"] | ["head", "fc"] => vec![Place::other("fc")],
            ["linear"] => {
                self.linear = true;
                vec![Place::other("fc")]
            }
            ["classifier"] => {
                self.classifier = true;
                vec![Place::other("fc")]
            }
            ["end_point"] => {
                self.end_point = true;
                vec![Place::other("fc")]
            }
            ["head", "dense"] => {
                self.dense_head = true;
                vec![Place::other("fc")]
            }
            [layer, index, inner @ ..] if layer.starts_with("layer") => {
                let stage: u8 = layer["layer".len()..].parse().ok().filter(|stage| (1..=9).contains(stage))?;
                let index: u16 = index.parse().ok()?;
                self.inner(&format!("layer{stage}.{index}."), inner)?
            }
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

    #[test]
    fn the_words_of_every_family_become_torchvisions() {
        use Family::*;
        let table: &[(Family, &[(&str, &str)])] = &[
            (
                Torchvision,
                &[
                    ("conv1.weight", "conv1.weight"),
                    ("layer3.0.downsample.1.running_var", "layer3.0.downsample.1.running_var"),
                    ("fc.bias", "fc.bias"),
                ],
            ),
            (
                Kuangliu,
                &[
                    ("module.bn1.weight", "bn1.weight"),
                    ("module.layer2.0.shortcut.0.weight", "layer2.0.downsample.0.weight"),
                    ("linear.weight", "fc.weight"),
                ],
            ),
            (
                Mindvision,
                &[
                    ("backbone.conv1.features.0.weight", "conv1.weight"),
                    ("backbone.conv1.features.1.gamma", "bn1.weight"),
                    ("backbone.layer1.0.conv2.features.1.moving_variance", "layer1.0.bn2.running_var"),
                    ("backbone.layer4.0.down_sample.features.0.weight", "layer4.0.downsample.0.weight"),
                    ("head.dense.bias", "fc.bias"),
                ],
            ),
            (
                Mindcv,
                &[
                    ("bn1.beta", "bn1.bias"),
                    ("layer2.0.down_sample.1.moving_mean", "layer2.0.downsample.1.running_mean"),
                    ("classifier.weight", "fc.weight"),
                ],
            ),
            (
                MindsporeTutorial,
                &[
                    ("norm.gamma", "bn1.weight"),
                    ("layer1.2.norm3.beta", "layer1.2.bn3.bias"),
                    ("layer1.0.down_sample.0.weight", "layer1.0.downsample.0.weight"),
                    ("fc.weight", "fc.weight"),
                ],
            ),
            (
                MindsporeZoo,
                &[
                    ("bn1.gamma", "bn1.weight"),
                    ("layer1.0.down_sample_layer.1.gamma", "layer1.0.downsample.1.weight"),
                    ("end_point.weight", "fc.weight"),
                ],
            ),
        ];
        for (family, names) in table {
            let mut traits = Traits::default();
            for (name, expected) in *names {
                assert_eq!(traits.read(name), Meaning::Tensors(vec![(*expected).to_owned()]), "{name}");
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
    fn what_no_network_needs_is_left() {
        let mut traits = Traits::default();
        for name in ["moments.layer1.0.conv1.weight", "module.bn1.num_batches_tracked", "accum.fc.weight"] {
            assert!(matches!(traits.read(name), Meaning::Ignored(_)), "{name}");
        }
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
            assert_eq!(traits.read(name), Meaning::Unknown, "{name}");
        }
    }
}
