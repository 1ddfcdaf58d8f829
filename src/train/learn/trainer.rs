//! A network under training, with everything that changes from step to step: weights, moments, metrics. The session
//! decides when to step, look, and save; this is what it does it with.

use super::flight::Flight;
use crate::{
    device::Compute,
    model::{Frozen, Learning, Loss, ModelSpec, Moments, Network, network, prepare, spec::TensorInfo},
    ops::{
        Implementation, Storage, fast,
        kernels::{Factors, Rule, Status, Update},
        wgpu::{ahead::Ahead, step::Step},
    },
    train::{
        batches::{Batch, SampleParams},
        recipe::{Freeze, Optimizer, Recipe},
    },
    weights::{HostTensor, StateDict},
};
use burn::backend::TensorMetadata;
use burn::tensor::{DispatchTensor, Tensor, TensorData};
use std::sync::Arc;

/// The name of the loss scale among the optimiser's memory.
const LOSS_SCALE: &str = "loss_scale";

/// Sums over the steps since the last [`Trainer::read_metrics`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metrics {
    /// The batches' losses, each as often as it has images. With class weights they are the weighted means.
    pub loss: f32,
    pub hits: f32,
    pub images: u64,
    /// Updates refused since the weights were last good: the newest ones.
    pub refused: u64,
    /// Norm of the last gradient over all parameters, before clipping.
    pub norm: f32,
    /// What the loss is multiplied by in 16 bits.
    pub scale: f32,
    /// Updates that were skipped since the last look because the scale was too high.
    pub skipped: u64,
}

/// A network under training.
pub struct Trainer {
    /// `None` only while an update has it.
    network: Option<Network>,
    moments: Moments,
    /// Each step's losses and the images that they are of, while somebody wants them.
    losses: Option<Vec<(Vec<Option<u32>>, Tensor<1>)>>,
    /// The class weights of the last batch, and where they lie on the device.
    class_weights: Option<(Arc<[f32]>, Tensor<1>)>,
    /// How many layers the moments stand for.
    pub(super) frozen: Frozen,
    metrics: Tensor<1>,
    /// A [`Status`].
    status: Tensor<1>,
    /// What it said of skipped updates at the last look.
    skipped: f32,
    images: u64,
    /// Updates since the optimiser's memory began, for AdamW's bias correction.
    updates: u64,
    flight: Flight,
    compute: Compute,
}

impl Trainer {
    /// Starts from a network with an empty optimiser.
    pub fn new(network: Network, compute: Compute) -> Self {
        fast::ready(&compute);
        Self {
            metrics: nothing_yet(&compute),
            status: Status::START.on(&compute.device),
            skipped: 0.0,
            network: Some(network),
            moments: Moments::default(),
            losses: None,
            class_weights: None,
            frozen: Frozen::Nothing,
            images: 0,
            updates: 0,
            flight: Flight::default(),
            compute,
        }
    }

    pub fn network(&self) -> &Network {
        match &self.network {
            Some(network) => network,
            None => unreachable!("the network is away only within `step`"),
        }
    }

    pub fn compute(&self) -> &Compute {
        &self.compute
    }

    /// The network for validation: with averaged weights where the recipe keeps them.
    pub fn averaged(&self) -> Network {
        let network = self.network();
        if self.moments.ema.is_empty() {
            return network.clone();
        }
        let mut parameters = network.parameters(Frozen::Nothing);
        parameters.truncate(parameters.len() - self.moments.ema.len());
        parameters.extend(self.moments.ema.iter().cloned().zip(network.parameters(self.frozen)).map(reshaped));
        network.with_parameters(parameters)
    }

    /// See [`storage`].
    pub fn storage(&self, recipe: &Recipe) -> Storage {
        storage(recipe, self.network().ops(), &self.compute)
    }

    /// What gradients are of: 16-bit ones are those of a multiple of the loss, or they would underflow.
    pub(super) fn loss<'a>(&'a self, recipe: &Recipe, weights: Option<&'a Tensor<1>>) -> Loss<'a> {
        let scaled = self.storage(recipe) == Storage::F16;
        Loss { smoothing: recipe.label_smoothing as f32, weights, status: scaled.then_some(&self.status) }
    }

