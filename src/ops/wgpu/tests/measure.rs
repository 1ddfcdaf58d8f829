use super::{
    costs::{ADAMW, plan},
    devices, storages,
};
use crate::{
    model::{ModelSpec, Stem, record},
    ops::wgpu::{launch::Gpu, measure, peak},
};

#[test]
fn every_kernel_of_a_step_is_timed() {
    let spec = ModelSpec::named("resnet18", Some(Stem::Imagenet), 3, 10).expect("a model");
    for (device, storage) in
        devices().into_iter().take(1).flat_map(|device| storages().into_iter().map(move |s| (device.gpu.clone(), s)))
    {
        let step = record(&spec, &plan(2, 32, storage, ADAMW), device.adapter());
        let measured = measure::measure(&device, &step, 2, [32, 32, 3], storage).expect("the device works");
        for recorded in &step {
            assert!(measured.iter().any(|m| m.kernel == recorded.launch.kernel.name), "{recorded:?}");
        }
        // A step is all of its operations, each as often as it comes.
        let launches: usize = measured.iter().map(|m| m.launches * m.operations).sum();
        assert_eq!(launches, step.len());
        let flops: u64 = measured.iter().map(|m| m.cost.flops * m.operations as u64).sum();
        assert_eq!(flops, step.iter().map(|recorded| recorded.launch.cost.flops).sum::<u64>());
    }
}

#[test]
fn the_peak_is_of_as_many_operations_as_are_counted() {
    for device in devices().into_iter().take(1) {
        let (threads, invocations) = (device.adapter().threads(), 512);
        for rounds in [1, 5] {
            let launch = peak::multiply_adds(threads, invocations, rounds);
            let out = device.empty(4 * invocations);
            device.dispatch(launch.clone(), &[&out]);
            // Of each accumulator's four equal values one is followed; two operations make a multiply-add.
            let depth = launch.cost.flops as usize / (2 * invocations * 8 * 4);
            for (i, sum) in device.down(&out).into_iter().take(invocations).enumerate() {
                let start = |k: usize| ((i & 7) + k) as f64;
                let expected: f64 = (0..8).map(|k| 4.0 * (1.0 + (start(k) - 1.0) * 0.999_f64.powi(depth as i32))).sum();
                assert!((f64::from(sum) - expected).abs() < 1e-4 * expected.abs(), "{i}: {sum}, not {expected}");
            }
        }
    }
}

#[test]
fn the_slower_of_arithmetic_and_memory_takes_the_time() {
    let peak = peak::Peak { flops: 100.0, bytes: 10.0 };
    assert_eq!([peak.seconds(200, 10), peak.seconds(200, 40)], [2.0, 4.0]);
}
