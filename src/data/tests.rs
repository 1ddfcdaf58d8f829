//! Loading whole data sets: the same images from every form, and one clear line for every broken one.

mod dividing;

use super::*;
use image::{ImageFormat, Rgb, RgbImage};
use proptest::prelude::*;
use std::{
    fs,
    io::{Cursor, Read, Write},
    ops::ControlFlow,
    sync::Mutex,
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

// CIFAR.

#[test]
fn cifar_in_all_four_forms_loads_to_the_same_pixels_and_labels() {
    let options = LoadOptions::default();
    for (binary, python, classes) in [(CIFAR10_BINARY, CIFAR10_PYTHON, 10), (CIFAR100_BINARY, CIFAR100_PYTHON, 100)] {
        let folder = tempfile::tempdir().unwrap();
        let mut loaded = Vec::new();
        for (name, archive) in [("binary", binary), ("python", python)] {
            let path = folder.path().join(format!("{name}.tar.gz"));
            write(&path, archive);
            loaded.push(load_with(&path, &options));
            let unpacked = folder.path().join(name);
            unpack(archive, &unpacked);
            // The folder that people unpacked into, the one that the archive made, and a file of it.
            loaded.push(load_with(&unpacked, &options));
            let inner = fs::read_dir(&unpacked).unwrap().next().unwrap().unwrap().path();
            loaded.push(load_with(&inner, &options));
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(archive).read_to_end(&mut plain).unwrap();
            let path = folder.path().join(format!("{name}.tar"));
            write(&path, &plain);
            loaded.push(load_with(&path, &options));
        }
        for other in &loaded[1..] {
            assert_same_images(&loaded[0].train, &other.train);
            assert_same_images(&loaded[0].validation, &other.validation);
            assert_eq!(loaded[0].classes, other.classes);
            assert_eq!(loaded[0].normalisation, other.normalisation);
        }
        assert_eq!(loaded[0].classes.len(), classes);
        assert_eq!(loaded[0].train.len(), if classes == 10 { 200 } else { 40 });
        assert_eq!(loaded[0].validation.len(), 40);
        assert_eq!(loaded[0].validation_kind, ValidationKind::Test);
    }
}

/// A gzipped tar of files with a name, a size and bytes.
fn archive<'a, R: Read>(files: impl IntoIterator<Item = (&'a str, usize, R)>) -> Vec<u8> {
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut builder = tar::Builder::new(encoder);
    for (name, size, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(size as u64);
        builder.append_data(&mut header, name, bytes.take(size as u64)).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

#[test]
fn the_order_of_the_files_in_an_archive_does_not_matter() {
    // Files of different lengths, with labels that say where each image belongs.
    let files: [(&str, &[u8]); 6] = [
        ("cifar/data_batch_4.bin", &[5, 6]),
        ("cifar/test_batch.bin", &[9]),
        ("cifar/data_batch_1.bin", &[0]),
        ("cifar/data_batch_5.bin", &[7]),
        ("cifar/data_batch_3.bin", &[3, 4]),
        ("cifar/data_batch_2.bin", &[1, 2]),
    ];
    let batch = |(name, labels): (&'static str, &[u8])| {
        let records: Vec<u8> = labels.iter().flat_map(|&label| [&[label][..], &[label * 9; 3072]].concat()).collect();
        (name, records.len(), Cursor::new(records))
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar.gz");
    write(&path, &archive(files.map(batch)));
    let set = load_with(&path, &LoadOptions::default());
    assert_eq!((&set.train.labels[..], &set.validation.labels[..]), (&[0, 1, 2, 3, 4, 5, 6, 7][..], &[9][..]));
    for i in 0..8 {
        assert_eq!(set.train.image(i), [i as u8 * 9; 3072]);
    }
}

#[test]
fn archives_that_unpack_to_more_than_such_hold_end_with_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zeros.tar.gz");
    let zeros = |name, size| (name, size, std::io::repeat(0));
    write(&path, &archive([zeros("data_batch_1.bin", 161 << 20)]));
    assert!(error_of(&path).contains("161 MiB, more than the 160 MiB"), "{}", error_of(&path));
    write(&path, &archive([zeros("other.bin", 257 << 20)]));
    assert!(error_of(&path).contains("more than 256 MiB"), "{}", error_of(&path));

    write_idx(folder.path(), false);
    let images = folder.path().join(IDX_NAMES[0]);
    fs::remove_file(&images).unwrap();
    let vast = gzip(&idx(&[12, 1 << 13, 1 << 13], &vec![0; 1 << 20]));
    write(&images, &[vast, vec![0; 2 << 20]].concat());
    assert!(error_of(folder.path()).contains("more than the 640 MiB"), "{}", error_of(folder.path()));
}

#[test]
fn cifar_batches_that_were_pickled_anew_in_protocol_5_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for (i, name) in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]
        .into_iter()
        .enumerate()
    {
        // {b"data": numpy.full((1, 3072), i, numpy.uint8), b"labels": [i]} in protocol 5.
        let mut bytes = b"\x80\x05}(C\x04data\x8c\x13numpy._core.numeric\x8c\x0b_frombuffer\x93(\x96".to_vec();
        bytes.extend(3072u64.to_le_bytes());
        bytes.extend([i as u8; 3072]);
        bytes.extend(b"\x8c\x05numpy\x8c\x05dtype\x93\x8c\x02u1\x89\x88\x87RK\x01M\x00\x0c\x86\x8c\x01CtR");
        bytes.extend([b"C\x06labels](K".as_slice(), &[i as u8], b"eu."].concat());
        write(&folder.path().join(name), &bytes);
    }
    let set = load_with(folder.path(), &LoadOptions::default());
    assert_eq!((&set.train.labels[..], &set.validation.labels[..]), (&[0, 1, 2, 3, 4][..], &[5][..]));
    assert!(set.train.image(3).iter().all(|&pixel| pixel == 3));
}

