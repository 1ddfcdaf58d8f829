//! Whether a file's steps are wired as a network's graph is, and which of them then is which layer.
//!
//! From the image on, every node of the graph gets the steps that may be it: those that compute what it does of steps that
//! may be its inputs. Mostly there is one; of two convolutions of one input and of one size, as in the first block of a
//! ResNet-50, what reads them decides.

use super::{
    layers::{Conv, Fill, Kind, Layers},
    window::Square,
};
use crate::{
    model::{
        Graph, ModelSpec,
        graph::{Node, Op, Shape, Value},
    },
    ops::Activation,
};
use std::collections::HashMap;

/// How a node is computed by a step.
struct Match {
    /// The step of the convolution, of a node that is one.
    conv: Option<usize>,
    /// Nodes, and the steps that they are.
    inputs: Vec<(usize, usize)>,
}

/// Why a step is not a node, and how far it was alike.
struct Fault(u8, String);

/// It computes something else altogether.
const STRANGE: Fault = Fault(0, String::new());

pub(super) struct Wiring<'w, 'a> {
    layers: &'w Layers<'a>,
    graph: Graph,
    shapes: Vec<Shape>,
    /// For each node the steps that it may be.
    known: Vec<HashMap<usize, Match>>,
}

impl<'w, 'a> Wiring<'w, 'a> {
    /// For images of `size`.
    pub(super) fn new(layers: &'w Layers<'a>, spec: &ModelSpec, size: [usize; 2]) -> Self {
        let graph = spec.graph();
        let shapes = graph.shapes(size);
        Self { layers, graph, shapes, known: Vec::new() }
    }

    /// The convolution of each layer, in the graph's order, where the step `features` is what the head reads.
    ///
    /// # Errors
    /// What is different, after the name of a node.
    pub(super) fn convs(mut self, features: usize) -> Result<Vec<&'w Conv<'a>>, String> {
        for at in 0..self.graph.nodes.len() - 1 {
            let mut fault = STRANGE;
            let mut known = HashMap::new();
            for step in 0..self.layers.steps.len() {
                match self.matched(&self.graph.nodes[at], step) {
                    Ok(found) => drop(known.insert(step, found)),
                    Err(other) if other.0 > fault.0 => fault = other,
                    Err(_) => {}
                }
            }
            if known.is_empty() {
                let Fault(_, what) = if fault.0 > 0 { fault } else { Fault(0, "is missing".into()) };
                return Err(format!("`{}` {what}", self.graph.nodes[at].name));
            }
            self.known.push(known);
        }
        // The head comes last.
        let last = self.known.len() - 1;
        let mut open = vec![(last, features)];
        let mut convs = vec![None; self.graph.layers.len()];
        let mut seen = vec![false; self.graph.nodes.len()];
        while let Some((at, step)) = open.pop() {
            let Some(found) = self.known[at].get(&step) else { continue };
            if std::mem::replace(&mut seen[at], true) {
                continue;
            }
            open.extend(&found.inputs);
            if let (Op::ConvBn { layer, .. }, Some(step)) = (&self.graph.nodes[at].op, found.conv)
                && let Kind::Conv { conv, .. } = &self.layers.steps[step].kind
            {
                convs[layer.0] = Some(conv);
            }
        }
        convs.into_iter().collect::<Option<_>>().ok_or_else(|| "what comes behind its last block is another".into())
    }

    /// How a step is a node.
    fn matched(&self, node: &Node, step: usize) -> Result<Match, Fault> {
        match (&node.op, &self.layers.steps[step].kind) {
            (Op::Image, Kind::Image { .. }) => Ok(Match { conv: None, inputs: Vec::new() }),
            (Op::MaxPool { input, .. }, Kind::MaxPool { input: from, window }) => {
                let (from, window) = self.unpadded(*from, *window, true);
                self.pool(node, *input, from, window)
            }
            (Op::AveragePool { input }, Kind::AveragePool { input: from, window }) => {
                self.pool(node, *input, *from, *window)
            }
            (&Op::Silu { input }, &Kind::Silu { input: from }) => {
                Ok(Match { conv: None, inputs: vec![self.pair(input, from)?] })
            }
            (Op::ConvBn { .. }, _) => self.conv(node, step),
            _ => Err(STRANGE),
        }
    }

    fn pool(&self, node: &Node, input: Value, from: usize, window: Square) -> Result<Match, Fault> {
        let inputs = vec![self.pair(input, from)?];
        self.window(node, input, window)?;
        Ok(Match { conv: None, inputs })
    }

