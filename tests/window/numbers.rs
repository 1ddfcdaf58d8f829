//! Every number on screen is that of the run at hand, and what is typed is typed.

use super::*;
use kindling::train::run_list::summarise;

impl Driver {
    /// Trains on the sample set for a moment and stops; gives the run's folder.
    fn some_run(&mut self, lr: f64) -> PathBuf {
        self.window_mut().state.ask(Action::NewRun);
        self.window_mut().state.set("lr", Value::Float(lr));
        self.wait("a new run to be possible", |driver| driver.sees("▶ Train"));
        self.click("▶ Train");
        self.wait("some steps", |driver| driver.step() >= 3);
        self.stop();
        self.run_folder()
    }

    fn with_sample_set() -> Self {
        let mut driver = Driver::open();
        driver.window_mut().state.ask(Action::LoadData("sample".into()));
        driver.wait("the sample set", |driver| driver.window().state.data.dataset.is_some());
        driver
    }

    fn is_drawn(&self, text: &str) -> bool {
        self.texts().iter().any(|(drawn, _)| drawn == text)
    }
}

fn name(run: &Path) -> String {
    run.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn a_run_that_is_opened_is_the_one_that_everything_shows() {
    let mut driver = Driver::with_sample_set();
    let runs: Vec<PathBuf> = [0.1, 0.05, 0.02].into_iter().map(|lr| driver.some_run(lr)).collect();
    let mut tables = Vec::new();
    for run in runs.iter().chain(&runs[..1]) {
        driver.window_mut().state.ask(Action::OpenRun(run.clone()));
        driver.wait("the run", |driver| driver.window().state.run.folder() == Some(run));
        (0..3).for_each(|_| driver.harness.step());
        // Header and what Export takes.
        assert!(driver.is_drawn(&name(run)), "its name is not in the bar");
        for other in runs.iter().filter(|other| *other != run) {
            assert!(!driver.is_drawn(&name(other)), "{} is at hand, and {} shows", name(run), name(other));
        }
        // The heading of the rate chart is the last line of its log.
        let rate = driver.events(run).into_iter().rev().find_map(|event| match event {
            Event::Step { lr, .. } => Some(lr),
            _ => None,
        });
        let rate = rate.unwrap();
        // Shown are four digits.
        let is_rate = |text: &str| text.parse::<f64>().is_ok_and(|shown| (shown / rate - 1.0).abs() < 1e-3);
        assert!(driver.texts().iter().any(|(text, _)| is_rate(text)), "{rate} is not the rate that shows");
        // No other session's progress.
        let own = kindling::train::RunFolder::open(run).unwrap().read_recipe().unwrap().lr;
        assert!(driver.window().state.run.view().is_none_or(|view| view.recipe.lr == own));
        let step = summarise(run).step;
        driver.wait("its last step", |driver| {
            driver.texts().iter().any(|(text, _)| text.starts_with(&format!("step {step} ")))
        });
        // The table at the pointer is its log.
        let events = driver.events(run);
        let table = driver.table_at_the_pointer();
        table.lines().skip(1).for_each(|line| drop(charts::check_line(line, &events)));
        tables.push(table);
        driver.click("Menu");
        driver.click("Export the network…");
        driver.wait("what is exported", |driver| driver.sees(&format!("Export {}", name(run))));
        driver.click("Cancel");
    }
    assert!(tables[0] == tables[3], "what was smoothed of others is forgotten");
    assert!(tables[0] != tables[1] && tables[1] != tables[2]);
    // So is the list.
    driver.window_mut().state.ask(Action::Show(kindling::app::PaneId::RUNS));
    for run in &runs {
        driver.wait("its line", |driver| driver.sees(&format!("Run {}", name(run))));
        let known = driver.window().state.runs.index.get(run).unwrap().clone();
        let best = driver.events(run).into_iter().filter_map(|event| match event {
            Event::Epoch { val_accuracy, .. } => val_accuracy.map(f64::from),
            _ => None,
        });
        assert_eq!(known.best_accuracy, best.max_by(f64::total_cmp));
    }
}

#[test]
fn typing_a_new_name_is_typing() {
    let mut driver = Driver::with_sample_set();
    let run = driver.some_run(0.1);
    driver.window_mut().state.ask(Action::NewRun);
    driver.window_mut().state.ask(Action::Show(kindling::app::PaneId::RUNS));
    driver.wait("the list", |driver| driver.sees(&format!("Run {}", name(&run))));
    driver.click(&format!("Run {}", name(&run)));
    driver.wait("its details", |driver| driver.sees("Notes of the run"));
    (0..5).for_each(|_| driver.harness.step());
    driver.click("More actions");
    driver.wait("the menu", |driver| driver.sees("Rename…"));
    driver.click("Rename…");
    (0..3).for_each(|_| driver.harness.step());
    driver.harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
    for (key, text) in [(Key::B, "b"), (Key::Space, " "), (Key::Num1, "1"), (Key::Num4, "4")] {
        driver.harness.key_press(key);
        driver.harness.event(egui::Event::Text(text.to_owned()));
        driver.harness.step();
    }
    let field = driver.harness.get_by_label("New name of the run");
    assert_eq!(field.value().as_deref(), Some("b 14"));
    assert!(!driver.window().state.run.is_busy(), "the space bar began a run");
    driver.harness.key_press(Key::Enter);
    driver.wait("the new name", |driver| driver.sees("Run b 14"));
}

#[test]
fn a_rewind_in_a_pause_shows_where_training_stands_now() {
    let mut driver = Driver::open();
    driver.start();
    driver.wait("some steps", |driver| driver.step() >= 4);
    driver.harness.key_press_modifiers(Modifiers::COMMAND, Key::S);
    let run = driver.run_folder();
    driver.wait("a snapshot", |driver| driver.events(&run).iter().any(|event| matches!(event, Event::Snapshot { .. })));
    let snapshot = driver.events(&run).into_iter().find_map(|event| match event {
        Event::Snapshot { step, name, .. } => Some((step, name)),
        _ => None,
    });
    let (at, snapshot) = snapshot.unwrap();
    driver.wait("more steps", |driver| driver.step() > at + 2);
    driver.click("❚❚ Pause");
    driver.wait("the pause", |driver| driver.sees("Paused"));
    driver.wait("its place on the timeline", |driver| driver.sees(&format!("Snapshot {snapshot}, step {at}")));
    driver.click(&format!("Snapshot {snapshot}, step {at}"));
    driver.click("Rewind to here");
    driver.wait("the step of the snapshot", |driver| driver.step() == at);
    assert!(driver.sees("Paused"));
    assert_eq!(driver.window().state.run.view().unwrap().predictions.step, at);
    assert!(driver.window().state.run.history().marks.iter().any(|mark| mark.text.starts_with("went on from")));
    driver.stop();
}

#[test]
fn a_run_that_was_opened_has_its_predictions_and_its_confusion() {
    let mut driver = Driver::with_sample_set();
    let run = driver.some_run(0.1);
    driver.window_mut().state.ask(Action::NewRun);
    driver.wait("no run", |driver| driver.window().state.run.view().is_none());
    driver.window_mut().state.ask(Action::OpenRun(run));
    driver.wait("its evaluation", |driver| driver.window().state.run.view().is_some());
    let images = driver.window().state.data.dataset.as_ref().unwrap().validation.len();
    assert_eq!(driver.window().state.run.view().unwrap().predictions.items.len(), images);
    driver.window_mut().state.ask(Action::Show(kindling::app::PaneId::CONFUSION));
    driver.wait("the confusion", |driver| driver.sees(&format!("{images} images").replace("1000", "1,000")));
}
