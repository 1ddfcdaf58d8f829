//! How the loss of each image went over the last epochs: which training images are learned late or forgotten again, and
//! which validation images stay wrong. Such images are often mislabelled.
//!
//! Toneva et al., <https://arxiv.org/abs/1812.05159>, count how often an image that was right becomes wrong. A training
//! pass yields losses, not classes, so a training image counts as right where its own class has more than half of the
//! probability, which a loss can tell. For validation images the predicted class itself is kept.
//!
//! An image takes 14 bytes (30 with classes): its losses are kept in 255 steps that are fine near zero.

/// Epochs that are remembered.
pub(crate) const EPOCHS: usize = 8;

/// The largest loss that is told from larger ones.
const MAX_LOSS: f32 = 16.0;
const NO_CLASS: u16 = u16::MAX;

/// What is remembered of a run's images.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    pub training: Tracker,
    pub validation: Tracker,
}

/// One split's images over the epochs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tracker {
    /// `[images, EPOCHS]`, a ring by epoch; 0 is an epoch in which the image was not seen.
    codes: Vec<u8>,
    /// The class that the image was taken for, in the same places.
    classes: Vec<u16>,
    right: Vec<bool>,
    forgotten: Vec<u8>,
    /// The epoch in which an image was first right, counted from 1; 0 is never.
    learned: Vec<u32>,
    first_epoch: u64,
    epoch: u64,
}

/// What is remembered of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Remembered {
    /// Position in the split.
    pub index: u32,
    /// The last epochs in which it was seen, counted from 1, the newest last.
    pub(crate) epochs: Vec<u64>,
    /// Its losses in these epochs.
    pub losses: Vec<f32>,
    /// The classes that it was taken for in these epochs; empty for training images.
    pub classes: Vec<u32>,
    /// The epoch in which it was first right, counted from 1.
    pub(crate) learned: Option<u64>,
    /// How often it was right and then wrong.
    pub(crate) forgotten: u32,
    /// Mean of `losses`.
    pub(crate) mean_loss: f32,
}

impl Tracker {
    /// Opens an epoch, counted from 1, of a split with so many images.
    pub(crate) fn begin(&mut self, epoch: u64, images: usize) {
        if self.right.len() != images {
            *self = Self {
                codes: vec![0; images * EPOCHS],
                right: vec![false; images],
                forgotten: vec![0; images],
                learned: vec![0; images],
                first_epoch: epoch,
                ..Self::default()
            };
        }
        self.epoch = epoch;
        let slot = self.slot();
        self.codes.iter_mut().skip(slot).step_by(EPOCHS).for_each(|code| *code = 0);
    }

    /// Notes an image's loss in the open epoch. One beyond the split is left out.
    pub(crate) fn record(&mut self, index: usize, loss: f32, right: bool) {
        let slot = self.slot();
        let (epoch, Some(before)) = (self.epoch, self.right.get_mut(index)) else { return };
        self.codes[index * EPOCHS + slot] = encode(loss);
        if *before && !right {
            self.forgotten[index] = self.forgotten[index].saturating_add(1);
        }
        *before = right;
        if right && self.learned[index] == 0 {
            self.learned[index] = u32::try_from(epoch).unwrap_or(u32::MAX);
        }
    }

    /// [`Tracker::record`] with the class that the image was taken for.
    pub(crate) fn record_class(&mut self, index: usize, loss: f32, class: usize, right: bool) {
        self.record(index, loss, right);
        self.classes.resize(self.codes.len(), NO_CLASS);
        let slot = self.slot();
        if let Some(place) = self.classes.get_mut(index * EPOCHS + slot) {
            *place = u16::try_from(class).unwrap_or(NO_CLASS);
        }
    }

