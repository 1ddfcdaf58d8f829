//! IDX files: gzipped or not, with a test pair or divided, and broken ones.

use super::*;

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