#[test]
fn cifar_pixels_are_where_the_archives_maker_put_them() {
    // Every class has a base colour, `(label * 97 + channel * 53) % 192`, plus noise below 64.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar.gz");
    write(&path, CIFAR10_PYTHON);
    let set = load_with(&path, &LoadOptions::default());
    for i in 0..set.train.len() {
        let label = set.train.labels[i] as usize;
        // File names have 12 letters; the n-th image has label `(n * 7 + 12) % 10`.
        assert_eq!(label, (i % 40 * 7 + 12) % 10);
        for (k, &pixel) in set.train.image(i).iter().enumerate() {
            let base = (label * 97 + k % 3 * 53) % 192;
            assert!((base..base + 64).contains(&usize::from(pixel)));
        }
    }
    assert_eq!(set.classes[0], "airplane");
    assert_eq!(set.normalisation.unwrap().mean, [0.4914, 0.4822, 0.4465]);
}

#[test]
fn cifar_100_has_coarse_labels_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let options = LoadOptions { coarse: true, ..LoadOptions::default() };
    for archive in [CIFAR100_BINARY, CIFAR100_PYTHON] {
        let path = folder.path().join("a.tar.gz");
        write(&path, archive);
        let (fine, coarse) = (load_with(&path, &LoadOptions::default()), load_with(&path, &options));
        assert_eq!(coarse.classes.len(), 20);
        assert_eq!(coarse.classes[3], "coarse_03");
        assert_eq!(fine.classes[42], "fine_42");
        let expected: Vec<u32> = fine.train.labels.iter().map(|label| label / 5).collect();
        assert_eq!(coarse.train.labels, expected);
    }
}

