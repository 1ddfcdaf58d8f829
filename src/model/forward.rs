//! The one walk forward over a graph: for inference, for training, and for looking at what every layer puts out.

use super::{
    graph::{Graph, Node, Op, Shape, Value},
    network::Net,
};
use crate::ops::{Arena, ConvBn, ConvBnInput, HeadOutput, HeadTensors, LayerTensors, Ops, Slots, Window};
use std::collections::HashMap;

/// What a training pass leaves for its way back, by node.
pub(super) struct Tape<O: Ops> {
    /// The first node that learns. Those before it are computed as in inference, and forgotten.
    pub first: usize,
    pub shapes: Vec<Shape>,
    /// Whether there will be a way back.
    keeps: bool,
    pub steps: Vec<Option<Step<O>>>,
    /// The running statistics after the step, of the layers that learn.
    pub fresh: Arena<O::Memory>,
}

/// What a node's backward pass reads.
pub(super) enum Step<O: Ops> {
    ConvBn(ConvBn, O::Saved),
    MaxPool { window: Window, x: O::Tensor, y: O::Tensor },
    AveragePool(Window),
    Silu { x: O::Tensor },
    Head { features: O::Tensor },
}

impl<O: Ops> Tape<O> {
    fn put(&mut self, at: usize, step: Step<O>) {
        self.steps[at] = Some(step).filter(|_| self.keeps);
    }
}

/// Puts a step on a tape, if there is one.
fn keep<O: Ops>(tape: Option<&mut Tape<O>>, at: usize, step: Step<O>) {
    if let Some(tape) = tape {
        tape.put(at, step);
    }
}

impl<O: Ops> Net<O> {
    pub(super) fn layer(&self, layer: usize) -> LayerTensors<O::Tensor> {
        let [weight, gamma, beta] = [0, 1, 2].map(|i| self.ops.view(&self.parameters, 3 * layer + i));
        let [mean, var] = [0, 1].map(|i| self.ops.view(&self.statistics, 2 * layer + i));
        LayerTensors { weight, gamma, beta, mean, var }
    }

    pub(super) fn head(&self) -> HeadTensors<O::Tensor> {
        let at = 3 * self.graph.layers.len();
        let [weight, bias] = [0, 1].map(|i| self.ops.view(&self.parameters, at + i));
        HeadTensors { weight, bias }
    }

    /// A tape for images of `[height, width]`, on which the nodes from the `first` on will be. One that keeps nothing is for
    /// a pass without a way back.
    pub(super) fn tape(&self, first: usize, size: [usize; 2], keeps: bool) -> Tape<O> {
        Tape {
            first,
            keeps,
            shapes: self.graph.shapes(size),
            steps: self.graph.nodes.iter().map(|_| None).collect(),
            fresh: self.ops.empty(&self.statistics.layout, 2 * self.graph.first_layer(first)),
        }
    }

