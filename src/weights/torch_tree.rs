//! The pickled half of a PyTorch file: which tensors there are, under which names, in which storage.
//!
//! The closed pickle reader of [`crate::data::pickle`] leaves every call as data. Here the few calls that rebuild a
//! tensor are understood. What training scripts put beside the weights (schedules, losses, `functools.partial`) is read
//! past: it is data of no meaning here, and nothing of it is ever made. A file that names what only an attack has a use
//! for is refused as a whole, wherever in it the name stands: it would be harmless here and is not elsewhere.

use super::{
    entry::{Dtype, Entry},
    error::{Problem, is_plain_name},
    torch_storage::{StorageRef, broken},
};
use crate::{
    data::pickle::{Limits, Pickle, Value, parse},
    text,
};
use std::{borrow::Cow, collections::HashMap};

/// A state dictionary with its optimiser has some thirty thousand values; this many take 100 MB at most.
const LIMITS: Limits = Limits { values: 1 << 20 };

/// How deep a state dictionary may be nested (`checkpoint["state"]["model"]…`), and how many entries are looked at on
/// the way.
const DEPTH: usize = 4;
/// How deep modules may be nested in a network that was saved as a whole.
const MODULE_DEPTH: usize = 16;
const MOST_ENTRIES: usize = 200_000;
/// A module has some thirty attributes.
const MOST_ATTRIBUTES: usize = 1000;
const MOST_DIMENSIONS: usize = 8;

/// Where a state dictionary is looked for first.
const USUAL_KEYS: [&str; 8] =
    ["state_dict", "model_state_dict", "model", "net", "network", "model_ema", "state_dict_ema", "ema"];

/// Python's modules that reach out of the program, by the first part of their names.
const REACHING_OUT: [&str; 24] = [
    "os",
    "posix",
    "nt",
    "subprocess",
    "_posixsubprocess",
    "commands",
    "sys",
    "shutil",
    "socket",
    "pty",
    "runpy",
    "importlib",
    "imp",
    "ctypes",
    "code",
    "codeop",
    "pickle",
    "_pickle",
    "marshal",
    "pip",
    "pdb",
    "bdb",
    "timeit",
    "webbrowser",
];
/// The built-in functions that do.
const BUILTINS_REACHING_OUT: [&str; 13] = [
    "eval",
    "exec",
    "execfile",
    "compile",
    "open",
    "file",
    "__import__",
    "input",
    "raw_input",
    "breakpoint",
    "apply",
    "globals",
    "setattr",
];

/// Reads the pickle that `bytes` begins with, and refuses it if it names what only an attack has a use for.
pub(super) fn read(bytes: &[u8]) -> Result<Pickle<'_>, Problem> {
    let pickle = parse(bytes, LIMITS).map_err(|error| broken(error.to_string()))?;
    let attack = |(module, name): &(&str, &str)| match *module {
        "builtins" | "__builtin__" => BUILTINS_REACHING_OUT.contains(name),
        "torch" | "torch.serialization" | "torch.hub" | "numpy" => *name == "load",
        _ => REACHING_OUT.contains(&module.split('.').next().unwrap_or_default()),
    };
    if let Some((module, name)) = pickle.values().filter_map(Value::global).find(attack) {
        return Err(Problem::ForeignObject(text::foreign(&format!("{module}.{name}"))));
    }
    Ok(pickle)
}

/// A state dictionary that was found.
pub(super) struct Found<'p, 'a> {
    /// Names with their values; tensors are among them.
    entries: Vec<(Cow<'p, str>, Value<'p, 'a>)>,
    /// Keys that lead to it, outermost first.
    pub path: Vec<&'p str>,
}

/// Finds the state dictionaries, those under the usual keys first. A network that was saved as a whole counts as one.
pub(super) fn find<'p, 'a>(pickle: &'p Pickle<'a>) -> Result<Vec<Found<'p, 'a>>, Problem> {
    let mut search = Search { left: MOST_ENTRIES, path: Vec::new(), found: Vec::new() };
    search.look(pickle.root(), DEPTH)?;
    if search.found.is_empty() {
        let what = pickle.root().call().and_then(|(callable, _)| callable.global());
        return Err(Problem::NotANetwork(match what {
            Some((module, name)) if (module, name) != ("collections", "OrderedDict") => format!(
                "the file holds a Python object `{}` and no tensors that could be read; save them, with \
                 `torch.save(model.state_dict(), …)`",
                text::foreign(&format!("{module}.{name}"))
            ),
            _ => {
                "the file holds no state dictionary: a dictionary of tensors, perhaps under a key such as `state_dict`"
                    .into()
            }
        }));
    }
    Ok(search.found)
}

struct Search<'p, 'a> {
    /// How many more entries are looked at.
    left: usize,
    path: Vec<&'p str>,
    found: Vec<Found<'p, 'a>>,
}

impl<'p, 'a> Search<'p, 'a> {
    fn look(&mut self, value: Value<'p, 'a>, depth: usize) -> Result<(), Problem> {
        if modules(value).is_some() {
            let mut entries = Vec::new();
            self.walk(value, "", MODULE_DEPTH, &mut entries)?;
            self.keep(entries);
            return Ok(());
        }
        let Some(entries) = value.entries() else { return Ok(()) };
        let looked_at = entries.len().min(self.left);
        self.left -= looked_at;
        let entries: Vec<_> = entries.take(looked_at).filter_map(|(key, value)| Some((key.as_str()?, value))).collect();
        self.keep(entries.iter().map(|&(key, value)| (Cow::Borrowed(key), value)).collect());
        if depth == 0 {
            return Ok(());
        }
        let rank = |key: &str| USUAL_KEYS.iter().position(|usual| *usual == key).unwrap_or(USUAL_KEYS.len());
        let mut inner: Vec<_> = entries.into_iter().filter(|(key, _)| !key.contains("optim")).collect();
        inner.sort_by_key(|(key, _)| rank(key));
        for (key, value) in inner {
            self.path.push(key);
            self.look(value, depth - 1)?;
            self.path.pop();
        }
        Ok(())
    }

