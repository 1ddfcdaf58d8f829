//! `held_out.bin`: on which side of the border between training and validation each image was.
//!
//! Eight bytes an image: a mark with a version, how many there are of either side, then their content keys. A run that
//! lost this file goes on by the rule that wrote it, which differs only for the few images that the rule alone would have
//! put on the other side; so a damaged file is said and a missing one is not.

use super::{RunError, RunFolder, files::io_error};
use crate::{
    atomic,
    data::{ContentKey, Sides},
};
use std::{fs, io, path::Path};

/// How the file begins; the last character is the version.
const MAGIC: &[u8; 8] = b"KINDSID1";
/// Largest file that is read: some 130 million images.
const MAX_BYTES: u64 = 1 << 30;

impl RunFolder {
    pub(crate) fn write_sides(&self, sides: &Sides) -> Result<(), RunError> {
        let path = self.path().join(super::SIDES);
        atomic::write_bytes(&path, &to_bytes(sides)).map_err(io_error(&path))
    }

    /// The sides of all images that the run has seen; none where they were never written down.
    pub fn read_sides(&self) -> Result<Sides, RunError> {
        read(&self.path().join(super::SIDES))
    }
}

fn read(path: &Path) -> Result<Sides, RunError> {
    let bytes = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Sides::default()),
        Err(error) => return Err(io_error(path)(error)),
        Ok(metadata) if !metadata.is_file() || metadata.len() > MAX_BYTES => None,
        Ok(_) => Some(fs::read(path).map_err(io_error(path))?),
    };
    let damaged = || RunError::Damaged {
        path: path.to_owned(),
        reason: "it is no list of held out images; without it their content decides alone".into(),
    };
    bytes.as_deref().and_then(from_bytes).ok_or_else(damaged)
}

fn to_bytes(sides: &Sides) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for side in [&sides.training, &sides.validation] {
        bytes.extend((side.len() as u64).to_le_bytes());
    }
    for key in sides.training.iter().chain(&sides.validation) {
        bytes.extend(key.0.to_le_bytes());
    }
    bytes
}

/// Reads what [`to_bytes`] wrote; `None` where it is something else.
pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Sides> {
    let (numbers, []) = bytes.strip_prefix(MAGIC)?.as_chunks::<8>() else { return None };
    let mut numbers = numbers.iter().map(|number| u64::from_le_bytes(*number));
    let (training, validation) = (numbers.next()?, numbers.next()?);
    if training.checked_add(validation)? != numbers.len() as u64 {
        return None;
    }
    let mut keys = numbers.map(ContentKey);
    let training = keys.by_ref().take(training as usize).collect();
    Some(Sides { training, validation: keys.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::run_folder::tests::new_run;

    fn sides() -> Sides {
        let keys = |numbers: &[u64]| numbers.iter().copied().map(ContentKey).collect();
        Sides { training: keys(&[9, 1 << 63, 5]), validation: keys(&[7]) }
    }

    #[test]
    fn sides_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let run = new_run(folder.path());
        assert_eq!(run.read_sides().unwrap(), Sides::default());
        run.write_sides(&sides()).unwrap();
        assert_eq!(run.read_sides().unwrap(), sides());
    }

    #[test]
    fn a_damaged_file_is_named() {
        let bytes = to_bytes(&sides());
        for cut in 0..bytes.len() {
            assert_eq!(from_bytes(&bytes[..cut]), None);
        }
        let mut absurd = bytes.clone();
        absurd[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(from_bytes(&absurd), None);
        let folder = tempfile::tempdir().unwrap();
        let run = new_run(folder.path());
        fs::write(run.path().join(super::super::SIDES), "rubbish").unwrap();
        assert!(run.read_sides().unwrap_err().to_string().contains("held_out.bin is damaged"));
    }
}