    /// Features and logits of images `[N, H, W, C]`. With a tape, the nodes that learn normalise by the batch's own
    /// statistics. Each node's result is shown to `look`.
    pub(super) fn forward(
        &self,
        images: O::Tensor,
        size: [usize; 2],
        mut tape: Option<&mut Tape<O>>,
        mut look: impl FnMut(&Node, &O::Tensor),
    ) -> HeadOutput<O::Tensor> {
        let Self { graph, ops, .. } = self;
        let (shapes, last_reads) = (graph.shapes(size), graph.last_reads());
        let mut images = Some(images);
        let mut results: Vec<Option<O::Tensor>> = vec![None; graph.nodes.len()];
        let mut end = None;
        for (at, node) in graph.nodes.iter().enumerate() {
            let of = |value: Value| match &results[value.0] {
                Some(tensor) => tensor,
                None => unreachable!("a node reads what was computed before it"),
            };
            let tape = tape.as_deref_mut().filter(|tape| at >= tape.first);
            let pass = if tape.is_some() { "forward" } else { "inference" };
            let _time = (node.op != Op::Image).then(|| ops.span(&|| graph.describe(node, &shapes, pass)));
            let y = match node.op {
                Op::Image => match images.take() {
                    Some(images) => images,
                    None => unreachable!("a graph has one image"),
                },
                Op::ConvBn { layer, input, add, .. } => {
                    let op = graph.conv_bn(node, shapes[input.0].size);
                    let input = ConvBnInput { x: of(input), layer: self.layer(layer.0), residual: add.map(of) };
                    match tape {
                        None => ops.conv_bn_eval(&op, input),
                        Some(tape) => {
                            let fresh = Slots { arena: &mut tape.fresh, at: 2 * layer.0 };
                            let (y, saved) = ops.conv_bn_train(&op, input, fresh);
                            tape.put(at, Step::ConvBn(op, saved));
                            y
                        }
                    }
                }
                Op::MaxPool { input, .. } => {
                    let (window, x) = (graph.pool(node, &shapes), of(input));
                    let y = ops.max_pool(window, x);
                    keep(tape, at, Step::MaxPool { window, x: x.clone(), y: y.clone() });
                    y
                }
                Op::AveragePool { input } => {
                    let window = graph.pool(node, &shapes);
                    keep(tape, at, Step::AveragePool(window));
                    ops.average_pool(window, of(input))
                }
                Op::Silu { input } => {
                    let x = of(input);
                    keep(tape, at, Step::Silu { x: x.clone() });
                    ops.silu(x)
                }
                Op::Head { input } => {
                    let output = ops.head(of(input), &self.head());
                    keep(tape, at, Step::Head { features: output.features.clone() });
                    let logits = output.logits.clone();
                    end = Some(output);
                    logits
                }
            };
            look(node, &y);
            results[at] = Some(y);
            for read in node.reads().filter(|read| last_reads[read.0] == at) {
                results[read.0] = None;
            }
        }
        match end {
            Some(output) => output,
            None => unreachable!("the head is the last node"),
        }
    }
}

impl Graph {
    /// The window of a pool.
    fn pool(&self, node: &Node, shapes: &[Shape]) -> Window {
        let window = node.reads().next().and_then(|input| self.window(node, shapes[input.0].size));
        match window {
            Some(window) => window,
            None => unreachable!("a pool has a window"),
        }
    }

    /// Bytes that each convolution of a pass over so many images must at least move, by what a profile calls it: every
    /// activation once, and its gradient.
    pub(crate) fn traffic(&self, size: [usize; 2], batch: usize) -> HashMap<String, u64> {
        let shapes = self.shapes(size);
        let mut traffic = HashMap::new();
        for (node, shape) in self.nodes.iter().zip(&shapes) {
            let Op::ConvBn { input, add, .. } = node.op else { continue };
            let (x, y, added) = (shapes[input.0].count(), shape.count(), add.map_or(0, |_| shape.count()));
            let dx = if self.nodes[input.0].op == Op::Image { 0 } else { x };
            // Trained, the result before the normalisation is written too; the way back reads all three.
            for (pass, values) in
                [("inference", x + added + y), ("forward", x + added + 2 * y), ("backward", x + 3 * y + dx)]
            {
                traffic.insert(self.describe(node, &shapes, pass), (4 * batch * values) as u64);
            }
        }
        traffic
    }

    /// A node as a profile calls it: `conv 3x3/2 16→32 on 32x32, backward`.
    pub(super) fn describe(&self, node: &Node, shapes: &[Shape], pass: &str) -> String {
        match node.op {
            Op::ConvBn { layer, input, add, .. } => {
                let (layer, [h, w]) = (self.layer(layer), shapes[input.0].size);
                let (k, stride) = (layer.kernel, layer.stride);
                let added = if add.is_some() { ", residual" } else { "" };
                let groups = match layer.groups {
                    1 => String::new(),
                    groups if groups == layer.input => ", depthwise".into(),
                    groups => format!(", {groups} groups"),
                };
                format!("conv {k}x{k}/{stride} {}→{}{groups} on {h}x{w}{added}, {pass}", layer.input, layer.output)
            }
            Op::Image => "images".into(),
            Op::MaxPool { .. } => format!("max-pool, {pass}"),
            Op::AveragePool { .. } => format!("average-pool, {pass}"),
            Op::Silu { .. } => format!("SiLU, {pass}"),
            Op::Head { .. } => format!("head, {pass}"),
        }
    }
}
