//! The one walk back over a graph, through what a forward pass left on its tape.

use super::{
    forward::{Step, Tape},
    graph::Op,
    learning::Frozen,
    network::Net,
};
use crate::ops::{Arena, Needs, Objective, Ops, Slots};

/// What a training pass yields; it changes nothing.
pub(super) struct Pass<O: Ops> {
    /// Of the parameters that learn.
    pub gradients: Arena<O::Memory>,
    /// The running statistics after it, of the layers that learn.
    pub fresh: Arena<O::Memory>,
    /// Each sample's own loss `[N]`.
    pub losses: O::Tensor,
}

impl<O: Ops> Net<O> {
    /// Forward and backward on one batch of images `[N, H, W, C]` of `size`. Activations and their gradients are stored as
    /// the images are, in 32 or 16 bits. To `metrics` `[2]` are added the number of samples times the loss, and hits.
    pub(super) fn pass(
        &self,
        (images, targets): (O::Tensor, &O::Targets),
        size: [usize; 2],
        objective: Objective<O::Tensor>,
        metrics: &mut O::Tensor,
        frozen: Frozen,
    ) -> Pass<O> {
        let mut tape = self.tape(self.graph.first_node(frozen), size, true);
        let logits = self.forward(images, size, Some(&mut tape), |_, _| {}).logits;
        let loss = {
            let _time = self.ops.span(&|| "loss".into());
            self.ops.cross_entropy(&logits, targets, objective, metrics)
        };
        drop(logits);
        let first = 3 * self.graph.first_layer(tape.first);
        let mut gradients = self.ops.empty(&self.parameters.layout, first);
        self.backward(&mut tape, loss.gradient, &mut gradients);
        Pass { gradients, fresh: tape.fresh, losses: loss.losses }
    }

    /// From the gradient of the logits to those of all parameters that learn. All readers of a node come after it, so on the way
    /// back its gradient is complete when its turn comes.
    fn backward(&self, tape: &mut Tape<O>, logits: O::Tensor, into: &mut Arena<O::Memory>) {
        let Self { graph, ops, .. } = self;
        let (first, shapes) = (tape.first, &tape.shapes);
        let mut gradients: Vec<Option<O::Tensor>> = vec![None; graph.nodes.len()];
        gradients[graph.nodes.len() - 1] = Some(logits);
        for (at, node) in graph.nodes.iter().enumerate().skip(first).rev() {
            let _time = ops.span(&|| graph.describe(node, shapes, "backward"));
            let (Some(gradient), Some(step)) = (gradients[at].take(), tape.steps[at].take()) else {
                unreachable!("a gradient reaches every node that learns, and each was on the tape")
            };
            match (&node.op, step) {
                (&Op::Head { input }, Step::Head { features }) => {
                    let pixels = (input.0 >= first).then_some(shapes[input.0].size);
                    let slots = Slots { arena: into, at: 3 * graph.layers.len() };
                    gradients[input.0] = ops.head_backward(gradient, &features, &self.head().weight, pixels, slots);
                }
                (&Op::MaxPool { input, .. }, Step::MaxPool { window, x, y }) if input.0 >= first => {
                    gradients[input.0] = Some(ops.max_pool_backward(window, gradient, &x, &y));
                }
                (&Op::AveragePool { input }, Step::AveragePool(window)) if input.0 >= first => {
                    gradients[input.0] = Some(ops.average_pool_backward(window, gradient, shapes[input.0].size));
                }
                (&Op::Silu { input }, Step::Silu { x }) if input.0 >= first => {
                    gradients[input.0] = Some(ops.silu_backward(gradient, &x));
                }
                (&Op::ConvBn { layer, input, add, .. }, Step::ConvBn(op, saved)) => {
                    let needs = Needs { input: input.0 >= first, residual: add.is_some_and(|add| add.0 >= first) };
                    let earlier = gradients[input.0].take().filter(|_| needs.input);
                    let slots = Slots { arena: into, at: 3 * layer.0 };
                    let out = ops.conv_bn_backward(&op, gradient, saved, earlier, needs, slots);
                    gradients[input.0] = out.x;
                    if let (Some(add), Some(residual)) = (add, out.residual) {
                        gradients[add.0] = Some(residual);
                    }
                }
                _ => {}
            }
        }
    }
}