    /// What is remembered of an image; `None` where it was not seen lately.
    pub fn get(&self, index: usize) -> Option<Remembered> {
        let codes = self.codes.get(index * EPOCHS..(index + 1) * EPOCHS)?;
        let slot = self.slot();
        let order = (1..=EPOCHS).map(|i| (slot + i) % EPOCHS).filter(|&i| codes[i] > 0);
        let losses: Vec<f32> = order.clone().map(|i| decode(codes[i])).collect();
        let ago = |i: usize| ((slot + EPOCHS - i) % EPOCHS) as u64;
        let class = |i| self.classes.get(index * EPOCHS + i).filter(|&&class| class != NO_CLASS);
        (!losses.is_empty()).then(|| Remembered {
            index: index as u32,
            mean_loss: losses.iter().sum::<f32>() / losses.len() as f32,
            losses,
            epochs: order.clone().map(|i| self.epoch.saturating_sub(ago(i))).collect(),
            classes: order.filter_map(class).map(|&class| u32::from(class)).collect(),
            learned: (self.learned[index] > 0).then(|| u64::from(self.learned[index])),
            forgotten: u32::from(self.forgotten[index]),
        })
    }

    /// How often an image was right and then wrong.
    pub(crate) fn forgotten(&self, index: usize) -> u32 {
        self.forgotten.get(index).copied().unwrap_or(0).into()
    }

    /// Images that were never right, were learned in the later half of the epochs, or were forgotten: the highest mean
    /// loss first, at most `limit`. Empty before the second epoch.
    pub fn candidates(&self, limit: usize) -> Vec<Remembered> {
        if self.epoch <= self.first_epoch {
            return Vec::new();
        }
        let half = self.first_epoch + (self.epoch - self.first_epoch).div_ceil(2);
        self.worst(limit, |image| image.forgotten > 0 || image.learned.is_none_or(|epoch| epoch > half))
    }

    /// Images that were wrong when last seen: the highest mean loss first, at most `limit`.
    pub fn mistakes(&self, limit: usize) -> Vec<Remembered> {
        self.worst(limit, |image| !self.right[image.index as usize])
    }

    fn worst(&self, limit: usize, wanted: impl Fn(&Remembered) -> bool) -> Vec<Remembered> {
        let mut images: Vec<_> = (0..self.right.len()).filter_map(|index| self.get(index)).filter(wanted).collect();
        images.sort_by(|a, b| {
            b.mean_loss.total_cmp(&a.mean_loss).then(b.forgotten.cmp(&a.forgotten)).then(a.index.cmp(&b.index))
        });
        images.truncate(limit);
        images
    }

    /// Images that it keeps track of.
    pub(crate) fn images(&self) -> usize {
        self.right.len()
    }

    /// Appends itself: the numbers first, then each column, little-endian.
    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        for number in [self.right.len() as u64, self.first_epoch, self.epoch, self.classes.len() as u64] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(&self.codes);
        bytes.extend(self.classes.iter().flat_map(|class| class.to_le_bytes()));
        bytes.extend(self.right.iter().map(|&right| u8::from(right)));
        bytes.extend(&self.forgotten);
        bytes.extend(self.learned.iter().flat_map(|epoch| epoch.to_le_bytes()));
    }

    /// Takes one off the front of `bytes`; `None` where they do not hold one.
    pub(super) fn take(bytes: &mut &[u8]) -> Option<Self> {
        let mut number = || take::<8>(bytes).map(u64::from_le_bytes);
        let (images, first_epoch, epoch, classes) = (number()?, number()?, number()?, number()?);
        // No more is asked for than there is.
        let images = usize::try_from(images).ok().filter(|&images| images <= bytes.len())?;
        let codes = images.checked_mul(EPOCHS)?;
        let classes = usize::try_from(classes).ok().filter(|&classes| classes == 0 || classes == codes)?;
        let mut column = |size: usize| {
            let (column, rest) = bytes.split_at_checked(size)?;
            *bytes = rest;
            Some(column)
        };
        let codes = column(codes)?.to_vec();
        let classes = column(classes * 2)?.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        let right = column(images)?.iter().map(|&right| right != 0).collect();
        let forgotten = column(images)?.to_vec();
        let learned = column(images * 4)?.chunks_exact(4);
        let learned = learned.map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect();
        Some(Self { codes, classes, right, forgotten, learned, first_epoch, epoch })
    }

    fn slot(&self) -> usize {
        (self.epoch % EPOCHS as u64) as usize
    }
}

/// The next `N` bytes, if there are so many.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

