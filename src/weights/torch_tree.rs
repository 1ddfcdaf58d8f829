//! The pickled half of a PyTorch file: which tensors there are, under which names, in which storage.
//!
//! The closed pickle reader of [`crate::data::pickle`] leaves every call as data. Here the few calls that rebuild a
//! tensor are understood, a few kinds of objects that training scripts put beside the weights are passed over, and a
//! file that asks for anything else is refused as a whole, wherever in it the request stands.

use super::{
    entry::{Dtype, Entry},
    error::{Problem, plain},
};
use crate::data::pickle::{Limits, Pickle, Value, parse};
use std::{collections::HashMap, ops::ControlFlow};

pub(super) const FORMAT: &str = "PyTorch";

/// A state dictionary with its optimiser has some thirty thousand values; this many take 100 MB at most.
const LIMITS: Limits = Limits { values: 1 << 20 };

/// How deep a state dictionary may be nested (`checkpoint["state"]["model"]…`), and how many entries are looked at on
/// the way.
const DEPTH: usize = 4;
const MOST_ENTRIES: usize = 200_000;
const MOST_DIMENSIONS: usize = 8;

/// Where a state dictionary is looked for first: running averages come after the weights themselves.
const USUAL_KEYS: [&str; 8] =
    ["state_dict", "model_state_dict", "model", "net", "network", "model_ema", "state_dict_ema", "ema"];

/// Objects that may stand in a file. None is ever made; those that do not belong to a tensor are passed over.
const KNOWN: [(&str, &[&str]); 14] = [
    ("collections", &["OrderedDict", "defaultdict", "Counter"]),
    ("torch._utils", &["_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter", "_rebuild_parameter_with_state"]),
    ("torch._tensor", &["_rebuild_from_type_v2"]),
    ("torch.nn.parameter", &["Parameter", "Buffer"]),
    (
        "torch",
        &[
            "Tensor",
            "Size",
            "device",
            "Generator",
            "float16",
            "bfloat16",
            "float32",
            "float64",
            "int64",
            "int32",
            "uint8",
            "bool",
        ],
    ),
    ("argparse", &["Namespace"]),
    ("numpy", &["dtype", "ndarray", "float32", "float64", "int64"]),
    ("numpy.core.multiarray", &["scalar", "_reconstruct"]),
    ("numpy._core.multiarray", &["scalar", "_reconstruct"]),
    ("_codecs", &["encode"]),
    ("pathlib", &["Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"]),
    ("datetime", &["datetime", "date", "timedelta"]),
    ("builtins", &["set", "frozenset", "bytearray", "complex", "dict", "list", "tuple", "int", "float", "str", "bool"]),
    (
        "__builtin__",
        &["set", "frozenset", "bytearray", "complex", "dict", "list", "tuple", "int", "float", "str", "bool"],
    ),
];

/// Reads the pickle that `bytes` begins with, and refuses it if it names anything outside the known objects.
pub(super) fn read(bytes: &[u8]) -> Result<Pickle<'_>, Problem> {
    let pickle = parse(bytes, LIMITS).map_err(|error| Problem::broken(FORMAT, error.to_string()))?;
    for (module, name) in pickle.values().filter_map(Value::global) {
        let known = KNOWN.iter().any(|(known, names)| *known == module && names.contains(&name));
        let storage = matches!(module, "torch" | "torch.storage" | "torch.cuda") && name.ends_with("Storage");
        if !known && !storage {
            return Err(Problem::ForeignObject(plain(&format!("{module}.{name}"))));
        }
    }
    Ok(pickle)
}

/// A storage as a pickle refers to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct StorageRef<'p> {
    pub key: &'p str,
    pub dtype: Dtype,
    /// Number of elements.
    pub count: usize,
}

impl<'p> StorageRef<'p> {
    /// Bytes it takes.
    pub fn size(&self) -> Result<usize, Problem> {
        self.count.checked_mul(self.dtype.size()).ok_or_else(|| broken(format!("storage {} is too large", self.key)))
    }

    /// Understands `("storage", torch.FloatStorage, key, device, count)`.
    pub fn from_persistent(id: Value<'p, '_>) -> Result<Self, Problem> {
        let parts = || {
            if id.item(0)?.as_str()? != "storage" {
                return None;
            }
            let (_, kind) = id.item(1)?.global()?;
            Some((kind, id.item(2)?.as_str()?, id.item(4)?.as_usize()?))
        };
        let (kind, key, count) = parts().ok_or_else(|| broken("a storage is not described as PyTorch does"))?;
        // Old files can have several tensors' views of one storage spelled out here.
        if id.item(5).is_some_and(|view| !view.is_none()) {
            return Err(Problem::Unsupported("saved by a PyTorch before 0.4; save it again with a newer one".into()));
        }
        let dtype = match kind {
            "HalfStorage" => Dtype::F16,
            "BFloat16Storage" => Dtype::Bf16,
            "FloatStorage" => Dtype::F32,
            "DoubleStorage" => Dtype::F64,
            "BoolStorage" | "ByteStorage" | "CharStorage" | "UntypedStorage" | "QInt8Storage" | "QUInt8Storage" => {
                Dtype::Integer(1)
            }
            "ShortStorage" => Dtype::Integer(2),
            "IntStorage" | "QInt32Storage" => Dtype::Integer(4),
            "LongStorage" | "ComplexFloatStorage" => Dtype::Integer(8),
            "ComplexDoubleStorage" => Dtype::Integer(16),
            _ => return Err(Problem::ForeignObject(plain(&format!("torch.{kind}")))),
        };
        Ok(Self { key, dtype, count })
    }
}

