//! Data: files, archives and folders become labelled 8-bit images.
//!
//! [`load`] takes what `--data` takes and returns a [`Dataset`]: images of one size, `[n, height, width, channels]`
//! bytes in memory (or in a mapped file when they are many), labels, class names, and what was left out. Everything
//! random about a data set is a function of a seed ([`rng`]). [`Preprocessing`] brings a single image, a dropped photo
//! say, to the form that training used.
//!
//! Whatever is read here was written by strangers: sizes are checked before memory is taken, archive members are read
//! by name, pickles are interpreted by a closed reader, and a broken image is set aside with its reason.

pub(crate) mod alike;
mod archive;
mod catalogue;
mod cifar;
mod copy;
mod dataset;
mod decode;
mod download;
mod edits;
mod error;
mod folder;
mod hold_out;
mod identity;
mod idx;
mod inspect;
mod kept_sizes;
mod left_out;
mod listing;
mod photographs;
pub(crate) mod pickle;
mod pixels;
mod progress;
mod resample;
pub mod rng;
mod sample;
mod store;
mod transform;

pub(crate) use catalogue::{CIFAR10_CLASSES, Known, NAMED, NAMES, Named, SAMPLE};
pub(crate) use copy::save_as_folder;
pub(crate) use dataset::{Contradictions, Rejected, ValidationKind, class_name, shown_class_name};
pub use dataset::{Dataset, Split};
pub(crate) use decode::{decode_image, is_image_name, read_image_file};
pub(crate) use download::{Checksum, Download};
pub(crate) use edits::{Change, Edit, Edits, Made};
pub(crate) use error::DataError;
pub(crate) use hold_out::{ContentKey, HoldOut, Sides};
pub(crate) use identity::Identity;
pub(crate) use inspect::{Inspection, inspect};
use kept_sizes::KeptSizes;
pub use kept_sizes::SizeRules;
pub(crate) use left_out::{LeftOut, is_leftover};
pub(crate) use listing::images_in;
use photographs::Places;
pub(crate) use photographs::Whereabouts;
pub(crate) use pixels::Pixels;
pub use progress::Silent;
pub(crate) use progress::{Progress, Report};
pub(crate) use resample::{Filter, Part, Resampler, resample};
pub(crate) use transform::{Fit, Fitting, PixelRules, Place, Resize, WHITE, blend, luma};
pub use transform::{Normalisation, Preprocessing};

use crate::{cache, device::host, file, text};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// How to load a data set. `Default` is what the commands use without flags.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadOptions {
    /// Side of the square images that the network sees. A folder's photographs are brought to it as they are read; other
    /// images keep their size here, and batches are made of them: see [`SizeRules`].
    pub(crate) image_size: Option<usize>,
    /// Side of the squares that photographs become where no size is given, unless they are smaller.
    pub(crate) photo_size: usize,
    /// Whether training takes random crops and resizes them: photographs are then kept whole, at the working size.
    pub(crate) random_crops: bool,
    /// Side of the squares that whole photographs are kept at; without one it follows from what the network sees.
    pub(crate) working_size: Option<usize>,
    /// By which rule images come to the size that they are kept at.
    pub(crate) size_rules: SizeRules,
    /// What the short side becomes before the centre is taken, where that is more than it takes to cover the size.
    pub(crate) short_side: Option<usize>,
    pub(crate) fit: Fit,
    pub(crate) filter: Filter,
    /// What shows behind transparent pixels, and around an image under [`Fit::Pad`].
    pub(crate) background: [u8; 3],
    /// By which arithmetic images become pixels: the newest, or that of the network that is to see them.
    pub(crate) pixel_rules: PixelRules,
    /// Which training images are set aside where a data set has no second split.
    pub(crate) hold_out: HoldOut,
    /// What a run says of the images in place of where they lie.
    pub(crate) edits: Arc<Edits>,
    /// The classes of the run that it is for, whose order counts as long as edits only rename them.
    pub(crate) run_classes: Vec<String>,
    /// CIFAR-100's twenty superclasses instead of its hundred classes.
    pub(crate) coarse: bool,
    /// Where downloads and large decoded sets go, instead of the user's cache folder.
    pub(crate) cache_dir: Option<PathBuf>,
    /// A web address to download from instead of the published one: a mirror, or a test's server.
    pub(crate) base_address: Option<String>,
    /// Bytes of decoded images beyond which they go to a file in the cache folder, even where there is memory for them.
    pub(crate) memory_limit: u64,
    /// Whether photographs that are decoded as they are needed stay anywhere.
    pub(crate) keep_decoded: bool,
    /// Pixels of photographs beyond which nobody waits until all of them are decoded: about ten seconds' worth.
    pub(crate) pixels_at_once: u64,
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions {
            image_size: None,
            photo_size: 64,
            random_crops: false,
            working_size: None,
            size_rules: SizeRules::default(),
            short_side: None,
            fit: Fit::default(),
            filter: Filter::default(),
            background: WHITE,
            pixel_rules: PixelRules::default(),
            hold_out: HoldOut::default(),
            edits: Arc::default(),
            run_classes: Vec::new(),
            coarse: false,
            cache_dir: None,
            base_address: None,
            memory_limit: 2 << 30,
            keep_decoded: true,
            pixels_at_once: 2_000_000_000,
        }
    }
}

