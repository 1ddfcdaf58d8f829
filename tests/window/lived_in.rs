//! What a run meets from its name to what comes after it: small things that are in the way, or not.

use super::*;
use egui_kittest::kittest::NodeT;
use kindling::{app::PaneId, train::run_list::summarise};

impl Driver {
    /// Trains on the sample set to the end; gives the run's folder.
    fn finished_run(&mut self, epochs: i64) -> PathBuf {
        self.window_mut().state.set("epochs", Value::Int(epochs));
        self.click("▶ Train");
        self.wait("the end of the run", |driver| driver.sees("Train longer (+10 epochs)"));
        self.run_folder()
    }

    fn place(&self, label: &str) -> egui::Rect {
        self.harness.get_by_label(label).rect()
    }

    fn opened() -> Self {
        let mut driver = Driver::open();
        driver.window_mut().state.ask(Action::LoadData("sample".into()));
        driver.wait("the sample set", |driver| driver.window().state.data.dataset.is_some());
        driver
    }

    fn runs_listed(&self) -> Vec<String> {
        let rows = self.harness.query_all_by_label_contains("Run ");
        let labels = rows.filter_map(|row| row.accesskit_node().label());
        labels.filter_map(|label| label.strip_prefix("Run ").map(str::to_owned)).collect()
    }
}

#[test]
fn a_run_has_the_name_that_was_typed_before_it_began() {
    let mut driver = Driver::opened();
    driver.harness.get_by_label("Name of the next run").focus();
    driver.harness.step();
    driver.harness.get_by_label("Name of the next run").type_text("baseline");
    driver.harness.step();
    driver.click("▶ Train");
    driver.wait("some steps", |driver| driver.step() >= 2);
    assert_eq!(driver.run_folder().file_name().unwrap(), "baseline");
    let before = driver.place("■ Stop");
    driver.stop();
    // A second click where Stop was begins nothing.
    assert_eq!(driver.place("■ Stop").left(), before.left());
    assert!(!driver.place("New run").intersects(before), "{before}");
    driver.click("New run");
    driver.click("▶ Train");
    driver.wait("some steps", |driver| driver.step() >= 2);
    assert_eq!(
        driver.run_folder().file_name().unwrap(),
        "sample-resnet8",
        "one without a name is called by what it is"
    );
    driver.stop();
}

#[test]
fn a_finished_run_can_be_trained_longer_and_a_target_says_when_it_was_reached() {
    let mut driver = Driver::opened();
    let run = driver.finished_run(1);
    assert!(driver.sees("of the held-out images right"));
    driver.click("Show…");
    driver.click("Target accuracy");
    driver.wait("the target", |driver| driver.texts().iter().any(|(text, _)| text == "90 % not yet"));
    let percent = driver.harness.get_by_label("Target accuracy in percent");
    percent.focus();
    driver.harness.step();
    driver.harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
    driver.harness.event(egui::Event::Text("5".to_owned()));
    driver.harness.key_press(Key::Enter);
    let step = summarise(&run).step;
    let reached = format!("5 % at step {step}");
    driver.wait("when it was reached", |driver| driver.texts().iter().any(|(text, _)| text.starts_with(&reached)));
    driver.harness.key_press(Key::Escape);
    driver.harness.step();
    driver.click("Train longer (+10 epochs)");
    driver.wait("more steps", |driver| driver.run_folder() == run && driver.step() > step);
    assert_eq!(driver.window().state.recipe.epochs, 11);
    assert!(!driver.sees("Train longer"), "it goes on");
    driver.stop();
}

#[test]
fn a_change_has_its_label_on_the_charts_and_the_run_before_stands_behind() {
    let mut driver = Driver::opened();
    let lr = driver.window().state.recipe.lr;
    driver.click("▶ Train");
    driver.wait("some steps", |driver| driver.step() >= 4);
    driver.window_mut().state.set("lr", Value::Float(0.05));
    let label = format!("lr {lr} → 0.05");
    driver.wait("the label", |driver| driver.texts().iter().any(|(text, _)| *text == label));
    driver.stop();
    driver.click("New run");
    driver.click("▶ Train");
    driver.wait("the run before", |driver| driver.step() >= 2 && driver.sees("run before"));
    driver.stop();
}

#[test]
fn runs_are_searched_by_value_put_into_parts_and_written_as_csv() {
    let mut driver = Driver::opened();
    for lr in [0.05, 0.3] {
        driver.window_mut().state.ask(Action::NewRun);
        driver.window_mut().state.set("lr", Value::Float(lr));
        driver.wait("a new run to be possible", |driver| driver.sees("▶ Train"));
        driver.click("▶ Train");
        driver.wait("some steps", |driver| driver.step() >= 2);
        driver.stop();
    }
    driver.window_mut().state.ask(Action::Show(PaneId::RUNS));
    driver.wait("the list", |driver| driver.runs_listed().len() == 2);
    driver.harness.get_by_label("Filter the runs").focus();
    driver.harness.step();
    driver.harness.get_by_label("Filter the runs").type_text("lr > 0.1");
    driver.wait("the one", |driver| driver.runs_listed() == ["sample-resnet8-2"]);
    let file = driver.folder.path().join("runs.csv");
    let answer = file.clone();
    driver.window_mut().state.file_dialog = Arc::new(move |_| vec![answer.clone()]);
    driver.click("More about the list");
    driver.click("Export the runs as CSV");
    driver.wait("the file", |driver| driver.sees("The list was written to"));
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 2, "what is listed, and no more: {text}");
    assert!(text.lines().nth(1).unwrap().starts_with("sample-resnet8-2,sample,"), "{text}");
    driver.click("Group the runs");
    driver.click("By model");
    driver.wait("the part", |driver| driver.sees("Part cifar_resnet8, 1 run"));
    driver.click("Part cifar_resnet8, 1 run");
    driver.wait("it to fold", |driver| driver.runs_listed().is_empty());
}

