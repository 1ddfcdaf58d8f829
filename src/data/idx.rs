//! IDX files, the format of MNIST and its descendants: a magic number, big-endian sizes, then bytes; gzipped or not.
//!
//! <http://yann.lecun.com/exdb/mnist/>

use super::{
    ContentKey, DataError, Dataset, LoadOptions, Split, ValidationKind, archive,
    catalogue::{FASHION_MNIST_CLASSES, FASHION_MNIST_LABELS, Known},
};
use crate::{device::host, file, text};
use flate2::read::GzDecoder;
use rayon::prelude::*;
use std::{
    fs,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

/// Most bytes of a file's data: of images, of images that are packed (EMNIST's most take 547 MB), and of labels.
const IMAGES: u64 = 1 << 30;
const PACKED_IMAGES: u64 = 640 << 20;
const LABELS: u64 = 8 << 20;

/// An IDX file of unsigned bytes.
#[derive(Debug)]
struct Idx {
    sizes: Vec<usize>,
    data: Vec<u8>,
}

/// Reads one file and checks that it holds exactly what its header says.
fn read(path: &Path, limit: u64) -> Result<Idx, DataError> {
    let (file, size) = file::open(path).map_err(DataError::io(path))?;
    let (mut reader, name) = (BufReader::new(file), text::path(path));
    // Deflate packs at most 1032 bytes into one: a header that claims more is not believed.
    match archive::is_gzip(reader.fill_buf().map_err(DataError::io(path))?) {
        true => parse(GzDecoder::new(reader), size.saturating_mul(1032), limit.min(PACKED_IMAGES), &name),
        false => parse(reader, size, limit, &name),
    }
}

/// Reads a stream of at most `most` bytes, of which no more than `limit` are taken into memory.
fn parse(mut stream: impl Read, most: u64, limit: u64, name: &str) -> Result<Idx, DataError> {
    let broken = |what: &str| DataError::broken(name, what);
    let cut = |e: io::Error| broken(&format!("broken or cut short ({e}); get the file again"));
    let mut magic = [0; 4];
    stream.read_exact(&mut magic).map_err(cut)?;
    let [0, 0, kind, dimensions] = magic else {
        return Err(broken("no IDX file: it does not begin with two zero bytes"));
    };
    if kind != 8 {
        return Err(broken("an IDX file of another type than unsigned bytes, which alone is supported"));
    }
    let mut header = vec![0; 4 * usize::from(dimensions)];
    stream.read_exact(&mut header).map_err(cut)?;
    let (sizes, _) = header.as_chunks::<4>();
    let sizes: Vec<usize> = sizes.iter().map(|&size| u32::from_be_bytes(size) as usize).collect();
    let expected = sizes.iter().try_fold(1u64, |product, &size| product.checked_mul(size as u64));
    let wrong = |found: &str| broken(&format!("the header says {sizes:?}, but {found} follow; get the file again"));
    let Some(expected) = expected.filter(|&expected| expected <= most && !sizes.is_empty()) else {
        return Err(wrong("not so many bytes"));
    };
    super::check_size(name, expected, limit)?;
    super::check_room(name, expected, host::free())?;
    let mut data = Vec::with_capacity(expected as usize);
    // One more than expected, to see whether there is more.
    stream.take(expected + 1).read_to_end(&mut data).map_err(cut)?;
    match data.len() as u64 == expected {
        true => Ok(Idx { sizes, data }),
        false => Err(wrong(if data.len() as u64 > expected { "more bytes" } else { "fewer bytes" })),
    }
}

/// The four files of a folder; the test pair may be missing.
struct Files {
    train: (PathBuf, PathBuf),
    test: Option<(PathBuf, PathBuf)>,
}

/// Finds the files by their customary names (`train-images-idx3-ubyte`, `t10k-labels.idx1-ubyte.gz` and the like).
fn find(folder: &Path) -> Option<Files> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.contains("-ubyte") && !name.starts_with('.'))
        .collect();
    // Plain before gzipped, and the same choice on every machine.
    names.sort_by_key(|name| (name.ends_with(".gz"), name.clone()));
    let file = |splits: &[&str], what: &str| {
        let name = names.iter().find(|name| splits.iter().any(|split| name.contains(split)) && name.contains(what));
        name.map(|name| folder.join(name)).filter(|path| path.is_file())
    };
    let pair = |splits: &[&str]| Some((file(splits, "images")?, file(splits, "labels")?));
    Some(Files { train: pair(&["train"])?, test: pair(&["t10k", "test"]) })
}

