//! Arenas of several allocations, as a large network has on a device whose bindings are small.

use super::{As, posing, random};
use crate::ops::{
    Arena, Layout, Ops, UpdateState, Wgsl,
    optimizers::{AdamW, Factors, Rule, Status, Update},
    wgpu::{launch::Adapter, operations::Segments, update::copy},
};
use cubecl::server::Handle;
use std::sync::Arc;

type Memory = Segments<Handle>;

/// Values of the tensors. Where a binding holds 400, the first two are together, the fourth is larger than any, and there are
/// [`SEGMENTS`].
const COUNTS: [usize; 5] = [300, 5, 64, 1000, 20];
const SEGMENTS: u64 = 4;

/// The adapter at hand, and one on which a binding is 1600 bytes at most.
fn large_and_small() -> Option<[As; 2]> {
    posing(|own| vec![own, Adapter { max_binding: 1600, ..own }]).try_into().ok()
}

fn layout() -> Arc<Layout> {
    Arc::new(Layout::new(COUNTS.map(|count| [1, 1, 1, count])))
}

/// An arena from tensor `first` on, with NaN wherever no tensor lies, so that a gap that leaks shows.
fn filled(gpu: &As, first: usize, seed: u64) -> Arena<Memory> {
    let (ops, layout) = (Wgsl(gpu), layout());
    let arena = ops.empty(&layout, first);
    for (tensor, part) in layout.parts.iter().enumerate().skip(first) {
        let values = gpu.up(&random(part.count(), seed + part.start as u64));
        copy(gpu, part.count(), &values, &ops.view(&arena, tensor).memory);
    }
    arena
}

/// All tensors of an arena, each by its view.
fn tensors(gpu: &As, arena: &Arena<Memory>) -> Vec<Vec<f32>> {
    let read = |tensor| {
        let mut values = gpu.down(&Wgsl(gpu).view(arena, tensor).memory);
        values.truncate(COUNTS[tensor]);
        values
    };
    (arena.first..COUNTS.len()).map(read).collect()
}

fn bits(tensors: &[Vec<f32>]) -> Vec<u32> {
    tensors.concat().iter().map(|value| value.to_bits()).collect()
}

/// What an update leaves behind.
struct After {
    status: Status,
    parameters: Vec<Vec<f32>>,
    states: Vec<Vec<Vec<f32>>>,
    average: Vec<Vec<f32>>,
    statistics: Vec<Vec<f32>>,
    /// How often the kernel that updates was launched, and that which copies.
    launches: [u64; 2],
}

/// Two steps of tensors from `first` on.
fn two_steps(gpu: &As, first: usize) -> After {
    let (ops, layout) = (Wgsl(gpu), layout());
    let rule = Rule::AdamW(AdamW { beta1: 0.9, beta2: 0.99, eps: 1e-8 });
    let mut parameters = filled(gpu, 0, 1);
    let mut states: Vec<_> = (0..rule.states()).map(|_| ops.zeros(&layout, first)).collect();
    let mut average = ops.empty(&layout, first);
    ops.overlay(&mut average, &parameters);
    let mut statistics = filled(gpu, 0, 2);
    let mut status = ops.upload(&Status::START.values());
    let factors = [(1.0, 1.0), (0.5, 0.0), (0.25, 2.0), (2.0, 0.5), (1.5, 3.0)];
    let factors = factors.map(|(lr, weight_decay)| Factors { lr, weight_decay });
    let factors = ops.factors(&layout, first, &factors[first..]);
    let steps = [1, 2].map(|step| (step, filled(gpu, first, 10 + step), filled(gpu, first, 20 + step)));
    // While the device is about to give memory to an allocation, somebody else seems to hold it.
    tensors(gpu, &average);
    gpu.gpu.profile.time_operations(true);
    gpu.gpu.profile.take_launches();
    for (step, gradients, fresh) in steps {
        let learned = UpdateState {
            parameters: &mut parameters,
            gradients,
            states: &mut states,
            average: Some(&mut average),
            statistics: &mut statistics,
            fresh,
            status: &mut status,
            factors: &factors,
        };
        // The norm is about 10.
        let (lr, weight_decay, clip_norm, ema_decay) = (0.01, 0.1, 0.5, 0.9);
        ops.update(learned, &Update { rule, step, lr, weight_decay, clip_norm, ema_decay, scaled: false });
    }
    let launches = gpu.gpu.profile.take_launches();
    let count = |kernel| launches.iter().find(|(name, _)| *name == kernel).map_or(0, |&(_, count)| count);
    After {
        status: Status::of(&gpu.down(&status.memory)),
        parameters: tensors(gpu, &parameters),
        states: states.iter().map(|state| tensors(gpu, state)).collect(),
        average: tensors(gpu, &average),
        statistics: tensors(gpu, &statistics),
        launches: ["update", "copy"].map(count),
    }
}

