//! MindSpore's `.ckpt`: a protobuf `Checkpoint { repeated Value value = 1 }` with `Value { tag = 1; TensorProto tensor =
//! 2 }` and `TensorProto { repeated int64 dims = 1; string tensor_type = 2; bytes tensor_content = 3 }`.
//!
//! A large tensor is cut into pieces, each a `Value` under the same tag; a checksum may follow the message.

use super::{
    entry::{Dtype, Entry},
    error::Problem,
    protobuf::{Field, Fields, numbers, text},
};
use crate::text::foreign;
use std::{borrow::Cow, collections::HashMap};

const FORMAT: &str = "MindSpore checkpoint";
/// `crc_num`, then the checksum as 10 big-endian bytes.
const TRAILER: (&[u8], usize) = (b"crc_num", 10);

/// Far more than any network has; what is kept of each takes more memory than the shortest possible one does in a file.
const MOST_VALUES: usize = 100_000;
const MOST_DIMENSIONS: usize = 8;

/// What was read from a checkpoint.
pub(crate) struct Parsed<'a> {
    /// In file order.
    pub entries: Vec<Entry<'a>>,
    /// Names of values that no tensor is made of, with the reason.
    pub passed: Vec<(String, String)>,
}

/// The tensors of a checkpoint.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed<'_>, Problem> {
    let message = checked(bytes)?;
    let mut tensors: Vec<Stored<'_>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (count, field) in Fields::new(FORMAT, message).enumerate() {
        let (1, Field::Bytes(value)) = field? else {
            return Err(broken("a field that no checkpoint has"));
        };
        if count >= MOST_VALUES {
            return Err(broken(format!("it has more than {MOST_VALUES} values")));
        }
        let piece = value_message(value)?;
        let Some(piece) = piece else { continue };
        match places.get(piece.tag) {
            Some(&place) => {
                let whole = &mut tensors[place];
                if (whole.kind, &whole.dims) != (piece.kind, &piece.dims) {
                    return Err(broken(format!("the pieces of `{}` do not belong together", piece.tag)));
                }
                whole.pieces.extend(piece.pieces);
            }
            None => {
                places.insert(piece.tag, tensors.len());
                tensors.push(piece);
            }
        }
    }
    if tensors.is_empty() {
        return Err(broken("it holds no tensor"));
    }
    let (mut entries, mut passed) = (Vec::new(), Vec::new());
    for Stored { tag, dims, kind, pieces } in tensors {
        let dtype = match kind {
            "Float32" => Dtype::F32,
            "Float16" => Dtype::F16,
            "BFloat16" => Dtype::Bf16,
            "Float64" => Dtype::F64,
            "Bool" | "Int8" | "UInt8" => Dtype::Integer(1),
            "Int16" | "UInt16" => Dtype::Integer(2),
            "Int32" | "UInt32" => Dtype::Integer(4),
            "Int64" | "UInt64" => Dtype::Integer(8),
            _ => {
                passed.push((foreign(tag), foreign(&format!("of type {kind}"))));
                continue;
            }
        };
        let bytes: Cow<'_, [u8]> = match pieces[..] {
            [whole] => whole.into(),
            _ => pieces.concat().into(),
        };
        // A scalar is written as one dimension of nothing.
        let shape = if dims == [0] && bytes.len() == dtype.size() { Vec::new() } else { dims };
        entries.push(Entry::contiguous(tag.to_owned(), dtype, shape, bytes).map_err(broken)?);
    }
    Ok(Parsed { entries, passed })
}

fn broken(what: impl AsRef<str>) -> Problem {
    Problem::broken(FORMAT, what)
}

/// The message without its checksum, which must be right where there is one.
fn checked(bytes: &[u8]) -> Result<&[u8], Problem> {
    let (word, digits) = TRAILER;
    let Some(end) = bytes.len().checked_sub(word.len() + digits) else { return Ok(bytes) };
    let (message, trailer) = bytes.split_at(end);
    let Some(sum) = trailer.strip_prefix(word) else { return Ok(bytes) };
    let expected = sum.iter().try_fold(0u64, |sum, &byte| Some(sum.checked_mul(256)? | u64::from(byte)));
    let mut crc = flate2::Crc::new();
    message.chunks(1 << 20).for_each(|chunk| crc.update(chunk));
    if expected != Some(u64::from(crc.sum())) {
        return Err(broken("its checksum does not match: the file is damaged"));
    }
    Ok(message)
}

/// One tensor, perhaps in several pieces.
struct Stored<'a> {
    tag: &'a str,
    dims: Vec<usize>,
    kind: &'a str,
    pieces: Vec<&'a [u8]>,
}

/// A `Value`; `None` for one without a tensor (a dictionary that lives on the host).
fn value_message(bytes: &[u8]) -> Result<Option<Stored<'_>>, Problem> {
    let (mut tag, mut tensor) = (None, None);
    for field in Fields::new(FORMAT, bytes) {
        match field? {
            (1, Field::Bytes(name)) => tag = Some(text(FORMAT, name)?),
            (2, Field::Bytes(message)) => tensor = Some(message),
            _ => {}
        }
    }
    let tag = tag.ok_or_else(|| broken("a value without a name"))?;
    let Some(tensor) = tensor else { return Ok(None) };
    let (mut dims, mut kind, mut content) = (Vec::new(), "", None);
    for field in Fields::new(FORMAT, tensor) {
        match field? {
            (1, Field::Number(side)) => dims.push(side),
            (1, Field::Bytes(packed)) => dims.extend(numbers(FORMAT, packed, MOST_DIMENSIONS + 1)?),
            (2, Field::Bytes(name)) => kind = text(FORMAT, name)?,
            (3, Field::Bytes(bytes)) => content = Some(bytes),
            _ => {}
        }
        if dims.len() > MOST_DIMENSIONS {
            return Err(broken(format!("`{tag}` has more than {MOST_DIMENSIONS} dimensions")));
        }
    }
    let dims: Option<Vec<usize>> = dims.into_iter().map(|side| usize::try_from(side).ok()).collect();
    let dims = dims.ok_or_else(|| broken(format!("`{tag}` is too large")))?;
    Ok(Some(Stored { tag, dims, kind, pieces: content.into_iter().collect() }))
}
