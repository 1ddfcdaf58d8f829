//! The network itself: a graph with its tensors on a device.

use super::{
    Graph, ModelSpec,
    graph::{Node, Op},
    init,
    learning::Frozen,
    on_device::{OnDevice, on_device},
    remote,
    tensors::{Role, TensorInfo, Wanted},
};
use crate::{
    device::Compute,
    ops::{Arena, Batch, Cpu, HeadOutput, Implementation, Layout, Ops, Reference, Storage, Transfer, Wgsl, wgpu},
};
use std::sync::Arc;

impl Graph {
    /// The first node that learns.
    pub(super) fn first_node(&self, frozen: Frozen) -> usize {
        let depth = frozen.first_depth();
        let learns = |node: &Node| node.op != Op::Image && (node.depth >= depth || node.is_head());
        self.nodes.iter().position(learns).unwrap_or(self.nodes.len() - 1)
    }

    /// The first layer that nodes from the `first` on apply; the number of layers where they apply none.
    pub(super) fn first_layer(&self, first: usize) -> usize {
        let layers = self.nodes[first..].iter().filter_map(|node| match node.op {
            Op::ConvBn { layer, .. } => Some(layer.0),
            _ => None,
        });
        layers.min().unwrap_or(self.layers.len())
    }

    /// Where all parameters lie, in the order of the state dictionary.
    pub(super) fn parameter_layout(&self) -> Layout {
        let layers = self.layers.iter().flat_map(|layer| {
            let weight = [layer.kernel, layer.kernel, layer.input / layer.groups, layer.output];
            let channels = [1, 1, 1, layer.output];
            [weight, channels, channels]
        });
        Layout::new(layers.chain([[1, 1, self.features(), self.classes], [1, 1, 1, self.classes]]))
    }

    /// Where all running statistics lie.
    pub(super) fn statistics_layout(&self) -> Layout {
        Layout::new(self.layers.iter().flat_map(|layer| [[1, 1, 1, layer.output]; 2]))
    }
}

/// A graph with its tensors on one kind of device.
#[derive(Clone)]
pub(super) struct Net<O: Ops> {
    pub graph: Arc<Graph>,
    pub ops: O,
    pub parameters: Arena<O::Memory>,
    /// Running means and variances.
    pub statistics: Arena<O::Memory>,
}

/// A network's tensors, wherever they are.
pub(super) type AnyNet = OnDevice<Net<Wgsl>, Net<Cpu>, Net<Reference>, remote::Net>;

/// A network on a device. A clone shares its memory, until one of them learns.
#[derive(Clone)]
pub struct Network {
    pub(super) spec: ModelSpec,
    pub(super) compute: Compute,
    pub(super) on: AnyNet,
}

/// A tensor that a network needs and did not get, or got in another shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its error is")]
pub enum LoadError {
    #[error("{name}: missing")]
    Missing { name: String },
    #[error("{name}: {got} values, the model needs {wanted}")]
    Length { name: String, got: usize, wanted: usize },
}

impl Network {
    /// A network with fresh weights: a function of the specification and the seed.
    pub fn new(spec: &ModelSpec, seed: u64, zero_last_gamma: bool, ops: Implementation, compute: &Compute) -> Self {
        let fresh = init::Fresh::new(&spec.graph(), seed, zero_last_gamma);
        match Self::load(spec, |info| Some(fresh.values(info)), ops, compute) {
            Ok(network) => network,
            Err(error) => unreachable!("fresh weights have the shapes of the specification: {error}"),
        }
    }

