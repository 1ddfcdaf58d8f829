use super::{devices, storages};
use crate::{
    model::{Frozen, Learning, ModelSpec, Stem, prepare},
    ops::{
        Storage, Window,
        kernels::{Rule, Update},
        wgpu::{conv::Conv, cost, measure, peak},
    },
    train::SampleParams,
};

#[test]
fn every_kernel_of_a_unit_is_timed() {
    let window = Window { kernel: [3, 3], stride: [1, 1], pad: [[1; 2]; 2] };
    let conv = Conv { batch: 2, input: [8, 8], ci: 16, co: 16, window, storage: Storage::F32 };
    for device in devices().into_iter().take(1) {
        let measured = measure::unit(&device.gpu, &conv, true).expect("the device works");
        assert!(measured.iter().all(|m| m.seconds > 0.0), "{measured:?}");
        // Three products with a cost, the same number of operations each.
        let products = measured.iter().filter(|m| m.kernel.starts_with("conv")).filter_map(|m| m.cost);
        assert_eq!(products.map(|cost| cost.flops).collect::<Vec<_>>(), [conv.flops(); 3]);
    }
}

#[test]
fn every_other_kernel_of_a_step_is_timed_and_has_a_cost() {
    let spec = ModelSpec::named("resnet18", Some(Stem::Imagenet), 3, 10).expect("a model");
    let rule = Rule::AdamW { beta1: 0.9, beta2: 0.99, eps: 1e-8, step: 1 };
    for (device, storage) in
        devices().into_iter().take(1).flat_map(|device| storages().into_iter().map(move |s| (device.gpu.clone(), s)))
    {
        let learning = Learning {
            batch: 2,
            size: [32; 2],
            storage,
            frozen: Frozen::Nothing,
            smoothing: 0.1,
            update: Update { rule, lr: 0.1, weight_decay: 1e-4, clip_norm: 1.0, ema_decay: 0.9, scaled: false },
        };
        let step = prepare::step(&spec, &learning);
        let samples = [0, 1].map(|image| SampleParams::plain(image, 0));
        let measured = measure::rest(&device, &step, [32, 32, 3], &samples).expect("the device works");
        assert!(measured.iter().all(|m| m.seconds > 0.0), "{measured:?}");
        for (_, cost) in cost::rest(&step, [32, 32, 3]) {
            assert!(measured.iter().any(|m| m.cost == Some(cost)), "{cost:?} in {measured:?}");
        }
        // Those on a few values have none.
        let free: Vec<&str> = measured.iter().filter(|m| m.cost.is_none()).map(|m| m.kernel).collect();
        assert_eq!(free, ["metrics", "gradient_norm_finish"]);
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
