//! Any supported file → a network: sniff the format by content, read the tensors' places, and let who knows the format's
//! names find the network in them.

use super::{
    ModelCard, WeightsError, bundled,
    entry::Entry,
    error::Problem,
    foreign::{Foreign, Source, of_kind, require},
    imported::{ImportOptions, Imported, Pretrained},
    kinds, mindspore, onnx_import, pytorch, registry,
    report::{COUNTER, ImportReport, Left, Placed},
    safetensors,
};
use std::path::Path;

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
pub(crate) fn read_pretrained(path: &Path, options: &ImportOptions) -> Result<Pretrained, WeightsError> {
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

/// [`read_pretrained`] for a file that is in memory.
pub(super) fn pretrained(bytes: &[u8], options: &ImportOptions, source: &Source) -> Result<Pretrained, Problem> {
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
        Container::Onnx => return onnx_import::read(bytes, options),
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    Safetensors,
    Zip,
    Legacy,
    MindSpore,
    Onnx,
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
    // Field 1 of an ONNX file is the version of its format, a small number; the next one is text or a message.
    if let [0x08, 1..=32, key, ..] = bytes
        && key & 7 == 2
    {
        return Ok(Container::Onnx);
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
    require(
        &card.spec,
        options,
        &entries.iter().filter(|e| e.dtype.is_float()).map(|e| (e.name.clone(), e.shape.clone())).collect(),
    )?;
    let tensors = safetensors::own_tensors(&card, entries)?;
    let (placed, left): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| entry.dtype.is_float());
    let report = ImportReport {
        format: "Kindling checkpoint",
        family: None,
        model: card.spec.to_string(),
        parameters: card.spec.parameters(),
        padding: card.spec.padding,
        placed: placed.into_iter().map(|entry| Placed::new(entry, vec![entry.name.clone()])).collect(),
        left: left.into_iter().map(|entry| Left { name: entry.name.clone(), reason: COUNTER.into() }).collect(),
        notes,
    };
    Ok(Imported { card, tensors, report })
}
