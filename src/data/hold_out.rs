//! Which images are held out for validation, where a data set has no second split.
//!
//! The side of an image is a function of its content: a hash of the file (of the pixels, where many images share one
//! file) against the share that is wanted. So a file that is added, deleted or renamed moves no other image across the
//! border, copies of an image are on one side, and a run with another seed, or one that starts from this run's weights,
//! is measured on images that neither has learned from. The price is that a small class holds out its share only on
//! average; what it never lacks is one image on each side.

use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

/// What tells the content of an image from others: the first eight bytes of its SHA-256, in network order, which spread
/// evenly over all numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentKey(pub u64);

impl ContentKey {
    pub(crate) fn of(content: &[u8]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(Sha256::digest(content));
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    /// Whether the rule puts it among the `share` that is held out.
    fn is_below(self, share: f64) -> bool {
        (self.0 as f64) < share * 2f64.powi(64)
    }
}

/// The side on which each content was when a run last saw it. A run keeps this, so that an image which has once been
/// learned from never validates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sides {
    pub training: BTreeSet<ContentKey>,
    pub validation: BTreeSet<ContentKey>,
}

impl Sides {
    /// Both together. What either has learned from is for training.
    pub(crate) fn with(mut self, later: Sides) -> Sides {
        self.training.extend(later.training);
        self.validation.extend(later.validation);
        self.validation.retain(|key| !self.training.contains(key));
        self
    }

    /// Whether that content is held out; `None` where it was never seen.
    fn is_held_out(&self, key: ContentKey) -> Option<bool> {
        if self.validation.contains(&key) { Some(true) } else { self.training.contains(&key).then_some(false) }
    }
}

/// How images are held out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum HoldOut {
    /// By content: those of `known` stay where they were, of the others about `share` is held out.
    Content { share: f64, known: Arc<Sides> },
    /// By place in the list of files and a seed, each class by the same share. So runs were divided before contents were;
    /// one of them goes on with the images that it had, as long as no file comes or goes.
    Place { share: f64, seed: u64 },
    /// Not at all: all images are in both splits, for a head that is judged by cross-validation.
    Folds,
}

impl Default for HoldOut {
    fn default() -> Self {
        Self::by_content(0.1)
    }
}

impl HoldOut {
    /// For data that no run has seen.
    pub(crate) fn by_content(share: f64) -> Self {
        HoldOut::Content { share, known: Arc::default() }
    }

    /// Divides the images with these contents and labels (below `classes`): indices of the training and of the held out
    /// ones, both in ascending order.
    pub(super) fn divide(&self, keys: &[ContentKey], labels: &[u32], classes: usize) -> (Vec<usize>, Vec<usize>) {
        match self {
            HoldOut::Content { share, known } => {
                let held = held_out(keys, labels, *share, known);
                (0..keys.len()).partition(|&index| !held.contains(&keys[index]))
            }
            &HoldOut::Place { share, seed } => by_place(labels, classes, share, seed),
            HoldOut::Folds => ((0..keys.len()).collect(), Vec::new()),
        }
    }

    /// The same rule for images that are about to be edited: those of now stay where it puts them, whatever their labels
    /// become and whichever of them go.
    pub(super) fn settled(&self, keys: &[ContentKey], labels: &[u32], classes: usize) -> Self {
        let (training, validation) = self.divide(keys, labels, classes);
        let side = |indices: Vec<usize>| indices.into_iter().map(|index| keys[index]).collect();
        let now = Sides { training: side(training), validation: side(validation) };
        let (share, known) = match self {
            HoldOut::Content { share, known } => (*share, known.as_ref().clone()),
            HoldOut::Place { share, .. } => (*share, Sides::default()),
            HoldOut::Folds => return HoldOut::Folds,
        };
        HoldOut::Content { share, known: Arc::new(known.with(now)) }
    }
}

