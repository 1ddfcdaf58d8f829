//! Strings and texts as protocol 0 writes them, on a line of their own.

use std::borrow::Cow;

/// Python's `repr` of a `str`, as protocol 0 writes it, back to its bytes.
pub(super) fn unquote(line: &[u8]) -> Option<Cow<'_, [u8]>> {
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
pub(super) fn raw_unicode(line: &[u8]) -> Option<Cow<'_, str>> {
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
