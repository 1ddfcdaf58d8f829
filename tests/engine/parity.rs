//! The engine against PyTorch and MindSpore: whole networks' logits, training losses, running statistics and optimiser
//! updates, on every device of this machine and on both sides of the operations.
//!
//! `tests/data/reference.json` and `mindspore.json` were computed by PyTorch 2.15 and MindSpore 2.10 from weights and
//! images that follow a [`formula`].

use super::{formula, needs};
use kindling::{
    device::{Choice, Compute, open},
    model::{Frozen, Learner, Learning, ModelSpec, Network, Padding, ParameterGroups, Stem, spec::TensorInfo},
    ops::{
        Arena, Batch, Cpu, Implementation, Layout, Pixels, Reference, Storage, Transfer, UpdateState, Wgsl,
        optimizers::{AdamW, Factors, Rule, Sgd, Status, Update},
        wgpu::Wgpu,
    },
    train::SampleParams,
    weights::{self, ImportOptions, Imported},
};
use serde::Deserialize;
use std::{path::Path, sync::Arc};

fn network(spec: &ModelSpec, ops: Implementation, compute: &Compute) -> Network {
    let values = |info: &TensorInfo| Some(formula::tensor(&info.name, &info.shape));
    Network::load(spec, values, ops, compute).expect("the formula has every tensor")
}

/// The formula's images and labels.
struct Formula {
    pixels: Vec<f32>,
    samples: Vec<SampleParams>,
    side: usize,
}

impl Formula {
    fn new(n: usize, side: usize, classes: u32) -> Self {
        let planes = formula::images(n, 3, side);
        // From NCHW to NHWC.
        let at = |i: usize| {
            let (pixel, channel) = (i / 3, i % 3);
            let (image, pixel) = (pixel / (side * side), pixel % (side * side));
            planes[(image * 3 + channel) * side * side + pixel]
        };
        let pixels = (0..planes.len()).map(at).collect();
        let labels = (0..).zip(formula::labels(n, classes));
        Self { pixels, samples: labels.map(|(i, label)| SampleParams::plain(i, label)).collect(), side }
    }

    fn batch(&self) -> Batch<'_> {
        let shape = [self.samples.len(), self.side, self.side, 3];
        Batch { pixels: Pixels::Values(&self.pixels, shape), samples: &self.samples }
    }
}

fn infer(network: &Network, n: usize, side: usize) -> Vec<f32> {
    network.infer(&Formula::new(n, side, 10).batch(), Storage::F32)
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
struct SgdCase {
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
    sgd: SgdCase,
    losses: Vec<f32>,
    bn1: RunningStatistics,
}

#[derive(Deserialize)]
struct OptimizerRun {
    name: String,
    after: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Cases {
    eval: Vec<Eval>,
    #[serde(default)]
    train: Vec<Train>,
    #[serde(default)]
    optimizers: Vec<OptimizerRun>,
}

fn torch() -> Cases {
    serde_json::from_str(include_str!("../data/reference.json")).expect("valid JSON")
}

fn mindspore() -> Cases {
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

fn check_logits(reference: &Cases, padding: Padding, deepest: usize) {
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
            let logits = infer(&network(&spec, ops, &compute), 2, case.side);
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
        assert_eq!(
            (card.spec.architecture.as_str(), card.spec.stem()),
            (case.model.as_str(), Some(case.stem)),
            "{name}"
        );
        for (compute, ops) in devices() {
            let state = |info: &TensorInfo| tensors.get(&info.name).map(|tensor| tensor.data.clone());
            let network = Network::load(&card.spec, state, ops, &compute).expect(name);
            let logits = infer(&network, 2, case.side);
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
            let mut learner = Learner::new(network(&spec, ops, &compute));
            let formula = Formula::new(case.batch, case.side, 10);
            let rule = Rule::Sgd(Sgd { momentum: case.sgd.momentum, nesterov: case.sgd.nesterov });
            for (step, wanted) in (1..).zip(&case.losses) {
                let update = update(rule, step, case.lr, case.sgd.weight_decay);
                let learning = Learning {
                    storage: Storage::F32,
                    smoothing: 0.0,
                    class_weights: None,
                    frozen: Frozen::Nothing,
                    groups: ParameterGroups { backbone_lr: 1.0, decay_bias_and_norm: true },
                    update,
                };
                learner.step(&formula.batch(), &learning);
                let ([loss, _], _) = learner.read_metrics();
                let loss = loss / case.batch as f32;
                let error = (loss / wanted - 1.0).abs();
                let at = format!("{} step {step} on {} ({ops:?})", case.model, compute.description);
                assert!(error < 1e-3, "{at}: loss {loss}, PyTorch {wanted}");
                if step == 1 {
                    let state = learner.network().export();
                    let find = |name: &str| &state.iter().find(|(info, _)| info.name == name).unwrap().1;
                    assert!(distance(find("bn1.running_mean"), &case.bn1.running_mean) < 1e-4, "{at}");
                    assert!(distance(find("bn1.running_var"), &case.bn1.running_var) < 1e-4, "{at}");
                }
            }
        }
    }
}

fn update(rule: Rule, step: u64, lr: f32, weight_decay: f32) -> Update {
    Update { rule, step, lr, weight_decay, clip_norm: 0.0, ema_decay: 0.0, scaled: false }
}

/// Eight values that are updated step by step on a device.
struct Updated<'a, O: Transfer> {
    ops: &'a O,
    layout: Arc<Layout>,
    none: Arc<Layout>,
    parameters: Arena<O::Memory>,
    states: Vec<Arena<O::Memory>>,
    statistics: Arena<O::Memory>,
    status: O::Tensor,
    factors: O::Factors,
}

impl<'a, O: Transfer> Updated<'a, O> {
    fn new(ops: &'a O, values: Vec<f32>, states: usize) -> Self {
        let (layout, none) = (Arc::new(Layout::new([[1, 1, 1, 8]])), Arc::new(Layout::new([])));
        Self {
            parameters: ops.fill(&layout, 0, |_, place| place.copy_from_slice(&values)),
            states: (0..states).map(|_| ops.zeros(&layout, 0)).collect(),
            statistics: ops.empty(&none, 0),
            status: ops.upload(&Status::START.values()),
            factors: ops.factors(&layout, 0, &[Factors { lr: 1.0, weight_decay: 1.0 }]),
            ops,
            layout,
            none,
        }
    }

    /// The values after an update by this gradient, and the states.
    fn step(&mut self, gradient: Vec<f32>, update: &Update) -> (Vec<f32>, Vec<Vec<f32>>) {
        let Self { ops, layout, .. } = self;
        let learned = UpdateState {
            parameters: &mut self.parameters,
            gradients: ops.fill(layout, 0, |_, place| place.copy_from_slice(&gradient)),
            states: &mut self.states,
            average: None,
            statistics: &mut self.statistics,
            fresh: ops.empty(&self.none, 0),
            status: &mut self.status,
            factors: &self.factors,
        };
        ops.update(learned, update);
        let read = |arena| ops.read(vec![ops.view(arena, 0)]).concat();
        (read(&self.parameters), self.states.iter().map(read).collect())
    }
}

fn vector(name: &str) -> Vec<f32> {
    formula::uniform(name, 8).map(|value| value as f32).collect()
}

/// Holds a rule's updates of eight values against PyTorch's.
fn check_updates<O: Transfer>(ops: &O, what: &str) {
    for case in torch().optimizers {
        let (rule, lr, weight_decay) = match case.name.as_str() {
            "adamw" => (Rule::AdamW(AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8 }), 0.01, 0.05),
            name => (Rule::Sgd(Sgd { momentum: 0.9, nesterov: name == "sgd_nesterov" }), 0.1, 5e-4),
        };
        let mut updated = Updated::new(ops, vector("p"), rule.states());
        for (step, wanted) in (0..).zip(&case.after) {
            let (got, _) = updated.step(vector(&format!("g{step}")), &update(rule, step + 1, lr, weight_decay));
            for (got, wanted) in got.iter().zip(wanted) {
                assert!((got - wanted).abs() < 1e-6, "{} step {step} on {what}: {got} instead of {wanted}", case.name);
            }
        }
    }
}

