//! Which images are held out, and what tells a folder from itself as it was.

use super::*;
use std::collections::BTreeSet;

/// The contents of the images that are held out.
fn held_out(set: &Dataset) -> BTreeSet<ContentKey> {
    set.sides().unwrap().validation
}

#[test]
fn files_that_come_go_or_are_renamed_move_no_other_image_across_the_border() {
    let folder = tempfile::tempdir().unwrap();
    for (class, i) in ["ant", "bee"].into_iter().flat_map(|class| (0..40).map(move |i| (class, i))) {
        write(
            &folder.path().join(class).join(format!("{i:02}.png")),
            &png(4, 4, [i, class.len() as u8 * 9, class.as_bytes()[0]]),
        );
    }
    let before = load_with(folder.path(), &LoadOptions::default());
    let held = held_out(&before);
    assert!((2..30).contains(&held.len()), "{}", held.len());
    assert!(before.suits(&LoadOptions::default()));
    assert!(!before.suits(&LoadOptions { hold_out: HoldOut::by_content(0.5), ..LoadOptions::default() }));
    fs::rename(folder.path().join("ant/00.png"), folder.path().join("ant/zzz.png")).unwrap();
    fs::rename(folder.path().join("bee"), folder.path().join("aardvark")).unwrap();
    write(&folder.path().join("aardvark/new.png"), &png(4, 4, [200, 1, 1]));
    let after = load_with(folder.path(), &LoadOptions::default());
    let new: BTreeSet<_> = held_out(&after).difference(&held).copied().collect();
    assert!(held.is_subset(&held_out(&after)) && new.len() <= 1);
    assert_ne!(after.identity, before.identity);
    assert!(after.identity.changed_since(&before.identity).unwrap().contains("where there were"));
    // The same folder under another name and at another size is the same data, divided alike.
    let options = LoadOptions { image_size: Some(8), ..LoadOptions::default() };
    assert_eq!(held_out(&load_with(folder.path(), &options)), held_out(&after));
}

#[test]
fn equal_images_of_different_classes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    assert_eq!(load_with(folder.path(), &LoadOptions::default()).contradictions.images, 0);
    fs::copy(folder.path().join("1/0.png"), folder.path().join("2/copy.png")).unwrap();
    let found = load_with(folder.path(), &LoadOptions::default()).contradictions;
    assert_eq!(found.images, 1);
    let text = found.to_string();
    assert!(text.contains("copy.png") && text.contains("0.png") && text.contains("more than one class"), "{text}");
}

#[test]
fn images_of_mixed_sizes_suit_only_the_size_and_fit_that_they_were_loaded_for() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    let of = |image_size, fit| LoadOptions { image_size, fit, ..LoadOptions::default() };
    let same = load_with(folder.path(), &LoadOptions::default());
    assert!(same.suits(&of(Some(48), Fit::Squash)), "images of one size keep it whatever is asked for");
    for i in 0..40 {
        write(&folder.path().join(format!("1/odd{i}.png")), &png(9 + i, 12, [5, 5, i as u8]));
    }
    let mixed = load_with(folder.path(), &of(Some(16), Fit::CropCentre));
    assert!(mixed.suits(&of(Some(16), Fit::CropCentre)));
    assert!(!mixed.suits(&of(Some(48), Fit::CropCentre)) && !mixed.suits(&of(Some(16), Fit::Squash)));
}
