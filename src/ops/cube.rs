//! The operations on burn's wgpu backend, by the kernels of [`super::wgpu`].

use super::{
    Unit, Window,
    kernels::{Factors, GradsOf, Kernels, Needs, NormOf, ObjectiveOf, Rule, SavedOf, Status, TrainedOf, Update},
    wgpu::{
        arena,
        client::{Wgpu, memory, memory_of, part, storage},
        conv::Conv,
        head::{self, Head, Labels, Objective},
        launch::Gpu,
        pool::{self, Pool},
        unit::{self, Into, Norm, Saved, Sizes},
        update::{self, Gradients, Layout},
    },
};
use burn::backend::TensorMetadata;
use burn_cubecl::{CubeBackend, tensor::CubeTensor};
use cubecl::server::Handle;
use std::{ops::Range, sync::Arc};

fn dims<const D: usize>(tensor: &CubeTensor) -> [usize; D] {
    tensor.shape().dims()
}

fn sizes(x: &CubeTensor, weight: &CubeTensor, unit: &Unit) -> Sizes {
    let [batch, h, w, ci] = dims(x);
    let [.., co] = dims::<4>(weight);
    let conv = Conv { batch, input: [h, w], ci, co, window: unit.window, storage: storage(x) };
    Sizes { conv, relu: unit.relu, eps: unit.eps, momentum: unit.momentum }
}

/// Handles of a batch normalisation, which [`Norm`] borrows.
struct NormMemory {
    gamma: Handle,
    beta: Handle,
    mean: Handle,
    var: Handle,
}

impl NormMemory {
    fn new(norm: &NormOf<CubeBackend>) -> Self {
        let [gamma, beta, mean, var] = [&norm.gamma, &norm.beta, &norm.mean, &norm.var].map(memory_of);
        Self { gamma, beta, mean, var }
    }

    fn borrow(&self) -> Norm<'_, Handle> {
        Norm { gamma: &self.gamma, beta: &self.beta, mean: &self.mean, var: &self.var }
    }
}

impl Kernels for CubeBackend {
    fn conv_bn_train(
        x: &CubeTensor,
        weight: &CubeTensor,
        norm: NormOf<Self>,
        residual: Option<CubeTensor>,
        unit: Unit,
    ) -> TrainedOf<Self> {
        let gpu = Wgpu::of(x);
        let sizes = sizes(x, weight, &unit);
        let (batch, co, [oh, ow]) = (sizes.conv.batch, sizes.conv.co, sizes.conv.output());
        let fresh = [&norm.mean, &norm.var].map(|old| arena::place_or_new(&gpu, old, 0, co));
        let residual = residual.map(memory);
        let held = NormMemory::new(&norm);
        let (x, weight) = (memory_of(x), memory_of(weight));
        let out = unit::train(&gpu, &sizes, &x, &weight, &held.borrow(), residual.as_ref(), [&fresh[0], &fresh[1]]);
        let [mean, var] = fresh;
        TrainedOf {
            y: gpu.activation(out.y, [batch, oh, ow, co], sizes.conv.storage),
            running_mean: gpu.tensor(mean, [co]),
            running_var: gpu.tensor(var, [co]),
            z: gpu.activation(out.z, [batch, oh, ow, co], sizes.conv.storage),
            mean: gpu.tensor(out.mean, [co]),
            inv_std: gpu.tensor(out.inv_std, [co]),
        }
    }

