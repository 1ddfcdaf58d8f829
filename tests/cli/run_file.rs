//! A run as one file, from the terminal: it answers as the run does, goes on as the run would, and is refused in one line
//! where it is not whole.

use super::{TINY, place_with_digits, trained};
use kindling::{
    train::{Event, History, RunFolder},
    weights::read_tensors,
};
use std::{fs, path::Path};

#[test]
fn a_run_in_one_file_answers_and_goes_on_elsewhere() {
    let here = trained();
    let report = here.run("export run --format run --out run.kindling --json").good().last();
    assert_eq!(report["format"], "run");
    assert_eq!(report["bytes"].as_u64(), fs::metadata(here.path("run.kindling")).ok().map(|file| file.len()));

    // Another machine: only the file and the data.
    let there = place_with_digits();
    fs::copy(here.path("run.kindling"), there.path("mine.kindling")).unwrap();
    let evaluated = |place: &super::Place, what: &str| {
        let report = place.run(&format!("eval {what} --data digits --device cpu --json")).good().last();
        (report["accuracy"].clone(), report["loss"].clone(), report["confusion"].clone())
    };
    assert_eq!(evaluated(here, "run"), evaluated(&there, "mine.kindling"));
    there.write("one.png", super::png(2, 1002));
    let top = there.run("predict mine.kindling one.png --device cpu --json").good().last()["top"][0]["index"].clone();
    assert_eq!(top, 2);

    // Without its data nothing is left of it, so that the next try is not in its way.
    let failed = there.run("train --run mine.kindling --resume --data missing --device cpu");
    assert!(failed.status == Some(1) && !failed.stderr.contains("opened into"), "{}", failed.stderr);
    assert!(!there.path("mine").exists());

    // It goes on, bit for bit as at home.
    let ran = there.run("train --run mine.kindling --resume --data digits --epochs 6 --device cpu --json").good();
    assert_eq!(ran.last()["step"], 6 * 13);
    assert!(ran.stderr.contains("opened into"), "{}", ran.stderr);
    let home = place_with_digits();
    home.run(&format!("train --data digits --run straight --epochs 4 {TINY}")).good();
    home.run("train --run straight --resume --epochs 6 --device cpu").good();
    let weights = |path: &Path| read_tensors(&path.join("last.safetensors")).unwrap().0;
    assert!(weights(&there.path("mine")) == weights(&home.path("straight")), "the weights differ");
    let history = History::read(&there.path("mine/events.jsonl")).unwrap();
    let epochs = history.path(history.current).filter(|line| matches!(line.event, Event::Epoch { .. })).count();
    assert_eq!(epochs, 6, "the epochs of both places are one history");
    assert_eq!(RunFolder::open(&there.path("mine")).unwrap().read_info().classes.len(), super::CLASSES);
}

#[test]
fn a_file_that_is_cut_or_no_run_is_refused_in_one_line() {
    let here = trained();
    here.run("export run --format run --out whole.kindling").good();
    let bytes = fs::read(here.path("whole.kindling")).unwrap();
    let place = place_with_digits();
    place.write("cut.kindling", &bytes[..bytes.len() - 40]);
    place.write("half.kindling", &bytes[..bytes.len() / 2]);
    place.write("rubbish.kindling", "these are words".repeat(1000));
    place.write("nothing.kindling", "");
    // One byte of the weights: the checksum says so.
    let mut spoiled = bytes.clone();
    let middle = spoiled.len() / 2;
    spoiled[middle] ^= 0x40;
    place.write("spoiled.kindling", spoiled);
    place.write("taken/letter.txt", "mine");
    place.write("taken.kindling", &bytes);
    let train = |name: &str| format!("train --run {name}.kindling --resume --data digits --device cpu");
    let eval = |name: &str| format!("eval {name}.kindling --data digits --device cpu");
    for (line, words) in [
        (train("cut"), "cut.kindling"),
        (eval("cut"), "cut.kindling"),
        (train("half"), "half.kindling"),
        (eval("half"), "half.kindling"),
        (train("rubbish"), "rubbish.kindling"),
        (eval("rubbish"), "rubbish.kindling"),
        (train("nothing"), "nothing.kindling"),
        (eval("nothing"), "nothing.kindling"),
        (train("nowhere"), "nowhere.kindling"),
        (train("spoiled"), "spoiled.kindling"),
        (train("taken"), "taken"),
        ("export taken --format run --out x.kindling".to_owned(), "taken"),
    ] {
        let ran = place.run(&line);
        let all = format!("{line}\nstdout: {}\nstderr: {}", ran.stdout, ran.stderr);
        assert_eq!(ran.status, Some(1), "{all}");
        assert_eq!(ran.stderr.lines().count(), 1, "{all}");
        assert!(ran.stderr.starts_with("kindling: ") && ran.stderr.contains(words), "no “{words}” in {all}");
    }
    // Nothing was half unpacked, and what was there is as it was.
    for name in ["cut", "half", "rubbish", "nothing", "nowhere", "spoiled"] {
        assert!(!place.path(name).exists(), "{name} was left behind");
    }
    assert_eq!(fs::read_dir(place.path("taken")).unwrap().count(), 1);
    assert!(!place.path("x.kindling").exists());
}
