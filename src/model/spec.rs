//! What a network is, without a single tensor: a specification that can be written down, compared, counted and recognised
//! from a weight file. Its [`Graph`] says how it is wired.

pub use super::tensors::TensorInfo;
pub(crate) use super::{
    families::{ARCHITECTURES, Block, Family, ResNet, SpecError, Stem},
    tensors::Role,
};
pub use crate::ops::Padding;

use super::{
    families::{Conventions, Nonlinearity, check},
    graph::{Builder, Graph},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A network for `classes` classes of images with `channels` channels.
///
/// [`ModelSpec::validate`] holds for every value that the constructors and the parser return.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// Name of the architecture, such as `resnet18` or `custom`.
    pub architecture: String,
    #[serde(flatten)]
    pub(crate) family: Family,
    /// Input channels: 1 or 3.
    pub(crate) channels: usize,
    pub(crate) classes: usize,
    #[serde(default)]
    pub(crate) padding: Padding,
    /// Added to the variance in every batch normalisation.
    #[serde(default = "default_bn_eps")]
    pub(crate) bn_eps: f64,
}

fn default_bn_eps() -> f64 {
    1e-5
}

impl ModelSpec {
    /// A network by name. `stem` is `None` for the architecture's own.
    pub fn named(architecture: &str, stem: Option<Stem>, channels: usize, classes: usize) -> Result<Self, SpecError> {
        Self::of(architecture, Family::named(architecture, stem)?, channels, classes)
    }

    /// A residual network of your own: `stages[i]` blocks of width `widths[i]`.
    pub fn custom(
        block: Block,
        stem: Stem,
        stages: Vec<usize>,
        widths: Vec<usize>,
        channels: usize,
        classes: usize,
    ) -> Result<Self, SpecError> {
        Self::of("custom", Family::ResNet(ResNet::new(block, stem, stages, widths)), channels, classes)
    }

    /// A member of a family under a name, with its conventions.
    pub(crate) fn of(architecture: &str, family: Family, channels: usize, classes: usize) -> Result<Self, SpecError> {
        let Conventions { padding, bn_eps, .. } = family.member().conventions();
        Self { architecture: architecture.to_owned(), family, channels, classes, padding, bn_eps }.validate()
    }

    /// Checks every field, so that what was read from a file can be built without a surprise.
    pub(crate) fn validate(self) -> Result<Self, SpecError> {
        self.family.member().validate()?;
        if !matches!(self.channels, 1 | 3) {
            return Err(SpecError::Range { what: "input channels", range: "1 or 3", got: self.channels });
        }
        check("the number of classes", "2 to 65535", 2..=65535, self.classes)?;
        Ok(self)
    }

    /// The same network with other padding.
    pub fn with_padding(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }

    /// The same network, if it is a residual one, with another activation.
    pub(crate) fn with_nonlinearity(mut self, nonlinearity: Nonlinearity) -> Self {
        if let Family::ResNet(net) = &mut self.family {
            net.nonlinearity = nonlinearity;
        }
        self
    }

    /// The stem, of a family whose members have a choice of them.
    pub fn stem(&self) -> Option<Stem> {
        self.family.stem()
    }

    /// What its weights do not tell.
    pub(crate) fn conventions(&self) -> Conventions {
        self.family.member().conventions()
    }

    /// Whether it is made for photographs of about 224 pixels, else for images of about 32.
    pub(crate) fn is_for_photographs(&self) -> bool {
        self.family.member().is_for_photographs()
    }

    /// The network but for its head, as text: `resnet18 (cifar stem)`.
    pub(crate) fn backbone(&self) -> String {
        match self.stem() {
            Some(stem) if !self.architecture.starts_with("cifar_") => format!("{} ({stem} stem)", self.architecture),
            _ => self.architecture.clone(),
        }
    }

    /// How the network is wired.
    pub fn graph(&self) -> Graph {
        let member = self.family.member();
        let mut builder =
            Builder::new(self.channels, self.classes, member.head_name(), self.padding, self.bn_eps as f32);
        let features = member.build(&mut builder);
        builder.finish(features)
    }

    /// Every tensor of the network in the order of torchvision's state dictionary, without `num_batches_tracked`.
    pub fn tensors(&self) -> Vec<TensorInfo> {
        self.graph().tensors()
    }

    /// Names of the head's weight and bias.
    pub(crate) fn head_tensors(&self) -> [String; 2] {
        ["weight", "bias"].map(|leaf| format!("{}.{leaf}", self.family.member().head_name()))
    }

    /// Number of trained values.
    pub fn parameters(&self) -> usize {
        self.tensors().iter().filter(|tensor| tensor.role.is_parameter()).map(TensorInfo::count).sum()
    }

    /// Channels that reach the head.
    pub(crate) fn features(&self) -> usize {
        self.graph().features()
    }
}

impl fmt::Display for ModelSpec {
    /// `resnet18 (cifar stem), 10 classes`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} classes", self.backbone(), self.classes)
    }
}

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
            ("wide_resnet50_2", 66_854_730),
            ("cifar_vgg11_bn", 9_228_362),
            ("cifar_resnet20", 272_474),
            ("cifar_resnet56", 855_770),
        ] {
            assert_eq!(ModelSpec::named(name, None, 3, 10).unwrap().parameters(), count, "{name}");
        }
        // As torchvision and timm count them, with ImageNet's classes.
        for (name, count) in [
            ("wide_resnet101_2", 126_886_696),
            ("resnet18d", 11_708_744),
            ("resnet50d", 25_576_264),
            ("resnet152d", 60_212_040),
            ("resnet50_v1", 25_557_032),
            ("mobilenet_v2", 3_504_872),
            ("mobilenet_v2_035", 1_677_128),
            ("mobilenet_v2_050", 1_968_680),
            ("mobilenet_v2_140", 6_108_776),
            ("resnext50_32x4d", 25_028_904),
            ("resnext101_32x4d", 44_177_704),
            ("resnext101_32x8d", 88_791_336),
            ("resnext101_64x4d", 83_455_272),
            ("efficientnet_lite0", 4_652_008),
            ("efficientnet_lite1", 5_416_680),
            ("efficientnet_lite2", 6_092_072),
            ("efficientnet_lite3", 8_197_096),
            ("efficientnet_lite4", 13_006_568),
        ] {
            assert_eq!(ModelSpec::named(name, None, 3, 1000).unwrap().parameters(), count, "{name}");
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = ModelSpec::named("resnet19", None, 3, 10).unwrap_err().to_string();
        assert!(error.contains("resnet19") && error.contains("cifar_resnet20"), "{error}");
    }

    #[test]
    fn a_specification_is_written_flat_and_read_again() {
        let spec = ModelSpec::named("resnet50", Some(Stem::Cifar), 3, 10).unwrap();
        let text = serde_json::to_string(&spec).unwrap();
        let start = r#"{"architecture":"resnet50","block":"bottleneck","stem":"cifar","stages":[3,4,6,3],"widths":["#;
        assert!(text.starts_with(start), "{text}");
        assert_eq!(serde_json::from_str::<ModelSpec>(&text).unwrap(), spec);
    }
}
