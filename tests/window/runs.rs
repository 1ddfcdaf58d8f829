//! Runs of the past, as a user meets them: the list, what can be done with each, comparing, and a run as one file.

use super::Driver;
use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use kindling::{
    app::{Action, RunAction, Settings},
    train::{RunFolder, Value, bundle, run_list::summarise},
};
use std::{fs, path::PathBuf, sync::Arc};

impl Driver {
    /// Trains for a few steps and stops; gives the run's folder.
    fn short_run(&mut self) -> PathBuf {
        self.click("▶ Train");
        self.wait("the first steps", |driver| driver.step() >= 2);
        self.stop();
        self.run_folder()
    }

    fn load_sample(&mut self) {
        self.window_mut().state.ask(Action::LoadData("sample".into()));
        self.wait("the sample set", |driver| driver.window().state.data.dataset.is_some());
    }

    /// Brings the list of runs to the front and waits for so many.
    fn list(&mut self, count: usize) {
        self.window_mut().state.ask(Action::Show(kindling::app::PaneId::RUNS));
        self.wait("the list of runs", |driver| {
            driver.harness.query_all_by_label_contains("Run sample").count() == count
        });
    }

    fn menu(&mut self, entry: &str) {
        self.click("More actions");
        self.click(entry);
    }
}

