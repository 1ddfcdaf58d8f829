//! Every supported file gives the same network back, and everything else is refused with one clear line.

use super::{
    Family, HostTensor, ImportOptions, Imported, Problem, Problem as P, StateDict, adapt,
    fixtures::{
        self, Stored, from_bytes, mindspore, mindspore_name, mindvision_name, stored, torch_legacy, torch_zip,
        zip_archive,
    },
};
use crate::{
    device::Compute,
    model::{Block, ModelSpec, Network, Padding, Stem, spec::TensorInfo},
    ops::{self, Implementation, sample::SampleParams},
};

fn small() -> (ModelSpec, StateDict) {
    let spec = ModelSpec::custom(Block::Basic, Stem::Cifar, vec![1, 1], vec![4, 6], 3, 10).unwrap();
    let tensors = fixtures::network(&spec);
    (spec, tensors)
}

fn import(bytes: &[u8]) -> Result<Imported, Problem> {
    from_bytes(bytes, &ImportOptions::default())
}

/// The tensors of a network under MindSpore's names, as a checkpoint.
fn checkpoint(tensors: &StateDict, name: impl Fn(&str) -> String, piece: usize, checksum: bool) -> Vec<u8> {
    let owned: Vec<_> = tensors
        .iter()
        .map(|(key, tensor)| {
            let bytes: Vec<u8> = tensor.data.iter().flat_map(|value| value.to_le_bytes()).collect();
            (name(key), &tensor.shape, bytes)
        })
        .collect();
    let mut list: Vec<fixtures::MindSporeTensor<'_>> = owned
        .iter()
        .map(|(name, shape, bytes)| (name.as_str(), "Float32", shape.as_slice(), bytes.as_slice()))
        .collect();
    let step = 3i32.to_le_bytes();
    list.push(("global_step", "Int32", &[0], &step));
    let moments: Vec<_> = owned.iter().map(|(name, ..)| format!("moments.{name}")).collect();
    for (moment, (_, shape, bytes)) in moments.iter().zip(&owned) {
        list.push((moment, "Float32", shape, bytes));
    }
    mindspore(&list, piece, checksum)
}

#[test]
fn pytorchs_formats_and_protocols_give_the_same_network() {
    let (spec, tensors) = small();
    let list = stored(&tensors);
    for protocol in [2, 3, 4, 5] {
        for nest in [&[][..], &["state_dict"], &["checkpoint", "model"]] {
            for bytes in [torch_zip(&list, protocol, nest), torch_legacy(&list, protocol, nest)] {
                let imported = import(&bytes).unwrap();
                assert!(imported.tensors == tensors);
                assert_eq!(imported.card.spec, spec);
                assert_eq!(imported.report.family, Some(Family::Torchvision));
                assert_eq!(imported.report.placed.len(), tensors.len());
                assert_eq!(imported.report.left.len(), spec.graph().layers.len(), "the counters");
            }
        }
    }
}

#[test]
fn every_strides_come_out_row_major() {
    let (_, tensors) = small();
    let mut list = stored(&tensors);
    for Stored { shape, strides, bytes, .. } in &mut list {
        let &[o, i, h, w] = shape.as_slice() else { continue };
        // NHWC in memory, as `memory_format=torch.channels_last` leaves it.
        let old = std::mem::take(bytes);
        for oo in 0..o {
            for y in 0..h {
                for x in 0..w {
                    for ii in 0..i {
                        let at = 4 * (((oo * i + ii) * h + y) * w + x);
                        bytes.extend(&old[at..at + 4]);
                    }
                }
            }
        }
        *strides = vec![h * w * i, 1, w * i, i];
    }
    assert!(import(&torch_zip(&list, 2, &[])).unwrap().tensors == tensors);
    assert!(import(&torch_legacy(&list, 2, &[])).unwrap().tensors == tensors);
}

#[test]
fn kuangliu_names_under_data_parallel_are_read() {
    let (_, tensors) = small();
    let mut list = stored(&tensors);
    for tensor in &mut list {
        tensor.name = format!("module.{}", tensor.name.replace("downsample", "shortcut").replace("fc.", "linear."));
    }
    let imported = import(&torch_zip(&list, 2, &["net"])).unwrap();
    assert!(imported.tensors == tensors);
    assert_eq!(imported.report.family, Some(Family::Kuangliu));
    assert_eq!(imported.card.spec.padding, Padding::Torch);
    let placed = imported.report.placed.iter().find(|placed| placed.from == "module.linear.bias").unwrap();
    assert_eq!(placed.to, ["fc.bias"]);
    assert!(imported.report.notes.iter().any(|note| note.contains("`net`")));
}

