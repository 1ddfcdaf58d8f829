//! What a session remembers of its images: those with a wrong label stand out.

use super::support::{dataset, folder, recipe, setup, until};
use kindling::{
    data::Dataset,
    session::{Command, Event, Session, Setup},
};
use std::sync::Arc;

#[test]
fn training_images_with_a_wrong_label_are_the_first_candidates() {
    let (_guard, run) = folder();
    let mut spoiled = Dataset::clone(&dataset());
    let wrong: Vec<u32> = (0..8).map(|i| i * 11 + 3).collect();
    for &index in &wrong {
        let label = &mut spoiled.train.labels[index as usize];
        *label = (*label + 1) % 4;
    }
    let classes = spoiled.validation.labels.clone();
    let recipe = recipe(&["epochs=10"]);
    let session = Session::start(Setup { dataset: Arc::new(spoiled), ..setup(&run("a"), recipe, false) });
    until(&session, |event| matches!(event, Event::Done { .. }));
    let memory = session.view().memory.clone();
    let found: Vec<u32> = memory.training.candidates(8).iter().map(|image| image.index).collect();
    let right = found.iter().filter(|index| wrong.contains(index)).count();
    assert!(right >= 7, "{found:?} of {wrong:?}");
    assert_eq!(memory.training.get(0).unwrap().losses.len(), 8);
    // A validation image has its class in each epoch, and counts as a mistake by the last.
    let image = memory.validation.get(0).unwrap();
    assert_eq!((image.losses.len(), image.classes.len()), (8, 8));
    for mistake in memory.validation.mistakes(100) {
        assert_ne!(mistake.classes.last(), classes.get(mistake.index as usize));
    }
}

#[test]
fn mixed_images_are_not_held_against_their_own_label() {
    let (_guard, run) = folder();
    let session = Session::start(setup(&run("a"), recipe(&["epochs=3", "mixup=1.0"]), false));
    until(&session, |event| matches!(event, Event::Done { .. }));
    let view = session.view();
    assert!(view.memory.training.candidates(100).is_empty());
    assert!(view.memory.validation.get(0).is_some());
}

#[test]
fn a_run_that_goes_on_remembers_its_images_and_one_that_went_back_sees_them_again() {
    let (_guard, run) = folder();
    let to_the_end = |session: Session| {
        until(&session, |event| matches!(event, Event::Done { .. }));
        session.view().memory.clone()
    };
    to_the_end(Session::start(setup(&run("a"), recipe(&["epochs=4"]), false)));
    let memory = to_the_end(Session::start(setup(&run("a"), recipe(&["epochs=5"]), true)));
    assert_eq!(memory.training.get(0).unwrap().losses.len(), 5);
    assert_eq!(memory.validation.get(0).unwrap().classes.len(), 5);
    // Back to the second epoch, and ended: the later epochs of the branch that was left are not those of the new one.
    let session = Session::start(setup(&run("a"), recipe(&["epochs=6"]), true));
    session.send(Command::Rewind { snapshot: "epoch-2".into(), changes: Vec::new() });
    until(&session, |event| matches!(event, Event::Resumed { snapshot: Some(_), .. }));
    assert!(session.view().memory.training.get(0).is_some(), "what was seen is shown until it is seen again");
    until(&session, |event| matches!(event, Event::Epoch { epoch: 3, .. }));
    session.stop();
    let memory = to_the_end(Session::start(setup(&run("a"), recipe(&["epochs=6"]), true)));
    assert_eq!(memory.validation.get(0).unwrap().losses.len(), 4);
}