fn name(run: &std::path::Path) -> String {
    run.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn a_run_is_found_again_noted_renamed_taken_over_and_trashed() {
    let mut driver = Driver::open();
    // Nothing yet: the pane says what to do.
    driver.click("Past runs");
    driver.wait("the empty list", |driver| driver.sees("No runs yet") && driver.sees("drop a run's folder"));
    driver.load_sample();
    driver.window_mut().state.set("lr", Value::Float(0.025));
    let run = driver.short_run();
    driver.list(1);
    driver.click(&format!("Run {}", name(&run)));
    driver.wait("what it is", |driver| driver.sees("sample · ") && driver.sees("epoch 0 of 5"));

    // Notes are typed and kept without a press on anything.
    driver.harness.get_by_label("Notes of the run").focus();
    driver.harness.step();
    driver.harness.get_by_label("Notes of the run").type_text("the slow one");
    driver.wait("the notes on disk", |_| summarise(&run).notes == "the slow one");
    driver.wait("the notes in the list", |driver| {
        driver.window().state.runs.index.get(&run).is_some_and(|run| run.notes == "the slow one")
    });

    // The filter reads them.
    driver.harness.get_by_label("Filter the runs").focus();
    driver.harness.step();
    driver.harness.get_by_label("Filter the runs").type_text("slow nonsense");
    driver.wait("no match", |driver| driver.sees("No run has “slow nonsense”"));
    driver.harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
    driver.harness.get_by_label("Filter the runs").type_text("slow");
    driver.wait("the match", |driver| driver.sees(&format!("Run {}", name(&run))));

    driver.menu("Rename…");
    driver.harness.get_by_label("New name of the run").focus();
    driver.harness.step();
    driver.harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
    driver.harness.get_by_label("New name of the run").type_text("2nd attempt");
    driver.harness.step();
    driver.click("Rename");
    driver.wait("the new name", |driver| driver.sees("Run 2nd attempt"));
    let renamed = run.with_file_name("2nd attempt");
    assert!(renamed.join("last.safetensors").exists() && !run.exists());
    // The run at hand is still the run at hand, and goes on under its new name.
    assert_eq!(driver.window().state.run.folder(), Some(&renamed));

    // Its recipe for the next run.
    driver.window_mut().state.set("lr", Value::Float(0.1));
    driver.wait("its details", |driver| driver.sees("Use its recipe"));
    driver.click("Use its recipe");
    assert_eq!(driver.window().state.recipe.lr, 0.025);
    assert_eq!(driver.window().state.run.folder(), None);
    driver.click("Use its weights …");
    driver.wait("what they are", |driver| driver.sees("Start the next run from them"));
    driver.click("Start the next run from them");
    assert_eq!(driver.window().state.start_from.as_ref(), Some(&renamed));

    // The trash asks once. No desktop's trash is filled here.
    let bin = driver.folder.path().join("bin");
    let target = bin.clone();
    driver.window_mut().state.runs.jobs.bin =
        Arc::new(move |path| fs::rename(path, &target).map_err(|error| error.to_string()));
    driver.menu("Move to the trash…");
    driver.wait("the question", |driver| driver.sees("Move this run to the trash"));
    driver.click("Keep it");
    assert!(renamed.exists() && !driver.sees("Keep it"));
    driver.menu("Move to the trash…");
    driver.click("Move to the trash");
    driver.wait("the empty list", |driver| driver.sees("No runs yet"));
    assert!(bin.join("recipe.toml").exists() && !renamed.exists());
    assert_eq!(driver.window().state.start_from, None);
}

#[test]
fn ticked_runs_are_drawn_beside_each_other_with_what_differs() {
    let mut driver = Driver::open();
    driver.load_sample();
    let first = driver.short_run();
    driver.click("New run");
    driver.window_mut().state.set("lr", Value::Float(0.3));
    let second = driver.short_run();
    assert_ne!(first, second);
    driver.list(2);
    driver.click(&format!("Compare {}", name(&first)));
    driver.wait("the curves of the first", |driver| {
        driver.window().state.runs.compared.get(&first).is_some_and(|run| !run.branch.loss.is_empty())
    });
    driver.wait("what differs", |driver| driver.sees("2 runs side by side"));
    // The one field that was changed, with both values, and none that is the same.
    let table = driver.window().state.runs.index.get(&first).unwrap().recipe.clone().unwrap();
    driver.harness.get_by_label("What differs");
    for text in [table.lr.to_string(), "0.3".to_owned()] {
        assert!(driver.harness.query_all_by_label(&text).count() >= 1, "no {text}");
    }
    assert!(
        !driver.harness.query_all_by_label("Momentum").any(|node| node.rect().left() > 400.0),
        "a field that is alike"
    );
    driver.click("See the charts");
    let off = format!("Take {} off the charts", name(&first));
    driver.wait("the legend", |driver| driver.sees("Loss chart") && driver.sees(&off));
    // The run at hand is a line of the legend, never a second one of its own.
    assert!(!driver.sees(&format!("Take {} off", name(&second))));

    // Without a run at hand the others are still drawn.
    driver.click("New run");
    driver.wait("the charts", |driver| driver.sees("Loss chart") && driver.sees(&off));
    driver.click(&off);
    driver.wait("no curves", |driver| driver.sees("The curves of a run"));

    // A run that goes on can't be renamed or trashed, and no other one opened.
    driver.window_mut().state.ask(Action::Run(RunAction::Resume(first.clone())));
    driver.wait("the first again", |driver| driver.window().state.run.is_live());
    assert_eq!(driver.run_folder(), first);
    for action in [RunAction::Rename(first.clone(), "x".into()), RunAction::Trash(first.clone())] {
        driver.window_mut().state.ask(Action::Run(action));
        driver.wait("the refusal", |driver| driver.sees("goes on: stop it first"));
    }
    driver.window_mut().state.ask(Action::OpenRun(second));
    driver.wait("the other refusal", |driver| driver.sees("Stop the run that goes on"));
    driver.stop();
    assert!(first.join("recipe.toml").exists());
}

#[test]
fn a_run_saved_as_one_file_goes_on_where_it_is_dropped() {
    let mut driver = Driver::open();
    driver.load_sample();
    driver.click("▶ Train");
    driver.wait("the first steps", |driver| driver.step() >= 2);
    driver.harness.key_press_modifiers(Modifiers::COMMAND, Key::S);
    driver.wait("a pin on the timeline", |driver| driver.sees("Snapshot step-"));
    assert!(driver.sees("of 1.0 GB"), "the disk budget is shown");
    driver.stop();
    let run = driver.run_folder();
    RunFolder::open(&run).unwrap().write_notes("from the other machine").unwrap();
    let file = driver.folder.path().join("mine.kindling");
    let save = RunAction::SaveFile { run: run.clone(), file: file.clone() };
    driver.window_mut().state.ask(Action::Run(save));
    driver.wait("the file", |driver| driver.sees("Saved as"));
    let stopped_at = summarise(&run).step;

    // Elsewhere.
    let mut driver = Driver::in_folder(tempfile::tempdir().unwrap(), Settings::default());
    let junk = driver.folder.path().join("torn.kindling");
    let bytes = fs::read(&file).unwrap();
    fs::write(&junk, &bytes[..bytes.len() / 2]).unwrap();
    driver.drop_file(&junk);
    driver.wait("a refusal", |driver| driver.sees("torn.kindling is no run in one file, or a damaged one"));
    driver.drop_file(&file);
    driver.wait("the run and its data", |driver| {
        driver.window().state.data.dataset.is_some() && driver.window().state.run.folder().is_some()
    });
    let opened = driver.window().state.run.folder().cloned().unwrap();
    assert_eq!(opened, driver.folder.path().join("runs").join("mine"));
    assert_eq!(summarise(&opened).notes, "from the other machine");
    assert!(bundle::is_bundle(&file), "the file stays");
    assert!(driver.sees("Loss chart"), "its curves are there");
    driver.click("▶ Resume");
    driver.wait("steps beyond", |driver| driver.step() > stopped_at);
    driver.stop();
}
