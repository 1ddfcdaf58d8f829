//! Training on a GPU adapter, a software one included: that it learns, gives the same bits twice, does not run away from
//! whoever steers it, and keeps no memory.

use super::needs;
use super::support::{finish, folder, last_weights, recipe, setup, until};
use kindling::{
    data::{self, Dataset, LoadOptions, Normalisation, Silent, Split},
    device::{Choice, Compute, open},
    model::{ModelSpec, Network},
    ops::{Implementation, Storage, wgpu::Wgpu},
    session::{Event, Session, Setup},
    train::{Feed, Freeze, Pixels, Position, Recipe, inference::validate, trainer::Trainer},
};
use std::{path::Path, sync::Arc, time::Instant};

/// The best adapter; `None`, said aloud, where there is none and none is required.
pub(crate) fn gpu() -> Option<Compute> {
    needs::found("gpu", open(Choice::BestGpu))
}

pub(crate) fn on_gpu(run: &Path, recipe: Recipe) -> Setup {
    Setup { device: Choice::BestGpu, ..setup(run, recipe, false) }
}

/// A trainer of a network of a few thousand weights, and its batches.
pub(crate) fn tiny(recipe: &Recipe, compute: &Compute) -> (Trainer, Feed) {
    let dataset = super::support::dataset();
    let spec = recipe.spec(1, 4).expect("a valid model");
    let network = Network::new(&spec, 1, false, Implementation::Fast, compute);
    let normalisation = Normalisation { mean: vec![0.5], std: vec![0.25] };
    (Trainer::new(network), Feed::new(dataset, recipe, &normalisation).on(compute))
}

/// Pages of this process that are in memory, in bytes; `None` where the system does not tell.
fn resident() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    pages.split_whitespace().nth(1)?.parse::<u64>().ok().map(|pages| pages * 4096)
}

