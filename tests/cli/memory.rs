//! What would need more memory than there is ends with a line that says what to set, and not with the process.

use crate::support::{Place, Ran};
use std::{
    ffi::OsStr,
    process::{Command, Stdio},
};

/// Runs the binary with so many megabytes of addresses.
fn run_within(place: &Place, megabytes: u64, line: &str) -> Ran {
    let binary = place.command([""; 0]);
    let script = format!("ulimit -v {}; exec \"$0\" \"$@\"", megabytes * 1000);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).arg(binary.get_program()).args(line.split_whitespace());
    shell.current_dir(place.path("")).stdin(Stdio::null());
    for (key, value) in binary.get_envs() {
        match value {
            Some(value) => shell.env(key, value),
            None => shell.env_remove(key),
        };
    }
    // Each thread's heap takes addresses of its own.
    shell.env("RAYON_NUM_THREADS", OsStr::new("2"));
    Ran::from(shell.output().expect("a shell"))
}

fn assert_refused(line: &str, ran: &Ran, words: &[&str]) {
    let all = format!("{line}\nstatus {:?}\nstdout: {}\nstderr: {}", ran.status, ran.stdout, ran.stderr);
    assert_eq!(ran.status, Some(1), "{all}");
    let last = ran.stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("kindling: ") && words.iter().all(|word| last.contains(word)), "{all}");
}

/// Two classes of large photographs that are all of one size.
fn write_photos(place: &Place) {
    for (class, level) in [("a", 40), ("b", 200)] {
        let photo = image::RgbImage::from_pixel(4000, 3000, image::Rgb([level, 90, 30]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        photo.write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
        for i in 0..8 {
            place.write(&format!("photos/{class}/{i}.jpg"), bytes.get_ref());
        }
    }
}

#[test]
fn a_batch_that_no_machine_has_memory_for_is_refused() {
    let place = Place::new();
    for line in [
        "train --device cpu --set batch_size=65536 --set image_size=1024",
        "bench step --device cpu --batch 65536 --side 1024",
        "bench load --set batch_size=65536 --set image_size=1024",
    ] {
        let ran = place.run(line);
        assert_refused(line, &ran, &["images of 1024x1024 pixels", "of memory, of which", "batch_size to"]);
    }
    let made = std::fs::read_dir(place.path("runs")).map_or(0, |runs| runs.count());
    assert_eq!(made, 0, "a run was made");
}

#[cfg(target_os = "linux")]
#[test]
fn photographs_take_the_memory_of_their_working_size_under_a_limit_of_the_shell() {
    let place = Place::new();
    write_photos(&place);
    let line = "train --device cpu --data photos --epochs 1";
    // 16 of them, kept as they are, would be 576 MB.
    run_within(&place, 600, line).good();
    let large = format!("{line} --set image_size=1024");
    let ran = run_within(&place, 4000, &large);
    assert_refused(&large, &ran, &["1024x1024 pixels", "image_size"]);
    let size = ran.stderr.split("image_size to ").nth(1).and_then(|rest| rest.trim().parse().ok()).unwrap_or(224usize);
    // What it proposes works.
    run_within(&place, 4000, &format!("{line} --set image_size={size} --set batch_size=16")).good();
}
