//! The parts of an ONNX file, as views of its bytes: nodes, constants, inputs, outputs and metadata, by the field numbers of
//! <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>.

use super::FORMAT;
use crate::weights::{
    entry::{Dtype, Entry},
    error::Problem,
    protobuf::{self, Field, Fields, numbers},
};
use std::collections::HashMap;

/// Far more than any network has, of nodes, constants, and of inputs and attributes of a node.
const MOST: usize = 50_000;
const MOST_OF_A_NODE: usize = 256;
const MOST_DIMENSIONS: usize = 8;
/// Numbers of a constant that are looked at one by one: the sizes of a window, the dimensions of a tensor.
pub(super) const MOST_NUMBERS: usize = 64;

/// A file.
#[derive(Default)]
pub(super) struct File<'a> {
    /// In the order of the computation.
    pub nodes: Vec<Node<'a>>,
    pub constants: HashMap<&'a str, Tensor<'a>>,
    /// Names of the inputs that are no constants, with their dimensions as far as they are known.
    pub inputs: Vec<(&'a str, Vec<Option<usize>>)>,
    pub outputs: Vec<&'a str>,
    pub metadata: HashMap<&'a str, &'a str>,
}

/// One step of the file's computation.
#[derive(Default)]
pub(super) struct Node<'a> {
    pub operator: &'a str,
    pub inputs: Vec<&'a str>,
    pub outputs: Vec<&'a str>,
    attributes: Vec<(&'a str, Attribute<'a>)>,
}

