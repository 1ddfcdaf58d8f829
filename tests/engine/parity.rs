//! The engine against PyTorch and MindSpore: whole networks' logits, training losses, running statistics and optimiser
//! updates, on every device of this machine and on both sides of the operations.
//!
//! `tests/data/reference.json` and `mindspore.json` were computed by PyTorch 2.15 and MindSpore 2.10 from weights and
//! images that follow a [`formula`].

use super::{formula, needs};
use burn::tensor::{Tensor, TensorData};
use kindling::{
    device::{Choice, Compute, open},
    model::{Frozen, Loss, ModelSpec, Moments, Network, Padding, Stem, network::read, spec::TensorInfo},
    ops::{
        Implementation, Targets, fast,
        kernels::{Factors, Rule, Status, Update},
        reference,
    },
    weights::{self, ImportOptions, Imported},
};
use serde::Deserialize;
use std::path::Path;

fn network(spec: &ModelSpec, ops: Implementation, compute: &Compute) -> Network {
    Network::load(spec, |info| Some(formula::tensor(&info.name, &info.shape)), ops, &compute.device)
        .expect("the formula has every tensor")
}

/// The formula's images, brought from NCHW to NHWC.
fn images(n: usize, side: usize, compute: &Compute) -> Tensor<4> {
    let data = TensorData::new(formula::images(n, 3, side), [n, 3, side, side]);
    // The round trip through the host makes the permutation contiguous, as every activation is.
    let nhwc = Tensor::<4>::from_data(data, &compute.device).permute([0, 2, 3, 1]).into_data();
    Tensor::from_data(nhwc, &compute.device)
}

fn targets(n: usize, classes: u32, compute: &Compute) -> Targets {
    let labels: Vec<i32> = formula::labels(n, classes).into_iter().map(|label| label as i32).collect();
    let labels = Tensor::from_data(TensorData::new(labels, [n]), &compute.device);
    Targets { first: labels.clone(), second: labels, share: Tensor::ones([n], &compute.device) }
}