    /// The class weights of a batch on the device, where those of the batch before may lie already.
    fn class_weights(&mut self, batch: &Batch) -> Option<Tensor<1>> {
        let wanted = batch.class_weights.as_ref()?;
        let known = self.class_weights.take().filter(|(weights, _)| weights == wanted);
        let known = known.or_else(|| Some((wanted.clone(), batch.class_weights_on(&self.compute.device)?)));
        self.class_weights = known;
        self.class_weights.as_ref().map(|(_, tensor)| tensor.clone())
    }

    /// One update on a batch.
    pub fn step(&mut self, batch: &Batch, recipe: &Recipe, lr: f64, frozen: Freeze) {
        let frozen = frozen_layers(frozen);
        if frozen != self.frozen {
            self.adapt_moments(frozen);
        }
        let storage = self.storage(recipe);
        let (x, targets) = batch.on(&self.compute.device, storage);
        let weights = self.class_weights(batch);
        let loss = self.loss(recipe, weights.as_ref());
        let pass = self.network().pass(x, &targets, self.metrics.clone(), loss, frozen);
        let Some(network) = self.network.take() else { unreachable!("steps do not nest") };
        self.metrics = pass.metrics.clone();
        if let Some(losses) = &mut self.losses {
            // The loss of a mix is no image's own.
            let own = |params: &SampleParams| (params.share >= 1.0).then_some(params.index);
            losses.push((batch.plan.params.iter().map(own).collect(), pass.losses.clone()));
        }
        self.images += batch.plan.len() as u64;
        self.updates += 1;
        let factors = factors(&network, frozen, recipe);
        let update = update(recipe, lr, self.updates, storage);
        let moments = std::mem::take(&mut self.moments);
        let (network, moments, status) = network.update(pass, moments, self.status.clone(), factors, update, frozen);
        (self.network, self.moments, self.status) = (Some(network), moments, status);
        self.flight.queued(&self.compute, &self.status);
    }

    /// The sums since the last call. Waits for the device.
    pub fn read_metrics(&mut self) -> Metrics {
        let metrics = network::read(std::mem::replace(&mut self.metrics, nothing_yet(&self.compute)));
        let status = Status::of(&network::read(self.status.clone()));
        let images = std::mem::take(&mut self.images);
        let skipped = (status.skipped - std::mem::replace(&mut self.skipped, status.skipped)) as u64;
        let Status { refused, norm, scale, .. } = status;
        Metrics { loss: metrics[0], hits: metrics[1], images, refused: refused as u64, norm, scale, skipped }
    }

    /// From here on the images' losses are kept, on the device, for [`Trainer::take_losses`]. Those kept so far go.
    pub fn keep_losses(&mut self) {
        self.losses = Some(Vec::new());
    }

    /// The losses of the images since [`Trainer::keep_losses`], by position in the split; mixed images are left out.
    /// Waits for the device, once for all of them.
    pub fn take_losses(&mut self) -> Vec<(u32, f32)> {
        let (indices, tensors): (Vec<_>, Vec<_>) = self.losses.take().unwrap_or_default().into_iter().unzip();
        let losses = network::read_all(tensors);
        let pairs = indices.into_iter().flatten().zip(losses.into_iter().flatten());
        pairs.filter_map(|(index, loss)| Some((index?, loss))).collect()
    }

    /// Lets updates happen again after some were refused.
    pub fn forgive(&mut self) {
        self.skipped = 0.0;
        self.status = Status::START.on(&self.compute.device);
    }

    /// When what is frozen changes, the moments of the layers that keep learning are kept.
    fn adapt_moments(&mut self, frozen: Frozen) {
        let network = self.network();
        let (old, new) = (network.parameters(self.frozen).len(), network.parameters(frozen));
        for list in [&mut self.moments.first, &mut self.moments.second, &mut self.moments.ema] {
            if list.len() != old {
                continue;
            }
            *list = if new.len() <= old {
                list.split_off(old - new.len())
            } else {
                let fresh = new[..new.len() - old].iter().map(|p| zeros_like(p.clone()));
                fresh.chain(list.drain(..)).collect()
            };
        }
        // An average can't start from zero.
        if new.len() > old {
            self.moments.ema.clear();
        }
        self.frozen = frozen;
    }

    /// Weights (averaged ones where `averaged`) in PyTorch's layout under torchvision's names.
    pub fn state(&self, averaged: bool) -> StateDict {
        let network = if averaged { self.averaged() } else { self.network().clone() };
        state_of(&network)
    }

