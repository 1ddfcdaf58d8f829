//! The operations written with plain burn tensors: short, slow, and right. They are the oracle that the fast ones are held
//! against, and what `--ops reference` measures: burn's stock kernels, differentiated by burn's `Autodiff`, which so stays
//! an independent judge of every gradient.

use super::{
    Activation, Batch, ConvBn, ConvBnInput, HeadOutput, HeadTensors, InputGradients, Loss, Needs, Objective, Ops,
    Pixels, Profile, Storage, Timer, Transfer, UpdateState, Window,
    layout::{Arena, Layout, Part, Slots},
    optimizers::{Factors, Rates, Status, Update},
    sample,
};
use burn::tensor::{
    Device, Gradients, Int, Tensor, TensorData, Transaction,
    activation::{log_softmax, relu, silu},
    module::{avg_pool2d, batch_norm_train, conv2d, max_pool2d},
    ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions, PadMode},
};
use std::sync::Arc;

/// Plain burn operations on a device.
#[derive(Clone)]
pub struct Reference {
    /// Where tensors live.
    pub device: Device,
    /// Counts what is run.
    pub profile: Arc<Profile>,
}

/// What a batch should be classified as, `[N]` each.
pub struct Targets {
    pub(crate) first: Tensor<1, Int>,
    pub(crate) second: Tensor<1, Int>,
    /// Weight of the first label.
    pub(crate) lambda: Tensor<1>,
}

/// A convolution's output, and what it was made of, as burn's autodiff remembers it.
pub struct Saved {
    y: Tensor<4>,
    x: Tensor<4>,
    weight: Tensor<4>,
    gamma: Tensor<4>,
    beta: Tensor<4>,
    residual: Option<Tensor<4>>,
}

fn to_nchw(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 3, 1, 2])
}

fn to_nhwc(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 2, 3, 1])
}

/// All values in a row.
fn row(x: Tensor<4>) -> Tensor<1> {
    let count: usize = x.dims().iter().product();
    x.reshape([count])
}

/// A matrix.
fn plane(x: Tensor<4>) -> Tensor<2> {
    let [.., rows, columns] = x.dims();
    x.reshape([rows, columns])
}

/// Something to differentiate by.
fn leaf(x: &Tensor<4>) -> Tensor<4> {
    x.clone().autodiff().require_grad()
}

/// The gradients of all leaves below `y` for the gradient `grad` of it.
fn backward(y: Tensor<4>, grad: Tensor<4>) -> Gradients {
    (y * grad.autodiff()).sum().backward()
}

/// The gradient of a leaf, zero where nothing came of it.
fn gradient(leaf: &Tensor<4>, gradients: &Gradients) -> Tensor<4> {
    leaf.grad(gradients).unwrap_or_else(|| leaf.clone().without_autodiff().zeros_like())
}

/// The window's padding as far as burn's operation can do it, the rest filled with `value` beforehand.
fn pad(x: Tensor<4>, window: Window, value: f32) -> (Tensor<4>, [usize; 2]) {
    let [[top, bottom], [left, right]] = window.pad;
    if top == bottom && left == right {
        (x, [top, left])
    } else {
        (x.pad((left, right, top, bottom), PadMode::Constant(value)), [0, 0])
    }
}

/// `[N, Ci, H, W]` by `[kh, kw, Ci / groups, Co]` to `[N, Co, oh, ow]`.
fn convolve(x: Tensor<4>, weight: Tensor<4>, op: &ConvBn) -> Tensor<4> {
    let (x, padding) = pad(x, op.window, 0.0);
    conv2d(x, weight.permute([3, 2, 0, 1]), None, ConvOptions::new(op.window.stride, padding, [1, 1], op.groups))
}

fn finish(y: Tensor<4>, residual: Option<Tensor<4>>, op: &ConvBn) -> Tensor<4> {
    let y = match residual {
        Some(residual) => y + residual,
        None => y,
    };
    match op.activation {
        Activation::None => y,
        Activation::Relu => relu(y),
        Activation::Relu6 => relu(y).clamp_max(6.0),
    }
}

fn max_pool(x: Tensor<4>, window: Window) -> Tensor<4> {
    let (x, padding) = pad(to_nchw(x), window, f32::MIN);
    let options = MaxPoolOptions::new(window.kernel).with_stride(window.stride).with_padding(padding);
    to_nhwc(max_pool2d(x, options))
}

/// The sums under the windows, over the number of values that each has of the image.
fn average_pool(x: Tensor<4>, window: Window) -> Tensor<4> {
    let sums = |x: Tensor<4>| {
        let (x, padding) = pad(x, window, 0.0);
        avg_pool2d(x, AvgPoolOptions::new(window.kernel).with_stride(window.stride).with_padding(padding))
    };
    let [_, h, w, _] = x.dims();
    let counts = sums(Tensor::ones([1, 1, h, w], &x.device()));
    to_nhwc(sums(to_nchw(x)) / counts)
}

