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
        assert!(measured.iter().all(|m| m.seconds > 0.0), "{measured:?}");
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
fn the_peak_is_a_figure_that_hardware_has() {
    for device in devices().into_iter().take(1) {
        let peak = peak::measure(&device.gpu).expect("the device works");
        assert!(peak.flops > 1e8 && peak.flops < 1e15 && peak.bytes > 1e7 && peak.bytes < 1e14, "{peak:?}");
        assert!(peak.seconds(1 << 40, 1) > peak.seconds(1, 1));
    }
}
