//! The network in a file of another program: its tensors are found, named, recognised and described, and only then are
//! their values converted.

use super::{
    HostTensor, ModelCard, StateDict,
    card::default_preprocessing,
    choose::{self, Reason},
    entry::{Dtype, Entry},
    error::Problem,
    fit::Shapes,
    imported::{Backbone, ImportOptions, Imported, Pretrained},
    kinds,
    known::{self, KnownData},
    names::{Family, Meaning, Traits},
    recognise,
    report::{ImportReport, Left, Placed},
    tensor::shape_text,
};
use crate::{
    model::{self, ModelSpec, Padding, families::Images},
    text,
};
use std::{collections::BTreeMap, path::Path};

/// What is known of a file beside its contents.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// The file's name and those of the folders it is in, the nearest first.
    names: Vec<String>,
    /// Whether it is a file of known origin.
    published: bool,
}

impl Source {
    pub(crate) fn of(path: &Path, published: bool) -> Self {
        // In Hugging Face's cache the file is `model.safetensors`, three folders below the network's name.
        const NEAR: usize = 4;
        let names = path.iter().rev().take(NEAR).map(|name| name.to_string_lossy().into_owned()).collect();
        Self { names, published }
    }

    /// The names that say what the network is: the file's, and a folder's of Hugging Face's cache.
    pub(crate) fn telling(&self) -> impl Iterator<Item = &str> {
        let folders = self.names.iter().skip(1).filter(|name| name.starts_with("models--"));
        self.names.first().into_iter().chain(folders).map(String::as_str)
    }
}

/// The refusal of a file whose kind is known.
pub(super) fn of_kind(kind: &str) -> Problem {
    Problem::NotANetwork(format!(
        "these are the weights of {kind}, which is not read; plain ResNets, ResNet-D, ResNeXts, MobileNetV2 \
         and EfficientNet-Lite are"
    ))
}

/// Anybody else's file, while it is read.
pub(super) struct Foreign<'e, 'a> {
    pub format: &'static str,
    pub entries: &'e [Entry<'a>],
    /// Of the file, in bytes.
    pub size: usize,
    pub left: Vec<Left>,
    pub notes: Vec<String>,
}

impl Foreign<'_, '_> {
    pub(crate) fn read(mut self, options: &ImportOptions, source: &Source) -> Result<Pretrained, Problem> {
        let chosen = choose::choose(self.entries);
        self.notes.extend(chosen.note);
        let mut traits = Traits::default();
        let (mut sources, mut placed) = place(chosen.parts, &mut traits)?;
        let stranger = self.leave(chosen.left);
        let spec = self.recognise(&sources, stranger, options)?;

        chosen.head.iter().for_each(|(_, part)| drop(traits.read(&part.rest)));
        let head = choose::head(&chosen.head, spec.features());
        if let Ok(head) = &head {
            for (entry, name) in [Some(head.weight), head.bias].into_iter().zip(spec.head_tensors()) {
                let Some(entry) = entry else { continue };
                readable(entry)?;
                sources.insert(name.clone(), entry);
                placed.push(Placed::new(entry, vec![name]));
            }
        } else {
            let unused = |(entry, _): &(&Entry<'_>, _)| Left {
                name: entry.name.clone(),
                reason: "a head that is not read".into(),
            };
            self.left.extend(chosen.head.iter().map(unused));
        }
        let family = traits.family();
        let mut spec = with_conventions(spec, family, options, &mut self.notes);
        if placed.iter().any(|placed| placed.to.len() > 1) {
            self.notes.push("one normalisation serves both convolutions of a block; each got a copy".into());
        }
        let mut tensors = self.convert(sources)?;
        let mut report = ImportReport {
            format: self.format,
            family: Some(family),
            model: spec.backbone(),
            parameters: 0,
            padding: spec.padding,
            placed,
            left: self.left,
            notes: self.notes,
        };
        let head = match head {
            Ok(head) => head,
            Err(fault) => {
                report.model.push_str(", without a head");
                report.parameters = spec.parameters() - spec.classes * (spec.features() + 1);
                report.notes.push(format!("the head {fault}"));
                return Ok(Pretrained::Backbone(Backbone { spec, tensors, report, fault }));
            }
        };
        spec.classes = head.classes;
        let spec = spec.validate().map_err(|error| Problem::NotANetwork(error.to_string()))?;
        if head.bias.is_none() {
            let [_, bias] = spec.head_tensors();
            tensors.insert(bias, HostTensor::full(vec![spec.classes], 0.0));
            report.notes.push("the head has no bias; zeros stand for it".into());
        }
        let card = describe(spec, options, &mut report.notes);
        report.notes.extend(alike(&card, family, source));
        report.model = card.spec.to_string();
        report.parameters = card.spec.parameters();
        Ok(Pretrained::Network(Imported { card, tensors, report }))
    }

