//! Protobuf's wire format, read by hand rather than by a library, so that the tensors' bytes stay where they are in the mapped
//! file, and a message asks for no more memory than whoever reads it grants.

use super::error::Problem;

/// The value of one field.
pub(super) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Four or eight fixed bytes.
    Fixed(&'a [u8]),
}

/// The fields of a message, in order, with their numbers. Ends after an error.
pub(super) struct Fields<'a> {
    /// What the file is called in an error.
    format: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(format: &'static str, message: &'a [u8]) -> Self {
        Self { format, rest: message }
    }

    fn field(&mut self) -> Result<(u64, Field<'a>), Problem> {
        let key = varint(self.format, &mut self.rest)?;
        let value = match key & 7 {
            0 => Field::Number(varint(self.format, &mut self.rest)?),
            2 => {
                let length = varint(self.format, &mut self.rest)?;
                Field::Bytes(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            1 => Field::Fixed(self.take(8)?),
            5 => Field::Fixed(self.take(4)?),
            _ => return Err(Problem::broken(self.format, "it is no protobuf message")),
        };
        Ok((key >> 3, value))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Problem> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| cut_short(self.format))?;
        self.rest = rest;
        Ok(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>), Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

fn cut_short(format: &'static str) -> Problem {
    Problem::broken(format, "it ends in the middle of a tensor; the file is cut short")
}

/// The first of the numbers that are packed into a field, `most` at most.
pub(super) fn numbers(format: &'static str, mut packed: &[u8], most: usize) -> Result<Vec<u64>, Problem> {
    let mut numbers = Vec::new();
    while !packed.is_empty() && numbers.len() < most {
        numbers.push(varint(format, &mut packed)?);
    }
    Ok(numbers)
}

/// A field that is text.
pub(super) fn text<'a>(format: &'static str, bytes: &'a [u8]) -> Result<&'a str, Problem> {
    std::str::from_utf8(bytes).map_err(|_| Problem::broken(format, "a name that is not UTF-8"))
}

fn varint(format: &'static str, bytes: &mut &[u8]) -> Result<u64, Problem> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or_else(|| cut_short(format))?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Problem::broken(format, "it is no protobuf message"))
}
