//! One description of a network: its layers, and a list of nodes in the order of the computation. Whatever walks a network
//! walks this list: forward, backward, costs, memory, launches, ONNX, names of tensors, the drawing. Nobody else knows how
//! a block is wired.
//!
//! A family builds it once through a [`Builder`], the way a PyTorch module is written: layers are declared in the order of
//! the state dictionary, and then applied to values. Sizes of images are not part of it, since the same network takes
//! images of many sizes: [`Graph::shapes`] is a fold as well.

use super::tensors::{Role, TensorInfo};
use crate::ops::{Activation, ConvBn, Padding, Window};

/// The place of a node, and so of what it computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value(pub(crate) usize);

impl Value {
    /// The place of the node in [`Graph::nodes`].
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// The place of a convolution among the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LayerId(pub(crate) usize);

/// A convolution with its batch normalisation.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// torchvision's name of the convolution, such as `layer1.0.conv1`.
    pub(crate) conv: String,
    /// torchvision's name of the batch normalisation behind it, such as `layer1.0.bn1`.
    pub(crate) bn: String,
    pub(crate) input: usize,
    pub(crate) output: usize,
    /// Height and width.
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    /// Parts that channels are cut into, each convolved by itself.
    pub(crate) groups: usize,
    /// Whether the result is added to another: its scale may begin at zero.
    pub(crate) ends_residual: bool,
}

impl Layer {
    /// Its tensors in the order of torchvision's state dictionary.
    fn tensors(&self) -> impl Iterator<Item = TensorInfo> {
        let shape = vec![self.output, self.input / self.groups, self.kernel, self.kernel];
        let weight = TensorInfo { name: format!("{}.weight", self.conv), shape, role: Role::ConvWeight };
        let of_bn = [
            ("weight", Role::BnWeight),
            ("bias", Role::BnBias),
            ("running_mean", Role::BnMean),
            ("running_var", Role::BnVar),
        ];
        let of_bn = of_bn.map(|(leaf, role)| TensorInfo {
            name: format!("{}.{leaf}", self.bn),
            shape: vec![self.output],
            role,
        });
        std::iter::once(weight).chain(of_bn)
    }

    /// Multiply-adds for one output pixel.
    pub(crate) fn multiply_adds(&self) -> u64 {
        (self.kernel * self.kernel * self.input / self.groups * self.output) as u64
    }
}

/// What a node computes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    /// The images.
    Image,
    /// A layer, what is added to it, and what follows.
    ConvBn {
        layer: LayerId,
        input: Value,
        add: Option<Value>,
        activation: Activation,
    },
    MaxPool {
        input: Value,
        kernel: usize,
        stride: usize,
    },
    /// The mean of each window of 2x2 pixels, side by side; at an odd end of what is left.
    AveragePool {
        input: Value,
    },
    /// What an activation of its own makes of each value: `x / (1 + exp(-x))`.
    Silu {
        input: Value,
    },
    /// The mean over the pixels and a linear layer.
    Head {
        input: Value,
    },
}

/// One step of the computation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// Of what it computes: `layer1.0.relu1`.
    pub name: String,
    pub op: Op,
    /// Channels of what it computes.
    pub channels: usize,
    /// 0 for what comes before the stages, `s + 1` in stage `s`.
    pub depth: usize,
}

impl Node {
    /// What is read: the input, and what is added to it.
    pub(crate) fn reads(&self) -> impl Iterator<Item = Value> + use<> {
        let (input, add) = match self.op {
            Op::Image => (None, None),
            Op::ConvBn { input, add, .. } => (Some(input), add),
            Op::MaxPool { input, .. } | Op::AveragePool { input } | Op::Silu { input } | Op::Head { input } => {
                (Some(input), None)
            }
        };
        input.into_iter().chain(add)
    }
}

/// A part of a network that is drawn as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    /// What one of its blocks is called: `bottleneck block`.
    pub kind: String,
    pub blocks: usize,
}

