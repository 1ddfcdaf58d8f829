//! Which network a set of named shapes is.
//!
//! A family reads its depth and widths off a few shapes; then every tensor is held against the specification that comes
//! out, so that nothing is guessed past a disagreement. The head has many forms and may be missing: it is no part of this,
//! and the number of classes that comes out says nothing.

use super::{
    error::Problem,
    fit::{self, Difference, Mismatch, Shapes},
};
use crate::model::{Family, ModelSpec, spec::ARCHITECTURES};

/// Stands for the number of classes, which the backbone does not tell.
const CLASSES: usize = 2;

/// What the tensors before the head differ in.
fn differences(shapes: &Shapes, spec: &ModelSpec) -> Vec<Difference> {
    let mut differences = fit::differences(shapes, spec);
    let head = spec.head_tensors();
    differences.retain(|difference| !head.contains(&difference.name));
    differences
}

/// The network whose tensors these are, with PyTorch's padding.
///
/// # Errors
/// When they are not a ResNet's, or one that this family does not contain.
pub(crate) fn recognise(shapes: &Shapes) -> Result<ModelSpec, Problem> {
    let spec = outline(shapes)?;
    let fault = differences(shapes, &spec);
    if fault.is_empty() {
        return Ok(spec);
    }
    // A variant of a known network (a wider one, say) is best told by what it has in other sizes than that.
    let names = |spec: &ModelSpec| spec.tensors().into_iter().map(|info| info.name).collect::<Vec<_>>();
    let known = known(&spec).find(|known| names(known) == names(&spec));
    let (differences, nearest) = match known {
        Some(known) => (differences(shapes, &known), known),
        None => (fault, spec),
    };
    let model = format!("any ResNet known here (nearest: {})", nearest.backbone());
    Err(Problem::Mismatch(Box::new(Mismatch { differences, model, looks_like: None })))
}

/// The architectures with the stem and the channels of a network.
fn known(spec: &ModelSpec) -> impl Iterator<Item = ModelSpec> {
    let (stem, channels) = (spec.stem(), spec.channels);
    ARCHITECTURES.iter().filter_map(move |name| ModelSpec::named(name, stem, channels, CLASSES).ok())
}

/// The network that a few telling shapes suggest; the others may disagree.
pub(crate) fn outline(shapes: &Shapes) -> Result<ModelSpec, Problem> {
    let (family, channels) = Family::outline(shapes).map_err(Problem::NotANetwork)?;
    let spec = ModelSpec::of("custom", family, channels, CLASSES);
    let spec = spec.map_err(|error| Problem::NotANetwork(error.to_string()))?;
    let named = known(&spec).find(|known| known.family == spec.family);
    Ok(named.unwrap_or(spec))
}

/// Holds shapes against a wanted network.
///
/// # Errors
/// A [`Mismatch`] that names both sides and what the file looks like.
pub(crate) fn require(shapes: &Shapes, wanted: &ModelSpec) -> Result<(), Problem> {
    let differences = differences(shapes, wanted);
    if differences.is_empty() {
        return Ok(());
    }
    let looks_like = outline(shapes).ok().map(|spec| spec.backbone());
    Err(Problem::Mismatch(Box::new(Mismatch { differences, model: wanted.backbone(), looks_like })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Block, Stem,
        families::resnet::{Form, ResNet},
    };

    fn shapes_of(spec: &ModelSpec) -> Shapes {
        spec.tensors().into_iter().map(|info| (info.name, info.shape)).collect()
    }

    #[test]
    fn every_network_is_recognised_from_its_own_shapes() {
        for name in ARCHITECTURES {
            for (stem, channels, classes) in [(None, 3, 10), (Some(Stem::Cifar), 1, 1000)] {
                let spec = ModelSpec::named(name, stem, channels, classes).unwrap();
                let recognised = recognise(&shapes_of(&spec)).unwrap();
                // Strides are told neither by the tensors of a MobileNet nor by those of a ResNet v1.
                match spec.family {
                    Family::MobileNet(_) => {
                        let spec = ModelSpec::named(name, None, channels, classes).unwrap();
                        assert_eq!(ModelSpec { classes, ..recognised }, spec);
                    }
                    Family::ResNet(ResNet { form: Form::V1, .. }) => {
                        assert_eq!(ModelSpec { classes, ..recognised }.tensors(), spec.tensors());
                    }
                    _ => assert_eq!(ModelSpec { classes, ..recognised }, spec),
                }
            }
        }
        let custom = ModelSpec::custom(Block::Bottleneck, Stem::Imagenet, vec![1, 2], vec![24, 40], 3, 7).unwrap();
        let recognised = recognise(&shapes_of(&custom)).unwrap();
        assert_eq!(ModelSpec { classes: 7, ..recognised }, custom);
    }

    #[test]
    fn what_does_not_fit_is_told_with_both_sides() {
        let resnet50 = ModelSpec::named("resnet50", None, 3, 1000).unwrap();
        let wanted =
            ModelSpec { architecture: "resnet18".into(), ..ModelSpec::named("resnet18", None, 3, 1000).unwrap() };
        let error = require(&shapes_of(&resnet50), &wanted).unwrap_err().to_string();
        assert!(error.contains("layer1.0.conv1.weight: file 64x64x1x1, model 64x64x3x3"), "{error}");
        assert!(error.contains("looks like resnet50"), "{error}");

        // Everything inside a block is half as wide again.
        let mut wide = shapes_of(&resnet50);
        for (name, shape) in wide.iter_mut().filter(|(name, _)| name.starts_with("layer")) {
            match name.split('.').nth(2) {
                Some("conv1" | "bn1" | "bn2") => shape[0] += shape[0] / 2,
                Some("conv2") => (shape[0], shape[1]) = (shape[0] * 3 / 2, shape[1] * 3 / 2),
                Some("conv3") => shape[1] += shape[1] / 2,
                _ => {}
            }
        }
        let error = recognise(&wide).unwrap_err().to_string();
        assert!(error.contains("nearest: resnet50"), "{error}");
        assert!(error.contains("layer1.0.conv1.weight: file 96x64x1x1, model 64x64x1x1"), "{error}");
    }

    #[test]
    fn missing_parts_are_named() {
        let full = shapes_of(&ModelSpec::named("resnet18", None, 3, 10).unwrap());
        for (name, word) in [("conv1.weight", "first convolution"), ("layer1.0.conv1.weight", "residual")] {
            let mut shapes = full.clone();
            shapes.remove(name);
            let error = recognise(&shapes).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let mut hole = full;
        hole.remove("layer3.1.bn2.bias");
        let error = recognise(&hole).unwrap_err().to_string();
        assert!(error.contains("layer3.1.bn2.bias: file none, model 256"), "{error}");
    }
}
