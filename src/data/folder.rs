//! Image folders: one sub-folder of images for each class, or `train/` beside `val/` or `test/` with such sub-folders.
//!
//! Two passes, both parallel: the first reads headers, to learn whether all images have one size (then they keep it);
//! the second decodes, a batch at a time, straight into the place where the pixels stay. A file that cannot be decoded
//! is set aside with its reason; only a class without any image left is an error.

use super::{
    DataError, Dataset, LoadOptions, Progress, Rejected, Report, Split, ValidationKind,
    dataset::hold_out,
    decode::{decode_image, image_size, is_image_name},
    progress::tell,
    store::Store,
    transform::{fit_image, flatten},
};
use rayon::prelude::*;
use std::{
    collections::{HashMap, HashSet},
    fs,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

/// Side of the images of a folder of mixed sizes when no size is asked for.
const MIXED_SIZE: usize = 64;
/// Most bytes of an image file.
const FILE_LIMIT: u64 = 1 << 28;
/// The beginning of a file that usually has its header, EXIF block and all.
const HEADER: u64 = 256 << 10;
/// Most images of a folder: beyond it, something other than an image folder was given.
const MOST_FILES: usize = 20_000_000;

const TRAIN: [&str; 2] = ["train", "training"];
const VALIDATION: [&str; 3] = ["val", "valid", "validation"];
const TEST: [&str; 2] = ["test", "testing"];

/// An image file with its label.
#[derive(Clone, Debug)]
struct Item {
    path: PathBuf,
    label: u32,
}

pub(super) fn load(folder: &Path, options: &LoadOptions, progress: &dyn Progress) -> Result<Dataset, DataError> {
    let layout = Layout::find(folder)?;
    let (mut rejected, mut sizes) = (Vec::new(), HashMap::new());
    let mut train = scan(layout.train, &mut rejected, &mut sizes, progress)?;
    let second = match layout.validation {
        Some((items, kind)) => Some((scan(items, &mut rejected, &mut sizes, progress)?, kind)),
        None => None,
    };
    let mut original_sizes: Vec<_> = sizes.into_iter().collect();
    original_sizes.sort_by_key(|&(size, count)| (std::cmp::Reverse(count), size));
    let size = match original_sizes[..] {
        [(size, _)] => size,
        _ => [options.image_size.unwrap_or(MIXED_SIZE).max(1); 2],
    };
    let classes = layout.classes.len();
    let total = train.len() + second.as_ref().map_or(0, |(items, _)| items.len());
    // Asked once, for both splits: what the first one takes is not free any more.
    let place = options.place_for((size[0] * size[1] * 3) as u64 * total as u64)?;
    let context = Context { folder, options, progress, size, total, place };
    let (train, validation, kind) = match second {
        Some((items, kind)) => {
            let decoded = context.decode(&train, 0, &mut rejected)?;
            (decoded, context.decode(&items, train.len(), &mut rejected)?, kind)
        }
        None => loop {
            let labels: Vec<u32> = train.iter().map(|item| item.label).collect();
            let (kept, held) = hold_out(&labels, classes, options.validation_share, options.seed);
            let pick = |indices: &[usize]| indices.iter().map(|&i| train[i].clone()).collect::<Vec<_>>();
            let before = rejected.len();
            let decoded = context.decode(&pick(&kept), 0, &mut rejected)?;
            let validation = context.decode(&pick(&held), kept.len(), &mut rejected)?;
            // All that was kept of a small class may prove broken while a held out image of it is good: divide again
            // what is left, which is less each time.
            let (kept, held) = (decoded.class_counts(classes), validation.class_counts(classes));
            if kept.iter().zip(&held).all(|(&kept, &held)| kept > 0 || held == 0) {
                break (decoded, validation, ValidationKind::HeldOut);
            }
            let broken: HashSet<&PathBuf> = rejected[before..].iter().map(|rejected| &rejected.path).collect();
            train.retain(|item| !broken.contains(&item.path));
        },
    };
    if let Some(class) = train.class_counts(classes).iter().position(|&count| count == 0) {
        return Err(DataError::EmptyClass {
            class: layout.classes[class].clone(),
            split: "training",
            path: folder.to_owned(),
            hint: why_empty(&rejected, &layout.classes[class]),
        });
    }
    rejected.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Dataset {
        validation_kind: kind,
        rejected,
        original_sizes,
        ..Dataset::new(&super::folder_name(folder), layout.classes, train, validation)
    })
}

