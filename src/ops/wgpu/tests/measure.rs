use super::devices;
use crate::ops::{
    Storage, Window,
    wgpu::{conv::Conv, measure, peak},
};

#[test]
fn every_kernel_of_a_unit_is_timed() {
    let window = Window { kernel: [3, 3], stride: [1, 1], pad: [[1; 2]; 2] };
    let conv = Conv { batch: 2, input: [8, 8], ci: 16, co: 16, window, storage: Storage::F32 };
    for device in devices().into_iter().take(1) {
        let measured = measure::unit(&device.gpu, &conv, true).expect("the device works");
        assert!(measured.iter().all(|m| m.seconds > 0.0), "{measured:?}");
        // Three products with a cost, the same number of operations each.
        let products = measured.iter().filter_map(|m| m.cost).filter(|cost| cost.kernel.starts_with("conv"));
        assert_eq!(products.map(|cost| cost.flops).collect::<Vec<_>>(), [conv.flops(); 3]);
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
