//! Folders as people have them: named, linked, nested and littered in every way.

use crate::data::{
    LoadOptions, ValidationKind,
    tests::{error_of, load_with, png, write, write_folder},
};
use std::{fs, path::Path};

/// `count` different images of a class.
fn class(folder: &Path, count: u8) {
    for i in 0..count {
        write(&folder.join(format!("{i}.png")), &png(6, 5, [i, count, 7]));
    }
}

// Splits.

#[test]
fn splits_are_known_by_name_in_any_case() {
    for (first, second, kind) in [
        ("Training", "Testing", ValidationKind::Test),
        ("Train", "Test", ValidationKind::Test),
        ("train", "Test", ValidationKind::Test),
        ("TRAIN", "VAL", ValidationKind::Own),
        ("train", "Validation", ValidationKind::Own),
        ("training_set", "test_set", ValidationKind::Test),
        ("trainset", "valid", ValidationKind::Own),
    ] {
        let folder = tempfile::tempdir().unwrap();
        for name in ["glioma", "no"] {
            class(&folder.path().join(first).join(name), 10);
            class(&folder.path().join(second).join(name), 3);
        }
        let set = load_with(folder.path(), &LoadOptions::default());
        assert_eq!(set.classes, ["glioma", "no"], "{first} and {second}");
        assert_eq!((set.train.len(), set.validation.len(), set.validation_kind), (20, 6, kind));
    }
}

#[test]
fn a_class_called_train_is_a_class_where_nothing_else_is_likely() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["bus", "car", "train"] {
        class(&folder.path().join(name), 10);
    }
    assert_eq!(load_with(folder.path(), &LoadOptions::default()).classes, ["bus", "car", "train"]);
    class(&folder.path().join("train/day"), 4);
    let set = load_with(folder.path(), &LoadOptions::default());
    assert_eq!(set.train.len() + set.validation.len(), 34);
    assert_eq!(set.classes, ["bus", "car", "train"]);
}

#[test]
fn a_folder_that_can_be_read_both_ways_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["bus", "car", "train/day", "train/night"] {
        class(&folder.path().join(name), 10);
    }
    let error = error_of(folder.path());
    assert!(error.contains("train may be the training split or a class like bus"), "{error}");
    class(&folder.path().join("val/dawn"), 1);
    assert!(error_of(folder.path()).contains("may be the training split"));
    // A split that has the same classes leaves no doubt; what lies beside them is counted.
    class(&folder.path().join("val/day"), 1);
    fs::remove_dir_all(folder.path().join("val/dawn")).unwrap();
    let set = load_with(folder.path(), &LoadOptions::default());
    assert_eq!(set.classes, ["day", "night"]);
    assert_eq!(set.left_out.total(), 20);
    assert!(set.left_out.lines().any(|line| line == "10 images beside the class folders in bus"));
}

#[test]
fn splits_without_class_folders_or_without_a_training_part_are_no_classes() {
    let loose = tempfile::tempdir().unwrap();
    class(&loose.path().join("train"), 10);
    class(&loose.path().join("test"), 10);
    assert!(error_of(loose.path()).contains("train needs a sub-folder of images for each class"));
    let alone = tempfile::tempdir().unwrap();
    for name in ["val/a", "val/b", "Test/a", "Test/b"] {
        class(&alone.path().join(name), 2);
    }
    assert!(error_of(alone.path()).contains("no training split"), "{}", error_of(alone.path()));
}

#[test]
fn two_folders_for_one_split_are_not_chosen_between() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["train/a", "train/b", "val/a", "validation/a"] {
        class(&folder.path().join(name), 2);
    }
    assert!(error_of(folder.path()).contains("val and validation may be the same split"));
}

// What is left out.

#[test]
fn what_is_left_out_is_counted_by_kind_and_class() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    let at = |name: &str| folder.path().join(name);
    for i in 0..5 {
        write(&at(&format!("1/photo{i}")), &png(6, 5, [i; 3]));
        write(&at(&format!("1/{i}.AVIF")), b"pixels");
        write(&at(&format!("2/{i}.png.txt")), &png(6, 5, [i; 3]));
    }
    write(&at("2/more/x.jxl"), b"pixels");
    write(&at("lonely.png"), &png(6, 5, [0; 3]));
    write(&at("labels/a.xml"), b"a folder of texts is no class");
    let set = load_with(folder.path(), &LoadOptions::default());
    assert_eq!(set.classes, ["1", "10", "2"]);
    let lines: Vec<String> = set.left_out.lines().collect();
    let expected = [
        "1 image beside the class folders",
        "5 .avif files in 1",
        "5 images without an ending in 1",
        "1 .jxl file in 2",
        "5 .png.txt files in 2",
    ];
    assert_eq!(lines, expected);
    assert_eq!(crate::data::inspect(&set).left_out, set.left_out);
}

