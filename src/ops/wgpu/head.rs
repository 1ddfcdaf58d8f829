//! Global average pool, the head's matrix product and the loss, as dispatches: small next to the convolutions, so they
//! are written for few launches and no surprises.

use super::launch::{Cost, Gpu, Kernel, Launch, kernel};
use crate::ops::{
    Objective, Storage,
    wgsl_type::{WgslType, wgsl_struct},
};

/// Sizes of a head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub batch: usize,
    /// Height × width of what is averaged.
    pub pixels: usize,
    pub features: usize,
    pub classes: usize,
    /// Of what is averaged and of the averages; the rest is `f32`.
    pub storage: Storage,
}

wgsl_struct! {
    /// An invocation for each image and column; the dispatch begins with invocation `first`.
    struct HeadGrid { total: u32, columns: u32, pixels: u32, first: u32 }
    struct HeadPoolParams { grid: HeadGrid }
    struct HeadLinearParams { total: u32, features: u32, classes: u32 }
    struct HeadBackwardWeightParams { batch: u32, features: u32, classes: u32 }
    struct HeadBackwardInputParams { grid: HeadGrid, classes: u32 }
    struct CrossEntropyParams { batch: u32, classes: u32, smoothing: f32, inv_batch: f32, scaled: u32, weighted: u32 }
    struct MetricsParams { batch: u32 }
}

impl Head {
    /// Values of what is averaged.
    fn values(&self) -> usize {
        self.batch * self.pixels * self.features
    }

    /// What the product of features and classes costs, with so many values of an activation.
    fn product(&self, role: &'static str, activations: usize) -> Cost {
        let Head { batch, features, classes, storage, .. } = *self;
        let rest = features * classes + batch * classes;
        Cost::new(role, 2 * batch * features * classes, storage.bytes() * activations + 4 * rest)
    }

    /// The dispatches of a kernel that touches all pixels.
    fn over_pixels<G: Gpu, P: WgslType>(
        &self,
        gpu: &G,
        kernel: Kernel,
        cost: Cost,
        params: impl Fn(HeadGrid) -> P,
    ) -> impl Iterator<Item = Launch> {
        let adapter = gpu.adapter();
        let vector = self.features.is_multiple_of(4);
        let columns = if vector { self.features / 4 } else { self.features };
        let total = self.batch * columns;
        let grid = HeadGrid { total: total as u32, columns: columns as u32, pixels: self.pixels as u32, first: 0 };
        let kernel = kernel.threads(adapter.threads()).storing(self.storage).with("V", u32::from(vector));
        Launch::split(kernel, total, cost, adapter.limit, move |first| params(HeadGrid { first, ..grid }))
    }
}

/// Features `[N, C]` and logits `[N, K]` of `x` `[N, H, W, C]`.
pub(crate) fn forward<G: Gpu>(
    gpu: &G,
    head: &Head,
    x: &G::Buffer,
    weight: &G::Buffer,
    bias: &G::Buffer,
) -> (G::Buffer, G::Buffer) {
    let Head { batch, storage, .. } = *head;
    let count = batch * head.features;
    let features = gpu.empty(storage.bytes() * count);
    let cost = Cost::new("averages", head.values(), storage.bytes() * (head.values() + count));
    let launches = head.over_pixels(gpu, kernel!("head_pool"), cost, |grid| HeadPoolParams { grid });
    launches.for_each(|launch| gpu.dispatch(launch, &[x, &features]));
    let total = batch * head.classes;
    let logits = gpu.empty(4 * total);
    let kernel = kernel!("head_linear").threads(gpu.adapter().threads()).storing(storage);
    let params = HeadLinearParams { total: total as u32, features: head.features as u32, classes: head.classes as u32 };
    let launch = Launch::linear(kernel, &params, total, head.product("logits", count));
    gpu.dispatch(launch, &[&features, weight, bias, &logits]);
    (features, logits)
}