#[test]
fn halves_and_doubles_are_converted() {
    let (_, tensors) = small();
    for (storage, tolerance) in [("HalfStorage", 1e-3), ("BFloat16Storage", 1e-2), ("DoubleStorage", 0.0)] {
        let mut list = stored(&tensors);
        for (tensor, source) in list.iter_mut().filter(|t| t.storage == "FloatStorage").zip(tensors.values()) {
            tensor.storage = storage;
            tensor.bytes = match storage {
                "HalfStorage" => source.data.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect(),
                "BFloat16Storage" => source.data.iter().flat_map(|&v| half::bf16::from_f32(v).to_le_bytes()).collect(),
                _ => source.data.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect(),
            };
        }
        let imported = import(&torch_zip(&list, 2, &[])).unwrap();
        for (name, tensor) in &tensors {
            let values = &imported.tensors[name].data;
            let close = |(a, b): (&f32, &f32)| (a - b).abs() <= tolerance * b.abs().max(1e-3);
            assert!(
                values.len() == tensor.data.len() && values.iter().zip(&tensor.data).all(close),
                "{storage} {name}"
            );
        }
    }
}

#[test]
fn mindspores_families_pieces_and_checksums_are_read() {
    let (spec, tensors) = small();
    type Name = fn(&str) -> String;
    let families: [(Family, Name, Padding, f64); 4] = [
        (Family::Mindvision, mindvision_name, Padding::SamePool, 1e-5),
        (Family::Mindcv, |name| mindspore_name(name, "down_sample", "bn", "classifier"), Padding::SamePool, 1e-5),
        (Family::MindsporeTutorial, |name| mindspore_name(name, "down_sample", "norm", "fc"), Padding::Same, 1e-5),
        (
            Family::MindsporeZoo,
            |name| mindspore_name(name, "down_sample_layer", "bn", "end_point"),
            Padding::Same,
            1e-4,
        ),
    ];
    for (family, name, padding, bn_eps) in families {
        for (piece, checksum) in [(usize::MAX, false), (100, true)] {
            let imported = import(&checkpoint(&tensors, name, piece, checksum)).unwrap();
            assert!(imported.tensors == tensors, "{family}");
            assert_eq!(imported.card.spec, ModelSpec { padding, bn_eps, ..spec.clone() });
            assert_eq!(imported.report.family, Some(family));
            assert_eq!(imported.report.left.len(), tensors.len() + 1, "moments and the step");
            assert!(imported.report.notes.iter().any(|note| note.contains(&format!("padding {padding}"))));
        }
    }
    let options = ImportOptions { padding: Some(Padding::Torch), ..Default::default() };
    let asked = from_bytes(&checkpoint(&tensors, mindvision_name, usize::MAX, false), &options).unwrap();
    assert_eq!(asked.card.spec.padding, Padding::Torch);
    assert!(asked.report.notes.iter().any(|note| note.contains("as asked")));
}

#[test]
fn a_wrong_checksum_is_noticed() {
    let (_, tensors) = small();
    let mut bytes = checkpoint(&tensors, mindvision_name, usize::MAX, true);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let error = import(&bytes).unwrap_err().to_string();
    assert!(error.contains("checksum"), "{error}");
}

#[test]
fn safetensors_of_others_need_no_card() {
    let (spec, tensors) = small();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.safetensors");
    super::write_tensors(&path, &tensors, &Default::default()).unwrap();
    let imported = super::read(&path, &ImportOptions::default()).unwrap();
    assert!(imported.tensors == tensors && imported.card.spec == spec);
    assert_eq!(imported.report.format, "safetensors");
}

#[test]
fn our_own_checkpoint_keeps_its_card() {
    let (spec, tensors) = small();
    let spec = spec.with_padding(Padding::Same);
    let mut imported = import(&torch_zip(&stored(&tensors), 2, &[])).unwrap();
    imported.card.spec = spec;
    imported.card.classes = (0..10).map(|i| format!("kind {i}")).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("best.safetensors");
    super::write_safetensors(&path, &imported.card, &tensors).unwrap();
    let back = super::read(&path, &ImportOptions::default()).unwrap();
    assert_eq!(back.card, imported.card);
    assert!(back.tensors == tensors && back.report.family.is_none());
}

