//! Safetensors: Kindling's own checkpoints, the optimiser's state beside them, and other people's files.
//!
//! A checkpoint has torchvision's names and PyTorch's layout, so that `load_state_dict` takes it as it is, and a
//! [`ModelCard`] as JSON under the metadata key `kindling`. The writer streams tensor by tensor and lays a file out by
//! its contents alone: the same state gives the same bytes. Reading leans on the `safetensors` crate, which checks that
//! offsets, shapes and types cover the file exactly.

use super::{
    ModelCard, StateDict, WeightsError,
    entry::{Dtype, Entry},
    error::Problem,
    fit::{self, Mismatch},
    float8::Float8,
    tensor::HostTensor,
};
use crate::atomic;
use ::safetensors::{Dtype as Stored, SafeTensors};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{self, Write},
    path::Path,
};

const FORMAT: &str = "safetensors";
/// Metadata key of the [`ModelCard`].
pub(crate) const CARD_KEY: &str = "kindling";
/// A deep ResNet's header takes 100 kB; the crate alone would parse 100 MB of JSON.
const LARGEST_HEADER: usize = 8 << 20;

/// String pairs that travel with the tensors.
pub(crate) type Metadata = BTreeMap<String, String>;

/// Writes a network as PyTorch and Kindling read it: float32, torchvision's names, `num_batches_tracked` included, the
/// card in the metadata. Appears whole or not at all.
///
/// # Errors
/// When the tensors are not exactly those of the card's network, or the file can't be written.
pub fn write_safetensors(path: &Path, card: &ModelCard, tensors: &StateDict) -> Result<(), WeightsError> {
    write_checkpoint(path, card, tensors, 0, &Metadata::new())
}

/// [`write_safetensors`] after `step` training steps (which PyTorch calls `num_batches_tracked`), with metadata of the
/// caller's own; the keys `kindling` and `format` are taken.
///
/// # Errors
/// As [`write_safetensors`].
pub(crate) fn write_checkpoint(
    path: &Path,
    card: &ModelCard,
    tensors: &StateDict,
    step: u64,
    metadata: &Metadata,
) -> Result<(), WeightsError> {
    let at = |problem| WeightsError::File { path: path.to_owned(), problem };
    let differences = fit::differences(&fit::shapes(tensors), &card.spec);
    if !differences.is_empty() {
        let mismatch = Mismatch { differences, model: card.spec.to_string(), looks_like: None };
        return Err(at(Problem::Mismatch(Box::new(mismatch))));
    }
    let inconsistent = |what: String| at(Problem::Inconsistent(what));
    let card = card.clone().validate().map_err(|error| inconsistent(error.to_string()))?;
    let json = serde_json::to_string(&card).map_err(|error| inconsistent(error.to_string()))?;
    let mut metadata = metadata.clone();
    metadata.insert(CARD_KEY.into(), json);
    metadata.insert("format".into(), "pt".into());
    let counters: Vec<_> =
        card.spec.graph().layers.into_iter().map(|layer| format!("{}.num_batches_tracked", layer.bn)).collect();
    let step = i64::try_from(step).unwrap_or(i64::MAX);
    write(path, &counters, step, tensors, &metadata)
}

/// Writes any tensors with metadata, such as an optimiser's state. Appears whole or not at all.
///
/// # Errors
/// When the file can't be written.
pub(crate) fn write_tensors(path: &Path, tensors: &StateDict, metadata: &Metadata) -> Result<(), WeightsError> {
    write(path, &[], 0, tensors, metadata)
}

/// Reads what [`write_tensors`] wrote: every floating-point tensor of a safetensors file, and its metadata.
///
/// # Errors
/// When the file can't be read or is no valid safetensors file.
pub fn read_tensors(path: &Path) -> Result<(StateDict, Metadata), WeightsError> {
    super::with_file(path, tensors_of)
}

/// The same of a file's bytes.
///
/// # Errors
/// When they are no valid safetensors file.
pub(crate) fn tensors_of(bytes: &[u8]) -> Result<(StateDict, Metadata), Problem> {
    let (entries, metadata) = parse(bytes)?;
    let tensors = entries.into_iter().filter_map(|entry| {
        let data = entry.to_f32()?;
        Some((entry.name, HostTensor { shape: entry.shape, data }))
    });
    Ok((tensors.collect(), metadata))
}

fn write(
    path: &Path,
    counters: &[String],
    counter: i64,
    tensors: &StateDict,
    metadata: &Metadata,
) -> Result<(), WeightsError> {
    let at = |source| WeightsError::Io { path: path.to_owned(), source };
    if let Some((name, _)) = tensors.iter().find(|(_, t)| t.shape.iter().product::<usize>() != t.data.len()) {
        let problem = Problem::Inconsistent(format!("`{name}` has another number of values than its shape says"));
        return Err(WeightsError::File { path: path.to_owned(), problem });
    }
    let header = header(counters, tensors, metadata).map_err(|error| at(error.into()))?;
    atomic::write_output::<io::Error>(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        for _ in counters {
            out.write_all(&counter.to_le_bytes())?;
        }
        tensors.values().try_for_each(|tensor| write_values(out, &tensor.data))
    })
    .map_err(at)
}