    fn conv_bn_backward(
        grad: CubeTensor,
        saved: SavedOf<Self>,
        add: Option<CubeTensor>,
        unit: Unit,
        needs: Needs,
    ) -> (GradsOf<Self>, Option<CubeTensor>, Option<CubeTensor>) {
        let gpu = Wgpu::of(&grad);
        let sizes = sizes(&saved.x, &saved.weight, &unit);
        let (weight_shape, x_shape, y_shape) = (saved.weight.shape(), saved.x.shape(), saved.y.shape());
        let co = sizes.conv.co;
        let dw = arena::place_or_new(&gpu, &saved.weight, 0, weight_shape.num_elements());
        let dgamma = arena::place_or_new(&gpu, &saved.gamma, 0, co);
        // Parameters come as weight, gamma, beta; should another follow gamma, it is found misplaced and copied.
        let dbeta = arena::place_or_new(&gpu, &saved.gamma, 1, co);
        let grad = memory(grad);
        let add = add.map(memory);
        let [x, weight, gamma, y, z, mean, inv_std] =
            [saved.x, saved.weight, saved.gamma, saved.y, saved.z, saved.mean, saved.inv_std].map(memory);
        let saved = Saved { x: &x, weight: &weight, gamma: &gamma, y: &y, z: &z, mean: &mean, inv_std: &inv_std };
        let into = Into { weight: &dw, gamma: &dgamma, beta: &dbeta };
        let (dx, dres) = unit::backward(&gpu, &sizes, &grad, &saved, &into, add.as_ref(), needs.input, needs.residual);
        let grads = GradsOf {
            weight: gpu.tensor(dw, weight_shape),
            gamma: gpu.tensor(dgamma, [co]),
            beta: gpu.tensor(dbeta, [co]),
        };
        let activation = |values, shape| gpu.activation(values, shape, sizes.conv.storage);
        (grads, dx.map(|dx| activation(dx, x_shape)), dres.map(|dres| activation(dres, y_shape)))
    }

    fn conv_bn_eval(
        x: &CubeTensor,
        weight: &CubeTensor,
        norm: NormOf<Self>,
        residual: Option<CubeTensor>,
        unit: Unit,
    ) -> CubeTensor {
        let gpu = Wgpu::of(x);
        let sizes = sizes(x, weight, &unit);
        let [oh, ow] = sizes.conv.output();
        let residual = residual.map(memory);
        let held = NormMemory::new(&norm);
        let y = unit::eval(&gpu, &sizes, &memory_of(x), &memory_of(weight), &held.borrow(), residual.as_ref());
        gpu.activation(y, [sizes.conv.batch, oh, ow, sizes.conv.co], sizes.conv.storage)
    }

    fn max_pool(x: &CubeTensor, window: Window) -> CubeTensor {
        let [batch, h, w, channels] = dims(x);
        let pool = Pool { batch, input: [h, w], channels, window, storage: storage(x) };
        let [oh, ow] = pool.output();
        let gpu = Wgpu::of(x);
        gpu.activation(pool::max_pool(&gpu, &pool, &memory_of(x)), [batch, oh, ow, channels], pool.storage)
    }

    fn max_pool_backward(grad: CubeTensor, x: &CubeTensor, y: &CubeTensor, window: Window) -> CubeTensor {
        let [batch, h, w, channels] = dims(x);
        let pool = Pool { batch, input: [h, w], channels, window, storage: storage(x) };
        let gpu = Wgpu::of(x);
        let dx = pool::max_pool_backward(&gpu, &pool, &memory(grad), &memory_of(x), &memory_of(y));
        gpu.activation(dx, [batch, h, w, channels], pool.storage)
    }

    fn head(x: &CubeTensor, weight: &CubeTensor, bias: &CubeTensor) -> (CubeTensor, CubeTensor) {
        let [batch, h, w, features] = dims(x);
        let [_, classes] = dims(weight);
        let gpu = Wgpu::of(x);
        let sizes = Head { batch, pixels: h * w, features, classes, storage: storage(x) };
        let (f, logits) = head::forward(&gpu, &sizes, &memory_of(x), &memory_of(weight), &memory_of(bias));
        (gpu.activation(f, [batch, features], sizes.storage), gpu.tensor(logits, [batch, classes]))
    }

    fn head_backward(
        grad: CubeTensor,
        features: &CubeTensor,
        weight: &CubeTensor,
        pixels: [usize; 2],
        input: bool,
    ) -> (CubeTensor, CubeTensor, Option<CubeTensor>) {
        let [batch, classes] = dims(&grad);
        let [_, count] = dims(features);
        let gpu = Wgpu::of(&grad);
        let storage = storage(features);
        let sizes = Head { batch, pixels: pixels[0] * pixels[1], features: count, classes, storage };
        let dw = arena::place_or_new(&gpu, weight, 0, count * classes);
        let db = arena::place_or_new(&gpu, weight, 1, classes);
        let (grad, features, held) = (memory(grad), memory_of(features), memory_of(weight));
        let saved = head::Saved { grad: &grad, features: &features, weight: &held };
        let dx = head::backward(&gpu, &sizes, &saved, [&dw, &db], input);
        let dx = dx.map(|dx| gpu.activation(dx, [batch, pixels[0], pixels[1], count], storage));
        (gpu.tensor(dw, [count, classes]), gpu.tensor(db, [classes]), dx)
    }

