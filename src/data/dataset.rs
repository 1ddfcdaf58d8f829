//! What a data set is once it is in memory: labelled 8-bit images of one size, in two splits.

use super::{
    ContentKey, Filter, HoldOut, Identity, KeptSizes, LeftOut, LoadOptions, Normalisation, Pixels, Sides,
    photographs::Photographs,
    resample::{Part, resample},
};
use crate::text;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fmt,
    path::PathBuf,
};

/// A data set that is ready to train on.
///
/// Both splits have the same channels, every label is below `classes.len()`, and `train` is not empty. Images are of one
/// size, but for photographs, of which those to train on may be kept larger for random crops.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// What people call it: `sample`, `cifar10`, or the folder's name.
    pub name: String,
    /// What it was loaded from, to load it again.
    pub(crate) spec: String,
    /// Their names; a label is a position here.
    pub classes: Vec<String>,
    /// Classes that somebody has made and that have no image yet.
    pub(crate) waiting: Vec<String>,
    /// What the network learns from.
    pub train: Split,
    /// What it is judged by; may be empty.
    pub validation: Split,
    pub(crate) validation_kind: ValidationKind,
    /// Files that looked like images and could not be read, and folders that could not.
    pub(crate) rejected: Vec<Rejected>,
    /// What lies in an image folder and was not looked at.
    pub(crate) left_out: LeftOut,
    /// The published table of a known data set; without one, [`Split::measure`] computes it.
    pub(crate) normalisation: Option<Normalisation>,
    /// `([height, width], images)` as the files had them before any resizing, most frequent first.
    pub(crate) original_sizes: Vec<([usize; 2], usize)>,
    /// Whether images were brought to the wanted size as they were read. Otherwise that is still to be done.
    pub(crate) fitted: bool,
    /// Equal images that are filed under different classes.
    pub(crate) contradictions: Contradictions,
    /// What it was loaded with.
    pub(crate) options: LoadOptions,
    pub(crate) identity: Identity,
}

/// Equal images under different classes: whatever the network says of one of them, it will be wrong once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Contradictions {
    /// How many different images are in more than one class.
    pub images: usize,
    /// Two files of one of them.
    pub example: Option<[String; 2]>,
}

impl Contradictions {
    /// Finds them among images with these contents, labels and names.
    pub(super) fn find<'a>(images: impl Iterator<Item = (ContentKey, u32, &'a str)>) -> Self {
        let (mut first, mut twice) = (HashMap::new(), BTreeMap::new());
        for (key, label, name) in images {
            let (known, earlier) = *first.entry(key).or_insert((label, name));
            if known != label {
                twice.entry(key).or_insert([earlier, name]);
            }
        }
        let example = twice.values().min().map(|pair| pair.map(str::to_owned));
        Self { images: twice.len(), example }
    }
}

impl fmt::Display for Contradictions {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Some([one, other]) = &self.example else { return f.write_str("no image is in more than one class") };
        let (one, other) = (crate::text::foreign(one), crate::text::foreign(other));
        match self.images {
            1 => write!(f, "one image is in more than one class: {one} and {other} are equal"),
            n => write!(f, "{n} images are in more than one class, such as {one} and {other}, which are equal"),
        }
    }
}

/// Where the validation images come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ValidationKind {
    /// A validation split of the data set's own.
    #[strum(serialize = "validation split")]
    Own,
    /// The test split serves as one: the best checkpoint is chosen on it, so its accuracy is a little flattering.
    #[strum(serialize = "the test split serves as validation")]
    Test,
    /// A part of the training images was set aside: see [`HoldOut`].
    #[strum(serialize = "held out from the training images")]
    HeldOut,
    /// All images are in both splits: each is judged by a head that has not seen it.
    #[strum(serialize = "cross-validation over all images")]
    Folds,
}

/// A file that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rejected {
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    pub reason: String,
}

