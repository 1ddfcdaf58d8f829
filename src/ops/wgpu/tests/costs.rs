//! What launches must at least do, of a step that is recorded: figures that can be worked out by hand, and the page of them.

use crate::{
    model::{Frozen, Learning, ModelSpec, ParameterGroups, Stem, StepPlan, record},
    ops::{
        Storage,
        optimizers::{AdamW, Rule, Sgd, Update},
        wgpu::{
            launch::{Adapter, Cost, DispatchLimit},
            measure::{by_role, cost_of},
            recorder::Recorded,
        },
    },
};

pub(crate) const SGD: Rule = Rule::Sgd(Sgd { momentum: 0.9, nesterov: false });
pub(crate) const ADAMW: Rule = Rule::AdamW(AdamW { beta1: 0.9, beta2: 0.99, eps: 1e-8 });

/// A step on square images.
pub(crate) fn plan(batch: usize, side: usize, storage: Storage, rule: Rule) -> StepPlan {
    let scaled = storage == Storage::F16;
    let update = Update { rule, step: 1, lr: 0.1, weight_decay: 1e-4, clip_norm: 0.0, ema_decay: 0.0, scaled };
    let groups = ParameterGroups { backbone_lr: 1.0, decay_bias_and_norm: true };
    let learning = Learning { storage, smoothing: 0.0, class_weights: None, frozen: Frozen::Nothing, groups, update };
    StepPlan { batch, size: [side; 2], learning }
}

/// Of ResNet-18 with ImageNet's classes, batch 128, 224 x 224 pixels.
fn resnet18(storage: Storage, rule: Rule) -> Vec<Recorded> {
    step("resnet18", storage, rule)
}

/// Of a network with ImageNet's classes, batch 128, 224 x 224 pixels.
fn step(model: &str, storage: Storage, rule: Rule) -> Vec<Recorded> {
    let spec = ModelSpec::named(model, Some(Stem::Imagenet), 3, 1000).expect("a model");
    // Where no dispatch is split.
    let limit = DispatchLimit { flops: u64::MAX, bytes: u64::MAX };
    record(&spec, &plan(128, 224, storage, rule), Adapter { limit, ..Adapter::DEFAULT })
}

/// What a step's launches of that role in that operation cost.
fn cost(step: &[Recorded], operation: &str, role: &str) -> Cost {
    let of = |recorded: &&Recorded| recorded.operation == operation && recorded.launch.cost.role == role;
    let found: Vec<&Recorded> = step.iter().filter(of).filter(|recorded| recorded.nth == 0).collect();
    assert!(!found.is_empty(), "{role} in {operation}");
    cost_of(&found)
}

#[test]
fn a_product_of_a_known_size_costs_what_it_should() {
    let last = "conv 3x3/1 512→512 on 7x7, residual";
    let step = resnet18(Storage::F32, SGD);
    let forward = cost(&step, &format!("{last}, forward"), "forward");
    // 128 images of 7 x 7 pixels, 512 x 512 weights under 9 taps, two operations each.
    assert_eq!(forward.flops, 2 * 128 * 49 * 512 * 512 * 9);
    assert_eq!(forward.bytes, 4 * (2 * 128 * 49 * 512 + 9 * 512 * 512));
    // Normalising reads the product and the residual, and writes the output.
    let normalise = |step: &[Recorded]| cost(step, &format!("{last}, forward"), "normalise, add, rectify").bytes;
    assert_eq!(normalise(&step), 4 * 3 * 128 * 49 * 512);
    // In 16 bits activations are half as large, weights are not.
    let half = resnet18(Storage::F16, SGD);
    assert_eq!(normalise(&half), normalise(&step) / 2);
    let forward = cost(&half, &format!("{last}, forward"), "forward");
    assert_eq!(forward.bytes, 2 * 2 * 128 * 49 * 512 + 4 * 9 * 512 * 512);
}

#[test]
fn a_pass_over_all_parameters_costs_what_it_should() {
    let values = ModelSpec::named("resnet18", Some(Stem::Imagenet), 3, 1000).expect("a model").parameters() as u64;
    for (rule, accesses) in [(SGD, 5), (ADAMW, 7)] {
        let step = resnet18(Storage::F32, rule);
        // Parameters, gradients and states are read, parameters and states written, and a quarter of a byte a value more;
        // what fills the blocks up is little.
        let bytes = cost(&step, "update", "all parameters").bytes as f64;
        let want = (4 * accesses * values) as f64 + values as f64 / 4.0;
        assert!((bytes / want - 1.0).abs() < 1e-3, "{bytes}, {want} were wanted");
        // 112 x 112 pixels in, 56 x 56 out, 64 channels.
        assert_eq!(cost(&step, "max-pool, forward", "maxima").bytes, 4 * 128 * 64 * (112 * 112 + 56 * 56));
        assert_eq!(cost(&step, "head, forward", "logits").flops, 2 * 128 * 512 * 1000);
        // Bytes in, floats out.
        assert_eq!(cost(&step, "batch", "the batch from bytes").bytes, 5 * 128 * 224 * 224 * 3);
    }
}

