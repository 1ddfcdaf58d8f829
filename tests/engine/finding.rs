//! The learning-rate finder: what it suggests is of use, and the run does not notice it.

use super::support::{finish, folder, last_weights, recipe, setup, until};
use kindling::{
    data::{self, Dataset, LoadOptions, Silent},
    session::{Command, Event, Session, Setup},
    train::{Finding, Recipe, RunFolder},
};
use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

/// Asks for a rate as soon as training runs, and gives the finding once the session has been stopped or has ended.
fn find(session: &Session) -> Finding {
    let (reply, finding) = mpsc::channel();
    session.send(Command::FindRate { reply });
    finding.recv_timeout(Duration::from_secs(60)).expect("a finding")
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
    let (reply, finding) = mpsc::channel();
    session.send(Command::FindRate { reply });
    session.stop();
    let finding: Finding = finding.recv().expect("a finding, though not a whole one");
    assert!(finding.suggestion.is_none() && finding.points.len() < 80, "{finding:?}");
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
            Event::Done { accuracy, .. } => Some(*accuracy),
            _ => None,
        });
        done.unwrap_or_else(|| panic!("{events:#?}"))
    };
    let preset = accuracy("preset", quick());
    let suggested = accuracy("suggested", Recipe { lr: suggestion, ..quick() });
    println!("the preset's {}: {preset}; the suggested {suggestion}: {suggested}", quick().lr);
    assert!(suggested > preset - 0.02, "{preset} with the preset's rate, {suggested} with {suggestion}");
}
