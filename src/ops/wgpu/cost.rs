//! What each dispatch of a unit must at least compute and move, apart from any adapter: the figures that a measured time
//! is held against.
//!
//! Bytes count every tensor once as it is read or written; a kernel that reads an operand several times, as a tiled
//! product does where the tile is smaller than the matrix, moves more, mostly from caches. Additions and multiplications
//! count one each, as is usual.

use super::{
    conv::{Conv, Variant, WeightGradient},
    launch::Portion,
};

/// The least that one dispatch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The shader.
    pub kernel: &'static str,
    /// What it does in the unit.
    pub role: &'static str,
    pub flops: u64,
    pub bytes: u64,
}

impl Cost {
    /// Operations a byte. A discrete GPU does 20 to 60 in the time that it moves one: below, memory bounds the kernel,
    /// above, arithmetic.
    pub fn intensity(&self) -> f64 {
        self.flops as f64 / self.bytes.max(1) as f64
    }

    /// What bounds the dispatch on a discrete GPU.
    pub fn bound(&self) -> &'static str {
        match self.intensity() {
            ..20.0 => "memory",
            60.0.. => "arithmetic",
            _ => "either",
        }
    }
}

/// The dispatches of a unit's training step on a GPU: forward, then backward. Those on per-channel values are left out;
/// they are a thousandth of the others.
pub fn unit(conv: &Conv, residual: bool) -> Vec<Cost> {
    let [oh, ow] = conv.output();
    let count = |values: [usize; 4]| values.iter().map(|&v| v as u64).product::<u64>();
    let x = count([conv.batch, conv.input[0], conv.input[1], conv.ci]);
    let z = count([conv.batch, oh, ow, conv.co]);
    let weight = count([conv.window.kernel[0], conv.window.kernel[1], conv.ci, conv.co]);
    let product = conv.flops();
    let splits = WeightGradient::plan(conv, Variant::Tiled, Portion::SHORT).splits as u64;
    let r = u64::from(residual);
    // Of activations and of other values.
    let stored = conv.storage.bytes() as u64;
    let cost = |kernel, role, flops, activations: u64, rest: u64| Cost {
        kernel,
        role,
        flops,
        bytes: stored * activations + 4 * rest,
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

/// A table of [`unit`] for several convolutions, in Markdown.
pub fn table(units: &[(&str, Conv, bool)]) -> String {
    let mut out = String::from(
        "| unit | dispatch | kernel | GFLOP | MB | FLOP/byte | bound by |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for (name, conv, residual) in units {
        for cost in unit(conv, *residual) {
            let (gflop, mb) = (cost.flops as f64 / 1e9, cost.bytes as f64 / 1e6);
            let intensity = cost.intensity();
            let (role, kernel, bound) = (cost.role, cost.kernel, cost.bound());
            out += &format!("| {name} | {role} | `{kernel}` | {gflop:.2} | {mb:.1} | {intensity:.1} | {bound} |\n");
        }
    }
    out
}
