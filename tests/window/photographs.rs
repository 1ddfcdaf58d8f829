//! A classifier from a handful of photographs, with the gestures of somebody who has a folder of them.

use super::Driver;
use eframe::egui::{Event as Input, Key, Modifiers, PointerButton, Pos2, Role};
use egui_kittest::kittest::Queryable;
use image::{Rgb, RgbImage};
use kindling::{
    app::{Action, Way},
    train::{Event, RunFolder},
};
use std::{fs, path::Path};

/// A photograph of sorts: stripes, dots or plain in its own colour, before large things that no two have alike. Of two
/// shapes, as photographs are.
fn picture(class: usize, number: u32) -> RgbImage {
    let (width, height) = if number.is_multiple_of(2) { (300, 220) } else { (220, 300) };
    let things: Vec<[u32; 5]> = (0..5)
        .map(|thing| {
            let draw = |what: u32| (number * 31 + thing * 7 + what * 3 + 1).wrapping_mul(2_654_435_761) >> 16;
            [draw(0) % width, draw(1) % height, 40 + draw(2) % 90, 40 + draw(3) % 90, draw(4) % 110]
        })
        .collect();
    RgbImage::from_fn(width, height, |x, y| {
        let covers = |thing: &&[u32; 5]| x.wrapping_sub(thing[0]) < thing[2] && y.wrapping_sub(thing[1]) < thing[3];
        let shade = things.iter().rev().find(covers).map_or(0, |thing| thing[4]) as u8;
        let on = match class {
            0 => ((x + number * 3) / 24).is_multiple_of(2),
            1 => (x / 20).is_multiple_of(3) && (y / 20).is_multiple_of(3),
            _ => false,
        };
        let base = [[200, 60, 40], [40, 160, 60], [60, 80, 210]][class].map(|v: u8| v.saturating_sub(shade));
        Rgb(if on { [250 - shade, 250 - shade, 240 - shade] } else { base })
    })
}

const NAMES: [&str; 3] = ["dots", "plain", "stripes"];

fn write(folder: &Path, each: u32) {
    for (class, name) in [(1, "dots"), (2, "plain"), (0, "stripes")] {
        fs::create_dir_all(folder.join(name)).unwrap();
        for i in 0..each {
            picture(class, i).save(folder.join(name).join(format!("{i:02}.png"))).unwrap();
        }
    }
}

/// A window in which a head was found on such photographs.
fn learned(each: u32) -> Driver {
    let mut driver = Driver::open();
    let folder = driver.folder.path().join("photos");
    write(&folder, each);
    driver.drop_file(&folder);
    driver.wait("the three ways", |driver| driver.sees("Learn from a trained network"));
    driver.click("Learn from the photographs");
    wait_for(&mut driver, 1);
    driver
}

/// Waits until so many heads were found, and the last is on the disk.
fn wait_for(driver: &mut Driver, heads: usize) {
    driver.wait("a head", |driver| {
        let Some(run) = driver.window().state.run.folder() else { return false };
        let done = driver.events(run).iter().filter(|event| matches!(event, Event::Epoch { .. })).count();
        done == heads && driver.window().state.run.saved().is_some() && !driver.window().state.run.is_busy()
    });
}

fn counts(driver: &Driver) -> Vec<usize> {
    let dataset = driver.window().state.data.dataset.as_ref().unwrap();
    let mut counts = vec![0; dataset.classes.len()];
    dataset.train.labels.iter().for_each(|&label| counts[label as usize] += 1);
    counts
}

fn classes(driver: &Driver) -> Vec<String> {
    driver.window().state.data.dataset.as_ref().unwrap().classes.clone()
}

fn heads(driver: &Driver) -> usize {
    driver.events(&driver.run_folder()).iter().filter(|event| matches!(event, Event::Epoch { .. })).count()
}

/// The middle of the `n`th photograph of a class, as it is drawn.
fn photograph(driver: &Driver, class: &str, n: usize) -> Pos2 {
    let label = format!("Photograph of {class}");
    let nodes: Vec<_> = driver.harness.query_all_by_label(&label).collect();
    nodes[n].rect().center()
}

fn choose(driver: &mut Driver, class: &str, n: usize) {
    let label = format!("Photograph of {class}");
    driver.harness.query_all_by_label(&label).nth(n).unwrap().click();
    driver.harness.step();
    driver.harness.step();
}