#[test]
fn a_thousand_classes_are_imagenets() {
    let spec = ModelSpec::custom(Block::Basic, Stem::Imagenet, vec![1], vec![4], 3, 1000).unwrap();
    let imported = import(&torch_zip(&stored(&fixtures::network(&spec)), 2, &[])).unwrap();
    assert_eq!(imported.card.classes[0], "tench");
    let preprocessing = &imported.card.preprocessing;
    assert_eq!((preprocessing.height, preprocessing.resize.as_ref().unwrap().short_side), (224, 256));
    assert_eq!(preprocessing.normalisation.mean, [0.485, 0.456, 0.406]);
}

#[test]
fn published_files_are_known_by_name() {
    let spec = ModelSpec::named("cifar_resnet20", None, 3, 100).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cifar100_resnet20-23dac2f1.pt");
    std::fs::write(&path, torch_zip(&stored(&fixtures::network(&spec)), 2, &[])).unwrap();
    let card = super::read(&path, &ImportOptions::default()).unwrap().card;
    assert_eq!(card.classes[99], "worm");
    assert_eq!(card.preprocessing.normalisation.mean, [0.5070, 0.4865, 0.4409]);
}

#[test]
fn another_architecture_than_asked_for_is_told_with_both_sides() {
    let spec = ModelSpec::named("cifar_resnet20", None, 3, 10).unwrap();
    let bytes = torch_zip(&stored(&fixtures::network(&spec)), 2, &[]);
    let options = |name: &str| ImportOptions { architecture: Some(name.into()), ..Default::default() };
    assert!(from_bytes(&bytes, &options("cifar_resnet20")).is_ok());
    let error = from_bytes(&bytes, &options("resnet50")).unwrap_err().to_string();
    assert!(error.contains("file 16x3x3x3, model 64x3x3x3") && error.contains("looks like cifar_resnet20"), "{error}");
}

#[test]
fn what_a_plain_resnet_has_not_is_refused_and_what_stands_beside_it_is_left() {
    let (_, mut tensors) = small();
    tensors.insert("aux.weight".into(), HostTensor::full(vec![2, 2], 0.0));
    let imported = import(&torch_zip(&stored(&tensors), 2, &[])).unwrap();
    assert!(imported.report.left.iter().any(|left| left.name == "aux.weight"));
    tensors.insert("layer1.0.extra.weight".into(), HostTensor::full(vec![4, 4, 1, 1], 0.0));
    let error = import(&torch_zip(&stored(&tensors), 2, &[])).unwrap_err().to_string();
    assert!(error.contains("layer1.0.extra.weight"), "{error}");
}

#[test]
fn nothing_in_a_file_is_executed() {
    // torch.save({"conv1.weight": Evil()}), where Evil.__reduce__ returns (os.system, ("touch pwned",)).
    let evil =
        b"\x80\x02}q\0X\x0c\0\0\0conv1.weightq\x01cposix\nsystem\nq\x02X\x0b\0\0\0touch pwnedq\x03\x85q\x04Rq\x05s.";
    for bytes in [evil.to_vec(), zip_archive(&[("data.pkl".into(), evil.to_vec())], false)] {
        let error = import(&bytes).unwrap_err();
        assert_eq!(error, P::ForeignObject("posix.system".into()));
        assert!(error.to_string().contains("executes nothing") && !error.to_string().contains('\n'));
    }
    assert!(!std::path::Path::new("pwned").exists());
}

#[test]
fn a_request_hidden_from_the_root_is_refused_too() {
    // The call stands in a value that is popped again.
    let (_, tensors) = small();
    let tree = pickle_with(&tensors, b"cbuiltins\neval\nX\x01\0\0\x001\x85R0");
    let error = import(&zip_archive(&[("data.pkl".into(), tree)], false)).unwrap_err();
    assert_eq!(error, P::ForeignObject("builtins.eval".into()));
}

/// The pickle of a state dictionary after some other instructions.
fn pickle_with(tensors: &StateDict, before: &[u8]) -> Vec<u8> {
    let tree = fixtures::pickle(&stored(tensors), 2, &[]);
    [&tree[..2], before, &tree[2..]].concat()
}