#[test]
fn broken_cifar_files_say_what_is_wrong_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("cut.tar.gz"), &CIFAR10_BINARY[..300_000]);
    assert!(error_of(&at("cut.tar.gz")).contains("cut short"));
    write(&at("other.tar.gz"), &gzip(b"not a tar archive, whatever the name says"));
    assert!(error_of(&at("other.tar.gz")).contains("other.tar.gz"));

    let records = at("records");
    unpack(CIFAR10_BINARY, &records);
    let batch = records.join("cifar-10-batches-bin/data_batch_3.bin");
    let whole = fs::read(&batch).unwrap();
    write(&batch, &whole[..whole.len() - 1]);
    assert!(error_of(&records).contains("no whole number of records"));
    let mut wrong = whole.clone();
    wrong[3073] = 10;
    write(&batch, &wrong);
    assert!(error_of(&records).contains("label 10"));
    fs::remove_file(&batch).unwrap();
    assert!(error_of(&records).contains("data_batch_3.bin is missing"));

    let pickles = at("pickles");
    unpack(CIFAR10_PYTHON, &pickles);
    let batch = pickles.join("cifar-10-batches-py/data_batch_2");
    let whole = fs::read(&batch).unwrap();
    for (bytes, expected) in [
        (&whole[..5000], "ends at byte"),
        (b"cos\nsystem\n(S'touch pwned'\ntR.", "labels is missing"),
        (b"\x80\x02}.", "labels is missing"),
        (b"\x80\x07N.", "protocol 7"),
        (b"", "ends at byte 0"),
    ] {
        write(&batch, bytes);
        let error = error_of(&pickles);
        assert!(error.contains(expected) && error.contains("data_batch_2"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_and_cut_cifar_files_never_panic(
        pickled in any::<bool>(),
        near_the_start in any::<bool>(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        keep in proptest::option::weighted(0.3, any::<prop::sample::Index>()),
    ) {
        // One member of each form, edited; the framing around it is the next test's.
        let (archive, name) = if pickled { (CIFAR100_PYTHON, "train") } else { (CIFAR100_BINARY, "train.bin") };
        let folder = tempfile::tempdir().unwrap();
        unpack(archive, folder.path());
        let inner = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let mut bytes = fs::read(inner.join(name)).unwrap();
        for (index, value) in edits {
            // Instructions are dense at the start, pixels fill the rest.
            let index = index.index(if near_the_start { 1500 } else { bytes.len() });
            bytes[index] = value;
        }
        if let Some(keep) = keep {
            bytes.truncate(keep.index(bytes.len()));
        }
        write(&inner.join(name), &bytes);
        if let Err(error) = try_load(folder.path(), &LoadOptions::default()) {
            prop_assert!(!error.to_string().contains('\n'));
        }
    }

    #[test]
    fn mutated_and_cut_archives_never_panic(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        packed in any::<bool>(),
        keep in proptest::option::weighted(0.3, any::<prop::sample::Index>()),
    ) {
        let mut bytes = CIFAR100_BINARY.to_vec();
        if !packed {
            bytes.clear();
            flate2::read::GzDecoder::new(CIFAR100_BINARY).read_to_end(&mut bytes).unwrap();
        }
        for (index, value) in edits {
            // The first kilobytes of the tar are headers.
            let index = index.index(if packed { bytes.len() } else { 1024 });
            bytes[index] = value;
        }
        if let Some(keep) = keep {
            bytes.truncate(keep.index(bytes.len()));
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar.gz");
        write(&path, &bytes);
        let _ = try_load(&path, &LoadOptions::default());
    }

    #[test]
    fn mutated_and_cut_idx_files_never_panic(
        which in 0usize..4,
        packed in any::<bool>(),
        edits in proptest::collection::vec((0usize..40, any::<u8>()), 0..4),
        keep in proptest::option::weighted(0.3, any::<prop::sample::Index>()),
    ) {
        let folder = tempfile::tempdir().unwrap();
        write_idx(folder.path(), packed);
        let ending = if packed { ".gz" } else { "" };
        let path = folder.path().join(format!("{}{ending}", IDX_NAMES[which]));
        let mut bytes = fs::read(&path).unwrap();
        for (index, value) in edits {
            let index = index.min(bytes.len() - 1);
            bytes[index] = value;
        }
        if let Some(keep) = keep {
            bytes.truncate(keep.index(bytes.len()));
        }
        write(&path, &bytes);
        let _ = try_load(folder.path(), &LoadOptions::default());
    }
}

// IDX.

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

#[test]
fn idx_files_load_alike_gzipped_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, packed) = (folder.path().join("plain"), folder.path().join("packed"));
    write_idx(&plain, false);
    write_idx(&packed, true);
    let plain_set = load_with(&plain, &LoadOptions::default());
    assert_same_images(&plain_set.train, &load_with(&packed, &LoadOptions::default()).train);
    assert_same_images(
        &plain_set.train,
        &load_with(&packed.join("train-images-idx3-ubyte.gz"), &LoadOptions::default()).train,
    );
    assert_eq!((plain_set.train.len(), plain_set.validation.len()), (12, 6));
    assert_eq!((plain_set.train.height, plain_set.train.width, plain_set.train.channels), (3, 4, 1));
    assert_eq!(plain_set.train.image(1)[..3], [84, 91, 98]);
    assert_eq!(plain_set.classes, ["0", "1", "2"]);
    assert_eq!(plain_set.normalisation, None, "MNIST's names do not make it Fashion-MNIST");
}

#[test]
fn idx_files_without_a_test_pair_are_divided() {
    let folder = tempfile::tempdir().unwrap();
    write_idx(folder.path(), false);
    fs::remove_file(folder.path().join(IDX_NAMES[2])).unwrap();
    let set = load_with(folder.path(), &LoadOptions::default());
    assert_eq!((set.train.len(), set.validation.len()), (9, 3));
    assert_eq!(set.validation_kind, ValidationKind::HeldOut);
    assert_eq!(set.validation.class_counts(3), [1, 1, 1]);
}

#[test]
fn broken_idx_files_say_what_is_wrong_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    write_idx(folder.path(), false);
    let (images, labels) = (folder.path().join(IDX_NAMES[0]), folder.path().join(IDX_NAMES[1]));
    let good = fs::read(&images).unwrap();
    for (bytes, expected) in [
        (good[..100].to_vec(), "not so many bytes"),
        (good[..2].to_vec(), "cut short"),
        ([&good[..], &[0]].concat(), "more bytes follow"),
        (b"P5 what is this".to_vec(), "no IDX file"),
        (gzip(&good[..100]), "fewer bytes follow"),
        (b"\x00\x00\x0d\x03".to_vec(), "another type"),
        (idx(&[u32::MAX, u32::MAX, u32::MAX], &[]), "the header says"),
        (idx(&[12], &[0; 12]), "not those of images"),
        (idx(&[12, 0, 4], &[]), "without pixels"),
        (idx(&[0, 3, 4], &[]), "12"),
        (gzip(&idx(&[1 << 16, 1 << 10, 1 << 10], &[])), "not so many bytes"),
        (gzip(&good)[..30].to_vec(), "cut short"),
    ] {
        write(&images, &bytes);
        let error = error_of(folder.path());
        assert!(error.contains(expected), "{error}");
    }
    write(&images, &good);
    write(&labels, &idx(&[11], &[0; 11]));
    assert!(error_of(folder.path()).contains("labels for 12 images"));
}

// Image folders.

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
fn a_folder_of_classes_is_sorted_by_code_point_and_has_every_class_on_either_side() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    write(&folder.path().join(".cache/x.png"), &png(6, 5, [0; 3]));
    write(&folder.path().join("1/.hidden.png"), b"no image");
    write(&folder.path().join("1/Thumbs.db"), b"no image");
    write(&folder.path().join("notes.txt"), b"text");
    write(&folder.path().join("docs/notes.txt"), b"a folder without images is no class");
    let set = load_with(folder.path(), &LoadOptions::default());
    assert_eq!(set.classes, ["1", "10", "2"]);
    let [kept, held] = [&set.train, &set.validation].map(|split| split.class_counts(3));
    assert!(
        kept.iter().zip(&held).all(|(&kept, &held)| kept + held == 10 && kept > 0 && held > 0),
        "{kept:?} {held:?}"
    );
    assert_eq!(set.validation_kind, ValidationKind::HeldOut);
    assert_eq!((set.train.height, set.train.width, set.train.channels), (5, 6, 3), "one size stays native");
    assert!(set.rejected.is_empty());
    for i in 0..set.train.len() {
        let (pixel, class) = (&set.train.image(i)[..3], &set.classes[set.train.labels[i] as usize]);
        assert_eq!(pixel[..2], [class.len() as u8, class.as_bytes()[0]]);
        let source = &set.train.sources.as_ref().unwrap()[i];
        assert_eq!(Path::new(source), Path::new(class).join(format!("{}.png", pixel[2])));
    }
}

