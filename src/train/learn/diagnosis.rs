//! A second look at a batch whose update was refused: what every layer put out, every gradient, and where the first
//! number that is not finite arose.
//!
//! Where that is decides what to do. NaN spreads: within a step or two all of a network is full of it, so that the
//! largest culprit by count says nothing, and only the order of the computation does.

use super::trainer::Trainer;
use crate::{
    model::Gradients,
    train::{
        batches::Batch,
        recipe::Recipe,
        run::events::{Activation, LayerNorm, Origin},
    },
};

/// What the second look found.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnosis {
    /// Mean loss of the batch.
    pub loss: f32,
    /// The gradients, those that are not finite first, then by size.
    pub layers: Vec<LayerNorm>,
    /// The layers' outputs in the order of the computation.
    pub activations: Vec<Activation>,
    /// Where the numbers went wrong; `None` where they did not.
    pub origin: Option<Origin>,
}

impl Diagnosis {
    /// Whether the loss and every value on the way to it and back were finite.
    pub(crate) fn is_finite(&self) -> bool {
        self.loss.is_finite() && self.origin.is_none()
    }

    /// The largest magnitude that a layer put out.
    pub(crate) fn largest(&self) -> f32 {
        self.activations.iter().fold(0.0, |most, layer| most.max(layer.largest))
    }
}

impl Trainer {
    /// Goes forward and back over a batch once more and changes nothing. Reads every value back from the device.
    pub fn diagnose(&self, batch: &Batch, recipe: &Recipe) -> Diagnosis {
        let learner = self.learner();
        let learning = self.learning(batch, recipe, recipe.lr, learner.frozen());
        let mut activations = Vec::new();
        let gradients = batch.with_input(|input| {
            let look = |name: &str, values: Vec<f32>| activations.push(activation(name, &values));
            learner.trace(input, learning.storage, look);
            learner.gradients(input, &learning)
        });
        let Gradients { loss, scale, tensors } = gradients;
        let mut layers: Vec<LayerNorm> =
            tensors.into_iter().map(|(info, values)| layer_norm(info.name, &values, scale)).collect();
        let origin = origin(&activations, &layers);
        layers.sort_by(|a, b| (b.not_finite > 0).cmp(&(a.not_finite > 0)).then(b.norm.total_cmp(&a.norm)));
        Diagnosis { loss: loss / batch.plan.len().max(1) as f32, layers, activations, origin }
    }
}

fn activation(name: &str, values: &[f32]) -> Activation {
    let finite = values.iter().filter(|value| value.is_finite());
    let not_finite = (values.len() - finite.clone().count()) as u64;
    Activation { name: name.to_owned(), largest: finite.fold(0.0, |most, value| most.max(value.abs())), not_finite }
}

/// Of a gradient of `scale` times the loss.
fn layer_norm(name: String, values: &[f32], scale: f32) -> LayerNorm {
    let not_finite = values.iter().filter(|value| !value.is_finite()).count() as u64;
    LayerNorm { name, norm: norm(values, scale), not_finite }
}

/// The Euclidean norm of values that are `scale` times what is meant.
pub(super) fn norm(values: &[f32], scale: f32) -> f32 {
    let sum: f64 = values.iter().map(|value| f64::from(*value).powi(2)).sum();
    (sum.sqrt() / f64::from(scale)) as f32
}

