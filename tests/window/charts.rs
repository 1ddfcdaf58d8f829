//! The charts: what they say of a place is what the run's log says.

use super::*;
use egui::OutputCommand;
use egui_kittest::kittest::NodeT;

impl Driver {
    /// The table of values in the middle of the charts, as a spreadsheet gets it.
    pub(super) fn table_at_the_pointer(&mut self) -> String {
        let place = self.harness.get_by_label("Loss chart").rect().center();
        self.harness.hover_at(place);
        self.wait("the table", |driver| driver.sees("measured") && driver.sees("smoothed"));
        self.harness.event(egui::Event::Copy);
        self.harness.step();
        self.copied().expect("Ctrl+C copies it")
    }

    /// What this frame puts into the clipboard.
    fn copied(&self) -> Option<String> {
        let commands = &self.harness.output().platform_output.commands;
        commands.iter().find_map(|command| match command {
            OutputCommand::CopyText(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// Trains on the sample set past its first validation, and holds.
    fn paused_run(&mut self) -> PathBuf {
        self.start();
        let run = self.run_folder();
        self.wait("a validation", |driver| {
            driver.events(&run).iter().any(|event| matches!(event, Event::Epoch { .. }))
        });
        let validated = self.step();
        self.wait("more steps", |driver| driver.step() > validated + 2);
        self.click("❚❚ Pause");
        self.wait("the pause", |driver| driver.sees("Paused"));
        let paused = |event: &Event| matches!(event, Event::Phase { phase: kindling::train::Phase::Paused, .. });
        self.wait("the session to hold", |driver| driver.events(&run).iter().any(paused));
        (0..5).for_each(|_| self.harness.step());
        run
    }
}

/// Holds a line of the table, `run curve step measured smoothed`, against the log.
pub(super) fn check_line(line: &str, events: &[Event]) -> String {
    let cells: Vec<&str> = line.split('\t').collect();
    let [_, curve, step, measured, smoothed] = cells[..] else { panic!("{line}") };
    let at: u64 = step.parse().unwrap();
    let of_step = |value: fn(&Event) -> Option<(u64, f64)>| {
        events.iter().filter_map(value).find(|(step, _)| *step == at).map(|(_, value)| value)
    };
    let logged = match curve {
        "Loss, training" => of_step(|event| match event {
            Event::Step { step, loss, .. } => Some((*step, f64::from(*loss))),
            _ => None,
        }),
        "Accuracy, training" => of_step(|event| match event {
            Event::Step { step, accuracy, .. } => Some((*step, f64::from(*accuracy))),
            _ => None,
        }),
        "Learning rate" => of_step(|event| match event {
            Event::Step { step, lr, .. } => Some((*step, *lr)),
            _ => None,
        }),
        "Images per second" => of_step(|event| match event {
            Event::Step { step, images_per_s, .. } => Some((*step, f64::from(*images_per_s))),
            _ => None,
        }),
        "Loss, validation" => of_step(|event| match event {
            Event::Epoch { step, val_loss, .. } => Some((*step, f64::from((*val_loss)?))),
            _ => None,
        }),
        "Accuracy, validation" => of_step(|event| match event {
            Event::Epoch { step, val_accuracy, .. } => Some((*step, f64::from((*val_accuracy)?))),
            _ => None,
        }),
        "Accuracy, top-5" => of_step(|event| match event {
            Event::Epoch { step, top5, .. } => Some((*step, f64::from((*top5)?))),
            _ => None,
        }),
        other => panic!("{other}"),
    };
    let (logged, measured) = (logged.expect(line), measured.parse::<f64>().unwrap());
    assert_eq!(logged as f32, measured as f32, "{line}");
    let is_smoothed = curve.ends_with("training") || curve == "Images per second";
    assert_eq!(smoothed.parse::<f32>().is_ok_and(f32::is_finite), is_smoothed, "{line}");
    curve.to_owned()
}

#[test]
fn one_table_at_the_pointer_has_every_curve_as_the_log_has_it() {
    let mut driver = Driver::open();
    let run = driver.paused_run();
    let events = driver.events(&run);
    let table = driver.table_at_the_pointer();
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some("run\tcurve\tstep\tmeasured\tsmoothed"));
    let curves: Vec<String> = lines.map(|line| check_line(line, &events)).collect();
    let all = [
        "Loss, training",
        "Loss, validation",
        "Accuracy, training",
        "Accuracy, validation",
        "Accuracy, top-5",
        "Learning rate",
        "Images per second",
    ];
    assert_eq!(curves, all);
    // What is written is what is copied.
    let loss: f64 = table.lines().nth(1).unwrap().split('\t').nth(3).unwrap().parse().unwrap();
    assert!(driver.sees(&format!("{loss:.4}")));

    // A click keeps it when the pointer goes elsewhere.
    driver.harness.get_by_label("Loss chart").click();
    driver.harness.step();
    driver.harness.hover_at(egui::pos2(60.0, 500.0));
    (0..5).for_each(|_| driver.harness.step());
    assert!(driver.sees(&format!("{loss:.4}")), "it is pinned");
    driver.harness.event(egui::Event::Copy);
    driver.harness.step();
    assert_eq!(driver.copied().as_ref(), Some(&table));
    driver.harness.key_press(Key::Escape);
    driver.wait("the table to close", |driver| !driver.sees("smoothed"));
    driver.stop();
}

#[test]
fn a_double_click_enlarges_a_chart_and_another_shows_all() {
    let mut driver = Driver::open();
    driver.paused_run();
    // Both within a frame: frames of the harness are further apart than the clicks of a double click.
    let double_click = |driver: &mut Driver| {
        let pos = driver.harness.get_by_label("Accuracy chart").rect().center();
        driver.harness.hover_at(pos);
        driver.harness.step();
        let (button, modifiers) = (egui::PointerButton::Primary, Modifiers::NONE);
        let press = |pressed| egui::Event::PointerButton { pos, button, pressed, modifiers };
        driver.harness.input_mut().events.extend([true, false, true, false].map(press));
        (0..3).for_each(|_| driver.harness.step());
    };
    let width = |driver: &Driver| driver.harness.get_by_label("Accuracy chart").rect().width();
    let small = width(&driver);
    double_click(&mut driver);
    driver.wait("the large chart", |driver| width(driver) > 1.6 * small && !driver.sees("Loss chart"));
    driver.harness.hover_at(egui::pos2(60.0, 500.0));
    driver.harness.step();
    assert!(!driver.sees("smoothed"), "two clicks pin nothing");
    double_click(&mut driver);
    driver.wait("all charts", |driver| width(driver) == small && driver.sees("Loss chart"));
    driver.stop();
}

#[test]
fn a_chart_keeps_to_its_limits_and_snapshots_are_marked_when_asked_for() {
    let mut driver = Driver::open();
    driver.paused_run();
    let drawn = |driver: &Driver, text: &str| driver.texts().iter().any(|(drawn, _)| drawn == text);
    assert!(drawn(&driver, "0 %") && drawn(&driver, "20 %"), "{:?}", driver.texts());
    driver.click("Show…");
    let snapshots = driver.harness.get_by_label("Snapshots");
    assert_eq!(snapshots.accesskit_node().toggled(), Some(egui::accesskit::Toggled::False));
    driver.click("Limits of accuracy");
    driver.wait("the limits", |driver| drawn(driver, "60 %") && !drawn(driver, "20 %"));
    driver.click("Limits of accuracy");
    driver.wait("all of it", |driver| drawn(driver, "20 %"));
    driver.stop();
}