/// What [`backward`] reads.
pub(crate) struct Saved<'a, B> {
    /// Gradient of the logits.
    pub grad: &'a B,
    pub features: &'a B,
    pub weight: &'a B,
}

/// Gradients of the weight and the bias into `dw` and `db`, and the input's `[N, H, W, C]` where asked for.
pub(crate) fn backward<G: Gpu>(
    gpu: &G,
    head: &Head,
    saved: &Saved<G::Buffer>,
    [dw, db]: [&G::Buffer; 2],
    input: bool,
) -> Option<G::Buffer> {
    let Head { batch, features, classes, storage, .. } = *head;
    let kernel = kernel!("head_backward_weight").threads(gpu.adapter().threads()).storing(storage);
    let params = HeadBackwardWeightParams { batch: batch as u32, features: features as u32, classes: classes as u32 };
    let cost = head.product("gradient of the head's weight", batch * features);
    let launch = Launch::linear(kernel, &params, (features + 1) * classes, cost);
    gpu.dispatch(launch, &[saved.grad, saved.features, dw, db]);
    input.then(|| {
        let dx = gpu.empty(storage.bytes() * head.values());
        let cost = head.product("gradient of the averages", head.values());
        let params = |grid| HeadBackwardInputParams { grid, classes: classes as u32 };
        let launches = head.over_pixels(gpu, kernel!("head_backward_input"), cost, params);
        launches.for_each(|launch| gpu.dispatch(launch, &[saved.grad, saved.weight, &dx]));
        dx
    })
}

/// The labels of a batch on the device.
pub struct Targets<B> {
    /// `i32`
    pub(crate) first: B,
    /// `i32`
    pub(crate) second: B,
    /// `f32`, the weight of the first label.
    pub(crate) lambda: B,
}

/// What [`cross_entropy`] gives.
pub(crate) struct Loss<B> {
    /// Of the mean loss `[N, K]`.
    pub grad: B,
    /// `[3, N]`: each image's own loss, its part in the mean loss (times N), and whether its first label was hit.
    pub outcome: B,
    /// `[2]`
    pub metrics: B,
}

/// Softmax cross-entropy of `logits` `[batch, classes]`; sums of parts and hits are added to `metrics` `[2]`.
pub(crate) fn cross_entropy<G: Gpu>(
    gpu: &G,
    [batch, classes]: [usize; 2],
    logits: &G::Buffer,
    targets: &Targets<G::Buffer>,
    metrics: &G::Buffer,
    objective: &Objective<G::Buffer>,
) -> Loss<G::Buffer> {
    let &Objective { smoothing, weights, status } = objective;
    let adapter = gpu.adapter();
    let (grad, outcome) = (gpu.empty(4 * batch * classes), gpu.empty(4 * 3 * batch));
    let kernel = kernel!("cross_entropy").threads(adapter.threads().min(32));
    let [scaled, weighted] = [status, weights].map(|given| u32::from(given.is_some()));
    let params = CrossEntropyParams {
        batch: batch as u32,
        classes: classes as u32,
        smoothing,
        inv_batch: 1.0 / batch as f32,
        scaled,
        weighted,
    };
    let cost = Cost::new("losses and their gradient", 8 * batch * classes, 4 * 2 * batch * classes);
    let [status, weights] = [status, weights].map(|given| given.unwrap_or(metrics));
    let buffers = [logits, &targets.first, &targets.second, &targets.lambda, &grad, &outcome, status, weights];
    gpu.dispatch(Launch::linear(kernel, &params, batch, cost), &buffers);
    let after = gpu.empty(8);
    let kernel = kernel!("metrics").with("T", adapter.sharers());
    let cost = Cost::new("sums of losses and hits", 2 * batch, 4 * (2 * batch + 4));
    gpu.dispatch(Launch::linear(kernel, &MetricsParams { batch: batch as u32 }, 1, cost), &[&outcome, metrics, &after]);
    Loss { grad, outcome, metrics: after }
}