/// A path that is no UTF-8 would otherwise spoil the whole report.
fn lossy<S: serde::Serializer>(path: &std::path::Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&crate::text::utf8(path.as_os_str()))
}

/// Labelled images of one size.
#[derive(Clone, Debug)]
pub struct Split {
    /// In pixels.
    pub height: usize,
    /// In pixels.
    pub width: usize,
    /// 1 (gray) or 3 (red, green, blue).
    pub channels: usize,
    /// `[len, height, width, channels]`; may be longer.
    pub pixels: Pixels,
    /// The class of each image.
    pub labels: Vec<u32>,
    /// The file that each image came from, where each had one.
    pub sources: Option<Vec<String>>,
    /// What tells each image's content from others, where somebody needed to know.
    pub contents: Option<Vec<ContentKey>>,
}

impl Split {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Bytes of one image.
    pub(crate) fn image_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Image `index` as `[height, width, channels]`.
    ///
    /// # Panics
    /// If `index` is not below [`Split::len`], as a slice would.
    pub fn image(&self, index: usize) -> Cow<'_, [u8]> {
        self.pixels.image(index, self.image_len())
    }

    /// A part of image `index`, where that is quicker than to take it out of the whole; else `None`.
    pub(crate) fn part(&self, index: usize, part: &Part) -> Option<Vec<u8>> {
        self.pixels.as_photographs()?.part(index, part)
    }

    /// All images, without what may lie behind them; `None` where they are not in one memory.
    pub fn all_pixels(&self) -> Option<&[u8]> {
        Some(&self.pixels.all()?[..self.len() * self.image_len()])
    }

    /// The height and width in which a part of image `index` is to be chosen: its own, also where it was squeezed.
    pub(crate) fn proportions(&self, index: usize) -> [usize; 2] {
        self.pixels.original_size(index).unwrap_or([self.height, self.width])
    }

    /// Whether images may still have to be decoded when they are asked for.
    pub(crate) fn is_decoded_as_needed(&self) -> bool {
        self.pixels.as_photographs().is_some()
    }

    /// Whether image `index` was found to be broken when it was asked for, so that another stands in for it.
    pub(crate) fn is_broken(&self, index: usize) -> bool {
        self.pixels.as_photographs().is_some_and(|photographs| photographs.is_broken(index))
    }

    /// A photograph at most `side` pixels high and wide, in its own proportions: its height and width, and its pixels. `None`
    /// where images are small and kept as they are. The same `side` every time: thumbnails stay in memory.
    pub(crate) fn thumbnail(&self, index: usize, side: usize) -> Option<([usize; 2], Vec<u8>)> {
        let (from, photographs) = ([self.height, self.width], self.pixels.as_photographs());
        if !self.is_squeezed() && photographs.is_none() {
            return None;
        }
        let proportions = self.proportions(index);
        let longest = proportions[0].max(proportions[1]).max(1);
        let to = proportions.map(|length| (length * side / longest).max(1));
        let shrink = |image: &[u8]| resample(image, from, to, self.channels, Filter::Bilinear);
        Some((
            to,
            match photographs {
                Some(photographs) => photographs.thumbnail(index, shrink),
                None => shrink(&self.image(index)),
            },
        ))
    }

    /// Whether the images are whole pictures that were squeezed into one shape, as random crops want them.
    pub(crate) fn is_squeezed(&self) -> bool {
        self.pixels.are_squeezed()
    }

    /// Images of each class.
    pub(crate) fn class_counts(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        for &label in &self.labels {
            if let Some(count) = counts.get_mut(label as usize) {
                *count += 1;
            }
        }
        counts
    }

    /// A split of the images at `indices`, in that order.
    pub(super) fn pick(&self, indices: &[usize]) -> Split {
        let pixels = indices.iter().map(|&i| self.image(i)).collect::<Vec<_>>().concat();
        Split {
            pixels: pixels.into(),
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
            sources: self.sources.as_ref().map(|all| indices.iter().map(|&i| all[i].clone()).collect()),
            contents: self.contents.as_ref().map(|all| indices.iter().map(|&i| all[i]).collect()),
            ..*self
        }
    }

    /// Mean and deviation of each channel over all pixels, as parts of 1; of photographs that are still to be decoded, over
    /// a thousand evenly picked ones. A channel without any variation gets deviation 1, so that dividing by it is harmless.
    pub fn measure(&self) -> Normalisation {
        use rayon::prelude::*;
        let channels = self.channels.max(1);
        let sums = |chunk: &[u8]| {
            let mut sums = vec![(0u64, 0u64); channels];
            for pixel in chunk.chunks_exact(channels) {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    sum.0 += u64::from(value);
                    sum.1 += u64::from(value) * u64::from(value);
                }
            }
            sums
        };
        let add = |mut a: Vec<(u64, u64)>, b: Vec<(u64, u64)>| {
            for (a, b) in a.iter_mut().zip(b) {
                *a = (a.0 + b.0, a.1 + b.1);
            }
            a
        };
        let step = if self.is_decoded_as_needed() { self.len().div_ceil(MEASURED).max(1) } else { 1 };
        let looked_at = self.len().div_ceil(step);
        let all = (0..looked_at).into_par_iter().map(|index| sums(&self.image(index * step)));
        let sums = all.reduce(|| vec![(0, 0); channels], add);
        let count = (looked_at * self.height * self.width).max(1) as f64;
        let (mean, std) = sums
            .into_iter()
            .map(|(sum, squares)| {
                let mean = sum as f64 / count;
                let deviation = (squares as f64 / count - mean * mean).max(0.0).sqrt() / 255.0;
                ((mean / 255.0) as f32, if deviation > 0.0 { deviation as f32 } else { 1.0 })
            })
            .unzip();
        Normalisation { mean, std }
    }
}

