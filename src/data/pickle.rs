//! A closed reader of Python pickles: it interprets the instructions and executes nothing.
//!
//! A pickle is a program for a small stack machine that may call any Python function by name. The files that Kindling
//! reads (the CIFAR batches, PyTorch's state dictionaries) use it as a container, so this reader runs the stack
//! machine but leaves every call as data: `GLOBAL` yields a name, `REDUCE` an [`Object`] that says what would have been
//! called with which arguments. Who reads the tree decides which names it knows and refuses the rest.
//!
//! What a hostile file can do is bounded by its own length. All values live in one flat arena, and an instruction of at
//! least one byte pushes at most one reference, so memory is linear in the input, shared values (the "billion laughs")
//! stay shared, and nothing recurses, neither on reading nor on dropping. Strings and binary data are borrowed from
//! the input. A tree may still be deep, shared many times over, or contain itself: walk it to the depth that the
//! format needs, not to its end.
//!
//! Protocols 0 to 5, without the instructions that only old-style classes (`INST`, `OBJ`), the extension registry
//! (`EXT1`…) and buffers outside of the pickle (`NEXT_BUFFER`) use.
//! <https://github.com/python/cpython/blob/main/Lib/pickletools.py> documents the instructions.

mod escapes;
mod instructions;
mod machine;
mod opcodes;

use machine::Machine;
use std::borrow::Cow;

/// That of Python 3.8 and later.
const NEWEST_PROTOCOL: u8 = 5;

/// Why a pickle could not be read. The position is in bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    #[error("the pickle ends at byte {0} in the middle of an instruction")]
    Truncated(usize),
    #[error("unknown or refused pickle instruction 0x{opcode:02x} at byte {at}")]
    Opcode { opcode: u8, at: usize },
    #[error("pickle protocol {0} is not supported (0 to {NEWEST_PROTOCOL} are)")]
    Protocol(u8),
    #[error("the pickle is malformed at byte {at}: {what}")]
    Malformed { at: usize, what: &'static str },
    #[error("the pickle has more than {0} values")]
    TooLarge(usize),
}

/// How much a pickle may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Most values, each of about 32 bytes of memory.
    pub values: usize,
}

impl Default for Limits {
    /// Four million values: forty times what a CIFAR batch or the state of a deep network has.
    fn default() -> Self {
        Limits { values: 4 << 20 }
    }
}

/// Index of a value in its [`Pickle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id(u32);

/// One value of the tree; its parts are [`Id`]s.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// An integer beyond 64 bits: two's complement, least significant byte first.
    BigInt(Cow<'a, [u8]>),
    Float(f64),
    /// Python 2's `str` and Python 3's `bytes` and `bytearray`.
    Bytes(Cow<'a, [u8]>),
    Text(Cow<'a, str>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Set(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// The name of a class or function, as `module`, `name`. Never looked up.
    Global(Box<(Cow<'a, str>, Cow<'a, str>)>),
    /// A call that was not made.
    Object(Box<Object>),
    /// A reference to something outside the pickle, such as a tensor's storage.
    PersistentId(Id),
}

/// An object that Python would have made by calling `callable(*arguments)`, and what it would have put into it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object {
    pub callable: Id,
    pub arguments: Id,
    /// What `BUILD` would have handed to `__setstate__` or `__dict__`.
    pub state: Option<Id>,
    /// What `SETITEM(S)` would have stored: an `OrderedDict`'s entries.
    pub entries: Vec<(Id, Id)>,
    /// What `APPEND(S)` would have appended.
    pub items: Vec<Id>,
}

/// A pickle that has been read: an arena of values, and where its root is.
#[derive(Debug)]
pub(crate) struct Pickle<'a> {
    nodes: Vec<Node<'a>>,
    root: Id,
    length: usize,
}

impl<'a> Pickle<'a> {
    /// The value that the pickle stands for.
    pub(crate) fn root(&self) -> Value<'_, 'a> {
        self.value(self.root)
    }

    /// The value behind an [`Id`] of this pickle.
    pub(crate) fn value(&self, id: Id) -> Value<'_, 'a> {
        Value { pickle: self, id }
    }

    /// Every value there is, also what the root does not lead to, in the order in which they were made.
    pub(crate) fn values(&self) -> impl Iterator<Item = Value<'_, 'a>> {
        (0..self.nodes.len() as u32).map(|index| self.value(Id(index)))
    }

    /// Bytes that the pickle took, its final `STOP` included: some files hold several, one after another.
    pub(crate) fn length(&self) -> usize {
        self.length
    }
}

/// A value together with the pickle that it belongs to. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value<'p, 'a> {
    pickle: &'p Pickle<'a>,
    id: Id,
}

