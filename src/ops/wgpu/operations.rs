//! The operations as dispatches: which, in which order, on which parts of memory.

use super::{
    conv::Conv,
    gather::{self, Images},
    groups,
    head::{self, Head, Targets},
    launch::Gpu,
    norm::{self, Apply, Plane, Spread},
    pool::{self, Pool},
    silu, trial, update,
    variant::Product,
};
use crate::ops::{
    Activation, ConvBn, ConvBnInput, ConvBnSaved, HeadOutput, HeadTensors, InputGradients, Loss, Needs, Objective, Ops,
    Storage, Timer, UpdateState, Window,
    layout::{Arena, BLOCK, Layout, Part, Slots},
    optimizers::{Factors, Update},
    sample::{Rules, SampleParams},
};
use std::{ops::Range, sync::Arc};

/// WGSL kernels on a device.
#[derive(Clone)]
pub struct Wgsl<G = super::Wgpu>(pub G);

/// Values in a GPU's memory, and their shape.
#[derive(Clone)]
pub struct Array<B> {
    pub(crate) memory: B,
    pub(crate) shape: [usize; 4],
    /// 32 bits for all but activations and their gradients.
    pub(crate) storage: Storage,
}

/// The memory of an arena: a few allocations, for none is larger than a kernel can see.
#[derive(Clone)]
pub struct Segments<B>(Vec<Segment<B>>);

#[derive(Clone)]
struct Segment<B> {
    /// Which values of the arena it has.
    range: Range<usize>,
    memory: B,
}

/// What a kernel may write into: a segment that nobody else looks at.
fn owned<'a, G: Gpu>(gpu: &G, segment: &'a mut Segment<G::Buffer>) -> &'a G::Buffer {
    if gpu.is_shared(&segment.memory) {
        let copy = gpu.empty(4 * segment.range.len());
        update::copy(gpu, segment.range.len(), &segment.memory, &copy);
        segment.memory = copy;
    }
    &segment.memory
}

impl<G: Gpu> Wgsl<G> {
    fn array(memory: G::Buffer, shape: [usize; 4], storage: Storage) -> Array<G::Buffer> {
        Array { memory, shape, storage }
    }

    /// Memory for an arena from tensor `first` on.
    fn segments(
        &self,
        layout: &Layout,
        first: usize,
        mut memory: impl FnMut(Range<usize>) -> G::Buffer,
    ) -> Segments<G::Buffer> {
        let start = layout.from(first).start;
        let most = self.0.adapter().max_binding as usize / 4;
        let all = layout.segments(most).into_iter().map(|range| range.start.max(start)..range.end);
        let there = all.filter(|range| !range.is_empty());
        Segments(there.map(|range| Segment { memory: memory(range.clone()), range }).collect())
    }

    /// The memory of values that lie together.
    fn part(&self, segments: &Segments<G::Buffer>, range: Range<usize>) -> G::Buffer {
        let holds =
            |segment: &&Segment<G::Buffer>| segment.range.start <= range.start && range.end <= segment.range.end;
        let Some(segment) = segments.0.iter().find(holds) else { unreachable!("a tensor lies in one segment") };
        self.0.part(&segment.memory, range.start - segment.range.start, range.len())
    }

    fn tensor(&self, arena: &Arena<Segments<G::Buffer>>, tensor: usize) -> (G::Buffer, Part) {
        let part = arena.layout.parts[tensor];
        (self.part(&arena.memory, part.range()), part)
    }

    fn places<const N: usize>(&self, slots: &Slots<Segments<G::Buffer>>) -> [G::Buffer; N] {
        std::array::from_fn(|i| self.tensor(slots.arena, slots.at + i).0)
    }

    /// The batch that `samples` make of images on the device.
    pub(crate) fn gathered(
        &self,
        images: &Images<G::Buffer>,
        samples: &[SampleParams],
        rules: &Rules,
        storage: Storage,
    ) -> (Array<G::Buffer>, Targets<G::Buffer>) {
        let gather::Gathered { pixels, first, second, lambda } =
            gather::gather(&self.0, images, samples, rules, storage);
        let [h, w] = rules.output;
        (Self::array(pixels, [samples.len(), h, w, images.channels], storage), Targets { first, second, lambda })
    }
}

fn conv<B>(op: &ConvBn, x: &Array<B>, weight: &Array<B>) -> Conv {
    let [batch, h, w, ci] = x.shape;
    Conv { batch, input: [h, w], ci, co: weight.shape[3], window: op.window, groups: op.groups, storage: x.storage }
}

fn plane(conv: &Conv) -> Plane {
    let [oh, ow] = conv.output();
    Plane { pixels: conv.batch * oh * ow, channels: conv.co, storage: conv.storage }
}

