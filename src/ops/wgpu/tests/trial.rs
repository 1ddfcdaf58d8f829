//! A kernel that computes wrong results is found out before it is used, and another stands in.

use super::{As, close, oracle, posing, random};
use crate::ops::{
    Storage, Window,
    wgpu::{
        conv::{self, Conv},
        launch::{Adapter, Found, Gpu, Launch},
        trial::{self, Trials},
        variant::{Product, Variant},
    },
};
use cubecl::server::Handle;
use std::{cell::Cell, path::Path};

/// A device whose driver gets one kernel wrong.
struct Faulty<'a> {
    gpu: &'a As,
    /// Its name, what stands in it, and what the driver makes of that.
    fault: [&'static str; 3],
    trials: Trials,
    launches: Cell<usize>,
}

impl Gpu for Faulty<'_> {
    type Buffer = Handle;

    fn adapter(&self) -> Adapter {
        self.gpu.adapter()
    }

    fn empty(&self, bytes: usize) -> Handle {
        self.gpu.empty(bytes)
    }

    fn upload(&self, bytes: &[u8]) -> Handle {
        self.gpu.upload(bytes)
    }

    fn part(&self, whole: &Handle, start: usize, count: usize) -> Handle {
        self.gpu.part(whole, start, count)
    }

    fn allows(&self, kernel: &dyn Fn() -> String, trial: &dyn Fn() -> Option<Found>) -> bool {
        self.trials.allow(&kernel(), trial)
    }

    fn read(&self, buffer: &Handle) -> Option<Vec<u8>> {
        self.gpu.gpu.read(buffer)
    }

    fn dispatch(&self, mut launch: Launch, buffers: &[&Handle]) {
        let [name, right, wrong] = self.fault;
        if launch.kernel.name == name {
            assert!(launch.kernel.template.contains(right), "{name} has no {right:?}");
            launch.kernel.template = launch.kernel.template.replace(right, wrong).leak();
            // Another kernel to whoever keeps compiled ones.
            launch.kernel = launch.kernel.with("FAULT", 1);
        }
        self.launches.set(self.launches.get() + 1);
        self.gpu.dispatch(launch, buffers);
    }
}

fn faulty<'a>(gpu: &'a As, file: &Path, fault: [&'static str; 3]) -> Faulty<'a> {
    let trials = Trials::kept("a card, driver 1", Some(file.to_owned()));
    Faulty { gpu, fault, trials, launches: Cell::new(0) }
}

const PRODUCTS: [Product; 4] = [
    Product::Forward,
    Product::InputGradient { add: false },
    Product::InputGradient { add: true },
    Product::WeightGradient,
];

fn layer(ci: usize, co: usize) -> Conv {
    let window = Window { kernel: [3, 3], stride: [1, 1], pad: [[1; 2]; 2] };
    Conv { batch: 1, input: [6, 6], ci, co, window, groups: 1, storage: Storage::F32 }
}

#[test]
fn right_kernels_are_used_and_tried_once() {
    for gpu in posing(|own| vec![own, Adapter::DEFAULT]) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/trials.json");
        let right = faulty(&gpu, &file, ["none", "", ""]);
        let all = |device: &Faulty<'_>| {
            for conv in [layer(3, 16), layer(16, 32), layer(128, 256), layer(6, 70)] {
                for product in PRODUCTS {
                    assert_eq!(trial::variant(device, product, &conv), Variant::choose(&gpu.adapter()), "{product}");
                }
            }
        };
        all(&right);
        assert!(right.launches.get() >= 16);
        let again = faulty(&gpu, &file, ["none", "", ""]);
        all(&again);
        assert_eq!(again.launches.get(), 0, "what is kept is tried again");
    }
}

#[test]
fn a_wrong_kernel_is_said_kept_and_replaced() {
    let faults = [
        ("conv_tiled", "fma(vec4<f32>(s{{i}}", "fma(vec4<f32>(1.01 * s{{i}}", &PRODUCTS[..3]),
        // The second step of the sum is that of the first.
        ("conv_tiled", "first = carried(plus(first, ahead)", "first = carried(plus(first, one)", &PRODUCTS[..3]),
        ("conv_wgrad_tiled", "g_row{{f}} += BK * columns;", "", &PRODUCTS[3..]),
    ];
    for gpu in posing(|_| vec![Adapter::DEFAULT]) {
        for (name, right, wrong, products) in faults {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("trials.json");
            let device = faulty(&gpu, &file, [name, right, wrong]);
            let conv = layer(64, 64);
            for product in PRODUCTS {
                let want = if products.contains(&product) { Variant::Plain } else { Variant::Tiled };
                assert_eq!(trial::variant(&device, product, &conv), want, "{product} with {wrong:?} for {right:?}");
            }
            let kept = std::fs::read_to_string(&file).unwrap();
            assert_eq!(kept.matches("false").count(), products.len(), "{kept}");
            let later = faulty(&gpu, &file, [name, right, wrong]);
            assert_eq!(trial::variant(&later, products[0], &conv), Variant::Plain);
            assert_eq!(later.launches.get(), 0);
        }
        // And what stands in is right on the device whose usual kernel is not.
        let folder = tempfile::tempdir().unwrap();
        let device =
            faulty(&gpu, &folder.path().join("trials.json"), ["conv_tiled", "vec4<f32>(s{{i}}", "vec4<f32>(-s{{i}}"]);
        let conv = layer(8, 40);
        let (x, weight) = (random(conv.input_values(), 1), random(conv.weight_count(), 2));
        let variant = trial::variant(&device, Product::Forward, &conv);
        let z = conv::forward(&device, &conv, &gpu.up(&x), &gpu.up(&weight), variant);
        close("output", &gpu.down(&z), &oracle::forward(&conv, &oracle::wide(&x), &oracle::wide(&weight)));
    }
}
