//! How a recipe, and a run, want their data loaded: said once, for the window, training, evaluation and benchmarks alike.

use super::run_folder::{HeldOutBy, RunInfo};
use crate::{
    data::{Edits, HoldOut, LoadOptions, Sides},
    train::recipe::{Method, Recipe},
};
use std::sync::Arc;

/// What was held out of every data set before a recipe could say it.
const SHARE_BY_PLACE: f64 = 0.1;

/// Side of photographs for networks that are made for them, where none is asked for: ImageNet's.
const PHOTO_SIDE: usize = 224;

impl Recipe {
    /// For a new run.
    pub fn load_options(&self) -> LoadOptions {
        let defaults = LoadOptions::default();
        let network = self.network(3, 2).ok();
        let head = self.method == Method::Head;
        LoadOptions {
            image_size: (self.image_size > 0).then_some(self.image_size),
            photo_size: match network.is_some_and(|network| network.is_for_photographs()) {
                true => PHOTO_SIDE,
                false => defaults.photo_size,
            },
            random_crops: self.resized_crop > 0.0,
            working_size: (self.working_size > 0).then_some(self.working_size),
            fit: self.fit,
            hold_out: if head { HoldOut::Folds } else { HoldOut::by_content(self.validation_share) },
            // What a network has seen of a photograph before is all that a head needs of it.
            pixels_at_once: if head { 0 } else { defaults.pixels_at_once },
            ..defaults
        }
    }
}

impl RunInfo {
    /// For a run that goes on with `recipe`, or is looked at again: what it has learned from stays on the side of
    /// training, and what it was measured on, among `sides`, on the other. What people changed about the images is `edits`.
    pub(crate) fn load_options(&self, recipe: &Recipe, sides: Sides, edits: Edits) -> LoadOptions {
        LoadOptions {
            coarse: self.classes.len() == LoadOptions::COARSE_CLASSES,
            pixel_rules: self.pixel_rules,
            size_rules: self.size_rules,
            hold_out: match self.held_out_by {
                _ if recipe.method == Method::Head => HoldOut::Folds,
                HeldOutBy::Content => HoldOut::Content { share: recipe.validation_share, known: Arc::new(sides) },
                HeldOutBy::Place => HoldOut::Place { share: SHARE_BY_PLACE, seed: recipe.seed },
            },
            edits: Arc::new(edits),
            run_classes: self.classes.clone(),
            ..recipe.load_options()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::PixelRules;

    #[test]
    fn a_run_keeps_the_arithmetic_of_its_pixels_and_one_that_names_none_has_that_of_its_time() {
        let rules = |json: &str| {
            let info: RunInfo = serde_json::from_str(json).expect("a run");
            info.load_options(&Recipe::default(), Sides::default(), Edits::default()).pixel_rules
        };
        assert_eq!(rules(r#"{"data": "photos"}"#), PixelRules::Legacy);
        let new = serde_json::to_string(&RunInfo::default()).expect("JSON");
        assert_eq!(rules(&new), PixelRules::Torchvision);
        assert_eq!(Recipe::default().load_options().pixel_rules, PixelRules::Torchvision);
    }
}
