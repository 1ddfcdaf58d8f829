//! What each dispatch of a step must at least compute and move, apart from any adapter: the figures that a measured time
//! is held against.

use super::{
    conv::{Conv, Variant},
    head::Head,
    launch::{Cost, DispatchLimit},
    step::Step,
    weight_gradient,
};
use crate::ops::kernels::Rule;

/// The dispatches of a unit's training step on a GPU: forward, then backward. Those on per-channel values are left out;
/// they are a thousandth of the others.
pub fn unit(conv: &Conv, residual: bool) -> Vec<(&'static str, Cost)> {
    let [oh, ow] = conv.output();
    let count = |values: [usize; 4]| values.iter().map(|&v| v as u64).product::<u64>();
    let x = count([conv.batch, conv.input[0], conv.input[1], conv.ci]);
    let z = count([conv.batch, oh, ow, conv.co]);
    let weight = count([conv.window.kernel[0], conv.window.kernel[1], conv.ci, conv.co]);
    let product = conv.flops();
    let splits = weight_gradient::Plan::new(conv, Variant::Tiled, DispatchLimit::SHORT).splits as u64;
    let r = u64::from(residual);
    // Of activations and of other values.
    let stored = conv.storage.bytes() as u64;
    let cost = |kernel, role, flops, activations: u64, rest: u64| {
        (kernel, Cost { role, flops, bytes: stored * activations + 4 * rest })
    };
    let mut costs = vec![
        cost("conv_tiled", "forward", product, x + z, weight),
        cost("norm_stats", "mean and variance", 4 * z, z, 0),
        cost("norm_apply", "normalise, add, rectify", (4 + r) * z, (2 + r) * z, 0),
        cost("norm_backward_sums", "gradients of gamma and beta", 5 * z, 3 * z, 0),
        cost("norm_backward_apply", "gradient of the product", 6 * z, (4 + r) * z, 0),
        cost("conv_tiled", "input gradient", product, x + z, weight),
        cost("conv_wgrad_tiled", "weight gradient", product, x + z, splits * weight),
    ];
    if splits > 1 {
        costs.push(cost("reduce", "sum of the splits", (splits - 1) * weight, 0, (splits + 1) * weight));
    }
    costs
}

/// The dispatches of a step apart from its units, on images of so many channels: those that make the batch, pool, compute
/// the loss and update the parameters. Those on a few values are left out.
pub fn rest(step: &Step, image: [usize; 3]) -> Vec<(&'static str, Cost)> {
    let product = |values: &[usize]| values.iter().map(|&v| v as u64).product::<u64>();
    let Head { batch, pixels, features, classes, storage } = step.head;
    let stored = storage.bytes() as u64;
    let [f, k] = [features, classes].map(|count| product(&[batch, count]));
    let (averaged, weight, v) =
        (product(&[batch, pixels, features]), product(&[features, classes]), step.values as u64);
    let linear = 2 * product(&[batch, features, classes]);
    let cost = |kernel, role, flops, bytes| (kernel, Cost { role, flops, bytes });
    let pixels = product(&[batch]) * product(&image);
    let mut costs = vec![cost("gather", "the batch from bytes", 0, pixels + stored * pixels)];
    if let Some(pool) = &step.pool {
        let ([h, w], [oh, ow], [kh, kw]) = (pool.input, pool.output(), pool.window.kernel);
        let [x, y] = [[h, w], [oh, ow]].map(|[h, w]| product(&[batch, h, w, pool.channels]));
        let window = (kh * kw) as u64;
        costs.push(cost("max_pool", "maxima", window * y, stored * (x + y)));
        // Each value looks for an earlier one as large in the windows that it is the maximum of.
        costs.push(cost("max_pool_backward", "gradient of the maxima", window * y, stored * 2 * (x + y)));
    }
    let (moments, operations) = match step.update.rule {
        Rule::Sgd { .. } => (1, 7),
        Rule::AdamW { .. } => (2, 16),
    };
    costs.extend([
        cost("head_pool", "averages", averaged, stored * (averaged + f)),
        cost("head_linear", "logits", linear, stored * f + 4 * (weight + k)),
        cost("cross_entropy", "losses and their gradient", 8 * k, 4 * 2 * k),
        cost("head_backward_weight", "gradient of the head's weight", linear, stored * f + 4 * (weight + k)),
        cost("head_backward_input", "gradient of the averages", linear, stored * averaged + 4 * (weight + k)),
        // The table has four values for each block of 64.
        cost("gradient_norm", "norm of all gradients", 3 * v, 4 * v + v / 4),
        cost("update", "all parameters", operations * v, 4 * (3 + 2 * moments) * v + v / 4),
    ]);
    if step.update.ema_decay > 0.0 {
        costs.push(cost("blend", "their average", 3 * v, 4 * 3 * v));
    }
    costs
}

/// A table of costs by what they belong to, in Markdown.
pub fn table(groups: &[(&str, Vec<(&str, Cost)>)]) -> String {
    let mut out = String::from(
        "| unit | dispatch | kernel | GFLOP | MB | FLOP/byte | bound by |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for (name, costs) in groups {
        for (kernel, cost) in costs {
            let (gflop, mb) = (cost.flops as f64 / 1e9, cost.bytes as f64 / 1e6);
            let intensity = cost.intensity();
            let (role, bound) = (cost.role, cost.bound());
            out += &format!("| {name} | {role} | `{kernel}` | {gflop:.2} | {mb:.1} | {intensity:.1} | {bound} |\n");
        }
    }
    out
}
