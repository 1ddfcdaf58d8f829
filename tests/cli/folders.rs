//! Folders, archives and odd files from the terminal: what does not count is said, nothing blocks, memory is taken once.

use super::{place_with_digits, png, trained};
use crate::support::{Place, write_idx};
use std::time::Duration;

/// Two classes of eight images, and a folder of what a phone writes.
fn photos(place: &Place) {
    for class in 0..2 {
        for i in 0..8 {
            place.write(&format!("photos/{}/{i}.png", ["cat", "dog"][class]), png(class, i));
        }
    }
    for i in 0..3 {
        place.write(&format!("photos/cat/{i}.heic"), "pixels");
    }
}

#[test]
fn what_is_left_out_is_one_line_and_a_list_for_scripts() {
    let place = Place::new();
    photos(&place);
    let ran = place.run("data inspect photos --json").good();
    assert_eq!(ran.stderr.trim(), "left out: 3 .heic files in cat");
    let group = serde_json::json!({ "class": "cat", "kind": ".heic", "files": 3 });
    assert_eq!(ran.last()["left_out"], serde_json::json!([group]));
    let text = place.run("data inspect photos").good().stdout;
    assert!(text.contains("3 files left out:\n  3 .heic files in cat"), "{text}");
    let ran = place.run(&format!("train --data photos --run run --epochs 1 {}", super::TINY)).good();
    assert!(ran.stderr.lines().any(|line| line.ends_with("left out: 3 .heic files in cat")), "{}", ran.stderr);
    for i in 0..12 {
        place.write(&format!("photos/owl/{i}.heic"), "pixels");
    }
    let ran = place.run("data inspect photos");
    assert_eq!((ran.status, ran.stderr.lines().count()), (Some(1), 1), "{}", ran.stderr);
    assert!(ran.stderr.contains("\"owl\"") && ran.stderr.contains("12 .heic files"), "{}", ran.stderr);
}

#[test]
fn lopsided_classes_are_said_until_something_is_done_about_them() {
    let place = Place::new();
    for i in 0..30 {
        place.write(&format!("few/{}/{i}.png", if i < 26 { "cat" } else { "dog" }), png(usize::from(i >= 26), i));
    }
    let train = |run: &str, more: &str| {
        let line = format!("train --data few --run {run} --epochs 1 --set validation_share=0.2 {more} {}", super::TINY);
        place.run(&line).good().stderr
    };
    let plain = train("plain", "");
    let said = plain.lines().filter(|line| line.contains("lopsided")).collect::<Vec<_>>();
    assert!(matches!(said[..], [line] if line.contains("of “cat”") && line.contains("of “dog”")), "{plain}");
    assert!(said[0].contains("class_weights=balanced") && said[0].contains("balanced_sampling=true"), "{plain}");
    for (run, more) in [("weights", "--set class_weights=balanced"), ("sampling", "--set balanced_sampling=true")] {
        let text = train(run, more);
        assert!(!text.contains("lopsided"), "{text}");
    }
    let ran = place.run(&format!("train --data few --run no --epochs 1 --set class_weights=1,2,3 {}", super::TINY));
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("class_weights has 3 numbers for 2 classes"), "{}", ran.stderr);
}

#[cfg(unix)]
#[test]
fn prediction_reads_each_file_once_and_waits_for_no_pipe() {
    use std::os::unix::fs::symlink;
    let place = trained();
    place.write("round/a.png", png(0, 7));
    place.write("round/b.heic", "pixels");
    for link in ["round/l1", "round/l2"] {
        symlink(".", place.path(link)).unwrap();
    }
    let ran = place.run("predict run round --device cpu --json").good();
    assert_eq!(ran.json().len(), 1);
    assert_eq!(ran.stderr.trim(), "left out: 2 links to what is read already, 1 .heic file");
    let made = std::process::Command::new("mkfifo").arg(place.path("round/pipe.png")).status();
    assert!(made.is_ok_and(|status| status.success()));
    for line in ["predict run round --device cpu --json", "predict run round/pipe.png --device cpu --json"] {
        let ran = place.run(line);
        assert_eq!(ran.status, Some(1));
        assert!(ran.last()["error"].as_str().unwrap().contains("a pipe"), "{}", ran.stdout);
    }
    let ran = place.run_with_input("predict run /dev/stdin --device cpu --json", &png(0, 7)).good();
    assert_eq!(ran.json().len(), 1, "a pipe that the shell opened is read");
}

#[cfg(target_os = "linux")]
#[test]
fn data_under_a_name_that_is_no_utf_8_is_read_and_a_missing_one_shown() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let place = place_with_digits();
    let name = OsStr::from_bytes(b"donn\xe9es");
    write_idx(&place.path("x").with_file_name(name), 40, 10);
    let inspect = |name: &OsStr| place.run_args([OsStr::new("data"), "inspect".as_ref(), name, "--json".as_ref()]);
    let spec = inspect(name).good().last()["spec"].as_str().unwrap().to_owned();
    assert!(spec.ends_with("/donn\\xE9es") && spec.starts_with('/'), "{spec}");
    let ran = inspect(OsStr::from_bytes(b"gone\xe9"));
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("xE9"), "{}", ran.stderr);
}

/// CIFAR-10 has 184 MB of pixels. They are in memory once, with one of its files at most beside them.
#[cfg(target_os = "linux")]
#[test]
fn cifar_is_in_memory_once() {
    let place = Place::new();
    let batches = ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"];
    for name in batches {
        // Zeros are black pixels of the first class, and take no room on the disk.
        let path = place.write(&format!("cifar/{name}.bin"), "");
        std::fs::File::options().write(true).open(path).unwrap().set_len(30_730_000).unwrap();
    }
    let mut child = place.spawn("data inspect cifar --json");
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kb = 0;
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
        peak_kb = peak_kb.max(peak.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(3));
    }
    assert!(child.wait().unwrap().success());
    assert!((180_000..280_000).contains(&peak_kb), "{peak_kb} kB");
}