#[test]
fn a_run_is_tagged_found_by_its_tag_and_put_into_a_part() {
    let mut driver = Driver::opened();
    for _ in 0..2 {
        driver.window_mut().state.ask(Action::NewRun);
        driver.wait("a new run to be possible", |driver| driver.sees("▶ Train"));
        driver.click("▶ Train");
        driver.wait("some steps", |driver| driver.step() >= 2);
        driver.stop();
    }
    driver.window_mut().state.ask(Action::Show(PaneId::RUNS));
    driver.wait("the list", |driver| driver.runs_listed().len() == 2);
    driver.click("Run sample-resnet8");
    driver.harness.get_by_label("Add a tag").focus();
    driver.harness.step();
    driver.harness.get_by_label("Add a tag").type_text("Good one");
    driver.harness.step();
    driver.harness.key_press(Key::Enter);
    driver.wait("the tag in the row", |driver| driver.sees("Tag good-one of sample-resnet8"));
    driver.click("Run sample-resnet8-2");
    driver.wait("what is known", |driver| driver.sees("Give the tag good-one"));
    driver.click("Tag good-one of sample-resnet8");
    driver.wait("the one", |driver| driver.runs_listed() == ["sample-resnet8"]);
    driver.click("Tag good-one of sample-resnet8");
    driver.wait("both", |driver| driver.runs_listed().len() == 2);
    driver.click("Group the runs");
    driver.click("By tag");
    driver.wait("the part", |driver| driver.sees("Part #good-one, 1 run") && driver.sees("Part no tag, 1 run"));
    driver.click("Run sample-resnet8");
    driver.click("Take off the tag good-one");
    driver.wait("it to be gone", |driver| !driver.sees("Part #good-one"));
}

#[test]
fn the_size_that_is_chosen_in_the_menu_is_taken() {
    let mut driver = Driver::opened();
    driver.click("Menu");
    driver.click("150 %");
    driver.wait("the size", |driver| driver.harness.ctx.zoom_factor() == 1.5);
    (0..5).for_each(|_| driver.harness.step());
    assert_eq!(driver.harness.ctx.zoom_factor(), 1.5, "it stays");
}

#[test]
fn a_column_that_had_to_be_narrow_is_as_wide_as_before_where_there_is_room() {
    let mut driver = Driver::opened();
    let width = |driver: &mut Driver, size| {
        driver.harness.set_size(size);
        (0..5).for_each(|_| driver.harness.step());
        driver.place("Learning rate slider").width()
    };
    let wide = width(&mut driver, egui::vec2(1400.0, 900.0));
    assert!(width(&mut driver, egui::vec2(700.0, 450.0)) < wide);
    assert_eq!(width(&mut driver, egui::vec2(1400.0, 900.0)), wide);
}

#[test]
fn networks_are_listed_by_family_with_what_they_cost() {
    let mut driver = Driver::opened();
    driver.harness.get_by_role_and_label(egui::accesskit::Role::Button, "Model").click();
    driver.wait("the list", |driver| driver.sees("ResNet, for small images") && driver.sees("0.1 M"));
    driver.click("cifar_resnet20");
    driver.wait("the choice", |driver| driver.window().state.recipe.model == "cifar_resnet20");
}

#[test]
fn nothing_is_cut_or_covered_in_a_small_window() {
    // The smaller one is what 200 % leaves of 1400x900.
    for (width, height) in [(900.0, 600.0), (700.0, 450.0)] {
        let mut driver = Driver::opened();
        driver.harness.set_size(egui::vec2(width, height));
        driver.click("▶ Train");
        driver.wait("some steps", |driver| driver.step() >= 2);
        (0..5).for_each(|_| driver.harness.step());
        let controls = ["❚❚ Pause", "■ Stop", "Device", "Setup", "Help", "Menu"].map(|label| driver.place(label));
        let screen = egui::Rect::from_min_size(egui::Pos2::ZERO, egui::vec2(width, height));
        for (at, control) in controls.iter().enumerate() {
            assert!(screen.contains_rect(*control), "{control} is cut at {width}");
            let before = &controls[..at];
            assert!(before.iter().all(|other| !other.intersects(*control)), "{control} is covered at {width}");
        }
        let step = driver.harness.query_all_by_label_contains("step ").map(|node| node.rect());
        assert!(step.filter(|rect| rect.top() > height - 34.0).all(|rect| screen.contains_rect(rect)), "at {width}");
        driver.stop();
    }
}
