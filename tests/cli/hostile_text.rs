//! Names in files that were made to do something to whoever reads them: no command lets them through to the terminal, and
//! JSON has them exactly.

use super::make_broken_weights;
use crate::support::{Place, Ran, png};
use std::fs;

/// It clears the screen, forges a message, turns the reading direction, and goes on for as long as a file system lets it.
fn hostile() -> String {
    format!("a\x1b[2J\nkindling: all is well\r\u{202e}gpj\u{200b}\u{9b}31m{}", "x".repeat(180))
}

/// Asserts that nothing but lines of ordinary text was printed, none of them a name's own.
#[track_caller]
fn assert_plain(what: &str, ran: &Ran) {
    for line in ran.stdout.lines().chain(ran.stderr.lines()) {
        let acts = |c: char| {
            c.is_control() || ('\u{200b}'..='\u{200f}').contains(&c) || ('\u{202a}'..='\u{202e}').contains(&c)
        };
        assert!(!line.chars().any(acts), "{what}: {line:?}");
        assert!(!line.starts_with("kindling: all is well"), "{what}: a forged line");
        assert!(line.chars().count() < 1500, "{what}: {} characters in a line", line.chars().count());
    }
    assert!(ran.status.is_some() && !ran.stderr.contains("panicked"), "{what}: {}", ran.stderr);
}

/// Weights whose classes have hostile names, which Kindling itself would not write.
fn write_weights(place: &Place) {
    make_broken_weights(place);
    let bytes = fs::read(place.path("tiny.safetensors")).unwrap();
    let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    let header = std::str::from_utf8(&bytes[8..8 + length]).unwrap().trim_end();
    for (file, name) in [("acting", hostile()), ("turned", format!("\u{202e}{}", "y".repeat(900)))] {
        let json = serde_json::to_string(&name).unwrap();
        // The card is JSON within JSON.
        let inner = serde_json::to_string(json.trim_matches('"')).unwrap();
        let mut changed = header.replacen("[\\\"a\\\"", &format!("[\\\"{}\\\"", inner.trim_matches('"')), 1);
        assert_ne!(changed, header, "the card lists its classes");
        while changed.len() % 8 > 0 {
            changed.push(' ');
        }
        let whole = [&(changed.len() as u64).to_le_bytes()[..], changed.as_bytes(), &bytes[8 + length..]].concat();
        place.write(&format!("{file}.safetensors"), whole);
    }
}

#[cfg(unix)]
#[test]
fn no_name_from_a_file_acts_on_the_terminal() {
    let place = Place::new();
    let name = hostile();
    for seed in 0..12 {
        place.write(&format!("photos/{name}/{seed}.png"), png(0, seed));
        place.write(&format!("photos/plain/{seed}.png"), png(1, seed));
        place.write(&format!("turned/\u{202e}{}/{seed}.png", "z".repeat(80)), png(2, seed));
        place.write(&format!("turned/b/{seed}.png"), png(3, seed));
    }
    // The same image twice, and broken ones.
    place.write(&format!("photos/plain/{name}.png"), png(1, 0));
    place.write(&format!("photos/plain/{name}broken.png"), "no image");
    place.write(&format!("photos/{name}/notes.txt"), "no image");
    place.write(&format!("barren/{name}/1.png"), "no image");
    place.write("barren/b/1.png", png(0, 0));
    place.write(&format!("{name}.png"), png(0, 0));
    place.write(&format!("{name}.toml"), format!("\"{}\" = 1\n", "\\u001b[2J\\u202e".repeat(200)));
    place.write("value.toml", "optimizer = \"\\u001b[2J\\u202e\"\n");
    place.write("preset.toml", format!("preset = \"\\u001b[2J{}\"\n", "p".repeat(3000)));
    place.write("syntax.toml", "lr = \x1b[2J\n");
    place.write(&format!("{name}.pth"), "no weights");
    place.write("object.pth", "\u{80}\u{2}".bytes().chain(*b"cposix\x1b[2J\nsystem\n.").collect::<Vec<_>>());
    place.write("wide-idx/train-images-idx3-ubyte", [vec![0, 0, 8, 255], vec![0xff; 4 * 255]].concat());
    place.write("wide-idx/train-labels-idx1-ubyte", [0, 0, 8, 1, 0, 0, 0, 1, 0]);
    place.write(&format!("{name}/run.json"), "{}");
    place.write(&format!("{name}/recipe.toml"), "epochs = many\n");
    write_weights(&place);

    let (image, recipe, weights) = (format!("{name}.png"), format!("{name}.toml"), format!("{name}.pth"));
    let nowhere = format!("nowhere{name}");
    let cases: &[&[&str]] = &[
        &["data", "inspect", "photos"],
        &["data", "inspect", "turned"],
        &["data", "inspect", "barren"],
        &["data", "inspect", &nowhere],
        &["data", "inspect", "wide-idx"],
        &["data", "download", &nowhere],
        &["train", "--device", "cpu", "--data", "photos", "--epochs", "1"],
        &["train", "--device", "cpu", "--data", "turned", "--epochs", "1", "--run", "turned-run"],
        &["train", "--device", "cpu", "--data", "turned", "--run", &name],
        &["train", "--device", "cpu", "--run", &name, "--resume"],
        &["train", "--recipe", &recipe],
        &["train", "--recipe", "value.toml"],
        &["train", "--recipe", "preset.toml"],
        &["train", "--recipe", "syntax.toml"],
        &["train", "--preset", &name],
        &["train", "--model", &name],
        &["train", "--set", &format!("{name}=1")],
        &["train", "--weights", &weights],
        &["train", "--weights", &format!("torchvision:{name}")],
        &["eval", "turned-run", "--device", "cpu"],
        &["eval", "turned.safetensors", "--data", "photos", "--device", "cpu"],
        &["eval", "acting.safetensors", "--data", "turned", "--device", "cpu"],
        &["eval", &name, "--device", "cpu"],
        &["predict", "turned.safetensors", &image, "photos", "--device", "cpu"],
        &["predict", "acting.safetensors", &image, "photos", "--device", "cpu"],
        &["predict", "turned-run", &image, "photos", "turned", &nowhere, "--device", "cpu"],
        &["predict", &weights, &image],
        &["predict", "object.pth", &image],
        &["import", &weights, "--out", "a.safetensors"],
        &["import", "turned.safetensors", "--out", &format!("{name}.safetensors")],
        &["export", "turned.safetensors", "--format", "onnx", "--out", &format!("{name}.onnx")],
        &["export", "turned-run", "--format", "run", "--out", &format!("{name}.kindling")],
        &["bench", "load", "--data", "turned"],
        &[&name],
        &[&nowhere],
        &[&image],
        &["train", &format!("--{name}")],
        &["train", "--device", &name],
    ];
    for arguments in cases {
        assert_plain(&format!("{arguments:?}"), &place.run_args(*arguments));
    }
    let names = place.run("data inspect photos --json").good().last()["class_names"].clone();
    assert_eq!(names, serde_json::json!([name, "plain"]), "JSON is exact");
}
