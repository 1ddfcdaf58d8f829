//! Edits of a run's images: whatever reads its data goes by them, and the files stay as they are.

use super::{Place, TINY, png};
use kindling::train::RunFolder;
use std::fs;

/// A run of two classes, and its list of edits with these.
fn edited(place: &Place, edits: &[String]) {
    for i in 0..40 {
        place.write(&format!("coins/{}/{i:03}.png", ["heads", "tails"][i % 2]), png(i % 2, i));
    }
    place.run(&format!("train --data coins --run run --epochs 1 {TINY}")).good();
    write_edits(place, edits);
}

fn write_edits(place: &Place, edits: &[String]) {
    let lines: String = edits.iter().map(|edit| format!("{{\"step\":1,\"time\":0,{edit}}}\n")).collect();
    fs::write(place.path("run/edits.jsonl"), lines).unwrap();
}

fn exclude(image: u64) -> String {
    format!("\"edit\":{{\"exclude\":{{\"image\":\"{image:016x}\"}}}}")
}

/// How many images `eval` measures, and what it says beside.
fn eval(place: &Place, what: &str) -> (u64, String) {
    let ran = place.run(&format!("eval {what} --device cpu --json")).good();
    (ran.last()["images"].as_u64().unwrap(), ran.stderr)
}

#[test]
fn an_image_that_is_left_out_is_neither_measured_nor_learned_from_until_that_is_undone() {
    let place = Place::new();
    edited(&place, &[]);
    let sides = RunFolder::open(&place.path("run")).unwrap().read_sides().unwrap();
    let (held, learned) = (sides.validation.first().unwrap().0, sides.training.first().unwrap().0);
    let (all, said) = eval(&place, "run");
    assert!(!said.contains("changed"), "{said}");
    write_edits(&place, &[exclude(held), exclude(learned)]);
    assert_eq!(eval(&place, "run").0, all - 1);
    let ran = place.run("train --run run --resume --epochs 2 --device cpu").good();
    let said = format!("{}{}", ran.stdout, ran.stderr);
    let (trained, validated) = (sides.training.len(), sides.validation.len());
    let change = format!(
        "{} training and {} validation images where there were {trained} and {validated}",
        trained - 1,
        validated - 1
    );
    assert!(said.contains(&change), "{said}");
    // A file of the run has them too, wherever it is opened.
    place.run("export run --format run --out run.kindling").good();
    assert_eq!(eval(&place, "run.kindling --data coins").0, all - 1);
    fs::rename(place.path("run.kindling"), place.path("other.kindling")).unwrap();
    place.run("train --run other.kindling --resume --data coins --epochs 3 --device cpu").good();
    assert_eq!(eval(&place, "other").0, all - 1);
    // An undo takes the last one back, and another one that of the image that validates.
    write_edits(&place, &[exclude(held), exclude(learned), "\"undo\":true".into(), "\"undo\":true".into()]);
    assert_eq!(eval(&place, "run").0, all);
}

#[test]
fn an_image_that_is_gone_and_a_line_that_is_damaged_are_said_once() {
    let place = Place::new();
    edited(&place, &[exclude(1), exclude(1), "\"edit\":{\"shred\":{}}".into()]);
    for line in ["eval run --device cpu", "train --run run --resume --epochs 2 --device cpu", "data copy run copy"] {
        let said = place.run(line).good().stderr;
        let count = |text: &str| said.lines().filter(|line| line.contains(text)).count();
        assert_eq!(count("1 image that was edited is not to be found"), 1, "{line}: {said}");
        assert_eq!(count("1 line of the run's edits cannot be read"), 1, "{line}: {said}");
    }
}

#[test]
fn a_copy_has_the_classes_that_edits_made_and_the_original_stays() {
    let place = Place::new();
    let rename = "\"edit\":{\"rename\":{\"class\":\"heads\",\"to\":\"faces\"}}".to_owned();
    edited(&place, &[rename]);
    let ran = place.run("data copy run copy --json").good();
    assert_eq!(ran.last()["images"], 40);
    assert_eq!(ran.last()["classes"], serde_json::json!(["faces", "tails"]));
    assert_eq!(
        fs::read(place.path("copy/faces/000.png")).unwrap(),
        fs::read(place.path("coins/heads/000.png")).unwrap()
    );
    let ran = place.run("data copy run copy");
    assert_eq!((ran.status, ran.stderr.lines().count()), (Some(1), 1), "{}", ran.stderr);
    assert!(ran.stderr.contains("not empty"), "{}", ran.stderr);
    assert!(place.run("data copy coins plain").good().stdout.contains("40 images in 2 classes copied to plain"));
    assert_eq!(place.run("data copy coins other --data coins").status, Some(1));
    // A run goes on with a class that has another name, and not with fewer classes.
    let (before, said) = eval(&place, "run");
    assert!(before > 0 && !said.contains("by number"), "{said}");
    place.run("train --run run --resume --epochs 2 --device cpu").good();
    let card = kindling::weights::read_checkpoint(&place.path("run/last.safetensors")).unwrap().card;
    assert_eq!(card.classes, ["faces", "tails"]);
    write_edits(&place, &["\"edit\":{\"merge\":{\"class\":\"heads\",\"into\":\"tails\"}}".to_owned()]);
    let ran = place.run("train --run run --resume --epochs 3 --device cpu");
    assert!(
        ran.stderr.contains("has other classes (tails) than the run was trained on (faces, tails)"),
        "{}",
        ran.stderr
    );
}