/// The contents that are held out. A class of two different images or more has one on each side: where the rule gave it
/// none, that of the lowest hash is held out, and where the rule took all, that of the highest is trained on. This is the
/// one case in which an image moves because another came or went; one that a run has seen does not move even then, unless
/// a class would have nothing to learn from. Copies that are filed under several classes move last, because they move in
/// all of them.
fn held_out(keys: &[ContentKey], labels: &[u32], share: f64, known: &Sides) -> HashSet<ContentKey> {
    let mut classes: BTreeMap<u32, BTreeSet<ContentKey>> = BTreeMap::new();
    for (&key, &label) in keys.iter().zip(labels) {
        classes.entry(label).or_default().insert(key);
    }
    let mut filed: HashMap<ContentKey, usize> = HashMap::new();
    classes.values().flatten().for_each(|&key| *filed.entry(key).or_default() += 1);
    let is_held = |key: &ContentKey| known.is_held_out(*key).unwrap_or_else(|| key.is_below(share));
    let mut held: HashSet<ContentKey> = keys.iter().copied().filter(is_held).collect();
    for class in classes.values() {
        let free = || class.iter().filter(|key| known.is_held_out(**key).is_none());
        if class.iter().all(|key| held.contains(key)) {
            free().max_by_key(|key| (filed[key] == 1, **key)).map(|highest| held.remove(highest));
        } else if share > 0.0 && class.len() > 1 && class.iter().all(|key| !held.contains(key)) {
            free().min_by_key(|key| (filed[key] > 1, **key)).map(|lowest| held.insert(*lowest));
        }
    }
    // What one class needed may have been the last of another, which can do without validation and not without training.
    for class in classes.values().filter(|class| class.iter().all(|key| held.contains(key))).collect::<Vec<_>>() {
        let highest = class.iter().rfind(|key| known.is_held_out(**key).is_none()).or(class.last());
        highest.map(|highest| held.remove(highest));
    }
    held
}

