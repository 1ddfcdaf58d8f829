//! Image folders: one sub-folder of images for each class, or `train/` beside `val/` or `test/` with such sub-folders.
//!
//! Two passes, both parallel: the first reads headers, to learn which sizes the images have and with that at which they are
//! kept; the second decodes, a batch at a time, straight into the place where the pixels stay. A file that cannot be
//! decoded is set aside with its reason; only a class without any image left is an error.

mod edited;
mod layout;
mod scan;
mod splits;

use self::{
    edited::Found,
    layout::Layout,
    scan::{Scanned, scan},
    splits::class_name,
};
use super::{
    ContentKey, Contradictions, DataError, Dataset, Fit, Fitting, HoldOut, KeptSizes, LeftOut, LoadOptions, Pixels,
    Progress, Rejected, Report, Split, ValidationKind,
    photographs::{Making, Photograph, Photographs, Places},
    progress::tell,
    store::Store,
};
use crate::text;
use rayon::prelude::*;
use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

pub(super) fn load(folder: &Path, options: &LoadOptions, progress: &dyn Progress) -> Result<Dataset, DataError> {
    let layout = Layout::find(folder)?;
    let (mut rejected, left_out, mut sizes) = (layout.rejected, layout.left_out, HashMap::new());
    let train = scan(layout.train, &mut rejected, &mut sizes, progress)?;
    let second = match layout.validation {
        Some((items, kind)) => Some((scan(items, &mut rejected, &mut sizes, progress)?, kind)),
        None => None,
    };
    let mut original_sizes: Vec<_> = sizes.into_iter().collect();
    original_sizes.sort_by_key(|&(size, count)| (std::cmp::Reverse(count), size));
    let hold_out = options.hold_out.clone();
    let found = Found { classes: layout.classes, waiting: Vec::new(), train, second, hold_out, lowest: None };
    let Found { classes: names, waiting, train, second, hold_out, lowest } = found.edited(options, progress)?;
    let sizes = KeptSizes::choose(&original_sizes, options);
    say_size(&sizes, &original_sizes, options, progress)?;
    // Images that keep their size keep all of it.
    let short_side = options.short_side.filter(|_| sizes.fitted);
    let options = &LoadOptions { short_side, ..options.clone() };
    let classes = names.len();
    let total = train.len() + second.as_ref().map_or(0, |(items, _)| items.len());
    // Asked once, for both splits: what the first one takes is not free any more.
    let largest: usize = sizes.train.iter().product::<usize>().max(sizes.validation.iter().product());
    let bytes = (largest * 3) as u64 * total as u64;
    let store = match sizes.fitted && options.takes_long(&original_sizes, bytes) {
        true => Held::Photographs(options.places_for(bytes)),
        false => Held::Decoded(options.place_for(bytes)?),
    };
    let context = Context { folder, options, progress, sizes, store, total, hold_out, lowest };
    let all: Vec<Scanned> = train.iter().chain(second.iter().flat_map(|(items, _)| items)).cloned().collect();
    let (train, validation, kind) = match second {
        Some((items, kind)) => {
            let decoded = context.decode(&train, Use::Training, 0, &mut rejected)?;
            (decoded, context.decode(&items, Use::Validation, train.len(), &mut rejected)?, kind)
        }
        None if options.hold_out == HoldOut::Folds => {
            let all = context.decode(&train, Use::Validation, 0, &mut rejected)?;
            (all.clone(), all, ValidationKind::Folds)
        }
        None => {
            let (train, validation) = context.decode_divided(train, classes, &mut rejected)?;
            (train, validation, ValidationKind::HeldOut)
        }
    };
    if let Some(class) = train.class_counts(classes).iter().position(|&count| count == 0) {
        return Err(DataError::EmptyClass {
            class: names[class].clone(),
            split: "training",
            path: folder.to_owned(),
            hint: why_empty(folder, &rejected, &left_out, &names[class]),
        });
    }
    rejected.sort_by(|a, b| a.path.cmp(&b.path));
    let files: Vec<String> = all.iter().map(|scanned| context.name(&scanned.item.path)).collect();
    let images = all.iter().zip(&files).map(|(scanned, name)| (scanned.content, scanned.item.label, name.as_str()));
    let dataset = Dataset {
        validation_kind: kind,
        waiting,
        rejected,
        left_out,
        original_sizes,
        fitted: sizes.fitted,
        contradictions: Contradictions::find(images),
        ..Dataset::new(&super::folder_name(folder), names, train, validation)
    };
    let files = all.iter().zip(&files).map(|(scanned, name)| (name.as_str(), scanned.bytes, scanned.item.label));
    Ok(Dataset { identity: dataset.identify(Some(files.collect())), ..dataset })
}

