//! What the instructions do, by families. Each function carries out those of its family and says whether the
//! instruction was one of them.

use super::{
    NEWEST_PROTOCOL, Node, PickleError,
    escapes::{raw_unicode, unquote},
    machine::{Machine, Width},
    opcodes::*,
};

impl Machine<'_> {
    pub(super) fn moves_the_stack(&mut self, opcode: u8) -> Result<bool, PickleError> {
        match opcode {
            PROTO => {
                let protocol = self.take(1)?[0];
                if protocol > NEWEST_PROTOCOL {
                    return Err(PickleError::Protocol(protocol));
                }
            }
            // A frame only says how much may be read ahead.
            FRAME => drop(self.take(8)?),
            MARK => self.mark()?,
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

    pub(super) fn is_a_number(&mut self, opcode: u8) -> Result<bool, PickleError> {
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

    pub(super) fn is_a_text(&mut self, opcode: u8) -> Result<bool, PickleError> {
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

    pub(super) fn makes_a_container(&mut self, opcode: u8) -> Result<bool, PickleError> {
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

    pub(super) fn fills_a_container(&mut self, opcode: u8) -> Result<bool, PickleError> {
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

    pub(super) fn uses_the_memo(&mut self, opcode: u8) -> Result<bool, PickleError> {
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
            MEMOIZE => self.remember_next()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(super) fn names_or_calls(&mut self, opcode: u8) -> Result<bool, PickleError> {
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
