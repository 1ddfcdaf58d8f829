//! [`Kernels`] for burn's CPU backend: [`super::cpu`]'s functions on slices, with tensors whose memory returns to the
//! pool when the last of them is dropped.

use super::{
    Unit, Window,
    cpu::{self, BatchNorm, ConvBnGradients, ConvBnInput, ConvBnSaved, Geometry, Level, Statistics, pool},
    kernels::{Factors, GradsOf, Kernels, Needs, NormOf, ObjectiveOf, Rule, SavedOf, Status, TrainedOf, Update},
};
use burn::{
    backend::Flex,
    tensor::{Bytes, DType, Shape},
};
use burn_flex::{FlexTensor, Layout};
use rayon::prelude::*;
use std::borrow::Cow;

/// Floats of a piece of an element-wise pass: what stays in a core's cache.
const PIECE: usize = 32 << 10;

fn tensor<const D: usize>(buffer: pool::Buffer, shape: [usize; D]) -> FlexTensor {
    FlexTensor::new(Bytes::from(buffer), Layout::contiguous(Shape::from(shape)), DType::F32)
}

fn dims<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    let shape = tensor.layout().shape();
    std::array::from_fn(|axis| shape[axis])
}

/// A tensor's values; copied only if they are not in order already, which a network's own tensors always are.
fn floats(tensor: &FlexTensor) -> Cow<'_, [f32]> {
    match tensor.as_slice::<f32>() {
        Some(slice) => Cow::Borrowed(slice),
        None => Cow::Owned(tensor.to_contiguous().storage::<f32>().to_vec()),
    }
}

fn buffer_of(tensor: &FlexTensor) -> pool::Buffer {
    let values = floats(tensor);
    let mut buffer = pool::take(values.len());
    buffer.copy_from_slice(&values);
    buffer
}

fn status_of(tensor: &FlexTensor) -> Status {
    Status::of(&floats(tensor))
}

fn geometry(x: &FlexTensor, weight: &FlexTensor, window: Window) -> Geometry {
    let [_, _, _, co] = dims::<4>(weight);
    Geometry { input: dims(x), co, window }
}

fn labels(tensor: &FlexTensor) -> Vec<i32> {
    let tensor = tensor.to_contiguous();
    match tensor.dtype() {
        DType::I64 => tensor.storage::<i64>().iter().map(|&label| label as i32).collect(),
        _ => tensor.storage::<i32>().to_vec(),
    }
}

impl Kernels for Flex {
    fn conv_bn_train(
        x: &FlexTensor,
        weight: &FlexTensor,
        norm: NormOf<Self>,
        residual: Option<FlexTensor>,
        unit: Unit,
    ) -> TrainedOf<Self> {
        let geometry = geometry(x, weight, unit.window);
        let co = geometry.co;
        let (mut z, mut y) = (pool::take(geometry.output_len()), pool::take(geometry.output_len()));
        let (mut mean, mut inv_std) = (pool::take(co), pool::take(co));
        let (mut running_mean, mut running_var) = (buffer_of(&norm.mean), buffer_of(&norm.var));
        let residual = residual.as_ref().map(floats);
        let input = ConvBnInput {
            geometry,
            x: &floats(x),
            w: &floats(weight),
            gamma: &floats(&norm.gamma),
            beta: &floats(&norm.beta),
            residual: residual.as_deref(),
            relu: unit.relu,
        };
        let statistics = Statistics {
            mean: &mut mean,
            inv_std: &mut inv_std,
            running_mean: &mut running_mean,
            running_var: &mut running_var,
        };
        let bn = BatchNorm { momentum: unit.momentum, eps: unit.eps };
        cpu::conv_bn_train(Level::best(), &input, bn, &mut z, &mut y, statistics);
        TrainedOf {
            y: tensor(y, geometry.output()),
            z: tensor(z, geometry.output()),
            mean: tensor(mean, [co]),
            inv_std: tensor(inv_std, [co]),
            running_mean: tensor(running_mean, [co]),
            running_var: tensor(running_var, [co]),
        }
    }