/// Holds tensors against each other, each relative to its largest value.
#[track_caller]
fn alike(what: &str, got: &[Vec<f32>], want: &[Vec<f32>]) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (tensor, (got, want)) in got.iter().zip(want).enumerate() {
        assert_eq!(got.len(), want.len(), "{what} {tensor}");
        let largest = want.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            // Written so that NaN fails.
            let fits = (got - want).abs() <= 1e-6 * largest;
            assert!(fits, "{what} {tensor}: value {i} is {got}, {want} was wanted (the largest is {largest})");
        }
    }
}

#[test]
fn an_update_in_many_arenas_is_the_update_in_one() {
    let Some([large, small]) = large_and_small() else { return };
    let layout = layout();
    // The second tensor begins within an allocation, the others begin one.
    for (first, segments) in [(0, SEGMENTS), (1, SEGMENTS), (2, SEGMENTS - 1), (4, 1)] {
        let [one, many] = [&large, &small].map(|gpu| two_steps(gpu, first));
        // What was made by nobody else is not copied.
        assert_eq!((one.launches, many.launches), ([2, 0], [2 * segments, 0]), "from tensor {first} on");
        assert!(one.status.norm > 1.0 && (many.status.norm / one.status.norm - 1.0).abs() < 1e-6);
        assert_eq!(Status { norm: 0.0, ..many.status }, Status { norm: 0.0, ..one.status });
        alike("parameters", &many.parameters, &one.parameters);
        for (state, (many, one)) in many.states.iter().zip(&one.states).enumerate() {
            alike(&format!("state {state}"), many, one);
        }
        alike("averages", &many.average, &one.average);
        assert_eq!(bits(&many.statistics), bits(&one.statistics));
        for after in [&one, &many] {
            for (got, seed) in [(&after.parameters, 1), (&after.statistics, 2)] {
                let before: Vec<_> =
                    layout.parts.iter().map(|part| random(part.count(), seed + part.start as u64)).collect();
                assert_eq!(bits(&got[..first]), bits(&before[..first]), "what is frozen stays");
                let moved = |(got, before): (&Vec<f32>, &Vec<f32>)| got != before;
                assert!(got.iter().zip(&before).skip(first).all(moved), "what learns moves");
            }
        }
    }
}

#[test]
fn tensors_are_laid_over_others_across_allocations() {
    let Some(gpus) = large_and_small() else { return };
    for gpu in &gpus {
        let ops = Wgsl(gpu);
        for onto_first in 0..COUNTS.len() {
            for from_first in 0..COUNTS.len() {
                let mut onto = filled(gpu, onto_first, 3);
                let from = filled(gpu, from_first, 4);
                let held = onto.clone();
                let [below, above] = [&onto, &from].map(|arena| tensors(gpu, arena));
                ops.overlay(&mut onto, &from);
                let want: Vec<_> = (onto_first..COUNTS.len())
                    .map(|tensor| match tensor.checked_sub(from_first) {
                        Some(at) => above[at].clone(),
                        None => below[tensor - onto_first].clone(),
                    })
                    .collect();
                let case = format!("from {from_first} onto {onto_first} of {} bytes", gpu.adapter.max_binding);
                assert_eq!(bits(&tensors(gpu, &onto)), bits(&want), "{case}");
                assert_eq!(bits(&tensors(gpu, &held)), bits(&below), "whoever holds it keeps it: {case}");
            }
        }
    }
}

#[test]
fn a_view_is_not_written_whichever_allocation_it_is_in() {
    let Some(gpus) = large_and_small() else { return };
    let layout = layout();
    for gpu in &gpus {
        let ops = Wgsl(gpu);
        for (tensor, count) in COUNTS.into_iter().enumerate() {
            let mut arena = filled(gpu, 0, 5);
            let want = random(count, 5 + layout.parts[tensor].start as u64);
            let view = ops.view(&arena, tensor);
            assert_eq!(view.shape, [1, 1, 1, count]);
            ops.overlay(&mut arena, &filled(gpu, 0, 6));
            assert_eq!(gpu.down(&view.memory)[..want.len()], want);
            assert_ne!(tensors(gpu, &arena)[tensor], want);
        }
    }
}
