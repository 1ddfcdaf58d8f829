//! What is in a data set, as figures: counts, sizes, channel statistics, duplicates, unreadable files.

use super::{Contradictions, Dataset, LeftOut, Rejected, Split, ValidationKind, class_name};
use rayon::prelude::*;
use serde::Serialize;
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hasher},
};

/// The figures of a data set. Serialised, it is what `kindling data inspect --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Inspection {
    pub name: String,
    pub spec: String,
    /// Number of classes.
    pub classes: usize,
    pub class_names: Vec<String>,
    /// Number of training images.
    pub train: usize,
    /// Number of images of the second split, whatever it is: see `validation`.
    pub test: usize,
    /// What the second split is.
    pub validation: ValidationKind,
    /// Images of each class in either split.
    pub train_per_class: Vec<usize>,
    pub test_per_class: Vec<usize>,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    /// The sizes that the files had, most frequent first; at most twenty.
    pub original_sizes: Vec<OriginalSize>,
    /// How many different sizes the files had.
    pub distinct_sizes: usize,
    /// Of each channel over the training images, as parts of 1.
    pub mean: Vec<f32>,
    pub std: Vec<f32>,
    /// Images of the second split whose pixels are those of a training image: they make its accuracy flattering.
    pub duplicates_across_splits: usize,
    /// The first of them, at most a hundred.
    pub duplicates: Vec<Duplicate>,
    /// Training images whose pixels are those of an earlier one.
    pub duplicates_within_train: usize,
    /// Equal images that are filed under different classes.
    pub contradictions: Contradictions,
    pub unreadable: Vec<Rejected>,
    /// What lies in an image folder and was not looked at, by class and kind.
    pub left_out: LeftOut,
}

/// How many images had a size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct OriginalSize {
    pub height: usize,
    pub width: usize,
    pub images: usize,
}

/// Two images with the same pixels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Duplicate {
    /// Indices into the splits.
    pub train: usize,
    pub test: usize,
    /// The class under which each is filed.
    pub train_class: String,
    pub test_class: String,
    pub train_file: Option<String>,
    pub test_file: Option<String>,
}

/// Looks through a whole data set; for a full CIFAR-10 this takes a fraction of a second.
pub(crate) fn inspect(dataset: &Dataset) -> Inspection {
    let Dataset { train, validation, classes, .. } = dataset;
    let measured = train.measure();
    let (train_hashes, test_hashes) = (hashes(train), hashes(validation));
    let mut first: HashMap<u64, Vec<usize>> = HashMap::with_capacity(train.len());
    let mut within = 0;
    for (i, hash) in train_hashes.into_iter().enumerate() {
        let same = first.entry(hash).or_default();
        match same.iter().any(|&j| train.image(j) == train.image(i)) {
            true => within += 1,
            false => same.push(i),
        }
    }
    let twin = |(test, hash): (usize, u64)| {
        let same = first.get(&hash)?.iter().find(|&&j| train.image(j) == validation.image(test))?;
        Some((*same, test))
    };
    let pairs: Vec<_> = test_hashes.into_iter().enumerate().filter_map(twin).collect();
    let class = |split: &Split, i: usize| class_name(classes, split.labels[i]).to_owned();
    let file = |split: &Split, i: usize| split.sources.as_ref().and_then(|sources| sources.get(i).cloned());
    let duplicate = |&(i, j): &(usize, usize)| Duplicate {
        train: i,
        test: j,
        train_class: class(train, i),
        test_class: class(validation, j),
        train_file: file(train, i),
        test_file: file(validation, j),
    };
    let size = |&([height, width], images): &([usize; 2], usize)| OriginalSize { height, width, images };
    Inspection {
        name: dataset.name.clone(),
        spec: dataset.spec.clone(),
        classes: classes.len(),
        class_names: classes.clone(),
        train: train.len(),
        test: validation.len(),
        validation: dataset.validation_kind,
        train_per_class: train.class_counts(classes.len()),
        test_per_class: validation.class_counts(classes.len()),
        height: train.height,
        width: train.width,
        channels: train.channels,
        original_sizes: dataset.original_sizes.iter().take(20).map(size).collect(),
        distinct_sizes: dataset.original_sizes.len(),
        mean: measured.mean,
        std: measured.std,
        duplicates_across_splits: pairs.len(),
        duplicates: pairs.iter().take(100).map(duplicate).collect(),
        duplicates_within_train: within,
        contradictions: dataset.contradictions.clone(),
        unreadable: dataset.rejected.clone(),
        left_out: dataset.left_out.clone(),
    }
}

/// A hash of each image's pixels; equal hashes are compared byte by byte before they count.
fn hashes(split: &Split) -> Vec<u64> {
    let hash = |i: usize| {
        let mut hasher = DefaultHasher::new();
        hasher.write(&split.image(i));
        hasher.finish()
    };
    (0..split.len()).into_par_iter().map(hash).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(images: &[[u8; 4]]) -> Split {
        let labels = (0..images.len() as u32).map(|i| i % 2).collect();
        Split {
            height: 2,
            width: 2,
            channels: 1,
            pixels: images.concat().into(),
            labels,
            sources: None,
            contents: None,
        }
    }

    #[test]
    fn duplicates_are_found_across_and_within_splits() {
        let train = split(&[[1; 4], [2; 4], [1; 4], [3; 4]]);
        let validation = split(&[[9; 4], [3; 4], [2; 4]]);
        let report = inspect(&Dataset::new("x", vec!["a".into(), "b".into()], train, validation));
        assert_eq!(report.duplicates_within_train, 1);
        assert_eq!(report.duplicates_across_splits, 2);
        let pairs: Vec<_> = report.duplicates.iter().map(|d| (d.train, d.test)).collect();
        assert_eq!(pairs, [(3, 1), (1, 2)]);
        assert_eq!(report.duplicates[1].train_class, "b");
        assert_eq!(report.duplicates[1].test_class, "a");
    }

    #[test]
    fn the_report_has_the_keys_that_scripts_read() {
        let report = inspect(&super::super::sample::load().unwrap());
        let json = serde_json::to_value(report).unwrap();
        assert_eq!(json["classes"], 10);
        assert_eq!(json["train"], 6000);
        assert_eq!(json["test"], 1000);
        assert_eq!(json["validation"], "test");
        assert_eq!(json["original_sizes"][0]["height"], 28);
        assert_eq!(json["original_sizes"][0]["images"], 7000);
        assert!(json["mean"].is_array() && json["unreadable"].is_array());
    }
}
