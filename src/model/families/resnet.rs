//! Residual networks.
//!
//! He et al., "Deep Residual Learning for Image Recognition", <https://arxiv.org/abs/1512.03385>: section 3.3 and
//! table 1 for the ImageNet family, section 4.2 for the CIFAR family. Like torchvision, the stride of a bottleneck
//! sits on its 3x3 convolution, and every shortcut that changes shape is a 1x1 projection.
//!
//! Forms of them ([`Form`]): the one of the paper, as Caffe's and Microsoft's weights have it, with the stride on the first
//! 1x1; and ResNet-D, with three 3x3 convolutions for a stem and shortcuts that average before they project: He et al.,
//! "Bag of Tricks for Image Classification with Convolutional Neural Networks", <https://arxiv.org/abs/1812.01187>,
//! section 4.1, under timm's names.
//!
//! A thin one is narrower than its stem: Yahoo's open_nsfw, <https://github.com/yahoo/open_nsfw>, has half of ResNet-50's
//! widths behind a whole stem. A wide one has more channels within its bottlenecks and as many between them: Zagoruyko and
//! Komodakis, "Wide Residual Networks", <https://arxiv.org/abs/1605.07146>, in torchvision's form. A ResNeXt is a wide one
//! whose 3x3 convolutions are in groups, 32x4d being 32 groups of 4 channels in the first stage: Xie et al., "Aggregated
//! Residual Transformations for Deep Neural Networks", <https://arxiv.org/abs/1611.05431>.

use super::{Conventions, Images, Member, Shapes, SpecError, check};
use crate::{
    model::graph::{Builder, LayerId, Value},
    ops::Activation,
};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantNames};

/// The residual block that all stages of a network are made of.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Display, EnumString, IntoStaticStr, VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Block {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3, 1x1 convolutions; the output has four times the width.
    Bottleneck,
}

impl Block {
    /// Output channels for each channel of width.
    pub(crate) fn expansion(self) -> usize {
        match self {
            Block::Basic => 1,
            Block::Bottleneck => 4,
        }
    }
}

/// The layers before the first stage.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Display, EnumString, IntoStaticStr, VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Stem {
    /// 7x7 convolution with stride 2, then a 3x3 max-pool with stride 2: for images of about 224 pixels.
    Imagenet,
    /// 3x3 convolution with stride 1 and no pool: for images of about 32 pixels.
    Cifar,
}

/// Where a network differs from torchvision's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Form {
    /// The stride of a bottleneck on its 3x3 convolution.
    #[default]
    Torchvision,
    /// The stride of a bottleneck on its first 1x1 convolution.
    V1,
    /// ResNet-D: a stem of three convolutions for photographs, and shortcuts that average.
    D,
}

impl Form {
    fn is_torchvisions(&self) -> bool {
        *self == Form::Torchvision
    }
}

/// What follows the normalisations.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Nonlinearity {
    /// `max(0, x)`
    #[default]
    Relu,
    /// `x / (1 + exp(-x))`
    Silu,
}

impl Nonlinearity {
    fn is_relu(&self) -> bool {
        *self == Nonlinearity::Relu
    }
}

/// A residual network but for its head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ResNet {
    pub block: Block,
    pub stem: Stem,
    /// Blocks in each stage.
    pub stages: Vec<usize>,
    /// Width of each stage, before a bottleneck's expansion.
    pub widths: Vec<usize>,
    /// How many times as wide the convolutions within a bottleneck are.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub widening: usize,
    /// Groups of the 3x3 convolution of a bottleneck.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub groups: usize,
    #[serde(default, skip_serializing_if = "Form::is_torchvisions")]
    pub form: Form,
    /// Channels of the stem, where they are not as many as the first stage is wide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stem_width: Option<usize>,
    #[serde(default, skip_serializing_if = "Nonlinearity::is_relu")]
    pub nonlinearity: Nonlinearity,
}

fn once() -> usize {
    1
}

fn is_once(count: &usize) -> bool {
    *count == 1
}

