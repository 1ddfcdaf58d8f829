//! What `run.json` says: what a run is, and what it learns from.

use super::RunError;
use crate::{
    data::{Dataset, Identity, PixelRules, SizeRules},
    text,
};
use serde::{Deserialize, Serialize};
use std::{fmt, path::Path};

/// What a run is, apart from how it goes: written when it begins, and when its notes change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunInfo {
    /// Where the data are: a known name or a path in full. Empty where the run comes from another machine.
    pub data: String,
    /// What the data were when the run last learned from them. Unknown of older runs.
    pub identity: Option<Identity>,
    /// How its validation images were chosen.
    pub held_out_by: HeldOutBy,
    /// By which arithmetic its images become pixels, to the end.
    #[serde(default = "PixelRules::unnamed")]
    pub pixel_rules: PixelRules,
    /// By which rule its images come to their size, to the end.
    #[serde(default = "SizeRules::unnamed")]
    pub size_rules: SizeRules,
    /// The network in words.
    pub model: String,
    /// Their names, in the order of the head's rows.
    pub classes: Vec<String>,
    /// Seconds since 1970.
    pub created: f64,
    /// What people wrote about it.
    pub notes: String,
}

impl RunInfo {
    /// Looks whether `dataset` is what the run last learned from: what there is to say where it is not, in one line.
    ///
    /// # Errors
    /// Where its classes are others, so that the run can't go on with it.
    pub(crate) fn compare(&self, dataset: &Dataset) -> Result<Option<DataNote>, RunError> {
        let place = text::foreign(&dataset.spec);
        let edits = &dataset.options.edits;
        let is_same = |(place, class): (usize, &String)| edits.place_of(class, &self.classes) == Some(place);
        let are_same = self.classes.len() == dataset.classes.len() && dataset.classes.iter().enumerate().all(is_same);
        if !self.classes.is_empty() && !are_same {
            let (now, before) = (listed(&dataset.classes), listed(&self.classes));
            return Err(RunError::OtherClasses { data: place, now, before });
        }
        Ok(match &self.identity {
            Some(before) => dataset
                .identity
                .changed_since(before)
                .map(|change| format!("the data have changed since the run was trained: {change} ({place})"))
                .map(DataNote::Changed),
            // Older runs wrote down what was typed, which means something else elsewhere.
            None if !self.data.is_empty() && Path::new(&self.data).is_relative() && self.data != dataset.spec => {
                let named = text::foreign(&self.data);
                Some(DataNote::Assumed(format!("the run names its data “{named}”; it is taken for {place}")))
            }
            None => None,
        })
    }

    /// As it is written when a run learns from `dataset`.
    pub(crate) fn learning_from(self, dataset: &Dataset) -> Self {
        let held_out_by = if dataset.sides().is_some() { HeldOutBy::Content } else { self.held_out_by };
        let (data, classes) = (dataset.spec.clone(), dataset.classes.clone());
        Self { data, classes, identity: Some(dataset.identity.clone()), held_out_by, ..self }
    }

    /// As it goes to other machines: data that lie in a folder of this one have no place there.
    pub(crate) fn for_others(self) -> Self {
        let data = if Path::new(&self.data).has_root() { String::new() } else { self.data };
        Self { data, ..self }
    }
}

/// What there is to say of data that a run goes on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DataNote {
    /// They are no longer what the run learned from.
    Changed(String),
    /// They are probably what it learned from.
    Assumed(String),
}

impl fmt::Display for DataNote {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (DataNote::Changed(text) | DataNote::Assumed(text)) = self;
        f.write_str(text)
    }
}

/// What decides which images a run holds out for validation, where its data have no second split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeldOutBy {
    /// The place in the list of files, and the seed: so in runs that do not say it.
    #[default]
    Place,
    /// The content, and what the run has written down of it.
    Content,
}

/// The first few names.
fn listed(classes: &[String]) -> String {
    let first: Vec<String> = classes.iter().take(3).map(|class| text::foreign(class)).collect();
    let more = if classes.len() > 3 { format!(" and {} more", classes.len() - 3) } else { String::new() };
    format!("{}{more}", first.join(", "))
}
