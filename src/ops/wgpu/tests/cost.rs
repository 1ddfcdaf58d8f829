use super::dry::Dry;
use crate::{
    model::{Frozen, Learning, ModelSpec, Stem, prepare},
    ops::{
        Storage, Window,
        kernels::{Rule, Update},
        wgpu::{
            conv::Conv,
            cost,
            launch::{Adapter, Cost, DispatchLimit, Launch},
            step::Step,
        },
    },
};

fn resnet18_units() -> Vec<(&'static str, Conv, bool)> {
    let conv = |side, ci, co, kernel, stride| Conv {
        batch: 128,
        input: [side; 2],
        ci,
        co,
        window: Window::square(kernel, stride, false, [side; 2]),
        storage: Storage::F32,
    };
    vec![
        ("7x7/2, 3→64, 224²", conv(224, 3, 64, 7, 2), false),
        ("3x3, 64→64, 56², residual", conv(56, 64, 64, 3, 1), true),
        ("3x3/2, 64→128, 56²", conv(56, 64, 128, 3, 2), false),
        ("1x1/2, 64→128, 56²", conv(56, 64, 128, 1, 2), false),
        ("3x3, 128→128, 28², residual", conv(28, 128, 128, 3, 1), true),
        ("3x3, 256→256, 14², residual", conv(14, 256, 256, 3, 1), true),
        ("3x3, 512→512, 7², residual", conv(7, 512, 512, 3, 1), true),
    ]
}

/// With ImageNet's classes.
fn resnet18_step() -> Step {
    let spec = ModelSpec::named("resnet18", Some(Stem::Imagenet), 3, 1000).expect("a model");
    let rule = Rule::Sgd { momentum: 0.9, nesterov: false };
    let learning = Learning {
        batch: 128,
        size: [224; 2],
        storage: Storage::F32,
        frozen: Frozen::Nothing,
        smoothing: 0.0,
        update: Update { rule, lr: 0.1, weight_decay: 1e-4, clip_norm: 0.0, ema_decay: 0.0, scaled: false },
    };
    prepare::step(&spec, &learning)
}

#[test]
fn a_pass_over_all_parameters_costs_what_it_should() {
    let step = resnet18_step();
    let costs = cost::rest(&step, [224, 224, 3]);
    let of = |kernel: &str| costs.iter().find(|(of, _)| *of == kernel).expect("it is there").1;
    // Parameters, gradients and moments are read, parameters and moments written, and a quarter of a byte a value more.
    assert_eq!(of("update").bytes, 20 * step.values as u64 + step.values as u64 / 4);
    // 112 x 112 pixels in, 56 x 56 out, 64 channels.
    assert_eq!(of("max_pool").bytes, 4 * 128 * 64 * (112 * 112 + 56 * 56));
    assert_eq!(of("head_linear").flops, 2 * 128 * 512 * 1000);
    // Bytes in, floats out.
    assert_eq!(of("gather").bytes, 5 * 128 * 224 * 224 * 3);
}

/// The page in the documentation is what the function says. `KINDLING_UPDATE=1` writes it anew.
#[test]
fn the_page_of_costs_is_computed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/ops/wgpu/costs.md");
    let units = resnet18_units().into_iter().map(|(name, conv, residual)| (name, cost::unit(&conv, residual)));
    let rest = ("the rest of a step", cost::rest(&resnet18_step(), [224, 224, 3]));
    let table = cost::table(&units.chain([rest]).collect::<Vec<_>>());
    if std::env::var_os("KINDLING_UPDATE").is_some() {
        std::fs::write(path, &table).expect("the sources can be written");
    }
    let page = std::fs::read_to_string(path).expect("the page is among the sources");
    assert!(page == table, "src/ops/wgpu/costs.md is out of date; run this test with KINDLING_UPDATE=1");
}

#[test]
fn a_product_of_a_known_size_costs_what_it_should() {
    let units = resnet18_units();
    let (_, conv, residual) = units[units.len() - 1];
    let costs = cost::unit(&conv, residual);
    // 128 images of 7 x 7 pixels, 512 x 512 weights under 9 taps, two operations each.
    assert_eq!(costs[0].1.flops, 2 * 128 * 49 * 512 * 512 * 9);
    assert_eq!(costs[0].1.bytes, 4 * (2 * 128 * 49 * 512 + 9 * 512 * 512));
    // Normalising reads the product and the residual, and writes the output.
    assert_eq!(costs[2].1.bytes, 4 * 3 * 128 * 49 * 512);
    // In 16 bits activations are half as large, weights are not.
    let half = cost::unit(&Conv { storage: Storage::F16, ..conv }, residual);
    assert_eq!(half[0].1.bytes, 2 * 2 * 128 * 49 * 512 + 4 * 9 * 512 * 512);
    assert_eq!((half[2].1.bytes, half[2].1.flops), (costs[2].1.bytes / 2, costs[2].1.flops));
}

/// What launches of a kernel do together, by what they do.
fn together(launches: Vec<Launch>) -> Vec<(&'static str, Cost)> {
    let mut costs: Vec<(&str, Cost)> = Vec::new();
    for Launch { kernel, cost, .. } in launches {
        match costs.iter_mut().find(|(name, before)| *name == kernel.name && before.role == cost.role) {
            Some((_, before)) => {
                before.flops += cost.flops;
                before.bytes += cost.bytes;
            }
            None => costs.push((kernel.name, cost)),
        }
    }
    costs
}

#[test]
fn launches_cost_what_their_operations_do_however_they_are_split() {
    let step = resnet18_step();
    for limit in [DispatchLimit::SHORT, DispatchLimit { flops: 1 << 28, bytes: 1 << 22 }] {
        let dry = Dry::new(Adapter { limit, ..Adapter::DEFAULT });
        for (name, conv, residual) in resnet18_units() {
            dry.unit(&conv, residual);
            let costs = together(dry.launches.take());
            for cost in cost::unit(&conv, residual) {
                assert!(costs.contains(&cost), "{name}: {cost:?} in {costs:?}");
            }
        }
        dry.pool(step.pool.as_ref().expect("it has one"));
        dry.head(&step.head);
        dry.update(step.values, step.update.rule);
        let costs = together(dry.launches.take());
        for cost in cost::rest(&step, [224, 224, 3]).into_iter().filter(|(kernel, _)| *kernel != "gather") {
            assert!(costs.contains(&cost), "{cost:?} in {costs:?}");
        }
    }
}
