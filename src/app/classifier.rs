//! Who answers when an image is to be classified, and how an image is made ready for it.
//!
//! The live weights of a run answer through the session; saved weights answer from a [`Predictor`] of their own. Both
//! say what form an image must have, so that a dropped photo meets the very preprocessing of training.

use super::statistics::Statistics;
use crate::app::widgets::pictures::Picture;
use crate::{
    data::{Dataset, PixelRules, Preprocessing, decode_image},
    device::Choice,
    model::Padding,
    ops::Implementation,
    text,
    train::{Recipe, Transform, answers::Answer, normalisation, predictor::Predictor},
    weights::ImportOptions,
};
use image::DynamicImage;
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// Where an image comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    File(PathBuf),
    Pasted(Picture),
    /// Position in the validation split.
    HeldOut(u32),
}

impl Source {
    /// What it is called, for people.
    pub(crate) fn name(&self) -> String {
        match self {
            Source::File(path) => text::file_name(path),
            Source::Pasted(_) => "Pasted image".to_owned(),
            Source::HeldOut(index) => format!("Held-out image {index}"),
        }
    }
}

/// Whose weights are asked.
#[derive(Clone)]
pub(crate) enum Weights {
    /// Those of the run that goes on, or that is about to.
    Live { dataset: Arc<Dataset>, recipe: Box<Recipe> },
    /// A run's folder or a weight file, with the padding that the user has set for it.
    Saved { path: PathBuf, padding: Option<Padding>, device: Choice },
}

impl Weights {
    /// Whether images that were made ready for one can be shown to the other.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Weights::Live { dataset: a, recipe: p }, Weights::Live { dataset: b, recipe: q }) => {
                let form = |r: &Recipe| (r.image_size, r.fit, r.normalisation);
                Arc::ptr_eq(a, b) && form(p) == form(q)
            }
            (Weights::Saved { path: a, padding: p, .. }, Weights::Saved { path: b, padding: q, .. }) => {
                (a, p) == (b, q)
            }
            _ => false,
        }
    }
}

/// An image that is ready for the network.
pub(crate) struct Prepared {
    pub name: String,
    pub original: Picture,
    /// `[height, width, channels]` bytes in the network's size.
    pub input: Picture,
    /// The true class, where it is known.
    pub truth: Option<usize>,
    /// A remark on an image that is unlike the training images.
    pub note: Option<String>,
}

/// Everything that is worked out once for some weights. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Classifier {
    pub weights: Weights,
    pub classes: Arc<[String]>,
    preprocessing: Preprocessing,
    statistics: Option<Arc<Statistics>>,
    /// Of saved weights.
    predictor: Option<Arc<Mutex<Predictor>>>,
}

/// Longer side of an original that is kept, in pixels.
const MAX_KEPT_SIDE_PX: usize = 512;

impl Classifier {
    /// Reads weights or measures the data set. Takes its time: not for the frame.
    pub(crate) fn new(weights: Weights) -> Result<Self, String> {
        match &weights {
            Weights::Live { dataset, recipe } => {
                let normalisation = normalisation(recipe, dataset);
                let rules = dataset.options.pixel_rules;
                let preprocessing = Transform::new(&dataset.validation, recipe, &normalisation, rules).preprocessing();
                let statistics = Some(Arc::new(Statistics::of(&dataset.train)));
                let classes = dataset.classes.clone().into();
                Ok(Self { classes, preprocessing, statistics, predictor: None, weights })
            }
            Weights::Saved { path, padding, device } => {
                let options = ImportOptions { padding: *padding, ..ImportOptions::default() };
                let predictor = Predictor::open(path, &options, *device, Implementation::default());
                let predictor = predictor.map_err(|error| error.to_string())?;
                let card = predictor.card();
                let (classes, preprocessing) = (card.classes.clone().into(), card.preprocessing.clone());
                let predictor = Some(Arc::new(Mutex::new(predictor)));
                Ok(Self { classes, preprocessing, statistics: None, predictor, weights })
            }
        }
    }

    /// Brings an image into the network's form. `dataset` is where held-out images come from.
    pub(crate) fn prepare(&self, source: Source, dataset: Option<&Dataset>) -> Result<Prepared, String> {
        let (image, truth) = read(&source, dataset, self.preprocessing.pixel_rules)?;
        // The numbers of the classes mean the same where their names do.
        let same_classes = dataset.is_some_and(|dataset| dataset.classes.as_slice() == &*self.classes);
        let Preprocessing { width, height, channels, .. } = self.preprocessing;
        let input = Picture { width, height, channels, pixels: self.preprocessing.prepare(&image) };
        let note = self.statistics.as_ref().and_then(|statistics| statistics.note(&input));
        let original = Picture::from_image(&image).shrunk(MAX_KEPT_SIDE_PX);
        Ok(Prepared { name: source.name(), original, input, truth: truth.filter(|_| same_classes), note })
    }

    /// The answers of saved weights, one for each image; `None` where the session has to be asked.
    pub(crate) fn answer(&self, images: &[Vec<u8>]) -> Option<Vec<Answer>> {
        let predictor = self.predictor.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        Some(predictor.predict(images))
    }
}

/// Image and true class of a source.
fn read(
    source: &Source,
    dataset: Option<&Dataset>,
    rules: PixelRules,
) -> Result<(DynamicImage, Option<usize>), String> {
    match source {
        Source::File(path) => {
            let bytes = crate::data::read_image_file(path)
                .map_err(|error| format!("cannot read {}: {error}", text::path(path)))?;
            let decoded = decode_image(&bytes, rules).map_err(|error| format!("{}: {error}", text::path(path)))?;
            Ok((decoded.into_image(), None))
        }
        Source::Pasted(picture) => {
            let image = to_image(picture.clone()).ok_or("the clipboard holds a broken image")?;
            Ok((image, None))
        }
        Source::HeldOut(index) => {
            let split = &dataset.ok_or("no data set is loaded")?.validation;
            let picture = Picture::of(split, *index).ok_or("there is no such image")?;
            let truth = split.labels.get(*index as usize).map(|&label| label as usize);
            let image = to_image(picture).ok_or("the data set holds a broken image")?;
            Ok((image, truth))
        }
    }
}

fn to_image(picture: Picture) -> Option<DynamicImage> {
    let (width, height) = (picture.width as u32, picture.height as u32);
    match picture.channels {
        1 => image::GrayImage::from_raw(width, height, picture.pixels).map(Into::into),
        _ => image::RgbImage::from_raw(width, height, picture.pixels).map(Into::into),
    }
}