#[derive(Deserialize)]
struct Eval {
    model: String,
    stem: Stem,
    side: usize,
    classes: usize,
    #[serde(default)]
    parameters: usize,
    logits: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Sgd {
    momentum: f32,
    weight_decay: f32,
    #[serde(default)]
    nesterov: bool,
}

#[derive(Deserialize)]
struct RunningStatistics {
    running_mean: Vec<f32>,
    running_var: Vec<f32>,
}

#[derive(Deserialize)]
struct Train {
    model: String,
    stem: Stem,
    side: usize,
    batch: usize,
    classes: usize,
    lr: f32,
    sgd: Sgd,
    losses: Vec<f32>,
    bn1: RunningStatistics,
}

#[derive(Deserialize)]
struct OptimizerRun {
    name: String,
    after: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Reference {
    eval: Vec<Eval>,
    #[serde(default)]
    train: Vec<Train>,
    #[serde(default)]
    optimizers: Vec<OptimizerRun>,
}

fn torch() -> Reference {
    serde_json::from_str(include_str!("../data/reference.json")).expect("valid JSON")
}

fn mindspore() -> Reference {
    serde_json::from_str(include_str!("../data/mindspore.json")).expect("valid JSON")
}

/// The devices that this machine has, with the sides of the operations that are worth testing there.
fn devices() -> Vec<(Compute, Implementation)> {
    let cpu = Compute::cpu();
    let mut devices = vec![(cpu.clone(), Implementation::Reference), (cpu, Implementation::Fast)];
    devices.extend(needs::found("gpu", open(Choice::BestGpu)).map(|gpu| (gpu, Implementation::Fast)));
    devices
}

/// |a - b| / |b| as vectors.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let sum = |f: &dyn Fn(usize) -> f64| (0..a.len()).map(f).sum::<f64>().sqrt();
    sum(&|i| f64::from(a[i] - b[i]).powi(2)) / sum(&|i| f64::from(b[i]).powi(2))
}

fn check_logits(reference: &Reference, padding: Padding, deepest: usize) {
    for (compute, ops) in devices() {
        for case in &reference.eval {
            let depth: usize = case.model.trim_start_matches("cifar_").trim_start_matches("resnet").parse().unwrap();
            if depth > deepest {
                continue;
            }
            let spec = ModelSpec::named(&case.model, Some(case.stem), 3, case.classes).unwrap().with_padding(padding);
            if case.parameters > 0 {
                assert_eq!(spec.parameters(), case.parameters, "{}", case.model);
            }
            let logits = read(network(&spec, ops, &compute).infer(images(2, case.side, &compute)));
            let wanted: Vec<f32> = case.logits.concat();
            let limit = if depth <= 56 { 1e-4 } else { 1e-3 };
            let error = distance(&logits, &wanted);
            assert!(error < limit, "{} at {} on {} ({ops:?}): {error:e}", case.model, case.side, compute.description);
        }
    }
}

#[test]
fn logits_of_the_whole_family_are_pytorchs() {
    check_logits(&torch(), Padding::Torch, 152);
}

#[test]
fn same_padding_gives_mindspores_logits() {
    check_logits(&mindspore(), Padding::Same, 152);
}

/// What `torch.save`, safetensors and MindSpore wrote, all of one network: the first of the reference.
#[test]
fn files_of_other_programs_give_the_reference_logits() {
    let reference = torch();
    let case = &reference.eval[0];
    for (name, limit) in [
        ("resnet20.safetensors", 1e-4),
        ("resnet20_zip.pth", 1e-4),
        ("resnet20_legacy.pth", 1e-4),
        ("resnet20_channels_last.pth", 1e-4),
        ("resnet20_nested_dataparallel.pth", 1e-4),
        ("resnet20_fp16.pth", 1e-2),
        ("resnet20_mindcv.ckpt", 1e-4),
        ("resnet20_mindvision.ckpt", 1e-4),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/weights").join(name);
        let Imported { card, tensors, .. } = weights::read(&path, &ImportOptions::default()).expect(name);
        assert_eq!((card.spec.architecture.as_str(), card.spec.stem), (case.model.as_str(), case.stem), "{name}");
        for (compute, ops) in devices() {
            let state = |info: &TensorInfo| tensors.get(&info.name).map(|tensor| tensor.data.clone());
            let network = Network::load(&card.spec, state, ops, &compute.device).expect(name);
            let logits = read(network.infer(images(2, case.side, &compute)));
            let error = distance(&logits, &case.logits.concat());
            assert!(error < limit, "{name} on {} ({ops:?}): {error:e}", compute.description);
        }
    }
}

#[test]
fn ten_steps_of_training_follow_pytorch() {
    for (compute, ops) in devices() {
        for case in torch().train {
            let spec = ModelSpec::named(&case.model, Some(case.stem), 3, case.classes).unwrap();
            let mut net = network(&spec, ops, &compute);
            let (x, y) = (images(case.batch, case.side, &compute), targets(case.batch, 10, &compute));
            let mut moments = Moments::default();
            let zeros = || Tensor::<1>::zeros([2], &compute.device);
            let mut status = Status::START.on(&compute.device);
            let update = Update {
                rule: Rule::Sgd { momentum: case.sgd.momentum, nesterov: case.sgd.nesterov },
                lr: case.lr,
                weight_decay: case.sgd.weight_decay,
                clip_norm: 0.0,
                ema_decay: 0.0,
                scaled: false,
            };
            let factors = vec![Factors { lr: 1.0, weight_decay: 1.0 }; net.parameters(Frozen::Nothing).len()];
            for (step, wanted) in case.losses.iter().enumerate() {
                let pass = net.pass(x.clone(), &y, zeros(), Loss::default(), Frozen::Nothing);
                let loss = read(pass.metrics.clone())[0] / case.batch as f32;
                let error = (loss / wanted - 1.0).abs();
                let at = format!("{} step {step} on {} ({ops:?})", case.model, compute.description);
                assert!(error < 1e-3, "{at}: loss {loss}, PyTorch {wanted}");
                (net, moments, status) =
                    net.update(pass, moments, status, factors.clone(), update.clone(), Frozen::Nothing);
                if step == 0 {
                    let state = net.export();
                    let find = |name: &str| &state.iter().find(|(info, _)| info.name == name).unwrap().1;
                    assert!(distance(find("bn1.running_mean"), &case.bn1.running_mean) < 1e-4, "{at}");
                    assert!(distance(find("bn1.running_var"), &case.bn1.running_var) < 1e-4, "{at}");
                }
            }
        }
    }
}

#[test]
fn optimiser_updates_are_pytorchs() {
    for (compute, ops) in devices() {
        for case in torch().optimizers {
            let vector = |name: &str| {
                let values: Vec<f32> = formula::uniform(name, 8).map(|value| value as f32).collect();
                Tensor::<1>::from_data(TensorData::new(values, [8]), &compute.device).into_dispatch()
            };
            let mut state = fast::State { parameters: vec![vector("p")], ..fast::State::default() };
            let mut status = Status::START.on(&compute.device);
            for (step, wanted) in case.after.iter().enumerate() {
                let (rule, lr, weight_decay) = match case.name.as_str() {
                    "adamw" => (Rule::AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, step: step as u64 + 1 }, 0.01, 0.05),
                    name => (Rule::Sgd { momentum: 0.9, nesterov: name == "sgd_nesterov" }, 0.1, 5e-4),
                };
                let update = Update { rule, lr, weight_decay, clip_norm: 0.0, ema_decay: 0.0, scaled: false };
                let optimise = match ops {
                    Implementation::Fast => fast::optimise,
                    Implementation::Reference => reference::optimise,
                };
                let factors = vec![Factors { lr: 1.0, weight_decay: 1.0 }];
                (state, status) = optimise(state, vec![vector(&format!("g{step}"))], vec![], status, factors, update);
                let got = read(Tensor::<1>::from_dispatch(state.parameters[0].clone()));
                for (got, wanted) in got.iter().zip(wanted) {
                    let at = format!("{} step {step} on {} ({ops:?})", case.name, compute.description);
                    assert!((got - wanted).abs() < 1e-6, "{at}: {got} instead of {wanted}");
                }
            }
        }
    }
}
