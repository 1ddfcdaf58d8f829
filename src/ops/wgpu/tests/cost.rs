use crate::ops::{
    Storage, Window,
    wgpu::{conv::Conv, cost},
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

/// The page in the documentation is what the function says. `KINDLING_UPDATE=1` writes it anew.
#[test]
fn the_page_of_costs_is_computed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/ops/wgpu/costs.md");
    let table = cost::table(&resnet18_units());
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
    assert_eq!(costs[0].flops, 2 * 128 * 49 * 512 * 512 * 9);
    assert_eq!(costs[0].bytes, 4 * (2 * 128 * 49 * 512 + 9 * 512 * 512));
    // Normalising reads the product and the residual, and writes the output.
    assert_eq!(costs[2].bytes, 4 * 3 * 128 * 49 * 512);
    // In 16 bits activations are half as large, weights are not.
    let half = cost::unit(&Conv { storage: Storage::F16, ..conv }, residual);
    assert_eq!(half[0].bytes, 2 * 2 * 128 * 49 * 512 + 4 * 9 * 512 * 512);
    assert_eq!((half[2].bytes, half[2].flops), (costs[2].bytes / 2, costs[2].flops));
}
