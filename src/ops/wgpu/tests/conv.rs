use super::{As, close, close_stored, devices, devices_with_tiles, oracle, random, storages, stored};
use crate::ops::{
    Storage, Window,
    wgpu::{conv::Conv, groups, launch::Gpu, variant::Variant},
};
use proptest::prelude::*;

/// Sizes that fit no tile, single pixels and channels, strides, and padding that differs from side to side.
fn table() -> Vec<Conv> {
    let conv = |batch, input, ci, co, kernel, stride, pad| Conv {
        batch,
        input,
        ci,
        co,
        window: Window { kernel, stride, pad },
        groups: 1,
        storage: Storage::F32,
    };
    vec![
        conv(1, [1, 1], 1, 1, [1, 1], [1, 1], [[0; 2]; 2]),
        conv(1, [1, 1], 1, 1, [3, 3], [1, 1], [[1; 2]; 2]),
        conv(2, [5, 7], 3, 5, [3, 3], [1, 1], [[1; 2]; 2]),
        conv(2, [8, 8], 16, 16, [3, 3], [1, 1], [[1; 2]; 2]),
        conv(3, [9, 7], 16, 32, [3, 3], [2, 2], [[1; 2]; 2]),
        conv(2, [8, 8], 32, 64, [3, 3], [2, 2], [[0, 1]; 2]),
        conv(2, [8, 8], 16, 32, [1, 1], [2, 2], [[0; 2]; 2]),
        conv(1, [13, 11], 3, 20, [7, 7], [2, 2], [[2, 3], [3, 3]]),
        conv(2, [6, 6], 8, 12, [1, 1], [1, 1], [[0; 2]; 2]),
        conv(1, [10, 10], 7, 33, [3, 2], [3, 1], [[0, 2], [1, 0]]),
        conv(2, [4, 4], 64, 64, [3, 3], [1, 1], [[1; 2]; 2]),
        conv(1, [3, 3], 2, 6, [5, 5], [1, 2], [[2; 2]; 2]),
        conv(1, [32, 32], 1, 16, [3, 3], [1, 1], [[1; 2]; 2]),
        conv(1, [7, 7], 12, 3, [2, 2], [2, 2], [[0; 2]; 2]),
        conv(1, [6, 6], 6, 36, [1, 1], [3, 3], [[0; 2]; 2]),
        conv(5, [14, 14], 36, 72, [3, 3], [1, 1], [[1; 2]; 2]),
    ]
}

/// In groups: each channel by itself, in fours of channels and not, and groups of several.
fn grouped() -> Vec<Conv> {
    let conv = |batch, input, [groups, ci, co]: [usize; 3], kernel, stride, pad| Conv {
        batch,
        input,
        ci,
        co,
        window: Window { kernel: [kernel; 2], stride: [stride; 2], pad },
        groups,
        storage: Storage::F32,
    };
    vec![
        conv(1, [1, 1], [2; 3], 3, 1, [[1; 2]; 2]),
        conv(2, [9, 8], [5; 3], 3, 1, [[1; 2]; 2]),
        conv(2, [14, 14], [32; 3], 3, 2, [[1; 2]; 2]),
        conv(3, [7, 7], [40; 3], 5, 1, [[2; 2]; 2]),
        conv(1, [13, 12], [72; 3], 5, 2, [[1, 2], [2, 2]]),
        conv(2, [12, 12], [24; 3], 3, 2, [[0, 1]; 2]),
        conv(1, [6, 7], [19; 3], 7, 3, [[3; 2]; 2]),
        conv(2, [5, 5], [3; 3], 1, 2, [[0; 2]; 2]),
        conv(2, [5, 6], [3, 9, 6], 3, 1, [[1; 2]; 2]),
        conv(1, [8, 8], [32, 128, 128], 3, 2, [[1; 2]; 2]),
        conv(2, [4, 4], [4, 4, 12], 3, 1, [[1; 2]; 2]),
    ]
}

/// Forward, input gradient with and without an addend, and weight gradient.
fn check(conv: &Conv, devices: &[As]) {
    for storage in storages() {
        check_stored(&Conv { storage, ..*conv }, devices);
    }
}

