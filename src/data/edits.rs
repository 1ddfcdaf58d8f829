//! Changes to what a data set says of its images, without a change to the files.
//!
//! A list of edits belongs to a run. Each names an image by its content, so that it holds wherever the file lies and for
//! every copy of it, and they are carried out in their order whenever the data are read: see [`Edits::apply`]. What was
//! undone stays in the list until something else is done in its place.

mod loaded;

pub(super) use loaded::apply_to_loaded;

use super::{ContentKey, DataError, Progress, Report, progress::tell};
use crate::{format::plural, text};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
};

/// One change. Whoever names a class that is not there makes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edit {
    /// Files an image under another class; one that was left out is back.
    Move { image: ContentKey, to: String },
    /// Leaves an image out.
    Exclude { image: ContentKey },
    /// Takes an image in that lies elsewhere. One that is there already is moved.
    Add {
        image: ContentKey,
        #[serde(serialize_with = "path_as_text", deserialize_with = "path_from_text")]
        path: PathBuf,
        to: String,
    },
    /// A class that is there before it has images.
    NewClass { name: String },
    /// Another name for a class; that of another one merges the two.
    Rename { class: String, to: String },
    /// Files all images of a class under another.
    Merge { class: String, into: String },
}

/// Bytes of the longest name of a class: that of a folder.
const LONGEST_NAME: usize = 255;

impl Edit {
    /// The image that it is about.
    pub(crate) fn image(&self) -> Option<ContentKey> {
        match self {
            Edit::Move { image, .. } | Edit::Exclude { image } | Edit::Add { image, .. } => Some(*image),
            Edit::NewClass { .. } | Edit::Rename { .. } | Edit::Merge { .. } => None,
        }
    }

    /// Whether every class in it has a name that a class can have: short, and not blank.
    pub(crate) fn is_sound(&self) -> bool {
        let is_name = |name: &String| !name.trim().is_empty() && name.len() <= LONGEST_NAME;
        match self {
            Edit::Exclude { .. } => true,
            Edit::Move { to: name, .. } | Edit::Add { to: name, .. } | Edit::NewClass { name } => is_name(name),
            Edit::Rename { class, to } | Edit::Merge { class, into: to } => [class, to].into_iter().all(is_name),
        }
    }
}

fn path_as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text::utf8(path.as_os_str()))
}

fn path_from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    String::deserialize(deserializer).map(|path| text::to_path(&path))
}

impl Serialize for ContentKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

impl<'de> Deserialize<'de> for ContentKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(deserializer)?;
        let is_key = digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let key = u64::from_str_radix(&digits, 16).ok().filter(|_| is_key);
        key.map(ContentKey).ok_or_else(|| D::Error::custom("an image is named by 16 hexadecimal digits"))
    }
}

/// What is done to a list of edits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Do(Edit),
    Undo,
    Redo,
}

/// An edit, with the step of the run at which it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub step: u64,
    pub edit: Edit,
}

/// The edits of a run in their order, with those that were undone last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edits {
    made: Vec<Made>,
    /// How many of them hold.
    active: usize,
    /// Lines of the run's list that could not be read.
    pub unreadable: usize,
}

impl Edits {
    /// Makes a change; there may be nothing to undo, or to do again.
    pub(crate) fn change(&mut self, step: u64, change: Change) {
        match change {
            Change::Do(edit) => self.push(step, edit),
            Change::Undo => drop(self.undo()),
            Change::Redo => drop(self.redo()),
        }
    }

    /// Does one more. What was undone is forgotten.
    pub(crate) fn push(&mut self, step: u64, edit: Edit) {
        self.made.truncate(self.active);
        self.made.push(Made { step, edit });
        self.active = self.made.len();
    }

    /// Takes the last one back; `None` where there is none.
    pub(crate) fn undo(&mut self) -> Option<&Edit> {
        self.active = self.active.checked_sub(1)?;
        self.made.get(self.active).map(|made| &made.edit)
    }

    /// Does again what was taken back last; `None` where there is nothing.
    pub(crate) fn redo(&mut self) -> Option<&Edit> {
        let made = self.made.get(self.active)?;
        self.active += 1;
        Some(&made.edit)
    }