    /// An input and the step that it may be.
    fn pair(&self, input: Value, step: usize) -> Result<(usize, usize), Fault> {
        match self.known[input.index()].contains_key(&step) {
            true => Ok((input.index(), step)),
            false => Err(STRANGE),
        }
    }

    /// A convolution, to which something may be added, and what is behind it.
    fn conv(&self, node: &Node, step: usize) -> Result<Match, Fault> {
        let &Op::ConvBn { add, activation, .. } = &node.op else { return Err(STRANGE) };
        let (behind, step) = match self.layers.steps[step].kind {
            Kind::Activation { input, activation } => (activation, input),
            _ => (Activation::None, step),
        };
        let found = match (add, &self.layers.steps[step].kind) {
            (None, _) => self.convolved(node, step)?,
            (Some(add), &Kind::Sum([a, b])) => {
                let of = |conv: usize, other: usize| {
                    let other = self.pair(add, other)?;
                    let mut found = self.convolved(node, conv)?;
                    found.inputs.push(other);
                    Ok(found)
                };
                of(a, b).or_else(|_: Fault| of(b, a))?
            }
            (Some(_), _) => {
                self.convolved(node, step)?;
                return Err(Fault(4, "has nothing added to it".into()));
            }
        };
        let name = |activation| match activation {
            Activation::None => "nothing",
            Activation::Relu => "a ReLU",
            Activation::Relu6 => "a ReLU6",
        };
        match behind == activation {
            true => Ok(found),
            false => Err(Fault(3, format!("has {} behind it instead of {}", name(behind), name(activation)))),
        }
    }

    fn convolved(&self, node: &Node, step: usize) -> Result<Match, Fault> {
        let (&Op::ConvBn { layer, input, .. }, Kind::Conv { input: from, conv }) =
            (&node.op, &self.layers.steps[step].kind)
        else {
            return Err(STRANGE);
        };
        let (from, window) = self.unpadded(*from, conv.window, false);
        let inputs = vec![self.pair(input, from)?];
        let layer = self.graph.layer(layer);
        let wanted = [layer.output, layer.input / layer.groups, layer.kernel, layer.kernel];
        if conv.weight.shape != wanted || conv.groups != layer.groups {
            return Err(Fault(1, "is of another size".into()));
        }
        self.window(node, input, window)?;
        Ok(Match { conv: Some(step), inputs })
    }

    /// A window with what a node before it has padded. A maximum may see zeros behind a ReLU, or its own edge again.
    fn unpadded(&self, step: usize, window: Square, is_maximum: bool) -> (usize, Square) {
        let Kind::Pad { input, pads, fill } = self.layers.steps[step].kind else { return (step, window) };
        let behind_relu = matches!(self.layers.steps[input].kind, Kind::Activation { .. });
        let as_ours = match fill {
            Fill::Zeros => !is_maximum || behind_relu,
            Fill::Edge => is_maximum,
            Fill::Other => false,
        };
        if !as_ours {
            return (step, window);
        }
        let sum = [0, 1].map(|axis| [0, 1].map(|end| window.pads[axis][end] + pads[axis][end]));
        (input, Square { pads: sum, ..window })
    }

    /// Holds a window against the one that a node slides over its input.
    fn window(&self, node: &Node, input: Value, found: Square) -> Result<(), Fault> {
        let size = self.shapes[input.index()].size;
        let Some(wanted) = self.graph.window(node, size) else { return Err(STRANGE) };
        let fault = |what: &str, found: [usize; 2], wanted: [usize; 2]| {
            Err(Fault(2, format!("has a {what} of {}x{} instead of {}x{}", found[0], found[1], wanted[0], wanted[1])))
        };
        if found.kernel != wanted.kernel {
            return fault("window", found.kernel, wanted.kernel);
        }
        if found.stride != wanted.stride {
            return fault("stride", found.stride, wanted.stride);
        }
        // What is padded beyond the last window changes nothing.
        let same = (0..2).all(|axis| {
            let reach = |pads: [usize; 2]| {
                let room = (size[axis] + pads[0] + pads[1]).checked_sub(wanted.kernel[axis]);
                room.map(|room| (pads[0], room / wanted.stride[axis]))
            };
            reach(found.pads[axis]) == reach(wanted.pad[axis])
        });
        match same {
            true => Ok(()),
            false => Err(Fault(2, format!("is padded by {:?} instead of {:?}", found.pads, wanted.pad))),
        }
    }
}
