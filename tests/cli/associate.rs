//! `kindling associate`: what a double click on a run in one file needs.

use super::Place;

#[cfg(target_os = "linux")]
#[test]
fn a_double_click_is_set_up_for_this_user_and_taken_back() {
    let place = Place::new();
    let entry = place.path("share/applications/kindling.desktop");
    let said = place.run("associate").good().stdout;
    assert!(said.contains(".kindling") && said.contains("--undo"), "{said}");
    let text = std::fs::read_to_string(&entry).unwrap();
    assert!(text.contains(&format!("Exec=\"{}\" %F", env!("CARGO_BIN_EXE_kindling"))), "{text}");
    let said = place.run("associate --undo").good().stdout;
    assert!(said.contains("removed 4 files") && !entry.exists(), "{said}");
    assert!(place.run("associate --undo").good().stdout.contains("nothing was there to remove"));
}