    /// The optimiser's memory as flat tensors on the device's layout, under `first.<name>`, `second.<name>` and
    /// `ema.<name>`, and the loss scale with the updates since it changed, under `loss_scale`.
    pub fn optimiser_state(&self) -> StateDict {
        let infos = self.network().parameter_infos(self.frozen);
        let lists = [("first", &self.moments.first), ("second", &self.moments.second), ("ema", &self.moments.ema)];
        let mut out = StateDict::new();
        let Status { scale, since, .. } = Status::of(&network::read(self.status.clone()));
        // Nothing ever asked for a scale that is as it was.
        if (scale, since) != (Status::START.scale, Status::START.since) {
            out.insert(LOSS_SCALE.into(), HostTensor { shape: vec![2], data: vec![scale, since] });
        }
        for (prefix, list) in lists {
            for (info, tensor) in infos.iter().zip(list) {
                let data = read_any(tensor.clone());
                out.insert(format!("{prefix}.{}", info.name), HostTensor { shape: vec![data.len()], data });
            }
        }
        out
    }

    /// Updates since the optimiser's memory began.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Takes back what [`Trainer::optimiser_state`] gave. What is missing or of another length starts anew.
    pub fn restore_optimiser(&mut self, state: &StateDict, updates: u64, frozen: Freeze) {
        self.frozen = frozen_layers(frozen);
        self.updates = updates;
        if let Some([scale, since]) = state.get(LOSS_SCALE).and_then(|tensor| tensor.data.first_chunk()) {
            self.status = Status { scale: *scale, since: *since, ..Status::START }.on(&self.compute.device);
        }
        let parameters = self.network().parameters(self.frozen);
        let infos = self.network().parameter_infos(self.frozen);
        let load = |prefix: &str| -> Vec<Option<DispatchTensor>> {
            let tensor = |(info, parameter): (&TensorInfo, &DispatchTensor)| {
                let host = state.get(&format!("{prefix}.{}", info.name))?;
                let wanted: usize = parameter.shape().iter().product();
                (host.data.len() == wanted).then(|| shaped_like(host.data.clone(), parameter, &self.compute))
            };
            infos.iter().zip(&parameters).map(tensor).collect()
        };
        // Layers that learn again since the state was saved have no moments in it: as in a run that goes through, theirs
        // begin at zero, and averages begin anew.
        let moments = |prefix: &str| -> Vec<DispatchTensor> {
            let loaded = load(prefix);
            if loaded.iter().all(Option::is_none) {
                return Vec::new();
            }
            let or_zero =
                |(tensor, like): (Option<_>, &DispatchTensor)| tensor.unwrap_or_else(|| zeros_like(like.clone()));
            loaded.into_iter().zip(&parameters).map(or_zero).collect()
        };
        let ema = load("ema").into_iter().collect::<Option<_>>().unwrap_or_default();
        self.moments = Moments { first: moments("first"), second: moments("second"), ema };
    }
}

/// How activations are stored under a recipe: in 16 bits where it asks for them and the device has them.
pub fn storage(recipe: &Recipe, ops: Implementation, compute: &Compute) -> Storage {
    let able = ops == Implementation::Fast && compute.adapter.as_ref().is_some_and(|adapter| adapter.f16);
    if able { recipe.precision.storage() } else { Storage::F32 }
}

/// A network's weights in PyTorch's layout under torchvision's names.
pub fn state_of(network: &Network) -> StateDict {
    network.export().into_iter().map(|(info, data)| (info.name, HostTensor { shape: info.shape, data })).collect()
}

/// A network with the weights of `state`, which has every tensor of `spec`.
pub fn network_of(
    spec: &ModelSpec,
    state: &StateDict,
    ops: Implementation,
    compute: &Compute,
) -> Result<Network, crate::model::LoadError> {
    Network::load(spec, |info| state.get(&info.name).map(|tensor| tensor.data.clone()), ops, &compute.device)
}

/// Begins to prepare the kernels of a new run's steps on images of `size`: see [`prepare()`].
pub fn prepared(spec: &ModelSpec, recipe: &Recipe, size: [usize; 2], ops: Implementation, compute: &Compute) -> Ahead {
    prepare(spec, &learning(recipe, size, ops, compute), ops, compute)
}

/// What a new run's step is to those who plan its kernels.
pub fn step(spec: &ModelSpec, recipe: &Recipe, size: [usize; 2], ops: Implementation, compute: &Compute) -> Step {
    prepare::step(spec, &learning(recipe, size, ops, compute))
}