    fn cross_entropy(
        logits: &CubeTensor,
        first: CubeTensor,
        second: CubeTensor,
        share: CubeTensor,
        metrics: CubeTensor,
        objective: ObjectiveOf<Self>,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let [batch, classes] = dims(logits);
        let gpu = Wgpu::of(logits);
        let [first, second, share, metrics] = [first, second, share, metrics].map(memory);
        let labels = Labels { first: &first, second: &second, share: &share };
        let [weights, status] = [objective.weights, objective.status].map(|given| given.map(memory));
        let (weights, status) = (weights.as_ref(), status.as_ref());
        let objective = Objective { smoothing: objective.smoothing, weights, status };
        let out = head::cross_entropy(&gpu, [batch, classes], &memory_of(logits), &labels, &metrics, &objective);
        let losses = gpu.tensor(part(&out.outcome, 0, batch), [batch]);
        (gpu.tensor(out.grad, [batch, classes]), losses, gpu.tensor(out.metrics, [2]))
    }

    fn optimise(
        parameters: Vec<CubeTensor>,
        gradients: Vec<CubeTensor>,
        first: Vec<CubeTensor>,
        second: Vec<CubeTensor>,
        ema: Vec<CubeTensor>,
        old: Vec<CubeTensor>,
        new: Vec<CubeTensor>,
        status: CubeTensor,
        factors: Vec<Factors>,
        update: Update,
    ) -> (Vec<CubeTensor>, Vec<CubeTensor>, Vec<CubeTensor>, Vec<CubeTensor>, Vec<CubeTensor>, CubeTensor) {
        let gpu = Wgpu::of(&status);
        let state = State { parameters, first, second, ema };
        let most = gpu.adapter().max_binding;
        let (after, verdict) = update_in_groups(&gpu, state, &gradients, &factors, memory(status), &update, most);
        let running = if old.is_empty() { Vec::new() } else { keep_running(&gpu, &old, &new, &verdict) };
        (after.parameters, after.first, after.second, after.ema, running, gpu.tensor(verdict.status, [Status::LEN]))
    }
}

/// What an update changes; lists that are not in use are empty.
#[derive(Clone, Default)]
struct State {
    parameters: Vec<CubeTensor>,
    first: Vec<CubeTensor>,
    second: Vec<CubeTensor>,
    ema: Vec<CubeTensor>,
}

/// The parameters that share an arena, with what belongs to them.
struct Group {
    range: Range<usize>,
    layout: Arc<Layout>,
    held: Handle,
    table: Handle,
    gradients: Handle,
    moments: Handle,
}

/// One update, arena by arena, where none is larger than `most` bytes.
fn update_in_groups(
    gpu: &Wgpu,
    state: State,
    gradients: &[CubeTensor],
    factors: &[Factors],
    status: Handle,
    update: &Update,
    most: u64,
) -> (State, update::Verdict<Handle>) {
    let sections = if matches!(update.rule, Rule::AdamW { .. }) { 2 } else { 1 };
    let part = |list: &[CubeTensor], range: &Range<usize>| list.get(range.clone()).unwrap_or_default().to_vec();
    let open = |range: Range<usize>| {
        let parameters = &state.parameters[range.clone()];
        let layout = Arc::new(arena::layout(parameters));
        let held = arena::parameters(gpu, &layout, parameters);
        let (first, second) = (part(&state.first, &range), part(&state.second, &range));
        Group {
            table: arena::table(gpu, &layout, &held, &factors[range.clone()]),
            gradients: arena::counterparts(gpu, &layout, &held, &gradients[range.clone()]),
            moments: arena::moments(gpu, &layout, &first, &second, sections),
            range,
            layout,
            held,
        }
    };
    let counts = state.parameters.iter().map(arena::count);
    let groups: Vec<Group> = arena::groups(counts, most as usize / (4 * sections)).into_iter().map(open).collect();
    let arenas: Vec<_> = groups
        .iter()
        .map(|group| Gradients { total: group.layout.total, values: &group.gradients, table: &group.table })
        .collect();
    let verdict = update::gradient_norm(gpu, &arenas, &status, update);
    let mut after = State::default();
    for Group { range, layout, held, table, gradients, moments } in groups {
        let (total, like) = (layout.total, &state.parameters[range.clone()]);
        let (fresh, fresh_moments) =
            update::update(gpu, total, [&held, &gradients, &moments, &table], &verdict, update);
        if update.ema_decay > 0.0 {
            let ema = part(&state.ema, &range);
            // An average begins with the parameters as they are after the step.
            let before = if ema.is_empty() { fresh.clone() } else { arena::parameters(gpu, &layout, &ema) };
            let blended = update::blend(gpu, total, &before, &fresh, &verdict, update.ema_decay);
            after.ema.extend(arena::views(gpu, &layout, &blended, 0, like));
        }
        after.first.extend(arena::views(gpu, &layout, &fresh_moments, 0, like));
        if sections == 2 {
            after.second.extend(arena::views(gpu, &layout, &fresh_moments, total, like));
        }
        let table = Some((factors[range].to_vec(), table));
        after.parameters.extend(arena::hand_out(gpu, &layout, &held, &fresh, table, like));
    }
    (after, verdict)
}

