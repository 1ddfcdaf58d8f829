//! What the program is for, each a flow of its own: browsing samples, dropping files, steering while it trains, and
//! seeing what is right and what is wrong.

use super::*;
use egui_kittest::kittest::NodeT;

impl Driver {
    /// The training images in sight: their numbers, in order.
    fn samples(&self) -> Vec<String> {
        let cells = self.harness.query_all_by_label_contains("Training image ");
        cells.filter_map(|cell| cell.accesskit_node().label()).collect()
    }
}

#[test]
fn samples_are_browsed_as_the_network_gets_them() {
    let mut driver = Driver::open();
    driver.window_mut().state.ask(Action::LoadData("sample".into()));
    driver.wait("the sample set", |driver| driver.window().state.data.dataset.is_some());
    driver.harness.key_press(Key::Num2);
    driver.wait("the batch", |driver| driver.samples().len() > 10);
    let first = driver.samples();
    driver.click("Next batch");
    driver.wait("other images", |driver| driver.samples().len() > 10 && driver.samples() != first);
    let second = driver.samples();
    // The same images without what the recipe does to them.
    driver.click("Raw");
    driver.wait("the same batch", |driver| driver.samples() == second);
    driver.click("Augmented");
    driver.click("Batch before");
    driver.wait("the first batch again", |driver| driver.samples() == first);
    // One of them beside what is stored, with what was done to it.
    driver.click(&first[0]);
    driver.wait("a closer look", |driver| driver.sees("As stored") && driver.sees("As the network gets it"));
    assert!(driver.sees("What was done"));
    driver.harness.key_press(Key::Escape);
    driver.wait("the look to close", |driver| !driver.sees("As the network gets it"));
    // Left alone, the window asks for no further frame.
    let settled = (0..100).any(|_| {
        driver.harness.step();
        std::thread::sleep(Duration::from_millis(10));
        !driver.harness.ctx.has_requested_repaint()
    });
    assert!(settled, "still repainting: {:?}", driver.harness.ctx.repaint_causes());
}

#[test]
fn whatever_is_dropped_finds_its_place() {
    let mut driver = Driver::open();
    let folder = driver.folder.path().to_owned();

    // Junk: a message that names what is accepted.
    let junk = folder.join("report.docx");
    std::fs::write(&junk, b"words").unwrap();
    driver.drop_file(&junk);
    driver.wait("the message", |driver| driver.sees("report.docx can't be used here"));
    assert!(driver.sees("a run folder"));

    // A folder of class folders: data.
    let set = folder.join("pets");
    for (class, shade) in [("cats", 40u8), ("dogs", 200)] {
        std::fs::create_dir_all(set.join(class)).unwrap();
        for i in 0..12 {
            let image = image::RgbImage::from_fn(20, 16, |x, y| image::Rgb([shade, (x * 9) as u8, (y * 7 + i) as u8]));
            image.save(set.join(class).join(format!("{i}.png"))).unwrap();
        }
    }
    std::fs::write(set.join("cats").join("torn.png"), b"\x89PNG\r\n\x1a\n and nothing more").unwrap();
    driver.drop_file(&set);
    driver.wait("the pets", |driver| driver.window().state.data.dataset.as_ref().is_some_and(|set| set.name == "pets"));
    assert_eq!(driver.window().state.data.dataset.as_ref().unwrap().classes, ["cats", "dogs"]);
    assert!(driver.sees("1 files could not be read"), "the torn image is set aside and said so");

    // An image, while a run goes on: Classify, with an answer of the live weights.
    driver.window_mut().state.ask(Action::LoadData("sample".into()));
    driver.wait("the sample set", |driver| {
        driver.window().state.data.dataset.as_ref().is_some_and(|set| set.name == "sample")
    });
    driver.click("▶ Train");
    driver.wait("the first steps", |driver| driver.step() >= 2);
    let cat = set.join("cats").join("3.png");
    driver.drop_file(&cat);
    driver.wait("the image", |driver| driver.sees("3.png"));
    driver.wait("its pictures", |driver| driver.sees("Network sees"));
    driver.wait("bars", |driver| driver.harness.query_all_by_label_contains(" %").count() >= 5);

    // Other data while a run goes on: a message, and the run goes on.
    driver.drop_file(&set);
    driver.wait("the message", |driver| driver.sees("Stop the run before"));
    assert!(driver.window().state.run.is_live());
    driver.stop();
}

