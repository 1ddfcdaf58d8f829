//! The operations on the CPU: slices of recycled memory for the functions of this folder.

use super::{
    BatchNorm, ConvBnGradients, Geometry, Hyper, Level, Parameter, Statistics, Targets,
    element::{self, Bf16, Element, PIECE, converted},
    folded::FoldedLayers,
    memory::{Array, Memory, slots, tensors_mut, with_values_of, within},
    optim::optimise,
    pool,
};
use crate::ops::{
    Activation, Batch, ConvBn, ConvBnInput, ConvBnSaved, HeadOutput, HeadTensors, InputGradients, LayerTensors, Loss,
    Needs, Objective, Ops, Pixels, Profile, Storage, Timer, Transfer, UpdateState, Window,
    layout::{Arena, Layout, Slots},
    optimizers::{Factors, Status, Update},
    sample,
};
use rayon::prelude::*;
use std::{ops::Deref, sync::Arc};

/// What a batch should be classified as.
pub struct Labels {
    first: Vec<i32>,
    second: Vec<i32>,
    /// Of the first label.
    lambda: Vec<f32>,
}

/// The CPU.
#[derive(Clone, Default)]
pub struct Cpu {
    profile: Arc<Profile>,
    folded: Arc<FoldedLayers>,
}

impl Cpu {
    /// One that tells `profile` what takes how long.
    pub(crate) fn new(profile: Arc<Profile>) -> Self {
        Self { profile, folded: Arc::default() }
    }
}

/// `to += from`
fn add_to<E: Element>(to: &mut [E], from: &[E]) {
    to.par_chunks_mut(PIECE).zip(from.par_chunks(PIECE)).for_each(|(to, from)| {
        for (to, from) in to.iter_mut().zip(from) {
            *to = E::narrow(to.widen() + from.widen());
        }
    });
}

fn geometry(op: &ConvBn, x: &Array, weight: &Array) -> Geometry {
    Geometry { input: x.shape, co: weight.shape[3], window: op.window, groups: op.groups }
}

fn kernel_input<'a, E: Element>(
    op: &ConvBn,
    x: &'a Array,
    layer: &'a LayerTensors<Array>,
    residual: Option<&'a Array>,
) -> super::ConvBnInput<'a, E> {
    super::ConvBnInput {
        geometry: geometry(op, x, &layer.weight),
        x: x.values(),
        w: &layer.weight,
        gamma: &layer.gamma,
        beta: &layer.beta,
        residual: residual.map(Array::values),
        activation: op.activation,
    }
}

/// What a pool makes of images of this shape.
fn pooled(window: Window, [n, h, w, c]: [usize; 4]) -> [usize; 4] {
    let [oh, ow] = window.output([h, w]);
    [n, oh, ow, c]
}

fn conv_bn_train<E: Element>(
    op: &ConvBn,
    ConvBnInput { x, layer, residual }: ConvBnInput<Array>,
    mut fresh: Slots<Memory>,
) -> (Array, ConvBnSaved<Array>) {
    let input = kernel_input::<E>(op, x, &layer, residual);
    let geometry = input.geometry;
    let (mut z, mut y) = (element::take::<E>(geometry.output_len()), element::take::<E>(geometry.output_len()));
    let (mut mean, mut inv_std) = (element::take(geometry.co), element::take(geometry.co));
    let [running_mean, running_var] = slots(&mut fresh);
    running_mean.copy_from_slice(&layer.mean);
    running_var.copy_from_slice(&layer.var);
    let statistics = Statistics { mean: &mut mean, inv_std: &mut inv_std, running_mean, running_var };
    let bn = BatchNorm { momentum: op.momentum, eps: op.eps };
    super::conv_bn_train(Level::best(), &input, bn, &mut z, &mut y, statistics);
    let y = Array::new(y, geometry.output());
    let saved = ConvBnSaved {
        x: x.clone(),
        weight: layer.weight,
        gamma: layer.gamma,
        beta: layer.beta,
        y: y.clone(),
        z: Array::new(z, geometry.output()),
        mean: Array::vector(mean),
        inv_std: Array::vector(inv_std),
    };
    (y, saved)
}