#[test]
fn train_beside_val_or_test_is_taken_as_it_is() {
    for (second, kind) in [("val", ValidationKind::Own), ("test", ValidationKind::Test)] {
        let folder = tempfile::tempdir().unwrap();
        write_folder(&folder.path().join("train"));
        write(&folder.path().join(second).join("10/a.png"), &png(6, 5, [7; 3]));
        let set = load_with(folder.path(), &LoadOptions::default());
        assert_eq!((set.train.len(), set.validation.len(), set.validation_kind), (30, 1, kind));
        assert_eq!(set.validation.labels, [1]);
        assert_eq!(set.validation.image(0)[..3], [7; 3]);
    }
    let folder = tempfile::tempdir().unwrap();
    write_folder(&folder.path().join("train"));
    write(&folder.path().join("val/zebra/a.png"), &png(6, 5, [7; 3]));
    assert!(error_of(folder.path()).contains("zebra"));
}

#[test]
fn mixed_sizes_are_decoded_to_the_size_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    write(&folder.path().join("2/wide.png"), &png(40, 20, [9, 9, 9]));
    let set = load_with(folder.path(), &LoadOptions::default());
    assert_eq!((set.train.height, set.train.width), (64, 64));
    assert_eq!(set.original_sizes, [([5, 6], 30), ([20, 40], 1)]);
    let set = load_with(folder.path(), &LoadOptions { image_size: Some(16), ..LoadOptions::default() });
    assert_eq!((set.train.height, set.train.width), (16, 16));
    assert_eq!(set.train.len() + set.validation.len(), 31);
    let wide = set.train.sources.as_ref().unwrap().iter().position(|source| source.contains("wide"));
    if let Some(wide) = wide {
        assert!(set.train.image(wide).iter().all(|&pixel| pixel == 9));
    }
}

