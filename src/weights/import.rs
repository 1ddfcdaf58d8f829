//! Any supported file → a network: sniff the format by content, read the tensors' places, give them torchvision's
//! names, recognise the network, describe it, and only then convert the values.

use super::{
    HostTensor, ModelCard, StateDict, WeightsError, bundled,
    card::default_preprocessing,
    choose::{self, Reason},
    entry::{Dtype, Entry},
    error::Problem,
    fit::Shapes,
    kinds,
    known::{self, KnownData},
    mindspore,
    names::{Family, Meaning, Traits},
    pytorch, recognise, registry, safetensors,
    tensor::shape_text,
};
use crate::{
    model::{ModelSpec, Padding, Stem},
    text,
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, path::Path};

/// What the caller knows better than the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportOptions {
    /// The architecture that the file must have, such as `resnet18`; recognised where it is `None`.
    pub architecture: Option<String>,
    /// How the network pads; by the family of the names where it is `None`.
    pub padding: Option<Padding>,
    /// What the network was trained on, which gives the classes their names and images their normalisation; inferred
    /// from the number of classes and from the names of published files where it is `None`.
    pub trained_on: Option<KnownData>,
}

/// A network that came out of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    pub card: ModelCard,
    pub tensors: StateDict,
    pub report: ImportReport,
}

/// The part of a network before its head, out of a file that has no head or one that is not read.
#[derive(Clone, Debug, PartialEq)]
pub struct Backbone {
    /// Its number of classes says nothing.
    pub spec: ModelSpec,
    pub tensors: StateDict,
    pub report: ImportReport,
    /// What is wrong with the head, in words that follow “the head”.
    pub(super) fault: String,
}

impl Backbone {
    /// Why it is no network that answers.
    fn refusal(&self) -> Problem {
        Problem::NotANetwork(format!(
            "{}, whose head {}; `kindling train --weights` starts from such a file, with a head of its own",
            self.spec.backbone(),
            self.fault
        ))
    }
}

/// Weights that a run can start from.
#[derive(Clone, Debug, PartialEq)]
pub enum Pretrained {
    Network(Imported),
    Backbone(Backbone),
}

impl Pretrained {
    /// The network that they are of; the number of classes says nothing for a backbone.
    pub fn spec(&self) -> &ModelSpec {
        match self {
            Pretrained::Network(network) => &network.card.spec,
            Pretrained::Backbone(backbone) => &backbone.spec,
        }
    }

    pub fn report(&self) -> &ImportReport {
        match self {
            Pretrained::Network(network) => &network.report,
            Pretrained::Backbone(backbone) => &backbone.report,
        }
    }

    /// The network that answers.
    ///
    /// # Errors
    /// For a backbone, with what its head lacks.
    fn whole(self) -> Result<Imported, Problem> {
        match self {
            Pretrained::Network(network) => Ok(network),
            Pretrained::Backbone(backbone) => Err(backbone.refusal()),
        }
    }
}

impl From<Imported> for Pretrained {
    fn from(network: Imported) -> Self {
        Pretrained::Network(network)
    }
}

/// Where a tensor of the file went.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Placed {
    /// Its name in the file.
    pub from: String,
    /// torchvision's name; several where the file's network uses one tensor in several places.
    pub to: Vec<String>,
    pub shape: Vec<usize>,
    /// Its type in the file, such as `float16`.
    pub dtype: String,
}

/// A tensor of the file that the network does not need.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Left {
    pub name: String,
    pub reason: String,
}

/// Why PyTorch's counters of batches are left out, which every network has and nobody misses.
pub(super) const COUNTER: &str = "a counter";

impl Left {
    /// Whether it is one of PyTorch's `num_batches_tracked`, which no network needs to answer.
    pub fn is_counter(&self) -> bool {
        self.reason == COUNTER
    }
}

