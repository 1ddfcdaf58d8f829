//! Networks that were exported come back, whoever did it and whether normalisations are folded.

use crate::{
    device::Compute,
    model::{Block, ModelSpec, Network, Nonlinearity, Padding, Stem, graph::Layer, spec::TensorInfo},
    ops::{Batch, Implementation, Pixels, Storage, sample::SampleParams},
    weights::{
        ImportOptions, ModelCard, StateDict,
        fixtures::{self, from_bytes},
        formula,
        onnx_proto::{Attribute, AttributeKind, Graph, Model, Node, Side, Tensor},
        write_onnx,
    },
};
use prost::Message;

fn card(model: &str, side: usize) -> ModelCard {
    let spec = ModelSpec::named(model, None, 3, 5).unwrap();
    let mut card = fixtures::card(spec);
    (card.preprocessing.height, card.preprocessing.width) = (side, side);
    card
}

/// The network of a card with the formula's weights, as it is exported.
fn exported(card: &ModelCard, preprocessing_included: bool) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.onnx");
    write_onnx(&path, card, &fixtures::network(&card.spec), preprocessing_included).unwrap();
    std::fs::read(path).unwrap()
}

/// A file after a change.
fn changed(file: &[u8], change: impl FnOnce(&mut Model)) -> Vec<u8> {
    let mut model = Model::decode(file).unwrap();
    change(&mut model);
    model.encode_to_vec()
}

/// The file without what Kindling says of it, as others write theirs.
fn strangers(card: &ModelCard) -> Vec<u8> {
    changed(&exported(card, false), |model| model.metadata_props.clear())
}

fn logits(spec: &ModelSpec, tensors: &StateDict, side: usize) -> Vec<f32> {
    let values = |info: &TensorInfo| tensors.get(&info.name).map(|tensor| tensor.data.clone());
    let network = Network::load(spec, values, Implementation::Fast, &Compute::cpu()).unwrap();
    let pixels = formula::images(2, 3, side);
    let batch = Batch { pixels: Pixels::Values(&pixels, [2, side, side, 3]), samples: &[SampleParams::plain(0, 0); 2] };
    network.infer(&batch, Storage::F32)
}

/// Holds the network of a file against the one that was exported.
fn assert_same(file: &[u8], card: &ModelCard, what: &str) {
    let read = from_bytes(file, &ImportOptions::default()).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(read.card.spec, card.spec, "{what}");
    let side = card.preprocessing.height;
    let (got, want) =
        (logits(&read.card.spec, &read.tensors, side), { logits(&card.spec, &fixtures::network(&card.spec), side) });
    let scale = want.iter().fold(1e-3f32, |most, value| most.max(value.abs()));
    assert!(got.iter().zip(&want).all(|(got, want)| (got - want).abs() <= 1e-4 * scale), "{what}: {got:?}, {want:?}");
}

#[test]
fn what_is_exported_comes_back() {
    for (model, side) in [
        ("cifar_resnet8", 33),
        ("cifar_vgg11_bn", 32),
        ("resnet18", 64),
        ("resnet18d", 75),
        ("mobilenet_v2_035", 64),
        ("efficientnet_lite0", 65),
        ("resnext50_32x4d", 64),
    ] {
        let card = card(model, side);
        assert_same(&exported(&card, true), &card, &format!("{model} with its preprocessing"));
        assert_same(&strangers(&card), &card, &format!("{model} without a card"));
    }
}

#[test]
fn a_network_of_ones_own_with_silu_comes_back() {
    let spec = ModelSpec::custom(Block::Bottleneck, Stem::Cifar, vec![1, 1], vec![4, 8], 3, 5).unwrap();
    let mut card = fixtures::card(spec.with_nonlinearity(Nonlinearity::Silu));
    (card.preprocessing.height, card.preprocessing.width) = (33, 33);
    assert_same(&exported(&card, false), &card, "SiLU");
}

/// The strides of a v1 and the padding of a pool are in the file, and in nothing else.
#[test]
fn strides_and_padding_are_those_of_the_file() {
    for padding in [Padding::Torch, Padding::Same, Padding::SamePool] {
        let mut card = card("resnet50_v1", 64);
        card.spec = card.spec.with_padding(padding);
        assert_same(&strangers(&card), &card, &format!("{padding}"));
    }
}

/// Has each convolution followed by its normalisation.
fn unfold(model: &mut Model, layers: &[Layer], tensors: &StateDict) {
    let graph = model.graph.as_mut().unwrap();
    for node in std::mem::take(&mut graph.node) {
        if node.op_type != "Conv" {
            graph.node.push(node);
            continue;
        }
        let layer = layers.iter().find(|layer| layer.conv == node.name).unwrap();
        let bn = layer.bn.clone();
        let leaves = ["weight", "bias", "running_mean", "running_var"].map(|leaf| format!("{bn}.{leaf}"));
        let constant = |name: &String| Tensor {
            dims: tensors[name].shape.iter().map(|&side| side as i64).collect(),
            data_type: 1,
            name: name.clone(),
            raw_data: tensors[name].data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        };
        let weight = format!("{}.weight", node.name);
        graph.initializer.retain(|tensor| tensor.name != weight);
        graph.initializer.extend(leaves.iter().chain([&weight]).map(constant));
        let between = format!("{}.z", node.name);
        let input = vec![node.input[0].clone(), node.input[1].clone()];
        let output = node.output.clone();
        let inputs = [between.clone()].into_iter().chain(leaves).collect();
        let epsilon = Attribute {
            name: "epsilon".into(),
            f: Some(2e-5),
            kind: AttributeKind::Float.into(),
            ..Default::default()
        };
        graph.node.push(Node { input, output: vec![between], ..node });
        graph.node.push(Node {
            input: inputs,
            output,
            name: bn,
            op_type: "BatchNormalization".into(),
            attribute: vec![epsilon],
        });
    }
}

