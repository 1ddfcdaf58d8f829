//! The stack machine that a pickle is a program for, with its calls left undone.

use super::{Id, Limits, Node, Object, PickleError, opcodes::STOP};
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

    // Reading.

    pub(super) fn malformed(&self, what: &'static str) -> PickleError {
        PickleError::Malformed { at: self.at, what }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], PickleError> {
        let rest = &self.bytes[self.at..];
        if count > rest.len() {
            return Err(PickleError::Truncated(self.bytes.len()));
        }
        self.at += count;
        Ok(&rest[..count])
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn counted(&mut self, width: Width) -> Result<&'a [u8], PickleError> {
        let count = match width {
            Width::One => u64::from(self.take(1)?[0]),
            Width::Four => u64::from(u32::from_le_bytes(self.array()?)),
            Width::Eight => u64::from_le_bytes(self.array()?),
        };
        let count = usize::try_from(count).map_err(|_| PickleError::Truncated(self.bytes.len()))?;
        self.take(count)
    }

    /// Up to the next line feed, which is consumed.
    pub(super) fn line(&mut self) -> Result<&'a [u8], PickleError> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&b| b == b'\n').ok_or(PickleError::Truncated(self.bytes.len()))?;
        self.at += end + 1;
        Ok(&rest[..end])
    }

    pub(super) fn text_line(&mut self) -> Result<&'a str, PickleError> {
        let line = self.line()?;
        std::str::from_utf8(line).map_err(|_| self.malformed("a name that is not UTF-8"))
    }

    pub(super) fn index_line(&mut self) -> Result<u32, PickleError> {
        self.text_line()?.trim().parse().map_err(|_| self.malformed("not an index"))
    }

    pub(super) fn integer_line(&mut self) -> Result<Node<'a>, PickleError> {
        Ok(match self.text_line()? {
            // Protocol 0 and 1 spell booleans so.
            "00" => Node::Bool(false),
            "01" => Node::Bool(true),
            line => Node::Int(line.trim().parse().map_err(|_| self.malformed("not an integer of 64 bits"))?),
        })
    }

    pub(super) fn long_line(&mut self) -> Result<Node<'a>, PickleError> {
        let digits = self.text_line()?.trim().trim_end_matches('L');
        let value = digits.parse().map_err(|_| self.malformed("not an integer of 64 bits"))?;
        Ok(Node::Int(value))
    }

    pub(super) fn unicode(&mut self, width: Width) -> Result<Node<'a>, PickleError> {
        let bytes = self.counted(width)?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.malformed("a text that is not UTF-8"))?;
        Ok(Node::Text(text.into()))
    }

    // The stack.

    pub(super) fn add(&mut self, node: Node<'a>) -> Result<Id, PickleError> {
        if self.nodes.len() >= self.limits.values.min(u32::MAX as usize) {
            return Err(PickleError::TooLarge(self.limits.values));
        }
        let id = Id(self.nodes.len() as u32);
        self.nodes.push(node);
        Ok(id)
    }

    pub(super) fn push(&mut self, node: Node<'a>) -> Result<(), PickleError> {
        let id = self.add(node)?;
        self.push_id(id)
    }

    /// References are pushed by `DUP` and `GET` too, so the stack has a limit of its own.
    pub(super) fn push_id(&mut self, id: Id) -> Result<(), PickleError> {
        if self.stack.len() >= self.limits.values.saturating_mul(4) {
            return Err(PickleError::TooLarge(self.limits.values));
        }
        self.stack.push(id);
        Ok(())
    }

    pub(super) fn mark(&mut self) -> Result<(), PickleError> {
        if self.marks.len() >= self.limits.values {
            return Err(PickleError::TooLarge(self.limits.values));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    /// Lowest stack height that instructions may pop to: what lies under a mark is out of reach.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn top(&self) -> Result<Id, PickleError> {
        match self.stack.last() {
            Some(&id) if self.stack.len() > self.floor() => Ok(id),
            _ => Err(self.malformed("the stack is empty")),
        }
    }

    pub(super) fn pop(&mut self) -> Result<Id, PickleError> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// Exactly `count` values, the deepest first.
    pub(super) fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, PickleError> {
        if self.stack.len() < self.floor() + count {
            return Err(self.malformed("the stack is empty"));
        }
        Ok(self.stack.split_off(self.stack.len() - count))
    }

    /// Everything above the topmost mark, which is removed.
    pub(super) fn pop_mark(&mut self) -> Result<Vec<Id>, PickleError> {
        let mark = self.marks.pop().ok_or_else(|| self.malformed("no mark on the stack"))?;
        Ok(self.stack.split_off(mark))
    }

    pub(super) fn pairs(&self, items: &[Id]) -> Result<Vec<(Id, Id)>, PickleError> {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.malformed("a key without a value"));
        }
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    }

    pub(super) fn extend(&mut self, items: &[Id]) -> Result<(), PickleError> {
        let top = self.top()?;
        match &mut self.nodes[top.0 as usize] {
            Node::List(list) | Node::Set(list) => list.extend_from_slice(items),
            Node::Object(object) => object.items.extend_from_slice(items),
            _ => return Err(self.malformed("items are added to something that is no list or set")),
        }
        Ok(())
    }

    pub(super) fn store(&mut self, items: &[Id]) -> Result<(), PickleError> {
        let pairs = self.pairs(items)?;
        let top = self.top()?;
        match &mut self.nodes[top.0 as usize] {
            Node::Dict(dict) => dict.extend_from_slice(&pairs),
            Node::Object(object) => object.entries.extend_from_slice(&pairs),
            _ => return Err(self.malformed("entries are stored in something that is no dictionary")),
        }
        Ok(())
    }

    pub(super) fn object(&mut self, callable: Id, arguments: Id) -> Result<(), PickleError> {
        let object = Object { callable, arguments, state: None, entries: Vec::new(), items: Vec::new() };
        self.push(Node::Object(Box::new(object)))
    }

    pub(super) fn remember(&mut self, key: u32) -> Result<(), PickleError> {
        let top = self.top()?;
        if self.memo.len() >= self.limits.values {
            return Err(PickleError::TooLarge(self.limits.values));
        }
        self.memo.insert(key, top);
        Ok(())
    }

    /// Remembers the top under the next number.
    pub(super) fn remember_next(&mut self) -> Result<(), PickleError> {
        // The memo holds at most `limits.values` entries, far below 2³².
        self.remember(self.memo.len() as u32)
    }

    pub(super) fn recall(&mut self, key: u32) -> Result<(), PickleError> {
        let id = *self.memo.get(&key).ok_or_else(|| self.malformed("a reference to nothing"))?;
        self.push_id(id)
    }
}

/// Bytes of a length field.
#[derive(Clone, Copy)]
pub(super) enum Width {
    One,
    Four,
    Eight,
}
