//! Chains of 3x3 convolutions, each with a batch normalisation and a ReLU, in stages that a 2x2 max-pool ends: VGG, in its form
//! for CIFAR, whose stages end at one pixel and whose head is one linear layer.
//!
//! Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
//! <https://arxiv.org/abs/1409.1556>, table 1. Tensors are named by their place in torchvision's `features`. The convolutions
//! have no bias: the normalisation behind each has one.

use super::{Member, Shapes, SpecError, Stem, check};
use crate::{
    model::graph::{Builder, Value},
    ops::Activation,
};
use serde::{Deserialize, Serialize};

/// A VGG but for its head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Vgg {
    /// Convolutions in each stage.
    pub convs: Vec<usize>,
    /// Channels of each stage.
    pub channels_out: Vec<usize>,
}

pub(super) const NAMES: [&str; 1] = ["cifar_vgg11_bn"];

impl Vgg {
    /// One of [`NAMES`], which have no stem to choose.
    pub(super) fn named(_: &str, stem: Option<Stem>) -> Result<Self, SpecError> {
        match stem {
            Some(Stem::Imagenet) => Err(SpecError::Stem),
            _ => Ok(Self { convs: vec![1, 1, 2, 2, 2], channels_out: vec![64, 128, 256, 512, 512] }),
        }
    }

    /// A stage ends where the place of a pool is left free among the `features`.
    pub(super) fn outline(shapes: &Shapes) -> Result<(Self, usize), String> {
        let conv = |place: usize| match shapes.get(&format!("features.{place}.weight")).map(Vec::as_slice) {
            Some(&[output, input, 3, 3]) => Some((output, input)),
            _ => None,
        };
        let foreign = |what: &str| format!("not the weights of a VGG with batch normalisation: {what}");
        let (_, channels) = conv(0).ok_or_else(|| foreign("no first convolution (`features.0`)"))?;
        let (mut convs, mut channels_out, mut place) = (Vec::new(), Vec::new(), 0);
        while let Some((output, _)) = conv(place) {
            let count = (0..).take_while(|i| conv(place + 3 * i).is_some_and(|(other, _)| other == output)).count();
            convs.push(count);
            channels_out.push(output);
            place += 3 * count + 1;
        }
        let net = Self { convs, channels_out };
        net.validate().map_err(|error| foreign(&error.to_string()))?;
        Ok((net, channels))
    }
}

impl Member for Vgg {
    fn validate(&self) -> Result<(), SpecError> {
        let (stages, widths) = (self.convs.len(), self.channels_out.len());
        if stages != widths {
            return Err(SpecError::Lengths { stages, widths });
        }
        check("the number of stages", "1 to 6", 1..=6, stages)?;
        for &convs in &self.convs {
            check("convolutions in a stage", "1 to 200", 1..=200, convs)?;
        }
        for &channels in &self.channels_out {
            check("a stage's channels", "1 to 4096", 1..=4096, channels)?;
        }
        Ok(())
    }

    fn build(&self, graph: &mut Builder) -> Value {
        let (mut x, mut place) = (graph.image(), 0);
        for (stage, (&convs, &channels)) in self.convs.iter().zip(&self.channels_out).enumerate() {
            for _ in 0..convs {
                graph.begin_block(stage, "3x3 convolution");
                let names = [place, place + 1].map(|place| format!("features.{place}"));
                let conv = graph.conv_bn(names, [graph.channels(x), channels], 3, 1);
                x = graph.apply(conv, x, None, Activation::Relu, format!("features.{}", place + 2));
                place += 3;
            }
            x = graph.max_pool(x, 2, 2, &format!("features.{place}"));
            place += 1;
        }
        x
    }

    fn is_for_photographs(&self) -> bool {
        false
    }
}
