//! A network that learns: with an optimiser's states, averages, and what is summed up between two looks at it.

use super::{
    ModelSpec, Network,
    backward::Pass,
    learning::{AVERAGE, Frozen, Gradients, Learning, ParameterGroups},
    network::{AnyNet, Net},
    on_device::{OnDevice, map_on_device, on_device},
    remote,
    tensors::TensorInfo,
};
use crate::{
    device::Compute,
    ops::{
        Arena, Batch, Cpu, Implementation, Objective, Ops, Reference, Storage, Transfer, UpdateState, Wgsl,
        optimizers::{STATE_NAMES, Status},
    },
};
use std::sync::Arc;

impl<O: Ops> Net<O> {
    /// A learner that starts from it.
    fn learns(self) -> Training<O> {
        Training::new(self)
    }
}

/// Sums of nothing.
const NOTHING: [f32; 2] = [0.0; 2];

/// A network that learns, on one kind of device.
pub(super) struct Training<O: Ops> {
    pub net: Net<O>,
    frozen: Frozen,
    /// Of the parameters that learn, as many as the rule keeps; none before the first step.
    states: Vec<Arena<O::Memory>>,
    average: Option<Arena<O::Memory>>,
    metrics: O::Tensor,
    status: O::Tensor,
    /// Each step's losses, while somebody wants them.
    losses: Option<Vec<O::Tensor>>,
    /// The class weights of the last batch, and where they lie on the device.
    class_weights: Option<(Arc<[f32]>, O::Tensor)>,
    factors: Option<(ParameterGroups, O::Factors)>,
}

impl<O: Ops> Training<O> {
    pub(crate) fn new(net: Net<O>) -> Self {
        Self {
            frozen: Frozen::Nothing,
            states: Vec::new(),
            average: None,
            metrics: net.ops.upload(&NOTHING),
            status: net.ops.upload(&Status::START.values()),
            losses: None,
            class_weights: None,
            factors: None,
            net,
        }
    }

    /// About to take a first step.
    pub(crate) fn of(net: Net<O>, learning: &Learning) -> Self {
        let mut training = Self { frozen: learning.frozen, ..Self::new(net) };
        let average = || training.net.ops.empty(&training.net.parameters.layout, training.first());
        training.average = (learning.update.ema_decay > 0.0).then(average);
        training
    }

    /// The first parameter that learns.
    fn first(&self) -> usize {
        3 * self.net.graph.first_layer(self.net.graph.first_node(self.frozen))
    }

    /// A batch's class weights on the device, where those of the batch before may lie already.
    fn weights(&mut self, wanted: Option<&Arc<[f32]>>) -> Option<O::Tensor> {
        let known = self.class_weights.take().filter(|(weights, _)| Some(weights) == wanted);
        let upload = |weights: &Arc<[f32]>| (weights.clone(), self.net.ops.upload(weights));
        self.class_weights = known.or_else(|| wanted.map(upload));
        self.class_weights.as_ref().map(|(_, tensor)| tensor.clone())
    }

    /// One update on a batch of images of `size` on the device; `learning.frozen` is what [`Training::adapt`] was last told.
    pub(crate) fn step(&mut self, batch: (O::Tensor, &O::Targets), size: [usize; 2], learning: &Learning) {
        let weights = self.weights(learning.class_weights.as_ref());
        // Gradients of 16 bits would underflow were they not those of a multiple of the loss.
        let status = learning.update.scaled.then_some(&self.status);
        let objective = Objective { smoothing: learning.smoothing, weights: weights.as_ref(), status };
        let Pass { gradients, fresh, losses } = self.net.pass(batch, size, objective, &mut self.metrics, self.frozen);
        if let Some(all) = &mut self.losses {
            all.push(losses);
        }
        let first = self.first();
        let ops = self.net.ops.clone();
        while self.states.len() < learning.update.rule.states() {
            self.states.push(ops.zeros(&self.net.parameters.layout, first));
        }
        self.states.truncate(learning.update.rule.states());
        let factors = self.factors.take().filter(|(groups, _)| *groups == learning.groups);
        let (_, factors) = self.factors.insert(factors.unwrap_or_else(|| {
            let factors: Vec<_> = self.net.parameter_infos(first).map(|info| learning.groups.factors(&info)).collect();
            (learning.groups, ops.factors(&self.net.parameters.layout, first, &factors))
        }));
        let _time = ops.span(&|| "update".into());
        let learned = UpdateState {
            parameters: &mut self.net.parameters,
            gradients,
            states: &mut self.states,
            average: self.average.as_mut().filter(|_| learning.update.ema_decay > 0.0),
            statistics: &mut self.net.statistics,
            fresh,
            status: &mut self.status,
            factors,
        };
        ops.update(learned, &learning.update);
    }

    /// Has what is frozen, and whether averages are kept, be as they are to be.
    fn adapt(&mut self, frozen: Frozen, averages: bool) {
        if frozen != self.frozen {
            self.freeze(frozen);
        }
        if !averages {
            self.average = None;
        } else if self.average.is_none() {
            // As timm's `ModelEma`: it begins with the weights as they are before the step.
            let Net { ops, parameters, .. } = &self.net;
            let mut average = ops.empty(&parameters.layout, self.first());
            ops.overlay(&mut average, parameters);
            self.average = Some(average);
        }
    }

