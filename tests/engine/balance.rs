//! Class weights and balanced sampling: the loss against PyTorch's on every device, training alike on both sides of the
//! operations and in 16 bits, and runs that go on to the bit.

use super::adapter::gpu;
use super::support::{dataset, finish, folder, last_weights, recipe, setup, until};
use kindling::{
    data::{Dataset, Split},
    device::{Choice, Compute, open},
    ops::{
        Batch, Cpu, Implementation, Loss, Objective, Pixels, Reference, Storage, Transfer, Wgsl, optimizers::Status,
        wgpu::Wgpu,
    },
    session::{Command, Event, Session, Setup},
    train::{Feed, Freeze, Position, Recipe, SampleParams, Value, trainer::Trainer},
};
use std::sync::Arc;

const LOGITS: [f32; 12] = [1.5, -0.25, 0.75, -2.0, 0.5, 3.0, 0.125, 0.25, -1.0, 4.0, -1.5, 2.25];
const WEIGHTS: [f32; 3] = [0.5, 2.0, 1.25];

/// Smoothing, share of the first label, and what PyTorch 2.15 gives in f64 for the logits `z` and `y = [0, 1, 2, 2]`:
/// `share * loss(z, y) + (1 - share) * loss(z, y.flip(0))` with
/// `loss = CrossEntropyLoss(weight=…, label_smoothing=…)`, which is also its loss for probabilities times
/// `4 / weight[y].sum()`, and the gradient by `z`.
#[rustfmt::skip]
const TORCH: [(f32, f32, f64, [f64; 12]); 4] = [
    (0.0, 1.0, 2.068_373_957_761_096_4, [
        -0.039251844, 0.010556447, 0.028695397, 0.002475314, -0.369844501, 0.367369187,
        0.101716945, 0.115260398, -0.216977343, 0.212249205, 0.000867414, -0.213116619,
    ]),
    (0.0, 0.75, 1.716_145_334_666_127_5, [
        0.008528715, 0.014515114, -0.023043829, 0.002243253, -0.272671579, 0.270428325,
        0.116974486, 0.032549458, -0.149523944, 0.155411824, 0.000737302, -0.156149126,
    ]),
    (0.1, 1.0, 2.077_907_334_220_112_6, [
        -0.023472954, -0.00119342, 0.024666373, -0.000950844, -0.344308665, 0.345259509,
        0.098383611, 0.101927065, -0.200310676, 0.208915871, -0.012465919, -0.196449952,
    ]),
    (0.1, 0.75, 1.760_901_573_434_640_7, [
        0.019529549, 0.002369381, -0.02189893, -0.001159698, -0.256853036, 0.258012734,
        0.112115399, 0.027487219, -0.139602618, 0.157762229, -0.01258302, -0.145179209,
    ]),
];

fn devices() -> Vec<Compute> {
    [open(Choice::Cpu).ok(), gpu()].into_iter().flatten().collect()
}

fn close(what: &str, got: &[f32], want: &[f64], most: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (got, want) in got.iter().zip(want) {
        assert!((f64::from(*got) - want).abs() < most, "{what}: {got}, and {want} was wanted");
    }
}

/// Holds the loss on a device against PyTorch's.
fn check<O: Transfer>(ops: &O, what: &str) {
    let weights = ops.upload(&WEIGHTS);
    let status = ops.upload(&Status { scale: 1024.0, ..Status::START }.values());
    for (smoothing, lambda, loss, gradient) in TORCH {
        let what = format!("smoothing {smoothing}, lambda {lambda}, {what}");
        let labels = [[0, 2], [1, 2], [2, 1], [2, 0]];
        let samples = labels.map(|[label, partner_label]| SampleParams {
            lambda,
            partner_label,
            ..SampleParams::plain(0, label)
        });
        // The logits of four images, where else pixels are.
        let batch = Batch { pixels: Pixels::Values(&LOGITS, [1, 1, 4, 3]), samples: &samples };
        let (logits, targets) = ops.batch(&batch, Storage::F32);
        let of = |weights, status| {
            let mut metrics = ops.upload(&[0.0; 2]);
            let objective = Objective { smoothing, weights, status };
            let Loss { gradient, losses } = ops.cross_entropy(&logits, &targets, objective, &mut metrics);
            let [gradient, losses, metrics] =
                ops.read(vec![gradient, losses, metrics]).try_into().expect("three tensors");
            (gradient, losses, metrics)
        };
        let (got, losses, metrics) = of(Some(&weights), None);
        close(&what, &[metrics[0] / 4.0], &[loss], 1e-6);
        close(&what, &got, &gradient, 1e-6);
        // As 16-bit activations take it.
        let scaled: Vec<f64> = gradient.iter().map(|value| value * 1024.0).collect();
        close(&what, &of(Some(&weights), Some(&status)).0, &scaled, 1e-3);
        // An image's own loss is that without weights.
        let plain: Vec<f64> = of(None, None).1.into_iter().map(f64::from).collect();
        close(&format!("own losses, {what}"), &losses, &plain, 1e-6);
    }
}

