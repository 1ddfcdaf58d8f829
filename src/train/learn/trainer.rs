//! A network under training, with everything that changes from step to step: weights, moments, metrics. The session
//! decides when to step, look, and save; this is what it does it with.

use crate::{
    device::{Compute, InFlight},
    model::{Frozen, Learner, Learning, LoadError, ModelSpec, Network, ParameterGroups, Prepared, StepPlan, prepare},
    ops::{
        Implementation, Storage,
        optimizers::{Status, Update},
        wgpu::tune,
    },
    train::{
        batches::{Batch, SampleParams},
        recipe::{Freeze, Recipe},
    },
    weights::{HostTensor, StateDict},
};

/// The name of the loss scale among the optimiser's memory.
const LOSS_SCALE: &str = "loss_scale";

/// Sums over the steps since the last [`Trainer::read_metrics`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metrics {
    /// The batches' losses, each as often as it has images. With class weights they are the weighted means.
    pub loss: f32,
    pub(crate) hits: f32,
    /// Number of images seen.
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
    learner: Learner,
    ops: Implementation,
    /// The images that each step's losses are of, while somebody wants them.
    losses_of: Option<Vec<Vec<Option<u32>>>>,
    /// What was said of skipped updates at the last look.
    skipped: f32,
    images: u64,
    /// Updates since the optimiser's memory began, for bias corrections.
    updates: u64,
    in_flight: InFlight,
    compute: Compute,
}

impl Trainer {
    /// Starts from a network with an empty optimiser.
    pub fn new(network: Network) -> Self {
        let (ops, compute) = (network.ops(), network.compute().clone());
        if ops == Implementation::Fast {
            tune::ready(&compute);
        }
        Self {
            ops,
            learner: Learner::new(network),
            losses_of: None,
            skipped: 0.0,
            images: 0,
            updates: 0,
            in_flight: InFlight::default(),
            compute,
        }
    }

    /// The network as it is now.
    pub fn network(&self) -> Network {
        self.learner.network()
    }

    /// The device.
    pub(crate) fn compute(&self) -> &Compute {
        &self.compute
    }

    /// The network for validation: with averaged weights where the recipe keeps them.
    pub fn averaged(&self) -> Network {
        self.learner.averaged()
    }

    pub(super) fn learner(&self) -> &Learner {
        &self.learner
    }

    /// What a step on a batch is told; nothing else of the recipe matters to it.
    pub(super) fn learning(&self, batch: &Batch, recipe: &Recipe, lr: f64, frozen: Frozen) -> Learning {
        let storage = self.storage(recipe);
        let class_weights = batch.class_weights.clone();
        Learning { class_weights, ..learning(recipe, lr, self.updates + 1, frozen, storage) }
    }

    /// See [`storage`].
    pub(crate) fn storage(&self, recipe: &Recipe) -> Storage {
        storage(recipe, self.ops, &self.compute)
    }

    /// One update on a batch.
    pub fn step(&mut self, batch: &Batch, recipe: &Recipe, lr: f64, frozen: Freeze) {
        let learning = self.learning(batch, recipe, lr, frozen_layers(frozen));
        batch.with_input(|input| self.learner.step(input, &learning));
        if let Some(all) = &mut self.losses_of {
            // The loss of a mix is no image's own.
            let own = |params: &SampleParams| (params.lambda >= 1.0).then_some(params.index);
            all.push(batch.plan.params.iter().map(own).collect());
        }
        self.images += batch.plan.len() as u64;
        self.updates += 1;
        self.in_flight.queued(&self.compute, || self.learner.submit());
    }

    /// The sums since the last call. Waits for the device.
    pub fn read_metrics(&mut self) -> Metrics {
        let ([loss, hits], status) = self.learner.read_metrics();
        let images = std::mem::take(&mut self.images);
        let skipped = (status.skipped - std::mem::replace(&mut self.skipped, status.skipped)) as u64;
        let Status { refused, norm, scale, .. } = status;
        Metrics { loss, hits, images, refused: refused as u64, norm, scale, skipped }
    }

    /// From here on the images' losses are kept, on the device, for [`Trainer::take_losses`]. Those kept so far go.
    pub(crate) fn keep_losses(&mut self) {
        self.learner.keep_losses();
        self.losses_of = Some(Vec::new());
    }

    /// The losses of the images since [`Trainer::keep_losses`], by position in the split; mixed images are left out.
    /// Waits for the device, once for all of them.
    pub(crate) fn take_losses(&mut self) -> Vec<(u32, f32)> {
        let images = self.losses_of.take().unwrap_or_default().into_iter().flatten();
        let pairs = images.zip(self.learner.take_losses().into_iter().flatten());
        pairs.filter_map(|(image, loss)| Some((image?, loss))).collect()
    }