fn learning(recipe: &Recipe, size: [usize; 2], ops: Implementation, compute: &Compute) -> Learning {
    let storage = storage(recipe, ops, compute);
    Learning {
        batch: recipe.batch_size,
        size,
        storage,
        frozen: frozen_layers(recipe.frozen_at(0)),
        smoothing: recipe.label_smoothing as f32,
        update: update(recipe, recipe.lr, 1, storage),
    }
}

pub(super) fn frozen_layers(freeze: Freeze) -> Frozen {
    match freeze {
        Freeze::None => Frozen::Nothing,
        Freeze::AllButHead => Frozen::Backbone,
        other => Frozen::Stages(other.stages(usize::MAX)),
    }
}

fn factors(network: &Network, frozen: Frozen, recipe: &Recipe) -> Vec<Factors> {
    let of = |info: crate::model::spec::TensorInfo| Factors {
        lr: if info.name.starts_with("fc.") { 1.0 } else { recipe.backbone_lr_factor as f32 },
        weight_decay: if network::is_bias_or_norm(info.role) && !recipe.decay_bn_bias { 0.0 } else { 1.0 },
    };
    network.parameter_infos(frozen).into_iter().map(of).collect()
}

fn update(recipe: &Recipe, lr: f64, step: u64, storage: Storage) -> Update {
    Update {
        rule: match recipe.optimizer {
            Optimizer::Sgd => Rule::Sgd { momentum: recipe.momentum as f32, nesterov: recipe.nesterov },
            Optimizer::AdamW => Rule::AdamW { beta1: recipe.momentum, beta2: recipe.beta2, eps: 1e-8, step },
        },
        lr: lr as f32,
        weight_decay: recipe.weight_decay as f32,
        clip_norm: recipe.clip_norm as f32,
        ema_decay: recipe.ema_decay,
        scaled: storage == Storage::F16,
    }
}

pub(super) fn read_any(tensor: DispatchTensor) -> Vec<f32> {
    match tensor.shape().num_dims() {
        1 => network::read(Tensor::<1>::from_dispatch(tensor)),
        2 => network::read(Tensor::<2>::from_dispatch(tensor)),
        _ => network::read(Tensor::<4>::from_dispatch(tensor)),
    }
}

/// Sums of nothing. Sent, for burn's kernel that fills a tensor would be one more to compile before the first step.
fn nothing_yet(compute: &Compute) -> Tensor<1> {
    Tensor::from_data([0.0f32; 2], &compute.device)
}

fn zeros_like(tensor: DispatchTensor) -> DispatchTensor {
    match tensor.shape().num_dims() {
        1 => Tensor::<1>::from_dispatch(tensor).zeros_like().into_dispatch(),
        2 => Tensor::<2>::from_dispatch(tensor).zeros_like().into_dispatch(),
        _ => Tensor::<4>::from_dispatch(tensor).zeros_like().into_dispatch(),
    }
}

fn shaped_like(data: Vec<f32>, like: &DispatchTensor, compute: &Compute) -> DispatchTensor {
    let shape: Vec<usize> = like.shape().iter().copied().collect();
    match *shape {
        [a, b] => Tensor::<2>::from_data(TensorData::new(data, [a, b]), &compute.device).into_dispatch(),
        [a, b, c, d] => Tensor::<4>::from_data(TensorData::new(data, [a, b, c, d]), &compute.device).into_dispatch(),
        _ => {
            let n = data.len();
            Tensor::<1>::from_data(TensorData::new(data, [n]), &compute.device).into_dispatch()
        }
    }
}

/// An average kept flat, in its parameter's shape.
fn reshaped((average, like): (DispatchTensor, DispatchTensor)) -> DispatchTensor {
    let shape: Vec<usize> = like.shape().iter().copied().collect();
    let flat = match average.shape().num_dims() {
        1 => Tensor::<1>::from_dispatch(average),
        2 => Tensor::<2>::from_dispatch(average).flatten(0, 1),
        _ => Tensor::<4>::from_dispatch(average).flatten(0, 3),
    };
    match *shape {
        [a, b] => flat.reshape([a, b]).into_dispatch(),
        [a, b, c, d] => flat.reshape([a, b, c, d]).into_dispatch(),
        _ => flat.into_dispatch(),
    }
}
