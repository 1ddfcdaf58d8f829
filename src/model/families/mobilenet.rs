//! Inverted residuals: a block widens its channels by a 1x1 convolution, filters each by itself, and narrows them again
//! without an activation; the narrow ends are added where they have the same shape.
//!
//! MobileNetV2: Sandler et al., <https://arxiv.org/abs/1801.04381>, table 2, under torchvision's names.
//! EfficientNet-Lite is EfficientNet (Tan and Le, <https://arxiv.org/abs/1905.11946>) with ReLU6 and without
//! squeeze-and-excitation, as TensorFlow has published it; its layers have torchvision's names of MobileNetV2 here,
//! since they are the same tree.

use super::{Conventions, Images, Member, Shapes, SpecError, Stem, check};
use crate::{
    model::graph::{Builder, Value},
    ops::{Activation, Padding},
};
use serde::{Deserialize, Serialize};

/// Stages of blocks alike.
const STAGES: usize = 7;
/// Of the first block of each.
const STRIDES: [usize; STAGES] = [1, 2, 2, 2, 1, 2, 1];
/// How many times as wide its blocks are within.
const EXPANSIONS: [usize; STAGES] = [1, 6, 6, 6, 6, 6, 6];

/// A network of inverted residuals but for its head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MobileNet {
    pub stem: Stem,
    /// Channels of the first convolution.
    pub stem_width: usize,
    /// Of the seven stages: blocks, sides of the depthwise kernels, and channels between blocks.
    pub repeats: Vec<usize>,
    pub kernels: Vec<usize>,
    pub outputs: Vec<usize>,
    /// Channels of the last convolution.
    pub features: usize,
}

pub(super) const NAMES: [&str; 11] = [
    "mobilenet_v2",
    "mobilenet_v2_035",
    "mobilenet_v2_050",
    "mobilenet_v2_075",
    "mobilenet_v2_130",
    "mobilenet_v2_140",
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "efficientnet_lite3",
    "efficientnet_lite4",
];

/// `channels` times a hundredth of `percent`, to the next multiple of eight that is not more than a tenth less.
fn scaled(channels: usize, percent: usize) -> usize {
    let exact = channels * percent;
    let rounded = ((exact + 400) / 800 * 8).max(8);
    if 100 * rounded * 10 < 9 * exact { rounded + 8 } else { rounded }
}

impl MobileNet {
    /// One of [`NAMES`].
    pub(super) fn named(name: &str, stem: Option<Stem>) -> Result<Self, SpecError> {
        let unknown = || SpecError::UnknownArchitecture(name.to_owned());
        let stem = stem.unwrap_or(Stem::Imagenet);
        if let Some(size) = name.strip_prefix("efficientnet_lite") {
            let [width, depth] = match size {
                "0" => [100, 100],
                "1" => [100, 110],
                "2" => [110, 120],
                "3" => [120, 140],
                "4" => [140, 180],
                _ => return Err(unknown()),
            };
            // The first and the last stage, and what is around them, do not grow.
            let [first, inner @ .., last] = [1, 2, 2, 3, 3, 4, 1];
            let inner = inner.map(|blocks: usize| (blocks * depth).div_ceil(100));
            return Ok(Self {
                stem,
                stem_width: 32,
                repeats: [first].into_iter().chain(inner).chain([last]).collect(),
                kernels: vec![3, 3, 5, 3, 5, 5, 3],
                outputs: [16, 24, 40, 80, 112, 192, 320].map(|channels| scaled(channels, width)).to_vec(),
                features: 1280,
            });
        }
        let percent = match name.strip_prefix("mobilenet_v2").ok_or_else(unknown)? {
            "" => 100,
            width => width.strip_prefix('_').and_then(|width| width.parse().ok()).ok_or_else(unknown)?,
        };
        Ok(Self {
            stem,
            stem_width: scaled(32, percent),
            repeats: vec![1, 2, 3, 4, 3, 3, 1],
            kernels: vec![3; STAGES],
            outputs: [16, 24, 32, 64, 96, 160, 320].map(|channels| scaled(channels, percent)).to_vec(),
            features: scaled(1280, percent.max(100)),
        })
    }

