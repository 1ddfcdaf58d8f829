//! What a training step of a network will launch, before there is a network, a batch or a device: told by taking the step on
//! a device that runs nothing.

use super::{Learning, ModelSpec, learner::Training, network::Net};
use crate::{
    data::Normalisation,
    device::Compute,
    ops::{
        Implementation, Ops, Wgsl,
        sample::{Rules, SampleParams},
        wgpu::{
            Wgpu,
            ahead::Ahead,
            gather::Images,
            launch::{Adapter, Gpu},
            recorder::{Recorded, Recorder},
        },
    },
};
use std::sync::Arc;

/// A training step.
#[derive(Clone, Debug)]
pub struct StepPlan {
    pub(crate) batch: usize,
    /// Height and width of the images.
    pub(crate) size: [usize; 2],
    pub learning: Learning,
}

/// Kernels that are being prepared. To be kept until the first step is done: dropped earlier, it prepares no more.
pub(crate) use crate::ops::wgpu::ahead::Ahead as Prepared;

/// Begins to prepare, on other threads, the kernels of a network's training steps.
pub(crate) fn prepare(spec: &ModelSpec, plan: &StepPlan, ops: Implementation, compute: &Compute) -> Prepared {
    match (ops, Wgpu::of(compute)) {
        (Implementation::Fast, Some(gpu)) => Ahead::new(&gpu, compute, || record(spec, plan, gpu.adapter())),
        _ => Prepared::default(),
    }
}

/// The launches of a step, from the one that makes the batch of bytes to the update, as on this adapter.
pub(crate) fn record(spec: &ModelSpec, plan: &StepPlan, adapter: Adapter) -> Vec<Recorded> {
    let StepPlan { batch, size: size @ [h, w], learning } = plan;
    let recorder = Recorder::new(adapter);
    let (ops, graph) = (Wgsl(&recorder), Arc::new(spec.graph()));
    let channels = spec.channels;
    let memory = recorder.empty(batch * h * w * channels);
    let images = Images::in_one_part(*batch, *size, channels, memory);
    let rules = Rules::new(*size, false, Normalisation::identity(channels), channels);
    let samples: Vec<_> = (0..*batch as u32).map(|image| SampleParams::plain(image, 0)).collect();
    let net = Net {
        parameters: ops.empty(&Arc::new(graph.parameter_layout()), 0),
        statistics: ops.empty(&Arc::new(graph.statistics_layout()), 0),
        graph,
        ops: ops.clone(),
    };
    let mut training = Training::of(net, learning);
    ops.span(&|| "batch".into());
    let (images, targets) = ops.gathered(&images, &samples, &rules, learning.storage);
    training.step((images, &targets), *size, learning);
    recorder.take()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Frozen, Padding, ParameterGroups, Stem},
        ops::{
            Storage,
            optimizers::{Rule, Sgd, Update},
        },
    };

    fn plan(size: [usize; 2], frozen: Frozen) -> StepPlan {
        let update = Update {
            rule: Rule::Sgd(Sgd { momentum: 0.9, nesterov: false }),
            step: 1,
            lr: 0.1,
            weight_decay: 0.0,
            clip_norm: 0.0,
            ema_decay: 0.0,
            scaled: false,
        };
        let learning = Learning {
            storage: Storage::F32,
            smoothing: 0.0,
            class_weights: None,
            frozen,
            groups: ParameterGroups { backbone_lr: 1.0, decay_bias_and_norm: true },
            update,
        };
        StepPlan { batch: 2, size, learning }
    }

    #[test]
    fn the_products_of_a_step_are_all_that_a_network_multiplies() {
        for (name, stem, side) in [
            ("cifar_resnet20", None, 32),
            ("resnet18", Some(Stem::Cifar), 30),
            ("resnet18", Some(Stem::Imagenet), 224),
            ("resnet50", Some(Stem::Imagenet), 97),
            ("mobilenet_v2", None, 64),
            ("efficientnet_lite0", None, 97),
        ] {
            for padding in [Padding::Torch, Padding::Same] {
                let spec = ModelSpec::named(name, stem, 3, 10).unwrap().with_padding(padding);
                let recorded = record(&spec, &plan([side; 2], Frozen::Nothing), Adapter::DEFAULT);
                let flops = |role: &str| -> u64 {
                    let of_role = recorded.iter().filter(|recorded| recorded.launch.cost.role == role);
                    of_role.map(|recorded| recorded.launch.cost.flops).sum()
                };
                assert_eq!(flops("forward") + flops("logits"), 2 * spec.graph().flops(side), "{name} {padding:?}");
                assert_eq!(flops("weight gradient"), flops("forward"), "{name} {padding:?}");
            }
        }
    }

    #[test]
    fn what_is_frozen_is_not_launched_back() {
        let spec = ModelSpec::named("cifar_resnet8", None, 3, 10).unwrap();
        let backward = |frozen| -> usize {
            let recorded = record(&spec, &plan([32; 2], frozen), Adapter::DEFAULT);
            recorded.iter().filter(|recorded| recorded.operation.ends_with("backward")).count()
        };
        let falling = [Frozen::Nothing, Frozen::Stages(1), Frozen::Backbone].map(backward);
        assert!(falling.is_sorted_by(|a, b| a > b), "{falling:?}");
        // The head's weight alone.
        assert_eq!(falling[2], 1);
    }
}