/// A state dictionary that was found.
pub(super) struct Found<'p, 'a> {
    /// Names with their values; tensors are among them.
    entries: Vec<(&'p str, Value<'p, 'a>)>,
    /// Keys that lead to it, outermost first.
    pub path: Vec<&'p str>,
}

/// Finds the state dictionary: the root, or what lies under one of the usual keys, or else any other.
pub(super) fn find<'p, 'a>(pickle: &'p Pickle<'a>) -> Result<Found<'p, 'a>, Problem> {
    let mut left = MOST_ENTRIES;
    let mut path = Vec::new();
    match search(pickle.root(), DEPTH, &mut left, &mut path) {
        ControlFlow::Break(entries) => {
            path.reverse();
            Ok(Found { entries, path })
        }
        ControlFlow::Continue(()) => Err(Problem::NotANetwork(
            "the file holds no state dictionary: a dictionary of tensors, perhaps under a key such as `state_dict`"
                .into(),
        )),
    }
}

type Named<'p, 'a> = Vec<(&'p str, Value<'p, 'a>)>;

fn search<'p, 'a>(
    value: Value<'p, 'a>,
    depth: usize,
    left: &mut usize,
    path: &mut Vec<&'p str>,
) -> ControlFlow<Named<'p, 'a>> {
    let Some(entries) = value.entries() else { return ControlFlow::Continue(()) };
    let entries: Named<'p, 'a> = entries.take(*left).filter_map(|(key, value)| Some((key.as_str()?, value))).collect();
    *left -= entries.len();
    // Scripts also keep single numbers, such as the best accuracy, as tensors of no dimension.
    if entries.iter().any(|&(_, value)| shape_of(value).is_some_and(|shape| shape.len() > 1)) {
        return ControlFlow::Break(entries);
    }
    if depth == 0 {
        return ControlFlow::Continue(());
    }
    let rank = |key: &str| USUAL_KEYS.iter().position(|usual| *usual == key).unwrap_or(USUAL_KEYS.len());
    let mut inner: Vec<_> = entries.into_iter().filter(|(key, _)| !key.contains("optim")).collect();
    inner.sort_by_key(|(key, _)| rank(key));
    for (key, value) in inner {
        if let ControlFlow::Break(found) = search(value, depth - 1, left, path) {
            path.push(key);
            return ControlFlow::Break(found);
        }
    }
    ControlFlow::Continue(())
}

/// Follows wrappers down to the arguments of the call that rebuilds a tensor.
fn rebuild<'p, 'a>(mut value: Value<'p, 'a>) -> Option<Value<'p, 'a>> {
    for _ in 0..4 {
        let (callable, arguments) = value.call()?;
        value = match callable.global()? {
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => return Some(arguments),
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => arguments.item(0)?,
            // A subclass of tensor: (function, class, arguments, state).
            ("torch._tensor", "_rebuild_from_type_v2") => {
                let ("torch._utils", "_rebuild_tensor_v2") = arguments.item(0)?.global()? else { return None };
                return arguments.item(2);
            }
            _ => return None,
        };
    }
    None
}

fn sizes(value: Value<'_, '_>) -> Option<Vec<usize>> {
    let value = match value.call_of("torch", "Size") {
        Some(arguments) => arguments.item(0)?,
        None => value,
    };
    let items = value.items()?;
    if items.len() > MOST_DIMENSIONS {
        return None;
    }
    items.map(Value::as_usize).collect()
}

fn shape_of(value: Value<'_, '_>) -> Option<Vec<usize>> {
    sizes(rebuild(value)?.item(2)?)
}

impl<'p> Found<'p, '_> {
    /// The tensors as views of the storages. `storage` gives the bytes of one by its reference; `room` is how many
    /// bytes all tensors may have together: those of the file, so that views that overlap or repeat themselves can't
    /// ask for more memory than an honest file of this size.
    pub fn tensors<'s>(
        &self,
        storage: &dyn Fn(StorageRef<'p>) -> Result<&'s [u8], Problem>,
        mut room: usize,
    ) -> Result<Vec<Entry<'s>>, Problem> {
        let mut tensors: Vec<Entry<'s>> = Vec::new();
        let mut places = HashMap::new();
        for &(name, value) in &self.entries {
            let Some(arguments) = rebuild(value) else { continue };
            let parts = || {
                let id = arguments.item(0)?.persistent_id()?;
                Some((id, arguments.item(1)?.as_usize()?, sizes(arguments.item(2)?)?, sizes(arguments.item(3)?)?))
            };
            let (id, offset, shape, strides) = parts().ok_or_else(|| broken(format!("`{name}` is no plain tensor")))?;
            let reference = StorageRef::from_persistent(id)?;
            let entry = Entry::strided(name.to_owned(), reference.dtype, shape, strides, offset, storage(reference)?)
                .map_err(broken)?;
            let size = entry.count().checked_mul(entry.dtype.size());
            room = size.and_then(|size| room.checked_sub(size)).ok_or_else(|| {
                broken(format!("`{name}` and the tensors before it are larger than the file that holds them"))
            })?;
            // A key that is stored twice counts once, as in Python.
            match places.insert(name, tensors.len()) {
                Some(place) => {
                    places.insert(name, place);
                    tensors[place] = entry;
                }
                None => tensors.push(entry),
            }
        }
        Ok(tensors)
    }
}

pub(super) fn broken(what: impl AsRef<str>) -> Problem {
    Problem::broken(FORMAT, what)
}