    fn conv_bn_backward(
        grad: FlexTensor,
        saved: SavedOf<Self>,
        add: Option<FlexTensor>,
        unit: Unit,
        needs: Needs,
    ) -> (GradsOf<Self>, Option<FlexTensor>, Option<FlexTensor>) {
        let geometry = geometry(&saved.x, &saved.weight, unit.window);
        let co = geometry.co;
        let mut x = needs.input.then(|| pool::take(geometry.input_len()));
        // Without a ReLU the residual's gradient is the output's, so nothing is written.
        let mut residual = (needs.residual && unit.relu).then(|| pool::take(geometry.output_len()));
        let mut weight = pool::take(geometry.weight_len());
        let (mut gamma, mut beta) = (pool::take(co), pool::take(co));
        let forward = ConvBnSaved {
            geometry,
            x: &floats(&saved.x),
            w: &floats(&saved.weight),
            gamma: &floats(&saved.gamma),
            beta: &floats(&saved.beta),
            y: &floats(&saved.y),
            z: &floats(&saved.z),
            mean: &floats(&saved.mean),
            inv_std: &floats(&saved.inv_std),
            relu: unit.relu,
            residual: unit.residual,
        };
        let gradients = ConvBnGradients {
            x: x.as_deref_mut(),
            w: Some(&mut weight),
            gamma: &mut gamma,
            beta: &mut beta,
            residual: residual.as_deref_mut(),
        };
        cpu::conv_bn_backward(Level::best(), &floats(&grad), &forward, gradients);
        if let (Some(x), Some(add)) = (&mut x, &add) {
            let add = floats(add);
            x.par_chunks_mut(PIECE).zip(add.par_chunks(PIECE)).for_each(|(x, add)| {
                for (x, add) in x.iter_mut().zip(add) {
                    *x += add;
                }
            });
        }
        let weight_shape = dims::<4>(&saved.weight);
        let residual = match residual {
            Some(residual) => Some(tensor(residual, geometry.output())),
            None => needs.residual.then_some(grad),
        };
        (
            GradsOf { weight: tensor(weight, weight_shape), gamma: tensor(gamma, [co]), beta: tensor(beta, [co]) },
            x.map(|x| tensor(x, geometry.input)),
            residual,
        )
    }

    fn conv_bn_eval(
        x: &FlexTensor,
        weight: &FlexTensor,
        norm: NormOf<Self>,
        residual: Option<FlexTensor>,
        unit: Unit,
    ) -> FlexTensor {
        let geometry = geometry(x, weight, unit.window);
        let mut y = pool::take(geometry.output_len());
        let residual = residual.as_ref().map(floats);
        let input = ConvBnInput {
            geometry,
            x: &floats(x),
            w: &floats(weight),
            gamma: &floats(&norm.gamma),
            beta: &floats(&norm.beta),
            residual: residual.as_deref(),
            relu: unit.relu,
        };
        cpu::conv_bn_eval(Level::best(), &input, &floats(&norm.mean), &floats(&norm.var), unit.eps, &mut y);
        tensor(y, geometry.output())
    }

    fn max_pool(x: &FlexTensor, window: Window) -> FlexTensor {
        let shape @ [n, h, w, c] = dims(x);
        let [oh, ow] = window.output([h, w]);
        let mut y = pool::take(n * oh * ow * c);
        cpu::max_pool(Level::best(), shape, window, &floats(x), &mut y);
        tensor(y, [n, oh, ow, c])
    }

    fn max_pool_backward(grad: FlexTensor, x: &FlexTensor, y: &FlexTensor, window: Window) -> FlexTensor {
        let shape = dims::<4>(x);
        let mut dx = pool::take(shape.iter().product());
        cpu::max_pool_backward(Level::best(), shape, window, &floats(&grad), &floats(x), &floats(y), &mut dx);
        tensor(dx, shape)
    }

    fn head(x: &FlexTensor, weight: &FlexTensor, bias: &FlexTensor) -> (FlexTensor, FlexTensor) {
        let shape @ [n, _, _, c] = dims(x);
        let [_, k] = dims(weight);
        let (mut features, mut logits) = (pool::take(n * c), pool::take(n * k));
        cpu::head(Level::best(), shape, &floats(x), &floats(weight), &floats(bias), &mut features, &mut logits);
        (tensor(features, [n, c]), tensor(logits, [n, k]))
    }

    fn head_backward(
        grad: FlexTensor,
        features: &FlexTensor,
        weight: &FlexTensor,
        pixels: [usize; 2],
        input: bool,
    ) -> (FlexTensor, FlexTensor, Option<FlexTensor>) {
        let ([n, c], [_, k]) = (dims(features), dims::<2>(weight));
        let shape = [n, pixels[0], pixels[1], c];
        let (mut dw, mut db) = (pool::take(c * k), pool::take(k));
        let mut dx = input.then(|| pool::take(shape.iter().product()));
        let (g, features, w) = (floats(&grad), floats(features), floats(weight));
        cpu::head_backward(Level::best(), shape, &g, &features, &w, dx.as_deref_mut(), &mut dw, &mut db);
        (tensor(dw, [c, k]), tensor(db, [k]), dx.map(|dx| tensor(dx, shape)))
    }

