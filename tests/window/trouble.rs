//! Looking for what is wrong: a learning rate, a label, a step that was no number.

use super::*;
use kindling::train::{Recipe, RunFolder, RunInfo, epoch_order, events::Origin};

impl Driver {
    /// The sample set is there, and no run.
    fn with_sample() -> Self {
        let mut driver = Driver::open();
        driver.window_mut().state.ask(kindling::app::Action::LoadData("sample".into()));
        driver.wait("the sample set", |driver| driver.window().state.data.dataset.is_some());
        driver
    }

    /// What the window says, by the beginning of its label.
    fn text(&self, start: &str) -> Option<String> {
        use egui_kittest::kittest::NodeT;
        let found = self.harness.query_all_by_label_contains(start).next();
        found.and_then(|node| node.accesskit_node().label())
    }
}

#[test]
fn a_learning_rate_is_found_before_a_run_and_in_the_middle_of_one() {
    let mut driver = Driver::with_sample();
    // It may have to be scrolled to.
    driver.harness.get_by_label("Find a rate …").click_accesskit();
    driver.harness.step();
    // How many have come by the time of a frame is the machine's affair.
    let points = |driver: &Driver| driver.sees("Loss by learning rate") && !driver.sees("learning rate, 0 steps");
    driver.wait("the first points", points);
    driver.wait("the suggestion", |driver| driver.sees("The loss is lowest at about"));
    let button = driver.text("Use 0").expect("a button with the suggestion");
    driver.click(&button);
    let used = driver.window().state.recipe.lr;
    assert_eq!(button, format!("Use {used}"));
    driver.wait("the word that it is used", |driver| driver.sees(&format!("{used} is in use")));
    assert!(!driver.window().state.runs.folder.exists(), "no run was made");
    driver.harness.key_press(Key::Escape);
    driver.wait("the window to close", |driver| !driver.sees("Loss by learning rate"));

    // In the middle of a run, by the keyboard, and given up. Large batches, so that no sweep is over before that.
    driver.window_mut().state.set("batch_size", Value::Int(512));
    driver.click("▶ Train");
    driver.wait("the first steps", |driver| driver.step() >= 2);
    driver.harness.key_press_modifiers(Modifiers::COMMAND, Key::L);
    driver.wait("the sweep", |driver| driver.sees("of at most") && points(driver));
    let held = driver.step();
    driver.click("Cancel");
    driver.wait("the end of the sweep", |driver| driver.sees("Cancelled."));
    driver.wait("more steps of the run", |driver| driver.step() > held + 2);
    driver.stop();
    let run = driver.run_folder();
    assert!(!driver.events(&run).iter().any(|event| matches!(event, Event::Changed { .. })), "the run never noticed");
}

