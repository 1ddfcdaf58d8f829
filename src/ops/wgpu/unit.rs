//! Convolution with its batch normalisation as one operation: which dispatches, in which order.

use super::{
    conv::{self, Conv, Variant},
    launch::Gpu,
    norm::{self, Apply, Plane, Spread},
    weight_gradient,
};

/// A unit on the device: sizes, and what is constant about its normalisation.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub conv: Conv,
    pub relu: bool,
    pub eps: f32,
    pub momentum: f32,
}

impl Sizes {
    fn plane(&self) -> Plane {
        let [oh, ow] = self.conv.output();
        Plane { pixels: self.conv.batch * oh * ow, channels: self.conv.co, storage: self.conv.storage }
    }
}

/// What [`train`] gives.
pub struct Trained<B> {
    pub y: B,
    pub z: B,
    pub mean: B,
    pub inv_std: B,
}

/// Buffers of a batch normalisation.
pub struct Norm<'a, B> {
    pub gamma: &'a B,
    pub beta: &'a B,
    pub mean: &'a B,
    pub var: &'a B,
}

/// Training forward; the new running mean and variance are written to `fresh`.
pub fn train<G: Gpu>(
    gpu: &G,
    sizes: &Sizes,
    x: &G::Buffer,
    weight: &G::Buffer,
    norm: &Norm<G::Buffer>,
    residual: Option<&G::Buffer>,
    fresh: [&G::Buffer; 2],
) -> Trained<G::Buffer> {
    let variant = Variant::choose(&gpu.adapter());
    let z = conv::forward(gpu, &sizes.conv, x, weight, variant);
    let plane = sizes.plane();
    let stats = norm::statistics(gpu, plane, &z, [norm.mean, norm.var], fresh, sizes.momentum, sizes.eps);
    let spread = Spread::InvStd(&stats.inv_std);
    let (gamma, beta, relu) = (norm.gamma, norm.beta, sizes.relu);
    let y = norm::apply(gpu, plane, Apply { z: &z, mean: &stats.mean, spread, gamma, beta, residual, relu });
    Trained { y, z, mean: stats.mean, inv_std: stats.inv_std }
}

/// Forward by the running statistics.
pub fn eval<G: Gpu>(
    gpu: &G,
    sizes: &Sizes,
    x: &G::Buffer,
    weight: &G::Buffer,
    norm: &Norm<G::Buffer>,
    residual: Option<&G::Buffer>,
) -> G::Buffer {
    let variant = Variant::choose(&gpu.adapter());
    let z = conv::forward(gpu, &sizes.conv, x, weight, variant);
    let spread = Spread::Variance(norm.var, sizes.eps);
    let (gamma, beta, relu) = (norm.gamma, norm.beta, sizes.relu);
    norm::apply(gpu, sizes.plane(), Apply { z: &z, mean: norm.mean, spread, gamma, beta, residual, relu })
}

/// What [`backward`] reads besides the gradient.
pub struct Saved<'a, B> {
    pub x: &'a B,
    pub weight: &'a B,
    pub gamma: &'a B,
    pub y: &'a B,
    pub z: &'a B,
    pub mean: &'a B,
    pub inv_std: &'a B,
}

/// Where the gradients of the parameters go.
pub struct Into<'a, B> {
    pub weight: &'a B,
    pub gamma: &'a B,
    pub beta: &'a B,
}

/// Gradients of the input (plus `add`) and of the residual, where asked for.
#[allow(clippy::too_many_arguments)]
pub fn backward<G: Gpu>(
    gpu: &G,
    sizes: &Sizes,
    grad: &G::Buffer,
    saved: &Saved<G::Buffer>,
    into: &Into<G::Buffer>,
    add: Option<&G::Buffer>,
    input: bool,
    residual: bool,
) -> (Option<G::Buffer>, Option<G::Buffer>) {
    let variant = Variant::choose(&gpu.adapter());
    let norm = norm::Saved {
        z: saved.z,
        y: saved.y,
        relu: sizes.relu,
        gamma: saved.gamma,
        mean: saved.mean,
        inv_std: saved.inv_std,
    };
    // Without a ReLU the residual's gradient is the output's.
    let masked = residual && sizes.relu;
    let (dz, dres) = norm::backward(gpu, sizes.plane(), grad, &norm, [into.gamma, into.beta], masked);
    let dres = if residual && !sizes.relu { Some(grad.clone()) } else { dres };
    weight_gradient::run(gpu, &sizes.conv, saved.x, &dz, into.weight, variant);
    let dx = input.then(|| conv::input_gradient(gpu, &sizes.conv, &dz, saved.weight, add, variant));
    (dx, dres)
}