pub(super) const NAMES: [&str; 27] = [
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
    "wide_resnet50_2",
    "wide_resnet101_2",
    "resnext50_32x4d",
    "resnext101_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "resnet18d",
    "resnet34d",
    "resnet50d",
    "resnet101d",
    "resnet152d",
    "resnet50_v1",
    "resnet101_v1",
    "resnet152_v1",
    "thin_resnet50_v1",
];

impl ResNet {
    /// `stages[i]` blocks of width `widths[i]`.
    pub(crate) fn new(block: Block, stem: Stem, stages: Vec<usize>, widths: Vec<usize>) -> Self {
        let (form, stem_width, nonlinearity) = (Form::Torchvision, None, Nonlinearity::Relu);
        Self { block, stem, stages, widths, widening: 1, groups: 1, form, stem_width, nonlinearity }
    }

    /// One of [`NAMES`]. `stem` is `None` for its own: `Cifar` for the CIFAR models, which have no other, `Imagenet` for
    /// the others.
    pub(super) fn named(name: &str, stem: Option<Stem>) -> Result<Self, SpecError> {
        let unknown = || SpecError::UnknownArchitecture(name.to_owned());
        if let Some(depth) = name.strip_prefix("cifar_resnet") {
            let depth: usize = depth.parse().map_err(|_| unknown())?;
            if stem == Some(Stem::Imagenet) {
                return Err(SpecError::Stem);
            }
            let stages = vec![(depth - 2) / 6; 3];
            return Ok(Self::new(Block::Basic, Stem::Cifar, stages, vec![16, 32, 64]));
        }
        let (name, widening, groups) = match name {
            "wide_resnet50_2" => ("resnet50", 2, 1),
            "wide_resnet101_2" => ("resnet101", 2, 1),
            "resnext50_32x4d" => ("resnet50", 2, 32),
            "resnext101_32x4d" => ("resnet101", 2, 32),
            "resnext101_32x8d" => ("resnet101", 4, 32),
            "resnext101_64x4d" => ("resnet101", 4, 64),
            name => (name, 1, 1),
        };
        let (name, form) = match (name.strip_suffix('d'), name.strip_suffix("_v1")) {
            (Some(name), _) => (name, Form::D),
            (_, Some(name)) => (name, Form::V1),
            _ => (name, Form::Torchvision),
        };
        let (name, widths, stem_width) = match name.strip_prefix("thin_") {
            Some(name) => (name, vec![32, 64, 128, 256], Some(64)),
            None => (name, vec![64, 128, 256, 512], None),
        };
        let (block, stages) = match name {
            "resnet18" => (Block::Basic, [2, 2, 2, 2]),
            "resnet34" => (Block::Basic, [3, 4, 6, 3]),
            "resnet50" => (Block::Bottleneck, [3, 4, 6, 3]),
            "resnet101" => (Block::Bottleneck, [3, 4, 23, 3]),
            "resnet152" => (Block::Bottleneck, [3, 8, 36, 3]),
            _ => return Err(unknown()),
        };
        let stem = stem.unwrap_or(Stem::Imagenet);
        Ok(Self { widening, groups, form, stem_width, ..Self::new(block, stem, stages.to_vec(), widths) })
    }

