//! Fine-tuning: what is frozen stays to the bit, costs nothing, and what was learned elsewhere helps.

use super::support::{finish, folder, recipe, setup, until};
use kindling::{
    data::{self, Dataset, LoadOptions, Silent, Split},
    device::{self, Choice},
    model::{Frozen, Learner, Learning, Network},
    ops::{self, Implementation},
    session::{Command, Event, Session, Setup, Weights},
    train::{Freeze, Recipe, RunFolder, SampleParams, Value, predictor, trainer},
    weights::{Imported, StateDict, read_tensors},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

fn tensors(path: &Path) -> StateDict {
    let (mut tensors, _) = read_tensors(path).unwrap();
    tensors.retain(|name, _| !name.ends_with("num_batches_tracked"));
    tensors
}

fn last(run: &Path) -> StateDict {
    tensors(&RunFolder::open(run).unwrap().last().unwrap().unwrap().weights)
}

fn snapshot(run: &Path, name: &str) -> StateDict {
    tensors(&RunFolder::open(run).unwrap().snapshot(name).unwrap().1.weights)
}

/// Whether the tensor of that name is frozen.
fn covers(freeze: Freeze, tensor: &str) -> bool {
    let stage: Option<usize> = tensor.strip_prefix("layer").and_then(|rest| rest.split('.').next()?.parse().ok());
    match stage {
        _ if tensor.starts_with("fc.") => false,
        Some(stage) => stage <= freeze.stages(usize::MAX),
        None => freeze != Freeze::None,
    }
}

/// Asserts that what `freeze` covers is the same to the bit in both, and that everything else has moved.
#[track_caller]
fn assert_frozen(freeze: Freeze, before: &StateDict, after: &StateDict) {
    assert_eq!(before.len(), after.len());
    for (name, tensor) in before {
        let same = tensor.data.iter().map(|v| v.to_bits()).eq(after[name].data.iter().map(|v| v.to_bits()));
        assert_eq!(same, covers(freeze, name), "{name} with {freeze:?} frozen");
    }
}

fn fine_tune(run: PathBuf, from: &Path, recipe: Recipe) -> Vec<Event> {
    finish(Setup { weights: Some(Weights::From(from.to_owned())), ..setup(&run, recipe, false) })
}

/// A trained run, and its weights as the next run takes them up.
fn trained(run: &Path) -> StateDict {
    finish(setup(run, recipe(&["epochs=2"]), false));
    tensors(&RunFolder::open(run).unwrap().weights().unwrap())
}

#[test]
fn what_is_frozen_keeps_its_weights_and_statistics_to_the_bit() {
    let (_guard, run) = folder();
    let before = trained(&run("first"));
    for freeze in ["none", "stem", "stage1", "stage2", "all-but-head"] {
        let changes = [format!("freeze={freeze}"), "epochs=1".into(), "ema_decay=0.9".into()];
        let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
        fine_tune(run(freeze), &run("first"), recipe(&changes));
        assert_frozen(freeze.parse().unwrap(), &before, &last(&run(freeze)));
    }
}

#[test]
fn layers_thaw_after_the_epoch_that_the_recipe_says() {
    let (_guard, run) = folder();
    let before = trained(&run("first"));
    let recipe = recipe(&["freeze=all-but-head", "unfreeze_epoch=1", "epochs=2"]);
    fine_tune(run("a"), &run("first"), recipe);
    assert_frozen(Freeze::AllButHead, &before, &snapshot(&run("a"), "epoch-1"));
    assert_frozen(Freeze::None, &before, &last(&run("a")));
}

#[test]
fn a_run_that_is_taken_up_where_layers_thaw_is_the_run_that_went_through() {
    let (_guard, run) = folder();
    trained(&run("first"));
    let changes = ["freeze=stage1", "unfreeze_epoch=2", "epochs=4", "ema_decay=0.9"];
    fine_tune(run("straight"), &run("first"), recipe(&changes));
    // The state after epoch 2 has no moments of the layers that learn from there on.
    let session = Session::start(Setup {
        weights: Some(Weights::From(run("first"))),
        ..setup(&run("walked"), recipe(&changes), false)
    });
    until(&session, |event| matches!(event, Event::Snapshot { name, .. } if name == "epoch-3"));
    session.send(Command::Rewind { snapshot: "epoch-2".into(), changes: Vec::new() });
    until(&session, |event| matches!(event, Event::Done { .. }));
    session.stop();
    assert_eq!(last(&run("straight")), last(&run("walked")));
}

#[test]
fn freezing_and_thawing_act_during_a_run() {
    let (_guard, run) = folder();
    let session = Session::start(setup(&run("a"), recipe(&["epochs=100000", "ema_decay=0.9"]), false));
    until(&session, |event| matches!(event, Event::Step { .. }));
    let mut taken = 0;
    let mut keep = |session: &Session| {
        taken += 1;
        session.send(Command::Snapshot { name: Some(format!("by-hand-{taken}")) });
        let wanted = format!("by-hand-{taken}");
        until(session, |event| matches!(event, Event::Snapshot { name, .. } if *name == wanted));
        until(session, |event| matches!(event, Event::Step { .. }));
    };
    for freeze in ["all-but-head", "stage1", "none"] {
        session.send(Command::Set { key: "freeze".into(), value: Value::Text(freeze.into()) });
        keep(&session);
        keep(&session);
    }
    session.stop();
    for (freeze, first) in [(Freeze::AllButHead, 1), (Freeze::Stage1, 3), (Freeze::None, 5)] {
        let at = |i: i32| snapshot(&run("a"), &format!("by-hand-{i}"));
        assert_frozen(freeze, &at(first), &at(first + 1));
    }
}

#[test]
fn a_frozen_backbone_has_no_gradient_and_costs_no_backward_pass() {
    let compute = device::open(Choice::Cpu).unwrap();
    let spec = Recipe::default().spec(3, 10).unwrap();
    let n = 32;
    let pixels: Vec<f32> = (0..n * 32 * 32 * 3).map(|i| (i as f32 * 0.37).sin()).collect();
    let samples: Vec<_> = (0..n).map(|i| SampleParams::plain(i, i % 10)).collect();
    let batch = ops::Batch { pixels: ops::Pixels::Values(&pixels, [n as usize, 32, 32, 3]), samples: &samples };
    let recipe = Recipe { weight_decay: 0.0, ..Recipe::default() };
    let learning = |frozen| {
        let plan = trainer::step_plan(&recipe, [32; 2], ops::Storage::F32);
        Learning { frozen, ..plan.learning }
    };
    let network = Network::new(&spec, 1, false, Implementation::Fast, &compute);
    let learner = |frozen| {
        let mut learner = Learner::new(network.clone());
        learner.step(&batch, &learning(frozen));
        learner
    };
    let gradients = |frozen| learner(frozen).gradients(&batch, &learning(frozen)).tensors.len();
    // A weight and two normalisation parameters for each convolution, weight and bias of the head.
    assert_eq!(gradients(Frozen::Nothing), spec.graph().layers.len() * 3 + 2);
    assert_eq!(gradients(Frozen::Backbone), 2);
    // The best of several: the machine may be busy with something else.
    let best = |frozen| {
        let mut learner = learner(frozen);
        let mut time = || {
            let started = Instant::now();
            learner.step(&batch, &learning(frozen));
            started.elapsed().as_secs_f64()
        };
        (0..7).map(|_| time()).fold(f64::INFINITY, f64::min)
    };
    let (all, frozen) = (best(Frozen::Nothing), best(Frozen::Backbone));
    println!("a step with all layers {:.1} ms, with a frozen backbone {:.1} ms", 1e3 * all, 1e3 * frozen);
    assert!(frozen < 0.6 * all, "{frozen} s of {all} s");
}

/// The first `count` images of some of the sample's classes.
fn pick(split: &Split, classes: &[u32], count: usize) -> Split {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for i in 0..split.len() {
        if let Some(class) = classes.iter().position(|class| *class == split.labels[i])
            && labels.len() < count
        {
            pixels.extend_from_slice(&split.image(i));
            labels.push(class as u32);
        }
    }
    Split { pixels: pixels.into(), labels, ..split.clone() }
}

fn part(sample: &Dataset, classes: &[u32], train: usize) -> Arc<Dataset> {
    let names = classes.iter().map(|&class| sample.classes[class as usize].clone()).collect();
    let (train, validation) = (pick(&sample.train, classes, train), pick(&sample.validation, classes, usize::MAX));
    Arc::new(Dataset::new("part", names, train, validation))
}

fn accuracy(events: &[Event]) -> f32 {
    let done = events.iter().find_map(|event| match event {
        Event::Done { accuracy, .. } => *accuracy,
        _ => None,
    });
    done.unwrap_or_else(|| panic!("{events:#?}"))
}

#[test]
fn a_network_that_knows_other_classes_learns_new_ones_faster_than_a_fresh_one() {
    let (_guard, run) = folder();
    let sample = data::load("sample", &LoadOptions::default(), &Silent).unwrap();
    let quick = |changes: &[&str]| {
        let mut recipe = Recipe::preset("quick").unwrap();
        changes.iter().for_each(|change| recipe.set_text(change).unwrap());
        recipe
    };
    let learn = |name: &str, dataset: &Arc<Dataset>, recipe: Recipe, weights: Option<Imported>| {
        let weights = weights.map(|imported| Weights::Read(Box::new(imported.into())));
        accuracy(&finish(Setup { dataset: dataset.clone(), weights, ..setup(&run(name), recipe, false) }))
    };
    learn("first", &part(&sample, &[0, 2, 4, 5, 8], 3000), quick(&["epochs=3"]), None);
    let few = part(&sample, &[1, 3, 6, 7, 9], 200);
    let recipe = || quick(&["epochs=4", "batch_size=32", "lr=0.05"]);
    let scratch = learn("scratch", &few, recipe(), None);
    let tuned = learn("tuned", &few, recipe(), Some(predictor::import(&run("first")).unwrap()));
    println!("from scratch {scratch}, fine-tuned {tuned}");
    assert!(tuned > scratch + 0.02, "from scratch {scratch}, fine-tuned {tuned}");
}