#[test]
fn a_run_that_meets_nan_is_explained_and_goes_on_with_a_tenth_of_the_rate() {
    let mut driver = Driver::with_sample();
    let recipe = &mut driver.window_mut().state.recipe;
    recipe.set("lr", Value::Float(1e6)).unwrap();
    recipe.set("schedule", Value::Text("constant".into())).unwrap();
    let (seed, batch_size) = (recipe.seed, recipe.batch_size);
    assert!(!driver.sees("NaN report"), "there is nothing to report");
    driver.click("▶ Train");
    driver.wait("the report", |driver| driver.sees(": not a finite number"));
    assert!(driver.sees("NaN report"));
    driver.wait("the run to be put away", |driver| driver.sees("▶ Resume"));

    // What it says is what the engine found, and the batch is the one of that step.
    let run = driver.run_folder();
    let found = driver.events(&run).into_iter().find_map(|event| match event {
        Event::NotFinite { step, batch, activations, origin, .. } => Some((step, batch, activations, origin)),
        _ => None,
    });
    let (step, batch, activations, origin) = found.expect("it is written down");
    let dataset = driver.window().state.data.dataset.clone().unwrap();
    let images = dataset.train.len();
    let per_epoch = images.div_ceil(batch_size) as u64;
    let first = (step % per_epoch) as usize * batch_size;
    assert_eq!(batch, &epoch_order(seed, step / per_epoch, images)[first..first + batch_size]);
    let Some(Origin::Forward(layer)) = &origin else { panic!("{origin:?}") };
    let bad = activations.iter().find(|layer| layer.not_finite > 0).expect("a layer");
    assert_eq!(&bad.name, layer);
    assert!(driver.sees(&format!("Step {step}: not a finite number")));
    assert!(driver.sees(&format!("in the output of {layer}")));
    let label = dataset.train.labels[batch[0] as usize] as usize;
    let first = format!("Training image {}, {}", batch[0], dataset.classes[label]);
    // One message is enough: the error that ends the session says the same, and only the status line has it too.
    assert_eq!(driver.harness.query_all_by_label_contains("is not finite at step").count(), 1);
    assert_eq!(driver.harness.query_all_by_label_contains("no longer a finite number").count(), 1);
    assert!(driver.window().state.notices.log.text().contains("is not finite at step"), "the log has both");

    driver.click("Replay this step with plain operations");
    driver.wait("the verdict", |driver| driver.sees("The recipe or the data is to blame, not the device"));
    driver.wait("the images of the batch", |driver| driver.sees(&first));
    // The next day, the report is there again.
    let name = run.file_name().unwrap().to_string_lossy().into_owned();
    let settings = driver.window().state.settings.clone();
    let Driver { harness, folder } = driver;
    drop(harness);
    let mut driver = Driver::in_folder(folder, settings);
    driver.harness.step();
    assert!(!driver.sees("NaN report"), "not before that run is opened");
    driver.click(&format!("Go on with {name}"));
    driver.wait("the report", |driver| driver.sees(&format!("in the output of {layer}")));
    assert!(driver.sees("Replay this step with plain operations"), "it is known that the run was on the CPU");

    // It is that run's, and no other's.
    let calm = run.with_file_name("calm");
    let info = RunInfo { data: "sample".into(), ..RunInfo::default() };
    drop(RunFolder::create(&calm, &Recipe::default(), &info).unwrap());
    driver.window_mut().state.ask(Action::OpenRun(calm));
    driver.wait("the report to go", |driver| driver.sees("Opened the run calm") && !driver.sees("NaN report"));
    driver.window_mut().state.ask(Action::OpenRun(run.clone()));
    driver.wait("the report to come back", |driver| driver.sees(&format!("in the output of {layer}")));

    driver.click("Start anew with a tenth of the learning rate");
    driver.wait("the next run", |driver| driver.window().state.run.is_live() && driver.run_folder() != run);
    assert_eq!(driver.window().state.recipe.lr, 1e5);
    driver.wait("the report to go", |driver| !driver.sees("NaN report"));
    assert!(run.join("last.safetensors").exists(), "the run that stopped is still there");
    driver.wait("its end", |driver| !driver.window().state.run.is_live());
}

#[test]
fn images_with_the_wrong_label_are_found_and_exported() {
    let mut driver = Driver::open();
    let set = driver.folder.path().join("shades");
    for class in ["dark", "bright"] {
        std::fs::create_dir_all(set.join(class)).unwrap();
        for i in 0..48u32 {
            // Two bright images are in the wrong folder.
            let wrong = class == "dark" && i < 2;
            let shade = if class == "bright" || wrong { 200 } else { 40 };
            let pixel = |x: u32, y: u32| image::Luma([(shade + (x * 7 + y * 13 + i * 29) % 41) as u8]);
            let name = if wrong { format!("wrong_{i}.png") } else { format!("{i}.png") };
            image::GrayImage::from_fn(16, 16, pixel).save(set.join(class).join(name)).unwrap();
        }
    }
    driver.drop_file(&set);
    driver.wait("the shades", |driver| {
        driver.window().state.data.dataset.as_ref().is_some_and(|set| set.name == "shades")
    });
    let recipe = &mut driver.window_mut().state.recipe;
    for (key, value) in [("epochs", 6), ("batch_size", 8)] {
        recipe.set(key, Value::Int(value)).unwrap();
    }
    recipe.set("lr", Value::Float(0.02)).unwrap();
    driver.click("▶ Train");
    driver.wait("the end of the run", |driver| driver.window().state.run.saved().is_some());

    let sources = driver.window().state.data.dataset.as_ref().unwrap().train.sources.clone().unwrap();
    let wrong = sources.iter().filter(|source| source.contains("wrong_")).count();
    assert!(wrong > 0, "at least one of them is a training image: {wrong}");
    driver.harness.key_press(Key::Num9);
    driver.wait("the pane", |driver| driver.sees("Only mistakes"));
    driver.harness.get_by_role_and_label(egui::accesskit::Role::Button, "Training").click();
    driver.wait("the candidates", |driver| driver.sees("labelled dark, first right never yet"));
    let path = driver.folder.path().join("list.csv");
    let answer = path.clone();
    driver.window_mut().state.file_dialog = Arc::new(move |_| vec![answer.clone()]);
    driver.click("Export …");
    driver.wait("the file", |driver| driver.sees("The list was written to"));
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("index,file,label,mean_loss,learned_in_epoch,forgotten"), "{text}");
    assert!(lines[1..=wrong].iter().all(|line| line.contains("wrong_")), "they stand first:\n{text}");

    // A closer look says how it went.
    let first = driver.text("labelled dark, first right never yet").unwrap();
    driver.click(&first);
    driver.wait("the closer look", |driver| {
        driver.sees("Training image, enlarged") && driver.sees("Loss in the last epochs")
    });
}