    /// Depth, width, block, stem and channels all follow from a few shapes. Where the stride is does not: it is taken for
    /// torchvision's.
    pub(super) fn outline(shapes: &Shapes) -> Result<(Self, usize), String> {
        let foreign = |what: &str| format!("not a ResNet's weights: {what}");
        let conv = |name: &str| match shapes.get(name).map(Vec::as_slice) {
            Some(&[output, input, height, width]) if height == width => Some((output, input, height)),
            _ => None,
        };
        let deep = conv("conv1.0.weight").zip(conv("conv1.6.weight"));
        let first = deep.map(|((_, channels, kernel), (output, ..))| (output, channels, kernel));
        let first = first.or_else(|| conv("conv1.weight"));
        let (begun, channels, kernel) = first.ok_or_else(|| foreign("no first convolution (`conv1`)"))?;
        let stem = match (deep, kernel) {
            (Some(_), 3) | (None, 7) => Stem::Imagenet,
            (None, 3) => Stem::Cifar,
            _ => return Err(foreign(&format!("the first convolution is {kernel}x{kernel}, not 7x7 or 3x3"))),
        };
        let (mut stages, mut widths) = (Vec::new(), Vec::new());
        loop {
            let stage = stages.len() + 1;
            let first = |index: usize| conv(&format!("layer{stage}.{index}.conv1.weight"));
            let Some((width, ..)) = first(0) else { break };
            stages.push((0..).take_while(|&index| first(index).is_some()).count());
            widths.push(width);
        }
        if stages.is_empty() {
            return Err(foreign("no residual block (`layer1.0.conv1`)"));
        }
        let net = match conv("layer1.0.conv3.weight") {
            None => Self::new(Block::Basic, stem, stages, widths),
            Some((output, ..)) => {
                let widening = (widths[0] * Block::Bottleneck.expansion() / output.max(1)).max(1);
                let inputs = conv("layer1.0.conv2.weight").map_or(widths[0], |(_, inputs, _)| inputs);
                let groups = (widths[0] / inputs.max(1)).max(1);
                let widths = widths.iter().map(|width| width / widening).collect();
                Self { widening, groups, ..Self::new(Block::Bottleneck, stem, stages, widths) }
            }
        };
        // Without a projection that an average moved, a small one is told by nothing, and is torchvision's.
        let averages =
            (1..=net.stages.len()).any(|stage| conv(&format!("layer{stage}.0.downsample.1.weight")).is_some());
        let form = if deep.is_some() || averages { Form::D } else { Form::Torchvision };
        let net = Self { form, stem_width: Some(begun).filter(|&begun| begun != net.widths[0]), ..net };
        net.validate().map_err(|error| foreign(&error.to_string()))?;
        Ok((net, channels))
    }

    /// Convolutions of a block of this width: names, output channels, kernel, stride and groups.
    fn convs(&self, width: usize, stride: usize) -> Vec<(&'static str, usize, usize, usize, usize)> {
        match self.block {
            Block::Basic => vec![("1", width, 3, stride, 1), ("2", width, 3, 1, 1)],
            Block::Bottleneck => {
                let wide = width * self.widening;
                let output = width * self.block.expansion();
                let [first, second] = if self.form == Form::V1 { [stride, 1] } else { [1, stride] };
                vec![("1", wide, 1, first, 1), ("2", wide, 3, second, self.groups), ("3", output, 1, 1, 1)]
            }
        }
    }

    /// A layer, what is added to it, and what follows, under the name that it has with a ReLU.
    fn activated(&self, graph: &mut Builder, layer: LayerId, x: Value, add: Option<Value>, name: &str) -> Value {
        match self.nonlinearity {
            Nonlinearity::Relu => graph.apply(layer, x, add, Activation::Relu, name.to_owned()),
            Nonlinearity::Silu => {
                let name = name.replace("relu", "silu");
                let x = graph.apply(layer, x, add, Activation::None, format!("{name}.in"));
                graph.silu(x, name)
            }
        }
    }

    /// A residual block: layers as torchvision's module declares them, wired as its `forward` does.
    fn residual(&self, graph: &mut Builder, block: &str, x: Value, width: usize, stride: usize) -> Value {
        let (input, output) = (graph.channels(x), width * self.block.expansion());
        let mut from = input;
        let mut convs = Vec::new();
        for (k, to, kernel, stride, groups) in self.convs(width, stride) {
            let names = [format!("{block}.conv{k}"), format!("{block}.bn{k}")];
            convs.push((k, graph.grouped_conv_bn(names, [from, to], kernel, stride, groups)));
            from = to;
        }
        let averages = self.form == Form::D;
        let projection = (stride != 1 || input != output).then(|| {
            let names = [0, 1].map(|place| format!("{block}.downsample.{}", place + usize::from(averages)));
            graph.conv_bn(names, [input, output], 1, if averages { 1 } else { stride })
        });
        let mut y = x;
        let mut shortcut = x;
        let last = convs.len() - 1;
        for (i, (k, conv)) in convs.into_iter().enumerate() {
            // The gradient of the block's input is that of its first convolution, to which the shortcut's is added: so it
            // runs first forward and last backward.
            if let (1, Some(projection)) = (i, projection) {
                let from = match averages && stride != 1 {
                    true => graph.average_pool(x, format!("{block}.downsample.0")),
                    false => x,
                };
                shortcut = graph.apply(projection, from, None, Activation::None, format!("{block}.downsample"));
            }
            y = match i == last {
                true => self.activated(graph, conv, y, Some(shortcut), &format!("{block}.relu")),
                false => self.activated(graph, conv, y, None, &format!("{block}.relu{k}")),
            };
        }
        y
    }
}