/// A network as its layers and the order in which they are computed.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// In the order of torchvision's state dictionary.
    pub layers: Vec<Layer>,
    /// In the order of the computation; the first is the image, the last the head.
    pub(crate) nodes: Vec<Node>,
    pub(crate) stages: Vec<Stage>,
    pub(crate) classes: usize,
    /// torchvision's name of the head's linear layer, such as `fc`.
    pub(crate) head: String,
    padding: Padding,
    bn_eps: f32,
}

/// Height, width and channels of what a node computes of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub size: [usize; 2],
    pub channels: usize,
}

impl Shape {
    /// Number of values.
    pub(crate) fn count(self) -> usize {
        self.size[0] * self.size[1] * self.channels
    }
}

impl Graph {
    pub(crate) fn layer(&self, id: LayerId) -> &Layer {
        &self.layers[id.0]
    }

    /// The layer before the stages, of networks that have one.
    pub(crate) fn stem(&self) -> Option<&Layer> {
        self.nodes.iter().filter(|node| node.depth == 0).find_map(|node| match node.op {
            Op::ConvBn { layer, .. } => Some(self.layer(layer)),
            _ => None,
        })
    }

    /// torchvision's name of the layer that a node applies.
    pub(crate) fn layer_of(&self, node: &Node) -> Option<&str> {
        match node.op {
            Op::ConvBn { layer, .. } => Some(&self.layer(layer).conv),
            Op::Head { .. } => Some(&self.head),
            Op::Image | Op::MaxPool { .. } | Op::AveragePool { .. } | Op::Silu { .. } => None,
        }
    }

    /// Channels that reach the head.
    pub(crate) fn features(&self) -> usize {
        let Some(Node { op: Op::Head { input }, .. }) = self.nodes.last() else {
            unreachable!("a graph ends with its head")
        };
        self.nodes[input.0].channels
    }

    /// Every tensor in the order of torchvision's state dictionary, without `num_batches_tracked`.
    pub(crate) fn tensors(&self) -> Vec<TensorInfo> {
        let (features, classes) = (self.features(), self.classes);
        let head = [("weight", vec![classes, features], Role::FcWeight), ("bias", vec![classes], Role::FcBias)];
        let head = head.map(|(leaf, shape, role)| TensorInfo { name: format!("{}.{leaf}", self.head), shape, role });
        self.layers.iter().flat_map(Layer::tensors).chain(head).collect()
    }

    /// The window that a node slides over an input of `[height, width]`; `None` for those that have none.
    pub(crate) fn window(&self, node: &Node, input: [usize; 2]) -> Option<Window> {
        match node.op {
            Op::ConvBn { layer, .. } => {
                let layer = self.layer(layer);
                Some(Window::square(layer.kernel, layer.stride, self.padding == Padding::Same, input))
            }
            Op::MaxPool { kernel, stride, .. } => {
                Some(Window::square(kernel, stride, self.padding != Padding::Torch, input))
            }
            Op::AveragePool { .. } => Some(Window::square(2, 2, true, input)),
            Op::Image | Op::Silu { .. } | Op::Head { .. } => None,
        }
    }

    /// The operation of a node that is a convolution, on an input of `[height, width]`.
    pub(super) fn conv_bn(&self, node: &Node, input: [usize; 2]) -> ConvBn {
        let (Op::ConvBn { layer, add, activation, .. }, Some(window)) = (&node.op, self.window(node, input)) else {
            unreachable!("asked of convolutions only")
        };
        ConvBn {
            window,
            groups: self.layer(*layer).groups,
            activation: *activation,
            residual: add.is_some(),
            eps: self.bn_eps,
            momentum: 0.1,
        }
    }

