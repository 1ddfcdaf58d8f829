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
//! Protocols 0 to 4, without the instructions that only old-style classes (`INST`, `OBJ`) and the extension registry
//! (`EXT1`…) use. <https://github.com/python/cpython/blob/main/Lib/pickletools.py> documents the instructions.

use std::{borrow::Cow, collections::HashMap};

/// Why a pickle could not be read. The position is in bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    #[error("the pickle ends at byte {0} in the middle of an instruction")]
    Truncated(usize),
    #[error("unknown or refused pickle instruction 0x{opcode:02x} at byte {at}")]
    Opcode { opcode: u8, at: usize },
    #[error("pickle protocol {0} is not supported (0 to 4 are)")]
    Protocol(u8),
    #[error("the pickle is malformed at byte {at}: {what}")]
    Malformed { at: usize, what: &'static str },
    #[error("the pickle has more than {0} values")]
    TooLarge(usize),
}

/// How much a pickle may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
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
pub struct Id(u32);

/// One value of the tree; its parts are [`Id`]s.
#[derive(Clone, Debug, PartialEq)]
pub enum Node<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// An integer beyond 64 bits: two's complement, least significant byte first.
    BigInt(Cow<'a, [u8]>),
    Float(f64),
    /// Python 2's `str` and Python 3's `bytes`.
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
pub struct Object {
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
pub struct Pickle<'a> {
    nodes: Vec<Node<'a>>,
    root: Id,
    length: usize,
}

impl<'a> Pickle<'a> {
    /// The value that the pickle stands for.
    pub fn root(&self) -> Value<'_, 'a> {
        self.value(self.root)
    }

    /// The value behind an [`Id`] of this pickle.
    pub fn value(&self, id: Id) -> Value<'_, 'a> {
        Value { pickle: self, id }
    }

    /// Every value there is, also what the root does not lead to, in the order in which they were made.
    pub fn values(&self) -> impl Iterator<Item = Value<'_, 'a>> {
        (0..self.nodes.len() as u32).map(|index| self.value(Id(index)))
    }

    /// Bytes that the pickle took, its final `STOP` included: some files hold several, one after another.
    pub fn length(&self) -> usize {
        self.length
    }
}

/// A value together with the pickle that it belongs to. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Value<'p, 'a> {
    pickle: &'p Pickle<'a>,
    id: Id,
}

impl<'p, 'a> Value<'p, 'a> {
    pub fn id(self) -> Id {
        self.id
    }

    pub fn node(self) -> &'p Node<'a> {
        &self.pickle.nodes[self.id.0 as usize]
    }

    pub fn is_none(self) -> bool {
        matches!(self.node(), Node::None)
    }

    pub fn as_bool(self) -> Option<bool> {
        match self.node() {
            Node::Bool(b) => Some(*b),
            _ => None,
        }
    }

    pub fn as_int(self) -> Option<i64> {
        match self.node() {
            Node::Int(i) => Some(*i),
            _ => None,
        }
    }

    /// An integer that is a size or an index.
    pub fn as_usize(self) -> Option<usize> {
        self.as_int().and_then(|i| usize::try_from(i).ok())
    }

    pub fn as_float(self) -> Option<f64> {
        match self.node() {
            Node::Float(f) => Some(*f),
            Node::Int(i) => Some(*i as f64),
            _ => None,
        }
    }

