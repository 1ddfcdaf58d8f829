//! Folds for cross-validation: every class spread evenly over them, and photographs that are nearly the same in one.
//!
//! A burst of one bird would otherwise be half in the training part and half in what it is judged by, and the figure
//! would say how well the head knows that bird. What decides is the content of the photographs and a number, so the same
//! photographs are divided alike wherever their files lie.

use crate::data::rng::Rng;
use std::collections::BTreeMap;

/// Folds that are made where every class has enough photographs.
pub(crate) const FOLDS: usize = 5;

/// What is divided: parallel lists, an entry for each image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Images<'a> {
    pub labels: &'a [u32],
    /// Which images are nearly the same: those of one number.
    pub groups: &'a [u32],
    /// What tells each group from others, whatever the order: the lowest content key in it.
    pub keys: &'a [u64],
}

impl Images<'_> {
    /// Groups of each class, by the class of their first image.
    fn by_class(&self) -> BTreeMap<u32, Vec<(u64, u32)>> {
        let mut first: BTreeMap<u32, (u32, u64)> = BTreeMap::new();
        for ((&group, &label), &key) in self.groups.iter().zip(self.labels).zip(self.keys) {
            let found = first.entry(group).or_insert((label, key));
            if key < found.1 {
                *found = (label, key);
            }
        }
        let mut classes: BTreeMap<u32, Vec<(u64, u32)>> = BTreeMap::new();
        first.into_iter().for_each(|(group, (label, key))| classes.entry(label).or_default().push((key, group)));
        classes
    }

    /// As many folds as the smallest class allows, from 2 to [`FOLDS`]; that class, where it allows fewer.
    pub(crate) fn folds(&self) -> (usize, Option<u32>) {
        let smallest = self.by_class().into_iter().map(|(label, groups)| (groups.len(), label)).min();
        match smallest {
            Some((groups, label)) if groups < FOLDS => (groups.max(2), Some(label)),
            _ => (FOLDS, None),
        }
    }

    /// The fold of each image, below `folds`. Another `round` divides anew.
    pub(crate) fn divide(&self, folds: usize, round: u64) -> Vec<usize> {
        let mut images_in: BTreeMap<(u32, u32), usize> = BTreeMap::new();
        for (&group, &label) in self.groups.iter().zip(self.labels) {
            *images_in.entry((group, label)).or_default() += 1;
        }
        let size = |group: u32| -> usize { images_in.range((group, 0)..=(group, u32::MAX)).map(|(_, n)| n).sum() };
        let mut fold_of = BTreeMap::new();
        let mut filled = vec![0; folds];
        for (label, mut groups) in self.by_class() {
            groups.sort_by_key(|&(key, _)| Rng::new(&[round, key]).next_u64());
            // Large groups first, so that small ones even out what they leave uneven.
            groups.sort_by_key(|&(_, group)| std::cmp::Reverse(size(group)));
            let mut of_class = vec![0; folds];
            for (_, group) in groups {
                let emptiest = (0..folds).min_by_key(|&fold| (of_class[fold], filled[fold], fold)).unwrap_or(0);
                of_class[emptiest] += images_in.get(&(group, label)).copied().unwrap_or(1);
                filled[emptiest] += size(group);
                fold_of.insert(group, emptiest);
            }
        }
        self.groups.iter().map(|group| fold_of[group]).collect()
    }
}

/// The images inside and outside of a fold, by their places.
pub(crate) fn parts(folds: &[usize], fold: usize) -> (Vec<usize>, Vec<usize>) {
    (0..folds.len()).partition(|&image| folds[image] != fold)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(groups: &[u32]) -> Vec<u64> {
        groups.iter().map(|&group| u64::from(group).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect()
    }

    proptest! {
        #[test]
        fn classes_are_spread_evenly_and_groups_stay_together(
            images in proptest::collection::vec((0u32..4, 0u32..60), 20..200),
            round in 0u64..5,
        ) {
            let (labels, groups): (Vec<u32>, Vec<u32>) = images.into_iter().unzip();
            let images = Images { labels: &labels, groups: &groups, keys: &keys(&groups) };
            let folds = images.divide(5, round);
            for (a, b) in (0..groups.len()).flat_map(|a| (0..a).map(move |b| (a, b))) {
                prop_assert!(groups[a] != groups[b] || folds[a] == folds[b]);
            }
        }

        #[test]
        fn single_photographs_differ_by_one_at_most(labels in proptest::collection::vec(0u32..3, 30..90), round in 0u64..5) {
            let groups: Vec<u32> = (0..labels.len() as u32).collect();
            let images = Images { labels: &labels, groups: &groups, keys: &keys(&groups) };
            let folds = images.divide(5, round);
            for class in 0..3 {
                let count = |fold| (0..labels.len()).filter(|&i| labels[i] == class && folds[i] == fold).count();
                let counts: Vec<usize> = (0..5).map(count).collect();
                prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
            }
        }
    }

    #[test]
    fn the_order_of_files_does_not_matter_and_the_round_does() {
        let labels = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1];
        let groups: Vec<u32> = (0..12).collect();
        let images = Images { labels: &labels, groups: &groups, keys: &keys(&groups) };
        let folds = images.divide(3, 0);
        let turned: Vec<u32> = labels.iter().rev().copied().collect();
        let names: Vec<u32> = groups.iter().rev().copied().collect();
        let other = Images { labels: &turned, groups: &names, keys: &keys(&names) };
        assert_eq!(other.divide(3, 0).into_iter().rev().collect::<Vec<_>>(), folds);
        assert_ne!(images.divide(3, 1), folds);
    }

    #[test]
    fn a_small_class_allows_fewer_folds_and_one_photograph_is_never_enough() {
        let of = |labels: &[u32], groups: &[u32]| Images { labels, groups, keys: &keys(groups) }.folds();
        assert_eq!(of(&[0; 6], &[0, 1, 2, 3, 4, 5]), (5, None));
        assert_eq!(of(&[0, 0, 0, 0, 0, 1, 1, 1], &[0, 1, 2, 3, 4, 5, 6, 7]), (3, Some(1)));
        assert_eq!(of(&[0, 0, 0, 0, 0, 1, 1, 1], &[0, 1, 2, 3, 4, 5, 5, 5]), (2, Some(1)), "a burst is one photograph");
    }
}