    pub(crate) fn can_undo(&self) -> bool {
        self.active > 0
    }

    pub(crate) fn can_redo(&self) -> bool {
        self.active < self.made.len()
    }

    /// Those that hold, in their order.
    pub(crate) fn active(&self) -> impl Iterator<Item = &Edit> {
        self.made[..self.active].iter().map(|made| &made.edit)
    }

    /// Those that hold, and behind them those that were undone, the one to be done again first.
    pub(crate) fn halves(&self) -> (&[Made], &[Made]) {
        self.made.split_at(self.active)
    }

    /// Where among `classes` the one is that is called `class` now: by this name, or by one that a renaming took from it or
    /// gave it until that was undone.
    pub(crate) fn place_of(&self, class: &str, classes: &[String]) -> Option<usize> {
        let renaming = |made: &'_ Made| match &made.edit {
            Edit::Rename { class, to } => Some((class.clone(), to.clone())),
            _ => None,
        };
        let (active, undone) = self.halves();
        let mut names = vec![class.to_owned()];
        for (before, after) in active.iter().rev().filter_map(renaming) {
            names.extend(Some(before).filter(|_| names.contains(&after)));
        }
        for (before, after) in undone.iter().filter_map(renaming) {
            names.extend(Some(after).filter(|_| names.contains(&before)));
        }
        names.iter().find_map(|name| classes.iter().position(|other| other == name))
    }

    /// The images that are taken in from elsewhere, in their order, each with the place that was named last.
    pub(super) fn added(&self) -> Vec<(ContentKey, &Path)> {
        let named = |edit| match edit {
            &Edit::Add { image, ref path, .. } => Some((image, path.as_path())),
            _ => None,
        };
        let adds: Vec<_> = self.active().filter_map(named).collect();
        let last: HashMap<_, _> = adds.iter().copied().collect();
        let mut seen = HashSet::new();
        adds.into_iter().filter(|(image, _)| seen.insert(*image)).map(|(image, _)| (image, last[&image])).collect()
    }

    /// Says what there is to know of edits that could not be carried out: `gone` images are not there.
    pub(super) fn report(&self, gone: usize, progress: &dyn Progress) -> Result<(), DataError> {
        let say = |text| tell(progress, Report::Note { text });
        if self.unreadable > 0 {
            say(format!("{} of the run's edits cannot be read and are left out", plural(self.unreadable, "line")))?;
        }
        match gone {
            0 => Ok(()),
            1 => say("1 image that was edited is not to be found; its edit is kept".to_owned()),
            n => say(format!("{} that were edited are not to be found; the edits are kept", plural(n, "image"))),
        }
    }

    /// What becomes of a data set of `classes` and these files: the content of each, and the place of its class.
    /// Added images are among the files, with no class yet.
    pub(crate) fn apply(&self, classes: &[String], files: &[(ContentKey, Option<u32>)]) -> Edited {
        let mut filing = Filing::new(classes, files, self.active().filter_map(Edit::image).collect());
        self.active().for_each(|edit| filing.carry_out(edit));
        filing.finish(classes)
    }
}

/// A data set after its edits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edited {
    /// By code point if they were so before, else new ones last. Of what edits emptied, nothing is left.
    pub classes: Vec<String>,
    /// New classes that have no image yet, by code point.
    pub waiting: Vec<String>,
    /// For each file the place of its class; `None` where it is left out.
    pub labels: Vec<Option<u32>>,
    /// Edited images of which there is no file.
    pub gone: usize,
}

impl Edited {
    /// The same with its classes in the order of a run's, where edits did no more than rename these: so the run goes on.
    pub(super) fn in_order_of(self, classes: &[String], edits: &Edits) -> Self {
        let places: Vec<usize> = self.classes.iter().filter_map(|class| edits.place_of(class, classes)).collect();
        let different: HashSet<usize> = places.iter().copied().collect();
        if different.len() != classes.len() || places.len() != self.classes.len() || places.len() != classes.len() {
            return self;
        }
        let mut ordered = self.classes.clone();
        self.classes.into_iter().zip(&places).for_each(|(class, &place)| ordered[place] = class);
        let labels = self.labels.into_iter().map(|label| label.map(|label| places[label as usize] as u32)).collect();
        Self { classes: ordered, labels, ..self }
    }
}

