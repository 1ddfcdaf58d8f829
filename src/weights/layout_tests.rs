//! Weights as people's scripts leave them: under other names, with other heads, in other types, beside other things.

use super::{
    HostTensor, ImportOptions, Imported, Pretrained, Problem, StateDict, adapt,
    fixtures::{self, Stored, from_bytes, pickle_beside, stored, torch_legacy, torch_zip, torch_zip_of},
    foreign::Source,
    import::pretrained,
    kinds,
};
use crate::model::{Block, ModelSpec, Stem};

fn small() -> (ModelSpec, StateDict) {
    let spec = ModelSpec::custom(Block::Basic, Stem::Cifar, vec![1, 1], vec![4, 6], 3, 5).unwrap();
    let tensors = fixtures::network(&spec);
    (spec, tensors)
}

fn import(bytes: &[u8]) -> Result<Imported, Problem> {
    from_bytes(bytes, &ImportOptions::default())
}

fn start(bytes: &[u8]) -> Pretrained {
    pretrained(bytes, &ImportOptions::default(), &Source::default()).unwrap()
}

/// The network under other names, as a file.
fn renamed(rename: impl Fn(&str) -> String) -> Vec<u8> {
    let mut list = stored(&small().1);
    list.iter_mut().for_each(|tensor| tensor.name = rename(&tensor.name));
    torch_zip(&list, 2, &[])
}

/// The file of a network after a change to its tensors.
fn changed(change: impl Fn(&mut StateDict)) -> Vec<u8> {
    let mut tensors = small().1;
    change(&mut tensors);
    torch_zip(&stored(&tensors), 2, &[])
}

#[test]
fn an_archives_inner_name_may_have_any_length() {
    let (_, tensors) = small();
    let list = stored(&tensors);
    for length in 1..=64 {
        let archive = torch_zip_of(&"x".repeat(length), &list, fixtures::pickle(&list, 2, &[]));
        let imported = import(&archive).unwrap_or_else(|problem| panic!("{length} letters: {problem}"));
        assert!(imported.tensors == tensors);
    }
}

#[test]
fn a_head_within_a_sequential_is_the_head() {
    let (_, tensors) = small();
    for head in
        ["fc.1.", "fc.0.", "classifier.6.", "classifier.1.", "head.", "head.fc.", "last_linear.", "fc.module.2."]
    {
        let imported = import(&renamed(|name| name.replace("fc.", head))).unwrap();
        assert!(imported.tensors == tensors, "{head}");
    }
    // The network within a larger one, which has the head.
    let inner =
        |name: &str| if name.starts_with("fc.") { format!("net.{name}") } else { format!("net.backbone.{name}") };
    assert!(import(&renamed(inner)).unwrap().tensors == tensors);
}

#[test]
fn a_head_without_a_bias_has_zeros() {
    let imported = import(&changed(|tensors| drop(tensors.remove("fc.bias")))).unwrap();
    assert_eq!(imported.tensors["fc.bias"], HostTensor::full(vec![5], 0.0));
    assert!(imported.report.notes.iter().any(|note| note.contains("no bias")));
}