    /// The states of the layers that keep learning are kept, and others begin at zero.
    fn freeze(&mut self, frozen: Frozen) {
        let old = self.first();
        self.frozen = frozen;
        self.factors = None;
        let first = self.first();
        let (layout, ops) = (self.net.parameters.layout.clone(), self.net.ops.clone());
        let moved = |arena: &Arena<O::Memory>| {
            let mut moved = ops.zeros(&layout, first);
            ops.overlay(&mut moved, arena);
            moved
        };
        self.states = self.states.iter().map(moved).collect();
        // An average can't start from zero.
        self.average = self.average.as_ref().filter(|_| first >= old).map(moved);
    }

    /// The network with averaged weights; what is frozen has no average, and is its own.
    fn averaged(&self) -> Net<O> {
        let mut net = self.net.clone();
        if let Some(average) = &self.average {
            net.ops.overlay(&mut net.parameters, average);
        }
        net
    }
}

impl<O: Transfer> Training<O> {
    fn net(&self) -> Net<O> {
        self.net.clone()
    }

    /// One update on a batch of the host's.
    fn learn(&mut self, batch: &Batch, learning: &Learning) {
        self.adapt(learning.frozen, learning.update.ema_decay > 0.0);
        let (images, targets) = {
            let ops = &self.net.ops;
            let _time = ops.span(&|| "batch".into());
            ops.batch(batch, learning.storage)
        };
        self.step((images, &targets), batch.size(), learning);
    }

    fn submit(&self) {
        self.net.ops.submit();
    }

    fn status(&self) -> Status {
        Status::of(&self.read(&self.status))
    }

    fn set_status(&mut self, status: Status) {
        self.status = self.net.ops.upload(&status.values());
    }

    fn keep_losses(&mut self) {
        self.losses = Some(Vec::new());
    }

    fn take_losses(&mut self) -> Vec<Vec<f32>> {
        self.net.ops.read(self.losses.take().unwrap_or_default())
    }

    fn read(&self, tensor: &O::Tensor) -> Vec<f32> {
        self.net.ops.read(vec![tensor.clone()]).concat()
    }

    fn read_metrics(&mut self) -> ([f32; 2], Status) {
        let fresh = self.net.ops.upload(&NOTHING);
        let sums = std::mem::replace(&mut self.metrics, fresh);
        let read = self.net.ops.read(vec![sums, self.status.clone()]);
        ([read[0][0], read[0][1]], Status::of(&read[1]))
    }

    /// The names of states and averages, and their values as they lie on the device.
    fn states(&self) -> Vec<(String, Vec<f32>)> {
        let lists = STATE_NAMES.into_iter().zip(&self.states).chain(self.average.iter().map(|list| (AVERAGE, list)));
        let named = lists.flat_map(|(prefix, list)| {
            let names = self.net.parameter_infos(list.first).map(move |info| format!("{prefix}.{}", info.name));
            names.zip(self.net.read_arena(list)).collect::<Vec<_>>()
        });
        named.collect()
    }

    /// Takes back what [`Training::states`] gave. Layers that learn again since then have no states in it: as where training
    /// went through, theirs begin at zero, and averages begin anew.
    fn restore(&mut self, value: impl Fn(&str) -> Option<Vec<f32>>, frozen: Frozen) {
        self.frozen = frozen;
        self.factors = None;
        let (first, layout) = (self.first(), self.net.parameters.layout.clone());
        let infos: Vec<_> = self.net.parameter_infos(first).collect();
        let load = |prefix: &str| -> Vec<Option<Vec<f32>>> {
            let of = |info: &TensorInfo| {
                value(&format!("{prefix}.{}", info.name)).filter(|values| values.len() == info.count())
            };
            infos.iter().map(of).collect()
        };
        let fill = |loaded: Vec<Option<Vec<f32>>>| {
            self.net.ops.fill(&layout, first, |tensor, place| match &loaded[tensor - first] {
                Some(values) => place.copy_from_slice(values),
                None => place.fill(0.0),
            })
        };
        let states = STATE_NAMES.map(load).into_iter().take_while(|state| state.iter().any(Option::is_some));
        self.states = states.map(fill).collect();
        self.average = Some(load(AVERAGE)).filter(|average| average.iter().all(Option::is_some)).map(fill);
    }

    fn gradients(&self, batch: &Batch, learning: &Learning) -> Gradients {
        let net = &self.net;
        let weights = learning.class_weights.as_ref().map(|weights| net.ops.upload(weights));
        let status = learning.update.scaled.then_some(&self.status);
        let scale = status.map_or(1.0, |status| Status::of(&self.read(status)).scale);
        let objective = Objective { smoothing: learning.smoothing, weights: weights.as_ref(), status };
        let (images, targets) = net.ops.batch(batch, learning.storage);
        let mut metrics = net.ops.upload(&NOTHING);
        let pass = net.pass((images, &targets), batch.size(), objective, &mut metrics, self.frozen);
        let infos = net.parameter_infos(pass.gradients.first);
        Gradients { loss: self.read(&metrics)[0], scale, tensors: infos.zip(net.read_arena(&pass.gradients)).collect() }
    }

