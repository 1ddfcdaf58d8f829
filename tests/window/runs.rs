//! Runs of the past, as a user meets them: the list, what can be done with each, comparing, and a run as one file.

use super::Desk;
use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use kindling::{
    app::{Action, RunAction, Settings},
    train::{RunFolder, Value, bundle, run_list::summarise},
};
use std::{fs, path::PathBuf, sync::Arc};

impl Desk {
    /// Trains for a few steps and stops; gives the run's folder.
    fn short_run(&mut self) -> PathBuf {
        self.click("▶ Train");
        self.wait("the first steps", |desk| desk.step() >= 2);
        self.stop();
        self.run_folder()
    }

    fn load_sample(&mut self) {
        self.window_mut().state.ask(Action::LoadData("sample".into()));
        self.wait("the sample set", |desk| desk.window().state.dataset.is_some());
    }

    /// Brings the list of runs to the front and waits for so many.
    fn list(&mut self, count: usize) {
        self.window_mut().state.ask(Action::Show(kindling::app::Kind::Runs));
        self.wait("the list of runs", |desk| desk.harness.query_all_by_label_contains("Run 2").count() == count);
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
    let mut desk = Desk::open();
    // Nothing yet: the pane says what to do.
    desk.click("Past runs");
    desk.wait("the empty list", |desk| desk.sees("No runs yet") && desk.sees("drop a run's folder"));
    desk.load_sample();
    desk.window_mut().state.set("lr", Value::Float(0.025));
    let run = desk.short_run();
    desk.list(1);
    desk.click(&format!("Run {}", name(&run)));
    desk.wait("what it is", |desk| desk.sees("sample · ") && desk.sees("epoch 0 of 5"));

    // Notes are typed and kept without a press on anything.
    desk.harness.get_by_label("Notes of the run").focus();
    desk.harness.step();
    desk.harness.get_by_label("Notes of the run").type_text("the slow one");
    desk.wait("the notes on disk", |_| summarise(&run).notes == "the slow one");
    desk.wait("the notes in the list", |desk| {
        desk.window().state.runs.index.get(&run).is_some_and(|run| run.notes == "the slow one")
    });

    // The filter reads them.
    desk.harness.get_by_label("Filter the runs").focus();
    desk.harness.step();
    desk.harness.get_by_label("Filter the runs").type_text("slow nonsense");
    desk.wait("no match", |desk| desk.sees("No run has “slow nonsense”"));
    desk.harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
    desk.harness.get_by_label("Filter the runs").type_text("slow");
    desk.wait("the match", |desk| desk.sees(&format!("Run {}", name(&run))));

    desk.menu("Rename…");
    desk.harness.get_by_label("New name of the run").focus();
    desk.harness.step();
    desk.harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
    desk.harness.get_by_label("New name of the run").type_text("2nd attempt");
    desk.harness.step();
    desk.click("Rename");
    desk.wait("the new name", |desk| desk.sees("Run 2nd attempt"));
    let renamed = run.with_file_name("2nd attempt");
    assert!(renamed.join("last.safetensors").exists() && !run.exists());
    // The run at hand is still the run at hand, and goes on under its new name.
    assert_eq!(desk.window().state.at_hand.as_ref(), Some(&renamed));

    // Its recipe for the next run.
    desk.window_mut().state.set("lr", Value::Float(0.1));
    desk.wait("its details", |desk| desk.sees("Use its recipe"));
    desk.click("Use its recipe");
    assert_eq!(desk.window().state.recipe.lr, 0.025);
    assert_eq!(desk.window().state.at_hand, None);
    desk.click("Use its weights …");
    desk.wait("what they are", |desk| desk.sees("Start the next run from them"));
    desk.click("Start the next run from them");
    assert_eq!(desk.window().state.start_from.as_ref(), Some(&renamed));

    // The trash asks once. No desktop's trash is filled here.
    let bin = desk.folder.path().join("bin");
    let target = bin.clone();
    desk.window_mut().state.runs.jobs.bin =
        Arc::new(move |path| fs::rename(path, &target).map_err(|error| error.to_string()));
    desk.menu("Move to the trash…");
    desk.wait("the question", |desk| desk.sees("Move this run to the trash"));
    desk.click("Keep it");
    assert!(renamed.exists() && !desk.sees("Keep it"));
    desk.menu("Move to the trash…");
    desk.click("Move to the trash");
    desk.wait("the empty list", |desk| desk.sees("No runs yet"));
    assert!(bin.join("recipe.toml").exists() && !renamed.exists());
    assert_eq!(desk.window().state.start_from, None);
}

#[test]
fn ticked_runs_are_drawn_beside_each_other_with_what_differs() {
    let mut desk = Desk::open();
    desk.load_sample();
    let first = desk.short_run();
    desk.click("New run");
    desk.window_mut().state.set("lr", Value::Float(0.3));
    let second = desk.short_run();
    assert_ne!(first, second);
    desk.list(2);
    desk.click(&format!("Compare {}", name(&first)));
    desk.wait("the curves of the first", |desk| {
        desk.window().state.runs.compared.get(&first).is_some_and(|run| !run.branch.loss.is_empty())
    });
    desk.wait("what differs", |desk| desk.sees("2 runs side by side"));
    // The one field that was changed, with both values, and none that is the same.
    let table = desk.window().state.runs.index.get(&first).unwrap().recipe.clone().unwrap();
    desk.harness.get_by_label("What differs");
    for text in [table.lr.to_string(), "0.3".to_owned()] {
        assert!(desk.harness.query_all_by_label(&text).count() >= 1, "no {text}");
    }
    assert!(
        !desk.harness.query_all_by_label("Momentum").any(|node| node.rect().left() > 400.0),
        "a field that is alike"
    );
    desk.click("See the charts");
    let off = format!("Take {} off the charts", name(&first));
    desk.wait("the legend", |desk| desk.sees("Loss chart") && desk.sees(&off));
    // The run at hand is a line of the legend, never a second one of its own.
    assert!(!desk.sees(&format!("Take {} off", name(&second))));

    // Without a run at hand the others are still drawn.
    desk.click("New run");
    desk.wait("the charts", |desk| desk.sees("Loss chart") && desk.sees(&off));
    desk.click(&off);
    desk.wait("no curves", |desk| desk.sees("The curves of a run"));

    // A run that goes on can't be renamed or trashed, and no other one opened.
    desk.window_mut().state.ask(Action::Run(RunAction::Resume(first.clone())));
    desk.wait("the first again", |desk| desk.window().state.engine.is_live());
    assert_eq!(desk.run_folder(), first);
    for action in [RunAction::Rename(first.clone(), "x".into()), RunAction::Trash(first.clone())] {
        desk.window_mut().state.ask(Action::Run(action));
        desk.wait("the refusal", |desk| desk.sees("goes on: stop it first"));
    }
    desk.window_mut().state.ask(Action::OpenRun(second));
    desk.wait("the other refusal", |desk| desk.sees("Stop the run that goes on"));
    desk.stop();
    assert!(first.join("recipe.toml").exists());
}

#[test]
fn a_run_saved_as_one_file_goes_on_where_it_is_dropped() {
    let mut desk = Desk::open();
    desk.load_sample();
    desk.click("▶ Train");
    desk.wait("the first steps", |desk| desk.step() >= 2);
    desk.harness.key_press_modifiers(Modifiers::COMMAND, Key::S);
    desk.wait("a pin on the timeline", |desk| desk.sees("Snapshot step-"));
    assert!(desk.sees("of 1.0 GB"), "the disk budget is shown");
    desk.stop();
    let run = desk.run_folder();
    RunFolder::open(&run).unwrap().write_notes("from the other machine").unwrap();
    let file = desk.folder.path().join("mine.kindling");
    let save = RunAction::SaveFile { run: run.clone(), file: file.clone() };
    desk.window_mut().state.ask(Action::Run(save));
    desk.wait("the file", |desk| desk.sees("Saved as"));
    let stopped_at = summarise(&run).step;

    // Elsewhere.
    let mut desk = Desk::in_folder(tempfile::tempdir().unwrap(), Settings::default());
    let junk = desk.folder.path().join("torn.kindling");
    let bytes = fs::read(&file).unwrap();
    fs::write(&junk, &bytes[..bytes.len() / 2]).unwrap();
    desk.drop_file(&junk);
    desk.wait("a refusal", |desk| desk.sees("torn.kindling is no run in one file, or a damaged one"));
    desk.drop_file(&file);
    desk.wait("the run and its data", |desk| {
        desk.window().state.dataset.is_some() && desk.window().state.at_hand.is_some()
    });
    let opened = desk.window().state.at_hand.clone().unwrap();
    assert_eq!(opened, desk.folder.path().join("runs").join("mine"));
    assert_eq!(summarise(&opened).notes, "from the other machine");
    assert!(bundle::is_bundle(&file), "the file stays");
    assert!(desk.sees("Loss chart"), "its curves are there");
    desk.click("▶ Resume");
    desk.wait("steps beyond", |desk| desk.step() > stopped_at);
    desk.stop();
}