    fn cross_entropy(
        logits: &FlexTensor,
        first: FlexTensor,
        second: FlexTensor,
        share: FlexTensor,
        metrics: FlexTensor,
        objective: ObjectiveOf<Self>,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [n, k] = dims(logits);
        let (mut grad, mut losses) = (pool::take(n * k), pool::take(n));
        let (a, b) = (labels(&first), labels(&second));
        let (share, weights) = (floats(&share), objective.weights.as_ref().map(floats));
        let (smoothing, weights) = (objective.smoothing, weights.as_deref());
        let targets = cpu::Targets { a: &a, b: &b, share: &share, smoothing, weights };
        let [sum, hits] = cpu::cross_entropy(&floats(logits), targets, &mut grad, &mut losses);
        if let Some(status) = objective.status {
            let scale = status_of(&status).scale;
            grad.iter_mut().for_each(|value| *value *= scale);
        }
        let mut total = buffer_of(&metrics);
        total[0] += sum;
        total[1] += hits;
        (tensor(grad, [n, k]), tensor(losses, [n]), tensor(total, [2]))
    }

    fn optimise(
        parameters: Vec<FlexTensor>,
        gradients: Vec<FlexTensor>,
        first: Vec<FlexTensor>,
        second: Vec<FlexTensor>,
        ema: Vec<FlexTensor>,
        old: Vec<FlexTensor>,
        new: Vec<FlexTensor>,
        status: FlexTensor,
        factors: Vec<Factors>,
        update: Update,
    ) -> (Vec<FlexTensor>, Vec<FlexTensor>, Vec<FlexTensor>, Vec<FlexTensor>, Vec<FlexTensor>, FlexTensor) {
        let before = status_of(&status);
        let adam = matches!(update.rule, Rule::AdamW { .. });
        let sizes: Vec<usize> = parameters.iter().map(|p| p.layout().num_elements()).collect();
        // A moment or an average that does not exist yet starts here.
        let start = |list: Vec<FlexTensor>, wanted: bool, fresh: &dyn Fn(usize) -> FlexTensor| match (wanted, list) {
            (true, list) if list.len() == parameters.len() => list,
            (true, _) => (0..parameters.len()).map(fresh).collect(),
            (false, _) => Vec::new(),
        };
        let zeros = |i: usize| tensor(pool::zeros(sizes[i]), [sizes[i]]);
        let mut first = start(first, true, &zeros);
        let mut second = start(second, adam, &zeros);
        let copy = |i: usize| tensor(buffer_of(&parameters[i]), [sizes[i]]);
        let mut ema = start(ema, update.ema_decay > 0.0, &copy);
        let mut parameters = parameters;

        let gradient_values: Vec<_> = gradients.iter().map(floats).collect();
        let mut seconds = second.iter_mut();
        let mut emas = ema.iter_mut();
        let mut work: Vec<cpu::Parameter> = parameters
            .iter_mut()
            .zip(&gradient_values)
            .zip(first.iter_mut().zip(&factors))
            .map(|((value, gradient), (first, factors))| cpu::Parameter {
                value: value.storage_mut::<f32>(),
                gradient,
                first: first.storage_mut::<f32>(),
                second: seconds.next().map(|t| t.storage_mut::<f32>()).unwrap_or_default(),
                ema: emas.next().map(|t| t.storage_mut::<f32>()),
                weight_decay: update.weight_decay * factors.weight_decay,
                lr_factor: factors.lr,
            })
            .collect();
        let hyper = cpu::Hyper {
            rule: match update.rule {
                Rule::Sgd { momentum, nesterov } => cpu::Rule::Sgd { momentum, nesterov },
                Rule::AdamW { beta1, beta2, eps, step } => cpu::Rule::AdamW { beta1, beta2, eps, step },
            },
            lr: update.lr,
            gradient_scale: if update.scaled { 1.0 / before.scale } else { 1.0 },
            clip: (update.clip_norm > 0.0).then_some(update.clip_norm),
            ema_decay: (update.ema_decay > 0.0).then_some(update.ema_decay),
        };
        let outcome = if before.refused > 0.0 {
            cpu::Outcome { norm: before.norm, skipped: true }
        } else {
            cpu::optimise(Level::best(), &mut work, &hyper)
        };
        drop(work);
        drop(gradient_values);
        let (after, _) = before.after(outcome.norm, update.scaled);
        let mut status = pool::take(Status::LEN);
        status.copy_from_slice(&after.values());
        let running = if outcome.skipped { old } else { new };
        (parameters, first, second, ema, running, tensor(status, [Status::LEN]))
    }
}