    /// A network with the weights that `values` gives for each tensor, in PyTorch's layout.
    pub fn load(
        spec: &ModelSpec,
        values: impl Fn(&TensorInfo) -> Option<Vec<f32>>,
        ops: Implementation,
        compute: &Compute,
    ) -> Result<Self, LoadError> {
        let graph = Arc::new(spec.graph());
        if let Some(link) = compute.link() {
            let tensors: Result<_, _> = graph.tensors().iter().map(|info| fitting(info, values(info))).collect();
            let on = OnDevice::Elsewhere(remote::Net::load(spec, graph, tensors?, ops, link));
            return Ok(Self { spec: spec.clone(), compute: compute.clone(), on });
        }
        let (parameters, statistics): (Vec<_>, Vec<_>) =
            graph.tensors().into_iter().partition(|info| info.role.is_parameter());
        let mut fault = None;
        let mut write = |statistic: bool, tensor: usize, place: &mut [f32]| {
            let info = &if statistic { &statistics } else { &parameters }[tensor];
            match fitting(info, values(info)) {
                Ok(data) => from_torch(info, &data, place),
                Err(wrong) => drop(fault.get_or_insert(wrong)),
            }
        };
        let profile = compute.shared();
        let on = match (ops, wgpu::Wgpu::of(compute)) {
            (Implementation::Fast, Some(gpu)) => OnDevice::Wgsl(Net::new(graph, Wgsl(gpu), &mut write)),
            (Implementation::Fast, None) => OnDevice::Cpu(Net::new(graph, Cpu::new(profile), &mut write)),
            (Implementation::Reference, _) => {
                let ops = Reference { device: compute.device.clone(), profile };
                OnDevice::Reference(Net::new(graph, ops, &mut write))
            }
        };
        fault.map_or(Ok(Self { spec: spec.clone(), compute: compute.clone(), on }), Err)
    }

    /// Every tensor in PyTorch's layout, in the order of [`ModelSpec::tensors`]. Waits for the device.
    pub fn export(&self) -> Vec<(TensorInfo, Vec<f32>)> {
        on_device!(&self.on, net => net.export())
    }

    /// What it was built from.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    pub(crate) fn compute(&self) -> &Compute {
        &self.compute
    }

    pub(crate) fn graph(&self) -> &Graph {
        on_device!(&self.on, net => &net.graph)
    }

    pub(crate) fn ops(&self) -> Implementation {
        match &self.on {
            OnDevice::Wgsl(_) | OnDevice::Cpu(_) => Implementation::Fast,
            OnDevice::Reference(_) => Implementation::Reference,
            OnDevice::Elsewhere(net) => net.ops,
        }
    }

    /// Logits of a batch's images, one row after the other, by the running statistics. Waits for them.
    pub fn infer(&self, batch: &Batch, storage: Storage) -> Vec<f32> {
        self.outputs(batch, storage, Wanted::Logits).swap_remove(0)
    }

    /// What the head reads of a batch's images, one row after the other. Waits for it.
    pub(crate) fn features(&self, batch: &Batch, storage: Storage) -> Vec<f32> {
        self.outputs(batch, storage, Wanted::Features).swap_remove(0)
    }

    /// Both [`Network::infer`] and [`Network::features`], in one pass.
    pub(crate) fn look(&self, batch: &Batch, storage: Storage) -> [Vec<f32>; 2] {
        let mut outputs = self.outputs(batch, storage, Wanted::Both).into_iter();
        [(); 2].map(|()| outputs.next().unwrap_or_default())
    }

    /// Waits for them.
    pub(super) fn outputs(&self, batch: &Batch, storage: Storage, wanted: Wanted) -> Vec<Vec<f32>> {
        on_device!(&self.on, net => net.outputs(batch, storage, wanted))
    }
}

/// The values of a tensor, where they are as many as it has.
fn fitting(info: &TensorInfo, values: Option<Vec<f32>>) -> Result<Vec<f32>, LoadError> {
    match values {
        Some(data) if data.len() == info.count() => Ok(data),
        Some(data) => Err(LoadError::Length { name: info.name.clone(), got: data.len(), wanted: info.count() }),
        None => Err(LoadError::Missing { name: info.name.clone() }),
    }
}