/// Says which size photographs get where nobody asked for one.
fn say_size(
    kept: &KeptSizes,
    originals: &[([usize; 2], usize)],
    options: &LoadOptions,
    progress: &dyn Progress,
) -> Result<(), DataError> {
    let (true, None, Some(([height, width], _))) = (kept.fitted, options.image_size, originals.first()) else {
        return Ok(());
    };
    let [side, _] = kept.validation;
    let many = if originals.len() > 1 { "mostly " } else { "" };
    let text = format!("photographs, {many}{width}x{height}, become {side}x{side}; image_size sets another size");
    tell(progress, Report::Note { text })
}

/// Why a class has no image: what could not be read of it, what is there instead, or that nothing is.
fn why_empty(folder: &Path, rejected: &[Rejected], left_out: &LeftOut, class: &str) -> String {
    let in_class = |r: &&Rejected| {
        let below = r.path.strip_prefix(folder).unwrap_or(&r.path);
        below.iter().any(|part| class_name(part) == class)
    };
    if let Some(first) = rejected.iter().find(in_class) {
        return format!("{}: {}", text::path(&first.path), text::foreign(&first.reason));
    }
    match left_out.in_class(class) {
        others if others.is_empty() => "put images there or remove the folder".to_owned(),
        others => format!("there are {others}; convert them to PNG or JPEG, or move the folder elsewhere"),
    }
}

/// What decoding needs to know beside the files.
struct Context<'a> {
    folder: &'a Path,
    options: &'a LoadOptions,
    progress: &'a dyn Progress,
    sizes: KeptSizes,
    total: usize,
    store: Held,
    hold_out: HoldOut,
    /// See [`Found::lowest`].
    lowest: Option<[Option<ContentKey>; 2]>,
}

/// When images are decoded, and where they go.
enum Held {
    /// At once, into memory or a file: see [`Store::new`].
    Decoded(Option<PathBuf>),
    /// When they are needed.
    Photographs(Places),
}

/// What images are decoded for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Training,
    Validation,
}