/// Holds steps whose momentum is switched off and on against the formula.
fn check_momentum<O: Transfer>(ops: &O, what: &str) {
    for nesterov in [false, true] {
        let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<f64>>();
        let (mut w, mut velocity) = (wide(vector("p")), vec![0.0; 8]);
        let mut updated = Updated::new(ops, vector("p"), 1);
        for (step, momentum) in (1..).zip([0.9f32, 0.9, 0.0, 0.9, 0.9, 0.0, 0.0, 0.5]) {
            let gradient = vector(&format!("g{}", step % 3));
            let rule = Rule::Sgd(Sgd { momentum, nesterov });
            let (got, states) = updated.step(gradient.clone(), &update(rule, step, 0.1, 0.01));
            for (i, g) in wide(gradient).into_iter().enumerate() {
                let (momentum, g) = (f64::from(momentum), g + 0.01 * w[i]);
                let next = momentum * velocity[i] + g;
                w[i] -= 0.1 * if nesterov { g + momentum * next } else { next };
                // Without momentum nothing is remembered for when there is one again.
                velocity[i] = if momentum == 0.0 { 0.0 } else { next };
            }
            for (of, got, want) in [("values", &got, &w), ("velocity", &states[0], &velocity)] {
                let fits = got.iter().zip(want).all(|(got, want)| (f64::from(*got) - want).abs() < 2e-6);
                assert!(fits, "{of} after step {step}, nesterov {nesterov}, on {what}: {got:?} instead of {want:?}");
            }
        }
    }
}

/// A check of updates on each side of the operations of each device.
macro_rules! on_every_side {
    ($check:ident) => {
        for (compute, ops) in devices() {
            let what = format!("{} ({ops:?})", compute.description);
            match (ops, Wgpu::of(&compute)) {
                (Implementation::Fast, Some(gpu)) => $check(&Wgsl(gpu), &what),
                (Implementation::Fast, None) => $check(&Cpu::default(), &what),
                (Implementation::Reference, _) => {
                    $check(&Reference { device: compute.device.clone(), profile: compute.shared() }, &what);
                }
            }
        }
    };
}

#[test]
fn optimiser_updates_are_pytorchs() {
    on_every_side!(check_updates);
}

#[test]
fn a_momentum_that_was_off_starts_from_no_velocity() {
    on_every_side!(check_momentum);
}