    /// Lets updates happen again after some were refused.
    pub(crate) fn allow_updates(&mut self) {
        self.skipped = 0.0;
        self.learner.set_status(Status::START);
    }

    /// Weights (averaged ones where `averaged`) in PyTorch's layout under torchvision's names.
    pub fn state(&self, averaged: bool) -> StateDict {
        state_of(&if averaged { self.averaged() } else { self.network() })
    }

    /// The optimiser's memory as flat tensors on the device's layout, under `first.<name>`, `second.<name>` and
    /// `ema.<name>`, and the loss scale with the updates since it changed, under `loss_scale`.
    pub fn optimiser_state(&self) -> StateDict {
        let flat = |data: Vec<f32>| HostTensor { shape: vec![data.len()], data };
        let mut out: StateDict = self.learner.states().into_iter().map(|(name, data)| (name, flat(data))).collect();
        let Status { scale, since, .. } = self.learner.status();
        // Nothing ever asked for a scale that is as it was.
        if (scale, since) != (Status::START.scale, Status::START.since) {
            out.insert(LOSS_SCALE.into(), flat(vec![scale, since]));
        }
        out
    }

    /// Updates since the optimiser's memory began.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Takes back what [`Trainer::optimiser_state`] gave. What is missing or of another length starts anew.
    pub fn restore_optimiser(&mut self, state: &StateDict, updates: u64, frozen: Freeze) {
        self.updates = updates;
        if let Some([scale, since]) = state.get(LOSS_SCALE).and_then(|tensor| tensor.data.first_chunk()) {
            self.learner.set_status(Status { scale: *scale, since: *since, ..Status::START });
        }
        self.learner.restore(|name| state.get(name).map(|tensor| tensor.data.clone()), frozen_layers(frozen));
    }
}

/// How activations are stored under a recipe: in 16 bits where it asks for them and the device has them.
pub(crate) fn storage(recipe: &Recipe, ops: Implementation, compute: &Compute) -> Storage {
    let wanted = recipe.precision.storage();
    if ops == Implementation::Fast && wanted.is_on(compute) { wanted } else { Storage::F32 }
}

/// A network's weights in PyTorch's layout under torchvision's names.
pub(crate) fn state_of(network: &Network) -> StateDict {
    network.export().into_iter().map(|(info, data)| (info.name, HostTensor { shape: info.shape, data })).collect()
}

/// A network with the weights of `state`, which has every tensor of `spec`.
pub fn network_of(
    spec: &ModelSpec,
    state: &StateDict,
    ops: Implementation,
    compute: &Compute,
) -> Result<Network, LoadError> {
    Network::load(spec, |info| state.get(&info.name).map(|tensor| tensor.data.clone()), ops, compute)
}

/// Begins to prepare the kernels of a new run's steps on images of `size`: see [`prepare()`].
pub(crate) fn prepared(
    spec: &ModelSpec,
    recipe: &Recipe,
    size: [usize; 2],
    ops: Implementation,
    compute: &Compute,
) -> Prepared {
    prepare(spec, &step_plan(recipe, size, storage(recipe, ops, compute)), ops, compute)
}

/// What a new run's step is to those who plan its kernels.
pub fn step_plan(recipe: &Recipe, size: [usize; 2], storage: Storage) -> StepPlan {
    let learning = learning(recipe, recipe.lr, 1, frozen_layers(recipe.frozen_at(0)), storage);
    StepPlan { batch: recipe.batch_size, size, learning }
}

/// What a recipe says of the `step`-th update.
fn learning(recipe: &Recipe, lr: f64, step: u64, frozen: Frozen, storage: Storage) -> Learning {
    Learning {
        storage,
        smoothing: recipe.label_smoothing as f32,
        class_weights: None,
        frozen,
        groups: ParameterGroups {
            backbone_lr: recipe.backbone_lr_factor as f32,
            decay_bias_and_norm: recipe.decay_bn_bias,
        },
        update: Update {
            rule: recipe.rule(),
            step,
            lr: lr as f32,
            weight_decay: recipe.weight_decay as f32,
            clip_norm: recipe.clip_norm as f32,
            ema_decay: recipe.ema_decay,
            scaled: storage == Storage::F16,
        },
    }
}

pub(super) fn frozen_layers(freeze: Freeze) -> Frozen {
    match freeze {
        Freeze::None => Frozen::Nothing,
        Freeze::AllButHead => Frozen::Backbone,
        other => Frozen::Stages(other.stages(usize::MAX)),
    }
}