    /// Text, or the bytes of a Python 2 `str` where they are UTF-8.
    pub fn as_str(self) -> Option<&'p str> {
        match self.node() {
            Node::Text(t) => Some(t),
            Node::Bytes(b) => std::str::from_utf8(b).ok(),
            _ => None,
        }
    }

    pub fn as_bytes(self) -> Option<&'p [u8]> {
        match self.node() {
            Node::Bytes(b) => Some(b),
            _ => None,
        }
    }

    /// The elements of a list, tuple or set, or what was appended to an object.
    pub fn items(self) -> Option<impl ExactSizeIterator<Item = Value<'p, 'a>> + Clone> {
        let ids = match self.node() {
            Node::List(ids) | Node::Tuple(ids) | Node::Set(ids) => ids,
            Node::Object(object) => &object.items,
            _ => return None,
        };
        Some(ids.iter().map(move |&id| self.pickle.value(id)))
    }

    /// Element `index` of a list or tuple.
    pub fn item(self, index: usize) -> Option<Value<'p, 'a>> {
        match self.node() {
            Node::List(ids) | Node::Tuple(ids) => ids.get(index).map(|&id| self.pickle.value(id)),
            _ => None,
        }
    }

    /// The entries of a dictionary, or of an object that was filled like one (an `OrderedDict`), in file order. A key
    /// that was stored twice appears twice; the later one counts.
    pub fn entries(self) -> Option<impl ExactSizeIterator<Item = (Value<'p, 'a>, Value<'p, 'a>)> + Clone> {
        let pairs = match self.node() {
            Node::Dict(pairs) => pairs,
            Node::Object(object) => &object.entries,
            _ => return None,
        };
        Some(pairs.iter().map(move |&(key, value)| (self.pickle.value(key), self.pickle.value(value))))
    }

    /// The entry of a dictionary under a text key.
    pub fn get(self, key: &str) -> Option<Value<'p, 'a>> {
        self.entries()?.filter(|(k, _)| k.as_str() == Some(key)).last().map(|(_, value)| value)
    }

    /// `(module, name)` of a global.
    pub fn global(self) -> Option<(&'p str, &'p str)> {
        match self.node() {
            Node::Global(names) => Some((&names.0, &names.1)),
            _ => None,
        }
    }

    /// What would have been called, with what.
    pub fn call(self) -> Option<(Value<'p, 'a>, Value<'p, 'a>)> {
        match self.node() {
            Node::Object(object) => Some((self.pickle.value(object.callable), self.pickle.value(object.arguments))),
            _ => None,
        }
    }

    /// The arguments, if this is a call of the global `module.name`.
    pub fn call_of(self, module: &str, name: &str) -> Option<Value<'p, 'a>> {
        let (callable, arguments) = self.call()?;
        (callable.global() == Some((module, name))).then_some(arguments)
    }

    /// The state that `BUILD` gave to an object.
    pub fn state(self) -> Option<Value<'p, 'a>> {
        match self.node() {
            Node::Object(object) => object.state.map(|id| self.pickle.value(id)),
            _ => None,
        }
    }

    pub fn persistent_id(self) -> Option<Value<'p, 'a>> {
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
pub fn parse(bytes: &[u8], limits: Limits) -> Result<Pickle<'_>, PickleError> {
    let mut machine =
        Machine { bytes, at: 0, limits, nodes: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    let root = machine.run()?;
    Ok(Pickle { root, length: machine.at, nodes: machine.nodes })
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    limits: Limits,
    nodes: Vec<Node<'a>>,
    stack: Vec<Id>,
    /// Stack heights where a `MARK` stands.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Id, PickleError> {
        loop {
            let at = self.at;
            let opcode = self.take(1)?[0];
            match opcode {
                b'.' => return self.pop(),
                0x80 => {
                    let protocol = self.take(1)?[0];
                    if protocol > 4 {
                        return Err(PickleError::Protocol(protocol));
                    }
                }
                0x95 => {
                    // A frame only says how much may be read ahead.
                    self.take(8)?;
                }
                b'(' => {
                    if self.marks.len() >= self.limits.values {
                        return Err(PickleError::TooLarge(self.limits.values));
                    }
                    self.marks.push(self.stack.len());
                }
                b'0' => {
                    self.pop()?;
                }
                b'1' => {
                    self.pop_mark()?;
                }
                b'2' => {
                    let top = self.top()?;
                    self.push_id(top)?;
                }
                b'N' => self.push(Node::None)?,
                0x88 => self.push(Node::Bool(true))?,
                0x89 => self.push(Node::Bool(false))?,
                b'I' => self.integer_line()?,
                b'L' => self.long_line()?,
                b'J' => {
                    let value = i32::from_le_bytes(self.array()?);
                    self.push(Node::Int(value.into()))?;
                }
                b'K' => {
                    let [value] = self.array()?;
                    self.push(Node::Int(value.into()))?;
                }
                b'M' => {
                    let value = u16::from_le_bytes(self.array()?);
                    self.push(Node::Int(value.into()))?;
                }
                0x8a => self.long(Width::One)?,
                0x8b => self.long(Width::Four)?,
                b'F' => {
                    let line = self.text_line()?;
                    let value = line.trim().parse().map_err(|_| self.malformed("not a number"))?;
                    self.push(Node::Float(value))?;
                }
                b'G' => {
                    let value = f64::from_be_bytes(self.array()?);
                    self.push(Node::Float(value))?;
                }
                b'U' | b'C' => self.binary(Width::One)?,
                b'T' | b'B' => self.binary(Width::Four)?,
                0x8e => self.binary(Width::Eight)?,
                0x8c => self.unicode(Width::One)?,
                b'X' => self.unicode(Width::Four)?,
                0x8d => self.unicode(Width::Eight)?,
                b'S' => {
                    let line = self.line()?;
                    let value = unquote(line).ok_or_else(|| self.malformed("a string without its quotes"))?;
                    self.push(Node::Bytes(value))?;
                }
                b'V' => {
                    let line = self.line()?;
                    let value = raw_unicode(line).ok_or_else(|| self.malformed("broken escapes in a text"))?;
                    self.push(Node::Text(value))?;
                }
                b']' => self.push(Node::List(Vec::new()))?,
                b'}' => self.push(Node::Dict(Vec::new()))?,
                b')' => self.push(Node::Tuple(Vec::new()))?,
                0x8f => self.push(Node::Set(Vec::new()))?,
                b'l' => {
                    let items = self.pop_mark()?;
                    self.push(Node::List(items))?;
                }
                b't' => {
                    let items = self.pop_mark()?;
                    self.push(Node::Tuple(items))?;
                }
                0x91 => {
                    let items = self.pop_mark()?;
                    self.push(Node::Set(items))?;
                }
                b'd' => {
                    let items = self.pop_mark()?;
                    let pairs = self.pairs(&items)?;
                    self.push(Node::Dict(pairs))?;
                }
                0x85..=0x87 => {
                    let count = usize::from(opcode - 0x84);
                    let items = self.pop_many(count)?;
                    self.push(Node::Tuple(items))?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.extend(&[item])?;
                }
                b'e' => {
                    let items = self.pop_mark()?;
                    self.extend(&items)?;
                }
                0x90 => {
                    let items = self.pop_mark()?;
                    let top = self.top()?;
                    match &mut self.nodes[top.0 as usize] {
                        Node::Set(set) => set.extend_from_slice(&items),
                        _ => return Err(self.malformed("items are added to something that is no set")),
                    }
                }
                b's' => {
                    let items = self.pop_many(2)?;
                    self.store(&items)?;
                }
                b'u' => {
                    let items = self.pop_mark()?;
                    self.store(&items)?;
                }
                b'c' => {
                    let names = (self.text_line()?.into(), self.text_line()?.into());
                    self.push(Node::Global(Box::new(names)))?;
                }
                0x93 => {
                    let items = self.pop_many(2)?;
                    let mut names = items.iter().map(|id| match &self.nodes[id.0 as usize] {
                        // The text is borrowed from the input, so this copies a reference.
                        Node::Text(text) => Ok(text.clone()),
                        _ => Err(self.malformed("a global's name is no text")),
                    });
                    if let (Some(module), Some(name)) = (names.next(), names.next()) {
                        let names = Box::new((module?, name?));
                        self.push(Node::Global(names))?;
                    }
                }
                b'R' | 0x81 => {
                    let items = self.pop_many(2)?;
                    self.object(items[0], items[1])?;
                }
                0x92 => {
                    // NEWOBJ_EX: class, arguments, keyword arguments. Keywords are kept behind the arguments.
                    let items = self.pop_many(3)?;
                    let arguments = self.add(Node::Tuple(vec![items[1], items[2]]))?;
                    self.object(items[0], arguments)?;
                }
                b'b' => {
                    let state = self.pop()?;
                    let top = self.top()?;
                    match &mut self.nodes[top.0 as usize] {
                        Node::Object(object) => object.state = Some(state),
                        _ => return Err(self.malformed("state is given to something that is no object")),
                    }
                }
                b'P' => {
                    let line = self.text_line()?;
                    let id = self.add(Node::Text(line.into()))?;
                    self.push(Node::PersistentId(id))?;
                }
                b'Q' => {
                    let id = self.pop()?;
                    self.push(Node::PersistentId(id))?;
                }
                b'g' => {
                    let key = self.index_line()?;
                    self.recall(key)?;
                }
                b'h' => {
                    let [key] = self.array()?;
                    self.recall(key.into())?;
                }
                b'j' => {
                    let key = u32::from_le_bytes(self.array()?);
                    self.recall(key)?;
                }
                b'p' => {
                    let key = self.index_line()?;
                    self.remember(key)?;
                }
                b'q' => {
                    let [key] = self.array()?;
                    self.remember(key.into())?;
                }
                b'r' => {
                    let key = u32::from_le_bytes(self.array()?);
                    self.remember(key)?;
                }
                0x94 => {
                    // The memo holds at most `limits.values` entries, far below 2³².
                    let key = self.memo.len() as u32;
                    self.remember(key)?;
                }
                _ => return Err(PickleError::Opcode { opcode, at }),
            }
        }
    }

    // Reading.

    fn malformed(&self, what: &'static str) -> PickleError {
        PickleError::Malformed { at: self.at, what }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], PickleError> {
        let rest = &self.bytes[self.at..];
        if count > rest.len() {
            return Err(PickleError::Truncated(self.bytes.len()));
        }
        self.at += count;
        Ok(&rest[..count])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn counted(&mut self, width: Width) -> Result<&'a [u8], PickleError> {
        let count = match width {
            Width::One => u64::from(self.take(1)?[0]),
            Width::Four => u64::from(u32::from_le_bytes(self.array()?)),
            Width::Eight => u64::from_le_bytes(self.array()?),
        };
        let count = usize::try_from(count).map_err(|_| PickleError::Truncated(self.bytes.len()))?;
        self.take(count)
    }

    /// Up to the next line feed, which is consumed.
    fn line(&mut self) -> Result<&'a [u8], PickleError> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&b| b == b'\n').ok_or(PickleError::Truncated(self.bytes.len()))?;
        self.at += end + 1;
        Ok(&rest[..end])
    }

    fn text_line(&mut self) -> Result<&'a str, PickleError> {
        let line = self.line()?;
        std::str::from_utf8(line).map_err(|_| self.malformed("a name that is not UTF-8"))
    }

    fn index_line(&mut self) -> Result<u32, PickleError> {
        self.text_line()?.trim().parse().map_err(|_| self.malformed("not an index"))
    }

    fn integer_line(&mut self) -> Result<(), PickleError> {
        let node = match self.text_line()? {
            // Protocol 0 and 1 spell booleans so.
            "00" => Node::Bool(false),
            "01" => Node::Bool(true),
            line => Node::Int(line.trim().parse().map_err(|_| self.malformed("not an integer of 64 bits"))?),
        };
        self.push(node)
    }

    fn long_line(&mut self) -> Result<(), PickleError> {
        let digits = self.text_line()?.trim().trim_end_matches('L');
        let value = digits.parse().map_err(|_| self.malformed("not an integer of 64 bits"))?;
        self.push(Node::Int(value))
    }

    fn long(&mut self, width: Width) -> Result<(), PickleError> {
        let bytes = self.counted(width)?;
        if bytes.len() > 8 {
            return self.push(Node::BigInt(bytes.into()));
        }
        let negative = bytes.last().is_some_and(|&b| b >= 0x80);
        let mut wide = if negative { [0xff; 8] } else { [0; 8] };
        wide[..bytes.len()].copy_from_slice(bytes);
        self.push(Node::Int(i64::from_le_bytes(wide)))
    }

    fn binary(&mut self, width: Width) -> Result<(), PickleError> {
        let bytes = self.counted(width)?;
        self.push(Node::Bytes(bytes.into()))
    }

    fn unicode(&mut self, width: Width) -> Result<(), PickleError> {
        let bytes = self.counted(width)?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.malformed("a text that is not UTF-8"))?;
        self.push(Node::Text(text.into()))
    }

    // The stack.

    fn add(&mut self, node: Node<'a>) -> Result<Id, PickleError> {
        if self.nodes.len() >= self.limits.values.min(u32::MAX as usize) {
            return Err(PickleError::TooLarge(self.limits.values));
        }
        let id = Id(self.nodes.len() as u32);
        self.nodes.push(node);
        Ok(id)
    }

    fn push(&mut self, node: Node<'a>) -> Result<(), PickleError> {
        let id = self.add(node)?;
        self.push_id(id)
    }

    /// References are pushed by `DUP` and `GET` too, so the stack has a limit of its own.
    fn push_id(&mut self, id: Id) -> Result<(), PickleError> {
        if self.stack.len() >= self.limits.values.saturating_mul(4) {
            return Err(PickleError::TooLarge(self.limits.values));
        }
        self.stack.push(id);
        Ok(())
    }

    /// Lowest stack height that instructions may pop to: what lies under a mark is out of reach.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id, PickleError> {
        match self.stack.last() {
            Some(&id) if self.stack.len() > self.floor() => Ok(id),
            _ => Err(self.malformed("the stack is empty")),
        }
    }

    fn pop(&mut self) -> Result<Id, PickleError> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// Exactly `count` values, the deepest first.
    fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, PickleError> {
        if self.stack.len() < self.floor() + count {
            return Err(self.malformed("the stack is empty"));
        }
        Ok(self.stack.split_off(self.stack.len() - count))
    }

    /// Everything above the topmost mark, which is removed.
    fn pop_mark(&mut self) -> Result<Vec<Id>, PickleError> {
        let mark = self.marks.pop().ok_or_else(|| self.malformed("no mark on the stack"))?;
        Ok(self.stack.split_off(mark))
    }

    fn pairs(&self, items: &[Id]) -> Result<Vec<(Id, Id)>, PickleError> {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.malformed("a key without a value"));
        }
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    }

    fn extend(&mut self, items: &[Id]) -> Result<(), PickleError> {
        let top = self.top()?;
        match &mut self.nodes[top.0 as usize] {
            Node::List(list) => list.extend_from_slice(items),
            Node::Object(object) => object.items.extend_from_slice(items),
            _ => return Err(self.malformed("items are appended to something that is no list")),
        }
        Ok(())
    }

    fn store(&mut self, items: &[Id]) -> Result<(), PickleError> {
        let pairs = self.pairs(items)?;
        let top = self.top()?;
        match &mut self.nodes[top.0 as usize] {
            Node::Dict(dict) => dict.extend_from_slice(&pairs),
            Node::Object(object) => object.entries.extend_from_slice(&pairs),
            _ => return Err(self.malformed("entries are stored in something that is no dictionary")),
        }
        Ok(())
    }

    fn object(&mut self, callable: Id, arguments: Id) -> Result<(), PickleError> {
        let object = Object { callable, arguments, state: None, entries: Vec::new(), items: Vec::new() };
        self.push(Node::Object(Box::new(object)))
    }

    fn remember(&mut self, key: u32) -> Result<(), PickleError> {
        let top = self.top()?;
        if self.memo.len() >= self.limits.values {
            return Err(PickleError::TooLarge(self.limits.values));
        }
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), PickleError> {
        let id = *self.memo.get(&key).ok_or_else(|| self.malformed("a reference to nothing"))?;
        self.push_id(id)
    }
}