#[test]
fn from_the_drop_to_the_figure_in_one_press() {
    let mut driver = Driver::open();
    let folder = driver.folder.path().join("photos");
    write(&folder, 8);
    driver.drop_file(&folder);
    driver.wait("the three ways", |driver| driver.sees("Learn from a trained network"));
    for way in [Way::FineTune, Way::Scratch] {
        assert!(driver.sees(way.title()), "{way:?}");
    }
    driver.wait("what it costs here", |driver| driver.sees("Learn from a trained network, about"));
    driver.click("Learn from the photographs");
    wait_for(&mut driver, 1);
    driver.wait("the figure", |driver| driver.sees("% recognised"));
    // Every number is that of the folds.
    let events = driver.events(&driver.run_folder());
    let done = events.iter().find_map(|event| match event {
        Event::Done { accuracy, cross_validated: Some(figures), .. } => Some((accuracy.unwrap(), *figures)),
        _ => None,
    });
    let (accuracy, figures) = done.unwrap();
    assert_eq!(figures.folds, 5);
    assert!(accuracy > 0.9, "{accuracy}");
    assert!(driver.sees(&format!("{:.1} % recognised", accuracy * 100.0)));
    assert!(driver.window().state.notices.log.text().contains("Done"));
    // The other panes show the same images, judged.
    driver.harness.key_press(Key::Num3);
    driver.wait("predictions", |driver| driver.sees("sure"));
}

#[test]
fn photographs_are_moved_and_left_out_and_it_is_undone_by_keys() {
    let mut driver = learned(6);
    let before = kindling::weights::read_checkpoint(&driver.run_folder().join("best.safetensors")).unwrap();
    choose(&mut driver, "dots", 0);
    driver.wait("the choice", |driver| driver.sees("1 photograph chosen"));
    driver.harness.key_press_modifiers(Modifiers::COMMAND, Key::ArrowDown);
    driver.wait("the move", |driver| counts(driver) == [5, 7, 6]);
    wait_for(&mut driver, 2);
    driver.harness.key_press(Key::Delete);
    driver.wait("one fewer", |driver| counts(driver) == [5, 6, 6]);
    wait_for(&mut driver, 3);
    assert!(driver.folder.path().join("photos/dots/00.png").exists(), "files stay");
    driver.harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    driver.wait("it back", |driver| counts(driver) == [5, 7, 6]);
    driver.click("Undo");
    driver.wait("it where it was", |driver| counts(driver) == [6, 6, 6]);
    driver.wait("all heads", |driver| heads(driver) >= 4 && !driver.window().state.run.is_busy());
    let saved = driver.run_folder().join("best.safetensors");
    driver.wait("the head from before", |_| kindling::weights::read_checkpoint(&saved).unwrap() == before);
    driver.harness.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    driver.wait("it again", |driver| counts(driver) == [5, 7, 6]);
}

#[test]
fn photographs_are_dragged_to_another_class() {
    let mut driver = learned(5);
    let (from, to) = (photograph(&driver, "stripes", 1), photograph(&driver, "dots", 3));
    let at = |driver: &mut Driver, event: Input| {
        driver.harness.input_mut().events.push(event);
        driver.harness.step();
    };
    let press = |pos, pressed| Input::PointerButton {
        pos,
        button: PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    };
    at(&mut driver, Input::PointerMoved(from));
    at(&mut driver, press(from, true));
    for share in [0.2, 0.5, 0.8, 1.0] {
        at(&mut driver, Input::PointerMoved(from + (to - from) * share));
    }
    at(&mut driver, press(to, false));
    driver.wait("the move", |driver| counts(driver) == [6, 5, 4]);
}