impl LoadOptions {
    /// How many superclasses CIFAR-100 has: nobody writes down that labels were the coarse ones, but their number says so.
    pub(crate) const COARSE_CLASSES: usize = 20;
    /// Where so many bytes of decoded images go: `None` is memory.
    fn place_for(&self, bytes: u64) -> Result<Option<PathBuf>, DataError> {
        // A file's pages are addresses too.
        check_room("all images together", bytes, host::addresses())?;
        (bytes > self.memory()).then(|| self.cache()).transpose()
    }

    /// Whether to decode images of these sizes, `([height, width], images)`, would keep somebody waiting, or fill more
    /// memory than `bytes` of them may: see [`photographs`].
    fn takes_long(&self, sizes: &[([usize; 2], usize)], bytes: u64) -> bool {
        let pixels: u64 = sizes.iter().map(|&([height, width], images)| (height * width * images) as u64).sum();
        pixels > self.pixels_at_once || bytes > self.memory()
    }

    /// Where photographs stay that come to so many bytes once they are decoded.
    fn places_for(&self, bytes: u64) -> Places {
        if !self.keep_decoded {
            return Places::default();
        }
        let cache = self.cache_dir.as_ref().map(|folder| folder.join("photographs"));
        let cache = cache.or_else(|| cache::place(cache::Kind::Photographs));
        Places { cache, memory: bytes <= self.memory(), ..Places::default() }
    }

    /// Bytes of memory that decoded images may take: half of what is free is left to training.
    fn memory(&self) -> u64 {
        host::free().map_or(self.memory_limit, |free| self.memory_limit.min(free / 2))
    }

    fn cache(&self) -> Result<PathBuf, DataError> {
        self.cache_dir.clone().or_else(cache_dir).ok_or(DataError::NoCache)
    }
}

/// Refuses what claims to hold more than such files ever do, before memory is taken.
fn check_size(what: &str, needed: u64, limit: u64) -> Result<(), DataError> {
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    match needed > limit {
        true => Err(DataError::TooLarge { what: what.to_owned(), needed: mebibytes(needed), limit: mebibytes(limit) }),
        false => Ok(()),
    }
}

/// Refuses what needs more bytes than are free.
fn check_room(what: &str, needed: u64, free: Option<u64>) -> Result<(), DataError> {
    match free {
        Some(free) if needed > free => Err(DataError::NoRoom { what: what.to_owned(), needed, free }),
        _ => Ok(()),
    }
}

/// The user's cache folder for data: `~/.cache/kindling/data`, or what the system has for it.
pub(crate) fn cache_dir() -> Option<PathBuf> {
    cache::place(cache::Kind::Data)
}

/// Loads `sample`, `cifar10`, `cifar100` or `fashion-mnist` (downloading what is not in the cache), or the data set at
/// a path: a CIFAR archive or folder, a folder of IDX files, or a folder of images.
///
/// # Errors
/// One line that says what is wrong, where, and what to do about it. [`DataError::Cancelled`] when `progress` breaks.
pub fn load(spec: &str, options: &LoadOptions, progress: &dyn Progress) -> Result<Dataset, DataError> {
    let mut dataset = if spec == SAMPLE {
        sample::load()?
    } else if let Some(known) = Known::from_name(spec) {
        load_known(known, options, progress)?
    } else {
        load_path(&text::to_path(spec), options, progress)?
    };
    if dataset.train.sources.is_none() && options.edits.can_undo() {
        dataset = edits::apply_to_loaded(dataset, options, progress)?;
    }
    dataset.spec = absolute(spec);
    dataset.options = options.clone();
    if dataset.identity.digest.is_empty() {
        dataset.identity = dataset.identify(None);
    }
    Ok(dataset)
}

