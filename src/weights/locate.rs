//! Where in a file's tree of names a network hangs.

use super::{
    names::{Meaning, Traits},
    report::COUNTER,
};

/// Words that wrappers put into names, before them or at a layer: `DataParallel`, `torch.compile`, FSDP and activation
/// checkpoints.
pub(crate) const WRAPPERS: [&str; 4] = ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// The longest name within a network, in words: `layer1.0.down_sample.features.1.moving_variance`.
const LONGEST_NAME: usize = 6;

/// Words that begin the optimiser's copies of the tensors in a MindSpore checkpoint.
const OPTIMISER: [&str; 8] =
    ["moments.", "moment1.", "moment2.", "accum.", "accumulation.", "stat.", "velocity.", "momentum."];

/// Where in a file's tree a tensor stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Located {
    /// Under these words of a larger network, none or with a full stop at the end, it is this tensor of a ResNet.
    In { prefix: String, rest: String },
    /// Nothing that a network needs, for this reason.
    Ignored(&'static str),
    /// Its name is none of a ResNet's.
    Unknown,
}

/// Takes the name of a tensor apart: whatever comes before a ResNet's names is the place of the network in the file.
pub(crate) fn locate(name: &str) -> Located {
    if OPTIMISER.iter().any(|word| name.starts_with(word)) {
        return Located::Ignored("belongs to the optimiser");
    }
    let words: Vec<&str> = name.split('.').collect();
    if words.last() == Some(&"num_batches_tracked") {
        return Located::Ignored(COUNTER);
    }
    let kept: Vec<usize> = (0..words.len()).filter(|&at| !WRAPPERS.contains(&words[at])).collect();
    for start in kept.len().saturating_sub(LONGEST_NAME)..kept.len() {
        // A part that is added to a block (`layer1.0.se.fc`) is no network of its own.
        if words[..kept[start]].iter().any(|word| is_stage(word)) {
            break;
        }
        let rest: Vec<&str> = kept[start..].iter().map(|&at| words[at]).collect();
        let rest = rest.join(".");
        if Traits::default().read(&rest) != Meaning::Unknown {
            let prefix = words[..kept[start]].iter().map(|word| format!("{word}.")).collect();
            return Located::In { prefix, rest };
        }
    }
    Located::Unknown
}

/// Whether a word is that of a stage of residual blocks, such as `layer1`.
pub(crate) fn is_stage(word: &str) -> bool {
    word.strip_prefix("layer").is_some_and(|number| number.parse::<u8>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_a_networks_names_is_its_place_and_wrappers_within_are_left_out() {
        for (name, prefix, rest) in [
            ("conv1.weight", "", "conv1.weight"),
            ("self.cnn.layer1.0.bn2.bias", "self.cnn.", "layer1.0.bn2.bias"),
            ("module.encoder_q.fc.2.bias", "module.encoder_q.", "fc.2.bias"),
            ("0.layer4.1.conv2.weight", "0.", "layer4.1.conv2.weight"),
            ("net.layer1._orig_mod.0.module.conv1.weight", "net.", "layer1.0.conv1.weight"),
            ("_orig_mod.layer2.0.downsample.1.running_mean", "_orig_mod.", "layer2.0.downsample.1.running_mean"),
            (
                "a.layer1.0.down_sample.features.1.moving_variance",
                "a.",
                "layer1.0.down_sample.features.1.moving_variance",
            ),
            ("model.head.fc.weight", "model.", "head.fc.weight"),
            ("classifier.6.weight", "", "classifier.6.weight"),
        ] {
            let expected = Located::In { prefix: prefix.into(), rest: rest.into() };
            assert_eq!(locate(name), expected, "{name}");
        }
        for name in ["layer1.0.se.fc.weight", "layer1.0.attention.conv1.weight", "embed.weight", "fc.x.weight"] {
            assert_eq!(locate(name), Located::Unknown, "{name}");
        }
    }

    #[test]
    fn what_no_network_needs_is_left() {
        for name in ["moments.layer1.0.conv1.weight", "module.bn1.num_batches_tracked", "accum.fc.weight"] {
            assert!(matches!(locate(name), Located::Ignored(_)), "{name}");
        }
    }
}