/// Whether a file has the name of an IDX file.
pub(super) fn is_name(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains("-ubyte"))
}

pub(super) fn is_folder(folder: &Path) -> bool {
    find(folder).is_some()
}

/// Loads the IDX files of a folder. Fashion-MNIST is recognised by its labels and gets its names and table.
pub(super) fn load_folder(folder: &Path, options: &LoadOptions) -> Result<Dataset, DataError> {
    let files = find(folder).ok_or_else(|| DataError::Unrecognised(folder.to_owned()))?;
    let (train, fashion) = split(&files.train)?;
    let test = files.test.as_ref().map(split).transpose()?.map(|(test, _)| test);
    if train.is_empty() {
        return Err(DataError::broken(text::path(&files.train.0), "there are no training images"));
    }
    if let Some(test) = &test
        && (test.height, test.width, test.channels) != (train.height, train.width, train.channels)
    {
        let what = format!(
            "test images of {}x{} where the training images have {}x{}",
            test.height, test.width, train.height, train.width
        );
        return Err(DataError::broken(text::path(folder), what));
    }
    let labels = train.labels.iter().chain(test.iter().flat_map(|test| &test.labels));
    let classes = labels.max().map_or(0, |&label| label as usize + 1);
    let names = match fashion {
        true => FASHION_MNIST_CLASSES.map(String::from).to_vec(),
        false => (0..classes).map(|i| i.to_string()).collect(),
    };
    let (train, validation, kind) = match test {
        Some(test) => (train, test, ValidationKind::Test),
        None => {
            let keys: Vec<_> = (0..train.len()).into_par_iter().map(|i| ContentKey::of(&train.image(i))).collect();
            let (kept, held) = options.hold_out.divide(&keys, &train.labels, classes);
            let train = Split { contents: Some(keys), ..train };
            (train.pick(&kept), train.pick(&held), ValidationKind::HeldOut)
        }
    };
    let name = if fashion { Known::FashionMnist.name().to_owned() } else { super::folder_name(folder) };
    Ok(Dataset {
        validation_kind: kind,
        normalisation: fashion.then(|| Known::FashionMnist.normalisation()),
        ..Dataset::new(&name, names, train, validation)
    })
}

/// Images and labels of one split, and whether they are Fashion-MNIST's training labels.
fn split((images, labels): &(PathBuf, PathBuf)) -> Result<(Split, bool), DataError> {
    let (pixels, marks) = (read(images, IMAGES)?, read(labels, LABELS)?);
    let broken = |path: &Path, what: String| DataError::broken(text::path(path), what);
    let (height, width, channels) = match pixels.sizes[..] {
        [_, height, width] => (height, width, 1),
        [_, height, width, channels @ (1 | 3)] => (height, width, channels),
        _ => return Err(broken(images, format!("sizes {:?} are not those of images", pixels.sizes))),
    };
    if height == 0 || width == 0 {
        return Err(broken(images, "images without pixels".to_owned()));
    }
    if marks.sizes.len() != 1 || marks.sizes[0] != pixels.sizes[0] {
        return Err(broken(labels, format!("{:?} labels for {} images", marks.sizes, pixels.sizes[0])));
    }
    let fashion = super::hex(&<sha2::Sha256 as sha2::Digest>::digest(&marks.data)) == FASHION_MNIST_LABELS;
    let split = Split {
        height,
        width,
        channels,
        pixels: pixels.data.into(),
        labels: marks.data.iter().map(|&label| label.into()).collect(),
        sources: None,
        contents: None,
    };
    Ok((split, fashion))
}
