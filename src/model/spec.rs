//! What a network is, without a single tensor: the residual-network family as a specification that can be written
//! down, compared, counted and recognised from a weight file.
//!
//! He et al., "Deep Residual Learning for Image Recognition", <https://arxiv.org/abs/1512.03385>: section 3.3 and
//! table 1 for the ImageNet family, section 4.2 for the CIFAR family. Like torchvision, the stride of a bottleneck
//! sits on its 3x3 convolution, and every shortcut that changes shape is a 1x1 projection.

pub use crate::ops::Padding;

use crate::text;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The residual block that all stages of a network are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Block {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3, 1x1 convolutions; the output has four times the width.
    Bottleneck,
}

impl Block {
    /// Output channels for each channel of width.
    pub fn expansion(self) -> usize {
        match self {
            Block::Basic => 1,
            Block::Bottleneck => 4,
        }
    }
}

/// The layers before the first stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stem {
    /// 7x7 convolution with stride 2, then a 3x3 max-pool with stride 2: for images of about 224 pixels.
    Imagenet,
    /// 3x3 convolution with stride 1 and no pool: for images of about 32 pixels.
    Cifar,
}

/// A residual network for `classes` classes of images with `channels` channels.
///
/// [`ModelSpec::validate`] holds for every value that the constructors and the parser return.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// Name of the architecture, such as `resnet18` or `custom`.
    pub architecture: String,
    pub block: Block,
    pub stem: Stem,
    /// Blocks in each stage.
    pub stages: Vec<usize>,
    /// Width of each stage, before a bottleneck's expansion.
    pub widths: Vec<usize>,
    /// Input channels: 1 or 3.
    pub channels: usize,
    pub classes: usize,
    #[serde(default)]
    pub padding: Padding,
    /// Added to the variance in every batch normalisation.
    #[serde(default = "default_bn_eps")]
    pub bn_eps: f64,
}

fn default_bn_eps() -> f64 {
    1e-5
}

/// What a tensor of a network is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    ConvWeight,
    BnWeight,
    BnBias,
    BnMean,
    BnVar,
    FcWeight,
    FcBias,
}

impl Role {
    /// Whether the optimiser changes it (running statistics follow the data instead).
    pub fn is_parameter(self) -> bool {
        !matches!(self, Role::BnMean | Role::BnVar)
    }
}

/// Name (torchvision's), shape (PyTorch's layout: OIHW for a convolution) and role of one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    pub name: String,
    pub shape: Vec<usize>,
    pub role: Role,
}

/// One convolution with its batch normalisation, as it stands in the network.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvInfo {
    /// torchvision's name of the convolution, such as `layer1.0.conv1`.
    pub conv: String,
    /// torchvision's name of the batch normalisation behind it, such as `layer1.0.bn1`.
    pub bn: String,
    pub input: usize,
    pub output: usize,
    pub kernel: usize,
    pub stride: usize,
}

/// One residual block: its convolutions in order, and the projection of its shortcut if it has one.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockInfo {
    /// torchvision's name, such as `layer1.0`.
    pub name: String,
    /// Counted from 0.
    pub stage: usize,
    pub convs: Vec<ConvInfo>,
    pub projection: Option<ConvInfo>,
}

/// Names of all architectures but `custom`.
pub const ARCHITECTURES: [&str; 12] = [
    "cifar_resnet8",
    "cifar_resnet14",
    "cifar_resnet20",
    "cifar_resnet32",
    "cifar_resnet44",
    "cifar_resnet56",
    "cifar_resnet110",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
];

/// Why a specification can't be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    #[error("no model is called “{}”; models: {}, custom", text::foreign(.0), ARCHITECTURES.join(", "))]
    UnknownArchitecture(String),
    #[error("a custom model needs as many widths as stages: {stages} stages, {widths} widths")]
    Lengths { stages: usize, widths: usize },
    #[error("{what} must be {range}, not {got}")]
    Range { what: &'static str, range: &'static str, got: usize },
    #[error("the CIFAR models have a stem of their own; `imagenet` is for resnet18 … resnet152 and custom")]
    Stem,
}

impl ModelSpec {
    /// A network of the family by name. `stem` is `None` for the architecture's own: `Cifar` for the CIFAR models,
    /// `Imagenet` for the others.
    pub fn named(architecture: &str, stem: Option<Stem>, channels: usize, classes: usize) -> Result<Self, SpecError> {
        let unknown = || SpecError::UnknownArchitecture(architecture.to_owned());
        if !ARCHITECTURES.contains(&architecture) {
            return Err(unknown());
        }
        let (block, stages, widths, own_stem) = match architecture.strip_prefix("cifar_resnet") {
            Some(depth) => {
                let depth: usize = depth.parse().map_err(|_| unknown())?;
                if stem == Some(Stem::Imagenet) {
                    return Err(SpecError::Stem);
                }
                (Block::Basic, vec![(depth - 2) / 6; 3], vec![16, 32, 64], Stem::Cifar)
            }
            None => {
                let (block, stages) = match architecture {
                    "resnet18" => (Block::Basic, [2, 2, 2, 2]),
                    "resnet34" => (Block::Basic, [3, 4, 6, 3]),
                    "resnet50" => (Block::Bottleneck, [3, 4, 6, 3]),
                    "resnet101" => (Block::Bottleneck, [3, 4, 23, 3]),
                    "resnet152" => (Block::Bottleneck, [3, 8, 36, 3]),
                    _ => return Err(unknown()),
                };
                (block, stages.to_vec(), vec![64, 128, 256, 512], Stem::Imagenet)
            }
        };
        let spec = Self::custom(block, stem.unwrap_or(own_stem), stages, widths, channels, classes)?;
        Ok(Self { architecture: architecture.to_owned(), ..spec })
    }

