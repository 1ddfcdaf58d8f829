//! Edits carried out on lists of files, and read and written.

use super::*;
use proptest::prelude::*;

fn key(number: u64) -> ContentKey {
    ContentKey(number)
}

fn to(image: u64, class: &str) -> Edit {
    Edit::Move { image: key(image), to: class.to_owned() }
}

fn rename(class: &str, to: &str) -> Edit {
    Edit::Rename { class: class.to_owned(), to: to.to_owned() }
}

fn merge(class: &str, into: &str) -> Edit {
    Edit::Merge { class: class.to_owned(), into: into.to_owned() }
}

fn new_class(name: &str) -> Edit {
    Edit::NewClass { name: name.to_owned() }
}

fn edits(all: impl IntoIterator<Item = Edit>) -> Edits {
    let mut edits = Edits::default();
    all.into_iter().zip(0..).for_each(|(edit, step)| edits.push(step, edit));
    edits
}

/// Of images 1, 2 and 1 again in `cats` and 3 in `dogs`: the class of each.
fn filed(all: impl IntoIterator<Item = Edit>) -> (Edited, Vec<Option<String>>) {
    let classes = ["cats", "dogs"].map(str::to_owned);
    let files = [(1, 0), (2, 0), (1, 0), (3, 1)].map(|(image, class)| (key(image), Some(class)));
    let edited = edits(all).apply(&classes, &files);
    let names = edited.labels.iter().map(|label| label.map(|label| edited.classes[label as usize].clone())).collect();
    (edited, names)
}

fn classes_of(all: impl IntoIterator<Item = Edit>) -> Vec<String> {
    filed(all).1.into_iter().map(|class| class.unwrap_or("-".to_owned())).collect()
}

#[test]
fn an_image_moves_with_all_its_copies_and_may_be_left_out_and_come_back() {
    assert_eq!(classes_of([]), ["cats", "cats", "cats", "dogs"]);
    assert_eq!(classes_of([to(1, "dogs")]), ["dogs", "cats", "dogs", "dogs"]);
    assert_eq!(classes_of([to(1, "otters")]), ["otters", "cats", "otters", "dogs"]);
    assert_eq!(classes_of([Edit::Exclude { image: key(1) }]), ["-", "cats", "-", "dogs"]);
    assert_eq!(classes_of([Edit::Exclude { image: key(1) }, to(1, "dogs")]), ["dogs", "cats", "dogs", "dogs"]);
}

#[test]
fn classes_are_renamed_and_merged_as_they_are_at_that_moment() {
    assert_eq!(classes_of([rename("cats", "lions"), to(3, "lions")]), ["lions"; 4]);
    assert_eq!(classes_of([to(3, "cats"), merge("cats", "dogs"), to(2, "cats")]), ["dogs", "cats", "dogs", "dogs"]);
    assert_eq!(classes_of([rename("cats", "dogs")]), ["dogs"; 4], "the name of another one merges them");
    assert_eq!(classes_of([merge("cats", "pets"), merge("dogs", "pets")]), ["pets"; 4]);
    // A swap, over a third name.
    let swap = [rename("cats", "x"), rename("dogs", "cats"), rename("x", "dogs")];
    assert_eq!(classes_of(swap), ["dogs", "dogs", "dogs", "cats"]);
    assert_eq!(classes_of([merge("cats", "dogs"), merge("dogs", "cats")]), ["cats"; 4]);
    assert_eq!(classes_of([rename("birds", "fish"), merge("birds", "cats"), rename("cats", "cats")]), classes_of([]));
}

#[test]
fn a_class_that_edits_emptied_is_gone_and_a_new_one_waits_for_images() {
    let names = |all: Vec<Edit>| {
        let edited = filed(all).0;
        (edited.classes.join(" "), edited.waiting.join(" "))
    };
    let pair = |classes: &str, waiting: &str| (classes.to_owned(), waiting.to_owned());
    assert_eq!(names(vec![to(3, "cats")]), pair("cats", ""));
    assert_eq!(names(vec![new_class("zebras"), new_class("birds")]), pair("cats dogs", "birds zebras"));
    assert_eq!(names(vec![new_class("birds"), to(2, "birds")]), pair("birds cats dogs", ""));
    assert_eq!(names(vec![new_class("dogs"), to(3, "cats")]), pair("cats", "dogs"));
    assert_eq!(names(vec![new_class("birds"), rename("birds", "fish")]), pair("cats dogs", "fish"));
    assert_eq!(names(vec![new_class("birds"), merge("birds", "cats")]), pair("cats dogs", ""));
}