fn conv_bn_backward<E: Element>(
    op: &ConvBn,
    grad: Array,
    saved: &ConvBnSaved<Array>,
    add: Option<Array>,
    needs: Needs,
    mut into: Slots<Memory>,
) -> InputGradients<Array> {
    let geometry = geometry(op, &saved.x, &saved.weight);
    let mut x = needs.input.then(|| element::take::<E>(geometry.input_len()));
    // Without an activation the residual's gradient is the output's, so nothing is written.
    let mut residual =
        (needs.residual && op.activation != Activation::None).then(|| element::take::<E>(geometry.output_len()));
    let [weight, gamma, beta] = slots(&mut into);
    let forward = super::ConvBnSaved {
        geometry,
        x: saved.x.values(),
        w: &saved.weight,
        gamma: &saved.gamma,
        beta: &saved.beta,
        y: saved.y.values(),
        z: saved.z.values(),
        mean: &saved.mean,
        inv_std: &saved.inv_std,
        activation: op.activation,
        residual: op.residual,
    };
    let gradients =
        ConvBnGradients { x: x.as_deref_mut(), w: Some(weight), gamma, beta, residual: residual.as_deref_mut() };
    super::conv_bn_backward::<E>(Level::best(), grad.values(), &forward, gradients);
    if let (Some(x), Some(add)) = (&mut x, &add) {
        add_to::<E>(x, add.values());
    }
    let residual = match residual {
        Some(residual) => Some(Array::new(residual, geometry.output())),
        None => needs.residual.then_some(grad),
    };
    InputGradients { x: x.map(|x| Array::new(x, geometry.input)), residual }
}

impl Ops for Cpu {
    type Tensor = Array;
    type Targets = Labels;
    type Memory = Memory;
    type Saved = ConvBnSaved<Array>;
    type Factors = Vec<Factors>;