impl<O: Ops> Net<O> {
    /// With what `write` writes: running statistics or else parameters, by their place.
    fn new(graph: Arc<Graph>, ops: O, write: &mut impl FnMut(bool, usize, &mut [f32])) -> Self {
        let mut fill = |layout: Layout, statistics| {
            ops.fill(&Arc::new(layout), 0, |tensor, place| write(statistics, tensor, place))
        };
        let parameters = fill(graph.parameter_layout(), false);
        let statistics = fill(graph.statistics_layout(), true);
        Self { graph, ops, parameters, statistics }
    }

    /// Names, PyTorch shapes and roles of the parameters from one on.
    pub(super) fn parameter_infos(&self, first: usize) -> impl Iterator<Item = TensorInfo> {
        self.graph.tensors().into_iter().filter(|info| info.role.is_parameter()).skip(first)
    }
}

impl<O: Transfer> Net<O> {
    /// All tensors of an arena.
    pub(super) fn read_arena(&self, arena: &Arena<O::Memory>) -> Vec<Vec<f32>> {
        self.ops.read((arena.first..arena.layout.parts.len()).map(|tensor| self.ops.view(arena, tensor)).collect())
    }

    fn outputs(&self, batch: &Batch, storage: Storage, wanted: Wanted) -> Vec<Vec<f32>> {
        let (images, _) = self.ops.batch(batch, storage);
        let HeadOutput { features, logits } = self.forward(images, batch.size(), None, |_, _| {});
        self.ops.read(match wanted {
            Wanted::Logits => vec![logits],
            Wanted::Features => vec![features],
            Wanted::Both => vec![logits, features],
        })
    }

    fn export(&self) -> Vec<(TensorInfo, Vec<f32>)> {
        let mut parameters = self.read_arena(&self.parameters).into_iter();
        let mut statistics = self.read_arena(&self.statistics).into_iter();
        let tensors = self.graph.tensors().into_iter().map(|info| {
            let list = if info.role.is_parameter() { &mut parameters } else { &mut statistics };
            let values = to_torch(&info, list.next().unwrap_or_default());
            (info, values)
        });
        tensors.collect()
    }
}

/// Images of `[height, width]` pixels that a device takes at once: a kernel sees only so much of a GPU's memory.
pub fn largest_batch(graph: &Graph, size: [usize; 2], storage: Storage, compute: &Compute) -> usize {
    let image = storage.bytes() as u64 * graph.largest_activation(size).max(1) as u64;
    let largest = match compute.link() {
        Some(link) => link.offered().largest_tensor,
        None => wgpu::Wgpu::of(compute).map(|gpu| gpu.largest_tensor()),
    };
    largest.map_or(usize::MAX, |bytes| (bytes / image) as usize)
}

/// Writes a tensor in PyTorch's layout as the operations have it.
fn from_torch(info: &TensorInfo, data: &[f32], place: &mut [f32]) {
    match (info.role, info.shape.as_slice()) {
        (Role::ConvWeight, &[co, ci, kh, kw]) => reverse(data, [co, ci, kh * kw], place),
        (Role::FcWeight, &[classes, features]) => reverse(data, [classes, features, 1], place),
        _ => place.copy_from_slice(data),
    }
}

/// The way back.
fn to_torch(info: &TensorInfo, data: Vec<f32>) -> Vec<f32> {
    let shape = match (info.role, info.shape.as_slice()) {
        (Role::ConvWeight, &[co, ci, kh, kw]) => [kh * kw, ci, co],
        (Role::FcWeight, &[classes, features]) => [1, features, classes],
        _ => return data,
    };
    let mut out = vec![0.0; data.len()];
    reverse(&data, shape, &mut out);
    out
}

/// `[a, b, c]` to `[c, b, a]`: PyTorch's `[out, in, taps]` to `[taps, in, out]` here, and back. In blocks of one cache
/// line of what is written.
fn reverse(data: &[f32], [a, b, c]: [usize; 3], out: &mut [f32]) {
    const BLOCK: usize = 16;
    for block in (0..a).step_by(BLOCK) {
        for j in 0..b {
            for k in 0..c {
                for i in block..(block + BLOCK).min(a) {
                    out[(k * b + j) * a + i] = data[(i * b + j) * c + k];
                }
            }
        }
    }
}