    /// Keeps what has a tensor of several dimensions. Scripts also keep single numbers, such as the best accuracy, as
    /// tensors of none.
    fn keep(&mut self, entries: Vec<(Cow<'p, str>, Value<'p, 'a>)>) {
        if entries.iter().any(|&(_, value)| Rebuilt::of(value).is_some_and(|rebuilt| rebuilt.shape.len() > 1)) {
            self.found.push(Found { entries, path: self.path.clone() });
        }
    }

    /// The parameters and buffers of a module and those within it, under the names that its state dictionary would give.
    fn walk(
        &mut self,
        module: Value<'p, 'a>,
        prefix: &str,
        depth: usize,
        entries: &mut Vec<(Cow<'p, str>, Value<'p, 'a>)>,
    ) -> Result<(), Problem> {
        let Some([parameters, buffers, inner]) = modules(module) else { return Ok(()) };
        let full = |key: &str| {
            let name = format!("{prefix}{key}");
            if is_plain_name(&name) { Ok(name) } else { Err(broken("a module's name is overlong")) }
        };
        for (key, value) in parameters.into_iter().chain(buffers).flat_map(Value::entries).flatten().take(self.left) {
            self.left -= 1;
            let Some(key) = key.as_str() else { continue };
            entries.push((Cow::Owned(full(key)?), value));
        }
        for (key, value) in inner.into_iter().flat_map(Value::entries).flatten() {
            if self.left == 0 || depth == 0 {
                break;
            }
            self.left -= 1;
            let Some(key) = key.as_str() else { continue };
            self.walk(value, &format!("{}.", full(key)?), depth - 1, entries)?;
        }
        Ok(())
    }
}

/// What a `torch.nn.Module` keeps: parameters, buffers and the modules in it. `None` for anything else.
fn modules<'p, 'a>(value: Value<'p, 'a>) -> Option<[Option<Value<'p, 'a>>; 3]> {
    let state =
        value.state().filter(|state| state.entries().is_some_and(|entries| entries.len() <= MOST_ATTRIBUTES))?;
    state.get("_modules")?;
    Some(["_parameters", "_buffers", "_modules"].map(|key| state.get(key)))
}

/// A tensor as the calls that rebuild it describe it.
struct Rebuilt<'p, 'a> {
    shape: Vec<usize>,
    body: Body<'p, 'a>,
}

enum Body<'p, 'a> {
    /// A view of a storage: its persistent reference, offset, strides and, where the storage does not know it, type.
    View { storage: Value<'p, 'a>, offset: usize, strides: Vec<usize>, dtype: Option<Dtype> },
    /// Another kind of tensor, or one that is described in an unknown way.
    Other(&'static str),
}

impl<'p, 'a> Rebuilt<'p, 'a> {
    /// Follows wrappers down to the call that rebuilds a tensor. `None` for what is no tensor.
    fn of(mut value: Value<'p, 'a>) -> Option<Self> {
        for _ in 0..4 {
            let (callable, arguments) = value.call()?;
            let (module, function) = callable.global()?;
            value = match (module, function) {
                ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3") => {
                    return Some(Self::view(arguments, function == "_rebuild_tensor_v3"));
                }
                ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => arguments.item(0)?,
                // A subclass of tensor: (function, class, arguments, state).
                ("torch._tensor", "_rebuild_from_type_v2") => match arguments.item(0)?.global()? {
                    ("torch._utils", name @ ("_rebuild_tensor_v2" | "_rebuild_tensor_v3")) => {
                        return Some(Self::view(arguments.item(2)?, name == "_rebuild_tensor_v3"));
                    }
                    _ => return Some(Self::other("a kind of tensor of its own", arguments.item(3))),
                },
                ("torch._utils", "_rebuild_qtensor") => {
                    let kind = arguments.item(0).and_then(Value::persistent_id);
                    let kind = kind.and_then(|id| StorageRef::from_persistent(id).ok()).map(|storage| storage.dtype);
                    let kind = if let Some(Dtype::Unread(kind)) = kind { kind } else { "quantised" };
                    return Some(Self::other(kind, arguments.item(2)));
                }
                ("torch._utils", "_rebuild_sparse_tensor") => {
                    // (indices, values, size), or with one more part before.
                    let mut parts = arguments.item(1).and_then(Value::items).into_iter().flatten();
                    return Some(Self::other("sparse", parts.find(|part| part.call_of("torch", "Size").is_some())));
                }
                ("torch._utils", "_rebuild_meta_tensor_no_storage") => {
                    return Some(Self::other("a meta tensor without values", arguments.item(1)));
                }
                ("torch._utils", name) if name.starts_with("_rebuild") => {
                    return Some(Self::other("a kind of tensor of its own", None));
                }
                _ => return None,
            };
        }
        None
    }

    /// `(storage, offset, shape, strides, requires_grad, hooks)`, in the third version then `dtype`.
    fn view(arguments: Value<'p, 'a>, typed: bool) -> Self {
        let parts = || {
            let storage = arguments.item(0)?.persistent_id()?;
            let dtype = if typed { Some(named_dtype(arguments.item(6)?.global()?.1)) } else { None };
            let (offset, strides) = (arguments.item(1)?.as_usize()?, sizes(arguments.item(3)?)?);
            Some(Self { shape: sizes(arguments.item(2)?)?, body: Body::View { storage, offset, strides, dtype } })
        };
        parts().unwrap_or_else(|| Self::other("a tensor that is described in an unknown way", arguments.item(2)))
    }

    fn other(kind: &'static str, shape: Option<Value<'_, '_>>) -> Self {
        Self { shape: shape.and_then(sizes).unwrap_or_default(), body: Body::Other(kind) }
    }
}

/// A type by PyTorch's name, without `torch.`.
fn named_dtype(name: &str) -> Dtype {
    if let Ok(float8) = name.parse() {
        return Dtype::F8(float8);
    }
    match name {
        "float16" => Dtype::F16,
        "bfloat16" => Dtype::Bf16,
        "float32" => Dtype::F32,
        "float64" => Dtype::F64,
        "bool" | "int8" | "uint8" => Dtype::Integer(1),
        "int16" | "uint16" => Dtype::Integer(2),
        "int32" | "uint32" => Dtype::Integer(4),
        "int64" | "uint64" => Dtype::Integer(8),
        "float4_e2m1fn_x2" => Dtype::Unread("float4"),
        "complex32" => Dtype::Unread("complex32"),
        _ => Dtype::Unread("a type that is new"),
    }
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

/// The tensors of all state dictionaries as views of the storages. Where there are several, the names begin with the keys
/// that lead to each. `storage` gives the bytes of one by its reference.
pub(super) fn tensors<'p, 's>(
    found: &[Found<'p, '_>],
    storage: &dyn Fn(StorageRef<'p>) -> Result<&'s [u8], Problem>,
) -> Result<Vec<Entry<'s>>, Problem> {
    let mut tensors: Vec<Entry<'s>> = Vec::new();
    let mut places = HashMap::new();
    for Found { entries, path } in found {
        let above = if found.len() > 1 { path.iter().map(|key| format!("{key}.")).collect() } else { String::new() };
        for (name, value) in entries {
            let Some(Rebuilt { shape, body }) = Rebuilt::of(*value) else { continue };
            let name = format!("{above}{name}");
            let entry = match body {
                Body::Other(kind) => Entry::unread(name, kind, shape),
                Body::View { storage: id, offset, strides, dtype } => {
                    let reference = StorageRef::from_persistent(id)?;
                    match dtype.unwrap_or(reference.dtype) {
                        Dtype::Unread(kind) => Entry::unread(name, kind, shape),
                        dtype => Entry::strided(name, dtype, shape, strides, offset, storage(reference)?),
                    }
                }
            };
            let entry = entry.map_err(broken)?;
            // A key that is stored twice counts once, as in Python.
            match places.get(&entry.name) {
                Some(&place) => tensors[place] = entry,
                None => {
                    places.insert(entry.name.clone(), tensors.len());
                    tensors.push(entry);
                }
            }
        }
    }
    Ok(tensors)
}
