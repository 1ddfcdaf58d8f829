//! What a step leaves alone, and what it goes on from: networks that somebody holds, averages, and moments of what is frozen
//! and learns again.

use super::*;
use crate::{
    device::{Choice, open},
    model::{
        Block, Family, Nonlinearity, Stem,
        families::resnet::{Form, ResNet},
        host::tests::elsewhere,
    },
    needs,
    ops::{
        Implementation, Pixels, Profile,
        optimizers::{AdamW, Rule, Sgd, Update},
        sample::SampleParams,
    },
};
use std::collections::BTreeMap;

const PLAIN: Rule = Rule::Sgd(Sgd { momentum: 0.0, nesterov: false });
const ADAMW: Rule = Rule::AdamW(AdamW { beta1: 0.9, beta2: 0.99, eps: 1e-8 });

/// Values by the tensors' names.
type Named = BTreeMap<String, Vec<f32>>;

/// A small network on every side of the operations.
fn networks() -> Vec<Network> {
    of_every_side(&ModelSpec::custom(Block::Basic, Stem::Cifar, vec![1, 1], vec![8, 16], 3, 5).expect("a model"))
}

/// The same network on every side of the operations. A GPU's counts launches for itself: tests beside this one use the GPU too.
fn of_every_side(spec: &ModelSpec) -> Vec<Network> {
    let (fast, reference) = (Implementation::Fast, Implementation::Reference);
    let mut sides = vec![(Compute::cpu(), fast), (Compute::cpu(), reference)];
    sides.extend(needs::found("gpu", open(Choice::BestGpu)).map(|gpu| (gpu, fast)));
    sides.push((elsewhere(Compute::cpu()), fast));
    let network = |(compute, ops): (Compute, Implementation)| {
        let mut network = Network::new(spec, 1, false, ops, &compute);
        if let OnDevice::Wgsl(net) = &mut network.on {
            net.ops.0.profile = Arc::default();
        }
        network
    };
    sides.into_iter().map(network).collect()
}

fn side(network: &Network) -> String {
    format!("{} ({:?})", network.compute().description, network.ops())
}

fn learning(rule: Rule, lr: f32, frozen: Frozen, ema_decay: f64) -> Learning {
    Learning {
        storage: Storage::F32,
        smoothing: 0.0,
        class_weights: None,
        frozen,
        groups: ParameterGroups { backbone_lr: 1.0, decay_bias_and_norm: true },
        update: Update { rule, step: 1, lr, weight_decay: 0.0, clip_norm: 0.0, ema_decay, scaled: false },
    }
}

/// Hands over the batch of that number.
fn with_batch<T>(number: usize, run: impl FnOnce(&Batch) -> T) -> T {
    let shape = [6, 8, 8, 3];
    let count = shape.iter().product::<usize>();
    let pixels: Vec<f32> = (0..count).map(|i| ((i + number * count) as f32 * 0.37).sin()).collect();
    let samples: Vec<_> = (0..6).map(|i| SampleParams::plain(i, (i + number as u32) % 5)).collect();
    run(&Batch { pixels: Pixels::Values(&pixels, shape), samples: &samples })
}

fn step(learner: &mut Learner, number: usize, learning: &Learning) {
    with_batch(number, |batch| learner.step(batch, learning));
}

fn parameters(network: &Network) -> Named {
    let tensors = network.export().into_iter().filter(|(info, _)| info.role.is_parameter());
    tensors.map(|(info, values)| (info.name, values)).collect()
}

/// Those of the states that are called this, by the names of their tensors.
fn states(learner: &Learner, kind: &str) -> Named {
    let of =
        |(name, values): (String, Vec<f32>)| Some((name.strip_prefix(kind)?.strip_prefix('.')?.to_owned(), values));
    learner.states().into_iter().filter_map(of).collect()
}

/// Holds values against others, relative to the largest.
#[track_caller]
fn close(what: &str, got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(1e-6f64, |most, value| most.max(value.abs()));
    for (got, want) in got.iter().zip(want) {
        // Written so that NaN fails.
        let fits = (f64::from(*got) - want).abs() <= 1e-5 * largest;
        assert!(fits, "{what}: {got} instead of {want} (the largest is {largest})");
    }
}

#[test]
fn a_network_that_somebody_holds_stays_as_it_is_while_the_learner_goes_on() {
    for network in networks() {
        for (frozen, ema_decay) in [Frozen::Nothing, Frozen::Stages(1)].into_iter().flat_map(|f| [(f, 0.0), (f, 0.9)]) {
            let what = format!("{frozen:?}, averages {ema_decay}, {}", side(&network));
            let learning = learning(ADAMW, 0.01, frozen, ema_decay);
            let mut learner = Learner::new(network.clone());
            step(&mut learner, 1, &learning);
            let held = [network.clone(), learner.network(), learner.averaged()];
            let before = held.each_ref().map(Network::export);
            for number in 2..4 {
                step(&mut learner, number, &learning);
                // Of which the learner has a part, and goes on as well.
                let also = learner.averaged();
                let then = also.export();
                step(&mut learner, number, &learning);
                assert!(also.export() == then, "averages taken on the way, {what}");
            }
            for (i, (held, before)) in held.iter().zip(&before).enumerate() {
                assert!(held.export() == *before, "network {i}, {what}");
            }
            let after = [learner.network(), learner.averaged()];
            for (after, before) in after.iter().zip(&before[1..]) {
                let head = |tensors: &[(TensorInfo, Vec<f32>)]| tensors[tensors.len() - 2..].to_vec();
                assert!(head(&after.export()) != head(before), "the learner learned nothing, {what}");
            }
        }
    }
}

