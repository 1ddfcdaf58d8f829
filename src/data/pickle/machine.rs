//! The stack machine that a pickle is a program for, with its calls left undone.

use super::{
    Id, Limits, NEWEST_PROTOCOL, Node, Object, PickleError,
    escapes::{raw_unicode, unquote},
    opcodes::*,
};
use std::collections::HashMap;

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
            if opcode == STOP {
                return self.pop();
            }
            let known = self.moves_the_stack(opcode)?
                || self.is_a_number(opcode)?
                || self.is_a_text(opcode)?
                || self.makes_a_container(opcode)?
                || self.fills_a_container(opcode)?
                || self.uses_the_memo(opcode)?
                || self.names_or_calls(opcode)?;
            if !known {
                return Err(PickleError::Opcode { opcode, at });
            }
        }
    }

    // The instructions by families. Each carries out its own and says whether the instruction was one of them.

    fn moves_the_stack(&mut self, opcode: u8) -> Result<bool, PickleError> {
        match opcode {
            PROTO => {
                let protocol = self.take(1)?[0];
                if protocol > NEWEST_PROTOCOL {
                    return Err(PickleError::Protocol(protocol));
                }
            }
            // A frame only says how much may be read ahead.
            FRAME => drop(self.take(8)?),
            MARK if self.marks.len() >= self.limits.values => return Err(PickleError::TooLarge(self.limits.values)),
            MARK => self.marks.push(self.stack.len()),
            POP => drop(self.pop()?),
            POP_MARK => drop(self.pop_mark()?),
            DUP => {
                let top = self.top()?;
                self.push_id(top)?;
            }
            // The bytes below it become read-only, which here all are.
            READONLY_BUFFER => drop(self.top()?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn is_a_number(&mut self, opcode: u8) -> Result<bool, PickleError> {
        let node = match opcode {
            NONE => Node::None,
            NEWTRUE => Node::Bool(true),
            NEWFALSE => Node::Bool(false),
            INT => self.integer_line()?,
            LONG => self.long_line()?,
            BININT => Node::Int(i32::from_le_bytes(self.array()?).into()),
            BININT1 => Node::Int(self.array::<1>()?[0].into()),
            BININT2 => Node::Int(u16::from_le_bytes(self.array()?).into()),
            LONG1 => long(self.counted(Width::One)?),
            LONG4 => long(self.counted(Width::Four)?),
            FLOAT => {
                let line = self.text_line()?;
                Node::Float(line.trim().parse().map_err(|_| self.malformed("not a number"))?)
            }
            BINFLOAT => Node::Float(f64::from_be_bytes(self.array()?)),
            _ => return Ok(false),
        };
        self.push(node)?;
        Ok(true)
    }

    fn is_a_text(&mut self, opcode: u8) -> Result<bool, PickleError> {
        let node = match opcode {
            SHORT_BINSTRING | SHORT_BINBYTES => Node::Bytes(self.counted(Width::One)?.into()),
            BINSTRING | BINBYTES => Node::Bytes(self.counted(Width::Four)?.into()),
            BINBYTES8 | BYTEARRAY8 => Node::Bytes(self.counted(Width::Eight)?.into()),
            SHORT_BINUNICODE => self.unicode(Width::One)?,
            BINUNICODE => self.unicode(Width::Four)?,
            BINUNICODE8 => self.unicode(Width::Eight)?,
            STRING => {
                let line = self.line()?;
                Node::Bytes(unquote(line).ok_or_else(|| self.malformed("a string without its quotes"))?)
            }
            UNICODE => {
                let line = self.line()?;
                Node::Text(raw_unicode(line).ok_or_else(|| self.malformed("broken escapes in a text"))?)
            }
            _ => return Ok(false),
        };
        self.push(node)?;
        Ok(true)
    }

    fn makes_a_container(&mut self, opcode: u8) -> Result<bool, PickleError> {
        let node = match opcode {
            EMPTY_LIST => Node::List(Vec::new()),
            EMPTY_DICT => Node::Dict(Vec::new()),
            EMPTY_TUPLE => Node::Tuple(Vec::new()),
            EMPTY_SET => Node::Set(Vec::new()),
            LIST => Node::List(self.pop_mark()?),
            TUPLE => Node::Tuple(self.pop_mark()?),
            TUPLE1 => Node::Tuple(self.pop_many(1)?),
            TUPLE2 => Node::Tuple(self.pop_many(2)?),
            TUPLE3 => Node::Tuple(self.pop_many(3)?),
            FROZENSET => Node::Set(self.pop_mark()?),
            DICT => {
                let items = self.pop_mark()?;
                Node::Dict(self.pairs(&items)?)
            }
            _ => return Ok(false),
        };
        self.push(node)?;
        Ok(true)
    }

    fn fills_a_container(&mut self, opcode: u8) -> Result<bool, PickleError> {
        match opcode {
            APPEND => {
                let item = self.pop()?;
                self.extend(&[item])?;
            }
            APPENDS | ADDITEMS => {
                let items = self.pop_mark()?;
                self.extend(&items)?;
            }
            SETITEM => {
                let items = self.pop_many(2)?;
                self.store(&items)?;
            }
            SETITEMS => {
                let items = self.pop_mark()?;
                self.store(&items)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn uses_the_memo(&mut self, opcode: u8) -> Result<bool, PickleError> {
        match opcode {
            GET => {
                let key = self.index_line()?;
                self.recall(key)?;
            }
            BINGET => {
                let [key] = self.array()?;
                self.recall(key.into())?;
            }
            LONG_BINGET => {
                let key = u32::from_le_bytes(self.array()?);
                self.recall(key)?;
            }
            PUT => {
                let key = self.index_line()?;
                self.remember(key)?;
            }
            BINPUT => {
                let [key] = self.array()?;
                self.remember(key.into())?;
            }
            LONG_BINPUT => {
                let key = u32::from_le_bytes(self.array()?);
                self.remember(key)?;
            }
            MEMOIZE => {
                // The memo holds at most `limits.values` entries, far below 2³².
                let key = self.memo.len() as u32;
                self.remember(key)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn names_or_calls(&mut self, opcode: u8) -> Result<bool, PickleError> {
        match opcode {
            GLOBAL => {
                let names = (self.text_line()?.into(), self.text_line()?.into());
                self.push(Node::Global(Box::new(names)))?;
            }
            STACK_GLOBAL => {
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
            REDUCE | NEWOBJ => {
                let items = self.pop_many(2)?;
                self.object(items[0], items[1])?;
            }
            NEWOBJ_EX => {
                // Class, arguments, keyword arguments: the keywords are kept behind the arguments.
                let items = self.pop_many(3)?;
                let arguments = self.add(Node::Tuple(vec![items[1], items[2]]))?;
                self.object(items[0], arguments)?;
            }
            BUILD => {
                let state = self.pop()?;
                let top = self.top()?;
                match &mut self.nodes[top.0 as usize] {
                    Node::Object(object) => object.state = Some(state),
                    _ => return Err(self.malformed("state is given to something that is no object")),
                }
            }
            PERSID => {
                let line = self.text_line()?;
                let id = self.add(Node::Text(line.into()))?;
                self.push(Node::PersistentId(id))?;
            }
            BINPERSID => {
                let id = self.pop()?;
                self.push(Node::PersistentId(id))?;
            }
            _ => return Ok(false),
        }
        Ok(true)
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

    fn integer_line(&mut self) -> Result<Node<'a>, PickleError> {
        Ok(match self.text_line()? {
            // Protocol 0 and 1 spell booleans so.
            "00" => Node::Bool(false),
            "01" => Node::Bool(true),
            line => Node::Int(line.trim().parse().map_err(|_| self.malformed("not an integer of 64 bits"))?),
        })
    }

    fn long_line(&mut self) -> Result<Node<'a>, PickleError> {
        let digits = self.text_line()?.trim().trim_end_matches('L');
        let value = digits.parse().map_err(|_| self.malformed("not an integer of 64 bits"))?;
        Ok(Node::Int(value))
    }

    fn unicode(&mut self, width: Width) -> Result<Node<'a>, PickleError> {
        let bytes = self.counted(width)?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.malformed("a text that is not UTF-8"))?;
        Ok(Node::Text(text.into()))
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
            Node::List(list) | Node::Set(list) => list.extend_from_slice(items),
            Node::Object(object) => object.items.extend_from_slice(items),
            _ => return Err(self.malformed("items are added to something that is no list or set")),
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

/// An integer in two's complement, least significant byte first.
fn long(bytes: &[u8]) -> Node<'_> {
    if bytes.len() > 8 {
        return Node::BigInt(bytes.into());
    }
    let negative = bytes.last().is_some_and(|&b| b >= 0x80);
    let mut wide = if negative { [0xff; 8] } else { [0; 8] };
    wide[..bytes.len()].copy_from_slice(bytes);
    Node::Int(i64::from_le_bytes(wide))
}
