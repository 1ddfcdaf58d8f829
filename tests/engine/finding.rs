//! The learning-rate finder: what it suggests is of use, and the run does not notice it.

use super::support::{finish, folder, last_weights, recipe, setup, until};
use kindling::{
    data::{self, Dataset, LoadOptions, Silent},
    session::{Command, Event, Phase, Progress, Session, Setup, find_rate},
    train::{Finding, Recipe, RunFolder},
};
use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

/// Asks for a rate as soon as training runs, and gives the finding once the session has been stopped or has ended.
fn find(session: &Session) -> Finding {
    let (progress, finding) = mpsc::channel();
    session.send(Command::FindRate { progress });
    over(&finding)
}

/// What a sweep found, after all that it told on the way.
fn over(progress: &mpsc::Receiver<Progress>) -> Finding {
    let mut told = Vec::new();
    loop {
        match progress.recv_timeout(Duration::from_secs(60)).expect("a finding") {
            Progress::Point(lr, loss) => told.push((lr, loss)),
            Progress::Over(finding) => {
                let finding = finding.expect("a sweep");
                assert_eq!(told, finding.points, "the live curve is the one that was found");
                return finding;
            }
        }
    }
}

#[test]
fn a_run_in_which_a_rate_was_looked_for_is_bit_for_bit_the_run_without() {
    let (_guard, run) = folder();
    let changes = ["ema_decay=0.9", "mixup=0.2"];
    finish(setup(&run("straight"), recipe(&changes), false));
    let session = Session::start(setup(&run("asked"), recipe(&changes), false));
    until(&session, |event| matches!(event, Event::Step { .. }));
    session.send(Command::Snapshot { name: Some("before".into()) });
    let finding = find(&session);
    session.send(Command::Snapshot { name: Some("after".into()) });
    until(&session, |event| matches!(event, Event::Done { .. }));
    assert!(finding.points.len() > 20, "{finding:?}");
    assert!(finding.points.windows(2).all(|pair| pair[0].0 < pair[1].0));
    session.stop();
    assert_eq!(last_weights(&run("straight")), last_weights(&run("asked")));
    let folder = RunFolder::open(&run("asked")).unwrap();
    assert!(folder.snapshot("before").unwrap().1.state.step + 1 >= folder.snapshot("after").unwrap().1.state.step);
}

#[test]
fn an_order_ends_the_sweep() {
    let (_guard, run) = folder();
    let session = Session::start(setup(&run("a"), recipe(&["epochs=100000"]), false));
    until(&session, |event| matches!(event, Event::Step { .. }));
    let (progress, finding) = mpsc::channel();
    session.send(Command::FindRate { progress });
    session.stop();
    let finding = over(&finding);
    assert!(finding.cut_short && finding.suggestion.is_none() && finding.points.len() < 80, "{finding:?}");
}

#[test]
fn a_sweep_in_a_pause_ends_when_nobody_listens_and_leaves_the_pause_as_it_was() {
    let (_guard, run) = folder();
    let session = Session::start(setup(&run("a"), recipe(&["epochs=100000"]), false));
    until(&session, |event| matches!(event, Event::Step { .. }));
    session.send(Command::Pause);
    until(&session, |event| matches!(event, Event::Phase { phase: Phase::Paused, .. }));
    let paused_at = session.view().step;
    assert!(find(&session).points.len() > 20);
    let (progress, listener) = mpsc::channel();
    session.send(Command::FindRate { progress });
    assert!(matches!(listener.recv_timeout(Duration::from_secs(60)), Ok(Progress::Point(..))));
    drop(listener);
    // The order behind it is carried out, so the sweep is over.
    session.send(Command::Snapshot { name: Some("after".into()) });
    until(&session, |event| matches!(event, Event::Snapshot { .. }));
    assert_eq!((session.view().step, session.view().phase), (paused_at, Phase::Paused));
    session.stop();
    assert_eq!(RunFolder::open(&run("a")).unwrap().snapshot("after").unwrap().1.state.step, paused_at);
}

#[test]
fn a_rate_is_found_before_a_run_and_beside_a_resting_one_and_nothing_is_written() {
    let (_guard, run) = folder();
    let (progress, finding) = mpsc::channel();
    find_rate(setup(&run("none"), recipe(&[]), false), progress);
    let before = over(&finding);
    assert!(before.points.len() > 20, "{before:?}");
    assert!(!run("none").exists());

    finish(setup(&run("rests"), recipe(&[]), false));
    let (weights, events) = (last_weights(&run("rests")), std::fs::read(run("rests").join("events.jsonl")).unwrap());
    let (progress, finding) = mpsc::channel();
    find_rate(setup(&run("rests"), recipe(&[]), true), progress);
    let beside = over(&finding);
    // A trained network has a lower loss than a fresh one.
    assert!(beside.points[0].1 < before.points[0].1, "{beside:?} {before:?}");
    assert_eq!(last_weights(&run("rests")), weights);
    assert_eq!(std::fs::read(run("rests").join("events.jsonl")).unwrap(), events);

    let (progress, finding) = mpsc::channel();
    find_rate(setup(&run("gone"), recipe(&[]), true), progress);
    assert!(matches!(finding.recv(), Ok(Progress::Over(Err(_)))));
}

#[test]
fn the_suggested_rate_trains_the_sample_as_well_as_the_preset() {
    let (_guard, run) = folder();
    let sample: Arc<Dataset> = Arc::new(data::load("sample", &LoadOptions::default(), &Silent).unwrap());
    let quick = || Recipe::preset("quick").unwrap();
    let of_sample = |name: &str, recipe| Setup { dataset: sample.clone(), ..setup(&run(name), recipe, false) };
    let session = Session::start(of_sample("asked", quick()));
    let finding = find(&session);
    session.stop();
    println!("{:.5?}", finding.points);
    let suggestion = finding.suggestion.expect("the sample can be learned");
    let accuracy = |name: &str, recipe| {
        let events = finish(of_sample(name, recipe));
        let done = events.iter().find_map(|event| match event {
            Event::Done { accuracy, .. } => *accuracy,
            _ => None,
        });
        done.unwrap_or_else(|| panic!("{events:#?}"))
    };
    let preset = accuracy("preset", quick());
    let suggested = accuracy("suggested", Recipe { lr: suggestion, ..quick() });
    println!("the preset's {}: {preset}; the suggested {suggestion}: {suggested}", quick().lr);
    assert!(suggested > preset - 0.02, "{preset} with the preset's rate, {suggested} with {suggestion}");
}