/// Where parameters, statistics, states and averages lie in the CPU's memory.
fn places(learner: &Learner) -> Vec<usize> {
    let OnDevice::Cpu(Training { net, states, average, .. }) = &learner.on else { return Vec::new() };
    let arenas = [&net.parameters, &net.statistics].into_iter().chain(states).chain(average);
    arenas.map(|arena| net.ops.view(arena, arena.first).as_ptr() as usize).collect()
}

#[test]
fn an_update_on_the_cpu_is_made_in_place_while_nobody_holds_the_network() {
    for network in networks().into_iter().filter(|network| matches!(network.on, OnDevice::Cpu(_))) {
        for frozen in [Frozen::Nothing, Frozen::Stages(1), Frozen::Backbone] {
            let learning = learning(ADAMW, 0.01, frozen, 0.9);
            let mut learner = Learner::new(network.clone());
            step(&mut learner, 1, &learning);
            let before = places(&learner);
            assert_eq!(before.len(), 5);
            for number in 2..4 {
                step(&mut learner, number, &learning);
                assert_eq!(places(&learner), before, "{frozen:?}");
            }
            // Nobody else has states and averages.
            let held = learner.network();
            step(&mut learner, 4, &learning);
            let moved = places(&learner);
            let statistics = moved[1] != before[1] || frozen == Frozen::Backbone;
            assert!(moved[0] != before[0] && statistics && moved[2..] == before[2..], "{frozen:?}");
            step(&mut learner, 5, &learning);
            assert_eq!(places(&learner), moved, "a network is copied once, {frozen:?}");
            drop(held);
        }
    }
}

#[test]
fn an_update_on_a_gpu_is_made_in_place_while_nobody_holds_the_network() {
    for network in networks() {
        let OnDevice::Wgsl(net) = &network.on else { continue };
        let profile: Arc<Profile> = net.ops.0.profile.clone();
        profile.time_operations(true);
        // Launches of `update` and of `copy`.
        let launches = |learner: &mut Learner, number, learning: &Learning| {
            // While the device is about to give memory to an allocation, somebody else seems to hold it.
            learner.status();
            profile.take_launches();
            step(learner, number, learning);
            let launches = profile.take_launches();
            ["update", "copy"]
                .map(|kernel| launches.iter().find(|(name, _)| *name == kernel).map_or(0, |found| found.1))
        };
        for frozen in [Frozen::Nothing, Frozen::Stages(1), Frozen::Backbone] {
            let learning = learning(ADAMW, 0.01, frozen, 0.9);
            let mut learner = Learner::new(network.clone());
            step(&mut learner, 1, &learning);
            assert_eq!(launches(&mut learner, 2, &learning), [1, 0], "{frozen:?}");
            // With a frozen backbone no statistics are written.
            let written = if frozen == Frozen::Backbone { 1 } else { 2 };
            let held = learner.network();
            assert_eq!(launches(&mut learner, 3, &learning), [1, written], "{frozen:?}");
            assert_eq!(launches(&mut learner, 4, &learning), [1, 0], "a network is copied once, {frozen:?}");
            drop(held);
        }
    }
}

