//! The server's side: one client's networks and learners on a device of this machine.

mod check;
#[cfg(test)]
pub(super) mod tests;

use super::{
    Frozen, Learner, Learning, ModelSpec, Network, Prepared, StepPlan, footprint,
    network::largest_batch,
    prepare,
    remote::request::{
        Batch, ClassWeights, Floats, GradientsThere, Images, Lesson, Named, Pixels, Request, RulesOf, Sums, Values,
    },
};
use crate::{
    device::{
        Choice, Compute, InFlight,
        remote::{Content, Handler, Offered, decode, encode},
    },
    format,
    ops::{
        self, Implementation, Storage,
        optimizers::Status,
        resident::{Gatherer, Resident},
        sample::Rules,
        wgpu::{Wgpu, tune},
    },
};
use std::{collections::HashMap, sync::Arc};

/// Bytes of a value.
const FLOAT: u64 = 4;
/// Of a learner's parameters: they themselves, gradients, two states, averages.
const COPIES: u64 = 5;

/// What one client has on a device.
pub(crate) struct Host {
    compute: Compute,
    /// Bytes that it may take.
    memory: u64,
    networks: HashMap<u64, Network>,
    learners: HashMap<u64, Held>,
    images: HashMap<Content, (Resident, [usize; 2], usize, u64)>,
    in_flight: InFlight,
}

struct Held {
    learner: Learner,
    class_weights: Option<Arc<[f32]>>,
    /// Kernels of its steps, once there was one.
    prepared: Option<Prepared>,
}

/// Gives bytes that the server has.
type Kept<'a> = &'a dyn Fn(Content) -> Option<Arc<Vec<u8>>>;

impl Handler for Host {
    fn call(&mut self, call: &[u8], kept: Kept) -> Result<Vec<u8>, String> {
        self.obey(decode(call)?, kept)
    }
}

impl Host {
    /// For a client that may take so many bytes of the device's memory.
    pub(crate) fn new(compute: Compute, memory: u64) -> Self {
        Self {
            compute,
            memory,
            networks: HashMap::new(),
            learners: HashMap::new(),
            images: HashMap::new(),
            in_flight: InFlight::default(),
        }
    }

    /// What clients are told of a device on which so many bytes of images may be kept.
    pub(crate) fn offers(compute: &Compute, kept: u64) -> Offered {
        Offered {
            name: match &compute.adapter {
                Some(adapter) => Choice::Gpu(adapter.index).to_string(),
                None => Choice::Cpu.to_string(),
            },
            description: compute.description.clone(),
            adapter: compute.adapter.clone(),
            largest_tensor: Wgpu::of(compute).map(|gpu| gpu.largest_tensor()),
            bf16: Storage::Bf16.is_on(compute),
            room: Gatherer::of(compute).map_or(0, |gatherer| gatherer.room()).min(kept),
        }
    }

    fn obey(&mut self, request: Request, kept: Kept) -> Result<Vec<u8>, String> {
        match request {
            Request::Load { network, spec, ops, tensors } => self.load(network, &spec, ops, tensors)?,
            Request::Export { network } => {
                let tensors = self.network(network)?.export();
                return Ok(encode(&values(tensors.into_iter().map(|(_, values)| values))));
            }
            Request::Look { network, batch, storage, wanted } => {
                let spec = self.network(network)?.spec().clone();
                self.check(&spec, &batch, storage, None, kept)?;
                let input = self.input(&batch, kept)?;
                let looked = input.with(&batch, |batch| Ok(self.network(network)?.outputs(batch, storage, wanted)))?;
                return Ok(encode(&values(looked.into_iter())));
            }
            Request::Learn { learner, network } => {
                let network = self.network(network)?.clone();
                let needed = COPIES * FLOAT * network.spec().parameters() as u64;
                self.room_for(needed)?;
                if network.ops() == Implementation::Fast {
                    tune::ready(&self.compute);
                }
                let held = Held { learner: Learner::new(network), class_weights: None, prepared: None };
                self.learners.insert(learner, held);
            }
            Request::Network { learner, network, averaged } => {
                let learner = &self.learner(learner)?.learner;
                let made = if averaged { learner.averaged() } else { learner.network() };
                self.room_for(FLOAT * made.spec().parameters() as u64)?;
                self.networks.insert(network, made);
            }
            Request::Forget(number) => {
                self.networks.remove(&number);
                self.learners.remove(&number);
            }
            Request::Step { learner, batch, lesson } => self.step(learner, &batch, lesson, kept)?,
            Request::Metrics(learner) => {
                let (sums, status) = self.learner(learner)?.learner.read_metrics();
                let sums: Sums = (sums, status.values());
                return Ok(encode(&sums));
            }
            Request::Status(learner) => return Ok(encode(&self.learner(learner)?.learner.status().values())),
            Request::SetStatus(learner, state) => self.learner(learner)?.learner.set_status(Status::of(&state)),
            Request::KeepLosses(learner) => self.learner(learner)?.learner.keep_losses(),
            Request::TakeLosses(learner) => {
                return Ok(encode(&values(self.learner(learner)?.learner.take_losses().into_iter())));
            }
            Request::States(learner) => {
                let states = self.learner(learner)?.learner.states();
                let states: Named = states.into_iter().map(|(name, values)| (name, Floats(values))).collect();
                return Ok(encode(&states));
            }
            Request::Restore { learner, states, frozen } => {
                let states: HashMap<String, Floats> = states.into_iter().collect();
                let value = |name: &str| states.get(name).map(|floats| floats.0.clone());
                self.learner(learner)?.learner.restore(value, frozen);
            }
            Request::Gradients { learner, batch, lesson } => return self.gradients(learner, &batch, lesson, kept),
            Request::Trace { learner, batch, storage } => {
                let spec = self.spec_of(learner)?;
                self.check(&spec, &batch, storage, Some(Frozen::Nothing), kept)?;
                let mut traced = Named::new();
                let input = self.input(&batch, kept)?;
                input.with(&batch, |batch| {
                    let learner = &self.learner(learner)?.learner;
                    learner.trace(batch, storage, |name, values| traced.push((name.to_owned(), Floats(values))));
                    Ok(())
                })?;
                return Ok(encode(&traced));
            }
        }
        Ok(Vec::new())
    }