fn why_empty(rejected: &[Rejected], class: &str) -> String {
    let in_class = |r: &&Rejected| r.path.parent().and_then(Path::file_name).is_some_and(|name| name == class);
    match rejected.iter().find(in_class) {
        Some(first) => format!("{} could not be read: {}", first.path.display(), first.reason),
        None => "put images there or remove the folder".to_owned(),
    }
}

/// What a folder has been found to hold.
struct Layout {
    classes: Vec<String>,
    train: Vec<Item>,
    validation: Option<(Vec<Item>, ValidationKind)>,
}

impl Layout {
    fn find(folder: &Path) -> Result<Layout, DataError> {
        let split = |names: &[&str]| names.iter().map(|name| folder.join(name)).find(|path| path.is_dir());
        let unrecognised = || DataError::Unrecognised(folder.to_owned());
        let (root, second) = match split(&TRAIN) {
            Some(train) if has_sub_folders(&train)? => {
                let own = split(&VALIDATION).map(|path| (path, ValidationKind::Own));
                (train, own.or_else(|| split(&TEST).map(|path| (path, ValidationKind::Test))))
            }
            _ => (folder.to_owned(), None),
        };
        // A folder without any image is no class (`labels`, `.git`), but an empty one is: its images may be missing.
        let mut found = class_folders(&root)?;
        found.retain(|class| !class.images.is_empty() || class.is_empty);
        if found.iter().all(|class| class.images.is_empty()) {
            return Err(unrecognised());
        }
        let classes: Vec<String> = found.iter().map(|class| class.name.clone()).collect();
        let train = found.into_iter().enumerate().flat_map(|(label, class)| class.items(label)).collect();
        let validation = match second {
            None => None,
            Some((path, kind)) => {
                let mut items = Vec::new();
                for class in class_folders(&path)?.into_iter().filter(|class| !class.images.is_empty()) {
                    let Ok(label) = classes.binary_search(&class.name) else {
                        return Err(DataError::UnknownClass { class: class.name, path });
                    };
                    items.extend(class.items(label));
                }
                // An empty `val/` is as good as none.
                (!items.is_empty()).then_some((items, kind))
            }
        };
        Ok(Layout { classes, train, validation })
    }
}

struct ClassFolder {
    name: String,
    images: Vec<PathBuf>,
    is_empty: bool,
}

impl ClassFolder {
    fn items(self, label: usize) -> impl Iterator<Item = Item> {
        self.images.into_iter().map(move |path| Item { path, label: label as u32 })
    }
}

fn visible(path: &Path) -> bool {
    path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'))
}

/// The visible entries of a folder, by code point of their names.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(DataError::io(folder))? {
        paths.push(entry.map_err(DataError::io(folder))?.path());
        if paths.len() > MOST_FILES {
            return Err(DataError::broken(folder.display().to_string(), format!("more than {MOST_FILES} files")));
        }
    }
    paths.retain(|path| visible(path));
    // UTF-8 sorts by code point as bytes do; a locale's order would differ between machines.
    paths.sort();
    Ok(paths)
}

fn has_sub_folders(folder: &Path) -> Result<bool, DataError> {
    Ok(entries(folder)?.iter().any(|path| path.is_dir()))
}

/// The sub-folders with the images in each, below it at any depth that is not absurd.
fn class_folders(root: &Path) -> Result<Vec<ClassFolder>, DataError> {
    let folders: Vec<PathBuf> = entries(root)?.into_iter().filter(|path| path.is_dir()).collect();
    let read = |path: PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (mut images, is_empty) = (Vec::new(), entries(&path)?.is_empty());
        collect_images(&path, 4, &mut images)?;
        Ok(ClassFolder { name, images, is_empty })
    };
    let mut classes: Vec<ClassFolder> = folders.into_par_iter().map(read).collect::<Result<_, DataError>>()?;
    classes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(classes)
}

fn collect_images(folder: &Path, depth: usize, images: &mut Vec<PathBuf>) -> Result<(), DataError> {
    for path in entries(folder)? {
        if path.is_dir() {
            // A link could lead back to a parent, and its images would count twice.
            if depth > 0 && !path.is_symlink() {
                collect_images(&path, depth - 1, images)?;
            }
        } else if is_image_name(&path) {
            images.push(path);
        }
    }
    Ok(())
}

fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    // Before it is opened: opening a pipe would wait for someone to write into it.
    let metadata = fs::metadata(path).map_err(|e| e.to_string())?;
    if !metadata.is_file() {
        return Err("no regular file".to_owned());
    }
    let file = File::open(path).map_err(|e| e.to_string())?;
    let mut bytes = Vec::with_capacity(metadata.len().min(limit) as usize);
    file.take(limit).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    Ok(bytes)
}

fn whole_file(path: &Path) -> Result<Vec<u8>, String> {
    let bytes = read_file(path, FILE_LIMIT + 1)?;
    match bytes.len() as u64 > FILE_LIMIT {
        true => Err(format!("the file has more than {} MiB", FILE_LIMIT >> 20)),
        false => Ok(bytes),
    }
}

/// The size that a file's header tells.
fn header_size(path: &Path) -> Result<[usize; 2], String> {
    let beginning = read_file(path, HEADER)?;
    // Some formats keep their header at the end, and a long EXIF block may push it back.
    if let Ok(size) = image_size(&beginning) {
        return Ok(size);
    }
    image_size(&whole_file(path)?).map_err(|e| e.to_string())
}

/// Counts the sizes of images; those whose header cannot be read are moved to `rejected`.
fn scan(
    items: Vec<Item>,
    rejected: &mut Vec<Rejected>,
    sizes: &mut HashMap<[usize; 2], usize>,
    progress: &dyn Progress,
) -> Result<Vec<Item>, DataError> {
    let (done, total) = (AtomicUsize::new(0), items.len());
    let look = |item: &Item| {
        let size = header_size(&item.path);
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of(256) || done == total {
            tell(progress, Report::Scan { done, total })?;
        }
        Ok(size)
    };
    let found = items.par_iter().map(look).collect::<Result<Vec<_>, DataError>>()?;
    let mut kept = Vec::with_capacity(items.len());
    for (item, size) in items.into_iter().zip(found) {
        match size {
            Ok(size) => {
                *sizes.entry(size).or_default() += 1;
                kept.push(item);
            }
            Err(reason) => rejected.push(Rejected { path: item.path, reason }),
        }
    }
    Ok(kept)
}

/// What decoding needs to know beside the files.
struct Context<'a> {
    folder: &'a Path,
    options: &'a LoadOptions,
    progress: &'a dyn Progress,
    size: [usize; 2],
    total: usize,
    /// Where the pixels go; see [`Store::new`].
    place: Option<PathBuf>,
}

impl Context<'_> {
    /// Decodes the items, `before` of the total having been done.
    fn decode(&self, items: &[Item], before: usize, rejected: &mut Vec<Rejected>) -> Result<Split, DataError> {
        let [height, width] = self.size;
        let image_len = height * width * 3;
        let mut store = Store::new(image_len * items.len(), self.place.clone())?;
        let (mut labels, mut sources) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
        // Enough images at once to keep all cores busy, and not so many that they fill the memory.
        let batch = ((64 << 20) / image_len.max(1)).clamp(rayon::current_num_threads(), 1024);
        for (i, batch_items) in items.chunks(batch).enumerate() {
            let decoded: Vec<_> = batch_items.par_iter().map(|item| self.decode_one(&item.path)).collect();
            for (item, pixels) in batch_items.iter().zip(decoded) {
                match pixels {
                    Ok(pixels) => {
                        store.push(&pixels)?;
                        labels.push(item.label);
                        let name = item.path.strip_prefix(self.folder).unwrap_or(&item.path);
                        sources.push(name.to_string_lossy().into_owned());
                    }
                    Err(reason) => rejected.push(Rejected { path: item.path.clone(), reason }),
                }
            }
            let done = (before + i * batch + batch_items.len()) as u64;
            tell(self.progress, Report::Read { done, total: self.total as u64 })?;
        }
        let pixels = store.finish()?;
        Ok(Split { height, width, channels: 3, pixels, labels, sources: Some(sources) })
    }

    fn decode_one(&self, path: &Path) -> Result<Vec<u8>, String> {
        let image = decode_image(&whole_file(path)?).map_err(|e| e.to_string())?;
        let image = flatten(&image, self.options.background);
        Ok(fit_image(image, self.size, None, self.options.fit, self.options.filter).into_raw())
    }
}