#[test]
fn heads_that_are_not_read_are_named_and_the_backbone_is_started_from() {
    let zeros = |shape: &[usize]| HostTensor::full(shape.to_vec(), 0.0);
    let two = |tensors: &mut StateDict| {
        tensors.retain(|name, _| !name.starts_with("fc."));
        tensors.insert("fc.0.weight".into(), zeros(&[3, 6]));
        tensors.insert("fc.3.weight".into(), zeros(&[5, 3]));
    };
    let normalised = |tensors: &mut StateDict| {
        for leaf in ["weight", "bias", "running_mean", "running_var"] {
            tensors.insert(format!("fc.1.{leaf}"), zeros(&[5]));
        }
    };
    let none = |tensors: &mut StateDict| tensors.retain(|name, _| !name.starts_with("fc."));
    let one = |tensors: &mut StateDict| {
        tensors.insert("fc.weight".into(), zeros(&[1, 6]));
        tensors.insert("fc.bias".into(), zeros(&[1]));
    };
    let wide = |tensors: &mut StateDict| drop(tensors.insert("fc.weight".into(), zeros(&[5, 12])));
    let (spec, tensors) = small();
    let wanted = ModelSpec { classes: 3, ..spec };
    type Change<'a> = &'a dyn Fn(&mut StateDict);
    let cases: [(Change<'_>, &[&str]); 5] = [
        (&two, &["2 linear layers", "`fc.0` (3x6)", "`fc.3` (5x3)"]),
        (&normalised, &["`fc.1` (5)"]),
        (&none, &["is missing"]),
        (&one, &["a single output"]),
        (&wide, &["12 features", "gives 6"]),
    ];
    for (change, words) in cases {
        let file = changed(change);
        let error = import(&file).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        assert!(error.contains("train --weights") && !error.contains('\n'), "{error}");
        let adapted = adapt(start(&file), &wanted, &[], 7).unwrap();
        assert!(adapted.head_replaced && adapted.tensors["fc.weight"].shape == [3, 6]);
        assert!(adapted.notes[0].contains(words[0]), "{:?}", adapted.notes);
        let same = |(name, tensor): (&String, &HostTensor)| name.starts_with("fc.") || adapted.tensors[name] == *tensor;
        assert!(tensors.iter().all(same));
    }
}

#[test]
fn whatever_stands_before_all_names_comes_off() {
    let (_, tensors) = small();
    for prefix in
        ["cnn.", "self.cnn.", "module.encoder_q.", "student.", "resnet18.", "0.", "_orig_mod.", "a.b.c.d.e.f.g."]
    {
        let imported = import(&renamed(|name| format!("{prefix}{name}"))).unwrap();
        assert!(imported.tensors == tensors, "{prefix}");
    }
    let compiled = |name: &str| name.replace("layer1.", "layer1._orig_mod.").replace("conv2.", "conv2._orig_mod.");
    assert!(import(&renamed(compiled)).unwrap().tensors == tensors);
}

#[test]
fn the_children_of_a_network_in_a_sequential_are_its_parts() {
    let (_, tensors) = small();
    let child = |name: &str| {
        let parts = [("conv1.", "0."), ("bn1.", "1."), ("layer1.", "4."), ("layer2.", "5."), ("fc.", "9.")];
        let (from, to) = parts.iter().find(|(from, _)| name.starts_with(from)).unwrap();
        format!("net.{to}{}", &name[from.len()..])
    };
    assert!(import(&renamed(child)).unwrap().tensors == tensors);
    // What is added to a block is seen there, too.
    let mut list = stored(&tensors);
    list.iter_mut().for_each(|tensor| tensor.name = child(&tensor.name));
    list.push(Stored { name: "net.4.0.extra.weight".into(), ..list[0].clone() });
    let error = import(&torch_zip(&list, 2, &[])).unwrap_err().to_string();
    assert!(error.contains("net.4.0.extra.weight"), "{error}");
}

#[test]
fn of_two_networks_the_average_or_the_first_is_taken_and_the_other_named() {
    let (_, tensors) = small();
    let other: StateDict =
        tensors.iter().map(|(name, tensor)| (name.clone(), HostTensor::full(tensor.shape.clone(), 0.5))).collect();
    let both = |first: &str, second: &str| {
        let named = |prefix: &str, tensors: &StateDict| {
            let mut list = stored(tensors);
            list.iter_mut().for_each(|tensor| tensor.name = format!("{prefix}{}", tensor.name));
            list
        };
        torch_zip(&[named(first, &tensors), named(second, &other)].concat(), 2, &[])
    };
    for (first, second, is_first) in [
        ("model_ema.module.", "model.", true),
        ("model.", "model_ema.module.", false),
        ("student.", "teacher.", false),
        ("module.encoder_q.", "module.encoder_k.", true),
        ("", "averaged.", false),
    ] {
        let imported = import(&both(first, second)).unwrap();
        assert!(imported.tensors == if is_first { &tensors } else { &other }.clone(), "{first} and {second}");
        let note = &imported.report.notes[0];
        let left = if is_first { second } else { first }.trim_end_matches('.');
        assert!(note.contains("several networks") && note.contains(left), "{note}");
        let left = imported.report.left.iter().filter(|left| left.reason.contains("another network")).count();
        assert_eq!(left, tensors.len());
    }
}

#[test]
fn two_names_of_the_same_values_take_the_memory_of_one() {
    let (_, tensors) = small();
    let list = stored(&tensors);
    // A second dictionary whose tensors are views of the first one's storages.
    let tree = fixtures::pickle(&list, 2, &[]);
    let body = &tree[2..tree.len() - 1];
    let tree = [b"\x80\x02}(X\x05\0\0\0model".as_slice(), body, b"X\x04\0\0\0best", body, b"u."].concat();
    let imported = import(&torch_zip_of("archive", &list, tree)).unwrap();
    assert!(imported.tensors == tensors && imported.report.notes[0].contains("left: `best`"));
}

#[test]
fn a_network_that_was_saved_as_a_whole_is_read() {
    let (_, tensors) = small();
    let list = stored(&tensors);
    let imported = import(&torch_zip_of("archive", &list, fixtures::module_pickle(&list))).unwrap();
    assert!(imported.tensors == tensors);
}

#[test]
fn what_scripts_keep_beside_the_weights_is_read_past() {
    let (_, tensors) = small();
    let list = stored(&tensors);
    let beside: [&[u8]; 5] = [
        // functools.partial(torch.optim.adam.Adam, lr=1)
        b"X\x01\0\0\0xcfunctools\npartial\nctorch.optim.adam\nAdam\n\x85R(ctorch.optim.adam\nAdam\n)}X\x02\0\0\0lrK\x01sNtb",
        // range(3), as protocol 2 spells it
        b"X\x01\0\0\0xc__builtin__\nxrange\nK\x00K\x03K\x01\x87R",
        // torch.nn.CrossEntropyLoss()
        b"X\x01\0\0\0xctorch.nn.modules.loss\nCrossEntropyLoss\n)\x81}X\x08\0\0\0_modules}sb",
        // a member of an enumeration of the script's own
        b"X\x01\0\0\0xc__builtin__\ngetattr\nc__main__\nKind\nX\x01\0\0\0A\x86R",
        // a function
        b"X\x01\0\0\0xctorch.nn.init\nxavier_uniform_\n",
    ];
    for beside in beside {
        let tree = pickle_beside(&list, 2, &["state_dict"], beside);
        let imported = import(&torch_zip_of("archive", &list, tree)).unwrap();
        assert!(imported.tensors == tensors);
    }
    for attack in [b"cposix\nsystem\n".as_slice(), b"c__builtin__\neval\n", b"cos.path\njoin\n", b"ctorch\nload\n"] {
        let beside = [b"X\x01\0\0\0x", attack].concat();
        let tree = pickle_beside(&list, 2, &["state_dict"], &beside);
        let error = import(&torch_zip_of("archive", &list, tree)).unwrap_err();
        assert!(matches!(error, Problem::ForeignObject(_)), "{error}");
    }
}

/// The network with a head's weight of another type: values that eight bits hold exactly, and their bytes.
fn with_head_as(storage: &'static str, width: usize) -> Vec<Stored> {
    let (_, tensors) = small();
    let mut list = stored(&tensors);
    let head = list.iter_mut().find(|tensor| tensor.name == "fc.weight").unwrap();
    head.storage = storage;
    head.bytes = (0..30u8).flat_map(|i| vec![i; width]).collect();
    list
}

#[test]
fn float8_is_read() {
    use super::float8::Float8;
    use strum::IntoEnumIterator;
    for kind in Float8::iter() {
        let name = kind.into();
        let list = with_head_as(name, 1);
        let expected: Vec<f32> = (0..30).map(|bits| kind.to_f32(bits)).collect();
        for file in [torch_zip(&list, 2, &[]), torch_legacy(&list, 2, &[])] {
            let imported = import(&file).unwrap();
            assert_eq!(imported.tensors["fc.weight"].data, expected, "{name}");
            let placed = imported.report.placed.iter().find(|placed| placed.from == "fc.weight").unwrap();
            assert_eq!(placed.dtype, name);
        }
    }
}

#[test]
fn other_types_are_named_with_their_tensor() {
    for (storage, width, name) in [
        ("QInt8Storage", 1, "qint8"),
        ("ComplexFloatStorage", 8, "complex64"),
        ("ComplexDoubleStorage", 16, "complex128"),
        ("IntStorage", 4, "int32"),
    ] {
        let list = with_head_as(storage, width);
        for file in [torch_zip(&list, 2, &[]), torch_legacy(&list, 2, &[])] {
            let error = import(&file).unwrap_err().to_string();
            assert!(error.contains("`fc.weight`") && error.contains(name), "{error}");
        }
    }
    // One that the network does not need is left.
    let mut list = with_head_as("FloatStorage", 4);
    list.push(Stored {
        name: "embedding".into(),
        storage: "ComplexFloatStorage",
        ..with_head_as("", 8).pop().unwrap()
    });
    assert!(import(&torch_zip(&list, 2, &[])).is_ok());
}

#[test]
fn a_sparse_tensor_is_named() {
    let (_, tensors) = small();
    let list = stored(&tensors);
    // torch._utils._rebuild_sparse_tensor(layout, (indices, values, torch.Size((5, 6)))).
    let sparse =
        b"X\x09\0\0\0fc.weightctorch._utils\n_rebuild_sparse_tensor\nN(NNctorch\nSize\n(K\x05K\x06t\x85Rt\x86R";
    let tree = fixtures::pickle(&list, 2, &[]);
    let end = tree.len() - 2; // `u.`
    let tree = [&tree[..end], sparse, b"u."].concat();
    let error = import(&torch_zip_of("archive", &list, tree)).unwrap_err().to_string();
    assert!(error.contains("`fc.weight` is stored as sparse") && error.contains("to_dense"), "{error}");
}

/// What a file with these tensors is called when it is refused.
fn refusal(tensors: &[(&str, &[usize])]) -> String {
    let tensors = tensors.iter().map(|(name, shape)| ((*name).to_owned(), HostTensor::full(shape.to_vec(), 0.0)));
    import(&torch_zip(&stored(&tensors.collect()), 2, &[])).unwrap_err().to_string()
}

#[test]
fn a_refusal_says_what_the_network_is() {
    let conv: &[usize] = &[4, 4, 3, 3];
    for (names, kind) in [
        (&["conv1.0.weight", "layer1.0.conv1.weight"][..], "a ResNet-C"),
        (&["conv1.0.weight", "layer1.0.conv1.weight", "layer2.0.downsample.1.weight"], "a ResNet-D with another stem"),
        (
            &["stem.conv.weight", "stages.0.blocks.0.norm1.weight", "stages.0.blocks.0.norm2.weight"],
            "a preactivation ResNet",
        ),
        (&["conv1.weight", "layer1.0.conv1.weight", "layer1.0.se.fc1.weight"], "an SE-ResNet"),
        (&["features.1.conv.0.0.weight"], "a MobileNetV2"),
        (&["conv_stem.weight", "blocks.0.0.conv_dw.weight", "blocks.0.0.se.conv_reduce.weight"], "a MobileNetV3, or"),
        (&["features.1.0.block.0.0.weight"], "an EfficientNet with squeeze"),
        (&["features.1.0.layer_scale"], "a ConvNeXt"),
        (&["module.blocks.0.attn.qkv.weight", "module.pos_embed"], "a vision transformer"),
        (&["features.denseblock1.denselayer1.conv1.weight"], "a DenseNet"),
        (&["features.0.weight", "classifier.6.weight"], "a VGG network"),
        (&["Mixed_5b.branch1x1.conv.weight"], "an Inception network"),
    ] {
        let tensors: Vec<_> = names.iter().map(|name| (*name, conv)).collect();
        let error = refusal(&tensors);
        assert!(error.contains(kind) && !error.contains("not a ResNet"), "{names:?}: {error}");
    }
}

#[test]
fn networks_with_a_plain_resnets_tensors_are_known_by_their_names() {
    let spec = ModelSpec::named("resnet18", None, 3, 10).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = torch_zip(&stored(&fixtures::network(&spec)), 2, &[]);
    let cached = folder.path().join("models--timm--resnetblur18.test/snapshots/1");
    std::fs::create_dir_all(&cached).unwrap();
    let read = |path: std::path::PathBuf| {
        std::fs::write(&path, &file).unwrap();
        super::read(&path, &ImportOptions::default())
    };
    for path in [folder.path().join("resnetaa50_a1h-4cf422b3.pth"), cached.join("model.safetensors")] {
        let error = read(path).unwrap_err().to_string();
        assert!(error.contains("timm's resnet"), "{error}");
    }
    let notes = |name: &str| read(folder.path().join(name)).unwrap().report.notes.join("\n");
    assert!(notes("model.pth").contains("resnetblur"));
    let timms = notes("resnet18.a1_in1k.pth");
    assert!(timms.contains("bicubic") && timms.contains("0.95") && !timms.contains("resnetblur"), "{timms}");
    assert!(!notes("my_resnet18.pth").contains("timm"));
    assert!(kinds::by_name("my-ResNetBlur50.pth").is_some() && kinds::by_name("resnet50").is_none());
}

#[test]
fn names_from_a_file_are_shown_without_their_control_characters() {
    let error = refusal(&[
        ("layer1.0.conv1.weight", &[4, 4, 3, 3]),
        ("conv1.weight", &[4, 3, 3, 3]),
        ("layer1.0.\u{202e}x", &[4, 4]),
    ]);
    assert!(error.contains("\\u{202e}") && !error.contains('\u{202e}'), "{error}");
    let (_, tensors) = small();
    let long = |name: &str| format!("{}.{name}", "y".repeat(900));
    let mut list = stored(&tensors);
    list.iter_mut().for_each(|tensor| tensor.name = long(&tensor.name));
    list.push(Stored { name: long("layer1.0.extra"), ..list[0].clone() });
    let error = import(&torch_zip(&list, 3, &[])).unwrap_err().to_string();
    assert!(error.chars().count() < 400 && error.contains("layer1.0.extra"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_pipe_among_weights_is_named_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.pth");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for error in [
        super::read(&pipe, &ImportOptions::default()).unwrap_err().to_string(),
        super::read_checkpoint(&pipe).unwrap_err().to_string(),
        super::read_tensors(&pipe).unwrap_err().to_string(),
    ] {
        assert!(error.contains("pipe.pth") && error.contains("a pipe"), "{error}");
    }
}