#[test]
fn truncated_files_are_refused_in_one_line() {
    let (_, tensors) = small();
    let list = stored(&tensors);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    super::write_tensors(&path, &tensors, &Default::default()).unwrap();
    let whole = [
        torch_zip(&list, 2, &[]),
        torch_legacy(&list, 2, &[]),
        checkpoint(&tensors, mindvision_name, usize::MAX, false),
        std::fs::read(&path).unwrap(),
    ];
    for bytes in whole {
        for part in [1, 3, 7] {
            let error = import(&bytes[..bytes.len() * part / 8]).unwrap_err().to_string();
            assert!(!error.contains('\n') && !error.is_empty(), "{error}");
        }
    }
    assert_eq!(import(b"hello, world").unwrap_err(), P::UnknownFormat);
    std::fs::write(&path, b"").unwrap();
    let error = super::read(&path, &ImportOptions::default()).unwrap_err().to_string();
    assert!(error.contains("x.safetensors") && error.contains("empty"), "{error}");
}

#[test]
fn views_that_repeat_themselves_take_no_more_memory_than_the_file() {
    let spec = ModelSpec::custom(Block::Basic, Stem::Cifar, vec![2], vec![64], 3, 10).unwrap();
    let mut list = stored(&fixtures::network(&spec));
    // Of each convolution's 150 kB there are 4 bytes in the file, seen again and again.
    for conv in list.iter_mut().filter(|tensor| tensor.shape.len() == 4) {
        conv.strides = vec![0; 4];
        conv.count = 1;
        conv.bytes.truncate(4);
    }
    for bytes in [torch_zip(&list, 2, &[]), torch_legacy(&list, 2, &[])] {
        let error = import(&bytes).unwrap_err().to_string();
        assert!(error.contains("larger than the file"), "{error}");
    }
}

#[test]
fn compressed_trees_are_read_and_compressed_storages_refused() {
    let (_, tensors) = small();
    let list = stored(&tensors);
    let mut members = vec![("data.pkl".to_owned(), fixtures::pickle(&list, 2, &[]))];
    members.extend(list.iter().enumerate().map(|(key, tensor)| (format!("data/{key}"), tensor.bytes.clone())));
    let error = import(&zip_archive(&members, true)).unwrap_err().to_string();
    assert!(error.contains("zip -0"), "{error}");
}

#[test]
fn another_head_is_started_anew_and_gray_is_summed() {
    let (spec, tensors) = small();
    let import = || import(&torch_zip(&stored(&tensors), 2, &[])).unwrap();
    let wanted = ModelSpec { classes: 4, channels: 1, ..spec.clone() };
    let adapted = adapt(import(), &wanted, &[], 7).unwrap();
    assert!(adapted.head_replaced && adapted.notes.len() == 2, "{:?}", adapted.notes);
    assert_eq!(adapted.tensors["fc.weight"].shape, [4, 6]);
    let bound = 1.0 / 6f32.sqrt();
    let head = &adapted.tensors["fc.weight"].data;
    assert!(head.iter().all(|v| v.abs() <= bound) && head.iter().any(|v| v.abs() > bound / 2.0));
    assert_eq!(adapted, adapt(import(), &wanted, &[], 7).unwrap());
    assert_ne!(adapted, adapt(import(), &wanted, &[], 8).unwrap());
    let (colour, gray) = (&tensors["conv1.weight"].data, &adapted.tensors["conv1.weight"]);
    assert_eq!(gray.shape, [4, 1, 3, 3]);
    assert!((gray.data[10] - (colour[28] + colour[37] + colour[46])).abs() < 1e-6);

    // And back: a gray image in three equal channels gives the same answer.
    let mut gray_file = import();
    gray_file.card.spec.channels = 1;
    gray_file.tensors.insert("conv1.weight".into(), gray.clone());
    let spread = adapt(gray_file, &spec, &[], 7).unwrap();
    let kernel = &spread.tensors["conv1.weight"];
    assert_eq!(kernel.shape, [4, 3, 3, 3]);
    assert!((kernel.data[27] + kernel.data[36] + kernel.data[45] - gray.data[9]).abs() < 1e-6);
    assert!(!spread.head_replaced);
}

