//! Runs as files: there and back, and what strangers send.

use super::*;
use crate::{
    train::run::run_folder::RunState,
    weights::{Metadata, StateDict, fixtures::write_small_network, write_tensors},
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A run with a checkpoint of a very small network.
fn small_run(path: &Path) -> RunFolder {
    let info = RunInfo { data: "sample".into(), notes: "the first".into(), ..RunInfo::default() };
    let mut run = RunFolder::create(path, &Recipe::default(), &info).unwrap();
    fs::write(run.events_path(), "{}\n").unwrap();
    let state = RunState { step: 7, ..RunState::default() };
    run.checkpoint::<RunError>(&state, |weights, optimiser| {
        write_small_network(weights);
        write_tensors(optimiser, &StateDict::new(), &Metadata::new()).unwrap();
        Ok(())
    })
    .unwrap();
    write_small_network(&run.best_path());
    run
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let read = |e: fs::DirEntry| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap_or_default());
    entries.map(read).filter(|(name, _)| name != ".lock").collect()
}

fn zip(members: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut archive = ZipWriter::new(io::Cursor::new(Vec::new()));
    for (name, bytes) in members {
        archive.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn a_run_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let run = small_run(&at("a"));
    let edit = crate::data::Edit::NewClass { name: "cats".to_owned() };
    run.append_edit(3, crate::data::Change::Do(edit.clone())).unwrap();
    save(&at("a"), &at("a.kindling")).unwrap();
    assert!(is_bundle(&at("a.kindling")) && !is_bundle(&at("a")) && !is_bundle(&run.best_path()));
    let (_, info, _, edits) = peek(&at("a.kindling")).unwrap();
    assert_eq!((info.notes.as_str(), edits.active().collect::<Vec<_>>()), ("the first", vec![&edit]));
    open(&at("a.kindling"), &at("far/b")).unwrap().keep();
    assert_eq!(files(&at("a")), files(&at("far/b")));
    assert_eq!(RunFolder::resume(&at("far/b")).unwrap().last().unwrap().unwrap().state.step, 7);
    assert_eq!(folder_for(Path::new("x/a.kindling")), Path::new("x/a"));
    // Nothing is left beside it.
    assert_eq!(files(&at("far")).len(), 1);
}

#[test]
fn a_folder_with_something_in_it_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    small_run(&at("a"));
    save(&at("a"), &at("a.kindling")).unwrap();
    assert!(matches!(open(&at("a.kindling"), &at("a")), Err(BundleError::Run(RunError::Exists(_)))));
    fs::create_dir(at("full")).unwrap();
    fs::write(at("full/note"), "mine").unwrap();
    assert!(matches!(open(&at("a.kindling"), &at("full")), Err(BundleError::Run(RunError::NotEmpty(_)))));
    fs::create_dir(at("empty")).unwrap();
    open(&at("a.kindling"), &at("empty")).unwrap().keep();
    assert!(is_run(&at("empty")));
    // What can't be gone on with goes again.
    drop(open(&at("a.kindling"), &at("new")).unwrap());
    assert!(!at("new").exists());
}

#[test]
fn a_checkpoint_that_can_not_be_read_is_refused_and_nothing_is_left_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let run = small_run(&at("a"));
    let weights = run.last().unwrap().unwrap().weights;
    for name in [weights, run.best_path()] {
        let whole = fs::read(&name).unwrap();
        fs::write(&name, &whole[..whole.len() / 2]).unwrap();
        save(&at("a"), &at("a.kindling")).unwrap();
        let error = open(&at("a.kindling"), &at("b")).unwrap_err().to_string();
        assert!(error.contains("safetensors: broken") && !error.contains('\n'), "{error}");
        fs::write(&name, whole).unwrap();
    }
    assert_eq!(files(folder.path()).into_keys().collect::<Vec<_>>(), ["a", "a.kindling"]);
}