/// Photographs that say enough about all of them.
const MEASURED: usize = 1000;

/// What a class is called; `?` where there is none.
pub(crate) fn class_name(classes: &[String], class: impl TryInto<usize>) -> &str {
    class.try_into().ok().and_then(|class| classes.get(class)).map_or("?", String::as_str)
}

/// The same, made safe to show.
pub(crate) fn shown_class_name(classes: &[String], class: impl TryInto<usize>) -> String {
    text::foreign(class_name(classes, class))
}

impl Dataset {
    /// A data set from its parts, as tests and generated data need it.
    pub fn new(name: &str, classes: Vec<String>, train: Split, validation: Split) -> Self {
        let size = [train.height, train.width];
        let count = train.len() + validation.len();
        Dataset {
            name: name.to_owned(),
            spec: name.to_owned(),
            classes,
            waiting: Vec::new(),
            train,
            validation,
            validation_kind: ValidationKind::Own,
            rejected: Vec::new(),
            left_out: LeftOut::default(),
            normalisation: None,
            original_sizes: vec![(size, count)],
            fitted: false,
            contradictions: Contradictions::default(),
            options: LoadOptions::default(),
            identity: Identity::default(),
        }
    }

    /// What tells it from others. Its files are `(name, bytes, label)`; without files, its pixels stand for it.
    pub(super) fn identify(&self, files: Option<Vec<(&str, u64, u32)>>) -> Identity {
        let mut hash = Sha256::new();
        match files {
            Some(mut files) => {
                files.sort_unstable();
                for (name, size, label) in files {
                    hash.update(format!("{name}\0{size}\0{label}\0"));
                }
            }
            None => {
                for Split { height, width, channels, labels, .. } in [&self.train, &self.validation] {
                    hash.update(format!("{height}x{width}x{channels}\0"));
                    labels.iter().for_each(|label| hash.update(label.to_le_bytes()));
                }
                [&self.train, &self.validation]
                    .into_iter()
                    .filter_map(Split::all_pixels)
                    .for_each(|all| hash.update(all));
            }
        }
        Identity {
            name: self.name.clone(),
            classes: self.classes.len(),
            train: self.train.len(),
            validation: self.validation.len(),
            digest: super::hex(&hash.finalize()[..16]),
        }
    }