#[test]
fn classes_that_were_in_no_order_keep_theirs_and_those_that_never_had_images_stay() {
    let classes = ["shirt", "bag", "hat"].map(str::to_owned);
    let files = [(1, 0), (2, 1)].map(|(image, class)| (key(image), Some(class)));
    let edited = edits([to(1, "a"), rename("bag", "zip")]).apply(&classes, &files);
    assert_eq!((edited.classes.join(" "), edited.labels), ("zip hat a".to_owned(), vec![Some(2), Some(0)]));
}

#[test]
fn an_image_that_is_gone_is_counted_once_and_an_added_one_is_filed() {
    let add = |image, to: &str| Edit::Add { image: key(image), path: "elsewhere.png".into(), to: to.to_owned() };
    let all = edits([to(9, "cats"), Edit::Exclude { image: key(9) }, add(7, "cats"), add(8, "dogs"), add(7, "dogs")]);
    assert_eq!(all.added().iter().map(|(image, _)| image.0).collect::<Vec<_>>(), [7, 8]);
    let classes = ["cats", "dogs"].map(str::to_owned);
    let edited = all.apply(&classes, &[(key(1), Some(0)), (key(2), Some(1)), (key(7), None)]);
    assert_eq!((edited.labels, edited.gone), (vec![Some(0), Some(1), Some(1)], 2));
}

#[test]
fn renamed_classes_keep_the_order_of_the_run_that_learned_them() {
    let run = ["cats", "dogs"].map(str::to_owned);
    let files = [(1, 0), (2, 1)].map(|(image, class)| (key(image), Some(class)));
    let ordered = |all: &Edits| {
        let edited = all.apply(&run, &files).in_order_of(&run, all);
        (edited.classes.join(" "), edited.labels)
    };
    let mut all = edits([rename("cats", "x"), rename("x", "zebras")]);
    assert_eq!(ordered(&all), ("zebras dogs".to_owned(), vec![Some(0), Some(1)]));
    let renamed = ["zebras", "dogs"].map(str::to_owned);
    assert_eq!(all.place_of("zebras", &run), Some(0));
    while all.undo().is_some() {}
    assert_eq!(all.place_of("cats", &renamed), Some(0), "the run has heard of the other name meanwhile");
    // More than other names: it is another set of classes.
    for more in [to(3, "new"), merge("dogs", "cats"), Edit::Exclude { image: key(1) }] {
        let all = edits([rename("dogs", "ants"), more]);
        let edited = all.apply(&run, &[files[0], files[1], (key(3), Some(0))]);
        let same = edited.clone().in_order_of(&run, &all);
        assert!(same == edited || edited.classes.len() == 2, "{same:?}");
        assert!(edited.classes.is_sorted());
    }
}

#[test]
fn what_was_undone_is_done_again_until_something_else_is() {
    let mut all = edits([to(1, "a"), to(2, "b")]);
    assert!(all.can_undo() && !all.can_redo());
    assert_eq!(all.undo(), Some(&to(2, "b")));
    assert_eq!(all.redo(), Some(&to(2, "b")));
    assert_eq!(all.redo(), None);
    all.undo();
    all.push(9, to(3, "c"));
    assert_eq!(all.active().cloned().collect::<Vec<_>>(), [to(1, "a"), to(3, "c")]);
    assert!(!all.can_redo());
    assert_eq!(
        [all.undo().cloned(), all.undo().cloned(), all.undo().cloned()],
        [Some(to(3, "c")), Some(to(1, "a")), None]
    );
    assert!(!all.can_undo() && all.can_redo());
    let (active, undone) = all.halves();
    assert_eq!((active.len(), undone[1].step), (0, 9));
}

