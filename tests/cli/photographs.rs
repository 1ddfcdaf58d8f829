//! A classifier from a handful of photographs, by the terminal.

use super::Place;
use image::{ImageFormat, Rgb, RgbImage};
use std::io::Cursor;

/// A photograph of sorts: stripes or plain in its own colour, before large things that no two have alike. Of two shapes.
fn photograph(class: usize, number: u32) -> Vec<u8> {
    let (width, height) = if number.is_multiple_of(2) { (300, 220) } else { (220, 300) };
    let things: Vec<[u32; 5]> = (0..5)
        .map(|thing| {
            let draw = |what: u32| (number * 31 + thing * 7 + what * 3 + 1).wrapping_mul(2_654_435_761) >> 16;
            [draw(0) % width, draw(1) % height, 40 + draw(2) % 90, 40 + draw(3) % 90, draw(4) % 110]
        })
        .collect();
    encoded(&RgbImage::from_fn(width, height, |x, y| {
        let covers = |thing: &&[u32; 5]| x.wrapping_sub(thing[0]) < thing[2] && y.wrapping_sub(thing[1]) < thing[3];
        let shade = things.iter().rev().find(covers).map_or(0, |thing| thing[4]) as u8;
        let on = class == 1 && ((x + number * 3) / 24).is_multiple_of(2);
        let base = [[40, 160, 60], [60, 80, 210]][class].map(|v: u8| v.saturating_sub(shade));
        Rgb(if on { [250 - shade, 250 - shade, 240 - shade] } else { base })
    }))
}

fn encoded(image: &RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn place_with(each: u32) -> Place {
    let place = Place::new();
    for (class, name) in ["plain", "striped"].into_iter().enumerate() {
        for i in 0..each {
            place.write(&format!("photos/{name}/{i:02}.png"), photograph(class, i));
        }
    }
    place
}

const TRAIN: &str = "train --data photos --preset photos --device cpu";

#[test]
fn a_head_is_found_and_its_figure_is_that_of_photographs_which_it_had_not_seen() {
    let place = place_with(8);
    let done = place.run(&format!("{TRAIN} --run run --json")).good().last();
    let accuracy = done["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.9 && done["event"] == "done", "{done}");
    assert_eq!((done["folds"].as_u64(), done["rounds"].as_u64()), (Some(5), Some(10)));
    let [low, high] = [0, 1].map(|end| done["interval"][end].as_f64().unwrap());
    assert!(low < accuracy && high > 0.99 && done["seconds"].as_f64().unwrap() > 0.0, "{done}");
    assert!(done["balanced_accuracy"].as_f64().unwrap() > 0.9, "{done}");
    // Elsewhere, as one file, the same of the same photographs, and the head's own word on others.
    let here = place.run("eval run --device cpu --json").good().last();
    assert_eq!((here["images"].as_u64(), here["validation"].as_str()), (Some(16), Some("folds")));
    place.run("export run --format run --out shared.kindling").good();
    let there = place.run("eval shared.kindling --data photos --device cpu --json").good().last();
    assert_eq!(here["loss"], there["loss"]);
    assert!(here["loss"].as_f64().unwrap() > 0.0);
    place.write("other/plain/90.png", photograph(0, 30));
    place.write("other/striped/91.png", photograph(1, 31));
    let other = place.run("eval run --data other --device cpu --json").good().last();
    assert_eq!((other["images"].as_u64(), other["accuracy"].as_f64()), (Some(2), Some(1.0)));
    // For people.
    let said = place.run(&format!("{TRAIN} --run again")).good().stdout;
    assert!(said.contains("with 95 % certainty") && said.contains("5 folds, 10 times"), "{said}");
}

#[test]
fn what_is_none_of_these_is_said_and_can_be_switched_off() {
    let place = place_with(8);
    let noise = RgbImage::from_fn(120, 120, |x, y| {
        let v = (x * 7919 + y * 104_729).wrapping_mul(2_654_435_761);
        Rgb([(v >> 24) as u8, (v >> 16) as u8, (v >> 8) as u8])
    });
    place.write("noise.png", encoded(&noise));
    place.write("one.png", photograph(1, 4));
    place.run(&format!("{TRAIN} --run run")).good();
    let lines = place.run("predict run noise.png one.png --device cpu --json").good().json();
    assert_eq!((&lines[0]["unknown"], lines[1].get("unknown")), (&serde_json::json!(true), None), "{lines:?}");
    assert_eq!(lines[1]["top"][0]["class"], "striped");
    let said = place.run("predict run noise.png --device cpu").good().stdout;
    assert!(said.contains("none of these; nearest: "), "{said}");
    place.run(&format!("{TRAIN} --run sure --set unknown_rate=0")).good();
    let line = place.run("predict sure noise.png --device cpu --json").good().last();
    assert_eq!(line.get("unknown"), None);
}

#[test]
fn few_photographs_of_a_class_and_copies_are_said() {
    let place = place_with(6);
    for i in 0..3 {
        place.write(&format!("photos/rare/{i}.png"), encoded(&RgbImage::from_pixel(90, 100 + i, Rgb([200, 30, 90]))));
        let copy = photograph(0, 0);
        place.write(&format!("photos/plain/copy {i}.png"), copy);
    }
    let ran = place.run(&format!("{TRAIN} --run run --json")).good();
    let warnings: Vec<String> = ran.json().iter().filter_map(|line| line["text"].as_str().map(str::to_owned)).collect();
    let all = warnings.join("\n");
    assert!(all.contains("“rare”") && all.contains("nearly the same"), "{all}");
}

#[test]
fn a_head_goes_on_to_be_fine_tuned_with_another_head_for_what_it_has_seen() {
    let place = place_with(6);
    place.run(&format!("{TRAIN} --run run")).good();
    let line = "train --data photos --weights run --run tuned --epochs 1 --device cpu --set image_size=64 \
                --set batch_size=8 --set normalisation=tensorflow --set lr=0.001";
    let ran = place.run(line).good();
    assert!(ran.stderr.contains("has learned from all images"), "{}", ran.stderr);
    // A head on a network of one's own.
    let done = place.run("train --data photos --preset photos --weights tuned --run head --device cpu --json").good();
    let model = done.json().iter().find_map(|line| line["model"].as_str().map(str::to_owned));
    assert!(model.unwrap().starts_with("efficientnet_lite0"));
}

#[test]
fn a_preset_without_eyes_is_refused() {
    let place = place_with(3);
    let ran = place.run(&format!("{TRAIN} --model resnet18 --run run"));
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("a head needs a resnet18") && ran.stderr.contains("--weights"), "{}", ran.stderr);
    assert!(!place.path("run").exists());
}
