//! ONNX: the network as a graph that other programs run, opset 17.
//!
//! The nodes are what the network is made of, under torchvision's names. Batch normalisation is folded into the
//! convolution before it, by its running statistics: most runtimes do so by themselves, but OpenCV 4 does it for the
//! first batch that it sees and then answers wrongly for one of another size. A batch may have any size. Whoever wants
//! to train on exports safetensors.
//!
//! With preprocessing included, the input is `image`, the very bytes of a picture of the network's size (`uint8`,
//! `[N, height, width, channels]`), and its first nodes normalise it. Otherwise the input is `input`, normalised floats
//! (`float32`, `[N, channels, height, width]`). Resizing and cropping are not nodes: runtimes interpolate in different
//! ways. The metadata holds the class names (`classes`, a JSON list) and the whole description of the network, its
//! preprocessing included (`kindling`).

use super::{
    ModelCard, StateDict, WeightsError,
    error::Problem,
    fit::{self, Mismatch},
    onnx_proto::*,
    safetensors::CARD_KEY,
};
use crate::{
    atomic,
    model::{
        self,
        graph::{Layer, Op},
    },
    ops::{Activation, Window},
};
use prost::Message;
use std::{io, path::Path};

const OPSET: i64 = 17;
/// The version of the format that opset 17 came with.
const IR_VERSION: i64 = 8;

/// Writes a network as ONNX. Appears whole or not at all.
///
/// The output is `logits`, `float32` `[N, classes]`.
///
/// # Errors
/// When the tensors are not exactly those of the card's network, or the file can't be written.
pub(crate) fn write_onnx(
    path: &Path,
    card: &ModelCard,
    tensors: &StateDict,
    preprocessing_included: bool,
) -> Result<(), WeightsError> {
    let at = |problem| WeightsError::File { path: path.to_owned(), problem };
    let model = model(card, tensors, preprocessing_included).map_err(at)?;
    atomic::write_output::<io::Error>(path, |out| {
        let mut bytes = Vec::new();
        model.encode(&mut bytes)?;
        drop(model);
        out.write_all(&bytes)
    })
    .map_err(|source| WeightsError::Io { path: path.to_owned(), source })
}

/// The network as an ONNX message.
fn model(card: &ModelCard, tensors: &StateDict, preprocessing_included: bool) -> Result<Model, Problem> {
    let differences = fit::differences(&fit::shapes(tensors), &card.spec);
    if !differences.is_empty() {
        let mismatch = Mismatch { differences, model: card.spec.to_string(), looks_like: None };
        return Err(Problem::Mismatch(Box::new(mismatch)));
    }
    let card = card.clone().validate().map_err(|error| Problem::Inconsistent(error.to_string()))?;
    let json = |text: serde_json::Result<String>| text.map_err(|error| Problem::Inconsistent(error.to_string()));
    let metadata = [
        ("classes", json(serde_json::to_string(&card.classes))?),
        (CARD_KEY, json(serde_json::to_string(&card))?),
        ("preprocessing_included", preprocessing_included.to_string()),
    ];
    let spec = &card.spec;
    let mut graph = Builder { tensors, bn_eps: spec.bn_eps, graph: Graph::default() };
    graph.graph.name = spec.architecture.clone();
    let image = graph.input(&card, preprocessing_included);
    graph.nodes(&spec.graph(), image, [card.preprocessing.height, card.preprocessing.width]);
    let classes = Side::Value(spec.classes as i64);
    graph.graph.output.push(value("logits", DataType::Float, [batch(), classes], "one score a class"));

    Ok(Model {
        ir_version: IR_VERSION,
        producer_name: "kindling".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: spec.to_string(),
        graph: Some(graph.graph),
        opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
        metadata_props: metadata.map(|(key, value)| StringPair { key: key.into(), value }).into(),
    })
}

/// A graph under construction. Every node's output has the node's name.
struct Builder<'a> {
    tensors: &'a StateDict,
    bn_eps: f64,
    graph: Graph,
}