/// Features and logits `[1, 1, N, …]`.
fn head(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<4>) -> HeadOutput<Tensor<4>> {
    let [n, h, w, c] = x.dims();
    let features = x.reshape([1, n, h * w, c]).mean_dim(2).reshape([1, 1, n, c]);
    HeadOutput { logits: features.clone().matmul(weight) + bias, features }
}

/// Softmax cross-entropy of `[N, K]`, one loss a sample: `[N]`. With class weights `[K]` the losses are those parts of
/// the weighted mean whose plain mean it is.
fn cross_entropy(logits: Tensor<2>, targets: &Targets, smoothing: f32, weights: Option<&Tensor<1>>) -> Tensor<1> {
    let [n, classes] = logits.dims();
    let log_p = log_softmax(logits, 1);
    let weighted = match weights {
        Some(weights) => log_p * weights.clone().reshape([1, classes]),
        None => log_p,
    };
    let mixed = |first: Tensor<1>, second: Tensor<1>| {
        let lambda = targets.lambda.clone();
        first * lambda.clone() + second * (lambda.neg() + 1.0)
    };
    let pick = |label: &Tensor<1, Int>| weighted.clone().gather(1, label.clone().reshape([n, 1])).reshape([n]);
    let hard = mixed(pick(&targets.first), pick(&targets.second));
    let even = weighted.clone().sum_dim(1).reshape([n]) / classes as f32;
    let losses = (hard * (1.0 - smoothing) + even * smoothing).neg();
    match weights {
        Some(weights) => {
            let of = |label: &Tensor<1, Int>| weights.clone().gather(0, label.clone());
            losses * n as f32 / mixed(of(&targets.first), of(&targets.second)).sum()
        }
        None => losses,
    }
}

impl Reference {
    fn tensor(&self, values: Vec<f32>, shape: [usize; 4]) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    fn values(&self, tensor: &Tensor<4>) -> Vec<f32> {
        tensor.to_data().iter::<f32>().collect()
    }
}

/// Puts tensors into neighbouring places of an arena.
fn put<const N: usize>(slots: Slots<Vec<Tensor<4>>>, tensors: [Tensor<4>; N]) {
    for (i, tensor) in tensors.into_iter().enumerate() {
        let shape = slots.arena.layout.parts[slots.at + i].shape;
        slots.arena.memory[slots.at + i - slots.arena.first] = tensor.reshape(shape);
    }
}

impl Ops for Reference {
    type Tensor = Tensor<4>;
    type Targets = Targets;
    /// Each tensor by itself.
    type Memory = Vec<Tensor<4>>;
    type Saved = Saved;
    type Factors = Vec<Factors>;

