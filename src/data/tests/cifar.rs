//! CIFAR in its four forms: the same pixels from each, and one clear line for every broken one.

use super::*;

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
        assert_eq!(*set.train.image(i), [i as u8 * 9; 3072]);
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
