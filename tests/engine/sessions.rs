//! Whole training sessions on a small made-up data set, on the CPU: what a user relies on when a run is stopped,
//! steered, rewound or goes wrong.

use super::support::{dataset, finish, folder, last_weights, recipe, setup, until};
use kindling::{
    ops::Implementation,
    session::{Command, Event, Phase, Session, Verdict, replay},
    train::{History, RunFolder, Value, epoch_order, events::Origin},
    weights::read_tensors,
};

#[test]
fn a_run_learns_and_says_so() {
    let (_guard, run) = folder();
    let events = finish(setup(&run("a"), recipe(&["epochs=8"]), false));
    match events.iter().find(|event| matches!(event, Event::Done { .. })) {
        Some(Event::Done { accuracy, step, .. }) => {
            assert_eq!(*step, 48);
            assert!(*accuracy > Some(0.9), "{accuracy:?}");
        }
        _ => panic!("{events:#?}"),
    }
}

#[test]
fn a_run_stopped_anywhere_resumes_bit_for_bit() {
    let (_guard, run) = folder();
    // Everything with a memory is on: momentum, averages, mixing, a schedule that moves every step.
    let changes = ["ema_decay=0.9", "mixup=0.2", "clip_norm=1.0"];
    finish(setup(&run("straight"), recipe(&changes), false));
    let mut resume = false;
    for stop_at in [3, 10, 17, u64::MAX] {
        let session = Session::start(setup(&run("broken"), recipe(&changes), resume));
        until(&session, |event| matches!(event, Event::Step { .. }) && event.step() >= stop_at);
        session.stop();
        resume = true;
    }
    assert_eq!(last_weights(&run("straight")), last_weights(&run("broken")));
    let optimiser = |name: &str| read_tensors(&RunFolder::open(&run(name)).unwrap().last().unwrap().unwrap().optimiser);
    assert_eq!(optimiser("straight").unwrap().0, optimiser("broken").unwrap().0);
}

#[test]
fn a_change_takes_effect_at_the_next_step_and_is_written_down() {
    let (_guard, run) = folder();
    let session = Session::start(setup(&run("a"), recipe(&["epochs=2000"]), false));
    until(&session, |event| matches!(event, Event::Step { .. }));
    session.send(Command::Set { key: "lr".into(), value: Value::Float(0.001) });
    session.send(Command::Set { key: "lr".into(), value: Value::Text("fast".into()) });
    let events = until(&session, |event| matches!(event, Event::Warning { .. }));
    let changed = events.iter().any(|event| matches!(event, Event::Changed { key, .. } if key == "lr"));
    assert!(changed, "{events:#?}");
    let events = until(&session, |event| matches!(event, Event::Step { .. }));
    match events.last() {
        Some(Event::Step { lr, .. }) => assert!(*lr <= 0.001, "{lr}"),
        other => panic!("{other:?}"),
    }
    session.stop();
    assert_eq!(RunFolder::open(&run("a")).unwrap().read_recipe().unwrap().lr, 0.001);
}

#[test]
fn a_run_that_stops_early_says_what_it_changed_and_goes_on_as_its_recipe_says() {
    let (_guard, run) = folder();
    // Nothing learns, so the first epoch stays the best.
    let of = |patience: &str| recipe(&["freeze=all-but-head", "lr=1e-9", "epochs=6", patience]);
    let epochs = |events: &[Event]| -> Vec<(Value, Value)> {
        let changes = events.iter().filter_map(|event| match event {
            Event::Changed { key, from, to, .. } if key == "epochs" => Some((from.clone(), to.clone())),
            _ => None,
        });
        changes.collect()
    };
    let steps = |events: &[Event]| events.iter().map(Event::step).max();
    let stopped = finish(setup(&run("a"), of("patience=2"), false));
    assert_eq!((epochs(&stopped), steps(&stopped)), (vec![(6.into(), 3.into())], Some(18)));
    assert!(matches!(stopped.last(), Some(Event::Phase { phase: Phase::Finished, .. })), "{stopped:#?}");
    assert_eq!(RunFolder::open(&run("a")).unwrap().read_recipe().unwrap().epochs, 6, "what was asked for");
    let on = finish(setup(&run("a"), of("patience=0"), true));
    assert_eq!((epochs(&on), steps(&on)), (vec![(3.into(), 6.into())], Some(36)));
}

#[test]
fn an_absurd_learning_rate_stops_before_the_weights_are_spoiled() {
    let (_guard, run) = folder();
    let events = finish(setup(&run("a"), recipe(&["lr=1e6", "schedule=constant", "epochs=50"]), false));
    let report = events.iter().find_map(|event| match event {
        Event::NotFinite { batch, layers, lr, step, .. } => Some((batch, layers, lr, step)),
        _ => None,
    });
    let (batch, layers, lr, _) = report.unwrap_or_else(|| panic!("{events:#?}"));
    assert_eq!((batch.len(), *lr), (16, 1e6));
    assert!(layers[0].not_finite > 0 || !layers[0].norm.is_finite(), "{layers:?}");
    assert!(matches!(events.last(), Some(Event::Error { .. })), "{events:#?}");
    let last = RunFolder::open(&run("a")).unwrap().last().unwrap().unwrap();
    let (weights, _) = read_tensors(&last.weights).unwrap();
    assert!(weights.values().all(|tensor| tensor.data.iter().all(|value| value.is_finite())));
}

