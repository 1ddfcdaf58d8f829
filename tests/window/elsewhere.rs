//! A device of another machine, from the line that its server prints to a run on it.

use super::*;
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

/// `kindling serve`, until the test ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server of this machine's processor, and the line that it printed.
fn serve(home: &Path) -> (Server, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kindling"));
    command.args(["serve", "--device", "cpu", "--websocket", "127.0.0.1:0"]).env("XDG_DATA_HOME", home);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let line = lines.map_while(Result::ok).next().expect("a line");
    (Server(child), line)
}

#[test]
fn a_device_of_another_machine_is_added_by_its_line_and_trains_and_is_there_the_next_day() {
    let mut driver = Driver::open();
    let (server, line) = serve(driver.folder.path());
    driver.click("Device");
    driver.click("Add a remote device…");
    driver.wait("the question", |driver| driver.sees("copy the line that it prints"));
    // The field has the focus.
    driver.harness.event(egui::Event::Text("remote:nowhere".into()));
    driver.harness.step();
    driver.click("Look for it");
    driver.wait("what is wrong with it", |driver| driver.sees("the address says no way to get there"));
    driver.click("Cancel");
    driver.wait("the dialog to close", |driver| !driver.sees("copy the line that it prints"));
    driver.click("Device");
    driver.click("Add a remote device…");
    driver.wait("the question", |driver| driver.sees("copy the line that it prints"));
    driver.harness.event(egui::Event::Text(line.clone()));
    driver.harness.step();
    driver.click("Look for it");
    driver.wait("the server, or why not", |driver| driver.sees("answers within") || driver.sees("⚠"));
    assert!(driver.sees("answers within"), "{:?}", driver.texts());
    driver.harness.get_by_label_contains("Add CPU").click();
    driver.wait("the dialog to close", |driver| !driver.sees("answers within"));
    let chosen = driver.window().state.devices.choice;
    assert_eq!(chosen.to_string(), line);

    driver.start();
    let run = driver.run_folder();
    let device = driver.events(&run).into_iter().find_map(|event| match event {
        Event::Started { device, .. } => Some(device),
        _ => None,
    });
    assert!(device.as_ref().is_some_and(|device| device.contains(" on ")), "{device:?}");
    // The server goes: it is said, and the run can be stopped all the same.
    drop(server);
    driver.wait("the word that it is gone", |driver| driver.sees("Waiting for the device"));
    driver.click("■ Stop");
    driver.wait("the run to end", |driver| !driver.window().state.run.is_live());

    // It stays in the list until it is taken off.
    let settings = driver.window().state.settings.clone();
    let Driver { harness, folder } = driver;
    drop(harness);
    let mut driver = Driver::in_folder(folder, settings);
    driver.click("Device");
    driver.wait("the list", |driver| driver.sees("Add a remote device…"));
    driver.harness.get_by_label_contains("Forget CPU").click();
    driver.wait("the list without it", |driver| !driver.sees("Forget CPU"));
}