    fn trace(&self, batch: &Batch, storage: Storage, look: &mut dyn FnMut(&str, Vec<f32>)) {
        let net = &self.net;
        let (images, _) = net.ops.batch(batch, storage);
        let mut tape = net.tape(net.graph.first_node(self.frozen), batch.size(), false);
        net.forward(images, batch.size(), Some(&mut tape), |node, y| {
            if let Some(name) = net.graph.layer_of(node) {
                look(name, self.read(y));
            }
        });
    }
}

/// A network that learns, on a device.
pub struct Learner {
    spec: ModelSpec,
    compute: Compute,
    on: OnDevice<Training<Wgsl>, Training<Cpu>, Training<Reference>, remote::Training>,
}

impl Learner {
    /// Starts from a network with an empty optimiser.
    pub fn new(network: Network) -> Self {
        let Network { spec, compute, on } = network;
        Self { spec, compute, on: map_on_device!(on, net => net.learns()) }
    }

    /// What it was built from.
    pub(crate) fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    pub(super) fn ops(&self) -> Implementation {
        match &self.on {
            OnDevice::Wgsl(_) | OnDevice::Cpu(_) => Implementation::Fast,
            OnDevice::Reference(_) => Implementation::Reference,
            OnDevice::Elsewhere(training) => training.ops(),
        }
    }

    fn as_network(&self, on: AnyNet) -> Network {
        Network { spec: self.spec.clone(), compute: self.compute.clone(), on }
    }

    /// The network as it is: what is learned later does not change it.
    pub fn network(&self) -> Network {
        let on = map_on_device!(&self.on, training => training.net());
        self.as_network(on)
    }

    /// The network with averaged weights, where averages are kept.
    pub(crate) fn averaged(&self) -> Network {
        let on = map_on_device!(&self.on, training => training.averaged());
        self.as_network(on)
    }

    /// What is frozen.
    pub(crate) fn frozen(&self) -> Frozen {
        on_device!(&self.on, training => training.frozen)
    }

    /// One update on a batch.
    pub fn step(&mut self, batch: &Batch, learning: &Learning) {
        on_device!(&mut self.on, training => training.learn(batch, learning));
    }

    /// Hands all that is queued over to the device, without waiting for results.
    pub(crate) fn submit(&self) {
        on_device!(&self.on, training => training.submit());
    }

    /// The number of samples times the loss and the count of hits since the last call, and how updates stand. Waits for the
    /// device.
    pub fn read_metrics(&mut self) -> ([f32; 2], Status) {
        on_device!(&mut self.on, training => training.read_metrics())
    }

    /// How updates stand. Waits for the device.
    pub(crate) fn status(&self) -> Status {
        on_device!(&self.on, training => training.status())
    }

    /// Has updates stand as they are to.
    pub(crate) fn set_status(&mut self, status: Status) {
        on_device!(&mut self.on, training => training.set_status(status));
    }

    /// From here on the images' losses are kept, on the device, for [`Learner::take_losses`]. Those kept so far go.
    pub(crate) fn keep_losses(&mut self) {
        on_device!(&mut self.on, training => training.keep_losses());
    }

    /// Each step's losses since [`Learner::keep_losses`]. Waits for the device, once for all of them.
    pub(crate) fn take_losses(&mut self) -> Vec<Vec<f32>> {
        on_device!(&mut self.on, training => training.take_losses())
    }

    /// The optimiser's states and averages, under `first.<name>`, `second.<name>` and `ema.<name>`.
    pub(crate) fn states(&self) -> Vec<(String, Vec<f32>)> {
        on_device!(&self.on, training => training.states())
    }

    /// Takes back what [`Learner::states`] gave. What is missing or of another length starts anew.
    pub(crate) fn restore(&mut self, value: impl Fn(&str) -> Option<Vec<f32>>, frozen: Frozen) {
        on_device!(&mut self.on, training => training.restore(value, frozen));
    }

    /// Goes forward and back over a batch and changes nothing. Frozen is what was at the last step, whatever `learning` says.
    pub fn gradients(&self, batch: &Batch, learning: &Learning) -> Gradients {
        on_device!(&self.on, training => training.gradients(batch, learning))
    }

    /// Takes a batch forward as a training step does, and hands `look` the output of each layer in the order of the
    /// computation: the layer's torchvision name and all its values. The last are the logits, under the head's name. Waits
    /// for the device at every layer, and changes nothing.
    pub(crate) fn trace(&self, batch: &Batch, storage: Storage, mut look: impl FnMut(&str, Vec<f32>)) {
        on_device!(&self.on, training => training.trace(batch, storage, &mut look));
    }
}

#[cfg(test)]
mod tests;