    fn network(&self, number: u64) -> Result<&Network, String> {
        self.networks.get(&number).ok_or_else(|| format!("there is no network {number}"))
    }

    fn learner(&mut self, number: u64) -> Result<&mut Held, String> {
        self.learners.get_mut(&number).ok_or_else(|| format!("there is no learner {number}"))
    }

    fn spec_of(&mut self, learner: u64) -> Result<ModelSpec, String> {
        Ok(self.learner(learner)?.learner.spec().clone())
    }

    fn load(&mut self, number: u64, spec: &str, ops: Implementation, tensors: Vec<Floats>) -> Result<(), String> {
        let spec: ModelSpec = serde_json::from_str(spec).map_err(|error| error.to_string())?;
        let spec = spec.validate().map_err(|error| error.to_string())?;
        self.room_for(FLOAT * spec.parameters() as u64)?;
        let names = spec.tensors().into_iter().map(|info| info.name);
        let tensors: HashMap<String, Floats> = names.zip(tensors).collect();
        let value = |info: &crate::model::spec::TensorInfo| tensors.get(&info.name).map(|floats| floats.0.clone());
        let network = Network::load(&spec, value, ops, &self.compute).map_err(|error| error.to_string())?;
        self.networks.insert(number, network);
        Ok(())
    }

    /// Whether there is room for so many bytes more.
    fn room_for(&self, more: u64) -> Result<(), String> {
        let parameters = |spec: &ModelSpec| FLOAT * spec.parameters() as u64;
        let networks: u64 = self.networks.values().map(|network| parameters(network.spec())).sum();
        let learners: u64 = self.learners.values().map(|held| COPIES * parameters(held.learner.spec())).sum();
        let images: u64 = self.images.values().map(|image| image.3).sum();
        let needed = networks.saturating_add(learners).saturating_add(images).saturating_add(more);
        match needed <= self.memory {
            true => Ok(()),
            false => Err(format!(
                "that would take about {} of memory, and the server gives a client {}",
                format::bytes(needed),
                format::bytes(self.memory)
            )),
        }
    }

    /// Whether a network takes a batch, and the device has the room: to learn from it where something is not frozen.
    fn check(
        &self,
        spec: &ModelSpec,
        batch: &Batch,
        storage: Storage,
        learns: Option<Frozen>,
        kept: Kept,
    ) -> Result<[usize; 2], String> {
        if !storage.is_on(&self.compute) {
            return Err(format!("this device has no {storage:?}"));
        }
        let graph = spec.graph();
        let size = check::batch(batch, spec, &graph, |images| match images {
            Images::Sent(bytes) => Ok(bytes.len()),
            Images::Kept(content) => kept(*content).map(|bytes| bytes.len()).ok_or_else(|| missing(*content)),
        })?;
        let n = batch.samples.len() as u64;
        let most = largest_batch(&graph, size, storage, &self.compute);
        if n > most as u64 {
            return Err(format!("this device takes at most {most} images of {}x{} at once", size[0], size[1]));
        }
        let values = match learns {
            Some(frozen) => footprint::training(&graph, size, frozen),
            None => footprint::inference(&graph, size),
        };
        self.room_for(n.saturating_mul(values).saturating_mul(storage.bytes() as u64))?;
        Ok(size)
    }

