//! What a file is when it is no network that is read: one table of kinds, each with what its tensors are called.
//!
//! A refusal says what the file holds and not only what is missing in it. A kind that becomes readable leaves the table;
//! nothing else names it.

use super::entry::Entry;

/// A kind of network, or of file.
struct Kind {
    /// With its article, to follow “the weights of”.
    name: &'static str,
    /// Any of these in a tensor's name: words between full stops, in this order one after another. `#` is a number, alone
    /// or at a word's end.
    names: &'static [&'static str],
    /// And what else must hold.
    and: fn(&Tensors<'_, '_>) -> bool,
}

const fn kind(name: &'static str, names: &'static [&'static str]) -> Kind {
    Kind { name, names, and: |_| true }
}

/// The first that fits counts: what is more particular comes first.
const KINDS: &[Kind] = &[
    kind("a LoRA adapter", &["lora_A", "lora_B", "lora_up", "lora_down"]),
    kind("a language model", &["embed_tokens", "wte", "word_embeddings", "tok_embeddings", "shared.weight"]),
    kind("a diffusion model", &["time_embed", "time_embedding", "model.diffusion_model"]),
    kind("a CLIP ResNet, with attention for its pool", &["attnpool", "head.pos_embed"]),
    kind("a Swin transformer or a MaxViT", &["relative_position_bias_table", "cpb_mlp"]),
    kind(
        "a vision transformer (ViT, DeiT, DINO, CLIP)",
        &["cls_token", "class_token", "class_embedding", "pos_embed", "positional_embedding", "position_embeddings"],
    ),
    kind(
        "a ConvNeXt",
        &["stages.#.blocks.#.conv_dw", "stages.#.#.dwconv", "features.#.#.layer_scale", "layer_scale_parameter"],
    ),
    kind(
        "a MobileNetV3, or an EfficientNet with squeeze-and-excitation (timm's names)",
        &["blocks.#.#.conv_dw", "blocks.#.#.conv_exp"],
    ),
    kind("an EfficientNet with squeeze-and-excitation", &["_blocks.#._depthwise_conv", "features.#.#.block.#"]),
    kind("a MobileNetV3", &["features.#.block.#"]),
    kind(
        "a MobileNetV2 with something added, of another width, or under other names",
        &["features.#.conv.#", "layers.#.conv3"],
    ),
    kind("a DenseNet", &["denseblock#", "dense#.#"]),
    kind("a SqueezeNet", &["features.#.squeeze"]),
    kind("an Inception network", &["Mixed_5b", "Mixed_5a", "mixed_5b", "mixed_5a", "Conv2d_1a_3x3", "conv2d_1a"]),
    kind("a GoogLeNet", &["inception3a", "inception_3a"]),
    kind("a ShuffleNet", &["stage#.#.branch#"]),
    kind("a RegNet", &["trunk_output", "s#.b#.conv#"]),
    kind("an MNASNet", &["layers.#.#.layers.#"]),
    kind("an Xception", &["block#.rep.#", "blocks.#.stack.conv#"]),
    Kind {
        name: "an AlexNet",
        names: &["features.0.weight"],
        and: |tensors| tensors.kernel("features.0.weight") == Some(11),
    },
    Kind {
        name: "a VGG network",
        names: &["features.0.weight"],
        and: |tensors| tensors.kernel("features.0.weight") == Some(3),
    },
    kind("a YOLO detector", &["model.#.conv.weight", "model.#.cv1", "model.#.dfl"]),
    kind("an MLP-Mixer", &["mlp_tokens", "token_mixing"]),
    kind("a network of timm's byobnet", &["stem.conv1.conv", "stages.#.#.conv1_1x1"]),
    kind("a U-Net", &["down#.maxpool_conv", "up#.up", "inc.double_conv"]),
    kind("a ResNet under Hugging Face's names", &["embedder.embedder.convolution"]),
    kind("a Big Transfer ResNet (preactivation, group normalisation)", &["block#.unit#", "root.conv"]),
    Kind {
        name: "a preactivation ResNet (ResNetV2)",
        names: &["stages.#.blocks.#.norm1", "stages.#.blocks.#.conv1"],
        and: |tensors| tensors.any("stages.#.blocks.#.norm2"),
    },
    Kind { name: "a preactivation ResNet", names: &["layer#.#.bn1"], and: |tensors| tensors.is_preactivated() },
    kind("a Wide ResNet for CIFAR", &["block#.layer.#.conv1"]),
    kind("a ResNeSt", &["layer#.#.conv2.fc1", "layer#.#.conv2.radix"]),
    kind("an SK-ResNet", &["layer#.#.conv2.paths", "layer#.#.conv1.paths"]),
    kind("a Res2Net", &["layer#.#.convs.#"]),
    kind("an SE-ResNet", &["layer#.#.se.fc1", "layer#.#.se.fc.#", "layer#.#.se_module", "layer#.#.se_block"]),
    kind("an ECA-ResNet", &["layer#.#.se.conv", "layer#.#.eca"]),
    kind(
        "a ResNet with attention in its blocks",
        &["layer#.#.se", "layer#.#.ca", "layer#.#.sa", "layer#.#.cbam", "layer#.#.attn", "layer#.#.attention"],
    ),
    Kind {
        name: "a ResNet-D with another stem (timm's ResNet-T and -S)",
        names: &["conv1.0", "conv1.#"],
        and: |tensors| tensors.averages(),
    },
    Kind {
        name: "a ResNet-C, with a deep stem",
        names: &["conv1.0", "stem"],
        and: |tensors| tensors.any("layer1.0.conv1"),
    },
    Kind {
        name: "a ResNet with averaged shortcuts",
        names: &["layer#.#.downsample.1"],
        and: |tensors| tensors.averages(),
    },
    Kind { name: "a Wide ResNet", names: &["layer#.#.conv3"], and: |tensors| tensors.is_wide() },
    Kind {
        name: "a ResNet with group normalisation",
        names: &["layer1.0.bn1"],
        and: |tensors| !tensors.any("layer1.0.bn1.running_var"),
    },
    kind("a quantised network", &["zero_point", "_packed_params"]),
    kind("a detector or a segmentation network without its backbone", &["roi_heads", "rpn.head"]),
];

/// Networks that nothing in their tensors tells from a plain ResNet, by what their names begin with.
const ALIKE: [(&str, &str); 2] = [
    ("resnetaa", "a ResNet that averages where a plain one strides (timm's resnetaa)"),
    ("resnetblur", "a ResNet that blurs where a plain one strides (timm's resnetblur)"),
];

/// What kind of network the tensors are of, if it is one of the table.
pub(crate) fn of(entries: &[Entry<'_>]) -> Option<&'static str> {
    let tensors = Tensors(entries);
    KINDS
        .iter()
        .find(|kind| kind.names.iter().any(|name| tensors.any(name)) && (kind.and)(&tensors))
        .map(|kind| kind.name)
}

/// What a file's name or the name of its network says that its tensors do not.
pub(crate) fn by_name(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    // Hugging Face's cache has the network's name in that of a folder: `models--timm--resnetaa50.a1h_in1k`.
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    words.find_map(|word| ALIKE.iter().find(|(start, _)| word.starts_with(start)).map(|(_, kind)| *kind))
}

struct Tensors<'e, 'a>(&'e [Entry<'a>]);

impl<'e, 'a> Tensors<'e, 'a> {
    fn matching(&self, pattern: &'static str) -> impl Iterator<Item = &'e Entry<'a>> {
        self.0.iter().filter(move |entry| matches(&entry.name, pattern))
    }

    fn any(&self, pattern: &'static str) -> bool {
        self.matching(pattern).next().is_some()
    }

    /// Side of the convolution whose weight has this name.
    fn kernel(&self, pattern: &'static str) -> Option<usize> {
        self.matching(pattern).find(|entry| entry.shape.len() == 4).map(|entry| entry.shape[3])
    }

    /// Whether shortcuts have an average pool before their convolution, which moves its number.
    fn averages(&self) -> bool {
        self.matching("downsample.1.weight").any(|entry| entry.shape.len() == 4)
    }

    /// Whether a normalisation stands before its convolution: it has as many channels as go in.
    fn is_preactivated(&self) -> bool {
        let mut convs = self.matching("layer#.0.conv1.weight");
        convs.any(|conv| {
            let Some(block) = conv.name.strip_suffix("conv1.weight") else { return false };
            let bn = self.0.iter().find(|entry| entry.name.strip_prefix(block) == Some("bn1.weight"));
            bn.is_some_and(|bn| conv.shape.len() == 4 && bn.shape == [conv.shape[1]] && conv.shape[0] != conv.shape[1])
        })
    }

    /// Whether a bottleneck widens to less than four times.
    fn is_wide(&self) -> bool {
        let mut convs = self.matching("layer#.#.conv3.weight").filter(|entry| entry.shape.len() == 4);
        convs.any(|conv| conv.shape[0] < 4 * conv.shape[1])
    }
}

/// Whether some words of a name, one after another, are those of a pattern.
fn matches(name: &str, pattern: &str) -> bool {
    let words: Vec<&str> = name.split('.').collect();
    let pattern: Vec<&str> = pattern.split('.').collect();
    words
        .windows(pattern.len())
        .any(|words| words.iter().zip(&pattern).all(|(word, pattern)| word_matches(word, pattern)))
}

fn word_matches(word: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('#') {
        Some(start) => word
            .strip_prefix(start)
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())),
        None => word == pattern,
    }
}