/// The table of a step's launches in Markdown; without those that do a thousandth of a pass over an activation.
fn page(step: &[Recorded]) -> String {
    let mut out = String::from(
        "| operation | of them | launch | kernel | GFLOP | MB | FLOP/byte | bound by |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for (operations, launches) in by_role(step) {
        let (first, cost) = (launches[0], cost_of(&launches));
        if cost.bytes < 500_000 {
            continue;
        }
        let (operation, kernel, role) = (&first.operation, first.launch.kernel.name, cost.role);
        let (gflop, mb) = (cost.flops as f64 / 1e9, cost.bytes as f64 / 1e6);
        let (intensity, bound) = (cost.intensity(), cost.bound());
        out += &format!(
            "| {operation} | {operations} | {role} | `{kernel}` | {gflop:.2} | {mb:.1} | {intensity:.1} | {bound} |\n"
        );
    }
    out
}

/// The page in the documentation is what a recorded step says. `KINDLING_UPDATE=1` writes it anew.
#[test]
fn the_page_of_costs_is_computed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/ops/wgpu/costs.md");
    let depthwise: Vec<Recorded> = step("mobilenet_v2", Storage::F32, SGD)
        .into_iter()
        .filter(|recorded| recorded.launch.kernel.name.starts_with("depthwise"))
        .collect();
    let table = format!(
        "{}\nThe depthwise convolutions of MobileNetV2, likewise:\n\n{}",
        page(&resnet18(Storage::F32, SGD)),
        page(&depthwise)
    );
    let page = || std::fs::read_to_string(path).expect("the page is among the sources");
    // What follows is written by hand: a compiler says it that isn't at hand.
    let begins = "\nWhat AMD's compiler makes of the products";
    if std::env::var_os("KINDLING_UPDATE").is_some() {
        let old = page();
        let rest = old.find(begins).map_or("", |at| &old[at..]);
        std::fs::write(path, table.clone() + rest).expect("the sources can be written");
    }
    let page = page();
    let computed = page.find(begins).map_or(&*page, |at| &page[..at]);
    assert!(computed == table, "src/ops/wgpu/costs.md is out of date; run this test with KINDLING_UPDATE=1");
}

#[test]
fn what_bounds_a_launch_follows_from_its_operations_a_byte() {
    let bound = |flops| Cost { role: "", flops, bytes: 10 }.bound();
    assert_eq!([bound(10), bound(300), bound(700)], ["memory", "either", "arithmetic"]);
}

/// How often a step launches each kernel, as the table in the README has it: its names, and how many on an adapter.
fn counted(row: &str) -> Option<(Vec<&str>, [usize; 2])> {
    let [names, software, gpu, _] = row.strip_prefix("| ")?.split(" | ").collect::<Vec<_>>()[..] else { return None };
    let names: Vec<&str> = names.split('`').skip(1).step_by(2).collect();
    let count = |text: &str| match text.split_once(" × ") {
        Some((kinds, each)) => Some(kinds.parse::<usize>().ok()? * each.parse::<usize>().ok()?),
        None if text == "–" => Some(0),
        None => text.parse().ok(),
    };
    (!names.is_empty()).then_some((names, [count(software)?, count(gpu)?]))
}

#[test]
fn the_table_in_the_readme_counts_the_launches_of_a_step() {
    let readme = include_str!("../../../../README.md");
    let rows: Vec<_> = readme.lines().filter_map(counted).collect();
    assert!(rows.len() > 10, "{rows:?}");
    let spec = ModelSpec::named("cifar_resnet20", None, 3, 10).expect("a model");
    let software = Adapter { software: true, subgroup: 8, ..Adapter::DEFAULT };
    for (i, adapter) in [software, Adapter::DEFAULT].into_iter().enumerate() {
        let step = record(&spec, &plan(32, 32, Storage::F32, SGD), adapter);
        for (names, counts) in &rows {
            let launches = step.iter().filter(|recorded| names.contains(&recorded.launch.kernel.name)).count();
            assert_eq!(launches, counts[i], "{names:?} on {adapter:?}");
        }
        assert_eq!(rows.iter().map(|(_, counts)| counts[i]).sum::<usize>(), step.len(), "a kernel has no row");
    }
}