#[test]
fn unreadable_images_are_listed_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    write(&folder.path().join("1/broken.png"), b"\x89PNG\r\n\x1a\nrubbish");
    write(&folder.path().join("2/empty.jpg"), b"");
    // A header that reads, and pixels that end early.
    let whole = png(6, 5, [1, 2, 3]);
    write(&folder.path().join("2/cut.png"), &whole[..whole.len() - 25]);
    let set = load_with(folder.path(), &LoadOptions::default());
    assert_eq!(set.train.len() + set.validation.len(), 30);
    let names: Vec<_> = set.rejected.iter().map(|r| r.path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["broken.png", "cut.png", "empty.jpg"]);
    assert!(set.rejected.iter().all(|r| !r.reason.is_empty() && r.path.exists()), "never deleted");
}

#[test]
fn a_class_without_a_readable_image_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    write(&folder.path().join("owl/only.png"), b"rubbish");
    let error = error_of(folder.path());
    assert!(error.contains("\"owl\"") && error.contains("only.png"), "{error}");
    fs::remove_file(folder.path().join("owl/only.png")).unwrap();
    assert!(error_of(folder.path()).contains("\"owl\""));
}

#[test]
fn a_small_class_survives_when_its_only_training_image_is_broken() {
    // Two images a class, one held out by the seed; whichever is broken, the other one trains.
    for broken in ["a.png", "b.png"] {
        let folder = tempfile::tempdir().unwrap();
        write_folder(folder.path());
        let whole = png(6, 5, [1, 2, 3]);
        write(&folder.path().join("pair/a.png"), &whole);
        write(&folder.path().join("pair/b.png"), &whole);
        write(&folder.path().join("pair").join(broken), &whole[..whole.len() - 25]);
        let set = load_with(folder.path(), &LoadOptions::default());
        assert_eq!(set.train.class_counts(4)[3], 1);
        assert_eq!(set.rejected.len(), 1);
    }
}

#[test]
#[cfg(unix)]
fn links_and_pipes_neither_loop_nor_hang() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    std::os::unix::fs::symlink(folder.path(), folder.path().join("1/again")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("nowhere"), folder.path().join("1/lost.png")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("1/pipe.png")).status();
    let set = load_with(folder.path(), &LoadOptions::default());
    assert_eq!(set.train.len() + set.validation.len(), 30);
    assert_eq!(set.rejected.len(), if made.is_ok_and(|status| status.success()) { 2 } else { 1 });
}

#[test]
fn a_large_set_goes_to_a_mapped_file_with_the_same_pixels() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_folder(folder.path());
    let mapped = LoadOptions { memory_limit: 100, cache_dir: Some(cache.path().to_owned()), ..LoadOptions::default() };
    let (memory, mapped) = (load_with(folder.path(), &LoadOptions::default()), load_with(folder.path(), &mapped));
    assert!(matches!(mapped.train.pixels, Pixels::Mapped(_)));
    assert_same_images(&memory.train, &mapped.train);
    assert_same_images(&memory.validation, &mapped.validation);
}

#[test]
fn loading_reports_progress_and_stops_when_told() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    let reports = Mutex::new(Vec::new());
    let listen = |report: &Report| {
        reports.lock().unwrap().push(report.clone());
        ControlFlow::Continue(())
    };
    load(folder.path().to_str().unwrap(), &LoadOptions::default(), &listen).unwrap();
    assert_eq!(reports.lock().unwrap().last(), Some(&Report::Read { done: 30, total: 30 }));
    let stop = |_: &Report| ControlFlow::Break(());
    let error = load(folder.path().to_str().unwrap(), &LoadOptions::default(), &stop).unwrap_err();
    assert!(matches!(error, DataError::Cancelled));
}

// Names and places.

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