impl<'p, 'a> Value<'p, 'a> {
    pub(crate) fn node(self) -> &'p Node<'a> {
        &self.pickle.nodes[self.id.0 as usize]
    }

    pub(crate) fn is_none(self) -> bool {
        matches!(self.node(), Node::None)
    }

    pub(crate) fn as_bool(self) -> Option<bool> {
        match self.node() {
            Node::Bool(b) => Some(*b),
            _ => None,
        }
    }

    pub(crate) fn as_int(self) -> Option<i64> {
        match self.node() {
            Node::Int(i) => Some(*i),
            _ => None,
        }
    }

    /// An integer that is a size or an index.
    pub(crate) fn as_usize(self) -> Option<usize> {
        self.as_int().and_then(|i| usize::try_from(i).ok())
    }

    /// Text, or the bytes of a Python 2 `str` where they are UTF-8.
    pub(crate) fn as_str(self) -> Option<&'p str> {
        match self.node() {
            Node::Text(t) => Some(t),
            Node::Bytes(b) => std::str::from_utf8(b).ok(),
            _ => None,
        }
    }

    pub(crate) fn as_bytes(self) -> Option<&'p [u8]> {
        match self.node() {
            Node::Bytes(b) => Some(b),
            _ => None,
        }
    }

    /// The elements of a list, tuple or set, or what was appended to an object.
    pub(crate) fn items(self) -> Option<impl ExactSizeIterator<Item = Value<'p, 'a>> + Clone> {
        let ids = match self.node() {
            Node::List(ids) | Node::Tuple(ids) | Node::Set(ids) => ids,
            Node::Object(object) => &object.items,
            _ => return None,
        };
        Some(ids.iter().map(move |&id| self.pickle.value(id)))
    }

    /// Element `index` of a list or tuple.
    pub(crate) fn item(self, index: usize) -> Option<Value<'p, 'a>> {
        match self.node() {
            Node::List(ids) | Node::Tuple(ids) => ids.get(index).map(|&id| self.pickle.value(id)),
            _ => None,
        }
    }

    /// The entries of a dictionary, or of an object that was filled like one (an `OrderedDict`), in file order. A key
    /// that was stored twice appears twice; the later one counts.
    pub(crate) fn entries(self) -> Option<impl ExactSizeIterator<Item = (Value<'p, 'a>, Value<'p, 'a>)> + Clone> {
        let pairs = match self.node() {
            Node::Dict(pairs) => pairs,
            Node::Object(object) => &object.entries,
            _ => return None,
        };
        Some(pairs.iter().map(move |&(key, value)| (self.pickle.value(key), self.pickle.value(value))))
    }

    /// The entry of a dictionary under a text key.
    pub(crate) fn get(self, key: &str) -> Option<Value<'p, 'a>> {
        self.entries()?.filter(|(k, _)| k.as_str() == Some(key)).last().map(|(_, value)| value)
    }

    /// `(module, name)` of a global.
    pub(crate) fn global(self) -> Option<(&'p str, &'p str)> {
        match self.node() {
            Node::Global(names) => Some((&names.0, &names.1)),
            _ => None,
        }
    }

    /// What would have been called, with what.
    pub(crate) fn call(self) -> Option<(Value<'p, 'a>, Value<'p, 'a>)> {
        match self.node() {
            Node::Object(object) => Some((self.pickle.value(object.callable), self.pickle.value(object.arguments))),
            _ => None,
        }
    }

    /// The arguments, if this is a call of the global `module.name`.
    pub(crate) fn call_of(self, module: &str, name: &str) -> Option<Value<'p, 'a>> {
        let (callable, arguments) = self.call()?;
        (callable.global() == Some((module, name))).then_some(arguments)
    }

    /// The state that `BUILD` gave to an object.
    pub(crate) fn state(self) -> Option<Value<'p, 'a>> {
        match self.node() {
            Node::Object(object) => object.state.map(|id| self.pickle.value(id)),
            _ => None,
        }
    }

    pub(crate) fn persistent_id(self) -> Option<Value<'p, 'a>> {
        match self.node() {
            Node::PersistentId(id) => Some(self.pickle.value(*id)),
            _ => None,
        }
    }
}

/// Reads the pickle that `bytes` begins with; what follows it is not looked at.
///
/// # Errors
/// Says what is wrong and at which byte when the pickle is truncated, malformed, of an unknown protocol, uses an
/// instruction outside the closed set, or holds more than `limits` allow.
pub(crate) fn parse(bytes: &[u8], limits: Limits) -> Result<Pickle<'_>, PickleError> {
    let mut machine = Machine::new(bytes, limits);
    let root = machine.run()?;
    Ok(Pickle { root, length: machine.at, nodes: machine.nodes })
}

#[cfg(test)]
mod tests;
