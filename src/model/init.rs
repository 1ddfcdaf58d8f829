//! Fresh weights. Convolutions: He et al., "Delving Deep into Rectifiers", <https://arxiv.org/abs/1502.01852>, normal
//! with variance `2 / fan_out`, as torchvision's ResNets have it. The head: PyTorch's `Linear`, uniform within
//! `1 / sqrt(features)`. Batch normalisation: the identity, or zero for the last one of a block where asked (Goyal et
//! al., "Accurate, Large Minibatch SGD", <https://arxiv.org/abs/1706.02677>, section 5.1).

use super::{
    Graph,
    tensors::{Role, TensorInfo},
};
use crate::data::rng::Rng;
use rayon::prelude::*;

/// Fresh weights of a network: a function of its graph, the tensors' names and the seed.
pub(crate) struct Fresh {
    seed: u64,
    features: usize,
    /// Names of the scales that begin at zero.
    zero: Vec<String>,
}

impl Fresh {
    pub(crate) fn new(graph: &Graph, seed: u64, zero_last_gamma: bool) -> Self {
        let zero = graph.layers.iter().filter(|layer| zero_last_gamma && layer.ends_residual);
        Self { seed, features: graph.features(), zero: zero.map(|layer| format!("{}.weight", layer.bn)).collect() }
    }

    /// The values of one tensor, in PyTorch's layout.
    pub(crate) fn values(&self, info: &TensorInfo) -> Vec<f32> {
        let count = info.count();
        let mut rng = stream(self.seed, &info.name);
        match info.role {
            Role::ConvWeight => {
                let fan_out = info.shape[0] * info.shape[2] * info.shape[3];
                let deviation = (2.0 / fan_out as f64).sqrt();
                let value = |at| (normal(&mut rng.after(2 * at as u64)) * deviation) as f32;
                (0..count).into_par_iter().map(value).collect()
            }
            Role::FcWeight | Role::FcBias => {
                let bound = 1.0 / (self.features as f64).sqrt();
                (0..count).map(|_| ((2.0 * rng.unit_f64() - 1.0) * bound) as f32).collect()
            }
            Role::BnWeight if self.zero.contains(&info.name) => vec![0.0; count],
            Role::BnWeight | Role::BnVar => vec![1.0; count],
            Role::BnBias | Role::BnMean => vec![0.0; count],
        }
    }
}

/// Each tensor has a stream of its own, so that a layer more or less leaves the others as they are.
fn stream(seed: u64, name: &str) -> Rng {
    let bytes = name.bytes().map(u64::from);
    Rng::new(&std::iter::once(seed).chain(bytes).collect::<Vec<_>>())
}

/// Standard normal, by Box and Muller: two draws.
fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.unit_f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.unit_f64()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelSpec;

    #[test]
    fn convolutions_have_the_deviation_of_their_fan_out() {
        let graph = ModelSpec::named("cifar_resnet20", None, 3, 10).unwrap().graph();
        let info = graph.tensors().into_iter().find(|t| t.name == "layer3.1.conv1.weight").unwrap();
        let values = Fresh::new(&graph, 1, false).values(&info);
        let variance = values.iter().map(|v| f64::from(v * v)).sum::<f64>() / values.len() as f64;
        assert!((variance / (2.0 / (64.0 * 9.0)) - 1.0).abs() < 0.03, "{variance}");
    }
}