fn check_stored(conv: &Conv, devices: &[As]) {
    let [oh, ow] = conv.output();
    let window = conv.window;
    let activations = |count: usize, seed| stored(random(count, seed), conv.storage);
    let x = activations(conv.batch * conv.input[0] * conv.input[1] * conv.ci, 1);
    let weight = random(window.kernel[0] * window.kernel[1] * conv.ci / conv.groups * conv.co, 2);
    let grad = activations(conv.batch * oh * ow * conv.co, 3);
    let add = activations(x.len(), 4);
    let [wide_x, wide_weight, wide_grad] = [&x, &weight, &grad].map(|v| oracle::wide(v));
    let z = oracle::forward(conv, &wide_x, &wide_weight);
    let dx = oracle::input_gradient(conv, &wide_grad, &wide_weight);
    let added: Vec<f64> = dx.iter().zip(&add).map(|(d, a)| d + f64::from(*a)).collect();
    let dw = oracle::weight_gradient(conv, &wide_x, &wide_grad);
    // As they are, and where nothing but the plain kernels computes rightly.
    let usual = devices.iter().map(|gpu| (gpu, Variant::choose(&gpu.adapter())));
    for (gpu, variant) in usual.chain(devices.first().map(|gpu| (gpu, Variant::Plain))) {
        let [bx, bg, ba] = [&x, &grad, &add].map(|v| gpu.store(v, conv.storage));
        let bw = gpu.up(&weight);
        let close_stored = |what: String, got, want: &[f64]| {
            close_stored(&what, &gpu.load(&got, conv.storage), want, conv.storage);
        };
        let name = |what: &str| format!("{what}, {variant:?}, {conv:?}");
        close_stored(name("output"), groups::forward(gpu, conv, &bx, &bw, variant), &z);
        close_stored(name("input gradient"), groups::input_gradient(gpu, conv, &bg, &bw, None, variant), &dx);
        let got = groups::input_gradient(gpu, conv, &bg, &bw, Some(&ba), variant);
        close_stored(name("input gradient plus addend"), got, &added);
        let got = gpu.empty(4 * weight.len());
        groups::weight_gradient(gpu, conv, &bx, &bg, &got, variant);
        close(&name("weight gradient"), &gpu.down(&got), &dw);
    }
}

#[test]
fn convolutions_match_plain_loops() {
    for conv in table().into_iter().chain(grouped()) {
        check(&conv, &devices());
    }
}

#[test]
fn convolutions_match_plain_loops_with_every_tile() {
    // Channels in fours and not, more than one tile of them, and strides.
    for conv in [table()[9], table()[15]] {
        check(&conv, &devices_with_tiles());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn random_convolutions_match_plain_loops(
        batch in 1usize..3, h in 1usize..11, w in 1usize..11, ci in 1usize..20, co in 1usize..36,
        kernel in prop::array::uniform2(1usize..5), stride in prop::array::uniform2(1usize..4),
        pad in prop::array::uniform2(prop::array::uniform2(0usize..3)), groups in prop::sample::select(&[1, 1, 2, 0]),
    ) {
        // Each channel by itself, or a few groups of several.
        let (groups, ci, co) = match groups {
            0 => (ci, ci, ci),
            groups => (groups, ci.next_multiple_of(groups), co.next_multiple_of(groups)),
        };
        let window = Window { kernel, stride, pad };
        let conv = Conv { batch, input: [h, w], ci, co, window, groups, storage: Storage::F32 };
        let [oh, ow] = conv.output();
        prop_assume!(oh > 0 && ow > 0);
        check(&conv, &devices());
    }
}

#[test]
fn a_weight_gradient_has_the_same_bits_twice() {
    for (ci, groups) in [(16, 1), (16, 16)] {
        same_bits(&Conv {
            batch: 4,
            input: [16, 16],
            ci,
            co: 16,
            window: Window { kernel: [3, 3], stride: [1, 1], pad: [[1; 2]; 2] },
            groups,
            storage: Storage::F32,
        });
    }
}

fn same_bits(conv: &Conv) {
    for gpu in devices() {
        let variant = Variant::choose(&gpu.adapter());
        let (x, grad) = (gpu.up(&random(4 * 256 * 16, 1)), gpu.up(&random(4 * 256 * 16, 2)));
        let run = || {
            let dw = gpu.empty(4 * 9 * 256);
            groups::weight_gradient(&gpu, conv, &x, &grad, &dw, variant);
            gpu.down(&dw).into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
    }
}

#[test]
fn the_largest_half_is_an_overflow_in_a_weight_gradient() {
    let window = Window { kernel: [3, 3], stride: [1, 1], pad: [[1; 2]; 2] };
    for storage in storages().into_iter().filter(|storage| *storage == Storage::F16) {
        // Channels in fours and not, in both widths of the lanes variant, and each by itself.
        for (ci, co, groups) in [(4, 5, 1), (4, 16, 1), (4, 40, 1), (5, 5, 5), (16, 16, 16)] {
            overflows(&Conv { batch: 2, input: [5, 5], ci, co, window, groups, storage });
        }
    }
}

fn overflows(conv: &Conv) {
    let (co, storage) = (conv.co, conv.storage);
    let (x, mut grad) = (stored(random(50 * conv.ci, 1), storage), vec![0.0; 50 * co]);
    for (value, overflows) in [(65_504.0, true), (-65_504.0, true), (65_472.0, false)] {
        grad[12 * co + 3] = value;
        for gpu in devices() {
            let count = 9 * conv.ci / conv.groups * co;
            let dw = gpu.empty(4 * count);
            let (x, grad) = (gpu.store(&x, storage), gpu.store(&grad, storage));
            groups::weight_gradient(&gpu, conv, &x, &grad, &dw, Variant::choose(&gpu.adapter()));
            let finite = gpu.down(&dw)[..count].iter().all(|value| value.is_finite());
            assert_eq!(finite, !overflows, "{value}, {conv:?}");
        }
    }
}