/// What was done with a file, for people and for `--json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImportReport {
    /// Such as `PyTorch (zip)`.
    pub format: &'static str,
    /// Who names tensors so; `None` for Kindling's own checkpoints.
    pub family: Option<Family>,
    /// The network, such as `resnet50 (imagenet stem), 1000 classes`.
    pub model: String,
    /// Number of trained values.
    pub parameters: usize,
    pub padding: Padding,
    pub placed: Vec<Placed>,
    pub left: Vec<Left>,
    /// What was decided or assumed on the way, one sentence each.
    pub notes: Vec<String>,
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, {} parameters", self.format, self.model, self.parameters)?;
        if let Some(family) = self.family {
            write!(f, "; {family} names")?;
        }
        write!(f, "; {} tensors placed, {} left", self.placed.len(), self.left.len())?;
        self.notes.iter().try_for_each(|note| write!(f, "\n  {note}"))
    }
}

/// Reads the network in a weight file of any supported format.
///
/// # Errors
/// One line with the file and what is wrong: unreadable, damaged, of an unknown format, asking to execute something,
/// not a ResNet (with both sides of what does not fit), or without a head.
pub fn read(path: &Path, options: &ImportOptions) -> Result<Imported, WeightsError> {
    let at = |problem| WeightsError::File { path: path.to_owned(), problem };
    read_pretrained(path, options)?.whole().map_err(at)
}

/// [`read`] for weights to start from, which may be without a head.
///
/// # Errors
/// As [`read`], but for the head.
pub fn read_pretrained(path: &Path, options: &ImportOptions) -> Result<Pretrained, WeightsError> {
    let published = path.file_name().and_then(|name| name.to_str()).and_then(registry::by_file_name);
    let mut options = options.clone();
    options.trained_on = options.trained_on.or(published.map(|published| published.trained_on));
    let source = Source::of(path, published.is_some());
    let mut read = super::with_file(path, |bytes| pretrained(bytes, &options, &source))?;
    if let (Some(published), Pretrained::Network(network)) = (published, &mut read)
        && network.report.family.is_some()
    {
        published.adjust(&mut network.card.preprocessing);
    }
    Ok(read)
}

/// [`read`] for a file that is in memory.
#[cfg(test)]
pub(crate) fn from_bytes(bytes: &[u8], options: &ImportOptions) -> Result<Imported, Problem> {
    pretrained(bytes, options, &Source::default())?.whole()
}

/// What is known of a file beside its contents.
#[derive(Debug, Default)]
struct Source {
    /// The file's name and those of the folders it is in, the nearest first.
    names: Vec<String>,
    /// Whether it is a file of known origin.
    published: bool,
}

impl Source {
    fn of(path: &Path, published: bool) -> Self {
        // In Hugging Face's cache the file is `model.safetensors`, three folders below the network's name.
        const NEAR: usize = 4;
        let names = path.iter().rev().take(NEAR).map(|name| name.to_string_lossy().into_owned()).collect();
        Self { names, published }
    }

    /// The names that say what the network is: the file's, and a folder's of Hugging Face's cache.
    fn telling(&self) -> impl Iterator<Item = &str> {
        let folders = self.names.iter().skip(1).filter(|name| name.starts_with("models--"));
        self.names.first().into_iter().chain(folders).map(String::as_str)
    }
}

/// [`read_pretrained`] for a file that is in memory.
fn pretrained(bytes: &[u8], options: &ImportOptions, source: &Source) -> Result<Pretrained, Problem> {
    let bytes = if bundled::is_bundle(bytes) { bundled::checkpoint(bytes)? } else { bytes };
    let mut left = Vec::new();
    let mut notes = Vec::new();
    let mut arch = None;
    let (format, entries) = match sniff(bytes)? {
        Container::Safetensors => {
            let (entries, metadata) = safetensors::parse(bytes)?;
            if let Some(card) = safetensors::card(&metadata)? {
                return own(card, &entries, options).map(Pretrained::Network);
            }
            ("safetensors", entries)
        }
        Container::MindSpore => {
            let mindspore::Parsed { entries, passed } = mindspore::parse(bytes)?;
            left.extend(passed.into_iter().map(|(name, reason)| Left { name, reason }));
            ("MindSpore checkpoint", entries)
        }
        container => {
            let (format, parsed) = if container == Container::Zip {
                ("PyTorch (zip)", pytorch::parse_zip(bytes)?)
            } else {
                ("PyTorch (legacy)", pytorch::parse_legacy(bytes)?)
            };
            if !parsed.path.is_empty() {
                notes.push(format!("the weights were found under `{}`", parsed.path.join(".")));
            }
            arch = parsed.arch;
            (format, parsed.entries)
        }
    };
    if let Some(kind) = source.telling().chain(arch.as_deref()).find_map(kinds::by_name) {
        return Err(of_kind(kind));
    }
    let file = Foreign { format, entries: &entries, size: bytes.len(), left, notes };
    file.read(options, source)
}

