//! What a run learns from and what it is measured on: the same images wherever somebody asks, and a word where they are
//! no longer the same.

use super::{CLASSES, Place, TINY, png};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path};

/// Pictures under labels that say nothing about them: a network can learn by heart those that it is shown, and no others.
fn write_random_labels(place: &Place, folder: &str, images: usize) {
    for i in 0..images {
        place.write(&format!("{folder}/{}/{i:03}.png", ["heads", "tails"][i * 7 % 13 % 2]), png(i % CLASSES, i));
    }
}

fn accuracy(report: &Value) -> f64 {
    report["accuracy"].as_f64().unwrap_or_else(|| panic!("{report}"))
}

/// The accuracies of all epochs that a run has said.
fn epochs(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("events.jsonl")).unwrap();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["event"] == "epoch").collect()
}

#[test]
fn run_weights_and_file_are_evaluated_on_the_images_that_training_held_out() {
    let place = Place::new();
    write_random_labels(&place, "coins", 120);
    let done = place.run(&format!("train --data coins --run run --epochs 8 --json {TINY}")).good().last();
    place.run("export run --format run --out run.kindling").good();
    fs::copy(place.path("run/last.safetensors"), place.path("alone.safetensors")).unwrap();
    let reports: Vec<Value> = ["run/last.safetensors", "alone.safetensors"]
        .map(|what| place.run(&format!("eval {what} --data coins --device cpu --json")).good().last())
        .into();
    for report in &reports {
        assert!((accuracy(report) - accuracy(&done)).abs() < 1e-6, "{report} {done}");
        assert_eq!(report["images"], reports[0]["images"]);
    }
    let best = |line: &str| accuracy(&place.run(line).good().last());
    let expected = done["best_accuracy"].as_f64().unwrap();
    for line in ["eval run --device cpu --json", "eval run.kindling --data coins --device cpu --json"] {
        assert!((best(line) - expected).abs() < 1e-6, "{line}");
    }
}

