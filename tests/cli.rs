//! The binary from the outside: what a user of the terminal relies on.

#[path = "cli/associate.rs"]
mod associate;
#[path = "cli/edits.rs"]
mod edits;
#[path = "cli/folders.rs"]
mod folders;
#[path = "cli/held_out.rs"]
mod held_out;
#[path = "cli/hostile_text.rs"]
mod hostile_text;
#[path = "cli/memory.rs"]
mod memory;
#[path = "cli/photographs.rs"]
mod photographs;
#[path = "support/real_window.rs"]
mod real_window;
#[path = "support/relay.rs"]
mod relay;
#[path = "cli/remote.rs"]
mod remote;
#[path = "cli/run_file.rs"]
mod run_file;
#[path = "cli/saving.rs"]
mod saving;
mod support;

use kindling::{
    data::{Normalisation, Preprocessing},
    model::{Block, ModelSpec, Stem},
    train::{Event, History, RunFolder},
    weights::{HostTensor, ModelCard, StateDict, read_tensors, write_safetensors},
};
use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    sync::OnceLock,
    time::{Duration, Instant},
};
#[cfg(unix)]
use support::signal;
use support::{CLASSES, Place, SIDE, has, png, write_idx};

/// A network that trains in no time.
const TINY: &str = "--device cpu --model custom --stages 1,1 --widths 8,16 --set batch_size=32 --set crop_padding=1 \
                    --set flip=false --set lr=0.1";

/// A place with a data set `digits`.
fn place_with_digits() -> Place {
    let place = Place::new();
    write_idx(&place.path("digits"), 400, 80);
    place
}

/// A place with a data set `digits` and a run `run` that was trained on it.
fn trained() -> &'static Place {
    static TRAINED: OnceLock<Place> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let place = place_with_digits();
        place.run(&format!("train --data digits --run run --epochs 4 {TINY}")).good();
        place
    })
}

#[test]
fn training_ends_with_a_line_for_scripts_and_a_run_on_disk() {
    let place = Place::new();
    write_idx(&place.path("digits"), 400, 80);
    let ran = place.run(&format!("train --data digits --run here --epochs 3 --json {TINY}")).good();
    let done = ran.last();
    assert_eq!(done["event"], "done");
    assert!(done["accuracy"].as_f64().unwrap() > 0.9, "{done}");
    assert!(done["best_accuracy"].as_f64() >= done["accuracy"].as_f64());
    assert_eq!(done["step"], 3 * 13);
    assert!(done["run"].as_str().unwrap().ends_with("here"));
    let epochs = ran.json().iter().filter(|event| event["event"] == "epoch").count();
    assert_eq!(epochs, 3);
    for file in ["recipe.toml", "events.jsonl", "best.safetensors", "last.safetensors"] {
        assert!(place.path("here").join(file).is_file(), "{file}");
    }
    assert_eq!(ran.stderr, "");
}

#[test]
fn people_get_the_table_of_epochs_and_the_path_of_the_run() {
    let place = Place::new();
    write_idx(&place.path("digits"), 100, 20);
    let ran = place.run(&format!("train --data digits --epochs 2 {TINY}")).good();
    let heading =
        ran.stdout.lines().position(|line| line.trim_start().starts_with("epoch ") && line.contains("val loss"));
    let heading = heading.unwrap_or_else(|| panic!("no table in\n{}", ran.stdout));
    let rows: Vec<&str> = ran.stdout.lines().skip(heading + 1).take(2).collect();
    assert!(rows[0].trim_start().starts_with('1') && rows[1].trim_start().starts_with('2'), "{rows:?}");
    let run = ran.stdout.lines().find_map(|line| line.strip_prefix("run: ")).expect("the path of the run");
    assert!(run.starts_with("runs") && run.ends_with("digits-custom"), "{run}");
    assert!(place.path(run).is_dir());
}

#[test]
fn classes_that_flipping_may_mix_up_are_asked_about() {
    let place = Place::new();
    for (class, name) in ["turn left", "turn right"].into_iter().enumerate() {
        (0..6).for_each(|seed| drop(place.write(&format!("signs/{name}/{seed}.png"), png(class, seed))));
    }
    let train = |flip: &str| {
        let ran = place.run(&format!("train --data signs --run {flip} --epochs 1 {TINY} --set flip={flip}")).good();
        ran.stderr.contains("if that makes “turn left” look like “turn right”, --set flip=false")
    };
    assert!(train("true") && !train("false"));
}

