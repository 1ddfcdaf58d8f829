//! Has a network's kernels prepared before its first batch is there.

use super::{Frozen, ModelSpec, Stem, network::unit, spec::ConvInfo};
use crate::{
    device::Compute,
    ops::{Implementation, Unit, Window, fast, wgpu::ahead::Ahead},
};

/// A unit: the shape `[N, H, W, C]` of its input, its output's channels, and what it does.
type Planned = ([usize; 4], usize, Unit);

/// Begins to prepare, on other threads, the kernels of training steps on `batch` images of `[height, width]`. To be kept
/// until the first step is done: dropped earlier, it prepares no more.
pub fn prepare(
    spec: &ModelSpec,
    batch: usize,
    size: [usize; 2],
    frozen: Frozen,
    ops: Implementation,
    compute: &Compute,
) -> Ahead {
    match ops {
        Implementation::Fast => fast::prepare(compute, &units(spec, batch, size), frozen != Frozen::Backbone),
        Implementation::Reference => Ahead::default(),
    }
}

/// The units of a network in the order of a forward pass.
fn units(spec: &ModelSpec, batch: usize, size: [usize; 2]) -> Vec<Planned> {
    let planned = |conv: &ConvInfo, [h, w]: [usize; 2], relu, residual| {
        let unit = unit(spec, conv, [h, w], relu, residual);
        (unit.window.output([h, w]), ([batch, h, w, conv.input], conv.output, unit))
    };
    let (mut size, stem) = planned(&spec.stem_conv(), size, true, false);
    let mut units = vec![stem];
    if spec.stem == Stem::Imagenet {
        size = Window::stem_pool(spec.padding, size).output(size);
    }
    for block in spec.blocks() {
        units.extend(block.projection.iter().map(|conv| planned(conv, size, false, false).1));
        for (i, conv) in block.convs.iter().enumerate() {
            let (output, unit) = planned(conv, size, true, i + 1 == block.convs.len());
            units.push(unit);
            size = output;
        }
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Padding, ops::wgpu::conv::Conv};

    #[test]
    fn the_units_are_all_that_a_network_multiplies() {
        for (name, stem, side) in [
            ("cifar_resnet20", None, 32),
            ("resnet18", Some(Stem::Cifar), 30),
            ("resnet18", Some(Stem::Imagenet), 224),
            ("resnet50", Some(Stem::Imagenet), 97),
        ] {
            let mut spec = ModelSpec::named(name, stem, 3, 10).unwrap();
            for padding in [Padding::Torch, Padding::Same] {
                spec.padding = padding;
                let units = units(&spec, 1, [side; 2]);
                let flops = |&([batch, h, w, ci], co, unit): &Planned| {
                    Conv { batch, input: [h, w], ci, co, window: unit.window }.flops()
                };
                let head = 2 * (spec.features() * spec.classes) as u64;
                assert_eq!(units.iter().map(flops).sum::<u64>() + head, spec.flops(side), "{name} {padding:?}");
                assert_eq!(units.len(), spec.convs().len());
                assert_eq!(units.iter().filter(|(.., unit)| unit.residual).count(), spec.blocks().len());
            }
        }
    }
}