#[test]
fn a_run_keeps_what_it_held_out_when_images_come_and_is_told_of_them() {
    let place = Place::new();
    write_random_labels(&place, "coins", 60);
    place.run(&format!("train --data coins --run run --epochs 2 {TINY}")).good();
    let sides = |run: &str| kindling::train::RunFolder::open(&place.path(run)).unwrap().read_sides().unwrap();
    let before = sides("run");
    assert_eq!(before.training.len() + before.validation.len(), 60);
    write_random_labels(&place, "coins", 90);
    // The data are where they were, whatever the command's own folder is.
    fs::create_dir(place.path("elsewhere")).unwrap();
    let line = "train --run ../run --resume --epochs 3 --device cpu";
    let mut command = place.command(line.split_whitespace());
    let ran = super::support::Ran::from(command.current_dir(place.path("elsewhere")).output().unwrap()).good();
    let told = format!("{}{}", ran.stdout, ran.stderr);
    assert!(
        told.contains("the data have changed since the run was trained") && told.contains("where there were"),
        "{told}"
    );
    let after = sides("run");
    assert!(before.training.is_subset(&after.training) && before.validation.is_subset(&after.validation));
    assert_eq!(after.training.len() + after.validation.len(), 90);
    // Nothing is said when nothing has changed.
    let ran = place.run("train --run run --resume --epochs 4 --device cpu").good();
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("changed"), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn fewer_images_in_the_middle_of_an_epoch_begin_it_anew() {
    let place = Place::new();
    write_random_labels(&place, "coins", 120);
    let line = format!("train --data coins --run run --epochs 500000 --json {TINY} --set batch_size=4");
    let mut child = place.spawn(&line);
    // In the middle of an epoch as good as always: there are 27 steps in each.
    while !place.path("run/last.json").exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    super::signal(&child, "INT");
    child.wait().unwrap();
    let step = |run: &str| {
        let state: Value = serde_json::from_slice(&fs::read(place.path(run).join("last.json")).unwrap()).unwrap();
        (state["epoch"].as_u64().unwrap(), state["batch"].as_u64().unwrap())
    };
    let (epoch, batch) = step("run");
    for i in 20..120 {
        let _ = fs::remove_file(place.path(&format!("coins/heads/{i:03}.png")));
        let _ = fs::remove_file(place.path(&format!("coins/tails/{i:03}.png")));
    }
    let ran = place.run(&format!("train --run run --resume --epochs {} --device cpu --json", epoch + 2)).good();
    let warned =
        ran.json().iter().filter(|event| event["event"] == "warning").map(Value::to_string).collect::<String>();
    assert!(warned.contains("the data have changed"), "{warned}");
    assert!(!ran.stdout.contains("learning rate") && !ran.stdout.contains("not_finite"), "{}", ran.stdout);
    assert_eq!(warned.contains("the epoch begins anew"), batch > 0, "{warned}");
}

#[test]
fn without_an_image_to_validate_on_nothing_is_measured_and_the_last_weights_count() {
    let place = Place::new();
    for class in 0..CLASSES {
        place.write(&format!("one/class {class}/1.png"), png(class, 7));
    }
    let line = format!("train --data one --run run --epochs 60 --json {TINY} --set patience=2");
    let ran = place.run(&line).good();
    let events = ran.json();
    let warning = events.iter().position(|event| event["event"] == "warning").expect("a warning");
    let step = events.iter().position(|event| event["event"] == "step").expect("a step");
    assert!(warning < step && events[warning]["text"].as_str().unwrap().contains("no validation images"));
    let done = ran.last();
    assert_eq!((&done["accuracy"], &done["best_accuracy"], &done["step"]), (&Value::Null, &Value::Null, &60.into()));
    let epochs = epochs(&place.path("run"));
    assert_eq!(epochs.len(), 60, "patience has nothing to wait for");
    assert!(epochs.iter().all(|epoch| epoch["val_accuracy"].is_null() && epoch["best"] == false));
    for class in 0..CLASSES {
        let top = &place.run_args(["predict", "run", &format!("one/class {class}/1.png"), "--device", "cpu", "--json"]);
        let top = &top.last()["top"][0];
        assert!(top["index"] == class && top["p"].as_f64().unwrap() > 0.9, "{top}");
    }
    let text = place.run(&format!("train --data one --run people --epochs 2 {TINY}")).good().stdout;
    assert!(text.contains("validation accuracy –, best –"), "{text}");
}

#[test]
fn a_run_for_others_tells_nothing_of_this_machines_folders() {
    let place = Place::new();
    write_random_labels(&place, "coins", 40);
    let (data, run) = (place.path("coins"), place.path("run"));
    let folders = [data.to_str().unwrap(), run.to_str().unwrap()];
    place.run(&format!("train --data {} --run {} --epochs 1 {TINY}", folders[0], folders[1])).good();
    place.run("export run --format run --out run.kindling").good();
    let bytes = fs::read(place.path("run.kindling")).unwrap();
    let temporary = place.path("").to_str().unwrap().trim_end_matches('/').to_owned();
    let found = bytes.windows(temporary.len()).any(|window| window == temporary.as_bytes());
    assert!(!found, "the file names {temporary}");
    // Opened elsewhere it asks for its data, by what they are.
    let there = Place::new();
    fs::copy(place.path("run.kindling"), there.path("run.kindling")).unwrap();
    let ran = there.run("train --run run.kindling --resume --epochs 2 --device cpu");
    assert_eq!(ran.status, Some(1), "{}", ran.stderr);
    let last = ran.stderr.lines().last().unwrap();
    assert!(last.contains("coins") && last.contains("--data"), "{last}");
    write_random_labels(&there, "moved", 40);
    let ran = there.run("train --run run.kindling --resume --data moved --epochs 2 --device cpu").good();
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("changed"), "the same files under another folder's name");
    there.run("train --run run --resume --epochs 3 --device cpu").good();
    let held: BTreeSet<_> =
        kindling::train::RunFolder::open(&there.path("run")).unwrap().read_sides().unwrap().validation;
    assert!(!held.is_empty());
}