#[test]
fn an_edit_is_written_as_people_would() {
    let add = Edit::Add { image: key(0xab), path: "/photos/a.jpg".into(), to: "cats".into() };
    for (edit, json) in [
        (to(1, "cats"), r#"{"move":{"image":"0000000000000001","to":"cats"}}"#),
        (Edit::Exclude { image: key(u64::MAX) }, r#"{"exclude":{"image":"ffffffffffffffff"}}"#),
        (add, r#"{"add":{"image":"00000000000000ab","path":"/photos/a.jpg","to":"cats"}}"#),
        (new_class("cats"), r#"{"new-class":{"name":"cats"}}"#),
        (rename("cats", "dogs"), r#"{"rename":{"class":"cats","to":"dogs"}}"#),
        (merge("cats", "dogs"), r#"{"merge":{"class":"cats","into":"dogs"}}"#),
    ] {
        assert_eq!(serde_json::to_string(&edit).unwrap(), json);
        assert_eq!(serde_json::from_str::<Edit>(json).unwrap(), edit);
        assert!(edit.is_sound());
    }
    for image in ["", "1", "00000000000000000", "+000000000000001", "g000000000000000"] {
        assert!(serde_json::from_str::<Edit>(&format!(r#"{{"exclude":{{"image":"{image}"}}}}"#)).is_err(), "{image}");
    }
    assert!(!to(1, " ").is_sound() && !merge("a", &"x".repeat(256)).is_sound());
}

/// Any edit of five images and four classes.
fn any_edit() -> impl Strategy<Value = Edit> {
    let name = || prop::sample::select(vec!["a", "b", "c", "d"]).prop_map(str::to_owned);
    let image = || (0u64..5).prop_map(key);
    prop_oneof![
        (image(), name()).prop_map(|(image, to)| Edit::Move { image, to }),
        image().prop_map(|image| Edit::Exclude { image }),
        (image(), name()).prop_map(|(image, to)| Edit::Add { image, path: "x".into(), to }),
        name().prop_map(|name| Edit::NewClass { name }),
        (name(), name()).prop_map(|(class, to)| Edit::Rename { class, to }),
        (name(), name()).prop_map(|(class, into)| Edit::Merge { class, into }),
    ]
}

proptest! {
    /// The same, class by class and without numbers: each file has the name of its class.
    #[test]
    fn they_do_what_names_on_files_would(all in prop::collection::vec(any_edit(), 0..30)) {
        let classes = ["b", "c"].map(str::to_owned);
        let files: Vec<_> = (0..5).map(|image| (key(image), (image < 4).then_some((image % 2) as u32))).collect();
        let mut names: Vec<Option<String>> =
            files.iter().map(|(_, label)| label.map(|label| classes[label as usize].clone())).collect();
        for edit in &all {
            match edit {
                Edit::Move { image, to } | Edit::Add { image, to, .. } => names[image.0 as usize] = Some(to.clone()),
                Edit::Exclude { image } => names[image.0 as usize] = None,
                Edit::NewClass { .. } => {}
                Edit::Rename { class, to } | Edit::Merge { class, into: to } => {
                    names.iter_mut().filter(|name| name.as_ref() == Some(class)).for_each(|name| *name = Some(to.clone()));
                }
            }
        }
        let edited = edits(all).apply(&classes, &files);
        let found: Vec<_> =
            edited.labels.iter().map(|label| label.map(|label| edited.classes[label as usize].clone())).collect();
        prop_assert_eq!(&found, &names);
        let expected: std::collections::BTreeSet<String> = names.into_iter().flatten().collect();
        prop_assert!(edited.classes.iter().eq(&expected));
        prop_assert!(edited.waiting.iter().all(|name| !expected.contains(name)));
    }

    #[test]
    fn undoing_all_of_them_leaves_the_files_as_they_lie(all in prop::collection::vec(any_edit(), 0..30)) {
        let classes = ["b", "c"].map(str::to_owned);
        let files: Vec<_> = (0..4).map(|image| (key(image), Some((image % 2) as u32))).collect();
        let mut edits = edits(all);
        let whole = edits.apply(&classes, &files);
        while edits.undo().is_some() {}
        let none = edits.apply(&classes, &files);
        prop_assert_eq!((none.classes, none.labels), (classes.to_vec(), files.iter().map(|(_, label)| *label).collect()));
        while edits.redo().is_some() {}
        prop_assert_eq!(edits.apply(&classes, &files), whole);
    }
}
