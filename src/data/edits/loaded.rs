//! Edits of a data set whose images have no files of their own: by the content of their pixels.

use crate::data::{ContentKey, DataError, Dataset, LoadOptions, Progress, Split};
use rayon::prelude::*;

/// The data set after the edits. No image can be added to it: all that it has are of one size.
pub(in crate::data) fn apply_to_loaded(
    dataset: Dataset,
    options: &LoadOptions,
    progress: &dyn Progress,
) -> Result<Dataset, DataError> {
    let splits = [&dataset.train, &dataset.validation];
    let labels = splits.into_iter().flat_map(|split| &split.labels);
    let files: Vec<_> =
        splits.into_iter().flat_map(Split::content_keys).zip(labels.map(|&label| Some(label))).collect();
    let edits = &options.edits;
    let edited = edits.apply(&dataset.classes, &files).in_order_of(&options.run_classes, edits);
    let (of_train, of_validation) = edited.labels.split_at(dataset.train.len());
    let (train, validation) = (relabelled(&dataset.train, of_train), relabelled(&dataset.validation, of_validation));
    edits.report(edited.gone, progress)?;
    Ok(Dataset { classes: edited.classes, train, validation, ..dataset })
}

impl Split {
    /// By which edits name each image: that of its file, where it has one, else that of its pixels.
    pub(crate) fn content_keys(&self) -> Vec<ContentKey> {
        let compute = || (0..self.len()).into_par_iter().map(|index| ContentKey::of(&self.image(index))).collect();
        self.contents.clone().unwrap_or_else(compute)
    }
}

fn relabelled(split: &Split, labels: &[Option<u32>]) -> Split {
    let kept: Vec<usize> = (0..split.len()).filter(|&index| labels[index].is_some()).collect();
    let unchanged = kept.len() == split.len();
    let picked = if unchanged { split.clone() } else { split.pick(&kept) };
    Split { labels: labels.iter().flatten().copied().collect(), ..picked }
}