/// In a process of its own: what other tests take and give back would drown what is looked for.
#[test]
fn two_thousand_steps_take_no_more_memory_than_two_hundred() {
    let program = std::env::current_exe().expect("this program");
    let arguments = ["--ignored", "--exact", "adapter::memory_of_two_thousand_steps", "--nocapture"];
    let output = std::process::Command::new(program).args(arguments).output().expect("a process");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
#[ignore = "the test above runs it, alone in a process"]
fn memory_of_two_thousand_steps() {
    let Some(compute) = gpu() else { return };
    let gpu = Wgpu::of(&compute).expect("an adapter was opened");
    let changes = ["stages=1", "widths=4", "batch_size=4", "mixup=0.2", "ema_decay=0.9"];
    let recipe = recipe(&changes);
    let (mut trainer, feed) = tiny(&recipe, &compute);
    let streamed = feed.clone().within(0, &compute);
    let mut position = Position::default();
    let mut run = |feed: &Feed, steps: u64| {
        for step in 0..steps {
            trainer.step(&feed.batch(position), &recipe, 1e-3, Freeze::None);
            position = position.next(feed.steps_per_epoch());
            // As often as a session reads them on a quick device.
            if step % 50 == 0 {
                assert_eq!(trainer.read_metrics().refused, 0);
                assert_eq!(validate(&trainer.averaged(), feed, 0..8).len(), 8 * 4);
            }
        }
        (resident(), gpu.bytes_reserved())
    };
    // Of images that live on the device, and of such as are sent to it.
    for (feed, steps) in [(&feed, 2_000), (&streamed, 1_000)] {
        let (before, reserved_before) = run(feed, 200);
        let (after, reserved) = run(feed, steps - 200);
        println!("{before:?} to {after:?} bytes in memory, {reserved_before} to {reserved} bytes reserved");
        assert!(reserved <= reserved_before, "the allocator grew from {reserved_before} to {reserved} bytes");
        if let (Some(before), Some(after)) = (before, after) {
            // A leak of one activation a step would be 100 MB.
            assert!(after < before + (24 << 20), "the process grew from {before} to {after} bytes");
        }
    }
}

#[test]
fn two_runs_with_one_seed_are_bit_equal() {
    if gpu().is_none() {
        return;
    }
    let (_guard, run) = folder();
    let changes = ["epochs=2", "mixup=0.2", "cutout=3", "ema_decay=0.9", "clip_norm=1.0"];
    for name in ["a", "b"] {
        finish(on_gpu(&run(name), recipe(&changes)));
    }
    assert_eq!(last_weights(&run("a")), last_weights(&run("b")));
}

/// The first images of a split.
fn first(split: &Split, count: usize) -> Split {
    let image = split.height * split.width * split.channels;
    let pixels = split.all_pixels().expect("in memory")[..count * image].to_vec().into();
    Split { pixels, labels: split.labels[..count].to_vec(), sources: None, ..split.clone() }
}

#[test]
fn the_sample_is_learned_on_an_adapter() {
    let Some(compute) = gpu() else { return };
    let (_guard, run) = folder();
    let whole = data::load("sample", &LoadOptions::default(), &Silent).expect("built in");
    // A software adapter takes a minute for all of it.
    let [train, validation] = [first(&whole.train, 1_200), first(&whole.validation, 200)];
    let sample = Arc::new(Dataset::new("sample", whole.classes.clone(), train, validation));
    let mut recipe = Recipe::preset("quick").expect("a preset");
    for change in ["model=custom", "stages=1,1", "widths=8,16", "batch_size=32", "epochs=2", "lr=0.1"] {
        recipe.set_text(change).expect("a valid change");
    }
    // On the device the images are bytes; a batch is made there.
    let feed = Feed::new(sample.clone(), &recipe, &sample.normalisation_or_measured()).on(&compute);
    assert!(matches!(feed.batch(Position::default()).pixels, Pixels::Resident(..)));
    let events = finish(Setup { dataset: sample, ..on_gpu(&run("a"), recipe) });
    let epochs: Vec<(f32, Option<f32>)> = events
        .iter()
        .filter_map(|event| match event {
            Event::Epoch { train_loss, val_accuracy, .. } => Some((*train_loss, *val_accuracy)),
            _ => None,
        })
        .collect();
    assert!(events.iter().any(|event| matches!(event, Event::Done { .. })), "{events:#?}");
    assert!(epochs[1].0 < epochs[0].0 && epochs[1].1 > Some(0.3), "{epochs:?}");
}

#[test]
fn a_batch_beyond_the_adapters_bindings_is_refused_with_the_one_that_fits() {
    let Some(compute) = gpu() else { return };
    let (_guard, run) = folder();
    let spec = ModelSpec::named("resnet50", None, 3, 10).expect("a model");
    let largest = |storage| kindling::model::network::largest_batch(&spec.graph(), [224; 2], storage, &compute);
    let most = largest(Storage::F32);
    let check = |batch_size, compute: &Compute| {
        let recipe = Recipe { batch_size, ..Recipe::default() };
        kindling::train::room::check_batch(&spec, &recipe, [224; 2], 8, Implementation::Fast, compute)
    };
    let line = check(most + 1, &compute).expect_err("too large").to_string();
    assert!(line.contains(&format!("at most {most} images")) && !line.contains('\n'), "{line}");
    check(most, &compute).expect("it fits");
    assert!(largest(Storage::F16) >= 2 * most);
    check(usize::MAX, &Compute::cpu()).expect("memory alone limits it");
    // A session says so before it makes a folder, and a running one keeps its batch size.
    if (compute.adapter.as_ref().expect("a GPU").max_binding as usize) < 12 * 12 * 8 * 4 * 65_536 {
        let events = finish(on_gpu(&run("a"), recipe(&["batch_size=65536"])));
        assert!(matches!(events.as_slice(), [Event::Error { text, .. }] if text.contains("at most")), "{events:#?}");
        assert!(!run("a").exists());
        let session = Session::start(on_gpu(&run("b"), recipe(&["epochs=1000"])));
        until(&session, |event| matches!(event, Event::Step { .. }));
        let value = kindling::train::Value::Int(65_536);
        session.send(kindling::session::Command::Set { key: "batch_size".into(), value });
        until(&session, |event| matches!(event, Event::Warning { text, .. } if text.contains("not changed")));
        session.stop();
    }
}

#[test]
fn at_most_two_steps_are_in_flight() {
    let Some(compute) = gpu() else { return };
    let recipe = recipe(&["widths=32,64", "batch_size=48"]);
    let (mut trainer, feed) = tiny(&recipe, &compute);
    let batch = feed.batch(Position::default());
    let mut queue = |steps: u32| {
        let start = Instant::now();
        (0..steps).for_each(|_| trainer.step(&batch, &recipe, 1e-3, Freeze::None));
        let queued = start.elapsed();
        trainer.read_metrics();
        (queued, start.elapsed())
    };
    queue(2);
    const STEPS: u32 = 12;
    let (queued, all) = queue(STEPS);
    println!("{queued:?} to queue {STEPS} steps, {all:?} to compute them");
    // Unbounded, queueing would be over in a fraction of the time. Bounded, all but two steps are computed by then.
    let left = all - queued;
    assert!(left < all / 2, "{left:?} of {all:?} were left when {STEPS} steps were queued");
}