    /// What each node computes of one image of `[height, width]` pixels.
    pub(crate) fn shapes(&self, size: [usize; 2]) -> Vec<Shape> {
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let input = node.reads().next().map_or(size, |input| shapes[input.0].size);
            let size = match node.op {
                Op::Image => size,
                Op::Head { .. } => [1, 1],
                _ => self.window(node, input).map_or(input, |window| window.output(input)),
            };
            shapes.push(Shape { size, channels: node.channels });
        }
        shapes
    }

    /// The smallest square images, by their side, of which something is left at the end: a chain of pools leaves nothing of
    /// smaller ones.
    pub(crate) fn smallest_side(&self) -> usize {
        let something = |side: &usize| self.shapes([*side; 2]).iter().all(|shape| shape.count() > 0);
        (1..=1024).find(something).unwrap_or(1024)
    }

    /// Height and width of what each stage computes of a square image of `side` pixels; the first entry is behind the
    /// stem.
    pub(crate) fn sides(&self, side: usize) -> Vec<usize> {
        let mut sides = vec![side; self.stages.len() + 1];
        for (node, shape) in self.nodes.iter().zip(self.shapes([side; 2])).filter(|(node, _)| !node.is_head()) {
            sides[node.depth] = shape.size[0];
        }
        sides
    }

    /// Channels of what each stage computes.
    pub(crate) fn stage_channels(&self) -> Vec<usize> {
        let of = |stage: usize| self.nodes.iter().rfind(|node| node.depth == stage + 1 && !node.is_head());
        (0..self.stages.len()).map(|stage| of(stage).map_or(0, |node| node.channels)).collect()
    }

    /// Multiply-adds of one forward pass over one square image, times two. A training step takes about three times
    /// as many.
    pub(crate) fn flops(&self, side: usize) -> u64 {
        let shapes = self.shapes([side; 2]);
        let of = |(node, shape): (&Node, &Shape)| match node.op {
            Op::ConvBn { layer, .. } => 2 * self.layer(layer).multiply_adds() * (shape.size[0] * shape.size[1]) as u64,
            Op::Head { .. } => 2 * (self.features() * self.classes) as u64,
            Op::Image | Op::MaxPool { .. } | Op::AveragePool { .. } | Op::Silu { .. } => 0,
        };
        self.nodes.iter().zip(&shapes).map(of).sum()
    }

    /// Values in the largest tensor that the network makes of one image of `[height, width]` pixels.
    pub(crate) fn largest_activation(&self, size: [usize; 2]) -> usize {
        let values = |(node, shape): (&Node, Shape)| match node.op {
            // Some kernels read the input in fours of channels.
            Op::Image => shape.size[0] * shape.size[1] * shape.channels.next_multiple_of(4),
            _ => shape.count(),
        };
        self.nodes.iter().zip(self.shapes(size)).map(values).max().unwrap_or(0)
    }

    /// For each node the last one that reads it, itself where none does.
    pub(super) fn last_reads(&self) -> Vec<usize> {
        let mut last: Vec<usize> = (0..self.nodes.len()).collect();
        for (at, node) in self.nodes.iter().enumerate() {
            node.reads().for_each(|read| last[read.0] = at);
        }
        last
    }
}

impl Node {
    pub(crate) fn is_head(&self) -> bool {
        matches!(self.op, Op::Head { .. })
    }
}

/// A graph under construction.
pub(crate) struct Builder {
    graph: Graph,
    depth: usize,
}

impl Builder {
    /// Begins with images of so many channels; the head's layer is called `head`.
    pub(super) fn new(channels: usize, classes: usize, head: &str, padding: Padding, bn_eps: f32) -> Self {
        let (layers, nodes, stages) = (Vec::new(), Vec::new(), Vec::new());
        let graph = Graph { layers, nodes, stages, classes, head: head.to_owned(), padding, bn_eps };
        let mut builder = Self { graph, depth: 0 };
        builder.push("image".into(), Op::Image, channels);
        builder
    }

    /// Ends with the head.
    pub(super) fn finish(mut self, input: Value) -> Graph {
        self.push("logits".into(), Op::Head { input }, self.graph.classes);
        self.graph
    }

    /// The images.
    pub(crate) fn image(&self) -> Value {
        Value(0)
    }

    pub(crate) fn channels(&self, value: Value) -> usize {
        self.graph.nodes[value.0].channels
    }