/// The first output that is not finite; where all are, the first such gradient on the way back; where all of those are
/// too, the largest if their norm is beyond a float. Both lists are in the order of the network.
fn origin(activations: &[Activation], gradients: &[LayerNorm]) -> Option<Origin> {
    let forward = activations.iter().find(|layer| layer.not_finite > 0);
    let backward = || gradients.iter().rev().find(|gradient| gradient.not_finite > 0);
    let forward = forward.map(|layer| Origin::Forward(layer.name.clone()));
    let backward = || backward().map(|gradient| Origin::Backward(gradient.name.clone()));
    let squares: f64 = gradients.iter().map(|gradient| f64::from(gradient.norm).powi(2)).sum();
    let largest = || gradients.iter().max_by(|a, b| a.norm.total_cmp(&b.norm));
    let norm =
        || largest().filter(|_| !(squares as f32).is_finite()).map(|gradient| Origin::Norm(gradient.name.clone()));
    forward.or_else(backward).or_else(norm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::{Dataset, Normalisation, Split},
        device::Compute,
        model::{ModelSpec, Network},
        ops::Implementation,
        train::{
            batches::{Feed, Position},
            trainer::{network_of, state_of},
        },
    };
    use std::sync::Arc;

    fn batch(spec: &ModelSpec) -> Batch {
        let pixels: Vec<u8> = (0..8 * 64u32).map(|i| (i * 37 % 251) as u8).collect();
        let labels = (0..8).map(|i| i % 2).collect();
        let split = Split {
            height: 8,
            width: 8,
            channels: spec.channels,
            pixels: pixels.into(),
            labels,
            sources: None,
            contents: None,
        };
        let dataset = Arc::new(Dataset::new("test", vec!["a".into(), "b".into()], split.clone(), split));
        let recipe = Recipe { batch_size: 8, flip: false, crop_padding: 0, ..Recipe::default() };
        Feed::new(dataset, &recipe, &Normalisation { mean: vec![0.5], std: vec![0.25] }).batch(Position::default())
    }

    /// What is said of a network in which one value of `tensor` is `value`.
    fn with(ops: Implementation, tensor: &str, value: f32) -> Diagnosis {
        let recipe = Recipe { model: "cifar_resnet8".into(), ..Recipe::default() };
        let spec = recipe.spec(1, 2).unwrap();
        let compute = Compute::cpu();
        let mut state = state_of(&Network::new(&spec, 1, false, ops, &compute));
        state.get_mut(tensor).unwrap().data[0] = value;
        let network = network_of(&spec, &state, ops, &compute).unwrap();
        Trainer::new(network).diagnose(&batch(&spec), &recipe)
    }

    #[test]
    fn a_sound_network_is_finite_and_both_implementations_see_the_same() {
        let [fast, reference] = [Implementation::Fast, Implementation::Reference].map(|ops| with(ops, "fc.bias", 0.0));
        assert!(fast.is_finite() && reference.is_finite());
        assert!((fast.loss - reference.loss).abs() < 1e-4);
        let names: Vec<&str> = fast.activations.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!((names[0], names[1], *names.last().unwrap()), ("conv1", "layer1.0.conv1", "fc"));
        for (a, b) in fast.activations.iter().zip(&reference.activations) {
            assert!(a.name == b.name && (a.largest - b.largest).abs() < 1e-3 * a.largest.max(1.0), "{a:?} {b:?}");
        }
    }

    #[test]
    fn the_layer_where_it_began_is_named_though_all_behind_it_are_full_of_nan() {
        for ops in [Implementation::Fast, Implementation::Reference] {
            for layer in ["conv1", "layer2.0.conv1", "layer2.0.downsample.0", "fc"] {
                let found = with(ops, &format!("{layer}.weight"), f32::INFINITY);
                assert_eq!(found.origin, Some(Origin::Forward(layer.to_owned())), "{ops:?}");
                let before = found.activations.iter().take_while(|other| other.name != layer);
                assert!(before.clone().all(|other| other.not_finite == 0));
                assert!(!found.is_finite());
            }
        }
    }

    #[test]
    fn an_overflow_on_the_way_back_is_found_from_the_end() {
        let layer = |name: &str, not_finite| LayerNorm { name: name.to_owned(), norm: 1.0, not_finite };
        let gradients = [layer("conv1.weight", 3), layer("layer1.0.conv1.weight", 1), layer("fc.weight", 0)];
        let fine = [Activation { name: "conv1".into(), largest: 2.0, not_finite: 0 }];
        assert_eq!(origin(&fine, &gradients), Some(Origin::Backward("layer1.0.conv1.weight".into())));
        assert_eq!(origin(&fine, &gradients[2..]), None);
    }

    #[test]
    fn a_norm_beyond_a_float_is_found_though_every_value_fits() {
        let layer = |name: &str, norm| LayerNorm { name: name.to_owned(), norm, not_finite: 0 };
        let gradients = [layer("conv1.weight", 1e19), layer("fc.weight", 2e19), layer("fc.bias", 1.0)];
        assert_eq!(origin(&[], &gradients), Some(Origin::Norm("fc.weight".into())));
        assert_eq!(origin(&[], &gradients[2..]), None);
    }
}
