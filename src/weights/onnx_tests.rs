//! What another program computes from an exported graph, against the logits of PyTorch and MindSpore.
//!
//! The weights and images are those of [`super::formula`], the logits those that PyTorch 2.15 and MindSpore 2.10
//! (everything padded `same`) gave for them. So these tests hold for the whole of the network's description too: names,
//! shapes, strides, padding.

use super::{ModelCard, StateDict, card::default_preprocessing, fixtures, formula, write_onnx};
use crate::{
    device::Compute,
    model::{ModelSpec, Network, Padding, spec::TensorInfo},
    ops::{self, Implementation, sample::SampleParams},
};
use serde::Deserialize;
use tract_onnx::prelude::*;

#[derive(Deserialize)]
struct Reference {
    model: String,
    padding: Padding,
    side: usize,
    logits: Vec<Vec<f32>>,
}

fn card(model: &str, padding: Padding, side: usize) -> ModelCard {
    let spec = ModelSpec::named(model, None, 3, 10).unwrap().with_padding(padding);
    let mut preprocessing = default_preprocessing(&spec);
    (preprocessing.height, preprocessing.width) = (side, side);
    ModelCard {
        spec,
        classes: (0..10).map(|i| format!("kind {i}")).collect(),
        preprocessing,
        validation_share: None,
        head: None,
    }
}

/// Exports and runs a network.
fn run(card: &ModelCard, tensors: &StateDict, included: bool, input: Tensor) -> Vec<f32> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.onnx");
    write_onnx(&path, card, tensors, included).unwrap();
    let fact = InferenceFact::dt_shape(input.datum_type(), input.shape());
    let model = tract_onnx::onnx().model_for_path(&path).unwrap().with_input_fact(0, fact).unwrap();
    let model = model.into_optimized().unwrap().into_runnable().unwrap();
    let output = model.run(tvec!(input.into())).unwrap();
    output[0].to_plain_array_view::<f32>().unwrap().iter().copied().collect()
}

fn assert_close(values: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(values.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0f32, |most, v| most.max(v.abs()));
    let worst = values.iter().zip(expected).fold(0f32, |worst, (a, b)| worst.max((a - b).abs())) / scale;
    assert!(worst <= tolerance, "{what}: {worst}");
}

#[test]
fn tract_computes_the_logits_of_pytorch_and_mindspore() {
    let references: Vec<Reference> =
        serde_json::from_str(include_str!("../../tests/data/weights/logits.json")).unwrap();
    for Reference { model, padding, side, logits } in references {
        let card = card(&model, padding, side);
        let images = formula::images(2, 3, side);
        let input = Tensor::from_shape(&[2, 3, side, side], &images).unwrap();
        let computed = run(&card, &fixtures::network(&card.spec), false, input);
        assert_close(&computed, &logits.concat(), 1e-4, &format!("{model}, {padding}, {side}"));
    }
}

#[test]
fn included_preprocessing_is_the_one_of_training() {
    let card = card("cifar_resnet8", Padding::Torch, 32);
    let tensors = fixtures::network(&card.spec);
    let bytes: Vec<u8> = (0..32 * 32 * 3).map(|i| (i * 37 % 256) as u8).collect();
    let table = &card.preprocessing.normalisation;
    let mut normalised = Vec::new();
    for c in 0..3 {
        for pixel in bytes.chunks_exact(3) {
            normalised.push((f32::from(pixel[c]) / 255.0 - table.mean[c]) / table.std[c]);
        }
    }
    let beside = run(&card, &tensors, false, Tensor::from_shape(&[1, 3, 32, 32], &normalised).unwrap());
    let inside = run(&card, &tensors, true, Tensor::from_shape(&[1, 32, 32, 3], &bytes).unwrap());
    assert_close(&inside, &beside, 1e-5, "preprocessing");
}

#[test]
fn tract_computes_what_the_network_does() {
    for (model, side) in [
        ("mobilenet_v2_035", 64),
        ("efficientnet_lite0", 65),
        ("resnext50_32x4d", 64),
        ("resnet18d", 74),
        ("thin_resnet50_v1", 64),
    ] {
        let card = card(model, ModelSpec::named(model, None, 3, 10).unwrap().padding, side);
        let tensors = fixtures::network(&card.spec);
        let images = formula::images(2, 3, side);
        let computed = run(&card, &tensors, false, Tensor::from_shape(&[2, 3, side, side], &images).unwrap());
        let values = |info: &TensorInfo| tensors.get(&info.name).map(|tensor| tensor.data.clone());
        let network = Network::load(&card.spec, values, Implementation::Fast, &Compute::cpu()).unwrap();
        let pixel = |i: usize| images[(i / (3 * side * side) * 3 + i % 3) * side * side + i / 3 % (side * side)];
        let pixels: Vec<f32> = (0..images.len()).map(pixel).collect();
        let (pixels, samples) = (ops::Pixels::Values(&pixels, [2, side, side, 3]), &[SampleParams::plain(0, 0); 2]);
        let own = network.infer(&ops::Batch { pixels, samples }, ops::Storage::F32);
        assert_close(&computed, &own, 1e-4, model);
    }
}

#[test]
fn odd_sizes_pad_as_mindspore_does() {
    // 3x3 with stride 2 over 5 pixels pads one on either side, over 4 pixels none before and one behind; a graph that
    // pads wrongly has other shapes at the residual sum, which the runtime refuses.
    for side in [25, 26, 27, 28] {
        let card = card("resnet18", Padding::Same, side);
        let input = Tensor::from_shape(&[1, 3, side, side], &formula::images(1, 3, side)).unwrap();
        let computed = run(&card, &fixtures::network(&card.spec), false, input);
        assert!(computed.len() == 10 && computed.iter().all(|v| v.is_finite()));
    }
}

#[test]
fn class_names_and_the_whole_card_are_in_the_metadata() {
    let card = card("cifar_resnet8", Padding::SamePool, 32);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.onnx");
    write_onnx(&path, &card, &fixtures::network(&card.spec), true).unwrap();
    let model = tract_onnx::onnx().proto_model_for_path(&path).unwrap();
    let value =
        |key: &str| model.metadata_props.iter().find(|pair| pair.key == key).map(|pair| pair.value.clone()).unwrap();
    assert_eq!(serde_json::from_str::<Vec<String>>(&value("classes")).unwrap(), card.classes);
    assert_eq!(serde_json::from_str::<ModelCard>(&value("kindling")).unwrap(), card);
    assert_eq!(model.opset_import[0].version, 17);
}

#[test]
fn tensors_of_another_network_are_not_exported() {
    let card = card("cifar_resnet8", Padding::Torch, 32);
    let tensors = fixtures::network(&ModelSpec::named("cifar_resnet14", None, 3, 10).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.onnx");
    assert!(write_onnx(&path, &card, &tensors, true).is_err() && !path.exists());
}