#[test]
fn a_weighted_loss_and_its_gradient_are_those_of_pytorch() {
    for compute in devices() {
        let what = &compute.description;
        match Wgpu::of(&compute) {
            Some(gpu) => check(&Wgsl(gpu), what),
            None => check(&Cpu::default(), what),
        }
        let reference = Reference { device: compute.device.clone(), profile: compute.shared() };
        check(&reference, &format!("{what}, reference"));
    }
}

/// The data set with most images of two classes left out.
fn lopsided() -> Arc<Dataset> {
    let all = dataset();
    let keep = |i: &usize| all.train.labels[*i] < 2 || i.is_multiple_of(5);
    let kept: Vec<usize> = (0..all.train.len()).filter(keep).collect();
    let pixels: Vec<u8> = kept.iter().flat_map(|&i| all.train.image(i).into_owned()).collect();
    let labels = kept.iter().map(|&i| all.train.labels[i]).collect();
    let train = Split { pixels: pixels.into(), labels, ..all.train.clone() };
    Arc::new(Dataset::new("lopsided squares", all.classes.clone(), train, all.validation.clone()))
}

/// Mean losses of the first steps.
fn steps(recipe: &Recipe, ops: Implementation, compute: &Compute) -> Vec<f32> {
    let normalisation = kindling::data::Normalisation { mean: vec![0.5], std: vec![0.25] };
    let spec = recipe.spec(1, 4).expect("a valid model");
    let network = kindling::model::Network::new(&spec, 1, false, ops, compute);
    let mut trainer = Trainer::new(network);
    let feed = Feed::new(lopsided(), recipe, &normalisation).on(compute);
    let one = |step: u64| {
        let (epoch, batch) = (step / feed.steps_per_epoch(), step % feed.steps_per_epoch());
        trainer.step(&feed.batch(Position { epoch, batch }), recipe, 0.05, Freeze::None);
        let metrics = trainer.read_metrics();
        metrics.loss / metrics.images as f32
    };
    (0..5).map(one).collect()
}

#[test]
fn weighted_training_is_the_same_on_every_side_and_in_sixteen_bits() {
    let changes = ["class_weights=balanced", "label_smoothing=0.1", "mixup=0.4", "momentum=0"];
    let plain = steps(&recipe(&changes[1..]), Implementation::Reference, &open(Choice::Cpu).unwrap());
    let want = steps(&recipe(&changes), Implementation::Reference, &open(Choice::Cpu).unwrap());
    assert_ne!(plain, want, "the weights changed nothing");
    for compute in devices() {
        for precision in ["f32", "f16"] {
            let got = steps(
                &recipe(&[&changes[..], &[&format!("precision={precision}")]].concat()),
                Implementation::Fast,
                &compute,
            );
            let most = if precision == "f16" { 0.02 } else { 2e-3 };
            for (got, want) in got.iter().zip(&want) {
                assert!((got - want).abs() < most * want, "{got} instead of {want} on {}", compute.description);
            }
        }
    }
}

#[test]
fn balanced_runs_stopped_anywhere_resume_bit_for_bit() {
    let (_guard, run) = folder();
    let changes = ["balanced_sampling=true", "class_weights=1, 1.5, 2, 2", "label_smoothing=0.1", "cutmix=0.5"];
    let setup = |name: &str, resume| Setup { dataset: lopsided(), ..setup(&run(name), recipe(&changes), resume) };
    finish(setup("straight", false));
    let mut resume = false;
    for stop_at in [2, 5, u64::MAX] {
        let session = Session::start(setup("broken", resume));
        until(&session, |event| matches!(event, Event::Step { .. }) && event.step() >= stop_at);
        session.stop();
        resume = true;
    }
    assert_eq!(last_weights(&run("straight")), last_weights(&run("broken")));
    let plain = Setup { dataset: lopsided(), ..super::support::setup(&run("plain"), recipe(&changes[2..]), false) };
    finish(plain);
    assert_ne!(last_weights(&run("straight")), last_weights(&run("plain")));
}

#[test]
fn weights_of_another_number_are_refused_before_and_while_a_run_goes_on() {
    let (_guard, run) = folder();
    let events = finish(setup(&run("a"), recipe(&["class_weights=1, 2"]), false));
    let refused = "class_weights has 2 numbers for 4 classes";
    assert!(matches!(events.last(), Some(Event::Error { text, .. }) if text.contains(refused)), "{events:#?}");
    let session = Session::start(setup(&run("b"), recipe(&["epochs=2000"]), false));
    until(&session, |event| matches!(event, Event::Step { .. }));
    session.send(Command::Set { key: "class_weights".into(), value: Value::Floats(vec![1.0, 2.0]) });
    let events = until(&session, |event| matches!(event, Event::Warning { .. }));
    assert!(matches!(events.last(), Some(Event::Warning { text, .. }) if text.contains(refused)), "{events:#?}");
    session.send(Command::Set { key: "class_weights".into(), value: Value::Text("balanced".into()) });
    until(&session, |event| matches!(event, Event::Changed { key, .. } if key == "class_weights"));
    until(&session, |event| matches!(event, Event::Step { .. }));
    session.stop();
}