impl ResNet {
    /// The convolutions before the first stage.
    fn stem(&self, graph: &mut Builder) -> Value {
        let (image, width) = (graph.image(), self.stem_width.unwrap_or(self.widths[0]));
        // Names of convolution, normalisation and activation; output channels, kernel and stride.
        let half = width.div_ceil(2);
        let convs = match (self.stem, self.form) {
            (Stem::Imagenet, Form::D) => vec![
                (["conv1.0", "conv1.1", "conv1.2"], half, 3, 2),
                (["conv1.3", "conv1.4", "conv1.5"], half, 3, 1),
                (["conv1.6", "bn1", "relu"], width, 3, 1),
            ],
            (Stem::Imagenet, _) => vec![(["conv1", "bn1", "relu"], width, 7, 2)],
            (Stem::Cifar, _) => vec![(["conv1", "bn1", "relu"], width, 3, 1)],
        };
        convs.into_iter().fold(image, |x, ([conv, bn, name], to, kernel, stride)| {
            let layer = graph.conv_bn([conv.into(), bn.into()], [graph.channels(x), to], kernel, stride);
            self.activated(graph, layer, x, None, name)
        })
    }
}

impl Member for ResNet {
    fn validate(&self) -> Result<(), SpecError> {
        let (stages, widths) = (self.stages.len(), self.widths.len());
        if stages != widths {
            return Err(SpecError::Lengths { stages, widths });
        }
        check("the number of stages", "1 to 6", 1..=6, stages)?;
        for &blocks in &self.stages {
            check("blocks in a stage", "1 to 200", 1..=200, blocks)?;
        }
        for &width in &self.widths {
            check("a stage's width", "1 to 4096", 1..=4096, width)?;
        }
        if let Some(width) = self.stem_width {
            check("the stem's channels", "1 to 4096", 1..=4096, width)?;
        }
        check("the widening of a bottleneck", "1 to 8", 1..=8, self.widening)?;
        for &width in &self.widths {
            let wide = width * self.widening;
            check("the groups of a bottleneck", "a divisor of its channels", 1..=wide, self.groups)?;
            check("channels beyond whole groups of a bottleneck", "0", 0..=0, wide % self.groups)?;
        }
        Ok(())
    }

    fn build(&self, graph: &mut Builder) -> Value {
        let mut x = self.stem(graph);
        if self.stem == Stem::Imagenet {
            x = graph.max_pool(x, 3, 2, "maxpool");
        }
        for (stage, (&count, &width)) in self.stages.iter().zip(&self.widths).enumerate() {
            for index in 0..count {
                graph.begin_block(stage, &format!("{} block", self.block));
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                x = self.residual(graph, &format!("layer{}.{index}", stage + 1), x, width, stride);
            }
        }
        x
    }

    fn is_for_photographs(&self) -> bool {
        self.stem == Stem::Imagenet
    }

    /// The thin one comes from Caffe.
    fn conventions(&self) -> Conventions {
        let is_yahoos = Self::named("thin_resnet50_v1", None).as_ref() == Ok(self);
        let images = if is_yahoos { Images::Caffe } else { Images::Torchvision };
        Conventions { images, ..Conventions::default() }
    }
}