/// The refusal of a file whose kind is known.
fn of_kind(kind: &str) -> Problem {
    Problem::NotANetwork(format!("these are the weights of {kind}; of the networks, plain ResNets are read"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    Safetensors,
    Zip,
    Legacy,
    MindSpore,
}

/// The format by the first bytes; a file's name says nothing.
fn sniff(bytes: &[u8]) -> Result<Container, Problem> {
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return Ok(Container::Zip);
    }
    if bytes.get(8) == Some(&b'{') {
        return Ok(Container::Safetensors);
    }
    if let [0x80, 0..=5, ..] = bytes {
        return Ok(Container::Legacy);
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Err(Problem::Unsupported(
            "a tar archive: unpack it, or save the weights again with a newer PyTorch".into(),
        ));
    }
    // Field 1 of a message, length-delimited, is all that protobuf gives to go by.
    if bytes.first() == Some(&0x0a) {
        return Ok(Container::MindSpore);
    }
    Err(Problem::UnknownFormat)
}

/// One of Kindling's own files: its card says everything.
fn own(mut card: ModelCard, entries: &[Entry<'_>], options: &ImportOptions) -> Result<Imported, Problem> {
    let mut notes = Vec::new();
    if let Some(padding) = options.padding.filter(|&padding| padding != card.spec.padding) {
        notes.push(format!("padding {padding} as asked; the file says {}", card.spec.padding));
        card.spec.padding = padding;
    }
    require(&card.spec, options, &entries.iter().filter(|e| e.dtype.is_float()).map(shape).collect())?;
    let tensors = safetensors::own_tensors(&card, entries)?;
    let (placed, left): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| entry.dtype.is_float());
    let report = ImportReport {
        format: "Kindling checkpoint",
        family: None,
        model: card.spec.to_string(),
        parameters: card.spec.parameters(),
        padding: card.spec.padding,
        placed: placed.into_iter().map(|entry| place(entry, vec![entry.name.clone()])).collect(),
        left: left.into_iter().map(|entry| Left { name: entry.name.clone(), reason: COUNTER.into() }).collect(),
        notes,
    };
    Ok(Imported { card, tensors, report })
}

/// Anybody else's file, while it is read.
struct Foreign<'e, 'a> {
    format: &'static str,
    entries: &'e [Entry<'a>],
    /// Of the file, in bytes.
    size: usize,
    left: Vec<Left>,
    notes: Vec<String>,
}