    /// One of [`NAMES`] whose blocks have these kernels and channels. Nothing tells the stem, which is taken for
    /// ImageNet's.
    pub(super) fn outline(shapes: &Shapes) -> Result<(Self, usize), String> {
        let foreign = |what: &str| format!("not the weights of a MobileNetV2 or an EfficientNet-Lite: {what}");
        let conv = |place: String| match shapes.get(&format!("{place}.weight")).map(Vec::as_slice) {
            Some(&[output, input, height, width]) if height == width => Some((output, input, height)),
            _ => None,
        };
        let (stem_width, channels, _) = conv("features.0.0".into()).ok_or_else(|| foreign("no first convolution"))?;
        // A block that does not widen has its depthwise convolution first.
        let block = |number: usize| {
            let of = |place: &str| conv(format!("features.{number}.conv.{place}"));
            match (of("1.0"), of("2")) {
                (Some((.., kernel)), Some((output, ..))) => Some((kernel, output)),
                _ => Some((of("0.0")?.2, of("1")?.0)),
            }
        };
        let blocks: Vec<_> = (1..).map_while(block).collect();
        let (features, ..) =
            conv(format!("features.{}.0", blocks.len() + 1)).ok_or_else(|| foreign("no last convolution"))?;
        let alike = |net: &Self| {
            let all = net.repeats.iter().zip(net.kernels.iter().zip(&net.outputs));
            let all = all.flat_map(|(&count, (&kernel, &output))| std::iter::repeat_n((kernel, output), count));
            (net.stem_width, net.features) == (stem_width, features) && all.eq(blocks.iter().copied())
        };
        let net = NAMES.iter().filter_map(|name| Self::named(name, None).ok()).find(alike);
        Ok((net.ok_or_else(|| foreign("none of their widths and depths"))?, channels))
    }

    /// A block: layers as torchvision's module declares them.
    fn block(&self, graph: &mut Builder, number: usize, x: Value, stage: usize, stride: usize) -> Value {
        let (input, output) = (graph.channels(x), self.outputs[stage]);
        let (name, wide) = (format!("features.{number}.conv"), input * EXPANSIONS[stage]);
        let mut place = 0;
        let mut next = |graph: &mut Builder, x, [from, to]: [usize; 2], kernel, stride, groups| {
            let names = [0, 1].map(|part| format!("{name}.{place}.{part}"));
            let conv = graph.grouped_conv_bn(names, [from, to], kernel, stride, groups);
            place += 1;
            graph.apply(conv, x, None, Activation::Relu6, format!("{name}.{}.2", place - 1))
        };
        let mut y = x;
        if wide != input {
            y = next(graph, y, [input, wide], 1, 1, 1);
        }
        y = next(graph, y, [wide, wide], self.kernels[stage], stride, wide);
        let narrow = graph.conv_bn([place, place + 1].map(|part| format!("{name}.{part}")), [wide, output], 1, 1);
        let shortcut = (stride == 1 && input == output).then_some(x);
        graph.apply(narrow, y, shortcut, Activation::None, format!("features.{number}"))
    }
}

impl Member for MobileNet {
    fn validate(&self) -> Result<(), SpecError> {
        for list in [&self.repeats, &self.kernels, &self.outputs] {
            check("the number of stages", "7", STAGES..=STAGES, list.len())?;
        }
        for (&blocks, &kernel) in self.repeats.iter().zip(&self.kernels) {
            check("blocks in a stage", "1 to 200", 1..=200, blocks)?;
            check("the side of a depthwise kernel", "1 to 11", 1..=11, kernel)?;
        }
        for &channels in self.outputs.iter().chain([&self.stem_width, &self.features]) {
            check("a stage's channels", "1 to 4096", 1..=4096, channels)?;
        }
        Ok(())
    }

    fn build(&self, graph: &mut Builder) -> Value {
        // Small images keep their size in the stem and in the first stage that would narrow them.
        let small = self.stem == Stem::Cifar;
        let image = graph.image();
        let names = ["features.0.0", "features.0.1"].map(str::to_owned);
        let conv = graph.conv_bn(names, [graph.channels(image), self.stem_width], 3, if small { 1 } else { 2 });
        let mut x = graph.apply(conv, image, None, Activation::Relu6, "features.0.2".into());
        let (mut number, mut part) = (1, 0);
        for (stage, &blocks) in self.repeats.iter().enumerate() {
            // What narrows the image begins a part that is drawn, and frozen, as a whole.
            part += usize::from(STRIDES[stage] > 1);
            for index in 0..blocks {
                graph.begin_block(part, "inverted residual");
                let stride = if index > 0 || (small && part == 1) { 1 } else { STRIDES[stage] };
                x = self.block(graph, number, x, stage, stride);
                number += 1;
            }
        }
        let names = [0, 1].map(|place| format!("features.{number}.{place}"));
        let conv = graph.conv_bn(names, [graph.channels(x), self.features], 1, 1);
        graph.apply(conv, x, None, Activation::Relu6, format!("features.{number}.2"))
    }

    fn is_for_photographs(&self) -> bool {
        self.stem == Stem::Imagenet
    }

    fn head_name(&self) -> &'static str {
        "classifier.1"
    }

    /// EfficientNets, which alone have wider kernels, come from TensorFlow.
    fn conventions(&self) -> Conventions {
        if !self.kernels.contains(&5) {
            return Conventions::default();
        }
        let is = |size: &usize| Self::named(&format!("efficientnet_lite{size}"), Some(self.stem)).as_ref() == Ok(self);
        let side = [224, 240, 260, 280, 300][(0..5).find(is).unwrap_or(0)];
        Conventions { padding: Padding::Same, bn_eps: 1e-3, side, images: Images::Tensorflow }
    }
}
