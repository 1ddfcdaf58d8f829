//! Any supported file → a network: sniff the format by content, read the tensors' places, give them torchvision's
//! names, recognise the network, describe it, and only then convert the values.

use super::{
    HostTensor, ModelCard, StateDict, WeightsError, bundled,
    card::default_preprocessing,
    entry::Entry,
    error::Problem,
    fit::Shapes,
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
        self.notes.iter().try_for_each(|note| write!(f, "\n  {}", text::message(note)))
    }
}

/// Reads the network in a weight file of any supported format.
///
/// # Errors
/// One line with the file and what is wrong: unreadable, damaged, of an unknown format, asking to execute something,
/// or not a ResNet (with both sides of what does not fit).
pub fn read(path: &Path, options: &ImportOptions) -> Result<Imported, WeightsError> {
    let published = path.file_name().and_then(|name| name.to_str()).and_then(registry::by_file_name);
    let mut options = options.clone();
    options.trained_on = options.trained_on.or(published.map(|published| published.trained_on));
    let mut imported = super::with_file(path, |bytes| from_bytes(bytes, &options))?;
    if let (Some(published), true) = (published, imported.report.family.is_some()) {
        published.adjust(&mut imported.card.preprocessing);
    }
    Ok(imported)
}

/// [`read`] for a file that is in memory.
pub(crate) fn from_bytes(bytes: &[u8], options: &ImportOptions) -> Result<Imported, Problem> {
    let bytes = if bundled::is_bundle(bytes) { bundled::checkpoint(bytes)? } else { bytes };
    let mut left = Vec::new();
    let mut notes = Vec::new();
    let (format, entries) = match sniff(bytes)? {
        Container::Safetensors => {
            let (entries, metadata) = safetensors::parse(bytes)?;
            if let Some(card) = safetensors::card(&metadata)? {
                return own(card, &entries, options);
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
            (format, parsed.entries)
        }
    };
    foreign(format, &entries, left, notes, options)
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

/// Anybody else's.
fn foreign(
    format: &'static str,
    entries: &[Entry<'_>],
    mut left: Vec<Left>,
    mut notes: Vec<String>,
    options: &ImportOptions,
) -> Result<Imported, Problem> {
    let mut traits = Traits::default();
    let mut sources: BTreeMap<String, &Entry<'_>> = BTreeMap::new();
    let mut placed = Vec::new();
    for entry in entries {
        let mut leave = |reason: &str| left.push(Left { name: entry.name.clone(), reason: reason.to_owned() });
        match traits.read(&entry.name) {
            Meaning::Ignored(reason) => leave(reason),
            Meaning::Unknown if names_a_block(&entry.name) && entry.dtype.is_float() => {
                return Err(Problem::NotANetwork(format!(
                    "the network has a part that a plain ResNet has not: `{}` ({})",
                    entry.name,
                    shape_text(&entry.shape)
                )));
            }
            Meaning::Unknown => leave("no part of a ResNet"),
            Meaning::Tensors(_) if !entry.dtype.is_float() => {
                return Err(Problem::Unsupported(format!(
                    "`{}` is stored as {}; quantised weights are not read",
                    entry.name, entry.dtype
                )));
            }
            Meaning::Tensors(names) => {
                for name in &names {
                    if let Some(other) = sources.insert(name.clone(), entry) {
                        return Err(Problem::NotANetwork(format!(
                            "`{}` and `{}` both are {name}: the file holds more than one network",
                            other.name, entry.name
                        )));
                    }
                }
                placed.push(place(entry, names));
            }
        }
    }
    let shared = placed.iter().filter(|placed| placed.to.len() > 1).count();
    let shapes: Shapes = sources.iter().map(|(name, entry)| (name.clone(), entry.shape.clone())).collect();
    let family = traits.family();
    let spec = match recognise::recognise(&shapes) {
        Ok(spec) => spec,
        Err(problem) => {
            // Against the network that was asked for, a mismatch says more than against a guess.
            if let Ok(outline) = recognise::outline(&shapes) {
                require(&outline, options, &shapes)?;
            }
            return Err(problem);
        }
    };
    require(&spec, options, &shapes)?;
    let spec = with_conventions(spec, family, options, &mut notes);
    if shared > 0 {
        notes.push("one normalisation serves both convolutions of a block; each got a copy".into());
    }

    let tensors: StateDict = sources
        .into_iter()
        .filter_map(|(name, entry)| Some((name, HostTensor { shape: entry.shape.clone(), data: entry.to_f32()? })))
        .collect();
    if let Some((name, _)) = tensors.iter().find(|(_, tensor)| tensor.data.iter().any(|value| !value.is_finite())) {
        notes.push(format!("`{name}` has values that are not finite: the training behind this file went wrong"));
    }
    let card = describe(spec, options, &mut notes);
    let report = ImportReport {
        format,
        family: Some(family),
        model: card.spec.to_string(),
        parameters: card.spec.parameters(),
        padding: card.spec.padding,
        placed,
        left,
        notes,
    };
    Ok(Imported { card, tensors, report })
}

fn place(entry: &Entry<'_>, to: Vec<String>) -> Placed {
    Placed { from: entry.name.clone(), to, shape: entry.shape.clone(), dtype: entry.dtype.to_string() }
}

fn shape(entry: &Entry<'_>) -> (String, Vec<usize>) {
    (entry.name.clone(), entry.shape.clone())
}

/// Whether a name that nobody knows stands inside a residual block, so that leaving it out would change the network.
fn names_a_block(name: &str) -> bool {
    name.split('.').any(|part| part.strip_prefix("layer").is_some_and(|n| n.parse::<u8>().is_ok()))
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
