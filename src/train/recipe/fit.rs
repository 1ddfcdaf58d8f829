//! A recipe takes over what weights were trained with, so that they fit and mean what they meant.

use super::{choices::NormaliseBy, table::Recipe};
use crate::{
    data::{Normalisation, Preprocessing},
    model::{Family, ModelSpec},
    weights::ModelCard,
};

impl Recipe {
    /// Makes the network the one of `spec`, its padding included. Classes and channels stay the data's business.
    pub(crate) fn fit_to_network(&mut self, spec: &ModelSpec) {
        self.model.clone_from(&spec.architecture);
        self.padding = spec.padding;
        if let ("custom", Family::ResNet(net)) = (self.model.as_str(), &spec.family) {
            (self.block, self.stages, self.widths) = (net.block, net.stages.clone(), net.widths.clone());
            self.activation = net.nonlinearity;
        }
        // The stem is only worth naming where it is not the architecture's own.
        let own = ModelSpec::named(&self.model, None, spec.channels, spec.classes);
        let own = own.is_ok_and(|own| own.family == spec.family);
        self.stem = spec.stem().filter(|_| !own);
    }

    /// Prepares images as they were for `card`'s network. `side` is the longer side of the data's own images.
    pub(crate) fn fit_to_preprocessing(&mut self, card: &ModelCard, side: usize) {
        let preprocessing = &card.preprocessing;
        let wanted = preprocessing.height.max(preprocessing.width);
        self.image_size = if wanted == side { 0 } else { wanted };
        if let Some(resize) = &preprocessing.resize {
            self.fit = resize.fit;
        }
        self.normalise_as(preprocessing);
    }

    /// Shows a trained network images of the size and in the colours that it knows; how they become square stays.
    pub(crate) fn see_as(&mut self, preprocessing: &Preprocessing) {
        self.image_size = preprocessing.height.max(preprocessing.width);
        self.normalise_as(preprocessing);
    }

    fn normalise_as(&mut self, preprocessing: &Preprocessing) {
        let channels = preprocessing.channels;
        let known = [
            (Normalisation::imagenet(channels), NormaliseBy::Imagenet),
            (Normalisation::tensorflow(channels), NormaliseBy::Tensorflow),
            (Normalisation::caffe(channels), NormaliseBy::Caffe),
        ];
        if let Some((_, by)) = known.into_iter().find(|(table, _)| *table == preprocessing.normalisation) {
            self.normalisation = by;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Block, Padding, Stem},
        weights::default_preprocessing,
    };

    #[test]
    fn a_recipe_becomes_that_of_the_weights() {
        let spec = ModelSpec::named("resnet50", None, 3, 1000).unwrap().with_padding(Padding::SamePool);
        let mut recipe = Recipe { stem: Some(Stem::Cifar), ..Recipe::default() };
        recipe.fit_to_network(&spec);
        assert_eq!((recipe.model.as_str(), recipe.stem, recipe.padding), ("resnet50", None, Padding::SamePool));
        assert_eq!(recipe.spec(3, 1000).unwrap(), spec);
        let preprocessing = default_preprocessing(&spec);
        recipe.fit_to_preprocessing(
            &ModelCard { spec, classes: Vec::new(), preprocessing, validation_share: None, head: None },
            28,
        );
        assert_eq!((recipe.image_size, recipe.normalisation), (224, NormaliseBy::Imagenet));
    }

    #[test]
    fn an_efficientnet_keeps_what_it_was_taught_by() {
        let spec = ModelSpec::named("efficientnet_lite0", None, 3, 1000).unwrap();
        let mut recipe = Recipe::default();
        recipe.fit_to_network(&spec);
        assert_eq!(recipe.spec(3, 1000).unwrap(), spec);
        let preprocessing = default_preprocessing(&spec);
        let card = ModelCard { spec, classes: Vec::new(), preprocessing, validation_share: None, head: None };
        recipe.fit_to_preprocessing(&card, 28);
        assert_eq!((recipe.image_size, recipe.normalisation), (224, NormaliseBy::Tensorflow));
    }

    #[test]
    fn a_network_without_a_name_is_taken_over_part_by_part() {
        let spec = ModelSpec::custom(Block::Bottleneck, Stem::Imagenet, vec![1, 2], vec![8, 16], 3, 4).unwrap();
        let mut recipe = Recipe::default();
        recipe.fit_to_network(&spec);
        assert_eq!(recipe.spec(3, 4).unwrap(), spec);
    }
}