    fn span(&self, name: &dyn Fn() -> String) -> Option<Timer<'_>> {
        self.profile.time(name)
    }

    fn upload(&self, values: &[f32]) -> Tensor<4> {
        self.tensor(values.to_vec(), [1, 1, 1, values.len()])
    }

    fn empty(&self, layout: &Arc<Layout>, first: usize) -> Arena<Vec<Tensor<4>>> {
        let memory = layout.parts[first..].iter().map(|part| Tensor::zeros(part.shape, &self.device)).collect();
        Arena { layout: layout.clone(), first, memory }
    }

    fn zeros(&self, layout: &Arc<Layout>, first: usize) -> Arena<Vec<Tensor<4>>> {
        self.empty(layout, first)
    }

    fn fill(
        &self,
        layout: &Arc<Layout>,
        first: usize,
        mut write: impl FnMut(usize, &mut [f32]),
    ) -> Arena<Vec<Tensor<4>>> {
        let tensor = |(i, part): (usize, &Part)| {
            let mut values = vec![0.0; part.count()];
            write(first + i, &mut values);
            self.tensor(values, part.shape)
        };
        let memory = layout.parts[first..].iter().enumerate().map(tensor).collect();
        Arena { layout: layout.clone(), first, memory }
    }

    fn overlay(&self, onto: &mut Arena<Vec<Tensor<4>>>, from: &Arena<Vec<Tensor<4>>>) {
        let first = onto.first.max(from.first);
        let tensors = from.memory[first - from.first..].iter().cloned();
        onto.memory.splice(first - onto.first.., tensors);
    }

    fn view(&self, arena: &Arena<Vec<Tensor<4>>>, tensor: usize) -> Tensor<4> {
        arena.memory[tensor - arena.first].clone()
    }

    fn factors(&self, _: &Layout, _: usize, factors: &[Factors]) -> Vec<Factors> {
        factors.to_vec()
    }

    fn conv_bn_train(
        &self,
        op: &ConvBn,
        ConvBnInput { x, layer, residual }: ConvBnInput<Tensor<4>>,
        fresh: Slots<Vec<Tensor<4>>>,
    ) -> (Tensor<4>, Saved) {
        let [x, weight, gamma, beta] = [x, &layer.weight, &layer.gamma, &layer.beta].map(leaf);
        let residual = residual.map(leaf);
        let z = convolve(to_nchw(x.clone()), weight.clone(), op);
        let [n, _, h, w] = z.dims();
        let out = batch_norm_train(z, row(gamma.clone()), row(beta.clone()), op.eps.into());
        let count = (n * h * w) as f32;
        // PyTorch keeps the unbiased variance; one value has none.
        let unbiased = out.variance * (count / (count - 1.0).max(1.0));
        let channels = layer.mean.dims();
        let blend = |old: Tensor<4>, new: Tensor<1>| {
            old * (1.0 - op.momentum) + new.without_autodiff().reshape(channels) * op.momentum
        };
        put(fresh, [blend(layer.mean, out.mean), blend(layer.var, unbiased)]);
        let y = finish(to_nhwc(out.output), residual.clone(), op);
        (y.clone().without_autodiff(), Saved { y, x, weight, gamma, beta, residual })
    }

    fn conv_bn_backward(
        &self,
        _: &ConvBn,
        grad: Tensor<4>,
        saved: Saved,
        add: Option<Tensor<4>>,
        needs: Needs,
        into: Slots<Vec<Tensor<4>>>,
    ) -> InputGradients<Tensor<4>> {
        let gradients = backward(saved.y, grad);
        put(into, [&saved.weight, &saved.gamma, &saved.beta].map(|leaf| gradient(leaf, &gradients)));
        let x = needs.input.then(|| gradient(&saved.x, &gradients));
        let x = match (x, add) {
            (Some(x), Some(add)) => Some(x + add),
            (x, _) => x,
        };
        let residual = saved.residual.filter(|_| needs.residual);
        InputGradients { x, residual: residual.map(|residual| gradient(&residual, &gradients)) }
    }

    fn conv_bn_eval(&self, op: &ConvBn, ConvBnInput { x, layer, residual }: ConvBnInput<Tensor<4>>) -> Tensor<4> {
        let scale = layer.gamma / (layer.var + op.eps).sqrt();
        let shift = layer.beta - layer.mean * scale.clone();
        let z = to_nhwc(convolve(to_nchw(x.clone()), layer.weight, op));
        finish(z * scale + shift, residual.cloned(), op)
    }

    fn max_pool(&self, window: Window, x: &Tensor<4>) -> Tensor<4> {
        max_pool(x.clone(), window)
    }

    fn max_pool_backward(&self, window: Window, grad: Tensor<4>, x: &Tensor<4>, _: &Tensor<4>) -> Tensor<4> {
        let x = leaf(x);
        gradient(&x, &backward(max_pool(x.clone(), window), grad))
    }

    fn average_pool(&self, window: Window, x: &Tensor<4>) -> Tensor<4> {
        average_pool(x.clone(), window)
    }

    fn average_pool_backward(&self, window: Window, grad: Tensor<4>, [h, w]: [usize; 2]) -> Tensor<4> {
        let [n, .., c] = grad.dims();
        // A mean has the same gradient wherever it is taken.
        let x = leaf(&Tensor::zeros([n, h, w, c], &self.device));
        gradient(&x, &backward(average_pool(x.clone(), window), grad))
    }

    fn silu(&self, x: &Tensor<4>) -> Tensor<4> {
        silu(x.clone())
    }

    fn silu_backward(&self, grad: Tensor<4>, x: &Tensor<4>) -> Tensor<4> {
        let x = leaf(x);
        gradient(&x, &backward(silu(x.clone()), grad))
    }

    fn head(&self, x: &Tensor<4>, tensors: &HeadTensors<Tensor<4>>) -> HeadOutput<Tensor<4>> {
        head(x.clone(), tensors.weight.clone(), tensors.bias.clone())
    }

    fn head_backward(
        &self,
        grad: Tensor<4>,
        features: &Tensor<4>,
        weight: &Tensor<4>,
        pixels: Option<[usize; 2]>,
        into: Slots<Vec<Tensor<4>>>,
    ) -> Option<Tensor<4>> {
        let [.., n, c] = features.dims();
        let [.., k] = weight.dims();
        // An image of one pixel has the features for its mean.
        let x = leaf(&features.clone().reshape([n, 1, 1, c]));
        let (weight, bias) = (leaf(weight), leaf(&Tensor::zeros([1, 1, 1, k], &self.device)));
        let gradients = backward(head(x.clone(), weight.clone(), bias.clone()).logits, grad);
        put(into, [&weight, &bias].map(|leaf| gradient(leaf, &gradients)));
        pixels.map(|[h, w]| gradient(&x, &gradients).expand([n, h, w, c]) / (h * w) as f32)
    }

    fn cross_entropy(
        &self,
        logits: &Tensor<4>,
        targets: &Targets,
        Objective { smoothing, weights, status }: Objective<Tensor<4>>,
        metrics: &mut Tensor<4>,
    ) -> Loss<Tensor<4>> {
        let weights = weights.map(|weights| row(weights.clone()));
        let tracked = leaf(logits);
        let parts = cross_entropy(plane(tracked.clone()), targets, smoothing, weights.as_ref());
        let scale = status.map_or(1.0, |status| Status::of(&self.values(status)).scale);
        let gradients = (parts.clone().mean() * scale).backward();
        let (parts, plain) = (parts.without_autodiff(), plane(logits.clone()));
        let n = parts.dims()[0];
        let hit = plain.clone().argmax(1).reshape([n]).equal(targets.first.clone());
        let own = Tensor::cat(vec![parts.clone().sum(), hit.float().sum()], 0);
        *metrics = metrics.clone() + own.reshape([1, 1, 1, 2]);
        let losses = match weights {
            Some(_) => cross_entropy(plain, targets, smoothing, None),
            None => parts,
        };
        Loss { gradient: gradient(&tracked, &gradients), losses: losses.reshape([1, 1, 1, n]) }
    }

    /// Reads the gradients' norm back to decide, so it waits for the device once a step.
    fn update(&self, state: UpdateState<Self>, update: &Update) {
        let UpdateState { parameters, gradients, states, mut average, statistics, fresh, status, factors } = state;
        let before = Status::of(&self.values(status));
        let scale = if update.scaled { before.scale } else { 1.0 };
        let rows: Vec<Tensor<1>> = gradients.memory.into_iter().map(|g| row(g) / scale).collect();
        let squares: Vec<Tensor<1>> = rows.iter().map(|g| g.clone().powf_scalar(2.0).sum()).collect();
        let norm = Tensor::cat(squares, 0).sum().sqrt().into_scalar::<f32>();
        let (after, go) = before.after(norm, update.scaled);
        *status = self.upload(&after.values());
        if !go {
            return;
        }
        let clip = if update.clip_norm > 0.0 { (update.clip_norm / (norm + 1e-6)).min(1.0) } else { 1.0 };
        for (i, (g, factors)) in rows.into_iter().zip(factors).enumerate() {
            let rates = Rates {
                lr: update.lr * factors.lr,
                weight_decay: update.weight_decay * factors.weight_decay,
                scale: clip / scale,
                step: update.step,
            };
            let place = &mut parameters.memory[gradients.first + i - parameters.first];
            let shape = place.dims();
            let mut own: Vec<_> = states.iter().map(|state| row(state.memory[i].clone())).collect();
            let w = update.rule.tensors(rates, row(place.clone()), g * clip, &mut own);
            *place = w.reshape(shape);
            for (state, own) in states.iter_mut().zip(own) {
                state.memory[i] = own.reshape(shape);
            }
            if let Some(average) = &mut average {
                let (keep, new) = (update.ema_decay, 1.0 - update.ema_decay);
                average.memory[i] = average.memory[i].clone() * keep + place.clone() * new;
            }
        }
        let first = fresh.first - statistics.first;
        statistics.memory.splice(first.., fresh.memory);
    }
}

impl Transfer for Reference {
    fn batch(&self, batch: &Batch, storage: Storage) -> (Tensor<4>, Targets) {
        let x = match batch.pixels {
            Pixels::Values(values, shape) => {
                Tensor::from_data(TensorData::new(values.to_vec(), shape), (&self.device, storage.dtype()))
            }
            Pixels::Bytes { images, rules } => images.tensor(batch.samples, rules, storage),
        };
        let n = batch.samples.len();
        let [first, second] =
            sample::labels(batch.samples).map(|labels| Tensor::from_data(TensorData::new(labels, [n]), &self.device));
        let lambda = TensorData::new(sample::lambdas(batch.samples), [n]);
        (x, Targets { first, second, lambda: Tensor::from_data(lambda, &self.device) })
    }

    fn read(&self, tensors: Vec<Tensor<4>>) -> Vec<Vec<f32>> {
        if tensors.is_empty() {
            return Vec::new();
        }
        self.profile.wait();
        let all = tensors.into_iter().fold(Transaction::default(), |all, tensor| all.register(tensor));
        all.execute().into_iter().map(|data| data.iter::<f32>().collect()).collect()
    }
}
