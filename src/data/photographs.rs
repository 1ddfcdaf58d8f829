//! Photographs that are decoded when they are first needed, and then kept: in a file of the cache, which the next start
//! finds again, in memory where the disk has no room, or as long as the next few where neither has.
//!
//! So training begins at once, whatever the number of files: the thread that prepares batches decodes ahead of the step,
//! on all cores, and from the second epoch on only reads. What comes out never depends on where it was kept.
//!
//! That a file is broken may show only then. Another image of its class takes its place, so that batches stay a function
//! of their position, and whoever trains says so, once.

use super::{
    ContentKey, Fitting,
    decode::{decode_to_fit, read_image_file},
    resample::Part,
};
use crate::{
    cache::{self, Records},
    format::plural,
    text,
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, VecDeque},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// How a file becomes an image of a data set.
#[derive(Clone, Debug)]
pub(super) struct Making {
    pub fitting: Fitting,
    /// Whether it is made of no more of the file's pixels than serve. What validates is made of all, as a prediction is.
    pub reduced: bool,
}

impl Making {
    pub(super) fn decode(&self, path: &Path) -> Result<Vec<u8>, String> {
        self.decode_part(path, None)
    }

    /// A part of the image, or all of it.
    fn decode_part(&self, path: &Path, part: Option<&Part>) -> Result<Vec<u8>, String> {
        let bytes = read_image_file(path).map_err(|e| e.to_string())?;
        decode_to_fit(&bytes, &self.fitting, self.reduced, part).map_err(|e| e.to_string())
    }

    /// Bytes of an image.
    pub(super) fn len(&self) -> usize {
        self.fitting.size[0] * self.fitting.size[1] * 3
    }
}

/// A photograph that is still to be decoded.
#[derive(Clone, Debug)]
pub(super) struct Photograph {
    pub path: PathBuf,
    pub content: ContentKey,
    pub label: u32,
}

/// Where decoded photographs may stay.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// This folder of the cache, if its disk has room.
    pub cache: Option<PathBuf>,
    /// Whether memory has room for them.
    pub memory: bool,
    /// Whether it was said that the disk is full: it is so for both splits.
    pub full: Arc<AtomicBool>,
    /// The content that names the file in the cache: the lowest of all where no other is given.
    pub named_by: Option<ContentKey>,
}

/// Where images are once they are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    Memory,
    /// A file that goes with the process.
    TemporaryFile,
    /// A file of the cache, which the next run finds again.
    CacheFile,
    /// Each is decoded whenever it is needed.
    Nowhere,
}

/// The photographs of a split.
pub(super) struct Photographs {
    all: Vec<Photograph>,
    making: Making,
    kept: Kept,
    /// Those that were decoded last and are kept nowhere else.
    recent: Mutex<Recent>,
    full: Arc<AtomicBool>,
    /// Small ones, as they were looked at.
    thumbnails: Mutex<Recent>,
    /// Why each that is broken could not be decoded, and how many of them were told.
    broken: Mutex<(BTreeMap<usize, String>, usize)>,
}

enum Kept {
    File(Records),
    Memory(Vec<OnceLock<Vec<u8>>>),
    Nowhere,
}

/// Bytes of images that stay in memory for a moment, because those of a batch are asked for twice; and of thumbnails.
const RECENT_BYTES: usize = 64 << 20;
/// Images of a class that are tried in place of a broken one.
const STAND_INS: usize = 8;
/// What is made of a file changes with this.
const VERSION: u32 = 2;

