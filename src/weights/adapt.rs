//! Imported weights → starting weights for another task: other classes, gray instead of colour.
//!
//! The trunk must be the wanted network's. The head is replaced where the classes are others, and the first
//! convolution is folded or spread where the number of input channels is another; both are said. A run's network has
//! PyTorch's epsilon in its batch normalisations, so that its weights mean the same wherever they are loaded; weights that
//! were trained with another are scaled to give their own answers with it.

use super::{
    Backbone, HostTensor, Imported, Pretrained, StateDict,
    error::Problem,
    fit::{self, Mismatch},
};
use crate::{
    data::rng::Rng,
    model::{ModelSpec, spec::Role},
};

/// What was done to make weights fit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Adapted {
    pub tensors: StateDict,
    /// Whether the head starts anew, so that it has to be trained.
    pub head_replaced: bool,
    /// One sentence for each change.
    pub notes: Vec<String>,
}

/// Fits weights to `wanted`, whose classes are `classes` (in the order of the head's rows).
///
/// The head is kept only when its classes are the wanted ones by name and order, or when the file gave no names and
/// their number is the same and `classes` is empty. A new head is drawn as PyTorch draws a linear layer's, from `seed`.
/// The first convolution of three channels becomes one of a single channel by adding up its kernels, which gives a
/// colour network's answer to a gray image; the reverse repeats the kernel three times at a third of its size. With
/// another epsilon the batch normalisations are scaled, so that the answers stay the same.
///
/// # Errors
/// A [`Mismatch`] when the trunk is another network's.
pub(crate) fn adapt(
    weights: impl Into<Pretrained>,
    wanted: &ModelSpec,
    classes: &[String],
    seed: u64,
) -> Result<Adapted, Problem> {
    let (spec, mut tensors, head) = match weights.into() {
        // Its answers on the images that are held out would be by heart.
        Pretrained::Network(Imported { card, tensors, .. }) if card.head.is_some() => {
            (card.spec, tensors, Err("has learned from all images, also from those that are held out now".to_owned()))
        }
        Pretrained::Network(Imported { card, tensors, .. }) => (card.spec, tensors, Ok(card.classes)),
        Pretrained::Backbone(Backbone { spec, tensors, fault, .. }) => (spec, tensors, Err(fault)),
    };
    let mut notes = Vec::new();

    let (from, to) = (spec.channels, wanted.channels);
    let first = spec.graph().layers.first().map(|layer| layer.conv.clone()).unwrap_or_default();
    if from != to
        && let Some(conv) = tensors.get_mut(&format!("{first}.weight"))
    {
        *conv = change_channels(conv, to);
        notes.push(match to {
            1 => format!("{first}: the kernels of {from} channels were added up for gray images"),
            _ => format!("{first}: the gray kernel was repeated for {to} channels, each {to} times smaller"),
        });
    }

    let count = wanted.classes;
    let new_head = match head {
        Err(fault) => Some(format!("head: a new one of {count} classes; the file's {fault}")),
        Ok(_) if spec.classes != count => {
            Some(format!("head: replaced by a new one of {count} classes; the file's has {}", spec.classes))
        }
        Ok(names) if !classes.is_empty() && names != classes => {
            Some(format!("head: replaced by a new one, since its {count} classes are not the wanted ones"))
        }
        Ok(_) => None,
    };
    let head_replaced = new_head.is_some();
    if let Some(note) = new_head {
        notes.push(note);
        let features = wanted.features();
        for (name, shape) in wanted.head_tensors().into_iter().zip([vec![count, features], vec![count]]) {
            let values = drawn(&name, shape, features, seed);
            tensors.insert(name, values);
        }
    }
    if spec.padding != wanted.padding {
        notes.push(format!(
            "padding: the weights were trained with {}, the network has {}",
            spec.padding, wanted.padding
        ));
    }

    if spec.bn_eps != wanted.bn_eps {
        notes.push(format!(
            "batch normalisation: scaled from the weights' epsilon of {} to the network's of {}, for the same answers",
            spec.bn_eps, wanted.bn_eps
        ));
        change_epsilon(&mut tensors, &spec, wanted);
    }

    let differences = fit::differences(&fit::shapes(&tensors), wanted);
    if !differences.is_empty() {
        let looks_like = Some(spec.backbone());
        return Err(Problem::Mismatch(Box::new(Mismatch { differences, model: wanted.to_string(), looks_like })));
    }
    Ok(Adapted { tensors, head_replaced, notes })
}

/// Scales each batch normalisation of `tensors` so that with the epsilon of `to` it computes what it did with that of
/// `from`: its output is `weight / sqrt(variance + epsilon)` times what is centred. What it learned thereby stays as it is
/// on batches too, as far as their variance is the running one, which scaling the variance would not give.
fn change_epsilon(tensors: &mut StateDict, from: &ModelSpec, to: &ModelSpec) {
    for info in to.tensors().iter().filter(|info| info.role == Role::BnVar) {
        let Some(bn) = info.name.strip_suffix(".running_var") else { continue };
        let Some(variance) = tensors.get(&info.name).map(|tensor| tensor.data.clone()) else { continue };
        let Some(weight) = tensors.get_mut(&format!("{bn}.weight")) else { continue };
        for (weight, variance) in weight.data.iter_mut().zip(variance) {
            let variance = f64::from(variance);
            let scale = ((variance + to.bn_eps) / (variance + from.bn_eps)).sqrt();
            // A variance below zero has no answer to keep.
            if scale.is_finite() {
                *weight = (f64::from(*weight) * scale) as f32;
            }
        }
    }
}

/// `[O, I, H, W]` → `[O, channels, H, W]`: the sum over the input channels, shared out evenly.
fn change_channels(conv: &HostTensor, channels: usize) -> HostTensor {
    let &[outputs, inputs, height, width] = conv.shape.as_slice() else { return conv.clone() };
    let kernel = height * width;
    let mut data = Vec::with_capacity(outputs * channels * kernel);
    for filter in conv.data.chunks_exact((inputs * kernel).max(1)) {
        let sum = |i: usize| filter.iter().skip(i).step_by(kernel).map(|&w| f64::from(w)).sum::<f64>();
        let gray: Vec<f32> = (0..kernel).map(|i| (sum(i) / channels as f64) as f32).collect();
        (0..channels).for_each(|_| data.extend_from_slice(&gray));
    }
    HostTensor { shape: vec![outputs, channels, height, width], data }
}

/// Uniform within `1 / sqrt(features)`, as PyTorch starts a linear layer's weight and bias.
fn drawn(name: &str, shape: Vec<usize>, features: usize, seed: u64) -> HostTensor {
    let bound = 1.0 / (features as f64).sqrt();
    let stream = name.bytes().fold(seed, |hash, byte| Rng::at(hash ^ u64::from(byte)).next_u64());
    let count: usize = shape.iter().product();
    let value = |i| (2.0 * Rng::at(stream.wrapping_add(i)).unit_f64() - 1.0) * bound;
    let data = (0..count as u64).map(|i| value(i) as f32).collect();
    HostTensor { shape, data }
}