#[test]
fn a_learning_rate_typed_while_it_trains_acts_on_the_next_step() {
    let mut driver = Driver::open();
    driver.start();
    driver.wait("curves", |driver| driver.sees("Loss chart"));
    let Some(Value::Float(before)) = driver.window().state.recipe.get("lr") else { panic!("a rate is a number") };

    driver.harness.get_by_role_and_label(egui::accesskit::Role::SpinButton, "Learning rate").click();
    driver.harness.step();
    driver.harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
    driver.harness.event(egui::Event::Text("2.5".to_owned()));
    driver.harness.key_press(Key::Enter);
    driver.harness.step();
    driver.wait("the change", |driver| driver.window().state.run.view().unwrap().recipe.lr == 2.5);
    driver.wait("the mark of the change", |driver| {
        let text = format!("Learning rate {before} → 2.5");
        driver.window().state.run.history().marks.iter().any(|mark| mark.text == text)
    });

    driver.stop();
    let run = driver.run_folder();
    let changed = driver.events(&run).into_iter().find_map(|event| match event {
        Event::Changed { key, from, to, .. } if key == "lr" => Some((from, to)),
        _ => None,
    });
    assert_eq!(changed, Some((Value::Float(before), Value::Float(2.5))));
}

#[test]
fn a_prediction_is_blue_where_the_engine_is_right_and_red_where_it_is_wrong() {
    let mut driver = Driver::open();
    driver.start();
    driver.wait("predictions", |driver| {
        driver.window().state.run.view().is_some_and(|view| !view.predictions.items.is_empty())
    });
    // A held run shows one state for as long as it takes to look at it.
    driver.click("❚❚ Pause");
    driver.wait("the pause", |driver| driver.sees("Paused"));
    (0..5).for_each(|_| driver.harness.step());
    let dark = driver.harness.ctx.global_style().visuals.dark_mode;
    let view = driver.window().state.run.view().unwrap().clone();
    let dataset = driver.window().state.data.dataset.clone().unwrap();
    let texts = driver.texts();
    let captions: Vec<&(String, Color32)> =
        texts.iter().filter(|(text, _)| text.starts_with("✓ ") || text.starts_with("✗ ")).collect();
    // The counts over the grid begin the same way; a caption has a class behind the sign.
    let is_class = |text: &str| dataset.classes.iter().any(|class| text.chars().skip(2).eq(class.chars()));
    let captions: Vec<_> = captions.into_iter().filter(|(text, _)| is_class(text)).collect();
    assert!(captions.len() >= 20, "only {} captions", captions.len());
    let mut seen = [0, 0];
    for ((text, color), item) in captions.iter().zip(&view.predictions.items) {
        let (predicted, _) = item.top();
        let right = dataset.validation.labels[item.index as usize] as usize == predicted;
        let sign = if right { "✓" } else { "✗" };
        assert_eq!(*text, format!("{sign} {}", dataset.classes[predicted]), "image {}", item.index);
        let [r, _, b, _] = color.to_array();
        assert!(if right { b > r } else { r > b }, "image {}: {text} in {color:?}, dark {dark}", item.index);
        seen[usize::from(right)] += 1;
    }
    assert!(seen[0] > 0 && seen[1] > 0, "after a few steps there is both right and wrong: {seen:?}");
    driver.stop();
}

#[test]
fn a_photo_given_to_a_window_without_a_network_waits_and_is_answered_by_the_built_in_one() {
    let mut driver = Driver::open();
    let photo = driver.folder.path().join("photo.png");
    image::RgbImage::from_fn(320, 240, |x, y| image::Rgb([(x / 2) as u8, y as u8, 90])).save(&photo).unwrap();
    driver.drop_file(&photo);
    driver.wait("the photo to wait", |driver| driver.sees("1 image waits for a network"));
    driver.click("Ask the built-in network");
    driver.wait("the photo", |driver| driver.sees("photo.png") && driver.sees("Network sees"));
    assert!(driver.sees("the built-in network"));
    driver.wait("bars", |driver| driver.harness.query_all_by_label_contains(" %").count() >= 5);
}
