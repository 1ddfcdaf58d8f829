//! How large each layer's weights and gradients are: what tells whether a layer learns at all, or runs away.

use super::{diagnosis::norm, trainer::Trainer};
use crate::{
    model::Gradients,
    train::{batches::Batch, recipe::Recipe},
};

impl Trainer {
    /// Euclidean norms of the weights of each convolution and of the head, and of their gradients on a batch, in the order
    /// of the network; what is frozen has no gradient and is left out. Goes forward and back once more and changes nothing.
    pub(crate) fn norms(&self, batch: &Batch, recipe: &Recipe) -> Vec<(String, [f32; 2])> {
        let learner = self.learner();
        let learning = self.learning(batch, recipe, recipe.lr, learner.frozen());
        let Gradients { scale, tensors, .. } = batch.with_input(|input| learner.gradients(input, &learning));
        let weights = self.state(false);
        let weighty = tensors.into_iter().filter(|(info, _)| !info.role.is_bias_or_norm());
        weighty
            .filter_map(|(info, gradient)| {
                let weights = norm(&weights.get(&info.name)?.data, 1.0);
                Some((info.name, [weights, norm(&gradient, scale)]))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        device::Compute,
        model::Network,
        ops::Implementation,
        train::{Feed, Position, normalisation, test_data::dataset, trainer::state_of},
    };
    use std::sync::Arc;

    #[test]
    fn norms_are_those_of_the_weights_and_of_the_gradients_that_the_diagnosis_finds() {
        let recipe = Recipe { model: "cifar_resnet8".into(), batch_size: 8, ..Recipe::default() };
        let dataset = Arc::new(dataset(16, 2, 8, 8, 3, 1));
        let spec = recipe.spec(dataset.train.channels, dataset.classes.len()).unwrap();
        let network = Network::new(&spec, 1, false, Implementation::Fast, &Compute::cpu());
        let state = state_of(&network);
        let trainer = Trainer::new(network);
        let batch = Feed::new(dataset.clone(), &recipe, &normalisation(&recipe, &dataset)).batch(Position::default());
        let norms = trainer.norms(&batch, &recipe);
        let layers = trainer.diagnose(&batch, &recipe).layers;
        assert_eq!((norms[0].0.as_str(), norms[norms.len() - 1].0.as_str()), ("conv1.weight", "fc.weight"));
        for (name, [weights, gradient]) in norms {
            let squares: f64 = state[&name].data.iter().map(|value| f64::from(*value).powi(2)).sum();
            assert!((f64::from(weights) - squares.sqrt()).abs() < 1e-5, "{name}");
            let found = layers.iter().find(|layer| layer.name == name).unwrap();
            assert_eq!(gradient, found.norm, "{name}");
            assert!(gradient > 0.0, "{name}");
        }
    }
}