impl Builder<'_> {
    fn node(&mut self, operator: &str, name: &str, inputs: &[&str], attribute: Vec<Attribute>) -> String {
        self.graph.node.push(Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.to_owned()],
            name: name.to_owned(),
            op_type: operator.to_owned(),
            attribute,
        });
        name.to_owned()
    }

    /// A constant of the graph.
    fn constant(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        self.graph.initializer.push(Tensor {
            dims: shape.iter().map(|&side| side as i64).collect(),
            data_type: DataType::Float.into(),
            name: name.to_owned(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        });
        name.to_owned()
    }

    /// A tensor of the network, which is known to be there.
    fn weight(&mut self, name: &str) -> String {
        if let Some(tensor) = self.tensors.get(name) {
            self.constant(name, &tensor.shape, &tensor.data);
        }
        name.to_owned()
    }

    /// The graph's input, and the last of the nodes that normalise it.
    fn input(&mut self, card: &ModelCard, preprocessing_included: bool) -> String {
        let preprocessing = &card.preprocessing;
        let sides = [preprocessing.height, preprocessing.width, preprocessing.channels];
        let [height, width, channels] = sides.map(|side| Side::Value(side as i64));
        if !preprocessing_included {
            let shape = [batch(), channels, height, width];
            self.graph.input.push(value("input", DataType::Float, shape, "normalised images, channels first"));
            return "input".into();
        }
        let shape = [batch(), height, width, channels];
        self.graph.input.push(value("image", DataType::Uint8, shape, "images of 8 bits a channel, channels last"));
        let table = &preprocessing.normalisation;
        let per_channel = [1, table.mean.len(), 1, 1];
        // (x / 255 - mean) / std, with one subtraction and one division for each value.
        let scaled = |values: &[f32]| values.iter().map(|&value| value * 255.0).collect::<Vec<_>>();
        let mean = self.constant("preprocessing.mean", &per_channel, &scaled(&table.mean));
        let std = self.constant("preprocessing.std", &per_channel, &scaled(&table.std));
        let x = self.node("Cast", "preprocessing.cast", &["image"], vec![int("to", DataType::Float as i64)]);
        let x = self.node("Transpose", "preprocessing.transpose", &[&x], vec![ints("perm", &[0, 3, 1, 2])]);
        let x = self.node("Sub", "preprocessing.sub", &[&x, &mean], vec![]);
        self.node("Div", "preprocessing.div", &[&x, &std], vec![])
    }

    /// The network's nodes. Each is named after what it is, and the last of what a node of the network becomes is its
    /// result.
    fn nodes(&mut self, network: &model::Graph, image: String, size: [usize; 2]) {
        let shapes = network.shapes(size);
        let mut results: Vec<String> = Vec::with_capacity(network.nodes.len());
        for node in &network.nodes {
            let window = node.reads().next().and_then(|input| network.window(node, shapes[input.index()].size));
            let result = match (&node.op, window) {
                (Op::ConvBn { layer, input, add, activation }, Some(window)) => {
                    let x = self.conv_bn(network.layer(*layer), window, &results[input.index()]);
                    self.finish(&node.name, x, add.map(|add| results[add.index()].as_str()), *activation)
                }
                (Op::MaxPool { input, .. }, Some(window)) => {
                    self.node("MaxPool", &node.name, &[&results[input.index()]], attributes(window))
                }
                (Op::AveragePool { input }, Some(window)) => {
                    // As many at the end as stand beyond an odd one; they do not count unless asked for.
                    self.node("AveragePool", &node.name, &[&results[input.index()]], attributes(window))
                }
                (Op::Silu { input }, _) => {
                    let x = results[input.index()].clone();
                    let sigmoid = self.node("Sigmoid", &format!("{}.sigmoid", node.name), &[&x], vec![]);
                    self.node("Mul", &node.name, &[&x, &sigmoid], vec![])
                }
                (Op::Head { input }, _) => {
                    let pooled = self.node("GlobalAveragePool", "avgpool", &[&results[input.index()]], vec![]);
                    let features = self.node("Flatten", "flatten", &[&pooled], vec![int("axis", 1)]);
                    let [weight, bias] =
                        ["weight", "bias"].map(|leaf| self.weight(&format!("{}.{leaf}", network.head)));
                    self.node("Gemm", &node.name, &[&features, &weight, &bias], vec![int("transB", 1)])
                }
                _ => image.clone(),
            };
            results.push(result);
        }
    }

    /// A layer as one convolution with a bias: `gamma (w x - mean) / sqrt(var + eps) + beta`.
    fn conv_bn(&mut self, layer: &Layer, window: Window, x: &str) -> String {
        let of = |name: String| self.tensors.get(&name);
        let weight = format!("{}.weight", layer.conv);
        let folded = ["weight", "bias", "running_mean", "running_var"].map(|leaf| of(format!("{}.{leaf}", layer.bn)));
        // They are known to be there.
        let ([Some(gamma), Some(beta), Some(mean), Some(var)], Some(kernel)) = (folded, of(weight.clone())) else {
            unreachable!("the tensors are the network's")
        };
        let eps = self.bn_eps;
        let scale = |c: usize| f64::from(gamma.data[c]) / (f64::from(var.data[c]) + eps).sqrt();
        let filter = (kernel.data.len() / layer.output.max(1)).max(1);
        let values = kernel.data.iter().enumerate().map(|(i, value)| (f64::from(*value) * scale(i / filter)) as f32);
        let bias = (0..layer.output).map(|c| (f64::from(beta.data[c]) - f64::from(mean.data[c]) * scale(c)) as f32);
        let (values, bias): (Vec<f32>, Vec<f32>) = (values.collect(), bias.collect());
        let weight = self.constant(&weight, &kernel.shape, &values);
        let bias = self.constant(&format!("{}.bias", layer.conv), &[layer.output], &bias);
        let mut attributes = attributes(window);
        if layer.groups > 1 {
            attributes.push(int("group", layer.groups as i64));
        }
        self.node("Conv", &layer.conv, &[x, &weight, &bias], attributes)
    }

    /// What follows a normalisation: `layer1.0.add` and `layer1.0.relu`.
    fn finish(&mut self, name: &str, mut x: String, add: Option<&str>, activation: Activation) -> String {
        if let Some(add) = add {
            let block = name.rsplit_once('.').map_or(name, |(block, _)| block);
            let sum = if activation == Activation::None { name.to_owned() } else { format!("{block}.add") };
            x = self.node("Add", &sum, &[&x, add], vec![]);
        }
        match activation {
            Activation::None => x,
            Activation::Relu => self.node("Relu", name, &[&x], vec![]),
            Activation::Relu6 => {
                let [zero, six] = ["least", "most"].map(|bound| format!("{name}.{bound}"));
                self.constant(&zero, &[], &[0.0]);
                self.constant(&six, &[], &[6.0]);
                self.node("Clip", name, &[&x, &zero, &six], vec![])
            }
        }
    }
}

