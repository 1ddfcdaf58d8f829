//! Edits of a data set whose images have no files of their own: by the content of their pixels.

use super::Edits;
use crate::data::{ContentKey, DataError, Dataset, Progress, Split};
use rayon::prelude::*;

/// The data set after the edits. No image can be added to it: all that it has are of one size.
pub(in crate::data) fn apply_to_loaded(
    dataset: Dataset,
    edits: &Edits,
    progress: &dyn Progress,
) -> Result<Dataset, DataError> {
    let splits = [&dataset.train, &dataset.validation];
    let labels = splits.into_iter().flat_map(|split| &split.labels);
    let files: Vec<_> = splits.into_iter().flat_map(contents).zip(labels.map(|&label| Some(label))).collect();
    let edited = edits.apply(&dataset.classes, &files);
    let (of_train, of_validation) = edited.labels.split_at(dataset.train.len());
    let (train, validation) = (relabelled(&dataset.train, of_train), relabelled(&dataset.validation, of_validation));
    edits.report(edited.gone, progress)?;
    Ok(Dataset { classes: edited.classes, train, validation, ..dataset })
}

fn contents(split: &Split) -> Vec<ContentKey> {
    let compute = || (0..split.len()).into_par_iter().map(|index| ContentKey::of(&split.image(index))).collect();
    split.contents.clone().unwrap_or_else(compute)
}

fn relabelled(split: &Split, labels: &[Option<u32>]) -> Split {
    let kept: Vec<usize> = (0..split.len()).filter(|&index| labels[index].is_some()).collect();
    let unchanged = kept.len() == split.len();
    let picked = if unchanged { split.clone() } else { split.pick(&kept) };
    Split { labels: labels.iter().flatten().copied().collect(), ..picked }
}
