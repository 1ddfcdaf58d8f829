//! What is compiled ahead is what a step launches, and compiles.

use super::{super::ahead, *};
use crate::{
    device::{Choice, open},
    ops::{
        Window,
        wgpu::{conv::Conv, unit::Sizes},
    },
};

/// A unit on 8 x 8 pixels, with and without a residual.
fn units(channels: [usize; 2], stride: usize) -> Vec<(Sizes, bool)> {
    let window = Window { kernel: [3, 3], stride: [stride; 2], pad: [[1; 2]; 2] };
    let [ci, co] = channels;
    let conv = Conv { batch: 2, input: [8, 8], ci, co, window };
    [false, true].map(|residual| (Sizes { conv, relu: true, eps: 1e-5, momentum: 0.1 }, residual)).to_vec()
}

#[test]
fn every_planned_kernel_compiles_with_its_bindings() {
    for as_adapter in posing(|own| vec![own, Adapter::DEFAULT]) {
        let compute = open(Choice::BestGpu).expect("there is an adapter");
        let (device, queue) = compute.another().expect("a second device opens");
        for channels in [[3, 16], [16, 32], [5, 6]] {
            for planned in ahead::plan(as_adapter.adapter, &units(channels, 2), true) {
                ahead::compile(&device, &queue, &planned).unwrap_or_else(|e| panic!("{planned:?}: {e}"));
            }
        }
    }
}

#[test]
fn each_kernel_is_planned_once_and_backward_only_where_wanted() {
    let software = Adapter { software: true, subgroup: 8, ..Adapter::DEFAULT };
    let names = |backward| -> Vec<&str> {
        let planned = ahead::plan(software, &units([16, 16], 1), backward);
        planned.iter().map(|planned| planned.kernel.name).collect()
    };
    assert_eq!(names(false), ["conv_lanes", "norm_stats", "norm_finish", "norm_apply"]);
    let backward = ["norm_backward_sums", "norm_backward_finish", "norm_backward_apply", "conv_wgrad_lanes"];
    assert_eq!(names(true)[4..8], backward);
    assert!(names(true).contains(&"add"));
}

#[test]
fn a_kernel_is_waited_for_until_it_is_compiled_or_given_up() {
    let adapters = posing(|own| vec![own]);
    let Some(own) = adapters.first() else { return };
    let compute = open(Choice::BestGpu).expect("there is an adapter");
    let units = units([16, 48], 1);
    let kernels: Vec<_> = ahead::plan(own.adapter, &units, true).into_iter().map(|planned| planned.kernel).collect();
    // Dropped at once: nobody is left who would compile the rest.
    drop(ahead::Ahead::new(&own.gpu, &compute, &units, true));
    kernels.iter().for_each(ahead::wait_for);
    let ahead = ahead::Ahead::new(&own.gpu, &compute, &units, true);
    kernels.iter().for_each(ahead::wait_for);
    assert!(!ahead.at_work(), "something waits still");
}
