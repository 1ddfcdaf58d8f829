//! Which network a set of named shapes is.
//!
//! Depth, width, block, stem and channels all follow from a few shapes. They are read off, and then every tensor is held
//! against the specification that comes out, so that nothing is guessed past a disagreement. The head has many forms and
//! may be missing: it is no part of this, and the number of classes that comes out says nothing.

use super::{
    error::Problem,
    fit::{self, Difference, Mismatch, Shapes},
};
use crate::model::{Block, ModelSpec, Stem, spec::ARCHITECTURES};

/// Stands for the number of classes, which the backbone does not tell.
const CLASSES: usize = 2;

/// What the tensors before the head differ in.
fn differences(shapes: &Shapes, spec: &ModelSpec) -> Vec<Difference> {
    let mut differences = fit::differences(shapes, spec);
    differences.retain(|difference| !difference.name.starts_with("fc."));
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
    let known = ARCHITECTURES
        .iter()
        .filter_map(|name| ModelSpec::named(name, Some(spec.stem), spec.channels, CLASSES).ok())
        .find(|known| (known.block, &known.stages) == (spec.block, &spec.stages));
    let (differences, nearest) = match known {
        Some(known) => (differences(shapes, &known), known),
        None => (fault, spec),
    };
    let model = format!("any ResNet known here (nearest: {})", nearest.backbone());
    Err(Problem::Mismatch(Box::new(Mismatch { differences, model, looks_like: None })))
}

/// The network that a few telling shapes suggest; the others may disagree.
pub(crate) fn outline(shapes: &Shapes) -> Result<ModelSpec, Problem> {
    let foreign = |what: &str| Problem::NotANetwork(format!("not a ResNet's weights: {what}"));
    let conv = |name: &str| match shapes.get(name).map(Vec::as_slice) {
        Some(&[output, input, height, width]) if height == width => Some((output, input, height)),
        _ => None,
    };
    let (_, channels, kernel) = conv("conv1.weight").ok_or_else(|| foreign("no first convolution (`conv1`)"))?;
    let stem = match kernel {
        7 => Stem::Imagenet,
        3 => Stem::Cifar,
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
    let block = if shapes.contains_key("layer1.0.conv3.weight") { Block::Bottleneck } else { Block::Basic };
    let known = ARCHITECTURES.iter().filter_map(|name| ModelSpec::named(name, Some(stem), channels, CLASSES).ok());
    let mut known = known.filter(|spec| (spec.block, &spec.stages, &spec.widths) == (block, &stages, &widths));
    match known.next() {
        Some(spec) => Ok(spec),
        None => ModelSpec::custom(block, stem, stages.clone(), widths.clone(), channels, CLASSES)
            .map_err(|error| foreign(&error.to_string())),
    }
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

    fn shapes_of(spec: &ModelSpec) -> Shapes {
        spec.tensors().into_iter().map(|info| (info.name, info.shape)).collect()
    }

    #[test]
    fn every_network_is_recognised_from_its_own_shapes() {
        for name in ARCHITECTURES {
            for (stem, channels, classes) in [(None, 3, 10), (Some(Stem::Cifar), 1, 1000)] {
                let spec = ModelSpec::named(name, stem, channels, classes).unwrap();
                let recognised = recognise(&shapes_of(&spec)).unwrap();
                assert_eq!(ModelSpec { classes, ..recognised }, spec);
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

        // A Wide ResNet-50: everything inside a block is twice as wide.
        let mut wide = shapes_of(&resnet50);
        for (name, shape) in wide.iter_mut().filter(|(name, _)| name.starts_with("layer")) {
            match name.split('.').nth(2) {
                Some("conv1" | "bn1" | "bn2") => shape[0] *= 2,
                Some("conv2") => (shape[0], shape[1]) = (shape[0] * 2, shape[1] * 2),
                Some("conv3") => shape[1] *= 2,
                _ => {}
            }
        }
        let error = recognise(&wide).unwrap_err().to_string();
        assert!(error.contains("nearest: resnet50"), "{error}");
        assert!(error.contains("layer1.0.conv1.weight: file 128x64x1x1, model 64x64x1x1"), "{error}");
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
