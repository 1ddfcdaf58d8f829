//! What the first look at a folder has found, and the edits of a run carried out on it.

use super::scan::{Item, Scanned, scan};
use crate::data::{ContentKey, DataError, Edits, HoldOut, LoadOptions, Progress, ValidationKind};
use std::collections::{HashMap, HashSet};

/// The images of a folder.
#[derive(Debug)]
pub(super) struct Found {
    pub classes: Vec<String>,
    /// New classes that have no image yet.
    pub waiting: Vec<String>,
    pub train: Vec<Scanned>,
    pub second: Option<(Vec<Scanned>, ValidationKind)>,
    /// How images are held out where there is no second split.
    pub hold_out: HoldOut,
    /// The lowest content of those to train on and of those that validate, as they are without any edit. Where photographs
    /// are kept is named by them, so that no edit decodes them anew.
    pub lowest: Option<[Option<ContentKey>; 2]>,
}

impl Found {
    /// What is left of it, and moved, and added, by the edits in `options`. Images that change only their class stay on
    /// their side; those that come from elsewhere are to train on.
    pub(super) fn edited(self, options: &LoadOptions, progress: &dyn Progress) -> Result<Self, DataError> {
        let edits = &options.edits;
        if !edits.can_undo() {
            edits.report(0, progress)?;
            return Ok(self);
        }
        let (hold_out, lowest) = self.sides();
        let Found { classes, mut train, second, .. } = self;
        let (second, kind) = second.unzip();
        let mut second = second.unwrap_or_default();
        let added = added(edits, train.iter().chain(&second), progress)?;
        let filed = |scanned: &Scanned| (scanned.content, Some(scanned.item.label));
        let files = train.iter().chain(&second).map(filed).chain(added.iter().map(|scanned| (scanned.content, None)));
        let edited = edits.apply(&classes, &files.collect::<Vec<_>>()).in_order_of(&options.run_classes, edits);
        edits.report(edited.gone, progress)?;
        let mut labels = edited.labels.iter();
        let mut file_anew = |scanned: &mut Scanned| match labels.next() {
            Some(&Some(label)) => {
                scanned.item.label = label;
                true
            }
            _ => false,
        };
        train.retain_mut(&mut file_anew);
        second.retain_mut(&mut file_anew);
        train.extend(added.into_iter().filter_map(|mut scanned| file_anew(&mut scanned).then_some(scanned)));
        let second = kind.map(|kind| (second, kind));
        Ok(Found { classes: edited.classes, waiting: edited.waiting, train, second, hold_out, lowest: Some(lowest) })
    }

    /// On which sides the images are before any edit: so that they stay there, and the lowest of each.
    fn sides(&self) -> (HoldOut, [Option<ContentKey>; 2]) {
        let keys: Vec<_> = self.train.iter().map(|scanned| scanned.content).collect();
        if let Some((second, _)) = &self.second {
            let of_second = second.iter().map(|scanned| scanned.content).min();
            return (self.hold_out.clone(), [keys.into_iter().min(), of_second]);
        }
        let labels: Vec<_> = self.train.iter().map(|scanned| scanned.item.label).collect();
        let (train, held) = self.hold_out.divide(&keys, &labels, self.classes.len());
        let lowest = [train, held].map(|side| side.into_iter().map(|index| keys[index]).min());
        (self.hold_out.settled(&keys, &labels, self.classes.len()), lowest)
    }
}

/// The images that edits take in from elsewhere, where they are still what they were. One that the folder has is not among
/// them.
fn added<'a>(
    edits: &Edits,
    known: impl Iterator<Item = &'a Scanned>,
    progress: &dyn Progress,
) -> Result<Vec<Scanned>, DataError> {
    let mut added = edits.added();
    if added.is_empty() {
        return Ok(Vec::new());
    }
    let known: HashSet<ContentKey> = known.map(|scanned| scanned.content).collect();
    added.retain(|(image, _)| !known.contains(image));
    let expected: HashMap<_, _> = added.iter().map(|(image, path)| (path.to_path_buf(), *image)).collect();
    let items = added.into_iter().map(|(_, path)| Item { path: path.to_owned(), label: 0 }).collect();
    // What cannot be read counts as gone, and sizes of the folder's own images decide on that of all.
    let mut found = scan(items, &mut Vec::new(), &mut HashMap::new(), progress)?;
    found.retain(|scanned| expected.get(&scanned.item.path) == Some(&scanned.content));
    Ok(found)
}