    /// Whether loading it with `wanted` would give the same images on the same sides.
    pub(crate) fn suits(&self, wanted: &LoadOptions) -> bool {
        let had = &self.options;
        let [of_had, of_wanted] = [had, wanted].map(|options| KeptSizes::choose(&self.original_sizes, options));
        // Only a folder's images are brought to what is asked for.
        let of_folder = self.train.sources.is_some();
        let same_size = !of_folder || (of_had == of_wanted && (!self.fitted || had.fit == wanted.fit));
        let same_pixels = same_size && had.pixel_rules == wanted.pixel_rules;
        let same_edits = had.edits.active().eq(wanted.edits.active());
        had.coarse == wanted.coarse && same_pixels && same_edits && self.is_divided_by(&wanted.hold_out)
    }

    fn is_divided_by(&self, how: &HoldOut) -> bool {
        match self.validation_kind {
            ValidationKind::Own | ValidationKind::Test => return true,
            ValidationKind::Folds => return *how == HoldOut::Folds,
            ValidationKind::HeldOut if self.options.hold_out == *how => return true,
            ValidationKind::HeldOut => {}
        }
        let (Some(train), Some(held)) = (&self.train.contents, &self.validation.contents) else { return false };
        if !matches!(how, HoldOut::Content { .. }) {
            return false;
        }
        let (keys, labels) = ([&train[..], held].concat(), [&self.train.labels[..], &self.validation.labels].concat());
        let (kept, _) = how.divide(&keys, &labels, self.classes.len());
        kept.into_iter().eq(0..train.len())
    }

    /// Whether a network that has seen photographs has anything to see in them: a folder's images, not all of them tiny.
    pub(crate) fn are_photographs(&self) -> bool {
        const TINY: usize = 48;
        self.train.sources.is_some() && (self.fitted || self.train.height.min(self.train.width) >= TINY)
    }

    /// Whether all images are in both splits, and each is judged by a head that has not seen it.
    pub(crate) fn has_folds(&self) -> bool {
        self.validation_kind == ValidationKind::Folds
    }

    /// On which side each image's content is, where some were held out.
    pub fn sides(&self) -> Option<Sides> {
        let set = |split: &Split| split.contents.as_ref().map(|keys| keys.iter().copied().collect());
        if self.validation_kind != ValidationKind::HeldOut {
            return None;
        }
        Some(Sides { training: set(&self.train)?, validation: set(&self.validation)? })
    }

    /// What has gone wrong with images that are decoded as they are needed, since this was asked for last.
    pub(crate) fn take_troubles(&self) -> Vec<String> {
        let splits = [&self.train, &self.validation].into_iter();
        splits.filter_map(|split| split.pixels.as_photographs()).flat_map(Photographs::take_troubles).collect()
    }

    /// What a class is called; see [`class_name`].
    pub(crate) fn class(&self, class: impl TryInto<usize>) -> &str {
        class_name(&self.classes, class)
    }

    /// The published table, or else what the training images measure.
    pub fn normalisation_or_measured(&self) -> Normalisation {
        self.normalisation.clone().unwrap_or_else(|| self.train.measure())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measured_table_is_the_mean_and_deviation_of_each_channel() {
        let pixels = vec![0, 51, 9, 255, 51, 9, 255, 51, 9, 0, 51, 9];
        let split = Split {
            height: 2,
            width: 1,
            channels: 3,
            pixels: pixels.into(),
            labels: vec![0, 0],
            sources: None,
            contents: None,
        };
        let table = split.measure();
        assert_eq!(table.mean[0], 0.5);
        assert_eq!(table.std[0], 0.5);
        assert!((table.mean[1] - 0.2).abs() < 1e-6);
        assert_eq!(table.std[1], 1.0, "a constant channel");
    }
}
