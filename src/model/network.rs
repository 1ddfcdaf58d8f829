//! The network itself: tensors on a device, a forward pass for inference, and a training pass that yields every
//! gradient.
//!
//! A residual network is a fixed list of units, so its gradients need no graph: the forward pass leaves a
//! [`Tape`](super::tape), and the backward pass reads it from the end.

use super::{
    ModelSpec, init,
    spec::{ConvInfo, Role, TensorInfo},
};
use crate::ops::{Implementation, Norm, Storage, Unit, Window, fast, reference, tally};
use burn::tensor::{Device, DispatchTensor, Tensor, TensorData, Transaction};

/// The lower part of a network that does not learn: its weights stay, its batch normalisations use and keep their
/// running statistics, and no gradient reaches it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Frozen {
    #[default]
    Nothing,
    /// The stem and this many stages.
    Stages(usize),
    /// All but the head.
    Backbone,
}

/// A convolution's weight `[kh, kw, ci, co]` and its batch normalisation.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub weight: Tensor<4>,
    pub norm: Norm,
}

/// One residual block as indices into the layers.
#[derive(Clone, Debug)]
pub(super) struct BlockPlan {
    pub stage: usize,
    /// Layer index and stride of each convolution.
    pub convs: Vec<(usize, ConvInfo)>,
    pub projection: Option<(usize, ConvInfo)>,
}

/// A network on a device.
#[derive(Clone, Debug)]
pub struct Network {
    pub(super) spec: ModelSpec,
    pub(super) ops: Implementation,
    pub(super) device: Device,
    pub(super) layers: Vec<Layer>,
    /// `[features, classes]` and `[classes]`.
    pub(super) head: (Tensor<2>, Tensor<1>),
    pub(super) blocks: Vec<BlockPlan>,
}

/// A tensor that a network needs and did not get, or got in another shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    #[error("{name}: missing")]
    Missing { name: String },
    #[error("{name}: {got} values, the model needs {wanted}")]
    Length { name: String, got: usize, wanted: usize },
}

impl Network {
    /// A network with fresh weights: a function of the specification and the seed.
    pub fn new(spec: &ModelSpec, seed: u64, zero_last_gamma: bool, ops: Implementation, device: &Device) -> Self {
        let fresh = |info: &TensorInfo| Some(init::values(spec, info, seed, zero_last_gamma));
        match Self::load(spec, fresh, ops, device) {
            Ok(network) => network,
            Err(error) => unreachable!("fresh weights have the shapes of the specification: {error}"),
        }
    }

    /// A network with the weights that `values` gives for each tensor, in PyTorch's layout.
    pub fn load(
        spec: &ModelSpec,
        values: impl Fn(&TensorInfo) -> Option<Vec<f32>>,
        ops: Implementation,
        device: &Device,
    ) -> Result<Self, LoadError> {
        let mut tensors = spec.tensors().into_iter();
        let mut next = || -> Result<(TensorInfo, Vec<f32>), LoadError> {
            let Some(info) = tensors.next() else { unreachable!("the layers below are those of the specification") };
            let data = values(&info).ok_or_else(|| LoadError::Missing { name: info.name.clone() })?;
            let wanted = info.shape.iter().product();
            if data.len() != wanted {
                return Err(LoadError::Length { name: info.name, got: data.len(), wanted });
            }
            Ok((info, data))
        };
        let vector = |data: Vec<f32>| Tensor::<1>::from_data(TensorData::new(data.clone(), [data.len()]), device);
        let mut layers = Vec::new();
        for conv in spec.convs() {
            let data = reversed(&next()?.1, [conv.output, conv.input, conv.kernel * conv.kernel]);
            let weight = TensorData::new(data, [conv.kernel, conv.kernel, conv.input, conv.output]);
            let mut bn = || next().map(|(_, data)| vector(data));
            layers.push(Layer {
                weight: Tensor::from_data(weight, device),
                norm: Norm { gamma: bn()?, beta: bn()?, mean: bn()?, var: bn()? },
            });
        }
        let weight = reversed(&next()?.1, [spec.classes, spec.features(), 1]);
        let weight = Tensor::from_data(TensorData::new(weight, [spec.features(), spec.classes]), device);
        let bias = vector(next()?.1);
        let mut index = 0;
        let mut numbered = |conv: ConvInfo| {
            index += 1;
            (index, conv)
        };
        let blocks = spec
            .blocks()
            .into_iter()
            .map(|block| BlockPlan {
                stage: block.stage,
                convs: block.convs.into_iter().map(&mut numbered).collect(),
                projection: block.projection.map(&mut numbered),
            })
            .collect();
        Ok(Self { spec: spec.clone(), ops, device: device.clone(), layers, head: (weight, bias), blocks })
    }