#[test]
fn another_epsilon_changes_no_answer() {
    let (spec, mut tensors) = small();
    // One channel that hardly varies, where the epsilon counts.
    tensors.get_mut("bn1.running_var").unwrap().data[0] = 3e-5;
    let zoo = |name: &str| mindspore_name(name, "down_sample_layer", "bn", "end_point");
    let imported = import(&checkpoint(&tensors, zoo, usize::MAX, false)).unwrap();
    assert_eq!((imported.card.spec.bn_eps, spec.bn_eps), (1e-4, 1e-5));
    let adapted = adapt(imported, &spec.clone().with_padding(Padding::Same), &[], 0).unwrap();
    assert!(adapted.notes.len() == 1 && adapted.notes[0].contains("epsilon of 0.0001"), "{:?}", adapted.notes);
    let mut changed = 0;
    for name in tensors.keys().filter(|name| !name.ends_with(".running_var")) {
        let (before, after) = (&tensors[name].data, &adapted.tensors[name].data);
        let Some(variance) = name.strip_suffix(".weight").and_then(|bn| tensors.get(&format!("{bn}.running_var")))
        else {
            assert_eq!(before, after, "{name}");
            continue;
        };
        for ((before, after), variance) in before.iter().zip(after).zip(&variance.data) {
            let factor = |weight: f32, epsilon: f64| f64::from(weight) / (f64::from(*variance) + epsilon).sqrt();
            let (before, after) = (factor(*before, 1e-4), factor(*after, 1e-5));
            assert!((before - after).abs() < 1e-6 * before.abs(), "{name}: {before} and {after}");
            changed += 1;
        }
    }
    assert!(changed > 10);
    let (before, after) = (tensors["bn1.weight"].data[0], adapted.tensors["bn1.weight"].data[0]);
    assert!(after < 0.6 * before, "{before} and {after}");

    let logits = |bn_eps: f64, tensors: &StateDict| -> Vec<f32> {
        let spec = ModelSpec { bn_eps, ..spec.clone().with_padding(Padding::Same) };
        let values = |info: &TensorInfo| tensors.get(&info.name).map(|tensor| tensor.data.clone());
        let network = Network::load(&spec, values, Implementation::Fast, &Compute::cpu()).unwrap();
        let pixels: Vec<f32> = (0..2 * 64 * 3).map(|i| (i as f32 * 0.37).sin()).collect();
        let (pixels, samples) = (ops::Pixels::Values(&pixels, [2, 8, 8, 3]), &[SampleParams::plain(0, 0); 2]);
        network.infer(&ops::Batch { pixels, samples }, ops::Storage::F32)
    };
    let (own, kept, lost) = (logits(1e-4, &tensors), logits(1e-5, &adapted.tensors), logits(1e-5, &tensors));
    let largest = own.iter().fold(0f32, |most, value| most.max(value.abs()));
    let apart = |other: &[f32]| own.iter().zip(other).fold(0f32, |most, (a, b)| most.max((a - b).abs())) / largest;
    assert!(apart(&kept) < 1e-5 && apart(&lost) > 1e-3, "{} and {}", apart(&kept), apart(&lost));
}

#[test]
fn the_head_is_kept_for_the_same_classes_only() {
    let (spec, tensors) = small();
    let import = || import(&torch_zip(&stored(&tensors), 2, &[])).unwrap();
    let same = import().card.classes;
    let kept = adapt(import(), &spec, &same, 0).unwrap();
    assert!(kept.tensors == tensors && !kept.head_replaced && kept.notes.is_empty());
    let others: Vec<_> = (0..10).map(|i| format!("other {i}")).collect();
    let adapted = adapt(import(), &spec, &others, 0).unwrap();
    assert!(adapted.head_replaced && adapted.tensors["fc.weight"] != tensors["fc.weight"]);
    let wanted = ModelSpec::named("resnet18", None, 3, 10).unwrap();
    assert!(matches!(adapt(import(), &wanted, &[], 0), Err(P::Mismatch(_))));
}

#[test]
fn a_file_that_pytorch_wrote_holds_the_formula_to_half_precision() {
    // torch.save of a ResNet-20 in float16, by PyTorch 2.15.
    let imported = import(include_bytes!("../../tests/data/weights/resnet20_fp16.pth")).unwrap();
    let spec = ModelSpec::named("cifar_resnet20", None, 3, 10).unwrap();
    assert_eq!(imported.card.spec, spec);
    for (name, tensor) in fixtures::network(&spec) {
        let halves: Vec<f32> = tensor.data.iter().map(|&v| half::f16::from_f32(v).to_f32()).collect();
        assert!(imported.tensors[&name].data == halves, "{name}");
    }
}

#[test]
fn the_attack_that_python_wrote_is_refused_by_name() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/weights/evil.pth");
    let error = super::read(path.as_ref(), &ImportOptions::default()).unwrap_err().to_string();
    assert!(error.contains("evil.pth") && error.contains("posix.system") && !error.contains('\n'), "{error}");
}
