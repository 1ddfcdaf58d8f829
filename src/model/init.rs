//! Fresh weights. Convolutions: He et al., "Delving Deep into Rectifiers", <https://arxiv.org/abs/1502.01852>, normal
//! with variance `2 / fan_out`, as torchvision's ResNets have it. The head: PyTorch's `Linear`, uniform within
//! `1 / sqrt(features)`. Batch normalisation: the identity, or zero for the last one of a block where asked (Goyal et
//! al., "Accurate, Large Minibatch SGD", <https://arxiv.org/abs/1706.02677>, section 5.1).

use super::{
    Block, ModelSpec,
    spec::{Role, TensorInfo},
};
use crate::data::rng::Rng;

/// The values of one tensor, in PyTorch's layout: a function of the specification, the tensor's name and the seed.
pub fn values(spec: &ModelSpec, info: &TensorInfo, seed: u64, zero_last_gamma: bool) -> Vec<f32> {
    let count = info.shape.iter().product();
    let last_bn = match spec.block {
        Block::Basic => ".bn2.weight",
        Block::Bottleneck => ".bn3.weight",
    };
    match info.role {
        Role::ConvWeight => {
            let fan_out = info.shape[0] * info.shape[2] * info.shape[3];
            let deviation = (2.0 / fan_out as f64).sqrt();
            let mut rng = Rng::keyed(seed, &info.name);
            (0..count).map(|_| (rng.normal() * deviation) as f32).collect()
        }
        Role::FcWeight | Role::FcBias => {
            let bound = 1.0 / (spec.features() as f64).sqrt();
            let mut rng = Rng::keyed(seed, &info.name);
            (0..count).map(|_| ((2.0 * rng.uniform() - 1.0) * bound) as f32).collect()
        }
        Role::BnWeight if zero_last_gamma && info.name.ends_with(last_bn) => vec![0.0; count],
        Role::BnWeight | Role::BnVar => vec![1.0; count],
        Role::BnBias | Role::BnMean => vec![0.0; count],
    }
}