    /// From here on nodes belong to another block of this stage, counted from 0.
    pub(crate) fn begin_block(&mut self, stage: usize, kind: &str) {
        self.depth = stage + 1;
        match self.graph.stages.get_mut(stage) {
            Some(stage) => stage.blocks += 1,
            None => self.graph.stages.push(Stage { kind: kind.to_owned(), blocks: 1 }),
        }
    }

    /// Declares a convolution, `kernel x kernel` from and to so many channels, and its normalisation under these names.
    pub(crate) fn conv_bn(
        &mut self,
        [conv, bn]: [String; 2],
        [input, output]: [usize; 2],
        kernel: usize,
        stride: usize,
    ) -> LayerId {
        self.grouped_conv_bn([conv, bn], [input, output], kernel, stride, 1)
    }

    /// [`Builder::conv_bn`] in groups of channels, each convolved by itself.
    pub(crate) fn grouped_conv_bn(
        &mut self,
        [conv, bn]: [String; 2],
        [input, output]: [usize; 2],
        kernel: usize,
        stride: usize,
        groups: usize,
    ) -> LayerId {
        let layer = Layer { conv, bn, input, output, kernel, stride, groups, ends_residual: false };
        self.graph.layers.push(layer);
        LayerId(self.graph.layers.len() - 1)
    }

    /// `activation(layer(x) + add)`, under a name.
    pub(crate) fn apply(
        &mut self,
        layer: LayerId,
        input: Value,
        add: Option<Value>,
        activation: Activation,
        name: String,
    ) -> Value {
        let declared = &mut self.graph.layers[layer.0];
        declared.ends_residual = add.is_some();
        let channels = declared.output;
        self.push(name, Op::ConvBn { layer, input, add, activation }, channels)
    }

    /// The maximum of each square window.
    pub(crate) fn max_pool(&mut self, input: Value, kernel: usize, stride: usize, name: &str) -> Value {
        self.push(name.to_owned(), Op::MaxPool { input, kernel, stride }, self.channels(input))
    }

    /// The mean of 2x2 pixels each.
    pub(crate) fn average_pool(&mut self, input: Value, name: String) -> Value {
        self.push(name, Op::AveragePool { input }, self.channels(input))
    }

    /// `x / (1 + exp(-x))`
    pub(crate) fn silu(&mut self, input: Value, name: String) -> Value {
        self.push(name, Op::Silu { input }, self.channels(input))
    }

