//! In which order an epoch shows its images: a pure function of the seed, the epoch and the labels.

use super::augment::{Stream, epoch_order};
use crate::data::rng::Rng;

/// One image's turn in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Position in the split.
    pub image: u32,
    /// How often the image was shown before. Where every image is shown once an epoch, that is the epoch; it is what
    /// random decisions about the image are drawn by, so that an image that comes twice in an epoch looks different.
    pub pass: u32,
}

/// Every image once.
pub(crate) fn plain(seed: u64, epoch: u64, images: usize) -> Vec<Turn> {
    let pass = u32::try_from(epoch).unwrap_or(u32::MAX);
    epoch_order(seed, epoch, images).into_iter().map(|image| Turn { image, pass }).collect()
}

/// As many turns as there are images, and each class that has any equally often: up to one turn more where the number
/// does not divide, which goes around the classes from epoch to epoch.
///
/// A class goes through its images in permutations, from epoch to epoch without a gap, so that none comes again before
/// all others of its class were there.
pub(crate) fn balanced(seed: u64, epoch: u64, labels: &[u32]) -> Vec<Turn> {
    let classes = labels.iter().max().map_or(0, |&most| most as usize + 1);
    let mut members = vec![Vec::new(); classes];
    for (image, &label) in (0..).zip(labels) {
        members[label as usize].push(image);
    }
    members.retain(|images: &Vec<u32>| !images.is_empty());
    let (n, classes) = (labels.len() as u64, members.len() as u64);
    let mut order = Vec::with_capacity(labels.len());
    for (class, images) in (0..).zip(&members) {
        // Turns of the class before an epoch. Those that are left over from whole rounds are dealt out one by one.
        let before = |epoch: u64| epoch * (n / classes) + (epoch * (n % classes) + classes - 1 - class) / classes;
        let count = images.len() as u64;
        let (mut turn, end) = (before(epoch), before(epoch + 1));
        while turn < end {
            let (pass, start) = (turn / count, turn % count);
            let stop = count.min(start + end - turn);
            let mut shuffled = images.clone();
            Rng::new(&[seed, Stream::Class as u64, class, pass]).shuffle(&mut shuffled);
            let pass = u32::try_from(pass).unwrap_or(u32::MAX);
            order.extend(shuffled[start as usize..stop as usize].iter().map(|&image| Turn { image, pass }));
            turn += stop - start;
        }
    }
    Rng::new(&[seed, Stream::Order as u64, epoch]).shuffle(&mut order);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Classes of 60, 9, 1 and no images, and one of 5.
    fn labels() -> Vec<u32> {
        [(0, 60), (1, 9), (2, 1), (4, 5)].into_iter().flat_map(|(class, count)| vec![class; count]).collect()
    }

    fn shown(epochs: std::ops::Range<u64>) -> Vec<u32> {
        let labels = labels();
        let mut times = vec![0; labels.len()];
        epochs.flat_map(|epoch| balanced(7, epoch, &labels)).for_each(|turn| times[turn.image as usize] += 1);
        times
    }

    #[test]
    fn every_class_comes_equally_often_in_an_epoch_of_the_same_length() {
        let labels = labels();
        let mut sums = [0; 5];
        for epoch in 0..40 {
            let mut counts = [0; 5];
            let order = balanced(7, epoch, &labels);
            assert_eq!(order.len(), labels.len());
            order.iter().for_each(|turn| counts[labels[turn.image as usize] as usize] += 1);
            for class in [0, 1, 2, 4] {
                assert!((18..=19).contains(&counts[class]), "epoch {epoch}: {counts:?}");
                sums[class] += counts[class];
            }
        }
        // 75 turns among 4 classes: the odd ones go around.
        assert_eq!(sums, [750, 750, 750, 0, 750]);
    }

    #[test]
    fn no_image_comes_again_before_all_others_of_its_class_were_there() {
        let labels = labels();
        for epochs in 1..30 {
            let times = shown(0..epochs);
            for class in [0, 1, 2, 4] {
                let own = || times.iter().zip(&labels).filter(|(_, label)| **label == class).map(|(times, _)| *times);
                let (least, most) = (own().min().unwrap(), own().max().unwrap());
                assert!(most - least <= 1, "class {class} after {epochs} epochs: {least} to {most}");
            }
        }
    }

    #[test]
    fn no_two_turns_are_drawn_alike() {
        let turns: Vec<Turn> = (0..20).flat_map(|epoch| balanced(7, epoch, &labels())).collect();
        let all: std::collections::HashSet<(u32, u32)> = turns.iter().map(|turn| (turn.image, turn.pass)).collect();
        assert_eq!(all.len(), turns.len());
    }

    #[test]
    fn an_order_is_a_function_of_seed_and_epoch_and_mixes_the_classes() {
        let labels = labels();
        let order = balanced(7, 3, &labels);
        assert_eq!(order, balanced(7, 3, &labels));
        assert_ne!(order, balanced(7, 4, &labels));
        assert_ne!(order, balanced(8, 3, &labels));
        let changes = order.windows(2).filter(|w| labels[w[0].image as usize] != labels[w[1].image as usize]).count();
        assert!(changes > 40, "{changes}");
        assert_eq!(balanced(7, 3, &[]), []);
    }

    #[test]
    fn the_plain_order_is_every_image_once() {
        let order = plain(1, 5, 100);
        assert!(order.iter().map(|turn| turn.image).eq(epoch_order(1, 5, 100)));
        assert!(order.iter().all(|turn| turn.pass == 5));
    }
}
