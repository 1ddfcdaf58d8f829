//! Training in 16-bit floats on a device that has them: what it learns, what an overflow does, and that it goes on as if
//! it had never stopped.

use super::adapter::{gpu, on_gpu, tiny};
use super::needs::has;
use super::support::{finish, folder, last_weights, recipe, setup};
use kindling::{
    device::Compute,
    ops::Storage,
    session::{Event, Setup},
    train::{Feed, Freeze, Position, Recipe, trainer::Trainer},
    weights::{HostTensor, StateDict},
};

/// The adapter, if it has 16-bit floats. The one that the tests require has them.
fn half_gpu() -> Option<Compute> {
    let compute = gpu()?;
    let able = compute.adapter.as_ref().is_some_and(|adapter| adapter.f16);
    has("gpu", able, &format!("{} has no 16-bit floats", compute.description)).then_some(compute)
}

fn half(changes: &[&str]) -> Recipe {
    recipe(&[&["precision=f16", "widths=8,16"], changes].concat())
}

/// `steps` from `from` on, and the mean loss of each.
fn steps(trainer: &mut Trainer, feed: &Feed, recipe: &Recipe, from: u64, steps: u64) -> Vec<f32> {
    let one = |step: u64| {
        let (epoch, batch) = (step / feed.steps_per_epoch(), step % feed.steps_per_epoch());
        trainer.step(&feed.batch(Position { epoch, batch }), recipe, 0.05, Freeze::None);
        let metrics = trainer.read_metrics();
        assert_eq!(metrics.refused, 0);
        metrics.loss / metrics.images as f32
    };
    (from..from + steps).map(one).collect()
}

fn scale(value: f32) -> StateDict {
    StateDict::from([("loss_scale".to_owned(), HostTensor { shape: vec![2], data: vec![value, 0.0] })])
}

#[test]
fn sixteen_bits_learn_what_thirty_two_do() {
    half_gpu().iter().for_each(|compute| learns(compute, "precision=f16", 0.01));
    // Where the processor multiplies them.
    Some(Compute::cpu())
        .iter()
        .filter(|cpu| Storage::Bf16.is_on(cpu))
        .for_each(|cpu| learns(cpu, "precision=bf16", 0.08));
}

/// `apart` is how far losses may be at first, as a share: of bfloat16 more, by the three bits that it has less.
fn learns(compute: &Compute, precision: &str, apart: f32) {
    for changes in [&[][..], &["optimizer=adamw", "lr=0.001", "mixup=0.2", "clip_norm=1.0", "ema_decay=0.9"]] {
        let narrow = half(&[&[precision], changes].concat());
        let wide = Recipe { precision: Recipe::default().precision, ..narrow.clone() };
        let [a, b] = [wide, narrow].map(|recipe| {
            let (mut trainer, feed) = tiny(&recipe, compute);
            steps(&mut trainer, &feed, &recipe, 0, 12)
        });
        // Rounding grows from step to step; what is learned does not depend on it.
        for (step, (a, b)) in a.iter().zip(&b).enumerate() {
            let most = if step < 4 { apart } else { 0.15 };
            assert!((a - b).abs() < most * a, "step {step}: {a} in 32 bits, {b} in 16");
        }
        assert_ne!(a, b, "nothing was of 16 bits");
    }
}

#[test]
fn an_overflow_skips_the_step_and_halves_the_scale() {
    let Some(compute) = half_gpu() else { return };
    let recipe = half(&[]);
    let (mut trainer, feed) = tiny(&recipe, &compute);
    let fresh = trainer.state(false);
    let batch = feed.batch(Position::default());
    trainer.restore_optimiser(&scale(16_777_216.0), 0, Freeze::None);
    trainer.step(&batch, &recipe, 0.05, Freeze::None);
    let metrics = trainer.read_metrics();
    assert_eq!((metrics.skipped, metrics.refused, metrics.scale), (1, 0, 8_388_608.0));
    assert!(metrics.loss.is_finite() && !metrics.norm.is_finite(), "{metrics:?}");
    assert_eq!(trainer.state(false), fresh, "weights and running statistics stay");
    let mut skipped = 1;
    for _ in 0..24 {
        trainer.step(&batch, &recipe, 0.05, Freeze::None);
        let metrics = trainer.read_metrics();
        skipped += metrics.skipped;
        assert_eq!((metrics.refused, metrics.scale), (0, 16_777_216.0 / 2f32.powi(skipped as i32)));
        if metrics.skipped == 0 {
            assert!(metrics.norm.is_finite() && metrics.scale > 1.0, "{metrics:?}");
            assert_ne!(trainer.state(false), fresh);
            return;
        }
    }
    panic!("no scale was low enough");
}

