//! A folder of one's own images: what the recipe says of loading is so before the first step, and what the window holds out
//! is what the command line would.

use super::Driver;
use kindling::{
    app::{Action, RunAction, Settings, Way},
    data::{self, Silent},
    train::{Event, Recipe, RunFolder, Value},
    weights::read_checkpoint,
};
use std::{fs, path::Path};

/// A chess board of single pixels, and plain gray of the same mean; of two shapes, so that they are brought to one size.
fn write_boards(folder: &Path) {
    for i in 0..20 {
        let (width, height) = if i % 2 == 0 { (150, 100) } else { (100, 150) };
        let board =
            image::GrayImage::from_fn(width, height, |x, y| image::Luma([if (x + y) % 2 == 0 { 0 } else { 255 }]));
        let gray = image::GrayImage::from_pixel(width, height, image::Luma([120 + i]));
        for (class, mut image) in [("board", board), ("gray", gray)] {
            // No two are equal.
            image.put_pixel(i.into(), 0, image::Luma([77]));
            fs::create_dir_all(folder.join(class)).unwrap();
            image.save(folder.join(class).join(format!("{i:02}.png"))).unwrap();
        }
    }
}

/// Waits for the images, and chooses the way that learns from them step by step.
fn from_scratch(driver: &mut Driver) {
    driver.wait("the images", |driver| driver.window().state.data.dataset.is_some());
    driver.window_mut().state.ask(Action::Learn(Way::Scratch));
    driver.wait("the images as it wants them", |driver| {
        let dataset = driver.window().state.data.dataset.as_ref();
        dataset.is_some_and(|dataset| dataset.train.height == 64 && dataset.sides().is_some())
    });
}

#[test]
fn a_size_chosen_after_the_images_were_loaded_is_theirs_before_the_first_step() {
    let mut driver = Driver::open();
    let folder = driver.folder.path().join("boards");
    write_boards(&folder);
    driver.drop_file(&folder);
    from_scratch(&mut driver);
    let side = |driver: &Driver| driver.window().state.data.dataset.as_ref().map(|dataset| dataset.train.height);
    assert_eq!(side(&driver), Some(64));
    // At their own size the boards keep their contrast; at 64 pixels it is gone.
    let state = &mut driver.window_mut().state;
    for (key, value) in [("image_size", Value::Int(100)), ("epochs", Value::Int(1))] {
        state.set(key, value);
    }
    state.recipe.normalisation = kindling::train::NormaliseBy::Computed;
    driver.wait("the images at their new size", |driver| side(driver) == Some(100));
    driver.window_mut().state.set("image_size", Value::Int(96));
    // Without a frame in between, training has to see to it.
    driver.window_mut().state.ask(Action::Train);
    driver
        .wait("the end", |driver| driver.window().state.run.saved().is_some() && !driver.window().state.run.is_busy());
    assert_eq!(side(&driver), Some(96));
    let run = driver.run_folder();
    let card = read_checkpoint(&run.join("last.safetensors")).unwrap().card;
    assert_eq!(card.preprocessing.height, 96);
    let recipe = RunFolder::open(&run).unwrap().read_recipe().unwrap();
    let expected = data::load(folder.to_str().unwrap(), &recipe.load_options(), &Silent).unwrap();
    assert_eq!(card.preprocessing.normalisation, expected.train.measure());
    assert!(expected.train.measure().std[0] > 0.05, "{:?}", expected.train.measure());
}

#[test]
fn the_window_and_the_command_line_hold_out_the_same_images() {
    let mut driver = Driver::open();
    let folder = driver.folder.path().join("boards");
    write_boards(&folder);
    driver.drop_file(&folder);
    from_scratch(&mut driver);
    let state = &mut driver.window_mut().state;
    for (key, value) in [("validation_share", Value::Float(0.3)), ("seed", Value::Int(17)), ("epochs", Value::Int(1))] {
        state.set(key, value);
    }
    driver.window_mut().state.ask(Action::Train);
    driver
        .wait("the end", |driver| driver.window().state.run.saved().is_some() && !driver.window().state.run.is_busy());
    let run = RunFolder::open(&driver.run_folder()).unwrap();
    let recipe = Recipe { validation_share: 0.3, ..Recipe::default() };
    let loaded = data::load(folder.to_str().unwrap(), &recipe.load_options(), &Silent).unwrap();
    assert_eq!(run.read_sides().unwrap(), loaded.sides().unwrap());
    let started = driver.events(run.path()).into_iter().find_map(|event| match event {
        Event::Started { validation_images, .. } => Some(validation_images),
        _ => None,
    });
    assert_eq!(started, Some(loaded.validation.len() as u64));
}

#[test]
fn a_classifier_that_was_passed_on_as_one_file_opens_ready_to_classify() {
    let mut driver = Driver::open();
    let folder = driver.folder.path().join("boards");
    write_boards(&folder);
    driver.drop_file(&folder);
    from_scratch(&mut driver);
    driver.window_mut().state.set("epochs", Value::Int(1));
    driver.window_mut().state.ask(Action::Train);
    driver
        .wait("the end", |driver| driver.window().state.run.saved().is_some() && !driver.window().state.run.is_busy());
    let (run, file) = (driver.run_folder(), driver.folder.path().join("boards.kindling"));
    driver.window_mut().state.ask(Action::Run(RunAction::SaveFile { run, file: file.clone() }));
    driver.wait("the file", |driver| driver.sees("Saved as"));
    // Where its images are not: there is nothing to go on with, and all that it takes to classify.
    let mut there = Driver::in_folder(tempfile::tempdir().unwrap(), Settings::default());
    there.drop_file(&file);
    there.wait("a place for images", |driver| driver.sees("Ask the network about an image"));
    there.drop_file(&folder.join("gray/00.png"));
    there.wait("an answer", |driver| driver.sees("gray"));
}
