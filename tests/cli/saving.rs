//! How a run ends that is asked to, that nobody listens to, or that can't be saved: with a status that says so, and with
//! all that could be kept.
#![cfg(unix)]

use super::{
    TINY, place_with_digits,
    support::{CLASSES, Place, Ran, signal},
};
use kindling::train::{RunFolder, run_list};
use std::{
    fs,
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    thread::sleep,
    time::Duration,
};

/// The binary started by a shell that first does `before`.
fn after(place: &Place, before: &str, line: &str) -> Command {
    let mut command = place.command([""; 0]);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{before}; exec {} {line}", command.get_program().to_string_lossy())]);
    shell.current_dir(command.get_current_dir().unwrap());
    command.get_envs().for_each(|(key, value)| match value {
        Some(value) => drop(shell.env(key, value)),
        None => drop(shell.env_remove(key)),
    });
    shell.stdin(std::process::Stdio::null());
    command = shell;
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    command
}

fn endless(run: &str) -> String {
    format!("train --data digits --run {run} {TINY} --epochs 100000 --json")
}

/// Waits for an epoch to end.
fn underway(child: &mut Child) -> Lines<BufReader<ChildStdout>> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line.contains("\"event\":\"epoch\""))), "no epoch ended");
    lines
}

fn step_on_disk(place: &Place, run: &str) -> u64 {
    RunFolder::open(&place.path(run)).unwrap().last().unwrap().expect("a checkpoint").state.step
}

#[test]
fn what_a_closing_terminal_sends_saves_however_often_it_comes() {
    let place = place_with_digits();
    for (i, signals) in [&["HUP", "HUP"][..], &["TERM"], &["INT", "INT"], &["TERM", "HUP", "INT"]].iter().enumerate() {
        let run = format!("run{i}");
        let mut child = place.spawn(&endless(&run));
        let lines = underway(&mut child);
        // One process sends them all, so that they come within milliseconds.
        let kills: Vec<_> = signals.iter().map(|name| format!("kill -{name} {}", child.id())).collect();
        assert!(Command::new("sh").args(["-c", &kills.join(";")]).status().unwrap().success());
        lines.for_each(drop);
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!(ran.status, Some(130), "{signals:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("saved; go on with"), "{signals:?}: {}", ran.stderr);
        assert!(step_on_disk(&place, &run) > 0);
    }
}

#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    let place = place_with_digits();
    let line = format!("train --data digits --run run {TINY} --epochs 60 --json");
    let mut child = after(&place, "trap '' HUP INT TERM", &line).spawn().unwrap();
    let lines = underway(&mut child);
    for name in ["HUP", "INT", "TERM", "INT"] {
        signal(&child, name);
        sleep(Duration::from_millis(120));
    }
    lines.for_each(drop);
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(step_on_disk(&place, "run"), 60 * 13);
}

#[test]
fn a_reader_that_goes_away_ends_a_run_saved_and_not_as_if_it_were_done() {
    let place = place_with_digits();
    let mut child = place.spawn(&endless("run"));
    drop(underway(&mut child));
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.status, Some(130), "{}", ran.stderr);
    assert!(ran.stderr.contains("nobody reads the output") && ran.stderr.contains("--resume"), "{}", ran.stderr);
    assert!(step_on_disk(&place, "run") > 0);
}

#[test]
fn output_on_a_full_disk_does_not_cost_the_training() {
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let place = place_with_digits();
    let line = format!("train --data digits --run run {TINY} --epochs 2 > /dev/full");
    let ran = Ran::from(after(&place, ":", &line).output().unwrap());
    assert_eq!(ran.status, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("standard output could not be written"), "{}", ran.stderr);
    assert_eq!(step_on_disk(&place, "run"), 2 * 13);
}

/// As on a disk without room: no file may grow beyond so many bytes.
fn with_files_up_to(place: &Place, bytes: u64, line: &str) -> Ran {
    Ran::from(after(place, &format!("trap '' XFSZ; ulimit -f {}", bytes / 512), line).output().unwrap())
}

#[test]
fn a_disk_that_is_full_from_the_start_is_told_before_the_first_step_and_leaves_nothing() {
    let place = place_with_digits();
    let line = format!("train --data digits --epochs 1 {TINY}");
    for run in ["", " --run run"] {
        let ran = with_files_up_to(&place, 1024, &format!("{line}{run}"));
        assert_eq!((ran.status, ran.stderr.lines().count()), (Some(1), 1), "{}", ran.stderr);
        assert!(!ran.stdout.contains("epoch"), "{}", ran.stdout);
    }
    assert!(!place.path("run").exists());
    assert_eq!(fs::read_dir(place.path("runs")).unwrap().count(), 0);
    place.run(&format!("{line} --run run")).good();
}

#[test]
fn a_disk_that_fills_up_is_no_success() {
    let place = place_with_digits();
    // The checkpoints fit, and the first epochs' events.
    let line = format!("train --data digits --run run --epochs 60 {TINY}");
    let ran = with_files_up_to(&place, 26 << 10, &line);
    assert_eq!(ran.status, Some(1), "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("training goes on") && ran.stderr.contains("not all of the run"), "{}", ran.stderr);
    assert!(!ran.stdout.contains("run: "), "{}", ran.stdout);
    // What could be saved is sound, and goes on when there is room.
    assert_eq!(step_on_disk(&place, "run"), 60 * 13);
    place.run("train --run run --resume --epochs 61 --device cpu").good();
}

#[test]
fn images_that_no_checkpoint_can_describe_are_refused_before_the_first_step() {
    let place = Place::new();
    for (data, class) in [("crlf", "cat\r"), ("tabs", "a\tb")] {
        for (name, seed) in [("a", 0), (class, 1)] {
            for i in 0..6 {
                place.write(&format!("{data}/{name}/{i}.png"), super::png(seed % CLASSES, seed * 10 + i));
            }
        }
        let ran = place.run(&format!("train --data {data} --run run {TINY}"));
        assert_eq!((ran.status, ran.stderr.lines().count()), (Some(1), 1), "{}", ran.stderr);
        let words = format!("{class:?}").replace('"', "");
        assert!(ran.stderr.contains(&words) && ran.stderr.contains(data), "{}", ran.stderr);
        assert!(!place.path("run").exists());
    }
}

#[test]
fn runs_launched_in_one_second_have_a_folder_each() {
    let place = place_with_digits();
    let launched: Vec<_> = (0..8).map(|_| place.spawn(&format!("train --data digits --epochs 1 {TINY}"))).collect();
    for child in launched {
        Ran::from(child.wait_with_output().unwrap()).good();
    }
    let runs = run_list::list_runs(&place.path("runs")).unwrap();
    assert_eq!(runs.iter().filter(|run| run.finished && run.problem.is_none()).count(), 8);
}

#[test]
fn a_start_that_failed_does_not_stand_in_the_way_of_the_next() {
    let place = place_with_digits();
    let line = format!("train --data digits --epochs 1 {TINY}");
    assert_eq!(place.run(&line.replace("--device cpu", "--device gpu:99")).status, Some(1));
    assert_eq!(fs::read_dir(place.path("runs")).unwrap().count(), 0);
    // As a kill leaves it.
    place.write("run/.lock", "");
    place.write("run/.kindling-x.part", "half");
    place.run(&format!("{line} --run run")).good();
    assert!(!place.path("run/.kindling-x.part").exists());
}
