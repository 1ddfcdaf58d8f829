//! Saving where the disk or the folder fails: training goes on, what can't be written is tried again, and nothing is
//! called saved that is not.

use super::support::{dataset, finish, folder, recipe, setup, until};
use kindling::{
    data::Dataset,
    session::{Event, Session, Setup, Weights},
    train::{History, RunFolder, events::Line},
    weights::{read_checkpoint, read_tensors},
};
use std::{
    fs,
    path::Path,
    sync::{Arc, Once},
};

fn warned(events: &[Event], words: &str) -> bool {
    events.iter().any(|event| matches!(event, Event::Warning { text, .. } if text.contains(words)))
}

fn failure(events: &[Event]) -> &str {
    match events.last() {
        Some(Event::Error { text, .. }) => text,
        _ => panic!("{events:#?}"),
    }
}

fn epochs(run: &Path) -> Vec<u64> {
    let history = History::read(&RunFolder::open(run).unwrap().events_path()).unwrap();
    let epoch = |line: &Line| match line.event {
        Event::Epoch { epoch, .. } => Some(epoch),
        _ => None,
    };
    history.path(history.current).filter_map(epoch).collect()
}

/// Does something after the run's folder is made and before the first step: the session itself calls, with its first event.
fn at_the_start(setup: &mut Setup, act: impl Fn() + Send + Sync + 'static) {
    let once = Once::new();
    setup.wake = Some(Arc::new(move || once.call_once(&act)));
}

#[test]
fn a_folder_that_can_not_be_written_costs_a_warning_and_at_the_end_the_run() {
    let (_guard, run) = folder();
    let session = Session::start(setup(&run("a"), recipe(&["epochs=6", "checkpoint_seconds=0.1"]), false));
    until(&session, |event| matches!(event, Event::Step { .. }));
    // A file where the folder was: every later write fails, for root too.
    fs::rename(run("a"), run("gone")).unwrap();
    fs::write(run("a"), "in the way").unwrap();
    let events = until(&session, |_| false);
    assert!(warned(&events, "not saved"), "{events:#?}");
    let last = events.iter().rfind(|event| matches!(event, Event::Epoch { .. }));
    assert!(matches!(last, Some(Event::Epoch { epoch: 6, .. })), "training went on: {events:#?}");
    assert!(!events.iter().any(|event| matches!(event, Event::Done { .. })), "{events:#?}");
    assert!(failure(&events).contains("nothing of the run is in"), "{events:#?}");
}

#[test]
fn a_run_that_ends_unsaved_says_which_step_is_on_disk() {
    let (_guard, run) = folder();
    let session = Session::start(setup(&run("a"), recipe(&["epochs=6"]), false));
    until(&session, |event| matches!(event, Event::Epoch { .. }));
    // The name of the file that says what counts is taken by a folder that can't be replaced.
    let state = RunFolder::open(&run("a")).unwrap().last().unwrap().unwrap().state;
    fs::rename(run("a").join("last.json"), run("a").join("kept.json")).unwrap();
    fs::create_dir_all(run("a").join("last.json/in the way")).unwrap();
    let events = session.stop();
    assert!(failure(&events).contains("not saved"), "{events:#?}");
    fs::remove_dir_all(run("a").join("last.json")).unwrap();
    fs::rename(run("a").join("kept.json"), run("a").join("last.json")).unwrap();
    assert_eq!(RunFolder::resume(&run("a")).unwrap().last().unwrap().unwrap().state.step, state.step);
    let events = finish(setup(&run("a"), recipe(&["epochs=6"]), true));
    assert!(matches!(events.last(), Some(Event::Phase { .. })), "{events:#?}");
}

#[test]
fn best_weights_that_could_not_be_written_are_written_later() {
    let (_guard, run) = folder();
    let changes = ["epochs=100000", "checkpoint_seconds=0.1", "snapshot_megabytes=0"];
    let best = run("a").join("best.safetensors");
    let in_the_way = best.join("in the way");
    let mut setup = setup(&run("a"), recipe(&changes), false);
    at_the_start(&mut setup, move || fs::create_dir_all(&in_the_way).unwrap());
    let session = Session::start(setup);
    let events = until(&session, |event| matches!(event, Event::Epoch { epoch: 3.., .. }));
    assert!(warned(&events, "best.safetensors"), "{events:#?}");
    // Until then nobody is told of weights that are not there.
    let state = || RunFolder::open(&run("a")).unwrap().last().unwrap().unwrap().state;
    assert_eq!(state().best_of_run(), None);
    fs::remove_dir_all(&best).unwrap();
    until(&session, |event| matches!(event, Event::Warning { text, .. } if text.contains("everything is saved")));
    read_checkpoint(&best).unwrap();
    drop(session);
    assert!(state().best_of_run().is_some());
    assert_eq!(state().best_of_run(), state().best_accuracy);
}

#[cfg(unix)]
#[test]
fn a_run_folder_that_was_moved_or_deleted_is_written_anew() {
    for moved in [true, false] {
        let (_guard, run) = folder();
        let session = Session::start(setup(&run("a"), recipe(&["epochs=8"]), false));
        until(&session, |event| matches!(event, Event::Epoch { .. }));
        if moved {
            fs::rename(run("a"), run("b")).unwrap()
        } else {
            // A file may come into it meanwhile.
            while fs::remove_dir_all(run("a")).is_err() {}
        }
        let events = until(&session, |_| false);
        assert!(warned(&events, "moved or deleted"), "{events:#?}");
        assert!(events.iter().any(|event| matches!(event, Event::Done { .. })), "{events:#?}");
        assert_eq!(epochs(&run("a")), (1..=8).collect::<Vec<_>>());
        for file in ["recipe.toml", "run.json", "best.safetensors"] {
            assert!(run("a").join(file).is_file(), "{file}");
        }
        let folders: &[&str] = if moved { &["a", "b"] } else { &["a"] };
        for name in folders {
            finish(setup(&run(name), recipe(&["epochs=9"]), true));
            assert_eq!(epochs(&run(name)), (1..=9).collect::<Vec<_>>(), "{name}");
        }
    }
}

#[test]
fn a_run_begins_with_a_checkpoint_of_what_it_began_from() {
    let (_guard, run) = folder();
    finish(setup(&run("first"), recipe(&[]), false));
    let mut from = setup(&run("a"), recipe(&["seed=9"]), false);
    from.weights = Some(Weights::From(run("first")));
    let (last, copy) = (run("a").join("last.safetensors"), run("copy"));
    let keep = copy.clone();
    at_the_start(&mut from, move || assert!(fs::copy(&last, &keep).is_ok()));
    finish(from);
    let tensors = |path: &Path| read_tensors(path).unwrap().0;
    assert!(tensors(&copy) == tensors(&run("first").join("best.safetensors")));
}

#[test]
fn what_can_not_be_saved_is_refused_before_the_first_step() {
    for class in ["cat\r", "a\tb", &"long".repeat(300)] {
        let (_guard, run) = folder();
        let mut named = Dataset::clone(&dataset());
        named.classes[1] = class.to_owned();
        let events = finish(Setup { dataset: Arc::new(named), ..setup(&run("a"), recipe(&[]), false) });
        assert!(failure(&events).contains("class name"), "{events:#?}");
        assert_eq!(events.len(), 1, "{events:#?}");
        assert!(!failure(&events).contains(char::is_control));
        assert!(!run("a").exists());
    }
}
