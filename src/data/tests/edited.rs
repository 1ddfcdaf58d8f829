//! Data sets with the edits of a run.

use super::*;
use std::{collections::BTreeMap, ops::ControlFlow, sync::Mutex};

/// Forty different images in each of `ant` and `bee`.
fn write_insects(folder: &Path) {
    for (class, i) in ["ant", "bee"].into_iter().flat_map(|class| (0..40).map(move |i| (class, i))) {
        write(&folder.join(class).join(format!("{i:02}.png")), &png(4, 4, [i, 9, class.as_bytes()[0]]));
    }
}

fn content(path: &Path) -> ContentKey {
    ContentKey::of(&fs::read(path).unwrap())
}

fn with(edits: Vec<Edit>) -> LoadOptions {
    let mut all = Edits::default();
    edits.into_iter().for_each(|edit| all.push(0, edit));
    LoadOptions { edits: Arc::new(all), ..LoadOptions::default() }
}

/// The class of each file.
fn filed(set: &Dataset) -> BTreeMap<String, String> {
    let of = |split: &Split| {
        let classes: Vec<_> = split.labels.iter().map(|&label| set.class(label).to_owned()).collect();
        split.sources.clone().unwrap().into_iter().zip(classes).collect::<Vec<_>>()
    };
    [of(&set.train), of(&set.validation)].concat().into_iter().collect()
}

/// Loads it, and all that is said meanwhile.
fn load_and_listen(folder: &Path, options: &LoadOptions) -> (Dataset, Vec<String>) {
    let said = Mutex::new(Vec::new());
    let listen = |report: &Report| {
        if let Report::Note { text } = report {
            said.lock().unwrap().push(text.clone());
        }
        ControlFlow::Continue(())
    };
    let set = load(folder.to_str().unwrap(), options, &listen).unwrap();
    (set, said.into_inner().unwrap())
}

#[test]
fn images_are_filed_as_the_edits_say_and_stay_on_their_side() {
    let folder = tempfile::tempdir().unwrap();
    write_insects(folder.path());
    let before = load_with(folder.path(), &LoadOptions::default());
    let key = |name: &str| content(&folder.path().join(name));
    let moved = ["ant/00.png", "ant/01.png", "ant/02.png", "bee/39.png"];
    let mut all: Vec<_> = moved.map(|name| Edit::Move { image: key(name), to: "cow".to_owned() }).into();
    all.push(Edit::Exclude { image: key("bee/05.png") });
    all.push(Edit::Rename { class: "bee".to_owned(), to: "wasp".to_owned() });
    all.push(Edit::NewClass { name: "empty".to_owned() });
    let options = with(all);
    let after = load_with(folder.path(), &options);
    assert_eq!(after.classes, ["ant", "cow", "wasp"]);
    let files = filed(&after);
    assert_eq!(files.len(), 79);
    assert!(moved.iter().all(|name| files[*name] == "cow") && !files.contains_key("bee/05.png"));
    assert_eq!((files["bee/06.png"].as_str(), files["ant/03.png"].as_str()), ("wasp", "ant"));
    let [was, is] = [&before, &after].map(|set| set.sides().unwrap());
    assert!(is.validation.is_subset(&was.validation), "of those that validate none is new");
    assert!(was.validation.len() - is.validation.len() <= 2, "one left out, one that a new class learns from");
    assert_ne!(after.identity.digest, before.identity.digest);
    assert!(!before.suits(&options) && !after.suits(&LoadOptions::default()) && after.suits(&options));
    assert_eq!(fs::read_dir(folder.path().join("bee")).unwrap().count(), 40, "no file is touched");
}

#[test]
fn a_new_class_of_nothing_but_validating_images_has_one_to_learn_from() {
    let folder = tempfile::tempdir().unwrap();
    write_insects(folder.path());
    let held = load_with(folder.path(), &LoadOptions::default()).sides().unwrap().validation;
    let all = held.iter().map(|&image| Edit::Move { image, to: "cow".to_owned() }).collect();
    let set = load_with(folder.path(), &with(all));
    assert_eq!(set.train.class_counts(3)[2], 1);
    assert_eq!(set.validation.class_counts(3)[2], held.len() - 1);
}

