//! Looking for what is wrong: a learning rate, a label, a step that was no number.

use super::*;
use kindling::train::{Recipe, RunFolder, RunInfo, epoch_order, events::Origin};

impl Desk {
    /// The sample set is there, and no run.
    fn with_sample() -> Self {
        let mut desk = Desk::open();
        desk.window_mut().state.ask(kindling::app::Action::LoadData("sample".into()));
        desk.wait("the sample set", |desk| desk.window().state.dataset.is_some());
        desk
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
    let mut desk = Desk::with_sample();
    desk.click("Find a rate …");
    // How many have come by the time of a frame is the machine's affair.
    let points = |desk: &Desk| desk.sees("Loss by learning rate") && !desk.sees("learning rate, 0 steps");
    desk.wait("the first points", points);
    desk.wait("the suggestion", |desk| desk.sees("The loss is lowest at about"));
    let button = desk.text("Use 0").expect("a button with the suggestion");
    desk.click(&button);
    let used = desk.window().state.recipe.lr;
    assert_eq!(button, format!("Use {used}"));
    desk.wait("the word that it is used", |desk| desk.sees(&format!("{used} is in use")));
    assert!(!desk.window().state.runs_folder.exists(), "no run was made");
    desk.harness.key_press(Key::Escape);
    desk.wait("the window to close", |desk| !desk.sees("Loss by learning rate"));

    // In the middle of a run, by the keyboard, and given up. Large batches, so that no sweep is over before that.
    desk.window_mut().state.set("batch_size", Value::Int(512));
    desk.click("▶ Train");
    desk.wait("the first steps", |desk| desk.step() >= 2);
    desk.harness.key_press_modifiers(Modifiers::COMMAND, Key::L);
    desk.wait("the sweep", |desk| desk.sees("of at most") && points(desk));
    let held = desk.step();
    desk.click("Cancel");
    desk.wait("the end of the sweep", |desk| desk.sees("Cancelled."));
    desk.wait("more steps of the run", |desk| desk.step() > held + 2);
    desk.stop();
    let run = desk.run_folder();
    assert!(!desk.events(&run).iter().any(|event| matches!(event, Event::Changed { .. })), "the run never noticed");
}

#[test]
fn a_run_that_meets_nan_is_explained_and_goes_on_with_a_tenth_of_the_rate() {
    let mut desk = Desk::with_sample();
    let recipe = &mut desk.window_mut().state.recipe;
    recipe.set("lr", Value::Float(1e6)).unwrap();
    recipe.set("schedule", Value::Text("constant".into())).unwrap();
    let (seed, batch_size) = (recipe.seed, recipe.batch_size);
    assert!(!desk.sees("NaN report"), "there is nothing to report");
    desk.click("▶ Train");
    desk.wait("the report", |desk| desk.sees(": not a finite number"));
    assert!(desk.sees("NaN report"));
    desk.wait("the run to be put away", |desk| desk.sees("▶ Resume"));

    // What it says is what the engine found, and the batch is the one of that step.
    let run = desk.run_folder();
    let found = desk.events(&run).into_iter().find_map(|event| match event {
        Event::NotFinite { step, batch, activations, origin, .. } => Some((step, batch, activations, origin)),
        _ => None,
    });
    let (step, batch, activations, origin) = found.expect("it is written down");
    let dataset = desk.window().state.dataset.clone().unwrap();
    let images = dataset.train.len();
    let per_epoch = images.div_ceil(batch_size) as u64;
    let first = (step % per_epoch) as usize * batch_size;
    assert_eq!(batch, &epoch_order(seed, step / per_epoch, images)[first..first + batch_size]);
    let Some(Origin::Forward(layer)) = &origin else { panic!("{origin:?}") };
    let bad = activations.iter().find(|layer| layer.not_finite > 0).expect("a layer");
    assert_eq!(&bad.name, layer);
    assert!(desk.sees(&format!("Step {step}: not a finite number")));
    assert!(desk.sees(&format!("in the output of {layer}")));
    let label = dataset.train.labels[batch[0] as usize] as usize;
    let first = format!("Training image {}, {}", batch[0], dataset.classes[label]);
    // One message is enough: the error that ends the session says the same, and only the status line has it too.
    assert_eq!(desk.harness.query_all_by_label_contains("is not finite at step").count(), 1);
    assert_eq!(desk.harness.query_all_by_label_contains("no longer a finite number").count(), 1);
    assert!(desk.window().state.log.text().contains("is not finite at step"), "the log has both");

    desk.click("Replay this step with plain operations");
    desk.wait("the verdict", |desk| desk.sees("The recipe or the data is to blame, not the device"));
    desk.wait("the images of the batch", |desk| desk.sees(&first));
    // The next day, the report is there again.
    let name = run.file_name().unwrap().to_string_lossy().into_owned();
    let settings = desk.window().state.settings.clone();
    let Desk { harness, folder } = desk;
    drop(harness);
    let mut desk = Desk::in_folder(folder, settings);
    desk.harness.step();
    assert!(!desk.sees("NaN report"), "not before that run is opened");
    desk.click(&format!("Go on with {name}"));
    desk.wait("the report", |desk| desk.sees(&format!("in the output of {layer}")));
    assert!(desk.sees("Replay this step with plain operations"), "it is known that the run was on the CPU");

    // It is that run's, and no other's.
    let calm = run.with_file_name("calm");
    let info = RunInfo { data: "sample".into(), ..RunInfo::default() };
    drop(RunFolder::create(&calm, &Recipe::default(), &info).unwrap());
    desk.window_mut().state.ask(Action::OpenRun(calm));
    desk.wait("the report to go", |desk| desk.sees("Opened the run calm") && !desk.sees("NaN report"));
    desk.window_mut().state.ask(Action::OpenRun(run.clone()));
    desk.wait("the report to come back", |desk| desk.sees(&format!("in the output of {layer}")));

    desk.click("Start anew with a tenth of the learning rate");
    desk.wait("the next run", |desk| desk.window().state.engine.is_live() && desk.run_folder() != run);
    assert_eq!(desk.window().state.recipe.lr, 1e5);
    desk.wait("the report to go", |desk| !desk.sees("NaN report"));
    assert!(run.join("last.safetensors").exists(), "the run that stopped is still there");
    desk.wait("its end", |desk| !desk.window().state.engine.is_live());
}

#[test]
fn images_with_the_wrong_label_are_found_and_exported() {
    let mut desk = Desk::open();
    let set = desk.folder.path().join("shades");
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
    desk.drop_file(&set);
    desk.wait("the shades", |desk| desk.window().state.dataset.as_ref().is_some_and(|set| set.name == "shades"));
    let recipe = &mut desk.window_mut().state.recipe;
    for (key, value) in [("epochs", 6), ("batch_size", 8)] {
        recipe.set(key, Value::Int(value)).unwrap();
    }
    recipe.set("lr", Value::Float(0.02)).unwrap();
    desk.click("▶ Train");
    desk.wait("the end of the run", |desk| desk.window().state.saved_run.is_some());

    let sources = desk.window().state.dataset.as_ref().unwrap().train.sources.clone().unwrap();
    let wrong = sources.iter().filter(|source| source.contains("wrong_")).count();
    assert!(wrong > 0, "at least one of them is a training image: {wrong}");
    desk.harness.key_press(Key::Num9);
    desk.wait("the pane", |desk| desk.sees("Only mistakes"));
    desk.harness.get_by_role_and_label(egui::accesskit::Role::Button, "Training").click();
    desk.wait("the candidates", |desk| desk.sees("labelled dark, first right never yet"));
    let path = desk.folder.path().join("list.csv");
    let answer = path.clone();
    desk.window_mut().state.file_dialog = Arc::new(move |_| vec![answer.clone()]);
    desk.click("Export …");
    desk.wait("the file", |desk| desk.sees("The list was written to"));
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("index,file,label,mean_loss,learned_in_epoch,forgotten"), "{text}");
    assert!(lines[1..=wrong].iter().all(|line| line.contains("wrong_")), "they stand first:\n{text}");

    // A closer look says how it went.
    let first = desk.text("labelled dark, first right never yet").unwrap();
    desk.click(&first);
    desk.wait("the closer look", |desk| desk.sees("Training image, enlarged") && desk.sees("Loss in the last epochs"));
}
