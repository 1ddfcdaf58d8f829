//! The images of a data set as a head learns from them: features, labels, and which are nearly the same.

use super::sight::Glance;
use crate::{
    data::{
        Dataset, Split,
        alike::{self, Fingerprint},
    },
    train::head::{fit::Known, folds, matrix::Matrix},
};
use std::{collections::HashMap, ops::Range, sync::Arc};

/// All images, those of a validation split of the data's own behind those to learn from; without broken ones.
pub(crate) struct SeenImages {
    features: Matrix,
    pub labels: Vec<u32>,
    groups: Vec<u32>,
    /// Of each image, the lowest content key of its group.
    keys: Vec<u64>,
    held_out: Range<usize>,
    /// The place of each judged image in the validation split.
    judged: Vec<u32>,
}

impl SeenImages {
    /// Has `look` look at a split of the data set, or at two: at what is the validation split of what it is given. `None`
    /// where it was interrupted.
    pub(crate) fn look(
        dataset: &Arc<Dataset>,
        mut look: impl FnMut(&Arc<Dataset>) -> Option<Vec<Option<Glance>>>,
    ) -> Option<Self> {
        let mut all = Vec::new();
        let own_split = !dataset.has_folds() && !dataset.validation.is_empty();
        if !dataset.has_folds() {
            // The network looks at all images as at those that validate.
            let training = Dataset { validation: dataset.train.clone(), ..Dataset::clone(dataset) };
            let seen = look(&Arc::new(training))?;
            take(&mut all, &dataset.train, seen);
        }
        let learned = all.len();
        if dataset.has_folds() || own_split {
            let seen = look(dataset)?;
            take(&mut all, &dataset.validation, seen);
        }
        let held_out = if own_split { learned..all.len() } else { 0..0 };
        let judged = if dataset.validation.is_empty() { &[] } else { &all[held_out.start..] };
        let judged = judged.iter().map(|image| image.place).collect();
        let prints: Vec<Fingerprint> = all.iter().map(|image| (*image.glance.print).clone()).collect();
        let groups = alike::groups(&prints);
        let mut lowest: HashMap<u32, u64> = HashMap::new();
        for (image, group) in all.iter().zip(&groups) {
            let key = lowest.entry(*group).or_insert(image.key);
            *key = image.key.min(*key);
        }
        let width = all.first().map_or(0, |image| image.glance.features.len());
        Some(Self {
            features: Matrix::from_rows(width, all.iter().map(|image| &*image.glance.features)),
            labels: all.iter().map(|image| image.label).collect(),
            keys: groups.iter().map(|group| lowest[group]).collect(),
            groups,
            held_out,
            judged,
        })
    }

    pub(crate) fn known(&self, classes: usize) -> Known<'_> {
        let Self { features, held_out, .. } = self;
        Known { features, images: self.divisible(), classes, held_out: held_out.clone() }
    }

    fn divisible(&self) -> folds::Images<'_> {
        folds::Images { labels: &self.labels, groups: &self.groups, keys: &self.keys }
    }

    /// Those that are judged: row, place in the validation split, label.
    pub(crate) fn judged(&self) -> impl Iterator<Item = (usize, u32, u32)> {
        let rows = self.held_out.start..self.labels.len();
        rows.zip(&self.judged).map(|(row, &place)| (row, place, self.labels[row]))
    }

    /// How many photographs there are among those that are judged, copies and bursts counted once.
    pub(crate) fn different(&self) -> usize {
        let groups = self.judged().map(|(row, ..)| self.groups[row]);
        groups.collect::<std::collections::HashSet<_>>().len()
    }

    /// Images that are nearly the same as an earlier one.
    pub(crate) fn copies(&self) -> usize {
        self.labels.len() - self.groups.iter().max().map_or(0, |&last| last as usize + 1)
    }

    /// Folds that there will be, and the class that allows no more.
    pub(crate) fn folds(&self) -> Option<(usize, Option<u32>)> {
        self.held_out.is_empty().then(|| self.divisible().folds())
    }

    /// Different photographs of a class.
    pub(crate) fn different_of(&self, class: u32) -> usize {
        let of = self.labels.iter().zip(&self.groups).filter(|&(&label, _)| label == class).map(|(_, group)| group);
        of.collect::<std::collections::HashSet<_>>().len()
    }
}

/// An image that was looked at.
struct Image {
    glance: Glance,
    label: u32,
    key: u64,
    /// In its split.
    place: u32,
}

fn take(all: &mut Vec<Image>, split: &Split, seen: Vec<Option<Glance>>) {
    for (place, glance) in seen.into_iter().enumerate() {
        let key = split.contents.as_ref().map_or(place as u64, |keys| keys[place].0);
        if let Some(glance) = glance {
            all.push(Image { glance, label: split.labels[place], key, place: place as u32 });
        }
    }
}
