//! What a training step of a network will launch, told to the device before the first batch is there.

use super::{Frozen, ModelSpec, Stem, network::unit, spec::ConvInfo};
use crate::{
    device::Compute,
    ops::{
        Implementation, Storage, Window, fast,
        kernels::Update,
        wgpu::{ahead::Ahead, conv::Conv, head::Head, pool::Pool, step::Step, unit::Sizes, update::Layout},
    },
};

/// How a network is to learn.
#[derive(Clone, Debug)]
pub struct Learning {
    pub batch: usize,
    /// Height and width of the images.
    pub size: [usize; 2],
    /// Of activations.
    pub storage: Storage,
    pub frozen: Frozen,
    /// Of the labels.
    pub smoothing: f32,
    pub update: Update,
}

/// Begins to prepare, on other threads, the kernels of a network's training steps. To be kept until the first step is
/// done: dropped earlier, it prepares no more.
pub fn prepare(spec: &ModelSpec, learning: &Learning, ops: Implementation, compute: &Compute) -> Ahead {
    match ops {
        Implementation::Fast => fast::prepare(compute, &step(spec, learning)),
        Implementation::Reference => Ahead::default(),
    }
}

/// The step of a network that learns so.
pub fn step(spec: &ModelSpec, learning: &Learning) -> Step {
    let Learning { batch, storage, .. } = *learning;
    let sizes = |info: &ConvInfo, input: [usize; 2], relu, residual| {
        let unit = unit(spec, info, input, relu, residual);
        let conv = Conv { batch, input, ci: info.input, co: info.output, window: unit.window, storage };
        (conv.output(), (Sizes { conv, relu, eps: unit.eps, momentum: unit.momentum }, residual))
    };
    let (mut size, stem) = sizes(&spec.stem_conv(), learning.size, true, false);
    let mut units = vec![stem];
    let pool = (spec.stem == Stem::Imagenet).then(|| {
        let window = Window::stem_pool(spec.padding, size);
        Pool { batch, input: size, channels: spec.stem_conv().output, window, storage }
    });
    size = pool.as_ref().map_or(size, Pool::output);
    for block in spec.blocks() {
        units.extend(block.projection.iter().map(|info| sizes(info, size, false, false).1));
        for (i, info) in block.convs.iter().enumerate() {
            let (output, unit) = sizes(info, size, true, i + 1 == block.convs.len());
            units.push(unit);
            size = output;
        }
    }
    let parameters = spec.tensors().into_iter().filter(|info| info.role.is_parameter());
    Step {
        units,
        pool,
        head: Head { batch, pixels: size[0] * size[1], features: spec.features(), classes: spec.classes, storage },
        smoothing: learning.smoothing,
        backward: learning.frozen != Frozen::Backbone,
        values: Layout::new(parameters.map(|info| info.shape.iter().product())).total,
        update: learning.update.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Padding, ops::kernels::Rule};

    #[test]
    fn the_units_are_all_that_a_network_multiplies() {
        let rule = Rule::Sgd { momentum: 0.9, nesterov: false };
        let update = Update { rule, lr: 0.1, weight_decay: 0.0, clip_norm: 0.0, ema_decay: 0.0, scaled: false };
        for (name, stem, side) in [
            ("cifar_resnet20", None, 32),
            ("resnet18", Some(Stem::Cifar), 30),
            ("resnet18", Some(Stem::Imagenet), 224),
            ("resnet50", Some(Stem::Imagenet), 97),
        ] {
            for padding in [Padding::Torch, Padding::Same] {
                let spec = ModelSpec::named(name, stem, 3, 10).unwrap().with_padding(padding);
                let learning = Learning {
                    batch: 1,
                    size: [side; 2],
                    storage: Storage::F32,
                    frozen: Frozen::Nothing,
                    smoothing: 0.0,
                    update: update.clone(),
                };
                let step = step(&spec, &learning);
                let head = 2 * (step.head.features * step.head.classes) as u64;
                let flops: u64 = step.units.iter().map(|(sizes, _)| sizes.conv.flops()).sum();
                assert_eq!(flops + head, spec.flops(side), "{name} {padding:?}");
                assert_eq!(step.units.len(), spec.convs().len());
                assert_eq!(step.units.iter().filter(|(_, residual)| *residual).count(), spec.blocks().len());
                assert_eq!(step.head.pixels, spec.sides(side).last().unwrap().pow(2));
                assert!(step.values >= spec.parameters());
            }
        }
    }
}