impl Photographs {
    /// `name` is what people call them.
    pub(super) fn new(all: Vec<Photograph>, making: Making, places: &Places, name: &str) -> Self {
        let file = places.cache.as_deref().and_then(|folder| {
            let opened = open_file(folder, &file_name(&all, &making, places.named_by), &all, &making, name);
            opened.inspect_err(|error| tracing::warn!("{}: {error}", text::path(folder))).ok()
        });
        let kept = match file {
            Some(file) => Kept::File(file),
            None if places.memory => Kept::Memory(all.iter().map(|_| OnceLock::new()).collect()),
            None => Kept::Nowhere,
        };
        let full = places.full.clone();
        Self {
            all,
            making,
            kept,
            full,
            recent: Mutex::default(),
            thumbnails: Mutex::default(),
            broken: Mutex::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether they stay somewhere once they are decoded.
    pub(super) fn are_kept(&self) -> bool {
        !matches!(self.kept, Kept::Nowhere)
    }

    pub(super) fn whereabouts(&self) -> Whereabouts {
        match self.kept {
            Kept::File(_) => Whereabouts::CacheFile,
            Kept::Memory(_) => Whereabouts::Memory,
            Kept::Nowhere => Whereabouts::Nowhere,
        }
    }

    /// Image `index`.
    pub(super) fn image(&self, index: usize) -> Cow<'_, [u8]> {
        let key = self.all[index].content.0;
        match &self.kept {
            Kept::Memory(slots) => return Cow::Borrowed(slots[index].get_or_init(|| self.make(index).0)),
            Kept::File(records) if let Some(image) = records.read(key) => return Cow::Owned(image),
            Kept::File(_) | Kept::Nowhere => {}
        }
        if let Some(image) = lock(&self.recent).get(key) {
            return Cow::Owned(image.to_vec());
        }
        let (image, is_its_own) = self.make(index);
        if let (Kept::File(records), true) = (&self.kept, is_its_own) {
            records.write(key, &image);
            if records.has(key) {
                return Cow::Owned(image);
            }
        }
        lock(&self.recent).put(key, &image);
        Cow::Owned(image)
    }

    /// A part of image `index`, where they are kept nowhere, so that the rest need not be made; `None` where all of it is at
    /// hand, will be kept, or is broken.
    pub(super) fn part(&self, index: usize, part: &Part) -> Option<Vec<u8>> {
        let own = &self.all[index];
        let is_at_hand = self.are_kept() || lock(&self.recent).get(own.content.0).is_some() || self.is_broken(index);
        if is_at_hand { None } else { self.making.decode_part(&own.path, Some(part)).ok() }
    }

    /// Image `index` as `make` makes it smaller, the first time that it is asked for.
    pub(super) fn thumbnail(&self, index: usize, make: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
        let key = self.all[index].content.0;
        if let Some(thumbnail) = lock(&self.thumbnails).get(key) {
            return thumbnail.to_vec();
        }
        let thumbnail = make(&self.image(index));
        lock(&self.thumbnails).put(key, &thumbnail);
        thumbnail
    }

    /// Decodes an image, and whether it is that one: see the module.
    fn make(&self, index: usize) -> (Vec<u8>, bool) {
        let own = &self.all[index];
        match self.making.decode(&own.path) {
            Ok(image) => (image, true),
            Err(reason) => {
                lock(&self.broken).0.entry(index).or_insert(reason);
                let others = (index + 1..self.all.len()).chain(0..index).map(|other| &self.all[other]);
                let others = others.filter(|other| other.label == own.label && other.content != own.content);
                let stand_in = others.take(STAND_INS).find_map(|other| self.making.decode(&other.path).ok());
                (stand_in.unwrap_or_else(|| self.making.fitting.background.repeat(self.making.len() / 3)), false)
            }
        }
    }

    /// Whether image `index` was found to be broken, so that another stands in for it.
    pub(super) fn is_broken(&self, index: usize) -> bool {
        lock(&self.broken).0.contains_key(&index)
    }

    /// What has gone wrong since this was asked for last, in one line each.
    pub(super) fn take_troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        let mut broken = lock(&self.broken);
        let (reasons, told) = &mut *broken;
        if let (Some((&index, reason)), true) = (reasons.first_key_value(), reasons.len() > *told) {
            let (path, count) = (text::path(&self.all[index].path), plural(reasons.len(), "file"));
            troubles.push(format!(
                "{count} could not be decoded, such as {path} ({}): other images of their class stand in for them",
                text::foreign(reason)
            ));
            *told = reasons.len();
        }
        if let Kept::File(records) = &self.kept
            && let Some(error) = records.take_failure()
            && !self.full.swap(true, Ordering::Relaxed)
        {
            troubles.push(format!(
                "decoded photographs are no longer kept ({error}): the others are decoded anew in every epoch; free space \
                 on the disk of {}",
                cache::root().map_or_else(|| "the cache".to_owned(), |root| text::path(&root))
            ));
        }
        troubles
    }
}

/// The file in `folder` that keeps such images, or will.
fn open_file(folder: &Path, file: &str, all: &[Photograph], making: &Making, name: &str) -> io::Result<Records> {
    let [height, width] = making.fitting.size;
    let title = format!("{name}, {width}x{height}");
    let there = folder.join(file).metadata().map_or(0, |file| file.len());
    let all = Records::size(all.len(), making.len());
    if !cache::make_room(folder, all.saturating_sub(there), &folder.join(file)) {
        return Err(io::ErrorKind::StorageFull.into());
    }
    // Some of what is there may be of images that have gone.
    Records::open(folder, file, &title, making.len(), all + there)
}

