//! What the passes of a network take of memory: one more fold over its layers, before any tensor is there.
//!
//! Counted are values, of one image; nothing here knows how they are stored. A training pass keeps what the backward pass
//! will read ([`tape`](super::tape)), and beside it a few tensors live at any time. These are counted by size, since freed
//! memory serves whoever asks for as much: of each size there are at most [`AT_WORK`] that are not kept.

use super::{Frozen, ModelSpec, Stem};
use std::collections::BTreeMap;

/// A gradient, the one made from it, and that of the shortcut; in inference a block's input, what is made of it, and the
/// shortcut.
const AT_WORK: u64 = 3;

/// A tensor of a forward pass.
struct Made {
    values: u64,
    /// 0 for what comes before the stages, `s + 1` in stage `s`.
    depth: usize,
    /// Tensors of this size that training keeps: of a unit its output and the convolution's result, else the tensor.
    kept: u64,
}

/// Every tensor that the network makes of one image of `[height, width]` pixels, which is the first.
fn made(spec: &ModelSpec, size: [usize; 2]) -> Vec<Made> {
    // All paddings of this family give ceil(n / stride).
    let area = |scale: usize| size.iter().map(|n| n.div_ceil(scale) as u64).product::<u64>();
    let stem = spec.stem_conv();
    let mut scale = stem.stride;
    let mut made = vec![
        Made { values: area(1) * stem.input as u64, depth: 0, kept: 1 },
        Made { values: area(scale) * stem.output as u64, depth: 0, kept: 2 },
    ];
    if spec.stem == Stem::Imagenet {
        scale *= 2;
        made.push(Made { values: area(scale) * stem.output as u64, depth: 0, kept: 1 });
    }
    for block in spec.blocks() {
        let depth = block.stage + 1;
        for conv in &block.convs {
            scale *= conv.stride;
            made.push(Made { values: area(scale) * conv.output as u64, depth, kept: 2 });
        }
        let projection = block.projection.iter();
        made.extend(projection.map(|conv| Made { values: area(scale) * conv.output as u64, depth, kept: 2 }));
    }
    made
}

fn at_work(made: &[Made]) -> u64 {
    let mut sizes = BTreeMap::<u64, u64>::new();
    made.iter().for_each(|tensor| *sizes.entry(tensor.values).or_default() += 1);
    sizes.into_iter().map(|(values, count)| values * count.min(AT_WORK)).sum()
}

/// Values that are in memory at the height of a training pass, for each image of `[height, width]` pixels.
pub fn training(spec: &ModelSpec, size: [usize; 2], frozen: Frozen) -> u64 {
    let first = match frozen {
        Frozen::Nothing => 0,
        Frozen::Stages(stages) => stages.saturating_add(1),
        Frozen::Backbone => usize::MAX,
    };
    let made = made(spec, size);
    let kept: u64 = made.iter().filter(|tensor| tensor.depth >= first).map(|tensor| tensor.values * tensor.kept).sum();
    kept + at_work(&made)
}

/// Values that are in memory at the height of inference, for each image of `[height, width]` pixels.
pub fn inference(spec: &ModelSpec, size: [usize; 2]) -> u64 {
    at_work(&made(spec, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tensors_are_those_that_the_network_makes() {
        let spec = ModelSpec::named("cifar_resnet8", None, 3, 10).unwrap();
        let values: Vec<u64> = made(&spec, [31, 32]).iter().map(|tensor| tensor.values).collect();
        let [a, b, c] = [31 * 32 * 16, 16 * 16 * 32, 8 * 8 * 64];
        // Each block but the first one narrows, so it has a projection behind its two convolutions.
        assert_eq!(values, [31 * 32 * 3, a, a, a, b, b, b, c, c, c]);
        let spec = ModelSpec::named("resnet50", Some(Stem::Imagenet), 3, 1000).unwrap();
        let values: Vec<u64> = made(&spec, [224; 2]).iter().map(|tensor| tensor.values).collect();
        assert_eq!(values[..5], [224 * 224 * 3, 112 * 112 * 64, 56 * 56 * 64, 56 * 56 * 64, 56 * 56 * 64]);
        assert_eq!(values.iter().max(), Some(&(spec.largest_activation([224; 2]) as u64)));
    }

    #[test]
    fn what_is_frozen_keeps_nothing() {
        let spec = ModelSpec::named("resnet18", Some(Stem::Imagenet), 3, 10).unwrap();
        let of = |frozen| training(&spec, [224; 2], frozen);
        let falling = [of(Frozen::Nothing), of(Frozen::Stages(0)), of(Frozen::Stages(2)), of(Frozen::Backbone)];
        assert!(falling.is_sorted_by(|a, b| a > b), "{falling:?}");
        assert_eq!(of(Frozen::Backbone), inference(&spec, [224; 2]));
    }
}
