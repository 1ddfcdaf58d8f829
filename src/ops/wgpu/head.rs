//! Global average pool, the head's matrix product and the loss, as dispatches: small next to the convolutions, so they
//! are written for few launches and no surprises.

use super::launch::{Gpu, Kernel, Launch};
use crate::ops::Storage;

/// Sizes of a head.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    pub batch: usize,
    /// Height × width of what is averaged.
    pub pixels: usize,
    pub features: usize,
    pub classes: usize,
    /// Of what is averaged and of the averages; the rest is `f32`.
    pub storage: Storage,
}

impl Head {
    /// Bytes of what is averaged.
    fn bytes(&self) -> usize {
        self.storage.bytes() * self.batch * self.pixels * self.features
    }

    fn vector(&self) -> (u32, usize) {
        if self.features.is_multiple_of(4) { (1, self.features / 4) } else { (0, self.features) }
    }
}

/// One of the head's kernels: its name and its template.
type Source = (&'static str, &'static str);

/// A kernel that touches little: a product of features and classes.
fn small<G: Gpu>(gpu: &G, (name, template): Source, head: &Head, total: usize, params: [usize; 4]) -> Launch {
    let threads = gpu.adapter().threads();
    let kernel = Kernel::new(name, template, threads).storing(head.storage);
    Launch::linear(kernel, params.map(|p| p as u32).to_vec(), total.div_ceil(threads as usize))
}

/// The dispatches of a kernel that touches all pixels, with an invocation for each image and column.
fn large<G: Gpu>(gpu: &G, (name, template): Source, head: &Head) -> impl Iterator<Item = Launch> {
    let (v, columns) = head.vector();
    let adapter = gpu.adapter();
    let kernel = Kernel::new(name, template, adapter.threads()).storing(head.storage).with("V", v);
    let total = head.batch * columns;
    let params = [total, columns, head.pixels, head.classes].map(|p| p as u32);
    Launch::portions(kernel, total, head.bytes() as u64, adapter.portion, move |first| {
        params.into_iter().chain([first]).collect()
    })
}

/// Features `[N, C]` and logits `[N, K]` of `x` `[N, H, W, C]`.
pub fn forward<G: Gpu>(
    gpu: &G,
    head: &Head,
    x: &G::Buffer,
    weight: &G::Buffer,
    bias: &G::Buffer,
) -> (G::Buffer, G::Buffer) {
    let features = gpu.empty(head.storage.bytes() * head.batch * head.features);
    for launch in large(gpu, ("head_pool", include_str!("../../../shaders/head_pool.wgsl")), head) {
        gpu.dispatch(launch, &[x, &features]);
    }
    let total = head.batch * head.classes;
    let logits = gpu.empty(4 * total);
    let source = ("head_linear", include_str!("../../../shaders/head_linear.wgsl"));
    let launch = small(gpu, source, head, total, [total, head.features, head.classes, 0]);
    gpu.dispatch(launch, &[&features, weight, bias, &logits]);
    (features, logits)
}

/// Gradients of the weight and the bias into `dw` and `db`, and the input's `[N, H, W, C]` where asked for.
#[allow(clippy::too_many_arguments)]
pub fn backward<G: Gpu>(
    gpu: &G,
    head: &Head,
    grad: &G::Buffer,
    features: &G::Buffer,
    weight: &G::Buffer,
    dw: &G::Buffer,
    db: &G::Buffer,
    input: bool,
) -> Option<G::Buffer> {
    let total = (head.features + 1) * head.classes;
    let source = ("head_backward_weight", include_str!("../../../shaders/head_backward_weight.wgsl"));
    let launch = small(gpu, source, head, total, [head.batch, head.features, head.classes, 0]);
    gpu.dispatch(launch, &[grad, features, dw, db]);
    input.then(|| {
        let dx = gpu.empty(head.bytes());
        let source = ("head_backward_input", include_str!("../../../shaders/head_backward_input.wgsl"));
        for launch in large(gpu, source, head) {
            gpu.dispatch(launch, &[grad, weight, &dx]);
        }
        dx
    })
}

/// Targets of a batch on the device.
pub struct Labels<'a, B> {
    /// `i32`
    pub first: &'a B,
    /// `i32`
    pub second: &'a B,
    /// `f32`, the weight of the first label.
    pub share: &'a B,
}

/// What is learned from.
pub struct Objective<'a, B> {
    /// Of the labels.
    pub smoothing: f32,
    /// Of the classes `[K]`, all 1 where not given.
    pub weights: Option<&'a B>,
    /// The status with the scale that the gradient is multiplied by, where one is given.
    pub status: Option<&'a B>,
}

/// What [`cross_entropy`] gives.
pub struct Loss<B> {
    /// Of the mean loss `[N, K]`.
    pub grad: B,
    /// `[3, N]`: each image's own loss, its part in the mean loss (times N), and whether its first label was hit.
    pub outcome: B,
    /// `[2]`
    pub metrics: B,
}

/// Softmax cross-entropy of `logits` `[batch, classes]`; sums of parts and hits are added to `metrics` `[2]`.
pub fn cross_entropy<G: Gpu>(
    gpu: &G,
    [batch, classes]: [usize; 2],
    logits: &G::Buffer,
    labels: &Labels<G::Buffer>,
    metrics: &G::Buffer,
    objective: &Objective<G::Buffer>,
) -> Loss<G::Buffer> {
    let &Objective { smoothing, weights, status } = objective;
    let adapter = gpu.adapter();
    let (grad, outcome) = (gpu.empty(4 * batch * classes), gpu.empty(4 * 3 * batch));
    let threads = adapter.threads().min(32);
    let kernel = Kernel::new("cross_entropy", include_str!("../../../shaders/cross_entropy.wgsl"), threads);
    let share = (1.0 / batch as f32).to_bits();
    let [scaled, weighted] = [status, weights].map(|given| u32::from(given.is_some()));
    let params = vec![batch as u32, classes as u32, smoothing.to_bits(), share, scaled, weighted, 0, 0];
    let launch = Launch::linear(kernel, params, batch.div_ceil(threads as usize));
    let [status, weights] = [status, weights].map(|given| given.unwrap_or(metrics));
    gpu.dispatch(launch, &[logits, labels.first, labels.second, labels.share, &grad, &outcome, status, weights]);
    let after = gpu.empty(8);
    let kernel = Kernel::new("metrics", include_str!("../../../shaders/metrics.wgsl"), 1).with("T", adapter.sharers());
    let launch = Launch::linear(kernel, vec![batch as u32, 0, 0, 0], 1);
    gpu.dispatch(launch, &[&outcome, metrics, &after]);
    Loss { grad, outcome, metrics: after }
}