/// The running statistics to keep: the new ones if the update went ahead.
fn keep_running(
    gpu: &Wgpu,
    old: &[CubeTensor],
    new: &[CubeTensor],
    verdict: &update::Verdict<Handle>,
) -> Vec<CubeTensor> {
    let layout: Arc<Layout> = Arc::new(arena::layout(old));
    let before = arena::parameters(gpu, &layout, old);
    let after = arena::counterparts(gpu, &layout, &before, new);
    let kept = update::blend(gpu, layout.total, &before, &after, verdict, 0.0);
    arena::hand_out(gpu, &layout, &before, &kept, None, old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        device::{Choice, open},
        needs,
        ops::fast,
    };

    #[test]
    fn an_update_in_many_arenas_is_the_update_in_one() {
        let Some(compute) = needs::found("gpu", open(Choice::BestGpu)) else { return };
        let Some(gpu) = fast::gpu(&compute.device) else { return };
        let counts = [300usize, 5, 64, 1000, 20];
        let list = |seed: usize| -> Vec<CubeTensor> {
            let values = |count: usize| (0..count).map(move |i| ((i * 31 + seed * 7 + count) % 97) as f32 / 97.0 - 0.5);
            let up = |count: &usize| {
                let values: Vec<f32> = values(*count).collect();
                gpu.tensor(gpu.client.create_from_slice(bytemuck::cast_slice(&values)), [*count])
            };
            counts.iter().map(up).collect()
        };
        let factors: Vec<Factors> =
            (0..counts.len()).map(|i| Factors { lr: 1.0 - 0.1 * i as f32, weight_decay: (i % 2) as f32 }).collect();
        let rule = Rule::AdamW { beta1: 0.9, beta2: 0.99, eps: 1e-8, step: 1 };
        let update = Update { rule, lr: 0.1, weight_decay: 0.01, clip_norm: 1.0, ema_decay: 0.9, scaled: false };
        let down = |list: &[CubeTensor]| -> Vec<f32> {
            let values = |tensor: &CubeTensor| {
                let bytes = gpu.client.read_one(tensor.handle.clone()).expect("the launches before it succeeded");
                bytemuck::pod_collect_to_vec::<u8, f32>(&bytes)
            };
            list.iter().flat_map(values).collect()
        };
        let run = |most: u64| {
            let mut state = State { parameters: list(1), ..State::default() };
            for step in 0..2 {
                let status = gpu.client.create_from_slice(bytemuck::cast_slice(&Status::START.values()));
                state = update_in_groups(&gpu, state, &list(2 + step), &factors, status, &update, most).0;
            }
            [state.parameters, state.first, state.second, state.ema].map(|list| down(&list))
        };
        let (one, many) = (run(1 << 27), run(8 * 400));
        for (one, many) in one.iter().zip(&many) {
            assert_eq!(one.len(), counts.iter().sum::<usize>());
            assert!(one.iter().zip(many).all(|(a, b)| (a - b).abs() < 1e-6), "{one:?}\n{many:?}");
        }
    }
}
