//! MindSpore's `.ckpt`: a protobuf `Checkpoint { repeated Value value = 1 }` with `Value { tag = 1; TensorProto tensor =
//! 2 }` and `TensorProto { repeated int64 dims = 1; string tensor_type = 2; bytes tensor_content = 3 }`.
//!
//! A large tensor is cut into pieces, each a `Value` under the same tag; a checksum may follow the message. The wire
//! format is read here by hand rather than by a protobuf library, so that the tensors' bytes stay where they are in the
//! mapped file.

use super::{
    entry::{Dtype, Entry},
    error::Problem,
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
    for (count, field) in Fields(message).enumerate() {
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
    for field in Fields(bytes) {
        match field? {
            (1, Field::Bytes(name)) => tag = Some(text(name)?),
            (2, Field::Bytes(message)) => tensor = Some(message),
            _ => {}
        }
    }
    let tag = tag.ok_or_else(|| broken("a value without a name"))?;
    let Some(tensor) = tensor else { return Ok(None) };
    let (mut dims, mut kind, mut content) = (Vec::new(), "", None);
    for field in Fields(tensor) {
        match field? {
            (1, Field::Number(side)) => dims.push(side),
            (1, Field::Bytes(mut packed)) => {
                while !packed.is_empty() && dims.len() <= MOST_DIMENSIONS {
                    dims.push(varint(&mut packed)?);
                }
            }
            (2, Field::Bytes(name)) => kind = text(name)?,
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

fn text(bytes: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(bytes).map_err(|_| broken("a name that is not UTF-8"))
}

/// The value of one protobuf field.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Four or eight fixed bytes: in no field that is read here.
    Fixed,
}

/// The fields of a protobuf message, in order, with their numbers. Ends after an error.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>), Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u64, Field<'a>), Problem> {
        let key = varint(&mut self.0)?;
        let value = match key & 7 {
            0 => Field::Number(varint(&mut self.0)?),
            2 => {
                let length = varint(&mut self.0)?;
                Field::Bytes(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            1 => self.take(8).map(|_| Field::Fixed)?,
            5 => self.take(4).map(|_| Field::Fixed)?,
            _ => return Err(broken("it is no protobuf message")),
        };
        Ok((key >> 3, value))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Problem> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(cut_short)?;
        self.0 = rest;
        Ok(taken)
    }
}

fn cut_short() -> Problem {
    broken("it ends in the middle of a tensor; the file is cut short")
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Problem> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or_else(cut_short)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(broken("it is no protobuf message"))
}
