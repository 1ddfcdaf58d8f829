//! What the passes of a network take of memory: one more fold over its graph, before any tensor is there.
//!
//! Counted are values, of one image; nothing here knows how they are stored. A training pass keeps what the backward pass
//! will read, and beside it a few tensors live at any time. These are counted by size, since freed memory serves whoever
//! asks for as much: of each size there are at most [`AT_WORK`] that are not kept.

use super::{
    Frozen, Graph,
    graph::{Node, Op, Shape},
};
use std::collections::BTreeMap;

/// A gradient, the one made from it, and that of the shortcut.
const AT_WORK: u64 = 3;

/// A tensor of a forward pass.
struct Made {
    values: u64,
    depth: usize,
    /// Tensors of this size that training keeps: of a convolution its output and the result before the normalisation,
    /// else the tensor.
    kept: u64,
}

/// Every tensor that the network makes of one image of `[height, width]` pixels, which is the first.
fn made(graph: &Graph, size: [usize; 2]) -> Vec<Made> {
    let nodes = graph.nodes.iter().zip(graph.shapes(size)).filter(|(node, _)| !node.is_head());
    let of = |(node, shape): (&Node, Shape)| Made {
        values: shape.count() as u64,
        depth: node.depth,
        kept: if matches!(node.op, Op::ConvBn { .. }) { 2 } else { 1 },
    };
    nodes.map(of).collect()
}

/// How many tensors of as many values live at once, by that number.
pub(crate) type Tensors = BTreeMap<u64, u64>;

fn at_work(made: &[Made]) -> Tensors {
    let mut sizes = Tensors::new();
    made.iter().for_each(|tensor| *sizes.entry(tensor.values).or_default() += 1);
    sizes.values_mut().for_each(|count| *count = AT_WORK.min(*count));
    sizes
}

/// The tensors of one image at the height of a training pass.
pub(crate) fn training_tensors(graph: &Graph, size: [usize; 2], frozen: Frozen) -> Tensors {
    let made = made(graph, size);
    let mut sizes = at_work(&made);
    let first = frozen.first_depth();
    let kept = made.iter().filter(|tensor| tensor.depth >= first);
    kept.for_each(|tensor| *sizes.entry(tensor.values).or_default() += tensor.kept);
    sizes
}

/// Those of [`training_tensors`] that are not kept.
pub(crate) fn at_work_tensors(graph: &Graph, size: [usize; 2]) -> Tensors {
    at_work(&made(graph, size))
}

/// The tensors of one image at the height of inference, which lets go of each as soon as nobody will read it: of each size
/// as many as are ever there at once.
pub(crate) fn inference_tensors(graph: &Graph, size: [usize; 2]) -> Tensors {
    let (shapes, last_reads) = (graph.shapes(size), graph.last_reads());
    let (mut live, mut most) = (Tensors::new(), Tensors::new());
    for (at, node) in graph.nodes.iter().enumerate().filter(|(_, node)| !node.is_head()) {
        let values = |at: usize| shapes[at].count() as u64;
        let count = live.entry(values(at)).or_default();
        *count += 1;
        let most = most.entry(values(at)).or_default();
        *most = (*count).max(*most);
        for read in node.reads().filter(|read| last_reads[read.0] == at) {
            live.entry(values(read.0)).and_modify(|count| *count -= 1);
        }
    }
    most
}

fn values(tensors: Tensors) -> u64 {
    tensors.into_iter().map(|(values, count)| values * count).sum()
}

/// Values that are in memory at the height of a training pass, for each image of `[height, width]` pixels.
pub(crate) fn training(graph: &Graph, size: [usize; 2], frozen: Frozen) -> u64 {
    values(training_tensors(graph, size, frozen))
}

/// Values that are in memory at the height of inference, for each image of `[height, width]` pixels.
pub(crate) fn inference(graph: &Graph, size: [usize; 2]) -> u64 {
    values(inference_tensors(graph, size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ModelSpec, Stem};

    #[test]
    fn the_tensors_are_those_that_the_network_makes() {
        let graph = ModelSpec::named("cifar_resnet8", None, 3, 10).unwrap().graph();
        let values: Vec<u64> = made(&graph, [31, 32]).iter().map(|tensor| tensor.values).collect();
        let [a, b, c] = [31 * 32 * 16, 16 * 16 * 32, 8 * 8 * 64];
        // Each block but the first one narrows, so it has a projection beside its two convolutions.
        assert_eq!(values, [31 * 32 * 3, a, a, a, b, b, b, c, c, c]);
        let graph = ModelSpec::named("resnet50", Some(Stem::Imagenet), 3, 1000).unwrap().graph();
        let values: Vec<u64> = made(&graph, [224; 2]).iter().map(|tensor| tensor.values).collect();
        assert_eq!(values[..4], [224 * 224 * 3, 112 * 112 * 64, 56 * 56 * 64, 56 * 56 * 64]);
        assert_eq!(values.iter().max(), Some(&(graph.largest_activation([224; 2]) as u64)));
    }

    #[test]
    fn inference_holds_a_block_s_input_what_is_made_of_it_and_the_sum() {
        let graph = ModelSpec::named("cifar_resnet8", None, 3, 10).unwrap().graph();
        let largest = inference_tensors(&graph, [32; 2]).pop_last();
        assert_eq!(largest, Some((32 * 32 * 16, 3)));
    }

    #[test]
    fn what_is_frozen_keeps_nothing() {
        let graph = ModelSpec::named("resnet18", Some(Stem::Imagenet), 3, 10).unwrap().graph();
        let of = |frozen| training(&graph, [224; 2], frozen);
        let falling = [of(Frozen::Nothing), of(Frozen::Stages(0)), of(Frozen::Stages(2)), of(Frozen::Backbone)];
        assert!(falling.is_sorted_by(|a, b| a > b), "{falling:?}");
        assert!(of(Frozen::Backbone) >= inference(&graph, [224; 2]));
    }
}