/// A spec that means the same wherever it is read: a path in full.
fn absolute(spec: &str) -> String {
    if NAMES.contains(&spec) {
        return spec.to_owned();
    }
    std::path::absolute(text::to_path(spec)).map_or_else(|_| spec.to_owned(), |path| text::utf8(path.as_os_str()))
}

/// Downloads a known data set into a folder of the cache, where it is not there yet; returns that folder. Each has its
/// own: MNIST and Fashion-MNIST have the same file names.
pub(crate) fn download(known: Known, options: &LoadOptions, progress: &dyn Progress) -> Result<PathBuf, DataError> {
    let folder = options.cache()?.join(known.name());
    for download in known.downloads(options.base_address.as_deref()) {
        download.fetch(&folder, progress)?;
    }
    Ok(folder)
}

fn load_known(known: Known, options: &LoadOptions, progress: &dyn Progress) -> Result<Dataset, DataError> {
    // What a user has put into the cache, in either format, packed or not, is as good as a download.
    let cache = options.cache()?;
    let folder = cache.join(known.name());
    for place in [&folder, &cache] {
        if let Some(found) = find_known(known, place) {
            return load_path(&found, options, progress);
        }
    }
    let folder = download(known, options, progress)?;
    let found = find_known(known, &folder).ok_or(DataError::Unrecognised(folder))?;
    load_path(&found, options, progress)
}

/// A complete copy of a known data set below `place`.
fn find_known(known: Known, place: &Path) -> Option<PathBuf> {
    let stem = match known {
        Known::Cifar10 => "cifar-10-",
        Known::Cifar100 => "cifar-100-",
        Known::FashionMnist => {
            let complete = known.downloads(None).iter().all(|file| place.join(&file.file_name).is_file());
            return complete.then(|| place.to_owned());
        }
    };
    let archives = ["binary.tar.gz", "python.tar.gz"].map(|ending| stem.to_owned() + ending);
    let folders = cifar::FOLDERS.into_iter().filter(|name| name.starts_with(stem)).map(str::to_owned);
    archives.into_iter().chain(folders).map(|name| place.join(name)).find(|path| path.exists())
}

/// Whether a file is one that [`load`] takes, or the folder that it lies in, by its name.
pub(crate) fn is_data_name(path: &Path) -> bool {
    idx::is_name(path) || cifar::is_name(path) || archive::is_name(path)
}

fn load_path(path: &Path, options: &LoadOptions, progress: &dyn Progress) -> Result<Dataset, DataError> {
    if path.is_file() {
        if archive::looks_like_archive(path) && !idx::is_name(path) {
            return cifar::load_archive(path, options.coarse, progress);
        }
        // One of a folder's files stands for the folder.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return match idx::is_name(path) && idx::is_folder(folder) {
            true => idx::load_folder(folder, options),
            false => match cifar::is_member(path) && cifar::is_folder(folder) {
                true => cifar::load_folder(folder, options.coarse),
                false => Err(DataError::Unrecognised(path.to_owned())),
            },
        };
    }
    if !path.is_dir() {
        return Err(match fs::metadata(path) {
            Ok(metadata) => {
                DataError::broken(text::path(path), format!("this is {}, no data set", file::kind(&metadata)))
            }
            Err(_) => DataError::NotFound { spec: text::path(path), names: &NAMES },
        });
    }
    // `raw` is where torchvision keeps IDX files.
    let inside = cifar::FOLDERS.iter().map(|name| path.join(name));
    if let Some(folder) = std::iter::once(path.to_owned()).chain(inside).find(|folder| cifar::is_folder(folder)) {
        cifar::load_folder(&folder, options.coarse)
    } else if let Some(folder) = [path.to_owned(), path.join("raw")].iter().find(|folder| idx::is_folder(folder)) {
        idx::load_folder(folder, options)
    } else {
        folder::load(path, options, progress)
    }
}

/// The last part of a path as a name to show.
fn folder_name(folder: &Path) -> String {
    let absolute = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    absolute.file_name().map_or_else(|| "images".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