fn by_place(labels: &[u32], classes: usize, share: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut members = vec![Vec::new(); classes];
    for (index, &label) in labels.iter().enumerate() {
        members[label as usize].push(index);
    }
    let (mut train, mut validation) = (Vec::new(), Vec::new());
    for (class, mut members) in members.into_iter().enumerate() {
        super::rng::Rng::new(&[seed, class as u64]).shuffle(&mut members);
        let most = members.len().saturating_sub(1);
        let held = ((members.len() as f64 * share.clamp(0.0, 1.0)).round() as usize).clamp(most.min(1), most);
        validation.extend_from_slice(&members[..held]);
        train.extend_from_slice(&members[held..]);
    }
    train.sort_unstable();
    validation.sort_unstable();
    (train, validation)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contents `from..to`.
    fn contents(numbers: std::ops::Range<u32>) -> Vec<ContentKey> {
        numbers.map(|number| ContentKey::of(&number.to_le_bytes())).collect()
    }

    fn validation(keys: &[ContentKey], labels: &[u32], how: &HoldOut) -> HashSet<ContentKey> {
        let (train, held) = how.divide(keys, labels, 2);
        assert_eq!(train.len() + held.len(), keys.len());
        assert!(train.is_sorted() && held.is_sorted());
        held.into_iter().map(|index| keys[index]).collect()
    }

    #[test]
    fn about_a_tenth_is_held_out_whatever_the_order() {
        let keys = contents(0..2000);
        let labels: Vec<u32> = (0..2000).map(|i| i % 2).collect();
        let held = validation(&keys, &labels, &HoldOut::default());
        assert!((150..250).contains(&held.len()), "{}", held.len());
        let reversed: Vec<_> = keys.iter().rev().copied().collect();
        let labels: Vec<u32> = labels.into_iter().rev().collect();
        assert_eq!(validation(&reversed, &labels, &HoldOut::default()), held);
    }

    #[test]
    fn an_image_that_comes_or_goes_moves_no_other() {
        let keys = contents(0..300);
        let labels = vec![0; 300];
        let held = validation(&keys, &labels, &HoldOut::default());
        for gone in 0..300 {
            let (mut fewer, lost) = (keys.clone(), keys[gone]);
            fewer.remove(gone);
            let mut expected = held.clone();
            expected.remove(&lost);
            assert_eq!(validation(&fewer, &labels[1..], &HoldOut::default()), expected);
        }
    }

    #[test]
    fn a_small_class_has_an_image_on_either_side_at_any_share() {
        for start in 0..50 {
            for share in [0.001, 0.1, 0.5, 0.999] {
                let keys = contents(start * 2..start * 2 + 2);
                assert_eq!(validation(&keys, &[0, 0], &HoldOut::by_content(share)).len(), 1);
                assert!(validation(&keys[..1], &[0], &HoldOut::by_content(share)).is_empty(), "one is for training");
            }
        }
        assert!(validation(&contents(0..9), &[0; 9], &HoldOut::by_content(0.0)).is_empty());
    }

    #[test]
    fn copies_of_an_image_are_on_one_side() {
        let keys = [contents(0..20), contents(0..20)].concat();
        let (train, held) = HoldOut::by_content(0.3).divide(&keys, &[0; 40], 1);
        assert!(held.iter().all(|&index| held.contains(&((index + 20) % 40))) && !held.is_empty() && !train.is_empty());
        let twice = [keys[0], keys[0]];
        assert!(validation(&twice, &[0, 0], &HoldOut::default()).is_empty(), "two copies are one image");
    }

    #[test]
    fn copies_in_several_classes_leave_no_class_without_an_image_to_learn_from() {
        for start in 0..200 {
            let keys = contents(start * 5..start * 5 + 5);
            // One picture in both classes beside one or two of their own, and two classes of the same two pictures.
            for (of, labels) in [
                (vec![0, 1, 0, 2], vec![0, 0, 1, 1]),
                (vec![0, 1, 0, 2, 3], vec![0, 0, 1, 1, 1]),
                (vec![0, 1, 0, 1], vec![0, 0, 1, 1]),
            ] {
                let keys: Vec<_> = of.into_iter().map(|i: usize| keys[i]).collect();
                for share in [0.1, 0.5, 0.9] {
                    let (train, _) = HoldOut::by_content(share).divide(&keys, &labels, 2);
                    assert!((0..2).all(|class| train.iter().any(|&i| labels[i] == class)), "{start} {share} {train:?}");
                }
            }
        }
    }

    #[test]
    fn what_a_run_has_seen_stays_where_it_was() {
        let keys = contents(0..40);
        let labels = vec![0; 40];
        let (train, held) = HoldOut::default().divide(&keys[..20], &labels[..20], 1);
        let pick = |indices: Vec<usize>| indices.into_iter().map(|index| keys[index]).collect();
        let known = Arc::new(Sides { training: pick(train), validation: pick(held) });
        // Another share concerns new images only.
        let how = HoldOut::Content { share: 0.9, known: known.clone() };
        let now = validation(&keys, &labels, &how);
        assert!(known.validation.iter().all(|key| now.contains(key)));
        assert!(known.training.iter().all(|key| !now.contains(key)));
        assert!(now.len() > known.validation.len());
        // Those left of a class were all trained on: none of them validates.
        let learned: Vec<_> = known.training.iter().copied().collect();
        assert!(validation(&learned, &labels[..learned.len()], &how).is_empty());
    }

    #[test]
    fn a_class_of_nothing_but_measured_images_learns_from_one_of_them_from_then_on() {
        let keys = contents(0..4);
        let known = Sides { training: [keys[0]].into(), validation: keys[1..].iter().copied().collect() };
        for share in [0.0, 0.1] {
            let how = HoldOut::Content { share, known: Arc::new(known.clone()) };
            let (train, held) = how.divide(&keys, &[0, 1, 1, 1], 2);
            assert_eq!((train.len(), held.len()), (2, 2));
            let now = Sides {
                training: train.iter().map(|&index| keys[index]).collect(),
                validation: held.iter().map(|&index| keys[index]).collect(),
            };
            assert_eq!(known.clone().with(now.clone()), now, "what was learned from never validates again");
        }
    }

    #[test]
    fn images_that_are_filed_anew_stay_on_their_side() {
        let keys = contents(0..60);
        let labels: Vec<u32> = (0..60).map(|i| u32::from(i >= 55)).collect();
        for how in [HoldOut::default(), HoldOut::Place { share: 0.1, seed: 3 }] {
            let before = validation(&keys, &labels, &how);
            let settled = how.settled(&keys, &labels, 2);
            assert_eq!(validation(&keys, &labels, &settled), before);
            let others: Vec<u32> = (0..60).map(|i| u32::from(i % 2 == 0)).collect();
            assert_eq!(validation(&keys, &others, &settled), before);
            assert!(validation(&keys[7..], &labels[7..], &settled).is_subset(&before));
        }
    }

    #[test]
    fn runs_of_old_are_divided_as_they_were() {
        let labels: Vec<u32> = (0..200).map(|i| u32::from(i % 4 == 0)).collect();
        let divide = |seed| HoldOut::Place { share: 0.1, seed }.divide(&contents(0..200), &labels, 2);
        let (train, validation) = divide(5);
        assert_eq!(validation.iter().filter(|&&i| labels[i] == 0).count(), 15);
        assert_eq!(validation.iter().filter(|&&i| labels[i] == 1).count(), 5);
        assert_eq!(divide(5).0, train, "the same seed divides alike");
        assert_ne!(divide(6).0, train, "another seed divides otherwise");
    }
}
