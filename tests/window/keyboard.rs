//! Without a pointer: everything is reached by Tab, in the order in which it is seen, and pressed by keys or by what a
//! screen reader asks for.

use super::*;
use egui_kittest::kittest::NodeT;
use kindling::app::PaneId;

impl Driver {
    fn focused(&self, label: &str) -> bool {
        self.harness.query_all_by_label(label).any(|node| node.is_focused())
    }

    /// Presses Tab until `label` has the focus.
    #[track_caller]
    fn tab_to(&mut self, label: &str) {
        for _ in 0..300 {
            if self.focused(label) {
                return;
            }
            self.harness.key_press(Key::Tab);
            self.harness.step();
        }
        panic!("the keyboard does not reach {label}; the log:\n{}", self.window().state.notices.log.text());
    }

    #[track_caller]
    fn press(&mut self, label: &str, key: Key) {
        self.tab_to(label);
        self.harness.key_press(key);
        (0..2).for_each(|_| self.harness.step());
    }

    /// What a screen reader does where it presses a control.
    #[track_caller]
    fn activate(&mut self, label: &str) {
        self.harness.get_by_label(label).click_accesskit();
        (0..2).for_each(|_| self.harness.step());
    }
}

#[test]
fn a_run_is_trained_steered_rewound_compared_and_asked_without_a_pointer() {
    let mut driver = Driver::open();
    driver.tab_to("Try it on the sample set");
    driver.harness.key_press(Key::Escape);
    driver.harness.step();
    assert!(!driver.focused("Try it on the sample set"));
    driver.harness.key_press(Key::Space);
    driver.wait("the first steps", |driver| driver.step() >= 2);
    let before = driver.window().state.recipe.lr;

    // Another rate: the field takes what is typed when it has the focus.
    driver.harness.get_by_role_and_label(egui::accesskit::Role::SpinButton, "Learning rate").focus();
    driver.harness.step();
    driver.harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
    driver.harness.event(egui::Event::Text("0.05".to_owned()));
    driver.harness.key_press(Key::Enter);
    driver.wait("the rate", |driver| driver.window().state.run.view().unwrap().recipe.lr == 0.05);
    assert_ne!(before, 0.05);

    // A snapshot, and back to it.
    driver.harness.key_press_modifiers(Modifiers::COMMAND, Key::S);
    let run = driver.run_folder();
    let taken = |driver: &Driver| {
        driver.events(&run).into_iter().find_map(|event| match event {
            Event::Snapshot { step, name, .. } => Some((step, name)),
            _ => None,
        })
    };
    driver.wait("a snapshot", |driver| taken(driver).is_some());
    let (at, name) = taken(&driver).unwrap();
    let label = format!("Snapshot {name}, step {at}");
    driver.wait("its place on the timeline", |driver| driver.step() > at + 2 && driver.sees(&label));
    driver.press(&label, Key::Enter);
    driver.press("Rewind to here", Key::Enter);
    let rewound = |event: &Event| matches!(event, Event::Resumed { snapshot: Some(_), .. });
    driver.wait("the branch", |driver| driver.events(&run).iter().any(rewound));
    driver.press("■ Stop", Key::Space);
    driver.wait("the run to be saved", |driver| !driver.window().state.run.is_busy());

    // A second run, and the first beside it.
    driver.activate("New run");
    driver.wait("a new run to be possible", |driver| driver.sees("▶ Train"));
    driver.press("▶ Train", Key::Enter);
    driver.wait("the first steps", |driver| driver.run_folder() != run && driver.step() >= 2);
    driver.window_mut().state.ask(Action::Show(PaneId::RUNS));
    let first = run.file_name().unwrap().to_string_lossy().into_owned();
    driver.wait("the list", |driver| driver.sees(&format!("Run {first}")));
    driver.press(&format!("Compare {first}"), Key::Space);
    driver.wait("what differs", |driver| driver.sees("2 runs side by side"));
    driver.activate("See the charts");
    driver.wait("its curves", |driver| driver.sees(&format!("Take {first} off the charts")));

    // Images that the network has not seen.
    driver.window_mut().state.ask(Action::Show(PaneId::CLASSIFY));
    driver.wait("the pane", |driver| driver.sees("Ask the network about an image") || driver.sees("Held-out"));
    let held_out = "Try eight held-out images";
    let label = if driver.sees(held_out) { held_out } else { "Held-out" };
    driver.press(label, Key::Enter);
    driver.wait("answers", |driver| driver.harness.query_all_by_label("Network sees").count() >= 4);
    driver.press("■ Stop", Key::Enter);
    driver.wait("the end", |driver| !driver.window().state.run.is_busy());
}

#[test]
fn the_keyboard_goes_as_the_eye_does_and_what_it_reaches_is_in_sight() {
    let mut driver = Driver::open();
    driver.window_mut().state.ask(Action::LoadData("sample".into()));
    driver.wait("the sample set", |driver| driver.window().state.data.dataset.is_some());
    (0..5).for_each(|_| driver.harness.step());
    driver.harness.key_press(Key::Tab);
    driver.harness.step();
    assert!(driver.focused("▶ Train"), "the bar begins on the left");
    let place = |driver: &Driver, label: &str| driver.harness.get_by_label(label).rect();
    assert!(place(&driver, "Device").right() < place(&driver, "Help").left());
    driver.tab_to("Device");
    driver.tab_to("Help");
    driver.tab_to("Menu");
    // Then the setup column, whose end is scrolled to.
    driver.tab_to("Learning rate slider");
    driver.tab_to("Regularisation");
    (0..30).for_each(|_| driver.harness.step());
    let reached = place(&driver, "Regularisation");
    assert!(reached.bottom() < 870.0, "{reached} is out of sight");

    // Out of the way, and back.
    driver.harness.key_press_modifiers(Modifiers::COMMAND, Key::B);
    driver.wait("the column to go", |driver| !driver.sees("Learning rate slider"));
    driver.harness.key_press_modifiers(Modifiers::COMMAND, Key::B);
    driver.wait("the column", |driver| driver.sees("Learning rate slider"));
    let role = |node: egui_kittest::Node<'_>| node.accesskit_node().role();
    assert_eq!(role(driver.harness.get_by_label("Setup")), egui::accesskit::Role::Button);
}
