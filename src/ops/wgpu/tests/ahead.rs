//! What is compiled ahead is what a step launches, and compiles.

use super::{super::ahead, *};
use crate::{
    device::{Choice, open},
    ops::{
        Window,
        kernels::{Rule, Update},
        wgpu::{conv::Conv, head::Head, pool::Pool, step::Step, unit::Sizes},
    },
};

/// A step of a network with a unit on 8 x 8 pixels, and one with a residual.
fn step(channels: [usize; 2], stride: usize, backward: bool, storage: Storage) -> Step {
    let window = Window { kernel: [3, 3], stride: [stride; 2], pad: [[1; 2]; 2] };
    let [ci, co] = channels;
    let conv = Conv { batch: 2, input: [8, 8], ci, co, window, storage };
    let unit = |residual| (Sizes { conv, relu: true, eps: 1e-5, momentum: 0.1 }, residual);
    let rule = Rule::AdamW { beta1: 0.9, beta2: 0.99, eps: 1e-8, step: 1 };
    Step {
        units: [false, true].map(unit).to_vec(),
        pool: Some(Pool { batch: 2, input: [8, 8], channels: co, window, storage }),
        head: Head { batch: 2, pixels: 16, features: co, classes: 10, storage },
        smoothing: 0.1,
        backward,
        values: 4096,
        update: Update {
            rule,
            lr: 0.1,
            weight_decay: 0.0,
            clip_norm: 0.0,
            ema_decay: 0.9,
            scaled: storage == Storage::F16,
        },
    }
}

#[test]
fn every_planned_kernel_compiles_with_its_bindings() {
    for as_adapter in posing(|own| vec![own, Adapter::DEFAULT]) {
        let compute = open(Choice::BestGpu).expect("there is an adapter");
        let (device, queue) = compute.another().expect("a second device opens");
        let f16 = compute.adapter.as_ref().is_some_and(|adapter| adapter.f16);
        let cases = [[3, 16], [16, 32], [5, 6]].into_iter().flat_map(|c| [(c, Storage::F32), (c, Storage::F16)]);
        for (channels, storage) in cases.filter(|(_, storage)| f16 || *storage == Storage::F32) {
            for planned in ahead::plan(as_adapter.adapter, &step(channels, 2, true, storage)) {
                ahead::compile(&device, &queue, &planned).unwrap_or_else(|e| panic!("{planned:?}: {e}"));
            }
        }
    }
}

#[test]
fn each_kernel_is_planned_once_and_backward_only_where_wanted() {
    let software = Adapter { software: true, subgroup: 8, ..Adapter::DEFAULT };
    let names = |backward| -> Vec<&str> {
        let planned = ahead::plan(software, &step([16, 16], 1, backward, Storage::F32));
        planned.iter().map(|planned| planned.kernel.name).collect()
    };
    let head = ["head_pool", "head_linear", "cross_entropy", "metrics", "head_backward_weight"];
    let forward = ["conv_lanes", "norm_stats", "norm_finish", "norm_apply", "max_pool"];
    let update = ["copy", "gradient_norm", "gradient_norm_finish", "update", "blend"];
    assert_eq!(names(false), [forward, head, update].concat());
    let all = names(true);
    for name in ["head_backward_input", "norm_backward_apply", "conv_wgrad_lanes", "add", "max_pool_backward"] {
        assert_eq!(all.iter().filter(|other| **other == name).count(), 1, "{name} in {all:?}");
    }
}

#[test]
fn a_kernel_is_waited_for_until_it_is_compiled_or_given_up() {
    let adapters = posing(|own| vec![own]);
    let Some(own) = adapters.first() else { return };
    let compute = open(Choice::BestGpu).expect("there is an adapter");
    let step = step([16, 48], 1, true, Storage::F32);
    let kernels: Vec<_> = ahead::plan(own.adapter, &step).into_iter().map(|planned| planned.kernel).collect();
    // Dropped at once: nobody is left who would compile the rest.
    drop(ahead::Ahead::new(&own.gpu, &compute, &step));
    kernels.iter().for_each(ahead::wait_for);
    let ahead = ahead::Ahead::new(&own.gpu, &compute, &step);
    kernels.iter().for_each(ahead::wait_for);
    assert!(!ahead.at_work(), "something waits still");
}
