//! The ways to learn from photographs, and what each costs here.

use super::State;
use crate::{
    app::widgets::toasts::Level,
    data::Fit,
    model::ModelSpec,
    train::{Method, Recipe, choices::Optimizer},
    weights::{BUNDLED, default_preprocessing},
};
use strum::{EnumIter, IntoEnumIterator};

/// How a network learns from photographs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter)]
pub enum Way {
    /// A new head on a network that has learned to see.
    Head,
    /// All of such a network, step by step.
    FineTune,
    /// A network that has seen nothing yet.
    Scratch,
}

impl Way {
    /// All of them, the quickest first.
    pub(crate) fn all() -> impl Iterator<Item = Way> {
        Way::iter()
    }

    /// What it is called.
    pub fn title(self) -> &'static str {
        match self {
            Way::Head => "Learn from a trained network",
            Way::FineTune => "Fine-tune all of it",
            Way::Scratch => "From scratch",
        }
    }

    /// When it is the right one.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Way::Head => "A network that has seen a million photographs looks at yours; only the answer is learned.",
            Way::FineTune => {
                "All layers of that network, step by step. On 189 photographs it came no further than the first way: try \
                 it with many more."
            }
            Way::Scratch => {
                "A small network on pictures of 64 pixels, so it is quick, to watch one learn from nothing. It takes \
                 thousands of photographs to see as well."
            }
        }
    }

    /// The recipe.
    pub(crate) fn recipe(self) -> Recipe {
        // These presets are always valid.
        let preset = |name| Recipe::preset(name).unwrap_or_default();
        match self {
            Way::Head => preset("photos"),
            Way::FineTune => {
                let recipe = Recipe { lr: 0.004, epochs: 15, ..preset("photos-finetune") };
                seen_by_the_bundled(recipe)
            }
            Way::Scratch => Recipe { image_size: 64, fit: Fit::Squash, ..preset("quick") },
        }
    }

    /// The one that a recipe takes, whatever else was changed in it.
    pub(crate) fn of(recipe: &Recipe, starts_from_weights: bool) -> Self {
        match (recipe.method, starts_from_weights) {
            (Method::Head, _) => Way::Head,
            (Method::Steps, true) => Way::FineTune,
            (Method::Steps, false) => Way::Scratch,
        }
    }
}

fn seen_by_the_bundled(mut recipe: Recipe) -> Recipe {
    if let Ok(spec) = ModelSpec::named("efficientnet_lite0", None, 3, 2) {
        recipe.fit_to_network(&spec);
        recipe.see_as(&default_preprocessing(&spec));
    }
    Recipe { optimizer: Optimizer::Sgd, ..recipe }
}

impl State {
    /// Whether nobody has said yet how to learn.
    pub(crate) fn learns_as_ever(&self) -> bool {
        let ever = Recipe::preset("quick").is_ok_and(|quick| quick == self.recipe);
        ever && self.start_from.is_none() && self.run.resumable().is_none()
    }

    /// The next run learns so.
    pub(crate) fn learn(&mut self, way: Way) {
        if self.run.is_busy() {
            return self.notices.tell(Level::Warning, "Stop the run before another way is chosen");
        }
        // A head that was found is what fine-tuning goes on from.
        let of_head = self.run.saved().cloned().filter(|_| self.recipe.method == Method::Head);
        self.run.leave();
        self.recipe = way.recipe();
        self.start_from = (way == Way::FineTune).then(|| of_head.unwrap_or_else(|| BUNDLED.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_is_a_valid_recipe_that_is_known_again() {
        for way in Way::all() {
            let recipe = way.recipe();
            recipe.validate().unwrap();
            assert_eq!(Way::of(&recipe, way == Way::FineTune), way);
            recipe.spec(3, 7).unwrap();
        }
        assert_eq!(Way::FineTune.recipe().spec(3, 7).unwrap(), Way::Head.recipe().spec(3, 7).unwrap());
    }
}