    /// Every tensor in PyTorch's layout, in the order of [`ModelSpec::tensors`].
    pub fn export(&self) -> Vec<(TensorInfo, Vec<f32>)> {
        let mut out = Vec::new();
        let mut infos = self.spec.tensors().into_iter();
        let mut push = |data: Vec<f32>| out.extend(infos.next().map(|info| (info, data)));
        for (layer, conv) in self.layers.iter().zip(self.spec.convs()) {
            let weight = read(layer.weight.clone());
            push(reversed(&weight, [conv.kernel * conv.kernel, conv.input, conv.output]));
            for tensor in [&layer.norm.gamma, &layer.norm.beta, &layer.norm.mean, &layer.norm.var] {
                push(read(tensor.clone()));
            }
        }
        push(reversed(&read(self.head.0.clone()), [1, self.spec.features(), self.spec.classes]));
        push(read(self.head.1.clone()));
        out
    }

    /// The same weights with the parameters replaced by `parameters`, in the order of [`Network::parameters`]: for
    /// looking at averaged weights.
    pub fn with_parameters(&self, parameters: Vec<DispatchTensor>) -> Self {
        let (rest, _, running) = self.clone().into_lists(Frozen::Nothing);
        rest.into_network(parameters, running)
    }

    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    pub fn ops(&self) -> Implementation {
        self.ops
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    pub(super) fn unit(&self, conv: &ConvInfo, image: [usize; 2], relu: bool, residual: bool) -> Unit {
        unit(&self.spec, conv, image, relu, residual)
    }

    /// The first block that learns, and whether the stem does.
    pub(super) fn first_trained(&self, frozen: Frozen) -> (usize, bool) {
        match frozen {
            Frozen::Nothing => (0, true),
            Frozen::Stages(stages) => {
                (self.blocks.iter().position(|b| b.stage >= stages).unwrap_or(self.blocks.len()), false)
            }
            Frozen::Backbone => (self.blocks.len(), false),
        }
    }

    /// How many layers, from the stem on, do not learn.
    pub(super) fn frozen_layers(&self, frozen: Frozen) -> usize {
        match self.first_trained(frozen) {
            (_, true) => 0,
            (block, false) => self.blocks.get(block).map_or(self.layers.len(), |b| b.convs[0].0),
        }
    }

    /// Names, PyTorch shapes and roles of the parameters that learn.
    pub fn parameter_infos(&self, frozen: Frozen) -> Vec<TensorInfo> {
        let skip = self.frozen_layers(frozen) * 5;
        self.spec.tensors().into_iter().skip(skip).filter(|info| info.role.is_parameter()).collect()
    }

    /// The parameters that learn, in the order of [`Network::parameter_infos`].
    pub fn parameters(&self, frozen: Frozen) -> Vec<DispatchTensor> {
        let mut out = Vec::new();
        for layer in &self.layers[self.frozen_layers(frozen)..] {
            out.push(layer.weight.clone().into_dispatch());
            out.push(layer.norm.gamma.clone().into_dispatch());
            out.push(layer.norm.beta.clone().into_dispatch());
        }
        out.push(self.head.0.clone().into_dispatch());
        out.push(self.head.1.clone().into_dispatch());
        out
    }

    /// Running means and variances of the layers that learn, in order.
    pub fn running(&self, frozen: Frozen) -> Vec<DispatchTensor> {
        let layers = &self.layers[self.frozen_layers(frozen)..];
        layers.iter().flat_map(|l| [&l.norm.mean, &l.norm.var]).map(|t| t.clone().into_dispatch()).collect()
    }

    /// Takes the layers that learn apart: what stays, the parameters, and the running statistics.
    pub(super) fn into_lists(self, frozen: Frozen) -> (Rest, Vec<DispatchTensor>, Vec<DispatchTensor>) {
        let first = self.frozen_layers(frozen);
        let (mut parameters, mut running) = (Vec::new(), Vec::new());
        let Self { spec, ops, device, mut layers, head, blocks } = self;
        for Layer { weight, norm } in layers.drain(first..) {
            parameters.extend([weight.into_dispatch(), norm.gamma.into_dispatch(), norm.beta.into_dispatch()]);
            running.extend([norm.mean.into_dispatch(), norm.var.into_dispatch()]);
        }
        parameters.extend([head.0.into_dispatch(), head.1.into_dispatch()]);
        (Rest { spec, ops, device, layers, blocks }, parameters, running)
    }

    /// Logits `[N, classes]` of images `[N, H, W, C]`, by the running statistics.
    pub fn infer(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self.infer_blocks(self.infer_stem(x), 0..self.blocks.len());
        match self.ops {
            Implementation::Fast => fast::head(&x, &self.head.0, &self.head.1).1,
            Implementation::Reference => reference::head(x, self.head.0.clone(), self.head.1.clone()),
        }
    }

    pub(super) fn infer_stem(&self, x: Tensor<4>) -> Tensor<4> {
        let conv = self.spec.stem_conv();
        let x = self.infer_layer(0, &conv, &x, None, true);
        match self.pool_window(&x) {
            None => x,
            Some(window) => match self.ops {
                Implementation::Fast => fast::max_pool(&x, window),
                Implementation::Reference => reference::max_pool(x, window),
            },
        }
    }

    pub(super) fn pool_window(&self, x: &Tensor<4>) -> Option<Window> {
        let [_, h, w, _] = x.dims();
        (self.spec.stem == super::Stem::Imagenet).then(|| Window::stem_pool(self.spec.padding, [h, w]))
    }

    pub(super) fn infer_blocks(&self, mut x: Tensor<4>, blocks: std::ops::Range<usize>) -> Tensor<4> {
        for block in &self.blocks[blocks] {
            let shortcut = match &block.projection {
                Some((layer, conv)) => self.infer_layer(*layer, conv, &x, None, false),
                None => x.clone(),
            };
            let (last, first) = block.convs.split_last().unwrap_or_else(|| unreachable!("a block has convolutions"));
            for (layer, conv) in first {
                x = self.infer_layer(*layer, conv, &x, None, true);
            }
            x = self.infer_layer(last.0, &last.1, &x, Some(&shortcut), true);
        }
        x
    }

    pub(super) fn infer_layer(
        &self,
        layer: usize,
        conv: &ConvInfo,
        x: &Tensor<4>,
        residual: Option<&Tensor<4>>,
        relu: bool,
    ) -> Tensor<4> {
        let [_, h, w, _] = x.dims();
        let unit = self.unit(conv, [h, w], relu, residual.is_some());
        let Layer { weight, norm } = &self.layers[layer];
        match self.ops {
            Implementation::Fast => fast::conv_bn_eval(x, weight, norm, residual, &unit),
            Implementation::Reference => {
                reference::conv_bn_eval(x.clone(), weight.clone(), norm, residual.cloned(), &unit)
            }
        }
    }
}

/// A convolution of a network with its normalisation, on images of `[height, width]`.
pub(super) fn unit(spec: &ModelSpec, conv: &ConvInfo, image: [usize; 2], relu: bool, residual: bool) -> Unit {
    Unit {
        window: Window::convolution(conv.kernel, conv.stride, spec.padding, image),
        relu,
        residual,
        eps: spec.bn_eps as f32,
        momentum: 0.1,
    }
}

/// A network without the tensors that learn.
pub(super) struct Rest {
    spec: ModelSpec,
    ops: Implementation,
    device: Device,
    layers: Vec<Layer>,
    blocks: Vec<BlockPlan>,
}

impl Rest {
    /// Puts a network together again from lists as long as those it was taken apart into.
    pub(super) fn into_network(self, parameters: Vec<DispatchTensor>, running: Vec<DispatchTensor>) -> Network {
        let Self { spec, ops, device, mut layers, blocks } = self;
        let (mut parameters, mut running) = (parameters.into_iter(), running.into_iter());
        fn next<const D: usize>(list: &mut impl Iterator<Item = DispatchTensor>) -> Tensor<D> {
            match list.next() {
                Some(tensor) => Tensor::from_dispatch(tensor),
                None => unreachable!("the lists come from a network of the same specification"),
            }
        }
        for _ in layers.len()..spec.convs().len() {
            let weight = next(&mut parameters);
            let (gamma, beta) = (next(&mut parameters), next(&mut parameters));
            let norm = Norm { gamma, beta, mean: next(&mut running), var: next(&mut running) };
            layers.push(Layer { weight, norm });
        }
        let head = (next(&mut parameters), next(&mut parameters));
        Network { spec, ops, device, layers, head, blocks }
    }
}

/// Images of `[height, width]` pixels that a device takes at once: a kernel sees only so much of a GPU's memory.
pub fn largest_batch(spec: &ModelSpec, size: [usize; 2], storage: Storage, device: &Device) -> usize {
    let image = storage.bytes() as u64 * spec.largest_activation(size).max(1) as u64;
    fast::largest_tensor(device).map_or(usize::MAX, |most| (most / image) as usize)
}

/// The role of a parameter decides its weight decay.
pub fn is_bias_or_norm(role: Role) -> bool {
    matches!(role, Role::BnWeight | Role::BnBias | Role::FcBias)
}

/// `[a, b, c]` to `[c, b, a]`: PyTorch's `[out, in, taps]` to `[taps, in, out]` here, and back.
fn reversed(data: &[f32], [a, b, c]: [usize; 3]) -> Vec<f32> {
    let mut out = vec![0.0; data.len()];
    for i in 0..a {
        for j in 0..b {
            for k in 0..c {
                out[(k * b + j) * a + i] = data[(i * b + j) * c + k];
            }
        }
    }
    out
}

/// Many tensors' values in one go; waits for the device once.
pub fn read_all(tensors: Vec<Tensor<1>>) -> Vec<Vec<f32>> {
    if tensors.is_empty() {
        return Vec::new();
    }
    let all = tensors.into_iter().fold(Transaction::default(), |all, tensor| all.register(tensor));
    tally::wait();
    all.execute().into_iter().map(values).collect()
}

/// A tensor's values; waits for the device.
pub fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tally::wait();
    values(tensor.into_data())
}

fn values(data: TensorData) -> Vec<f32> {
    // Activations may be of 16 bits.
    match data.convert::<f32>().try_into_vec() {
        Ok(values) => values,
        Err(error) => unreachable!("these are f32 now: {error:?}"),
    }
}