    fn push(&mut self, name: String, op: Op, channels: usize) -> Value {
        self.graph.nodes.push(Node { name, op, channels, depth: self.depth });
        Value(self.graph.nodes.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Block, Frozen, ModelSpec, Stem};

    #[test]
    fn flops_of_known_networks() {
        // 1.82 and 4.1 GMAC at 224 pixels are the figures usually quoted for ResNet-18 and ResNet-50.
        let gmac = |name| ModelSpec::named(name, None, 3, 1000).unwrap().graph().flops(224) as f64 / 2e9;
        assert!((gmac("resnet18") - 1.814).abs() < 0.01, "{}", gmac("resnet18"));
        assert!((gmac("resnet50") - 4.089).abs() < 0.01, "{}", gmac("resnet50"));
    }

    #[test]
    fn nodes_read_what_is_computed_before_them_and_each_layer_is_applied_once() {
        for name in crate::model::spec::ARCHITECTURES {
            let graph = ModelSpec::named(name, None, 3, 10).unwrap().graph();
            let mut applied = vec![0; graph.layers.len()];
            for (at, node) in graph.nodes.iter().enumerate() {
                assert!(node.reads().all(|read| read.0 < at), "{name}: {node:?}");
                if let Op::ConvBn { layer, input, .. } = node.op {
                    applied[layer.0] += 1;
                    assert_eq!(graph.layer(layer).input, graph.nodes[input.0].channels, "{name}: {node:?}");
                }
            }
            assert!(applied.iter().all(|&times| times == 1) && graph.nodes.last().is_some_and(Node::is_head));
            assert!(graph.nodes.is_sorted_by_key(|node| node.depth), "{name}: a frozen part is the beginning");
        }
    }

    /// Of every architecture with each of its stems, and of small networks of both blocks.
    fn all() -> impl Iterator<Item = (String, Graph)> {
        let stems = [Stem::Cifar, Stem::Imagenet];
        let named = crate::model::spec::ARCHITECTURES.into_iter().flat_map(move |name| {
            let own = [None].into_iter().chain(stems.map(Some));
            own.filter_map(move |stem| ModelSpec::named(name, stem, 3, 10).ok())
        });
        let custom = [Block::Basic, Block::Bottleneck].into_iter().flat_map(move |block| {
            stems.map(|stem| ModelSpec::custom(block, stem, vec![2, 1, 1], vec![8, 8, 16], 1, 4).unwrap())
        });
        named.chain(custom).map(|spec| (format!("{} {:?}", spec.backbone(), spec.family), spec.graph()))
    }

    /// Arenas of gradients, states and averages begin with the first tensor that learns.
    #[test]
    fn what_is_frozen_is_a_prefix_of_the_layers_too() {
        for (name, graph) in all() {
            let stages = (0..=graph.stages.len()).map(Frozen::Stages);
            let mut learning = Vec::new();
            for frozen in std::iter::once(Frozen::Nothing).chain(stages).chain([Frozen::Backbone]) {
                let first = graph.first_node(frozen);
                let (below, above) = graph.nodes.split_at(first);
                let layers = |nodes: &[Node]| -> Vec<usize> {
                    let of = |node: &Node| match node.op {
                        Op::ConvBn { layer, .. } => Some(layer.0),
                        _ => None,
                    };
                    nodes.iter().filter_map(of).collect()
                };
                let start = graph.first_layer(first);
                assert!(layers(below).into_iter().all(|layer| layer < start), "{name}, {frozen:?}");
                assert!(layers(above).into_iter().all(|layer| layer >= start), "{name}, {frozen:?}");
                assert_eq!(layers(below).len(), start, "each layer below is applied once: {name}, {frozen:?}");
                learning.push(graph.layers.len() - start);
            }
            // All layers, fewer with each stage, none but the head.
            assert_eq!((learning[0], learning[learning.len() - 1]), (graph.layers.len(), 0), "{name}");
            assert!(learning.is_sorted_by(|more, fewer| more >= fewer), "{name}: {learning:?}");
        }
    }

    /// What the walk back relies on: a gradient that is written last, and never added to another, is written first.
    #[test]
    fn what_is_added_or_pooled_has_no_gradient_from_elsewhere_yet() {
        for name in crate::model::spec::ARCHITECTURES {
            let graph = ModelSpec::named(name, None, 3, 10).unwrap().graph();
            let last = graph.last_reads();
            for (at, node) in graph.nodes.iter().enumerate() {
                let once = match node.op {
                    Op::ConvBn { add, .. } => add,
                    Op::MaxPool { input, .. } | Op::AveragePool { input } | Op::Silu { input } | Op::Head { input } => {
                        Some(input)
                    }
                    Op::Image => None,
                };
                assert!(once.is_none_or(|value| last[value.0] == at), "{name}: {node:?}");
            }
        }
    }

    #[test]
    fn pools_alone_ask_for_images_of_some_size() {
        let least = |name| ModelSpec::named(name, None, 3, 10).unwrap().graph().smallest_side();
        assert_eq!(["cifar_resnet20", "resnet50", "cifar_vgg11_bn"].map(least), [1, 1, 32]);
    }

    #[test]
    fn layers_keep_the_order_of_the_state_dictionary() {
        let graph = ModelSpec::named("resnet18", Some(Stem::Imagenet), 3, 10).unwrap().graph();
        let names: Vec<&str> = graph.layers.iter().map(|layer| layer.conv.as_str()).collect();
        let of_block = ["layer2.0.conv1", "layer2.0.conv2", "layer2.0.downsample.0", "layer2.1.conv1"];
        assert_eq!(names[5..9], of_block);
        assert_eq!(graph.sides(224), [56, 56, 28, 14, 7]);
        assert_eq!(graph.stage_channels(), [64, 128, 256, 512]);
    }
}