enum Attribute<'a> {
    Int(i64),
    Float(f32),
    Ints(Vec<i64>),
    Text(&'a [u8]),
    Tensor(Tensor<'a>),
    /// Of a kind that is not looked at.
    Other,
}

impl<'a> Node<'a> {
    fn attribute(&self, name: &str) -> Option<&Attribute<'a>> {
        self.attributes.iter().find(|(other, _)| *other == name).map(|(_, attribute)| attribute)
    }

    pub(super) fn int(&self, name: &str) -> Option<i64> {
        match self.attribute(name) {
            Some(Attribute::Int(value)) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn float(&self, name: &str) -> Option<f32> {
        match self.attribute(name) {
            Some(Attribute::Float(value)) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn ints(&self, name: &str) -> Option<&[i64]> {
        match self.attribute(name) {
            Some(Attribute::Ints(values)) => Some(values),
            _ => None,
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a [u8]> {
        match self.attribute(name) {
            Some(Attribute::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn tensor(&self, name: &str) -> Option<&Tensor<'a>> {
        match self.attribute(name) {
            Some(Attribute::Tensor(tensor)) => Some(tensor),
            _ => None,
        }
    }
}

/// A constant.
#[derive(Clone, Default)]
pub(super) struct Tensor<'a> {
    pub name: &'a str,
    pub dims: Vec<usize>,
    kind: u64,
    content: Content<'a>,
}

#[derive(Clone, Copy, Default)]
enum Content<'a> {
    /// Little-endian values.
    Plain(&'a [u8]),
    /// Integers as protobuf packs them.
    Packed(&'a [u8]),
    /// In a file beside this one.
    Elsewhere,
    #[default]
    None,
}

impl<'a> Tensor<'a> {
    /// The tensor as one of a weight file.
    pub(super) fn entry(&self) -> Result<Entry<'a>, Problem> {
        let dtype = match self.kind {
            1 => Dtype::F32,
            10 => Dtype::F16,
            16 => Dtype::Bf16,
            11 => Dtype::F64,
            2 | 3 | 9 => Dtype::Integer(1),
            4 | 5 => Dtype::Integer(2),
            6 | 12 => Dtype::Integer(4),
            _ => Dtype::Integer(8),
        };
        match self.content {
            Content::Plain(bytes) => Entry::contiguous(self.name.to_owned(), dtype, self.dims.clone(), bytes.into())
                .map_err(|what| Problem::broken(FORMAT, what)),
            Content::Elsewhere => Err(Problem::Unsupported(
                "an ONNX file whose weights are in another file beside it, which is not read; save it as one file"
                    .into(),
            )),
            Content::Packed(_) | Content::None => Entry::unread(self.name.to_owned(), "integers", self.dims.clone())
                .map_err(|what| Problem::broken(FORMAT, what)),
        }
    }

    /// Its values, if they are a few numbers, and whether they are integers.
    pub(super) fn numbers(&self) -> Option<(Vec<f64>, bool)> {
        let count = self.dims.iter().try_fold(1usize, |count, &side| count.checked_mul(side))?;
        if count > MOST_NUMBERS {
            return None;
        }
        let (values, whole): (Vec<f64>, bool) = match (self.kind, self.content) {
            (7, Content::Plain(bytes)) => {
                (bytes.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b) as f64).collect(), true)
            }
            (6, Content::Plain(bytes)) => {
                (bytes.as_chunks().0.iter().map(|&b| i32::from_le_bytes(b).into()).collect(), true)
            }
            (6 | 7, Content::Packed(bytes)) => {
                (numbers(FORMAT, bytes, count).ok()?.into_iter().map(|value| value as i64 as f64).collect(), true)
            }
            (1, Content::Plain(bytes)) => {
                (bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b).into()).collect(), false)
            }
            _ => return None,
        };
        (values.len() == count).then_some((values, whole))
    }
}

/// Takes a file apart.
pub(super) fn parse(bytes: &[u8]) -> Result<File<'_>, Problem> {
    let mut file = File::default();
    let mut graph = None;
    for field in Fields::new(FORMAT, bytes) {
        match field? {
            (7, Field::Bytes(message)) => graph = Some(message),
            (14, Field::Bytes(message)) => {
                let [key, value] = strings(message, [1, 2])?;
                bounded(file.metadata.len())?;
                file.metadata.insert(key, value);
            }
            _ => {}
        }
    }
    let graph = graph.ok_or_else(|| Problem::broken(FORMAT, "it holds no graph"))?;
    let mut inputs = Vec::new();
    for field in Fields::new(FORMAT, graph) {
        bounded(file.nodes.len().max(file.constants.len()).max(inputs.len()).max(file.outputs.len()))?;
        match field? {
            (1, Field::Bytes(message)) => file.nodes.push(node(message)?),
            (5, Field::Bytes(message)) => {
                let tensor = tensor(message)?;
                file.constants.insert(tensor.name, tensor);
            }
            (11, Field::Bytes(message)) => inputs.push(value(message)?),
            (12, Field::Bytes(message)) => file.outputs.push(value(message)?.0),
            _ => {}
        }
    }
    // Older files name constants among the inputs too.
    inputs.retain(|(name, _)| !file.constants.contains_key(name));
    file.inputs = inputs;
    Ok(file)
}

/// Refuses one more than there may be.
fn bounded(count: usize) -> Result<(), Problem> {
    match count < MOST {
        true => Ok(()),
        false => Err(Problem::broken(FORMAT, format!("it has more than {MOST} parts"))),
    }
}

fn text(bytes: &[u8]) -> Result<&str, Problem> {
    protobuf::text(FORMAT, bytes)
}

/// The fields with these numbers as text.
fn strings<const N: usize>(message: &[u8], tags: [u64; N]) -> Result<[&str; N], Problem> {
    let mut found = [""; N];
    for field in Fields::new(FORMAT, message) {
        let (tag, Field::Bytes(bytes)) = field? else { continue };
        if let Some(at) = tags.iter().position(|&other| other == tag) {
            found[at] = text(bytes)?;
        }
    }
    Ok(found)
}

fn node(message: &[u8]) -> Result<Node<'_>, Problem> {
    let mut node = Node::default();
    for field in Fields::new(FORMAT, message) {
        match field? {
            (1, Field::Bytes(name)) => node.inputs.push(text(name)?),
            (2, Field::Bytes(name)) => node.outputs.push(text(name)?),
            (4, Field::Bytes(name)) => node.operator = text(name)?,
            (5, Field::Bytes(message)) => node.attributes.push(attribute(message)?),
            _ => {}
        }
        if node.inputs.len().max(node.outputs.len()).max(node.attributes.len()) > MOST_OF_A_NODE {
            return Err(Problem::broken(FORMAT, format!("a node has more than {MOST_OF_A_NODE} parts")));
        }
    }
    Ok(node)
}

fn attribute(message: &[u8]) -> Result<(&str, Attribute<'_>), Problem> {
    let (mut name, mut value, mut ints) = ("", Attribute::Other, Vec::new());
    for field in Fields::new(FORMAT, message) {
        match field? {
            (1, Field::Bytes(bytes)) => name = text(bytes)?,
            (2, Field::Fixed(&[a, b, c, d])) => value = Attribute::Float(f32::from_le_bytes([a, b, c, d])),
            (3, Field::Number(number)) => value = Attribute::Int(number as i64),
            (4, Field::Bytes(bytes)) => value = Attribute::Text(bytes),
            (5, Field::Bytes(message)) => value = Attribute::Tensor(tensor(message)?),
            (8, Field::Number(number)) if ints.len() < MOST_NUMBERS => ints.push(number as i64),
            (8, Field::Bytes(packed)) => {
                ints.extend(numbers(FORMAT, packed, MOST_NUMBERS)?.into_iter().map(|number| number as i64));
            }
            _ => {}
        }
    }
    Ok((name, if ints.is_empty() { value } else { Attribute::Ints(ints) }))
}

fn tensor(message: &[u8]) -> Result<Tensor<'_>, Problem> {
    let mut tensor = Tensor::default();
    let mut sides = Vec::new();
    for field in Fields::new(FORMAT, message) {
        match field? {
            (1, Field::Number(side)) => sides.push(side),
            (1, Field::Bytes(packed)) => sides.extend(numbers(FORMAT, packed, MOST_DIMENSIONS + 1)?),
            (2, Field::Number(kind)) => tensor.kind = kind,
            // float_data and double_data lie as raw_data does.
            (4 | 9 | 10, Field::Bytes(bytes)) => tensor.content = Content::Plain(bytes),
            (5 | 7, Field::Bytes(packed)) => tensor.content = Content::Packed(packed),
            (8, Field::Bytes(bytes)) => tensor.name = text(bytes)?,
            (13, _) | (14, Field::Number(1)) => tensor.content = Content::Elsewhere,
            _ => {}
        }
        if sides.len() > MOST_DIMENSIONS {
            return Err(Problem::broken(FORMAT, format!("a tensor has more than {MOST_DIMENSIONS} dimensions")));
        }
    }
    let dims: Option<Vec<usize>> = sides.into_iter().map(|side| usize::try_from(side).ok()).collect();
    tensor.dims = dims.ok_or_else(|| Problem::broken(FORMAT, "a tensor is too large"))?;
    Ok(tensor)
}