#[test]
fn normalisations_that_are_not_folded_stay_what_they_are() {
    for model in ["resnet18d", "cifar_resnet8"] {
        let mut card = card(model, 65);
        card.spec.bn_eps = 2e-5;
        let tensors = fixtures::network(&card.spec);
        let file = changed(&strangers(&card), |model| unfold(model, &card.spec.graph().layers, &tensors));
        let read = from_bytes(&file, &ImportOptions::default()).unwrap();
        assert!(read.card.spec == card.spec && read.tensors == tensors, "{model}");
    }
}

#[test]
fn sizes_that_no_network_has_are_refused() {
    let card = card("cifar_resnet8", 33);
    let refused = |change: &dyn Fn(&mut Graph)| {
        let file = changed(&strangers(&card), |model| change(model.graph.as_mut().unwrap()));
        from_bytes(&file, &ImportOptions::default()).unwrap_err().to_string()
    };
    let first = |graph: &mut Graph, operator: &str, constant: Tensor| {
        let name = graph.input[0].name.clone();
        let node = Node {
            input: vec![name, constant.name.clone()],
            output: vec!["first".into()],
            op_type: operator.into(),
            ..Default::default()
        };
        graph.initializer.push(constant);
        graph.node[0].input[0] = "first".into();
        graph.node.insert(0, node);
    };
    let constant = |data_type, raw_data: Vec<u8>, dims: &[i64]| Tensor {
        dims: dims.to_vec(),
        data_type,
        name: "constant".into(),
        raw_data,
    };
    // Channels, of which each would have a scale.
    let wide = |graph: &mut Graph| {
        let shape = graph.input[0].kind.as_mut().unwrap().tensor.as_mut().unwrap().shape.as_mut().unwrap();
        shape.dimension[1].side = Some(Side::Value(1 << 60));
        first(graph, "Mul", constant(1, 2f32.to_le_bytes().into(), &[]));
    };
    let padded = |graph: &mut Graph| {
        let pads = [0i64, 0, i64::MAX, i64::MAX, 0, 0, i64::MAX, i64::MAX];
        first(graph, "Pad", constant(7, pads.iter().flat_map(|pad| pad.to_le_bytes()).collect(), &[8]));
    };
    let strided = |graph: &mut Graph| {
        graph.node[0].attribute.iter_mut().filter(|of| of.name == "strides").for_each(|of| of.ints = vec![0, 0]);
    };
    let changes: [&dyn Fn(&mut Graph); 3] = [&wide, &padded, &strided];
    for (change, what) in changes.into_iter().zip(["too many layers", "a `Pad` there", "a `Conv` there"]) {
        let told = refused(change);
        assert!(told.contains(what), "{told}");
    }
}

#[test]
fn what_is_wired_otherwise_is_refused_and_told() {
    let card = card("resnet18", 64);
    let refused = |change: &dyn Fn(&mut Node)| {
        let nodes = |model: &mut Model| model.graph.as_mut().unwrap().node.iter_mut().for_each(change);
        from_bytes(&changed(&strangers(&card), nodes), &ImportOptions::default()).unwrap_err().to_string()
    };
    let operator = |from: &'static str, to: &'static str| {
        refused(&move |node| {
            if node.op_type == from {
                node.op_type = to.into();
            }
        })
    };
    for (told, what) in [
        (operator("Relu", "Sigmoid"), "a network with SiLU"),
        (operator("MaxPool", "GlobalMaxPool"), "no network that is read has a `GlobalMaxPool` there"),
        (
            refused(&|node| match node.op_type.as_str() {
                "MaxPool" => node.op_type = "GlobalMaxPool".into(),
                "Relu" if node.name.ends_with("relu1") => node.op_type = "Sigmoid".into(),
                "Conv" if node.name.contains("downsample") => node.op_type = "ReduceMean".into(),
                _ => {}
            }),
            "a network with CBAM's attention",
        ),
        (
            refused(&|node| {
                if node.name.ends_with("0.relu") {
                    node.op_type = "BatchNormalization".into();
                }
            }),
            "normalises before its convolutions",
        ),
        (operator("Relu", "Tanh"), "no network that is read has a `Tanh` there"),
        (operator("MaxPool", "NonMaxSuppression"), "a detector"),
        (
            refused(&|node| {
                if node.name == "layer3.0.relu1" {
                    (node.op_type, node.input[0]) = ("Identity".into(), "layer3.0.conv1".into());
                }
            }),
            "`layer3.0.relu1` has nothing behind it instead of a ReLU",
        ),
        (
            refused(&|node| {
                if node.name == "layer2.0.conv1" {
                    node.attribute.iter_mut().filter(|of| of.name == "pads").for_each(|of| of.ints = vec![2, 2, 0, 0]);
                }
            }),
            "`layer2.0.relu1` is padded by",
        ),
    ] {
        assert!(told.contains(what) && !told.contains('\n'), "{told}");
    }
}