fn output(conv: &Conv) -> [usize; 4] {
    let [oh, ow] = conv.output();
    [conv.batch, oh, ow, conv.co]
}

fn pool(window: Window, [batch, h, w, channels]: [usize; 4], storage: Storage) -> Pool {
    Pool { batch, input: [h, w], channels, window, storage }
}

impl<G: Gpu + Clone> Ops for Wgsl<G> {
    type Tensor = Array<G::Buffer>;
    type Targets = Targets<G::Buffer>;
    type Memory = Segments<G::Buffer>;
    type Saved = ConvBnSaved<Array<G::Buffer>>;
    /// A table for each segment of the gradients.
    type Factors = Vec<G::Buffer>;

    fn span(&self, name: &dyn Fn() -> String) -> Option<Timer<'_>> {
        self.0.span(name)
    }

    fn upload(&self, values: &[f32]) -> Array<G::Buffer> {
        Self::array(self.0.upload(bytemuck::cast_slice(values)), [1, 1, 1, values.len()], Storage::F32)
    }

    fn empty(&self, layout: &Arc<Layout>, first: usize) -> Arena<Segments<G::Buffer>> {
        let memory = self.segments(layout, first, |range| self.0.empty(4 * range.len()));
        Arena { layout: layout.clone(), first, memory }
    }

    fn zeros(&self, layout: &Arc<Layout>, first: usize) -> Arena<Segments<G::Buffer>> {
        let memory = self.segments(layout, first, |range| self.0.zeros(4 * range.len()));
        Arena { layout: layout.clone(), first, memory }
    }

    fn fill(
        &self,
        layout: &Arc<Layout>,
        first: usize,
        mut write: impl FnMut(usize, &mut [f32]),
    ) -> Arena<Segments<G::Buffer>> {
        let mut parts = layout.parts.iter().enumerate().skip(first).peekable();
        let memory = self.segments(layout, first, |range| {
            let mut values = vec![0.0; range.len()];
            while let Some((tensor, part)) = parts.next_if(|(_, part)| part.start < range.end) {
                write(tensor, &mut values[part.start - range.start..][..part.count()]);
            }
            self.0.upload(bytemuck::cast_slice(&values))
        });
        Arena { layout: layout.clone(), first, memory }
    }

    fn overlay(&self, onto: &mut Arena<Segments<G::Buffer>>, from: &Arena<Segments<G::Buffer>>) {
        for to in &mut onto.memory.0 {
            for source in &from.memory.0 {
                let (start, end) = (to.range.start.max(source.range.start), to.range.end.min(source.range.end));
                if start < end {
                    let count = end - start;
                    let source = self.0.part(&source.memory, start - source.range.start, count);
                    let at = start - to.range.start;
                    let place = self.0.part(owned(&self.0, to), at, count);
                    update::copy(&self.0, count, &source, &place);
                }
            }
        }
    }

    fn view(&self, arena: &Arena<Segments<G::Buffer>>, tensor: usize) -> Array<G::Buffer> {
        let (memory, part) = self.tensor(arena, tensor);
        Self::array(memory, part.shape, Storage::F32)
    }

    fn factors(&self, layout: &Layout, first: usize, factors: &[Factors]) -> Vec<G::Buffer> {
        let (rows, start) = (layout.table(first, factors), layout.from(first).start);
        let Segments(tables) = self.segments(layout, first, |range| {
            let rows = &rows[(range.start - start) / BLOCK..(range.end - start) / BLOCK];
            self.0.upload(bytemuck::cast_slice(rows))
        });
        tables.into_iter().map(|table| table.memory).collect()
    }

    fn conv_bn_train(
        &self,
        op: &ConvBn,
        ConvBnInput { x, layer, residual }: ConvBnInput<Array<G::Buffer>>,
        fresh: Slots<Segments<G::Buffer>>,
    ) -> (Array<G::Buffer>, Self::Saved) {
        let (gpu, conv) = (&self.0, conv(op, x, &layer.weight));
        let (plane, [fresh_mean, fresh_var]) = (plane(&conv), self.places(&fresh));
        let z =
            groups::forward(gpu, &conv, &x.memory, &layer.weight.memory, trial::variant(gpu, Product::Forward, &conv));
        let old = [&layer.mean.memory, &layer.var.memory];
        let norm::Statistics { mean, inv_std } =
            norm::statistics(gpu, plane, &z, old, [&fresh_mean, &fresh_var], op.momentum, op.eps);
        let apply = Apply {
            z: &z,
            mean: &mean,
            spread: Spread::InvStd(&inv_std),
            gamma: &layer.gamma.memory,
            beta: &layer.beta.memory,
            residual: residual.map(|residual| &residual.memory),
            activation: op.activation,
        };
        let y = Self::array(norm::apply(gpu, plane, apply), output(&conv), conv.storage);
        let vector = |memory| Self::array(memory, [1, 1, 1, conv.co], Storage::F32);
        let saved = ConvBnSaved {
            x: x.clone(),
            weight: layer.weight,
            gamma: layer.gamma,
            beta: layer.beta,
            y: y.clone(),
            z: Self::array(z, y.shape, conv.storage),
            mean: vector(mean),
            inv_std: vector(inv_std),
        };
        (y, saved)
    }

    fn conv_bn_backward(
        &self,
        op: &ConvBn,
        grad: Array<G::Buffer>,
        saved: Self::Saved,
        add: Option<Array<G::Buffer>>,
        needs: Needs,
        into: Slots<Segments<G::Buffer>>,
    ) -> InputGradients<Array<G::Buffer>> {
        let gpu = &self.0;
        let conv = conv(op, &saved.x, &saved.weight);
        let [weight, gamma, beta] = self.places(&into);
        let norm = norm::Saved {
            z: &saved.z.memory,
            y: &saved.y.memory,
            activation: op.activation,
            gamma: &saved.gamma.memory,
            mean: &saved.mean.memory,
            inv_std: &saved.inv_std.memory,
        };
        let masked = needs.residual && op.activation != Activation::None;
        let (dz, masked) = norm::backward(gpu, plane(&conv), &grad.memory, &norm, [&gamma, &beta], masked);
        // Without an activation the residual's gradient is the output's.
        let residual = needs.residual.then(|| match masked {
            Some(masked) => Self::array(masked, grad.shape, grad.storage),
            None => grad,
        });
        let variant = trial::variant(gpu, Product::WeightGradient, &conv);
        groups::weight_gradient(gpu, &conv, &saved.x.memory, &dz, &weight, variant);
        let x = needs.input.then(|| {
            let add = add.as_ref().map(|add| &add.memory);
            let variant = trial::variant(gpu, Product::InputGradient { add: add.is_some() }, &conv);
            let dx = groups::input_gradient(gpu, &conv, &dz, &saved.weight.memory, add, variant);
            Self::array(dx, saved.x.shape, conv.storage)
        });
        InputGradients { x, residual }
    }

    fn conv_bn_eval(
        &self,
        op: &ConvBn,
        ConvBnInput { x, layer, residual }: ConvBnInput<Array<G::Buffer>>,
    ) -> Array<G::Buffer> {
        let (gpu, conv) = (&self.0, conv(op, x, &layer.weight));
        let z =
            groups::forward(gpu, &conv, &x.memory, &layer.weight.memory, trial::variant(gpu, Product::Forward, &conv));
        let apply = Apply {
            z: &z,
            mean: &layer.mean.memory,
            spread: Spread::Variance(&layer.var.memory, op.eps),
            gamma: &layer.gamma.memory,
            beta: &layer.beta.memory,
            residual: residual.map(|residual| &residual.memory),
            activation: op.activation,
        };
        Self::array(norm::apply(gpu, plane(&conv), apply), output(&conv), conv.storage)
    }

    fn max_pool(&self, window: Window, x: &Array<G::Buffer>) -> Array<G::Buffer> {
        let pool = pool(window, x.shape, x.storage);
        let [oh, ow] = pool.output();
        let y = pool::max_pool(&self.0, &pool, &x.memory);
        Self::array(y, [pool.batch, oh, ow, pool.channels], x.storage)
    }

    fn max_pool_backward(
        &self,
        window: Window,
        grad: Array<G::Buffer>,
        x: &Array<G::Buffer>,
        y: &Array<G::Buffer>,
    ) -> Array<G::Buffer> {
        let dx =
            pool::max_pool_backward(&self.0, &pool(window, x.shape, x.storage), &grad.memory, &x.memory, &y.memory);
        Self::array(dx, x.shape, x.storage)
    }

    fn average_pool(&self, window: Window, x: &Array<G::Buffer>) -> Array<G::Buffer> {
        let pool = pool(window, x.shape, x.storage);
        let [oh, ow] = pool.output();
        let y = pool::average_pool(&self.0, &pool, &x.memory);
        Self::array(y, [pool.batch, oh, ow, pool.channels], x.storage)
    }

    fn average_pool_backward(&self, window: Window, grad: Array<G::Buffer>, [h, w]: [usize; 2]) -> Array<G::Buffer> {
        let [n, .., c] = grad.shape;
        let shape = [n, h, w, c];
        let dx = pool::average_pool_backward(&self.0, &pool(window, shape, grad.storage), &grad.memory);
        Self::array(dx, shape, grad.storage)
    }

    fn silu(&self, x: &Array<G::Buffer>) -> Array<G::Buffer> {
        let count = x.shape.iter().product();
        Self::array(silu::forward(&self.0, count, x.storage, &x.memory), x.shape, x.storage)
    }

    fn silu_backward(&self, grad: Array<G::Buffer>, x: &Array<G::Buffer>) -> Array<G::Buffer> {
        let count = x.shape.iter().product();
        let dx = silu::backward(&self.0, count, x.storage, &grad.memory, &x.memory);
        Self::array(dx, x.shape, x.storage)
    }

    fn head(&self, x: &Array<G::Buffer>, head: &HeadTensors<Array<G::Buffer>>) -> HeadOutput<Array<G::Buffer>> {
        let ([batch, h, w, features], [.., classes]) = (x.shape, head.bias.shape);
        let sizes = Head { batch, pixels: h * w, features, classes, storage: x.storage };
        let (means, logits) = head::forward(&self.0, &sizes, &x.memory, &head.weight.memory, &head.bias.memory);
        HeadOutput {
            features: Self::array(means, [1, 1, batch, features], x.storage),
            logits: Self::array(logits, [1, 1, batch, classes], Storage::F32),
        }
    }

    fn head_backward(
        &self,
        grad: Array<G::Buffer>,
        features: &Array<G::Buffer>,
        weight: &Array<G::Buffer>,
        pixels: Option<[usize; 2]>,
        into: Slots<Segments<G::Buffer>>,
    ) -> Option<Array<G::Buffer>> {
        let ([.., batch, count], [.., classes]) = (features.shape, grad.shape);
        let [h, w] = pixels.unwrap_or([1, 1]);
        let storage = features.storage;
        let sizes = Head { batch, pixels: h * w, features: count, classes, storage };
        let [dw, db] = self.places(&into);
        let saved = head::Saved { grad: &grad.memory, features: &features.memory, weight: &weight.memory };
        let dx = head::backward(&self.0, &sizes, &saved, [&dw, &db], pixels.is_some());
        dx.map(|dx| Self::array(dx, [batch, h, w, count], storage))
    }

    fn cross_entropy(
        &self,
        logits: &Array<G::Buffer>,
        targets: &Targets<G::Buffer>,
        Objective { smoothing, weights, status }: Objective<Array<G::Buffer>>,
        metrics: &mut Array<G::Buffer>,
    ) -> Loss<Array<G::Buffer>> {
        let [.., batch, classes] = logits.shape;
        let [weights, status] = [weights, status].map(|given| given.map(|given| &given.memory));
        let objective = Objective { smoothing, weights, status };
        let sizes = [batch, classes];
        let out = head::cross_entropy(&self.0, sizes, &logits.memory, targets, &metrics.memory, &objective);
        metrics.memory = out.metrics;
        let losses = self.0.part(&out.outcome, 0, batch);
        Loss {
            gradient: Self::array(out.grad, logits.shape, Storage::F32),
            losses: Self::array(losses, [1, 1, 1, batch], Storage::F32),
        }
    }

    fn update(&self, state: UpdateState<Self>, update: &Update) {
        let UpdateState { parameters, gradients, states, mut average, statistics, fresh, status, factors } = state;
        let gpu = &self.0;
        let arenas: Vec<_> = (gradients.memory.0.iter().zip(factors))
            .map(|(segment, table)| update::Gradients { total: segment.range.len(), values: &segment.memory, table })
            .collect();
        let decision = update::gradient_norm(gpu, &arenas, &status.memory, update);
        // What is frozen comes first, and has neither gradients nor states.
        let skipped = parameters.memory.0.len() - arenas.len();
        for (i, (arena, segment)) in arenas.iter().zip(&mut parameters.memory.0[skipped..]).enumerate() {
            let (start, count) = (segment.range.end - arena.total - segment.range.start, arena.total);
            let own = gpu.part(owned(gpu, segment), start, count);
            let states: Vec<_> = states.iter_mut().map(|state| owned(gpu, &mut state.memory.0[i])).collect();
            update::update(gpu, arena, &own, &states, &decision, update);
            if let Some(average) = &mut average {
                update::blend(gpu, count, owned(gpu, &mut average.memory.0[i]), &own, &decision, update.ema_decay);
            }
        }
        let skipped = statistics.memory.0.len() - fresh.memory.0.len();
        for (new, segment) in fresh.memory.0.iter().zip(&mut statistics.memory.0[skipped..]) {
            let (start, count) = (new.range.start - segment.range.start, new.range.len());
            let own = gpu.part(owned(gpu, segment), start, count);
            update::blend(gpu, count, &own, &new.memory, &decision, 0.0);
        }
        status.memory = decision.status;
    }
}