/// The file for such images: the same one for a folder that was renamed, or has gained or lost a few files.
fn file_name(all: &[Photograph], making: &Making, named_by: Option<ContentKey>) -> String {
    let lowest = named_by.or_else(|| all.iter().map(|photograph| photograph.content).min());
    let lowest = lowest.map_or(0, |content| content.0);
    let how = ContentKey::of(format!("{VERSION} {making:?}").as_bytes()).0;
    format!("{lowest:016x}-{how:016x}.images")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here is left half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Recent {
    images: HashMap<u64, Arc<[u8]>>,
    order: VecDeque<u64>,
    bytes: usize,
}

impl Recent {
    fn get(&self, key: u64) -> Option<Arc<[u8]>> {
        self.images.get(&key).cloned()
    }

    fn put(&mut self, key: u64, image: &[u8]) {
        if self.images.insert(key, image.into()).is_none() {
            self.order.push_back(key);
            self.bytes += image.len();
        }
        while self.bytes > RECENT_BYTES
            && let Some(oldest) = self.order.pop_front()
        {
            self.bytes -= self.images.remove(&oldest).map_or(0, |image| image.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::LoadOptions;
    use image::{Rgb, RgbImage};

    /// Twelve pictures in two classes, of which number 5 is broken.
    fn pictures(folder: &Path) -> Vec<Photograph> {
        let picture = |i: u32| {
            let path = folder.join(format!("{i}.png"));
            match i {
                5 => std::fs::write(&path, b"\x89PNG\r\n\x1a\nrubbish").unwrap(),
                _ => RgbImage::from_fn(30, 20, |x, y| Rgb([i as u8, x as u8, y as u8])).save(&path).unwrap(),
            }
            let content = ContentKey::of(&std::fs::read(&path).unwrap());
            Photograph { path, content, label: i % 2 }
        };
        (0..12).map(picture).collect()
    }

    fn making() -> Making {
        Making { fitting: LoadOptions::default().fitting([8, 8]), reduced: true }
    }

    fn all(photographs: &Photographs) -> Vec<Vec<u8>> {
        (0..photographs.len()).map(|index| photographs.image(index).into_owned()).collect()
    }

    #[test]
    fn images_are_the_same_wherever_they_are_kept() {
        let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let pictures = pictures(folder.path());
        let places = [
            Places { cache: Some(cache.path().to_owned()), memory: true, ..Places::default() },
            Places { memory: true, ..Places::default() },
            Places::default(),
        ];
        let expected: Vec<_> =
            pictures.iter().map(|picture| making().decode(&picture.path).unwrap_or_default()).collect();
        for places in &places {
            let photographs = Photographs::new(pictures.clone(), making(), places, "pictures");
            for _ in 0..2 {
                let found = all(&photographs);
                assert!((0..12).all(|i| i == 5 || found[i] == expected[i]), "{places:?}");
                assert_eq!(found[5], expected[7], "the next of its class");
            }
            let troubles = photographs.take_troubles();
            assert!(troubles.len() == 1 && troubles[0].contains("1 file could not") && troubles[0].contains("5.png"));
            assert!(photographs.take_troubles().is_empty());
        }
        assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_next_start_decodes_nothing_though_files_came_went_or_moved() {
        let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let places = Places { cache: Some(cache.path().to_owned()), ..Places::default() };
        let mut pictures = pictures(folder.path());
        pictures.remove(5);
        let before = all(&Photographs::new(pictures.clone(), making(), &places, "pictures"));
        // The one whose content names the file stays.
        let lowest = pictures.iter().map(|picture| picture.content).min().unwrap();
        let gone = pictures.iter().position(|picture| picture.content != lowest).unwrap();
        pictures.remove(gone);
        for picture in &mut pictures {
            std::fs::remove_file(&picture.path).unwrap();
            picture.path = "moved".into();
        }
        let after = Photographs::new(pictures.clone(), making(), &places, "renamed");
        let expected: Vec<_> =
            before.into_iter().enumerate().filter(|(i, _)| *i != gone).map(|(_, image)| image).collect();
        assert_eq!(all(&after), expected);
        // What is made otherwise is something else.
        let other = Making { reduced: false, ..making() };
        assert_ne!(file_name(&pictures, &other, None), file_name(&pictures, &making(), None));
    }

    #[test]
    fn a_thumbnail_is_made_once_and_has_the_pictures_own_proportions() {
        let folder = tempfile::tempdir().unwrap();
        let all: Vec<_> = pictures(folder.path()).into_iter().take(2).collect();
        let sizes = vec![[20, 30]; 2];
        let photographs = Photographs::new(all, making(), &Places::default(), "pictures");
        let split = crate::data::Split {
            height: 8,
            width: 8,
            channels: 3,
            pixels: crate::data::Pixels::photographs(photographs).squeezed_from(sizes),
            labels: vec![0, 1],
            sources: None,
            contents: None,
        };
        let (size, pixels) = split.thumbnail(1, 6).unwrap();
        assert_eq!((size, pixels.len()), ([4, 6], 4 * 6 * 3));
        assert!(pixels.chunks_exact(3).all(|pixel| pixel[0] == 1));
        std::fs::remove_dir_all(folder.path()).unwrap();
        assert_eq!(split.thumbnail(1, 6), Some((size, pixels)));
    }

    #[test]
    fn a_disk_that_fills_up_costs_nothing_but_time_and_is_said_once() {
        let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let pictures = pictures(folder.path());
        let roomy =
            Photographs::new(pictures.clone(), making(), &Places { memory: true, ..Places::default() }, "pictures");
        let records = Records::open(cache.path(), "full", "pictures", making().len(), Records::size(4, making().len()));
        let full = Photographs {
            kept: Kept::File(records.unwrap()),
            ..Photographs::new(pictures, making(), &Places::default(), "")
        };
        assert!((0..3).all(|_| all(&full) == all(&roomy)));
        let troubles = full.take_troubles();
        assert_eq!(troubles.iter().filter(|text| text.contains("no longer kept")).count(), 1, "{troubles:?}");
        assert!(full.take_troubles().is_empty());
    }
}