#[test]
fn the_report_names_the_batch_and_the_layer_that_the_plain_operations_find_too() {
    let (_guard, run) = folder();
    let recipe = recipe(&["lr=1e6", "schedule=constant", "epochs=50"]);
    let events = finish(setup(&run("a"), recipe.clone(), false));
    let Some(Event::NotFinite { step, batch, layers, activations, origin, .. }) =
        events.iter().find(|event| matches!(event, Event::NotFinite { .. }))
    else {
        panic!("{events:#?}")
    };
    // The batch is a function of the seed and the step.
    let per_epoch = 96 / 16;
    let order = epoch_order(recipe.seed, step / per_epoch, 96);
    let first = (step % per_epoch) as usize * 16;
    assert_eq!(batch, &order[first..first + 16]);
    // Plain operations put the same numbers out up to the layer that is named. There the variance of the batch is beyond a
    // float: what they divide by it is zero, and so is the gradient of that layer's weights, the first one of which this
    // is true.
    let Some(Origin::Forward(named)) = origin else { panic!("{origin:?} {layers:?}") };
    let plain = replay(&run("a"), &dataset(), Implementation::Reference).unwrap();
    assert_eq!((plain.step, plain.verdict()), (*step, Verdict::Absurd));
    let sound = activations.iter().zip(&plain.diagnosis.activations).take_while(|(layer, _)| layer.name != *named);
    for (layer, plain) in sound.clone() {
        assert!((layer.largest - plain.largest).abs() <= 1e-3 * plain.largest, "{layer:?} {plain:?}");
    }
    let learns = |name: &str| {
        let gradient = plain.diagnosis.layers.iter().find(|gradient| gradient.name == format!("{name}.weight"));
        gradient.is_some_and(|gradient| gradient.norm > 0.0)
    };
    assert!(sound.clone().count() > 0 && sound.clone().all(|(layer, _)| learns(&layer.name)), "{plain:#?}");
    assert!(!learns(named), "{plain:#?}");
    // The same step again says the same.
    let again = replay(&run("a"), &dataset(), Implementation::Fast).unwrap();
    assert_eq!((again.verdict(), &again.diagnosis.origin), (Verdict::Same, origin));
    let names: Vec<&str> = activations.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "conv1",
            "layer1.0.conv1",
            "layer1.0.conv2",
            "layer2.0.conv1",
            "layer2.0.downsample.0",
            "layer2.0.conv2",
            "fc"
        ]
    );
}

#[test]
fn a_sound_step_is_finite_when_it_is_computed_again() {
    let (_guard, run) = folder();
    let session = Session::start(setup(&run("a"), recipe(&["epochs=1000"]), false));
    let events = until(&session, |event| matches!(event, Event::Step { step, .. } if *step > 8));
    session.stop();
    let weights = last_weights(&run("a"));
    let [fast, plain] =
        [Implementation::Fast, Implementation::Reference].map(|ops| replay(&run("a"), &dataset(), ops).unwrap());
    assert_eq!((fast.verdict(), plain.verdict()), (Verdict::Sound, Verdict::Sound), "{fast:#?}");
    assert!((fast.diagnosis.loss - plain.diagnosis.loss).abs() < 1e-3, "{fast:#?} {plain:#?}");
    assert!(fast.step > 8 && !events.is_empty());
    assert_eq!(last_weights(&run("a")), weights);
    assert!(replay(&run("b"), &dataset(), Implementation::Fast).is_err());
}

#[test]
fn a_rewound_run_is_the_run_that_never_went_further() {
    let (_guard, run) = folder();
    finish(setup(&run("straight"), recipe(&[]), false));
    let session = Session::start(setup(&run("walked"), recipe(&[]), false));
    let mut snapshots = Vec::new();
    until(&session, |event| {
        if let Event::Snapshot { name, .. } = event {
            snapshots.push(name.clone());
        }
        snapshots.len() == 3
    });
    session.send(Command::Rewind { snapshot: snapshots[0].clone(), changes: Vec::new() });
    until(&session, |event| matches!(event, Event::Done { .. }));
    session.stop();
    assert_eq!(last_weights(&run("straight")), last_weights(&run("walked")));
    let history = History::read(&RunFolder::open(&run("walked")).unwrap().events_path()).unwrap();
    assert_eq!(history.branches.len(), 2);
    let steps: Vec<u64> =
        history.path(1).filter(|l| matches!(l.event, Event::Epoch { .. })).map(|l| l.event.step()).collect();
    assert_eq!(steps, [6, 12, 18, 24]);
}