impl Context<'_> {
    /// Decodes the items, and holds some out for validation.
    fn decode_divided(
        &self,
        mut items: Vec<Scanned>,
        classes: usize,
        rejected: &mut Vec<Rejected>,
    ) -> Result<(Split, Split), DataError> {
        loop {
            let keys: Vec<_> = items.iter().map(|scanned| scanned.content).collect();
            let labels: Vec<_> = items.iter().map(|scanned| scanned.item.label).collect();
            let (kept, held) = self.hold_out.divide(&keys, &labels, classes);
            let pick = |indices: &[usize]| indices.iter().map(|&i| items[i].clone()).collect::<Vec<_>>();
            let before = rejected.len();
            let train = self.decode(&pick(&kept), Use::Training, 0, rejected)?;
            let validation = self.decode(&pick(&held), Use::Validation, kept.len(), rejected)?;
            // All that a small class had on one side may prove broken while there are good images on the other: divide
            // again what is left, which is less each time.
            let sides = [train.class_counts(classes), validation.class_counts(classes)];
            let broken: HashSet<&PathBuf> = rejected[before..].iter().map(|rejected| &rejected.path).collect();
            let lost_a_side = |scanned: &Scanned| {
                let label = scanned.item.label as usize;
                broken.contains(&scanned.item.path) && sides.iter().any(|counts| counts[label] == 0)
            };
            if !items.iter().any(lost_a_side) {
                return Ok((train, validation));
            }
            items.retain(|scanned| !broken.contains(&scanned.item.path));
        }
    }

    /// Decodes the items, `before` of the total having been done.
    fn decode(
        &self,
        items: &[Scanned],
        purpose: Use,
        before: usize,
        rejected: &mut Vec<Rejected>,
    ) -> Result<Split, DataError> {
        let making = self.making(purpose);
        let place = match &self.store {
            Held::Decoded(place) => place.clone(),
            Held::Photographs(places) => return self.as_needed(items, making, purpose, places),
        };
        let ([height, width], image_len) = (making.fitting.size, making.len());
        let mut store = Store::new(image_len * items.len(), place)?;
        let (mut labels, mut sources, mut contents, mut originals) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        // Enough images at once to keep all cores busy, and not so many that they fill the memory.
        let batch = ((64 << 20) / image_len.max(1)).clamp(rayon::current_num_threads(), 1024);
        for (i, batch_items) in items.chunks(batch).enumerate() {
            let decode = |scanned: &Scanned| making.decode(&scanned.item.path);
            let decoded: Vec<_> = batch_items.par_iter().map(decode).collect();
            for (Scanned { item, size, content, .. }, pixels) in batch_items.iter().zip(decoded) {
                match pixels {
                    Ok(pixels) => {
                        store.push(&pixels)?;
                        labels.push(item.label);
                        sources.push(self.name(&item.path));
                        contents.push(*content);
                        originals.push(size.map(|side| side as u32));
                    }
                    Err(reason) => rejected.push(Rejected { path: item.path.clone(), reason }),
                }
            }
            let done = (before + i * batch + batch_items.len()) as u64;
            tell(self.progress, Report::Read { done, total: self.total as u64 })?;
        }
        let pixels = store.finish()?;
        let pixels = if self.squeezes(purpose) { pixels.squeezed_from(originals) } else { pixels };
        Ok(Split { height, width, channels: 3, pixels, labels, sources: Some(sources), contents: Some(contents) })
    }

    /// A split whose images are decoded when they are asked for.
    fn as_needed(&self, items: &[Scanned], making: Making, purpose: Use, places: &Places) -> Result<Split, DataError> {
        let [height, width] = making.fitting.size;
        let photograph = |Scanned { item, content, .. }: &Scanned| Photograph {
            path: item.path.clone(),
            content: *content,
            label: item.label,
        };
        let bytes = making.len() as u64 * items.len() as u64;
        let name = super::folder_name(self.folder);
        let named_by = self.lowest.and_then(|lowest| lowest[purpose as usize]);
        let places = Places { named_by, ..places.clone() };
        let photographs = Photographs::new(items.iter().map(photograph).collect(), making, &places, &name);
        if !photographs.are_kept() && self.options.keep_decoded {
            let text = format!(
                "neither the cache's disk nor memory has room for {} of decoded photographs: they are decoded anew in \
                 every epoch",
                crate::format::bytes(bytes)
            );
            tell(self.progress, Report::Note { text })?;
        }
        let pixels = Pixels::photographs(photographs);
        let originals = || items.iter().map(|scanned| scanned.size.map(|side| side as u32)).collect();
        let pixels = if self.squeezes(purpose) { pixels.squeezed_from(originals()) } else { pixels };
        Ok(Split {
            height,
            width,
            channels: 3,
            pixels,
            labels: items.iter().map(|scanned| scanned.item.label).collect(),
            sources: Some(items.iter().map(|scanned| self.name(&scanned.item.path)).collect()),
            contents: Some(items.iter().map(|scanned| scanned.content).collect()),
        })
    }

    /// What people call a file: its path within the folder.
    fn name(&self, path: &Path) -> String {
        text::utf8(path.strip_prefix(self.folder).unwrap_or(path).as_os_str())
    }

    fn squeezes(&self, purpose: Use) -> bool {
        self.sizes.squeezed && purpose == Use::Training
    }

    /// How files become images of the size that they are kept at.
    fn making(&self, purpose: Use) -> Making {
        let fitting = match purpose {
            Use::Training => self.options.fitting(self.sizes.train),
            Use::Validation => self.options.fitting(self.sizes.validation),
        };
        let fit = if self.squeezes(purpose) { Fit::Squash } else { fitting.fit };
        Making { fitting: Fitting { fit, ..fitting }, reduced: purpose == Use::Training }
    }
}

#[cfg(test)]
mod tests;