    /// A network of your own: `stages[i]` blocks of width `widths[i]`.
    pub fn custom(
        block: Block,
        stem: Stem,
        stages: Vec<usize>,
        widths: Vec<usize>,
        channels: usize,
        classes: usize,
    ) -> Result<Self, SpecError> {
        Self {
            architecture: "custom".to_owned(),
            block,
            stem,
            stages,
            widths,
            channels,
            classes,
            padding: Padding::Torch,
            bn_eps: default_bn_eps(),
        }
        .validate()
    }

    /// Checks every field, so that what was read from a file can be built without a surprise.
    pub fn validate(self) -> Result<Self, SpecError> {
        let check = |what, range, ok: bool, got| if ok { Ok(()) } else { Err(SpecError::Range { what, range, got }) };
        if self.stages.len() != self.widths.len() {
            return Err(SpecError::Lengths { stages: self.stages.len(), widths: self.widths.len() });
        }
        check("the number of stages", "1 to 6", (1..=6).contains(&self.stages.len()), self.stages.len())?;
        for &blocks in &self.stages {
            check("blocks in a stage", "1 to 200", (1..=200).contains(&blocks), blocks)?;
        }
        for &width in &self.widths {
            check("a stage's width", "1 to 4096", (1..=4096).contains(&width), width)?;
        }
        check("input channels", "1 or 3", matches!(self.channels, 1 | 3), self.channels)?;
        check("the number of classes", "2 to 65535", (2..=65535).contains(&self.classes), self.classes)?;
        Ok(self)
    }

    /// The same network with other padding.
    pub fn with_padding(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }

    /// The network but for its head, as text: `resnet18 (cifar stem)`.
    pub fn backbone(&self) -> String {
        match self.architecture.starts_with("cifar_") {
            true => self.architecture.clone(),
            false => format!("{} ({} stem)", self.architecture, self.stem),
        }
    }

    /// Channels that reach the head.
    pub fn features(&self) -> usize {
        self.widths.last().copied().unwrap_or_default() * self.block.expansion()
    }

    /// The stem's convolution.
    pub fn stem_conv(&self) -> ConvInfo {
        let (kernel, stride) = match self.stem {
            Stem::Imagenet => (7, 2),
            Stem::Cifar => (3, 1),
        };
        ConvInfo {
            conv: "conv1".to_owned(),
            bn: "bn1".to_owned(),
            input: self.channels,
            output: self.widths[0],
            kernel,
            stride,
        }
    }

    /// All residual blocks, from input to output.
    pub fn blocks(&self) -> Vec<BlockInfo> {
        let mut blocks = Vec::new();
        let mut input = self.widths[0];
        for (stage, (&count, &width)) in self.stages.iter().zip(&self.widths).enumerate() {
            for index in 0..count {
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                let name = format!("layer{}.{index}", stage + 1);
                let conv = |k: usize, input, output, kernel, stride| ConvInfo {
                    conv: format!("{name}.conv{k}"),
                    bn: format!("{name}.bn{k}"),
                    input,
                    output,
                    kernel,
                    stride,
                };
                let output = width * self.block.expansion();
                let convs = match self.block {
                    Block::Basic => vec![conv(1, input, width, 3, stride), conv(2, width, width, 3, 1)],
                    Block::Bottleneck => vec![
                        conv(1, input, width, 1, 1),
                        conv(2, width, width, 3, stride),
                        conv(3, width, output, 1, 1),
                    ],
                };
                let projection = (stride != 1 || input != output).then(|| ConvInfo {
                    conv: format!("{name}.downsample.0"),
                    bn: format!("{name}.downsample.1"),
                    input,
                    output,
                    kernel: 1,
                    stride,
                });
                blocks.push(BlockInfo { name, stage, convs, projection });
                input = output;
            }
        }
        blocks
    }

    /// Every convolution in the order of torchvision's state dictionary.
    pub fn convs(&self) -> Vec<ConvInfo> {
        let mut convs = vec![self.stem_conv()];
        for block in self.blocks() {
            convs.extend(block.convs);
            convs.extend(block.projection);
        }
        convs
    }