    /// What the operations take a batch as.
    fn input(&mut self, batch: &Batch, kept: Kept) -> Result<Input, String> {
        let Pixels::Made { images, size, channels, rules } = &batch.pixels else { return Ok(Input::Values) };
        let gatherer = Gatherer::of(&self.compute).ok_or("a processor makes no batches of bytes")?;
        let RulesOf { output, reflect, normalisation } = rules;
        let rules = Rules::new(*output, *reflect, normalisation.clone(), *channels);
        let images = match images {
            Images::Sent(bytes) => gatherer.send(bytes, *size, *channels),
            Images::Kept(content) => self.resident(*content, *size, *channels, &gatherer, kept)?,
        };
        Ok(Input::Made(Box::new((images, rules))))
    }

    /// Images that the server has, on the device.
    fn resident(
        &mut self,
        content: Content,
        size: [usize; 2],
        channels: usize,
        gatherer: &Gatherer,
        kept: Kept,
    ) -> Result<Resident, String> {
        if let Some((images, ..)) = self.images.get(&content).filter(|known| (known.1, known.2) == (size, channels)) {
            return Ok(images.clone());
        }
        let bytes = kept(content).ok_or_else(|| missing(content))?;
        let length = bytes.len() as u64;
        self.images.remove(&content);
        self.room_for(length)?;
        let images = gatherer.keep(&bytes, size, channels, length).ok_or("the images have no room on the device")?;
        self.images.insert(content, (images.clone(), size, channels, length));
        Ok(images)
    }

    fn learning(&mut self, learner: u64, lesson: Lesson) -> Result<Learning, String> {
        let held = self.learner(learner)?;
        let Lesson { storage, smoothing, class_weights, frozen, groups, update } = lesson;
        match class_weights {
            ClassWeights::None => held.class_weights = None,
            ClassWeights::Same => {}
            ClassWeights::New(weights) if weights.0.len() == held.learner.spec().classes => {
                held.class_weights = Some(weights.0.into());
            }
            ClassWeights::New(weights) => return Err(format!("there are no {} classes", weights.0.len())),
        }
        let class_weights = held.class_weights.clone();
        Ok(Learning { storage, smoothing, class_weights, frozen, groups, update })
    }

    fn step(&mut self, number: u64, batch: &Batch, lesson: Lesson, kept: Kept) -> Result<(), String> {
        let spec = self.spec_of(number)?;
        let size = self.check(&spec, batch, lesson.storage, Some(lesson.frozen), kept)?;
        let learning = self.learning(number, lesson)?;
        let input = self.input(batch, kept)?;
        let compute = self.compute.clone();
        let held = self.learner(number)?;
        if held.prepared.is_none() {
            let plan = StepPlan { batch: batch.samples.len(), size, learning: learning.clone() };
            held.prepared = Some(prepare(&spec, &plan, held.learner.ops(), &compute));
        }
        input.with(batch, |batch| {
            held.learner.step(batch, &learning);
            Ok(())
        })?;
        let held = &self.learners[&number];
        self.in_flight.queued(&compute, || held.learner.submit());
        Ok(())
    }

    fn gradients(&mut self, number: u64, batch: &Batch, lesson: Lesson, kept: Kept) -> Result<Vec<u8>, String> {
        let spec = self.spec_of(number)?;
        self.check(&spec, batch, lesson.storage, Some(lesson.frozen), kept)?;
        let known = self.learner(number)?.class_weights.clone();
        let learning = self.learning(number, lesson)?;
        let input = self.input(batch, kept)?;
        let held = self.learner(number)?;
        held.class_weights = known;
        let gradients = input.with(batch, |batch| Ok(held.learner.gradients(batch, &learning)))?;
        let tensors = values(gradients.tensors.into_iter().map(|(_, values)| values));
        let there: GradientsThere = (gradients.loss, gradients.scale, tensors);
        Ok(encode(&there))
    }
}

fn missing(content: Content) -> String {
    format!("the server has no such images ({content:?}) any more")
}

fn values(tensors: impl Iterator<Item = Vec<f32>>) -> Values {
    tensors.map(Floats).collect()
}

/// The pixels of a batch on the device.
enum Input {
    /// Those that travelled.
    Values,
    Made(Box<(Resident, Rules)>),
}

impl Input {
    fn with<T>(&self, batch: &Batch, work: impl FnOnce(&ops::Batch) -> Result<T, String>) -> Result<T, String> {
        let pixels = match (self, &batch.pixels) {
            (Self::Made(made), _) => ops::Pixels::Bytes { images: &made.0, rules: &made.1 },
            (Self::Values, Pixels::Values(values, shape)) => ops::Pixels::Values(&values.0, *shape),
            (Self::Values, Pixels::Made { .. }) => return Err("the images were not made".to_owned()),
        };
        work(&ops::Batch { pixels, samples: &batch.samples })
    }
}