/// Name and dimensions of an input or an output.
fn value(message: &[u8]) -> Result<(&str, Vec<Option<usize>>), Problem> {
    let name = inner(message, 1)?.map_or(Ok(""), text)?;
    // Within each other: the type, that of a tensor, its shape, and the dimensions of it: a size, or a name for one.
    let shape = inner(message, 2)?.map_or(Ok(None), |of_type| inner(of_type, 1))?;
    let shape = shape.map_or(Ok(None), |of_tensor| inner(of_tensor, 2))?;
    let mut dims = Vec::new();
    for field in Fields::new(FORMAT, shape.unwrap_or_default()) {
        let (1, Field::Bytes(dimension)) = field? else { continue };
        let mut side = None;
        for field in Fields::new(FORMAT, dimension) {
            if let (1, Field::Number(number)) = field? {
                side = usize::try_from(number).ok().filter(|&side| side > 0);
            }
        }
        dims.push(side);
        if dims.len() > MOST_DIMENSIONS {
            return Err(Problem::broken(FORMAT, format!("`{name}` has more than {MOST_DIMENSIONS} dimensions")));
        }
    }
    Ok((name, dims))
}

/// The message in the last field of this number.
fn inner(message: &[u8], tag: u64) -> Result<Option<&[u8]>, Problem> {
    let mut found = None;
    for field in Fields::new(FORMAT, message) {
        if let (other, Field::Bytes(bytes)) = field?
            && other == tag
        {
            found = Some(bytes);
        }
    }
    Ok(found)
}