    /// Every tensor of the network in the order of torchvision's state dictionary, without `num_batches_tracked`.
    pub fn tensors(&self) -> Vec<TensorInfo> {
        let mut tensors = Vec::new();
        for conv in self.convs() {
            let mut push = |name: String, shape: Vec<usize>, role| tensors.push(TensorInfo { name, shape, role });
            let shape = vec![conv.output, conv.input, conv.kernel, conv.kernel];
            push(format!("{}.weight", conv.conv), shape, Role::ConvWeight);
            for (leaf, role) in [
                ("weight", Role::BnWeight),
                ("bias", Role::BnBias),
                ("running_mean", Role::BnMean),
                ("running_var", Role::BnVar),
            ] {
                push(format!("{}.{leaf}", conv.bn), vec![conv.output], role);
            }
        }
        let (features, classes) = (self.features(), self.classes);
        tensors.push(TensorInfo { name: "fc.weight".into(), shape: vec![classes, features], role: Role::FcWeight });
        tensors.push(TensorInfo { name: "fc.bias".into(), shape: vec![classes], role: Role::FcBias });
        tensors
    }

    /// Number of trained values.
    pub fn parameters(&self) -> usize {
        self.tensors().iter().filter(|t| t.role.is_parameter()).map(|t| t.shape.iter().product::<usize>()).sum()
    }

    /// Height or width after the max-pool and each stage, for a square image of `side` pixels: what a drawing of the
    /// network shows. The first entry is behind the stem.
    pub fn sides(&self, side: usize) -> Vec<usize> {
        // All paddings of this family give ceil(n / stride).
        let mut n = match self.stem {
            Stem::Imagenet => side.div_ceil(2).div_ceil(2),
            Stem::Cifar => side,
        };
        let mut sides = vec![n];
        for stage in 0..self.stages.len() {
            if stage > 0 {
                n = n.div_ceil(2);
            }
            sides.push(n);
        }
        sides
    }

    /// Values in the largest tensor that the network makes of one image of `[height, width]` pixels.
    pub fn largest_activation(&self, size: [usize; 2]) -> usize {
        let area = |scale: usize| size.iter().map(|n| n.div_ceil(scale)).product::<usize>();
        let stem = self.stem_conv();
        let mut scale = match self.stem {
            Stem::Imagenet => 4,
            Stem::Cifar => 1,
        };
        // Some kernels read the input in fours of channels.
        let mut most = (area(1) * self.channels.next_multiple_of(4)).max(area(stem.stride) * stem.output);
        for conv in self.blocks().into_iter().flat_map(|block| block.convs) {
            scale *= conv.stride;
            most = most.max(area(scale) * conv.output);
        }
        most
    }

    /// Multiply-adds of one forward pass over one square image, times two. A training step takes about three times
    /// as many.
    pub fn flops(&self, side: usize) -> u64 {
        let cost = |c: &ConvInfo, out: usize| 2 * (c.kernel * c.kernel * c.input * c.output * out * out) as u64;
        let stem = self.stem_conv();
        let mut total = cost(&stem, side.div_ceil(stem.stride));
        let mut n = self.sides(side)[0];
        for block in self.blocks() {
            for conv in &block.convs {
                n = n.div_ceil(conv.stride);
                total += cost(conv, n);
            }
            total += block.projection.iter().map(|projection| cost(projection, n)).sum::<u64>();
        }
        total + 2 * (self.features() * self.classes) as u64
    }
}

impl fmt::Display for ModelSpec {
    /// `resnet18 (cifar stem), 10 classes`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} classes", self.backbone(), self.classes)
    }
}

macro_rules! names {
    ($type:ty, $what:literal, $($variant:path => $name:literal),+) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($variant => $name),+ })
            }
        }
        impl FromStr for $type {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($name => Ok($variant),)+
                    _ => Err(format!(concat!($what, " is one of {}, not “{}”"), [$($name),+].join(", "), text)),
                }
            }
        }
    };
}

names!(Block, "a block", Block::Basic => "basic", Block::Bottleneck => "bottleneck");
names!(Stem, "a stem", Stem::Imagenet => "imagenet", Stem::Cifar => "cifar");
names!(Padding, "a padding", Padding::Torch => "torch", Padding::Same => "same", Padding::SamePool => "same-pool");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_counts_are_torchvisions() {
        for (name, count) in [
            ("resnet18", 11_181_642),
            ("resnet34", 21_289_802),
            ("resnet50", 23_528_522),
            ("resnet101", 42_520_650),
            ("resnet152", 58_164_298),
            ("cifar_resnet20", 272_474),
            ("cifar_resnet56", 855_770),
        ] {
            assert_eq!(ModelSpec::named(name, None, 3, 10).unwrap().parameters(), count, "{name}");
        }
    }

    #[test]
    fn flops_of_known_networks() {
        // 1.82 and 4.1 GMAC at 224 pixels are the figures usually quoted for ResNet-18 and ResNet-50.
        let gmac = |name| ModelSpec::named(name, None, 3, 1000).unwrap().flops(224) as f64 / 2e9;
        assert!((gmac("resnet18") - 1.814).abs() < 0.01, "{}", gmac("resnet18"));
        assert!((gmac("resnet50") - 4.089).abs() < 0.01, "{}", gmac("resnet50"));
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = ModelSpec::named("resnet19", None, 3, 10).unwrap_err().to_string();
        assert!(error.contains("resnet19") && error.contains("cifar_resnet20"), "{error}");
    }
}