/// The JSON header, padded with blanks to a multiple of 8 bytes. Counters of 8 bytes come first, so that everything is
/// aligned.
fn header(counters: &[String], tensors: &StateDict, metadata: &Metadata) -> serde_json::Result<Vec<u8>> {
    let mut header = serde_json::Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".into(), serde_json::to_value(metadata)?);
    }
    let mut end = 0;
    let mut put = |name: &str, dtype: &str, shape: &[usize], size: usize| {
        let start = end;
        end += size;
        header.insert(
            name.to_owned(),
            serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] }),
        );
    };
    for name in counters {
        put(name, "I64", &[], 8);
    }
    for (name, tensor) in tensors {
        put(name, "F32", &tensor.shape, 4 * tensor.data.len());
    }
    let mut bytes = serde_json::to_vec(&header)?;
    bytes.resize(bytes.len().next_multiple_of(8), b' ');
    Ok(bytes)
}

/// Values as little-endian bytes: as they lie in memory where that is the same.
pub(crate) fn write_values(out: &mut dyn Write, values: &[f32]) -> io::Result<()> {
    if cfg!(target_endian = "little") {
        out.write_all(bytemuck::cast_slice(values))
    } else {
        values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
    }
}

/// The tensors of a safetensors file in the order of their bytes, and its metadata.
pub(crate) fn parse(bytes: &[u8]) -> Result<(Vec<Entry<'_>>, Metadata), Problem> {
    let broken = |what: String| Problem::broken(FORMAT, what);
    let length = bytes.first_chunk().map(|&length| u64::from_le_bytes(length));
    if length.is_none_or(|length| length > LARGEST_HEADER as u64) {
        return Err(broken("its header is missing or larger than 8 MiB".into()));
    }
    let (length, header) = SafeTensors::read_metadata(bytes).map_err(|error| broken(error.to_string()))?;
    let data = &bytes[8 + length..]; // within the file, as was just checked
    let mut entries = Vec::new();
    for name in header.offset_keys() {
        let Some(info) = header.info(&name) else { continue };
        let dtype = match info.dtype {
            Stored::F16 => Dtype::F16,
            Stored::BF16 => Dtype::Bf16,
            Stored::F32 => Dtype::F32,
            Stored::F64 => Dtype::F64,
            Stored::BOOL | Stored::U8 | Stored::I8 => Dtype::Integer(1),
            Stored::U16 | Stored::I16 => Dtype::Integer(2),
            Stored::U32 | Stored::I32 => Dtype::Integer(4),
            Stored::U64 | Stored::I64 => Dtype::Integer(8),
            Stored::F8_E4M3 => Dtype::F8(Float8::E4m3fn),
            Stored::F8_E5M2 => Dtype::F8(Float8::E5m2),
            Stored::F8_E8M0 => Dtype::F8(Float8::E8m0fnu),
            other => {
                let kind = if other == Stored::C64 { "complex64" } else { "floats of less than eight bits" };
                entries.push(Entry::unread(name, kind, info.shape.clone()).map_err(broken)?);
                continue;
            }
        };
        let (start, end) = info.data_offsets;
        let values = data.get(start..end).ok_or_else(|| broken(format!("`{name}` lies outside the file")))?;
        entries.push(Entry::contiguous(name, dtype, info.shape.clone(), Cow::Borrowed(values)).map_err(broken)?);
    }
    let metadata = header.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
    Ok((entries, metadata))
}

/// A network that [`write_checkpoint`] wrote, with all of its metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    pub card: ModelCard,
    pub(crate) tensors: StateDict,
    pub(crate) metadata: Metadata,
}

/// Reads one of Kindling's own checkpoints. For files of other programs there is [`super::read`].
///
/// # Errors
/// When the file can't be read, is no checkpoint of Kindling's, or its tensors are not those of its card.
pub fn read_checkpoint(path: &Path) -> Result<Checkpoint, WeightsError> {
    super::with_file(path, |bytes| {
        let (entries, metadata) = parse(bytes)?;
        let card = card(&metadata)?.ok_or_else(|| {
            Problem::Unsupported("not one of Kindling's checkpoints; `kindling import` makes one of it".into())
        })?;
        let tensors = own_tensors(&card, &entries)?;
        Ok(Checkpoint { card, tensors, metadata })
    })
}