#[test]
fn what_no_scale_explains_is_refused() {
    let Some(compute) = half_gpu() else { return };
    let recipe = half(&[]);
    let (mut trainer, feed) = tiny(&recipe, &compute);
    trainer.restore_optimiser(&scale(2.0), 0, Freeze::None);
    let mut state = trainer.state(false);
    state.get_mut("conv1.weight").expect("a stem").data[0] = f32::NAN;
    let network =
        kindling::train::trainer::network_of(trainer.network().spec(), &state, Default::default(), &compute).unwrap();
    let mut trainer = Trainer::new(network);
    trainer.restore_optimiser(&scale(2.0), 0, Freeze::None);
    let batch = feed.batch(Position::default());
    let mut step = || {
        trainer.step(&batch, &recipe, 0.05, Freeze::None);
        let metrics = trainer.read_metrics();
        (metrics.skipped, metrics.refused, metrics.scale)
    };
    assert_eq!([step(), step(), step()], [(1, 0, 1.0), (0, 1, 1.0), (0, 2, 1.0)]);
    // The report names the first layer, though its gradients are of a scaled loss and its outputs of 16 bits.
    let diagnosis = trainer.diagnose(&batch, &recipe);
    assert_eq!(diagnosis.activations[0].name, "conv1");
    assert!(diagnosis.activations[0].not_finite > 0 && diagnosis.origin.is_some(), "{diagnosis:?}");
}

#[test]
fn gradients_in_a_report_are_those_of_the_loss_itself() {
    let Some(compute) = half_gpu() else { return };
    let recipe = half(&[]);
    let (trainer, feed) = tiny(&recipe, &compute);
    let batch = feed.batch(Position::default());
    let wide = Recipe { precision: Recipe::default().precision, ..recipe.clone() };
    let norms = |recipe: &Recipe| -> f32 {
        trainer.diagnose(&batch, recipe).layers.iter().map(|layer| layer.norm.powi(2)).sum::<f32>().sqrt()
    };
    let (half, wide) = (norms(&recipe), norms(&wide));
    assert!((half / wide - 1.0).abs() < 0.02, "{half} and {wide}");
}

#[test]
fn a_trainer_goes_on_where_another_stopped() {
    let Some(compute) = half_gpu() else { return };
    let recipe = half(&["momentum=0.9"]);
    let (mut through, feed) = tiny(&recipe, &compute);
    // High enough to be lowered on the way.
    through.restore_optimiser(&scale(16_777_216.0), 0, Freeze::None);
    steps(&mut through, &feed, &recipe, 0, 8);
    let (state, memory) = (through.state(false), through.optimiser_state());
    assert!(memory["loss_scale"].data[0] < 16_777_216.0);
    let spec = through.network().spec().clone();
    let network = kindling::train::trainer::network_of(&spec, &state, Default::default(), &compute).unwrap();
    let mut again = Trainer::new(network);
    again.restore_optimiser(&memory, through.updates(), Freeze::None);
    for trainer in [&mut through, &mut again] {
        steps(trainer, &feed, &recipe, 8, 4);
    }
    assert_eq!(through.state(false), again.state(false));
    assert_eq!(through.optimiser_state(), again.optimiser_state());
}

#[test]
fn a_session_learns_in_sixteen_bits_and_one_on_the_cpu_says_that_it_does_not() {
    let says = |events: &[Event]| {
        events.iter().any(|event| matches!(event, Event::Warning { text, .. } if text.contains("no 16-bit floats")))
    };
    let (_guard, run) = folder();
    let events = finish(setup(&run("cpu"), half(&["epochs=1"]), false));
    assert!(says(&events), "{events:#?}");
    if half_gpu().is_none() {
        return;
    }
    let events = finish(on_gpu(&run("gpu"), half(&["epochs=1"])));
    assert!(!says(&events) && events.iter().any(|event| matches!(event, Event::Done { .. })), "{events:#?}");
    assert!(!events.iter().any(|event| matches!(event, Event::Error { .. })), "{events:#?}");
}

#[test]
fn a_session_in_sixteen_bits_resumes_bit_for_bit() {
    if half_gpu().is_none() {
        return;
    }
    let (_guard, run) = folder();
    let of = |epochs: &str| half(&["schedule=constant", "checkpoint_seconds=0.1", epochs]);
    finish(on_gpu(&run("through"), of("epochs=2")));
    finish(on_gpu(&run("broken"), of("epochs=1")));
    finish(Setup { resume: true, ..on_gpu(&run("broken"), of("epochs=2")) });
    assert_eq!(last_weights(&run("through")), last_weights(&run("broken")));
}