    fn span(&self, name: &dyn Fn() -> String) -> Option<Timer<'_>> {
        self.profile.time(name)
    }

    fn upload(&self, values: &[f32]) -> Array {
        let mut buffer = element::take(values.len());
        buffer.copy_from_slice(values);
        Array::vector(buffer)
    }

    fn empty(&self, layout: &Arc<Layout>, first: usize) -> Arena<Memory> {
        let range = layout.from(first);
        let memory = Memory { data: Arc::new(pool::take(range.len())), start: range.start };
        Arena { layout: layout.clone(), first, memory }
    }

    fn zeros(&self, layout: &Arc<Layout>, first: usize) -> Arena<Memory> {
        let mut arena = self.empty(layout, first);
        arena.memory.values_mut().fill(0.0);
        arena
    }

    fn fill(&self, layout: &Arc<Layout>, first: usize, mut write: impl FnMut(usize, &mut [f32])) -> Arena<Memory> {
        let mut arena = self.empty(layout, first);
        tensors_mut(&mut arena, first).enumerate().for_each(|(i, tensor)| write(first + i, tensor));
        arena
    }

    fn overlay(&self, onto: &mut Arena<Memory>, from: &Arena<Memory>) {
        let start = onto.memory.start.max(from.memory.start);
        let values = &from.memory.data[start - from.memory.start..];
        let at = start - onto.memory.start;
        onto.memory.values_mut()[at..].copy_from_slice(values);
    }

    fn view(&self, arena: &Arena<Memory>, tensor: usize) -> Array {
        let (start, shape) = (within(arena, tensor).start, arena.layout.parts[tensor].shape);
        Array::of_arena(arena.memory.data.clone(), start, shape)
    }

    fn factors(&self, _: &Layout, _: usize, factors: &[Factors]) -> Vec<Factors> {
        factors.to_vec()
    }

    fn conv_bn_train(
        &self,
        op: &ConvBn,
        input: ConvBnInput<Array>,
        fresh: Slots<Memory>,
    ) -> (Array, ConvBnSaved<Array>) {
        with_values_of!(input.x, E => conv_bn_train::<E>(op, input, fresh))
    }

    fn conv_bn_backward(
        &self,
        op: &ConvBn,
        grad: Array,
        saved: ConvBnSaved<Array>,
        add: Option<Array>,
        needs: Needs,
        into: Slots<Memory>,
    ) -> InputGradients<Array> {
        with_values_of!(grad, E => conv_bn_backward::<E>(op, grad, &saved, add, needs, into))
    }

    fn conv_bn_eval(&self, op: &ConvBn, ConvBnInput { x, layer, residual }: ConvBnInput<Array>) -> Array {
        with_values_of!(x, E => {
            let input = kernel_input::<E>(op, x, &layer, residual);
            let geometry = input.geometry;
            let mut y = element::take::<E>(geometry.output_len());
            let folded = self.folded.of(&input, &layer, op.eps);
            super::conv_bn_eval(Level::best(), &input, &folded, &mut y);
            Array::new(y, geometry.output())
        })
    }

    fn max_pool(&self, window: Window, x: &Array) -> Array {
        let shape = pooled(window, x.shape);
        with_values_of!(x, E => {
            let mut y = element::take::<E>(shape.iter().product());
            super::max_pool(Level::best(), x.shape, window, x.values(), &mut y);
            Array::new(y, shape)
        })
    }

    fn max_pool_backward(&self, window: Window, grad: Array, x: &Array, y: &Array) -> Array {
        with_values_of!(x, E => {
            let mut dx = element::take::<E>(x.shape.iter().product());
            super::max_pool_backward(Level::best(), x.shape, window, grad.values(), x.values(), y.values(), &mut dx);
            Array::new(dx, x.shape)
        })
    }

    fn average_pool(&self, window: Window, x: &Array) -> Array {
        let shape = pooled(window, x.shape);
        with_values_of!(x, E => {
            let mut y = element::take::<E>(shape.iter().product());
            super::average_pool(Level::best(), x.shape, window, x.values(), &mut y);
            Array::new(y, shape)
        })
    }

    fn average_pool_backward(&self, window: Window, grad: Array, [h, w]: [usize; 2]) -> Array {
        let [n, .., c] = grad.shape;
        let shape = [n, h, w, c];
        with_values_of!(grad, E => {
            let mut dx = element::take::<E>(shape.iter().product());
            super::average_pool_backward(Level::best(), shape, window, grad.values(), &mut dx);
            Array::new(dx, shape)
        })
    }

    fn silu(&self, x: &Array) -> Array {
        with_values_of!(x, E => {
            let mut y = element::take::<E>(x.shape.iter().product());
            super::silu(x.values(), &mut y);
            Array::new(y, x.shape)
        })
    }

    fn silu_backward(&self, grad: Array, x: &Array) -> Array {
        with_values_of!(x, E => {
            let mut dx = element::take::<E>(x.shape.iter().product());
            super::silu_backward(grad.values(), x.values(), &mut dx);
            Array::new(dx, x.shape)
        })
    }

    fn head(&self, x: &Array, head: &HeadTensors<Array>) -> HeadOutput<Array> {
        let ([n, _, _, c], k) = (x.shape, head.bias.len());
        let (mut features, mut logits) = (element::take(n * c), element::take(n * k));
        let features = with_values_of!(x, E => {
            let images = x.values::<E>();
            super::head(Level::best(), x.shape, images, &head.weight, &head.bias, &mut features, &mut logits);
            Array::new(converted::<f32, E>(&features), [1, 1, n, c])
        });
        HeadOutput { features, logits: Array::new(logits, [1, 1, n, k]) }
    }

    fn head_backward(
        &self,
        grad: Array,
        features: &Array,
        weight: &Array,
        pixels: Option<[usize; 2]>,
        mut into: Slots<Memory>,
    ) -> Option<Array> {
        let [.., n, c] = features.shape;
        let [h, w] = pixels.unwrap_or([1, 1]);
        let shape = [n, h, w, c];
        let [dw, db] = slots(&mut into);
        with_values_of!(features, E => {
            let features = converted::<E, f32>(features.values());
            let mut dx = pixels.map(|_| element::take::<E>(shape.iter().product()));
            super::head_backward(Level::best(), shape, &grad, &features, weight, dx.as_deref_mut(), dw, db);
            dx.map(|dx| Array::new(dx, shape))
        })
    }

    fn cross_entropy(
        &self,
        logits: &Array,
        targets: &Labels,
        objective: Objective<Array>,
        metrics: &mut Array,
    ) -> Loss<Array> {
        let [.., n, _] = logits.shape;
        let (mut grad, mut losses) = (element::take(logits.len()), element::take(n));
        let Labels { first, second, lambda } = targets;
        let weights = objective.weights.map(Deref::deref);
        let targets = Targets { a: first, b: second, lambda, smoothing: objective.smoothing, weights };
        let [sum, hits] = super::cross_entropy(logits, targets, &mut grad, &mut losses);
        if let Some(status) = objective.status {
            let scale = Status::of(status).scale;
            grad.iter_mut().for_each(|value| *value *= scale);
        }
        *metrics = self.upload(&[metrics[0] + sum, metrics[1] + hits]);
        Loss { gradient: Array::new(grad, logits.shape), losses: Array::vector(losses) }
    }

    fn update(&self, state: UpdateState<Self>, update: &Update) {
        let UpdateState { parameters, gradients, states, average, statistics, fresh, status, factors } = state;
        self.folded.forget();
        let before = Status::of(status);
        let first = gradients.first;
        let mut states: Vec<_> = states.iter_mut().map(|state| tensors_mut(state, first)).collect();
        let mut average = average.map(|average| tensors_mut(average, first));
        let mut work: Vec<Parameter> = tensors_mut(parameters, first)
            .zip(factors)
            .enumerate()
            .map(|(i, (value, factors))| Parameter {
                value,
                gradient: &gradients.memory.data[within(&gradients, first + i)],
                states: states.iter_mut().filter_map(Iterator::next).collect(),
                average: average.as_mut().and_then(Iterator::next),
                weight_decay: update.weight_decay * factors.weight_decay,
                lr_factor: factors.lr,
            })
            .collect();
        let hyper = Hyper {
            rule: update.rule,
            step: update.step,
            lr: update.lr,
            gradient_scale: if update.scaled { 1.0 / before.scale } else { 1.0 },
            clip: (update.clip_norm > 0.0).then_some(update.clip_norm),
            ema_decay: (update.ema_decay > 0.0).then_some(update.ema_decay),
        };
        // After one that was refused nothing is looked at.
        let norm = match before.refused > 0.0 {
            true => before.norm,
            false => optimise(Level::best(), &mut work, &hyper),
        };
        drop(work);
        let (after, go) = before.after(norm, update.scaled);
        *status = self.upload(&after.values());
        // Whoever holds statistics of which none learns keeps them.
        if go && fresh.first < fresh.layout.parts.len() {
            let new = (fresh.first..fresh.layout.parts.len()).map(|tensor| within(&fresh, tensor));
            for (old, new) in tensors_mut(statistics, fresh.first).zip(new) {
                old.copy_from_slice(&fresh.memory.data[new]);
            }
        }
    }
}

impl Transfer for Cpu {
    /// # Panics
    /// For images on a GPU.
    fn batch(&self, batch: &Batch, storage: Storage) -> (Array, Labels) {
        let Pixels::Values(values, shape) = batch.pixels else { unreachable!("only a GPU makes batches of bytes") };
        let ([first, second], lambda) = (sample::labels(batch.samples), sample::lambdas(batch.samples));
        let images = match storage {
            Storage::Bf16 => Array::new(converted::<f32, Bf16>(values), shape),
            _ => Array::new(converted::<f32, f32>(values), shape),
        };
        (images, Labels { first, second, lambda })
    }

    fn read(&self, tensors: Vec<Array>) -> Vec<Vec<f32>> {
        let floats =
            |tensor: &Array| with_values_of!(tensor, E => tensor.values::<E>().iter().map(|v| v.widen()).collect());
        tensors.iter().map(floats).collect()
    }
}
