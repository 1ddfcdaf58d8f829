//! Image folders: what is a class, what is left out, and what a broken image costs.

use super::*;
use std::{ops::ControlFlow, sync::Mutex};

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
    assert_eq!((set.train.height, set.train.width), (5, 6), "most have this size");
    assert_eq!(set.original_sizes, [([5, 6], 30), ([20, 40], 1)]);
    let legacy = LoadOptions { size_rules: SizeRules::Legacy, ..LoadOptions::default() };
    let set = load_with(folder.path(), &legacy);
    assert_eq!((set.train.height, set.train.width), (64, 64), "as in runs of old");
    for i in 0..30 {
        write(&folder.path().join(format!("1/wide{i}.png")), &png(40 + i, 20, [9, 9, i as u8]));
    }
    let set = load_with(folder.path(), &LoadOptions { image_size: Some(16), ..LoadOptions::default() });
    assert_eq!((set.train.height, set.train.width), (16, 16));
    assert_eq!(set.train.len() + set.validation.len(), 61);
    let wide = set.train.sources.as_ref().unwrap().iter().position(|source| source.contains("wide")).unwrap();
    assert!(set.train.image(wide).chunks_exact(3).all(|pixel| pixel[..2] == [9; 2]));
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
fn photographs_are_kept_whole_for_random_crops_and_validate_at_the_networks_size() {
    let folder = tempfile::tempdir().unwrap();
    for (class, i) in
        [("a", 0), ("b", 100)].into_iter().flat_map(|(class, start)| (0..20).map(move |i| (class, start + i)))
    {
        write(&folder.path().join(class).join(format!("{i}.png")), &png(400, 300 + u32::from(i), [i; 3]));
    }
    let notes = Mutex::new(Vec::new());
    let listen = |report: &Report| {
        if let Report::Note { text } = report {
            notes.lock().unwrap().push(text.clone());
        }
        ControlFlow::Continue(())
    };
    let options = LoadOptions { photo_size: 100, random_crops: true, ..LoadOptions::default() };
    let set = load(folder.path().to_str().unwrap(), &options, &listen).unwrap();
    let said = ["photographs, mostly 400x300, become 100x100; image_size sets another size"];
    assert_eq!(*notes.lock().unwrap(), said);
    assert_eq!((set.train.height, set.validation.height, set.fitted), (144, 100, true));
    assert!(set.train.is_squeezed() && !set.validation.is_squeezed());
    for i in 0..set.train.len() {
        let height = 300 + usize::from(set.train.image(i)[0]);
        assert_eq!(set.train.proportions(i), [height, 400]);
    }
    assert_eq!(set.validation.proportions(0), [100, 100]);
    assert!(set.suits(&options) && !set.suits(&LoadOptions::default()));
    assert!(!set.suits(&LoadOptions { working_size: Some(120), ..options.clone() }));
    assert!(!set.suits(&LoadOptions { size_rules: SizeRules::Legacy, ..options }));
}

#[test]
fn a_large_set_goes_to_a_mapped_file_with_the_same_pixels() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_folder(folder.path());
    let mapped = LoadOptions { memory_limit: 100, cache_dir: Some(cache.path().to_owned()), ..LoadOptions::default() };
    let (memory, mapped) = (load_with(folder.path(), &LoadOptions::default()), load_with(folder.path(), &mapped));
    assert!(format!("{:?}", mapped.train.pixels).contains("mapped"));
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

#[test]
fn photographs_that_would_take_long_are_decoded_as_needed_to_the_same_images() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (class, i) in
        [("a", 0), ("b", 100)].into_iter().flat_map(|(class, start)| (0..20).map(move |i| (class, start + i)))
    {
        write(&folder.path().join(class).join(format!("{i}.png")), &png(400, 300 + u32::from(i), [i; 3]));
    }
    let at_once = LoadOptions { image_size: Some(64), random_crops: true, ..LoadOptions::default() };
    let as_needed = LoadOptions { pixels_at_once: 0, cache_dir: Some(cache.path().to_owned()), ..at_once.clone() };
    let (a, b) = (load_with(folder.path(), &at_once), load_with(folder.path(), &as_needed));
    assert!(!a.train.is_decoded_as_needed() && b.train.is_decoded_as_needed());
    for (a, b) in [(&a.train, &b.train), (&a.validation, &b.validation)] {
        assert_eq!((&a.labels, &a.sources, &a.contents), (&b.labels, &b.sources, &b.contents));
        assert!((0..a.len()).all(|i| a.image(i) == b.image(i) && a.proportions(i) == b.proportions(i)));
        assert_eq!(a.measure(), b.measure());
    }
    assert_eq!((a.identity.clone(), a.sides()), (b.identity.clone(), b.sides()));
    assert_eq!(fs::read_dir(cache.path().join("photographs")).unwrap().count(), 2, "a file for each split");
}
