//! `folds.safetensors`: what heads of a cross-validation said of the images that they had not seen, by content.
//!
//! The head that stays has learned from all of them, so whoever evaluates the run on them looks here. A float32 tensor
//! `log_probabilities` `[images, classes]`, and in the metadata `contents`, the content keys of the rows in hexadecimal
//! digits.

use super::{RunError, RunFolder, files::io_error};
use crate::{
    atomic,
    data::{ContentKey, Split},
    weights::{HostTensor, Metadata, StateDict, WeightsError, read_tensors, tensors_of, write_tensors},
};
use std::{collections::HashMap, io, path::Path};

const TENSOR: &str = "log_probabilities";
const CONTENTS: &str = "contents";
/// What is said of a file that is something else.
const NONE: &str = "it holds no predictions of folds; train the head anew with --resume";

/// Logarithms of class probabilities, by content of the image.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Folds {
    classes: usize,
    rows: HashMap<ContentKey, Vec<f32>>,
}

impl Folds {
    /// `rows` are of `classes` each. Of several images of one content the first counts.
    pub(crate) fn new(classes: usize, rows: impl Iterator<Item = (ContentKey, Vec<f32>)>) -> Self {
        let mut all = HashMap::new();
        for (key, row) in rows.filter(|(_, row)| row.len() == classes) {
            all.entry(key).or_insert(row);
        }
        Self { classes, rows: all }
    }

    /// What is known of image `index` of a split: logarithms of its class probabilities.
    pub(crate) fn of(&self, split: &Split, index: usize) -> Option<&[f32]> {
        self.rows.get(split.contents.as_ref()?.get(index)?).map(Vec::as_slice)
    }

    fn write(&self, path: &Path) -> Result<(), WeightsError> {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by_key(|(key, _)| **key);
        let contents: Vec<String> = rows.iter().map(|(key, _)| format!("{:016x}", key.0)).collect();
        let shape = vec![rows.len(), self.classes];
        let data = rows.into_iter().flat_map(|(_, row)| row).copied().collect();
        let tensors = StateDict::from([(TENSOR.to_owned(), HostTensor { shape, data })]);
        let temporary = atomic::temporary_for(path);
        write_tensors(&temporary, &tensors, &Metadata::from([(CONTENTS.to_owned(), contents.join(" "))]))?;
        atomic::replace(&temporary, path).map_err(|source| WeightsError::Io { path: path.to_owned(), source })
    }

    /// From a file's bytes.
    ///
    /// # Errors
    /// Where they are something else, with the reason.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let (tensors, metadata) = tensors_of(bytes).map_err(|problem| problem.to_string())?;
        Self::from_file(&tensors, &metadata).ok_or_else(|| NONE.to_owned())
    }

    /// `None` where the file is something else.
    fn from_file(tensors: &StateDict, metadata: &Metadata) -> Option<Self> {
        let HostTensor { shape, data } = tensors.get(TENSOR)?;
        let &[images, classes] = shape.as_slice() else { return None };
        let keys: Option<Vec<ContentKey>> = metadata
            .get(CONTENTS)?
            .split_terminator(' ')
            .map(|digits| u64::from_str_radix(digits, 16).ok().map(ContentKey))
            .collect();
        let keys =
            keys.filter(|keys| keys.len() == images && classes > 0 && data.iter().all(|value| !value.is_nan()))?;
        Some(Self::new(classes, keys.into_iter().zip(data.chunks_exact(classes).map(<[f32]>::to_vec))))
    }
}

impl RunFolder {
    pub(crate) fn write_folds(&self, folds: &Folds) -> Result<(), WeightsError> {
        folds.write(&self.path().join(super::FOLDS))
    }

    /// What a cross-validation has said; nothing where the run is none of a head.
    pub(crate) fn read_folds(&self) -> Result<Folds, RunError> {
        let path = self.path().join(super::FOLDS);
        match path.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Folds::default()),
            Err(error) => return Err(io_error(&path)(error)),
            Ok(_) => {}
        }
        let damaged = |reason: String| RunError::Damaged { path: path.clone(), reason };
        let (tensors, metadata) = read_tensors(&path).map_err(|error| damaged(error.to_string()))?;
        Folds::from_file(&tensors, &metadata).ok_or_else(|| damaged(NONE.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::run_folder::tests::new_run;
    use std::fs;

    #[test]
    fn predictions_come_back_by_content() {
        let folder = tempfile::tempdir().unwrap();
        let run = new_run(folder.path());
        assert_eq!(run.read_folds().unwrap(), Folds::default());
        let row = |value: f32| vec![value, -value];
        let folds = Folds::new(2, [(9, 1.0), (5, 2.0), (9, 3.0)].map(|(key, v)| (ContentKey(key), row(v))).into_iter());
        run.write_folds(&folds).unwrap();
        assert_eq!(run.read_folds().unwrap(), folds);
        let mut split = crate::train::test_data::dataset(2, 2, 4, 4, 3, 2).train;
        assert_eq!(folds.of(&split, 0), None);
        split.contents = Some(vec![ContentKey(9), ContentKey(7)]);
        assert_eq!((folds.of(&split, 0), folds.of(&split, 1)), (Some(&[1.0, -1.0][..]), None));
    }

    #[test]
    fn rubbish_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let run = new_run(folder.path());
        let path = run.path().join(super::super::FOLDS);
        fs::write(&path, "rubbish").unwrap();
        assert!(run.read_folds().unwrap_err().to_string().contains("folds.safetensors is damaged"));
        for (shape, contents) in [(vec![2, 1], "1"), (vec![1, 2], "x"), (vec![2], "1 2"), (vec![0, 2], "1")] {
            let tensor = HostTensor { data: vec![0.0; shape.iter().product()], shape };
            let metadata = Metadata::from([(CONTENTS.to_owned(), contents.to_owned())]);
            write_tensors(&path, &StateDict::from([(TENSOR.to_owned(), tensor)]), &metadata).unwrap();
            assert!(run.read_folds().is_err(), "{contents}");
        }
    }
}