    /// Says why each of these is left. Gives the first that may be a part of a block that is not understood.
    fn leave<'e, 'a>(&mut self, left: Vec<(&'e Entry<'a>, Reason)>) -> Option<&'e Entry<'a>> {
        let mut stranger = None;
        for (entry, reason) in left {
            let reason = match reason {
                Reason::Ignored(reason) => reason,
                Reason::OfAnother => "belongs to another network in the file",
                Reason::Unknown { in_block } => {
                    if in_block && !matches!(entry.dtype, Dtype::Integer(_)) {
                        stranger.get_or_insert(entry);
                    }
                    "no part of a ResNet"
                }
            };
            self.left.push(Left { name: entry.name.clone(), reason: reason.to_owned() });
        }
        stranger
    }

    /// The network that the tensors before the head are, with PyTorch's conventions.
    fn recognise(
        &self,
        sources: &BTreeMap<String, &Entry<'_>>,
        stranger: Option<&Entry<'_>>,
        options: &ImportOptions,
    ) -> Result<ModelSpec, Problem> {
        let shapes: Shapes = sources.iter().map(|(name, entry)| (name.clone(), entry.shape.clone())).collect();
        let recognised = match stranger {
            None => recognise::recognise(&shapes),
            Some(entry) => Err(Problem::NotANetwork(format!(
                "the network has a part that a plain ResNet has not: `{}` ({})",
                text::foreign(&entry.name),
                shape_text(&entry.shape)
            ))),
        };
        match recognised {
            Ok(spec) => Ok(require(&spec, options, &shapes)?.unwrap_or(spec)),
            Err(problem) => {
                if let Some(kind) = kinds::of(self.entries) {
                    return Err(of_kind(kind));
                }
                // Against the network that was asked for, a mismatch says more than against a guess.
                if let (None, Ok(outline)) = (stranger, recognise::outline(&shapes)) {
                    require(&outline, options, &shapes)?;
                }
                Err(problem)
            }
        }
    }

    /// The values. Together they may take what the file does: views that overlap or repeat themselves can't ask for more
    /// memory than an honest file of this size.
    fn convert(&mut self, sources: BTreeMap<String, &Entry<'_>>) -> Result<StateDict, Problem> {
        let mut room = self.size;
        for entry in sources.values() {
            let size = entry.count().checked_mul(entry.dtype.size());
            room = size.and_then(|size| room.checked_sub(size)).ok_or_else(|| {
                let name = text::foreign(&entry.name);
                Problem::broken(
                    self.format,
                    format!("`{name}` and other tensors are larger than the file that holds them"),
                )
            })?;
        }
        let tensor = |(name, entry): (String, &Entry<'_>)| {
            Some((name, HostTensor { shape: entry.shape.clone(), data: entry.to_f32()? }))
        };
        let tensors: StateDict = sources.into_iter().filter_map(tensor).collect();
        if let Some((name, _)) = tensors.iter().find(|(_, tensor)| tensor.data.iter().any(|value| !value.is_finite())) {
            self.notes
                .push(format!("`{name}` has values that are not finite: the training behind this file went wrong"));
        }
        Ok(tensors)
    }
}

/// The tensors of a network before its head by torchvision's names, and what becomes of each.
fn place<'e, 'a>(
    parts: Vec<(&'e Entry<'a>, String)>,
    traits: &mut Traits,
) -> Result<(BTreeMap<String, &'e Entry<'a>>, Vec<Placed>), Problem> {
    let mut sources: BTreeMap<String, &Entry<'_>> = BTreeMap::new();
    let mut placed = Vec::new();
    for (entry, rest) in parts {
        let Meaning::Tensors(names) = traits.read(&rest) else { continue };
        readable(entry)?;
        for name in &names {
            if let Some(other) = sources.insert(name.clone(), entry) {
                return Err(Problem::NotANetwork(format!(
                    "`{}` and `{}` both are {name}: the file holds more than one network",
                    text::foreign(&other.name),
                    text::foreign(&entry.name)
                )));
            }
        }
        placed.push(Placed::new(entry, names));
    }
    Ok((sources, placed))
}

/// Refuses a tensor that the network needs and whose values are not read.
fn readable(entry: &Entry<'_>) -> Result<(), Problem> {
    let advice = match entry.dtype {
        Dtype::F8(_) | Dtype::F16 | Dtype::Bf16 | Dtype::F32 | Dtype::F64 => return Ok(()),
        Dtype::Integer(_) => "integers are not read as weights",
        Dtype::Unread("sparse") => "which is not read; save it with `.to_dense()`",
        Dtype::Unread(kind) if kind.starts_with('q') => "which is not read; save it with `.dequantize()`",
        Dtype::Unread(_) => "which is not read; save it as float32",
    };
    let name = text::foreign(&entry.name);
    Err(Problem::Unsupported(format!("`{name}` is stored as {}, {advice}", entry.dtype)))
}