/// Which file is filed under which class while edits are carried out. Classes have numbers for life: names come and go.
struct Filing {
    numbers: HashMap<String, usize>,
    /// For each number the one whose images its own are now.
    merged_into: Vec<usize>,
    /// Those that were asked for and may be without images.
    wanted: HashSet<usize>,
    /// Those that never had images: no edit made them so.
    empty_before: Vec<usize>,
    labels: Vec<Option<usize>>,
    /// The files of each image that is edited.
    files: HashMap<ContentKey, Vec<usize>>,
}

impl Filing {
    fn new(classes: &[String], all: &[(ContentKey, Option<u32>)], edited: HashSet<ContentKey>) -> Self {
        let mut files: HashMap<_, Vec<_>> = edited.into_iter().map(|image| (image, Vec::new())).collect();
        for (index, (content, _)) in all.iter().enumerate() {
            if let Some(files) = files.get_mut(content) {
                files.push(index);
            }
        }
        let used: HashSet<u32> = all.iter().filter_map(|(_, label)| *label).collect();
        Self {
            numbers: classes.iter().cloned().zip(0..).collect(),
            merged_into: (0..classes.len()).collect(),
            wanted: HashSet::new(),
            empty_before: (0..classes.len()).filter(|&number| !used.contains(&(number as u32))).collect(),
            labels: all.iter().map(|(_, label)| label.map(|label| label as usize)).collect(),
            files,
        }
    }

    fn carry_out(&mut self, edit: &Edit) {
        match edit {
            Edit::Move { image, to } | Edit::Add { image, to, .. } => {
                let class = self.number(to);
                self.file(*image, Some(class));
            }
            Edit::Exclude { image } => self.file(*image, None),
            Edit::NewClass { name } => {
                let class = self.number(name);
                self.wanted.insert(class);
            }
            Edit::Rename { class, to } | Edit::Merge { class, into: to } => self.rename(class, to),
        }
    }

    fn file(&mut self, image: ContentKey, class: Option<usize>) {
        for &file in self.files.get(&image).into_iter().flatten() {
            self.labels[file] = class;
        }
    }

    /// The number of the class of that name.
    fn number(&mut self, name: &str) -> usize {
        let next = self.merged_into.len();
        let number = *self.numbers.entry(name.to_owned()).or_insert(next);
        if number == next {
            self.merged_into.push(number);
        }
        number
    }

    /// A class that is not there any more has no other name.
    fn rename(&mut self, class: &str, to: &str) {
        if class == to {
            return;
        }
        let Some(number) = self.numbers.remove(class) else { return };
        match self.numbers.get(to) {
            Some(&other) => self.merged_into[number] = other,
            None => drop(self.numbers.insert(to.to_owned(), number)),
        }
    }

    fn root(&self, mut number: usize) -> usize {
        // A class that was merged has lost its name, so that nothing is merged into it afterwards: there is no circle.
        while self.merged_into[number] != number {
            number = self.merged_into[number];
        }
        number
    }

    fn finish(self, before: &[String]) -> Edited {
        let labels: Vec<_> = self.labels.iter().map(|label| label.map(|number| self.root(number))).collect();
        let used: HashSet<usize> = labels.iter().flatten().copied().chain(self.empty_before).collect();
        // By name.
        let all: BTreeMap<&String, usize> = self.numbers.iter().map(|(name, &number)| (name, number)).collect();
        let (mut classes, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, number)| used.contains(number));
        if !before.is_sorted() {
            classes.sort_unstable_by_key(|&(_, number)| number);
        }
        let places: HashMap<usize, u32> = classes.iter().map(|&(_, number)| number).zip(0..).collect();
        let waiting = others.into_iter().filter(|(_, number)| self.wanted.contains(number));
        Edited {
            waiting: waiting.map(|(name, _)| name.clone()).collect(),
            classes: classes.into_iter().map(|(name, _)| name.clone()).collect(),
            labels: labels.into_iter().map(|label| label.and_then(|number| places.get(&number).copied())).collect(),
            gone: self.files.values().filter(|files| files.is_empty()).count(),
        }
    }
}

#[cfg(test)]
mod tests;