/// The card in a file's metadata, if there is one.
pub(crate) fn card(metadata: &Metadata) -> Result<Option<ModelCard>, Problem> {
    let Some(json) = metadata.get(CARD_KEY) else { return Ok(None) };
    let card: ModelCard = serde_json::from_str(json)
        .map_err(|error| Problem::broken(FORMAT, format!("its description of the network is damaged: {error}")))?;
    card.validate().map(Some).map_err(|error| Problem::broken(FORMAT, error.to_string()))
}

/// The tensors of a file that has a card, converted once their shapes are known to be the card's.
pub(crate) fn own_tensors(card: &ModelCard, entries: &[Entry<'_>]) -> Result<StateDict, Problem> {
    let floats = || entries.iter().filter(|entry| entry.dtype.is_float());
    let shapes = floats().map(|entry| (entry.name.clone(), entry.shape.clone())).collect();
    let differences = fit::differences(&shapes, &card.spec);
    if !differences.is_empty() {
        let mismatch = Mismatch { differences, model: format!("its own card, {}", card.spec), looks_like: None };
        return Err(Problem::Mismatch(Box::new(mismatch)));
    }
    let convert = |entry: &Entry<'_>| {
        let data = entry.to_f32()?;
        Some((entry.name.clone(), HostTensor { shape: entry.shape.clone(), data }))
    };
    Ok(floats().filter_map(convert).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::ModelSpec,
        weights::{card::default_preprocessing, fixtures},
    };

    fn example() -> (ModelCard, StateDict) {
        let spec = ModelSpec::named("cifar_resnet8", None, 3, 10).unwrap();
        let classes = (0..10).map(|i| format!("kind {i}")).collect();
        let preprocessing = default_preprocessing(&spec);
        let tensors = fixtures::network(&spec);
        (ModelCard { spec, classes, preprocessing, validation_share: None, head: None }, tensors)
    }

    #[test]
    fn a_checkpoint_comes_back_bit_for_bit_with_its_card_and_metadata() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.safetensors");
        let (card, tensors) = example();
        let extra = Metadata::from([("epoch".to_owned(), "3".to_owned())]);
        write_checkpoint(&path, &card, &tensors, 1234, &extra).unwrap();
        let back = read_checkpoint(&path).unwrap();
        assert_eq!((&back.card, &back.tensors), (&card, &tensors));
        assert_eq!(back.metadata["epoch"], "3");

        // What PyTorch looks for: the counters are 64-bit scalars.
        let bytes = std::fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let counter = file.tensor("layer2.0.downsample.1.num_batches_tracked").unwrap();
        assert_eq!(
            (counter.dtype(), counter.shape(), counter.data()),
            (Stored::I64, &[][..], &1234i64.to_le_bytes()[..])
        );
        let all = card.spec.tensors().len() + card.spec.graph().layers.len();
        assert_eq!(file.len(), all);
        assert_eq!(file.tensor("conv1.weight").unwrap().data().as_ptr().addr() % 4, bytes.as_ptr().addr() % 4);
    }

    #[test]
    fn the_same_state_gives_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (card, tensors) = example();
        let extra: Metadata = ('a'..='j').map(|key| (key.to_string(), "x".to_owned())).collect();
        let [a, b] = ["a", "b"].map(|name| {
            let path = folder.path().join(name);
            write_checkpoint(&path, &card, &tensors, 1, &extra).unwrap();
            std::fs::read(path).unwrap()
        });
        assert!(a == b);
    }

    #[test]
    fn a_state_that_is_not_the_cards_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.safetensors");
        let (card, mut tensors) = example();
        tensors.insert("fc.weight".into(), HostTensor::full(vec![5, 64], 0.0));
        let error = write_safetensors(&path, &card, &tensors).unwrap_err().to_string();
        assert!(error.contains("fc.weight: file 5x64, model 10x64"), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn optimiser_state_of_any_names_and_shapes_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.optimizer.safetensors");
        let tensors = StateDict::from([
            (
                "momentum/conv1.weight".to_owned(),
                HostTensor { shape: vec![2, 3], data: vec![1.0, -0.0, 3.5, f32::MIN, 5.0, 6.0] },
            ),
            ("scale".to_owned(), HostTensor::full(vec![], 2.0)),
            ("empty".to_owned(), HostTensor::full(vec![0], 2.0)),
        ]);
        let metadata = Metadata::from([("step".to_owned(), "7".to_owned())]);
        write_tensors(&path, &tensors, &metadata).unwrap();
        assert_eq!(read_tensors(&path).unwrap(), (tensors, metadata));
    }

    #[test]
    fn a_file_of_another_program_is_not_taken_for_a_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.safetensors");
        write_tensors(&path, &example().1, &Metadata::new()).unwrap();
        let error = read_checkpoint(&path).unwrap_err().to_string();
        assert!(error.contains("kindling import"), "{error}");
    }
}