/// The attributes of a window.
fn attributes(window: Window) -> Vec<Attribute> {
    let [[top, bottom], [left, right]] = window.pad;
    let list = |values: &[usize]| values.iter().map(|&value| value as i64).collect::<Vec<_>>();
    vec![
        ints("kernel_shape", &list(&window.kernel)),
        ints("strides", &list(&window.stride)),
        ints("pads", &list(&[top, left, bottom, right])),
    ]
}

fn batch() -> Side {
    Side::Named("batch".into())
}

fn value<const N: usize>(name: &str, element: DataType, shape: [Side; N], doc: &str) -> ValueInfo {
    let dimension = shape.into_iter().map(|side| Dimension { side: Some(side) }).collect();
    let tensor = TensorType { element: element.into(), shape: Some(Shape { dimension }) };
    ValueInfo { name: name.into(), kind: Some(Type { tensor: Some(tensor) }), doc_string: doc.into() }
}

fn int(name: &str, value: i64) -> Attribute {
    Attribute { name: name.into(), i: Some(value), kind: AttributeKind::Int.into(), ..Default::default() }
}

fn ints(name: &str, values: &[i64]) -> Attribute {
    Attribute { name: name.into(), ints: values.to_vec(), kind: AttributeKind::Ints.into(), ..Default::default() }
}
