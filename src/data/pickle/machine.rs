//! The stack machine that a pickle is a program for, with its calls left undone.

use super::{Id, Limits, Node, Object, PickleError};
use std::{borrow::Cow, collections::HashMap};

pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    /// The next byte to read.
    pub(super) at: usize,
    limits: Limits,
    pub(super) nodes: Vec<Node<'a>>,
    stack: Vec<Id>,
    /// Stack heights where a `MARK` stands.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8], limits: Limits) -> Self {
        Machine { bytes, at: 0, limits, nodes: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() }
    }

    /// Interprets instructions up to `STOP`; returns the root.
    pub(super) fn run(&mut self) -> Result<Id, PickleError> {
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
