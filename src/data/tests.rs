//! Loading whole data sets: names and places here, and a file for each form that they come in.

mod cifar;
mod dividing;
mod edited;
mod folders;
mod idx_files;

use super::*;
use image::{ImageFormat, Rgb, RgbImage};
use proptest::prelude::*;
use std::{
    fs,
    io::{Cursor, Read, Write},
};

const CIFAR10_BINARY: &[u8] = include_bytes!("../../tests/data/cifar/cifar-10-binary.tar.gz");
const CIFAR10_PYTHON: &[u8] = include_bytes!("../../tests/data/cifar/cifar-10-python.tar.gz");
const CIFAR100_BINARY: &[u8] = include_bytes!("../../tests/data/cifar/cifar-100-binary.tar.gz");
const CIFAR100_PYTHON: &[u8] = include_bytes!("../../tests/data/cifar/cifar-100-python.tar.gz");

pub(super) fn try_load(path: &Path, options: &LoadOptions) -> Result<Dataset, DataError> {
    load(path.to_str().unwrap(), options, &Silent)
}

pub(super) fn load_with(path: &Path, options: &LoadOptions) -> Dataset {
    try_load(path, options).unwrap()
}

/// The error's text, which must be one line that names the place.
pub(super) fn error_of(path: &Path) -> String {
    let error = try_load(path, &LoadOptions::default()).unwrap_err().to_string();
    assert!(!error.contains('\n'), "more than a line: {error}");
    error
}

pub(super) fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn unpack(archive: &[u8], folder: &Path) {
    tar::Archive::new(flate2::read::GzDecoder::new(archive)).unpack(folder).unwrap();
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn assert_same_images(a: &Split, b: &Split) {
    assert_eq!(a.labels, b.labels);
    assert_eq!(a.all_pixels(), b.all_pixels());
    assert_eq!((a.height, a.width, a.channels), (b.height, b.width, b.channels));
}

const IDX_NAMES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

fn idx(sizes: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend(data);
    bytes
}

/// Twelve training and six test images of 3x4 pixels in three classes.
fn write_idx(folder: &Path, packed: bool) {
    for (name, count) in [("train", 12u32), ("t10k", 6)] {
        let pixels: Vec<u8> = (0..count * 12).map(|i| (i * 7) as u8).collect();
        let labels: Vec<u8> = (0..count).map(|i| (i % 3) as u8).collect();
        for (kind, bytes) in [("images-idx3", idx(&[count, 3, 4], &pixels)), ("labels-idx1", idx(&[count], &labels))] {
            match packed {
                true => write(&folder.join(format!("{name}-{kind}-ubyte.gz")), &gzip(&bytes)),
                false => write(&folder.join(format!("{name}-{kind}-ubyte")), &bytes),
            }
        }
    }
}

pub(super) fn png(width: u32, height: u32, colour: [u8; 3]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_pixel(width, height, Rgb(colour)).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Ten images of one size in each of the classes `1`, `10`, `2`, coloured by class and number.
pub(super) fn write_folder(folder: &Path) {
    for class in ["1", "10", "2"] {
        for i in 0..10 {
            let colour = [class.len() as u8, class.as_bytes()[0], i];
            write(&folder.join(format!("{class}/{i}.png")), &png(6, 5, colour));
        }
    }
}

#[test]
#[cfg(unix)]
fn a_pipe_in_the_place_of_data_blocks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    };
    for name in ["pipe", "cifar-10-binary.tar.gz", "a.tar", "train-images-idx3-ubyte.gz"] {
        assert!(error_of(&pipe(name)).contains("a pipe"), "{name}");
    }
    assert!(error_of(Path::new("/dev/null")).contains("a device"));
    unpack(CIFAR10_PYTHON, &folder.path().join("cifar"));
    let inner = folder.path().join("cifar/cifar-10-batches-py");
    fs::remove_file(inner.join("batches.meta")).unwrap();
    pipe("cifar/cifar-10-batches-py/batches.meta");
    assert!(error_of(&inner).contains("a pipe"));
    write_idx(&folder.path().join("digits"), false);
    fs::remove_file(folder.path().join("digits").join(IDX_NAMES[2])).unwrap();
    pipe(&format!("digits/{}", IDX_NAMES[2]));
    assert_eq!(
        load_with(&folder.path().join("digits"), &LoadOptions::default()).train.len(),
        9,
        "no file, no test pair"
    );
}

#[test]
fn places_that_hold_no_data_set_say_so() {
    let folder = tempfile::tempdir().unwrap();
    assert!(error_of(folder.path()).contains("no data set that Kindling knows"));
    assert!(error_of(&folder.path().join("nothing")).contains("there is no data set"));
    write(&folder.path().join("a.png"), &png(6, 5, [0; 3]));
    assert!(error_of(folder.path()).contains("one sub-folder of images for each class"));
    assert!(error_of(&folder.path().join("a.png")).contains("no data set that Kindling knows"));
}

#[test]
fn a_known_set_in_the_cache_is_not_downloaded() {
    let cache = tempfile::tempdir().unwrap();
    let options = LoadOptions {
        cache_dir: Some(cache.path().to_owned()),
        base_address: Some("http://127.0.0.1:1".to_owned()),
        ..LoadOptions::default()
    };
    write(&cache.path().join("cifar10/cifar-10-python.tar.gz"), CIFAR10_PYTHON);
    let set = load("cifar10", &options, &Silent).unwrap();
    assert_eq!((set.name.as_str(), set.spec.as_str(), set.train.len()), ("cifar10", "cifar10", 200));
    unpack(CIFAR100_BINARY, cache.path());
    assert_eq!(load("cifar100", &options, &Silent).unwrap().classes.len(), 100);
}

#[test]
fn a_known_set_is_downloaded_from_the_given_address_and_verified() {
    // A server that sends the miniature instead of the published archive: right protocol, wrong file.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/kriz/", listener.local_addr().unwrap());
    let request = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let n = stream.read(&mut request).unwrap();
        let length = CIFAR10_BINARY.len();
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n").unwrap();
        // The client refuses by the length, and may hang up before the last byte.
        let _ = stream.write_all(CIFAR10_BINARY);
        String::from_utf8_lossy(&request[..n]).into_owned()
    });
    let cache = tempfile::tempdir().unwrap();
    let options =
        LoadOptions { cache_dir: Some(cache.path().to_owned()), base_address: Some(base), ..LoadOptions::default() };
    let error = load("cifar10", &options, &Silent).unwrap_err();
    assert!(matches!(error, DataError::Corrupt { .. }), "{error}");
    assert!(request.join().unwrap().starts_with("GET /kriz/cifar-10-binary.tar.gz "));
}
