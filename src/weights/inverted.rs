//! Names of networks of inverted residuals that mean something only beside each other: which of a block's
//! normalisations is whose depends on whether it widens, and timm numbers blocks within stages.
//!
//! Read are timm's names (`blocks.1.0.conv_pwl`) and those of lukemelas' EfficientNets (`_blocks.1._project_conv`);
//! they become torchvision's of MobileNetV2 (`features.2.conv.2`). So do those of the MobileNetV2 from before
//! torchvision's, which numbers all layers of a block, activations too (`features.2.conv.6`). A network with anything
//! else in its blocks keeps its names, and so is not taken for one without.

use std::{borrow::Cow, collections::BTreeMap};

/// What somebody calls the layers of such a network.
struct Words {
    /// The first convolution, its normalisation, and those after the blocks.
    stem: [&'static str; 2],
    head: [&'static str; 2],
    /// The word before a block's number or numbers.
    blocks: &'static str,
    /// Whether blocks are numbered within stages.
    staged: bool,
    /// Within a block that widens.
    wide: [&'static str; 6],
    /// Within one that does not.
    narrow: [&'static str; 4],
    classifier: [&'static str; 2],
}

const WORDS: [Words; 2] = [
    Words {
        stem: ["conv_stem", "bn1"],
        head: ["conv_head", "bn2"],
        blocks: "blocks",
        staged: true,
        wide: ["conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3"],
        narrow: ["conv_dw", "bn1", "conv_pw", "bn2"],
        classifier: ["classifier", "fc"],
    },
    Words {
        stem: ["_conv_stem", "_bn0"],
        head: ["_conv_head", "_bn1"],
        blocks: "_blocks",
        staged: false,
        wide: ["_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2"],
        narrow: ["_depthwise_conv", "_bn1", "_project_conv", "_bn2"],
        classifier: ["_fc", "fc"],
    },
];

/// torchvision's places in a block, in the order of the words above.
const WIDE: [&str; 6] = ["0.0", "0.1", "1.0", "1.1", "2", "3"];
const NARROW: [&str; 4] = ["0.0", "0.1", "1", "2"];
/// The same places where every layer of a block has a number.
const NUMBERS: [&str; 6] = ["0", "1", "3", "4", "6", "7"];

/// A name within a block: its numbers, the layer, and the leaf.
struct Inner<'n> {
    block: [usize; 2],
    layer: &'n str,
    leaf: &'n str,
}

impl Words {
    fn inner<'n>(&self, name: &'n str) -> Option<Inner<'n>> {
        let rest = name.strip_prefix(self.blocks)?.strip_prefix('.')?;
        let (rest, leaf) = rest.rsplit_once('.')?;
        let (numbers, layer) = rest.rsplit_once('.')?;
        let block = match (self.staged, numbers.split_once('.')) {
            (true, Some((stage, index))) => [stage.parse().ok()?, index.parse().ok()?],
            (false, None) => [0, numbers.parse().ok()?],
            _ => return None,
        };
        Some(Inner { block, layer, leaf })
    }

    /// torchvision's names of all of these, if it is such a network.
    fn translate(&self, names: &[&str]) -> Option<Vec<String>> {
        // The layers of each block, in the order of the blocks.
        let mut blocks: BTreeMap<[usize; 2], Vec<&str>> = BTreeMap::new();
        for name in names.iter().filter(|name| name.split('.').next() == Some(self.blocks)) {
            let Inner { block, layer, .. } = self.inner(name)?;
            blocks.entry(block).or_default().push(layer);
        }
        let numbers: BTreeMap<[usize; 2], usize> = blocks.keys().copied().zip(1..).collect();
        let layers: Vec<(&str, String)> = [
            (self.stem[0], "features.0.0".to_owned()),
            (self.stem[1], "features.0.1".to_owned()),
            (self.head[0], format!("features.{}.0", blocks.len() + 1)),
            (self.head[1], format!("features.{}.1", blocks.len() + 1)),
            (self.classifier[0], self.classifier[1].to_owned()),
        ]
        .into();
        let translated = |name: &&str| {
            if let Some(Inner { block, layer, leaf }) = self.inner(name) {
                let only_wide = |layer: &&str| self.wide.contains(layer) && !self.narrow.contains(layer);
                let wide = blocks[&block].iter().any(only_wide);
                let (words, places) = if wide { (&self.wide[..], &WIDE[..]) } else { (&self.narrow[..], &NARROW[..]) };
                let (_, place) = words.iter().zip(places).find(|(word, _)| **word == layer)?;
                return Some(format!("features.{}.conv.{place}.{leaf}", numbers[&block]));
            }
            let (layer, leaf) = name.rsplit_once('.')?;
            let place = layers.iter().find(|(word, _)| *word == layer).map(|(_, place)| place.as_str());
            Some(format!("{}.{leaf}", place.unwrap_or(layer)))
        };
        names.iter().map(translated).collect()
    }
}

/// torchvision's names of a MobileNetV2 whose layers are numbered, if these are the names of one.
fn translate_numbers(names: &[&str]) -> Option<Vec<String>> {
    let translated = |name: &&str| {
        let ["features", block, "conv", number, leaf] = name.split('.').collect::<Vec<_>>()[..] else {
            return Some((*name).to_owned());
        };
        let wide = names.contains(&format!("features.{block}.conv.6.weight").as_str());
        let at = NUMBERS.iter().position(|other| *other == number)?;
        let place = if wide { WIDE.get(at) } else { NARROW.get(at) }?;
        Some(format!("features.{block}.conv.{place}.{leaf}"))
    };
    names.iter().map(translated).collect()
}

/// Gives the layers of a network of inverted residuals torchvision's names, wherever it hangs. Says whether there is
/// one.
pub(super) fn rename(names: &mut [Cow<'_, str>]) -> bool {
    let words = |words: &Words, names: &mut _| {
        rename_by(&format!("{}.weight", words.stem[0]), names, |names| words.translate(names))
    };
    rename_by("features.1.conv.3.weight", names, translate_numbers) || WORDS.iter().any(|of| words(of, names))
}

/// Translates all names of the network in which one ends so.
fn rename_by(sign: &str, names: &mut [Cow<'_, str>], translate: impl Fn(&[&str]) -> Option<Vec<String>>) -> bool {
    let prefix = names.iter().find_map(|name| {
        let prefix = name.strip_suffix(sign)?;
        (prefix.is_empty() || prefix.ends_with('.')).then(|| prefix.to_owned())
    });
    let Some(prefix) = prefix else { return false };
    let own: Vec<usize> = (0..names.len()).filter(|&i| names[i].starts_with(&prefix)).collect();
    let inner: Vec<&str> = own.iter().map(|&i| &names[i][prefix.len()..]).collect();
    let Some(translated) = translate(&inner) else { return false };
    for (i, name) in own.into_iter().zip(translated) {
        names[i] = Cow::Owned(format!("{prefix}{name}"));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(names: &[&str]) -> Option<Vec<String>> {
        let mut names: Vec<Cow<'_, str>> = names.iter().map(|&name| Cow::Borrowed(name)).collect();
        rename(&mut names).then(|| names.into_iter().map(Cow::into_owned).collect())
    }

    #[test]
    fn a_block_is_told_by_what_else_is_in_it() {
        let timms = [
            "model.conv_stem.weight",
            "model.bn1.running_mean",
            "model.blocks.0.0.conv_dw.weight",
            "model.blocks.0.0.bn2.bias",
            "model.blocks.0.0.conv_pw.weight",
            "model.blocks.1.0.conv_pw.weight",
            "model.blocks.1.0.bn2.bias",
            "model.blocks.1.0.conv_pwl.weight",
            "model.blocks.1.1.conv_pwl.weight",
            "model.conv_head.weight",
            "model.bn2.num_batches_tracked",
            "model.classifier.bias",
            "epoch",
        ];
        let torchvisions = [
            "model.features.0.0.weight",
            "model.features.0.1.running_mean",
            "model.features.1.conv.0.0.weight",
            "model.features.1.conv.2.bias",
            "model.features.1.conv.1.weight",
            "model.features.2.conv.0.0.weight",
            "model.features.2.conv.1.1.bias",
            "model.features.2.conv.2.weight",
            "model.features.3.conv.2.weight",
            "model.features.4.0.weight",
            "model.features.4.1.num_batches_tracked",
            "model.fc.bias",
            "epoch",
        ];
        assert_eq!(renamed(&timms).as_deref(), Some(&torchvisions.map(str::to_owned)[..]));
        let lukemelas =
            ["_conv_stem.weight", "_bn0.bias", "_blocks.0._bn1.bias", "_blocks.0._project_conv.weight", "_fc.bias"];
        let torchvisions = [
            "features.0.0.weight",
            "features.0.1.bias",
            "features.1.conv.0.1.bias",
            "features.1.conv.1.weight",
            "fc.bias",
        ];
        assert_eq!(renamed(&lukemelas).as_deref(), Some(&torchvisions.map(str::to_owned)[..]));
    }

    #[test]
    fn layers_that_are_numbered_through_are_known() {
        let numbered = [
            "0.features.0.0.weight",
            "0.features.1.conv.3.weight",
            "0.features.2.conv.3.weight",
            "0.features.2.conv.6.weight",
        ];
        let torchvisions = [
            "0.features.0.0.weight",
            "0.features.1.conv.1.weight",
            "0.features.2.conv.1.0.weight",
            "0.features.2.conv.2.weight",
        ];
        assert_eq!(renamed(&numbered).as_deref(), Some(&torchvisions.map(str::to_owned)[..]));
    }

    #[test]
    fn blocks_with_more_in_them_keep_their_names() {
        for stranger in ["blocks.1.0.se.conv_reduce.weight", "blocks.1.0.conv_exp.weight", "blocks.x.0.conv_pw.weight"]
        {
            assert_eq!(renamed(&["conv_stem.weight", "blocks.1.0.conv_pwl.weight", stranger]), None, "{stranger}");
        }
        assert_eq!(renamed(&["conv1.weight", "layer1.0.conv1.weight"]), None);
    }
}