impl Foreign<'_, '_> {
    fn read(mut self, options: &ImportOptions, source: &Source) -> Result<Pretrained, Problem> {
        let chosen = choose::choose(self.entries);
        self.notes.extend(chosen.note);
        let mut traits = Traits::default();
        let mut sources: BTreeMap<String, &Entry<'_>> = BTreeMap::new();
        let mut placed = Vec::new();
        for (entry, rest) in chosen.parts {
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
            placed.push(place(entry, names));
        }
        let mut stranger = None;
        for (entry, reason) in chosen.left {
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
        let spec = self.recognise(&sources, stranger, options)?;

        chosen.head.iter().for_each(|(_, part)| drop(traits.read(&part.rest)));
        let head = choose::head(&chosen.head, spec.features());
        if let Ok(head) = &head {
            for (entry, name) in [(Some(head.weight), "fc.weight"), (head.bias, "fc.bias")] {
                let Some(entry) = entry else { continue };
                readable(entry)?;
                sources.insert(name.into(), entry);
                placed.push(place(entry, vec![name.into()]));
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
            tensors.insert("fc.bias".into(), HostTensor::full(vec![spec.classes], 0.0));
            report.notes.push("the head has no bias; zeros stand for it".into());
        }
        let card = describe(spec, options, &mut report.notes);
        report.notes.extend(alike(&card, family, source));
        report.model = card.spec.to_string();
        report.parameters = card.spec.parameters();
        Ok(Pretrained::Network(Imported { card, tensors, report }))
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
            Ok(spec) => require(&spec, options, &shapes).map(|()| spec),
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

/// Refuses a tensor that the network needs and whose values are not read.
fn readable(entry: &Entry<'_>) -> Result<(), Problem> {
    let advice = match entry.dtype {
        _ if entry.dtype.is_float() => return Ok(()),
        Dtype::Unread("sparse") => "save it with `.to_dense()`",
        Dtype::Unread(kind) if kind.starts_with('q') => "save it with `.dequantize()`",
        Dtype::Integer(_) => "quantised weights are not read",
        _ => "save it with `.float()`",
    };
    let name = text::foreign(&entry.name);
    Err(Problem::Unsupported(format!("`{name}` is stored as {}, which is not read; {advice}", entry.dtype)))
}

/// What the report says of networks that a file without a telling name may be, and of timm's preprocessing.
fn alike(card: &ModelCard, family: Family, source: &Source) -> Option<String> {
    let spec = &card.spec;
    if source.published || family != Family::Torchvision || spec.stem != Stem::Imagenet || spec.architecture == "custom"
    {
        return None;
    }
    // timm names the network and then its training: `resnet50.a1_in1k`, `resnet50_a1_0-14fe96d1.pth`.
    let plain = |name: &str| {
        let start = name.find(&spec.architecture)?;
        Some(name[start + spec.architecture.len()..].starts_with(['.', '_', '-']))
    };
    let from_timm =
        |name: &str| name.contains("timm") || name.contains("_in1k") || name.contains("_rsb") || name.contains("_a1_");
    let timms = "timm prepares images with bicubic interpolation and mostly a crop of 0.95, which `eval` and `predict` \
                 do not do here: their answers may differ a little from timm's";
    if source.telling().any(from_timm) {
        return Some(timms.into());
    }
    if source.telling().filter_map(plain).next().is_some() || source.names.is_empty() {
        return None;
    }
    Some(format!(
        "nothing in the file tells a plain {} from timm's resnetaa and resnetblur, whose answers would be wrong here; \
         {timms}",
        spec.architecture
    ))
}

fn place(entry: &Entry<'_>, to: Vec<String>) -> Placed {
    Placed { from: entry.name.clone(), to, shape: entry.shape.clone(), dtype: entry.dtype.to_string() }
}

fn shape(entry: &Entry<'_>) -> (String, Vec<usize>) {
    (entry.name.clone(), entry.shape.clone())
}

/// Holds the file against the architecture that was asked for, with the file's own stem, channels and classes.
fn require(spec: &ModelSpec, options: &ImportOptions, shapes: &Shapes) -> Result<(), Problem> {
    let Some(wanted) = options.architecture.as_deref().filter(|&wanted| wanted != spec.architecture) else {
        return Ok(());
    };
    let stem = (!wanted.starts_with("cifar_")).then_some(spec.stem);
    let wanted = ModelSpec::named(wanted, stem, spec.channels, spec.classes)
        .map_err(|error| Problem::NotANetwork(error.to_string()))?;
    recognise::require(shapes, &wanted)
}

/// Padding and epsilon, which no file records.
fn with_conventions(spec: ModelSpec, family: Family, options: &ImportOptions, notes: &mut Vec<String>) -> ModelSpec {
    let usual = match family {
        Family::Torchvision | Family::Kuangliu => Padding::Torch,
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
    let mut spec = spec.with_padding(padding);
    if family == Family::MindsporeZoo {
        spec.bn_eps = 1e-4;
        notes.push("batch normalisation with epsilon 1e-4, as in the model zoo".into());
    }
    spec
}

/// Class names and preprocessing, as far as they are known.
fn describe(spec: ModelSpec, options: &ImportOptions, notes: &mut Vec<String>) -> ModelCard {
    let inferred = (spec.classes == KnownData::ImageNet.class_count() && spec.stem == Stem::Imagenet)
        .then_some(KnownData::ImageNet);
    let data = options.trained_on.or(inferred).filter(|data| data.class_count() == spec.classes);
    let mut preprocessing = default_preprocessing(&spec);
    let classes = match data {
        Some(data) => {
            if spec.channels == 3 {
                preprocessing.normalisation = data.normalisation();
            }
            notes.push(format!("classes and normalisation are those of {data}"));
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
    ModelCard { spec, classes, preprocessing }
}