#[test]
fn a_class_of_a_kind_that_is_not_read_is_an_error_that_names_both() {
    for (name, bytes, kind) in [
        ("IMG_1.heic", b"ftypheic".to_vec(), "12 .heic files"),
        ("IMG.jpg.txt", b"pixels".to_vec(), "12 .jpg.txt files"),
        ("IMG", png(6, 5, [0; 3]), "12 images without an ending"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        write_folder(folder.path());
        for i in 0..12 {
            let parent = if i % 2 == 0 { "phone" } else { "phone/deeper" };
            write(&folder.path().join(parent).join(if i < 2 { name.to_owned() } else { format!("{i}{name}") }), &bytes);
        }
        let error = error_of(folder.path());
        assert!(error.contains("\"phone\"") && error.contains(kind), "{error}");
    }
}

#[test]
fn what_systems_leave_behind_is_no_class_and_no_image() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    for name in [
        "1/@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg",
        "1/.ipynb_checkpoints/0-checkpoint.png",
        "2/._0.png",
        "2/Thumbs.db",
        "$RECYCLE.BIN/S-1-5-21/$R1.png",
        "#recycle/a.png",
        "lost+found/#12.png",
        "__MACOSX/1/._0.png",
        ".Trash-1000/files/a.png",
        "System Volume Information/x.png",
    ] {
        write(&folder.path().join(name), &png(6, 5, [0; 3]));
    }
    let set = load_with(folder.path(), &LoadOptions::default());
    assert_eq!((set.classes.len(), set.train.len() + set.validation.len()), (3, 30));
    assert!(set.left_out.is_empty() && set.rejected.is_empty());
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_read_is_set_aside_with_a_word() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    symlink("nowhere", folder.path().join("1/linked")).unwrap();
    let mut expected = vec![folder.path().join("1/linked")];
    for name in ["1/private", "secret"] {
        let path = folder.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        // Root reads everything, and finds an empty folder.
        match fs::read_dir(&path) {
            Ok(_) => fs::remove_dir(&path).unwrap(),
            Err(_) => expected.push(path),
        }
    }
    let set = load_with(folder.path(), &LoadOptions::default());
    assert_eq!(set.classes.len(), 3);
    assert_eq!(set.rejected.iter().map(|rejected| rejected.path.clone()).collect::<Vec<_>>(), expected);
}

// Links, names.

#[cfg(unix)]
#[test]
fn linked_and_deep_folders_of_a_class_are_read_once() {
    use std::os::unix::fs::symlink;
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    class(&at("elsewhere"), 10);
    class(&at("set/dogs"), 10);
    class(&at("set/cats/a/b/c/d/e/f/g"), 2);
    for (target, link) in [
        ("../../elsewhere", "set/cats/kaggle"),
        ("../../../../elsewhere", "set/cats/a/b/again"),
        ("..", "set/cats/up"),
        ("kaggle/0.png", "set/cats/twice.png"),
        ("dogs", "set/wolves"),
    ] {
        symlink(target, at(link)).unwrap();
    }
    let set = load_with(&at("set"), &LoadOptions::default());
    assert_eq!(set.classes, ["cats", "dogs", "wolves"]);
    let counts = |split: &crate::data::Split| split.class_counts(3);
    let all: Vec<usize> = counts(&set.train).iter().zip(counts(&set.validation)).map(|(a, b)| a + b).collect();
    assert_eq!(all, [12, 10, 10], "a class folder may be a link");
    assert_eq!(set.left_out.lines().collect::<Vec<_>>(), ["3 links to what is read already in cats"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_in_composed_and_decomposed_letters_is_one_class() {
    let folder = tempfile::tempdir().unwrap();
    for (split, name) in [("train", "caf\u{e9}"), ("train", "cafe\u{301}"), ("train", "tea"), ("val", "cafe\u{301}")] {
        class(&folder.path().join(split).join(name), 3);
    }
    let set = load_with(folder.path(), &LoadOptions::default());
    assert_eq!(set.classes, ["caf\u{e9}", "tea"]);
    assert_eq!((set.train.class_counts(2), set.validation.class_counts(2)), (vec![6, 3], vec![3, 0]));
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_no_utf_8_are_classes_that_can_be_told_apart() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join(OsStr::from_bytes(b"donn\xe9es"));
    for name in [&b"\xe9t\xe9"[..], b"\xe8t\xe8"] {
        class(&root.join(OsStr::from_bytes(name)), 3);
    }
    let spec = crate::text::utf8(root.as_os_str());
    let set = crate::data::load(&spec, &LoadOptions::default(), &crate::data::Silent).unwrap();
    assert_eq!(set.classes, ["\\xE8t\\xE8", "\\xE9t\\xE9"]);
    assert!(set.train.sources.unwrap()[0].starts_with("\\xE8t\\xE8/"));
    assert_eq!(set.spec, spec, "loads again");
}