/// Bytes of a length field.
#[derive(Clone, Copy)]
enum Width {
    One,
    Four,
    Eight,
}

/// Python's `repr` of a `str`, as protocol 0 writes it, back to its bytes.
fn unquote(line: &[u8]) -> Option<Cow<'_, [u8]>> {
    let line = line.trim_ascii();
    let (&quote, &last) = (line.first()?, line.last()?);
    if line.len() < 2 || quote != last || !matches!(quote, b'\'' | b'"') {
        return None;
    }
    let inner = &line[1..line.len() - 1];
    if !inner.contains(&b'\\') {
        return Some(inner.into());
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match bytes.next()? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => (hex(bytes.next()?)? << 4) | hex(bytes.next()?)?,
            other @ (b'\\' | b'\'' | b'"') => other,
            _ => return None,
        });
    }
    Some(out.into())
}

/// Latin-1 with `\uXXXX` and `\UXXXXXXXX`, as protocol 0 writes text.
fn raw_unicode(line: &[u8]) -> Option<Cow<'_, str>> {
    if let Ok(text) = std::str::from_utf8(line)
        && text.is_ascii()
        && !text.contains('\\')
    {
        return Some(text.into());
    }
    let mut out = String::with_capacity(line.len());
    let mut bytes = line.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let digits = match (byte, bytes.peek()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                out.push(char::from(byte));
                continue;
            }
        };
        bytes.next();
        let mut code = 0u32;
        for _ in 0..digits {
            code = code.checked_mul(16)? + u32::from(hex(bytes.next()?)?);
        }
        out.push(char::from_u32(code)?);
    }
    Some(out.into())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|d| d as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<Pickle<'_>, PickleError> {
        parse(bytes, Limits::default())
    }

    #[test]
    fn python_2_dictionaries_of_lists_are_read() {
        // pickle.dumps({'labels': [1, 300, -5], 'name': 'x'}, 2) of Python 2.
        let pickle =
            read(b"\x80\x02}q\x00(U\x06labelsq\x01]q\x02(K\x01M\x2c\x01J\xfb\xff\xff\xffeU\x04nameq\x03U\x01xq\x04u.");
        let pickle = pickle.unwrap();
        let labels: Vec<_> = pickle.root().get("labels").unwrap().items().unwrap().map(|v| v.as_int()).collect();
        assert_eq!(labels, [Some(1), Some(300), Some(-5)]);
        assert_eq!(pickle.root().get("name").unwrap().as_bytes(), Some(&b"x"[..]));
    }

    #[test]
    fn protocol_0_is_read() {
        // pickle.dumps({'a\n': [1, 2.5, None, True, u'\u00e9']}, 0) of Python 2.
        let pickle = read(b"(dp0\nS'a\\n'\np1\n(lp2\nI1\naF2.5\naNaI01\naV\xe9\np3\nas.").unwrap();
        let list = pickle.root().get("a\n").unwrap();
        assert_eq!(list.item(0).unwrap().as_int(), Some(1));
        assert_eq!(list.item(1).unwrap().as_float(), Some(2.5));
        assert!(list.item(2).unwrap().is_none());
        assert_eq!(list.item(3).unwrap().as_bool(), Some(true));
        assert_eq!(list.item(4).unwrap().as_str(), Some("é"));
    }

    #[test]
    fn protocol_4_is_read() {
        // pickle.dumps({'k': (1, b'xy', collections.OrderedDict(a=1))}, 4) of Python 3.
        let bytes = b"\x80\x04\x95\x36\0\0\0\0\0\0\0}\x94\x8c\x01k\x94K\x01C\x02xy\x94\x8c\x0bcollections\x94\
            \x8c\x0bOrderedDict\x94\x93\x94)R\x94\x8c\x01a\x94K\x01s\x87\x94s.";
        let pickle = read(bytes).unwrap();
        let tuple = pickle.root().get("k").unwrap();
        assert_eq!(tuple.item(1).unwrap().as_bytes(), Some(&b"xy"[..]));
        let ordered = tuple.item(2).unwrap();
        assert_eq!(ordered.call_of("collections", "OrderedDict").unwrap().items().unwrap().len(), 0);
        assert_eq!(ordered.get("a").unwrap().as_int(), Some(1));
    }

    #[test]
    fn calls_are_named_and_not_made() {
        // os.system('echo pwned'), with state, as an attacker would write it.
        let pickle = read(b"cos\nsystem\nq\x00X\x0a\0\0\0echo pwned\x85R}b.").unwrap();
        let arguments = pickle.root().call_of("os", "system").unwrap();
        assert_eq!(arguments.item(0).unwrap().as_str(), Some("echo pwned"));
        assert_eq!(pickle.root().state().unwrap().entries().unwrap().len(), 0);
    }

    #[test]
    fn persistent_ids_and_large_integers_are_kept() {
        let pickle =
            read(b"\x80\x02X\x01\0\0\0kQ\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x8a\x01\xff\x87.").unwrap();
        let root = pickle.root();
        assert_eq!(root.item(0).unwrap().persistent_id().unwrap().as_str(), Some("k"));
        assert!(matches!(root.item(1).unwrap().node(), Node::BigInt(bytes) if bytes.len() == 10));
        assert_eq!(root.item(2).unwrap().as_int(), Some(-1));
    }

    #[test]
    fn state_given_later_is_seen_through_an_earlier_reference() {
        // (x, x) where x was memoised before BUILD.
        let pickle = read(b"cm\nf\n)Rq\x00K\x07bh\x00\x86.").unwrap();
        assert_eq!(pickle.root().item(1).unwrap().state().unwrap().as_int(), Some(7));
    }

    #[test]
    fn the_length_says_where_the_next_pickle_starts() {
        let bytes = b"\x80\x02K\x01.\x80\x02K\x02.rest";
        let first = read(bytes).unwrap();
        assert_eq!(first.length(), 5);
        let second = read(&bytes[first.length()..]).unwrap();
        assert_eq!(second.root().as_int(), Some(2));
    }

    #[test]
    fn a_bomb_of_shared_lists_stays_small() {
        // Each list holds the one before ten times: 10^100 leaves when walked.
        let mut bytes = b"]q\x00".to_vec();
        for i in 1..=100u8 {
            bytes.extend(b"](");
            for _ in 0..10 {
                bytes.extend([b'h', i - 1]);
            }
            bytes.extend([b'e', b'q', i]);
        }
        bytes.push(b'.');
        let pickle = read(&bytes).unwrap();
        assert_eq!(pickle.nodes.len(), 101);
    }

    #[test]
    fn a_million_nested_lists_neither_recurse_nor_overflow() {
        let mut bytes = vec![b']'; 1_000_000];
        bytes.extend(vec![b'a'; 999_999]);
        bytes.push(b'.');
        drop(read(&bytes).unwrap());
    }

    #[test]
    fn lengths_beyond_the_end_take_no_memory() {
        assert_eq!(read(b"T\xff\xff\xff\xff").unwrap_err(), PickleError::Truncated(5));
        assert_eq!(read(b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff").unwrap_err(), PickleError::Truncated(9));
    }

    #[test]
    fn what_is_outside_the_closed_set_is_refused() {
        assert_eq!(read(b"\x80\x05N.").unwrap_err(), PickleError::Protocol(5));
        assert_eq!(read(b"(ios\nsystem\n.").unwrap_err(), PickleError::Opcode { opcode: b'i', at: 1 });
        assert_eq!(parse(b"NNN.", Limits { values: 2 }).unwrap_err(), PickleError::TooLarge(2));
        assert!(matches!(read(b"a."), Err(PickleError::Malformed { .. })));
        assert!(matches!(read(b"(K\x01(h\x00."), Err(PickleError::Malformed { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_sequence_of_instructions_panics(bytes in proptest::collection::vec(
            prop_oneof![
                proptest::sample::select(b"(.012NIJKMLFGUCTBXSVabcdeghjlpqrstuPQR]})\n'01\x80\x81\x85\x86\x87\x88\x8a\x8b\x8c\x8f\x90\x91\x92\x93\x94\x95".to_vec()),
                any::<u8>(),
                0u8..3,
            ],
            0..200,
        )) {
            let _ = read(&bytes);
        }
    }
}
