//! Files that were damaged at random: every reader answers with a network or with one line, never with a panic.

use super::{
    ImportOptions, Metadata,
    fixtures::{self, from_bytes, mindspore, mindvision_name, stored, torch_legacy, torch_zip},
};
use crate::model::{Block, ModelSpec, Stem};
use proptest::{prelude::*, sample::Index};
use std::sync::LazyLock;

/// One small valid file of each format.
static FILES: LazyLock<[Vec<u8>; 6]> = LazyLock::new(|| {
    let spec = ModelSpec::custom(Block::Basic, Stem::Cifar, vec![1, 1], vec![1, 2], 1, 2).unwrap();
    let tensors = fixtures::network(&spec);
    let names: Vec<_> = tensors.keys().map(|name| mindvision_name(name)).collect();
    let bytes: Vec<Vec<u8>> =
        tensors.values().map(|tensor| tensor.data.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let list: Vec<fixtures::MindSporeTensor<'_>> = names
        .iter()
        .zip(tensors.values())
        .zip(&bytes)
        .map(|((name, tensor), bytes)| (name.as_str(), "Float32", tensor.shape.as_slice(), bytes.as_slice()))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    super::write_tensors(&path, &tensors, &Metadata::new()).unwrap();
    let safetensors = std::fs::read(&path).unwrap();
    let card = fixtures::card(spec);
    let onnx = folder.path().join("x.onnx");
    super::write_onnx(&onnx, &card, &tensors, true).unwrap();
    let list_of_torch = stored(&tensors);
    [
        safetensors,
        torch_zip(&list_of_torch, 2, &["net"]),
        torch_legacy(&list_of_torch, 4, &[]),
        mindspore(&list, 8, false),
        mindspore(&list, usize::MAX, true),
        std::fs::read(onnx).unwrap(),
    ]
});

/// Imports, and checks that what comes back is sound.
fn survive(bytes: &[u8]) -> Result<(), TestCaseError> {
    match from_bytes(bytes, &ImportOptions::default()) {
        Ok(imported) => {
            for (name, tensor) in &imported.tensors {
                prop_assert_eq!(tensor.shape.iter().product::<usize>(), tensor.data.len(), "{}", name);
            }
            prop_assert_eq!(imported.tensors.len(), imported.card.spec.tensors().len());
        }
        Err(problem) => {
            let line = problem.to_string();
            prop_assert!(!line.is_empty() && !line.contains('\n'), "{}", line);
        }
    }
    Ok(())
}

#[test]
fn the_undamaged_files_are_read() {
    for bytes in &*FILES {
        from_bytes(bytes, &ImportOptions::default()).unwrap();
    }
}

/// Bytes that stand for something in one of the formats are tried more often than the others.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        any::<u8>(),
        proptest::sample::select(b"\x00\x01\x7f\x80\xff\x0a\x12\x1a(.tQRu}]0123456789{}[],\"".to_vec())
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes(file in 0..6usize, changes in prop::collection::vec((any::<Index>(), byte()), 1..8)) {
        let mut bytes = FILES[file].clone();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        survive(&bytes)?;
    }

    #[test]
    fn cut_and_joined_files(file in 0..6usize, other in 0..6usize, end in any::<Index>(), start in any::<Index>()) {
        let (bytes, other) = (&FILES[file], &FILES[other]);
        let end = end.index(bytes.len());
        survive(&bytes[..end])?;
        let mut joined = bytes[..end].to_vec();
        joined.extend(&other[start.index(other.len())..]);
        survive(&joined)?;
    }

    #[test]
    fn missing_and_repeated_ranges(file in 0..6usize, from in any::<Index>(), count in 1..64usize, repeat in any::<bool>()) {
        let bytes = &FILES[file];
        let from = from.index(bytes.len());
        let to = (from + count).min(bytes.len());
        let mut damaged = bytes[..to].to_vec();
        damaged.extend(&bytes[if repeat { from } else { to }..]);
        if !repeat {
            damaged.drain(from..to);
        }
        survive(&damaged)?;
    }

    #[test]
    fn noise(bytes in prop::collection::vec(byte(), 0..400), head in prop::sample::select(vec![&b""[..], b"PK\x03\x04", b"\x80\x02", b"\x0a", b"\x08\x08\x12", b"\x10\0\0\0\0\0\0\0{"])) {
        survive(&[head, &bytes].concat())?;
    }
}