#[test]
fn the_sample_data_set_is_learnt() {
    let place = Place::new();
    let done = place.run("train --device cpu --run first --json").good().last();
    // PyTorch with the same recipe: 0.826 to 0.859.
    assert!(done["best_accuracy"].as_f64().unwrap() > 0.8, "{done}");
}

#[test]
fn evaluation_finds_what_training_reported() {
    let place = trained();
    let report = place.run("eval run --device cpu --json").good().last();
    let best = fs::read_to_string(place.path("run").join("events.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .rfind(|event| event["event"] == "done")
        .unwrap()["best_accuracy"]
        .as_f64()
        .unwrap();
    assert!((report["accuracy"].as_f64().unwrap() - best).abs() < 1e-6, "{report} {best}");
    assert_eq!(report["images"], 80);
    assert!(report["top5"].as_f64().unwrap() >= best && report["loss"].is_number());
    let per_class = report["per_class"].as_array().unwrap();
    assert_eq!(per_class.len(), CLASSES);
    assert!(per_class[0]["precision"].is_number() && per_class[0]["support"] == 20);
    let confusion: u64 = report["confusion"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| row.as_array().unwrap())
        .filter_map(|n| n.as_u64())
        .sum();
    assert_eq!(confusion, 80);
    let text = place.run("eval run --device cpu").good().stdout;
    assert!(text.contains("accuracy") && text.contains("precision") && text.contains("confusion"), "{text}");
}

#[test]
fn prediction_takes_files_folders_and_standard_input() {
    let place = trained();
    for class in 0..CLASSES {
        place.write(&format!("photos/{class}.png"), png(class, 1000 + class));
    }
    place.write("photos/notes.txt", "not an image, not looked at");
    let folder = place.run("predict run photos --device cpu --json --top 4").good().json();
    assert_eq!(folder.len(), CLASSES);
    for (class, line) in folder.iter().enumerate() {
        assert!(line["file"].as_str().unwrap().ends_with(&format!("{class}.png")));
        assert_eq!(line["top"][0]["index"], class, "{line}");
        let sum: f64 = line["top"].as_array().unwrap().iter().map(|top| top["p"].as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-4, "{line}");
        assert!(line["top"][0]["class"].is_string());
    }
    let file = place.run("predict run photos/2.png --device cpu --json --top 4").good().last();
    let input = place.run_with_input("predict run - --device cpu --json --top 4", &png(2, 1002)).good().last();
    assert_eq!(file["top"], folder[2]["top"]);
    assert_eq!(input["top"], folder[2]["top"]);
    assert_eq!(input["file"], "-");
    let text = place.run("predict run photos/2.png --device cpu --top 1").good().stdout;
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn the_network_in_the_binary_answers_and_its_features_are_written() {
    let place = Place::new();
    for image in 0..3 {
        place.write(&format!("photos/{image}.png"), png(image, 7 + image));
    }
    let first = place.run("predict bundled photos/0.png --device cpu --json --top 1000").good().last();
    let sum: f64 = first["top"].as_array().unwrap().iter().map(|top| top["p"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-4 && first["top"][0]["class"].is_string(), "{first}");
    place.write("photos/cut.png", &png(1, 2)[..40]);
    let ran = place.run("features bundled photos --device cpu --out f.safetensors");
    assert!(ran.status == Some(1) && ran.stderr.contains("cut.png"), "{}", ran.stderr);
    let (tensors, metadata) = read_tensors(&place.path("f.safetensors")).unwrap();
    let files: Vec<String> = serde_json::from_str(&metadata["files"]).unwrap();
    assert!(files.len() == 3 && files[2].ends_with("2.png"), "{files:?}");
    let features = &tensors["features"];
    assert_eq!(features.shape, [3, 1280]);
    // Behind a ReLU6, and not all alike.
    assert!(features.data.iter().all(|value| (0.0..=6.0).contains(value)));
    assert!(features.data[..1280] != features.data[1280..2560]);
}

#[test]
fn an_unreadable_image_does_not_stop_the_others() {
    let place = trained();
    place.write("mixed/a.png", &png(0, 7)[..40]);
    place.write("mixed/b.png", png(1, 7));
    let ran = place.run("predict run mixed nowhere.png --device cpu --json");
    assert_eq!(ran.status, Some(1));
    let lines = ran.json();
    assert_eq!(lines.len(), 3);
    assert!(lines[0]["error"].is_string() && lines[0]["top"].is_null());
    assert_eq!(lines[1]["top"][0]["index"], 1);
    assert!(lines[2]["error"].is_string());
    assert_eq!(ran.stderr.trim(), "kindling: 2 of 3 images could not be classified");
}

#[test]
fn an_exported_network_answers_alike() {
    let place = trained();
    place.write("one.png", png(3, 5));
    let report = place.run("export run --format safetensors --out copy.safetensors --json").good().last();
    assert!(report["bytes"].as_u64().unwrap() > 1000);
    place.run("import copy.safetensors --out again.safetensors --json").good().last();
    let own = place.run("predict run one.png --device cpu --json").good().last();
    let copy = place.run("predict again.safetensors one.png --device cpu --json").good().last();
    assert_eq!(own["top"], copy["top"]);
    let onnx = place.run("export run --format onnx --out net.onnx --json").good().last();
    assert_eq!(onnx["preprocessing_included"], true);
    assert!(place.path("net.onnx").is_file());
}

#[test]
fn devices_and_data_are_listed_for_scripts() {
    let place = trained();
    let devices = place.run("devices --json").good().json();
    assert_eq!(devices[0]["device"], "cpu");
    assert_eq!(devices.iter().filter(|device| device["auto"] == true).count(), 1);
    let sample = place.run("data inspect sample --json").good().last();
    assert_eq!((&sample["classes"], &sample["train"], &sample["test"]), (&10.into(), &6000.into(), &1000.into()));
    let text = place.run("data inspect digits").good().stdout;
    assert!(text.contains("400") && text.contains("gray"), "{text}");
}

#[test]
fn a_bench_prints_the_keys_that_are_compared() {
    let place = Place::new();
    let line = place.run("bench step --device cpu --model cifar_resnet8 --batch 4 --steps 2 --json").good().last();
    assert_eq!(line["model"], "cifar_resnet8");
    assert_eq!(
        (&line["stem"], &line["batch"], &line["device"], &line["ops"]),
        (&"cifar".into(), &4.into(), &"cpu".into(), &"fast".into())
    );
    for key in ["step_s", "first_step_s", "images_per_s", "peak_share"] {
        assert!(line[key].as_f64().unwrap() > 0.0, "{key} in {line}");
    }
    // Not below 1: while other tests run, the peak is what is left of it.
    assert!(line["peak_share"].as_f64().unwrap() < 3.0, "{line}");
    assert!(line["launches_per_step"].is_null());
    place.run("bench step --device cpu --model cifar_resnet8 --batch 4 --steps 1 --eval --json").good();
}

/// What is compiled ahead of the first step is planned apart from the step itself. Where the two part ways, the step is
/// right and late.
#[test]
fn the_kernels_of_a_step_are_planned() {
    let place = Place::new();
    let devices = place.run("devices --json").good().json();
    let mesa = devices.iter().find(|d| d["name"].as_str().is_some_and(|name| name.contains("llvmpipe")));
    if !has("gpu", mesa.is_some(), "there is no llvmpipe, for which kernels are planned") {
        return;
    }
    let mesa = mesa.unwrap();
    let device = mesa["device"].as_str().unwrap();
    // Odd channels and a max-pool; a cifar network, in 16 bits where the device has them.
    let half = if mesa["f16"] == true { "--precision f16" } else { "" };
    for network in
        ["--model resnet18 --batch 2 --side 64".to_owned(), format!("--model cifar_resnet8 --batch 4 {half}")]
    {
        let line = format!("bench step {network} --steps 1 --json --device {device}");
        let log = place.command(line.split_whitespace()).env("KINDLING_LOG", "kindling=debug").output().unwrap();
        let log = String::from_utf8_lossy(&log.stderr).into_owned();
        let unplanned: Vec<&str> = log.lines().filter_map(|l| l.strip_suffix(" was not planned")).collect();
        let unplanned: Vec<&str> = unplanned.iter().filter_map(|l| l.split_whitespace().next_back()).collect();
        // Only what measures the adapter's peak, behind the steps.
        assert!(!unplanned.is_empty() && unplanned.iter().all(|name| *name == "fma_peak"), "{network}: {log}");
    }
}

#[test]
fn every_kernel_is_measured_on_every_shape() {
    let place = Place::new();
    let devices = place.run("devices --json").good().json();
    if !has("gpu", devices.iter().any(|d| d["device"] != "cpu" && d["problem"].is_null()), "there is no GPU adapter") {
        return;
    }
    // Small, for a software adapter's sake: what is counted does not depend on it.
    let ran = place.run("bench kernels --model cifar_resnet8 --batch 4 --side 16 --device gpu --json").good().json();
    let (adapter, rows) = ran.split_first().unwrap();
    let positive = |row: &serde_json::Value, key: &str| row[key].as_f64().is_some_and(|value| value > 0.0);
    assert!(positive(adapter, "peak_gflops") && positive(adapter, "peak_gigabytes_per_s"), "{adapter}");
    // What only looks values up computes nothing.
    let looks_up = ["gather", "max_pool", "max_pool_backward", "pad_channels", "transpose"];
    for row in rows {
        for key in ["operations", "launches", "seconds", "gigabytes_per_s", "possible_share"] {
            assert!(positive(row, key), "{key} in {row}");
        }
        let kernel = row["kernel"].as_str().unwrap();
        assert!(positive(row, "gflops") || looks_up.contains(&kernel), "{row}");
    }
    let operations: BTreeSet<_> = rows.iter().map(|row| row["operation"].as_str().unwrap()).collect();
    for operation in ["conv 3x3/1 3→16 on 16x16", "conv 3x3/2 16→32 on 16x16", "conv 3x3/1 16→16 on 16x16, residual"]
    {
        for (pass, least) in [("forward", 3), ("backward", 4)] {
            let own = rows.iter().filter(|row| row["operation"] == format!("{operation}, {pass}"));
            assert!(own.count() >= least, "{operation}, {pass} in {operations:#?}");
        }
    }
    for (operation, kernel) in
        [("batch", "gather"), ("head, forward", "head_pool"), ("loss", "cross_entropy"), ("update", "gradient_norm")]
    {
        let own = rows.iter().filter(|row| row["operation"] == operation && row["kernel"] == kernel);
        assert_eq!(own.count(), 1, "{kernel} of {operation} in {operations:#?}");
    }
    let refused = place.run("bench kernels --device cpu");
    assert_eq!(refused.status, Some(1));
    assert!(refused.stderr.contains("--device gpu"), "{}", refused.stderr);
}

#[test]
fn kernels_are_written_for_a_gpu_that_is_not_here() {
    let place = Place::new();
    for (precision, stored) in [("f32", "alias stored = f32;"), ("f16", "alias stored = f16;")] {
        let step = format!("bench kernels --model cifar_resnet8 --batch 4 --precision {precision} --wgsl {precision}");
        let said = place.run(&step).good();
        let files: Vec<_> = fs::read_dir(place.path(precision)).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(said.stdout.starts_with(&format!("{} kernels", files.len())), "{}", said.stdout);
        let mut texts = BTreeSet::new();
        for file in &files {
            let text = fs::read_to_string(file).unwrap();
            assert!(text.contains("@compute") && !text.contains("//@") && !text.contains("{{"), "{}", file.display());
            assert!(text.contains(" workgroups)"), "{}", file.display());
            texts.insert(text);
        }
        assert_eq!(texts.len(), files.len(), "a kernel is there twice");
        // Tiled products, whatever adapter is here.
        let first = fs::read_to_string(place.path(precision).join("conv_tiled-1.wgsl")).unwrap();
        assert!(first.contains(stored) && first.contains("// forward: conv 3x3/1 3→16 on 32x32, forward"), "{first}");
    }
}

#[test]
fn a_gpu_trains_too() {
    let place = trained();
    let devices = place.run("devices --json").good().json();
    if !has("gpu", devices.iter().any(|d| d["device"] != "cpu" && d["problem"].is_null()), "there is no GPU adapter") {
        return;
    }
    let tiny = TINY.replace("--device cpu", "--device gpu");
    let done = place.run(&format!("train --data digits --run on-gpu --epochs 3 --json {tiny}")).good().last();
    assert!(done["best_accuracy"].as_f64().unwrap() > 0.9, "{done}");
    let report = place.run("eval on-gpu --device gpu --json").good().last();
    assert_eq!(report["images"], 80);
}

#[test]
fn the_recipes_fields_are_in_the_help() {
    let place = Place::new();
    let help = place.run("train --help").good().stdout;
    let list = place.run("train --list-fields").good().stdout;
    for text in [help, list] {
        assert!(text.contains("label_smoothing") && text.contains("0.0001") | text.contains("momentum"), "{text}");
        // What a run takes, and not what a recipe has that says nothing.
        assert!(text.contains(" lr=0.2 ") && text.contains(" batch_size=64 "), "{text}");
    }
    let list = place.run("train --preset cifar-resnet --epochs 7 --list-fields").good().stdout;
    assert!(list.contains(" lr=0.1 ") && list.contains(" epochs=7 ") && list.contains(" batch_size=256 "), "{list}");
}

#[test]
fn wrong_arguments_end_with_status_2() {
    let place = Place::new();
    for line in [
        "trian",
        "--colour",
        "train --epoch 3",
        "train --device gpux",
        "train --set lr",
        "train --set =1",
        "train --set lr=",
        "train --set lr=abc",
        "train --set learning_rate=1",
        "train --set momentum=2",
        "train --epochs zero",
        "train --model resnet19",
        "train --preset fast",
        "train --device cuda",
        "letter.txt",
        "train --resume",
        "train --preset quick --recipe a.toml",
        "train extra",
        "eval",
        "predict run",
        "predict run a.png --top 0",
        "import a.pth",
        "export run --format pdf --out a.pdf",
        "data",
        "bench step --batch 0",
        "devices --verbose",
    ] {
        let ran = place.run(line);
        assert_eq!(ran.status, Some(2), "{line}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains("kindling") || ran.stderr.starts_with("error: "), "{line}: {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{line}: {}", ran.stderr);
    }
}

/// A command that must fail, and words that its one line must have.
type Broken = (&'static str, &'static str);

#[test]
fn broken_input_is_told_in_one_line() {
    let place = Place::new();
    write_idx(&place.path("digits"), 80, 20);
    make_broken_data(&place);
    make_broken_weights(&place);
    make_broken_runs(&place);
    #[rustfmt::skip]
    let cases: &[Broken] = &[
        ("data inspect nowhere", "nowhere"),
        ("data inspect empty", "empty"),
        ("data inspect loose", "loose"),
        ("data inspect letter.txt", "letter.txt"),
        ("train --data barren --run a", "2 to 65535"),
        ("data inspect torn", "\"b\""),
        ("data inspect strange", "\"c\""),
        ("data inspect half.tar.gz", "half.tar.gz"),
        ("data inspect garbage.tar.gz", "garbage.tar.gz"),
        ("data inspect cut-idx", "train-images"),
        ("data inspect long-idx", "train-images"),
        ("data inspect odd-cifar", "data_batch_1.bin"),
        ("data download sample", "cifar10"),
        ("train --data nowhere --run a", "nowhere"),
        ("train --data digits --run taken", "--resume"),
        ("train --data digits --run full", "full"),
        ("train --data digits --run letter.txt/run", "letter.txt"),
        ("train --data digits --run letter.txt", "no folder"),
        ("train --data one.png", "one.png is no data set"),
        ("train --data digits --run f --weights empty", "empty holds no run"),
        ("eval empty", "empty holds no run"),
        ("eval letter.txt", "letter.txt"),
        ("bench step --model resnet19 --device cpu", "resnet18"),
        ("train --run nowhere --resume", "nowhere"),
        ("train --run taken --resume --model resnet18", "model"),
        ("train --run bad-recipe --resume", "bad-recipe"),
        ("train --data digits --run bad-state --resume", "last.json"),
        ("train --recipe typo.toml", "“momentum”"),
        ("train --recipe broken.toml", "line 2"),
        ("train --recipe range.toml", "0.9999"),
        ("train --recipe nowhere.toml", "nowhere.toml"),
        ("train --recipe folder", "folder"),
        ("train --model cifar_resnet20 --stem imagenet", "stem"),
        ("train --stages 1,1 --widths 8", "2 stages, 1 widths"),
        ("train --model resnet18 --stages 1,1", "custom"),
        ("train --data digits --run b --weights nowhere.pth", "nowhere.pth"),
        ("train --data digits --run c --weights torchvision:resnet19", "torchvision:resnet18"),
        ("train --data digits --run d --weights tiny.safetensors --model cifar_resnet8", "custom"),
        ("train --data digits --run e --device gpu:99", "gpu:99"),
        ("predict nowhere one.png", "nowhere"),
        ("predict empty one.png", "empty"),
        ("predict taken one.png", "taken"),
        ("predict letter.txt one.png", "letter.txt"),
        ("predict cut.safetensors one.png", "cut.safetensors"),
        ("predict vast.safetensors one.png", "vast.safetensors"),
        ("predict evil.pth one.png", "posix"),
        ("predict nothing.pth one.png", "empty"),
        ("predict photos.zip one.png", "photos.zip"),
        ("eval tiny.safetensors", "--data"),
        ("eval tiny.safetensors --data sample", "10 classes"),
        ("import tiny.safetensors --out nowhere/a.safetensors", "nowhere"),
        ("import tiny.safetensors --model resnet50 --out a.safetensors", "resnet50"),
        ("export tiny.safetensors --format onnx --out nowhere/a.onnx", "nowhere"),
    ];
    assert!(cases.len() >= 30);
    for (line, words) in cases {
        let on_cpu =
            ["train", "predict", "eval"].iter().any(|command| line.starts_with(command)) && !line.contains("--device");
        let line = if on_cpu { format!("{line} --device cpu") } else { (*line).to_owned() };
        let ran = place.run(&line);
        let all = format!("{line}\nstdout: {}\nstderr: {}", ran.stdout, ran.stderr);
        assert_eq!(ran.status, Some(1), "{all}");
        assert_eq!(ran.stderr.lines().count(), 1, "{all}");
        assert!(ran.stderr.starts_with("kindling: ") && ran.stderr.contains(words), "no “{words}” in {all}");
        assert!(!ran.stderr.contains("panicked") && ran.stderr.len() < 1000, "{all}");
    }
}

#[test]
fn a_broken_image_is_told_in_one_line() {
    let place = trained();
    place.write("words.png", "these are words");
    place.write("bare/notes.txt", "no image");
    for (line, input, words) in [
        ("predict run nowhere.png --json", "", "No such file"),
        ("predict run words.png --json", "", "no image"),
        ("predict run bare --json", "", "no image"),
        ("predict run - --json", "", "no image"),
        ("predict run - --json", "words", "no image"),
    ] {
        let ran = place.run_with_input(&format!("{line} --device cpu"), input.as_bytes());
        assert_eq!(ran.status, Some(1), "{line}");
        assert!(ran.last()["error"].as_str().unwrap().contains(words), "{line}: {}", ran.stdout);
        assert_eq!(ran.stderr.trim(), "kindling: the image could not be classified", "{line}");
    }
}

fn make_broken_data(place: &Place) {
    for folder in ["empty", "folder"] {
        fs::create_dir(place.path(folder)).unwrap();
    }
    place.write("letter.txt", "Dear reader");
    place.write("loose/readme.txt", "no classes here");
    place.write("one.png", png(0, 0));
    for seed in 0..4 {
        place.write(&format!("barren/a/{seed}.png"), png(0, seed));
        place.write(&format!("torn/a/{seed}.png"), png(0, seed));
        place.write(&format!("torn/b/{seed}.png"), &png(1, seed)[..30]);
        for class in ["a", "b"] {
            place.write(&format!("strange/train/{class}/{seed}.png"), png(0, seed));
        }
        place.write(&format!("strange/val/c/{seed}.png"), png(2, seed));
    }
    place.write("barren/b/readme.txt", "no image");
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cifar/cifar-10-binary.tar.gz");
    let bytes = fs::read(archive).unwrap();
    place.write("half.tar.gz", &bytes[..bytes.len() / 2]);
    place.write("garbage.tar.gz", "not an archive at all".repeat(100));
    for (name, change) in [("cut-idx", -1000i64), ("long-idx", 5)] {
        write_idx(&place.path(name), 80, 20);
        let path = place.path(name).join("train-images-idx3-ubyte");
        let mut bytes = fs::read(&path).unwrap();
        bytes.resize((bytes.len() as i64 + change) as usize, 0);
        fs::write(path, bytes).unwrap();
    }
    for batch in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"] {
        place.write(&format!("odd-cifar/{batch}.bin"), vec![0; if batch == "data_batch_1" { 3000 } else { 3073 * 2 }]);
    }
    place.write("odd-cifar/batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
}

fn make_broken_weights(place: &Place) {
    let spec = ModelSpec::custom(Block::Basic, Stem::Cifar, vec![1], vec![8], 1, CLASSES).unwrap();
    let tensors: StateDict = spec
        .tensors()
        .into_iter()
        .map(|info| (info.name, HostTensor { data: vec![0.5; info.shape.iter().product()], shape: info.shape }))
        .collect();
    let card = ModelCard {
        spec,
        classes: ["a", "b", "c", "d"].map(str::to_owned).to_vec(),
        preprocessing: Preprocessing::new(SIDE, SIDE, Normalisation { mean: vec![0.5], std: vec![0.25] }),
        validation_share: None,
        head: None,
    };
    let path = place.path("tiny.safetensors");
    write_safetensors(&path, &card, &tensors).unwrap();
    let bytes = fs::read(&path).unwrap();
    place.write("cut.safetensors", &bytes[..bytes.len() - 100]);
    // A header that claims to be longer than any memory.
    place.write("vast.safetensors", [&u64::MAX.to_le_bytes()[..], b"{\"a\":1}"].concat());
    place.write("evil.pth", b"\x80\x02cposix\nsystem\nq\x00X\x04\x00\x00\x00echoq\x01\x85q\x02Rq\x03.");
    place.write("nothing.pth", b"");
    place.write("photos.zip", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
}

fn make_broken_runs(place: &Place) {
    let recipe = "model = \"cifar_resnet8\"\n";
    place.write("taken/recipe.toml", recipe);
    place.write("full/letter.txt", "something else lives here");
    place.write("bad-recipe/recipe.toml", "epochs = many\n");
    place.write("bad-state/recipe.toml", recipe);
    place.write("bad-state/last.json", "{\"step\": ");
    place.write("typo.toml", "momentun = 0.9\n");
    place.write("broken.toml", "lr = 0.1\nepochs = = 3\n");
    place.write("range.toml", "momentum = 1.5\n");
}

/// How often the run below is killed, and how long it is.
const KILLS: u32 = 20;
const EPOCHS: u64 = 100;
const STEPS: u64 = 20;

#[test]
fn a_run_survives_being_killed_at_any_moment() {
    let place = Place::new();
    write_idx(&place.path("digits"), 640, 64);
    let arguments = format!("train --data digits {TINY} --epochs {EPOCHS} --set checkpoint_seconds=0.1 --json");
    let began = Instant::now();
    place.run(&format!("{arguments} --run straight")).good();
    let whole = began.elapsed();
    let last = || RunFolder::open(&place.path("killed")).ok()?.last().expect("a run that opens");

    // Moments spread over the whole run. Every other life ends some time after it has saved something,
    // so that there is progress on a slow machine too; the others end wherever the clock finds them, the start included.
    let mut random = 12345u64;
    let mut reached = 0;
    for left in (1..=KILLS).rev() {
        let resume = if place.path("killed/recipe.toml").exists() { "--resume" } else { "" };
        let mut child = place.spawn(&format!("{arguments} --run killed {resume}"));
        while left % 2 == 0 && last().is_none_or(|checkpoint| checkpoint.state.step <= reached) {
            assert!(child.try_wait().unwrap().is_none(), "the run ended before it was killed {KILLS} times");
            std::thread::sleep(Duration::from_millis(1));
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let share = (random >> 40) as f64 / (1u64 << 24) as f64;
        let remaining = 1.0 - reached as f64 / (EPOCHS * STEPS) as f64;
        std::thread::sleep(whole.mul_f64(remaining * share / f64::from(KILLS)));
        child.kill().expect("a run that goes on");
        assert!(!child.wait().unwrap().success(), "the run ended before it was killed {KILLS} times");
        if let Some(checkpoint) = last() {
            assert!(checkpoint.state.step >= reached, "steps were lost: {} < {reached}", checkpoint.state.step);
            reached = checkpoint.state.step;
            read_tensors(&checkpoint.weights).expect("whole weights");
            read_tensors(&checkpoint.optimiser).expect("a whole optimiser");
        }
    }
    assert!(reached > STEPS, "only {reached} steps were made in {KILLS} lives");
    let done = place.run("train --run killed --resume --device cpu --json").good().last();
    assert_eq!(done["step"], EPOCHS * STEPS);
    let weights = |run: &str| read_tensors(&place.path(run).join("last.safetensors")).unwrap().0;
    assert!(weights("straight") == weights("killed"), "the weights differ from those of a run that was not killed");
    // Every epoch is in the history once, as if nothing had happened.
    let history = History::read(&place.path("killed").join("events.jsonl")).unwrap();
    let epochs: Vec<u64> = history
        .path(history.current)
        .filter_map(|line| if let Event::Epoch { epoch, .. } = line.event { Some(epoch) } else { None })
        .collect();
    assert_eq!(epochs, (1..=EPOCHS).collect::<Vec<_>>());
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_the_run_goes_on() {
    let place = Place::new();
    write_idx(&place.path("digits"), 640, 64);
    let mut child = place.spawn(&format!("train --data digits --run run {TINY} --epochs 100000 --json"));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line.contains("\"event\":\"epoch\""))), "no epoch ended");
    signal(&child, "INT");
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    let saved = RunFolder::open(&place.path("run")).unwrap().last().unwrap().expect("a checkpoint").state;
    let epochs = saved.epoch + 2;
    // More epochs or fewer, and another rate: on top of the run's own recipe.
    let done = place.run(&format!("train --run run --resume --epochs {epochs} --set lr=0.01 --device cpu --json"));
    assert_eq!(done.good().last()["step"], epochs * 20);
    let recipe = fs::read_to_string(place.path("run/recipe.toml")).unwrap();
    assert!(recipe.contains("lr = 0.01 ") && recipe.contains(&format!("epochs = {epochs} ")), "{recipe}");
}

#[test]
fn without_a_display_what_is_named_is_not_swapped_for_the_sample_set() {
    let place = trained();
    for class in 0..2 {
        place.write(&format!("my photos/{class}/1.png"), png(class, 1));
    }
    for (named, command) in [
        ("my photos", "kindling train --data 'my photos'"),
        ("my photos/0/1.png", "kindling predict RUN|WEIGHTS 'my photos/0/1.png'"),
        ("run", "kindling train --run run --resume"),
        ("run/best.safetensors", "kindling predict run/best.safetensors IMAGE…"),
        ("digits", "kindling train --data digits"),
    ] {
        let ran = place.run_args([named]);
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""), "{named}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("kindling: no window") && ran.stderr.contains(command), "{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    }
}

#[cfg(unix)]
#[test]
fn without_a_display_the_sample_is_trained_in_the_terminal() {
    // None is set; and one that is set, but nobody has it.
    for display in [None, Some(":59000")] {
        trains_in_the_terminal(display);
    }
}

#[cfg(unix)]
fn trains_in_the_terminal(display: Option<&str>) {
    let place = Place::new();
    let mut command = place.command([""; 0]);
    display.map(|display| command.env("DISPLAY", display));
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(stdout.any(|line| line.is_ok_and(|line| line.starts_with("epoch"))), "no epoch began");
    signal(&child, "INT");
    stdout.by_ref().for_each(drop);
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = stderr.next().unwrap().unwrap();
    assert!(first.contains("no window") && first.contains("terminal"), "{first}");
    assert!(display.is_none_or(|display| first.contains(display)) && !first.contains(".rs"), "{first}");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
