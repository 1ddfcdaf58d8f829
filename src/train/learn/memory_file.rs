//! The memory of a run's images on disk, so that a run that goes on still knows which of them were hard.
//!
//! One file, `memory.bin`, is written when an epoch ends: some 14 bytes for a training image and 30 for a validation
//! image. It says which branch and epoch it is of; after going back it is of no use, because those epochs are seen again.
//! It is a help, not a part of the state: one that is missing or damaged means that the memory starts empty.

use super::memory::{Memory, Tracker, take};
use crate::{atomic, file};
use std::{
    io::{self, Read},
    path::Path,
};

/// How the file begins; the last character is the version.
const MAGIC: &[u8; 8] = b"KINDMEM1";
/// Largest file that is read: some 20 million images.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Writes the memory as it is after `epoch` epochs on `branch`.
pub(crate) fn write(path: &Path, branch: u32, epoch: u64, memory: &Memory) -> io::Result<()> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(branch.to_le_bytes());
    bytes.extend(epoch.to_le_bytes());
    memory.training.put(&mut bytes);
    memory.validation.put(&mut bytes);
    atomic::write_bytes(path, &bytes)
}

/// Reads the memory of a run that goes on after `epoch` epochs on `branch` with so many images of each split; `None` where
/// there is none that fits.
pub(crate) fn read(path: &Path, branch: u32, epoch: u64, images: [usize; 2]) -> Option<Memory> {
    let (file, size) = file::open(path).ok()?;
    if size > MAX_FILE_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).ok()?;
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let own = (take::<4>(&mut rest).map(u32::from_le_bytes)?, take::<8>(&mut rest).map(u64::from_le_bytes)?);
    let memory = Memory { training: Tracker::take(&mut rest)?, validation: Tracker::take(&mut rest)? };
    let fits = [&memory.training, &memory.validation].map(Tracker::images) == images;
    (own == (branch, epoch) && rest.is_empty() && fits).then_some(memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    fn memory() -> Memory {
        let mut memory = Memory::default();
        for epoch in 1..=11 {
            memory.training.begin(epoch, 3);
            memory.validation.begin(epoch, 2);
            for index in 0..3 {
                memory.training.record(index, index as f32 * 0.7 + epoch as f32 * 0.1, index == 0 || epoch % 2 == 0);
            }
            (0..2).for_each(|index| memory.validation.record_class(index, 1.5, index + 300, index == 0));
        }
        memory
    }

    #[test]
    fn a_memory_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory.bin");
        let memory = memory();
        write(&path, 2, 11, &memory).unwrap();
        assert_eq!(read(&path, 2, 11, [3, 2]), Some(memory));
        for (branch, epoch, images) in [(1, 11, [3, 2]), (2, 10, [3, 2]), (2, 11, [4, 2]), (2, 11, [3, 1])] {
            assert_eq!(read(&path, branch, epoch, images), None);
        }
        assert_eq!(read(&folder.path().join("none"), 2, 11, [3, 2]), None);
    }

    proptest! {
        #[test]
        fn a_damaged_file_is_no_memory_and_no_panic(
            cut in any::<prop::sample::Index>(), change in any::<prop::sample::Index>(), value in any::<u8>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("memory.bin");
            write(&path, 0, 11, &memory()).unwrap();
            let whole = fs::read(&path).unwrap();
            fs::write(&path, &whole[..cut.index(whole.len())]).unwrap();
            prop_assert_eq!(read(&path, 0, 11, [3, 2]), None);
            let mut spoiled = whole;
            let at = change.index(spoiled.len());
            spoiled[at] = value;
            fs::write(&path, &spoiled).unwrap();
            if let Some(memory) = read(&path, 0, 11, [3, 2]) {
                // Whatever it says can be asked for.
                memory.training.candidates(10);
                memory.validation.mistakes(10);
            }
        }
    }
}
