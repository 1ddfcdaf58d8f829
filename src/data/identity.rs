//! What tells a data set from another of its name, and from itself as it was when a run began.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A data set, as a run writes it down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// What people call it.
    pub(crate) name: String,
    pub(crate) classes: usize,
    /// Images of each split.
    pub(crate) train: usize,
    pub(crate) validation: usize,
    /// The first half of a SHA-256, in hexadecimal digits: of names, sizes and classes of a folder's files, or of all
    /// pixels and labels.
    pub(crate) digest: String,
}

impl Identity {
    /// How the data differ from what they were, in words; `None` where they are the same.
    pub(crate) fn changed_since(&self, before: &Identity) -> Option<String> {
        let counts = |of: &Identity| (of.train, of.validation);
        if self.digest == before.digest {
            return None;
        }
        let other = match self.name == before.name {
            true => String::new(),
            false => {
                format!("{} in place of {}: ", crate::text::foreign(&self.name), crate::text::foreign(&before.name))
            }
        };
        let number = |n: usize| crate::format::number(n as u64);
        Some(match counts(self) == counts(before) {
            true => format!("{other}as many images as before, and not the same files"),
            false => format!(
                "{other}{} training and {} validation images where there were {} and {}",
                number(self.train),
                number(self.validation),
                number(before.train),
                number(before.validation)
            ),
        })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let [train, validation] = [self.train, self.validation].map(|n| crate::format::number(n as u64));
        let name = crate::text::foreign(&self.name);
        write!(f, "{name}, {train} training and {validation} validation images in {} classes", self.classes)
    }
}

#[cfg(test)]
mod tests {
    use crate::data::{Dataset, Split};

    fn dataset(pixels: &[u8]) -> Dataset {
        let split = |pixels: &[u8]| Split {
            height: 1,
            width: 1,
            channels: 1,
            pixels: pixels.to_vec().into(),
            labels: vec![0; pixels.len()],
            sources: None,
            contents: None,
        };
        Dataset::new("numbers", vec!["a".into()], split(pixels), split(&[9]))
    }

    #[test]
    fn data_that_changed_are_told_by_their_counts_or_by_their_files() {
        let of = |pixels: &[u8]| dataset(pixels).identify(None);
        let before = of(&[1, 2, 3]);
        assert_eq!(before.changed_since(&of(&[1, 2, 3])), None);
        let fewer = of(&[1, 2]).changed_since(&before).unwrap();
        assert_eq!(fewer, "2 training and 1 validation images where there were 3 and 1");
        assert!(of(&[1, 2, 4]).changed_since(&before).unwrap().contains("not the same files"));
    }

    #[test]
    fn the_order_of_files_does_not_matter_and_their_sizes_do() {
        let of = |files: &[(&str, u64, u32)]| dataset(&[1, 2]).identify(Some(files.to_vec())).digest;
        assert_eq!(of(&[("a", 5, 0), ("b", 6, 0)]), of(&[("b", 6, 0), ("a", 5, 0)]));
        assert_ne!(of(&[("a", 5, 0), ("b", 6, 0)]), of(&[("a", 5, 0), ("b", 7, 0)]));
        assert_ne!(of(&[("a", 5, 0)]), of(&[("a", 5, 1)]));
    }
}