#[test]
fn classes_are_made_renamed_and_merged_and_photographs_are_taken_in() {
    let mut driver = learned(5);
    assert_eq!(classes(&driver), NAMES);
    // Rename.
    driver.click("More of plain");
    driver.click("Rename");
    driver.wait("the field", |driver| driver.harness.query_by_label("New name").is_some());
    driver.harness.step();
    let field = driver.harness.get_by_label("New name");
    field.type_text(" blue");
    driver.harness.step();
    driver.harness.key_press(Key::Enter);
    driver.wait("the new name", |driver| classes(driver).iter().any(|class| class == "plain blue"));
    // Merge.
    wait_for(&mut driver, 2);
    driver.click("More of dots");
    driver.click("Merge into");
    let stripes = |driver: &Driver| driver.harness.query_by_role_and_label(Role::Button, "stripes").is_some();
    driver.wait("the other classes", stripes);
    driver.harness.get_by_role_and_label(Role::Button, "stripes").click();
    driver.wait("one class fewer", |driver| classes(driver).len() == 2);
    wait_for(&mut driver, 3);
    // A folder becomes a class.
    let more = driver.folder.path().join("more dots");
    fs::create_dir(&more).unwrap();
    for i in 0..5 {
        picture(1, 20 + i).save(more.join(format!("{i}.png"))).unwrap();
    }
    driver.window_mut().state.ask(Action::AddImages("more dots".into(), vec![more.clone()]));
    driver.wait("a third class", |driver| classes(driver).len() == 3 && counts(driver).contains(&5));
    // Files that were chosen are added to it.
    let another = driver.folder.path().join("another.png");
    picture(1, 40).save(&another).unwrap();
    let chosen = another.clone();
    driver.window_mut().state.file_dialog = std::sync::Arc::new(move |_| vec![chosen.clone()]);
    driver.wait("rest", |driver| !driver.window().state.run.is_busy());
    driver.window_mut().state.ask(Action::ChooseImages("more dots".into()));
    driver.wait("one more", |driver| counts(driver).contains(&6));
    // All of it as a folder.
    let place = driver.folder.path().join("copies");
    fs::create_dir(&place).unwrap();
    let chosen = place.clone();
    driver.window_mut().state.file_dialog = std::sync::Arc::new(move |_| vec![chosen.clone()]);
    driver.wait("rest", |driver| !driver.window().state.run.is_busy());
    driver.click("Save as folder…");
    driver.wait("the copy", |driver| driver.window().state.notices.log.text().contains("copied into"));
    assert_eq!(fs::read_dir(place.join("photos-cleaned/more dots")).unwrap().count(), 6);
}

#[test]
fn a_class_gets_a_name_and_files_are_dropped_on_its_row_and_chosen_ones_moved_there() {
    let mut driver = learned(5);
    driver.click("+ New class");
    driver.wait("the field", |driver| driver.harness.query_by_label("Name of the class").is_some());
    driver.harness.step();
    driver.harness.get_by_label("Name of the class").type_text("checks");
    driver.harness.step();
    driver.harness.key_press(Key::Enter);
    driver.wait("its row", |driver| driver.sees("no photographs yet: drag some here"));
    driver.wait("rest", |driver| !driver.window().state.run.is_busy());
    // One of another class, by the bar; then a file, by a drop on the row.
    choose(&mut driver, "dots", 0);
    driver.click("Move to a class");
    driver.harness.get_by_role_and_label(Role::Button, "checks").click();
    driver.wait("a class of one", |driver| counts(driver).len() == 4 && counts(driver).contains(&1));
    driver.harness.key_press(Key::Escape);
    let file = driver.folder.path().join("new.png");
    picture(1, 60).save(&file).unwrap();
    driver.wait("its photograph", |driver| driver.harness.query_all_by_label("Photograph of checks").count() == 1);
    let at = photograph(&driver, "checks", 0);
    driver.harness.input_mut().events.push(Input::PointerMoved(at));
    driver.drop_file(&file);
    driver.wait("a second one", |driver| counts(driver)[0] == 2 && classes(driver)[0] == "checks");
}

#[test]
fn a_run_that_is_opened_again_takes_changes_and_tells_strangers() {
    let driver = learned(6);
    let (run, settings) = (driver.run_folder(), driver.window().state.settings.clone());
    let Driver { harness, folder } = driver;
    drop(harness);
    let mut driver = Driver::in_folder(folder, settings);
    driver.drop_file(&run);
    driver.wait("the run with its predictions", |driver| {
        let state = &driver.window().state;
        state.data.dataset.is_some() && state.run.view().is_some() && state.run.saved().is_some()
    });
    driver.window_mut().state.ask(Action::Show(kindling::app::PaneId::CLASSES));
    driver.wait("the photographs", |driver| driver.harness.query_all_by_label("Photograph of dots").count() == 6);
    choose(&mut driver, "dots", 0);
    driver.harness.key_press(Key::Delete);
    driver.wait("one fewer", |driver| counts(driver) == [5, 6, 6]);
    driver.wait("its figure", |driver| driver.sees("% recognised"));
    assert_eq!(RunFolder::open(&run).unwrap().path(), driver.run_folder());
    // Noise is none of these.
    let noise = RgbImage::from_fn(120, 120, |x, y| {
        let v = (x * 7919 + y * 104_729).wrapping_mul(2_654_435_761);
        Rgb([(v >> 24) as u8, (v >> 16) as u8, (v >> 8) as u8])
    });
    let path = driver.folder.path().join("noise.png");
    noise.save(&path).unwrap();
    driver.wait("rest", |driver| !driver.window().state.run.is_busy());
    driver.drop_file(&path);
    driver.wait("the answer", |driver| driver.sees("None of these"));
}