#[test]
fn a_full_disk_is_an_error_and_the_archive_is_not_finished_on_it() {
    // `/dev/full` takes nothing, as a full disk.
    let Ok(mut full) = fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let folder = tempfile::tempdir().unwrap();
    let members = gather(&small_run(folder.path())).unwrap();
    let error = write(&mut full, members).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}

#[cfg(unix)]
#[test]
fn a_pipe_is_no_run_and_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.kindling");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(!is_bundle(&pipe));
    assert!(open(&pipe, &folder.path().join("out")).unwrap_err().to_string().contains("a pipe"));
}

#[test]
fn a_file_with_something_else_in_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let recipe = Recipe::default().to_toml();
    let good = [(MARK, VERSION), ("run.json", b"{}".as_slice()), ("recipe.toml", recipe.as_bytes())];
    let attempt = |members: &[(&str, &[u8])], method| {
        fs::write(at("file"), zip(members, method)).unwrap();
        let result = open(&at("file"), &at("out")).map(Opened::keep);
        assert_eq!(at("out").exists(), result.is_ok());
        let _ = fs::remove_dir_all(at("out"));
        assert_eq!(files(folder.path()).len(), 1, "something was left behind");
        result.map_err(|error| error.to_string())
    };
    attempt(&good, CompressionMethod::Stored).unwrap();
    let with = |extra: (&'static str, &'static [u8])| [good.as_slice(), &[extra]].concat();
    for name in ["../outside", "/tmp/outside", "snapshots/a.json", ".lock", "..\\outside"] {
        let error = attempt(&with((name, b"x")), CompressionMethod::Stored).unwrap_err();
        assert!(error.contains("no part of a run"), "{error}");
    }
    assert!(attempt(&good[..2], CompressionMethod::Stored).unwrap_err().contains("recipe.toml"));
    assert!(attempt(&with(("last.json", b"{}")), CompressionMethod::Stored).unwrap_err().contains("not complete"));
    assert!(attempt(&good, CompressionMethod::Deflated).unwrap_err().contains("packed it anew"));
    let newer = [(MARK, b"2\n".as_slice()), good[1], good[2]];
    assert!(attempt(&newer, CompressionMethod::Stored).unwrap_err().contains("newer"));
    let error = attempt(&[good[0], good[1], ("recipe.toml", b"lr = \"fast\"")], CompressionMethod::Stored);
    assert!(error.unwrap_err().contains("lr"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_spoiled_file_never_panics_nor_writes_elsewhere(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        doubled in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let recipe = Recipe::default().to_toml();
        write_small_network(&at("weights"));
        let weights = fs::read(at("weights")).unwrap();
        fs::remove_file(at("weights")).unwrap();
        let good = [(MARK, VERSION), ("run.json", b"{}".as_slice()), ("recipe.toml", recipe.as_bytes()),
            ("last.json", b"{}"), ("last.safetensors", &weights), ("last.state.safetensors", &weights)];
        let mut bytes = zip(&good, CompressionMethod::Stored);
        if let Some(doubled) = doubled {
            let at = doubled.index(bytes.len());
            let tail = bytes[at..].to_vec();
            bytes.splice(at..at, tail);
        }
        for (place, value) in changes {
            // The directory, at the end, is where it matters.
            let tail = bytes.len().min(700);
            let place = bytes.len() - tail + place.index(tail);
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        fs::write(at("file"), bytes).unwrap();
        let opened = open(&at("file"), &at("out")).map(Opened::keep).is_ok();
        let _ = peek(&at("file"));
        let _ = crate::weights::read(&at("file"), &Default::default());
        let beside: Vec<String> = files(folder.path()).into_keys().collect();
        prop_assert_eq!(beside.len(), 1 + usize::from(opened), "{:?}", beside);
        if opened {
            prop_assert!(files(&at("out")).keys().all(|name| MEMBERS.contains(&name.as_str())));
        }
    }
}
