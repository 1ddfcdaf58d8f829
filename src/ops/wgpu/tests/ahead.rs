//! What is compiled ahead is what a step launches, and compiles.

use super::{
    super::ahead,
    costs::{ADAMW, plan},
    *,
};
use crate::{
    device::{Choice, open},
    model::{Block, ModelSpec, Stem, StepPlan, record},
    ops::wgpu::recorder::Recorded,
};

/// A network of a block whose convolutions have so many channels.
fn spec(channels: usize) -> ModelSpec {
    ModelSpec::custom(Block::Basic, Stem::Imagenet, vec![1], vec![channels], 3, 10).expect("a model")
}

fn step(channels: usize, storage: Storage, adapter: Adapter) -> Vec<Recorded> {
    let StepPlan { batch, size, mut learning } = plan(2, 16, storage, ADAMW);
    learning.update.ema_decay = 0.9;
    record(&spec(channels), &StepPlan { batch, size, learning }, adapter)
}

#[test]
fn every_recorded_kernel_compiles_with_its_bindings() {
    for as_adapter in posing(|own| vec![own, Adapter::DEFAULT]) {
        let compute = open(Choice::BestGpu).expect("there is an adapter");
        let (device, queue) = compute.another().expect("a second device opens");
        let f16 = compute.adapter.as_ref().is_some_and(|adapter| adapter.f16);
        let cases = [16, 32, 6].into_iter().flat_map(|channels| storages().into_iter().map(move |s| (channels, s)));
        for (channels, storage) in cases.filter(|(_, storage)| f16 || *storage == Storage::F32) {
            let mut compiled = Vec::new();
            for recorded in step(channels, storage, as_adapter.adapter) {
                if !compiled.contains(&recorded.launch.kernel) {
                    ahead::compile(&device, &queue, &recorded).unwrap_or_else(|e| panic!("{recorded:?}: {e}"));
                    compiled.push(recorded.launch.kernel);
                }
            }
        }
    }
}

#[test]
fn a_kernel_is_waited_for_until_it_is_compiled_or_given_up() {
    let adapters = posing(|own| vec![own]);
    let Some(own) = adapters.first() else { return };
    let compute = open(Choice::BestGpu).expect("there is an adapter");
    let step = || step(48, Storage::F32, own.adapter);
    let compiled = own.gpu.context.compiled.clone();
    // Dropped at once: nobody is left who would compile the rest.
    drop(ahead::Ahead::new(&own.gpu, &compute, step));
    step().iter().for_each(|recorded| compiled.wait_for(&recorded.launch.kernel));
    let ahead = ahead::Ahead::new(&own.gpu, &compute, step);
    step().iter().for_each(|recorded| compiled.wait_for(&recorded.launch.kernel));
    assert!(!ahead.at_work(), "something waits still");
}
