//! The field's words for choices that are written shortly in recipes, and a sentence about each.

/// How a choice of a field is shown, and what it means; `None` where its name says it.
pub(crate) fn of_choice(key: &str, name: &str) -> Option<(&'static str, &'static str)> {
    Some(match (key, name) {
        ("stem", "own") => ("the model's own", "The first layers that the network was published with."),
        ("stem", "imagenet") => {
            ("7×7, stride 2", "A 7×7 convolution and a max-pool: for photographs of about 224 pixels.")
        }
        ("stem", "cifar") => ("3×3, stride 1", "A 3×3 convolution without a pool: for images of about 32 pixels."),
        ("padding", "torch") => ("symmetric", "Zeros on all sides alike, as PyTorch pads."),
        ("padding", "same") => (
            "same",
            "As many outputs as inputs by the stride; an odd zero goes to the end, as MindSpore and TensorFlow pad.",
        ),
        ("padding", "same-pool") => (
            "same, pool only",
            "Convolutions as PyTorch pads, the max-pool as MindSpore does: mindvision's and MindCV's weights.",
        ),
        ("normalisation", "table") => (
            "published statistics",
            "Mean and deviation that were published for the data set; computed where none were.",
        ),
        ("normalisation", "computed") => ("computed", "Mean and deviation of the training images."),
        ("normalisation", "imagenet") => {
            ("ImageNet's", "ImageNet's mean and deviation, which most pretrained weights expect.")
        }
        ("normalisation", "tensorflow") => {
            ("−1 to 1", "Every value to between −1 and 1, as EfficientNets from TensorFlow expect.")
        }
        ("normalisation", "caffe") => {
            ("Caffe's", "Blue, green and red less their means, as networks from Caffe expect, open_nsfw among them.")
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{Kind, fields};

    #[test]
    fn the_words_are_of_choices_that_there_are() {
        for key in ["stem", "padding", "normalisation"] {
            let field = fields().iter().find(|field| field.key == key).unwrap();
            let Kind::Choice(names) = field.kind else { panic!("{key} is no choice") };
            for name in names {
                assert!(of_choice(key, name).is_some(), "{key} {name} has no words");
            }
        }
    }
}