/// Whether a loss says that more than half of the probability is on the image's own class, under label smoothing: the
/// loss of exactly half, with the rest spread evenly, is the border.
pub(crate) fn is_learned(loss: f32, smoothing: f64, classes: usize) -> bool {
    let others = classes.saturating_sub(1).max(1) as f64;
    let (own, other) = (2f64.ln(), (2.0 * others).ln());
    let border = (1.0 - smoothing) * own + smoothing / (others + 1.0) * (own + others * other);
    f64::from(loss) < border
}

/// A loss as 1 to 255, by its square root. What is not a number counts as the largest.
fn encode(loss: f32) -> u8 {
    let share = if loss.is_nan() { 1.0 } else { (loss / MAX_LOSS).clamp(0.0, 1.0) };
    1 + (share.sqrt() * 254.0).round() as u8
}

fn decode(code: u8) -> f32 {
    (f32::from(code.saturating_sub(1)) / 254.0).powi(2) * MAX_LOSS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn track(images: &[&[bool]]) -> Tracker {
        let mut tracker = Tracker::default();
        for epoch in 0..images[0].len() {
            tracker.begin(epoch as u64 + 1, images.len());
            for (index, image) in images.iter().enumerate() {
                tracker.record(index, if image[epoch] { 0.1 } else { 2.0 }, image[epoch]);
            }
        }
        tracker
    }

    #[test]
    fn late_and_forgotten_images_are_candidates_and_easy_ones_are_not() {
        let (t, f) = (true, false);
        let tracker = track(&[&[t, t, t, t], &[t, f, t, t], &[f, f, f, t], &[f, f, f, f], &[f, t, t, t]]);
        let found = tracker.candidates(10);
        assert_eq!(found.iter().map(|image| image.index).collect::<Vec<_>>(), [3, 2, 1]);
        assert_eq!((found[2].forgotten, found[2].learned), (1, Some(1)));
        assert_eq!([0, 1, 9].map(|index| tracker.forgotten(index)), [0, 1, 0]);
        assert_eq!((found[0].learned, found[1].learned), (None, Some(4)));
        assert_eq!(tracker.candidates(1).len(), 1);
        assert_eq!(tracker.mistakes(10).iter().map(|image| image.index).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn only_the_last_epochs_are_kept_in_order() {
        let mut tracker = Tracker::default();
        for epoch in 1..=EPOCHS as u64 + 3 {
            tracker.begin(epoch, 2);
            // The second image is missing from the newest epoch.
            for index in 0..if epoch == EPOCHS as u64 + 3 { 1 } else { 2 } {
                tracker.record_class(index, epoch as f32, epoch as usize, false);
            }
        }
        let [first, second] = [0, 1].map(|index| tracker.get(index).unwrap());
        assert_eq!((&first.classes, &first.epochs), (&(4..=11).collect(), &(4..=11).collect()));
        assert_eq!((&second.classes, &second.epochs), (&(4..=10).collect(), &(4..=10).collect()));
        assert!(first.losses.windows(2).all(|pair| pair[0] < pair[1]), "{first:?}");
        assert_eq!(tracker.get(2), None);
    }

    #[test]
    fn a_loss_tells_whether_half_of_the_probability_is_right() {
        assert!(is_learned(0.69, 0.0, 10) && !is_learned(0.70, 0.0, 10));
        // With smoothing 0.1 over ten classes: 0.91 ln 2 + 0.09 ln 18.
        let border = 0.91 * 2f32.ln() + 0.09 * 18f32.ln();
        assert!(is_learned(border - 0.01, 0.1, 10) && !is_learned(border + 0.01, 0.1, 10));
    }

    proptest! {
        #[test]
        fn a_loss_is_kept_closely(loss in 0f32..16.0) {
            let kept = decode(encode(loss));
            prop_assert!((kept - loss).abs() <= 0.001 + 0.02 * loss.sqrt(), "{kept} for {loss}");
            prop_assert!(encode(loss) > 0);
        }

        #[test]
        fn any_loss_has_a_place(bits in any::<u32>()) {
            prop_assert!(encode(f32::from_bits(bits)) > 0);
        }
    }
}