#[test]
fn each_split_keeps_its_images_and_added_ones_are_to_train_on() {
    let place = tempfile::tempdir().unwrap();
    let (folder, new) = (place.path().join("set"), place.path().join("new.png"));
    for (split, first) in [("train", 0), ("val", 100)] {
        for (class, i) in ["a", "b"].into_iter().flat_map(|class| (0..5).map(move |i| (class, i))) {
            write(
                &folder.join(split).join(class).join(format!("{i}.png")),
                &png(4, 4, [first + i, class.as_bytes()[0], 0]),
            );
        }
    }
    write(&new, &png(4, 4, [250; 3]));
    let add = |path: &Path| Edit::Add { image: content(&new), path: path.to_owned(), to: "b".to_owned() };
    let options = with(vec![
        Edit::Move { image: content(&folder.join("val/a/0.png")), to: "b".to_owned() },
        Edit::Move { image: content(&folder.join("train/a/0.png")), to: "b".to_owned() },
        add(&place.path().join("elsewhere.png")),
        add(&new),
    ]);
    let set = load_with(&folder, &options);
    assert_eq!((set.train.class_counts(2), set.validation.class_counts(2)), (vec![4, 7], vec![4, 6]));
    assert_eq!(set.train.sources.as_ref().unwrap().last().unwrap(), new.to_str().unwrap());
    assert_eq!(set.train.image(10)[0], 250);
    // Another picture under the name is not the one that was added.
    write(&new, &png(4, 4, [251; 3]));
    let (set, said) = load_and_listen(&folder, &options);
    assert_eq!(set.train.len(), 10);
    assert_eq!(said, ["1 image that was edited is not to be found; its edit is kept"]);
}

#[test]
fn images_that_are_gone_are_said_once_and_a_class_that_cannot_be_learned_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    write_insects(folder.path());
    let key = |name: &str| content(&folder.path().join(name));
    let all = ["ant/07.png", "bee/07.png"].map(|name| Edit::Exclude { image: key(name) });
    let options = with(all.iter().cycle().take(6).cloned().collect());
    fs::remove_file(folder.path().join("ant/07.png")).unwrap();
    fs::remove_file(folder.path().join("bee/07.png")).unwrap();
    let (set, said) = load_and_listen(folder.path(), &options);
    assert_eq!(set.train.len() + set.validation.len(), 78);
    assert_eq!(said, ["2 images that were edited are not to be found; the edits are kept"]);
    let mut unread = Edits::default();
    unread.unreadable = 3;
    let unread = LoadOptions { edits: Arc::new(unread), ..LoadOptions::default() };
    assert_eq!(
        load_and_listen(folder.path(), &unread).1,
        ["3 lines of the run's edits cannot be read and are left out"]
    );
}

#[test]
fn no_edit_makes_decoded_photographs_anew() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("set");
    for (class, i) in ["ant", "bee"].into_iter().flat_map(|class| (0..20).map(move |i| (class, i))) {
        write(
            &folder.join(class).join(format!("{i:02}.png")),
            &png(300 + u32::from(i), 280, [i, 9, class.as_bytes()[0]]),
        );
    }
    let cached = |options: LoadOptions| LoadOptions {
        cache_dir: Some(place.path().join("cache")),
        pixels_at_once: 0,
        random_crops: true,
        ..options
    };
    let files = || fs::read_dir(place.path().join("cache/photographs")).unwrap().count();
    let look = |options: LoadOptions| {
        let set = load_with(&folder, &cached(options));
        for split in [&set.train, &set.validation] {
            assert!(split.is_decoded_as_needed());
            (0..split.len()).for_each(|index| drop(split.image(index)));
        }
        set
    };
    let before = look(LoadOptions::default());
    assert_eq!(files(), 2);
    // Those by which the files are named among them.
    let sides = before.sides().unwrap();
    for image in [sides.training.first(), sides.validation.first()].into_iter().flatten().copied() {
        look(with(vec![Edit::Exclude { image }]));
        look(with(vec![Edit::Move { image, to: "cow".to_owned() }]));
        assert_eq!(files(), 2);
    }
}

#[test]
fn images_without_files_are_known_by_their_pixels() {
    let folder = tempfile::tempdir().unwrap();
    write_idx(folder.path(), false);
    let before = load_with(folder.path(), &LoadOptions::default());
    let key = |index| ContentKey::of(&before.train.image(index));
    let options = with(vec![
        Edit::Exclude { image: key(0) },
        Edit::Move { image: key(1), to: "new".to_owned() },
        Edit::Rename { class: "2".to_owned(), to: "two".to_owned() },
        Edit::Exclude { image: ContentKey(5) },
    ]);
    let (after, said) = load_and_listen(folder.path(), &options);
    assert_eq!(after.classes, ["0", "1", "new", "two"]);
    assert_eq!(after.train.len(), 11);
    assert_eq!(after.train.labels[..3], [2, 3, 0]);
    assert_eq!(after.train.image(0), before.train.image(1));
    assert_eq!(said.len(), 1);
    assert_ne!(after.identity.digest, before.identity.digest);
}
