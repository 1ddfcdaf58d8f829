//! How much each class counts in the loss, and whether the classes are so unlike in size that it matters.
//!
//! The weights are those of PyTorch's `CrossEntropyLoss`, and `balanced` is scikit-learn's rule. Validation is never
//! weighted: its loss stays the plain mean, so that runs with and without weights can be compared.

use super::field::{FieldType, Value};
use crate::data::Dataset;

/// From how many times the smallest class's images on the largest one makes a data set lopsided.
const LOPSIDED: usize = 3;

/// How much each class counts in the loss.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ClassWeights {
    /// All alike.
    #[default]
    Alike,
    /// `n / (classes * count)` for a class with `count` of the `n` training images: all classes together count alike,
    /// and the mean weight of an image is 1. Classes without an image are left out of the rule, and weigh 1. Where
    /// balanced sampling makes the classes alike already, all do: a small class would count twice.
    Balanced,
    /// A number a class, in the order of the classes.
    ByHand(Vec<f64>),
}

impl ClassWeights {
    /// The weights for classes of which an epoch shows so many images, or as many in proportion; `None` where all weigh
    /// 1 or there is not one a class.
    pub(crate) fn of(&self, counts: &[usize]) -> Option<Vec<f32>> {
        match self {
            Self::Alike => None,
            Self::Balanced => {
                let (n, classes) = (counts.iter().sum::<usize>(), counts.iter().filter(|&&count| count > 0).count());
                let weight = |&count: &usize| if count > 0 { n as f64 / (classes * count) as f64 } else { 1.0 };
                Some(counts.iter().map(|count| weight(count) as f32).collect())
            }
            Self::ByHand(weights) => {
                (weights.len() == counts.len()).then(|| weights.iter().map(|&weight| weight as f32).collect())
            }
        }
    }
}

/// The choices that are words.
pub(crate) const CLASS_WEIGHTS: [&str; 2] = ["none", "balanced"];

impl FieldType for ClassWeights {
    fn to_value(&self) -> Value {
        let [alike, balanced] = CLASS_WEIGHTS;
        match self {
            Self::Alike => Value::Text(alike.to_owned()),
            Self::Balanced => Value::Text(balanced.to_owned()),
            Self::ByHand(weights) => Value::Floats(weights.clone()),
        }
    }

    fn from_value(value: Value) -> Option<Self> {
        let [alike, balanced] = CLASS_WEIGHTS;
        match value {
            Value::Text(word) if word == alike => Some(Self::Alike),
            Value::Text(word) if word == balanced => Some(Self::Balanced),
            Value::Floats(weights) => Some(Self::ByHand(weights)),
            _ => None,
        }
    }
}

/// The largest and the smallest class to train on: name and number of images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lopsided<'a> {
    pub largest: (&'a str, usize),
    pub smallest: (&'a str, usize),
}

/// The two, where the largest class has at least three times the images of the smallest that has any.
pub(crate) fn lopsided(dataset: &Dataset) -> Option<Lopsided<'_>> {
    let counts = dataset.train.class_counts(dataset.classes.len());
    let sizes = || dataset.classes.iter().map(String::as_str).zip(counts.iter().copied()).filter(|size| size.1 > 0);
    let (largest, smallest) = (sizes().max_by_key(|size| size.1)?, sizes().min_by_key(|size| size.1)?);
    (largest.1 >= LOPSIDED * smallest.1).then_some(Lopsided { largest, smallest })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{Recipe, test_data::dataset};

    #[test]
    fn balanced_is_the_rule_of_scikit_learn() {
        // compute_class_weight("balanced", classes=[0, 1, 2], y=[0]*6 + [1]*3 + [2])
        assert_eq!(ClassWeights::Balanced.of(&[6, 3, 1]).unwrap(), [10.0 / 18.0, 10.0 / 9.0, 10.0 / 3.0]);
        assert_eq!(ClassWeights::Balanced.of(&[4, 0, 4]).unwrap(), [1.0; 3]);
        assert_eq!(ClassWeights::Alike.of(&[6, 3, 1]), None);
    }

    #[test]
    fn weights_are_read_as_words_and_as_numbers() {
        let mut recipe = Recipe::default();
        for (text, want) in [
            ("class_weights=balanced", ClassWeights::Balanced),
            ("class_weights=1, 2.5", ClassWeights::ByHand(vec![1.0, 2.5])),
            ("class_weights=[3]", ClassWeights::ByHand(vec![3.0])),
            ("class_weights=none", ClassWeights::Alike),
        ] {
            recipe.set_text(text).unwrap();
            assert_eq!(recipe.class_weights, want);
            assert_eq!(Recipe::from_toml(&recipe.to_toml()).unwrap(), recipe);
            let json = serde_json::to_string(&recipe).unwrap();
            assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe);
        }
        for text in ["", "[]", "0", "1, -2", "nan", "1, inf", "balance", "1; 2"] {
            let error = recipe.set_text(&format!("class_weights={text}")).unwrap_err().to_string();
            assert!(error.starts_with("class_weights can't be") && error.contains("balanced"), "{error}");
        }
    }

    #[test]
    fn a_number_is_wanted_for_each_class() {
        let recipe = Recipe { class_weights: ClassWeights::ByHand(vec![1.0, 2.0]), ..Recipe::default() };
        recipe.validate().unwrap();
        recipe.spec(3, 2).unwrap();
        let error = recipe.spec(3, 10).unwrap_err().to_string();
        assert_eq!(
            error,
            "class_weights has 2 numbers for 10 classes: give one a class, in their order, or “balanced”"
        );
        assert_eq!(recipe.class_weights.of(&[1; 10]), None);
    }

    #[test]
    fn three_times_the_images_are_lopsided() {
        let mut data = dataset(8, 2, 4, 4, 1, 1);
        data.train.labels = vec![0, 0, 0, 0, 0, 0, 1, 1];
        let found = lopsided(&data).unwrap();
        assert_eq!((found.largest.1, found.smallest.1), (6, 2));
        data.train.labels = vec![0, 0, 0, 0, 0, 1, 1, 1];
        assert_eq!(lopsided(&data), None);
    }
}