/// What the report says of networks that a file without a telling name may be, and of timm's preprocessing.
fn alike(card: &ModelCard, family: Family, source: &Source) -> Option<String> {
    let spec = &card.spec;
    let architecture = spec.architecture.as_str();
    let is_plain = matches!(spec.family, model::Family::ResNet(_)) && family == Family::Torchvision;
    if source.published || !is_plain || !spec.is_for_photographs() || architecture == "custom" {
        return None;
    }
    // timm names the network and then its training: `resnet50.a1_in1k`, `resnet50_a1_0-14fe96d1.pth`.
    let is_timms =
        |name: &str| ["timm", "_in1k", "_rsb", "_a1_", "_a2_", "_a3_"].iter().any(|part| name.contains(part));
    if source.telling().any(is_timms) {
        return Some(
            "timm prepares images with bicubic interpolation and mostly a crop of 0.95, and here they are with bilinear \
             interpolation and a crop of 0.875: answers may differ a little from timm's"
                .into(),
        );
    }
    let says_plain = |name: &str| {
        let after = name.find(architecture).map(|start| &name[start + architecture.len()..]);
        after.is_some_and(|after| !after.starts_with(|c: char| c.is_ascii_alphanumeric()))
    };
    (!source.telling().any(says_plain)).then(|| {
        format!(
            "timm's resnetaa and resnetblur have the same tensors as {architecture}: if the file is of one of them, the \
             answers here are wrong"
        )
    })
}

/// Holds the file against the architecture that was asked for, with the file's own stem, channels and classes. Gives the
/// network of that name, where it is another one: with the same tensors it may have its strides elsewhere.
pub(super) fn require(
    spec: &ModelSpec,
    options: &ImportOptions,
    shapes: &Shapes,
) -> Result<Option<ModelSpec>, Problem> {
    let Some(wanted) = options.architecture.as_deref().filter(|&wanted| wanted != spec.architecture) else {
        return Ok(None);
    };
    let stem = spec.stem().filter(|_| !wanted.starts_with("cifar_"));
    let wanted = ModelSpec::named(wanted, stem, spec.channels, spec.classes)
        .map_err(|error| Problem::NotANetwork(error.to_string()))?;
    recognise::require(shapes, &wanted).map(|()| Some(wanted))
}

/// Padding and epsilon, which no file records.
fn with_conventions(
    mut spec: ModelSpec,
    family: Family,
    options: &ImportOptions,
    notes: &mut Vec<String>,
) -> ModelSpec {
    let usual = match family {
        Family::Torchvision | Family::Kuangliu => spec.padding,
        Family::Mindvision | Family::Mindcv => Padding::SamePool,
        // MindSpore's convolutions pad so unless told otherwise.
        Family::MindsporeTutorial | Family::MindsporeZoo | Family::Mindspore => Padding::Same,
    };
    let padding = options.padding.unwrap_or(usual);
    if options.padding.is_some_and(|padding| padding != usual) {
        notes.push(format!("padding {padding} as asked; {usual} is usual for {family} names"));
    } else if family.is_mindspore() {
        notes.push(format!("padding {padding}, usual for {family} names; the file does not record it"));
    }
    if spec.conventions().images == Images::Tensorflow && padding == Padding::Torch {
        notes
            .push("epsilon 1e-5 with PyTorch's padding, as in timm's networks that do not come from TensorFlow".into());
        spec.bn_eps = 1e-5;
    }
    let mut spec = spec.with_padding(padding);
    if family == Family::MindsporeZoo {
        spec.bn_eps = 1e-4;
        notes.push("batch normalisation with epsilon 1e-4, as in the model zoo".into());
    }
    spec
}

/// Class names and preprocessing, as far as they are known.
pub(super) fn describe(spec: ModelSpec, options: &ImportOptions, notes: &mut Vec<String>) -> ModelCard {
    let inferred = (spec.classes == KnownData::ImageNet.classes().len() && spec.is_for_photographs())
        .then_some(KnownData::ImageNet);
    let data = options.trained_on.or(inferred).filter(|data| data.classes().len() == spec.classes);
    let mut preprocessing = default_preprocessing(&spec);
    let classes = match data {
        Some(data) => {
            if spec.channels == 3 && spec.conventions().images == Images::Torchvision {
                preprocessing.normalisation = data.normalisation();
            }
            notes.push(match spec.conventions().images {
                Images::Torchvision => format!("classes and normalisation are those of {data}"),
                Images::Tensorflow => {
                    format!("classes are those of {data}, padding, epsilon and normalisation those of TensorFlow")
                }
                Images::Caffe => format!("classes are those of {data}, the normalisation that of Caffe"),
            });
            data.classes()
        }
        None => {
            notes.push(format!(
                "the file names no classes and no normalisation: classes are numbered, images are normalised with {}",
                known::table_name(&spec)
            ));
            (0..spec.classes).map(|class| format!("class {class}")).collect()
        }
    };
    ModelCard { spec, classes, preprocessing, validation_share: None, head: None }
}
