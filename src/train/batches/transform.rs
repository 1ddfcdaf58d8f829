//! How a recipe would have the images of a split shown to the network, apart from what is drawn for each of them.

use crate::{
    data::{Dataset, Filter, Normalisation, PixelRules, Preprocessing, Resize, Split},
    ops::{
        sample::{self, Rules, SampleParams},
        scaling::Scaling,
    },
    train::recipe::{CropMode, NormaliseBy, Recipe},
};
use std::sync::Arc;

/// The normalisation that a recipe asks for on a data set.
pub(crate) fn normalisation(recipe: &Recipe, dataset: &Dataset) -> Normalisation {
    match recipe.normalisation {
        NormaliseBy::Table => dataset.normalisation_or_measured(),
        NormaliseBy::Computed => dataset.train.measure(),
        NormaliseBy::Imagenet => Normalisation::imagenet(dataset.train.channels),
        NormaliseBy::Tensorflow => Normalisation::tensorflow(dataset.train.channels),
        NormaliseBy::Caffe => Normalisation::caffe(dataset.train.channels),
    }
}

/// From the stored images of a split to the network's input.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Transform {
    preprocessing: Preprocessing,
    scaling: Scaling,
    rules: Arc<Rules>,
}

impl Transform {
    /// For the images of `split`. Resizes only where the recipe asks for another size than the split has.
    pub(crate) fn new(split: &Split, recipe: &Recipe, normalisation: &Normalisation, pixel_rules: PixelRules) -> Self {
        let source = [split.height, split.width];
        let output = if recipe.image_size == 0 { source } else { [recipe.image_size; 2] };
        Self::to(output, split, recipe, normalisation, pixel_rules)
    }

    /// For the images of `split`, to that height and width.
    pub(super) fn to(
        output @ [height, width]: [usize; 2],
        split: &Split,
        recipe: &Recipe,
        normalisation: &Normalisation,
        pixel_rules: PixelRules,
    ) -> Self {
        let source = [split.height, split.width];
        let resize = Resize { short_side: height.min(width), fit: recipe.fit, filter: Filter::default() };
        let preprocessing = Preprocessing {
            resize: Some(resize),
            pixel_rules,
            ..Preprocessing::new(height, width, normalisation.clone())
        };
        let reflect = recipe.crop_mode == CropMode::Reflect;
        Self {
            scaling: Scaling::new(&preprocessing.fitting(), source, split.channels),
            rules: Arc::new(Rules::new(output, reflect, normalisation.clone(), split.channels)),
            preprocessing,
        }
    }

    /// Height and width of rendered images.
    pub(crate) fn output(&self) -> [usize; 2] {
        self.rules.output
    }

    pub(crate) fn channels(&self) -> usize {
        self.scaling.channels
    }

    /// Height, width and channels of rendered images.
    pub(crate) fn shape(&self) -> [usize; 3] {
        let [height, width] = self.output();
        [height, width, self.channels()]
    }

    /// Values in one rendered image.
    pub(crate) fn output_len(&self) -> usize {
        self.shape().iter().product()
    }

    /// Whether images get another size than they are stored in.
    pub(crate) fn resizes(&self) -> bool {
        self.output() != self.scaling.source
    }

    /// The part of it that a GPU needs to make batches of the stored images: of those that keep their size, and of
    /// resized crops.
    pub(crate) fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// What a photo of any size needs to become what [`Transform::render`] makes of a stored image: for the checkpoint.
    pub(crate) fn preprocessing(&self) -> Preprocessing {
        self.preprocessing.clone()
    }

    /// Writes one image, normalised, into `out` `[H, W, C]` of [`Transform::output_len`] values. All but the mix.
    pub(crate) fn render(&self, split: &Split, params: &SampleParams, out: &mut [f32]) {
        let index = params.index as usize;
        let part = params.resized_part().and_then(|part| Some((split.part(index, &part)?, part.size())));
        match part {
            Some((bytes, size)) => {
                let params = SampleParams { dx: 0, dy: 0, ..*params };
                sample::render(&bytes, size, &params, &self.rules, &self.scaling, out);
            }
            None => {
                sample::render(&split.image(index), self.scaling.source, params, &self.rules, &self.scaling, out);
            }
        }
    }
}
