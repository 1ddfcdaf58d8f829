//! Networks of inverted residuals, and grouped ones, in files under everybody's names.

use super::{
    HostTensor, ImportOptions, Imported, StateDict, WeightsError,
    fixtures::{self, stored, torch_zip},
    read,
};
use crate::model::{ModelSpec, Padding};

/// Blocks of the stages of both families.
const MOBILENET: [usize; 7] = [1, 2, 3, 4, 3, 3, 1];
const EFFICIENTNET: [usize; 7] = [1, 2, 2, 3, 3, 4, 1];

fn timms(name: &str, repeats: [usize; 7]) -> String {
    let words = [["conv_dw", "bn1", "", "", "conv_pw", "bn2"], ["conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3"]];
    let block = |number: usize| {
        let mut index = number - 1;
        let stage = repeats.iter().position(|&blocks| index.checked_sub(blocks).map(|rest| index = rest).is_none());
        format!("blocks.{}.{index}", stage.unwrap_or(0))
    };
    translated(name, repeats, ["conv_stem", "bn1", "conv_head", "bn2", "classifier"], words, block)
}

fn lukemelas(name: &str, repeats: [usize; 7]) -> String {
    let words = [
        ["_depthwise_conv", "_bn1", "", "", "_project_conv", "_bn2"],
        ["_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2"],
    ];
    let block = |number: usize| format!("_blocks.{}", number - 1);
    translated(name, repeats, ["_conv_stem", "_bn0", "_conv_head", "_bn1", "_fc"], words, block)
}

/// One of torchvision's names as somebody else has it.
fn translated(
    name: &str,
    repeats: [usize; 7],
    [stem, stem_bn, head, head_bn, classifier]: [&str; 5],
    [narrow, wide]: [[&str; 6]; 2],
    block: impl Fn(usize) -> String,
) -> String {
    let words: Vec<&str> = name.split('.').collect();
    let leaf = words[words.len() - 1];
    if words[0] == "classifier" {
        return format!("{classifier}.{leaf}");
    }
    let number: usize = words[1].parse().unwrap();
    let last = repeats.iter().sum::<usize>() + 1;
    let layer = match (words[2], number) {
        ("0", 0) => stem.into(),
        ("1", 0) => stem_bn.into(),
        ("0", _) if number == last => head.into(),
        ("1", _) if number == last => head_bn.into(),
        _ => {
            let places =
                if number == 1 { ["0.0", "0.1", "-", "-", "1", "2"] } else { ["0.0", "0.1", "1.0", "1.1", "2", "3"] };
            let place = words[3..words.len() - 1].join(".");
            let at = places.iter().position(|other| *other == place).unwrap();
            format!("{}.{}", block(number), if number == 1 { narrow } else { wide }[at])
        }
    };
    format!("{layer}.{leaf}")
}

fn import(tensors: &StateDict, rename: impl Fn(&str) -> String, file: &str) -> Result<Imported, WeightsError> {
    let mut list = stored(tensors);
    list.iter_mut().for_each(|tensor| tensor.name = rename(&tensor.name));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file);
    std::fs::write(&path, torch_zip(&list, 2, &[])).unwrap();
    read(&path, &Default::default())
}

#[test]
fn the_names_of_torchvision_timm_and_lukemelas_are_one_network() {
    for (model, repeats) in
        [("mobilenet_v2_035", MOBILENET), ("mobilenet_v2_050", MOBILENET), ("efficientnet_lite0", EFFICIENTNET)]
    {
        let spec = ModelSpec::named(model, None, 3, 7).unwrap();
        let tensors = fixtures::network(&spec);
        let own = import(&tensors, str::to_owned, "own.pth").unwrap();
        let timms = import(&tensors, |name| format!("module.{}", timms(name, repeats)), "timms.pth").unwrap();
        let lukes = import(&tensors, |name| lukemelas(name, repeats), "lukes.pth").unwrap();
        for imported in [own, timms, lukes] {
            assert_eq!(imported.card.spec, spec, "{model}");
            assert!(imported.tensors == tensors, "{model}");
        }
    }
}

#[test]
fn an_efficientnet_pads_and_sees_as_tensorflow_taught_it() {
    let spec = ModelSpec::named("efficientnet_lite2", None, 3, 1000).unwrap();
    let card = import(&fixtures::network(&spec), str::to_owned, "lite2.pth").unwrap().card;
    assert_eq!((card.spec.padding, card.spec.bn_eps), (Padding::Same, 1e-3));
    let preprocessing = card.preprocessing;
    let short_side = preprocessing.resize.unwrap().short_side;
    assert_eq!((preprocessing.height, short_side, preprocessing.normalisation.mean[0]), (260, 297, 127.0 / 255.0));
    assert_eq!(card.classes[207], "golden retriever");
}

#[test]
fn a_mobilenet_with_something_in_its_blocks_is_not_taken_for_one_without() {
    let mut tensors = fixtures::network(&ModelSpec::named("mobilenet_v2_035", None, 3, 7).unwrap());
    tensors.insert("features.3.conv.1.se.fc1.weight".into(), HostTensor::full(vec![4, 8, 1, 1], 0.1));
    let error = import(&tensors, str::to_owned, "added.pth").unwrap_err().to_string();
    assert!(error.contains("a MobileNetV2 with something added"), "{error}");
}

#[test]
fn grouped_networks_are_recognised() {
    let spec = ModelSpec::named("resnext50_32x4d", None, 3, 5).unwrap();
    let imported = import(&fixtures::network(&spec), str::to_owned, "resnext.pth").unwrap();
    assert_eq!(imported.card.spec, spec);
}

#[test]
fn a_resnet_d_has_timms_names_and_a_v1_is_one_when_asked_for() {
    let spec = ModelSpec::named("resnet18d", None, 3, 5).unwrap();
    let tensors = fixtures::network(&spec);
    assert!(tensors.contains_key("conv1.6.weight") && tensors.contains_key("layer2.0.downsample.2.bias"));
    let imported = import(&tensors, |name| format!("module.{name}"), "resnet18d.pth").unwrap();
    assert!(imported.card.spec == spec && imported.tensors == tensors);
    let tensors = fixtures::network(&ModelSpec::named("resnet50", None, 3, 5).unwrap());
    let file = torch_zip(&stored(&tensors), 2, &[]);
    let as_asked = |name: Option<&str>| {
        let options = ImportOptions { architecture: name.map(str::to_owned), ..Default::default() };
        fixtures::from_bytes(&file, &options).unwrap().card.spec.architecture
    };
    assert_eq!((as_asked(None).as_str(), as_asked(Some("resnet50_v1")).as_str()), ("resnet50", "resnet50_v1"));
}

#[test]
fn the_bundled_network_is_read_under_its_name() {
    let Imported { card, tensors, .. } = read("bundled".as_ref(), &Default::default()).unwrap();
    assert_eq!(
        (card.spec.architecture.as_str(), card.classes.len(), card.preprocessing.height),
        ("efficientnet_lite0", 1000, 224)
    );
    assert!(tensors.values().all(|tensor| tensor.data.iter().all(|value| value.is_finite())));
}