/// Averages of 0.9 of what they were follow this formula: from the weights before the step with which they begin, which is
/// the first, or one that has something learn again.
#[test]
fn averages_begin_with_the_weights_before_a_step_and_are_kept_for_what_still_learns() {
    use Frozen::{Backbone, Nothing, Stages};
    for network in networks() {
        let mut learner = Learner::new(network.clone());
        let mut average: Option<Named> = None;
        // What each step has frozen, its decay, and whether averages begin with it.
        let steps = [
            (Nothing, 0.9, true),
            (Nothing, 0.9, false),
            (Stages(1), 0.9, false),
            (Backbone, 0.9, false),
            (Backbone, 0.9, false),
            (Stages(1), 0.9, true),
            (Stages(1), 0.9, false),
            (Nothing, 0.9, true),
            (Nothing, 0.0, false),
            (Nothing, 0.9, true),
            (Nothing, 0.9, false),
        ];
        for (number, (frozen, decay, begins)) in steps.into_iter().enumerate() {
            let what = format!("step {number}, {frozen:?}, {}", side(&network));
            let before = parameters(&learner.network());
            step(&mut learner, number, &learning(PLAIN, 0.1, frozen, decay));
            let (after, got) = (parameters(&learner.network()), parameters(&learner.averaged()));
            let learns = states(&learner, "first");
            assert_eq!(states(&learner, "ema").len(), if decay > 0.0 { learns.len() } else { 0 }, "{what}");
            let base = if begins { Some(before.clone()) } else { average.filter(|_| decay > 0.0) };
            for (name, after) in &after {
                let Some(base) = base.as_ref().map(|base| &base[name]).filter(|_| learns.contains_key(name)) else {
                    assert!(got[name] == *after, "what has no average is itself: {name}, {what}");
                    continue;
                };
                let pairs = base.iter().zip(after).map(|(&old, &new)| 0.9 * f64::from(old) + 0.1 * f64::from(new));
                close(&format!("{name}, {what}"), &got[name], &pairs.collect::<Vec<_>>());
            }
            // Else one beginning could not be told from another.
            let farthest = before["fc.weight"].iter().zip(&after["fc.weight"]).map(|(a, b)| (a - b).abs());
            assert!(farthest.fold(0.0, f32::max) > 1e-3, "{what}");
            average = Some(got);
        }
    }
}

/// Of images whose sides are odd when they are averaged.
#[test]
fn every_form_of_a_residual_network_has_the_gradients_of_the_reference() {
    let shape = [4, 11, 9, 3];
    let pixels: Vec<f32> = (0..shape.iter().product()).map(|i: usize| (i as f32 * 0.37).sin()).collect();
    let samples: Vec<_> = (0..4).map(|i| SampleParams::plain(i, i)).collect();
    let batch = Batch { pixels: Pixels::Values(&pixels, shape), samples: &samples };
    for (block, form, nonlinearity) in [
        (Block::Basic, Form::D, Nonlinearity::Relu),
        (Block::Bottleneck, Form::D, Nonlinearity::Silu),
        (Block::Bottleneck, Form::V1, Nonlinearity::Relu),
    ] {
        let net = ResNet::new(block, Stem::Imagenet, vec![1, 1], vec![4, 8]);
        let net = ResNet { form, nonlinearity, stem_width: Some(6), ..net };
        let spec = ModelSpec::of("custom", Family::ResNet(net), 3, 5).expect("a model");
        let gradients = of_every_side(&spec).into_iter().map(|network| {
            let side = side(&network);
            (side, Learner::new(network).gradients(&batch, &learning(PLAIN, 0.1, Frozen::Nothing, 0.0)).tensors)
        });
        let gradients: Vec<_> = gradients.collect();
        let (_, wanted) = &gradients[1];
        for (side, tensors) in &gradients {
            for ((info, got), (_, want)) in tensors.iter().zip(wanted) {
                let scale = want.iter().fold(1e-3f32, |most, value| most.max(value.abs()));
                let fits = got.iter().zip(want).all(|(got, want)| (got - want).abs() <= 1e-4 * scale);
                assert!(
                    fits,
                    "{block} {form:?} {nonlinearity:?} on {side}, {}: {got:?} instead of {want:?}",
                    info.name
                );
            }
        }
    }
}

/// At a learning rate of zero gradients stay the same, so a step's can be asked for behind it.
#[test]
fn moments_are_kept_where_layers_keep_learning_and_begin_at_zero_where_they_learn_again() {
    use Frozen::{Backbone, Nothing, Stages};
    for network in networks() {
        let mut learner = Learner::new(network.clone());
        let mut moments: BTreeMap<String, [Vec<f64>; 2]> = BTreeMap::new();
        let order = [Nothing, Nothing, Stages(1), Stages(1), Nothing, Stages(0), Backbone, Stages(1), Nothing];
        for (number, frozen) in order.into_iter().enumerate() {
            let what = format!("step {number}, {frozen:?}, {}", side(&network));
            let learning = learning(ADAMW, 0.0, frozen, 0.0);
            step(&mut learner, 0, &learning);
            let gradients = with_batch(0, |batch| learner.gradients(batch, &learning)).tensors;
            let next = gradients.iter().map(|(info, gradient)| {
                let zeros = || [vec![0.0; gradient.len()], vec![0.0; gradient.len()]];
                let [mut m, mut v] = moments.get(&info.name).cloned().unwrap_or_else(zeros);
                for ((m, v), g) in m.iter_mut().zip(&mut v).zip(gradient.iter().map(|g| f64::from(*g))) {
                    (*m, *v) = (0.9 * *m + 0.1 * g, 0.99 * *v + 0.01 * g * g);
                }
                (info.name.clone(), [m, v])
            });
            moments = next.collect();
            for (i, kind) in STATE_NAMES.into_iter().enumerate() {
                let got = states(&learner, kind);
                assert!(got.keys().eq(moments.keys()), "{what}: {:?}", got.keys());
                for (name, got) in &got {
                    close(&format!("{kind} of {name}, {what}"), got, &moments[name][i]);
                }
            }
        }
    }
}
